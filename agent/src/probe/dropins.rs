//! Drop-in folders as systemd reads them (sysctl.d(5), modprobe.d(5)): files of the same name in an earlier
//! folder replace those in later ones, a link to /dev/null masks, all are taken in order of their names.

use std::collections::BTreeMap;

use nix::sys::stat::{SFlag, makedev};

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
        for name in names.into_iter().filter(|name| name.ends_with(ending) && !name.starts_with('.')) {
            let path = format!("{folder}/{name}");
            by_name.entry(name).or_insert(path);
        }
    }
    Ok(by_name.into_values().filter(|path| !is_mask(look, path)).collect())
}

/// Whether a path leads to the null device, by whatever link: then nothing of its name is read.
pub(super) fn is_mask(look: &Look<'_>, path: &str) -> bool {
    // A prepared tree may have no devices.
    look.root().link(path).is_ok_and(|to| to == "/dev/null")
        || look.root().meta(path, true).is_ok_and(|meta| {
            SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR
                && meta.st_rdev == makedev(1, 3)
        })
}
