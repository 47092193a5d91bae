//! The agents' wire, a file a route: [`aright_shared::wire`].

pub mod check_in;
pub mod enroll;
pub mod leave;
pub mod renew;
pub mod report;
pub mod result;
pub mod running;
pub mod time;
pub mod undone;

use aright_shared::id::{AssetId, TaskId};

use crate::error::Refused;
use crate::store::{Conn, tasks};

/// The task, if it is this asset's; another's is as if it were not there.
fn task_of(conn: &Conn, id: &TaskId, asset: &AssetId) -> Result<tasks::Task, Refused> {
    let found = tasks::get(conn, id)?.filter(|task| task.asset == *asset);
    found.ok_or_else(|| {
        Refused::not_found("task", id).remedy("report only tasks that were delivered to this asset")
    })
}
