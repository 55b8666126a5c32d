//! The stream of decisions for one watcher: hands on what the node has executed, as fast as its
//! reader reads. Knows nothing about what is decided.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use chil_core::Slot;
use chil_proto::v1;
use chil_proto::v1::decision::What;
use chil_proto::v1::watch_response::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::consensus::{ConsensusService, Misdirected};
use super::outcome::{overloaded, unavailable, wrong_cluster};
use crate::shutdown::Stopped;
use crate::watch::{Decided, Decision, Watch, WatchError};

/// What a watcher is sent.
pub(super) type Decisions = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Decisions handed over and not yet taken by the connection.
const SENDING_MAX: usize = 64;
/// Those who watch one node at a time: each may hold a batch of entries.
pub(crate) const WATCHERS_MAX: usize = 256;
/// What one too many is told to wait.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// The decisions from slot `from` on; 0 is the next one.
pub(super) async fn watch(
    service: &ConsensusService,
    from: u64,
    accepted: Result<(), Misdirected>,
) -> Decisions {
    match accepted {
        Ok(()) => {}
        Err(Misdirected::Other(cluster)) => {
            return only(Event::WrongCluster(wrong_cluster(cluster)));
        }
        Err(Misdirected::Forming) => {
            return only(Event::Unavailable(unavailable(&WatchError::Forming)));
        }
    }
    let Ok(room) = Arc::clone(&service.watchers).try_acquire_owned() else {
        return only(Event::Overloaded(overloaded(RETRY_AFTER)));
    };
    let from = if from == 0 {
        match service.requests.status().await {
            Some(status) => status.applied.next(),
            None => return only(Event::Unavailable(unavailable(&WatchError::Stopped))),
        }
    } else {
        Slot::new(from)
    };
    let (events, sent) = mpsc::channel(SENDING_MAX);
    let watch = Watch::new(service.requests.clone(), from);
    tokio::spawn(follow(watch, service.stopped.clone(), events, room));
    let response = |event| Ok(v1::WatchResponse { event: Some(event) });
    Box::pin(ReceiverStream::new(sent).map(response))
}

/// A stream of one event.
fn only(event: Event) -> Decisions {
    let event = Some(event);
    Box::pin(tokio_stream::once(Ok(v1::WatchResponse { event })))
}

async fn follow(
    mut watch: Watch,
    mut stopped: Stopped,
    events: mpsc::Sender<Event>,
    room: OwnedSemaphorePermit,
) {
    loop {
        // Room first: so a watcher that does not read is not read for, either.
        let Ok(place) = events.reserve().await else {
            break;
        };
        let next = tokio::select! {
            biased;
            next = watch.next() => next,
            () = stopped.at_all() => Err(WatchError::Stopped),
            () = events.closed() => break,
        };
        let (event, last) = match next {
            Ok(decision) => (Event::Decision(decided(decision)), false),
            Err(WatchError::Compacted { first }) => {
                let first_slot = first.get();
                (Event::Compacted(v1::Compacted { first_slot }), true)
            }
            Err(WatchError::Overloaded) => (Event::Overloaded(overloaded(RETRY_AFTER)), true),
            Err(error @ (WatchError::Forming | WatchError::Stopped)) => {
                (Event::Unavailable(unavailable(&error)), true)
            }
        };
        place.send(event);
        if last {
            break;
        }
    }
    drop(room);
}

fn decided(decision: Decision) -> v1::Decision {
    let what = match decision.what {
        Decided::Command {
            client,
            seq,
            payload,
        } => What::Command(v1::DecidedCommand {
            client: client.get(),
            seq,
            payload,
        }),
        Decided::Registration { nonce } => What::Registration(v1::DecidedRegistration {
            nonce: Bytes::copy_from_slice(&nonce.to_be_bytes()),
        }),
    };
    v1::Decision {
        slot: decision.slot.get(),
        what: Some(what),
    }
}
