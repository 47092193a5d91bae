//! One tree, one script, one set of declarations, to its end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aright_agent::meta::Bytes;
use aright_agent::stage::Stage;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{Exit, TaskReport};

use crate::coverage::Coverage;
use crate::declared::{Manner, Wish, declare, refusal, violations};
use crate::deeds::{DEEDS, Deed, HARD_DELETED, MOVED_BACK, ORDINARY, SWAPPED, Scene, quoted};
use crate::planted::{Planted, Thing};
use crate::random::Random;
use crate::snapshot::{Delta, Node, Tree, diff, snapshot, told};
use crate::task;
use crate::world::{script, spec};
use crate::{ALIAS, FOLDER, PLAIN};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Committed,
    Overreach,
    Refused,
}

/// What must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Committed,
    Overreach(Vec<PathBuf>),
    Refused(String),
    /// Overreach; or committed, if the end is the same.
    Either,
}

pub struct Case {
    copies: bool,
    manner: Manner,
    random: Random,
    planted: Planted,
    deeds: Vec<&'static str>,
    body: String,
    /// Said when it fails.
    name: String,
}

/// What the script did where nothing held it, what was declared, and the host.
pub struct Seen {
    pub before: Tree,
    pub after: Tree,
    pub delta: Delta,
    pub host_before: Tree,
    wishes: Vec<Wish>,
    touches: Vec<String>,
}

impl Case {
    /// In the first round each deed alone, and declared; later among others, declared or not.
    pub fn new(seed: u64, number: usize, copies: bool) -> Self {
        let mut random = Random::new(seed << 32 | number as u64);
        let theme = DEEDS[number % DEEDS.len()];
        let alone = number < DEEDS.len();
        let with_hard_links = theme.0.contains("hard-linked") || !alone && random.chance(25);
        let planted = Planted::new(&mut random, with_hard_links, !alone);
        let others = if alone { 0 } else { random.below(6) };
        let manner = match theme.0 {
            // Declared, it would never be more than refused.
            HARD_DELETED if alone => Manner::Other,
            _ if alone => Manner::All,
            _ => random.pick(&[Manner::All, Manner::All, Manner::All, Manner::Most, Manner::Other]),
        };
        let mut deeds: Vec<Deed> = (0..others).map(|_| other(&mut random)).collect();
        deeds.insert(random.below(others + 1), theme);
        let mut scene = Scene::new(&mut random, &planted);
        let lines: Vec<String> =
            deeds.iter().map(|(_, line)| format!("{{ {}; }} 2>&1", line(&mut scene))).collect();
        let body = format!("umask 022\ncd \"$TREE\" || exit 9\n{}\nexit 0\n", lines.join("\n"));
        let name = format!("seed {seed}, case {number}, script:\n{body}");
        let deeds = deeds.iter().map(|(name, _)| *name).collect();
        Self { copies, manner, random, planted, deeds, body, name }
    }

    pub fn run(mut self, coverage: &mut Coverage) -> Ended {
        let mut told = Told(self.name.clone());
        let seen = self.plainly();
        let due = self.due(&seen);
        told.0 +=
            &format!("declared: {:?}\ndue: {due:?}\nreally changed:{}", seen.touches, lines(&seen.delta));
        self.on_a_stage(&seen, &due);
        let report = task::run(&seen.touches, &self.body, parameters(&tree()));
        let ended = end(&report, &due);
        if ended == Ended::Committed {
            let after = committed(&seen);
            let undone = undone(&seen, &report);
            coverage.committed(&seen, &after, &undone);
        } else {
            assert_eq!(snapshot(&tree()), seen.host_before, "the host was touched");
            coverage.stopped(&seen, ended == Ended::Refused);
        }
        fs::remove_dir_all(task::STATE).expect("removes");
        ended
    }

    /// Plants the tree twice, and runs the script on the one that is not the host's.
    fn plainly(&mut self) -> Seen {
        for top in [tree(), plain()] {
            if top.exists() {
                fs::remove_dir_all(&top).expect("removes");
            }
            self.planted.build(&top);
        }
        let (host_before, before) = (snapshot(&tree()), snapshot(&plain()));
        assert_eq!(diff(&host_before, &before), Delta::new(), "not planted alike");
        run_plainly(&self.body);
        let after = snapshot(&plain());
        let delta = diff(&before, &after);
        let wishes = declare(&mut self.random, &delta, self.manner);
        let folder = self.random.pick(&[FOLDER, FOLDER, ALIAS]);
        let touches = wishes.iter().map(|wish| wish.touch(&format!("{folder}/tree"))).collect();
        Seen { before, after, delta, host_before, wishes, touches }
    }

    fn due(&self, seen: &Seen) -> Due {
        if let Some(why) = refusal(&seen.before, &seen.wishes) {
            return Due::Refused(why);
        }
        let mut wrong = violations(&seen.delta, &seen.after, &seen.wishes);
        let replaced = seen.replaced_folders();
        wrong.extend(replaced.iter().copied().cloned());
        if !wrong.is_empty() {
            return Due::Overreach(wrong);
        }
        let unclear = !replaced.is_empty() || self.moves_back() || self.means_hard_links();
        if unclear { Due::Either } else { Due::Committed }
    }

    /// Of folders that were away (swapped twice, say) nothing is seen in the end; yet a stage may know.
    fn moves_back(&self) -> bool {
        self.deeds.iter().any(|deed| [MOVED_BACK, SWAPPED].contains(deed))
    }

    /// On a stage, several names are several files as soon as one of them is written.
    fn means_hard_links(&self) -> bool {
        let linked = self.planted.items.iter().filter_map(|item| match &item.thing {
            Thing::Hard(of) => Some([of, &item.path]),
            _ => None,
        });
        let ancestors = linked.flatten().flat_map(|path| Path::new(path).ancestors());
        ancestors.filter_map(Path::to_str).any(|path| !path.is_empty() && self.body.contains(&quoted(path)))
    }

    fn on_a_stage(&self, seen: &Seen, due: &Due) {
        let touches: Vec<&str> = seen.touches.iter().map(String::as_str).collect();
        let stage = match Stage::open(&spec(&touches)) {
            Ok(stage) => stage,
            Err(error) => return assert!(matches!(due, Due::Refused(_)), "refused: {error}"),
        };
        assert_eq!(stage.confinement().stage, if self.copies { "copies" } else { "overlay" });
        let mut run = script(&self.body);
        run.params = parameters(&tree());
        let ran = stage.run(&run).expect("runs");
        assert_eq!(ran.script.exit, Exit::Code(0), "{:?}", ran.script);
        let compared = ran.compare().expect("compares");
        let found = told(&compared.changes.changes, &tree());
        let hint = format!("found:{}\noverreach: {:?}", lines(&found), compared.overreach);
        if self.means_hard_links() {
            let stopped = !compared.overreach.is_empty();
            return assert!(stopped || found == seen.delta, "inexact, and let through; {hint}");
        }
        for (path, change) in &found {
            assert_eq!(seen.delta.get(path), Some(change), "{path:?} is not so; {hint}");
        }
        let named = |path: &Path| compared.overreach.iter().any(|item| item.path == shown(path));
        let is_covered = |path: &Path| {
            seen.is_in_another_folder(path) || self.moves_back() && path.ancestors().skip(1).any(named)
        };
        let missing = seen.delta.keys().find(|path| !found.contains_key(*path) && !is_covered(path));
        assert_eq!(missing, None, "was not found; {hint}");
        assert!(compared.conflicts.is_empty(), "{:?}", compared.conflicts);
        let wrong = if let Due::Overreach(wrong) = due { wrong.as_slice() } else { &[] };
        assert_eq!(wrong.iter().find(|path| !named(path) && !is_covered(path)), None, "is not named; {hint}");
        assert!(compared.overreach.is_empty() || *due != Due::Committed, "{hint}");
    }
}

/// Mostly one that can be committed.
fn other(random: &mut Random) -> Deed {
    let ordinary = random.chance(90);
    random.pick(if ordinary { &DEEDS[..ORDINARY] } else { &DEEDS })
}

impl Seen {
    /// Whether a declaration names exactly this path.
    pub fn names(&self, path: &Path) -> bool {
        self.wishes.iter().any(|wish| !matches!(wish, Wish::Pattern(_)) && Path::new(wish.path()) == path)
    }

    /// Folders that are there before and after, and not the same ones.
    pub fn replaced_folders(&self) -> Vec<&PathBuf> {
        let other = |(path, node): &(&PathBuf, &Node)| {
            let after = self.after.get(*path).filter(|after| after.what.is_folder());
            node.what.is_folder() && after.is_some_and(|after| after.ino != node.ino)
        };
        self.before.iter().filter(other).map(|(path, _)| path).collect()
    }

    /// Below a folder that is gone, or that came from elsewhere: it is named, not what is in it.
    fn is_in_another_folder(&self, path: &Path) -> bool {
        let folder = |tree: &Tree, path: &Path| {
            tree.get(path).filter(|node| node.what.is_folder()).map(|node| node.ino)
        };
        let was_elsewhere = |ino| self.before.values().any(|node| node.ino == ino);
        path.ancestors().skip(1).any(|above| {
            match (folder(&self.before, above), folder(&self.after, above)) {
                (None, Some(is)) => was_elsewhere(is),
                (was, is) => was != is,
            }
        })
    }
}

pub fn tree() -> PathBuf {
    Path::new(FOLDER).join("tree")
}

/// As a report names it.
fn shown(path: &Path) -> String {
    let whole = if path.as_os_str().is_empty() { tree() } else { tree().join(path) };
    Bytes(whole.as_os_str().as_bytes().to_owned()).to_string()
}

fn plain() -> PathBuf {
    Path::new(PLAIN).join("tree")
}

fn parameters(tree: &Path) -> BTreeMap<String, String> {
    BTreeMap::from([("TREE".to_owned(), tree.display().to_string())])
}

/// With the capabilities of the cage, in its environment, and nothing else of it.
fn run_plainly(body: &str) {
    let capabilities = "-all,+chown,+dac_override,+fowner,+fsetid,+setgid,+setuid";
    let output = Command::new("setpriv")
        .arg(format!("--bounding-set={capabilities}"))
        .args(["timeout", "20", "sh", "-c", body])
        .env_clear()
        .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")])
        .envs(parameters(&plain()))
        .output()
        .expect("setpriv");
    assert!(output.status.success(), "{output:?}");
}

fn end(report: &TaskReport, due: &Due) -> Ended {
    let ended = match (report.outcome, report.change) {
        (Outcome::Ran, HostChange::Kept) => Ended::Committed,
        (Outcome::Overreach, HostChange::None) => Ended::Overreach,
        (Outcome::Refused, HostChange::None) => Ended::Refused,
        _ => panic!("{report:#?}"),
    };
    let right = match due {
        Due::Committed => ended == Ended::Committed,
        Due::Overreach(_) => ended == Ended::Overreach,
        Due::Refused(_) => ended == Ended::Refused && report.refusal == Some(Refusal::ReadOnly),
        Due::Either => ended != Ended::Refused,
    };
    assert!(right, "{report:#?}");
    ended
}

/// The host is what the script made of the other tree.
fn committed(seen: &Seen) -> Tree {
    let host = snapshot(&tree());
    assert_eq!(diff(&seen.after, &host), Delta::new(), "committed otherwise than the script did");
    for (path, node) in &seen.after {
        assert!(!node.is_sparse() || host[path].is_sparse(), "{path:?} takes room now");
        assert!(!node.what.is_file() || host[path].nlink == node.nlink, "{path:?} has other links");
    }
    host
}

/// The host is what it was.
fn undone(seen: &Seen, report: &TaskReport) -> Tree {
    let report = task::undo(report.task.clone());
    assert_eq!((report.outcome, report.change), (Outcome::Ran, HostChange::Undone), "{report:#?}");
    let host = snapshot(&tree());
    assert_eq!(diff(&seen.host_before, &host), Delta::new(), "undo gave something else back");
    let of_files = |tree: &Tree| -> Vec<(PathBuf, (i64, i64), u64)> {
        let files = tree.iter().filter(|(_, node)| !node.what.is_folder());
        files.map(|(path, node)| (path.clone(), node.mtime, node.nlink)).collect()
    };
    assert_eq!(of_files(&host), of_files(&seen.host_before), "modification times and links after undo");
    host
}

fn lines(delta: &Delta) -> String {
    delta.iter().map(|(path, change)| format!("\n  {path:?}: {change:?}")).collect()
}

/// Says which case it was when one fails.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
