//! What the order of a task needs of the host it changes: one trait, so that the order can be tested
//! against a folder. [`Here`](super::here::Here) is this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aright_shared::content::script::{Script, Touch};
use aright_shared::posture::{Managed, Spot, Verdict};
use aright_shared::task::{Confinement, Judged, Overreach, ScriptResult, Target};

use super::journal::Journal;
use crate::activate::Live;
use crate::change::Change;
use crate::commit::Tree;
use crate::confirm::Health;
use crate::verify::Refused;

/// What an evaluation says of one target. In a stage, what only the live host can decide passes as pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    Seen(Judged),
    /// The control does not apply here, and why.
    NotApplicable(String),
}

pub trait Host {
    /// Whether scripts run on a stage; else they change the host itself, witnessed.
    fn has_stage(&self) -> bool {
        true
    }
    /// Without a stage: finds out what a script that was cut short changed of what is declared, and writes it down
    /// beside the originals.
    ///
    /// # Errors
    /// It cannot be found out.
    fn catch_up(&self, _journal: &Journal) -> io::Result<()> {
        Ok(())
    }
    /// Where changes are committed.
    fn tree(&self) -> &Tree;
    /// What activations meet.
    fn live(&self) -> &Live;
    /// Each target, evaluated now.
    fn look(&self, targets: &[Target]) -> Vec<Sight>;
    /// Every control that applies, judged by its own expected value, evaluated now.
    fn verdicts(&self) -> BTreeMap<Spot, Verdict>;
    /// Whether the script's guards hold; else the sentence that says why it must not run.
    ///
    /// # Errors
    /// The guard's own words.
    fn guard(&self, script: &Script) -> Result<(), String>;
    /// Whether everything of the host can be read: by root alone.
    fn sees_all(&self) -> bool;
    /// Which of the declared files somebody else manages too.
    fn managed(&self, touches: &[Touch]) -> Vec<Managed>;
    /// Whether this host's owner wants such files left to their managers.
    fn respects_managed(&self) -> bool;
    /// Whether this host's owner forbids changes of a path.
    fn denies(&self, path: &Path) -> bool;
    /// How large the declared files are together, in bytes.
    fn size_of(&self, touches: &[Touch]) -> u64;
    /// Whether the content of a path is never shown.
    fn is_secret(&self, path: &Path) -> bool;
    /// The value that files give a kernel parameter.
    fn persisted(&self, parameter: &str) -> Option<String>;
    fn health(&self) -> Health;
    /// A stage for the script; nothing runs in it yet.
    ///
    /// # Errors
    /// What makes it impossible here.
    fn stage(&self, script: &Script, params: &BTreeMap<String, String>)
    -> Result<Box<dyn Standing>, Refused>;
}

/// A stage that stands.
pub trait Standing {
    fn confinement(&self) -> Confinement;
    /// Without a stage: everything declared, as it is now, with nothing said about after.
    fn declared(&self) -> Vec<Change> {
        Vec::new()
    }
    /// Runs the script to its end; afterwards none of its processes is left.
    ///
    /// # Errors
    /// It could not be started or ended.
    fn run(self: Box<Self>, cancel: &Cancel) -> Result<Box<dyn Ran>, String>;
}

/// A stage whose script has ended.
pub trait Ran {
    fn script(&self) -> &ScriptResult;
    /// Ended by [`Cancel`].
    fn was_cancelled(&self) -> bool;
    /// # Errors
    /// The two sides cannot be read.
    fn compare(self: Box<Self>) -> io::Result<Box<dyn Compared>>;
}

/// A frozen stage whose change set is known.
pub trait Compared {
    fn changes(&self) -> &[Change];
    fn overreach(&self) -> &[Overreach];
    /// Changed files that somebody else changed on the host since the stage was opened.
    fn conflicts(&self) -> &[PathBuf];
    /// The new content of a changed file.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Each target, evaluated in the stage.
    fn look(&self, targets: &[Target]) -> Vec<Sight>;
}

/// The wish that a task should end, from another thread. Clones are one wish.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<Wish>>);

#[derive(Default)]
struct Wish {
    made: Option<Why>,
    hook: Option<Box<dyn Fn() + Send>>,
}

/// Whose wish it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Operator,
    /// The agent itself is to end.
    Stopping,
}

impl Cancel {
    /// The first wish counts.
    pub fn end(&self, why: Why) {
        let mut wish = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wish.made.get_or_insert(why);
        if let Some(hook) = &wish.hook {
            hook();
        }
    }

    pub fn is_wanted(&self) -> bool {
        self.why().is_some()
    }

    pub fn why(&self) -> Option<Why> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).made
    }

    /// What is to be done at once when the wish is made, or now if it was.
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) {
        let mut wish = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wish.made.is_some() {
            hook();
        }
        wish.hook = Some(Box::new(hook));
    }
}
