//! A host whose commands are counted: what they cost, and what they cost the host.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::cgroup::Group;
use crate::host::Host;
use crate::place::Place;

/// The commands share one control group, beside the host's own.
pub struct Metered<'a> {
    host: &'a Host,
    group: Group,
}

impl<'a> Metered<'a> {
    /// # Errors
    /// There are no control groups.
    pub fn new(host: &'a Host) -> anyhow::Result<Self> {
        let mut salt = [0; 4];
        getrandom::fill(&mut salt).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let name = format!("{}-{}", host.lab_unique_name(), hex::encode(salt));
        Ok(Self { host, group: Group::with_memory(&name)? })
    }

    /// CPU time of the commands so far, and of the host's own services.
    ///
    /// # Errors
    /// The host is off.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(self.group.cpu()? + self.host.cpu()?)
    }

    /// The most that all commands had at once, in bytes; `None` where this machine does not count it.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        self.group.peak_memory()
    }
}

impl Place for Metered<'_> {
    fn command(&self, program: &str) -> Command {
        let plain = self.host.command(program);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{}exec \"$@\"", self.group.join())).arg("sh");
        command.arg(plain.get_program()).args(plain.get_args());
        command
    }

    fn root(&self) -> PathBuf {
        self.host.root()
    }
}
