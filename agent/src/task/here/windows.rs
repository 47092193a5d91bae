//! This machine as the [`Host`] of a task: there is no stage here. What a script declares is kept before it
//! runs, the script runs in a job object, and what it changed is witnessed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aright_shared::content::script::{Interpreter, Network, Script, Touch};
use aright_shared::id::TaskId;
use aright_shared::outcome::Refusal;
use aright_shared::posture::{Managed, Spot, Verdict};
use aright_shared::task::{Confinement, Exit, Output, Overreach, ScriptResult, Target};

use crate::activate::Live;
use crate::caseless::{self, Patterns};
use crate::change::Change;
use crate::commit::Tree;
use crate::commit::place::{Thing, shown};
use crate::config::{Config, PowershellPolicy};
use crate::confirm::Health;
use crate::meta::Kind;
use crate::output::Collected;
use crate::sight::TaskSight;
use crate::system;
use crate::task::host::{Cancel, Compared, Host, Ran, Sight, Standing};
use crate::task::journal::Journal;
use crate::verify::Refused;
use crate::windows::job::{Bounds, End, Job, Process, Signal, Start};
use crate::windows::system_folder;
use crate::witness::{Declared, Things, Witness, again, changes, folded};

/// How long Windows may take to end a process tree before we give up on it.
const END_WITHIN: Duration = Duration::from_secs(30);
/// What all processes of a script may take unless it says less.
const MEMORY_MB: u32 = 1024;
const PROCESSES: u32 = 128;
/// Most overreach that is named.
const MAX_OVERREACH: usize = 100;

pub struct Here {
    tree: Tree,
    live: Live,
    sight: Arc<TaskSight>,
    denied: Vec<PathBuf>,
    never_read: Patterns,
    powershell: PowershellPolicy,
    /// The controller's: it can be looked up where all is well.
    name: Option<String>,
}

impl Here {
    pub fn new(sight: TaskSight, config: &Config, name: Option<String>) -> Self {
        let (denied, powershell) = (config.deny.paths.clone(), config.powershell_policy);
        let never_read = Patterns::new(sight.never_read.iter().map(Path::new));
        Self { tree: Tree, live: Live::here(), sight: Arc::new(sight), denied, never_read, powershell, name }
    }
}

/// How scripts are confined here, found by making a job; else why they cannot be.
pub fn confinement() -> String {
    match Job::new(Bounds { memory: 1 << 20, processes: 1 }) {
        Ok(job) => format!("witnessed: {}", layers(&job).join(", ")),
        Err(error) => format!("{}: no job object: {error}", Refusal::ConfinementUnavailable),
    }
}

fn layers(job: &Job) -> Vec<String> {
    let mut layers = vec!["job object".to_owned(), "memory".to_owned(), "processes".to_owned()];
    if job.no_desktop {
        layers.push("no desktop".to_owned());
    }
    layers
}

impl Host for Here {
    fn has_stage(&self) -> bool {
        false
    }

    fn catch_up(&self, journal: &Journal) -> io::Result<()> {
        let Some(mut originals) = journal.originals().map_err(io::Error::other)? else { return Ok(()) };
        let entries = originals.manifest.entries.iter();
        let before: Things =
            entries.map(|entry| (Thing::parse(&entry.change.path), entry.change.before.clone())).collect();
        let now = again(&before)?;
        originals.narrow(&changes(&before, &now))
    }

    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        self.sight.targets(targets)
    }

    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        self.sight.all_verdicts()
    }

    fn guard(&self, script: &Script) -> Result<(), String> {
        self.sight.guards(script)
    }

    fn sees_all(&self) -> bool {
        system::sees_all()
    }

    fn managed(&self, _touches: &[Touch]) -> Vec<Managed> {
        Vec::new()
    }

    fn respects_managed(&self) -> bool {
        false
    }

    fn denies(&self, path: &Path) -> bool {
        self.denied.iter().any(|denied| caseless::is_at_or_below(path, denied))
    }

    fn size_of(&self, touches: &[Touch]) -> u64 {
        let things = Declared::of(touches).ok().and_then(|declared| declared.look().ok()).unwrap_or_default();
        let sizes = things.into_values().flatten().map(|meta| match meta.kind {
            Kind::File { size, .. } => size,
            Kind::Value(value) => value.data.len() as u64,
            Kind::Folder | Kind::Key | Kind::Start { .. } => 0,
        });
        sizes.sum()
    }

    fn is_secret(&self, path: &Path) -> bool {
        self.never_read.hold(path)
    }

    fn persisted(&self, _parameter: &str) -> Option<String> {
        None
    }

    fn health(&self) -> Health {
        Health::look(self.name.as_deref())
    }

    fn stage(
        &self,
        script: &Script,
        params: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Standing>, Refused> {
        let refused = |reason, detail| Refused { reason, detail };
        let unavailable = |error: io::Error| refused(Refusal::ConfinementUnavailable, error.to_string());
        if !matches!(script.interpreter, Interpreter::Cmd | Interpreter::Powershell) {
            let detail = format!(
                "interpreter \"{}\" is not one of this system's: cmd or powershell",
                script.interpreter
            );
            return Err(refused(Refusal::Unsupported, detail));
        }
        let declared = Declared::of(&script.touches).map_err(|why| refused(Refusal::Unsupported, why))?;
        let before = declared.look().map_err(|error| refused(Refusal::ReadOnly, error.to_string()))?;
        let bounds = Bounds {
            memory: u64::from(script.limits.memory_mb.unwrap_or(MEMORY_MB)) << 20,
            processes: script.limits.processes.unwrap_or(PROCESSES),
        };
        let job = Job::new(bounds).map_err(unavailable)?;
        let state = self.sight.state.first().cloned().unwrap_or_else(system::scratch);
        let folder = Scratch::make(&state).map_err(unavailable)?;
        let witness = Witness::look(self.sight.library, &declared);
        let cut_off = script.network == Network::None;
        Ok(Box::new(StandingHere {
            stand: Stand { sight: self.sight.clone(), declared, before, witness },
            script: script.clone(),
            params: params.clone(),
            powershell: self.powershell,
            job,
            folder,
            cut_off,
        }))
    }
}

/// How things stood before the script.
struct Stand {
    sight: Arc<TaskSight>,
    declared: Declared,
    before: Things,
    witness: Witness,
}

struct StandingHere {
    stand: Stand,
    script: Script,
    params: BTreeMap<String, String>,
    powershell: PowershellPolicy,
    job: Job,
    folder: Scratch,
    /// The script wants no network.
    cut_off: bool,
}

impl Standing for StandingHere {
    fn confinement(&self) -> Confinement {
        let mut layers = layers(&self.job);
        layers.push(format!(
            "{} declared, {} witnessed",
            self.stand.before.len(),
            self.stand.witness.things.len()
        ));
        if self.script.interpreter == Interpreter::Powershell {
            layers.push(match self.powershell {
                PowershellPolicy::Host => "execution policy: the host's".to_owned(),
                PowershellPolicy::Bypass => "execution policy: bypassed, as agent.toml says".to_owned(),
            });
        }
        let mut missing = vec![
            "stage: none on Windows; the script changes the host itself".to_owned(),
            "files and registry elsewhere: changes that are not declared are not witnessed".to_owned(),
            "processes: what services, tasks or WMI start for the script is not ended with it".to_owned(),
        ];
        if self.cut_off {
            missing.push("network: not cut off".to_owned());
        }
        if !self.stand.witness.too_long.is_empty() {
            missing.push("witness: values above 1 MiB".to_owned());
        }
        if self.stand.witness.cut {
            missing.push("witness: more keys than are looked at".to_owned());
        }
        Confinement { stage: "witnessed".to_owned(), layers, missing }
    }

    fn declared(&self) -> Vec<Change> {
        let change = |(thing, before): (&Thing, &Option<_>)| Change {
            path: thing.path(),
            before: before.clone(),
            after: None,
        };
        self.stand.before.iter().map(change).collect()
    }

    fn run(self: Box<Self>, cancel: &Cancel) -> Result<Box<dyn Ran>, String> {
        let signal = Signal::new().map_err(|error| error.to_string())?;
        let asked = signal.clone();
        cancel.on_cancel(move || asked.give());
        let (script, cancelled) = self.obey(&signal).map_err(|error| error.to_string())?;
        Ok(Box::new(RanHere { stand: self.stand, script, cancelled }))
    }
}

impl StandingHere {
    /// Runs the script to its end, or to the end of its time. Afterwards no process of it is left.
    fn obey(&self, signal: &Signal) -> io::Result<(ScriptResult, bool)> {
        let (program, command_line) = self.command()?;
        let stdin = File::open("NUL")?;
        let (out, stdout) = io::pipe()?;
        let (err, stderr) = io::pipe()?;
        let environment = self.environment();
        let start = Start {
            command_line: &command_line,
            program: &program,
            folder: &self.folder.0,
            environment: &environment,
            stdin: &stdin,
            stdout: &stdout,
            stderr: &stderr,
        };
        let started = Instant::now();
        let process = Process::start(&self.job, &start)?;
        // Ours are closed, so that the readers see the end of the last writer.
        drop((stdout, stderr));
        let (out, err) = (collect(out), collect(err));
        let end = process.wait(signal, started + Duration::from_secs(self.script.timeout_s.into()));
        let usage = self.job.usage();
        self.job.end_within(END_WITHIN)?;
        let exit = match end? {
            End::Code(code) => Exit::Code(code),
            End::Signalled => Exit::Signal(9),
            End::TimedOut => Exit::TimedOut,
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let result = ScriptResult {
            exit,
            stdout: out.join().unwrap_or_default(),
            stderr: err.join().unwrap_or_default(),
            wall_ms: millis(started.elapsed()),
            cpu_ms: millis(usage.cpu),
            peak_memory_kb: usage.peak_memory / 1024,
            oom_kills: 0,
        };
        Ok((result, exit == Exit::Signal(9)))
    }

    /// The program and its command line; the body lies in the work folder then.
    fn command(&self) -> io::Result<(PathBuf, String)> {
        let system = system_folder()?;
        // Labels of cmd are found only where lines end as Windows ends them.
        let body = self.script.body.replace("\r\n", "\n").replace('\n', "\r\n");
        if self.script.interpreter == Interpreter::Cmd {
            let file = self.folder.0.join("script.cmd");
            fs::write(&file, body)?;
            let line = format!("cmd.exe /d /q /s /c \"\"{}\"\"", file.display());
            return Ok((system.join("cmd.exe"), line));
        }
        let file = self.folder.0.join("script.ps1");
        // The mark by which PowerShell 5.1 knows UTF-8.
        fs::write(&file, format!("\u{feff}{body}"))?;
        let policy = match self.powershell {
            PowershellPolicy::Host => "",
            PowershellPolicy::Bypass => "-ExecutionPolicy Bypass ",
        };
        let line =
            format!("powershell.exe -NoLogo -NoProfile -NonInteractive {policy}-File \"{}\"", file.display());
        Ok((system.join(r"WindowsPowerShell\v1.0\powershell.exe"), line))
    }

    /// Fixed, but for the script's parameters.
    fn environment(&self) -> Vec<(String, String)> {
        let system = system_folder().unwrap_or_default();
        let windows = system.parent().unwrap_or(&system).display().to_string();
        let drive: String = windows.chars().take(2).collect();
        let system = system.display();
        let path = format!(r"{system};{windows};{system}\Wbem;{system}\WindowsPowerShell\v1.0");
        let folder = self.folder.0.display().to_string();
        let fixed = [
            ("SystemRoot", windows.clone()),
            ("windir", windows),
            ("SystemDrive", drive),
            ("ComSpec", format!(r"{system}\cmd.exe")),
            ("PATH", path),
            ("PATHEXT", ".COM;.EXE;.BAT;.CMD".to_owned()),
            ("TEMP", folder.clone()),
            ("TMP", folder),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        fixed.chain(self.params.clone()).collect()
    }
}

fn collect(mut from: io::PipeReader) -> JoinHandle<Output> {
    std::thread::spawn(move || {
        let mut collected = Collected::default();
        let mut buffer = vec![0; 16 << 10];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            collected.push(&buffer[..len]);
        }
        collected.finish()
    })
}

struct RanHere {
    stand: Stand,
    script: ScriptResult,
    cancelled: bool,
}

impl Ran for RanHere {
    fn script(&self) -> &ScriptResult {
        &self.script
    }

    fn was_cancelled(&self) -> bool {
        self.cancelled
    }

    fn compare(self: Box<Self>) -> io::Result<Box<dyn Compared>> {
        let Stand { sight, declared, before, witness } = self.stand;
        let mut all = changes(&before, &again(&before)?);
        let seen = Witness::look(sight.library, &declared);
        if let Some(thing) = seen.too_long.difference(&witness.too_long).next() {
            return Err(io::Error::other(format!("{} is too long", shown(&thing.path()))));
        }
        let known: Vec<String> = all.iter().map(|change| folded(&change.path)).collect();
        let mut witnessed = changes(&witness.things, &seen.things);
        if witness.cut || seen.cut {
            // What is on one side alone may not have been looked at on the other: it is not ours to remove.
            witnessed.retain(|change| change.before.is_some() && change.after.is_some());
        }
        all.extend(witnessed.into_iter().filter(|change| !known.contains(&folded(&change.path))));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        let undeclared: Vec<&Change> =
            all.iter().filter(|change| !declared.names(&before, &change.path)).collect();
        let named =
            |change: &&&Change| Overreach { path: shown(&change.path), what: what(change).to_owned() };
        let mut overreach: Vec<Overreach> =
            undeclared.iter().take(MAX_OVERREACH).map(|c| named(&c)).collect();
        if let Some(more @ 1..) = undeclared.len().checked_sub(MAX_OVERREACH) {
            overreach.push(Overreach { path: "registry:".into(), what: format!("and {more} more") });
        }
        Ok(Box::new(ComparedHere { sight, changes: all, overreach }))
    }
}

fn what(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (None, _) => "created, and not declared",
        (_, None) => "deleted, and not declared",
        _ => "changed, and not declared",
    }
}

struct ComparedHere {
    sight: Arc<TaskSight>,
    changes: Vec<Change>,
    overreach: Vec<Overreach>,
}

impl Compared for ComparedHere {
    fn changes(&self) -> &[Change] {
        &self.changes
    }

    fn overreach(&self) -> &[Overreach] {
        &self.overreach
    }

    /// Nobody else's work can be told from the script's.
    fn conflicts(&self) -> &[PathBuf] {
        &[]
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        self.sight.targets(targets)
    }
}

/// The script's work folder, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn make(state: &Path) -> io::Result<Self> {
        let path = state.join("work").join(TaskId::new().as_str());
        system::make_private_folders(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
