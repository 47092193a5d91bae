//! By a cut of the power: the host's files and the agent's state on two file systems of one disk that logs its writes.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_agent::task::journal::Step;
use aright_shared::id::TaskId;
use aright_tests::{Dice, Disk, Log, LoggedDisk, Place as _, SEED, needs, seed, skip, until};

use super::files::{self, HOST, Last};
use super::judge::{judge_found, judge_recovery};
use super::part::Act;
use super::world::{Found, World};

/// Cuts of each life on each file system.
const CASES: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);
/// Where images lie: on the lab's own tmpfs, which no stage shows.
const IMAGE: &str = "/run/disk";
const CUT: &str = "/run/cut";
/// Sizes of the two file systems, in MiB.
const HOST_SIZE: u64 = 24;
const STATE_SIZE: u64 = 40;

#[test]
fn the_power_is_cut_at_any_moment() -> anyhow::Result<()> {
    needs!(skip::POWER);
    let seed = seed()?;
    let mut dice = Dice::of(seed);
    let (mut cuts, mut flushes, mut open, mut kept) = (0, 0, 0, 0);
    for kind in [Kind::Ext4, Kind::Xfs] {
        for (last, acts) in lives() {
            let world = World::new(last)?;
            make(&world, kind)?;
            let blank = Disk::read(&world.lab.path(IMAGE))?;
            let life = live(&world, kind, &acts)?;
            let moments = life.log.flushes(life.entries.clone());
            for case in 0..CASES {
                let flush = moments[case * moments.len() / CASES];
                // Of four, how many writes a disk keeps: none, all, or something between.
                let share = dice.below(5);
                let mut disk = blank.clone();
                open += life.log.cut(&mut disk, flush, || dice.below(4) < share);
                disk.save(&world.lab.path(CUT))?;
                let told =
                    || format!("{kind:?}, {acts:?}, {SEED}={seed}, {share}/4 of what follows entry {flush}");
                kept += usize::from(judge(&world, kind, &life, flush).with_context(told)?);
                cuts += 1;
            }
            flushes += moments.len();
        }
    }
    println!(
        "figure: crash_points: {cuts} power cuts ({SEED}={seed}) at {flushes} flushes, {open} later blocks kept or \
         lost at random, {kept} changes kept; 0 torn, 0 twice"
    );
    Ok(())
}

/// What an agent does, each to its end or to a kill.
type Acts = Vec<(Act, Option<&'static str>)>;

/// A task and an order to undo it; the same, killed on the way and brought to its end by the next start.
fn lives() -> [(Last, Acts); 4] {
    [
        (Last::Name, vec![(Act::Run, None), (Act::Undo, None)]),
        (Last::Name, vec![(Act::Run, Some("commit:entry#6")), (Act::Recover, None)]),
        (Last::Name, vec![(Act::Run, None), (Act::Undo, Some("undo:entry#6")), (Act::Recover, None)]),
        // When a mode was given back and was not synced yet.
        (Last::Mode, vec![(Act::Run, None), (Act::Undo, Some("dress:moded#6")), (Act::Recover, None)]),
    ]
}

/// What journals metadata in its own way: a sync of a folder writes all of them in one, in the other only its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// `mkfs.xfs` makes file systems so small for those who test.
    fn mkfs(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4 -q -b 4096 -J size=4 -O ^resize_inode",
            Self::Xfs => "env TEST_DIR=t TEST_DEV=t QA_CHECK_FS=t mkfs.xfs -q",
        }
    }

    /// Neither writes anything on its own while the test lasts, nor more than it is asked to.
    fn mount(self) -> &'static str {
        match self {
            Self::Ext4 => "mount -t ext4 -o loop,noatime,commit=300,noauto_da_alloc",
            Self::Xfs => "mount -t xfs -o loop,noatime",
        }
    }
}

/// All that was written in one life.
struct Life {
    task: TaskId,
    log: Log,
    /// Entries of the log from the agent's first to its last.
    entries: Range<usize>,
    witnessed: Vec<Witnessed>,
}

/// What was seen to have happened at a moment when the agent wrote nothing: it must have happened ever after.
struct Witnessed {
    /// How much was logged.
    logged: u64,
    steps: Vec<Step>,
    undo: Vec<Step>,
}

fn live(world: &World, kind: Kind, acts: &Acts) -> anyhow::Result<Life> {
    let task = TaskId::new();
    let disk = LoggedDisk::new(&world.lab, IMAGE)?;
    mount(world, kind, disk.file())?;
    world.reset_parameter()?;
    let begin = disk.logged()?;
    let witness = || -> anyhow::Result<Witnessed> {
        let Found { steps, undo, .. } = world.found(&task)?;
        Ok(Witnessed { logged: disk.logged()?, steps, undo })
    };
    let mut witnessed = Vec::new();
    for (act, point) in acts {
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let part = scope.spawn(|| world.live_slowly(*act, &task, *point));
            if matches!(act, Act::Run) {
                // The script waits until this was seen.
                let sings = || part.is_finished() || world.starts(&task) > 0;
                until("the script", PATIENCE, || Ok(sings().then_some(())))?;
                witnessed.push(witness()?);
            }
            part.join().ok().context("the thread panicked")?.map(drop)
        })?;
        witnessed.push(witness()?);
    }
    let end = disk.logged()?;
    unmount(world)?;
    let log = disk.stop()?;
    Ok(Life { task, entries: log.at(begin)..log.at(end), log, witnessed })
}

/// One cut: what the disk says, what the next start makes of it, and whether the change was kept.
fn judge(world: &World, kind: Kind, life: &Life, flush: usize) -> anyhow::Result<bool> {
    mount(world, kind, CUT)?;
    world.reset_parameter()?;
    let found = world.found(&life.task)?;
    let judged = judge_found(world, &found).and_then(|()| {
        for Witnessed { logged, steps, undo } in &life.witnessed {
            let may_be_lost = flush + 1 < life.log.at(*logged);
            let is_there = found.steps.starts_with(steps) && found.undo.starts_with(undo);
            ensure!(may_be_lost || is_there, "lost: {steps:?}, undo {undo:?}");
        }
        judge_recovery(world, &life.task, &found)
    });
    unmount(world)?;
    judged.with_context(|| format!("{:?}, undo {:?}", found.steps, found.undo))
}

/// A disk with two file systems: the host's, with its files, and the agent's, empty.
fn make(world: &World, kind: Kind) -> anyhow::Result<()> {
    let mkfs = kind.mkfs();
    let one = |name: &str, size: u64| {
        format!(
            "truncate -s {size}M {IMAGE}.{name}; {mkfs} {IMAGE}.{name}
            cat {IMAGE}.{name} >>{IMAGE}; rm {IMAGE}.{name}\n"
        )
    };
    let all = one("host", HOST_SIZE) + &one("state", STATE_SIZE);
    world.lab.stdout(&["sh", "-euc", &all])?;
    mount(world, kind, IMAGE)?;
    files::plant(&files::old(), &world.lab.path(HOST))?;
    unmount(world)
}

/// As a start does, by which the file systems repair themselves.
fn mount(world: &World, kind: Kind, disk: &str) -> anyhow::Result<()> {
    let one = |from: u64, size: u64, at: &str| {
        format!("{},offset={},sizelimit={} {disk} '{at}'\n", kind.mount(), from << 20, size << 20)
    };
    let state = world.state.to_string_lossy();
    let mount = one(0, HOST_SIZE, HOST) + &one(HOST_SIZE, STATE_SIZE, &state);
    world.lab.stdout(&["sh", "-euc", &mount]).map(drop)
}

fn unmount(world: &World) -> anyhow::Result<()> {
    world.lab.stdout(&["umount", HOST, &world.state.to_string_lossy()]).map(drop)
}
