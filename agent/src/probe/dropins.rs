//! Drop-in folders as systemd reads them (sysctl.d(5), modprobe.d(5)): files of the same name in an earlier
//! folder replace those in later ones, a link to /dev/null masks, all are taken in order of their names.

use std::collections::BTreeMap;

use super::{Failed, Look};

/// Paths in the order in which they are read.
pub(super) fn files(look: &Look<'_>, folders: &[&str], ending: &str) -> Result<Vec<String>, Failed> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for folder in folders {
        let names = match look.root().list(folder).map_err(Failed::from) {
            Ok(names) => names,
            Err(Failed::Absent) => continue,
            Err(failed) => return Err(failed),
        };
        for name in names.into_iter().filter(|name| name.ends_with(ending)) {
            let path = format!("{folder}/{name}");
            by_name.entry(name).or_insert(path);
        }
    }
    let masked = |path: &String| look.root().link(path).is_ok_and(|to| to == "/dev/null");
    Ok(by_name.into_values().filter(|path| !masked(path)).collect())
}
