//! This machine as the [`Host`] of a task: the stage, the evaluator, the settings of its owner.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aright_shared::content::script::{Script, Touch};
use aright_shared::outcome::Refusal;
use aright_shared::posture::{Managed, Spot, Verdict};
use aright_shared::task::{Confinement, Overreach, ScriptResult, Target};

use crate::activate::Live;
use crate::change::Change;
use crate::commit::Tree;
use crate::config::RespectManaged;
use crate::confirm::Health;
use crate::stage::host::Secrets;
use crate::stage::{self, Declared, ScriptRun, Stage, StageSpec};
use crate::system;
use crate::task::host::{Cancel, Compared, Host, Ran, Sight, Standing};
use crate::verify::Refused;

/// What a task asks of evaluation.
pub trait Evaluator: Send + Sync {
    /// Each target on the live host.
    fn live(&self, targets: &[Target]) -> Vec<Sight>;
    /// Each target in a stage, of which only the root is known; what `script` activates, and what is
    /// covered from it, is pending.
    fn staged(&self, root: BorrowedFd<'_>, script: &Script, targets: &[Target]) -> Vec<Sight>;
    /// Every control that applies, by its own expected value.
    fn verdicts(&self) -> BTreeMap<Spot, Verdict>;
    /// # Errors
    /// The guard that does not hold, in its own words.
    fn guard(&self, script: &Script) -> Result<(), String>;
    /// Which of these files somebody else manages too.
    fn managers(&self, _paths: &[String]) -> Vec<Managed> {
        Vec::new()
    }
    /// The value that files give a kernel parameter.
    fn persisted(&self, parameter: &str) -> Option<String>;
}

/// What the owner of this host and the agent's installation say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files, or folders with all below them, that no task may change.
    pub denied: Vec<PathBuf>,
    pub respect_managed: RespectManaged,
    /// Never-read patterns beside the built-in ones.
    pub never_read: Vec<String>,
    /// The agent's own files, covered in every stage.
    pub state: Vec<PathBuf>,
    /// The agent's program, which is its launcher too.
    pub launcher: PathBuf,
    /// A name that can be looked up where all is well: the controller's.
    pub name: Option<String>,
}

pub struct Here {
    tree: Tree,
    live: Live,
    evaluator: Arc<dyn Evaluator>,
    settings: Settings,
    secrets: Secrets,
}

impl Here {
    /// To be made on the thread that will execute: it holds that thread's root.
    ///
    /// # Errors
    /// The root cannot be opened.
    pub fn new(evaluator: Arc<dyn Evaluator>, settings: Settings) -> io::Result<Self> {
        let secrets = Secrets::with(&settings.never_read);
        Ok(Self { tree: Tree::open(Path::new("/"))?, live: Live::here(), evaluator, settings, secrets })
    }

    fn has_interpreter(&self, script: &Script) -> Result<(), Refused> {
        let unsupported = |detail| Refused { reason: Refusal::Unsupported, detail };
        let program =
            stage::interpreter(&script.interpreter).map_err(|error| unsupported(error.to_string()))?;
        // Links are followed as the stage will follow them.
        if program.is_file() {
            return Ok(());
        }
        let program = program.display();
        Err(unsupported(format!(
            "the interpreter {program} is not on this host; next: install it, or another script"
        )))
    }

    fn spec(&self, script: &Script) -> StageSpec {
        StageSpec {
            touches: script.touches.clone(),
            reads: script.reads.clone(),
            network: script.network,
            limits: script.limits.clone(),
            never_read: self.settings.never_read.clone(),
            state: self.settings.state.clone(),
            launcher: self.settings.launcher.clone(),
        }
    }
}

impl Host for Here {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        self.evaluator.live(targets)
    }

    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        self.evaluator.verdicts()
    }

    fn guard(&self, script: &Script) -> Result<(), String> {
        self.evaluator.guard(script)
    }

    fn sees_all(&self) -> bool {
        system::sees_all()
    }

    fn denies(&self, path: &Path) -> bool {
        self.settings.denied.iter().any(|denied| path.starts_with(denied))
    }

    fn size_of(&self, touches: &[Touch]) -> u64 {
        // What cannot be resolved is refused by the stage, with the reason.
        let declared = Declared::resolve(touches).ok().and_then(|declared| declared.existing().ok());
        let sizes = declared.unwrap_or_default().into_iter().filter_map(|path| path.symlink_metadata().ok());
        sizes.filter(std::fs::Metadata::is_file).map(|stat| stat.len()).sum()
    }

    fn is_secret(&self, path: &Path) -> bool {
        self.secrets.hold(path)
    }

    fn managed(&self, touches: &[Touch]) -> Vec<Managed> {
        let declared = Declared::resolve(touches).ok().and_then(|declared| declared.existing().ok());
        let paths =
            declared.unwrap_or_default().into_iter().filter_map(|path| path.to_str().map(str::to_owned));
        self.evaluator.managers(&paths.collect::<Vec<_>>())
    }

    fn respects_managed(&self) -> bool {
        self.settings.respect_managed == RespectManaged::Refuse
    }

    fn persisted(&self, parameter: &str) -> Option<String> {
        self.evaluator.persisted(parameter)
    }

    fn health(&self) -> Health {
        Health::look(self.settings.name.as_deref())
    }

    fn stage(
        &self,
        script: &Script,
        params: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Standing>, Refused> {
        self.has_interpreter(script)?;
        let stage = Stage::open(&self.spec(script))
            .map_err(|error| Refused { reason: error.refusal(), detail: chain(&error) })?;
        let run = ScriptRun {
            interpreter: script.interpreter.clone(),
            body: script.body.clone(),
            params: params.clone(),
            timeout: Duration::from_secs(script.timeout_s.into()),
        };
        Ok(Box::new(StandingHere {
            stage,
            run,
            judge: Judge { evaluator: self.evaluator.clone(), script: script.clone() },
        }))
    }
}

/// How scripts are confined here, found by opening a stage and closing it again; else why they cannot be.
pub fn confinement() -> String {
    match Stage::open(&StageSpec::new(Vec::new())) {
        Ok(stage) => {
            let confinement = stage.confinement();
            format!("{}: {}", confinement.stage, confinement.layers.join(", "))
        }
        Err(error) => format!("{}: {:#}", error.refusal(), anyhow::Error::from(error)),
    }
}

/// An error with its causes, in one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Who looks at the stage once it is frozen.
struct Judge {
    evaluator: Arc<dyn Evaluator>,
    script: Script,
}

struct StandingHere {
    stage: Stage,
    run: ScriptRun,
    judge: Judge,
}

impl Standing for StandingHere {
    fn confinement(&self) -> Confinement {
        self.stage.confinement()
    }

    fn run(self: Box<Self>, cancel: &Cancel) -> Result<Box<dyn Ran>, String> {
        let end = self.stage.cancel();
        cancel.on_cancel(move || end.cancel());
        let ran = self.stage.run(&self.run).map_err(|error| chain(&error))?;
        Ok(Box::new(RanHere { ran, judge: self.judge }))
    }
}

struct RanHere {
    ran: stage::Ran,
    judge: Judge,
}

impl Ran for RanHere {
    fn script(&self) -> &ScriptResult {
        &self.ran.script
    }

    fn was_cancelled(&self) -> bool {
        self.ran.cancelled
    }

    fn compare(self: Box<Self>) -> io::Result<Box<dyn Compared>> {
        Ok(Box::new(ComparedHere { compared: self.ran.compare()?, judge: self.judge }))
    }
}

struct ComparedHere {
    compared: stage::Compared,
    judge: Judge,
}

impl Compared for ComparedHere {
    fn changes(&self) -> &[Change] {
        &self.compared.changes.changes
    }

    fn overreach(&self) -> &[Overreach] {
        &self.compared.overreach
    }

    fn conflicts(&self) -> &[PathBuf] {
        &self.compared.conflicts
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.compared.open(path)
    }

    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        self.judge.evaluator.staged(self.compared.root(), &self.judge.script, targets)
    }
}
