//! `aright`, the operator's command line: parses, dispatches, turns errors into exit codes.

mod commands;
mod output;
#[cfg_attr(not(test), expect(dead_code, reason = "`job create` is to take it"))]
mod schedule;
mod session;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Format;

/// From a failed control to a verified fix.
///
/// Log in once with `aright login`; then look (`posture list`), fix (`job create`), follow (`job watch`).
#[derive(Parser)]
#[command(
    name = "aright",
    version,
    after_help = "Exit codes: 0 done · 1 refused or failed, the reason is on stderr · \
2 wrong usage · 3 a watched run, or a preview, ended with anything but fixed, already_compliant or ran; an undo was not whole"
)]
struct Cli {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Log in to a controller and remember it.
    Login(commands::login::Login),
    /// Forget the session, here and on the controller.
    Logout,
    /// Hosts with an agent.
    #[command(subcommand)]
    Asset(commands::asset::Command),
    /// What passes, what fails.
    #[command(subcommand)]
    Posture(commands::posture::Command),
    /// What can be run, and who approved it.
    #[command(subcommand)]
    Script(commands::script::Command),
    /// Remediation: choose, save, follow.
    #[command(subcommand)]
    Job(commands::job::Command),
    /// One script on one host: what it did, and what became of it.
    #[command(subcommand)]
    Task(commands::task::Command),
    /// Try a script on a stage of a host: what it would change, and whether its controls would pass then.
    Preview(commands::preview::Preview),
    /// Secrets by which new agents enrol.
    #[command(subcommand)]
    EnrollKey(commands::enroll_key::Command),
    /// Whose approvals agents believe.
    #[command(subcommand)]
    Trust(commands::trust::Command),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aright: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let format = cli.output;
    match cli.command {
        Command::Login(login) => login.run().await?,
        Command::Logout => session::logout().await?,
        Command::Asset(command) => command.run(format).await?,
        Command::Posture(command) => command.run(format).await?,
        Command::Script(command) => command.run(format).await?,
        Command::Job(command) => return command.run(format).await,
        Command::Task(command) => return command.run(format).await,
        Command::Preview(preview) => return preview.run(format).await,
        Command::EnrollKey(command) => command.run(format).await?,
        Command::Trust(command) => command.run(format).await?,
    }
    Ok(ExitCode::SUCCESS)
}
