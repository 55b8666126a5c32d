//! The `Consensus` service: hands commands and queries to the node's loop, and says in the
//! response what became of them. Knows nothing about what they mean.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chil_core::{ClientId, ClusterId, Command, Slot};
use chil_proto::v1;
use chil_proto::v1::read_response::Outcome as ReadOutcome;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::follow::{Decisions, Watchers, watch};
use super::guard::{enter, late, no_room, retry_after, unreadable};
use super::outcome::{answered, proposed, registered, unavailable, wrong_cluster};
use super::room::{Held, Room};
use crate::admit::{Admit, Purpose};
use crate::apply::{Counts, ReplyTo, StreamAnswer};
use crate::caller::Caller;
use crate::error::{ProposeError, Rejection};
use crate::handle::Consistency;
use crate::limits::Busy;
use crate::request::Requests;
use crate::shutdown::Stopped;

/// Requests of one stream that may be unanswered: beyond that its client is not read from.
const STREAM_WINDOW: usize = 4_096;
/// Refusals of one stream that wait to be told: who has more of them is not read from, until one
/// has been. So a client that asks again at once gets no further than one that waits.
const STREAM_REFUSED_MAX: usize = 512;

/// The service of one node.
#[derive(Clone, Debug)]
pub(crate) struct ConsensusService {
    pub(crate) requests: Requests,
    pub(crate) admit: Admit,
    pub(crate) cluster: Arc<OnceLock<ClusterId>>,
    pub(crate) stopped: Stopped,
    /// Room for those who watch.
    pub(crate) watchers: Watchers,
    /// Room for answers that are not taken yet.
    pub(crate) answers: Room,
}

/// Why a request is not for this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Misdirected {
    /// It names another cluster than this node's.
    Other(ClusterId),
    /// It names a cluster, and this node is still forming one. Were it let through, it could wait
    /// for the end of that, and be executed in whatever cluster comes of it.
    Forming,
}

impl From<Misdirected> for ProposeError {
    fn from(misdirected: Misdirected) -> Self {
        match misdirected {
            Misdirected::Other(cluster) => Self::Rejected(Rejection::WrongCluster { cluster }),
            Misdirected::Forming => Self::Forming,
        }
    }
}

impl ConsensusService {
    /// Whether a request that names the cluster `wanted`, or none, is for this node.
    fn accepts(&self, wanted: &Bytes) -> Result<(), Misdirected> {
        match self.cluster.get() {
            _ if wanted.is_empty() => Ok(()),
            None => Err(Misdirected::Forming),
            Some(cluster) if wanted.as_ref() == cluster.get().to_be_bytes() => Ok(()),
            Some(cluster) => Err(Misdirected::Other(*cluster)),
        }
    }
}

type Answers =
    std::pin::Pin<Box<dyn Stream<Item = Result<v1::ProposeStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl v1::consensus_server::Consensus for ConsensusService {
    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let bytes = request.get_ref().payload.len();
        let (inside, request) = enter(&self.admit, request, Purpose::Use, bytes).await?;
        let request = request.into_inner();
        let result = match self.accepts(&request.cluster) {
            Ok(()) => self.requests.submit(command(request), Some(inside)).await,
            Err(misdirected) => Err(misdirected.into()),
        };
        let outcome = Some(proposed(result));
        Ok(Response::new(v1::ProposeResponse { outcome }))
    }

    type ProposeStreamStream = Answers;

    async fn propose_stream(
        &self,
        request: Request<Streaming<v1::ProposeStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (answers, answered) = mpsc::channel(STREAM_WINDOW);
        let caller = request.extensions().get::<Caller>().cloned();
        let stream = request.into_inner();
        let (service, (broke, broken)) = (self.clone(), oneshot::channel());
        tokio::spawn(async move {
            if let Err(status) = take_in(service, caller, stream, answers).await {
                // Whoever is gone needs no reason.
                drop(broke.send(status));
            }
        });
        let responses = ReceiverStream::new(answered).map(|answer: StreamAnswer| {
            let StreamAnswer { id, result, counts } = answer;
            let outcome = Some(proposed(result));
            drop(counts);
            let result = Some(v1::ProposeResponse { outcome });
            Ok(v1::ProposeStreamResponse { id, result })
        });
        // Behind the last answer, which may come long after the last request was read.
        let why = futures_util::stream::once(broken);
        let why = why.filter_map(|broken| broken.ok().map(Err));
        Ok(Response::new(Box::pin(responses.chain(why))))
    }

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<v1::ReadResponse>, Status> {
        let bytes = request.get_ref().query.len();
        let (inside, request) = enter(&self.admit, request, Purpose::Use, bytes).await?;
        let mut held = self.answers.held_by(request.extensions().get::<Caller>());
        let request = request.into_inner();
        if let Err(misdirected) = self.accepts(&request.cluster) {
            let outcome = Some(match misdirected {
                Misdirected::Other(cluster) => ReadOutcome::WrongCluster(wrong_cluster(cluster)),
                Misdirected::Forming => {
                    ReadOutcome::Unavailable(unavailable(&ProposeError::Forming))
                }
            });
            return Ok(Response::new(v1::ReadResponse { outcome }));
        }
        let consistency = match request.consistency() {
            v1::Consistency::Linearizable => Consistency::Linearizable,
            v1::Consistency::Lease => Consistency::Lease,
            v1::Consistency::Follower => Consistency::Follower,
            v1::Consistency::Stale => Consistency::Stale,
        };
        let min_slot = Slot::new(request.min_slot);
        let (query, inside) = (request.query, Some(inside));
        let query = self.requests.query(query, consistency, min_slot, inside);
        let answer = query.await;
        // Whoever asks and does not take its answers would have them kept, however many.
        let bytes = answer.as_ref().map_or(0, |answer| answer.answer.len());
        if !held.hold(bytes as u64) {
            return Err(no_room("answers"));
        }
        let outcome = Some(answered(answer)?);
        let mut response = Response::new(v1::ReadResponse { outcome });
        response.extensions_mut().insert(Arc::new(held));
        Ok(response)
    }

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let (inside, request) = enter(&self.admit, request, Purpose::Use, 0).await?;
        let request = request.into_inner();
        let nonce = <[u8; 16]>::try_from(request.nonce.as_ref())
            .map_err(|_| Status::invalid_argument("nonce: must be 16 random bytes"))?;
        let result = match self.accepts(&request.cluster) {
            Ok(()) => {
                let nonce = u128::from_be_bytes(nonce);
                self.requests.register(nonce, Some(inside)).await
            }
            Err(misdirected) => Err(misdirected.into()),
        };
        let outcome = Some(registered(result));
        Ok(Response::new(v1::RegisterResponse { outcome }))
    }

    type WatchStream = Decisions;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Decisions>, Status> {
        // Opening one is a request; for as long as it lasts it has a place of its own.
        let (inside, request) = enter(&self.admit, request, Purpose::Use, 0).await?;
        drop(inside);
        let caller = request.extensions().get::<Caller>().cloned();
        let request = request.into_inner();
        let accepted = self.accepts(&request.cluster);
        let decisions = watch(self, caller.as_ref(), request.from_slot, accepted).await;
        Ok(Response::new(decisions))
    }
}

/// Reads one stream for as long as its client and the node live. Before a request is taken, room
/// for its answer is kept: so a client that does not read its answers is not read from, either.
///
/// # Errors
/// What the stream has to end with, since it cannot be read on.
async fn take_in(
    service: ConsensusService,
    caller: Option<Caller>,
    mut stream: Streaming<v1::ProposeStreamRequest>,
    answers: mpsc::Sender<StreamAnswer>,
) -> Result<(), Status> {
    let mut stopped = service.stopped.clone();
    let refused = Arc::new(Semaphore::new(STREAM_REFUSED_MAX));
    loop {
        let Ok(room) = answers.clone().reserve_owned().await else {
            return Ok(());
        };
        let message = tokio::select! {
            biased;
            message = stream.message() => message,
            // What was taken is still answered: every answer keeps its own room.
            () = stopped.at_all() => return Ok(()),
            () = answers.closed() => return Ok(()),
        };
        let (id, request) = match message {
            Ok(Some(v1::ProposeStreamRequest { id, request })) => (id, request),
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a client's stream broke");
                return Err(unreadable(error, service.requests.value_bytes_max));
            }
        };
        let request = request.unwrap_or_default();
        let bytes = request.payload.len();
        let inside = match service.admit.ask(caller.as_ref(), Purpose::Use, bytes) {
            Ok(inside) => inside,
            Err(busy) => {
                let mut held = service.answers.held_by(caller.as_ref());
                if !held.hold(size_of::<StreamAnswer>() as u64) {
                    return Err(no_room("answers"));
                }
                let answer = (id, room, held);
                refuse(&service.admit, &refused, busy, caller.as_ref(), answer).await;
                continue;
            }
        };
        let reply = ReplyTo::Stream { id, room, inside };
        match service.accepts(&request.cluster) {
            Ok(()) => service.requests.propose(command(request), reply).await,
            Err(misdirected) => reply.send(Err(misdirected.into())),
        }
    }
}

/// What an answer is for, where it goes, and what counts it until it is taken.
type Refused = (u64, mpsc::OwnedPermit<StreamAnswer>, Held);

/// Has a request of a stream told late that it was not let in; what else the stream asks does not
/// wait for it, as long as it is not refused too often.
async fn refuse(
    admit: &Admit,
    refused: &Arc<Semaphore>,
    busy: Busy,
    caller: Option<&Caller>,
    (id, room, held): Refused,
) {
    let refusing = caller.map(Caller::is_refused);
    let tell = move |busy: &Busy| {
        let retry_after = retry_after(busy);
        let answer = StreamAnswer {
            id,
            result: Err(ProposeError::Overloaded { retry_after }),
            counts: Counts::Bytes(held),
        };
        drop(room.send(answer));
    };
    // As for calls that are answered once: too many at a time would be a queue of its own.
    let (Some(place), Ok(own)) = (
        admit.place_to_wait(),
        Arc::clone(refused).acquire_owned().await,
    ) else {
        return tell(&busy);
    };
    tokio::spawn(async move {
        tell(&late(busy).await);
        drop((place, own, refusing));
    });
}

fn command(request: v1::ProposeRequest) -> Command {
    Command {
        client: ClientId::new(request.client),
        seq: request.seq,
        ack_floor: request.ack_floor,
        payload: request.payload,
    }
}
