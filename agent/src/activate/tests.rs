//! Activations against a stand-in for systemctl that keeps the state of units in files, and a folder
//! that stands for `/proc/sys`. The real service manager is met by the claims.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::activate::{ActivateError, Planned, all, invert};

/// Units are folders: `active`, `enabled`, `reloads`, and what `on-reload` makes of them.
const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")/units" || exit 1
shift 2; verb=$1; shift
for unit; do :; done
case $verb in
show)
  if [ -d "$unit" ]; then
    echo "LoadState=$([ -e "$unit/masked" ] && echo masked || echo loaded)"
    echo "ActiveState=$(cat "$unit/active")"
    echo "UnitFileState=$(cat "$unit/enabled")"
    echo "NRestarts=$(cat "$unit/restarts" 2>/dev/null || echo 0)"
    echo "CanReload=yes"
  else
    echo LoadState=not-found
  fi ;;
reload|restart)
  echo "$verb" >>"$unit/orders"
  if [ -e "$unit/on-$verb" ]; then . "./$unit/on-$verb"; else echo active >"$unit/active"; fi ;;
start)
  [ "$(cat "$unit/active")" != activating ] || { echo "the start that hangs did not end" >&2; exit 1; }
  echo start >>"$unit/orders"; echo active >"$unit/active" ;;
stop) [ "$(cat "$unit/active")" = failed ] || echo inactive >"$unit/active" ;;
enable) echo enabled >"$unit/enabled" ;;
disable) echo disabled >"$unit/enabled"; case $* in *--now*) echo inactive >"$unit/active" ;; esac ;;
mask) touch "$unit/masked"; echo inactive >"$unit/active" ;;
unmask) rm "$unit/masked" ;;
reset-failed) [ "$(cat "$unit/active")" != failed ] || echo inactive >"$unit/active" ;;
*) echo "what is $verb" >&2; exit 1 ;;
esac
"#;

struct World {
    dir: tempfile::TempDir,
    live: Live,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let systemctl = dir.path().join("systemctl");
        fs::write(&systemctl, SYSTEMCTL).expect("write");
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("chmod");
        for folder in ["units", "manager", "root/proc/sys/net", "root/sys/module"] {
            fs::create_dir_all(dir.path().join(folder)).expect("folder");
        }
        let live = Live {
            systemctl,
            manager: dir.path().join("manager"),
            root: dir.path().join("root"),
            patience: Duration::from_secs(5),
            moment: Duration::from_millis(100),
            longer_moment: Duration::from_millis(100),
            glance: Duration::from_millis(5),
        };
        Self { dir, live }
    }

    fn unit(&self, name: &str, active: &str, enabled: &str) {
        fs::create_dir(self.dir.path().join("units").join(name)).expect("folder");
        self.write(name, "active", active);
        self.write(name, "enabled", enabled);
    }

    fn write(&self, unit: &str, what: &str, content: &str) {
        fs::write(self.dir.path().join("units").join(unit).join(what), format!("{content}\n"))
            .expect("write");
    }

    fn read(&self, unit: &str, what: &str) -> String {
        fs::read_to_string(self.dir.path().join("units").join(unit).join(what))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    fn parameter(&self, value: &str) {
        fs::write(self.live.root.join("proc/sys/net/x"), value).expect("write");
    }

    fn parameter_now(&self) -> String {
        fs::read_to_string(self.live.root.join("proc/sys/net/x")).expect("there")
    }

    /// What was planned, what came of each, and whether all took.
    fn all(&self, activations: &[Activation]) -> (Vec<Planned>, Vec<String>, bool) {
        let (mut planned, mut results) = (Vec::new(), Vec::new());
        let note = |one: &Planned| -> Result<(), Infallible> {
            planned.push(one.clone());
            Ok(())
        };
        let persisted = |name: &str| (name == "net.x").then(|| "0".to_owned());
        let ok = all(&self.live, activations, &persisted, note, &mut results).is_ok();
        (planned, results.into_iter().map(|r| format!("{}: {}", r.what, r.result)).collect(), ok)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_first_unit_that_exists_is_reloaded() {
    let world = World::new();
    world.unit("sshd", "active", "enabled");
    let (planned, results, ok) = world.all(&[Activation::Reload(names(&["ssh", "sshd"]))]);
    assert_eq!((results, ok), (names(&["reload ssh or sshd: done"]), true));
    assert_eq!(planned[0].inverse, Inverse::Reload { unit: "sshd".into(), was_active: true });
    assert_eq!(world.read("sshd", "orders"), "reload");
    assert!(invert(&world.live, &planned).iter().all(|result| result.ok));
    assert_eq!(world.read("sshd", "orders"), "reload\nreload");
}

#[test]
fn nothing_is_reloaded_where_nothing_runs() {
    let world = World::new();
    world.unit("ssh", "inactive", "enabled");
    let (planned, results, ok) = world.all(&[Activation::Reload(names(&["ssh"]))]);
    assert_eq!((planned.len(), results, ok), (0, names(&["reload ssh: not running"]), true));
    fs::remove_dir(world.dir.path().join("manager")).expect("remove");
    world.write("ssh", "active", "active");
    let (_, results, ok) = world.all(&[Activation::Restart(names(&["ssh"]))]);
    assert_eq!((results, ok), (names(&["restart ssh: not running"]), true));
}

#[test]
fn a_unit_that_does_not_come_back_or_stay_is_a_failure_and_is_brought_back() {
    for deed in [
        "echo failed >$unit/active",
        "(sleep 0.05; echo failed >$unit/active) >/dev/null 2>&1 &",
        "(sleep 0.05; echo 1 >$unit/restarts) >/dev/null 2>&1 &",
        "echo activating >$unit/active; exit 1",
    ] {
        let world = World::new();
        world.unit("ssh", "active", "enabled");
        world.write("ssh", "on-restart", deed);
        let (planned, results, ok) =
            world.all(&[Activation::Restart(names(&["ssh"])), Activation::Reload(names(&["ssh"]))]);
        assert!(!ok && results.len() == 1, "{deed}: {results:?}");
        fs::remove_file(world.dir.path().join("units/ssh/on-restart")).expect("remove");
        let back = invert(&world.live, &planned);
        assert!(back.iter().all(|result| result.ok), "{back:?}");
        assert_eq!(world.read("ssh", "active"), "active");
    }
}

#[test]
fn a_unit_that_was_not_active_is_stopped_and_not_called_failed() {
    for (before, now, after) in [
        ("inactive", "failed", "inactive"),
        ("inactive", "activating", "inactive"),
        ("failed", "failed", "failed"),
    ] {
        let world = World::new();
        world.unit("ssh", before, "enabled");
        world.write("ssh", "on-restart", &format!("echo {now} >$unit/active; exit 1"));
        let (planned, _, ok) = world.all(&[Activation::Restart(names(&["ssh"]))]);
        assert!(!ok && invert(&world.live, &planned)[0].ok);
        assert_eq!(world.read("ssh", "active"), after, "{before}");
    }
}

#[test]
fn a_unit_that_ends_later_is_seen_by_the_last_look() {
    let world = World::new();
    world.unit("ssh", "active", "enabled");
    let awake = world.live.wake("restart", "ssh").expect("comes back");
    assert!(world.live.is_still(&awake).is_ok());
    world.write("ssh", "restarts", "1");
    let why = world.live.is_still(&awake).expect_err("another life");
    assert!(why.contains("did not stay"), "{why}");
    world.write("ssh", "active", "failed");
    assert!(world.live.is_still(&awake).is_err());
}

#[test]
fn what_holds_is_not_set_again_and_what_is_set_goes_back() {
    let world = World::new();
    world.unit("a", "active", "enabled");
    world.unit("b", "active", "disabled");
    world.unit("c", "active", "enabled");
    let deeds = [
        Activation::Enable(names(&["a"])),
        Activation::Enable(names(&["b"])),
        Activation::Disable(names(&["a"])),
        Activation::Mask(names(&["c"])),
    ];
    let (planned, results, ok) = world.all(&deeds);
    assert_eq!(
        results,
        names(&["enable a: already held", "enable b: done", "disable a: done", "mask c: done"])
    );
    assert!(ok);
    assert_eq!(
        (world.read("a", "enabled"), world.read("a", "active")),
        ("disabled".into(), "inactive".into())
    );
    let (again, results, _) = world.all(&deeds[2..]);
    assert_eq!((again.len(), results), (0, names(&["disable a: already held", "mask c: already held"])));

    assert!(invert(&world.live, &planned).iter().all(|result| result.ok));
    for (unit, enabled) in [("a", "enabled"), ("b", "disabled"), ("c", "enabled")] {
        assert_eq!(
            (world.read(unit, "enabled").as_str(), world.read(unit, "active").as_str()),
            (enabled, "active"),
            "{unit}"
        );
    }
}

#[test]
fn a_kernel_parameter_takes_the_value_of_its_file_and_goes_back() {
    let world = World::new();
    world.parameter("1");
    let deed = [Activation::Sysctl(names(&["net.x"]))];
    let (planned, results, ok) = world.all(&deed);
    assert_eq!((results, ok, world.parameter_now().as_str()), (names(&["sysctl net.x: done"]), true, "0"));
    assert_eq!(world.all(&deed).1, names(&["sysctl net.x: already held"]));
    assert!(invert(&world.live, &planned)[0].ok);
    assert_eq!(world.parameter_now(), "1");

    world.parameter("7");
    assert!(!invert(&world.live, &planned)[0].ok, "somebody else's value is left alone");
    assert_eq!(world.parameter_now(), "7");
    assert!(!world.all(&[Activation::Sysctl(names(&["net.unknown"]))]).2);
}

#[test]
fn a_deed_that_cannot_be_written_down_is_not_done() {
    let world = World::new();
    world.parameter("1");
    let refuse = |_: &Planned| Err(std::io::Error::other("disk full"));
    let mut results = Vec::new();
    let outcome = all(
        &world.live,
        &[Activation::Sysctl(names(&["net.x"]))],
        &|_| Some("0".into()),
        refuse,
        &mut results,
    );
    assert!(matches!(outcome, Err(ActivateError::Journal(_))));
    assert_eq!(world.parameter_now(), "1");
}
