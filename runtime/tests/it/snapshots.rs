//! A log that is trimmed: restarts begin with a snapshot, and so does who was away for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chil::client::Client;
use chil::{Command, NodeBuilder, SnapshotPolicy};

use crate::cluster::{Cluster, PATIENCE};

/// Snapshots often, keeps next to nothing of the log, and sends in small parts.
fn often(_: usize, node: NodeBuilder) -> NodeBuilder {
    let policy = SnapshotPolicy {
        slots: 50,
        bytes: u64::MAX,
    };
    node.snapshots(policy).protocol(|config| {
        config.log_tail_bytes = 4 << 10;
        config.log_keep_bytes_max = 16 << 10;
        config.chunk_bytes_max = 1 << 10;
    })
}

async fn fill(client: &Client, keys: std::ops::Range<usize>) {
    let writes = keys.map(|i| client.put(format!("key-{i}"), vec![b'x'; 512]));
    for committed in futures_util::future::join_all(writes).await {
        committed.unwrap();
    }
}

/// Waits until node `i` has a snapshot of `slot` or later, and its log begins behind `base`.
async fn trimmed(cluster: &Cluster, i: usize, slot: u64, base: u64) {
    let trimming = async {
        loop {
            let replica = cluster.node(i).status().await.unwrap().replica.unwrap();
            let snapshot = replica.snapshot.map_or(0, |id| id.slot.get());
            if snapshot >= slot && replica.base.get() > base {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let trimmed = tokio::time::timeout(PATIENCE, trimming).await;
    trimmed.expect("a snapshot is taken, and the log is trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_installs_a_snapshot_while_the_others_serve() {
    let mut cluster = Cluster::tuned(often).await;
    let client = cluster.client();
    let away = (cluster.leader_seen_by(0).await + 1) % 3;
    fill(&client, 0..10).await;
    let (slot, _) = cluster.converged().await;
    cluster.kill(away);
    fill(&client, 10..400).await;
    // What it lacks is nowhere any more.
    trimmed(&cluster, (away + 1) % 3, 50, slot).await;
    trimmed(&cluster, (away + 2) % 3, 50, slot).await;

    // Somebody writes all the time while it comes back.
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        async move {
            let mut writes = 0;
            while !stop.load(Ordering::Relaxed) {
                client.put("busy", writes.to_string()).await.unwrap();
                writes += 1;
            }
            writes
        }
    });
    cluster.start_node(away).await;
    trimmed(&cluster, away, 50, slot).await;
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0, "nobody could write meanwhile");
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_begins_with_the_snapshot_and_its_sessions() {
    let mut cluster = Cluster::tuned(often).await;
    let client = cluster.client();
    let leader = cluster.leader().await;
    let session = leader.register(77).await.unwrap();
    let command = |seq: u64| Command {
        client: session,
        seq,
        ack_floor: 0,
        payload: put("session", &format!("write-{seq}")),
    };
    let first = leader.submit_command(command(1)).await.unwrap();
    fill(&client, 0..200).await;
    let (slot, before) = cluster.converged().await;
    for i in 0..3 {
        trimmed(&cluster, i, 50, session.get()).await;
    }
    (0..3).for_each(|i| cluster.kill(i));
    for i in 0..3 {
        cluster.start_node(i).await;
    }
    let (again, after) = cluster.converged_behind(slot).await;
    assert_eq!((again, after), (slot, before));
    // The command was executed before the snapshot; sent again, it is not executed again.
    let leader = cluster.leader().await;
    let repeated = leader.submit_command(command(1)).await.unwrap();
    assert_eq!(repeated, first);
    assert_eq!(leader.register(77).await.unwrap(), session);
    assert!(leader.submit_command(command(2)).await.unwrap().slot > first.slot);
}

fn put(key: &str, value: &str) -> Bytes {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    chil::kv::KvCommand::put(key, value).encode()
}
