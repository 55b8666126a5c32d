//! Clients that write and read all the time, whatever happens, and write down what they were told.
//! Knows nothing about faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chil::client::{Client, ClientError, ClientOptions, Committed, Consistency};
use chil::kv::Cond;
use chil_sim::dice::{Concern, Dice};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::history::{Answered, Asked, History, Judged};
use crate::nodes::{Nodes, PATIENCE};

/// Clients that share keys.
const SHARERS: usize = 8;
/// Those of them that wait for so short a time that they often never know what became of a write.
const IMPATIENT: usize = 2;
/// Clients that claim keys of their own.
const CLAIMERS: usize = 2;
/// Keys at a time; after so many operations another one takes a key's place, since a search takes
/// the longer the more there are.
const KEYS: usize = 4;
const OPERATIONS_MAX: u64 = 150;
/// What a client rests after an operation: the machine has other things to do as well.
const REST: Duration = Duration::from_millis(8);

/// What all clients share.
#[derive(Debug)]
struct Shared {
    history: History,
    /// Operations begun on each of the keys, and of which generation it is.
    keys: [AtomicU64; KEYS],
    claims: Mutex<BTreeMap<String, Claim>>,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    unserved: AtomicU64,
    stop: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Acknowledged,
    Unknown,
}

/// The clients of one cluster, at work.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    runtime: Handle,
}

/// What the clients did, in numbers.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) unserved: u64,
    pub(crate) claims: usize,
    pub(crate) judged: Judged,
}

impl Load {
    pub(crate) fn start(nodes: &Nodes, seed: u64, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            history: History::new(),
            keys: Default::default(),
            claims: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let client = |timeout| {
            nodes.client(ClientOptions {
                timeout,
                ..ClientOptions::default()
            })
        };
        let mut tasks = Vec::new();
        for number in 0..SHARERS {
            let timeout = match number < IMPATIENT {
                true => Duration::from_millis(600),
                false => PATIENCE,
            };
            let dice = Dice::of(seed, Concern::Clients, number);
            let work = share(client(timeout), number, dice, Arc::clone(&shared));
            tasks.push(runtime.spawn(work));
        }
        for number in 0..CLAIMERS {
            let work = claim(client(PATIENCE), number, Arc::clone(&shared));
            tasks.push(runtime.spawn(work));
        }
        Self {
            shared,
            tasks,
            runtime: runtime.clone(),
        }
    }

    /// Answers so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets every client finish what it is about, then reads everything that was acknowledged, and
    /// judges it all.
    pub(crate) fn end(self, nodes: &Nodes) -> Result<Told, String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.runtime.block_on(task).unwrap();
        }
        let reader = nodes.client(ClientOptions {
            timeout: PATIENCE,
            ..ClientOptions::default()
        });
        let shared = &self.shared;
        let claims = self.runtime.block_on(async {
            for key in shared.history.keys() {
                let began = shared.history.now();
                let got = reader.get(key.clone()).await.unwrap();
                let got = got.map(|found| (text(&found.value), found.version));
                let got = Answered::Got(got);
                shared.history.record(&key, began, &Asked::Get, Some(&got));
            }
            let told = std::mem::take(&mut *shared.claims.lock().unwrap());
            read_claims(&reader, &told).await
        })?;
        Ok(Told {
            acknowledged: shared.acknowledged.load(Ordering::Relaxed),
            unknown: shared.unknown.load(Ordering::Relaxed),
            unserved: shared.unserved.load(Ordering::Relaxed),
            claims,
            judged: shared.history.judge()?,
        })
    }
}

/// Every claim that was acknowledged is there, and nothing else but what may be. Returns how many.
async fn read_claims(reader: &Client, told: &BTreeMap<String, Claim>) -> Result<usize, String> {
    let mut there = BTreeMap::new();
    let mut scan = reader.scan("claim-", 0, Consistency::Linearizable);
    while let Some(page) = scan.next_page().await.map_err(|error| error.to_string())? {
        for (key, found) in page.items {
            there.insert(text(&key), text(&found.value));
        }
    }
    for (key, claim) in told {
        match there.remove(key) {
            Some(value) if value == value_of(key) => {}
            Some(value) => return Err(format!("{key} has the value '{value}'")),
            None if *claim == Claim::Unknown => {}
            None => return Err(format!("{key} was acknowledged, but is lost")),
        }
    }
    match there.pop_first() {
        None => {
            let acknowledged = told.values().filter(|claim| **claim == Claim::Acknowledged);
            Ok(acknowledged.count())
        }
        Some((key, _)) => Err(format!("{key} is there, but was never written")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value_of(key: &str) -> String {
    format!("value of {key}")
}

/// What to make of a failure: whether the operation may have had an effect.
fn may_have_happened(error: &ClientError, shared: &Shared) -> bool {
    let (count, may) = match error {
        ClientError::Unknown { .. } => (&shared.unknown, true),
        ClientError::Unavailable { .. } => (&shared.unserved, false),
        ClientError::Rejected { .. } | ClientError::OtherCluster { .. } => {
            panic!("no client asked for anything wrong: {error}")
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
    may
}

/// Claims one new key after the other. A claim that was executed twice would find its own first
/// execution, and be told that the key was there.
async fn claim(client: Client, number: usize, shared: Arc<Shared>) {
    for count in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("claim-{number}-{count}");
        let outcome = client
            .put_if(key.clone(), value_of(&key), Cond::Absent)
            .await;
        let claim = match outcome {
            Ok(committed) => {
                assert!(committed.applied, "{key} was executed twice");
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(Claim::Acknowledged)
            }
            Err(error) => may_have_happened(&error, &shared).then_some(Claim::Unknown),
        };
        if let Some(claim) = claim {
            shared.claims.lock().unwrap().insert(key, claim);
        }
        tokio::time::sleep(REST).await;
    }
}

/// Reads and writes keys that others read and write, too.
async fn share(client: Client, number: usize, mut dice: Dice, shared: Arc<Shared>) {
    // What it read last of each key, for conditional writes.
    let mut read: BTreeMap<String, (String, u64)> = BTreeMap::new();
    for count in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let place = dice.index(KEYS);
        let begun = shared.keys[place].fetch_add(1, Ordering::Relaxed);
        let key = format!("key-{place}-{}", begun / OPERATIONS_MAX);
        let fresh = format!("c{number}.{count}");
        let (asked, version) = match (dice.below(10), read.remove(&key)) {
            (0..3, _) => (Asked::Put(fresh), 0),
            (3..6, Some((value, version))) => (Asked::Swap(fresh, value), version),
            (6, _) => (Asked::Delete, 0),
            _ => (Asked::Get, 0),
        };
        let consistency = match dice.below(3) {
            0 => Consistency::Linearizable,
            1 => Consistency::Lease,
            _ => Consistency::Follower,
        };
        let began = shared.history.now();
        match perform(&client, &key, &asked, version, consistency).await {
            Ok(answered) => {
                shared.history.record(&key, began, &asked, Some(&answered));
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                if let Answered::Got(Some(found)) = answered {
                    if read.len() > KEYS {
                        read.clear();
                    }
                    read.insert(key, found);
                }
            }
            Err(error) => {
                let may = may_have_happened(&error, &shared);
                // A read that nobody answered says nothing.
                if may && asked != Asked::Get {
                    shared.history.record(&key, began, &asked, None);
                }
            }
        }
        tokio::time::sleep(REST).await;
    }
}

async fn perform(
    client: &Client,
    key: &str,
    asked: &Asked,
    version: u64,
    consistency: Consistency,
) -> Result<Answered, ClientError> {
    let key = key.to_owned();
    let committed: Committed = match asked {
        Asked::Get => {
            let found = client.get_with(key, consistency).await?;
            let found = found.map(|found| (text(&found.value), found.version));
            return Ok(Answered::Got(found));
        }
        Asked::Put(value) => client.put(key, value.clone()).await?,
        Asked::Swap(value, _) => {
            let cond = Cond::VersionEq(version);
            client.put_if(key, value.clone(), cond).await?
        }
        Asked::Delete => client.delete(key).await?,
    };
    Ok(match committed.applied {
        true => Answered::Written(committed.version, committed.previous),
        false => Answered::Refused,
    })
}
