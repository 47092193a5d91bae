//! A second fence, by the kernel's Landlock: files are written only where the stage is writable, signals and
//! abstract sockets stay inside. Best effort; no mount that was forgotten gets past it.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// Written to in every stage, beside what is declared: fresh ones of the stage's own.
const FRESH: [&str; 3] = ["/tmp", "/run", "/dev"];

/// For this thread and all it starts. What this kernel cannot is told.
///
/// # Errors
/// Nothing is in force, and why.
pub fn restrict(writable: &[PathBuf]) -> Result<Option<String>, String> {
    let status = apply(writable).map_err(|error| match error {
        RulesetError::HandleAccesses(_) => {
            "none in this kernel, none enabled at its start (lsm=), or one that lets no files be moved between folders \
             (before Linux 5.19)"
                .to_owned()
        }
        other => other.to_string(),
    })?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Ok(None),
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(Some(format!(
                "version {} here; signals and abstract sockets are fenced in since 6 (Linux 6.12)",
                effective_abi as i32
            )))
        }
        (_, other) => Err(format!("{other:?}")),
    }
}

fn apply(writable: &[PathBuf]) -> Result<RestrictionStatus, RulesetError> {
    let newest = ABI::V6;
    let all = AccessFs::from_all(newest);
    let read = AccessFs::from_read(newest);
    // Devices are made by nobody.
    let write = all & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let own_process = read | AccessFs::WriteFile | AccessFs::Truncate;
    let rules = std::iter::once((Path::new("/"), read))
        .chain(writable.iter().map(|folder| (folder.as_path(), write)))
        .chain(FRESH.map(|folder| (Path::new(folder), write)))
        .chain([(Path::new("/dev"), write | AccessFs::IoctlDev), (Path::new("/proc"), own_process)]);
    Ruleset::default()
        // Without this, moving a file to another folder would be refused whatever the rules say.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(rules.filter_map(rule))?
        .restrict_self()
}

/// Not every host has every folder.
fn rule((folder, access): (&Path, BitFlags<AccessFs>)) -> Option<Result<PathBeneath<PathFd>, RulesetError>> {
    Some(Ok(PathBeneath::new(PathFd::new(folder).ok()?, access)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs `test` on a thread that may write to `writable`. Says so where the kernel has no Landlock.
    fn fenced_in(writable: &[PathBuf], test: impl FnOnce() + Send) {
        let run = || match restrict(writable) {
            Ok(missing) => {
                assert_eq!(missing, None);
                test();
            }
            Err(why) => eprintln!("skipped: {why}"),
        };
        std::thread::scope(|scope| scope.spawn(run).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// Outside of the folders that every stage may write to.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/var/tmp").expect("folder")
    }

    #[test]
    fn only_what_is_writable_is_written() {
        let (inside, outside) = (folder(), folder());
        fs::write(outside.path().join("old"), "old").expect("file");
        fenced_in(&[inside.path().to_owned()], || {
            let at = |name: &str| outside.path().join(name);
            assert_eq!(fs::read(at("old")).expect("reads"), b"old");
            let tries = [
                fs::write(at("new"), ""),
                fs::OpenOptions::new().append(true).open(at("old")).map(drop),
                fs::remove_file(at("old")),
                fs::create_dir(at("folder")),
                std::os::unix::fs::symlink("old", at("link")),
                fs::hard_link(at("old"), at("second")),
                fs::rename(at("old"), inside.path().join("old")),
            ];
            for (number, tried) in tries.into_iter().enumerate() {
                assert_eq!(tried.expect_err("refused").kind(), PermissionDenied, "{number}");
            }
            // Moving between folders is what the first version of Landlock cannot allow.
            for name in ["a", "b"] {
                fs::create_dir(inside.path().join(name)).expect("folder");
            }
            fs::write(inside.path().join("a/x"), "x").expect("file");
            fs::rename(inside.path().join("a/x"), inside.path().join("b/x")).expect("moved");
            fs::rename(inside.path().join("b"), inside.path().join("a/b")).expect("moved");
            assert!(
                Command::new("sed")
                    .args(["-i", "s/x/y/"])
                    .arg(inside.path().join("a/b/x"))
                    .status()
                    .is_ok_and(|s| s.success())
            );
            fs::write("/dev/null", "x").expect("the fresh places stay writable");
        });
        assert_eq!(fs::read(outside.path().join("old")).expect("reads"), b"old");
    }

    #[test]
    fn nobody_outside_is_signalled_or_connected_to() {
        let mut other = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep");
        let name = SocketAddr::from_abstract_name(format!("aright-{}", std::process::id())).expect("name");
        let _listener = UnixListener::bind_addr(&name).expect("socket");
        UnixStream::connect_addr(&name).expect("reached from outside");
        let pid = nix::unistd::Pid::from_raw(other.id().cast_signed());
        fenced_in(&[], || {
            assert_eq!(nix::sys::signal::kill(pid, None), Err(nix::errno::Errno::EPERM));
            assert_eq!(UnixStream::connect_addr(&name).expect_err("refused").kind(), PermissionDenied);
            let mut own = Command::new("sleep").arg("60").spawn().expect("sleep");
            own.kill().expect("one's own can be ended");
            own.wait().expect("waited for");
        });
        other.kill().expect("ends");
        other.wait().expect("waited for");
    }
}
