//! The probe against what `sshd -T` of OpenSSH 9.2p1 (Debian 12) printed for the same files.

use super::super::testing::look_at;
use super::*;

/// `sshd -T` ended with an error.
const REFUSED: &str = "refused";

/// `sshd_config`, `sshd_config.d/50-x.conf`, an option, and what sshd printed.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("", "", "PermitRootLogin", "without-password"),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin yes\n",
        "PermitRootLogin no\n",
        "PermitRootLogin",
        "no",
    ),
    (
        "PermitRootLogin yes\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        "PermitRootLogin no\n",
        "PermitRootLogin",
        "yes",
    ),
    ("Include sshd_config.d/*.conf\n", "PermitRootLogin no\n", "PermitRootLogin", "no"),
    ("Include \"/etc/ssh/sshd_config.d/*.conf\"\n", "MaxAuthTries 2\n", "MaxAuthTries", "2"),
    ("Include=/etc/ssh/sshd_config.d/*.conf\n", "MaxAuthTries 2\n", "MaxAuthTries", "2"),
    ("include /etc/ssh/none/*.conf sshd_config.d/5?-x.conf\n", "MaxAuthTries 2\n", "MaxAuthTries", "2"),
    ("permitrootlogin NO\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin=no\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin = no\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin =no\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin== no\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin \"no\"\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin 'no'\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no # why\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no#x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no yes\n", "", "PermitRootLogin", "refused"),
    ("\t PermitRootLogin\tno\r\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin prohibit-password\n", "", "PermitRootLogin", "without-password"),
    ("PermitRootLogin without-password\n", "", "PermitRootLogin", "without-password"),
    ("PermitRootLogin Yes\n", "", "PermitRootLogin", "yes"),
    ("PermitRootLogin true\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin\n", "", "PermitRootLogin", "refused"),
    ("#PermitRootLogin no\n", "", "PermitRootLogin", "without-password"),
    ("Match User bob\nPermitRootLogin no\n", "", "PermitRootLogin", "without-password"),
    ("Match User bob\nMatch all\nPermitRootLogin no\n", "", "PermitRootLogin", "no"),
    ("Match all\nPermitRootLogin no\n", "", "PermitRootLogin", "no"),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nMaxAuthTries 5\n",
        "Match User bob\nMaxAuthTries 1\n",
        "MaxAuthTries",
        "5",
    ),
    (
        "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\nMatch all\nMaxAuthTries 3\n",
        "MaxAuthTries 1\n",
        "MaxAuthTries",
        "3",
    ),
    (
        "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        "Match all\nMaxAuthTries 1\n",
        "MaxAuthTries",
        "6",
    ),
    ("LoginGraceTime 1m30s\n", "", "LoginGraceTime", "90"),
    ("LoginGraceTime 0\n", "", "LoginGraceTime", "0"),
    ("LoginGraceTime 2H\n", "", "LoginGraceTime", "7200"),
    ("LoginGraceTime 1m30\n", "", "LoginGraceTime", "90"),
    ("LoginGraceTime 1x\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime none\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime -1\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime 1d\n", "", "LoginGraceTime", "86400"),
    ("LoginGraceTime 5 m\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime m\n", "", "LoginGraceTime", "refused"),
    ("ClientAliveInterval 5m\n", "", "ClientAliveInterval", "300"),
    ("ClientAliveInterval 010\n", "", "ClientAliveInterval", "10"),
    ("ClientAliveCountMax 0\n", "", "ClientAliveCountMax", "0"),
    ("MaxAuthTries 0\n", "", "MaxAuthTries", "0"),
    ("MaxAuthTries six\n", "", "MaxAuthTries", "refused"),
    ("MaxAuthTries 4x\n", "", "MaxAuthTries", "refused"),
    ("MaxAuthTries -3\n", "", "MaxAuthTries", "refused"),
    ("MaxAuthTries 0x4\n", "", "MaxAuthTries", "refused"),
    ("MaxAuthTries 010\n", "", "MaxAuthTries", "10"),
    ("MaxAuthTries \"4\"\n", "", "MaxAuthTries", "4"),
    ("MaxAuthTries 4\nMaxAuthTries 2\n", "", "MaxAuthTries", "4"),
    ("Banner /etc/issue.net\n", "", "Banner", "/etc/issue.net"),
    ("Banner none\n", "", "Banner", "none"),
    ("Banner None\n", "", "Banner", "none"),
    ("Banner \"/etc/my issue\"\n", "", "Banner", "/etc/my issue"),
    ("Banner /etc/my\\ issue\n", "", "Banner", "/etc/my issue"),
    ("Banner /etc/a /etc/b\n", "", "Banner", "refused"),
    ("Banner NONE\nBanner /x\n", "", "Banner", "none"),
    ("PermitEmptyPasswords yes\n", "", "PermitEmptyPasswords", "yes"),
    ("PermitEmptyPasswords TRUE\n", "", "PermitEmptyPasswords", "refused"),
    ("PermitEmptyPasswords 1\n", "", "PermitEmptyPasswords", "refused"),
    ("\"PermitRootLogin\" no\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin \"no\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin \\no\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin \"\"\n", "", "PermitRootLogin", "refused"),
];

#[test]
fn the_probe_says_what_sshd_says() {
    for (main, dropin, option, printed) in ROWS {
        look_at(&[("etc/ssh/sshd_config", main), ("etc/ssh/sshd_config.d/50-x.conf", dropin)], |look| {
            let with = SshdOption { option: (*option).into(), config: "/etc/ssh/sshd_config".into() };
            let reading = see(look, &with).reading;
            let seen = match &reading {
                Reading::Error { .. } => REFUSED.to_owned(),
                other => other.to_string(),
            };
            assert_eq!(seen, *printed, "{main:?} with {dropin:?}: {reading}");
        });
    }
}
