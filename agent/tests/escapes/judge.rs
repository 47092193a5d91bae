//! The one harness: every script without the cage and with it, judged by its witness.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aright_agent::stage::{ScriptRun, Stage, StageSpec};
use aright_shared::content::script::{Interpreter, Limits};
use aright_shared::task::Exit;
use aright_tests::skip::{Need, lacking};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::Case;
use crate::host;
use crate::world::spec;

const NEEDS: &[&[Need]] = &[&[Need::Root, Need::Program("ip"), Need::Program("python3")]];
const WITNESS: &str = concat!(
    include_str!("witness/main.py"),
    include_str!("witness/files.py"),
    include_str!("witness/processes.py"),
    include_str!("witness/held.py"),
    include_str!("witness/kernel.py"),
    include_str!("witness/listeners.py"),
);
/// How long a script may run.
const LIMIT: Duration = Duration::from_secs(6);
/// How often what cannot be waited for is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What is declared decides how `/` is shown.
const VIEWS: [(&str, &[&str]); 2] = [("writable", &["/etc/escapes"]), ("read-only", &[])];

/// The body of a theme's test, whose full name is needed to start it again.
#[expect(clippy::print_stdout, reason = "figures")]
pub fn theme(test: &str, cases: &[Case]) {
    if lacking(NEEDS) || !host::enter(test) {
        return;
    }
    let (possible, others): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.is_possible());
    for case in others {
        println!("figure: not possible here: {}", case.name);
    }
    let wrong: Vec<String> = possible.iter().flat_map(|case| wrong(case)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let (theme, count) = (test.split("::").next().unwrap_or(test), possible.len());
    println!(
        "figure: escapes ({theme}): {count} scripts reached their goal without the cage, {count} stopped with it"
    );
}

/// What did not go as it must with this script.
fn wrong(case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut note = |what: &str, seen: &Seen| {
        let output: String = seen.output.chars().take(300).collect();
        wrong.push(format!("{}: {what}; orderly: {}; it said: {output}", case.name, seen.orderly));
    };
    let (reached, seen) = host::fresh(|| judged(case, uncaged));
    if !reached {
        note("not reached without the cage", &seen);
    }
    for (view, touches) in VIEWS {
        let (reached, seen) = host::fresh(|| judged(case, |order| caged(order, touches)));
        if reached {
            note(&format!("ESCAPED, / being {view}"), &seen);
        }
    }
    wrong
}

/// A script about to run.
struct Order<'a> {
    case: &'a Case,
    params: BTreeMap<String, String>,
    witness: &'a mut Witness,
}

/// How a run looked from outside.
#[derive(serde::Serialize)]
struct Seen {
    output: String,
    /// PID 1 lived to tell how the script ended.
    orderly: bool,
}

fn judged(case: &Case, run: impl FnOnce(&mut Order<'_>) -> Seen) -> (bool, Seen) {
    let (mut witness, params) = Witness::call(case.witness);
    let careless = host::careless();
    let seen = run(&mut Order { case, params, witness: &mut witness });
    drop(careless);
    (witness.verdict(&seen), seen)
}

/// As a simple agent would do it: start it, collect its output, ask it to end when its time is over.
fn uncaged(order: &mut Order<'_>) -> Seen {
    fs::write("/srv/script", order.case.body()).expect("script");
    let program =
        if order.case.interpreter() == Interpreter::Python3 { "/usr/bin/python3" } else { "/bin/sh" };
    let mut command = Command::new(program);
    if order.case.supervised {
        command = Command::new("unshare");
        command.args([
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            "\"$0\" \"$1\"; echo supervised",
            program,
        ]);
    }
    let output = File::create("/srv/output").expect("file");
    command.arg("/srv/script").envs(&order.params).current_dir("/tmp").stdin(Stdio::null());
    command.stderr(output.try_clone().expect("file")).stdout(output);
    let mut child = command.spawn().expect("script");
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().expect("child").is_none() && !order.witness.has_seen() {
        if Instant::now() > deadline {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("kill");
            std::thread::sleep(TICK * 20);
            break;
        }
        std::thread::sleep(TICK);
    }
    let output = String::from_utf8_lossy(&fs::read("/srv/output").expect("output")).into_owned();
    Seen { orderly: !order.case.supervised || output.ends_with("supervised\n"), output }
}

fn caged(order: &mut Order<'_>, touches: &[&str]) -> Seen {
    let spec = StageSpec {
        network: order.case.network,
        limits: Limits { memory_mb: Some(512), processes: Some(128), stage_mb: Some(128) },
        state: vec!["/var/lib/aright-agent".into()],
        ..spec(touches)
    };
    let run = ScriptRun {
        interpreter: order.case.interpreter(),
        body: order.case.body(),
        params: order.params.clone(),
        timeout: LIMIT,
    };
    let stage = Stage::open(&spec).expect("stage");
    let cancel = stage.cancel();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| stage.run(&run));
        while !running.is_finished() {
            if order.witness.has_seen() {
                cancel.cancel();
            }
            std::thread::sleep(TICK);
        }
        match running.join().expect("no panic") {
            Ok(ran) => {
                let streams = [&ran.script.stdout, &ran.script.stderr];
                let output = streams.map(|kept| kept.head.clone() + &kept.tail).concat();
                Seen { output, orderly: matches!(ran.script.exit, Exit::Code(_) | Exit::TimedOut) }
            }
            Err(error) => Seen { output: error.to_string(), orderly: false },
        }
    })
}

/// The judge: a process of the host, outside the cage.
struct Witness {
    process: Child,
    tell: ChildStdin,
    says: Receiver<String>,
    seen: bool,
}

const REACHED: &str = "reached";

impl Witness {
    /// Returns when it is ready, with what the script is to know.
    fn call(function: &str) -> (Self, BTreeMap<String, String>) {
        let mut process = Command::new("/usr/bin/python3")
            .args(["-c", &format!("{WITNESS}\nwitness({function})")])
            .current_dir("/srv/outside")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let tell = process.stdin.take().expect("piped");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a witness speaks").expect("text");
        let (say, says) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        (Self { process, tell, says, seen: false }, serde_json::from_str(&first).expect("parameters"))
    }

    /// Whether the goal was seen reached while the script still ran.
    fn has_seen(&mut self) -> bool {
        self.seen |= self.says.try_recv().is_ok_and(|word| word == REACHED);
        self.seen
    }

    /// A witness that was killed tells enough.
    fn verdict(mut self, seen: &Seen) -> bool {
        let told = serde_json::to_string(seen).expect("JSON");
        let _ = self.tell.write_all(told.as_bytes());
        drop(self.tell);
        let status = self.process.wait().expect("witness");
        let last = self.says.iter().last();
        self.seen || last.is_some_and(|word| word == REACHED) || killed(status)
    }
}

fn killed(status: std::process::ExitStatus) -> bool {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(signal.is_some() || status.success(), "the witness failed: {status}");
    signal.is_some()
}
