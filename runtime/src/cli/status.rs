//! `chil status`: asks every given node what it does, and shows also those that do not answer.
//! Knows nothing about what the answers mean for the cluster.

use chil::client::{Client, ClientError, StatusResponse};
use chil_proto::v1::Role;
use futures_util::future::join_all;
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, hex, size, table};

/// Ask every given node what it does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SNAPSHOT is the slot of the newest snapshot on the node's disk; LOG is the slot behind which its log in
memory begins, and what that takes; SESSIONS are those of clients; the node with the highest PRIORITY
is wanted as leader.

Ends with code 3 when no node answers.

Examples:
  chil status -p 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
  chil status -p 127.0.0.1:7001 -o json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

/// What one node said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) cluster: String,
    pub(super) role: &'static str,
    pub(super) leader: Option<String>,
    pub(super) leader_address: Option<String>,
    pub(super) ballot: u64,
    pub(super) applied: u64,
    pub(super) commit: u64,
    pub(super) last: u64,
    pub(super) durable: u64,
    pub(super) state_hash: String,
    pub(super) boot: u64,
    pub(super) weight: u32,
    pub(super) version: String,
    /// How much the node is wanted as leader.
    pub(super) priority: u32,
    /// Sessions of clients that are open.
    pub(super) sessions: u64,
    /// The slot of the newest snapshot on its disk.
    pub(super) snapshot_slot: Option<u64>,
    pub(super) snapshot_bytes: Option<u64>,
    /// The log in memory begins behind this slot.
    pub(super) log_base: u64,
    pub(super) log_bytes: u64,
    /// For how long it has not known that what it has executed is all.
    pub(super) age_ms: Option<u64>,
    pub(super) peers: Vec<PeerView>,
    pub(super) problems: Vec<String>,
}

/// A peer as that node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PeerView {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) weight: u32,
    pub(super) up: bool,
    pub(super) commit: u64,
    pub(super) priority: u32,
}

impl NodeView {
    fn new(status: StatusResponse) -> Self {
        let role = match status.role() {
            Role::Unspecified => "unknown",
            Role::Forming => "forming",
            Role::Follower => "follower",
            Role::Preparing => "preparing",
            Role::Leading => "leader",
        };
        let (leader, leader_address) = status
            .leader
            .map(|leader| (leader.name, leader.address))
            .unzip();
        Self {
            role,
            name: status.name,
            address: status.address,
            cluster: hex(&status.cluster),
            leader,
            leader_address,
            ballot: status.promised.map_or(0, |ballot| ballot.n),
            applied: status.applied,
            commit: status.commit,
            last: status.last,
            durable: status.durable,
            state_hash: hex(&status.digest),
            boot: status.boot,
            weight: status.weight,
            version: status.version,
            priority: status.priority,
            sessions: status.sessions,
            snapshot_slot: status.snapshot.as_ref().map(|snapshot| snapshot.slot),
            snapshot_bytes: status.snapshot.as_ref().map(|snapshot| snapshot.bytes),
            log_base: status.log_base,
            log_bytes: status.log_bytes,
            age_ms: status.age_ms,
            peers: status
                .peers
                .into_iter()
                .map(|peer| PeerView {
                    name: peer.name,
                    address: peer.address,
                    weight: peer.weight,
                    up: peer.up,
                    commit: peer.commit,
                    priority: peer.priority,
                })
                .collect(),
            problems: status.problems,
        }
    }

    /// Whether it leads.
    pub(super) fn leads(&self) -> bool {
        self.role == "leader"
    }
}

/// What the node at `address` says now.
pub(super) async fn ask(client: &Client, address: &str) -> Result<NodeView, ClientError> {
    client.status_of(address).await.map(NodeView::new)
}

/// One line of the answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Row {
    Answered(Box<NodeView>),
    Silent { address: String, error: String },
}

/// Runs `chil status`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let addresses = arguments.target.addresses()?;
    let client = arguments.target.client()?;
    let rows = join_all(addresses.into_iter().map(|address| async {
        match ask(&client, &address).await {
            Ok(view) => Row::Answered(Box::new(view)),
            Err(ClientError::Unavailable { reason }) => Row::Silent {
                address,
                error: reason,
            },
            Err(error) => Row::Silent {
                error: format!("{address}: {error}"),
                address,
            },
        }
    }))
    .await;
    format.print(&rows, |rows| shown(rows))?;
    let answered = rows.iter().any(|row| matches!(row, Row::Answered(_)));
    Ok(if answered {
        Exit::Ok
    } else {
        Exit::Unavailable
    })
}

fn shown(rows: &[Row]) -> String {
    let header = [
        "NODE",
        "ADDRESS",
        "ROLE",
        "LEADER",
        "APPLIED",
        "COMMIT",
        "SNAPSHOT",
        "LOG",
        "SESSIONS",
        "PRIORITY",
        "STATE HASH",
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut text = table(&header, &cells);
    for row in rows {
        match row {
            Row::Answered(view) => {
                for problem in &view.problems {
                    text.push_str(&format!("{}: {problem}\n", view.name));
                }
            }
            Row::Silent { error, .. } => text.push_str(&format!("{error}\n")),
        }
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let dash = || "-".to_owned();
    match row {
        Row::Answered(view) => vec![
            view.name.clone(),
            view.address.clone(),
            view.role.to_owned(),
            view.leader.clone().unwrap_or_else(dash),
            view.applied.to_string(),
            view.commit.to_string(),
            view.snapshot_slot
                .map_or_else(dash, |slot| slot.to_string()),
            format!("{}+{}", view.log_base, size(view.log_bytes)),
            view.sessions.to_string(),
            view.priority.to_string(),
            view.state_hash.clone(),
        ],
        Row::Silent { address, .. } => vec![dash(), address.clone(), "silent".into()],
    }
}
