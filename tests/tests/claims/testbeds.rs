//! The testbeds themselves: what the other claims stand on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aright_tests::{Chamber, Host, Lab, Place as _, needs, skip, ssg, until};

#[test]
fn a_host_boots_is_reached_by_ssh_and_comes_back() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    aright_tests::debian_12()?;
    let since = Instant::now();
    let mut host = Host::boot(&lab, "one")?;
    println!("figure: a host is made and booted in {:.1} s", since.elapsed().as_secs_f64());

    assert_eq!(host.stdout(&["hostname"])?, "one");
    assert_eq!(host.stdout(&["systemctl", "is-system-running"])?, "running");
    assert!(host.stdout(&["sshd", "-T"])?.contains("permitrootlogin without-password"));
    let login = host.ssh("id -nG")?;
    assert_eq!(String::from_utf8_lossy(&login.stdout).trim(), "ops sudo", "{login:?}");

    let machine_id = host.read("/etc/machine-id")?;
    host.write("/etc/kept", "this")?;
    host.write("/run/lost", "that")?;
    host.cut_power()?;
    host.power_on()?;
    host.reboot()?;
    assert_eq!(host.read("/etc/kept")?, "this");
    assert!(host.read("/run/lost").is_err());
    assert_eq!(host.read("/etc/machine-id")?, machine_id);
    assert!(host.ssh("true")?.status.success());
    Ok(())
}

#[test]
fn a_pulled_cable_cuts_the_host_off() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let host = Host::boot(&lab, "one")?;
    host.connect(22)?;
    host.unplug()?;
    assert!(host.connect(22).is_err());
    host.plug_in()?;
    until("the way back", Duration::from_secs(10), || Ok(host.connect(22).ok()))?;
    Ok(())
}

#[test]
fn hosts_share_neither_ids_nor_keys_nor_processes() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let hosts = std::thread::scope(|scope| {
        let booting: Vec<_> =
            ["one", "two", "three"].map(|name| scope.spawn(|| Host::boot(&lab, name))).into_iter().collect();
        booting
            .into_iter()
            .map(|host| host.join().ok().context("a thread panicked")?)
            .collect::<anyhow::Result<Vec<Host>>>()
    })?;
    for file in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/hostname"] {
        let mut values = hosts.iter().map(|host| host.read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        values.sort();
        values.dedup();
        assert_eq!(values.len(), hosts.len(), "{file}");
    }
    // One host's service manager must not take its neighbour's processes for its own.
    for host in &hosts {
        let own = host.stdout(&["systemctl", "show", "--property=MainPID", "--value", "ssh"])?;
        let group = "/sys/fs/cgroup/systemd/system.slice/ssh.service/cgroup.procs";
        let group = if host.path(group).exists() {
            group
        } else {
            "/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs"
        };
        assert_eq!(host.stdout(&["cat", group])?, own);
    }
    let second = hosts[1].address().to_string();
    hosts[0].stdout(&["bash", "-c", &format!("exec 3<>/dev/tcp/{second}/22 && head -1 <&3")])?;
    Ok(())
}

#[test]
fn openscap_sees_a_failing_control_and_its_fix() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::SSG);
    let lab = Lab::new()?;
    let host = Host::boot(&lab, "one")?;
    let rules: Vec<&str> = ssg::COUNTERPARTS.iter().flat_map(|(_, rules)| *rules).copied().collect();
    let before = ssg::evaluate(&host, &rules)?;
    assert!(before.values().all(|verdict| verdict == "fail"), "{before:?}");

    host.stdout(&["bash", "-euc", BY_HAND])?;

    let after = ssg::evaluate(&host, &rules)?;
    assert!(after.values().all(|verdict| verdict == "pass"), "{after:?}");
    assert!(!host.path("/run/oscap").exists());
    println!("figure: {} SSG rules for {} controls: fail, then pass", rules.len(), ssg::COUNTERPARTS.len());
    Ok(())
}

const BY_HAND: &str = r"
chmod 600 /etc/ssh/sshd_config /etc/crontab
chmod 700 /etc/cron.{hourly,daily,weekly,monthly,d}
sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 365/; s/^UMASK.*/UMASK 027/' /etc/login.defs
useradd -D -f 45
cat > /etc/sysctl.d/60-hand.conf <<X
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.send_redirects = 0
fs.suid_dumpable = 0
X
sysctl -q -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
for module in cramfs freevxfs hfs hfsplus jffs2 usb-storage; do
    printf 'install %s /bin/false\nblacklist %s\n' $module $module
done > /etc/modprobe.d/hand.conf
";

#[test]
fn a_chamber_has_a_root_of_its_own_but_not_the_machines_parameters() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let chamber = Chamber::new(&lab)?;
    chamber.stdout(&["sh", "-c", "echo throwaway > /etc/throwaway"])?;
    assert_eq!(chamber.read("/etc/throwaway")?, "throwaway\n");
    assert!(!Path::new("/etc/throwaway").exists());
    assert!(chamber.stdout(&["sh", "-c", "echo 0 > /proc/sys/fs/suid_dumpable"]).is_err());
    chamber.stdout(&["sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects"])?;
    Ok(())
}

#[test]
fn nothing_of_a_killed_test_is_left() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    if let Some(path) = std::env::var_os("ARIGHT_TESTBED_VICTIM") {
        let lab = Lab::new()?;
        let _host = Host::boot(&lab, "victim")?;
        fs::write(path, lab.folder().to_string_lossy().as_bytes())?;
        std::thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let told = tempfile::NamedTempFile::new()?;
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "testbeds::nothing_of_a_killed_test_is_left", "--nocapture"])
        .env("ARIGHT_TESTBED_VICTIM", told.path())
        .stdout(Stdio::null())
        .spawn()?;
    let folder = until("the victim's host", Duration::from_secs(120), || {
        Ok(Some(fs::read_to_string(told.path())?).filter(|folder| !folder.is_empty()))
    })?;
    assert!(!processes_naming(&folder).is_empty());
    assert!(Path::new(&folder).exists());

    victim.kill()?;
    victim.wait()?;

    until("the end of its processes", Duration::from_secs(10), || {
        Ok(processes_naming(&folder).is_empty().then_some(()))
    })?;
    // The next lab sweeps: this one, or one of a test beside it, which may still be at it.
    let _next = Lab::new()?;
    until("the end of its folder", Duration::from_secs(10), || {
        Ok((!Path::new(&folder).exists()).then_some(()))
    })?;
    assert_eq!(fs::read_to_string("/proc/self/mountinfo")?, mounts);
    let name = Path::new(&folder).file_name().context("no name")?.to_string_lossy().into_owned();
    until("the end of its groups", Duration::from_secs(10), || {
        let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("*{name}*")]).output()?;
        Ok(groups.stdout.is_empty().then_some(()))
    })
}

/// Processes of this machine whose command line or root lies there.
fn processes_naming(folder: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(folder).then_some(line)
    })
    .collect()
}
