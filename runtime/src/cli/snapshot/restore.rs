//! `chil snapshot restore`: makes the directory of one node of a new cluster.
//! Knows nothing about what is written there.

use std::path::PathBuf;

use chil::config::Peer;
use chil::{Restore, RestoreError};
use serde::Serialize;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Format, list};

/// Make the directory of a node of a new cluster that begins with a snapshot.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Copy the snapshot to each machine of the new cluster and run the same command there, each with its own
--name and --data-dir. The machines need not talk to each other: which cluster it is follows from the
token, the snapshot and the names and weights in --peers, so give all of them the same. Then start the
nodes as usual.

The same token, snapshot and peers again mean the same cluster: that is how all machines come to agree.
So use a token once: a new text for every restore, for example the date and the reason. A node that has
run since must not be restored again with the same token: it would forget what it has promised to the
others. The cluster that the snapshot was taken of is another one; its nodes and clients keep away.

Ends with code 6 when the snapshot is damaged, and makes nothing then.

Examples:
  chil snapshot restore backup.chil --name node-1 --data-dir /var/lib/chil \\
    --peers node-1=10.0.0.1:7000,node-2=10.0.0.2:7000,node-3=10.0.0.3:7000 \\
    --token 2026-11-21-lost-rack
  chil snapshot restore backup.chil --name solo --data-dir ./data --peers solo=127.0.0.1:7001 \\
    --token try --json")]
pub(super) struct Arguments {
    /// The snapshot.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The node's directory: new or empty.
    #[arg(short, long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The node's name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// All nodes of the new cluster, this one included: name=host:port, separated by commas.
    #[arg(
        short,
        long,
        value_name = "NAME=ADDR,..",
        value_delimiter = ',',
        required = true
    )]
    peers: Vec<String>,
    /// Weights of nodes that do not have 1.
    #[arg(long, value_name = "NAME=N,..", value_delimiter = ',')]
    weights: Vec<String>,
    /// Names this restore: the same on all machines, and never used before.
    #[arg(long, value_name = "TEXT")]
    token: String,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    cluster: String,
    node: String,
    data_dir: String,
    slot: u64,
    snapshot_digest: String,
    /// The command that starts the node.
    next: String,
}

/// Runs `chil snapshot restore`.
pub(super) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let restore = Restore {
        snapshot: arguments.file.clone(),
        data_dir: arguments.data_dir.clone(),
        name: arguments.name.clone(),
        members: members(arguments)?,
        token: arguments.token.clone(),
    };
    let restored = restore.run().map_err(|error| {
        let exit = match &error {
            RestoreError::Mistake(_) | RestoreError::Members(_) | RestoreError::NotEmpty(_) => {
                Exit::Usage
            }
            RestoreError::Snapshot { .. } => Exit::Damaged,
            RestoreError::Unreadable { .. } | RestoreError::Storage(_) => Exit::Failure,
        };
        Failure::new(exit, error)
    })?;
    let made = Made {
        cluster: restored.cluster.to_string(),
        node: arguments.name.clone(),
        data_dir: arguments.data_dir.display().to_string(),
        slot: restored.snapshot.slot.get(),
        snapshot_digest: format!("{:032x}", restored.snapshot.digest),
        next: next(&restore),
    };
    format.print(&made, shown)?;
    Ok(Exit::Ok)
}

fn members(arguments: &Arguments) -> Result<Vec<Peer>, Failure> {
    let mut members: Vec<Peer> = Vec::new();
    for peer in arguments
        .peers
        .iter()
        .filter(|peer| !peer.trim().is_empty())
    {
        members.push(Peer::from(peer.as_str()));
    }
    for text in &arguments.weights {
        let wrong = || Failure::usage(format!("--weights: '{text}' is not name=number"));
        let (name, weight) = text.split_once('=').ok_or_else(wrong)?;
        let weight = weight.trim().parse().map_err(|_| wrong())?;
        let named = |member: &&mut Peer| member.name.as_deref() == Some(name.trim());
        let member = members.iter_mut().find(named);
        let unknown = || Failure::usage(format!("--weights: '{name}' is not among the --peers"));
        member.ok_or_else(unknown)?.weight = weight;
    }
    Ok(members)
}

/// The command that starts the node.
fn next(restore: &Restore) -> String {
    let own = |peer: &&Peer| peer.name.as_deref() == Some(&restore.name);
    let address = restore
        .members
        .iter()
        .find(own)
        .map_or("", |peer| &peer.address);
    let mut command = format!("chil node --node-id {}", restore.name);
    command.push_str(&format!(" --bind-address {address}"));
    command.push_str(&format!(" --data-dir {}", restore.data_dir.display()));
    let others: Vec<String> = restore
        .members
        .iter()
        .filter(|peer| !own(peer))
        .map(|peer| {
            format!(
                "{}={}",
                peer.name.as_deref().unwrap_or_default(),
                peer.address
            )
        })
        .collect();
    if others.is_empty() {
        command.push_str(" --single-node");
    } else {
        command.push_str(&format!(" --peers {}", others.join(",")));
    }
    command
}

fn shown(made: &Made) -> String {
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rows = [
        row("cluster", &made.cluster),
        row("node", &made.node),
        row("directory", &made.data_dir),
        row("begins behind slot", &made.slot.to_string()),
        row("next", &made.next),
    ];
    list(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(peers: &[&str], weights: &[&str]) -> Arguments {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Arguments {
            file: "backup.chil".into(),
            data_dir: "data".into(),
            name: "a".to_owned(),
            peers: texts(peers),
            weights: texts(weights),
            token: "t".to_owned(),
        }
    }

    #[test]
    fn weights_are_those_of_listed_nodes() {
        let peers = ["a=h:1", "b=h:2"];
        let found = members(&arguments(&peers, &["b=3"])).unwrap();
        let weights: Vec<u32> = found.iter().map(|member| member.weight).collect();
        assert_eq!(weights, [1, 3]);
        for wrong in ["c=1", "b", "b=x"] {
            let failure = members(&arguments(&peers, &[wrong])).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{failure}");
        }
    }

    #[test]
    fn the_next_command_starts_the_node() {
        let command = |peers: &[&str]| {
            let arguments = arguments(peers, &[]);
            next(&Restore {
                snapshot: arguments.file.clone(),
                data_dir: arguments.data_dir.clone(),
                name: arguments.name.clone(),
                members: members(&arguments).unwrap(),
                token: arguments.token,
            })
        };
        assert_eq!(
            command(&["a=h:1", "b=h:2"]),
            "chil node --node-id a --bind-address h:1 --data-dir data --peers b=h:2"
        );
        assert!(command(&["a=h:1"]).ends_with("--single-node"));
    }
}
