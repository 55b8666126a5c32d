//! Following the log: every slot once and in order, and an honest word about what is gone.

use std::time::Duration;

use bytes::Bytes;
use chil::kv::KvCommand;
use chil::proto::consensus_client::ConsensusClient;
use chil::proto::watch_response::Event;
use chil::proto::{WatchRequest, decision::What};
use chil::{Decided, NodeBuilder, Slot, SnapshotPolicy, WatchError};
use tonic::transport::Endpoint;

use crate::cluster::{Cluster, PATIENCE};

fn often(_: usize, node: NodeBuilder) -> NodeBuilder {
    let policy = SnapshotPolicy {
        slots: 20,
        bytes: u64::MAX,
    };
    node.snapshots(policy).protocol(|config| {
        config.log_tail_bytes = 1 << 10;
        config.log_keep_bytes_max = 1 << 10;
    })
}

fn put(value: usize) -> Bytes {
    let (key, value) = ("key".into(), value.to_string().into());
    KvCommand::put(key, value).encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_slot_comes_once_and_in_order_from_any_node() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let session = leader.register(5).await.unwrap();
    for i in 0..100 {
        leader.submit(put(i)).await.unwrap();
    }
    for i in 0..3 {
        let mut watch = cluster.node(i).watch(Some(Slot::new(1))).await.unwrap();
        let mut payloads = Vec::new();
        for slot in 1..=101 {
            let decision = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
            let decision = decision.unwrap();
            assert_eq!(decision.slot.get(), slot);
            match decision.what {
                Decided::Registration { nonce } => {
                    assert_eq!((nonce, slot), (5, session.get()));
                }
                Decided::Command { payload, .. } => payloads.push(payload),
            }
        }
        assert_eq!(payloads, (0..100).map(put).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_at_the_end_hears_of_the_next_decision() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    leader.submit(put(1)).await.unwrap();
    let mut watch = leader.watch(None).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), watch.next()).await;
    assert!(early.is_err(), "nothing is decided yet");
    leader.submit(put(2)).await.unwrap();
    let next = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    let Decided::Command { payload, .. } = next.unwrap().what else {
        panic!("a command was proposed");
    };
    assert_eq!(payload, put(2));
    leader.shutdown(Duration::from_secs(1)).await.unwrap();
    assert_eq!(watch.next().await, Err(WatchError::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_is_called_compacted() {
    let cluster = Cluster::tuned(often).await;
    let leader = cluster.leader().await;
    let mut slow = leader.watch(Some(Slot::new(1))).await.unwrap();
    for i in 0..200 {
        leader.submit(put(i)).await.unwrap();
    }
    let trimmed = async {
        loop {
            let replica = leader.status().await.unwrap().replica.unwrap();
            if replica.base > Slot::new(50) {
                return replica.base;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trimmed).await.unwrap();
    let Err(WatchError::Compacted { mut first }) = slow.next().await else {
        panic!("slot 1 was trimmed");
    };
    // More may be trimmed while this goes on.
    loop {
        let mut again = leader.watch(Some(first)).await.unwrap();
        match again.next().await {
            Ok(decision) => break assert_eq!(decision.slot, first),
            Err(WatchError::Compacted { first: later }) => first = later,
            Err(error) => panic!("{error}"),
        }
    }

    // The same over the wire.
    let address = format!("http://{}", leader.local_addr());
    let channel = Endpoint::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = ConsensusClient::new(channel);
    let request = |from_slot| WatchRequest {
        from_slot,
        cluster: Bytes::new(),
    };
    let mut events = client.watch(request(1)).await.unwrap().into_inner();
    let event = events.message().await.unwrap().unwrap().event.unwrap();
    let Event::Compacted(compacted) = event else {
        panic!("{event:?} instead of what was trimmed");
    };
    assert!(compacted.first_slot >= first.get());
    assert!(events.message().await.unwrap().is_none(), "it was the last");
    let tail = 195;
    let mut events = client.watch(request(tail)).await.unwrap().into_inner();
    for slot in tail..=200 {
        let event = events.message().await.unwrap().unwrap().event.unwrap();
        let Event::Decision(decision) = event else {
            panic!("{event:?} instead of slot {slot}");
        };
        assert_eq!(decision.slot, slot);
        assert!(matches!(decision.what, Some(What::Command(_))));
    }
}
