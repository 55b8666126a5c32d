//! What clients are told that get no connection, and what operators are told of peers that nobody
//! reaches. Knows nothing about who gets in.

use std::time::Duration;

use chil::client::{Client, ClientOptions, ClientTls};
use chil::limits::{ConnectionLimits, Limits};
use chil::{KeyValue, Node};

use super::pki::Authority;
use super::{address, alone, counts, started};
use crate::cluster::PATIENCE;

async fn said(node: &Node<KeyValue>, tls: Option<ClientTls>) -> String {
    let options = ClientOptions {
        timeout: Duration::from_millis(500),
        tls,
        ..ClientOptions::default()
    };
    let client = Client::connect([address(node).to_string()], options);
    let refused = client.get("key").await;
    refused.expect_err("nobody lets it in").to_string()
}

#[tokio::test]
async fn a_client_without_tls_is_told_that_the_node_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let text = said(&node, None).await;
    assert!(
        text.contains("it answers by TLS, and this side was told to do without"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_with_tls_is_told_that_the_node_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = started(Node::builder("alone").plaintext(), dir.path()).await;
    let tls = ca
        .client("write")
        .client_tls(&dir.path().join("tls"), &[&ca]);
    let text = said(&node, Some(tls)).await;
    assert!(
        text.contains("it speaks no TLS: is consensus.security.tls_enabled"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_has_too_many_connections_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let tls = ca.node("alone").tls(&dir.path().join("tls"), &[&ca]);
    let limits = Limits {
        connections: ConnectionLimits {
            per_identity: 1,
            ..ConnectionLimits::default()
        },
        ..Limits::default()
    };
    let node = started(Node::builder("alone").tls(tls).limits(limits), dir.path()).await;
    let tls = ca
        .client("write")
        .client_tls(&dir.path().join("client"), &[&ca]);
    let options = ClientOptions {
        tls: Some(tls.clone()),
        ..ClientOptions::default()
    };
    let first = Client::connect([address(&node).to_string()], options);
    first.put("key", "value").await.unwrap();
    let text = said(&node, Some(tls)).await;
    assert!(
        text.contains("too many connections of this client"),
        "{text}"
    );
    counts(&node, "connections_refused", "identity", 1).await;
    drop(first);
}

#[tokio::test]
async fn whoever_asks_what_a_node_waits_for_hears_whom_it_does_not_reach() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let node = Node::builder("a")
        .plaintext()
        .bind("127.0.0.1:0")
        .data_dir(dir.path())
        .peers([there.clone()])
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    let asking = async {
        loop {
            let findings = node.explain().await.unwrap();
            let found = findings
                .into_iter()
                .find(|found| found.code == "peer-not-reached");
            if let Some(found) = found {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it finds that out");
    assert!(
        found.text.contains(&format!("cannot connect to {there}: ")),
        "{}",
        found.text
    );
    assert!(found.text.contains("refused"), "{}", found.text);
    assert_eq!(found.facts[0], ("address", there));
}
