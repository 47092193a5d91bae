//! How a task looks at its targets: on the live host, and in a stage, where what a declared activation
//! changes and what a covered secret decides is pending.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aright_shared::content::script::{Activation, Script};
use aright_shared::library::Library;
use aright_shared::posture::{Managed, Observation, Reading, Spot, Verdict, judge};
use aright_shared::task::{Judged, Target};
use aright_shared::time::{Clock, WallClock};

use crate::cage::plan::User;
use crate::config::Config;
use crate::evaluate::{self, Evaluator};
use crate::probe::{Look, Pending, View, persisted_value};
use crate::root::Root;
use crate::stage::host::covers;
use crate::task::here::{self, Here, Settings};
use crate::task::host::Sight;

/// The agent's own program, also after it was replaced on disk.
const LAUNCHER: &str = "/proc/self/exe";

/// The library's controls, looked at for tasks.
pub struct TaskSight {
    pub library: &'static Library,
    /// Never-read paths of this host's owner, beside the built-in ones.
    pub never_read: Vec<String>,
    /// The agent's own files, covered in every stage.
    pub state: Vec<PathBuf>,
}

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

impl TaskSight {
    /// Looks at the live host; `None` where its root cannot be opened.
    fn live<R>(&self, look: impl FnOnce(Evaluator<'_>) -> R) -> Option<R> {
        let root = Root::live().ok()?;
        Some(look(Evaluator::new(self.library, &root, &View::Live, WallClock.now())))
    }
}

impl here::Evaluator for TaskSight {
    fn live(&self, targets: &[Target]) -> Vec<Sight> {
        self.live(|evaluator| sights(&evaluator, targets)).unwrap_or_else(|| unseen(targets))
    }

    fn staged(&self, root: BorrowedFd<'_>, script: &Script, targets: &[Target]) -> Vec<Sight> {
        let Ok(root) = root.try_clone_to_owned() else { return unseen(targets) };
        let Ok(covered) = covers(&self.never_read, &self.state, &script.reads) else {
            return unseen(targets);
        };
        let covered = covered.into_iter().map(|cover| cover.path).collect();
        let attributes = User::of_this_process().is_some();
        let view = View::Stage(Pending { covered, attributes, ..pending(&script.activate) });
        sights(&Evaluator::new(self.library, &Root::at(root), &view, WallClock.now()), targets)
    }

    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        let judged = |observation: Observation| {
            let on = self.library.control(&observation.spot.control)?.on(&observation.spot.technology)?;
            Some((observation.spot, judge(&observation.reading, &on.expect)))
        };
        let all = self.live(|evaluator| evaluator.all().observations).unwrap_or_default();
        all.into_iter().filter_map(judged).collect()
    }

    fn guard(&self, script: &Script) -> Result<(), String> {
        self.live(|evaluator| evaluator.guard(&script.guard))
            .unwrap_or_else(|| Err("the root folder cannot be opened".into()))
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

fn sights(evaluator: &Evaluator<'_>, targets: &[Target]) -> Vec<Sight> {
    targets.iter().map(|target| sight(evaluator.spot(&target.spot), target)).collect()
}

fn sight(seen: evaluate::Sight, target: &Target) -> Sight {
    match seen {
        evaluate::Sight::NotApplicable(why) => Sight::NotApplicable(why),
        evaluate::Sight::Observed(observation) => {
            let verdict = judge(&observation.reading, &target.expect);
            Sight::Seen(Judged { verdict, reading: observation.reading })
        }
    }
}

/// Fail closed: what could not be looked at is an error.
fn unseen(targets: &[Target]) -> Vec<Sight> {
    let code = aright_shared::posture::ErrorCode::ProbeFailed;
    let reading = Reading::Error { code, detail: "the root folder cannot be opened".into() };
    targets
        .iter()
        .map(|_| Sight::Seen(Judged { verdict: Verdict::Error, reading: reading.clone() }))
        .collect()
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
