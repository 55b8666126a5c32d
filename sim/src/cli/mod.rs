//! What `chil-sim` (and `cargo chaos`) understands, and its exit codes.
//! Knows nothing about how seeds are run.
//!
//! Exit codes: 0 when nothing was violated, 42 when something was, anything else is trouble.

mod mutants;
mod replay;
mod scenarios;
mod sweep;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The exit code of a run or sweep that found a violation.
const VIOLATED: u8 = 42;

/// Seeded chaos: every run is a function of its seed.
#[derive(Debug, Parser)]
#[command(name = "chil-sim", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sweep: SweepArgs,
}

/// Which seeds to run, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct SweepArgs {
    /// How many seeds, or which: "1000", "500..1500"
    #[arg(long, default_value = "1000", value_parser = parse_seeds)]
    seeds: (u64, u64),
    /// Threads; a run itself has only one [default: as many as there are processors]
    #[arg(long)]
    jobs: Option<usize>,
    /// Look into the replicas' own state every so many events
    #[arg(long, default_value_t = 1)]
    check_every: u64,
    /// Go on after a violation
    #[arg(long)]
    keep_going: bool,
    /// Keep the progress in this file, and go on from it
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed, or a plan, and print its timeline
    Replay(ReplayArgs),
    /// Plant known bugs in a copy of the sources, and see whether they are found
    Mutants(MutantArgs),
    /// Measure how fast clusters recover from named faults of links and disks
    Scenarios(ScenarioArgs),
    /// Print the plan of a seed as JSON
    Plan {
        /// The seed
        seed: u64,
    },
}

/// Which planted bugs to hunt, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct MutantArgs {
    /// Where the mutants are [default: sim/mutants]
    #[arg(long, value_name = "DIR")]
    mutants: Option<PathBuf>,
    /// Only this one; may be given several times
    #[arg(long)]
    id: Vec<String>,
    /// Seeds to try in each of five ranges before a mutant counts as surviving
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Threads that run seeds, for each worker
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Mutants that are built and hunted at the same time, each with a build directory of its own
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Where copies, builds and results are kept [default: target/mutants]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Forget the results that an earlier hunt left
    #[arg(long)]
    again: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Which scenarios to measure, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScenarioArgs {
    /// Only this one; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seeds for each scenario and cluster
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Threads [default: as many as there are processors]
    #[arg(long)]
    jobs: Option<usize>,
    /// Print the timeline of this seed instead, for one scenario in its first cluster or in that
    /// of `--weights`
    #[arg(long, value_name = "SEED")]
    timeline: Option<u64>,
    /// The weights of the cluster for `--timeline`, such as "1,1,1"
    #[arg(long, value_delimiter = ',', requires = "timeline")]
    weights: Vec<u32>,
    /// Print the table for programs
    #[arg(long)]
    json: bool,
}

/// What to replay.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ReplayArgs {
    /// The seed
    seed: Option<u64>,
    /// A plan in JSON instead, as `chil-sim plan` prints it
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

/// Runs the binary.
///
/// # Errors
/// Whatever keeps it from running what was asked for.
pub fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        None => sweep::run(&cli.sweep),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Scenarios(args)) => scenarios::run(&args),
        Some(Command::Mutants(args)) => mutants::run(&args),
        Some(Command::Plan { seed }) => {
            let plan = crate::swarm::plan(seed);
            say(&serde_json::to_string_pretty(&plan)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells people why nothing was run.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    // When nobody listens there is nothing left to do: the exit code says the rest.
    let _ = writeln!(stderr, "chil-sim: {error:#}");
}

/// Prints a line; a closed pipe is an error, not a panic.
fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").context("cannot print")
}

fn parse_seeds(text: &str) -> anyhow::Result<(u64, u64)> {
    let number = |part: &str| {
        let part = part.trim().replace('_', "");
        part.parse::<u64>()
            .with_context(|| format!("'{part}' is not a number of seeds"))
    };
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (0, number(text)?),
    };
    if from >= to {
        bail!("'{text}' names no seed: say how many, such as 1000, or a range, such as 500..1500");
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["chil-sim", "--seeds", "5", "-o", "json"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "5"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "--plan", "x"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay"]).is_err());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "5", "--plan", "x"]).is_err());
    }

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(parse_seeds("1_000").unwrap(), (0, 1_000));
        assert_eq!(parse_seeds("5..9").unwrap(), (5, 9));
        for wrong in ["", "x", "9..5", "0", "3..", "-1"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
