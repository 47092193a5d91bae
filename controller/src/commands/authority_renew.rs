//! `aright-controller authority renew`: another intermediate certificate, by the root key that lies apart.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use aright_shared::time::{Clock as _, WallClock};

use crate::authority;
use crate::data::Data;

/// # Errors
/// No controller lives in this data folder, or the key is not its authority's.
pub fn run(root: &Path, root_key: &Path) -> Result<()> {
    if !root.join("authority").exists() {
        bail!("no controller in {}; next: name its data folder by --data", root.display());
    }
    let renewed = authority::renew(&Data::open_own(root)?, root_key, WallClock.now())?;
    writeln!(
        std::io::stdout(),
        "the intermediate certificate is new, until {}; a controller that serves takes it up within a minute\n\
         Take a backup, and put the root key away again.",
        renewed.expires()
    )?;
    Ok(())
}
