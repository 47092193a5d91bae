//! `aright`, the operator's command line: parses, dispatches, turns errors into exit codes.

mod commands;
mod output;
mod schedule;
mod session;

use std::process::ExitCode;

use aright_shared::client::ClientError;
use aright_shared::text::plain;
use clap::{Parser, Subcommand};

use crate::output::Format;

/// How many of the things that a refusal is about are shown.
const LISTED: usize = 10;

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
pub struct Cli {
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
    /// Static tags of hosts: they decide which policies are for a host, and jobs find hosts by them.
    #[command(subcommand)]
    Tag(commands::tag::Command),
    /// What passes, what fails.
    #[command(subcommand)]
    Posture(commands::posture::Command),
    /// What is wanted of hosts: the library's policies, and your own.
    #[command(subcommand)]
    Policy(commands::policy::Command),
    /// What can be run, and who approved it.
    #[command(subcommand)]
    Script(commands::script::Command),
    /// Remediation: choose, save, follow.
    #[command(subcommand)]
    Job(commands::job::Command),
    /// Jobs that run at a time, or again and again.
    #[command(subcommand)]
    Schedule(commands::schedule::Command),
    /// Stop all remediation, or let it go on.
    StopAll(commands::stop::StopAll),
    /// One script on one host: what it did, and what became of it.
    #[command(subcommand)]
    Task(commands::task::Command),
    /// Try a script on a stage of a host: what it would change, and whether its controls would pass then.
    Preview(commands::preview::Preview),
    /// Secrets by which new agents enrol.
    #[command(subcommand)]
    EnrollKey(commands::enroll_key::Command),
    /// Whether scripts of your own may be chosen and run.
    #[command(subcommand)]
    Licence(commands::licence::Command),
    /// Who did what, when.
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// Whose approvals agents believe.
    #[command(subcommand)]
    Trust(commands::trust::Command),
}

/// Parses the command line and obeys it.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::BrokenPipe
            {
                // Whoever read has had enough.
                return ExitCode::SUCCESS;
            }
            eprintln!("aright: {}", plain(&format!("{error:#}")));
            eprint!("{}", listed(&error));
            ExitCode::FAILURE
        }
    }
}

/// What a refusal lists, as far as a person reads it; all of it is in the API's answer.
fn listed(error: &anyhow::Error) -> String {
    let problem = error.downcast_ref::<ClientError>().and_then(ClientError::problem);
    let items = problem.map_or(&[][..], |problem| &problem.items);
    let mut text = String::new();
    for item in items.iter().take(LISTED) {
        let fields: Vec<_> = item
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| match value {
                serde_json::Value::String(value) => format!("{name} {value}"),
                other => format!("{name} {other}"),
            })
            .collect();
        text.push_str(&format!("  {}\n", plain(&fields.join(", "))));
    }
    if items.len() > LISTED {
        text.push_str(&format!("  and {} more\n", items.len() - LISTED));
    }
    text
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let format = cli.output;
    match cli.command {
        Command::Login(login) => login.run().await?,
        Command::Logout => session::logout().await?,
        Command::Asset(command) => command.run(format).await?,
        Command::Tag(command) => command.run(format).await?,
        Command::Posture(command) => command.run(format).await?,
        Command::Policy(command) => command.run(format).await?,
        Command::Script(command) => command.run(format).await?,
        Command::Job(command) => return command.run(format).await,
        Command::Task(command) => return command.run(format).await,
        Command::Preview(preview) => return preview.run(format).await,
        Command::Schedule(command) => command.run(format).await?,
        Command::StopAll(stop) => stop.run(format).await?,
        Command::Licence(command) => command.run(format).await?,
        Command::EnrollKey(command) => command.run(format).await?,
        Command::Audit(command) => command.run(format).await?,
        Command::Trust(command) => command.run(format).await?,
    }
    Ok(ExitCode::SUCCESS)
}
