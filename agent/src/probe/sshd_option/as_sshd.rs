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
    ("PermitRootLogin no\nBogus yes\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nPort\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nPort \n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nAllowUsers #x\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch foo bar\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch all user bob\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch user bob all\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User=bob\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch User bob # c\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch all # c\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMaxAuthTries x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nLoginGraceTime 1x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nX11Forwarding maybe\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User bob\nPort 22\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User bob\nMaxAuthTries x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User bob\nLoginGraceTime 5\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch all\nLoginGraceTime 5\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch User bob\nBogus x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nInclude\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nInclude \"\"\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nInclude /nowhere\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch User bob\nKeepAlive yes\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User bob\nDSAAuthentication yes\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nProtocol 2\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nUseLogin\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nRSAAuthentication x y z\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nDebianBanner no\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nPermitRootLogin\tno\tyes\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch LocalPort x\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch Address 10.0.0.0/33\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nMatch User bob\nMatch\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\n\"Port\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nAllowUsers \"a\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nListenAddress\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\n # c\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\n#\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\n\u{c}\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nPort 22 \u{c}\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nMatch  User  bob  Address 10.0.0.0/8\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nPermitTTY\n", "", "PermitRootLogin", "refused"),
    ("PermitRootLogin no\nAcceptEnv LANG LC_*\n", "", "PermitRootLogin", "no"),
    ("PermitRootLogin no\nSubsystem sftp /x\n", "", "PermitRootLogin", "no"),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n",
        "Bogus x\n",
        "PermitRootLogin",
        "refused",
    ),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n",
        "Match User bob\nBanner /x\n",
        "PermitRootLogin",
        "no",
    ),
    ("Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n", "Port 22\n", "PermitRootLogin", "refused"),
    (
        "Match all\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        "PermitRootLogin yes\nLoginGraceTime 5\n",
        "PermitRootLogin",
        "yes",
    ),
    ("PermitUserEnvironment YES\n", "", "PermitUserEnvironment", "YES"),
    ("PermitUserEnvironment yes\n", "", "PermitUserEnvironment", "yes"),
    ("PermitUserEnvironment no\n", "", "PermitUserEnvironment", "no"),
    ("PermitUserEnvironment LANG,LC_*\n", "", "PermitUserEnvironment", "LANG,LC_*"),
    ("PermitUserEnvironment No\n", "", "PermitUserEnvironment", "No"),
    ("LoginGraceTime 99999999999\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime 2147483647\n", "", "LoginGraceTime", "2147483647"),
    ("LoginGraceTime 2147483648\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime 1W\n", "", "LoginGraceTime", "604800"),
    ("LoginGraceTime 4000w\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime 1m30s5\n", "", "LoginGraceTime", "95"),
    ("LoginGraceTime +5\n", "", "LoginGraceTime", "5"),
    ("LoginGraceTime 1.5\n", "", "LoginGraceTime", "refused"),
    ("LoginGraceTime \" 5\"\n", "", "LoginGraceTime", "5"),
    ("MaxAuthTries +4\n", "", "MaxAuthTries", "4"),
    ("MaxAuthTries 2147483647\n", "", "MaxAuthTries", "2147483647"),
    ("MaxAuthTries 2147483648\n", "", "MaxAuthTries", "refused"),
    ("MaxAuthTries  4\n", "", "MaxAuthTries", "4"),
    ("MaxAuthTries \" 4\"\n", "", "MaxAuthTries", "4"),
    ("Banner issue\n", "", "Banner", "//issue"),
    ("Banner ./issue\n", "", "Banner", "//./issue"),
    ("Banner ~/x\n", "", "Banner", "/root/x"),
    ("Banner \"\"\n", "", "Banner", "refused"),
    ("Banner nonex\n", "", "Banner", "//nonex"),
    ("IgnoreRhosts shosts-only\n", "", "IgnoreRhosts", "shosts-only"),
    ("IgnoreRhosts yes\n", "", "IgnoreRhosts", "yes"),
    ("IgnoreRhosts Maybe\n", "", "IgnoreRhosts", "refused"),
    ("PermitRootLogin no\nMACs bogus\n", "", "PermitRootLogin", "refused"),
    ("LogLevel debug\n", "", "LogLevel", "DEBUG"),
    ("LogLevel DEBUG1\n", "", "LogLevel", "DEBUG"),
    ("LogLevel verbose\n", "", "LogLevel", "VERBOSE"),
    ("LogLevel x\n", "", "LogLevel", "refused"),
    ("AllowTcpForwarding all\n", "", "AllowTcpForwarding", "yes"),
    ("AllowTcpForwarding local\n", "", "AllowTcpForwarding", "local"),
    ("Compression delayed\n", "", "Compression", "yes"),
    ("GatewayPorts ClientSpecified\n", "", "GatewayPorts", "clientspecified"),
    (
        "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\n",
        "",
        "KbdInteractiveAuthentication",
        "no",
    ),
    ("KeepAlive no\n", "", "TCPKeepAlive", "no"),
    ("AddressFamily INET\n", "", "AddressFamily", "inet"),
    ("MaxSessions 2\n", "", "MaxSessions", "2"),
    ("X11Forwarding yes\nX11Forwarding no\n", "", "X11Forwarding", "yes"),
    ("UsePAM yes\n", "", "UsePAM", "yes"),
    ("", "", "AllowAgentForwarding", "yes"),
    ("", "", "AllowStreamLocalForwarding", "yes"),
    ("", "", "AllowTcpForwarding", "yes"),
    ("", "", "AddressFamily", "any"),
    ("", "", "ClientAliveCountMax", "3"),
    ("", "", "Compression", "yes"),
    ("", "", "DisableForwarding", "no"),
    ("", "", "ExposeAuthInfo", "no"),
    ("", "", "GatewayPorts", "no"),
    ("", "", "HostbasedAuthentication", "no"),
    ("", "", "HostbasedUsesNameFromPacketOnly", "no"),
    ("", "", "IgnoreRhosts", "yes"),
    ("", "", "IgnoreUserKnownHosts", "no"),
    ("", "", "KbdInteractiveAuthentication", "yes"),
    ("", "", "LogLevel", "INFO"),
    ("", "", "LoginGraceTime", "120"),
    ("", "", "MaxSessions", "10"),
    ("", "", "PasswordAuthentication", "yes"),
    ("", "", "PermitTTY", "yes"),
    ("", "", "PermitUserRC", "yes"),
    ("", "", "PermitUserEnvironment", "no"),
    ("", "", "PrintLastLog", "yes"),
    ("", "", "PrintMotd", "yes"),
    ("", "", "PubkeyAuthentication", "yes"),
    ("", "", "StreamLocalBindUnlink", "no"),
    ("", "", "StrictModes", "yes"),
    ("", "", "TCPKeepAlive", "yes"),
    ("", "", "UseDNS", "no"),
    ("", "", "UsePAM", "no"),
    ("", "", "X11DisplayOffset", "10"),
    ("", "", "X11Forwarding", "no"),
    ("", "", "X11UseLocalhost", "yes"),
    ("", "", "Banner", "none"),
    ("", "", "PermitEmptyPasswords", "no"),
];

/// What stands in the program.
const DEFAULT_CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
const DEFAULT_MACS: &str = "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";
const DEFAULT_KEX: &str = "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256";
/// Algorithms that it has besides.
const MORE: &str = "3des-cbc\0hmac-md5\0hmac-md5-96\0diffie-hellman-group1-sha1\0diffie-hellman-group14-sha1\0ssh-ed25519\0none\0\
     ext-info-s\0gss-gex-sha1-\0kex-strict-s-v00@openssh.com\0";

/// `sshd_config`, an option, and what sshd printed; `default` stands for the option's default list.
const LISTS: &[(&str, &str, &str)] = &[
    ("", "Ciphers", "default"),
    ("Ciphers aes128-ctr,aes256-ctr\n", "Ciphers", "aes128-ctr,aes256-ctr"),
    ("Ciphers aes128-ctr,aes128-ctr\n", "Ciphers", "aes128-ctr"),
    ("Ciphers +3des-cbc\n", "Ciphers", "default,3des-cbc"),
    ("Ciphers +aes128-ctr\n", "Ciphers", "default"),
    (
        "Ciphers -aes*-ctr\n",
        "Ciphers",
        "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    ),
    ("Ciphers -*\n", "Ciphers", "default"),
    ("Ciphers -chacha20*,aes*-gcm@*\n", "Ciphers", "aes128-ctr,aes192-ctr,aes256-ctr"),
    (
        "Ciphers ^aes256-ctr\n",
        "Ciphers",
        "aes256-ctr,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    ),
    (
        "Ciphers ^3des-cbc,aes256-ctr\n",
        "Ciphers",
        "3des-cbc,aes256-ctr,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    ),
    ("Ciphers bogus\n", "Ciphers", "refused"),
    ("Ciphers aes128-ctr,\n", "Ciphers", "aes128-ctr"),
    ("Ciphers +bogus\n", "Ciphers", "refused"),
    ("Ciphers hmac-sha1\n", "Ciphers", "refused"),
    ("Ciphers aes*\n", "Ciphers", "refused"),
    ("Ciphers -bogus\n", "Ciphers", "default"),
    ("Ciphers none\n", "Ciphers", "refused"),
    ("Ciphers aes128-ctr aes256-ctr\n", "Ciphers", "refused"),
    ("Ciphers AES128-CTR\n", "Ciphers", "refused"),
    ("Ciphers +\n", "Ciphers", "refused"),
    ("Ciphers -\n", "Ciphers", "default"),
    ("Ciphers \"aes128-ctr,aes256-ctr\"\n", "Ciphers", "aes128-ctr,aes256-ctr"),
    ("Ciphers -*,!aes256-ctr\n", "Ciphers", "aes256-ctr"),
    ("Ciphers aes128-ctr,bogus\n", "Ciphers", "refused"),
    ("Ciphers 3des-cbc\n", "Ciphers", "3des-cbc"),
    ("Ciphers =aes128-ctr\n", "Ciphers", "aes128-ctr"),
    ("", "MACs", "default"),
    ("MACs hmac-sha2-256\n", "MACs", "hmac-sha2-256"),
    (
        "MACs -*sha1*\n",
        "MACs",
        "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512",
    ),
    (
        "MACs -*-etm@openssh.com\n",
        "MACs",
        "umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1",
    ),
    ("MACs +hmac-md5\n", "MACs", "default,hmac-md5"),
    ("MACs +hmac-md5-96,hmac-sha1\n", "MACs", "default,hmac-md5-96"),
    (
        "MACs ^hmac-sha2-512\n",
        "MACs",
        "hmac-sha2-512,umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha1",
    ),
    ("MACs aes128-ctr\n", "MACs", "refused"),
    (
        "MACs -umac-64*,hmac-sha1*\n",
        "MACs",
        "umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512",
    ),
    ("", "KexAlgorithms", "default"),
    ("KexAlgorithms curve25519-sha256\n", "KexAlgorithms", "curve25519-sha256"),
    (
        "KexAlgorithms -diffie-hellman-*\n",
        "KexAlgorithms",
        "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521",
    ),
    ("KexAlgorithms +diffie-hellman-group1-sha1\n", "KexAlgorithms", "default,diffie-hellman-group1-sha1"),
    (
        "KexAlgorithms +diffie-hellman-group14-sha1,curve25519-sha256\n",
        "KexAlgorithms",
        "default,diffie-hellman-group14-sha1",
    ),
    (
        "KexAlgorithms ^ecdh-sha2-nistp521\n",
        "KexAlgorithms",
        "ecdh-sha2-nistp521,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256",
    ),
    ("KexAlgorithms mlkem768x25519-sha256\n", "KexAlgorithms", "refused"),
    ("KexAlgorithms ssh-ed25519\n", "KexAlgorithms", "refused"),
    ("KexAlgorithms ext-info-s\n", "KexAlgorithms", "refused"),
    ("KexAlgorithms gss-gex-sha1-\n", "KexAlgorithms", "refused"),
    ("KexAlgorithms kex-strict-s-v00@openssh.com\n", "KexAlgorithms", "refused"),
    ("Ciphers aes128-ctr\nCiphers bogus\n", "Ciphers", "refused"),
];

#[test]
fn the_probe_says_what_sshd_says() {
    for (main, dropin, option, printed) in ROWS {
        look_at(&[("etc/ssh/sshd_config", main), ("etc/ssh/sshd_config.d/50-x.conf", dropin)], |look| {
            assert_eq!(seen(look, option), *printed, "{main:?} with {dropin:?}");
        });
    }
}

#[test]
fn lists_of_algorithms_are_those_of_sshd() {
    let own: String =
        [DEFAULT_CIPHERS, DEFAULT_MACS, DEFAULT_KEX].map(|list| list.replace(',', "\0") + "\0").concat();
    let program = format!("\u{7f}ELF\0{DEFAULT_CIPHERS}\0{DEFAULT_MACS}\0{DEFAULT_KEX}\0{own}{MORE}");
    for (main, option, printed) in LISTS {
        let default = match *option {
            "Ciphers" => DEFAULT_CIPHERS,
            "MACs" => DEFAULT_MACS,
            _ => DEFAULT_KEX,
        };
        look_at(&[("etc/ssh/sshd_config", main), ("usr/sbin/sshd", &program)], |look| {
            assert_eq!(seen(look, option), printed.replace("default", default), "{main:?}");
        });
    }
}

#[test]
fn without_the_program_a_default_list_is_unresolved() {
    look_at(&[("etc/ssh/sshd_config", "Ciphers +3des-cbc\nKexAlgorithms curve25519-sha256\n")], |look| {
        let reading = |option: &str| see(look, &with(option)).reading.to_string();
        assert!(reading("Ciphers").contains("unresolved") && reading("MACs").contains("unresolved"));
        assert_eq!(reading("KexAlgorithms"), "[curve25519-sha256]");
        assert_eq!(reading("MaxAuthTries"), "6", "other options are known all the same");
    });
}

/// Where this host has an sshd, it is asked about every file that includes nothing.
#[test]
fn the_sshd_of_this_host_says_the_same() {
    let sshd = std::path::Path::new("/usr/sbin/sshd");
    if !sshd.exists() || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: no sshd here, or not root");
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let (key, config) = (dir.path().join("key"), dir.path().join("config"));
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "a host key");
    let program = std::fs::read(sshd).expect("the program");
    let program = String::from_utf8_lossy(&program);
    let said = |option: &str| {
        let mut asked = std::process::Command::new(sshd);
        asked.args(["-T", "-f"]).arg(&config).arg("-h").arg(&key).current_dir("/");
        let said = asked.output().expect("runs");
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let name = format!("{} ", option.to_lowercase());
        let value = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
        if said.status.success() { value.to_owned() } else { REFUSED.to_owned() }
    };
    std::fs::write(&config, "").expect("written");
    if said("Banner") == REFUSED {
        eprintln!("skipped: sshd does not start here, whatever its settings (no /run/sshd?)");
        return;
    }
    let lists = LISTS.iter().map(|(main, option, _)| (*main, *option));
    let files = ROWS.iter().map(|(main, _, option, _)| (*main, *option)).chain(lists);
    for (main, option) in files.filter(|(main, _)| !main.to_lowercase().contains("include")) {
        std::fs::write(&config, main).expect("written");
        let said = said(option);
        look_at(&[("etc/ssh/sshd_config", main), ("usr/sbin/sshd", &program)], |look| {
            assert_eq!(seen(look, option), said, "{main:?} {option}");
        });
    }
}

fn with(option: &str) -> SshdOption {
    SshdOption { option: option.into(), config: "/etc/ssh/sshd_config".into() }
}

/// As `sshd -T` prints it.
fn seen(look: &Look<'_>, option: &str) -> String {
    match see(look, &with(option)).reading {
        Reading::Error { .. } => REFUSED.to_owned(),
        Reading::Value(Value::List(names)) => names.iter().map(Value::plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
