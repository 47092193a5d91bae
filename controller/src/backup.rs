//! What a backup is: a sealed tar of a manifest, then the files that a controller cannot do without, then its
//! database. `age --decrypt FILE | tar --extract` opens it too. What lies in `offline/` is never in it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aright_shared::digest::Digest;
use aright_shared::time::{Millis, SECOND};
use serde::{Deserialize, Serialize};

use crate::data::Data;
use crate::sealed::{self, Sealer};
use crate::store;

/// The form of what is below: raised when older programs could not read it.
const FORM: u32 = 1;
const MANIFEST: &str = "manifest.json";
pub const DATABASE: &str = "aright.db";
/// Longest of the files beside the database, in bytes.
const FILE: u64 = 1024 * 1024;

/// Beside the database; those marked false may be missing.
const FILES: &[(&str, bool)] = &[
    ("authority/root.crt", true),
    ("authority/intermediate.pem", true),
    ("trust/root.pub", true),
    ("trust/document.json", true),
    ("keys/task.key", true),
    ("controller.toml", false),
];

/// The first thing in a backup: whether it can be restored is decided by it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub aright_backup: u32,
    /// When it was begun: all that was acknowledged before is in it.
    pub taken: Millis,
    /// Of the program that made it.
    pub version: String,
    pub schema: i64,
    pub assets: u32,
    pub tasks: u32,
    /// SHA-256 of the authority's root certificate.
    pub authority: Digest,
    /// SHA-256 of the trust root's public key.
    pub trust_root: Digest,
    pub trust_version: u64,
}

/// Writes a backup of `data` whose database was copied to `database`.
///
/// # Errors
/// A file that is missing, or `into` cannot be written.
pub fn pack(data: &Data, manifest: &Manifest, database: &Path, into: File, passphrase: &str) -> Result<File> {
    let mut tar = tar::Builder::new(Sealer::new(into, passphrase)?);
    let mtime = u64::try_from(manifest.taken.0 / SECOND).unwrap_or(0);
    let bytes = serde_json::to_vec_pretty(manifest)?;
    add(&mut tar, MANIFEST, mtime, bytes.len() as u64, &bytes[..])?;
    for (below, needed) in FILES {
        let path = data.path(below);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => continue,
            read => read.with_context(|| format!("read {}", path.display()))?,
        };
        ensure!(bytes.len() as u64 <= FILE, "{}: {} bytes, at most {FILE}", path.display(), bytes.len());
        add(&mut tar, below, mtime, bytes.len() as u64, &bytes[..])?;
    }
    let file = File::open(database)?;
    add(&mut tar, DATABASE, mtime, file.metadata()?.len(), file)?;
    Ok(tar.into_inner()?.finish()?)
}

fn add<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    mtime: u64,
    size: u64,
    from: impl Read,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_mtime(mtime);
    header.set_size(size);
    tar.append_data(&mut header, name, from.take(size)).with_context(|| format!("add {name}"))
}

/// Unpacks a backup into an empty folder. `may` looks at the manifest before anything else is read.
///
/// # Errors
/// Not a backup, a wrong passphrase, changed, cut off, of a newer form or schema, or `may`'s.
pub fn unpack(
    file: File,
    passphrase: &str,
    into: &Data,
    may: impl FnOnce(&Manifest) -> Result<()>,
) -> Result<Manifest> {
    let mut opened = sealed::open(file, passphrase)?;
    let mut tar = tar::Archive::new(&mut opened);
    let mut entries = tar.entries()?;
    let mut first = entries.next().context("it is empty")??;
    ensure!(name(&first)? == MANIFEST, "it is no backup of a controller");
    let manifest = readable(&bytes(&mut first)?)?;
    may(&manifest)?;
    let mut seen = Vec::new();
    for entry in entries {
        let mut entry = entry?;
        let name = name(&entry)?;
        ensure!(!seen.contains(&name), "{name} is in it twice");
        if name == DATABASE {
            into.write_from(&name, &mut entry)?;
        } else if FILES.iter().any(|(known, _)| *known == name) {
            into.write(&name, &bytes(&mut entry)?)?;
        } else {
            bail!("it has a file that no backup has: {name:?}");
        }
        seen.push(name);
    }
    // Up to its true end: what is cut off is not whole.
    io::copy(&mut opened, &mut io::sink())?;
    let needed = FILES.iter().filter(|(_, needed)| *needed).map(|(name, _)| *name).chain([DATABASE]);
    for name in needed {
        ensure!(seen.iter().any(|seen| seen == name), "{name} is missing in it");
    }
    Ok(manifest)
}

fn readable(bytes: &[u8]) -> Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(bytes).context("its manifest is not understood")?;
    let (form, version) = (manifest.aright_backup, &manifest.version);
    ensure!(
        form == FORM,
        "it is of form {form}, this program knows {FORM}; next: restore it with aright-controller {version}"
    );
    ensure!(
        manifest.schema <= store::schema(),
        "its schema is version {}, this program knows {}; next: restore it with aright-controller {version} or newer",
        manifest.schema,
        store::schema()
    );
    Ok(manifest)
}

fn name<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String> {
    ensure!(entry.header().entry_type().is_file(), "it has something that is no file");
    Ok(entry.path()?.to_str().context("it has a file whose name is no text")?.to_owned())
}

fn bytes<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>> {
    let (name, size) = (name(entry)?, entry.size());
    ensure!(size <= FILE, "{name} has {size} bytes in it, at most {FILE}");
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Manifest {
    /// Of `data`, as it is now but for what its database holds.
    ///
    /// # Errors
    /// Authority or trust cannot be read.
    pub fn of(data: &Data, taken: Millis, copied: store::snapshot::Taken) -> Result<Self> {
        let authority = crate::authority::Authority::load(data)?;
        let trust = crate::trust::Trust::load(data)?;
        Ok(Self {
            aright_backup: FORM,
            taken,
            version: env!("CARGO_PKG_VERSION").into(),
            schema: copied.schema,
            assets: copied.assets,
            tasks: copied.tasks,
            authority: authority.fingerprint(),
            trust_root: trust.fingerprint(),
            trust_version: trust.document.version,
        })
    }
}
