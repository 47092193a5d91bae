//! The controller that one is logged in to: kept in the user's own settings, readable by them alone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aright_shared::api;
use aright_shared::client::{Client, Pinned, Route, tls_config};
use aright_shared::digest::Digest;
use aright_shared::time::{Clock as _, WallClock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest that one request may take; `job watch` holds some for half a minute.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub url: String,
    pub ca_fingerprint: Digest,
    pub user: String,
    pub token: String,
}

/// `$ARIGHT_CONFIG`, else `aright/session.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
fn path() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("ARIGHT_CONFIG")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("aright/session.toml")))
        .or_else(|| set("HOME").map(|home| home.join(".config/aright/session.toml")))
        .ok_or_else(|| anyhow!("neither ARIGHT_CONFIG nor HOME is set: nowhere to keep the session"))
}

impl Session {
    pub fn load() -> anyhow::Result<Self> {
        let path = path()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(anyhow!("not logged in; next: aright login URL --ca-fingerprint sha256:…"));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        toml::from_str(&text).with_context(|| format!("{} is not valid; next: aright login", path.display()))
    }

    pub fn save(&self) -> anyhow::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        let path = path()?;
        let folder = path.parent().context("the session file needs a folder")?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let aside = path.with_extension("new");
        // What is there may be for others to read, or a link.
        let _ = fs::remove_file(&aside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .with_context(|| format!("cannot write {}", aside.display()))?;
        file.write_all(toml::to_string(self)?.as_bytes())?;
        fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A client with the session's token.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(anonymous(&self.url, self.ca_fingerprint)?.with_token(self.token.clone()))
    }
}

/// A client that is logged in.
pub fn client() -> anyhow::Result<Client> {
    Session::load()?.client()
}

/// A client before the log-in.
pub fn anonymous(url: &str, authority: Digest) -> anyhow::Result<Client> {
    // A person's machine is believed to know the time: an ended certificate is refused.
    let pinned = Pinned { authority, not_before: Box::new(|| Some(WallClock.now())) };
    // By the proxy of the environment, as of all command lines; but no proxy leads to this machine itself.
    let route = if is_loopback(url) { Route::Direct } else { Route::Environment };
    Ok(Client::by(route, url, tls_config(pinned, None)?, TIMEOUT)?)
}

fn is_loopback(url: &str) -> bool {
    let authority = url.split("://").last().and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub async fn logout() -> anyhow::Result<()> {
    let session = Session::load()?;
    // The token is forgotten here even where the controller cannot be told.
    let told = session.client()?.delete::<()>("/api/v1/session").await;
    fs::remove_file(path()?)?;
    Ok(told?)
}

/// All rows of a list, page by page.
pub async fn all<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    filter: &(impl Serialize + Sync),
) -> anyhow::Result<Vec<T>> {
    Ok(first(client, path, filter, usize::MAX).await?.0)
}

/// The first so many rows of a list, and whether there are more.
pub async fn first<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    filter: &(impl Serialize + Sync),
    most: usize,
) -> anyhow::Result<(Vec<T>, bool)> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let left = u32::try_from(most - rows.len()).unwrap_or(u32::MAX).min(api::MAX_LIMIT);
        let mut query = api::query_pairs(filter);
        query.extend(api::query_pairs(&api::Paging { cursor, limit: Some(left) }));
        let page: api::Page<T> = client.find(path, &query).await?;
        rows.extend(page.items);
        if page.next.is_none() || rows.len() >= most {
            return Ok((rows, page.next.is_some()));
        }
        cursor = page.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_leads_to_this_machine_itself() {
        for url in ["https://localhost:8441", "https://127.0.0.1:8441/", "https://[::1]:8441"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://localhost.example:8441", "https://10.0.0.1:8441", "https://[2001:db8::1]", "x"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
