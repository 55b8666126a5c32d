//! `chil move-leader`: has the leader hand its leadership over.
//! Knows nothing about how that is done.

use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::Format;

/// Have another node lead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The leader stops taking writes, waits until everything is decided and the other node has it, and asks
that node to take over: for a moment nobody leads, and clients wait. A node that is stopped with SIGTERM does this by itself.

Ends with code 1 when the leader cannot do it, with 3 when no leader was found, and with 4 when it is
not known how it ended; without --to it is not tried again then, since leadership might move twice.
Nothing is lost in any case; 'chil status' shows who leads.

Examples:
  chil move-leader -p 127.0.0.1:7001,127.0.0.1:7002
  chil move-leader -p 127.0.0.1:7001 --to node-3 --json")]
pub(crate) struct Arguments {
    /// Name of the node that shall lead; without it, the leader chooses the one that suits best.
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Who leads now.
#[derive(Debug, Serialize)]
struct Leads {
    leader: String,
    address: String,
}

/// Runs `chil move-leader`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    if arguments.to.as_deref() == Some("") {
        return Err(Failure::usage("--to needs the name of a node"));
    }
    let client = arguments.target.client()?;
    let leader = client.move_leader(arguments.to.as_deref()).await?;
    let leads = Leads {
        leader: leader.name,
        address: leader.address,
    };
    format.print(&leads, |leads| {
        format!("{} ({}) leads now", leads.leader, leads.address)
    })?;
    Ok(Exit::Ok)
}
