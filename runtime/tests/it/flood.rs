//! Clients that ask for far more than they get: what they are told, and that nobody else leads.
//! Knows nothing about how requests are let in; connections are another matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chil::kv::KvCommand;
use chil::limits::{AdmissionLimits, Limits, Rate};
use chil::proto::consensus_client::ConsensusClient;
use chil::proto::{ProposeRequest, ProposeStreamRequest, propose_response};
use chil::{NodeBuilder, Span};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::cluster::{Cluster, PATIENCE};

/// Requests that are let in during a second.
const RATE: u64 = 200;
/// How long each half is watched.
const LASTS: Duration = Duration::from_millis(1_500);

fn limited(_: usize, node: NodeBuilder) -> NodeBuilder {
    node.limits(limits())
}

fn limits() -> Limits {
    let requests = Rate {
        per_second: RATE,
        burst: Span::from_millis(100),
    };
    let admission = AdmissionLimits {
        requests,
        ..AdmissionLimits::default()
    };
    Limits {
        admission,
        ..Limits::default()
    }
}

fn put() -> ProposeRequest {
    let command = KvCommand::put(Bytes::from_static(b"key"), Bytes::from_static(b"value"));
    ProposeRequest {
        payload: command.encode(),
        ..ProposeRequest::default()
    }
}

/// Asks once; says how long it took if it was let in, and if not, when to come again.
async fn ask(client: &mut ConsensusClient<Channel>) -> Result<Duration, u64> {
    let began = Instant::now();
    match client.propose(put()).await {
        Ok(answer) => {
            let outcome = answer.into_inner().outcome;
            let is_done = matches!(outcome, Some(propose_response::Outcome::Committed(_)));
            assert!(is_done, "{outcome:?}");
            Ok(began.elapsed())
        }
        Err(status) => {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            let metadata = status.metadata();
            let after = metadata.get("retry-after-ms").expect("it says when");
            assert_eq!(metadata.get("grpc-retry-pushback-ms"), Some(after));
            Err(after.to_str().unwrap().parse().unwrap())
        }
    }
}

async fn connect(address: &str) -> ConsensusClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    ConsensusClient::new(endpoint.connect().await.unwrap())
}

/// Asks at a fixed pace for so long; the latencies of what was let in, sorted.
async fn polite(mut client: ConsensusClient<Channel>, lasts: Duration) -> Vec<Duration> {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let (end, mut took) = (Instant::now() + lasts, Vec::new());
    while Instant::now() < end {
        pace.tick().await;
        took.extend(ask(&mut client).await);
    }
    took.sort_unstable();
    took
}

/// Of a hundred, so many are as fast.
fn share(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_flood_of_requests_is_turned_away_and_costs_nobody_the_leadership() {
    let cluster = Cluster::tuned(limited).await;
    let leader = cluster.leader_seen_by(0).await;
    let address = &cluster.addresses[leader];
    let ballot = async || {
        let status = cluster.node(leader).status().await.unwrap();
        status.replica.unwrap().ballot
    };
    let led = ballot().await;
    let before = polite(connect(address).await, LASTS).await;

    let (admitted, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut flood = Vec::new();
    for _ in 0..8 {
        let client = connect(address).await;
        for _ in 0..4 {
            let (mut client, admitted, refused) =
                (client.clone(), admitted.clone(), refused.clone());
            flood.push(tokio::spawn(async move {
                // Whatever it is told, it asks again at once.
                loop {
                    let counter = match ask(&mut client).await {
                        Ok(_) => &admitted,
                        Err(_) => &refused,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    let began = Instant::now();
    let during = polite(connect(address).await, LASTS).await;
    let lasted = began.elapsed();
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    let (admitted, refused) = (
        admitted.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
    );
    println!(
        "before: {} at p50 {:?}, p99 {:?}; under a flood of {refused} refused and {admitted} let in \
         during {lasted:?}: {} at p50 {:?}, p99 {:?}",
        before.len(),
        share(&before, 50),
        share(&before, 99),
        during.len(),
        share(&during, 50),
        share(&during, 99),
    );
    assert!(!during.is_empty(), "nothing of it gets through");
    assert_eq!(ballot().await, led, "the flood cost the leadership");
    // One burst, and what the rate gives; the connections were opened before time was taken.
    let most = RATE / 10 + RATE * u64::try_from(lasted.as_millis()).unwrap() / 1_000 + RATE;
    assert!(admitted <= most, "{admitted} were let in, not {most}");
    assert!(
        refused > 4 * admitted,
        "{refused} refused, {admitted} let in"
    );
    let metrics = cluster.node(leader).metrics();
    assert!(metrics.contains("reason=\"rate"), "{metrics}");
    gets_through(&cluster, leader).await;
}

/// One client gets so many bytes in a second, and has those of a second saved up.
fn limited_in_bytes(_: usize, node: NodeBuilder) -> NodeBuilder {
    let client_bytes = Rate {
        per_second: 100_000,
        burst: Span::from_millis(1_000),
    };
    let admission = AdmissionLimits {
        client_bytes,
        ..AdmissionLimits::default()
    };
    node.limits(Limits {
        admission,
        ..Limits::default()
    })
}

/// A stream's client that asks again at once when it is refused would spin, if it were told at
/// once. What is let in meanwhile does not wait for that.
#[tokio::test]
async fn a_refusal_in_a_stream_is_told_late_and_holds_up_nothing_else() {
    let cluster = Cluster::tuned(limited_in_bytes).await;
    let leader = cluster.leader_seen_by(0).await;
    let mut client = connect(&cluster.addresses[leader]).await;
    let ask = |id, bytes: usize| {
        let command = KvCommand::put(Bytes::from_static(b"key"), Bytes::from(vec![0; bytes]));
        let payload = command.encode();
        let request = Some(ProposeRequest {
            payload,
            ..ProposeRequest::default()
        });
        ProposeStreamRequest { id, request }
    };
    let asked = tokio_stream::iter([ask(1, 90_000), ask(2, 22_000), ask(3, 10)]);
    let began = Instant::now();
    // The stream's end is not the end of what waits in it.
    let mut answers = client.propose_stream(asked).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let outcome = answer.result.unwrap().outcome.unwrap();
        told.push((answer.id, began.elapsed(), outcome));
    }
    let of = |id| {
        told.iter()
            .find(|(told, ..)| *told == id)
            .expect("answered")
    };
    for admitted in [1, 3] {
        let (_, took, outcome) = of(admitted);
        let is_done = matches!(outcome, propose_response::Outcome::Committed(_));
        assert!(is_done, "{admitted}: {outcome:?}");
        assert!(took < &of(2).1, "{admitted} waited for a refusal: {told:?}");
    }
    let (_, took, outcome) = of(2);
    let propose_response::Outcome::Overloaded(overloaded) = outcome else {
        panic!("{outcome:?}");
    };
    // About 120 ms are missing; the second that asks may have begun some milliseconds later.
    assert!(*took >= Duration::from_millis(40), "told after {took:?}");
    assert!(
        overloaded.retry_after_ms <= 2,
        "{overloaded:?}: it has waited"
    );
}

/// A stream that is not read keeps its refusals: they have a bound for all streams of a client.
#[tokio::test]
async fn refusals_that_nobody_takes_are_not_kept_without_end() {
    let little = |_: usize, node: NodeBuilder| {
        node.limits(Limits {
            receiving_bytes: 1,
            ..limits()
        })
    };
    let cluster = Cluster::tuned(little).await;
    let leader = cluster.leader_seen_by(0).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.addresses[leader]));
    let endpoint = endpoint.unwrap().initial_stream_window_size(1);
    // It ends as a process does, in the middle of everything.
    let asking = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    asking.spawn(async move {
        let mut client = ConsensusClient::new(endpoint.connect().await.unwrap());
        let mut unread = Vec::new();
        for _ in 0..32 {
            let ask = |id| ProposeStreamRequest {
                id,
                request: Some(put()),
            };
            let asked = tokio_stream::iter((0..).map(ask));
            unread.push(client.propose_stream(asked).await.unwrap());
        }
        std::future::pending::<()>().await;
    });
    let refused = "chil_requests_refused_total{";
    let is_bounded = || {
        let metrics = cluster.node(leader).metrics();
        let mut lines = metrics.lines().filter(|line| line.starts_with(refused));
        lines.any(|line| line.contains("reason=\"answers\"") && !line.ends_with(" 0"))
    };
    let began = Instant::now();
    while !is_bounded() {
        assert!(
            began.elapsed() < PATIENCE,
            "{}",
            cluster.node(leader).metrics()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    asking.shutdown_background();
    gets_through(&cluster, leader).await;
}

/// Who keeps to what it is told gets through, and in the end nothing is under way any more.
async fn gets_through(cluster: &Cluster, leader: usize) {
    let client = cluster.client();
    let written = tokio::time::timeout(PATIENCE, client.put("key", "value")).await;
    written.unwrap().unwrap();
    let all_done = "chil_requests_in_flight{node=\"";
    for _ in 0..100 {
        let metrics = cluster.node(leader).metrics();
        let line = metrics
            .lines()
            .find(|line| line.starts_with(all_done))
            .unwrap();
        if line.ends_with(" 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!(
        "what was under way never ended: {}",
        cluster.node(leader).metrics()
    );
}
