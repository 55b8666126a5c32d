//! The `chil` binary: parses the command line, runs one command, and ends with its exit code.
//! Knows nothing about what the commands do.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
