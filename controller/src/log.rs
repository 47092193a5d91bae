//! Logs: to standard error, fields by entity (`asset.id`, `job.id`), never a secret.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// What a filter says: targets and levels, such as `info,aright_controller=debug`.
///
/// # Errors
/// It cannot be read.
pub fn filter(text: &str) -> Result<Targets> {
    text.parse().with_context(|| format!("log.filter {text:?}"))
}

/// `RUST_LOG` beats the settings.
///
/// # Errors
/// A filter that cannot be read.
pub fn start(settings: &str) -> Result<()> {
    let text = std::env::var("RUST_LOG").unwrap_or_else(|_| settings.to_owned());
    let filter = filter(&text)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}
