//! By a cut of the power: the host's files and the agent's state on two file systems of one disk that logs its writes.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aright_agent::task::journal::Step;
use aright_shared::id::TaskId;
use aright_tests::{Disk, Log, LoggedDisk, Place as _, needs, skip, until};

use super::files::{self, HOST};
use super::judge::{judge_found, judge_recovery};
use super::part::Act;
use super::world::{End, World};

const CASES: usize = 240;
const SEED: &str = "ARIGHT_SEED";
/// Where images lie: on the lab's own tmpfs, which no stage shows.
const IMAGE: &str = "/run/disk";
const CUT: &str = "/run/cut";
/// Sizes of the two file systems, in MiB.
const HOST_SIZE: u64 = 16;
const STATE_SIZE: u64 = 40;

#[test]
fn the_power_is_cut_at_any_moment() -> anyhow::Result<()> {
    needs!(skip::POWER);
    let world = World::new()?;
    make(&world)?;
    let blank = Disk::read(&world.lab.path(IMAGE))?;
    let task = TaskId::new();
    let life = live(&world, &task)?;
    let seed = seed()?;
    let mut dice = Dice(seed);
    let flushes = life.log.flushes(life.cuts.clone());
    let (mut kept, mut open) = (0, 0);
    for case in 0..CASES {
        let flush = flushes[case % flushes.len()];
        let share = dice.share();
        let mut disk = blank.clone();
        open += life.log.cut(&mut disk, flush, || dice.hit(share));
        disk.save(&world.lab.path(CUT))?;
        let told = || format!("case {case}, after entry {flush}, {share} of 4 later blocks, {SEED}={seed}");
        kept += usize::from(judge(&world, &task, &life, flush).with_context(told)?);
    }
    println!(
        "figure: crash_points: {CASES} power cuts ({SEED}={seed}) after {} flushes, {open} blocks kept or lost at \
         random, {kept} changes kept; 0 torn, 0 twice",
        flushes.len()
    );
    Ok(())
}

/// What was written in a whole life, and how far it had come.
struct Life {
    log: Log,
    /// Entries of the log from the agent's first to its last.
    cuts: Range<usize>,
    /// How many entries there were when the script had been started, when the task had come to its end, when it had been
    /// undone.
    started: usize,
    ended: usize,
    undone: usize,
}

/// One task to its end, then an order to undo it.
fn live(world: &World, task: &TaskId) -> anyhow::Result<Life> {
    let disk = LoggedDisk::new(&world.lab, IMAGE)?;
    mount(world, disk.file())?;
    world.reset_parameter()?;
    let begin = disk.logged()?;
    let started = std::thread::scope(|scope| -> anyhow::Result<u64> {
        let run = scope.spawn(|| world.run_slowly(task));
        let started = until("the script", Duration::from_secs(20), || {
            let is_over = run.is_finished() || world.starts(task) > 0;
            Ok(if is_over { Some(disk.logged()?) } else { None })
        });
        match run.join().ok().context("the thread panicked")?? {
            End::Said(_) => started,
            End::Died => bail!("killed by somebody else"),
        }
    })?;
    let ended = disk.logged()?;
    ensure!(world.files()? == files::new(), "{}", files::differences(&world.files()?, &files::new()));
    world.live(Act::Undo(TaskId::new()), task, None)?;
    let undone = disk.logged()?;
    ensure!(world.files()? == files::old(), "{}", files::differences(&world.files()?, &files::old()));
    let log = disk.log()?;
    unmount(world)?;
    Ok(Life {
        cuts: log.at(begin)..log.at(undone),
        started: log.at(started),
        ended: log.at(ended),
        undone: log.at(undone),
        log,
    })
}

/// One cut: what the disk says, what the next start makes of it, and whether it was kept.
fn judge(world: &World, task: &TaskId, life: &Life, flush: usize) -> anyhow::Result<bool> {
    mount(world, CUT)?;
    world.reset_parameter()?;
    let found = world.found(task)?;
    let judged = judge_found(&found).and_then(|()| {
        let has = |reached: usize, step| flush + 1 < reached || found.steps.contains(&step);
        ensure!(has(life.started, Step::Staging), "the script was started, and is not known to be");
        ensure!(has(life.ended, Step::Acknowledged), "a task that had ended has not");
        ensure!(has(life.undone, Step::Undone), "a task that was undone is not");
        judge_recovery(world, task, &found)
    });
    unmount(world)?;
    judged.with_context(|| format!("{:?}, undo {:?}", found.steps, found.undo))
}

/// A disk with two file systems: the host's, with its files, and the agent's, empty.
fn make(world: &World) -> anyhow::Result<()> {
    let folder = world.lab.folder().join("host");
    fs::create_dir(&folder)?;
    files::plant(&files::old(), &folder)?;
    let make = format!(
        "truncate -s {}M {IMAGE}
        mkfs() {{ mkfs.ext4 -q -b 4096 -J size=4 -O ^resize_inode \"$@\"; }}
        mkfs -d '{}' {IMAGE} {HOST_SIZE}M
        mkfs -E offset={} {IMAGE} {STATE_SIZE}M",
        HOST_SIZE + STATE_SIZE,
        folder.display(),
        HOST_SIZE << 20,
    );
    world.lab.stdout(&["sh", "-euc", &make]).map(drop)
}

/// As a start does, by which the file systems repair themselves. Neither writes anything back on its own while the test
/// lasts, nor syncs more than it is asked to.
fn mount(world: &World, disk: &str) -> anyhow::Result<()> {
    let one = |from: u64, size: u64, at: &str| {
        format!(
            "mount -t ext4 -o loop,offset={},sizelimit={},commit=300,noauto_da_alloc {disk} '{at}'\n",
            from << 20,
            size << 20
        )
    };
    let state = world.state.to_string_lossy();
    let mount = one(0, HOST_SIZE, HOST) + &one(HOST_SIZE, STATE_SIZE, &state);
    world.lab.stdout(&["sh", "-euc", &mount]).map(drop)
}

fn unmount(world: &World) -> anyhow::Result<()> {
    world.lab.stdout(&["umount", HOST, &world.state.to_string_lossy()]).map(drop)
}

/// A new one each time, unless it is given.
fn seed() -> anyhow::Result<u64> {
    match std::env::var(SEED) {
        Ok(seed) => seed.parse().context(SEED),
        Err(_) => Ok(getrandom::u64()?),
    }
}

/// Random numbers that a seed gives again (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Of four, how many writes a disk keeps: none, all, or something between.
    fn share(&mut self) -> u64 {
        self.next() % 5
    }

    fn hit(&mut self, share: u64) -> bool {
        self.next() % 4 < share
    }
}
