//! Man pages and completions of all programs: `cargo run -p aright-manual -- FOLDER`. Made from the command lines
//! themselves, by a program that no package holds.
//!
//! For each program `FOLDER/NAME/man/`, `bash/`, `zsh/` and `fish/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

/// Commands of everybody, and those of an administrator.
const USER: &str = "1";
const ADMIN: &str = "8";

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("wanted: a folder to write to")?;
    describe(aright_agent::cli::Cli::command(), ADMIN, &folder)?;
    describe(aright_controller::cli::Cli::command(), ADMIN, &folder)?;
    describe(aright::Cli::command(), USER, &folder)
}

fn describe(program: Command, section: &str, folder: &Path) -> anyhow::Result<()> {
    let name = program.get_name().to_owned();
    let folder = folder.join(&name);
    for (kind, shell) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
        let folder = fresh(&folder.join(kind))?;
        let written = clap_complete::generate_to(shell, &mut program.clone(), &name, &folder)?;
        // The name that bash-completion looks for.
        if shell == Shell::Bash {
            fs::rename(written, folder.join(&name))?;
        }
    }
    // Its subcommands have pages of their own, but for `help`.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    pages(&program, section, &fresh(&folder.join("man"))?)
}

fn pages(command: &Command, section: &str, folder: &Path) -> anyhow::Result<()> {
    for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        pages(below, section, folder)?;
    }
    Man::new(command.clone()).section(section).generate_to(folder)?;
    Ok(())
}

/// An empty folder: a command that is gone leaves no page behind.
fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}
