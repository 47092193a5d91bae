//! What must hold, whatever the weather: the controller's account of a run against the ledger of what happened on its
//! hosts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use aright_shared::api::{Run, Task};
use aright_shared::id::{AssetId, RunId, TaskId};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskState;
use aright_shared::time::Millis;

use super::ledger::{Ledger, Story};
use super::world::SILENCE;

/// Both accounts of one run, or of several.
pub struct Judge {
    pub runs: Vec<Run>,
    pub tasks: Vec<Task>,
    pub stories: BTreeMap<TaskId, Story>,
    wrong: Vec<String>,
}

/// How long the dispatcher may take for one step, in milliseconds.
const STEP: i64 = 1000;

/// From, to; a moment of which it is sure that it was so.
pub type Span = (Millis, Millis);

impl Judge {
    pub fn new(ledger: &Ledger, ended: Vec<(Run, Vec<Task>)>) -> Self {
        let ids: Vec<RunId> = ended.iter().map(|(run, _)| run.id.clone()).collect();
        let (runs, tasks): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        let stories = ledger.of(&ids.iter().collect::<Vec<_>>());
        Self { runs, tasks: tasks.into_iter().flatten().collect(), stories, wrong: ledger.all_wrong() }
    }

    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// What holds always: each task is there once and has ended as the ledger says, no script ran twice, no host had
    /// two at a time, and the run's counts are those of its tasks.
    ///
    /// # Errors
    /// All that does not.
    pub fn whole(mut self, tasks: usize) -> anyhow::Result<Self> {
        self.check_all(tasks);
        for task in self.tasks.clone() {
            self.check_task(&task);
        }
        for run in self.runs.clone() {
            self.check_counts(&run);
        }
        let sets = [("ledger", self.at_work()), ("controller", self.turns())];
        for (whose, spans) in sets {
            for (asset, spans) in by_asset(&spans) {
                let most = most_at_once(spans);
                self.check(most <= 1, || format!("{asset}: {most} tasks at a time, by the {whose}"));
            }
        }
        self.verdict()
    }

    pub fn verdict(self) -> anyhow::Result<Self> {
        match self.wrong.len() {
            0 => Ok(self),
            all => bail!("{all} times wrong:\n{}", self.wrong[..all.min(12)].join("\n")),
        }
    }

    fn check_all(&mut self, tasks: usize) {
        let known: BTreeSet<TaskId> = self.tasks.iter().map(|task| task.id.clone()).collect();
        let places: BTreeSet<_> =
            self.tasks.iter().map(|task| (&task.run, &task.asset, &task.script)).collect();
        let (different, listed) = (places.len(), self.tasks.len());
        self.check(listed == tasks && different == tasks, || {
            format!("{listed} tasks of {different} places instead of {tasks}")
        });
        let strange: Vec<_> = self.stories.keys().filter(|task| !known.contains(*task)).cloned().collect();
        self.check(strange.is_empty(), || format!("obeyed, but in no run: {strange:?}"));
    }

    fn check_task(&mut self, task: &Task) {
        let is_over = task.state == TaskState::Ended && task.outcome.is_some_and(Outcome::is_final);
        self.check(is_over, || format!("task {} is {}, {:?}", task.id, task.state, task.outcome));
        let Some(outcome) = task.outcome else { return };
        let ends_unbegun = matches!(outcome, Outcome::Cancelled | Outcome::Undelivered);
        let Some(story) = self.stories.get(&task.id).cloned() else {
            return self.check(ends_unbegun, || format!("task {} is {outcome}, and never came", task.id));
        };
        let told = || format!("task {} is {outcome}, {:?}: {story:?}", task.id, task.detail);
        self.check(story.began.len() <= 1, || format!("may begin twice: {}", told()));
        let began = story.began.first();
        let right = match (began, story.told.first()) {
            // The first word stands.
            (Some(_), Some(first)) => outcome == first.outcome,
            (Some(_), None) => outcome == Outcome::Interrupted,
            (None, Some(first)) => outcome == first.outcome || ends_unbegun,
            // Perhaps it was about to, and the answer was lost.
            (None, None) => ends_unbegun || (outcome == Outcome::Interrupted && !story.asked.is_empty()),
        };
        self.check(right, || format!("not as it was: {}", told()));
        let late = |sent: Millis| began.is_some_and(|began| sent > *began);
        self.check(!story.delivered.iter().any(|one| late(one.asked)), || {
            format!("delivered when it ran or had run: {}", told())
        });
        let heard = story.told.iter().all(|told| told.acknowledged.is_some());
        self.check(heard, || format!("told and not acknowledged: {}", told()));
    }

    fn check_counts(&mut self, run: &Run) {
        let own: Vec<&Task> = self.tasks.iter().filter(|task| task.run.as_ref() == Some(&run.id)).collect();
        let mut outcomes: BTreeMap<Outcome, u32> = BTreeMap::new();
        for outcome in own.iter().filter_map(|task| task.outcome) {
            *outcomes.entry(outcome).or_default() += 1;
        }
        let assets = |which: &dyn Fn(&Task) -> bool| -> usize {
            own.iter().filter(|task| which(task)).map(|task| &task.asset).collect::<BTreeSet<_>>().len()
        };
        let counted = [
            own.len(),
            assets(&|_| true),
            assets(&|task| task.delivered.is_some()),
            assets(&|task| task.outcome.is_some_and(Outcome::is_failure)),
        ];
        let told =
            [run.tasks, run.assets.all, run.assets.begun, run.assets.failed].map(|count| count as usize);
        let same = outcomes == run.outcomes && counted == told && run.assets.ended == run.assets.begun;
        self.check(same, || {
            format!("the run says {run:?}, its tasks {outcomes:?}, tasks, assets, begun, failed {counted:?}")
        });
    }

    /// When a script certainly ran, by the ledger: from the answer to "it runs" to the first word of its end, or to
    /// when it was given up at the earliest.
    pub fn at_work(&self) -> Vec<(AssetId, Span)> {
        let span = |story: &Story| {
            let began = *story.began.first()?;
            let silent = story.asked.iter().rfind(|asked| **asked <= began)?.plus(SILENCE);
            let told = story.told.first().map_or(silent, |told| told.sent);
            let end = asked_again(story).map_or(told, |again| again.min(told));
            Some((story.asset.clone(), (began, end.min(silent))))
        };
        self.stories.values().filter_map(span).collect()
    }

    /// When a task was certainly in its agent's hands, by the controller: from its last delivery to its end.
    pub fn turns(&self) -> Vec<(AssetId, Span)> {
        let span = |task: &Task| Some((task.asset.clone(), (task.delivered?, self.end(task)?)));
        self.tasks.iter().filter_map(span).collect()
    }

    /// When it had ended, at the earliest. One that was given up, for silence or because its agent asked twice, ends
    /// again when its agent tells the rest.
    fn end(&self, task: &Task) -> Option<Millis> {
        let refused = self.stories.get(&task.id).and_then(asked_again);
        let silent = task.running.map(|running| running.plus(SILENCE));
        [task.ended, refused, silent].into_iter().flatten().min()
    }

    /// When failures became known, each in order: at the earliest, and at the latest those that are certain. The
    /// controller notes when it heard of one, and writes it down a little later: then its agent has its answer, and
    /// where that was silent the dispatcher has made its step. What was told late may have been given up before.
    pub fn failures(&self) -> (Vec<Millis>, Vec<Millis>) {
        let (mut earliest, mut latest) = (Vec::new(), Vec::new());
        for task in &self.tasks {
            let (Some(ended), Some(end)) = (task.ended, self.end(task)) else { continue };
            let told = self.stories.get(&task.id).and_then(|story| story.told.first()?.acknowledged);
            if task.outcome.is_some_and(Outcome::is_failure) {
                earliest.push(end);
                latest.push(told.unwrap_or(ended.plus(STEP)));
            } else if told.is_some() && end < ended {
                earliest.push(end);
            }
        }
        earliest.sort();
        latest.sort();
        (earliest, latest)
    }

    /// Nothing is delivered from one moment to the other, by either account.
    pub fn nothing_delivered(&mut self, what: &str, from: Millis, to: Millis) {
        let by_controller: Vec<_> = self.tasks.iter().filter_map(|task| task.delivered).collect();
        let by_ledger = self.stories.values().flat_map(|story| &story.delivered);
        let asked: Vec<_> = by_ledger.filter(|one| one.came < to).map(|one| one.asked).collect();
        for (whose, times) in [("controller", by_controller), ("ledger", asked)] {
            let between: Vec<_> = times.iter().filter(|time| (from.0 + 1..to.0).contains(&time.0)).collect();
            self.check(between.is_empty(), || {
                format!(
                    "{} delivered {what}, by the {whose}: {between:?} within {from:?} to {to:?}",
                    between.len()
                )
            });
        }
    }
}

/// When it last asked to begin what it may not begin any more.
fn asked_again(story: &Story) -> Option<Millis> {
    let asked = story.asked.last()?;
    story.began.first().is_none_or(|began| asked > began).then_some(*asked)
}

/// Most that hold at one moment. What ends in the millisecond in which another begins ends first.
pub fn most_at_once(spans: impl IntoIterator<Item = Span>) -> usize {
    let mut turns: Vec<(Millis, i64)> = Vec::new();
    for (from, to) in spans.into_iter().filter(|(from, to)| from < to) {
        turns.extend([(from, 1), (to, -1)]);
    }
    turns.sort();
    let (mut now, mut most) = (0, 0);
    for (_, by) in turns {
        now += by;
        most = most.max(now);
    }
    usize::try_from(most).unwrap_or(0)
}

/// Most assets that had something at one moment.
pub fn most_assets_at_once(spans: &[(AssetId, Span)]) -> usize {
    most_at_once(spans.iter().map(|(_, span)| *span))
}

fn by_asset(spans: &[(AssetId, Span)]) -> BTreeMap<&AssetId, Vec<Span>> {
    let mut by_asset: BTreeMap<&AssetId, Vec<Span>> = BTreeMap::new();
    for (asset, span) in spans {
        by_asset.entry(asset).or_default().push(*span);
    }
    by_asset
}
