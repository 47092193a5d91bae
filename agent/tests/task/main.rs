//! Whole tasks on a throwaway view of this machine: real stage, real commit, a stand-in for the evaluator
//! that looks for one line in one file.

#[path = "../stage/obey.rs"]
mod obey;
#[path = "../stage/world.rs"]
#[expect(dead_code, reason = "shared with the tests of the stage")]
mod world;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use aright_agent::confirm::Contact;
use aright_agent::task::here::Evaluator;
use aright_agent::task::host::Sight;
use aright_shared::content::script::Script;
use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::{Reading, Spot, Value, Verdict};
use aright_shared::task::{Judged, Target, TaskKind, TaskOrder, TaskReport};
use nix::fcntl::{OFlag, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use world::on_host;

/// Passes when login.defs has `UMASK 077`.
struct Umask;

fn umask(root: BorrowedFd<'_>) -> Sight {
    let mut text = String::new();
    let file = openat(root, "etc/login.defs", OFlag::O_RDONLY, Mode::empty()).expect("opens");
    std::fs::File::from(file).read_to_string(&mut text).expect("reads");
    let seen = text.lines().find_map(|line| line.strip_prefix("UMASK")).unwrap_or_default().trim().to_owned();
    let verdict = if seen == "077" { Verdict::Pass } else { Verdict::Fail };
    Sight::Seen(Judged { verdict, reading: Reading::Value(Value::Text(seen)) })
}

fn live() -> Sight {
    use std::os::fd::AsFd as _;
    umask(std::fs::File::open("/").expect("root").as_fd())
}

impl Evaluator for Umask {
    fn live(&self, targets: &[Target]) -> Vec<Sight> {
        targets.iter().map(|_| live()).collect()
    }
    fn staged(&self, root: BorrowedFd<'_>, _: &Script, targets: &[Target]) -> Vec<Sight> {
        targets.iter().map(|_| umask(root)).collect()
    }
    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        BTreeMap::new()
    }
    fn guard(&self, _: &Script) -> Result<(), String> {
        Ok(())
    }
    fn persisted(&self, _: &str) -> Option<String> {
        None
    }
}

struct Reached;

impl Contact for Reached {
    fn reach(&self, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

fn script(touches: &[&str], body: &str) -> Script {
    serde_json::from_value(serde_json::json!({
        "aright": 1, "kind": "script", "key": "umask", "origin": "library", "title": "Test", "risk": "safe",
        "interpreter": "sh", "touches": touches, "timeout_s": 20, "body": body,
    }))
    .expect("a script")
}

fn order(kind: TaskKind, undo_of: Option<TaskId>) -> TaskOrder {
    let key = |text: &str| text.parse().expect("a key");
    let target = Target {
        spot: Spot { control: key("umask"), technology: key("debian-12"), instance: "default".into() },
        expect: serde_json::from_value(serde_json::json!({"operator": "eq", "value": "077"}))
            .expect("expects"),
    };
    let targets = if undo_of.is_none() { vec![target] } else { Vec::new() };
    TaskOrder { targets, ..obey::order(kind, undo_of) }
}

/// Executes an order on this thread's root; state lies in a tmpfs that the world has below its root.
fn run(script: &Script, order: &TaskOrder) -> TaskReport {
    obey::obey(Path::new("/var/lib/aright-test"), Umask, &Reached, script, order)
}

fn passes() -> bool {
    matches!(live(), Sight::Seen(judged) if judged.verdict == Verdict::Pass)
}

const FIX: &str =
    "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs; mkdir -p /etc/aright.d; echo x >/etc/aright.d/new";
const TOUCHES: [&str; 2] = ["/etc/login.defs", "/etc/aright.d/new"];

#[test]
fn a_fix_is_kept_and_undone_by_order() {
    on_host(1, |_| {
        let before = std::fs::read("/etc/login.defs").expect("reads");
        let report = run(&script(&TOUCHES, FIX), &order(TaskKind::Run, None));
        assert_eq!((report.outcome, report.change), (Outcome::Fixed, HostChange::Kept), "{report:#?}");
        assert!(passes() && Path::new("/etc/aright.d/new").exists());
        assert_eq!(report.diff.len(), 3, "{:?}", report.diff);
        assert_eq!(report.confinement.expect("it ran").stage, "overlay");

        let report = run(&script(&[], ""), &order(TaskKind::Undo, Some(report.task)));
        assert_eq!((report.outcome, report.change), (Outcome::Ran, HostChange::Undone), "{report:#?}");
        assert_eq!(std::fs::read("/etc/login.defs").expect("reads"), before);
        assert!(!Path::new("/etc/aright.d").exists());
    });
}

#[test]
fn what_is_not_declared_or_does_not_help_leaves_the_host() {
    on_host(1, |_| {
        let before = std::fs::read("/etc/login.defs").expect("reads");
        for (touches, body, outcome) in [
            (&TOUCHES[..1], FIX, Outcome::Overreach),
            (&TOUCHES[..], "echo x >/etc/aright.d/new 2>/dev/null || true", Outcome::RanNotFixed),
            (&TOUCHES[..], "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs; exit 4", Outcome::ScriptFailed),
        ] {
            let report = run(&script(touches, body), &order(TaskKind::Run, None));
            assert_eq!((report.outcome, report.change), (outcome, HostChange::None), "{report:#?}");
            assert_eq!(std::fs::read("/etc/login.defs").expect("reads"), before);
        }
        let report = run(&script(&["/proc/version"], FIX), &order(TaskKind::Run, None));
        assert_eq!(
            (report.outcome, report.refusal),
            (Outcome::Refused, Some(Refusal::ReadOnly)),
            "{report:#?}"
        );
    });
}

#[test]
fn a_program_by_its_path_reads_the_script_and_must_be_there() {
    on_host(1, |_| {
        let mut perl = script(
            &TOUCHES[..1],
            "use strict; my $f = '/etc/login.defs'; open(my $in, '<', $f) or die; \
             my @all = map { s/^UMASK.*/UMASK 077/r } <$in>; open(my $out, '>', $f) or die; print $out @all;",
        );
        perl.interpreter = "/usr/bin/perl".parse().expect("a program");
        let report = run(&perl, &order(TaskKind::Run, None));
        assert_eq!((report.outcome, report.change), (Outcome::Fixed, HostChange::Kept), "{report:#?}");
        assert!(passes());

        let order = order(TaskKind::Preview, None);
        perl.interpreter = "/usr/bin/none".parse().expect("a program");
        let report = run(&perl, &order);
        assert_eq!((report.outcome, report.refusal), (Outcome::Refused, Some(Refusal::Unsupported)));
        assert!(
            report.detail.contains("/usr/bin/none is not on this host; next: install it"),
            "{}",
            report.detail
        );
    });
}

#[test]
fn what_lies_right_below_a_mount_point_is_changed_and_undone() {
    on_host(1, |_| {
        std::fs::create_dir("/aright-mounted").expect("folder");
        mount(Some("mounted"), "/aright-mounted", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
            .expect("mounts");
        std::fs::create_dir("/aright-mounted/folder").expect("folder");
        std::fs::write("/aright-mounted/old", "old").expect("writes");
        let touches = ["/aright-mounted/folder/", "/aright-mounted/old", "/aright-mounted/new", TOUCHES[0]];
        let body = "chmod 0700 /aright-mounted/folder; echo new >/aright-mounted/old; echo new >/aright-mounted/new; sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs";
        let report = run(&script(&touches, body), &order(TaskKind::Run, None));
        assert_eq!((report.outcome, report.change), (Outcome::Fixed, HostChange::Kept), "{report:#?}");
        assert_eq!(std::fs::read("/aright-mounted/old").expect("reads"), b"new\n");

        let report = run(&script(&[], ""), &order(TaskKind::Undo, Some(report.task)));
        assert_eq!((report.outcome, report.change), (Outcome::Ran, HostChange::Undone), "{report:#?}");
        assert_eq!(std::fs::read("/aright-mounted/old").expect("reads"), b"old");
        assert!(!Path::new("/aright-mounted/new").exists());
    });
}
