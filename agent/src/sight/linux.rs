//! Linux: in a stage, what a declared activation changes and what a covered secret decides is pending.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use aright_shared::content::script::{Activation, Script};
use aright_shared::library::Library;
use aright_shared::posture::{Managed, Spot, Verdict};
use aright_shared::task::Target;
use aright_shared::time::{Clock, WallClock};

use super::{TaskSight, sights, unseen};
use crate::config::Config;
use crate::evaluate::Evaluator;
use crate::probe::{Look, Pending, View, persisted_value};
use crate::root::Root;
use crate::stage::host::covers;
use crate::system;
use crate::task::here::{self, Here, Settings};
use crate::task::host::Sight;

/// The agent's own program, also after it was replaced on disk.
const LAUNCHER: &str = "/proc/self/exe";

/// This host as tasks see it; to be made on the thread that will execute. `state` are the agent's own files;
/// `name` can be looked up where all is well.
///
/// # Errors
/// The root cannot be opened.
pub fn this_host(
    config: &Config,
    state: &Path,
    library: &'static Library,
    name: Option<String>,
) -> io::Result<Here> {
    let never_read = config.never_read();
    let state = vec![state.to_owned()];
    let sight = TaskSight { library, never_read: never_read.clone(), state: state.clone() };
    let settings = Settings {
        denied: config.deny.paths.clone(),
        respect_managed: config.respect_managed,
        never_read,
        state,
        launcher: LAUNCHER.into(),
        name,
    };
    Here::new(Arc::new(sight), settings)
}

impl here::Evaluator for TaskSight {
    fn live(&self, targets: &[Target]) -> Vec<Sight> {
        self.targets(targets)
    }

    fn staged(&self, root: BorrowedFd<'_>, script: &Script, targets: &[Target]) -> Vec<Sight> {
        let Ok(root) = root.try_clone_to_owned() else { return unseen(targets) };
        let Ok(covered) = covers(&self.never_read, &self.state, &script.reads) else {
            return unseen(targets);
        };
        let covered = covered.into_iter().map(|cover| cover.path).collect();
        let attributes = !system::sees_all();
        let view = View::Stage(Pending { covered, attributes, ..pending(&script.activate) });
        sights(&Evaluator::new(self.library, &Root::at(root), &view, WallClock.now()), targets)
    }

    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        self.all_verdicts()
    }

    fn guard(&self, script: &Script) -> Result<(), String> {
        self.guards(script)
    }

    fn managers(&self, paths: &[String]) -> Vec<Managed> {
        let Ok(root) = Root::live() else { return Vec::new() };
        let look = Look::new(&root, &View::Live);
        let one = |path: &String| Some(Managed { path: path.clone(), by: look.manager(path)? });
        paths.iter().filter_map(one).collect()
    }

    fn persisted(&self, parameter: &str) -> Option<String> {
        let root = Root::live().ok()?;
        persisted_value(&Look::new(&root, &View::Live), parameter)
    }
}

/// What these activations will change.
fn pending(activations: &[Activation]) -> Pending {
    let mut pending = Pending::default();
    for activation in activations {
        match activation {
            Activation::Reload(units)
            | Activation::Restart(units)
            | Activation::Enable(units)
            | Activation::Disable(units)
            | Activation::Mask(units) => pending.units.extend(units.iter().cloned()),
            Activation::Sysctl(names) => pending.sysctls.extend(names.iter().cloned()),
            Activation::Remount(points) => pending.mounts.extend(points.iter().cloned()),
            Activation::UnloadModule(modules) => pending.modules.extend(modules.iter().cloned()),
            Activation::LoadAuditRules(_) => {}
        }
    }
    pending
}
