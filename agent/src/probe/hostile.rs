//! No file of a host makes a probe panic, run away or show a secret.

use std::time::{Duration, Instant};

use aright_shared::content::probe::{Probe, Table};
use aright_shared::library::Library;
use aright_shared::posture::{EVIDENCE_BYTES, Reading};

use super::testing::look_at;

/// The files that the probes of the library read.
const FILES: &[&str] = &[
    "usr/sbin/sshd",
    "etc/ssh/sshd_config",
    "etc/ssh/sshd_config.d/50-x.conf",
    "etc/login.defs",
    "etc/default/useradd",
    "etc/profile",
    "etc/profile.d/x.sh",
    "etc/sudoers",
    "etc/sudoers.d/x",
    "etc/sysctl.d/x.conf",
    "etc/modprobe.d/x.conf",
    "etc/passwd",
    "etc/group",
    "etc/fstab",
    "etc/os-release",
    "var/lib/dpkg/status",
];

fn probes() -> Vec<Probe> {
    let library = Library::builtin();
    let mut probes: Vec<Probe> = Vec::new();
    for on in library.controls().flat_map(|control| &control.technologies) {
        probes.push(on.check.at("net.ipv4.conf.all.send_redirects"));
        probes.extend(on.applies.iter().map(|check| check.probe.clone()));
    }
    probes.extend(library.technologies().flat_map(|one| &one.detect.all).map(|check| check.probe.clone()));
    probes.extend(library.scripts().flat_map(|one| &one.guard).map(|check| check.probe.clone()));
    probes.extend(
        [
            r#"{"probe":"mount","with":{"point":"/tmp"}}"#,
            r#"{"probe":"service","with":{"name":"ssh"}}"#,
            r#"{"probe":"config_value","with":{"files":["/etc/sudoers"],"syntax":"sudoers","key":"env_keep"}}"#,
            r#"{"probe":"config_value","with":{"files":["/etc/profile"],"syntax":"shell","key":"TMOUT"}}"#,
            r#"{"probe":"sshd_option","with":{"option":"Ciphers"}}"#,
            r#"{"probe":"config_value","with":{"files":["/etc/profile"],"syntax":"ini","key":"a"}}"#,
            r#"{"probe":"config_value","with":{"files":["/etc/profile"],"syntax":"systemd","key":"a"}}"#,
        ]
        .map(|text| serde_json::from_str(text).expect("a probe")),
    );
    probes
}

/// Every file holds the text; what each probe yields is given to `check`.
fn everywhere(text: &str, mut check: impl FnMut(&Probe, &super::Seen)) {
    let files: Vec<(&str, &str)> = FILES.iter().map(|file| (*file, text)).collect();
    look_at(&files, |look| {
        for probe in probes() {
            let start = Instant::now();
            let seen = look.see(&probe);
            let took = start.elapsed();
            assert!(
                took < Duration::from_secs(5),
                "{probe:?} took {took:?} on {:?}…",
                &text[..text.len().min(40)]
            );
            for one in &seen.evidence {
                assert!(one.text.len() <= EVIDENCE_BYTES, "{probe:?}");
            }
            check(&probe, &seen);
        }
    });
}

#[test]
fn odd_files_are_judged_or_are_errors_in_little_time() {
    let long = "a".repeat(1 << 17);
    let texts = [
        String::new(),
        "\0\0\0\n\u{fffd}\u{202e}=".into(),
        "\\\n\\\n\\".into(),
        "\"\n'\n=\n:\n::::::::\n[\n]\n[]\n-\n-=\n".into(),
        "Include /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*\n@include /etc/sudoers\n@includedir /etc/sudoers.d\n".into(),
        "Defaults ,,,!,!!use_pty,=,use_pty=\n".into(),
        "* = 1\n*/*/*/*/* = 1\n[ = 1\n{a,{b,{c = 1\n../../x = 1\n".into(),
        "TMOUT=".repeat(5_000),
        long.clone(),
        format!("Banner {long}\nPASS_MAX_DAYS {long}\nDefaults {}", ",".repeat(100_000)),
        "Match all\nMatch user x\n".repeat(5_000),
        "net.ipv4.*.all.send_redirects = 1\n-net.*.conf.*.send_redirects\n".repeat(5_000),
        (0..600).map(|n| format!("net.ipv4.{{{n},conf}}.*.send_redirects = 1\n")).collect(),
        "Package: x\nStatus: install ok installed\n\n".repeat(5_000),
        "root:x:0:0:".repeat(5_000),
        "Ciphers aes128-ctr,-aes*\nCiphers +aes128-ctr\n".repeat(5_000) + "\0aes128-ctr\0",
        "Ciphers aes128-ctr\nCiphers -aes*\n".repeat(5_000) + "#\0aes128-ctr\0",
        (0..20_000).map(|n| format!("Defaults env_keep+=\"A{n} B{n}\", env_keep-=A{n}\n")).collect(),
    ];
    for text in &texts {
        everywhere(text, |_, _| {});
    }
}

/// Mutations of real lines, from a fixed seed.
#[test]
fn mutated_files_never_panic() {
    let base = "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin \"no\" # x\nMatch User a\nPASS_MAX_DAYS\t365\n\
                INACTIVE=45\nexport TMOUT='900'\nDefaults:x env_reset, !use_pty, logfile=\"/a,b\"\n\
                net.ipv4.conf.*.send_redirects = 0\ninstall cramfs /bin/false\nblacklist usb_storage\n\
                root:x:0:0::/:/bin/sh\ntmpfs /tmp\\040 tmpfs nodev 0 0\nID=debian\nPackage: sudo\n";
    let odd = ["\"", "'", "\\", "=", "\n", "#", " ", "\t", "*", "[", "é", "\u{0}", "!", ",", "-", "%", "{"];
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    for _ in 0..30 {
        let mut text: Vec<char> = base.chars().collect();
        for _ in 0..12 {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.remove(at)),
                1 => text[at] = odd[random(odd.len())].chars().next().unwrap_or(' '),
                _ => text.insert(at, odd[random(odd.len())].chars().next().unwrap_or(' ')),
            }
        }
        everywhere(&text.into_iter().collect::<String>(), |_, _| {});
    }
}

#[test]
fn hashes_and_keys_are_never_shown() {
    let secret =
        "$6$salt$abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuv";
    look_at(&[("etc/shadow", &format!("root:{secret}:1:0:9:7:::\n"))], |look| {
        let with = aright_shared::content::probe::Account {
            table: Table::Shadow,
            only: Default::default(),
            field: "password".into(),
        };
        let seen = look.see(&Probe::Account(with));
        assert!(seen.evidence.iter().all(|one| !one.text.contains("$6$")), "{:?}", seen.evidence);
    });
    everywhere(&format!("TMOUT=5 {secret}\nDefaults use_pty,logfile={secret}\n"), |probe, seen| {
        let text = serde_json::to_string(&seen.evidence).expect("JSON");
        assert!(!text.contains("abcdefghijklmnop"), "{probe:?}: {text}");
        assert!(!matches!(seen.reading, Reading::Pending), "{probe:?}");
    });
}
