//! `chil bench`: how fast a cluster of three real processes decides on this machine.
//! Knows nothing about why: it only measures what clients see.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chil::client::{Client, ClientOptions, Consistency};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::Instant;

use super::absence::{self, Absence};
use super::failure::{Exit, Failure};
use super::flood::{self, Flood};
use super::get::Level;
use super::local::LocalCluster;
use super::output::{Format, Latencies, Speed, table};

/// Measure a cluster of three nodes on this machine, with every write synced to disk.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each client has one request in flight. The files lie in --dir, or else in the system's directory for
temporary files: name a directory on the disk that you want to measure.

Examples:
  chil bench
  chil bench --clients 1,16,256 --seconds 10 --dir ./bench --json
  chil bench --no-sessions
  chil bench --read-consistency linearizable
  chil bench --away 1000000 --clients 64
  chil bench --flood 16 --limit 2000
  chil bench --flood 64 --limit 500 --factor 20 --seconds 20 --json

With --flood, clients with a certificate each ask the leader for many times of what it lets in, half
of it the greedy one among them, whatever they are told. Polite clients ask below their share all the
time. Before and after the flood, the others ask for most of what is let in: that is the usual load.
The clients run on this machine, too: what they take of its processors the nodes do not have. Ends with
code 1 if the flood costs the leader its leadership.")]
pub(crate) struct Arguments {
    /// How many clients, one measurement each.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,64,256",
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    clients: Vec<u16>,
    /// Length of each measurement, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// Bytes of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_bytes: usize,
    /// Propose without sessions: a write is then at least once where its answer is lost.
    #[arg(long, conflicts_with = "read_consistency")]
    no_sessions: bool,
    /// Measure reads of this consistency instead of writes.
    #[arg(long, value_enum, value_name = "LEVEL")]
    read_consistency: Option<Level>,
    /// Measure how a node catches up that was away while so many slots were decided, under the
    /// load of the last number of clients, and how long a restart takes then.
    #[arg(long, value_name = "SLOTS", conflicts_with_all = ["read_consistency", "no_sessions"])]
    away: Option<u64>,
    /// With --away: how many keys are written in all.
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "away")]
    keys: u64,
    /// Measure what polite clients notice of a flood by so many others.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=800),
          conflicts_with_all = ["clients", "away", "read_consistency", "no_sessions", "connections",
                                "no_tls"])]
    flood: Option<u16>,
    /// With --flood: how many requests a second each node lets in.
    #[arg(long, value_name = "R", default_value_t = 2_000, requires = "flood",
          value_parser = clap::value_parser!(u32).range(10..))]
    limit: u32,
    /// With --flood: how many times of that is asked for.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "flood",
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    factor: u16,
    /// Over how many connections the clients are spread.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Do without TLS, to see what it costs.
    #[arg(long)]
    no_tls: bool,
    /// Keep the nodes' files in this new or empty directory, and leave them there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One measurement.
#[derive(Debug, Serialize)]
struct Measured {
    clients: u16,
    value_bytes: usize,
    #[serde(flatten)]
    kind: Kind,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Kind {
    Writes(Speed),
    Reads {
        read_consistency: Level,
        reads: u64,
        reads_per_second: f64,
        p50_ms: f64,
        p99_ms: f64,
    },
}

/// Runs `chil bench`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(anyhow::anyhow!("interrupted").into())
        }
        measured = flood(&arguments), if arguments.flood.is_some() => {
            let measured = measured?;
            format.print(&measured, |measured| measured.shown())?;
            Ok(if measured.leadership_changed() { Exit::Failure } else { Exit::Ok })
        }
        measured = bench(&arguments), if arguments.away.is_none() && arguments.flood.is_none() => {
            format.print(&measured?, |measured| shown(measured))?;
            Ok(Exit::Ok)
        }
        measured = absence(&arguments), if arguments.away.is_some() => {
            format.print(&measured?, |measured| measured.shown())?;
            Ok(Exit::Ok)
        }
    }
}

async fn bench(arguments: &Arguments) -> anyhow::Result<Vec<Measured>> {
    let cluster =
        LocalCluster::start(NODES, arguments.dir.as_deref(), false, !arguments.no_tls).await?;
    match measure_all(arguments, &cluster).await {
        Ok(measured) => Ok(measured),
        Err(error) => Err(cluster.explain(error)),
    }
}

async fn flood(arguments: &Arguments) -> anyhow::Result<flood::Measured> {
    let flood = Flood {
        clients: arguments.flood.unwrap_or(1),
        limit: arguments.limit,
        factor: arguments.factor,
        value_bytes: arguments.value_bytes,
        seconds: arguments.seconds,
    };
    let (dir, settings) = (arguments.dir.as_deref(), flood.settings());
    let cluster = LocalCluster::start_with(NODES, dir, false, true, &settings).await?;
    match flood.measure(&cluster).await {
        Ok(measured) => Ok(measured),
        Err(error) => Err(cluster.explain(error)),
    }
}

async fn absence(arguments: &Arguments) -> anyhow::Result<absence::Measured> {
    let absence = Absence {
        slots: arguments.away.unwrap_or_default(),
        clients: arguments.clients.last().copied().unwrap_or(1),
        keys: arguments.keys,
        value_bytes: arguments.value_bytes,
        seconds: arguments.seconds,
    };
    let mut cluster =
        LocalCluster::start(NODES, arguments.dir.as_deref(), false, !arguments.no_tls).await?;
    match absence.measure(&mut cluster).await {
        Ok(measured) => Ok(measured),
        Err(error) => Err(cluster.explain(error)),
    }
}

async fn measure_all(
    arguments: &Arguments,
    cluster: &LocalCluster,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for &clients in &arguments.clients {
        let connections: Vec<Client> = (0..arguments.connections)
            .map(|_| {
                let options = ClientOptions {
                    timeout: TIMEOUT,
                    exactly_once: !arguments.no_sessions,
                    ..ClientOptions::default()
                };
                cluster.client(options)
            })
            .collect();
        let speed = measure(arguments, &connections, clients).await?;
        let kind = match arguments.read_consistency {
            None => Kind::Writes(speed),
            Some(read_consistency) => Kind::Reads {
                read_consistency,
                reads: speed.proposals,
                reads_per_second: speed.proposals_per_second,
                p50_ms: speed.p50_ms,
                p99_ms: speed.p99_ms,
            },
        };
        measured.push(Measured {
            clients,
            value_bytes: arguments.value_bytes,
            kind,
        });
    }
    Ok(measured)
}

/// Lets `clients` propose or read, first to warm up, then for the time that counts.
async fn measure(
    arguments: &Arguments,
    connections: &[Client],
    clients: u16,
) -> anyhow::Result<Speed> {
    let begin = Instant::now() + WARM_UP;
    let length = Duration::from_secs(arguments.seconds.into());
    let value = Bytes::from(vec![b'x'; arguments.value_bytes]);
    let tasks = (0..clients)
        .zip(connections.iter().cycle())
        .map(|(number, client)| {
            let one = OneClient {
                client: client.clone(),
                number,
                value: value.clone(),
                read: arguments.read_consistency,
            };
            tokio::spawn(one.run(begin, begin + length))
        });
    let mut all = Latencies::new();
    for latencies in try_join_all(tasks.collect::<Vec<_>>()).await? {
        all.add(&latencies?);
    }
    Ok(Speed::new(&all, length))
}

/// One of them.
struct OneClient {
    client: Client,
    number: u16,
    value: Bytes,
    read: Option<Level>,
}

impl OneClient {
    /// One request after the other until `end`; counts what is answered from `begin` on.
    async fn run(self, begin: Instant, end: Instant) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::new();
        if self.read.is_some() {
            // So that there is something to read.
            self.request(0, None).await?;
        }
        for round in 0_u64.. {
            let sent = Instant::now();
            self.request(round, self.read).await?;
            let answered = Instant::now();
            if answered >= end {
                break;
            }
            if answered >= begin {
                latencies.record(answered - sent);
            }
        }
        Ok(latencies)
    }

    async fn request(&self, round: u64, read: Option<Level>) -> anyhow::Result<()> {
        let number = self.number;
        let context = || format!("client {number}");
        match read {
            None => {
                let key = format!("bench-{number}-{}", round % KEYS_EACH);
                let written = self.client.put(key, self.value.clone()).await;
                written.with_context(context)?;
            }
            Some(level) => {
                let key = format!("bench-{number}-0");
                let read = self.client.get_with(key, Consistency::from(level)).await;
                // Stale is allowed to miss it.
                read.with_context(context)?;
            }
        }
        Ok(())
    }
}

fn shown(measured: &[Measured]) -> String {
    let reads = measured
        .iter()
        .any(|one| matches!(one.kind, Kind::Reads { .. }));
    let what = if reads { "READS/S" } else { "PROPOSALS/S" };
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|one| {
            let (rate, p50, p99) = match &one.kind {
                Kind::Writes(speed) => (speed.proposals_per_second, speed.p50_ms, speed.p99_ms),
                Kind::Reads {
                    reads_per_second,
                    p50_ms,
                    p99_ms,
                    ..
                } => (*reads_per_second, *p50_ms, *p99_ms),
            };
            vec![
                one.clients.to_string(),
                format!("{rate:.0}"),
                format!("{p50:.2}"),
                format!("{p99:.2}"),
            ]
        })
        .collect();
    table(&["CLIENTS", what, "P50 MS", "P99 MS"], &rows)
}

const NODES: usize = 3;
/// Connections, caches and the first segments are made before the clock runs.
const WARM_UP: Duration = Duration::from_secs(1);
/// Each client overwrites so many keys of its own.
const KEYS_EACH: u64 = 100;
const TIMEOUT: Duration = Duration::from_secs(30);
