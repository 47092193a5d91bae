//! `aright-controller check-config`: parses the settings and says what is wrong with them.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::config::Settings;

/// # Errors
/// What is wrong with the settings.
pub fn run(file: Option<&Path>, data: &Path) -> Result<()> {
    Settings::load(file, data)?;
    writeln!(std::io::stdout(), "the settings are right")?;
    Ok(())
}
