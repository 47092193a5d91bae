//! What one caged `/bin/true` costs: `cargo bench -p aright-agent --bench launch [-- ROUNDS]`, as root, with bwrap.
//!
//! Every contender runs `/bin/sh` with `exec /bin/true`. Each has a process and a control group of its own and runs
//! once when it is its turn, so that all of them meet the same noise. Wall time is from the start to the end of
//! everything, namespaces and mounts taken down included. CPU is the control group's, since bwrap's first process is
//! not waited for by whoever measures with rusage; what the kernel tidies up later, in threads of its own, is in
//! neither.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_agent::cage::plan::{StagePlan, Wanted};
use aright_agent::stage::{ScriptRun, Stage, StageSpec, host};
use aright_shared::content::script::{Interpreter, Limits};
use aright_shared::task::Exit;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, clone, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use tempfile::TempDir;

const ROUNDS: usize = 300;
const WARM_UP: usize = 10;
const BODY: &str = "exec /bin/true";
const BALLAST: usize = 100 << 20;
/// The first argument by which this program is one of the contenders.
const CONTENDER: &str = "contender";
const GROUP: &str = "aright-bench-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Fork,
    Namespaces,
    Bwrap,
    BwrapFresh,
    Aright,
    ArightLarge,
    ArightReady,
}

use Contender::*;

const ALL: [(Contender, &str); 7] = [
    (Fork, "fork and exec"),
    (Namespaces, "clone with the same namespaces, exec"),
    (Bwrap, "bwrap, its overlay mounted beforehand"),
    (BwrapFresh, "bwrap, an overlay mounted for it"),
    (Aright, "Aright, a fresh stage"),
    (ArightLarge, "Aright, from a process with 100 MB"),
    (ArightReady, "Aright, the stage opened beforehand"),
];

/// Ours, theirs, and the most that ours may be of theirs.
const AIMS: [(Contender, Contender, f64); 3] =
    [(Aright, Bwrap, 0.65), (ArightLarge, Bwrap, 0.65), (ArightReady, Bwrap, 0.4)];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [CONTENDER, number] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let (contender, _) = ALL.get(number.parse::<usize>()?).context("no such contender")?;
        return take_turns(*contender);
    }
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    let version = Command::new("bwrap").arg("--version").output().context("bwrap is not installed")?;
    let mut measured = measure(rounds)?;
    say(&format!("{rounds} rounds, each contender in turn; bwrap as below; {}", plain(&version.stdout)))?;
    say(&format!("bwrap {}\n", bwrap(Path::new("OVERLAY"), Path::new("SCRATCH"))?.join(" ")))?;
    say(&format!("{:38} {:>8} {:>8} {:>8}", "", "wall ms", "p95", "CPU ms"))?;
    for (row, (_, name)) in measured.iter_mut().zip(ALL) {
        let (median, p95, cpu) = (row.wall.at(0.5), row.wall.at(0.95), row.cpu.at(0.5));
        say(&format!("{name:38} {median:8.2} {p95:8.2} {cpu:8.2}"))?;
    }
    say("")?;
    for (ours, theirs, aim) in AIMS {
        let [ours, theirs] = [ours, theirs].map(|one| ALL.iter().position(|(other, _)| *other == one));
        let (ours, theirs) = (ours.context("ours")?, theirs.context("theirs")?);
        let mut ratio = |of: fn(&mut Row) -> &mut Sample| {
            of(&mut measured[ours]).at(0.5) / of(&mut measured[theirs]).at(0.5)
        };
        let (wall, cpu) = (ratio(|row| &mut row.wall), ratio(|row| &mut row.cpu));
        say(&format!(
            "figure: {} / {}: wall {wall:.2}, CPU {cpu:.2} (aim: at most {aim})",
            ALL[ours].1, ALL[theirs].1
        ))?;
    }
    Ok(())
}

#[derive(Default)]
struct Row {
    wall: Sample,
    cpu: Sample,
}

/// In milliseconds.
#[derive(Default)]
struct Sample(Vec<f64>);

impl Sample {
    fn at(&mut self, part: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[((self.0.len() - 1) as f64 * part).round() as usize]
    }
}

fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let mut players = (0..ALL.len()).map(Player::start).collect::<anyhow::Result<Vec<_>>>()?;
    let mut rows: Vec<Row> = ALL.iter().map(|_| Row::default()).collect();
    for round in 0..WARM_UP + rounds {
        for (player, row) in players.iter_mut().zip(&mut rows) {
            player.turn()?;
            let before = player.group.cpu()?;
            let wall = player.turn()?;
            let cpu = player.group.cpu()? - before;
            if round >= WARM_UP {
                row.wall.0.push(wall.as_secs_f64() * 1e3);
                row.cpu.0.push(cpu.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(rows)
}

/// A contender's process, seen from the one that measures.
struct Player {
    // Ends when this is closed.
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    process: Child,
    group: Group,
}

impl Player {
    fn start(number: usize) -> anyhow::Result<Self> {
        let group = Group::new(number)?;
        let mut process = Command::new(std::env::current_exe()?)
            .args([CONTENDER, &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().context("no stdin")?;
        let answers = BufReader::new(process.stdout.take().context("no stdout")?).lines();
        fs::write(group.0.join("cgroup.procs"), process.id().to_string())?;
        Ok(Self { orders, answers, process, group })
    }

    /// The next thing to do: by turns to make ready, and to run.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        self.orders.write_all(b"\n")?;
        let answer = self.answers.next().context("a contender ended")??;
        Ok(Duration::from_nanos(answer.parse()?))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A control group of version 2. It counts CPU without any controller.
struct Group(PathBuf);

impl Group {
    fn new(number: usize) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let mount =
            mount.and_then(|line| line.split(' ').nth(4)).context("no control groups of version 2")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).context("in no control group")?;
        let folder = Path::new(mount).join(own);
        // Of runs that were killed; one in use stays.
        for old in fs::read_dir(&folder)?
            .flatten()
            .filter(|old| old.file_name().to_string_lossy().starts_with(GROUP))
        {
            let _ = fs::remove_dir(old.path());
        }
        let folder = folder.join(format!("{GROUP}{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(self.0.join("cpu.stat"))?;
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage")?;
        Ok(Duration::from_micros(usage.parse()?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets it go a moment after its last process.
        let since = Instant::now();
        while fs::remove_dir(&self.0).is_err() && since.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The whole life of a contender.
fn take_turns(contender: Contender) -> anyhow::Result<()> {
    let ballast = vec![1_u8; if contender == ArightLarge { BALLAST } else { 0 }];
    let mut launch = contender.launch()?;
    let mut orders = std::io::stdin().lines();
    while orders.next().is_some() {
        let run = launch.ready()?;
        say("0")?;
        orders.next().context("no order to run")??;
        let start = Instant::now();
        run()?;
        say(&start.elapsed().as_nanos().to_string())?;
    }
    std::hint::black_box(&ballast);
    Ok(())
}

type Run<'a> = Box<dyn FnOnce() -> anyhow::Result<()> + 'a>;

/// What makes ready what will be run once.
trait Launch {
    fn ready(&mut self) -> anyhow::Result<Run<'_>>;
}

impl Contender {
    fn launch(self) -> anyhow::Result<Box<dyn Launch>> {
        Ok(match self {
            Fork => Box::new(Plain(program(&["/bin/sh", "-c", BODY]))),
            Namespaces => Box::new(Cloned::new()?),
            Bwrap | BwrapFresh => Box::new(Bubble::new(self == BwrapFresh)?),
            Aright | ArightLarge | ArightReady => Box::new(Staged::new(self == ArightReady)?),
        })
    }
}

struct Plain(Command);

impl Launch for Plain {
    fn ready(&mut self) -> anyhow::Result<Run<'_>> {
        Ok(Box::new(|| succeeds(&mut self.0)))
    }
}

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// No mounts, nothing given up: what the kernel asks for the namespaces alone.
struct Cloned {
    stack: Vec<u8>,
    words: Vec<CString>,
}

impl Cloned {
    fn new() -> anyhow::Result<Self> {
        let words = ["/bin/sh", "-c", BODY].map(CString::new).into_iter().collect::<Result<_, _>>()?;
        Ok(Self { stack: vec![0; 64 << 10], words })
    }
}

impl Launch for Cloned {
    fn ready(&mut self) -> anyhow::Result<Run<'_>> {
        let Self { stack, words } = self;
        Ok(Box::new(|| {
            let namespaces = CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWNET;
            let exec = Box::new(|| {
                let _ = nix::unistd::execv::<&CStr>(
                    &words[0],
                    &words.iter().map(CString::as_c_str).collect::<Vec<_>>(),
                );
                1
            });
            // SAFETY: without CLONE_VM the child has a copy of the memory of a process with one thread.
            let child = unsafe { clone(exec, stack, namespaces, Some(nix::libc::SIGCHLD)) }?;
            let status = waitpid(child, None)?;
            ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
            Ok(())
        }))
    }
}

/// The stage of a script that declares one file below `/`.
fn declared() -> anyhow::Result<StageSpec> {
    let declared = vec!["/etc/login.defs".parse().map_err(anyhow::Error::msg)?];
    Ok(StageSpec { launcher: env!("CARGO_BIN_EXE_aright-agent").into(), ..StageSpec::new(declared) })
}

struct Staged {
    spec: StageSpec,
    script: ScriptRun,
    beforehand: bool,
}

impl Staged {
    fn new(beforehand: bool) -> anyhow::Result<Self> {
        let script = ScriptRun {
            interpreter: Interpreter::Sh,
            body: BODY.to_owned(),
            params: Default::default(),
            timeout: Duration::from_secs(10),
        };
        Ok(Self { spec: declared()?, script, beforehand })
    }
}

impl Launch for Staged {
    fn ready(&mut self) -> anyhow::Result<Run<'_>> {
        let stage = if self.beforehand { Some(Stage::open(&self.spec)?) } else { None };
        Ok(Box::new(|| {
            let stage = stage.map_or_else(|| Stage::open(&self.spec), Ok)?;
            let ran = stage.run(&self.script)?;
            ensure!(ran.script.exit == Exit::Code(0), "{:?}", ran.script);
            Ok(())
        }))
    }
}

/// bwrap with an overlay of `/`, which it cannot mount itself, in a mount namespace of this process's own.
struct Bubble {
    scratch: TempDir,
    command: Command,
    fresh: bool,
}

impl Bubble {
    fn new(fresh: bool) -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        let scratch = tempfile::tempdir()?;
        let [void, empty] = ["void", "empty"].map(|name| scratch.path().join(name));
        fs::create_dir(void)?;
        fs::write(empty, "")?;
        fs::create_dir(scratch.path().join("overlay"))?;
        let words = bwrap(&scratch.path().join("overlay/root"), scratch.path())?;
        let mut command = program(&["bwrap"]);
        command.args(words);
        let bubble = Self { scratch, command, fresh };
        if !fresh {
            bubble.mount_overlay()?;
        }
        Ok(bubble)
    }

    fn mount_overlay(&self) -> anyhow::Result<()> {
        let folder = self.scratch.path().join("overlay");
        let none = None::<&str>;
        mount(Some("bench"), &folder, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, none)?;
        let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.join(name));
        for part in [&upper, &work, &root] {
            fs::create_dir(part)?;
        }
        let options =
            format!("lowerdir=/,upperdir={},workdir={},metacopy=on", upper.display(), work.display());
        mount(Some("bench"), &root, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))?;
        Ok(())
    }

    fn unmount_overlay(&self) -> anyhow::Result<()> {
        let folder = self.scratch.path().join("overlay");
        umount2(&folder.join("root"), MntFlags::empty())?;
        umount2(&folder, MntFlags::empty())?;
        Ok(())
    }
}

impl Launch for Bubble {
    fn ready(&mut self) -> anyhow::Result<Run<'_>> {
        Ok(Box::new(|| {
            if self.fresh {
                self.mount_overlay()?;
            }
            succeeds(&mut self.command)?;
            if self.fresh {
                self.unmount_overlay()?;
            }
            Ok(())
        }))
    }
}

/// The nearest equal flags: our namespaces, mounts, covers and capabilities. It has no seccomp filter, no limits and
/// of `/proc` only what bwrap itself covers, all of which would cost it more.
fn bwrap(overlay: &Path, scratch: &Path) -> anyhow::Result<Vec<String>> {
    let spec = declared()?;
    let host = host::Host::read()?;
    let plan = StagePlan::new(Wanted {
        mounts: &host.mounts,
        replaced: &host.replaced,
        run_folders: host.run_folders.clone(),
        writable: &[],
        covers: host::covers(&spec.never_read, &spec.state, &spec.reads)?,
        limits: &Limits::default(),
        as_user: false,
    });
    let mut flags: Vec<String> = Vec::new();
    let mut flag = |words: &[&str]| flags.extend(words.iter().map(|&word| word.to_owned()));
    flag(&["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
    flag(&["--new-session", "--die-with-parent", "--clearenv", "--cap-drop", "ALL"]);
    for kept in ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"] {
        flag(&["--cap-add", &format!("CAP_{kept}")]);
    }
    flag(&["--bind", &overlay.to_string_lossy(), "/"]);
    for step in plan.mounts.iter().filter(|step| step.at != Path::new("/")) {
        flag(&["--ro-bind", &step.at.to_string_lossy(), &step.at.to_string_lossy()]);
    }
    flag(&["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--tmpfs", "/tmp"]);
    for folder in &plan.run_folders {
        flag(&["--perms", &format!("{:04o}", folder.mode), "--dir", &format!("/run/{}", folder.name)]);
    }
    for cover in &plan.covers {
        let with = scratch.join(if cover.folder { "void" } else { "empty" });
        flag(&["--ro-bind", &with.to_string_lossy(), &cover.path.to_string_lossy()]);
    }
    flag(&["/bin/sh", "-c", BODY]);
    Ok(flags)
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
