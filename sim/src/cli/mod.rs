//! What `chil-sim` (and `cargo chaos`) understands, and its exit codes.
//! Knows nothing about how seeds are run.
//!
//! Exit codes: 0 when nothing was violated, 42 when something was; anything else is trouble: 1 for
//! what cannot be done, 2 for arguments that make no sense, 130 and 143 when `run` was ended by
//! SIGINT or SIGTERM before all was run, and found nothing by then. What `shrink` makes small is
//! violated, so that it ends with 42; 0 says that the plan does not fail. `mutants` ends with 42
//! when there is something to look at: one that survived, or had to and did not, a check that fired
//! though the mutant's file does not expect it, or that did not fire alone though the file says so;
//! and with 1 when one of them could not be tried.

mod file;
mod merge;
mod mutants;
mod outcome;
mod progress;
mod replay;
mod run;
mod scenarios;
mod shrink;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::check::only::Only;
use crate::plan::Plan;
use crate::subject::Subject;
use crate::sweep::JOBS_MAX;
use crate::token::Token;

/// The exit code of a run or sweep that found a violation.
const VIOLATED: u8 = 42;

/// Seeded chaos: every run is a function of its seed.
#[derive(Debug, Parser)]
#[command(
    name = "chil-sim",
    version,
    after_help = "Exit codes: 0 nothing was violated; 42 something was; 1 trouble; 2 wrong arguments;\n\
                  130 and 143 ended by SIGINT or SIGTERM, nothing violated so far."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
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
    /// Run many seeds, or one shard of them
    Run(run::RunArgs),
    /// Add up the results of several shards
    Merge(merge::MergeArgs),
    /// Run one seed, or a plan, and print its timeline
    Replay(ReplayArgs),
    /// Plant known bugs in a copy of the sources, and see whether they are found
    Mutants(MutantArgs),
    /// Measure how fast clusters recover from named faults of links and disks
    Scenarios(ScenarioArgs),
    /// Make a failing plan small: fewer faults, requests and nodes, less time, same violation
    Shrink(ShrinkArgs),
    /// Print the plan of a seed as JSON
    Plan {
        /// The seed, or its token as failing runs print it
        seed: Token,
        /// Cut short, as `run --short` does
        #[arg(long)]
        short: bool,
    },
}

/// Which checks count.
#[derive(Clone, Debug, Args)]
struct OnlyArgs {
    /// Only what these checks find counts, as in `run --checks`
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Only::NAMES),
        hide_possible_values = true
    )]
    checks: Vec<String>,
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
    /// Only the two whose turn it is, of those that are found within a minute; each briefly
    #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
    turn: Option<u64>,
    #[command(flatten)]
    only: OnlyArgs,
    /// Seeds to try in each of five ranges before a mutant counts as surviving
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// How long a mutant may take for one range of seeds, for one plan, or for the scenarios. One
    /// that takes longer for a plan or the scenarios hangs, and counts as killed by an assertion;
    /// one that takes longer for seeds could not be tried
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = mutants::parse_limit)]
    limit: Duration,
    /// Threads that run seeds, for each worker
    #[arg(long, default_value = "1", value_parser = parse_jobs)]
    jobs: NonZeroUsize,
    /// Mutants that are built and hunted at the same time, each with a build directory of its own
    #[arg(long, default_value = "1", value_parser = parse_jobs)]
    workers: NonZeroUsize,
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
    #[arg(long, value_parser = parse_jobs)]
    jobs: Option<NonZeroUsize>,
    /// Print the timeline of this seed instead, for one scenario in its first cluster or in that
    /// of `--weights`
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "jobs", "json"])]
    timeline: Option<u64>,
    /// The weights of the cluster for `--timeline`, such as "1,1,1"
    #[arg(long, value_delimiter = ',', requires = "timeline")]
    weights: Vec<u32>,
    /// Print the table for programs
    #[arg(long)]
    json: bool,
}

/// What to make small, and for how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// The seed, or its token as failing runs print it
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    seed: Option<Token>,
    /// A plan in JSON instead
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Keep the smallest plan so far in this file, and go on from it if it is there [default:
    /// seed-SEED.shrunk.json, or the plan's name with .shrunk.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Plans that are executed at the same time [default: as many as there are processors]
    #[arg(long, value_parser = parse_jobs)]
    jobs: Option<NonZeroUsize>,
    /// Stop after this time, such as "60s" or "5m", with what was reached [default: go on until
    /// nothing more can be left out]
    #[arg(long, value_name = "TIME", value_parser = run::parse_time)]
    budget: Option<Duration>,
    /// Cut the seed's plan short, as `run --short` does
    #[arg(long, conflicts_with = "plan")]
    short: bool,
    #[command(flatten)]
    only: OnlyArgs,
}

/// What to replay.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The seed, or its token as failing runs print it: `SEED:FINGERPRINT`
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    seed: Option<Token>,
    /// A plan in JSON instead, as `chil-sim plan` prints it
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Cut the seed's plan short, as `run --short` does
    #[arg(long, conflicts_with = "plan")]
    short: bool,
    /// Only what happens up to the event of this number
    #[arg(long, value_name = "EVENT")]
    until: Option<u64>,
    /// Only what happens at this node, or between it and others
    #[arg(long, value_parser = replay::parse_node)]
    node: Option<usize>,
    /// Only what speaks of this slot, or these ("7" or "7-9"), and faults
    #[arg(long, value_parser = replay::parse_slots)]
    slot: Option<(u64, u64)>,
    #[command(flatten)]
    only: OnlyArgs,
    /// Print the state of every node instead: at the event of `--until`, or at the end
    #[arg(long, conflicts_with = "slot")]
    state: bool,
    /// Print JSON: a line an event, or a line a node with `--state`
    #[arg(long)]
    json: bool,
    /// Draw the run as a diagram into this file: one page, to be opened in a browser, with all of
    /// the run; printed is then only how it ended, unless something else is asked for
    #[arg(long, value_name = "FILE", conflicts_with_all = ["until", "node", "slot"])]
    html: Option<PathBuf>,
    /// Write the run for ShiViz into this file, all of it; what is printed is as with --html
    #[arg(long, value_name = "FILE", conflicts_with_all = ["until", "node", "slot"])]
    shiviz: Option<PathBuf>,
    /// Print what matters of the run in at most forty lines, instead of everything
    #[arg(long, conflicts_with_all = ["state", "json", "until", "node", "slot"])]
    story: bool,
}

/// Runs the binary.
///
/// # Errors
/// Whatever keeps it from running what was asked for.
pub fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Scenarios(args) => scenarios::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Plan { seed, short } => {
            let (plan, warning) = seed.plan(short);
            if let Some(warning) = warning {
                warn(&warning);
            }
            say(&serde_json::to_string_pretty(&plan)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A number of threads, or of processes.
fn parse_jobs(text: &str) -> anyhow::Result<NonZeroUsize> {
    let jobs = text.parse().ok();
    let jobs = jobs.filter(|jobs: &NonZeroUsize| jobs.get() <= JOBS_MAX);
    jobs.with_context(|| format!("'{text}' is no number from 1 to {JOBS_MAX}"))
}

/// Tells people why nothing was run.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    // When nobody listens there is nothing left to do: the exit code says the rest.
    let _ = writeln!(stderr, "chil-sim: {error:#}");
}

/// Tells people what they should know, apart from the output.
fn warn(warning: &str) {
    let mut stderr = std::io::stderr().lock();
    // As above: nothing depends on whether anybody reads it.
    let _ = writeln!(stderr, "chil-sim: warning: {warning}");
}

/// Reads a plan for the built-in machine, and says so if it seems to be another machine's.
fn load(path: &Path) -> anyhow::Result<Plan> {
    let plan = Plan::load(path)?;
    let (strange, all) = Subject::strange_to_key_value(&plan);
    if strange > 0 {
        let shown = path.display();
        warn(&format!(
            "{strange} of the {all} requests in {shown} mean nothing to the key-value machine that \
             they are given to now. A plan of a test with a machine of its own is run by that: \
             CHIL_SIM_PLAN={shown} cargo test NAME"
        ));
    }
    Ok(plan)
}

/// Whether whoever reads the output still does, after something was printed. Anything else that
/// keeps it from being printed, such as a full disk, is an error.
fn until_closed(printed: anyhow::Result<()>) -> anyhow::Result<bool> {
    match printed {
        Ok(()) => Ok(true),
        Err(error) => {
            let is_closed = error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
                .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
            if is_closed { Ok(false) } else { Err(error) }
        }
    }
}

/// Prints a line; a closed pipe is an error, not a panic.
fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").context("cannot print")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["chil-sim", "run", "--seeds", "5", "--json"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "merge"]).is_err());
        assert!(Cli::try_parse_from(["chil-sim"]).is_err());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "5"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "--plan", "x"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay"]).is_err());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "5", "--plan", "x"]).is_err());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "5", "--short"]).is_ok());
        assert!(Cli::try_parse_from(["chil-sim", "replay", "--plan", "x", "--short"]).is_err());
    }
}
