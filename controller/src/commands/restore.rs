//! `aright-controller restore FILE --data DIR`: builds the data folder beside its place, then puts it there in one
//! step. What stood there before is moved aside, and what it had barred stays barred.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use aright_shared::time::{Clock as _, Millis, WallClock};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::authority::Authority;
use crate::backup::{self, DATABASE, Manifest};
use crate::data::{self, Data};
use crate::passphrase;
use crate::store::restored::{self, Barred, Restored};
use crate::trust::Trust;

/// Where the root keys lie until they are taken away.
const OFFLINE: &str = "offline";
/// In a folder that is not yet whole.
const HALF: &str = "half-restored";
/// By one of these a folder is known to be a controller's.
const OURS: &[&str] = &[DATABASE, "authority", "trust", "keys", "controller.toml"];

/// # Errors
/// The backup cannot be used, or the folder may not be replaced: then all is as it was.
pub fn run(file: &Path, root: &Path, over: bool, passphrase_file: Option<&Path>) -> Result<()> {
    let sealed = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let place = Place::of(root)?;
    let before = Before::of(root, over)?;
    let passphrase = passphrase::read(passphrase_file)?;
    let now = WallClock.now();
    let building = place.build(now)?;
    let built = build(sealed, &passphrase, &building, &before, now);
    if built.is_err() {
        // The next restore would remove it too.
        let _ = fs::remove_dir_all(building.root());
    }
    let built = built.with_context(|| format!("backup {}", file.display()))?;
    let aside = place.put(&building, before.lock.is_some(), now)?;
    summary(root, &built, aside.as_deref());
    Ok(())
}

/// What came of the backup and of what was there before.
struct Built {
    manifest: Manifest,
    trust_version: u64,
    trust_kept: bool,
    revoked: usize,
}

fn build(sealed: File, passphrase: &str, building: &Data, before: &Before, now: Millis) -> Result<Built> {
    let manifest = backup::unpack(sealed, passphrase, building, |manifest| before.is_of(manifest))?;
    let trust_kept = before.keep_trust(building)?;
    let restored = Restored { taken: manifest.taken, at: now.max(manifest.taken) };
    let revoked =
        restored::prepare(&building.path(DATABASE), &building.path("backup"), &before.barred, restored)?;
    Authority::load(building)?;
    let trust_version = Trust::load(building)?.document.version;
    give_to(before.owner, building.root())?;
    Ok(Built { manifest, trust_version, trust_kept, revoked })
}

/// A reader that went away makes it no less done.
fn summary(root: &Path, built: &Built, aside: Option<&Path>) {
    let Built { manifest: Manifest { taken, version, assets, tasks, .. }, trust_version, revoked, .. } =
        built;
    let trust = if built.trust_kept { ", kept from what was there: higher than the backup's" } else { "" };
    let aside = aside.map(|aside| format!("\n  what was there     {}", aside.display())).unwrap_or_default();
    let _ = writeln!(
        io::stdout(),
        "\
{root}: restored from a backup of {taken} (aright-controller {version})
  database           {assets} assets, {tasks} tasks
  trust document     version {trust_version}{trust}
  revocations kept   {revoked} that the backup does not have{aside}

Start it at an address that agents know; they tell again what they told since {taken}. Everybody logs in anew.
Hosts enrolled, revoked or tagged since then, and jobs saved since then, are not in it: docs/operations.md.",
        root = root.display(),
    );
}

/// What stands where the restored folder is to be.
struct Before {
    /// Held to the end, so that no controller starts on it.
    lock: Option<File>,
    authority: Option<aright_shared::digest::Digest>,
    trust: Option<(Data, Trust)>,
    barred: Vec<Barred>,
    owner: Option<(u32, u32)>,
}

impl Before {
    fn of(root: &Path, over: bool) -> Result<Self> {
        let nothing = Self { lock: None, authority: None, trust: None, barred: Vec::new(), owner: None };
        let found = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
            found => found.with_context(|| format!("look into {}", root.display()))?,
        };
        let metadata = fs::metadata(root)?;
        let owner = Some((metadata.uid(), metadata.gid()));
        let names: Vec<OsString> = found.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        if names.is_empty() {
            return Ok(Self { owner, ..nothing });
        }
        let shown = root.display();
        let is_ours = names.iter().any(|name| OURS.iter().any(|ours| name == ours));
        ensure!(is_ours, "{shown} is not empty, and no controller's; next: name another folder by --data");
        let data = Data::open(root)?;
        let lock = Some(data.lock()?);
        ensure!(
            over,
            "{shown} is not empty; next: --over, which keeps its revocations and its trust document where that is \
             higher, and moves the rest aside"
        );
        let lost = "what it had revoked would be lost; next: move the folder away, restore, and revoke again";
        let has = |below: &str| data.path(below).exists();
        let barred = match has(DATABASE) {
            true => restored::barred(&data.path(DATABASE)).context(lost)?,
            false => Vec::new(),
        };
        let authority = match has("authority") {
            true => Some(Authority::load(&data).context(lost)?.fingerprint()),
            false => None,
        };
        let trust = match has("trust") {
            true => Some((data.clone(), Trust::load(&data).context(lost)?)),
            false => None,
        };
        Ok(Self { lock, authority, trust, barred, owner })
    }

    fn is_of(&self, manifest: &Manifest) -> Result<()> {
        match self.authority {
            Some(here) if here != manifest.authority => bail!(
                "it is of the controller {}, and the folder is of {here}; next: name another folder by --data",
                manifest.authority
            ),
            _ => Ok(()),
        }
    }

    /// Whether its own document is higher, and was kept.
    fn keep_trust(&self, building: &Data) -> Result<bool> {
        let Some((here, trust)) = &self.trust else { return Ok(false) };
        if trust.document.version <= Trust::load(building)?.document.version {
            return Ok(false);
        }
        for below in ["trust/root.pub", "trust/document.json"] {
            building.write(below, here.read(below)?.as_bytes())?;
        }
        Ok(true)
    }
}

/// Where the folder goes, and what is beside it.
struct Place {
    root: PathBuf,
    above: PathBuf,
    name: String,
}

impl Place {
    fn of(root: &Path) -> Result<Self> {
        // What a link leads to is replaced, beside itself, and not the link.
        let root = match fs::canonicalize(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(root)?,
            found => found?,
        };
        let name = root.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(above)) = (name, root.parent()) else {
            bail!("--data {}: not a folder that can be made", root.display());
        };
        let (name, above) = (name.to_owned(), above.to_owned());
        if let Ok(own) = fs::metadata(&root) {
            ensure!(
                own.dev() == fs::metadata(&above)?.dev(),
                "--data {}: it is a mount point, which nothing can be put in place of; next: name a folder in it",
                root.display()
            );
        }
        Ok(Self { root, above, name })
    }

    /// An empty folder beside it. What an earlier restore left half-done goes; what it left whole is kept aside.
    fn build(&self, now: Millis) -> Result<Data> {
        let beside = self.above.join(format!(".{}.restoring", self.name));
        if beside.join(HALF).exists() {
            fs::remove_dir_all(&beside).with_context(|| format!("remove {}", beside.display()))?;
        } else if beside.exists() {
            fs::rename(&beside, self.aside(now))?;
        }
        let data = Data::open(&beside)?;
        data.write(HALF, b"")?;
        Ok(data)
    }

    fn aside(&self, now: Millis) -> PathBuf {
        let stamp = now.to_string().replace([':', '-'], "");
        let name = |n: u32| match n {
            0 => format!("{}.before-restore-{stamp}", self.name),
            n => format!("{}.before-restore-{stamp}-{n}", self.name),
        };
        let free = |path: &PathBuf| !path.exists();
        (0..).map(|n| self.above.join(name(n))).find(free).unwrap_or_default()
    }

    /// Puts it in place: at each moment there is the old one, or the new one, and never none. Where what was there
    /// is now.
    fn put(&self, building: &Data, replaces: bool, now: Millis) -> Result<Option<PathBuf>> {
        fs::remove_file(building.path(HALF))?;
        data::sync(building.root())?;
        let from = building.root();
        let failed = |error: io::Error| {
            // All keys are in it, and it is not wanted.
            let _ = fs::remove_dir_all(from);
            anyhow::Error::new(error).context(format!("put {} in its place", self.root.display()))
        };
        if !replaces {
            fs::rename(from, &self.root).map_err(failed)?;
            data::sync(&self.above)?;
            return Ok(None);
        }
        // By number: the C library has it since 2.28 only.
        renameat_with(CWD, from, CWD, &self.root, RenameFlags::EXCHANGE)
            .map_err(|errno| failed(errno.into()))?;
        let aside = self.aside(now);
        fs::rename(from, &aside)?;
        // The root keys are in no backup, and are this authority's.
        if aside.join(OFFLINE).exists() && !self.root.join(OFFLINE).exists() {
            // It lies aside then, as the summary says: the restore is done.
            let _ = fs::rename(aside.join(OFFLINE), self.root.join(OFFLINE));
        }
        data::sync(&self.above)?;
        Ok(Some(aside))
    }
}

/// Who had the folder before has it again, whoever restored it.
fn give_to(owner: Option<(u32, u32)>, folder: &Path) -> Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    let own = fs::metadata(folder)?;
    if (own.uid(), own.gid()) == (user, group) {
        return Ok(());
    }
    let give = |path: &Path| {
        std::os::unix::fs::lchown(path, Some(user), Some(group))
            .with_context(|| format!("give {} to its owner", path.display()))
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => give_to(owner, &entry.path())?,
            false => give(&entry.path())?,
        }
    }
    give(folder)
}
