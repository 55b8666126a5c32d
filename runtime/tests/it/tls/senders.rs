//! Messages over links of real nodes that are not what they should be: of another node, of another
//! cluster, for or from another life. Each is dropped for its reason, and that is counted.
//! Knows nothing about what messages say.

use std::time::Duration;

use bytes::Bytes;
use chil::{KeyValue, Node};
use chil_core::NodeId;
use chil_proto::v1;
use chil_proto::v1::envelope::Body;
use chil_proto::v1::frame::Kind;
use chil_proto::v1::peer_client::PeerClient;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::dialled::Lines;
use super::pki::{Authority, Shown};
use super::stranger::call;
use super::{address, alone, counted, counts};
use crate::cluster::{PATIENCE, free_addresses, name};

/// Somebody's link to a node.
struct Link {
    frames: mpsc::Sender<v1::Frame>,
    acks: Streaming<v1::LinkAck>,
}

impl Link {
    /// To `node`, by whoever has that certificate.
    async fn open<S>(node: &Node<S>, shown: &Shown) -> Self {
        let (at, shown) = (address(node), shown.clone());
        let connector = tower::service_fn(move |_| {
            let shown = shown.clone();
            async move { call(at, Some(&shown)).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://node");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        let (frames, queued) = mpsc::channel(16);
        let mut client = PeerClient::new(channel);
        let acks = client.link(ReceiverStream::new(queued)).await.unwrap();
        let acks = acks.into_inner();
        Self { frames, acks }
    }

    async fn send(&self, kind: Kind) {
        let kind = Some(kind);
        self.frames.send(v1::Frame { kind }).await.unwrap();
    }

    /// Waits until the node has ended it.
    async fn ends(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.acks.message()).await;
        let ended = ended.expect("the link ends");
        assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    }
}

fn id(name: &str) -> u64 {
    NodeId::from_name(name).unwrap().get()
}

fn disk() -> Bytes {
    Bytes::from_static(&[1; 16])
}

/// What nobody can have sent but `from`.
fn messages_of(from: &str) -> [Kind; 5] {
    let name = || from.to_owned();
    let hello = v1::Hello {
        name: name(),
        disk: disk(),
        addr: "127.0.0.1:1".to_owned(),
        nonce: 1,
        round: 1,
    };
    let envelope = v1::Envelope {
        cluster: disk(),
        from: id(from),
        from_disk: disk(),
        boot: 1,
        run: 1,
        to: id("alone"),
        to_boot: 0,
        epoch: 1,
        body: Some(Body::Heartbeat(v1::Heartbeat::default())),
    };
    [
        Kind::Envelope(envelope),
        Kind::Hello(hello),
        Kind::HelloReply(v1::HelloReply {
            name: name(),
            disk: disk(),
            addr: "127.0.0.1:1".to_owned(),
            nonce: 1,
            round: 1,
            state: Some(v1::hello_reply::State::Forming(v1::PeerList {
                sessions: Some(v1::SessionLimits {
                    sessions_max: 1,
                    reply_bytes_max: 1,
                }),
                ..v1::PeerList::default()
            })),
        }),
        Kind::Confirm(v1::Confirm {
            name: name(),
            disk: disk(),
            addr: "127.0.0.1:1".to_owned(),
            candidate: disk(),
            nonce: 1,
        }),
        Kind::Confirmed(v1::Confirmed {
            name: name(),
            disk: disk(),
            candidate: disk(),
            nonce: 1,
        }),
    ]
}

#[tokio::test]
async fn a_node_speaks_for_itself_only() {
    let (lines, _listening) = Lines::listen();
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let shown = ca.node("node-2");
    for (cut, message) in (1..).zip(messages_of("node-3")) {
        let link = Link::open(&node, &shown).await;
        link.send(message).await;
        link.ends().await;
        counts(&node, "connections_cut", "other-sender", cut).await;
    }
    let said = lines.say("which may send its own only").await;
    let audit = said.lines().filter(|line| line.contains("chil::audit"));
    let audit: Vec<&str> = audit
        .filter(|line| line.contains("reason=\"other-sender\""))
        .collect();
    assert_eq!(audit.len(), 5, "{said}");
    for line in audit {
        assert!(
            line.contains("chil://local/node/node-2") || line.contains("node-2"),
            "{line}"
        );
    }
    // What is its own it may send: nothing ends.
    let mut link = Link::open(&node, &shown).await;
    for message in messages_of("node-2") {
        link.send(message).await;
    }
    let silent = tokio::time::timeout(Duration::from_millis(300), link.acks.message()).await;
    assert!(silent.is_err(), "the link is open: {silent:?}");
    assert_eq!(counted(&node, "connections_cut", "other-sender"), 5);
}

/// Three nodes with TLS, in one cluster.
struct Members {
    _dir: TempDir,
    ca: Authority,
    nodes: Vec<Node<KeyValue>>,
}

impl Members {
    async fn start() -> Self {
        let (dir, ca) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
        let addresses = free_addresses(3);
        let mut nodes = Vec::new();
        for i in 0..3 {
            let others = (0..3).filter(|j| *j != i);
            let others = others.map(|j| format!("{}={}", name(j), addresses[j]));
            let own = dir.path().join(name(i));
            let node = Node::builder(name(i))
                .bind(&addresses[i])
                .tls(ca.node(&name(i)).tls(&own.join("tls"), &[&ca]))
                .peers(others)
                .data_dir(own.join("data"))
                .state_machine(KeyValue::default());
            nodes.push(node.start().await.unwrap());
        }
        for node in &nodes {
            let led = tokio::time::timeout(PATIENCE, node.wait_for_leader()).await;
            led.expect("it knows a leader").expect("it runs");
        }
        Self {
            _dir: dir,
            ca,
            nodes,
        }
    }
}

/// What is wrong with a message, how it gets so, and what it is counted as.
type Bent = (&'static str, fn(&mut v1::Envelope), &'static str);

fn bent() -> [Bent; 8] {
    const OTHER: Bytes = Bytes::from_static(&[9; 16]);
    [
        ("cluster", |e| e.cluster = OTHER, "WrongCluster"),
        ("addressee", |e| e.to = id("node-2"), "WrongAddressee"),
        ("addressee's life", |e| e.to_boot += 1, "WrongAddressee"),
        ("sender", |e| e.from = id("stranger"), "UnknownSender"),
        ("disk", |e| e.from_disk = OTHER, "WrongDisk"),
        ("epoch", |e| e.epoch += 1, "WrongEpoch"),
        ("boot", |e| e.boot -= 1, "ClonedDisk"),
        ("run", |e| e.run += 1, "ClonedDisk"),
    ]
}

#[tokio::test]
async fn what_is_not_for_or_from_this_life_is_dropped_and_counted_by_its_reason() {
    let mut members = Members::start().await;
    let speaker = members.nodes.pop().unwrap();
    let (mine, theirs) = (
        speaker.status().await.unwrap(),
        members.nodes[0].status().await.unwrap(),
    );
    // From here on this test speaks for it.
    drop(speaker);
    let node = &members.nodes[0];
    let (replica, heard) = (theirs.replica.unwrap(), mine.replica.unwrap());
    let good = v1::Envelope {
        cluster: replica.cluster.get().to_be_bytes().to_vec().into(),
        from: mine.node.get(),
        from_disk: mine.disk.get().to_be_bytes().to_vec().into(),
        // A later life of it: the node has heard of the one before.
        boot: heard.boot + 2,
        run: 7,
        to: theirs.node.get(),
        to_boot: replica.boot,
        epoch: replica.epoch.get(),
        body: Some(Body::Heartbeat(v1::Heartbeat::default())),
    };
    let link = Link::open(node, &members.ca.node(&mine.name)).await;
    let stranger = Link::open(node, &members.ca.node("stranger")).await;
    link.send(Kind::Envelope(good.clone())).await;
    for (what, bend, reason) in bent() {
        let before = counted(node, "messages_ignored", reason);
        let mut envelope = good.clone();
        bend(&mut envelope);
        let through = if what == "sender" { &stranger } else { &link };
        through.send(Kind::Envelope(envelope)).await;
        counts(node, "messages_ignored", reason, before + 1).await;
        // What is right is not counted, and neither link is cut for what is not.
        link.send(Kind::Envelope(good.clone())).await;
        let now = counted(node, "messages_ignored", reason);
        assert_eq!(now, before + 1, "{what}");
    }
    assert_eq!(counted(node, "connections_cut", "other-sender"), 0);
    let written = tokio::time::timeout(PATIENCE, node.propose("key", "value")).await;
    drop(written.expect("it answers"));
    assert_eq!(members.nodes.len(), 2);
}
