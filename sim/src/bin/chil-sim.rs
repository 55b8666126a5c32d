//! The `chil-sim` binary: seeded chaos from the command line, and the replay of one run.
//! Knows nothing but its arguments: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match chil_sim::cli::main() {
        Ok(code) => code,
        Err(error) => {
            chil_sim::cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
