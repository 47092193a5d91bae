//! What a simulated agent does: by the seed, so that it does the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::Dice;

/// With one task.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// So many times it is silent when the order comes.
    pub lets_lie: u32,
    pub start: Start,
    /// How long its script runs.
    pub takes: Duration,
    pub end: (Outcome, HostChange),
    pub word: Word,
}

/// How it comes to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Says that it runs, until it is answered.
    Says,
    /// Its clock is wrong.
    Refuses,
    /// Says so, hears no answer within so long, and asks again: what may begin once may not begin then.
    AsksAgain(Duration),
    /// As above, but its host dies, and it knows nothing of the task any more.
    Forgets(Duration),
    /// Begins; then its host is set back to before that, and it asks again.
    IsSetBack,
}

/// How its result comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Once,
    /// So often, and again when the controller has been away.
    Again(u32),
    /// And then another one, of another outcome.
    Contradicts,
    /// When the controller has given it up.
    Late(Duration),
    Never,
}

impl Fate {
    pub fn well(custom: bool) -> Self {
        let outcome = if custom { Outcome::Ran } else { Outcome::Fixed };
        Self {
            lets_lie: 0,
            start: Start::Says,
            takes: Duration::ZERO,
            end: (outcome, HostChange::Kept),
            word: Word::Once,
        }
    }

    pub fn slow(dice: &mut Dice, custom: bool, most_ms: u64) -> Self {
        Self { takes: Duration::from_millis(dice.below(most_ms)), ..Self::well(custom) }
    }

    pub fn fails(dice: &mut Dice, custom: bool) -> Self {
        let end = dice.pick(&[
            (Outcome::RanNotFixed, HostChange::None),
            (Outcome::ScriptFailed, HostChange::None),
            (Outcome::Overreach, HostChange::None),
            (Outcome::TimedOut, HostChange::None),
            (Outcome::ActivationFailed, HostChange::Undone),
            (Outcome::Regressed, HostChange::Undone),
            (Outcome::LostContact, HostChange::Undone),
        ]);
        Self { end, ..Self::slow(dice, custom, 200) }
    }

    /// Runs, and is never heard of again.
    pub fn falls_silent(custom: bool) -> Self {
        Self { word: Word::Never, ..Self::well(custom) }
    }

    pub fn refuses(custom: bool) -> Self {
        Self { start: Start::Refuses, ..Self::well(custom) }
    }
}

/// How it asks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// When it has nothing to do.
    Calm,
    /// All the time, also while it works.
    Overlaps,
    /// Hangs up in the middle and asks anew.
    Drops,
    /// Asks twice at once.
    Doubles,
}

impl Habit {
    pub fn of(dice: &mut Dice) -> Self {
        dice.pick(&[
            Self::Calm,
            Self::Calm,
            Self::Calm,
            Self::Calm,
            Self::Overlaps,
            Self::Drops,
            Self::Doubles,
        ])
    }
}

/// A task that comes to an agent for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Coming {
    pub agent: usize,
    /// How many others were handed one before, in this scene.
    pub place: usize,
    /// Of a script of the user's own; those are given up soon.
    pub custom: bool,
}

pub type Fates = Box<dyn Fn(&Coming, &mut Dice) -> Fate + Send + Sync>;

/// What is played, and how.
pub struct Scene {
    pub name: &'static str,
    pub seed: u64,
    /// Whether agents have their habits, or all are calm.
    pub hostile: bool,
    /// Those that do not come.
    pub away: BTreeSet<usize>,
    fates: Fates,
    places: Mutex<BTreeMap<usize, usize>>,
}

impl Scene {
    pub fn new(name: &'static str, seed: u64, fates: Fates) -> Self {
        Self { name, seed, hostile: false, away: BTreeSet::new(), fates, places: Mutex::default() }
    }

    pub fn hostile(self) -> Self {
        Self { hostile: true, ..self }
    }

    pub fn without(self, away: BTreeSet<usize>) -> Self {
        Self { away, ..self }
    }

    /// By agent and task, whenever it comes.
    pub fn fate(&self, agent: usize, custom: bool, nth: usize) -> Fate {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let next = places.len();
            *places.entry(agent).or_insert(next)
        };
        let mut dice = Dice::named(self.seed, &format!("{} {agent} {nth}", self.name));
        (self.fates)(&Coming { agent, place, custom }, &mut dice)
    }
}
