//! `chil status`: asks every given node what it does, and shows also those that do not answer.
//! Knows nothing about what the answers mean for the cluster.

use chil::client::{Client, ClientError, StatusResponse};
use chil_proto::v1::Role;
use futures_util::future::join_all;
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::get::hex;
use super::output::{Format, table};

/// Ask every given node what it does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
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
            peers: status
                .peers
                .into_iter()
                .map(|peer| PeerView {
                    name: peer.name,
                    address: peer.address,
                    weight: peer.weight,
                    up: peer.up,
                    commit: peer.commit,
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
    let client = arguments.target.client(false)?;
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
        "STATE HASH",
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| match row {
            Row::Answered(view) => vec![
                view.name.clone(),
                view.address.clone(),
                view.role.to_owned(),
                view.leader.clone().unwrap_or_else(|| "-".to_owned()),
                view.applied.to_string(),
                view.commit.to_string(),
                view.state_hash.clone(),
            ],
            Row::Silent { address, .. } => {
                vec!["-".into(), address.clone(), "silent".into()]
            }
        })
        .collect();
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
