//! What a job would do where: for each asset and script the task it leads to, or the reason why not. Asked
//! by whoever looks before saving, and by the run that begins.

use std::collections::HashMap;
use std::sync::Arc;

use aright_shared::api::{LicenceKind, NewJob, Reach, ReachHost, ReachScript, ScriptState};
use aright_shared::content::script::Script;
use aright_shared::id::{AssetId, Key};
use aright_shared::outcome::Refusal;
use aright_shared::posture::Verdict;
use aright_shared::task::ClockVerdict;
use aright_shared::time::Millis;
use aright_shared::values::Resolved;

use super::members::Members;
use super::scripts::Selected;
use super::select::Chosen;
use super::values::{resolve, targets};
use super::{custom, licence};
use crate::app::App;
use crate::content::Content;
use crate::error::Refused;
use crate::presence::LiveState;
use crate::store::postures::Place;
use crate::store::tasks::End;
use crate::store::{Conn, assets};

/// Most hosts that one answer names.
const HOSTS: usize = 1000;

/// What becomes of one script on one asset.
pub enum Fate {
    Runs(Resolved),
    /// There is a task, and it ends at once.
    Ends(End),
    /// There is none, for this reason.
    Nothing(String),
}

/// What decides for all assets alike.
pub struct Judge<'a> {
    app: &'a App,
    content: Arc<Content>,
    job: &'a NewJob,
    licence: LicenceKind,
    /// Each with whether it may run at all.
    scripts: Vec<(&'a Selected, bool)>,
    /// Of every asset, where a custom script of the job asks for it.
    technologies: HashMap<AssetId, Vec<Key>>,
}

impl<'a> Judge<'a> {
    /// # Errors
    /// The store failed.
    pub fn new(
        app: &'a App,
        conn: &Conn,
        job: &'a NewJob,
        scripts: &'a [Selected],
        now: Millis,
    ) -> Result<Self, Refused> {
        let mut judged = Vec::new();
        for one in scripts {
            let by_people = || {
                let in_force = custom::in_force(conn, &app.trust(), &one.row, now)?;
                Ok::<_, Refused>(one.row.state == ScriptState::Approved && in_force.is_some())
            };
            judged.push((one, one.is_library() || by_people()?));
        }
        let licence = licence::in_force(conn, now)?;
        let by_technologies = scripts.iter().any(|one| !one.is_library());
        let technologies = if by_technologies { assets::all_technologies(conn)? } else { HashMap::new() };
        Ok(Self { app, content: app.content(), job, licence, scripts: judged, technologies })
    }

    /// Of each script of the job, in order, on one of its assets, whose chosen postures `places` are.
    pub fn fates(
        &self,
        asset: &AssetId,
        places: &[(Place, Option<Verdict>)],
    ) -> impl Iterator<Item = (&'a Selected, Fate)> {
        let live = self.app.presence.agent(asset).map(|live| live.state().clone());
        let not_eligible = not_eligible(live.as_ref());
        self.scripts.iter().map(move |(one, approved)| {
            (*one, self.fate(one, *approved, asset, not_eligible.as_ref(), places))
        })
    }

    /// Whether a script is of the asset's platform, as far as that is known; a library script follows its fixes.
    fn may_be_at_home(&self, asset: &AssetId, script: &Script) -> bool {
        let library = self.content.library();
        let mut platforms = self
            .technologies
            .get(asset)
            .into_iter()
            .flatten()
            .filter_map(|key| Some(library.technology(key)?.platform))
            .peekable();
        platforms.peek().is_none() || platforms.any(|platform| platform == script.interpreter.platform())
    }

    fn fate(
        &self,
        one: &Selected,
        approved: bool,
        asset: &AssetId,
        not_eligible: Option<&End>,
        places: &[(Place, Option<Verdict>)],
    ) -> Fate {
        let concerned: Vec<_> = places.iter().filter(|(place, _)| targets(&one.script, place)).collect();
        if one.is_library() && concerned.is_empty() {
            return Fate::Nothing("no chosen posture here is its concern".to_owned());
        }
        if !one.is_library() && !self.may_be_at_home(asset, &one.script) {
            let (interpreter, platform) = (&one.script.interpreter, one.script.interpreter.platform());
            return Fate::Nothing(format!(
                "its interpreter {interpreter} is of {platform}, this host is not"
            ));
        }
        if self.job.skip.iter().any(|skip| skip.asset == *asset && skip.script == one.row.key) {
            return Fate::Nothing("it is skipped on this host".to_owned());
        }
        if let Some(end) = not_eligible {
            return Fate::Ends(end.clone());
        }
        if !one.is_library() && self.licence != LicenceKind::Full {
            let why = format!("custom scripts run with the licence full only; it is {}", self.licence);
            return Fate::Ends(End::refused(Refusal::Licence, why));
        }
        if !approved {
            let why = format!("{} has no approval in force: approve it and run the job again", one.row.key);
            return Fate::Ends(End::refused(Refusal::NotApproved, why));
        }
        let failed: Vec<Place> = concerned
            .iter()
            .filter(|(_, verdict)| *verdict == Some(Verdict::Fail))
            .map(|(place, _)| place.clone())
            .collect();
        if one.is_library() && failed.is_empty() {
            return Fate::Ends(nothing_failed(&concerned));
        }
        match resolve(&self.content, &one.script, &failed, &one.params) {
            Ok(resolved) => Fate::Runs(resolved),
            Err(error) => {
                Fate::Ends(End::refused(Refusal::BadParameter, format!("{error}; save the job anew")))
            }
        }
    }
}

/// As people look at it: every asset there is, those of the job first.
///
/// # Errors
/// The store failed.
pub fn reach(
    app: &App,
    conn: &Conn,
    job: &NewJob,
    chosen: Chosen,
    scripts: &[Selected],
    now: Millis,
) -> Result<Reach, Refused> {
    let judge = Judge::new(app, conn, job, scripts, now)?;
    let with_posture = chosen.places.iter().map(|(place, _)| place.asset.clone()).collect();
    let members = Members::new(conn, job, with_posture)?;
    let mut reach = Reach {
        postures: count(chosen.places.len()),
        controls: chosen.controls(),
        assets: count(chosen.assets.len()),
        skewed: 0,
        clock_unknown: 0,
        scripts: Vec::new(),
        tasks: 0,
        hosts: Vec::new(),
        left_off: 0,
        next: Vec::new(),
    };
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for (asset, hostname) in assets::names(conn)? {
        let is_in = chosen.assets.binary_search(&asset).is_ok();
        let clock = clock(app, &asset);
        if !is_in {
            let why_not = members.why_not(&asset).or_else(|| Some("it is not eligible".to_owned()));
            outside.push(ReachHost { asset, hostname, clock, why_not, scripts: Vec::new() });
            continue;
        }
        match clock {
            ClockVerdict::Right => {}
            ClockVerdict::Skewed => reach.skewed += 1,
            ClockVerdict::Unknown => reach.clock_unknown += 1,
        }
        let shown: Vec<_> = judge.fates(&asset, chosen.of_asset(&asset)).map(shown).collect();
        reach.tasks += count(shown.iter().filter(|one| one.why_not.is_none()).count());
        inside.push(ReachHost { asset, hostname, clock, why_not: None, scripts: shown });
    }
    inside.append(&mut outside);
    reach.left_off = count(inside.len().saturating_sub(HOSTS));
    inside.truncate(HOSTS);
    reach.hosts = inside;
    Ok(reach)
}

fn shown((one, fate): (&Selected, Fate)) -> ReachScript {
    let script = one.row.key.clone();
    match fate {
        Fate::Runs(resolved) => ReachScript { script, why_not: None, params: resolved.params },
        Fate::Ends(end) => ReachScript { script, why_not: Some(end.detail), params: Default::default() },
        Fate::Nothing(why) => ReachScript { script, why_not: Some(why), params: Default::default() },
    }
}

fn clock(app: &App, asset: &AssetId) -> ClockVerdict {
    let limit_ms = app.settings.dispatch.clock_limit_ms();
    let told = app.presence.agent(asset).and_then(|live| live.state().clock);
    told.map_or(ClockVerdict::Unknown, |(reading, _)| reading.judge(limit_ms))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn not_eligible(live: Option<&LiveState>) -> Option<End> {
    let Some(live) = live else { return Some(End::undelivered("the asset has no agent".to_owned())) };
    let reason = live.reasons().into_iter().next()?;
    Some(match (live.revoked || live.quarantined.is_some(), &live.disabled) {
        (true, _) => End::undelivered(format!("the asset is {reason}")),
        (false, Some(_)) => End::refused(Refusal::Disabled, reason),
        (false, None) => End::refused(Refusal::Unsupported, reason),
    })
}

fn nothing_failed(concerned: &[&(Place, Option<Verdict>)]) -> End {
    match concerned.iter().find(|(_, verdict)| *verdict != Some(Verdict::Pass)) {
        None => End::already_compliant("all its postures passed when the run began"),
        Some((place, verdict)) => {
            let now = verdict.map_or("no longer there", Verdict::as_str);
            End::refused(Refusal::NotFailed, format!("{} is {now} when the run begins", place.spot.control))
        }
    }
}
