//! What the first start makes, and how it says so, once.

use std::io::Write as _;

use anyhow::{Result, bail};
use aright_shared::time::Millis;

use crate::app::App;
use crate::auth::password;
use crate::authority::Authority;
use crate::data::Data;
use crate::net;
use crate::store::{StoreError, audit, settings, users};
use crate::trust::{FIRST_USER, Trust};

/// Makes authority and trust where there is neither yet.
///
/// # Errors
/// A folder where only some of it lies: what is missing was moved away or lost, and making it anew
/// would lock every agent out.
pub fn prepare(data: &Data, now: Millis) -> Result<()> {
    let parts = ["aright.db", "authority", "trust", "keys"];
    let missing: Vec<_> = parts.iter().filter(|part| !data.path(part).exists()).copied().collect();
    match missing.len() {
        0 => Ok(()),
        4 => {
            Authority::create(data, now)?;
            Trust::create(data, now)?;
            data.write("aright.db", b"")
        }
        _ => bail!(
            "data folder {}: {} missing, the rest is there; restore what is missing from a backup, or, if \
             this was a first start that was cut short, remove the folder and start again",
            data.root().display(),
            missing.join(", ")
        ),
    }
}

/// Makes the first user, if there has been none.
///
/// # Errors
/// The store failed.
pub async fn first_user(app: &App) -> Result<Option<String>> {
    let made = app.store.read(|conn| settings::get(conn, "first_start")).await?;
    if made.is_some() {
        return Ok(None);
    }
    let password = password::generate()?;
    let hash = password::hash_now(&password)?;
    let now = app.now();
    app.store
        .write(move |tx| {
            users::put(tx, FIRST_USER, &hash, now)?;
            settings::put(tx, "first_start", &now.0.to_string())?;
            let entry = audit::Entry {
                at: now,
                who: "controller",
                action: "user.create",
                subject: FIRST_USER,
                detail: "first start",
            };
            audit::append(tx, &entry)?;
            Ok::<_, StoreError>(())
        })
        .await?;
    Ok(Some(password))
}

/// # Errors
/// Standard output is closed.
pub fn tell(app: &App, data: &Data, addresses: net::Addresses, password: &str) -> Result<()> {
    let names = net::names(&app.settings);
    let first = |address| net::urls(address, &names).into_iter().next().unwrap_or_default();
    let (agents, operators) = (first(addresses.agents), first(addresses.operators));
    let authority = app.authority().fingerprint();
    // The journal is kept, and read by more people than may know it.
    let shown = if goes_to_journal() {
        "not shown in the journal; next: runuser -u aright -- aright-controller admin reset"
    } else {
        password
    };
    writeln!(
        std::io::stdout(),
        "\
Aright controller {version}, first start. This is shown once.

  agents             {agents}
  operators          {operators}
  ca fingerprint     {authority}
  trust fingerprint  {trust}
  user               {FIRST_USER}
  password           {shown}

Log in:
  aright login {operators} --ca-fingerprint {authority}

Move the keys in {offline} to a place that this machine cannot reach (see README there).
",
        version = env!("CARGO_PKG_VERSION"),
        trust = app.trust().fingerprint(),
        offline = data.path("offline").display(),
    )?;
    Ok(())
}

/// systemd names the journal's socket; whether it is where we write to, the socket itself says.
fn goes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    nix::sys::stat::fstat(std::io::stdout())
        .is_ok_and(|stdout| stream == format!("{}:{}", stdout.st_dev, stdout.st_ino))
}
