//! `chil snapshot restore`: makes the directory of one node of a new cluster.
//! Knows nothing about what is written there.

use std::path::PathBuf;

use chil::config::{Field, Peer};
use chil::{Restore, RestoreError, Restored, SessionLimits};
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
        next: next(&restore, &restored),
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

/// The command that starts the node, for a shell: with the terms of the cluster, which have no
/// flags, as variables.
fn next(restore: &Restore, restored: &Restored) -> String {
    let own = |peer: &&Peer| peer.name.as_deref() == Some(&restore.name);
    let listed = restore.members.iter().find(own);
    let mut words: Vec<String> = terms(restored)
        .into_iter()
        .map(|(field, value)| format!("{}={value}", field.known().env))
        .collect();
    words.extend(["chil", "node", "--node-id"].map(str::to_owned));
    words.push(quoted(&restore.name));
    words.push("--bind-address".to_owned());
    words.push(listed.map_or_else(String::new, |peer| quoted(&peer.address)));
    words.push("--data-dir".to_owned());
    words.push(quoted(&restore.data_dir.display().to_string()));
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
        words.push("--single-node".to_owned());
    } else {
        words.push("--peers".to_owned());
        words.push(quoted(&others.join(",")));
    }
    // Where certificates are is not known here: what `chil cert issue` calls them is a beginning.
    for (flag, end) in [("cert", "crt"), ("key", "key")] {
        let file = format!("certs/{}.{end}", restore.name);
        words.extend([format!("--tls-{flag}"), quoted(&file)]);
    }
    words.extend(["--tls-ca", "certs/ca.crt"].map(str::to_owned));
    words.join(" ")
}

/// What the cluster agreed on, as far as it is not what settings say by themselves.
fn terms(restored: &Restored) -> Vec<(Field, String)> {
    let mut terms = Vec::new();
    if let Some(lease) = restored.lease {
        terms.push((Field::ReadLease, format!("{}us", lease.duration_us)));
        terms.push((Field::ClockDriftPpm, lease.drift_ppm.to_string()));
    }
    let (sessions, usual) = (restored.sessions, SessionLimits::default());
    if sessions.sessions_max != usual.sessions_max {
        terms.push((Field::SessionsMax, sessions.sessions_max.to_string()));
    }
    if sessions.reply_bytes_max != usual.reply_bytes_max {
        let bytes = sessions.reply_bytes_max.to_string();
        terms.push((Field::SessionReplyBytesMax, bytes));
    }
    terms
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
    use chil::Lease;
    use chil::config::Layers;
    use chil_core::{Chain, ClusterId, Slot, SnapshotId};
    use clap::Parser;

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

    fn command(peers: &[&str], dir: &str, lease: Option<Lease>, limits: SessionLimits) -> String {
        let arguments = arguments(peers, &[]);
        let restore = Restore {
            snapshot: arguments.file.clone(),
            data_dir: dir.into(),
            name: arguments.name.clone(),
            members: members(&arguments).unwrap(),
            token: arguments.token,
        };
        let snapshot = SnapshotId {
            slot: Slot::new(1),
            chain: Chain::EMPTY,
            bytes: 1,
            digest: 1,
        };
        let restored = Restored {
            cluster: ClusterId::new(1),
            snapshot,
            lease,
            sessions: limits,
        };
        next(&restore, &restored)
    }

    #[test]
    fn the_next_command_starts_the_node() {
        let usual = SessionLimits::default();
        assert_eq!(
            command(&["a=127.0.0.1:1", "b=127.0.0.1:2"], "data", None, usual),
            "chil node --node-id a --bind-address 127.0.0.1:1 --data-dir data \
             --peers b=127.0.0.1:2 --tls-cert certs/a.crt --tls-key certs/a.key \
             --tls-ca certs/ca.crt"
        );
        let single = command(&["a=h:1"], "my data", None, usual);
        assert!(single.contains("--data-dir 'my data' --single-node --tls-cert "));
    }

    #[test]
    fn the_next_command_says_what_the_cluster_agreed_on() {
        let lease = Lease {
            duration_us: 500_000,
            drift_ppm: 250,
        };
        let limits = SessionLimits {
            sessions_max: 7,
            reply_bytes_max: 1_000,
        };
        let command = command(
            &["a=127.0.0.1:1", "b=127.0.0.1:2"],
            "data",
            Some(lease),
            limits,
        );
        let (variables, rest) = command.split_once(" chil ").unwrap();
        let words: Vec<&str> = std::iter::once("chil").chain(rest.split(' ')).collect();
        crate::cli::Arguments::try_parse_from(&words).unwrap();
        let variables = variables.split(' ').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let settings = Layers::new().env(variables).unwrap();
        let settings = settings
            .set(Field::NodeId, "a")
            .set(Field::DataDir, "data")
            .set(Field::Peers, "b=127.0.0.1:2")
            .set(Field::TlsEnabled, false)
            .finish()
            .unwrap();
        assert_eq!(settings.agreed.lease, Some(lease));
        assert_eq!(settings.agreed.sessions, limits);
    }
}
