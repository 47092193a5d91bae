//! Hostile scripts: each reaches its goal without the cage and is stopped with it.
//!
//! A theme is a table of [`case::Case`]s. One harness ([`judge`]) runs each of them as root on a throwaway host
//! (namespaces of its own, an overlay as root), first as it is, then through [`aright_agent::stage::Stage`] with
//! `/` writable and with `/` read-only. Whether it reached its goal says a witness outside (`witness/`), never
//! the script.

#[expect(dead_code, reason = "shared with the tests of the stage, which need more of it")]
#[path = "../stage/world.rs"]
mod world;

mod benign;
mod case;
mod files;
mod host;
mod judge;
mod kernel;
mod limits;
mod network;
mod processes;
mod secrets;

/// Fewer scripts than this prove too little.
const AT_LEAST: usize = 40;

/// That each of them is stopped is for its theme's test to show.
#[test]
fn there_are_enough_hostile_scripts() {
    let themes =
        [files::CASES, secrets::CASES, processes::CASES, kernel::CASES, network::CASES, limits::CASES];
    let possible = themes.into_iter().flatten().filter(|case| case.is_possible()).count();
    println!(
        "figure: escapes: {possible} scripts reached their goal without the cage, {possible} stopped with it \
         (counted from the tables, each of which its theme's test runs whole)"
    );
    assert!(possible >= AT_LEAST, "{possible} are not {AT_LEAST}");
}
