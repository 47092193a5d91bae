//! Roots of all kinds: overlays of overlays, chroots, shared mounts, several file systems.

use std::fs;
use std::io::Read;
use std::path::Path;

use aright_agent::cage::{Layer, Unavailable};
use aright_agent::stage::{Stage, StageError};
use nix::mount::{MsFlags, mount};

use crate::world::{compare, on_host, open, output, paths, script, spec, wrong};

const NONE: Option<&str> = None;

#[test]
fn where_overlays_are_too_deep_copies_do() {
    on_host(2, |world| {
        fs::create_dir_all("/opt/app/sub").expect("folder");
        fs::write("/opt/app/f", "f").expect("file");
        fs::write("/opt/app/sub/g", "g").expect("file");
        std::os::unix::fs::symlink("f", "/opt/app/l").expect("link");
        nix::unistd::mkfifo("/opt/app/fifo", nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        fs::write("/opt/app/secret", "secret").expect("file");
        let before = world.digest();
        let mut spec = spec(&["/opt/app/f", "/opt/app/sub/*", "/etc/login.defs"]);
        spec.never_read = vec!["/opt/app/secret".into()];
        let stage = Stage::open(&spec).expect("stage");
        assert_eq!(stage.confinement().stage, "copies");
        let body = "set -e; echo more >>/opt/app/f; rm /opt/app/sub/g; echo 1 >/opt/app/sub/h; [ ! -s /opt/app/secret ]
                    sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs; touch /etc/passwd; readlink /opt/app/l; { echo >/usr/x; } 2>/dev/null || echo fixed";
        let ran = stage.run(&script(body)).expect("run");
        assert_eq!(ran.script.stdout.head, "f\nfixed\n", "{:?}", ran.script);
        let compared = ran.compare().expect("compare");
        assert_eq!(wrong(&compared), [""; 0], "{:?}", compared.overreach);
        assert_eq!(paths(&compared), ["/etc/login.defs", "/opt/app/f", "/opt/app/sub/g", "/opt/app/sub/h"]);
        let mut text = String::new();
        compared.open(Path::new("/opt/app/f")).expect("opens").read_to_string(&mut text).expect("reads");
        assert_eq!(text, "fmore\n");
        assert_eq!(world.digest(), before);

        let compared =
            compare(&["/opt/app/f"], "echo >/opt/app/other; rm -r /opt/app/sub; chmod 700 /opt/app/f");
        assert_eq!(wrong(&compared), ["/opt/app/other", "/opt/app/sub"]);
    });
}

#[test]
fn each_file_system_has_its_own_overlay_and_flags() {
    on_host(1, |world| {
        for folder in ["/opt/data", "/opt/plain", "/opt/with, comma:and\\colon"] {
            fs::create_dir_all(folder).expect("folder");
        }
        let odd = "/opt/with, comma:and\\colon";
        mount(
            Some("t"),
            "/opt/data",
            Some("tmpfs"),
            MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID,
            Some("mode=750,gid=1"),
        )
        .expect("tmpfs");
        mount(Some("t"), "/opt/plain", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("tmpfs");
        mount(Some("t"), odd, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("tmpfs");
        fs::create_dir("/opt/data/inner").expect("folder");
        fs::write("/opt/data/f", "one").expect("file");
        fs::write("/opt/plain/f", "two").expect("file");
        let before = world.digest();
        let body = "set -e; echo 1 >>/opt/data/f; echo >>/etc/login.defs; echo 1 >'/opt/with, comma:and\\colon/f'
             { echo >>/opt/plain/f; } 2>/dev/null || echo read-only; cat /opt/plain/f; stat -c ' %a %g' /opt/data
             cp /bin/true /opt/data/inner/t; /opt/data/inner/t 2>/dev/null || echo no exec; rm /opt/data/inner/t";
        let mut spec = spec(&["/etc/login.defs", "/opt/data/f"]);
        spec.touches.push(format!("{odd}/*").parse().expect("touch"));
        let ran = Stage::open(&spec).expect("stage").run(&script(body)).expect("run");
        assert_eq!(ran.script.stdout.head, "read-only\ntwo 750 1\nno exec\n", "{:?}", ran.script);
        let compared = ran.compare().expect("compare");
        assert_eq!(wrong(&compared), [""; 0]);
        assert_eq!(
            paths(&compared),
            ["/etc/login.defs".to_owned(), "/opt/data/f".into(), format!("{odd}/f")]
        );
        assert_eq!(
            (world.digest(), fs::read_to_string("/opt/data/f").expect("reads")),
            (before, "one".into())
        );
    });
}

#[test]
fn shared_mounts_pass_nothing_on() {
    on_host(1, |world| {
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SHARED, NONE).expect("shared");
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").expect("reads");
        let (before, digest) = (mounts(), world.digest());
        assert_eq!(paths(&compare(&["/etc/login.defs"], "echo >>/etc/login.defs")), ["/etc/login.defs"]);
        assert_eq!((mounts(), world.digest()), (before, digest));
    });
}

/// chroot of this thread into a copy of the root, a mount point or not.
fn enter_chroot(bound: bool) {
    fs::create_dir("/opt/jail").expect("folder");
    let bind = |from: &str, to: &str| mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).expect("bind");
    if bound {
        bind("/", "/opt/jail");
    } else {
        // Every folder, so that the launcher is found wherever this was checked out; of /opt only its own mounts.
        for entry in fs::read_dir("/").expect("reads") {
            let from = entry.expect("entry").path();
            if from.is_dir() {
                let to = Path::new("/opt/jail").join(from.file_name().expect("name"));
                fs::create_dir(&to).expect("folder");
                bind(from.to_str().expect("text"), to.to_str().expect("text"));
            }
        }
    }
    bind("/dev", "/opt/jail/dev");
    mount(Some("proc"), "/opt/jail/proc", Some("proc"), MsFlags::empty(), NONE).expect("proc");
    nix::unistd::chroot("/opt/jail").expect("chroot");
    nix::unistd::chdir("/").expect("chdir");
}

#[test]
fn a_chroot_on_a_mount_point_is_a_host_like_any() {
    on_host(1, |world| {
        enter_chroot(true);
        let before = world.digest();
        let compared = compare(&["/etc/login.defs"], "echo >>/etc/login.defs; echo >/etc/new");
        assert_eq!(
            (paths(&compared), wrong(&compared)),
            (vec!["/etc/login.defs".into(), "/etc/new".into()], vec!["/etc/new".into()])
        );
        assert_eq!(world.digest(), before);
    });
}

#[test]
fn a_chroot_on_a_plain_folder_is_refused_with_the_remedy() {
    on_host(1, |_| {
        enter_chroot(false);
        let error = open(&[]).expect_err("no mount point");
        let StageError::Unavailable(Unavailable { layer, why }) = error else { panic!("{error}") };
        assert!(layer == Layer::MountNamespace && why.contains("mount point"), "{why}");
    });
}

#[test]
fn controls_are_judged_on_the_frozen_view() {
    on_host(1, |_| {
        let compared = compare(&["/etc/login.defs"], "echo staged >/etc/login.defs");
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}/etc/login.defs", compared.root().as_raw_fd());
        assert_eq!(fs::read_to_string(&path).expect("reads"), "staged\n");
        let written = fs::write(&path, "x").expect_err("frozen");
        assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(compared.open(Path::new("/etc")).is_err() && compared.open(Path::new("/dev/null")).is_err());
    });
}

#[test]
fn what_needs_a_file_system_gets_it() {
    on_host(1, |_| {
        let listed = output(
            &["/opt/x"],
            "[ -d /proc/self ] && [ -d /sys/kernel ] && [ -d /tmp ] && [ -d /run ] && stat -c %a /tmp /run",
        );
        assert_eq!(listed, "1777\n755\n");
    });
}

#[test]
fn what_is_mounted_on_the_host_later_does_not_come_in() {
    on_host(1, |_| {
        fs::create_dir("/opt/data").expect("folder");
        mount(Some("t"), "/opt/data", Some("tmpfs"), MsFlags::empty(), NONE).expect("tmpfs");
        fs::create_dir("/opt/data/later").expect("folder");
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SHARED, NONE).expect("shared");
        let stage = open(&["/etc/login.defs"]).expect("stage");
        mount(Some("t"), "/opt/data/later", Some("tmpfs"), MsFlags::empty(), NONE).expect("tmpfs");
        fs::write("/opt/data/later/f", "x").expect("file");
        let ran = stage
            .run(&script("ls /opt/data/later; { echo >/opt/data/later/g; } 2>/dev/null || echo fixed"))
            .expect("run");
        assert_eq!(ran.script.stdout.head, "fixed\n");
    });
}
