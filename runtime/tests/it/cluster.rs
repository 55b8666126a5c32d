//! A cluster of three on loopback ports, in temporary directories, for the tests of this binary.
//! Knows nothing about what is tested.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use chil::client::{Client, ClientOptions};
use chil::{KeyValue, Node, NodeBuilder, NodeReady, StartError, StateMachine};
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Directories and addresses of three nodes, and those of them that run.
pub(crate) struct Cluster {
    dir: TempDir,
    pub(crate) addresses: Vec<String>,
    pub(crate) nodes: Vec<Option<Node<KeyValue>>>,
    tune: Tune,
}

/// What a test wants to have otherwise.
pub(crate) type Tune = fn(usize, NodeBuilder) -> NodeBuilder;

impl Cluster {
    /// Three nodes that run and know a leader.
    pub(crate) async fn start() -> Self {
        Self::tuned(|_, node| node).await
    }

    /// The same, each described a little otherwise.
    pub(crate) async fn tuned(tune: Tune) -> Self {
        let mut cluster = Self {
            dir: tempfile::tempdir().unwrap(),
            addresses: free_addresses(3),
            nodes: vec![None, None, None],
            tune,
        };
        for i in 0..3 {
            cluster.start_node(i).await;
        }
        for i in 0..3 {
            cluster.leader_seen_by(i).await;
        }
        cluster
    }

    /// The description of node `i`.
    pub(crate) fn describe<S: StateMachine>(&self, i: usize, machine: S) -> NodeReady<S> {
        let others = (0..3).filter(|j| *j != i);
        let others = others.map(|j| self.addresses[j].as_str());
        let node = Node::builder(name(i))
            .bind(&self.addresses[i])
            .plaintext()
            .peers(others)
            .data_dir(self.data_dir(i));
        (self.tune)(i, node).state_machine(machine)
    }

    pub(crate) fn data_dir(&self, i: usize) -> PathBuf {
        self.dir.path().join(name(i))
    }

    /// Starts node `i`; waits until a former life of it has let go of port and directory.
    pub(crate) async fn start_node(&mut self, i: usize) {
        let starting = async {
            loop {
                match self.describe(i, KeyValue::default()).start().await {
                    Ok(node) => return node,
                    Err(StartError::Bind { .. } | StartError::Storage(_)) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let node = tokio::time::timeout(PATIENCE, starting).await;
        self.nodes[i] = Some(node.expect("port and directory become free"));
    }

    pub(crate) fn node(&self, i: usize) -> &Node<KeyValue> {
        self.nodes[i].as_ref().expect("the test lets it run")
    }

    /// The node that leads.
    pub(crate) async fn leader(&self) -> &Node<KeyValue> {
        let running = self.nodes.iter().position(Option::is_some);
        let leader = self.leader_seen_by(running.expect("one runs")).await;
        self.node(leader)
    }

    /// Ends node `i` as a crash would.
    pub(crate) fn kill(&mut self, i: usize) {
        self.nodes[i] = None;
    }

    /// Which node leads, as node `i` sees it once it sees one.
    pub(crate) async fn leader_seen_by(&self, i: usize) -> usize {
        let leader = tokio::time::timeout(PATIENCE, self.node(i).wait_for_leader()).await;
        let leader = leader.expect("a leader is elected").expect("the node runs");
        (0..3)
            .find(|j| name(*j) == leader.name)
            .expect("a member leads")
    }

    pub(crate) fn client(&self) -> Client {
        let options = ClientOptions {
            timeout: PATIENCE,
            retry_unknown: true,
            ..ClientOptions::default()
        };
        Client::connect(self.addresses.clone(), options)
    }

    /// Waits until all running nodes have executed the same log; returns slot and digest.
    pub(crate) async fn converged(&self) -> (u64, u128) {
        self.converged_behind(0).await
    }

    /// The same, once they have executed slot `least`: those that start are in one state, too.
    pub(crate) async fn converged_behind(&self, least: u64) -> (u64, u128) {
        let converging = async {
            loop {
                let mut states = Vec::new();
                for node in self.nodes.iter().flatten() {
                    let status = node.status().await.expect("the node runs");
                    let commit = status.replica.as_ref().map(|r| r.commit);
                    states.push((
                        status.applied.get(),
                        status.digest,
                        commit == Some(status.applied),
                    ));
                }
                if let (slot, Some(digest), true) = states[0]
                    && slot >= least
                    && states.iter().all(|state| *state == states[0])
                {
                    return (slot, digest);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let converged = tokio::time::timeout(PATIENCE, converging).await;
        converged.expect("all nodes reach the same state")
    }
}

pub(crate) fn name(i: usize) -> String {
    format!("node-{}", i + 1)
}

/// Addresses on loopback that nobody listens on now.
pub(crate) fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    listeners.iter().map(address).collect()
}
