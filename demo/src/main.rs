//! The README's first command: the main job on this very host, in a throwaway view of its root.
//!
//! A controller on free loopback ports, an agent whose `/` is a copy-on-write view of this host's: it
//! evaluates the host as it is, remediates what fails, and all it changes goes when the demo ends.

mod fleet;
mod story;
mod view;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Evaluate this host, fix what fails in a throwaway view of its root, show all of it; without root only previewed.
#[derive(Parser)]
#[command(version)]
struct Demo {
    /// Leave controller and agent running until Ctrl-C, to look around.
    #[arg(long)]
    keep: bool,
    /// Where the three binaries are; beside this one unless given.
    #[arg(long, value_name = "FOLDER", hide = true)]
    bin: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    // We start ourselves again to enter the view before the agent takes our place.
    let result = if args.get(1).is_some_and(|arg| arg == view::ENTER) {
        view::enter(&args[2..]).map(|never| match never {})
    } else {
        let demo = Demo::parse();
        fleet::bin_folder(demo.bin).and_then(|bin| story::tell(&bin, demo.keep))
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
