//! Commands that are sent more than once, over the API as over the wire: executed once.

use bytes::Bytes;
use chil::kv::{KvCommand, KvReply};
use chil::proto::consensus_client::ConsensusClient;
use chil::proto::propose_response::Outcome;
use chil::proto::{ProposeRequest, RegisterRequest, register_response};
use chil::{ClientId, Command, Consistency, ProposeError, Rejection, SessionLimits};
use tonic::transport::Endpoint;

use crate::cluster::Cluster;

fn put(value: &str) -> Bytes {
    let (key, value) = ("key".into(), value.to_owned().into());
    KvCommand::put(key, value).encode()
}

fn command(client: ClientId, seq: u64, ack_floor: u64, value: &str) -> Command {
    Command {
        client,
        seq,
        ack_floor,
        payload: put(value),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_sent_twice_is_executed_once() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let session = leader.register(1).await.unwrap();
    assert_eq!(leader.register(1).await.unwrap(), session);
    assert_ne!(leader.register(2).await.unwrap(), session);
    let first = leader.submit_command(command(session, 1, 0, "a")).await;
    let first = first.unwrap();
    let second = leader.submit_command(command(session, 2, 0, "b")).await;
    let again = leader.submit_command(command(session, 1, 0, "a")).await;
    assert_eq!(again, Ok(first.clone()));
    let value = leader.read("key", Consistency::Linearizable).await.unwrap();
    assert_eq!(value.unwrap().value, "b");
    let Ok(KvReply::Written { previous, .. }) = KvReply::decode(&second.unwrap().reply) else {
        panic!("a write is answered as one");
    };
    assert_eq!(previous.map(|stamp| stamp.version), Some(first.slot.get()));
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_rules_of_a_session_is_told_apart() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let session = leader.register(1).await.unwrap();
    let submit = |command| leader.submit_command(command);
    submit(command(session, 1, 0, "a")).await.unwrap();
    submit(command(session, 2, 1, "b")).await.unwrap();
    let stale = submit(command(session, 1, 1, "a")).await;
    assert_eq!(stale, Err(ProposeError::StaleSeq));
    let reused = submit(command(session, 2, 1, "other")).await;
    assert_eq!(reused, Err(ProposeError::Rejected(Rejection::Reused)));
    let beyond = submit(command(session, 2 + SessionLimits::WINDOW, 1, "c")).await;
    assert_eq!(beyond, Err(ProposeError::Rejected(Rejection::BeyondWindow)));
    let expired = submit(command(ClientId::new(999_999), 1, 0, "d")).await;
    assert_eq!(expired, Err(ProposeError::SessionExpired));
    let value = leader.read("key", Consistency::Linearizable).await.unwrap();
    assert_eq!(value.unwrap().value, "b", "none of them was executed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_the_wire() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let address = format!("http://{}", leader.local_addr());
    let channel = Endpoint::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = ConsensusClient::new(channel);
    let register = |nonce: &'static [u8]| RegisterRequest {
        nonce: Bytes::from_static(nonce),
        cluster: Bytes::new(),
    };
    let refused = client.register(register(b"short")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = client.register(register(&[7; 16])).await.unwrap();
        match response.into_inner().outcome.unwrap() {
            register_response::Outcome::Registered(registered) => ids.push(registered.client),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids[0], ids[1], "the same nonce opens one session");
    let propose = |seq, payload| ProposeRequest {
        client: ids[0],
        seq,
        ack_floor: 0,
        payload,
        cluster: Bytes::new(),
    };
    let mut slots = Vec::new();
    for _ in 0..2 {
        let response = client.propose(propose(1, put("a"))).await.unwrap();
        match response.into_inner().outcome.unwrap() {
            Outcome::Committed(committed) => slots.push(committed.slot),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(slots[0], slots[1]);
    let response = client.propose(propose(1, put("other"))).await.unwrap();
    let outcome = response.into_inner().outcome.unwrap();
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}
