//! `aright-agent`: the service, its own command line, and, started by itself, the launcher of scripts.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == aright_agent::cage::launcher::ARGUMENT) {
        aright_agent::cage::launcher::main();
    }
    aright_agent::cli::main()
}
