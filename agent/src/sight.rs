//! How a task looks at its targets on the live host; [`this_host`] is the whole host as tasks see it.

#[cfg_attr(target_os = "linux", path = "sight/linux.rs")]
#[cfg_attr(windows, path = "sight/windows.rs")]
mod system;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aright_shared::content::script::Script;
use aright_shared::library::Library;
use aright_shared::posture::{Observation, Reading, Spot, Verdict, judge};
use aright_shared::task::{Judged, Target};
use aright_shared::time::{Clock, WallClock};

use crate::evaluate::{self, Evaluator};
use crate::probe::View;
use crate::root::Root;
use crate::task::host::Sight;
pub use system::this_host;

/// The library's controls, looked at for tasks.
pub struct TaskSight {
    pub library: &'static Library,
    /// Never-read paths of this host's owner, beside the built-in ones.
    pub never_read: Vec<String>,
    /// The agent's own files, covered in every stage.
    pub state: Vec<PathBuf>,
}

impl TaskSight {
    /// Looks at the live host; `None` where its root cannot be opened.
    fn with_evaluator<R>(&self, look: impl FnOnce(Evaluator<'_>) -> R) -> Option<R> {
        let root = Root::live().ok()?;
        Some(look(Evaluator::new(self.library, &root, &View::Live, WallClock.now())))
    }

    /// Each target on the live host.
    pub fn targets(&self, targets: &[Target]) -> Vec<Sight> {
        self.with_evaluator(|evaluator| sights(&evaluator, targets)).unwrap_or_else(|| unseen(targets))
    }

    /// Every control that applies, by its own expected value.
    pub fn all_verdicts(&self) -> BTreeMap<Spot, Verdict> {
        let judged = |observation: Observation| {
            let on = self.library.control(&observation.spot.control)?.on(&observation.spot.technology)?;
            Some((observation.spot, judge(&observation.reading, &on.expect)))
        };
        let all = self.with_evaluator(|evaluator| evaluator.all().observations).unwrap_or_default();
        all.into_iter().filter_map(judged).collect()
    }

    /// # Errors
    /// The guard that does not hold, in its own words.
    pub fn guards(&self, script: &Script) -> Result<(), String> {
        self.with_evaluator(|evaluator| evaluator.guard(&script.guard))
            .unwrap_or_else(|| Err("the root folder cannot be opened".into()))
    }
}

fn sights(evaluator: &Evaluator<'_>, targets: &[Target]) -> Vec<Sight> {
    targets.iter().map(|target| sight(evaluator.spot(&target.spot), target)).collect()
}

fn sight(seen: evaluate::Sight, target: &Target) -> Sight {
    match seen {
        evaluate::Sight::NotApplicable(why) => Sight::NotApplicable(why),
        evaluate::Sight::Observed(observation) => {
            let verdict = judge(&observation.reading, &target.expect);
            Sight::Seen(Judged { verdict, reading: observation.reading })
        }
    }
}

/// Fail closed: what could not be looked at is an error.
fn unseen(targets: &[Target]) -> Vec<Sight> {
    let code = aright_shared::posture::ErrorCode::ProbeFailed;
    let reading = Reading::Error { code, detail: "the root folder cannot be opened".into() };
    targets
        .iter()
        .map(|_| Sight::Seen(Judged { verdict: Verdict::Error, reading: reading.clone() }))
        .collect()
}
