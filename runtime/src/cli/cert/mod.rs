//! `chil cert`: an authority and certificates for development, and a look into any certificate.
//! Knows nothing about nodes.

pub(super) mod authority;
mod inspect;
mod issue;

use clap::Subcommand;

use super::failure::{Exit, Failure};
use super::output::Format;

/// Make and inspect certificates.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A certificate says who somebody is by one URI: chil://DOMAIN/node/NAME for a node, and
chil://DOMAIN/ROLE/NAME for a client whose role is read, write or admin. Nodes and clients believe
certificates that an authority of their ca_file has issued.

The authority that `chil cert init` makes keeps its key in a file without a password: it is for
development and tests. In production let your own authority issue certificates with these URIs.

Examples:
  chil cert init --dir certs
  chil cert issue node node-1 node-2 node-3 --dir certs
  chil cert issue client ci --role write --dir certs
  chil cert inspect certs/node-1.crt --ca certs/ca.crt")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority: ca.crt, which everybody needs, and ca.key, which nobody may see.
    Init(issue::Init),
    /// Issue certificates.
    Issue(issue::Issue),
    /// Say what is in a file of certificates.
    Inspect(inspect::Arguments),
}

/// Runs `chil cert`.
pub(crate) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Init(arguments) => issue::init(arguments, format),
        Command::Issue(arguments) => issue::issue(arguments, format),
        Command::Inspect(arguments) => inspect::run(arguments, format),
    }
}
