//! What could not be committed is refused before anything runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use aright_agent::stage::{Stage, StageError, refusals};
use aright_shared::outcome::Refusal;
use nix::mount::{MsFlags, mount};

use crate::world::{on_host, open, spec};

#[track_caller]
fn refused(touch: &str, refusal: Refusal, why: &str) {
    let Err(error) = open(&[touch]) else { panic!("{touch} was not refused") };
    assert_eq!(error.refusal(), refusal, "{error}");
    assert!(error.to_string().contains(why) && matches!(error, StageError::Obstacles(_)), "{error}");
}

#[test]
fn an_ordinary_file_meets_no_obstacle() {
    on_host(1, |_| {
        let touches =
            ["/etc/login.defs", "/etc/not/there/yet", "/etc/ssh/*.conf", "link:/etc/localtime", "/etc/"];
        let touches: Vec<_> = touches.iter().map(|touch| touch.parse().expect("touch")).collect();
        assert_eq!(refusals(&touches).expect("looks"), []);
    });
}

#[test]
fn each_obstacle_has_its_own_words() {
    on_host(1, |_| {
        for folder in ["/opt/ro", "/opt/open", "/opt/theirs", "/opt/small"] {
            fs::create_dir_all(folder).expect("folder");
        }
        let none = None::<&str>;
        fs::write("/opt/hosts", "x").expect("file");
        mount(Some("/etc/hostname"), "/opt/hosts", none, MsFlags::MS_BIND, none).expect("bind");
        mount(Some("t"), "/opt/ro", Some("tmpfs"), MsFlags::MS_RDONLY, none).expect("tmpfs");
        mount(Some("t"), "/opt/small", Some("tmpfs"), MsFlags::empty(), Some("size=1m,mode=755"))
            .expect("tmpfs");
        fs::set_permissions("/opt/open", PermissionsExt::from_mode(0o775)).expect("chmod");
        chown("/opt/theirs", Some(1), None).expect("chown");
        fs::write("/opt/a", "x").expect("file");
        fs::hard_link("/opt/a", "/opt/b").expect("link");

        refused("/opt/hosts", Refusal::ReadOnly, "something is mounted on it");
        refused("/opt/ro/x", Refusal::ReadOnly, "the file system on /opt/ro is read-only");
        refused("/opt/open/x", Refusal::ReadOnly, "others than root may write in /opt/open");
        refused("/opt/theirs/deep/x", Refusal::ReadOnly, "others than root may write in /opt/theirs");
        refused("/opt/a", Refusal::ReadOnly, "2 hard links");
        refused("/opt/?", Refusal::ReadOnly, "2 hard links");
        refused("/run/x", Refusal::ReadOnly, "fresh folder");
        refused("/etc/mtab", Refusal::ReadOnly, "fresh folder");
        refused("/opt", Refusal::ReadOnly, "is a folder");
        refused("/opt/small/x", Refusal::NoSpace, "needed");
    });
}

#[test]
fn an_immutable_file_or_folder_is_refused() {
    on_host(1, |_| {
        use rustix::fs::{IFlags, ioctl_setflags};
        fs::create_dir("/opt/fixed").expect("folder");
        fs::write("/opt/fixed/file", "x").expect("file");
        let set = |path: &str, flags| ioctl_setflags(fs::File::open(path).expect("opens"), flags);
        if let Err(e) = set("/opt/fixed/file", IFlags::IMMUTABLE) {
            println!("skipped: no such flags here: {e}");
            return;
        }
        refused("/opt/fixed/file", Refusal::ReadOnly, "is immutable");
        set("/opt/fixed/file", IFlags::empty()).expect("unset");
        set("/opt/fixed", IFlags::APPEND).expect("set");
        refused("/opt/fixed/other", Refusal::ReadOnly, "the folder is immutable or append-only");
        set("/opt/fixed", IFlags::empty()).expect("unset");
        assert!(Path::new("/opt/fixed/file").exists() && open(&["/opt/fixed/file"]).is_ok());
    });
}

#[test]
fn a_stage_for_which_memory_is_short_is_not_opened() {
    on_host(1, |_| {
        let mut large = spec(&["/etc/login.defs"]);
        large.limits.stage_mb = Some(u32::MAX);
        let Err(error) = Stage::open(&large) else { panic!("it was opened") };
        assert_eq!(error.refusal(), Refusal::NoSpace, "{error}");
        assert!(
            error.to_string().starts_with("what the script writes may take up to 4294967295 MB"),
            "{error}"
        );
    });
}
