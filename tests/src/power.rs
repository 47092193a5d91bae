//! A disk that writes down everything it is told, so that its power can be cut afterwards, at any moment.
//!
//! QEMU's storage daemon offers an image as a file by FUSE and logs each write and each flush (driver `blklogwrites`,
//! in the format of the kernel's dm-log-writes). Up to a flush everything is on the disk; of what was written after it,
//! a disk without power keeps whatever it likes.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::lab::Lab;
use crate::place::Place as _;
use crate::process::Running;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(10);
const SECTOR: usize = 512;
const MAGIC: u64 = 0x6a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
/// What a disk writes whole or not at all.
const BLOCK: usize = 4096;

/// The daemon is killed when this is dropped.
pub struct LoggedDisk {
    /// Seen from the lab.
    file: String,
    /// Seen from the test.
    log: PathBuf,
    daemon: Running,
}

impl LoggedDisk {
    /// Offers `image` of the lab, which it changes.
    ///
    /// # Errors
    /// The daemon's words.
    pub fn new(lab: &Lab, image: &str) -> anyhow::Result<Self> {
        let (file, log) = (format!("{image}.offered"), format!("{image}.log"));
        lab.write(&file, "")?;
        lab.write(&log, "")?;
        let mut daemon = lab.command("qemu-storage-daemon");
        for block in [
            format!("node-name=image,driver=file,filename={image}"),
            format!("node-name=log,driver=file,filename={log}"),
            "node-name=disk,driver=blklogwrites,file=image,log=log".to_owned(),
        ] {
            daemon.args(["--blockdev", &block]);
        }
        daemon.arg("--export");
        daemon.arg(format!("type=fuse,id=disk,node-name=disk,mountpoint={file},writable=on"));
        let mut daemon = Running::start("qemu-storage-daemon", daemon, &lab.folder().join("disk.out"))?;
        let size = lab.path(image).metadata()?.len();
        until("the disk", PATIENCE, || {
            daemon.check()?;
            Ok(lab.path(&file).metadata().is_ok_and(|offered| offered.len() == size).then_some(()))
        })?;
        Ok(Self { file, log: lab.path(&log), daemon })
    }

    /// The disk, as a file of the lab.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How much was logged so far, to be found again by [`Log::at`].
    ///
    /// # Errors
    /// There is no log.
    pub fn logged(&self) -> anyhow::Result<u64> {
        Ok(self.log.metadata()?.len())
    }

    /// Takes the disk away, which must not be in use, and reads what was logged.
    ///
    /// # Errors
    /// The daemon does not end, or its log cannot be understood.
    pub fn stop(self) -> anyhow::Result<Log> {
        self.daemon.stop()?;
        Log::parse(&fs::read(&self.log)?)
    }
}

/// What a disk was told, in order.
pub struct Log {
    entries: Vec<Entry>,
}

struct Entry {
    flush: bool,
    /// Where on the disk, in bytes.
    at: u64,
    data: Vec<u8>,
    /// Where the entry ends in the log.
    end: u64,
}

impl Log {
    /// A super block, then for each entry a sector that says where, how much and how, then its data.
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let number = |at: usize| -> anyhow::Result<u64> {
            let word = bytes.get(at..at + 8).context("the log ends early")?;
            Ok(u64::from_le_bytes(word.try_into()?))
        };
        let sector_size = number(24)? & u64::from(u32::MAX);
        ensure!(number(0)? == MAGIC && sector_size == SECTOR as u64, "no log of writes");
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while at < bytes.len() {
            let (sector, count, flags) = (number(at)?, number(at + 8)?, number(at + 16)?);
            at += SECTOR;
            let length = if flags & DISCARD == 0 { usize::try_from(count)? * SECTOR } else { 0 };
            let data = bytes.get(at..at + length).context("the log ends early")?.to_vec();
            at += length;
            let at_disk = sector * SECTOR as u64;
            entries.push(Entry { flush: flags & FLUSH != 0, at: at_disk, data, end: at as u64 });
        }
        Ok(Self { entries })
    }

    /// How many entries there were when so much was logged.
    #[must_use]
    pub fn at(&self, logged: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= logged)
    }

    /// The number of each flush in a part of the log.
    #[must_use]
    pub fn flushes(&self, part: Range<usize>) -> Vec<usize> {
        part.filter(|n| self.entries.get(*n).is_some_and(|entry| entry.flush)).collect()
    }

    /// `disk` when its power is cut after a flush and before the next: everything up to the flush is on it, and each
    /// block after it that `keep` says. How many blocks those are, kept or lost.
    pub fn cut(&self, disk: &mut Disk, flush: usize, mut keep: impl FnMut() -> bool) -> usize {
        let (safe, rest) = self.entries.split_at(flush + 1);
        for entry in safe {
            disk.write(entry.at, &entry.data);
        }
        let mut open = 0;
        for entry in rest.iter().take_while(|entry| !entry.flush) {
            for (n, block) in entry.data.chunks(BLOCK).enumerate() {
                open += 1;
                if keep() {
                    disk.write(entry.at + (n * BLOCK) as u64, block);
                }
            }
        }
        open
    }
}

/// All bytes of a disk.
#[derive(Clone)]
pub struct Disk(Vec<u8>);

impl Disk {
    /// # Errors
    /// Those of read(2).
    pub fn read(image: &Path) -> anyhow::Result<Self> {
        Ok(Self(fs::read(image)?))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some(place) = self.0.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// As an image with holes where there is nothing.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn save(&self, image: &Path) -> anyhow::Result<()> {
        let file = File::create(image)?;
        file.set_len(self.0.len() as u64)?;
        for (n, block) in self.0.chunks(BLOCK).enumerate() {
            if block != &[0; BLOCK][..block.len()] {
                file.write_all_at(block, (n * BLOCK) as u64)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sector: u64, flags: u64, data: &[u8]) -> Vec<u8> {
        let words = [sector, (data.len() / SECTOR) as u64, flags, data.len() as u64];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        [&bytes, data].concat()
    }

    #[test]
    fn what_was_flushed_stays_and_the_rest_is_as_it_likes() -> anyhow::Result<()> {
        let mut bytes: Vec<u8> = [MAGIC, 1, 5, SECTOR as u64].iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        for entry in [
            entry(0, 0, &[1; SECTOR]),
            entry(0, FLUSH, &[]),
            entry(0, 0, &[2; 2 * BLOCK]),
            entry(0, FLUSH, &[]),
            entry(1, 0, &[3; SECTOR]),
        ] {
            bytes.extend(entry);
        }
        let log = Log::parse(&bytes)?;
        assert_eq!(log.flushes(0..9), [1, 3]);
        assert_eq!((log.at(SECTOR as u64), log.at(bytes.len() as u64)), (0, 5));

        let mut disk = Disk(vec![0; 3 * BLOCK]);
        let mut keep = [false, true].into_iter();
        assert_eq!(log.cut(&mut disk, 1, || keep.next().unwrap_or(false)), 2);
        assert_eq!([disk.0[0], disk.0[SECTOR], disk.0[BLOCK], disk.0[2 * BLOCK]], [1, 0, 2, 0]);
        assert!(Log::parse(&bytes[..bytes.len() - 1]).is_err());
        Ok(())
    }
}
