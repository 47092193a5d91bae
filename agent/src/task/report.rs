//! Putting a task's report together.

use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskReport;
use aright_shared::time::Millis;

/// A report that says only what became of the task.
pub fn empty(
    task: &TaskId,
    outcome: Outcome,
    change: HostChange,
    detail: impl Into<String>,
    started: Millis,
    ended: Millis,
) -> TaskReport {
    TaskReport {
        task: task.clone(),
        outcome,
        refusal: None,
        change,
        detail: detail.into(),
        started,
        ended,
        script: None,
        targets: Vec::new(),
        regressed: Vec::new(),
        diff: Vec::new(),
        overreach: Vec::new(),
        activation: Vec::new(),
        confinement: None,
        clock: None,
        steps: Vec::new(),
    }
}
