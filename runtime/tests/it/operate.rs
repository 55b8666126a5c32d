//! What operators ask for when answers get lost on the way: nothing is done twice.
//! Knows nothing about clusters: the nodes here only answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chil::client::{Client, ClientError, ClientOptions};
use chil::proto::admin_server::{Admin, AdminServer};
use chil::proto::move_leader_response::Outcome;
use chil::proto::{
    ExplainRequest, ExplainResponse, MemberStatus, MoveFailed, MoveFailure, MoveLeaderRequest,
    MoveLeaderResponse, Moved, NotLeader, OutcomeUnknown, SaveSnapshotRequest,
    SaveSnapshotResponse, StatusRequest, StatusResponse, Unavailable,
};
use tokio::net::TcpStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::cluster::{PATIENCE, free_addresses};

/// How a node answers when it is asked to hand over.
#[derive(Clone, Debug)]
enum Answer {
    Lost,
    Stopped,
    Never,
    Moved,
    Unclear,
    NoLeader,
    Busy,
}

/// A node that answers as it is told to, and counts how often it was asked to hand over.
#[derive(Clone, Debug)]
struct Fake {
    answer: Answer,
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse {
            cluster: Bytes::from_static(&[7; 16]),
            ..StatusResponse::default()
        }))
    }

    async fn explain(
        &self,
        _: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let outcome = match self.answer {
            Answer::Lost => return Err(Status::unavailable("the connection broke")),
            Answer::Never => std::future::pending().await,
            Answer::Stopped => Outcome::Unavailable(Unavailable {
                reason: "the node has stopped".to_owned(),
            }),
            Answer::Moved => Outcome::Moved(Moved {
                leader: Some(MemberStatus::default()),
            }),
            Answer::Unclear => Outcome::Unknown(OutcomeUnknown {
                reason: "it had begun".to_owned(),
            }),
            Answer::NoLeader => Outcome::NotLeader(NotLeader::default()),
            Answer::Busy => Outcome::Failed(MoveFailed {
                failure: MoveFailure::Busy.into(),
                reason: "another transfer is under way".to_owned(),
            }),
        };
        let outcome = Some(outcome);
        Ok(Response::new(MoveLeaderResponse { outcome }))
    }

    type SaveSnapshotStream = tokio_stream::Empty<Result<SaveSnapshotResponse, Status>>;

    async fn save_snapshot(
        &self,
        _: Request<SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

/// A node that listens.
async fn serve(address: &str, answer: Answer, asked: &Arc<AtomicUsize>) {
    let asked = Arc::clone(asked);
    let fake = AdminServer::new(Fake { answer, asked });
    let at: SocketAddr = address.parse().unwrap();
    tokio::spawn(Server::builder().add_service(fake).serve(at));
    let listens = async {
        while TcpStream::connect(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.unwrap();
}

/// Two nodes, the first of which answers so, and a client that asks it first; and how often each
/// was asked to hand over.
async fn asking(first: Answer) -> (Client, [Arc<AtomicUsize>; 2]) {
    asking_two([first, Answer::Moved]).await
}

async fn asking_two(answers: [Answer; 2]) -> (Client, [Arc<AtomicUsize>; 2]) {
    let addresses = free_addresses(2);
    let asked = [Arc::default(), Arc::default()];
    let nodes = addresses.iter().zip(answers).zip(&asked);
    for ((address, answer), asked) in nodes {
        serve(address, answer, asked).await;
    }
    let options = ClientOptions {
        timeout: Duration::from_secs(2),
        ..ClientOptions::default()
    };
    (Client::connect(addresses, options), asked)
}

fn counted(asked: &[Arc<AtomicUsize>; 2]) -> [usize; 2] {
    [0, 1].map(|i| asked[i].load(Ordering::SeqCst))
}

/// Nobody knows whether the leadership has moved: asked again, it might move a second time.
#[tokio::test]
async fn leadership_is_not_moved_again_when_the_answer_is_lost() {
    let unclear = [
        Answer::Lost,
        Answer::Stopped,
        Answer::Never,
        Answer::Unclear,
    ];
    for answer in unclear {
        let (client, asked) = asking(answer.clone()).await;
        let error = client.move_leader(None).await.unwrap_err();
        let ClientError::Unknown { reason } = error else {
            panic!("{answer:?}: {error}");
        };
        assert!(reason.contains("chil status"), "{reason}");
        assert_eq!(counted(&asked), [1, 0], "{answer:?}");
    }
}

/// Asked by name, it is harmless to ask again: at most, whoever shall lead leads already.
#[tokio::test]
async fn leadership_is_moved_by_name_although_an_answer_is_lost() {
    for answer in [Answer::Lost, Answer::Stopped, Answer::Unclear] {
        let (client, asked) = asking(answer).await;
        client.move_leader(Some("node-2")).await.unwrap();
        assert_eq!(counted(&asked), [1, 1]);
    }
}

/// Somebody was asked and may have done it: that nobody is found later does not undo it.
#[tokio::test]
async fn what_may_have_been_done_stays_unknown() {
    for then in [Answer::NoLeader, Answer::Busy] {
        let (client, asked) = asking_two([Answer::Lost, then]).await;
        let error = client.move_leader(Some("node-2")).await.unwrap_err();
        assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
        assert!(counted(&asked)[1] > 0, "the other one is asked, too");
    }
    // Nobody was asked who could have done anything.
    for (answer, rejected) in [(Answer::NoLeader, false), (Answer::Busy, true)] {
        let (client, _) = asking_two([answer.clone(), answer]).await;
        match client.move_leader(Some("node-2")).await.unwrap_err() {
            ClientError::Rejected { .. } => assert!(rejected),
            ClientError::Unavailable { .. } => assert!(!rejected),
            other => panic!("{other}"),
        }
    }
}

/// What was surely not sent is tried elsewhere.
#[tokio::test]
async fn leadership_is_asked_for_elsewhere_where_nobody_listens() {
    let addresses = free_addresses(2);
    let asked: Arc<AtomicUsize> = Arc::default();
    serve(&addresses[1], Answer::Moved, &asked).await;
    let client = Client::connect(addresses, ClientOptions::default());
    client.move_leader(None).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
