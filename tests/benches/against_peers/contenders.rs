//! Who fixes, and how one turn is measured.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use aright_tests::{Host, Lab, Metered, Place as _, binary, debian_12_with, ssg, success};

use crate::fixes::FIXES;
use crate::job::Site;
use crate::{bare, inside, judge};

/// The tools, and nothing of them as a service.
const PACKAGES: [&str; 2] = ["ansible-core", "cfengine3"];
const FINISH: &str = "
rm -f /etc/systemd/system/*.wants/cf*.service /etc/systemd/system/*/cf-*.service
find /usr/share/doc /usr/share/locale /usr/share/man /var/cache/apt -type f -delete
";
/// Back to what was there before the first turn.
const SAVE: &str = "cp -a /etc /root/etc && cp -a /root/etc/. /etc/";
const RESTORE: &str = "find /etc -mindepth 1 -delete; cp -a /root/etc/. /etc/ && systemctl reload ssh";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Plain,
    Bare,
    Aright,
    ArightJob,
    Ansible,
    CfAgent,
    Oscap,
}

use Contender::*;

pub const ALL: [Contender; 7] = [Plain, Bare, Aright, ArightJob, Ansible, CfAgent, Oscap];

/// What one turn took.
#[derive(Clone, Copy)]
pub struct Turn {
    pub wall: Duration,
    pub cpu: Duration,
    pub peak_memory: Option<u64>,
}

impl Turn {
    /// Each figure for itself.
    pub fn median(turns: &[Self]) -> Self {
        fn of<T: Ord + Copy>(turns: &[Turn], figure: impl Fn(&Turn) -> T) -> T {
            let mut all: Vec<T> = turns.iter().map(figure).collect();
            all.sort();
            all[all.len() / 2]
        }
        Self {
            wall: of(turns, |turn| turn.wall),
            cpu: of(turns, |turn| turn.cpu),
            peak_memory: of(turns, |turn| turn.peak_memory),
        }
    }
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Plain => "plain script, no check",
            Bare => "the library's ten scripts, bare",
            Aright => "Aright, ten tasks in the agent",
            ArightJob => "Aright, one job by the controller",
            Ansible => "ansible-playbook -c local",
            CfAgent => "cf-agent",
            Oscap => "oscap --remediate",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Aright | ArightJob)
    }

    /// The controls that it fixes.
    pub fn numbers(self) -> Vec<u32> {
        let fixes = FIXES.iter().filter(|fix| self != Oscap || !fix.rules.is_empty());
        fixes.map(|fix| fix.number).collect()
    }

    /// A host with all that any contender needs.
    pub fn host(self, lab: &Lab) -> anyhow::Result<Host> {
        let host =
            Host::boot_from(&debian_12_with(&PACKAGES, FINISH)?, lab, &format!("{self:?}").to_lowercase())?;
        host.install(&binary("aright-agent")?, "/usr/bin/aright-agent")?;
        host.install(&std::env::current_exe()?, "/opt/bench")?;
        host.write("/opt/plain.sh", include_str!("plain.sh"))?;
        host.write("/opt/bare.sh", &bare::script()?)?;
        host.write("/opt/playbook.yml", include_str!("playbook.yml"))?;
        host.write("/opt/promises.cf", include_str!("promises.cf"))?;
        // cf-agent reads no policy that others might have written.
        success(Command::new("chmod").arg("600").arg(host.path("/opt/promises.cf")))?;
        host.stdout(&["sh", "-euc", SAVE])?;
        Ok(host)
    }

    /// From all ten failed to the last one that it fixes passing.
    pub fn turn(self, host: &Host, site: &Site) -> anyhow::Result<Turn> {
        host.stdout(&["sh", "-euc", RESTORE])?;
        judge::exactly(host, &[])?;
        let metered = Metered::new(host)?;
        let turn = match self {
            ArightJob => site.turn(&metered)?,
            _ => measure(&metered, || {
                let output = self.command(&metered)?.stdin(Stdio::null()).output()?;
                // oscap says by 2 that some rule failed at first.
                let ended_well = output.status.success() || self == Oscap && output.status.code() == Some(2);
                ensure!(ended_well, "{output:?}");
                Ok(())
            })?,
        };
        judge::exactly(host, &self.numbers())?;
        Ok(turn)
    }

    fn command(self, place: &Metered<'_>) -> anyhow::Result<Command> {
        let words: &[&str] = match self {
            Plain => &["sh", "-eu", "/opt/plain.sh"],
            Bare => &["sh", "-eu", "/opt/bare.sh"],
            Aright => &["/opt/bench", inside::ARGUMENT],
            Ansible => &["ansible-playbook", "-c", "local", "-i", "localhost,", "/opt/playbook.yml"],
            CfAgent => &["cf-agent", "--no-lock", "--file", "/opt/promises.cf"],
            Oscap => {
                let rules: Vec<&str> = FIXES.iter().flat_map(|fix| fix.rules).copied().collect();
                return ssg::remediation(place, &rules);
            }
            ArightJob => bail!("a job is no command"),
        };
        let mut command = place.command(words[0]);
        command.args(&words[1..]);
        Ok(command)
    }
}

pub fn measure(place: &Metered<'_>, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Turn> {
    let (since, before) = (Instant::now(), place.cpu()?);
    run()?;
    Ok(Turn { wall: since.elapsed(), cpu: place.cpu()? - before, peak_memory: place.peak_memory() })
}
