//! What a script changed: found exactly, and only what was declared let through.

use std::fs;
use std::io::Read;
use std::path::Path;

use aright_agent::meta::Kind;
use aright_shared::task::Exit;

use crate::world::{World, compare, on_host, paths, script, spec, wrong};

/// Plants files, then asserts that the host is the same afterwards whatever the test does.
fn planted(test: impl FnOnce(&World) + Send) {
    on_host(1, |world| {
        for folder in ["/opt/app", "/opt/app/conf.d", "/opt/app/old"] {
            fs::create_dir_all(folder).expect("folder");
        }
        for (path, text) in
            [("main.conf", "a=1\nb=2\n"), ("other.conf", "x\n"), ("conf.d/1.conf", "one\n"), ("old/f", "f\n")]
        {
            fs::write(Path::new("/opt/app").join(path), text).expect("file");
        }
        std::os::unix::fs::symlink("app/main.conf", "/opt/link").expect("link");
        let before = world.digest();
        test(world);
        assert_eq!(world.digest(), before, "the host was changed");
    });
}

#[test]
fn the_tools_of_the_trade_work_and_exactly_their_change_is_found() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/main.conf", "/opt/app/other.conf", "/opt/app/conf.d/*.conf", "/etc/default/useradd*", "/etc/login.defs"],
            "set -e
             sed -i s/a=1/a=3/ /opt/app/main.conf
             cp /opt/app/other.conf /opt/app/conf.d/tmp.conf; echo y >>/opt/app/conf.d/tmp.conf
             mv /opt/app/conf.d/tmp.conf /opt/app/conf.d/9.conf
             install -m 600 -o daemon -g daemon /opt/app/other.conf /opt/app/conf.d/2.conf
             cp -a /opt/app/conf.d/1.conf /opt/app/conf.d/3.conf
             useradd -D -f 45
             python3 -c 'import subprocess, threading; t = threading.Thread(target=lambda: open(\"/opt/app/other.conf\", \"a\").write(\"z\")); t.start(); t.join(); subprocess.run([\"true\"], check=True)'
             sed -i s/nothing/x/ /etc/login.defs",
        );
        assert_eq!(wrong(&compared), [""; 0], "{:?}", compared.overreach);
        let found = paths(&compared);
        let expected = [
            "/etc/default/useradd",
            "/etc/default/useradd-",
            "/opt/app/conf.d/2.conf",
            "/opt/app/conf.d/3.conf",
            "/opt/app/conf.d/9.conf",
            "/opt/app/main.conf",
            "/opt/app/other.conf",
        ];
        // Whether a backup is left depends on the version of useradd.
        assert_eq!(
            found.iter().filter(|path| *path != "/etc/default/useradd-").collect::<Vec<_>>(),
            expected.iter().filter(|path| **path != "/etc/default/useradd-").collect::<Vec<_>>()
        );
        let mut text = String::new();
        compared
            .open(Path::new("/opt/app/main.conf"))
            .expect("opens")
            .read_to_string(&mut text)
            .expect("reads");
        assert_eq!(text, "a=3\nb=2\n");
        let two = compared.changes.of(Path::new("/opt/app/conf.d/2.conf")).expect("there");
        let after = two.after.as_ref().expect("created");
        assert_eq!((after.mode, after.uid, after.gid, two.before.is_none()), (0o600, 1, 1, true));
    });
}

#[test]
fn what_is_not_declared_is_overreach_and_named() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/main.conf"],
            "echo >>/opt/app/main.conf; echo >>/opt/app/other.conf; rm /opt/app/conf.d/1.conf; echo >/opt/app/new",
        );
        assert_eq!(wrong(&compared), ["/opt/app/conf.d/1.conf", "/opt/app/new", "/opt/app/other.conf"]);
        assert_eq!(paths(&compared).len(), 4);
    });
}

#[test]
fn writing_without_changing_is_no_change() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/unused"],
            "cd /opt/app; touch main.conf; sed -i s/none/none/ other.conf; chmod 644 conf.d/1.conf; : >>old/f
             python3 -c 'open(\"main.conf\", \"r+\").close()'; mkdir x; rmdir x; touch /etc/.pwd.lock",
        );
        assert_eq!((paths(&compared), wrong(&compared)), (vec![], vec![]));
    });
}

#[test]
fn a_glob_covers_its_folder_and_nothing_below() {
    planted(|_| {
        let body = "echo 1 >/opt/app/conf.d/new.conf; rm /opt/app/conf.d/1.conf; mkdir /opt/app/conf.d/sub; echo 1 >/opt/app/conf.d/sub/a.conf; echo 1 >/opt/app/conf.d/a.txt";
        let compared = compare(&["/opt/app/conf.d/*.conf"], body);
        assert_eq!(
            wrong(&compared),
            ["/opt/app/conf.d/a.txt", "/opt/app/conf.d/sub", "/opt/app/conf.d/sub/a.conf"]
        );
    });
}

#[test]
fn content_of_a_file_whose_mode_alone_changed_is_whole() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/main.conf", "/opt/app/moved"],
            "chmod 600 /opt/app/main.conf; mv /opt/app/main.conf /opt/app/moved",
        );
        assert_eq!(wrong(&compared), [""; 0]);
        let mut text = String::new();
        compared.open(Path::new("/opt/app/moved")).expect("opens").read_to_string(&mut text).expect("reads");
        assert_eq!(text, "a=1\nb=2\n");
        let gone = compared.changes.of(Path::new("/opt/app/main.conf")).expect("deleted");
        assert!(gone.after.is_none() && gone.before.is_some());
    });
}

#[test]
fn links_are_followed_when_declared_as_files_and_kept_when_declared_as_links() {
    planted(|_| {
        let compared = compare(&["/opt/link"], "echo more >>/opt/link");
        assert_eq!((paths(&compared), wrong(&compared)), (vec!["/opt/app/main.conf".into()], vec![]));
        let compared = compare(&["link:/opt/link"], "ln -sfn other /opt/link");
        assert_eq!((paths(&compared), wrong(&compared)), (vec!["/opt/link".into()], vec![]));
        let compared = compare(&["/opt/app/main.conf"], "ln -sf /etc/passwd /opt/app/main.conf");
        assert_eq!(wrong(&compared), ["/opt/app/main.conf"]);
        let compared = compare(&["link:/opt/link"], "rm /opt/link; echo >/opt/link");
        assert_eq!(wrong(&compared), ["/opt/link"]);
        // Merged /usr: /sbin is a link, the change set has the real path.
        let compared = compare(&["/sbin/aright-test"], "echo >/sbin/aright-test");
        assert_eq!((paths(&compared), wrong(&compared)), (vec!["/usr/sbin/aright-test".into()], vec![]));
    });
}

#[test]
fn a_folder_declared_may_change_its_mode_and_missing_parents_may_be_made() {
    planted(|_| {
        let compared = compare(&["/opt/app/conf.d/"], "chmod 700 /opt/app/conf.d");
        assert_eq!((paths(&compared), wrong(&compared)), (vec!["/opt/app/conf.d".into()], vec![]));
        let compared = compare(&["/opt/app/conf.d/"], "rm -r /opt/app/conf.d");
        assert_eq!(wrong(&compared), ["/opt/app/conf.d"]);
        let compared = compare(&["/opt/a/b/c.conf"], "mkdir -p /opt/a/b; echo 1 >/opt/a/b/c.conf");
        assert_eq!(
            (paths(&compared), wrong(&compared)),
            (vec!["/opt/a".into(), "/opt/a/b".into(), "/opt/a/b/c.conf".into()], vec![])
        );
        let compared = compare(
            &["/opt/a/b/c.conf"],
            "mkdir -p /opt/a/b /opt/a/d; chmod 777 /opt/a/b; echo 1 >/opt/a/b/c.conf",
        );
        assert_eq!(wrong(&compared), ["/opt/a/b", "/opt/a/d"]);
    });
}

#[test]
fn each_declaration_of_a_path_counts() {
    planted(|_| {
        let folder = ["/opt/app/conf.d/", "/opt/app/new/", "/opt/app/*"];
        assert_eq!(wrong(&compare(&folder, "chmod 700 /opt/app/conf.d; mkdir -m 700 /opt/app/new")), [""; 0]);
        let link = ["link:/opt/app/main.conf", "/opt/app/*.conf"];
        assert_eq!(wrong(&compare(&link, "rm /opt/app/main.conf")), [""; 0]);
        let all = ["link:/opt/app/main.conf", "/opt/app/main.conf/sub", "/opt/app/*"];
        assert_eq!(wrong(&compare(&all, "ln -sf other.conf /opt/app/main.conf")), ["/opt/app/main.conf"]);
        assert_eq!(wrong(&compare(&folder, "rm -r /opt/app/conf.d")), ["/opt/app/conf.d"]);
    });
}

#[test]
fn folders_removed_replaced_or_renamed_are_overreach() {
    planted(|_| {
        let all = ["/opt/app/old/*", "/opt/app/new/*"];
        assert_eq!(wrong(&compare(&all, "rm -r /opt/app/old")), ["/opt/app/old"]);
        assert_eq!(wrong(&compare(&all, "rm -r /opt/app/old; mkdir /opt/app/old")), ["/opt/app/old"]);
        assert_eq!(wrong(&compare(&all, "mv /opt/app/old /opt/app/new")), ["/opt/app/new", "/opt/app/old"]);
        assert_eq!(
            wrong(&compare(&all, "rm /opt/app/main.conf; mkdir /opt/app/main.conf")),
            ["/opt/app/main.conf"]
        );
    });
}

#[test]
fn what_no_declaration_makes_good() {
    planted(|_| {
        let any = ["/opt/app/*"];
        for body in [
            "mkfifo /opt/app/main.conf.fifo",
            "rm /opt/app/main.conf; mkfifo /opt/app/main.conf",
            "chmod u+s /opt/app/main.conf",
            "chmod g+s /opt/app/other.conf",
            "ln /etc/passwd /opt/app/passwd",
            "ln /opt/app/main.conf /opt/app/second",
            "python3 -c 'open(b\"/opt/app/\\xff\", \"w\")'",
        ] {
            let compared = compare(&any, body);
            assert!(!compared.overreach.is_empty(), "{body}: {:?}", compared.changes);
        }
    });
}

#[test]
fn attributes_and_acls_count() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/main.conf"],
            "setfattr -n user.x -v 1 /opt/app/main.conf || python3 -c 'import os; os.setxattr(\"/opt/app/main.conf\", \"user.x\", b\"1\")'",
        );
        let change = compared.changes.of(Path::new("/opt/app/main.conf")).expect("changed");
        let after = change.after.as_ref().expect("there");
        assert_eq!(after.xattrs.get("user.x").map(|value| value.0.as_slice()), Some(&b"1"[..]));
        assert!(after.same_content(change.before.as_ref().expect("was there")));
        // An ACL as getfacl would show it: user 1 may write.
        let acl = "import os, struct; e = lambda t, p, i: struct.pack('<HHI', t, p, i); n = 0xffffffff
os.setxattr('/opt/app/other.conf', 'system.posix_acl_access', struct.pack('<I', 2) + e(1,6,n) + e(2,6,1) + e(4,4,n) + e(16,4,n) + e(32,4,n))";
        let compared = compare(&["/opt/app/main.conf"], &format!("python3 -c \"{acl}\""));
        assert_eq!(wrong(&compared), ["/opt/app/other.conf"]);
    });
}

#[test]
fn odd_names_are_kept_apart() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/*"],
            "cd /opt/app; echo 1 >'with\nnewline'; echo 2 >'sp ace'; : >'back\\slash'",
        );
        assert_eq!(wrong(&compared), [""; 0]);
        assert_eq!(paths(&compared), ["/opt/app/back\\slash", "/opt/app/sp ace", "/opt/app/with\nnewline"]);
    });
}

#[test]
fn too_much_ends_in_overreach_without_harm() {
    planted(|_| {
        let any = ["/opt/app/*"];
        let deep = compare(
            &any,
            "python3 -c 'import os\nos.chdir(\"/opt/app\")\nfor i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'",
        );
        assert!(deep.overreach.iter().any(|item| item.what.contains("deep")), "{:?}", deep.overreach);
        let many = compare(&any, "python3 -c 'for i in range(12000): open(f\"/opt/app/{i}\", \"w\")'");
        assert!(many.overreach.iter().any(|item| item.what.contains("more than")), "{:?}", many.overreach);
        let sparse = spec(&any);
        let ran = aright_agent::stage::Stage::open(&sparse)
            .expect("stage")
            .run(&script("truncate -s 1T /opt/app/big"))
            .expect("run");
        assert_ne!(ran.script.exit, Exit::Code(0));
    });
}

#[test]
fn a_full_stage_fails_the_script_and_harms_nobody() {
    planted(|_| {
        let mut small = spec(&["/opt/app/*"]);
        small.limits.stage_mb = Some(2);
        let ran = aright_agent::stage::Stage::open(&small)
            .expect("stage")
            .run(&script("dd if=/dev/zero of=/opt/app/big bs=1M count=4"))
            .expect("run");
        assert_eq!(ran.script.exit, Exit::Code(1));
        assert!(ran.script.stderr.head.contains("No space left"), "{}", ran.script.stderr.head);
    });
}

#[test]
fn a_file_taken_by_a_pattern_is_read_as_it_is_now() {
    planted(|_| {
        let compared = compare(
            &["/opt/app/main.conf"],
            "rm /opt/app/main.conf; ln /opt/app/other.conf /opt/app/main.conf",
        );
        assert_eq!(wrong(&compared), ["/opt/app/main.conf"]);
        assert!(matches!(
            compared
                .changes
                .of(Path::new("/opt/app/main.conf"))
                .and_then(|c| c.after.as_ref())
                .map(|m| &m.kind),
            Some(Kind::File { .. })
        ));
    });
}

#[test]
fn a_file_changed_on_the_host_in_between_is_a_conflict() {
    on_host(1, |_| {
        fs::create_dir("/opt/app").expect("folder");
        for name in ["mode", "text", "calm", "gone"] {
            fs::write(Path::new("/opt/app").join(name), "old\n").expect("file");
        }
        let stage = aright_agent::stage::Stage::open(&spec(&["/opt/app/*"])).expect("stage");
        let ran = stage
            .run(&script("cd /opt/app; chmod 600 mode gone; echo more >>text; echo more >>calm; echo 1 >new"))
            .expect("run");
        // By rename, as an editor would: with metacopy the stage goes on showing what was there.
        for name in ["mode", "text"] {
            let aside = Path::new("/opt/app").join("aside");
            fs::write(&aside, "theirs\n").expect("file");
            fs::rename(&aside, Path::new("/opt/app").join(name)).expect("rename");
        }
        fs::remove_file("/opt/app/gone").expect("remove");
        fs::write("/opt/app/new", "theirs\n").expect("file");
        let compared = ran.compare().expect("compare");
        assert_eq!(
            compared.conflicts,
            ["gone", "mode", "new", "text"].map(|name| Path::new("/opt/app").join(name))
        );
    });
}
