//! `chil cert init` and `chil cert issue`.
//! Knows nothing about how certificates are made.

use std::path::PathBuf;
use std::time::SystemTime;

use chil::identity::{Identity, Kind, Role};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::authority::{Authority, CA_CERT, Issued};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Format, table};

/// Make an authority.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chil cert init
  chil cert init --dir certs --name 'Staging' --days 365")]
pub(super) struct Init {
    /// Where to put ca.crt and ca.key.
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
    /// What the authority is called [default: "chil development" and four digits of chance].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For how long it holds.
    #[arg(long, value_name = "DAYS", default_value_t = 3_650,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Issue certificates.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chil cert issue node node-1 node-2 node-3
  chil cert issue client ci --role write --days 7
  chil cert issue node node-1 --replace")]
pub(super) struct Issue {
    #[command(subcommand)]
    who: Who,
}

#[derive(Debug, Subcommand)]
enum Who {
    /// For nodes: they may open links to each other, and are no clients.
    Node {
        /// The nodes' names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// For a client.
    Client {
        /// The client's name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do: read; write, too; or admin: move the leadership and take snapshots,
        /// too.
        #[arg(long, value_name = "ROLE")]
        role: Role,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Where the authority is.
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
    /// Where to put NAME.crt and NAME.key, if that is not where the authority is.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For how long they hold.
    #[arg(long, value_name = "DAYS", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The domain of trust.
    #[arg(long, value_name = "DOMAIN", default_value = Identity::DOMAIN_DEFAULT)]
    domain: String,
    /// Replace earlier ones of the same identities: a running node takes them over by itself.
    #[arg(long)]
    replace: bool,
}

const DIR: &str = "certs";

#[derive(Debug, Serialize)]
struct Made {
    identity: Option<String>,
    cert: String,
    key: String,
}

/// Chains are made of names: two authorities of one name would be taken for one another, and what
/// is wrong then would look like a forgery.
fn some_name() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("chil development {:04x}", now.subsec_micros() & 0xffff)
}

/// Runs `chil cert init`.
pub(super) fn init(arguments: &Init, format: Format) -> Result<Exit, Failure> {
    let name = arguments.name.clone().unwrap_or_else(some_name);
    Authority::create(&arguments.dir, &name, arguments.days)?;
    let made = Made {
        identity: None,
        cert: arguments.dir.join(CA_CERT).display().to_string(),
        key: arguments.dir.join("ca.key").display().to_string(),
    };
    format.print(&made, |made| {
        format!(
            "{} is for everybody (ca_file); {} issues certificates: keep it to yourself",
            made.cert, made.key
        )
    })?;
    Ok(Exit::Ok)
}

/// Runs `chil cert issue`.
pub(super) fn issue(arguments: &Issue, format: Format) -> Result<Exit, Failure> {
    let (kind, names, how) = match &arguments.who {
        Who::Node { names, how } => (Kind::Node, names.as_slice(), how),
        Who::Client { name, role, how } => (Kind::Client(*role), std::slice::from_ref(name), how),
    };
    let identities: Result<Vec<Identity>, _> = names
        .iter()
        .map(|name| Identity::new(&how.domain, kind, name))
        .collect();
    let identities = identities.map_err(Failure::usage)?;
    let authority = Authority::open(&how.dir)?;
    let out = how.out.as_ref().unwrap_or(&how.dir);
    std::fs::create_dir_all(out)?;
    for identity in &identities {
        Issued::may_be_written(out, identity, how.replace)?;
    }
    let mut made = Vec::new();
    for identity in &identities {
        let Issued { cert, key } = authority.issue(out, identity, how.days)?;
        made.push(Made {
            identity: Some(identity.uri()),
            cert: cert.display().to_string(),
            key: key.display().to_string(),
        });
    }
    format.print(&made, |made| {
        let row = |made: &Made| {
            let identity = made.identity.clone().unwrap_or_default();
            vec![identity, made.cert.clone(), made.key.clone()]
        };
        let rows: Vec<Vec<String>> = made.iter().map(row).collect();
        table(&["identity", "certificate", "key"], &rows)
    })?;
    Ok(Exit::Ok)
}
