//! The `Consensus` service: hands commands and queries to the node's loop, and says in the
//! response what became of them. Knows nothing about what they mean.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chil_core::{ClientId, ClusterId, Command, Slot};
use chil_proto::v1;
use chil_proto::v1::propose_response::Outcome;
use chil_proto::v1::read_response::Outcome as ReadOutcome;
use chil_proto::v1::register_response::Outcome as RegisterOutcome;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::follow::{Decisions, watch};
use super::outcome::{answered, proposed, registered, wrong_cluster};
use crate::apply::{ProposeResult, ReplyTo};
use crate::error::{ProposeError, Rejection};
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
    /// Room for those who watch.
    pub(crate) watchers: Arc<Semaphore>,
}

impl ConsensusService {
    /// This node's cluster, if the request names another one.
    fn misdirected(&self, wanted: &Bytes) -> Option<ClusterId> {
        let cluster = *self.cluster.get()?;
        let mine = wanted.is_empty() || wanted.as_ref() == cluster.get().to_be_bytes();
        (!mine).then_some(cluster)
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
            Some(cluster) => Outcome::WrongCluster(wrong_cluster(cluster)),
            None => proposed(self.requests.submit(command(request)).await),
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
            let outcome = Some(proposed(answer));
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
        if let Some(cluster) = self.misdirected(&request.cluster) {
            let outcome = Some(ReadOutcome::WrongCluster(wrong_cluster(cluster)));
            return Ok(Response::new(v1::ReadResponse { outcome }));
        }
        let consistency = match request.consistency() {
            v1::Consistency::Linearizable => Consistency::Linearizable,
            v1::Consistency::Lease => Consistency::Lease,
            v1::Consistency::Follower => Consistency::Follower,
            v1::Consistency::Stale => Consistency::Stale,
        };
        let min_slot = Slot::new(request.min_slot);
        let answer = self.requests.query(request.query, consistency, min_slot);
        let outcome = Some(answered(answer.await)?);
        Ok(Response::new(v1::ReadResponse { outcome }))
    }

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let request = request.into_inner();
        let nonce = <[u8; 16]>::try_from(request.nonce.as_ref())
            .map_err(|_| Status::invalid_argument("nonce: must be 16 random bytes"))?;
        let outcome = match self.misdirected(&request.cluster) {
            Some(cluster) => RegisterOutcome::WrongCluster(wrong_cluster(cluster)),
            None => registered(self.requests.register(u128::from_be_bytes(nonce)).await),
        };
        let outcome = Some(outcome);
        Ok(Response::new(v1::RegisterResponse { outcome }))
    }

    type WatchStream = Decisions;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let request = request.into_inner();
        let misdirected = self.misdirected(&request.cluster);
        let decisions = watch(self, request.from_slot, misdirected).await;
        Ok(Response::new(decisions))
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
            Some(cluster) => {
                let rejection = Rejection::WrongCluster { cluster };
                reply.send(Err(ProposeError::Rejected(rejection)));
            }
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
