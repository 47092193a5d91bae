//! When a job runs: its runs are made from its schedule, visible for the hold time before they are due.

use std::sync::Arc;

use aright_shared::api::{JobState, MIN_HOLD_S, Missed, NewJob, Run, RunState, Schedule, Zone};
use aright_shared::id::{JobId, RunId};
use aright_shared::time::{HOUR, MINUTE, Millis, SECOND};

use crate::app::App;
use crate::error::Refused;
use crate::schedule::{self, Occurrence};
use crate::store::Tx;
use crate::store::jobs::{self, Job, Next};
use crate::store::runs::{self, Times};

const MAX_HOLD_S: u32 = 30 * 24 * 3600;
const MAX_EXPIRY_S: u32 = 90 * 24 * 3600;
/// How late an occurrence may be noticed before it counts as missed.
const PUNCTUAL: i64 = MINUTE;
/// From when the first clock on earth shows a time to when the last one does.
const EVERYWHERE: i64 = 26 * HOUR;
/// How many occurrences are shown.
const SHOWN: usize = 5;

/// How long a job's runs wait: pending, then for hosts that do not come; in milliseconds.
#[derive(Clone, Copy)]
pub struct Waits {
    hold: i64,
    expiry: i64,
}

impl Waits {
    /// # Errors
    /// Too short without `--dev`, or too long.
    pub fn of(app: &App, job: &NewJob) -> Result<Self, Refused> {
        let hold = job.hold_s.unwrap_or(MIN_HOLD_S);
        let least = if app.dev { 0 } else { MIN_HOLD_S };
        if !(least..=MAX_HOLD_S).contains(&hold) {
            return Err(Refused::invalid("hold_s", hold, "a run cannot be pending for so long")
                .remedy(format!("{least} to {MAX_HOLD_S} s; under {MIN_HOLD_S} only with serve --dev")));
        }
        let expiry = job.expiry_s.unwrap_or(app.settings.dispatch.expiry_s);
        let least = if app.dev { 1 } else { 60 };
        if !(least..=MAX_EXPIRY_S).contains(&expiry) {
            return Err(Refused::invalid("expiry_s", expiry, "a run cannot wait for so long")
                .remedy(format!("{least} to {MAX_EXPIRY_S} s")));
        }
        Ok(Self { hold: i64::from(hold) * SECOND, expiry: i64::from(expiry) * SECOND })
    }

    /// Of a pending run that waits anew: due when it was, or when it was held.
    fn again(self, run: &Run, job: &NewJob, now: Millis) -> Times {
        let due = run.due.max(now.plus(self.hold));
        let own_clocks = job.schedule.zone() == Some(&Zone::Asset) && run.asked_by.is_none();
        let spread = if own_clocks { EVERYWHERE } else { 0 };
        Times { saved: now, due, expires: due.plus(spread).plus(self.expiry), local_due: run.local_due }
    }

    /// Of a run saved now that is to be at this occurrence, or at once.
    fn times(self, occurrence: Option<&Occurrence>, zone: Option<&Zone>, now: Millis) -> Times {
        let held = now.plus(self.hold);
        let due = occurrence.map_or(held, |one| one.at.max(held));
        let latest = occurrence.map_or(due, |one| one.latest.max(due));
        let local_due = occurrence.filter(|_| zone == Some(&Zone::Asset)).map(|one| one.local);
        Times { saved: now, due, expires: latest.plus(self.expiry), local_due }
    }
}

/// What holds for a draft too.
///
/// # Errors
/// It waits too short or too long, or its schedule cannot be.
pub fn check(app: &App, job: &NewJob) -> Result<(), Refused> {
    Waits::of(app, job)?;
    schedule::check(&job.schedule)
}

/// The next occurrence; `None` for a job that runs once it was held.
///
/// # Errors
/// There is none to come.
pub fn coming(job: &NewJob, now: Millis) -> Result<Option<Occurrence>, Refused> {
    let coming = schedule::next(&job.schedule, now);
    if coming.is_none() && job.schedule != Schedule::Now {
        return Err(Refused::invalid("schedule", "no occurrence", "the schedule has none to come")
            .remedy("give a time, or an end, that lies ahead; with the zone asset on every clock on earth"));
    }
    Ok(coming)
}

/// Makes the coming run of a job that is saved, edited or activated now; `before` is what an edited one was.
/// Whatever is pending waits its hold time anew; an occurrence gives way where the schedule is another.
///
/// # Errors
/// Its schedule has no occurrence to come.
pub fn settle(
    app: &Arc<App>,
    tx: &Tx<'_>,
    id: &JobId,
    job: &NewJob,
    before: Option<&Job>,
    who: &str,
) -> Result<(), Refused> {
    let (waits, now) = (Waits::of(app, job)?, app.now());
    app.changed_on_commit(tx);
    let same = before.is_some_and(|before| before.spec.schedule == job.schedule);
    let repeats = matches!(job.schedule, Schedule::Repeat(_));
    let mut pending = None;
    for run in runs::open(tx, id)?.into_iter().filter(|run| run.state == RunState::Pending) {
        let by_hand = repeats && run.asked_by.is_some();
        if by_hand || (same && job.schedule != Schedule::Now) {
            runs::move_pending(tx, &run.id, &waits.again(&run, job, now))?;
        }
        pending = if by_hand { pending } else { Some(run) };
    }
    if same && pending.is_some() && job.schedule != Schedule::Now {
        let next = before.and_then(|before| before.next);
        let next = next.map(|next| Next { run: next.due.plus(-waits.hold), ..next });
        return Ok(jobs::set_next(tx, id, next)?);
    }
    let coming = coming(job, now)?;
    let far = coming.as_ref().is_some_and(|one| one.at.plus(-waits.hold) > now);
    if repeats && far {
        if let Some(run) = pending {
            runs::cancel(tx, &run.id, &format!("{who} edited the schedule"), now)?;
        }
        return set_next(tx, id, coming, waits);
    }
    place(tx, id, pending, &waits.times(coming.as_ref(), job.schedule.zone(), now), None)?;
    let after = coming.filter(|_| repeats).and_then(|one| schedule::next(&job.schedule, one.at));
    set_next(tx, id, after, waits)
}

/// A run besides the schedule, pending for the hold time.
///
/// # Errors
/// It waits too short or too long.
pub fn once_more(app: &Arc<App>, tx: &Tx<'_>, id: &JobId, job: &NewJob, who: &str) -> Result<RunId, Refused> {
    let waits = Waits::of(app, job)?;
    let run = place(tx, id, None, &waits.times(None, None, app.now()), Some(who))?;
    app.changed_on_commit(tx);
    Ok(run)
}

/// Makes the run whose time to be visible has come. Where the controller was away when it was due, the rule
/// for missed ones decides.
///
/// # Errors
/// The store failed.
pub fn follow(app: &Arc<App>, tx: &Tx<'_>, id: &JobId, now: Millis) -> Result<(), Refused> {
    let Some(job) = jobs::get(tx, id)?.filter(|job| job.state == JobState::Active) else { return Ok(()) };
    let Some(next) = job.next.filter(|next| next.run <= now) else { return Ok(()) };
    let Schedule::Repeat(repeat) = &job.spec.schedule else { return Ok(jobs::set_next(tx, id, None)?) };
    // One at a time: the next one follows when this one has begun.
    let waits = |run: &Run| run.state == RunState::Pending && run.asked_by.is_none();
    if runs::open(tx, id)?.iter().any(waits) {
        return Ok(());
    }
    let waits = Waits::of(app, &job.spec)?;
    let occurrence = schedule::next(&job.spec.schedule, next.due.plus(-1));
    // It was there for us to forget that it ran.
    let forgotten = app.restored.is_some_and(|restored| restored.missed(next.due));
    let missed = forgotten || occurrence.as_ref().is_none_or(|one| one.latest.plus(PUNCTUAL) < now);
    let after = if missed { now } else { next.due };
    if !missed {
        // Noticed a moment late it is not late.
        let saved = if now.since(next.run) < PUNCTUAL { next.run } else { now };
        place(tx, &job.id, None, &waits.times(occurrence.as_ref(), Some(&repeat.zone), saved), None)?;
    } else if repeat.missed == Missed::RunOnce && !forgotten {
        let run = place(tx, &job.id, None, &waits.times(None, None, now), None)?;
        let why = format!("makes up for the occurrence missed at {}", next.due);
        runs::set_detail(tx, &run, &why)?;
    } else {
        tracing::info!(job.id = %job.id, due = %next.due, "an occurrence was missed and is skipped");
    }
    set_next(tx, &job.id, schedule::next(&job.spec.schedule, after), waits)?;
    jobs::end_if_done(tx, &job.id)?;
    app.changed_on_commit(tx);
    Ok(())
}

/// The next occurrences without a run.
pub fn shown(job: &Job) -> Vec<Millis> {
    let Some(next) = job.next else { return Vec::new() };
    upcoming(&job.spec.schedule, next.due.plus(-1))
}

/// The next occurrences.
pub fn upcoming(schedule: &Schedule, after: Millis) -> Vec<Millis> {
    schedule::upcoming(schedule, after, SHOWN).into_iter().map(|one| one.at).collect()
}

fn place(
    tx: &Tx<'_>,
    job: &JobId,
    pending: Option<Run>,
    times: &Times,
    asked_by: Option<&str>,
) -> Result<RunId, Refused> {
    if let Some(run) = pending {
        runs::move_pending(tx, &run.id, times)?;
        return Ok(run.id);
    }
    let id = RunId::new();
    runs::insert(tx, &id, job, times, asked_by)?;
    Ok(id)
}

fn set_next(tx: &Tx<'_>, job: &JobId, coming: Option<Occurrence>, waits: Waits) -> Result<(), Refused> {
    let next = coming.map(|one| Next { due: one.at, run: one.at.plus(-waits.hold) });
    Ok(jobs::set_next(tx, job, next)?)
}
