//! The agent's own command line: enrol and run; and look, explain, undo without any controller.

use std::path::PathBuf;
use std::process::ExitCode;

use aright_shared::digest::Digest;
use aright_shared::id::Key;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::enroll::{Invitation, Told};
use crate::host::Network;
use crate::{daemon, local, paths, service};

/// Evaluates this host's hardening controls and runs assigned fixes, each on a stage first.
#[derive(Parser)]
#[command(
    name = "aright-agent",
    version,
    after_help = "Exit codes: 0 done · 1 failed, the reason is on stderr · 2 wrong usage · 3 evaluate: a control does not pass; preview: a run would not end well"
)]
pub struct Cli {
    /// Settings.
    #[arg(long, global = true, value_name = "FILE", default_value_os_t = paths::default_config())]
    config: PathBuf,
    /// Where identity, journal and results are kept, instead of what the settings say.
    #[arg(long, global = true, value_name = "FOLDER")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a controller; `aright enroll-key create` prints the whole command.
    Enroll(Enroll),
    /// Ask the controller to revoke this host, before its agent is taken away. Nothing is removed here.
    ///
    /// What a task was cut off in is finished or undone first. Takes at most 15 s then. Exit code 1 means that the
    /// controller was not told, or that something is half-done.
    Leave,
    /// Finish or undo what a task was cut off in by a crash, as the service does when it starts.
    Recover,
    /// Run as the service: check in, take tasks, report.
    Run {
        /// Only say whether there is anybody to run for: exit code 1 on a host that is not enrolled, unless
        /// agent.toml says how to; 255 where agent.toml is not valid.
        #[arg(long)]
        check: bool,
        /// Look at and set net.* in a network namespace of its own.
        #[arg(long, hide = true)]
        private_net: bool,
    },
    /// Evaluate the controls on this host and print the verdicts by the library's expected values.
    Evaluate {
        /// Only this control; may be repeated.
        #[arg(long, value_name = "KEY")]
        control: Vec<Key>,
        /// Print observations and verdicts as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What a control looked at, what it expected, why it passes or not, what a fix would change.
    Explain { control: Key },
    /// Try a script on a stage of this host: what it would change, and whether its controls would pass then.
    ///
    /// Nothing of the host changes and no controller is asked. Values come from the library's own expectations.
    Preview {
        /// A library script's key (`explain` names it), or a YAML file.
        script: String,
        /// A value that the script wants to be given; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_parser = aright_shared::values::named)]
        param: Vec<(String, String)>,
        /// Print the whole report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enrolment, controller, clock, tasks.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Bring back what a task changed.
    Undo {
        /// The task that changed something last.
        #[arg(long, required_unless_present = "task")]
        last: bool,
        #[arg(long, value_name = "ID", conflicts_with = "last")]
        task: Option<aright_shared::id::TaskId>,
    },
    /// Let this host be remediated again.
    Enable,
    /// From now on run nothing on this host, whoever asks; evaluation goes on.
    Disable {
        /// Shown to operators.
        #[arg(default_value = "disabled on the host")]
        reason: String,
    },
    /// Check the settings file and print what is in force.
    CheckConfig,
    /// Forget the latest controller time ever seen, after it was wrong.
    ResetTime,
}

#[derive(Args)]
struct Enroll {
    /// Where the controller listens for agents; may be repeated, in order of preference.
    #[arg(long, value_name = "URL", env = "ARIGHT_CONTROLLER_URL", value_delimiter = ',')]
    controller: Vec<String>,
    /// The enrolment key; `-` reads it from standard input. By the environment no other user sees it.
    #[arg(long, env = "ARIGHT_ENROLL_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Fingerprint of the controller's authority.
    #[arg(long, value_name = "sha256:…", env = "ARIGHT_CA_FINGERPRINT")]
    ca_fingerprint: Option<Digest>,
    /// Fingerprint of the trust root, whose approvers this host is to believe.
    #[arg(long, value_name = "sha256:…", env = "ARIGHT_TRUST_FINGERPRINT")]
    trust_fingerprint: Option<Digest>,
    /// Replace an enrolment that is already there.
    #[arg(long)]
    again: bool,
}

/// Parses the command line and obeys it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Anything less is to systemd a unit that need not start (systemd.service(5), ExecCondition=).
    let failed =
        ExitCode::from(if matches!(cli.command, Command::Run { check: true, .. }) { 255 } else { 1 });
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aright-agent: {error:#}");
            failed
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut config = match Config::load(&cli.config) {
        // Whoever takes the agent away need not mend its settings first.
        Err(error) if matches!(cli.command, Command::Leave | Command::Recover) => {
            eprintln!("aright-agent: {error:#}; going by the defaults");
            Config::default()
        }
        loaded => loaded?,
    };
    if let Some(state) = cli.state {
        config.state = std::path::absolute(state)?;
    }
    match cli.command {
        Command::Enroll(enroll) => local::enroll(&config, &Invitation::new(enroll.told()?, &config)?)?,
        Command::Leave => local::leave(&config)?,
        Command::Recover => local::recover(&config)?,
        Command::Run { check: true, .. } => return local::can_run(&config),
        Command::Run { check: false, private_net } => {
            let network = if private_net { Network::Private } else { Network::Host };
            service::run(move || daemon::run(config, network))?;
        }
        Command::Evaluate { control, json } => return local::evaluate(&control, json),
        Command::Explain { control } => local::explain(&control)?,
        Command::Preview { script, param, json } => {
            return local::preview(&config, &script, param.into_iter().collect(), json);
        }
        Command::Status { json } => local::status(&config, json)?,
        Command::Undo { last: _, task } => return local::undo(&config, task),
        Command::Enable => local::enable(&config)?,
        Command::Disable { reason } => local::disable(&config, &reason)?,
        Command::CheckConfig => local::check_config(&cli.config, &config)?,
        Command::ResetTime => local::reset_time(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Enroll {
    fn told(self) -> anyhow::Result<Told> {
        let key = match self.key.as_deref() {
            Some("-") => Some(std::io::read_to_string(std::io::stdin())?.trim().to_owned()),
            _ => self.key,
        };
        Ok(Told {
            controllers: self.controller,
            key,
            ca_fingerprint: self.ca_fingerprint,
            trust_fingerprint: self.trust_fingerprint,
            again: self.again,
        })
    }
}
