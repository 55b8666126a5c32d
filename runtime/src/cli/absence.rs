//! `chil bench --away`: how a node that was away for long catches up while the others serve.
//! Knows nothing about why: it measures what clients see, and asks the nodes how far they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chil::client::{Client, ClientOptions};
use chil_proto::v1::{Role, StatusResponse};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::local::LocalCluster;
use super::output::{Latencies, Speed, table};

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    /// Slots that are decided while the node is away.
    pub(super) slots: u64,
    /// Clients that go on writing all the time, each with one request in flight.
    pub(super) clients: u16,
    /// Keys that they write, in all.
    pub(super) keys: u64,
    /// Bytes of each value.
    pub(super) value_bytes: usize,
    /// How long it is measured before and after.
    pub(super) seconds: u16,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    /// Slots decided while the node was away.
    slots_missed: u64,
    /// From the start of its process until it had executed what was decided then.
    catch_up_seconds: f64,
    /// The snapshot that it fetched: its slot, and its length.
    snapshot_slot: u64,
    snapshot_bytes: u64,
    /// Slots behind the snapshot that came as entries until then.
    entries_after: u64,
    /// What the clients saw meanwhile, and before and after it.
    before: Speed,
    meanwhile: Speed,
    after: Speed,
    /// The start of another node, which had everything: until it had executed it again.
    restart_seconds: f64,
    /// Slots behind its snapshot that it executed again.
    restart_slots: u64,
    restart_snapshot_bytes: u64,
}

impl Measured {
    pub(super) fn shown(&self) -> String {
        let row = |what: &str, value: String| vec![what.to_owned(), value];
        let speed = |speed: &Speed| {
            format!(
                "{:.0} writes/s, p50 {:.2} ms, p99 {:.2} ms",
                speed.proposals_per_second, speed.p50_ms, speed.p99_ms
            )
        };
        let rows = vec![
            row("slots missed", self.slots_missed.to_string()),
            row("caught up after", format!("{:.2} s", self.catch_up_seconds)),
            row(
                "from a snapshot",
                format!(
                    "of slot {}, {} bytes",
                    self.snapshot_slot, self.snapshot_bytes
                ),
            ),
            row("and entries", format!("of {} slots", self.entries_after)),
            row("clients before", speed(&self.before)),
            row("clients meanwhile", speed(&self.meanwhile)),
            row("clients after", speed(&self.after)),
            row(
                "restart of another",
                format!(
                    "{:.2} s, from a snapshot of {} bytes and {} slots",
                    self.restart_seconds, self.restart_snapshot_bytes, self.restart_slots
                ),
            ),
        ];
        table(&["WHAT", "MEASURED"], &rows)
    }
}

impl Absence {
    /// Measures it with a cluster of three that has just formed.
    pub(super) async fn measure(self, cluster: &mut LocalCluster) -> anyhow::Result<Measured> {
        let client = cluster.client(options());
        client
            .put("begun", "yes")
            .await
            .context("the first write")?;
        let (leader, away, other) = self.roles(cluster, &client).await?;
        let from = status(&client, &leader.1).await?.commit;
        cluster.kill(&away.0).await?;
        let load = Load::start(&self, cluster);
        let missed = until(&client, &leader.1, FILL_MAX, |s| {
            s.commit >= from + self.slots
        })
        .await?;
        let length = Duration::from_secs(self.seconds.into());
        load.during(Phase::Before, length).await;
        let began = Instant::now();
        load.enter(Phase::Meanwhile);
        let decided = status(&client, &leader.1).await?.commit;
        cluster.restart(&away.0).await?;
        let caught = until(&client, &away.1, CATCH_UP_MAX, |s| s.applied >= decided).await?;
        let took = began.elapsed();
        load.during(Phase::After, length).await;
        let [before, meanwhile, after] = load.finish().await?;
        let snapshot = caught.snapshot.context("it caught up without a snapshot")?;
        let last = status(&client, &other.1).await?;
        cluster.kill(&other.0).await?;
        let restarted = Instant::now();
        cluster.restart(&other.0).await?;
        let again = until(&client, &other.1, CATCH_UP_MAX, |s| {
            s.applied >= last.applied
        })
        .await?;
        let restart = restarted.elapsed();
        let own = again
            .snapshot
            .context("a node restarts without a snapshot")?;
        Ok(Measured {
            slots_missed: missed.commit - from,
            catch_up_seconds: took.as_secs_f64(),
            snapshot_slot: snapshot.slot,
            snapshot_bytes: snapshot.bytes,
            entries_after: caught.applied.saturating_sub(snapshot.slot),
            before: Speed::new(&before, length),
            meanwhile: Speed::new(&meanwhile, took),
            after: Speed::new(&after, length),
            restart_seconds: restart.as_secs_f64(),
            restart_slots: last.applied.saturating_sub(own.slot),
            restart_snapshot_bytes: own.bytes,
        })
    }

    /// Name and address of the leader, of the node to take away, and of the third.
    async fn roles(
        &self,
        cluster: &LocalCluster,
        client: &Client,
    ) -> anyhow::Result<(Node, Node, Node)> {
        let mut followers = Vec::new();
        let mut leader = None;
        for node in cluster.nodes() {
            let found = (node.name.clone(), node.address.clone());
            if status(client, &node.address).await?.role() == Role::Leading {
                leader = Some(found);
            } else {
                followers.push(found);
            }
        }
        match (leader, followers.pop(), followers.pop()) {
            (Some(leader), Some(away), Some(other)) => Ok((leader, away, other)),
            _ => anyhow::bail!("nobody leads"),
        }
    }
}

type Node = (String, String);

/// What the clients are doing it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is measured yet.
    Fill,
    /// The node is still away.
    Before,
    /// It catches up.
    Meanwhile,
    /// It has.
    After,
    /// The clients end.
    Over,
}

/// Clients that write for as long as it takes.
struct Load {
    phase: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<[Latencies; 3]>>>,
}

impl Load {
    fn start(absence: &Absence, cluster: &LocalCluster) -> Self {
        let phase = Arc::new(AtomicUsize::new(Phase::Fill as usize));
        let client = cluster.client(options());
        let value = Bytes::from(vec![b'x'; absence.value_bytes]);
        let each = (absence.keys / u64::from(absence.clients)).max(1);
        let tasks = (0..absence.clients)
            .map(|number| {
                let (client, value, phase) = (client.clone(), value.clone(), Arc::clone(&phase));
                tokio::spawn(write(client, number, each, value, phase))
            })
            .collect();
        Self { phase, tasks }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::Relaxed);
    }

    async fn during(&self, phase: Phase, length: Duration) {
        self.enter(phase);
        sleep(length).await;
    }

    async fn finish(self) -> anyhow::Result<[Latencies; 3]> {
        self.enter(Phase::Over);
        let mut all = [Latencies::new(), Latencies::new(), Latencies::new()];
        for one in try_join_all(self.tasks).await? {
            for (all, one) in all.iter_mut().zip(&one?) {
                all.add(one);
            }
        }
        Ok(all)
    }
}

/// One client: one write after the other, each counted for the phase in which it was sent.
async fn write(
    client: Client,
    number: u16,
    keys: u64,
    value: Bytes,
    phase: Arc<AtomicUsize>,
) -> anyhow::Result<[Latencies; 3]> {
    let mut latencies = [Latencies::new(), Latencies::new(), Latencies::new()];
    for round in 0_u64.. {
        let now = phase.load(Ordering::Relaxed);
        if now == Phase::Over as usize {
            break;
        }
        let sent = Instant::now();
        let key = format!("bench-{number}-{}", round % keys);
        let written = client.put(key, value.clone()).await;
        written.with_context(|| format!("client {number}"))?;
        if let Some(of_phase) = now.checked_sub(1).and_then(|at| latencies.get_mut(at)) {
            of_phase.record(sent.elapsed());
        }
    }
    Ok(latencies)
}

fn options() -> ClientOptions {
    ClientOptions {
        timeout: TIMEOUT,
        ..ClientOptions::default()
    }
}

async fn status(client: &Client, address: &str) -> anyhow::Result<StatusResponse> {
    Ok(client.status_of(address).await?)
}

/// Asks the node until `done` likes its answer.
async fn until(
    client: &Client,
    address: &str,
    limit: Duration,
    done: impl Fn(&StatusResponse) -> bool,
) -> anyhow::Result<StatusResponse> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = status(client, address).await;
        match answer {
            Ok(status) if done(&status) => return Ok(status),
            Err(error) if deadline <= Instant::now() => return Err(error),
            Ok(status) if deadline <= Instant::now() => anyhow::bail!(
                "{address} is at slot {} after {} s",
                status.applied,
                limit.as_secs()
            ),
            Ok(_) | Err(_) => sleep(POLL).await,
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(60);
const FILL_MAX: Duration = Duration::from_secs(900);
const CATCH_UP_MAX: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);
