//! The `Consensus` service: hands commands and queries to the node's loop, and says in the
//! response what became of them. Knows nothing about what they mean.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use chil_core::{ClientId, ClusterId, Command};
use chil_proto::v1;
use chil_proto::v1::propose_response::Outcome;
use chil_proto::v1::read_response::Outcome as ReadOutcome;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::apply::{ProposeResult, ReplyTo};
use crate::error::{ProposeError, ReadError, Rejection};
use crate::handle::Consistency;
use crate::request::Requests;
use crate::shutdown::Stopped;

/// Requests of one stream that may be unanswered: beyond that its client is not read from.
const STREAM_WINDOW: usize = 4_096;

/// The service of one node.
#[derive(Clone, Debug)]
pub(crate) struct ConsensusService {
    pub(crate) requests: Requests,
    pub(crate) cluster: Arc<OnceLock<ClusterId>>,
    pub(crate) stopped: Stopped,
}

impl ConsensusService {
    /// Why a request that names the cluster `wanted` is none of this node's.
    fn misdirected(&self, wanted: &Bytes) -> Option<Rejection> {
        let cluster = *self.cluster.get()?;
        let mine = wanted.is_empty() || wanted.as_ref() == cluster.get().to_be_bytes();
        (!mine).then_some(Rejection::WrongCluster { cluster })
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
        let request = request.into_inner();
        let outcome = match self.misdirected(&request.cluster) {
            Some(cluster) => outcome(Err(ProposeError::Rejected(cluster))),
            None => outcome(self.requests.submit(command(request)).await),
        };
        let outcome = Some(outcome);
        Ok(Response::new(v1::ProposeResponse { outcome }))
    }

    type ProposeStreamStream = Answers;

    async fn propose_stream(
        &self,
        request: Request<Streaming<v1::ProposeStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (answers, answered) = mpsc::channel(STREAM_WINDOW);
        tokio::spawn(take_in(self.clone(), request.into_inner(), answers));
        let responses = ReceiverStream::new(answered).map(|(id, answer)| {
            let outcome = Some(outcome(answer));
            let result = Some(v1::ProposeResponse { outcome });
            Ok(v1::ProposeStreamResponse { id, result })
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<v1::ReadResponse>, Status> {
        let request = request.into_inner();
        if self.misdirected(&request.cluster).is_some()
            && let Some(cluster) = self.cluster.get()
        {
            let outcome = Some(ReadOutcome::WrongCluster(wrong_cluster(*cluster)));
            return Ok(Response::new(v1::ReadResponse { outcome }));
        }
        let consistency = match request.consistency() {
            v1::Consistency::Linearizable => Consistency::Linearizable,
            v1::Consistency::Lease => Consistency::Lease,
            v1::Consistency::Follower => Consistency::Follower,
            v1::Consistency::Stale => Consistency::Stale,
        };
        let outcome = match self.requests.query(request.query, consistency).await {
            Ok(answer) => ReadOutcome::Answer(v1::Answer {
                answer: answer.answer,
                applied: answer.applied.get(),
                age_ms: None,
            }),
            Err(ReadError::NotLeader { hint }) => ReadOutcome::NotLeader(not_leader(hint)),
            Err(ReadError::Overloaded { retry_after }) => {
                ReadOutcome::Overloaded(overloaded(retry_after))
            }
            Err(error @ ReadError::Failed(_)) => return Err(Status::internal(error.to_string())),
            Err(error @ ReadError::Stopped) => ReadOutcome::Unavailable(v1::Unavailable {
                reason: error.to_string(),
            }),
        };
        let outcome = Some(outcome);
        Ok(Response::new(v1::ReadResponse { outcome }))
    }

    async fn register(
        &self,
        _request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    type WatchStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not served yet"))
    }
}

/// Reads one stream for as long as its client and the node live. Before a request is taken, room
/// for its answer is kept: so a client that does not read its answers is not read from, either.
async fn take_in(
    service: ConsensusService,
    mut stream: Streaming<v1::ProposeStreamRequest>,
    answers: mpsc::Sender<(u64, ProposeResult)>,
) {
    let mut stopped = service.stopped.clone();
    loop {
        let Ok(room) = answers.clone().reserve_owned().await else {
            return;
        };
        let message = tokio::select! {
            biased;
            message = stream.message() => message,
            // What was taken is still answered: every answer keeps its own room.
            () = stopped.at_all() => return,
            () = answers.closed() => return,
        };
        let (id, request) = match message {
            Ok(Some(v1::ProposeStreamRequest { id, request })) => (id, request),
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "a client's stream broke");
                return;
            }
        };
        let reply = ReplyTo::Stream { id, room };
        let request = request.unwrap_or_default();
        match service.misdirected(&request.cluster) {
            Some(rejection) => reply.send(Err(ProposeError::Rejected(rejection))),
            None => service.requests.propose(command(request), reply).await,
        }
    }
}

fn command(request: v1::ProposeRequest) -> Command {
    Command {
        client: ClientId::new(request.client),
        seq: request.seq,
        ack_floor: request.ack_floor,
        payload: request.payload,
    }
}

fn outcome(result: ProposeResult) -> Outcome {
    match result {
        Ok(executed) => Outcome::Committed(v1::Committed {
            slot: executed.slot.get(),
            reply: executed.reply,
        }),
        Err(ProposeError::NotLeader { hint }) => Outcome::NotLeader(not_leader(hint)),
        Err(ProposeError::Overloaded { retry_after }) => {
            Outcome::Overloaded(overloaded(retry_after))
        }
        Err(ProposeError::Rejected(Rejection::TooLarge { len, max })) => {
            Outcome::TooLarge(v1::TooLarge { len, max })
        }
        Err(ProposeError::Rejected(Rejection::WrongCluster { cluster })) => {
            Outcome::WrongCluster(wrong_cluster(cluster))
        }
        Err(ProposeError::SessionExpired) => Outcome::SessionExpired(v1::SessionExpired {}),
        Err(ProposeError::StaleSeq) => Outcome::StaleSeq(v1::StaleSeq {}),
        Err(ProposeError::Rejected(reason @ (Rejection::BeyondWindow | Rejection::Reused))) => {
            Outcome::Refused(v1::Refused {
                reason: reason.to_string(),
            })
        }
        Err(
            error @ (ProposeError::Unknown | ProposeError::Rejected(Rejection::NotUnderstood(_))),
        ) => Outcome::Unknown(v1::OutcomeUnknown {
            reason: error.to_string(),
        }),
        Err(error @ ProposeError::Stopped) => Outcome::Unavailable(v1::Unavailable {
            reason: error.to_string(),
        }),
    }
}

fn not_leader(hint: Option<String>) -> v1::NotLeader {
    v1::NotLeader {
        name: String::new(),
        address: hint.unwrap_or_default(),
    }
}

fn overloaded(retry_after: Duration) -> v1::Overloaded {
    v1::Overloaded {
        retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
    }
}

fn wrong_cluster(cluster: ClusterId) -> v1::WrongCluster {
    v1::WrongCluster {
        cluster: Bytes::copy_from_slice(&cluster.get().to_be_bytes()),
    }
}
