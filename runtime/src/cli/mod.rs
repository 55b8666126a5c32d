//! The command line: its grammar, and which module runs which command.
//! Knows nothing about consensus; the commands are ordinary users of the library.

mod absence;
mod bench;
mod cert;
mod claims;
mod config;
mod connect;
mod demo;
mod explain;
mod failure;
mod flood;
mod get;
mod handles;
mod local;
mod move_leader;
mod node;
mod output;
mod propose;
mod scan;
mod snapshot;
mod status;
mod txn;
mod watch;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Exit;
use output::Format;

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way, too: clap knows which stream they belong to.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(_) => Exit::Failure.into(),
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&anyhow::Error::new(error).into()),
    };
    let result = runtime.block_on(run(arguments));
    // A command that ended must not be held up by what still runs in the background.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure::report(&failure),
    }
}

async fn run(arguments: Arguments) -> Result<Exit, failure::Failure> {
    let format = if arguments.json {
        Format::Json
    } else {
        arguments.output
    };
    match arguments.command {
        Command::Node(arguments) => node::run(arguments).await,
        Command::Propose(arguments) => propose::run(arguments, format).await,
        Command::Put(arguments) => write::put(arguments, format).await,
        Command::Delete(arguments) => write::delete(arguments, format).await,
        Command::Txn(arguments) => txn::run(arguments, format).await,
        Command::Get(arguments) => get::run(arguments, format).await,
        Command::Scan(arguments) => scan::run(arguments, format).await,
        Command::Watch(arguments) => watch::run(arguments, format).await,
        Command::Status(arguments) => status::run(arguments, format).await,
        Command::Explain(arguments) => explain::run(arguments, format).await,
        Command::MoveLeader(arguments) => move_leader::run(arguments, format).await,
        Command::Snapshot(arguments) => snapshot::run(arguments, format).await,
        Command::Config(command) => config::run(command, format),
        Command::Cert(arguments) => cert::run(&arguments, format),
        Command::Demo(arguments) => demo::run(arguments, format).await,
        Command::Bench(arguments) => bench::run(arguments, format).await,
    }
}

/// One log of decisions: run a node, talk to a cluster, see it survive.
#[derive(Debug, Parser)]
#[command(name = "chil", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    /// How to print results.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    output: Format,
    /// The same as --output json.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node until SIGTERM or Ctrl-C.
    Node(node::Arguments),
    /// Write a value, or every line of a file, and say how fast that was.
    Propose(propose::Arguments),
    /// Write a value, perhaps under a condition.
    Put(write::Put),
    /// Remove a value, perhaps under a condition.
    Delete(write::Delete),
    /// Write several values at once, under conditions.
    Txn(txn::Arguments),
    /// Read a value.
    Get(get::Arguments),
    /// Read all values whose keys begin with a prefix.
    Scan(scan::Arguments),
    /// Print what is decided, slot by slot.
    Watch(watch::Arguments),
    /// Ask every given node what it does.
    Status(status::Arguments),
    /// Ask every given node why things are as they are.
    Explain(explain::Arguments),
    /// Have another node lead.
    MoveLeader(move_leader::Arguments),
    /// Save the state of a cluster into a file, look into one, and restore one.
    Snapshot(snapshot::Arguments),
    /// Print what a node would be told here; say whether a file makes sense.
    #[command(subcommand)]
    Config(config::Config),
    /// Make and inspect certificates.
    Cert(cert::Arguments),
    /// Start a cluster here, kill its leader, and prove that nothing was lost.
    Demo(demo::Arguments),
    /// Measure a cluster of three nodes on this machine, with every write synced to disk.
    Bench(bench::Arguments),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says what and why
  2  the command line or the configuration is wrong; nothing was started
  3  no node that could serve the request was reached in time; it had no effect
  4  the outcome is unknown: a write may have taken effect, or may yet
  5  the condition of a write did not hold; it changed nothing
  6  a file is damaged, or not what it should be; the message says where
  7  the log was trimmed where a watch wanted it; the message says from where it is there

Examples:
  chil demo
  chil node --config node.yaml
  chil put --peers 127.0.0.1:7001,127.0.0.1:7002 --tls certs/ci greeting hello
  chil get -p 127.0.0.1:7001 --tls certs/ci greeting
  chil status -p 127.0.0.1:7001 --no-tls -o json";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The words of each `chil` command in `text`, as a shell would hand them over.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with("chil "));
        lines.map(words).collect()
    }

    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let (mut word, mut quoted) = (None, false);
        for c in line.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_with(String::new);
                }
                ' ' if !quoted => words.extend(word.take()),
                c => word.get_or_insert_with(String::new).push(c),
            }
        }
        words.extend(word);
        words
    }

    fn assert_understood(commands: &[Vec<String>], origin: &str) {
        for command in commands {
            let parsed = Arguments::try_parse_from(command);
            let error = parsed.err().map(|error| error.to_string());
            assert_eq!(error, None, "{origin}: {command:?}");
        }
    }

    #[test]
    fn every_command_that_the_readme_shows_is_understood() {
        let readme = include_str!("../../../README.md");
        let mut blocks = readme.split("```sh\n").skip(1);
        let blocks = blocks.by_ref().filter_map(|rest| rest.split("```").next());
        let shown: Vec<_> = blocks.flat_map(commands).collect();
        assert!(shown.len() > 15, "only {} found", shown.len());
        assert_understood(&shown, "README.md");
    }

    #[test]
    fn every_example_of_the_help_is_understood() {
        fn check(command: &clap::Command) -> usize {
            let help = command.get_after_help().map(ToString::to_string);
            let examples = commands(&help.unwrap_or_default());
            assert_understood(&examples, command.get_name());
            examples.len() + command.get_subcommands().map(check).sum::<usize>()
        }
        let found = check(&Arguments::command());
        assert!(found > 30, "only {found} found");
    }

    #[test]
    fn output_may_stand_behind_the_command() {
        let arguments = Arguments::parse_from(["chil", "get", "-p", "h:1", "key", "-o", "json"]);
        assert_eq!(arguments.output, Format::Json);
    }
}
