//! A node ends in bounded time, whoever is connected, and says why when it ends by itself.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chil::{
    FrozenState, KeyValue, Node, NodeError, ProposeError, Slot, SnapshotPolicy, StateMachine,
    canonical,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::cluster::{Cluster, PATIENCE};

#[tokio::test]
async fn a_silent_client_does_not_delay_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder("alone")
        .bind("127.0.0.1:0")
        .plaintext()
        .data_dir(dir.path())
        .single_node(true)
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    let mut silent = TcpStream::connect(node.local_addr()).await.unwrap();
    let client = chil::client::Client::connect(
        [node.local_addr().to_string()],
        chil::client::ClientOptions::default(),
    );
    client.put("key", "value").await.unwrap();
    let begin = Instant::now();
    node.shutdown(Duration::from_secs(1)).await.unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest)).await;
    closed.expect("the silent connection is closed").ok();
    assert_eq!(
        node.propose("key", "value").await,
        Err(ProposeError::Stopped)
    );
    assert!(node.status().await.is_none());
}

#[tokio::test]
async fn what_is_in_flight_is_finished_before_the_end() {
    let cluster = Cluster::start().await;
    let leader = cluster.node(cluster.leader_seen_by(0).await).clone();
    let proposals = (0..500).map(|i| {
        let node = leader.clone();
        tokio::spawn(async move { node.propose(format!("{i}"), "value").await })
    });
    let proposals: Vec<_> = proposals.collect();
    // Behind this one all others are queued, and it is not decided before they are taken.
    leader.propose("first", "value").await.unwrap();
    leader.shutdown(Duration::from_secs(5)).await.unwrap();
    let mut committed = 0;
    for proposal in proposals {
        match proposal.await.unwrap() {
            Ok(_) => committed += 1,
            Err(ProposeError::Stopped) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(committed > 0, "those that were taken are finished");
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_node_without_waiting() {
    let mut cluster = Cluster::start().await;
    let begin = Instant::now();
    cluster.kill(0);
    assert!(begin.elapsed() < Duration::from_millis(50));
    let free = async {
        while std::net::TcpListener::bind(&cluster.addresses[0]).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("its port becomes free");
}

/// Works until it is told not to.
struct Fragile;

impl StateMachine for Fragile {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        assert_ne!(command, "break", "was told to");
        Bytes::new()
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        panic!("has no answers")
    }

    fn digest(&self) -> u128 {
        0
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Nothing)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        canonical::read_end(from)
    }
}

/// Counts, and has a state without an end.
#[derive(Clone, Default)]
struct Endless {
    executed: u64,
    writing: Arc<AtomicBool>,
}

impl StateMachine for Endless {
    fn apply(&mut self, _slot: Slot, _command: &Bytes) -> Bytes {
        self.executed += 1;
        Bytes::new()
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        self.executed.to_string().into()
    }

    fn digest(&self) -> u128 {
        self.executed.into()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(self.clone())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        canonical::read_end(from)
    }
}

impl FrozenState for Endless {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        loop {
            out.write_all(&[0; 64 << 10])?;
            self.writing.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_is_being_written_does_not_delay_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let machine = Endless::default();
    let start = || {
        let node = Node::builder("alone")
            .bind("127.0.0.1:0")
            .plaintext()
            .data_dir(dir.path())
            .single_node(true)
            .snapshots(SnapshotPolicy {
                slots: 5,
                bytes: u64::MAX,
            });
        node.state_machine(machine.clone()).start()
    };
    let node = start().await.unwrap();
    node.wait_for_leader().await.unwrap();
    for _ in 0..20 {
        node.submit("one").await.unwrap();
    }
    let writing = async {
        while !machine.writing.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, writing).await.unwrap();
    let begin = Instant::now();
    node.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(1_500), "too long");
    // The directory is free, and all that was acknowledged is in the log.
    let node = start().await.unwrap();
    node.wait_for_leader().await.unwrap();
    let executed = node.query("", chil::Consistency::Linearizable).await;
    assert_eq!(executed.unwrap().answer, "20");
}

/// The state of a machine that has none.
struct Nothing;

impl FrozenState for Nothing {
    fn write_to(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panicking_state_machine_ends_the_node_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder("alone")
        .bind("127.0.0.1:0")
        .plaintext()
        .data_dir(dir.path())
        .single_node(true)
        .state_machine(Fragile)
        .start()
        .await
        .unwrap();
    node.wait_for_leader().await.unwrap();
    node.submit("fine").await.unwrap();
    let failed = node.query("anything", chil::Consistency::Stale).await;
    assert!(failed.unwrap_err().to_string().contains("has no answers"));
    assert_eq!(node.submit("break").await, Err(ProposeError::Unknown));
    let ended = tokio::time::timeout(PATIENCE, node.join()).await.unwrap();
    match ended {
        Err(NodeError::StateMachine { slot, panic }) => {
            assert_eq!(slot, Slot::new(2));
            assert!(panic.contains("was told to"), "{panic}");
        }
        other => panic!("{other:?}"),
    }
}
