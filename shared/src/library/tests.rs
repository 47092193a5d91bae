//! The built-in content as a whole; and what is refused, with which words.

use super::*;
use crate::content::control::{Check, Instances};
use crate::content::pattern::Pattern;
use crate::content::probe::{OsField, Probe};
use crate::content::script::{Activation, Interpreter, Origin, Reboot, RegistryTouch, Touch};
use crate::content::technology::Platform;
use crate::posture::{Reading, Value, Verdict, judge};

#[test]
fn the_built_in_content_is_whole() {
    let library = built_in().unwrap_or_else(|error| panic!("{error}"));
    let numbers: Vec<_> = library.controls().map(|control| control.number).collect();
    assert_eq!(
        numbers,
        [
            10001, 10002, 10003, 10007, 10008, 10012, 10013, 10018, 10019, 10020, 10021, 10022, 10031, 10032,
            10034, 10037, 10038, 10044, 10049, 10051, 10052, 20010, 20011, 20012, 20013, 20014, 20015, 20016,
            20017, 20018, 20019, 20020, 20021, 20022, 20023, 20024, 20025, 20026, 20027, 20028, 20029, 20030,
            20031, 20032, 20033
        ]
    );
    assert_eq!((library.technologies().count(), library.scripts().count()), (10, 16 + 24));
    let policies: Vec<_> =
        library.policies().map(|policy| (policy.number, policy.choices().count())).collect();
    assert_eq!(policies, [(301, 21), (302, 24)]);
    assert!(library.policies().all(|policy| policy.assign.is_none()), "for all assets of their technologies");
}

#[test]
fn a_windows_is_told_by_its_build() {
    let cases = [
        ("windows-client", "10.0.10240", "windows-10"),
        ("windows-client", "10.0.19045", "windows-10"),
        ("windows-client", "10.0.22000", "windows-11"),
        ("windows-client", "10.0.26200", "windows-11"),
        ("windows-server", "10.0.14393", "windows-server-2016"),
        ("windows-server", "10.0.17763", "windows-server-2019"),
        ("windows-server", "10.0.20348", "windows-server-2022"),
        ("windows-server", "10.0.26100", "windows-server-2025"),
        ("windows-server", "10.0.18363", "none"),
        ("windows-client", "6.3.9600", "none"),
        ("windows-client", "10.0.100000", "none"),
        ("debian", "10.0.19045", "none"),
    ];
    for (id, version, expected) in cases {
        let passes = |check: &Check| {
            let Probe::Os(os) = &check.probe else { panic!("only os tells a Windows") };
            let seen = match os.field {
                OsField::Id => id,
                OsField::Version => version,
                OsField::Family | OsField::Arch | OsField::Kernel | OsField::Container => panic!("not asked"),
            };
            judge(&Reading::Value(Value::Text(seen.into())), &check.expect) == Verdict::Pass
        };
        let found: Vec<_> = Library::builtin()
            .technologies()
            .filter(|one| one.detect.all.iter().all(passes))
            .map(|one| one.key.as_str())
            .collect();
        assert_eq!(found, if expected == "none" { vec![] } else { vec![expected] }, "{id} {version}");
    }
}

#[test]
fn the_examples_for_authors_are_valid() {
    let page = include_str!("../../../docs/content.md");
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 4);
    for example in &examples {
        parse("docs/content.md", example).unwrap_or_else(|error| panic!("{error}"));
    }
    let policy = Policy::from_yaml(examples[1]).unwrap_or_else(|error| panic!("{error}"));
    Library::builtin().clone().add_policy(policy).unwrap_or_else(|error| panic!("{error}"));
}

/// Script, values that must be admitted, and values no stronger than stock or dangerous that must not.
const PATTERNS: &[(&str, &[&str], &[&str])] = &[
    (
        "sshd-permit-root-login-fix",
        &["no", "prohibit-password", "forced-commands-only"],
        &["yes", "without-password", "No", "no yes", "no\nPermitRootLogin yes", "", "nno"],
    ),
    ("sshd-max-auth-tries-fix", &["1", "4", "6"], &["0", "7", "10", "60", "-1", "4 ", "\u{664}"]),
    ("sshd-login-grace-time-fix", &["1", "60", "99", "120"], &["0", "121", "200", "1m", "060", "00", "-1"]),
    ("sshd-client-alive-interval-fix", &["1", "300", "3600"], &["0", "3601", "99999", "5m", "-1", "00"]),
    (
        "sshd-banner-fix",
        &["/etc/issue", "/etc/issue.net"],
        &["none", "/etc/shadow", "/etc/issueXnet", "/etc/issue/../shadow", "issue", "/etc/issue.net x"],
    ),
    (
        "sshd-config-permissions-fix",
        &["0600", "0400", "0644", "0640"],
        &["0666", "0660", "0602", "0777", "0700", "4600", "600", "0646", "0664", "u+rw"],
    ),
    ("login-defs-pass-max-days-fix", &["1", "365", "9999"], &["0", "-1", "99999", "1e9", "365 ", "0x1"]),
    (
        "login-defs-umask-fix",
        &["022", "027", "077", "0027"],
        &["000", "002", "020", "007", "017", "026 ", "0", "27", "1027", "012"],
    ),
    ("useradd-inactive-fix", &["0", "45", "9999"], &["-1", "", "99999", "00", "045", "\"45\""]),
    ("shell-idle-timeout-fix", &["1", "900", "9999"], &["0", "00", "-1", "99999", "900;id", "$(id)"]),
    ("crontab-permissions-fix", &["0600", "0644", "0400"], &["0666", "0646", "0755", "0700", "2600", "600"]),
    (
        "cron-folder-permissions-fix",
        &["0700", "0755", "0750", "0711"],
        &["0777", "0775", "0757", "1777", "4755", "0722", "700"],
    ),
    ("send-redirects-fix", &["0"], &["1", "2", "", "00", "-0"]),
    ("suid-dumpable-fix", &["0"], &["1", "2", ""]),
    ("rare-file-systems-fix", &[], &[]),
    ("usb-storage-fix", &[], &[]),
    ("windows-limit-blank-passwords-fix", &["1"], &["0", "2", "01", "", "1 /f"]),
    ("windows-no-lm-hash-fix", &["1"], &["0", ""]),
    ("windows-lan-manager-level-fix", &["3", "4", "5"], &["0", "2", "6", "35", "0x5"]),
    ("windows-restrict-anonymous-sam-fix", &["1"], &["0"]),
    ("windows-restrict-anonymous-fix", &["1"], &["0", "2"]),
    ("windows-lsa-protection-fix", &["1", "2"], &["0", "3", "12"]),
    ("windows-audit-subcategories-fix", &["1"], &["0"]),
    ("windows-wdigest-fix", &["0"], &["1", "00"]),
    ("windows-smb-client-signing-fix", &["1"], &["0"]),
    ("windows-smb-server-signing-fix", &["1"], &["0"]),
    ("windows-smb1-server-fix", &["0"], &["1"]),
    ("windows-smb1-client-fix", &["4"], &["0", "1", "2", "3"]),
    ("windows-multicast-names-fix", &["0"], &["1"]),
    ("windows-rdp-nla-fix", &["1"], &["0"]),
    ("windows-firewall-on-fix", &["1"], &["0"]),
    ("windows-firewall-inbound-fix", &["1"], &["0", "2"]),
    ("windows-uac-fix", &["1"], &["0"]),
    ("windows-uac-prompt-fix", &["1", "2"], &["0", "3", "4", "5"]),
    ("windows-uac-builtin-administrator-fix", &["1"], &["0"]),
    ("windows-idle-lock-fix", &["1", "900", "9999"], &["0", "00", "-1", "99999", "900&calc", "%PATH%"]),
    ("windows-last-user-fix", &["1"], &["0"]),
    ("windows-autorun-fix", &["255"], &["145", "0", "95", "256"]),
    ("windows-installer-elevation-fix", &["0"], &["1"]),
    ("windows-powershell-logging-fix", &["1"], &["0"]),
];

#[test]
fn no_pattern_admits_a_value_weaker_than_stock() {
    let library = Library::builtin();
    assert_eq!(PATTERNS.len(), library.scripts().count(), "every script has its probes");
    for (key, good, bad) in PATTERNS {
        let script = library.script(&key.parse().expect("a key")).expect(key);
        let Some(param) = script.params.get("ARIGHT_SET") else {
            assert!(script.params.is_empty() && good.is_empty(), "{key}");
            continue;
        };
        for value in *good {
            assert!(param.accepts(&script.interpreter, value), "{key} should admit {value:?}");
        }
        for value in *bad {
            assert!(!param.accepts(&script.interpreter, value), "{key} admits {value:?}");
        }
    }
}

#[test]
fn modes_that_are_admitted_have_no_bit_beyond_stock() {
    let stock = [
        ("sshd-config-permissions-fix", 0o644),
        ("crontab-permissions-fix", 0o644),
        ("cron-folder-permissions-fix", 0o755),
    ];
    for (key, stock) in stock {
        let script = Library::builtin().script(&key.parse().expect("a key")).expect(key);
        let pattern = Pattern::whole(&script.params["ARIGHT_SET"].pattern).expect("compiles");
        for mode in 0..=0o7777u32 {
            let admitted = pattern.is_match(&format!("{mode:04o}"));
            assert_eq!(admitted, Ok(mode & !stock == 0), "{key} {mode:04o}");
        }
    }
}

#[test]
fn masks_that_are_admitted_keep_what_stock_keeps_from_group_and_others() {
    let script = Library::builtin().script(&"login-defs-umask-fix".parse().expect("a key")).expect("there");
    let pattern = Pattern::whole(&script.params["ARIGHT_SET"].pattern).expect("compiles");
    for mask in 0..=0o777u32 {
        let admitted = pattern.is_match(&format!("{mask:03o}"));
        assert_eq!(admitted, Ok(mask & 0o022 == 0o022 && mask < 0o100), "{mask:03o}");
    }
}

#[test]
fn every_library_script_keeps_the_rules() {
    let library = Library::builtin();
    for script in library.scripts() {
        let key = &script.key;
        assert_eq!(script.origin, Origin::Library, "{key}");
        assert!(!script.touches.is_empty(), "{key}");
        assert!(library.has_script(script.digest()), "{key}");
        let bytes = script.canonical();
        assert_eq!(&Script::parse_canonical(&bytes).expect("its own bytes"), script, "{key}");
        let [fix] = script.fixes.as_slice() else { panic!("{key} fixes one control") };
        let control = library.control(&fix.control).expect("a control");
        let pattern = script.params.get("ARIGHT_SET");
        let platform = script.interpreter.platform();
        for technology in library.technologies().filter(|one| one.platform == platform) {
            let set = control.on(&technology.key).expect("on all of its system").set();
            let admitted = match (pattern, set) {
                (Some(pattern), Some(set)) => pattern.accepts(&script.interpreter, &set.plain()),
                (pattern, _) => pattern.is_none(),
            };
            assert!(admitted, "{key} writes what {} sets", control.key);
        }
    }
}

fn scripts_of(platform: Platform) -> impl Iterator<Item = &'static Script> {
    Library::builtin().scripts().filter(move |script| script.interpreter.platform() == platform)
}

#[test]
fn every_script_for_linux_keeps_its_rules() {
    for script in scripts_of(Platform::Linux) {
        let key = &script.key;
        assert_eq!(script.interpreter, Interpreter::Sh, "{key}");
        assert!(script.body.starts_with("set -eu\n"), "{key}");
        let ssh = script.touches.contains(&Touch::File("/etc/ssh/sshd_config".into()));
        let reloads = script.activate == [Activation::Reload(vec!["ssh".into(), "sshd".into()])];
        assert_eq!((ssh, ssh), (script.lockout, reloads), "{key}: SSH can lock out, and is reloaded");
        assert!(!ssh || script.body.contains("-t -h "), "{key} checks what it wrote");
    }
}

#[test]
fn every_script_for_windows_writes_exactly_what_its_control_reads() {
    for script in scripts_of(Platform::Windows) {
        let key = &script.key;
        let control = Library::builtin().control(&script.fixes[0].control).expect("a control");
        let on = &control.technologies[0];
        let Instances::Fixed { values } = &on.instances else { panic!("{key}: fixed instances") };
        let read: Vec<_> = values
            .iter()
            .map(|instance| match on.check.at(instance) {
                Probe::RegistryValue(value) => (value.key, value.name),
                other => panic!("{key}: {other:?}"),
            })
            .collect();
        let touches: Vec<_> = read
            .iter()
            .map(|(key, name)| Touch::Registry(RegistryTouch { key: key.clone(), value: Some(name.clone()) }))
            .collect();
        assert_eq!(script.touches, touches, "{key}");
        let lines: String = read
            .iter()
            .map(|(key, name)| {
                format!("reg add \"{key}\" /v {name} /t REG_DWORD /d %ARIGHT_SET% /f || exit 1\n")
            })
            .collect();
        assert_eq!(script.body, format!("@echo off\n{lines}"), "{key}");
        let restarts = on.remediation_text.contains("restart");
        assert_eq!(script.reboot != Reboot::Never, restarts, "{key}: its control says so");
    }
}

#[test]
fn canonical_bytes_have_one_spelling() {
    let script = Library::builtin().scripts().next().expect("one");
    let bytes = script.canonical();
    let text = String::from_utf8(bytes.clone()).expect("JSON");
    for other in [
        format!(" {text}"),
        format!("{text}\n"),
        text.replacen("\"aright\":1", "\"aright\": 1", 1),
        text.replacen("\"aright\":1", "\"aright\":1,\"aright\":1", 1),
        text.replacen("\"aright\":1", "\"aright\":1,\"newer\":true", 1),
        text.replacen("\"aright\":1", "\"aright\":2", 1),
    ] {
        assert_ne!(other, text);
        assert!(Script::parse_canonical(other.as_bytes()).is_err(), "{}", &other[..60]);
    }
}

const CONTROL: &str = "\
aright: 1
kind: control
key: toy
number: 7
statement: Toys are tidy
category: {name: Toys}
criticality: minimal
data_type: integer
technologies:
  - ids: [debian-12]
    check: {probe: config_value, with: {files: [/etc/toys], syntax: ini, key: tidy}}
    expect: {operator: le, value: 4}
    set: 4
";

const SCRIPT: &str = "\
aright: 1
kind: script
key: toy-fix
origin: custom
title: Tidy up
fixes: [{control: toy, technologies: [debian-12]}]
risk: safe
interpreter: sh
params: {ARIGHT_SET: {from: set, pattern: '[1-4]'}}
touches: [/etc/toys]
guard: [{probe: os, with: {field: id}, expect: {operator: eq, value: debian}, else: not here}]
body: echo
";

const POLICY: &str = "\
aright: 1
kind: policy
key: toys
number: 9
title: Toys
version: 1
technologies: [debian-12]
sections: [{title: All, controls: [{control: toy, expect: {value: 3}, set: 2}]}]
";

fn parse_toys(control: &str, script: &str, policy: &str) -> Result<Library, ContentError> {
    let technologies = include_str!("../../content/technologies.yaml");
    let toys = format!("{control}---\n{script}---\n{policy}");
    Library::parse(&[("technologies.yaml", technologies), ("toys.yaml", &toys)])
}

#[test]
fn what_is_wrong_is_refused_naming_document_field_value_and_remedy() {
    parse_toys(CONTROL, SCRIPT, POLICY).unwrap_or_else(|error| panic!("{error}"));
    // Document, text, what stands there instead, and words of the error.
    let cases: &[(usize, &str, &str, &[&str])] = &[
        (0, "number: 7\n", "number: 7\ncolour: red\n", &["control toy", "colour"]),
        (0, "number: 7\n", "", &["control toy", "number"]),
        (0, "number: 7\n", "number: 100000\n", &["100000"]),
        (0, "aright: 1\n", "aright: 2\n", &["control toy", "aright", "2"]),
        (0, "aright: 1\n", "", &["aright"]),
        (0, "kind: control", "kind: kontrol", &["kontrol"]),
        (0, "[debian-12]", "[debian-99]", &["control toy", "debian-99"]),
        (0, "syntax: ini", "syntax: toml", &["technologies", "toml"]),
        (0, "key: tidy}", "key: tidy, keys: x}", &["keys"]),
        (0, "files: [/etc/toys]", "files: [etc/toys]", &["etc/toys", "absolute"]),
        (0, "files: [/etc/toys]", "files: [/etc/../toys]", &["absolute"]),
        (0, "probe: config_value", "probe: config_valu", &["config_valu"]),
        (0, "value: 4}", "value: '4'}", &["le", "integer"]),
        (0, "operator: le", "operator: like", &["like"]),
        (0, "operator: le, value: 4", "operator: re, value: '('", &["pattern"]),
        (0, "operator: le, value: 4", "operator: re, value: x", &["re", "integer"]),
        (0, "operator: le, value: 4", "operator: at_most, value: '0600'", &["at_most", "integer"]),
        (0, "operator: le, value: 4", "field: mode, operator: le, value: 4", &["field", "mode"]),
        (0, "data_type: integer", "data_type: string_list", &["string_list", "single"]),
        (0, "set: 4", "set: 5", &["5", "does not satisfy", "le 4"]),
        (0, "files: [/etc/toys]", "files: ['/etc/{instance}']", &["instances", "{instance}"]),
        (1, "control: toy", "control: toi", &["script toy-fix", "toi"]),
        (1, "technologies: [debian-12]", "technologies: [debian-13]", &["debian-13"]),
        (1, "ARIGHT_SET", "PATH", &["PATH", "ARIGHT_"]),
        (1, "ARIGHT_SET", "ARIGHT_set", &["ARIGHT_set"]),
        (1, "'[1-4]'", "'[1-4'", &["ARIGHT_SET", "pattern"]),
        (1, "'[1-4]'", "'1)|(?:2'", &["ARIGHT_SET", "pattern"]),
        (1, "[/etc/toys]", "[etc/toys]", &["etc/toys", "absolute"]),
        (1, "[/etc/toys]", "[/etc//toys]", &["absolute"]),
        (1, "[/etc/toys]", "[/etc/toys]\nactivate: [{reload: []}]", &["reload"]),
        (1, "[/etc/toys]", "[/etc/toys]\nactivate: [{reload: [--now]}]", &["reload", "--now"]),
        (1, "[/etc/toys]", "[/etc/toys]\nactivate: [{explode: [x]}]", &["explode"]),
        (1, "with: {field: id}", "with: {field: shoe}", &["guard", "shoe"]),
        (1, "[/etc/toys]", "[/etc/toys, /etc/toys]", &["/etc/toys", "twice"]),
        (1, "[/etc/toys]", "['service:toys']", &["service:toys", "windows", "sh of linux"]),
        (1, "[/etc/toys]", "['C:\\toys']", &["C:\\toys", "windows"]),
        (1, "interpreter: sh", "interpreter: cmd", &["/etc/toys", "linux", "cmd of windows"]),
        (
            1,
            "interpreter: sh\nparams: {ARIGHT_SET: {from: set, pattern: '[1-4]'}}\ntouches: [/etc/toys]",
            "interpreter: cmd\ntouches: ['registry:HKLM\\A\\B']",
            &["interpreter", "cmd", "debian-12"],
        ),
        (
            1,
            "interpreter: sh\nparams: {ARIGHT_SET: {from: set, pattern: '[1-4]'}}\ntouches: [/etc/toys]",
            "interpreter: cmd\ntouches: ['registry:HKLM\\A\\B', 'registry:HKLM\\a\\b']",
            &["HKLM\\a\\b", "twice"],
        ),
        (1, "body: echo", "body: ''", &["body"]),
        (1, "risk: safe", "risk: none", &["risk", "none"]),
        (2, "control: toy", "control: toi", &["policy toys", "toi"]),
        (2, ", set: 2", "", &["policy toys", "4", "le 3", "set"]),
        (2, "set: 2", "set: 9", &["9", "le 3"]),
        (
            2,
            "expect: {value: 3}, set: 2",
            "expect: {operator: re, value: x}, set: x",
            &["expect", "re", "integer"],
        ),
        (2, "value: 3", "value: x", &["policy toys", "le"]),
        (2, "value: 3", "valu: 3", &["valu"]),
        (2, "technologies: [debian-12]", "technologies: [beos]", &["beos"]),
        (
            2,
            "technologies: [debian-12]",
            "technologies: []",
            &["policy toys", "technologies", "at least one"],
        ),
        (
            2,
            "technologies: [debian-12]",
            "technologies: [debian-13]",
            &["controls: toy", "none of the policy"],
        ),
        (2, "number: 9\n", "", &["policy toys", "number: 0", "99999"]),
        (2, "number: 9\n", "number: 100000\n", &["100000", "99999"]),
        (2, "title: Toys", "title: ' '", &["title", "one line"]),
        (2, "title: All", "title: \"a\\u001bb\"", &["sections.title", "one line"]),
        (2, "version: 1", "version: 0", &["version: 0", "begin with 1"]),
        (2, "[{control: toy, expect: {value: 3}, set: 2}]", "[]", &["sections", "at least one control"]),
        (2, "version: 1", "version: 1\nassign: {include: {any: []}}", &["assign.include", "names no tag"]),
        (2, "version: 1", "version: 1\nassign: {include: {any: [a], all: [b]}}", &["assign.include"]),
        (
            2,
            "version: 1",
            "version: 1\nassign: {include: {any: [a]}, exclude: {all: [' b']}}",
            &["exclude", "\" b\""],
        ),
    ];
    for (at, old, new, words) in cases {
        let mut texts = [CONTROL.to_owned(), SCRIPT.to_owned(), POLICY.to_owned()];
        assert!(texts[*at].contains(old), "{old} is not in the text");
        texts[*at] = texts[*at].replacen(old, new, 1);
        let error = parse_toys(&texts[0], &texts[1], &texts[2]).map(drop).expect_err(new).to_string();
        for word in *words {
            assert!(error.contains(word), "{new:?}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn a_script_has_at_most_500_kb() {
    let script = |size: usize| SCRIPT.replace("body: echo", &format!("body: {}", "x".repeat(size)));
    assert!(parse_toys(CONTROL, &script(500_000), POLICY).is_ok());
    let error = parse_toys(CONTROL, &script(500_001), POLICY).expect_err("too large").to_string();
    assert!(error.contains("500001") && error.contains("500000"), "{error}");
}
