//! What happened on the hosts, noted there: the judge that the controller does not know of. All times are this
//! machine's clock, which is the controller's too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aright_shared::id::{AssetId, RunId, TaskId};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskOrder;
use aright_shared::time::{Clock as _, Millis, WallClock};

use super::fate::Fate;

#[derive(Clone, Debug)]
pub struct Story {
    pub asset: AssetId,
    pub run: RunId,
    pub nonce: String,
    pub fate: Fate,
    pub delivered: Vec<Delivered>,
    /// When it was about to say that it runs.
    pub asked: Vec<Millis>,
    /// When it had heard 204 to that: its script runs from here.
    pub began: Vec<Millis>,
    pub told: Vec<Told>,
}

#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// When the check-in left to which it was the answer.
    pub asked: Millis,
    pub came: Millis,
}

#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub outcome: Outcome,
    pub sent: Millis,
    pub acknowledged: Option<Millis>,
}

#[derive(Default)]
pub struct Ledger {
    stories: Mutex<BTreeMap<TaskId, Story>>,
    /// What agents saw that may not be.
    wrong: Mutex<Vec<String>>,
}

pub fn now() -> Millis {
    WallClock.now()
}

impl Ledger {
    /// The fate is asked for when it comes for the first time; it is told how many of its asset's came before in
    /// the run's scene.
    pub fn delivered(
        &self,
        order: &TaskOrder,
        run: &RunId,
        asked: Millis,
        fate: impl FnOnce(usize) -> Fate,
    ) -> Fate {
        let mut stories = self.lock();
        let nth = stories.values().filter(|story| story.asset == order.asset && story.run == *run).count();
        let story = stories.entry(order.task.clone()).or_insert_with(|| Story {
            asset: order.asset.clone(),
            run: run.clone(),
            nonce: order.nonce.clone(),
            fate: fate(nth),
            delivered: Vec::new(),
            asked: Vec::new(),
            began: Vec::new(),
            told: Vec::new(),
        });
        story.delivered.push(Delivered { asked, came: now() });
        let (fate, nonce) = (story.fate, story.nonce == order.nonce);
        drop(stories);
        if !nonce {
            self.wrong(format!("task {} came with two nonces", order.task));
        }
        fate
    }

    pub fn asks(&self, task: &TaskId) {
        self.with(task, |story| story.asked.push(now()));
    }

    pub fn begins(&self, task: &TaskId) {
        self.with(task, |story| story.began.push(now()));
    }

    /// The number of this telling.
    pub fn tells(&self, task: &TaskId, outcome: Outcome) -> usize {
        self.with(task, |story| {
            story.told.push(Told { outcome, sent: now(), acknowledged: None });
            story.told.len() - 1
        })
        .unwrap_or(0)
    }

    pub fn acknowledged(&self, task: &TaskId, telling: usize) {
        self.with(task, |story| story.told[telling].acknowledged = Some(now()));
    }

    pub fn wrong(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many scripts of a run have begun.
    pub fn begun(&self, run: &RunId) -> usize {
        self.lock().values().filter(|story| story.run == *run && !story.began.is_empty()).count()
    }

    pub fn of(&self, runs: &[&RunId]) -> BTreeMap<TaskId, Story> {
        let stories = self.lock();
        let wanted = stories.iter().filter(|(_, story)| runs.contains(&&story.run));
        wanted.map(|(task, story)| (task.clone(), story.clone())).collect()
    }

    fn with<T>(&self, task: &TaskId, note: impl FnOnce(&mut Story) -> T) -> Option<T> {
        self.lock().get_mut(task).map(note)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Story>> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
