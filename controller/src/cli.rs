//! The command line: parse and dispatch, nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::commands::{admin_reset, authority_renew, backup, check_config, restore, serve};

#[derive(Parser)]
#[command(
    name = "aright-controller",
    version,
    about = "Keeps posture, policies, scripts and jobs, and hands approved work to agents",
    after_help = "`serve` needs nothing beforehand: its first start makes database, authority and trust root and prints \
                  once how to log in.\n\nExit codes: 0 stopped as asked · 1 failed, the reason is on stderr · 2 wrong usage"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Place {
    /// Folder of database, keys and settings
    #[arg(long, value_name = "DIR", default_value = "/var/lib/aright")]
    data: PathBuf,
}

#[derive(Args)]
struct Passphrase {
    /// Read the passphrase from a file, `-` for standard input; else it is asked for, or read from a pipe
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve agents and operators; the first start makes everything and prints how to log in
    Serve {
        #[command(flatten)]
        place: Place,
        /// Settings file [default: DIR/controller.toml, if it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Allow hold times under 15 minutes
        #[arg(long)]
        dev: bool,
        /// Address of the agents' port [default: settings, 0.0.0.0:8440]
        #[arg(long, value_name = "ADDR")]
        agents: Option<SocketAddr>,
        /// Address of the operators' port [default: settings, 127.0.0.1:8441]
        #[arg(long, value_name = "ADDR")]
        operators: Option<SocketAddr>,
    },
    /// Say what is wrong with the settings
    CheckConfig {
        #[command(flatten)]
        place: Place,
        /// Settings file [default: DIR/controller.toml, if it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Take a backup, also while the controller serves: database, keys, authority and trust, in one sealed file
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make a data folder from a backup, on this machine or another; the controller must not run
    Restore {
        /// What `backup` wrote
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Replace the controller that is in the folder: its revocations stay, and its trust document where that
        /// is higher, and `offline/`; the rest is moved aside
        #[arg(long)]
        over: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// The certificate authority
    #[command(subcommand)]
    Authority(Authority),
    /// Help for administrators who are locked out
    #[command(subcommand)]
    Admin(Admin),
}

#[derive(Subcommand)]
enum Authority {
    /// Make the intermediate certificate anew, for a year; a controller that serves takes it up within a minute
    Renew {
        /// The authority's root key, which lies apart: authority-root.key
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum Admin {
    /// Give the administrator a new password and print it
    Reset {
        #[command(flatten)]
        place: Place,
    },
}

/// # Errors
/// What the subcommand could not do.
pub fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Serve { place, config, dev, agents, operators } => runtime()?
            .block_on(serve::run(serve::Options { data: place.data, config, dev, agents, operators })),
        Command::CheckConfig { place, config } => check_config::run(config.as_deref(), &place.data),
        Command::Backup { file, place, passphrase } => {
            backup::run(&place.data, &file, passphrase.passphrase_file.as_deref())
        }
        Command::Restore { file, place, over, passphrase } => {
            restore::run(&file, &place.data, over, passphrase.passphrase_file.as_deref())
        }
        Command::Authority(Authority::Renew { root_key, place }) => {
            authority_renew::run(&place.data, &root_key)
        }
        Command::Admin(Admin::Reset { place }) => runtime()?.block_on(admin_reset::run(&place.data)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
