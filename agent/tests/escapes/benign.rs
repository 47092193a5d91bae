//! The same tools at declared work: what stops the hostile scripts is in nobody's way.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use aright_agent::stage::Compared;
use aright_shared::task::Exit;
use aright_tests::skip::{Need, lacking};

use crate::world::{on_host, paths, run};

/// Taken from a stock Debian: this machine need not have them.
const TAKE: &str = r#"
cd "$1"
mkdir -p /etc/ssh /etc/sudoers.d /run/sshd /usr/libexec/sudo
cp -a etc/ssh/sshd_config /etc/ssh/
cp -a etc/sudoers /etc/
for program in /usr/sbin/sshd /usr/sbin/visudo; do
    for file in $program $(chroot . ldd $program | grep -o '/[^ ]*'); do
        [ -e $file ] || { mkdir -p ${file%/*}; cp -L .$file $file; }
    done
done
getent passwd sshd >/dev/null || useradd --system --home-dir /run/sshd --shell /usr/sbin/nologin sshd
echo plain >/etc/issue
chmod 0640 /etc/issue
rm -f /etc/issue.net /etc/default/useradd-"#;

const WORK: &str = r##"set -eu
sed -i 's/^#*PermitRootLogin.*/PermitRootLogin no/' /etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N '' -f throwaway
sshd -t -h "$PWD/throwaway"

echo 'Defaults use_pty' >drop-in
visudo -c -q -f drop-in
install -m 0440 -o root -g root drop-in /etc/sudoers.d/pty
visudo -c

sed 's/^UMASK.*/UMASK 027/' /etc/login.defs >/etc/login.defs.new
chmod --reference=/etc/login.defs /etc/login.defs.new
mv /etc/login.defs.new /etc/login.defs

cp -a /etc/issue /etc/issue.net
useradd -D -f 45

python3 - <<'END'
import json, subprocess, tempfile, threading
with tempfile.TemporaryFile("w+") as file:
    json.dump({"uid": subprocess.check_output(["id", "-u"], text=True).strip()}, file)
    file.seek(0)
    made = json.load(file)
writer = threading.Thread(target=lambda: open("/etc/made.json", "w").write(json.dumps(made)))
writer.start()
writer.join()
END
"##;

const DECLARED: [&str; 7] = [
    "/etc/default/useradd",
    "/etc/default/useradd-",
    "/etc/issue.net",
    "/etc/login.defs",
    "/etc/made.json",
    "/etc/ssh/sshd_config",
    "/etc/sudoers.d/pty",
];

#[test]
fn the_same_tools_do_declared_work() {
    if lacking(&[&[Need::Root, Need::Program("debootstrap")]]) {
        return;
    }
    let debian = aright_tests::debian_12().expect("a stock Debian");
    on_host(1, |world| {
        let taken = Command::new("sh").args(["-euc", TAKE, "sh"]).arg(&debian).status().expect("sh");
        assert!(taken.success(), "taking programs from a stock Debian");
        let before = world.digest();

        let ran = run(&DECLARED, WORK);

        assert_eq!(ran.script.exit, Exit::Code(0), "{:?}", ran.script);
        let compared = ran.compare().expect("compare");
        assert_eq!(compared.overreach, []);
        assert_eq!(paths(&compared), DECLARED.to_vec());
        let says =
            |path, text: &str| assert!(content(&compared, path).lines().any(|line| line == text), "{path}");
        says("/etc/ssh/sshd_config", "PermitRootLogin no");
        says("/etc/sudoers.d/pty", "Defaults use_pty");
        says("/etc/login.defs", "UMASK 027");
        says("/etc/default/useradd", "INACTIVE=45");
        says("/etc/issue.net", "plain");
        says("/etc/made.json", r#"{"uid": "0"}"#);
        assert_eq!(world.digest(), before, "the host, while all of that was on the stage only");
        println!(
            "figure: escapes: a benign script with the same tools changed its {} declared files",
            DECLARED.len()
        );
    });
}

fn content(compared: &Compared, path: &str) -> String {
    let mut text = String::new();
    compared.open(Path::new(path)).expect(path).read_to_string(&mut text).expect("text");
    text
}
