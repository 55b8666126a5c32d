//! A client's watch over nodes that trim, lag, form or go: no slot is left out, and none comes
//! twice. Knows nothing about clusters: the nodes here have the logs that they are given.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use chil::Slot;
use chil::client::{Client, ClientOptions, ClusterId, Watch, WatchError};
use chil::proto::admin_server::{Admin, AdminServer};
use chil::proto::consensus_server::{Consensus, ConsensusServer};
use chil::proto::decision::What;
use chil::proto::watch_response::Event;
use chil::proto::{
    Compacted, DecidedCommand, Decision, ExplainRequest, ExplainResponse, MoveLeaderRequest,
    MoveLeaderResponse, Overloaded, ProposeRequest, ProposeResponse, ProposeStreamRequest,
    ProposeStreamResponse, ReadRequest, ReadResponse, RegisterRequest, RegisterResponse,
    SaveSnapshotRequest, SaveSnapshotResponse, StatusRequest, StatusResponse, Unavailable,
    WatchRequest, WatchResponse,
};
use futures_util::Stream;
use tokio::net::TcpStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::{PATIENCE, free_addresses};

/// A node with the slots `(base, last]`, which ends every stream behind the last of them.
#[derive(Clone, Debug, Default)]
struct Fake {
    forming: bool,
    /// Says nothing where it is asked for more, as a node does that waits for it.
    waits: bool,
    /// How often it is too busy before it answers.
    busy: Arc<AtomicUsize>,
    base: u64,
    last: u64,
}

fn not_asked<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not asked for here"))
}

type Events = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Admin for Fake {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        if self.forming {
            return Ok(Response::new(StatusResponse::default()));
        }
        Ok(Response::new(StatusResponse {
            cluster: Bytes::from_static(&[7; 16]),
            commit: self.last,
            applied: self.last,
            happy: true,
            ..StatusResponse::default()
        }))
    }

    async fn explain(
        &self,
        _: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        not_asked()
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        not_asked()
    }

    type SaveSnapshotStream = tokio_stream::Empty<Result<SaveSnapshotResponse, Status>>;

    async fn save_snapshot(
        &self,
        _: Request<SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        not_asked()
    }
}

#[tonic::async_trait]
impl Consensus for Fake {
    async fn propose(
        &self,
        _: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        not_asked()
    }

    type ProposeStreamStream = tokio_stream::Empty<Result<ProposeStreamResponse, Status>>;

    async fn propose_stream(
        &self,
        _: Request<Streaming<ProposeStreamRequest>>,
    ) -> Result<Response<Self::ProposeStreamStream>, Status> {
        not_asked()
    }

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        not_asked()
    }

    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        not_asked()
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Events>, Status> {
        let from = request.into_inner().from_slot;
        let decision = |slot| {
            let what = Some(What::Command(DecidedCommand::default()));
            Event::Decision(Decision { slot, what })
        };
        if self.waits && self.last < from {
            return Ok(Response::new(Box::pin(tokio_stream::pending())));
        }
        let busy = |n: usize| n.checked_sub(1);
        let is_busy = self.busy.fetch_update(SeqCst, SeqCst, busy).is_ok();
        let events: Vec<Event> = if is_busy {
            vec![Event::Overloaded(Overloaded { retry_after_ms: 1 })]
        } else if self.forming {
            let reason = "the node does not belong to a cluster yet".to_owned();
            vec![Event::Unavailable(Unavailable { reason })]
        } else if from <= self.base {
            let first_slot = self.base + 1;
            vec![Event::Compacted(Compacted { first_slot })]
        } else {
            (from..=self.last).map(decision).collect()
        };
        let responses = events.into_iter().map(|event| {
            let event = Some(event);
            Ok(WatchResponse { event })
        });
        let responses: Vec<_> = responses.collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(responses))))
    }
}

/// A watch from `from` on of a client that knows these nodes, in this order.
async fn watching(nodes: &[Fake], from: u64) -> Watch {
    let addresses = free_addresses(nodes.len());
    for (address, node) in addresses.iter().zip(nodes) {
        let at: SocketAddr = address.parse().unwrap();
        let server = Server::builder().add_service(AdminServer::new(node.clone()));
        let server = server.add_service(ConsensusServer::new(node.clone()));
        tokio::spawn(server.serve(at));
        let listens = async {
            while TcpStream::connect(at).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.unwrap();
    }
    let options = ClientOptions {
        timeout: Duration::from_millis(500),
        // As of a client that was used before: it knows its cluster, and asks nobody for that.
        cluster: Some(ClusterId::new(u128::from_be_bytes([7; 16]))),
        ..ClientOptions::default()
    };
    Client::connect(addresses, options).watch(Slot::new(from))
}

/// The slots that come until nobody has more.
async fn slots(watch: &mut Watch) -> (Vec<u64>, WatchError) {
    let mut slots = Vec::new();
    loop {
        match watch.next().await {
            Ok(decision) => slots.push(decision.slot.get()),
            Err(error) => return (slots, error),
        }
    }
}

fn node(base: u64, last: u64) -> Fake {
    Fake {
        base,
        last,
        ..Fake::default()
    }
}

fn waiting(base: u64, last: u64) -> Fake {
    Fake {
        waits: true,
        ..node(base, last)
    }
}

fn busy(times: usize, base: u64, last: u64) -> Fake {
    Fake {
        busy: Arc::new(AtomicUsize::new(times)),
        ..node(base, last)
    }
}

fn forming() -> Fake {
    Fake {
        forming: true,
        ..Fake::default()
    }
}

#[tokio::test]
async fn what_one_node_trimmed_is_asked_of_the_others() {
    for nodes in [[node(10, 12), node(3, 12)], [waiting(3, 8), node(10, 12)]] {
        let mut watch = watching(&nodes, 5).await;
        let (slots, error) = slots(&mut watch).await;
        let end = if nodes[0].base == 3 { 8 } else { 12 };
        assert_eq!(slots, (5..=end).collect::<Vec<_>>(), "{nodes:?}");
        if end == 8 {
            // Nobody has slot 9 any more.
            let first = Slot::new(11);
            assert_eq!(error, WatchError::Compacted { first });
        }
    }
}

#[tokio::test]
async fn what_all_have_trimmed_is_gone_but_for_what_one_still_has() {
    let mut watch = watching(&[node(10, 12), node(7, 12), node(20, 30)], 5).await;
    let first = Slot::new(8);
    for _ in 0..2 {
        let error = watch.next().await.unwrap_err();
        assert_eq!(error, WatchError::Compacted { first });
    }
    // Who only lags, and has said how far it is, does not have it either.
    let mut watch = watching(&[node(10, 12), waiting(0, 4)], 5).await;
    let first = Slot::new(11);
    let error = watch.next().await.unwrap_err();
    assert_eq!(error, WatchError::Compacted { first });
}

/// Who does not answer may have it: nobody has said that it is gone.
#[tokio::test]
async fn what_one_node_trimmed_is_not_gone_while_another_does_not_answer() {
    for nodes in [
        [node(10, 12), busy(3, 0, 12), node(10, 12)],
        [busy(3, 0, 12), node(10, 12), busy(1, 10, 12)],
    ] {
        let mut watch = watching(&nodes, 5).await;
        let (slots, _) = slots(&mut watch).await;
        assert_eq!(slots, (5..=12).collect::<Vec<_>>());
    }
    for silent in [busy(usize::MAX, 0, 12), forming()] {
        let mut watch = watching(&[silent, node(10, 12)], 5).await;
        let error = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
        let error = error.unwrap_err();
        assert!(matches!(error, WatchError::Client(_)), "{error}");
    }
}

/// The beginning is the first node's end: whoever goes on behind it goes on from there.
#[tokio::test]
async fn a_watch_from_now_on_leaves_nothing_out_when_its_node_goes() {
    let mut watch = watching(&[node(0, 5), node(0, 9)], 0).await;
    let (slots, _) = slots(&mut watch).await;
    assert_eq!(slots, [6, 7, 8, 9]);
}

/// A node without a log says that its commit is 0: that is nobody's present.
#[tokio::test]
async fn a_watch_from_now_on_does_not_begin_where_a_forming_node_stands() {
    let mut watch = watching(&[forming(), node(0, 9)], 0).await;
    let (slots, _) = slots(&mut watch).await;
    assert_eq!(slots, [] as [u64; 0]);
    assert_eq!(watch.due(), Some(Slot::new(10)));
}
