//! The programs under test, where cargo put them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};

/// The folder of the whole workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// A built program of this workspace, of the test's own profile.
///
/// # Errors
/// It is not there, or older than a source that cargo made it from.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("this test lies in no target folder")?;
    let program = folder.join(name);
    ensure!(
        program.is_file(),
        "{} is not built; next: ./test, or cargo build --workspace",
        program.display()
    );
    let built = modified(&program)?;
    for source in sources(&program)? {
        let newer = modified(&source).is_ok_and(|changed| changed > built);
        ensure!(
            !newer,
            "{} is older than {}; next: ./test, or cargo build --workspace",
            program.display(),
            source.display()
        );
    }
    Ok(program)
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.modified()?)
}

/// Cargo's dependency file, `program: source source …`, with blanks in names escaped.
fn sources(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let path = program.with_extension("d");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let list = text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, list)| list);
    let marked = list.replace("\\ ", "\0");
    Ok(marked.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).collect())
}
