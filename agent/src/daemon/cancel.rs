//! Which tasks operators may still have ended: those handed over by the controller and not ended yet, each
//! with the wish that reaches it wherever it is.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aright_shared::id::TaskId;
use tracing::info;

use super::lock;
use crate::task::host::{Cancel, Why};

#[derive(Default)]
pub(crate) struct Wishes(Mutex<BTreeMap<TaskId, Cancel>>);

impl Wishes {
    /// The task's own: one and the same until it is forgotten.
    pub fn of(&self, task: &TaskId) -> Cancel {
        lock(&self.0).entry(task.clone()).or_default().clone()
    }

    /// As often as the controller says it. What is not here has ended or was never here.
    pub fn cancel(&self, tasks: &[TaskId]) {
        for task in tasks {
            let wish = lock(&self.0).get(task).cloned();
            if let Some(wish) = wish.filter(|wish| !wish.is_wanted()) {
                info!(task.id = %task, "to be cancelled");
                wish.end(Why::Operator);
            }
        }
    }

    /// The agent itself is to end.
    pub fn stop(&self) {
        lock(&self.0).values().for_each(|wish| wish.end(Why::Stopping));
    }

    /// It has ended.
    pub fn forget(&self, task: &TaskId) {
        lock(&self.0).remove(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_reaches_every_handle_of_its_task_and_no_other() {
        let wishes = Wishes::default();
        let (here, other, unknown) = (TaskId::new(), TaskId::new(), TaskId::new());
        let (first, second, apart) = (wishes.of(&here), wishes.of(&here), wishes.of(&other));
        wishes.cancel(&[unknown.clone(), here.clone()]);
        assert!(first.is_wanted() && second.is_wanted() && !apart.is_wanted());
        assert!(!wishes.of(&unknown).is_wanted(), "it was not here when it was wished");
        wishes.forget(&here);
        assert!(!wishes.of(&here).is_wanted());
    }
}
