use std::process::ExitCode;

fn main() -> ExitCode {
    match aright_controller::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "aright-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}
