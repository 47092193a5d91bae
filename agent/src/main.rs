//! `aright-agent`: the service, its own command line, and, started by itself, the launcher of scripts.

use std::process::ExitCode;

fn main() -> ExitCode {
    aright_agent::service::launched();
    aright_agent::cli::main()
}
