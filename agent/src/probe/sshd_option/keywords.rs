//! The keywords of sshd_config(5), of OpenSSH 8.9 to 10 with what Debian, Ubuntu and Red Hat add: where each
//! may stand, how its value is written, and what sshd takes where no line sets it.

use super::algorithms::Family;

pub(super) struct Keyword {
    /// By its own name, where `name` was another one for it.
    pub name: &'static str,
    /// Whether it may stand below `Match`.
    pub in_match: bool,
    /// `None` where this probe does not know the value.
    pub kind: Option<Kind>,
}

/// How a value is written, and sshd's default.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One of these words; the first of each pair is written, the second is what `sshd -T` prints.
    Word(&'static [(&'static str, &'static str)], &'static str),
    /// Yes and no in lower case, else a list of patterns.
    FlagOrPatterns(&'static str),
    Integer(i64),
    /// Seconds, with units (sshd_config(5), TIME FORMATS).
    Time(i64),
    Path(&'static str),
    /// A list; its default is built into the program.
    Algorithms(Family),
}

type Words = &'static [(&'static str, &'static str)];

const FLAG: Words = &[("yes", "yes"), ("no", "no")];
const YES: Option<Kind> = Some(Kind::Word(FLAG, "yes"));
const NO: Option<Kind> = Some(Kind::Word(FLAG, "no"));
const ROOT: Words = &[
    ("yes", "yes"),
    ("no", "no"),
    ("prohibit-password", "without-password"),
    ("without-password", "without-password"),
    ("forced-commands-only", "forced-commands-only"),
];
const RHOSTS: Words = &[("yes", "yes"), ("no", "no"), ("shosts-only", "shosts-only")];
const FORWARDING: Words =
    &[("yes", "yes"), ("all", "yes"), ("no", "no"), ("remote", "remote"), ("local", "local")];
const GATEWAY: Words = &[("clientspecified", "clientspecified"), ("yes", "yes"), ("no", "no")];
const COMPRESSION: Words = &[("yes", "yes"), ("delayed", "yes"), ("no", "no")];
const FAMILY: Words = &[("any", "any"), ("inet", "inet"), ("inet6", "inet6")];
const LEVEL: Words = &[
    ("quiet", "QUIET"),
    ("fatal", "FATAL"),
    ("error", "ERROR"),
    ("info", "INFO"),
    ("verbose", "VERBOSE"),
    ("debug", "DEBUG"),
    ("debug1", "DEBUG"),
    ("debug2", "DEBUG2"),
    ("debug3", "DEBUG3"),
];

const IN_MATCH: &[(&str, Option<Kind>)] = &[
    ("acceptenv", None),
    ("allowagentforwarding", YES),
    ("allowgroups", None),
    ("allowstreamlocalforwarding", Some(Kind::Word(FORWARDING, "yes"))),
    ("allowtcpforwarding", Some(Kind::Word(FORWARDING, "yes"))),
    ("allowusers", None),
    ("authenticationmethods", None),
    ("authorizedkeyscommand", None),
    ("authorizedkeyscommanduser", None),
    ("authorizedkeysfile", None),
    ("authorizedkeysfile2", None),
    ("authorizedprincipalscommand", None),
    ("authorizedprincipalscommanduser", None),
    ("authorizedprincipalsfile", None),
    ("banner", Some(Kind::Path("none"))),
    ("casignaturealgorithms", None),
    ("channeltimeout", None),
    ("chrootdirectory", None),
    ("clientalivecountmax", Some(Kind::Integer(3))),
    ("clientaliveinterval", Some(Kind::Time(0))),
    ("denygroups", None),
    ("denyusers", None),
    ("disableforwarding", NO),
    ("exposeauthinfo", NO),
    ("forcecommand", None),
    ("gatewayports", Some(Kind::Word(GATEWAY, "no"))),
    ("gssapiauthentication", None),
    ("gssapienablek5users", None),
    ("hostbasedacceptedalgorithms", None),
    ("hostbasedauthentication", NO),
    ("hostbasedusesnamefrompacketonly", NO),
    ("ignorerhosts", Some(Kind::Word(RHOSTS, "yes"))),
    ("include", None),
    ("ipqos", None),
    ("kbdinteractiveauthentication", YES),
    ("kerberosauthentication", None),
    ("kerberosusekuserok", None),
    ("loglevel", Some(Kind::Word(LEVEL, "INFO"))),
    ("logverbose", None),
    ("match", None),
    ("maxauthtries", Some(Kind::Integer(6))),
    ("maxsessions", Some(Kind::Integer(10))),
    ("pamservicename", None),
    ("passwordauthentication", YES),
    ("permitemptypasswords", NO),
    ("permitlisten", None),
    ("permitopen", None),
    ("permitrootlogin", Some(Kind::Word(ROOT, "without-password"))),
    ("permittty", YES),
    ("permittunnel", None),
    ("permituserrc", YES),
    ("pubkeyacceptedalgorithms", None),
    ("pubkeyauthentication", YES),
    ("pubkeyauthoptions", None),
    ("rdomain", None),
    ("refuseconnection", None),
    ("rekeylimit", None),
    ("requiredrsasize", None),
    ("revokedkeys", None),
    ("rhostsrsaauthentication", None),
    ("rsaauthentication", None),
    ("rsaminsize", None),
    ("setenv", None),
    ("streamlocalbindmask", None),
    ("streamlocalbindunlink", NO),
    // Since 9.5; before that for everybody only.
    ("subsystem", None),
    ("trustedusercakeys", None),
    ("unusedconnectiontimeout", None),
    ("x11displayoffset", Some(Kind::Integer(10))),
    ("x11forwarding", NO),
    ("x11maxdisplays", None),
    ("x11uselocalhost", YES),
];

const FOR_EVERYBODY: &[(&str, Option<Kind>)] = &[
    ("addressfamily", Some(Kind::Word(FAMILY, "any"))),
    ("afstokenpassing", None),
    ("checkmail", None),
    ("ciphers", Some(Kind::Algorithms(Family::Ciphers))),
    ("compression", Some(Kind::Word(COMPRESSION, "yes"))),
    ("debianbanner", None),
    ("fingerprinthash", None),
    ("gssapicleanupcredentials", None),
    ("gssapidelegatecredentials", None),
    ("gssapikexalgorithms", None),
    ("gssapikeyexchange", None),
    ("gssapistorecredentialsonrekey", None),
    ("gssapistrictacceptorcheck", None),
    ("hostcertificate", None),
    ("hostkey", None),
    ("hostkeyagent", None),
    ("hostkeyalgorithms", None),
    ("ignoreuserknownhosts", NO),
    ("kerberosgetafstoken", None),
    ("kerberosorlocalpasswd", None),
    ("kerberostgtpassing", None),
    ("kerberosticketcleanup", None),
    ("kerberosuniqueccache", None),
    ("kexalgorithms", Some(Kind::Algorithms(Family::KeyExchange))),
    ("keyregenerationinterval", None),
    ("listenaddress", None),
    ("logingracetime", Some(Kind::Time(120))),
    ("macs", Some(Kind::Algorithms(Family::Macs))),
    ("maxstartups", None),
    ("modulifile", None),
    ("pamauthenticationviakbdint", None),
    ("permituserenvironment", Some(Kind::FlagOrPatterns("no"))),
    ("persourcemaxstartups", None),
    ("persourcenetblocksize", None),
    ("persourcepenalties", None),
    ("persourcepenaltyexemptlist", None),
    ("pidfile", None),
    ("port", None),
    ("printlastlog", YES),
    ("printmotd", YES),
    ("protocol", None),
    ("reversemappingcheck", None),
    ("rhostsauthentication", None),
    ("securitykeyprovider", None),
    ("serverkeybits", None),
    ("sshdauthpath", None),
    ("sshdsessionpath", None),
    ("strictmodes", YES),
    ("syslogfacility", None),
    ("tcpkeepalive", YES),
    ("usedns", NO),
    ("uselogin", None),
    ("usepam", NO),
    ("useprivilegeseparation", None),
    ("verifyreversemapping", None),
    ("versionaddendum", None),
    ("xauthlocation", None),
];

const OTHER_NAMES: &[(&str, &str)] = &[
    ("challengeresponseauthentication", "kbdinteractiveauthentication"),
    ("dsaauthentication", "pubkeyauthentication"),
    ("hostbasedacceptedkeytypes", "hostbasedacceptedalgorithms"),
    ("hostdsakey", "hostkey"),
    ("keepalive", "tcpkeepalive"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("skeyauthentication", "kbdinteractiveauthentication"),
];

/// Without case; `None` where sshd refuses the file for it.
pub(super) fn keyword(written: &str) -> Option<Keyword> {
    let written = written.to_ascii_lowercase();
    let name =
        OTHER_NAMES.iter().find(|(other, _)| *other == written).map_or(written.as_str(), |(_, own)| own);
    for (table, in_match) in [(IN_MATCH, true), (FOR_EVERYBODY, false)] {
        if let Some((name, kind)) = table.iter().find(|(known, _)| *known == name) {
            // The one other name that may stand in fewer places than the option itself.
            let in_match = in_match && written != "dsaauthentication";
            return Some(Keyword { name, in_match, kind: *kind });
        }
    }
    None
}
