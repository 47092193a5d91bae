//! `aright-controller admin reset`: a new password for the administrator, all log-ins void.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use aright_shared::time::{Clock as _, WallClock};

use crate::auth::password;
use crate::authority::Authority;
use crate::data::Data;
use crate::store::{Store, StoreError, audit, sessions, users};
use crate::trust::FIRST_USER;

/// # Errors
/// No controller lives in this data folder.
pub async fn run(root: &Path) -> Result<()> {
    if !root.join("aright.db").exists() {
        bail!("no controller in {}: name its data folder by --data, or start it once", root.display());
    }
    let data = Data::open_own(root)?;
    let store = Store::open(&data.path("aright.db"), &data.path("backup"))?;
    let password = password::generate()?;
    let hash = password::hash_now(&password)?;
    let now = WallClock.now();
    store
        .write(move |tx| {
            users::put(tx, FIRST_USER, &hash, now)?;
            sessions::delete_of_user(tx, FIRST_USER)?;
            let entry = audit::Entry {
                at: now,
                who: "console",
                action: "user.reset",
                subject: FIRST_USER,
                detail: "aright-controller admin reset",
            };
            audit::append(tx, &entry)?;
            Ok::<_, StoreError>(())
        })
        .await?;
    let authority = Authority::load(&data)?.fingerprint();
    writeln!(
        std::io::stdout(),
        "user {FIRST_USER}, password (shown once): {password}\nnext: aright login https://127.0.0.1:8441 \
         --ca-fingerprint {authority}\n(that port where the settings name no other)"
    )?;
    Ok(())
}
