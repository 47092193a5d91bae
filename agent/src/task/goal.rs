//! What a task is to achieve, and the proof that a change set does: only a [`Judged`] one can be committed.

use std::fs::File;
use std::io;
use std::path::Path;

use aright_shared::content::script::{Origin, Script};
use aright_shared::posture::{Reading, Spot, Verdict};
use aright_shared::task::{Judged as JudgedReading, Target, TargetResult};

use super::host::{Compared, Sight};
use crate::change::Change;

/// The targets that apply here, with what was seen before.
#[derive(Clone, Debug)]
pub struct Goal {
    aims: Vec<Aim>,
    /// Partial progress is meant.
    keep_unfixed: bool,
}

#[derive(Clone, Debug)]
struct Aim {
    target: Target,
    before: JudgedReading,
    /// It must pass in the end.
    required: bool,
}

/// What the evaluation before says about running at all.
#[derive(Debug)]
pub enum Before {
    Go(Goal),
    /// A library script's targets all pass.
    Compliant(Goal),
    /// A library script's target is an error or does not apply.
    NotFailed(String),
}

impl Goal {
    /// Custom scripts always run; library scripts only where something fails and nothing is unclear.
    /// Who does not see all (an ordinary user) goes on where they see nothing: they only preview.
    pub fn of(script: &Script, targets: &[Target], seen: Vec<Sight>, sees_all: bool) -> Before {
        let library = script.origin == Origin::Library;
        let mut aims = Vec::new();
        for (target, sight) in targets.iter().zip(seen) {
            let before = match sight {
                Sight::Seen(judged) => judged,
                Sight::NotApplicable(why) if library => {
                    return Before::NotFailed(format!("{} does not apply: {why}", name(&target.spot)));
                }
                Sight::NotApplicable(_) => continue,
            };
            if library && sees_all && before.verdict == Verdict::Error {
                return Before::NotFailed(told(&target.spot, &before));
            }
            let required = before.verdict != Verdict::Error && library || before.verdict == Verdict::Fail;
            aims.push(Aim { target: target.clone(), before, required });
        }
        let compliant = library && aims.iter().all(|aim| aim.before.verdict == Verdict::Pass);
        let goal = Self { aims, keep_unfixed: script.keep_unfixed };
        if compliant { Before::Compliant(goal) } else { Before::Go(goal) }
    }

    pub fn targets(&self) -> Vec<Target> {
        self.aims.iter().map(|aim| aim.target.clone()).collect()
    }

    /// Instances that were just seen to fail, each once.
    pub fn failed_instances(&self) -> Vec<&str> {
        let failed = self.aims.iter().filter(|aim| aim.before.verdict == Verdict::Fail);
        let mut all: Vec<_> = failed.map(|aim| aim.target.spot.instance.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether anything is to be fixed, so that the outcome is `fixed` rather than `ran`.
    pub fn has_aim(&self) -> bool {
        self.aims.iter().any(|aim| aim.required)
    }

    pub fn keeps_unfixed(&self) -> bool {
        self.keep_unfixed
    }

    pub fn spots(&self) -> impl Iterator<Item = &Spot> {
        self.aims.iter().map(|aim| &aim.target.spot)
    }

    /// What was seen before, for the report.
    pub fn results(&self) -> Vec<TargetResult> {
        let result = |aim: &Aim| TargetResult {
            spot: aim.target.spot.clone(),
            before: aim.before.clone(),
            staged: None,
            after: None,
        };
        self.aims.iter().map(result).collect()
    }

    /// One sentence for each required target that does not pass.
    pub fn unmet(&self, seen: &[Sight]) -> Vec<String> {
        let of = |(aim, sight): (&Aim, &Sight)| match sight {
            Sight::Seen(judged) if judged.verdict == Verdict::Pass => None,
            Sight::Seen(judged) => Some(told(&aim.target.spot, judged)),
            Sight::NotApplicable(why) => Some(format!("{} no longer applies: {why}", name(&aim.target.spot))),
        };
        self.aims.iter().zip(seen).filter(|(aim, _)| aim.required).filter_map(of).collect()
    }

    /// Targets that passed before and do not now.
    pub fn turned(&self, seen: &[Sight]) -> Vec<Spot> {
        let passes = |sight: &Sight| matches!(sight, Sight::Seen(judged) if judged.verdict == Verdict::Pass);
        let aims = self.aims.iter().zip(seen);
        let turned = aims
            .filter(|(aim, sight)| !aim.required && aim.before.verdict == Verdict::Pass && !passes(sight));
        turned.map(|(aim, _)| aim.target.spot.clone()).collect()
    }
}

/// A change set that was judged in the stage: it may be committed.
pub struct Judged {
    compared: Box<dyn Compared>,
}

impl Judged {
    /// The one way to a [`Judged`]: every required target passes in the stage, as far as files decide (or the
    /// script says that partial progress is meant).
    ///
    /// # Errors
    /// What does not pass.
    pub fn by(goal: &Goal, compared: Box<dyn Compared>, seen: &[Sight]) -> Result<Self, Vec<String>> {
        let unmet = goal.unmet(seen);
        if unmet.is_empty() || goal.keep_unfixed { Ok(Self { compared }) } else { Err(unmet) }
    }

    pub fn changes(&self) -> &[Change] {
        self.compared.changes()
    }

    /// # Errors
    /// See [`Compared::open`].
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.compared.open(path)
    }

    #[cfg(test)]
    pub fn unproven(compared: Box<dyn Compared>) -> Self {
        Self { compared }
    }
}

/// `CONTROL`, and the instance where there are several.
pub fn name(spot: &Spot) -> String {
    match spot.instance.as_str() {
        "default" => spot.control.to_string(),
        instance => format!("{} ({instance})", spot.control),
    }
}

fn told(spot: &Spot, judged: &JudgedReading) -> String {
    let seen = match &judged.reading {
        Reading::Value(value) => serde_json::to_string(value).unwrap_or_default(),
        Reading::Absent(missing) => format!("{missing} absent"),
        Reading::Error { code, detail } => format!("{code}: {detail}"),
        Reading::Pending => "pending".to_owned(),
    };
    let seen: String = seen.chars().take(200).collect();
    format!("{}: {} ({seen})", name(spot), judged.verdict)
}
