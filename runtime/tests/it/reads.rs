//! Reads of every consistency, from leaders and from followers.

use std::time::Duration;

use chil::kv::KvQuery;
use chil::{Consistency, NodeBuilder, ReadError, Slot};

use crate::cluster::Cluster;

fn with_lease(_: usize, node: NodeBuilder) -> NodeBuilder {
    node.lease(Duration::from_millis(500), 10_000)
}

fn get(key: &str) -> bytes::Bytes {
    let key = key.to_owned().into();
    KvQuery::Get { key }.encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_answers_what_its_leader_has_acknowledged() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for round in 0..50 {
        let value = format!("value-{round}");
        client.put("key", value.clone()).await.unwrap();
        for i in 0..3 {
            // On a machine that is too busy the leader may change.
            let read = loop {
                match cluster.node(i).read("key", Consistency::Follower).await {
                    Ok(read) => break read.unwrap().value,
                    Err(error) => println!("node {i}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(read, value);
        }
    }
    let leader = cluster.leader_seen_by(0).await;
    let follower = cluster.node((leader + 1) % 3);
    let refused = follower.read("key", Consistency::Linearizable).await;
    assert!(
        matches!(refused, Err(ReadError::NotLeader { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_read_sees_what_it_asks_for_and_says_how_old_it_may_be() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader_seen_by(0).await;
    let follower = cluster.node((leader + 1) % 3);
    let mut ages = 0;
    for round in 0..50 {
        let value = format!("value-{round}");
        let written = cluster
            .node(leader)
            .propose("key", value.clone())
            .await
            .unwrap();
        let read = follower.query_from(get("key"), Consistency::Stale, written.slot);
        let answer = read.await.unwrap();
        assert!(answer.applied >= written.slot);
        // Before the leader has answered a question of this node's, nobody knows.
        ages += u32::from(answer.age.is_some());
        let age = answer.age.unwrap_or_default();
        assert!(age < Duration::from_secs(1), "{age:?}");
        let fresh = cluster
            .node(leader)
            .query(get("key"), Consistency::Linearizable);
        assert_eq!(fresh.await.unwrap().answer, answer.answer);
    }
    let dated = async {
        let asked = || follower.query(get("key"), Consistency::Stale);
        while asked().await.unwrap().age.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), dated).await;
    assert!(ages > 0 || waited.is_ok(), "no age was ever said");
    let far = Slot::new(1_000_000);
    let waits = follower
        .query_from(get("key"), Consistency::Stale, far)
        .await;
    assert!(
        matches!(waits, Err(ReadError::Behind { needed, .. }) if needed == far),
        "{waits:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_knows_that_it_grows_old() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader_seen_by(0).await;
    cluster.node(leader).propose("key", "value").await.unwrap();
    cluster.converged().await;
    let alone = (leader + 1) % 3;
    while stale_age(&cluster, alone).await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (0..3).filter(|i| *i != alone).for_each(|i| cluster.kill(i));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let age = stale_age(&cluster, alone).await.unwrap();
    assert!(age >= Duration::from_millis(400), "{age:?}");
}

/// How old a node says that its state may be.
async fn stale_age(cluster: &Cluster, node: usize) -> Option<Duration> {
    let read = cluster.node(node).query(get("key"), Consistency::Stale);
    read.await.unwrap().age
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_answers_without_asking_and_never_old() {
    let mut cluster = Cluster::tuned(with_lease).await;
    let leader = cluster.leader_seen_by(0).await;
    let status = cluster.node(leader).status().await.unwrap();
    assert!(status.lease.is_some());
    for round in 0..50 {
        let value = format!("value-{round}");
        cluster
            .node(leader)
            .propose("key", value.clone())
            .await
            .unwrap();
        let read = cluster.node(leader).read("key", Consistency::Lease).await;
        assert_eq!(read.unwrap().unwrap().value, value);
    }
    // Without anybody to renew it, the lease ends, and nothing is answered from it any more.
    (0..3)
        .filter(|i| *i != leader)
        .for_each(|i| cluster.kill(i));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let read = cluster.node(leader).read("key", Consistency::Lease).await;
    assert!(matches!(read, Err(ReadError::NotLeader { .. })), "{read:?}");
}
