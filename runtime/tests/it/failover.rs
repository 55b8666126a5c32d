//! Proposing, losing the leader, coming back: nothing acknowledged is ever lost.

use std::time::{Duration, Instant};

use chil::{Consistency, ProposeError, ReadError};

use crate::cluster::{Cluster, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_and_catches_up() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client();
    for i in 0..100 {
        client
            .put(format!("key-{i}"), format!("first-{i}"))
            .await
            .unwrap();
    }
    let old = cluster.leader_seen_by(0).await;
    cluster.kill(old);
    let killed = Instant::now();
    client.put("after", "the crash").await.unwrap();
    println!("no leader for {:?}", killed.elapsed());
    for i in 0..100 {
        client
            .put(format!("key-{i}"), format!("second-{i}"))
            .await
            .unwrap();
    }
    cluster.start_node(old).await;
    let (slot, _) = cluster.converged().await;
    assert!(
        slot >= 201,
        "all writes are executed, but only {slot} slots are"
    );
    for i in 0..100 {
        let value = client.get(format!("key-{i}")).await.unwrap().unwrap();
        assert_eq!(value.value, format!("second-{i}"));
    }
    let leader = cluster.leader_seen_by((old + 1) % 3).await;
    let read = cluster
        .node(leader)
        .read("after", Consistency::Linearizable)
        .await;
    assert_eq!(read.unwrap().unwrap().value, "the crash");
}

#[tokio::test]
async fn a_whole_cluster_comes_back_with_what_it_acknowledged() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client();
    let writes = (0..200).map(|i| client.put(format!("key-{i}"), vec![b'x'; i]));
    for committed in futures_util::future::join_all(writes).await {
        committed.unwrap();
    }
    let (_, before) = cluster.converged().await;
    (0..3).for_each(|i| cluster.kill(i));
    for i in 0..3 {
        cluster.start_node(i).await;
    }
    let value = client.get("key-199").await.unwrap().unwrap();
    assert_eq!(value.value.len(), 199);
    let (_, after) = cluster.converged().await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_follower_says_who_leads() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader_seen_by(0).await;
    let address = cluster.addresses[leader].clone();
    let follower = cluster.node((leader + 1) % 3);
    assert_eq!(
        follower.propose("key", "value").await,
        Err(ProposeError::NotLeader {
            hint: Some(address.clone())
        })
    );
    assert_eq!(
        follower.read("key", Consistency::Linearizable).await,
        Err(ReadError::NotLeader {
            hint: Some(address)
        })
    );
    let committed = cluster.node(leader).propose("key", "value").await.unwrap();
    let seen = async {
        while follower
            .read("key", Consistency::Stale)
            .await
            .unwrap()
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .expect("it executes what is decided, too");
    assert_eq!(committed.version, committed.slot.get());
}

#[tokio::test]
async fn a_member_that_moved_is_found_where_the_lists_now_say() {
    let mut cluster = Cluster::start().await;
    cluster.client().put("key", "value").await.unwrap();
    for i in 0..3 {
        cluster.kill(i);
    }
    cluster.addresses[2] = crate::cluster::free_addresses(1).remove(0);
    // Without the first one, the two that have to find each other are all there is.
    for i in 1..3 {
        cluster.start_node(i).await;
    }
    let client = cluster.client();
    client.put("key", "moved").await.unwrap();
    let leader = cluster.leader_seen_by(1).await;
    let members = cluster.node(leader).status().await.unwrap().members;
    assert!(
        members
            .iter()
            .any(|member| member.address == cluster.addresses[2])
    );
}
