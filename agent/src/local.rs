//! What the agent does on its own host without a controller: evaluate, explain, status, undo, switch off.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use aright_shared::id::{Key, TaskId};
use aright_shared::library::Library;
use aright_shared::time::Millis;

use crate::config::Config;
use crate::enroll::Invitation;
use crate::identity::StateDir;

/// Writes to stdout; a reader that went away ends nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

pub fn enroll(config: &Config, invitation: Invitation) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asset = runtime.block_on(crate::enroll::enroll(config, invitation))?;
    say(&format!("enrolled as asset {asset}; next: start the service (aright-agent run)"));
    Ok(())
}

pub fn enable(config: &Config) -> anyhow::Result<()> {
    let path = StateDir::open(&config.state)?.file("disabled.json");
    match std::fs::remove_file(&path) {
        Ok(()) => say("this host can be remediated again"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => say("this host was not disabled"),
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
    Ok(())
}

pub fn disable(config: &Config, reason: &str) -> anyhow::Result<()> {
    StateDir::open(&config.state)?.write("disabled.json", &reason)?;
    say("this host runs nothing from now on; next: aright-agent enable");
    Ok(())
}

pub fn check_config(path: &Path, config: &Config) -> anyhow::Result<()> {
    say(&format!("# {} is valid; in force is", path.display()));
    say(&toml::to_string(config)?);
    Ok(())
}

pub fn reset_time(config: &Config) -> anyhow::Result<()> {
    let state = StateDir::open(&config.state)?;
    let path = state.file("controller-time.json");
    let was: Option<Millis> = state.read("controller-time.json").unwrap_or_default();
    match std::fs::remove_file(&path) {
        Ok(()) => say(&format!("forgotten: {}; next: restart the service", was.map_or("unreadable".into(), |was| was.to_string()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => say("no controller time was known"),
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
    Ok(())
}
