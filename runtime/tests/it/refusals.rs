//! What cannot work is refused, with the reason, and loses nothing.

use std::time::Duration;

use bytes::Bytes;
use chil::client::{Client, ClientError, ClientOptions};
use chil::proto::consensus_client::ConsensusClient;
use chil::proto::{
    Consistency, ProposeRequest, ProposeStreamRequest, ReadRequest, RegisterRequest, WatchRequest,
    propose_response, read_response, register_response, watch_response,
};
use chil::{KeyValue, Node, ProposeError, Rejection, SessionLimits, StartError};

use crate::cluster::{Cluster, free_addresses, name};

fn alone(dir: &tempfile::TempDir) -> chil::NodeBuilder {
    Node::builder("alone")
        .bind("127.0.0.1:0")
        .plaintext()
        .data_dir(dir.path())
        .single_node(true)
}

async fn refused(node: chil::NodeBuilder) -> String {
    let started = node.state_machine(KeyValue::default()).start().await;
    started.expect_err("this cannot work").to_string()
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reason = refused(alone(&dir).bind(&address)).await;
    assert!(
        reason.contains(&address) && reason.contains("in use"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_directory_serves_one_node_at_a_time_and_only_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(&dir)
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    node.wait_for_leader().await.unwrap();
    node.propose("key", "value").await.unwrap();
    let reason = refused(alone(&dir)).await;
    assert!(reason.contains("in use by another process"), "{reason}");
    node.shutdown(Duration::from_secs(5)).await.unwrap();

    let other = Node::builder("other")
        .bind("127.0.0.1:0")
        .plaintext()
        .single_node(true);
    let reason = refused(other.data_dir(dir.path())).await;
    assert!(
        reason.contains("'alone'") && reason.contains("'other'"),
        "{reason}"
    );

    let node = alone(&dir)
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    node.wait_for_leader().await.unwrap();
    let value = node
        .read("key", chil::Consistency::Linearizable)
        .await
        .unwrap();
    assert_eq!(value.unwrap().value, "value");
}

#[tokio::test]
async fn what_the_cluster_was_formed_with_is_not_changed_by_settings() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits {
        sessions_max: 7,
        ..SessionLimits::default()
    };
    let ready = alone(&dir).sessions(limits);
    let node = ready.state_machine(KeyValue::default()).start().await;
    let node = node.unwrap();
    node.wait_for_leader().await.unwrap();
    node.propose("key", "value").await.unwrap();
    node.shutdown(Duration::from_secs(5)).await.unwrap();
    let reason = refused(alone(&dir)).await;
    assert!(
        reason.contains("formed with at most 7 sessions") && reason.contains("65536"),
        "{reason}"
    );
    let ready = alone(&dir).sessions(limits);
    let again = ready.state_machine(KeyValue::default()).start().await;
    again.unwrap().wait_for_leader().await.unwrap();
}

#[tokio::test]
async fn a_cluster_without_room_for_a_session_is_not_formed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits {
        sessions_max: 0,
        ..SessionLimits::default()
    };
    let reason = refused(alone(&dir).sessions(limits)).await;
    assert!(reason.contains("sessions"), "{reason}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "nothing of it is durable: {left:?}");
}

/// A node that is still forming may come to belong to any cluster: what names one is refused, or
/// it would wait for the end of the forming, and be executed in whatever cluster that makes.
#[tokio::test]
async fn what_names_a_cluster_is_refused_while_the_node_forms() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_addresses(2);
    let node = Node::builder("n")
        .bind(&ports[0])
        .plaintext()
        .peers([ports[1].as_str()]);
    let node = node.data_dir(dir.path()).state_machine(KeyValue::default());
    let node = node.start().await.unwrap();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", ports[0]));
    let channel = endpoint.unwrap().connect().await.unwrap();
    let mut client = ConsensusClient::new(channel);
    let cluster = Bytes::from_static(&[7; 16]);
    let propose = |cluster: &Bytes| ProposeRequest {
        cluster: cluster.clone(),
        ..ProposeRequest::default()
    };
    let forming =
        |reason: &str| assert!(reason.contains("does not belong to a cluster"), "{reason}");

    let answer = client.propose(propose(&cluster)).await.unwrap();
    match answer.into_inner().outcome {
        Some(propose_response::Outcome::Unavailable(why)) => forming(&why.reason),
        other => panic!("{other:?}"),
    }
    let request = ProposeStreamRequest {
        id: 5,
        request: Some(propose(&cluster)),
    };
    let stream = client.propose_stream(tokio_stream::iter([request])).await;
    let answer = stream.unwrap().into_inner().message().await.unwrap();
    match answer.unwrap().result.unwrap().outcome {
        Some(propose_response::Outcome::Unavailable(why)) => forming(&why.reason),
        other => panic!("{other:?}"),
    }
    let request = ReadRequest {
        cluster: cluster.clone(),
        ..ReadRequest::default()
    };
    match client.read(request).await.unwrap().into_inner().outcome {
        Some(read_response::Outcome::Unavailable(why)) => forming(&why.reason),
        other => panic!("{other:?}"),
    }
    let request = RegisterRequest {
        nonce: Bytes::from_static(&[1; 16]),
        cluster: cluster.clone(),
    };
    match client.register(request).await.unwrap().into_inner().outcome {
        Some(register_response::Outcome::Unavailable(why)) => forming(&why.reason),
        other => panic!("{other:?}"),
    }
    let from_slot = 0;
    let request = WatchRequest { from_slot, cluster };
    let mut events = client.watch(request).await.unwrap().into_inner();
    match events.message().await.unwrap().unwrap().event {
        Some(watch_response::Event::Unavailable(why)) => forming(&why.reason),
        other => panic!("{other:?}"),
    }
    // Who names none means whichever it finds: that one is told to ask somebody who leads.
    let answer = client.propose(propose(&Bytes::new())).await.unwrap();
    assert!(matches!(
        answer.into_inner().outcome,
        Some(propose_response::Outcome::NotLeader(_))
    ));
    drop(node);
}

#[tokio::test]
async fn settings_that_contradict_themselves_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let no_peers = Node::builder("n")
        .bind("127.0.0.1:0")
        .plaintext()
        .data_dir(dir.path().join("n"));
    let reason = refused(no_peers).await;
    assert!(
        reason.contains("peers") && reason.contains("single_node"),
        "{reason}"
    );

    let ports = free_addresses(2);
    let twice = alone(&dir)
        .bind(&ports[0])
        .plaintext()
        .peers([format!("alone={}", ports[0]), ports[0].clone()]);
    let reason = refused(twice).await;
    assert!(reason.contains("twice"), "{reason}");

    let twice = alone(&dir).peers([ports[1].as_str(), ports[1].as_str()]);
    let reason = refused(twice).await;
    assert!(reason.contains("twice"), "{reason}");

    let reason = refused(alone(&dir).peers(["no-port"])).await;
    assert!(reason.contains("no-port"), "{reason}");

    let reason = refused(
        Node::builder("n")
            .bind("127.0.0.1:0")
            .plaintext()
            .single_node(true),
    )
    .await;
    assert!(reason.contains("data_dir"), "{reason}");

    let nothing_fits = alone(&dir).protocol(|config| config.in_flight_bytes_max = 1);
    let reason = refused(nothing_fits).await;
    assert!(reason.contains("in_flight_bytes_max"), "{reason}");
}

#[tokio::test]
async fn traffic_beyond_this_host_must_be_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let reason = refused(alone(&dir).bind("0.0.0.0:0")).await;
    assert!(reason.contains("insecure"), "{reason}");
    let reason = refused(alone(&dir).peers(["192.0.2.1:7000"])).await;
    assert!(
        reason.contains("192.0.2.1:7000") && reason.contains("insecure"),
        "{reason}"
    );

    let allowed = alone(&dir).bind("0.0.0.0:0").insecure(true);
    let node = allowed
        .state_machine(KeyValue::default())
        .start()
        .await
        .unwrap();
    assert!(node.wait_for_leader().await.is_some());
}

#[tokio::test]
async fn a_value_over_the_limit_is_rejected_and_a_smaller_one_is_not() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader_seen_by(0).await;
    let too_large = cluster
        .node(leader)
        .propose("key", vec![0_u8; (1 << 20) + 1])
        .await;
    assert!(
        matches!(&too_large, Err(ProposeError::Rejected(Rejection::TooLarge { max, .. })) if *max == 1 << 20),
        "{too_large:?}"
    );
    let client = cluster.client();
    let reason = client
        .put("key", vec![0_u8; 1 << 20])
        .await
        .unwrap_err()
        .to_string();
    assert!(reason.contains("1048576"), "{reason}");
    client
        .put("key", vec![0_u8; (1 << 20) - 100])
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_too_large_to_be_read_is_rejected_and_disturbs_nobody() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    client.put("key", "value").await.unwrap();
    for round in 0..3 {
        let others = (0..50).map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.put(format!("{round}-{n}"), "value").await })
        });
        let others: Vec<_> = others.collect();
        let error = client.put("large", vec![0_u8; 3 << 20]).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::Rejected { .. }), "{error:?}");
        assert!(text.contains("at most 1048576 are allowed"), "{text}");
        for other in others {
            other.await.unwrap().unwrap();
        }
    }
    // Without a session nothing is sent twice that may have been executed: what stood behind the
    // large one surely was not, and is.
    let once = Client::connect(
        cluster.addresses.clone(),
        ClientOptions {
            exactly_once: false,
            ..ClientOptions::default()
        },
    );
    once.put("key", "value").await.unwrap();
    let large = once.put("large", vec![0_u8; 3 << 20]);
    let behind = futures_util::future::join_all((0..50).map(|n| once.put(format!("{n}"), "value")));
    let (large, behind) = futures_util::future::join(large, behind).await;
    let large = large.unwrap_err();
    assert!(matches!(large, ClientError::Rejected { .. }), "{large:?}");
    for put in behind {
        put.unwrap();
    }
    let error = client.get("k".repeat(3 << 20)).await.unwrap_err();
    assert!(matches!(error, ClientError::Rejected { .. }), "{error:?}");
}

/// A node that holds a request counts it: who takes its requests back has them held all the same.
#[tokio::test]
async fn a_request_counts_until_it_is_answered_also_when_nobody_waits_for_that() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(&dir).state_machine(KeyValue::default());
    let node = node.start().await.unwrap();
    assert!(node.wait_for_leader().await.is_some());
    let address = format!("http://{}", node.local_addr());
    let endpoint = tonic::transport::Endpoint::from_shared(address);
    let client = ConsensusClient::new(endpoint.unwrap().connect().await.unwrap());
    let read = ReadRequest {
        consistency: Consistency::Stale.into(),
        min_slot: u64::MAX,
        ..ReadRequest::default()
    };
    for _ in 0..8 {
        let mut client = client.clone();
        let asking = client.read(read.clone());
        let asked = tokio::time::timeout(Duration::from_millis(20), asking).await;
        assert!(asked.is_err(), "nobody has executed so much: {asked:?}");
    }
    let under_way = |count: u64| {
        node.metrics().contains(&format!(
            "chil_requests_in_flight{{node=\"alone\"}} {count}\n"
        ))
    };
    assert!(under_way(8), "{}", node.metrics());
    let over = async {
        while !under_way(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let over = tokio::time::timeout(crate::cluster::PATIENCE, over).await;
    assert!(
        over.is_ok(),
        "a read waits for a second: {}",
        node.metrics()
    );
}

#[tokio::test]
async fn a_directory_of_another_cluster_is_refused_by_its_peers() {
    let mut cluster = Cluster::start().await;
    cluster.client().put("key", "value").await.unwrap();
    let follower = (cluster.leader_seen_by(0).await + 1) % 3;
    let node = cluster.node(follower).clone();
    cluster.kill(follower);
    node.shutdown(Duration::from_secs(5)).await.unwrap();
    drop(node);
    // The disk was lost: the name is known, but under another identity.
    std::fs::remove_dir_all(cluster.data_dir(follower)).unwrap();
    let node = cluster
        .describe(follower, KeyValue::default())
        .start()
        .await
        .unwrap();
    let ended = tokio::time::timeout(crate::cluster::PATIENCE, node.join()).await;
    let reason = ended.expect("it is refused").unwrap_err().to_string();
    assert!(reason.contains(&name(follower)), "{reason}");
}

#[tokio::test]
async fn start_errors_are_errors() {
    let error = Node::builder("")
        .state_machine(KeyValue::default())
        .start()
        .await;
    assert!(matches!(
        error,
        Err(StartError::Setting {
            setting: "name",
            ..
        })
    ));
}
