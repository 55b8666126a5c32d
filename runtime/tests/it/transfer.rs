//! Leadership that is handed over: on request, before a node goes, and to whom is wanted more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chil::{NodeBuilder, TransferError};

use crate::cluster::{Cluster, PATIENCE, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_hands_over_to_whom_it_is_told() {
    let cluster = Cluster::start().await;
    let old = cluster.leader_seen_by(0).await;
    let (next, other) = ((old + 1) % 3, (old + 2) % 3);
    cluster.node(old).propose("key", "before").await.unwrap();
    cluster.converged().await;
    let leader = hand_over(&cluster, old, next).await;
    assert_eq!(leader.unwrap().name, name(next));
    let proposed = tokio::time::timeout(PATIENCE, async {
        while let Err(error) = cluster.node(next).propose("key", "after").await {
            println!("not yet: {error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    proposed.await.unwrap();
    let refused = cluster.node(other).transfer_leadership(None).await;
    assert!(
        matches!(refused, Err(TransferError::NotLeader { .. })),
        "{refused:?}"
    );
    for bad in [name(next), "nobody".to_owned()] {
        let refused = cluster.node(next).transfer_leadership(Some(&bad)).await;
        assert_eq!(refused, Err(TransferError::BadTarget { name: bad }));
    }
}

/// Asks for a hand-over, again as long as the leader has not heard that the other is able to lead:
/// a start takes a few rounds.
async fn hand_over(
    cluster: &Cluster,
    from: usize,
    to: usize,
) -> Result<chil::MemberInfo, TransferError> {
    let began = Instant::now();
    loop {
        let node = cluster.node(from);
        match node.transfer_leadership(Some(&name(to))).await {
            Err(TransferError::BadTarget { .. }) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            ended => return ended,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_hardly_notice_that_a_leader_is_shut_down() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client();
    let (writes, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let writing = tokio::spawn({
        let (client, writes, stop) = (client.clone(), Arc::clone(&writes), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                client.put("key", "value").await.unwrap();
                writes.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let leader = cluster.leader_seen_by(0).await;
        let began = Instant::now();
        let node = cluster.nodes[leader].take().expect("it runs");
        node.shutdown(Duration::from_secs(5)).await.unwrap();
        drop(node);
        println!("shut down in {:?}", began.elapsed());
        let before = writes.load(Ordering::Relaxed);
        while writes.load(Ordering::Relaxed) < before + 2 {
            assert!(began.elapsed() < PATIENCE, "nobody can write any more");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        longest = longest.max(began.elapsed());
        cluster.start_node(leader).await;
        cluster.converged().await;
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    println!("no writes for {longest:?} at most");
    // Had nobody handed over, the others would have to notice first, and to wait for their turn.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_shut_down_during_another_transfer_hands_over_after_it() {
    let mut cluster = Cluster::start().await;
    let old = cluster.leader_seen_by(0).await;
    let (gone, next) = ((old + 1) % 3, (old + 2) % 3);
    cluster.node(old).propose("key", "before").await.unwrap();
    cluster.converged().await;
    // Until the leader has heard of everybody that it is able to lead.
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.kill(gone);
    // What is to take over lacks this, and will not get it: the transfer waits, then fails.
    cluster.node(old).propose("key", "without").await.unwrap();
    let leader = cluster.node(old).clone();
    let asked = tokio::spawn({
        let (leader, gone) = (leader.clone(), name(gone));
        async move { leader.transfer_leadership(Some(&gone)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let busy = leader.transfer_leadership(None).await;
    assert_eq!(busy, Err(TransferError::Busy));
    leader.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(asked.await.unwrap(), Err(TransferError::TimedOut));
    let status = cluster.node(next).status().await.unwrap();
    let promised = status.replica.unwrap().promised.node;
    assert_eq!(promised, status.node, "nobody took over");
}

/// A new leader decides nothing before its predecessor's lease has ended, and that takes longer
/// than one transfer may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_shut_down_tries_to_hand_over_until_it_can() {
    let cluster = Cluster::tuned(|_, node| node.lease(Duration::from_secs(2), 10_000)).await;
    let old = cluster.leader_seen_by(0).await;
    let (next, other) = ((old + 1) % 3, (old + 2) % 3);
    cluster.node(old).propose("key", "before").await.unwrap();
    cluster.converged().await;
    hand_over(&cluster, old, next).await.unwrap();
    let leader = cluster.node(next).clone();
    let proposed = tokio::spawn({
        let leader = leader.clone();
        async move { leader.propose("key", "deferred").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let shut_down = leader.status().await.unwrap().node;
    let began = Instant::now();
    leader.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "it did not wait");
    proposed.await.unwrap().unwrap();
    let status = cluster.node(other).status().await.unwrap();
    let promised = status.replica.unwrap().promised.node;
    assert_ne!(promised, shut_down, "nobody took over");
}

/// The last node is wanted as leader.
fn last_preferred(i: usize, node: NodeBuilder) -> NodeBuilder {
    node.priority(if i == 2 { 9 } else { 1 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_to_whom_is_wanted_more() {
    let cluster = Cluster::tuned(last_preferred).await;
    let preferred = async {
        while cluster.leader_seen_by(0).await != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, preferred).await.unwrap();
    assert_eq!(cluster.node(2).status().await.unwrap().priority, 9);
    // It may have been elected before it heard of all of them.
    let known = async {
        loop {
            let status = cluster.node(2).status().await.unwrap();
            let peers = status.replica.unwrap().peers;
            if peers.iter().all(|peer| peer.priority == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
}
