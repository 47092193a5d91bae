//! What was kept can be undone later: last in first out on each file, exactly, by the agent's own command (with no
//! controller there) and by an operator's, which is a signed order; what somebody edited meanwhile is shown and left alone. Judged by a
//! listing of `/etc` (content, mode, owner, attributes, times of files) before each fix and after each undo, and
//! by `sshd -T`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use aright_shared::api::TaskDetail;
use aright_shared::id::{AssetId, TaskId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Place as _, needs, skip, until};
use rusqlite::Connection;

use crate::scene::{Scene, ends_as};

/// Longer than a host waits to look for what it has to tell.
const PATIENCE: Duration = Duration::from_secs(60);

/// All that a fix can do to a thing: rewrite, dress, delete, make, point elsewhere.
const FIRST: &str = "
sed -i s/original/first/ one.conf
chmod 0600 two.conf
rm gone.conf
echo first >made.conf
ln -sfn two.conf link
mkdir folder
echo first >folder/inner.conf
";
const SECOND: &str = "
echo second >>one.conf
echo second >two.conf
chown daemon:daemon two.conf
echo second >gone.conf
chmod 0400 made.conf
";
const THIRD: &str = "
rm one.conf made.conf folder/inner.conf
: >two.conf
ln -sfn gone.conf link
";

#[test]
fn last_in_first_out_and_exact() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let mut past = Past::new(&[("first", FIRST), ("second", SECOND), ("third", THIRD)])?;
    let sshd = past.sshd()?;

    let mut states = vec![past.files()?];
    let mut tasks = Vec::new();
    for fix in [
        "first",
        "login-defs-pass-max-days",
        "sshd-max-auth-tries",
        "second",
        "sshd-login-grace-time",
        "login-defs-umask",
        "third",
    ] {
        tasks.push(past.fix(fix)?);
        states.push(past.files()?);
        ensure!(
            !states[states.len() - 2].diff(&states[states.len() - 1]).is_empty(),
            "{fix} changed nothing"
        );
    }
    let [first, _, _, second, grace, umask, third] = &tasks[..] else { anyhow::bail!("{tasks:?}") };

    // Not before the last on the same files.
    let refused = past.undo(&["--task", first.as_str()])?;
    ensure!(!refused.status.success() && text(&refused.stderr).contains(third.as_str()), "{refused:?}");
    let detail = past.order_undo(second)?;
    ends_as(&detail, &[Outcome::Refused], HostChange::None)?;
    ensure!(
        detail.task.refusal == Some(Refusal::Guard) && detail.task.detail.contains(third.as_str()),
        "{detail:#?}"
    );
    past.is_at(&states[7])?;

    // One on other files may go before the last of all; no controller is needed for it.
    past.scene.controller.stop()?;
    succeeded(&past.undo(&["--task", umask.as_str()])?)?;
    let changed = states[7].diff(&past.files()?);
    ensure!(changed.len() == 1 && changed[0].contains("/etc/login.defs"), "{changed:?}");
    succeeded(&past.undo(&["--last"])?)?;
    past.is_at(&states[5])?;

    past.scene.host.stdout(&["systemctl", "restart", "aright-agent"])?;
    // Of a script whose approval has ended, the change can still go.
    let database = past.database()?;
    ensure!(database.execute("UPDATE approvals SET not_after = 0", [])? == 3);
    past.scene.controller.start_again()?;
    for task in [umask, third] {
        past.is_told(task, HostChange::Undone, &database)?;
    }
    ends_as(&past.order_undo(grace)?, &[Outcome::Ran], HostChange::Undone)?;
    past.is_at(&states[4])?;
    ends_as(&past.order_undo(second)?, &[Outcome::Ran], HostChange::Undone)?;
    ensure!(past.change(second)? == Some(HostChange::Undone));
    past.is_at(&states[3])?;
    ensure!(
        told(&database)?.len() == 2,
        "an operator's undo is told as the host's own: {:?}",
        told(&database)?
    );

    past.scene.controller.stop()?;
    for state in states[..3].iter().rev() {
        succeeded(&past.undo(&["--last"])?)?;
        past.is_at(state)?;
    }
    ensure!(past.sshd()? == sshd, "sshd has other settings than before");
    let none = past.undo(&["--last"])?;
    ensure!(!none.status.success() && text(&none.stderr).contains("no kept change"), "{none:?}");

    println!(
        "figure: 7 fixes ({} things in /etc), undone by 5 commands with the controller gone and 2 of an operator's, \
         each exact; 2 out of turn refused; 2 of 2 told to the controller when it was back",
        states[0].len()
    );
    Ok(())
}

type Edit = fn(&Path) -> io::Result<()>;

/// What an administrator may have done to a file that the fix rewrote, made or deleted.
const BY_HAND: &[(&str, Edit)] = &[
    ("edited.conf", |path| fs::write(path, "by hand\n")),
    ("dressed.conf", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644))),
    ("deleted.conf", |path| fs::remove_file(path)),
    ("linked.conf", |path| fs::remove_file(path).and_then(|()| symlink("/etc/hostname", path))),
    ("gone.conf", |path| fs::write(path, "by hand\n")),
    ("made.conf", |path| fs::write(path, "by hand\n")),
];

const REWRITE: &str = "
for file in left edited dressed deleted linked; do echo fix >$file.conf; chmod 0600 $file.conf; done
rm gone.conf
echo fix >made.conf
";

#[test]
fn what_was_edited_by_hand_is_shown_and_left_alone() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let past = Past::new(&[("older", "echo older >edited.conf"), ("rewrite", REWRITE)])?;
    let database = past.database()?;
    for ordered in [false, true] {
        past.original()?;
        let original = past.files()?;
        let older = past.fix("older")?;
        let before = past.files()?;
        let task = past.fix("rewrite")?;
        for (name, edit) in BY_HAND {
            edit(&past.at(name)).with_context(|| (*name).to_owned())?;
        }
        let by_hand = past.files()?;

        let shown = if ordered {
            let shown = past.scene.cli.text(&["task", "undo", task.as_str()])?;
            ensure!(past.change(&task)? == Some(HostChange::UndoConflict), "{shown}");
            shown
        } else {
            let output = past.undo(&["--last"])?;
            ensure!(output.status.code() == Some(1), "{output:?}");
            past.is_told(&task, HostChange::UndoConflict, &database)?;
            format!("{}{}", text(&output.stdout), text(&output.stderr))
        };
        let changed = by_hand.diff(&past.files()?);
        ensure!(changed.len() == 1 && changed[0].contains("/left.conf"), "{shown}\n{changed:?}");
        ensure!(!before.diff(&past.files()?).iter().any(|line| line.contains("/left.conf")), "{shown}");
        for (name, _) in BY_HAND {
            ensure!(shown.contains(&format!("\nleft_alone /etc/claim/{name}\n")), "{name}: {shown}");
        }
        ensure!(shown.matches("changed by somebody else").count() >= BY_HAND.len(), "{shown}");
        for line in ["-by hand", "+older", "+original deleted", "+original linked", "+original gone"] {
            ensure!(shown.lines().any(|shown| shown.trim() == line), "no {line:?} in {shown}");
        }

        // The older fix waits for the same file: still somebody's own, or given back by hand from what was kept.
        let by_hand = past.files()?;
        if ordered {
            ends_as(&past.order_undo(&older)?, &[Outcome::Ran], HostChange::UndoConflict)?;
            past.is_at(&by_hand)?;
        } else {
            let kept = kept_original(&shown, "/etc/claim/edited.conf")?;
            past.scene.host.stdout(&["cp", kept, "/etc/claim/edited.conf"])?;
            past.scene.host.stdout(&["chmod", "0644", "/etc/claim/edited.conf"])?;
            succeeded(&past.undo(&["--last"])?)?;
            let changed = original.diff(&past.files()?);
            ensure!(!changed.iter().any(|line| line.contains("/edited.conf")), "{changed:?}");
        }
    }
    println!(
        "figure: {} files changed by hand after a fix: all left alone and shown, by the agent's command and by an \
         operator's; undo_conflict",
        BY_HAND.len()
    );
    Ok(())
}

/// A host with fixes behind it.
struct Past {
    scene: Scene,
    asset: AssetId,
}

impl Past {
    /// The scripts run in `/etc/claim` and may touch whatever is there.
    fn new(scripts: &[(&str, &str)]) -> anyhow::Result<Self> {
        let scene = Scene::new()?;
        let files =
            ["one", "two", "gone", "made", "folder/inner", "left", "edited", "dressed", "deleted", "linked"];
        let files: Vec<_> = files.iter().map(|file| format!("/etc/claim/{file}.conf")).collect();
        let touches = format!("touches: ['link:/etc/claim/link', {}]\n", files.join(", "));
        for (key, body) in scripts {
            scene.approve(key, &touches, &format!("cd /etc/claim\n{}", body.trim()))?;
        }
        let agent = Agent::install(&scene.host, scene.log())?;
        agent.enroll(&scene.controller.agents_url(), &scene.cli.enroll_key(1)?)?;
        agent.serve()?;
        let past = Self { asset: scene.asset()?, scene };
        past.original()?;
        Ok(past)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scene.host.path("/etc/claim").join(name)
    }

    /// What was there before any fix: of several owners and modes, with an attribute, long unchanged.
    fn original(&self) -> anyhow::Result<()> {
        let _ = fs::remove_dir_all(self.at(""));
        fs::create_dir(self.at(""))?;
        for (name, mode, owner, day) in [
            ("one", 0o640, 1000, 1),
            ("two", 0o644, 0, 2),
            ("gone", 0o600, 1, 3),
            ("left", 0o644, 0, 4),
            ("edited", 0o644, 0, 5),
            ("dressed", 0o640, 0, 6),
            ("deleted", 0o644, 0, 7),
            ("linked", 0o644, 0, 8),
        ] {
            let path = self.at(&format!("{name}.conf"));
            fs::write(&path, format!("original {name}\n"))?;
            chown(&path, Some(owner), Some(owner))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            rustix::fs::setxattr(&path, "user.origin", name.as_bytes(), rustix::fs::XattrFlags::empty())?;
            let long_ago = SystemTime::UNIX_EPOCH + Duration::new(day * 86_400, 123_456_789);
            File::options().append(true).open(&path)?.set_modified(long_ago)?;
        }
        Ok(symlink("one.conf", self.at("link"))?)
    }

    fn files(&self) -> anyhow::Result<Listing> {
        self.scene.files(&["/etc"])
    }

    fn is_at(&self, state: &Listing) -> anyhow::Result<()> {
        let different = state.diff(&self.files()?);
        ensure!(different.is_empty(), "{different:?}");
        Ok(())
    }

    /// All that sshd makes of its files.
    fn sshd(&self) -> anyhow::Result<String> {
        self.scene.host.stdout(&["sshd", "-T"])
    }

    /// One script of the test's own, or the library's fix of a control.
    fn fix(&self, name: &str) -> anyhow::Result<TaskId> {
        let job = match name.contains('-') {
            true => self.scene.library(name)?,
            false => self.scene.custom(&self.asset, name, &[], None)?,
        };
        self.scene.kept(&job).with_context(|| name.to_owned())
    }

    fn undo(&self, which: &[&str]) -> anyhow::Result<Output> {
        self.scene.host.output(&[&["aright-agent", "undo"], which].concat())
    }

    /// As an operator.
    fn order_undo(&self, task: &TaskId) -> anyhow::Result<TaskDetail> {
        Ok(serde_json::from_value(self.scene.cli.json(&["task", "undo", task.as_str()])?)?)
    }

    fn database(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open(self.scene.controller.data().join("aright.db"))?)
    }

    /// Waits until the host has told what was undone on it, and the audit log says so.
    fn is_told(&self, task: &TaskId, change: HostChange, database: &Connection) -> anyhow::Result<()> {
        let has_changed = || Ok((self.change(task)? == Some(change)).then_some(()));
        until("word of an undo on the host", PATIENCE, has_changed)?;
        let told = told(database)?;
        let line = told.iter().find(|(_, subject, _)| subject == task.as_str());
        let (who, _, detail) = line.with_context(|| format!("{task} is not among {told:?}"))?;
        ensure!(who == self.asset.as_str() && detail.starts_with(change.as_str()), "{told:?}");
        Ok(())
    }

    /// What the controller believes to have become of a task's change.
    fn change(&self, task: &TaskId) -> anyhow::Result<Option<HostChange>> {
        Ok(self.scene.cli.task(task)?.task.change)
    }
}

/// What the audit log has of undos on hosts themselves: who, subject, detail.
fn told(database: &Connection) -> anyhow::Result<Vec<(String, String, String)>> {
    let sql = "SELECT who, subject, detail FROM audit WHERE action = 'task.undone_locally'";
    let mut lines = database.prepare(sql)?;
    let lines = lines.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Where the agent says that it keeps a file's original.
fn kept_original<'a>(shown: &'a str, path: &str) -> anyhow::Result<&'a str> {
    let (_, after) = shown.split_once(path).context("not shown")?;
    let (_, kept) = after.split_once("which is kept here as ").context("no original is kept")?;
    kept.lines().next().context("no path")
}

fn succeeded(output: &Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
