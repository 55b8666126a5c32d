//! TLS and identities over real sockets: who is let in, who is not, and why.
//! Knows nothing about processes.

mod dialled;
mod ends;
mod matrix;
mod pki;
mod reload;
mod roles;
mod senders;
mod stranger;
mod told;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chil::{KeyValue, Node, NodeBuilder};

use crate::cluster::PATIENCE;
use pki::Authority;

/// A node of its own, with TLS, that leads itself.
async fn alone(dir: &Path, authority: &Authority) -> Node<KeyValue> {
    let tls = authority.node("alone").tls(&dir.join("tls"), &[authority]);
    started(Node::builder("alone").tls(tls), dir).await
}

async fn started(node: NodeBuilder, dir: &Path) -> Node<KeyValue> {
    let node = node
        .bind("127.0.0.1:0")
        .data_dir(dir.join("data"))
        .single_node(true);
    let node = node
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    let led = tokio::time::timeout(PATIENCE, node.wait_for_leader()).await;
    led.expect("it leads itself");
    node
}

fn address<S>(node: &Node<S>) -> SocketAddr {
    node.local_addr()
}

/// The count of a metric, by its name and one label.
fn counted<S>(node: &Node<S>, metric: &str, reason: &str) -> u64 {
    let (name, label) = (
        format!("chil_{metric}_total{{"),
        format!("reason=\"{reason}\""),
    );
    let text = node.metrics();
    let ours = |line: &&str| line.starts_with(&name) && line.contains(&label);
    let line = text.lines().find(ours);
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().unwrap())
}

/// Waits until a count is that high.
async fn counts<S>(node: &Node<S>, metric: &str, reason: &str, count: u64) {
    let waiting = async {
        while counted(node, metric, reason) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    let text = node.metrics();
    let counters: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("reason="))
        .collect();
    assert!(
        waited.is_ok(),
        "{metric} of {reason} does not reach {count}: {counters:#?}"
    );
}
