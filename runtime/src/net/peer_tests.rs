//! Links over a network of channels and a clock that jumps: back-off, reconnecting, dropping.
//! Knows nothing about sockets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chil_core::forming::{Confirm, FormingMessage};
use chil_core::{ClusterId, DiskId, Lane, Span, Time};
use chil_proto::{Frame, decode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::peer::Links;
use crate::ports::{Clock, NetError, Network, ReceiveFrames, SendFrames, Target};

#[derive(Clone, Copy)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }

    async fn sleep_until(&self, at: Time) {
        tokio::time::sleep_until(self.0 + Duration::from_nanos(at.nanos())).await;
    }
}

/// A peer that can be reached or not, and remembers when it was tried.
#[derive(Clone, Default)]
struct FakeNetwork(Arc<Mutex<Fake>>);

#[derive(Default)]
struct Fake {
    reachable: bool,
    attempts: Vec<Instant>,
    accepted: Vec<mpsc::Receiver<Bytes>>,
    forgotten: Vec<String>,
}

struct Pipe(mpsc::Sender<Bytes>);
struct Nothing;

fn gone() -> NetError {
    NetError {
        addr: "peer".to_owned(),
        reason: "gone".to_owned(),
    }
}

impl Network for FakeNetwork {
    type Outgoing = Pipe;
    type Incoming = Nothing;

    async fn connect(&self, _target: &Target, lane: Lane) -> Result<Pipe, NetError> {
        let mut fake = self.0.lock().unwrap();
        if lane != Lane::Bulk {
            return Err(gone());
        }
        fake.attempts.push(Instant::now());
        if !fake.reachable {
            return Err(gone());
        }
        let (send, receive) = mpsc::channel(64);
        fake.accepted.push(receive);
        Ok(Pipe(send))
    }

    async fn accept(&self) -> Result<Nothing, NetError> {
        std::future::pending().await
    }

    fn forget(&self, address: &str) {
        self.0.lock().unwrap().forgotten.push(address.to_owned());
    }
}

impl SendFrames for Pipe {
    async fn send(&mut self, frame: Bytes) -> Result<(), NetError> {
        self.0.send(frame).await.map_err(|_| gone())
    }

    async fn closed(&mut self) -> NetError {
        self.0.closed().await;
        gone()
    }
}

impl ReceiveFrames for Nothing {
    async fn receive(&mut self) -> Result<Option<Bytes>, NetError> {
        Ok(None)
    }

    fn from(&self) -> &str {
        "peer"
    }

    fn sender(&self) -> Option<&str> {
        None
    }
}

fn frame(nonce: u64) -> Frame {
    let confirm = Confirm {
        name: "a".to_owned(),
        disk: DiskId::new(1),
        addr: "a:1".to_owned(),
        candidate: ClusterId::new(1),
        nonce,
    };
    Frame::Forming(FormingMessage::Confirm(confirm).into())
}

fn links(network: &FakeNetwork) -> Links<FakeNetwork, PausedClock> {
    let clock = PausedClock(Instant::now());
    Links::new(network.clone(), clock, Span::from_millis(200), 7)
}

fn status(links: &Links<FakeNetwork, PausedClock>) -> super::LinkStatus {
    let mut all = links.status().into_iter();
    all.find(|link| link.lane == Lane::Bulk).unwrap()
}

async fn received(network: &FakeNetwork, connection: usize) -> Vec<Frame> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut fake = network.0.lock().unwrap();
    let mut frames = Vec::new();
    while let Ok(bytes) = fake.accepted[connection].try_recv() {
        frames.push(decode::frame(bytes).unwrap());
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn attempts_become_rarer_up_to_the_limit_and_old_frames_are_dropped() {
    let network = FakeNetwork::default();
    let mut links = links(&network);
    links.send("peer", Lane::Bulk, frame(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let attempts = network.0.lock().unwrap().attempts.clone();
    let pauses: Vec<Duration> = attempts.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[0] <= Duration::from_millis(11), "{pauses:?}");
    let lasting = &pauses[6..];
    let range = Duration::from_millis(99)..=Duration::from_millis(202);
    assert!(
        lasting.iter().all(|pause| range.contains(pause)),
        "{pauses:?}"
    );
    assert!(
        lasting.iter().any(|pause| *pause != lasting[0]),
        "no jitter: {pauses:?}"
    );

    assert_eq!(status(&links).trouble, Some(gone().reason));
    let not_reached: Vec<(&str, String)> = links.not_reached().collect();
    assert_eq!(not_reached, [("peer", gone().reason)]);

    network.0.lock().unwrap().reachable = true;
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(links.not_reached().count(), 0);
    assert_eq!(status(&links).trouble, None);
    links.send("peer", Lane::Bulk, frame(2));
    assert_eq!(received(&network, 0).await, [frame(2)]);
    let status = status(&links);
    assert!(status.connected);
    assert_eq!((status.sent, status.dropped), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_notices_a_lost_connection_and_comes_back() {
    let network = FakeNetwork::default();
    network.0.lock().unwrap().reachable = true;
    let mut links = links(&network);
    links.open("peer");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(status(&links).connected);
    network.0.lock().unwrap().accepted.clear();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        status(&links).connected,
        "after a lasting connection the first pause is short"
    );
    links.send("peer", Lane::Bulk, frame(3));
    assert_eq!(received(&network, 0).await, [frame(3)]);
}

#[tokio::test(start_paused = true)]
async fn links_to_strangers_are_closed_when_they_are_idle() {
    let network = FakeNetwork::default();
    let mut links = links(&network);
    links.send("stranger", Lane::Bulk, frame(1));
    links.send("member", Lane::Bulk, frame(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    links.close_idle(Span::from_millis(2_000), |address| address == "member");
    let addresses: Vec<String> = links
        .status()
        .into_iter()
        .map(|link| link.address)
        .collect();
    assert!(!addresses.is_empty() && addresses.iter().all(|address| address == "member"));
}

#[tokio::test(start_paused = true)]
async fn those_who_say_that_they_are_elsewhere_again_and_again_cost_no_member_its_link() {
    let network = FakeNetwork::default();
    let mut links = links(&network);
    links.send("member", Lane::Bulk, frame(1));
    let all = |links: &Links<FakeNetwork, PausedClock>| -> BTreeSet<String> {
        links
            .status()
            .into_iter()
            .map(|link| link.address)
            .collect()
    };
    for second in 0..3 {
        for n in 0..1_000 {
            links.answer(&format!("{second}-{n}"), Lane::Bulk, frame(n));
        }
        let open = all(&links);
        assert!(open.contains("member"), "{open:?}");
        assert_eq!(open.len(), 1 + 64, "{open:?}");
        assert!(
            open.contains(&format!("{second}-0")),
            "those before were idle"
        );
        tokio::time::sleep(Duration::from_millis(1_001)).await;
    }
    // One that this node wants to speak with is no guest any more.
    links.open("2-7");
    for n in 0..64 {
        links.answer(&format!("3-{n}"), Lane::Bulk, frame(n));
    }
    let open = all(&links);
    assert!(
        open.contains("2-7") && open.contains("3-62") && open.len() == 66,
        "{open:?}"
    );
    let forgotten = network.0.lock().unwrap().forgotten.len();
    assert_eq!(forgotten, 64 + 64 + 63, "all guests that had to go");
}
