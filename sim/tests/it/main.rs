//! The simulator as a whole: as a library, as a program, and by the files that go with it.
//! Knows nothing about what the replicas and the storage code owe to each other, which their own
//! tests say.

mod campaigns;
mod chaos;
mod cli;
mod cores;
mod environment;
mod large;
mod plans;
mod readme;
mod scenarios;
mod schedulers;
mod seeds;
mod shrink;

use std::process::{Command, Output};

/// The program.
const SIM: &str = env!("CARGO_BIN_EXE_chil-sim");

fn chil_sim(args: &[&str]) -> Output {
    let output = Command::new(SIM).args(args).output();
    output.expect("the binary was built for this test")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
