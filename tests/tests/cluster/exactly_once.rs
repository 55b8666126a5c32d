//! Every write takes effect once, however often it is sent, while leaders are killed under load.
//! Knows nothing about sessions: it counts what took effect, and compares that with what was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chil::Slot;
use chil::client::{Client, ClientError, ClientOptions, Decided, Decision};
use chil::kv::{Cond, KvCommand};

use crate::harness::{Cluster, PATIENCE};

const KILLS: usize = 8;
const WRITERS: usize = 4;
const INCREMENTERS: usize = 3;
/// Acknowledgements between two kills: requests are under way at each of them.
const ACKS_BETWEEN: u64 = 60;
const COUNTER: &str = "counter";

#[derive(Debug, Default)]
pub(crate) struct Shared {
    acknowledged: AtomicU64,
    pub(crate) stop: AtomicBool,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(crate) async fn wait_for(&self, more: u64) {
        let target = self.acknowledged.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged.load(Ordering::Relaxed) < target {
            assert!(
                Instant::now() < deadline,
                "nothing is acknowledged any more"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn client(cluster: &Cluster) -> Client {
    let options = ClientOptions {
        timeout: PATIENCE,
        ..ClientOptions::default()
    };
    Client::connect(cluster.addresses(), options)
}

/// Claims one new key after the other. A claim that was executed twice would find its own first
/// execution, and be told that the key was there.
pub(crate) async fn claim(
    client: Client,
    writer: usize,
    shared: Arc<Shared>,
) -> Result<u64, ClientError> {
    let mut claims = 0;
    while shared.goes_on() {
        let key = format!("w{writer}-{claims}");
        let committed = client.put_if(key.clone(), "mine", Cond::Absent).await?;
        assert!(
            committed.applied,
            "{key} was executed twice, or by somebody else"
        );
        claims += 1;
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(claims)
}

/// Adds 1 as often as it can. An increment that took effect but was told to have failed would be
/// made again; one that was told but lost would be missing.
pub(crate) async fn increment(client: Client, shared: Arc<Shared>) -> Result<u64, ClientError> {
    let mut increments = 0;
    while shared.goes_on() {
        let found = client.get(COUNTER).await?;
        let (value, cond) = match &found {
            None => (0, Cond::Absent),
            Some(found) => {
                let text = std::str::from_utf8(&found.value).unwrap();
                (text.parse::<u64>().unwrap(), Cond::VersionEq(found.version))
            }
        };
        let next = (value + 1).to_string();
        if client.put_if(COUNTER, next, cond).await?.applied {
            increments += 1;
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(increments)
}

/// Follows the log from its beginning up to `last`: how often each request stands in it.
async fn follow(client: Client, last: Slot) -> BTreeMap<(u64, u64), Vec<Decision>> {
    let mut requests: BTreeMap<(u64, u64), Vec<Decision>> = BTreeMap::new();
    let mut watch = client.watch(Slot::new(1));
    let mut due = Slot::new(1);
    while due <= last {
        let decision = watch.next().await.unwrap();
        assert_eq!(decision.slot, due, "a slot was left out, or came twice");
        due = due.next();
        if let Decided::Command { client, seq, .. } = &decision.what {
            let name = (client.get(), *seq);
            requests.entry(name).or_default().push(decision);
        }
    }
    requests
}

/// Watches all the time, over every change of leaders: the slots that it was told.
async fn watch_to_the_end(client: Client) -> Vec<Slot> {
    let mut watch = client.watch(Slot::ZERO);
    let mut seen: Vec<Slot> = Vec::new();
    while let Ok(decision) = watch.next().await {
        seen.push(decision.slot);
        if matches!(&decision.what, Decided::Command { payload, .. } if *payload == over()) {
            break;
        }
    }
    seen
}

/// What is there is what was told, no more and no less.
pub(crate) async fn check(judge: &Client, claims: &[u64], increments: u64) {
    let counter = judge.get(COUNTER).await.unwrap().expect("it was written");
    assert_eq!(
        counter.value,
        increments.to_string(),
        "increments were lost or made twice"
    );
    for (writer, claims) in claims.iter().enumerate() {
        let mut keys = 0;
        let mut scan = judge.scan(format!("w{writer}-"), 100, chil::Consistency::Linearizable);
        while let Some(page) = scan.next_page().await.unwrap() {
            keys += page.items.len() as u64;
        }
        assert_eq!(keys, *claims, "claims of writer {writer}");
    }
}

#[tokio::test]
async fn whatever_is_killed_every_write_takes_effect_once() {
    let mut cluster = Cluster::start(3, &["--log", "warn"]);
    let judge = client(&cluster);
    cluster.leader(&judge).await;
    let shared = Arc::new(Shared::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(claim(client(&cluster), writer, Arc::clone(&shared))))
        .collect();
    let incrementers: Vec<_> = (0..INCREMENTERS)
        .map(|_| tokio::spawn(increment(client(&cluster), Arc::clone(&shared))))
        .collect();
    let watching = tokio::spawn(watch_to_the_end(client(&cluster)));

    for _ in 0..KILLS {
        shared.wait_for(ACKS_BETWEEN).await;
        let leader = cluster.leader(&judge).await;
        cluster.nodes[leader].kill();
        shared.wait_for(ACKS_BETWEEN).await;
        cluster.nodes[leader].start();
    }
    shared.stop.store(true, Ordering::Relaxed);
    let mut claims = Vec::new();
    for writer in writers {
        claims.push(writer.await.unwrap().expect("every claim is acknowledged"));
    }
    let mut increments = 0;
    for incrementer in incrementers {
        increments += incrementer
            .await
            .unwrap()
            .expect("every increment is acknowledged");
    }

    check(&judge, &claims, increments).await;

    let last = judge.submit(over()).await.unwrap().slot;
    let seen = tokio::time::timeout(PATIENCE, watching)
        .await
        .unwrap()
        .unwrap();
    let distances = seen.windows(2).map(|pair| pair[1].get() - pair[0].get());
    assert!(
        distances.into_iter().all(|distance| distance == 1),
        "{seen:?}"
    );
    assert_eq!(seen.last(), Some(&last));
    let requests = follow(client(&cluster), last).await;
    let twice = requests.values().filter(|slots| slots.len() > 1).count();
    println!(
        "{} claims and {increments} increments over {KILLS} killed leaders; {twice} requests \
         stand in the log more than once",
        claims.iter().sum::<u64>()
    );
}

/// The last command of the test.
fn over() -> Vec<u8> {
    let command = KvCommand::put("over".into(), "yes".into());
    command.encode().to_vec()
}
