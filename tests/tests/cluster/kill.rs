//! `kill -9` under load: no acknowledged proposal may be lost, whoever dies.
//! Knows nothing about the protocol; it counts what was acknowledged and looks for it afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chil::client::{Client, ClientError, Consistency};
use chil_core::kv::{KvAnswer, KvQuery};
use futures_util::StreamExt;
use futures_util::stream;

use crate::harness::{Cluster, PATIENCE};

/// Kills, alternating between the leader and its followers.
const KILLS: usize = 20;
const WRITERS: usize = 8;
/// Acknowledgements between two kills: the load is real while the node dies.
const ACKS_BETWEEN: u64 = 150;

/// What the writers were told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Mutex<Vec<(String, String)>>,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Writes one new key after the other until it is told to stop.
async fn write(client: Client, writer: usize, told: Arc<Told>) -> Result<(), ClientError> {
    for number in 0_u64.. {
        if told.stop.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (
            format!("w{writer}-{number}"),
            format!("{}", number * 31 + 7),
        );
        client.put(key.clone(), value.clone()).await?;
        told.acknowledged.lock().unwrap().push((key, value));
        told.count.fetch_add(1, Ordering::Relaxed);
        // Enough load to have proposals under way at every kill, and a log that is quickly checked.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn wait_for_acks(told: &Told, more: u64) {
    let target = told.count.load(Ordering::Relaxed) + more;
    let deadline = Instant::now() + PATIENCE;
    while told.count.load(Ordering::Relaxed) < target {
        assert!(
            Instant::now() < deadline,
            "the cluster does not acknowledge anything any more"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn killing_any_node_20_times_under_load_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start(3, &["--log", "warn"]);
    let client = cluster.client();
    cluster.leader(&client).await;
    let told = Arc::new(Told::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(cluster.client(), writer, Arc::clone(&told))))
        .collect();

    let mut killed = [0; 3];
    for round in 0..KILLS {
        wait_for_acks(&told, ACKS_BETWEEN).await;
        let leader = cluster.leader(&client).await;
        // The leader, then each of its followers in turn.
        let victim = (leader + [0, 1, 0, 2][round % 4]) % 3;
        cluster.nodes[victim].kill();
        killed[victim] += 1;
        wait_for_acks(&told, ACKS_BETWEEN).await;
        cluster.nodes[victim].start();
        // The next kill must not find two nodes away: wait until this one is a full member again.
        let name = cluster.nodes[victim].name.clone();
        cluster
            .wait_until(&client, "catching up", |answers| {
                let end = answers.iter().map(|answer| answer.commit).max();
                answers.len() == 3
                    && answers
                        .iter()
                        .any(|a| a.name == name && Some(a.applied + 200) >= end && a.happy)
            })
            .await;
    }
    told.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer
            .await
            .unwrap()
            .expect("every write is acknowledged in the end");
    }

    let same = |answers: &[chil::client::StatusResponse]| {
        answers.len() == 3
            && answers.iter().all(|answer| {
                answer.applied == answer.commit
                    && answer.applied == answers[0].applied
                    && answer.digest == answers[0].digest
            })
    };
    cluster
        .wait_until(&client, "one state on all nodes", same)
        .await;
    let acknowledged = std::mem::take(&mut *told.acknowledged.lock().unwrap());
    assert!(acknowledged.len() as u64 >= 2 * ACKS_BETWEEN * KILLS as u64);
    check_all(&client, &acknowledged).await;
    println!(
        "{} acknowledged writes survived kills {killed:?}",
        acknowledged.len()
    );
}

/// Every acknowledged write is there with its value, and nothing else is.
async fn check_all(client: &Client, acknowledged: &[(String, String)]) {
    let mut reads = stream::iter(acknowledged)
        .map(|(key, value)| async move { (key, value, client.get(key.clone()).await) })
        .buffer_unordered(64);
    while let Some((key, value, found)) = reads.next().await {
        let found = found.unwrap_or_else(|error| panic!("{key}: {error}"));
        let found = found.unwrap_or_else(|| panic!("{key} was acknowledged, but is lost"));
        assert_eq!(found.value, value.as_bytes(), "{key}");
    }
    let answer = client
        .query(KvQuery::Count.encode(), Consistency::Linearizable)
        .await
        .unwrap();
    // Writers insist until each key is acknowledged, so there is no key that is not.
    let count = acknowledged.len() as u64;
    assert_eq!(KvAnswer::decode(&answer.answer), Ok(KvAnswer::Count(count)));
}
