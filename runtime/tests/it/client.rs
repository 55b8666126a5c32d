//! The client library against nodes: sessions, clusters, freshness, callers who leave.

use std::time::Duration;

use chil::client::{Client, ClientError, ClientOptions, ReadOptions};
use chil::kv::{Check, Cond, Txn, Write};
use chil::{Consistency, KeyValue, Node};
use futures_util::future::join_all;

use crate::cluster::Cluster;

fn client(addresses: &[String], options: ClientOptions) -> Client {
    Client::connect(addresses.to_vec(), options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_sessions_are_opened_as_are_needed_at_a_time() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let client = client(&cluster.addresses, ClientOptions::default());
    for round in 0..3 {
        client.put("few", round.to_string()).await.unwrap();
    }
    assert_eq!(leader.status().await.unwrap().sessions, Some(1));
    // All at once: more than one session can have under way.
    let puts = (0..300).map(|i| client.put_if(format!("k{i}"), "v", Cond::Absent));
    for committed in join_all(puts).await {
        assert!(committed.unwrap().applied);
    }
    let sessions = leader.status().await.unwrap().sessions.unwrap();
    assert!((2..=16).contains(&sessions), "{sessions}");
    let options = ClientOptions {
        exactly_once: false,
        ..ClientOptions::default()
    };
    let plain = Client::connect(cluster.addresses.clone(), options);
    plain.put("plain", "v").await.unwrap();
    assert_eq!(leader.status().await.unwrap().sessions, Some(sessions));
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_its_writes_from_any_node() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await.local_addr().to_string();
    let followers = cluster.addresses.iter().filter(|a| **a != leader);
    // Reads go to the first given node that works: a follower.
    let followers: Vec<String> = followers.cloned().collect();
    let options = ClientOptions {
        read_your_writes: true,
        ..ClientOptions::default()
    };
    let client = client(&followers, options);
    for round in 0..50 {
        let written = client.put("key", round.to_string()).await.unwrap();
        assert_eq!(client.last_write(), written.slot);
        let found = client.get_with("key", Consistency::Stale).await.unwrap();
        assert_eq!(found.unwrap().version, written.version);
    }
    // What nobody has written cannot be waited for.
    let beyond = ReadOptions {
        consistency: Consistency::Stale,
        min_slot: chil::Slot::new(1_000_000),
    };
    let options = ClientOptions {
        timeout: Duration::from_millis(300),
        ..ClientOptions::default()
    };
    let hasty = Client::connect(followers, options);
    let error = hasty.get_with("key", beyond).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_writes_one_branch_and_a_scan_sees_it() {
    let cluster = Cluster::start().await;
    let client = client(&cluster.addresses, ClientOptions::default());
    let put = |key: &str, value: &str| Write::Put {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
    };
    let txn = || Txn {
        checks: vec![Check {
            key: "a1".into(),
            cond: Cond::Absent,
        }],
        then: vec![put("a1", "x"), put("a2", "y"), put("a3", "z")],
        otherwise: vec![Write::Delete { key: "a2".into() }],
    };
    let first = client.txn(txn()).await.unwrap();
    assert!(first.held && first.previous.iter().all(Option::is_none));
    let second = client.txn(txn()).await.unwrap();
    assert!(!second.held);
    let version = second.previous[0].map(|stamp| stamp.version);
    assert_eq!(version, Some(first.slot.get()));
    client.put("b1", "other").await.unwrap();
    let mut scan = client.scan("a", 1, Consistency::Follower);
    let mut keys = Vec::new();
    while let Some(page) = scan.next_page().await.unwrap() {
        assert!(page.applied >= second.slot);
        keys.extend(page.items.into_iter().map(|(key, _)| key));
    }
    assert_eq!(keys, ["a1", "a3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_gives_up_and_the_client_goes_on() {
    let cluster = Cluster::start().await;
    let client = client(&cluster.addresses, ClientOptions::default());
    client.put("key", "before").await.unwrap();
    for round in 0..20 {
        let put = client.put(format!("left{round}"), "v");
        let left = tokio::time::timeout(Duration::from_micros(50), put).await;
        drop(left);
    }
    let committed = client.put_if("key", "after", Cond::ValueEq("before".into()));
    assert!(committed.await.unwrap().applied);
    cluster.converged().await;
}

async fn single(dir: &std::path::Path, name: &str) -> Node<KeyValue> {
    let node = Node::builder(name)
        .bind("127.0.0.1:0")
        .plaintext()
        .single_node(true);
    let node = node.data_dir(dir.join(name));
    let node = node.state_machine(KeyValue::default()).start().await;
    let node = node.unwrap();
    node.wait_for_leader().await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stays_with_the_cluster_that_it_meets_first() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (
        single(dir.path(), "mine").await,
        single(dir.path(), "other").await,
    );
    let addresses = [
        mine.local_addr().to_string(),
        other.local_addr().to_string(),
    ];
    let options = ClientOptions {
        timeout: Duration::from_secs(5),
        ..ClientOptions::default()
    };
    let client = client(&addresses[..1], options.clone());
    let status = client.status_of(&addresses[0]).await.unwrap();
    let cluster = u128::from_be_bytes(status.cluster.as_ref().try_into().unwrap());
    client.put("key", "mine").await.unwrap();
    let told = ClientOptions {
        cluster: Some(chil::client::ClusterId::new(cluster)),
        ..options
    };
    let stray = Client::connect([addresses[1].clone()], told);
    let errors = [
        stray.put("key", "stray").await.unwrap_err(),
        stray.get("key").await.unwrap_err(),
        stray.move_leader(None).await.unwrap_err(),
        stray
            .save_snapshot(&addresses[1], false)
            .await
            .map(drop)
            .unwrap_err(),
    ];
    for error in &errors {
        assert!(matches!(error, ClientError::OtherCluster { .. }), "{error}");
    }
    let found = other.read("key", Consistency::Linearizable).await.unwrap();
    assert_eq!(found, None);
}
