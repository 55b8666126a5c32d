//! The stream of decisions for one watcher: hands on what the node has executed, as fast as its
//! reader reads. Knows nothing about what is decided.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::Slot;
use chil_proto::v1;
use chil_proto::v1::decision::What;
use chil_proto::v1::watch_response::Event;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::consensus::{ConsensusService, Misdirected};
use super::outcome::{overloaded, unavailable, wrong_cluster};
use super::room::{Held, Room};
use crate::caller::Caller;
use crate::metrics::Metrics;
use crate::shutdown::Stopped;
use crate::watch::{Decided, Decision, Watch, WatchError};

/// What a watcher is sent.
pub(super) type Decisions = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Decisions handed over and not yet taken by the connection, and their bytes: the log may forget
/// them meanwhile. A larger one is handed over alone.
const SENDING_MAX: usize = 64;
const SENDING_BYTES_MAX: u32 = 256 << 10;
/// Those who watch one node at a time, since each may hold a batch of entries: clients, each of
/// whom gets as many as are left for all, and beside them those who look after the cluster.
const WATCHERS_MAX: u64 = 256;
const OPERATORS_MAX: u64 = 16;
/// What one too many is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Who takes nothing for so long, although there is something, watches no more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The places of those who watch. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Watchers {
    clients: Room,
    operators: Room,
}

impl Watchers {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        let room = |most| Room::new("watchers", most, Arc::clone(metrics));
        Self {
            clients: room(WATCHERS_MAX),
            operators: room(OPERATORS_MAX),
        }
    }

    /// A place for one more of this client.
    fn place(&self, caller: Option<&Caller>) -> Option<Held> {
        let one_of = |room: &Room| {
            let mut held = room.held_by(caller);
            held.hold(1).then_some(held)
        };
        let operates = caller.is_some_and(Caller::is_operator);
        one_of(&self.clients).or_else(|| operates.then(|| one_of(&self.operators)).flatten())
    }
}

/// The decisions from slot `from` on; 0 is the next one.
pub(super) async fn watch(
    service: &ConsensusService,
    caller: Option<&Caller>,
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
    let Some(room) = service.watchers.place(caller) else {
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
    let response = |(event, _room)| Ok(v1::WatchResponse { event: Some(event) });
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
    events: mpsc::Sender<(Event, OwnedSemaphorePermit)>,
    watching: Held,
) {
    let bytes = Arc::new(Semaphore::new(SENDING_BYTES_MAX as usize));
    loop {
        // Room first: so a watcher that does not read is not read for, either.
        let place = tokio::select! {
            biased;
            () = stopped.at_once() => break,
            place = timeout(PATIENCE, events.reserve()) => place,
        };
        let Ok(Ok(place)) = place else { break };
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
        let room = Arc::clone(&bytes).acquire_many_owned(bytes_of(&event));
        let room = tokio::select! {
            biased;
            () = events.closed() => break,
            () = stopped.at_once() => break,
            room = timeout(PATIENCE, room) => room,
        };
        let Ok(Ok(room)) = room else { break };
        place.send((event, room));
        if last {
            break;
        }
    }
    drop(watching);
}

/// What an event takes up while it waits.
fn bytes_of(event: &Event) -> u32 {
    let bytes = match event {
        Event::Decision(v1::Decision {
            what: Some(What::Command(command)),
            ..
        }) => command.payload.len(),
        _ => 0,
    };
    u32::try_from(bytes).map_or(SENDING_BYTES_MAX, |bytes| bytes.min(SENDING_BYTES_MAX))
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::identity::{Identity, Kind, Role};

    #[test]
    fn one_client_leaves_places_to_others_and_to_operators() {
        let watchers = Watchers::new(&Arc::new(Metrics::new("n")));
        let caller = |name: &str, role| {
            let mut caller = Caller::unknown(SocketAddr::from(([10, 0, 0, 1], 5)));
            let identity = Identity::new("local", Kind::Client(role), name).unwrap();
            caller.proves(Arc::new(identity));
            caller
        };
        let all_of = |caller: &Caller| -> Vec<Held> {
            std::iter::from_fn(|| watchers.place(Some(caller))).collect()
        };
        let greedy = all_of(&caller("greedy", Role::Read));
        assert_eq!(greedy.len(), 128);
        let mut held: Vec<_> = (0..200)
            .map(|n| all_of(&caller(&format!("client-{n}"), Role::Read)))
            .collect();
        assert!(held.iter().take(5).all(|places| !places.is_empty()));
        let places: usize = held.iter().map(Vec::len).sum();
        assert!(greedy.len() + places <= 256, "{places}");
        let admin = all_of(&caller("admin", Role::Admin));
        assert_eq!(admin.len(), 8, "of those that are kept for operators");
        held.clear();
        assert!(watchers.place(Some(&caller("late", Role::Read))).is_some());
    }
}
