//! Random scripts on random trees. What a stage says they change is what they change when they are run plainly,
//! on a copy; what may be committed makes the host equal to that copy, and undo gives everything back. Anything
//! else ends `refused` or `overreach`, and the host stays as it was.
//!
//! `ARIGHT_SEED` runs other cases than the usual ones.

#[path = "../stage/obey.rs"]
mod obey;
#[path = "../stage/world.rs"]
#[expect(dead_code, reason = "shared with the tests of the stage")]
mod world;

mod case;
mod coverage;
mod declared;
mod deeds;
mod planted;
mod random;
mod snapshot;
mod task;

use std::fs;

use nix::mount::{MsFlags, mount};

use case::{Case, Ended};
use coverage::Coverage;
use deeds::DEEDS;
use world::{World, on_host};

/// How often each deed is the one that a case is about.
const ROUNDS: usize = 3;
/// In it lies the tree, as the host has it.
const FOLDER: &str = "/opt/aright-exact";
/// Leads to it.
const ALIAS: &str = "/opt/aright-alias";
/// A plain file system that no stage shows: the script is run there too.
const PLAIN: &str = "/tmp/aright-plain";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// On the root, an overlay.
    Root,
    /// On a file system of its own.
    Mount,
    /// On an overlay of overlays, where the stage can only be private copies.
    Deep,
}

#[test]
fn on_the_root() {
    property(Ground::Root, 1);
}

#[test]
fn on_the_root_again() {
    property(Ground::Root, 2);
}

#[test]
fn on_a_file_system_of_its_own() {
    property(Ground::Mount, 3);
}

#[test]
fn on_private_copies() {
    property(Ground::Deep, 4);
}

fn property(ground: Ground, seed: u64) {
    let seed =
        std::env::var("ARIGHT_SEED").map_or(seed, |text| text.parse().expect("ARIGHT_SEED is a number"));
    on_host(if ground == Ground::Deep { 2 } else { 1 }, |world| {
        prepare(ground);
        let before = elsewhere(world);
        let mut coverage = Coverage::new();
        let case = |number| Case::new(seed, number, ground == Ground::Deep).run(&mut coverage);
        let ends: Vec<Ended> = (0..ROUNDS * DEEDS.len()).map(case).collect();
        fs::remove_dir_all(case::tree()).expect("removes");
        assert_eq!(elsewhere(world), before, "something outside of the tree was changed");
        tell(&format!("stage_exact, {ground:?}, seed {seed}"), &ends, &coverage);
        assert_eq!(coverage.never(), [""; 0], "these never occurred");
    });
}

#[expect(clippy::print_stdout, reason = "figures are printed")]
fn tell(what: &str, ends: &[Ended], coverage: &Coverage) {
    let count = |end| ends.iter().filter(|ended| **ended == end).count();
    println!(
        "figure: {what}: {} cases, {kept} committed, {kept} undone, {} overreach, {} refused",
        ends.len(),
        count(Ended::Overreach),
        count(Ended::Refused),
        kept = count(Ended::Committed),
    );
    println!("figure: {what}: {}", coverage.line());
}

fn prepare(ground: Ground) {
    let plain = |at: &str| {
        mount(Some("plain"), at, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("tmpfs");
    };
    fs::create_dir_all(PLAIN).expect("folder");
    plain(PLAIN);
    fs::create_dir_all(FOLDER).expect("folder");
    if ground == Ground::Mount {
        plain(FOLDER);
    }
    std::os::unix::fs::symlink(FOLDER, ALIAS).expect("link");
    // What it lies in is now of this world.
    fs::create_dir(task::STATE).and_then(|()| fs::remove_dir(task::STATE)).expect("folder");
}

/// Everything that was ever changed on this host, but for the tree and the agent's state.
fn elsewhere(world: &World) -> String {
    let own = [FOLDER, task::STATE].map(|path| path.trim_start_matches('/'));
    let parents = ["opt", "var/lib", "tmp"];
    let other = |line: &&str| {
        !own.iter().any(|own| line.contains(own))
            && !parents.iter().any(|parent| line.starts_with(&format!("{parent} ")))
    };
    world.digest().lines().filter(other).collect::<Vec<_>>().join("\n")
}
