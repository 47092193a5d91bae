//! `aright-controller backup FILE`: all that a restore needs, sealed to a passphrase, beside a running controller.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use aright_shared::time::{Clock as _, WallClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::backup::{self, Manifest};
use crate::data::{self, Data};
use crate::passphrase;
use crate::store::snapshot;

/// # Errors
/// No controller lives in this data folder, the file is there already, or it cannot be written: then no half of it
/// is left.
pub fn run(root: &Path, file: &Path, passphrase_file: Option<&Path>) -> Result<()> {
    if !root.join(backup::DATABASE).exists() {
        bail!("no controller in {}; next: name its data folder by --data", root.display());
    }
    ensure!(!file.exists(), "{} is there already; next: name another file, or remove it", file.display());
    let data = Data::open_own(root)?;
    let passphrase = passphrase::choose(passphrase_file)?;
    // Before anything is looked at: what was acknowledged until now is in it.
    let taken = WallClock.now();
    // Only who holds this has a partial file there.
    let copy = Copy::of(&data)?;
    let partial = Partial::beside(file)?;
    end_without(vec![copy.file.clone(), partial.0.clone()])?;
    // Before a copy of the whole database is made in vain.
    let half = data::private_file(&partial.0).with_context(|| {
        format!("make {}; next: a folder in which this user may write", partial.0.display())
    })?;
    let copied =
        snapshot::take(&data.path(backup::DATABASE), &copy.file, &mut percent("copying the database"))?;
    let manifest = Manifest::of(&data, taken, copied)?;
    tell("sealing")?;
    let written = backup::pack(&data, &manifest, &copy.file, half, &passphrase)?;
    written.sync_all()?;
    let bytes = written.metadata()?.len();
    partial.keep_as(file)?;
    summary(file, bytes, &manifest);
    Ok(())
}

/// On SIGTERM and SIGINT these files go before we do.
fn end_without(files: Vec<PathBuf>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut term, mut int) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        });
        for file in files {
            let _ = std::fs::remove_file(file);
        }
        let _ = tell("ended by a signal; no backup was made");
        std::process::exit(1);
    });
    Ok(())
}

/// A reader that went away makes it no less done.
fn summary(file: &Path, bytes: u64, manifest: &Manifest) {
    let _ = writeln!(
        std::io::stdout(),
        "\
{file}: {bytes} bytes, sealed to the passphrase (age format)
  as of              {taken}
  database           schema {schema}, {assets} assets, {tasks} tasks
  ca fingerprint     {authority}
  trust              version {trust_version}, root {trust_root}
  not in it          the keys of offline/ (authority root, trust root, approvers): keep them apart

Restore: aright-controller restore {file} --data DIR",
        file = file.display(),
        taken = manifest.taken,
        schema = manifest.schema,
        assets = manifest.assets,
        tasks = manifest.tasks,
        authority = manifest.authority,
        trust_version = manifest.trust_version,
        trust_root = manifest.trust_root,
    );
}

/// Tells each tenth once, on standard error.
fn percent(what: &str) -> impl FnMut(u64, u64) {
    let mut told = None;
    move |done, all| {
        let tenth = done * 10 / all.max(1);
        if told != Some(tenth) {
            told = Some(tenth);
            let _ = tell(&format!("{what}: {} %", tenth * 10));
        }
    }
}

fn tell(what: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{what}")
}

/// The backup while it is not whole: gone again unless it is kept.
struct Partial(PathBuf);

impl Partial {
    fn beside(file: &Path) -> Result<Self> {
        let name = file.file_name().with_context(|| format!("{} names no file", file.display()))?;
        Ok(Self(file.with_file_name(format!(".{}.partial", name.to_string_lossy()))))
    }

    fn keep_as(self, file: &Path) -> Result<()> {
        std::fs::rename(&self.0, file).with_context(|| format!("name {}", file.display()))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        data::sync(folder.unwrap_or(Path::new(".")))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Not there once it was kept.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The database's copy, as readable as the database itself: gone again in the end, or with the next backup.
struct Copy {
    file: PathBuf,
    _lock: std::fs::File,
}

impl Copy {
    fn of(data: &Data) -> Result<Self> {
        let folder = data.path("backup");
        data::folder(&folder)?;
        let lock = std::fs::File::open(&folder)?;
        if lock.try_lock().is_err() {
            bail!("another backup of {} is being taken; next: wait for it", data.root().display());
        }
        let file = folder.join("snapshot.db");
        data::private_file(&file).with_context(|| format!("make {}", file.display()))?;
        Ok(Self { file, _lock: lock })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
