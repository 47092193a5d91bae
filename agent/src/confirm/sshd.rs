//! Whether sshd answers, accepts its settings, and still lets an administrator in.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use crate::activate::tool;

const LIMIT: Duration = Duration::from_secs(10);
/// How long a connection and its greeting may take.
const GREETING: Duration = Duration::from_secs(3);
/// Most administrators that are tried.
const TRIED: usize = 50;
/// Groups whose members can become root.
const GROUPS: [&str; 2] = ["sudo", "wheel"];

/// Settings in force, as `sshd -T` prints them: lower-case key, value.
pub type Settings = Vec<(String, String)>;

/// `sshd -t`: its files are valid.
pub fn accepts_its_settings() -> bool {
    tool::find("sshd").is_some_and(|sshd| tool::run(&sshd, &["-t"], LIMIT).is_ok())
}

/// Something that greets as an SSH server listens where sshd is set to.
pub fn answers() -> bool {
    settings(None).is_some_and(|settings| addresses(&settings).into_iter().any(greets))
}

/// At least one member of the administrators' groups may log in.
pub fn lets_an_administrator_in(root: &Path) -> bool {
    let admins = administrators(root);
    admins
        .iter()
        .take(TRIED)
        .any(|(user, groups)| settings(Some(user)).is_some_and(|settings| lets_in(&settings, user, groups)))
}

fn settings(user: Option<&str>) -> Option<Settings> {
    let sshd = tool::find("sshd")?;
    let connection =
        user.map(|user| format!("user={user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"));
    let mut arguments = vec!["-T"];
    arguments.extend(connection.iter().flat_map(|connection| ["-C", connection]));
    Some(parse(&tool::run(&sshd, &arguments, LIMIT).ok()?))
}

fn parse(text: &str) -> Settings {
    let pair = |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Where to knock: `listenaddress` already carries the ports.
fn addresses(settings: &Settings) -> Vec<SocketAddr> {
    let listed = settings.iter().filter(|(key, _)| key == "listenaddress").map(|(_, value)| value.as_str());
    let local = |text: &str| text.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    listed.filter_map(|text| local(text).to_socket_addrs().ok()?.next()).collect()
}

fn greets(at: SocketAddr) -> bool {
    let greet = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&at, GREETING)?;
        stream.set_read_timeout(Some(GREETING))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        Ok(&greeting == b"SSH-")
    };
    greet().unwrap_or(false)
}

/// sshd_config(5): first the denied, then the allowed users, the same for groups; then any way to prove oneself.
fn lets_in(settings: &Settings, user: &str, groups: &BTreeSet<String>) -> bool {
    let patterns = |key: &str| {
        let lines = settings.iter().filter(move |(k, _)| k == key);
        lines.flat_map(|(_, value)| value.split_whitespace()).map(str::to_owned).collect::<Vec<_>>()
    };
    let is_user =
        |pattern: &String| matches(pattern.split_once('@').map_or(pattern.as_str(), |(user, _)| user), user);
    let in_group = |pattern: &String| groups.iter().any(|group| matches(pattern, group));
    let (deny_users, allow_users) = (patterns("denyusers"), patterns("allowusers"));
    let (deny_groups, allow_groups) = (patterns("denygroups"), patterns("allowgroups"));
    // A denial for some hosts only is none for all.
    let denied = deny_users.iter().any(|pattern| !pattern.contains('@') && is_user(pattern))
        || deny_groups.iter().any(in_group);
    let allowed = (allow_users.is_empty() || allow_users.iter().any(is_user))
        && (allow_groups.is_empty() || allow_groups.iter().any(in_group));
    let ways = ["pubkey", "password", "kbdinteractive", "gssapi", "hostbased"];
    let some_way = ways.iter().any(|way| {
        settings.iter().any(|(key, value)| value == "yes" && key.strip_suffix("authentication") == Some(way))
    });
    !denied && allowed && some_way
}

/// `*` and `?`, as sshd matches names.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&pattern[1..], name)
                || name.chars().next().is_some_and(|c| matches(pattern, &name[c.len_utf8()..]))
        }
        (Some('?'), Some(c)) => matches(&pattern[1..], &name[c.len_utf8()..]),
        (Some(p), Some(c)) if p == c => matches(&pattern[p.len_utf8()..], &name[c.len_utf8()..]),
        _ => false,
    }
}

/// Members of the administrators' groups, each with all its groups.
fn administrators(root: &Path) -> Vec<(String, BTreeSet<String>)> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (users, groups) = (read("etc/passwd"), read("etc/group"));
    let of = |user: &str, own: &str| -> BTreeSet<String> {
        let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 4);
        fields
            .filter(|f| f[2] == own || f[3].split(',').any(|member| member == user))
            .map(|f| f[0].to_owned())
            .collect()
    };
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 7);
    fields
        // Names that could not stand in sshd's argument are nobody's administrators.
        .filter(|f| !f[0].contains([',', '=', ' ']))
        .map(|f| (f[0].to_owned(), of(f[0], f[3])))
        .filter(|(_, groups)| GROUPS.iter().any(|group| groups.contains(*group)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(text: &str) -> bool {
        let groups = BTreeSet::from(["ann".to_owned(), "sudo".to_owned()]);
        lets_in(&parse(&format!("port 22\n{text}")), "ann", &groups)
    }

    #[test]
    fn who_is_let_in_follows_sshds_order() {
        assert!(is_let_in("pubkeyauthentication yes\npasswordauthentication no\n"));
        assert!(!is_let_in("pubkeyauthentication no\npasswordauthentication no\n"));
        let with = |line: &str| is_let_in(&format!("pubkeyauthentication yes\n{line}\n"));
        assert!(
            with("allowusers bob\nallowusers a*")
                && with("allowusers ann@10.0.0.0/8")
                && with("allowgroups su?o")
        );
        assert!(!with("allowusers bob") && !with("allowgroups wheel") && !with("denyusers ann"));
        assert!(!with("denygroups sudo") && !with("allowusers ann\nallowgroups wheel"));
        assert!(with("denyusers ann@10.0.0.1"), "only from there");
    }

    #[test]
    fn administrators_are_members_by_either_file() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir(dir.path().join("etc")).expect("folder");
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:27::/:/bin/sh\neve:x:1002:1002::/:/bin/sh\n";
        fs::write(dir.path().join("etc/passwd"), users).expect("write");
        fs::write(dir.path().join("etc/group"), "root:x:0:\nsudo:x:27:ann\nann:x:1000:\n").expect("write");
        let names: Vec<_> = administrators(dir.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ann", "bob"]);
    }

    #[test]
    fn a_server_that_greets_otherwise_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let at = listener.local_addr().expect("bound");
        let serve = std::thread::spawn(move || {
            for greeting in [&b"SSH-2.0-x\r\n"[..], b"220 mail\r\n"] {
                let (mut stream, _) = listener.accept().expect("accepts");
                std::io::Write::write_all(&mut stream, greeting).expect("writes");
            }
        });
        assert!(greets(at) && !greets(at));
        serve.join().expect("served");
        let settings = parse(&format!("listenaddress 0.0.0.0:{}\nlistenaddress [::]:22\n", at.port()));
        assert_eq!(addresses(&settings)[0], at);
        assert!(!greets(at), "nobody listens any more");
    }
}
