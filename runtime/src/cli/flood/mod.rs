//! `chil bench --flood`: what clients that keep to their share notice of others that ask for many
//! times of what the nodes let in. Knows nothing about why: it counts what clients are told.

mod asking;
mod crowd;

use std::time::Duration;

use anyhow::{Context, ensure};
use chil::client::{ClientOptions, ClientTls};
use serde::Serialize;
use tokio::time::sleep;

use super::local::LocalCluster;
use super::output::{Latencies, table};
use super::status::NodeView;
use asking::{Counts, Phase, Told};
use crowd::{Crowd, Polite};

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    /// Clients that flood, each with a certificate of its own.
    pub(super) clients: u16,
    /// Requests in a second that each node lets in.
    pub(super) limit: u32,
    /// How many times of that they ask for during the flood.
    pub(super) factor: u16,
    pub(super) value_bytes: usize,
    /// Length of each of the three phases.
    pub(super) seconds: u16,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    limit: u32,
    flood_clients: u16,
    polite_clients: u16,
    before: Stretch,
    during: Stretch,
    after: Stretch,
    /// The slowest percent of what was let in of polite clients: during the flood against before.
    p99_ratio: f64,
    leader_before: Leader,
    leader_after: Leader,
    leadership_changed: bool,
}

/// What clients were told for a while.
#[derive(Debug, Serialize)]
struct Stretch {
    polite: Totals,
    /// Of what was let in of polite clients.
    p50_ms: f64,
    p99_ms: f64,
    /// The greedy one is not among them.
    flood: Totals,
    greedy: Totals,
    asked_per_second: f64,
    admitted_per_second: f64,
    /// Requests of all clients to one that was let in.
    asked_for_one_admitted: f64,
}

/// How often it was which answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    admitted: u64,
    refused: u64,
    failed: u64,
    /// Not sent, because too many others had no answer yet.
    held_back: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Leader {
    name: String,
    ballot: u64,
}

impl Flood {
    /// What the nodes are told for it.
    pub(super) fn settings(self) -> Vec<(&'static str, String)> {
        let connections = u32::from(self.clients) + CONNECTIONS_SPARE;
        vec![
            ("CONSENSUS_REQUESTS_PER_SECOND", self.limit.to_string()),
            ("CONSENSUS_REQUEST_BURST", "100ms".to_owned()),
            // All of them come from one address here.
            ("CONSENSUS_CONNECTIONS_CLIENTS", connections.to_string()),
            ("CONSENSUS_CONNECTIONS_PER_ADDRESS", connections.to_string()),
        ]
    }

    /// Measures it with a cluster of three that has just formed.
    pub(super) async fn measure(self, cluster: &LocalCluster) -> anyhow::Result<Measured> {
        let client = cluster.client(ClientOptions::default());
        let begun = client.put("begun", "yes").await;
        begun.context("the first write")?;
        let leads = |views: &[NodeView]| leader(views).is_some();
        let views = cluster.wait_until(&client, "electing a leader", PATIENCE, leads);
        let view = leader(&views.await?).context("a node leads")?;
        let (address, leader_before) = (view.address.clone(), Leader::of(&view));

        let (polite_clients, each) = self.polite();
        let (polite, crowd) = self.start(cluster, &address).await?;
        let limit = f64::from(self.limit);
        let usual = (limit - each * f64::from(polite_clients)) * USUAL;
        let flood = limit * f64::from(self.factor);

        crowd.ask(Phase::WarmUp, usual);
        polite.ask(Phase::WarmUp);
        sleep(WARM_UP).await;
        for (phase, rate) in [
            (Phase::Before, usual),
            (Phase::During, flood),
            (Phase::After, usual),
        ] {
            crowd.ask(phase, rate);
            polite.ask(phase);
            sleep(self.length()).await;
        }
        let (latencies, polite) = polite.finish().await?;
        let (flood, greedy) = crowd.finish().await?;
        let views = cluster.wait_until(&client, "electing a leader", PATIENCE, leads);
        let leader_after = Leader::of(&leader(&views.await?).context("a node leads")?);
        let stretch = |phase: Phase| {
            let of = |counts: &Counts| Totals::of(counts, phase);
            let latencies = &latencies[phase.index()];
            Stretch::new(
                latencies,
                [of(&polite), of(&flood), of(&greedy)],
                self.length(),
            )
        };
        let [before, during, after] = [Phase::Before, Phase::During, Phase::After].map(stretch);
        ensure!(
            before.polite.admitted > 0 && during.polite.admitted > 0,
            "too little was let in to compare: raise --limit or --seconds"
        );
        Ok(Measured {
            limit: self.limit,
            flood_clients: self.clients,
            polite_clients,
            p99_ratio: during.p99_ms / before.p99_ms.max(1e-3),
            before,
            during,
            after,
            leadership_changed: leader_before != leader_after,
            leader_before,
            leader_after,
        })
    }

    /// Polite clients and the others, connected to `address`.
    async fn start(self, cluster: &LocalCluster, address: &str) -> anyhow::Result<(Polite, Crowd)> {
        let (polite_clients, each) = self.polite();
        let certificates = |kind: &str, count: u16| {
            let names = (1..=count).map(|number| format!("{kind}-{number}"));
            let issued = names.map(|name| cluster.client_tls(&name));
            issued.collect::<anyhow::Result<Vec<ClientTls>>>()
        };
        let value = vec![b'x'; self.value_bytes];
        let polite = certificates("polite", polite_clients)?;
        let polite = Polite::start(address, polite, each, &value).await?;
        let crowd = certificates("flood", self.clients)?;
        let greedy = cluster.client_tls("greedy")?;
        let crowd = Crowd::start(address, crowd, greedy, &value).await?;
        Ok((polite, crowd))
    }

    const fn length(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }

    /// How many polite clients there are, and how often each asks in a second: below the share
    /// that it has when all ask, and together often enough for a slowest percent.
    fn polite(self) -> (u16, f64) {
        let pace = |polite: u16| {
            let askers = u32::from(self.clients) + u32::from(polite) + 1;
            f64::from(self.limit) / f64::from(askers) * BELOW_SHARE
        };
        let enough = (1..POLITE_MAX).find(|n| pace(*n) * f64::from(*n) >= SAMPLES_PER_SECOND);
        let polite = enough.unwrap_or(POLITE_MAX);
        (polite, pace(polite).min(SAMPLES_PER_SECOND))
    }
}

impl Measured {
    /// Whether the flood cost somebody the leadership.
    pub(super) const fn leadership_changed(&self) -> bool {
        self.leadership_changed
    }

    pub(super) fn shown(&self) -> String {
        let rows = [
            ("before", &self.before),
            ("during", &self.during),
            ("after", &self.after),
        ];
        let rows = rows.map(|(name, stretch)| {
            vec![
                name.to_owned(),
                format!("{:.2}", stretch.p50_ms),
                format!("{:.2}", stretch.p99_ms),
                stretch.polite.admitted.to_string(),
                stretch.polite.refused.to_string(),
                format!("{:.0}", stretch.asked_per_second),
                format!("{:.0}", stretch.admitted_per_second),
                format!("{:.1}", stretch.asked_for_one_admitted),
                stretch.greedy.admitted.to_string(),
                (stretch.polite.failed + stretch.flood.failed + stretch.greedy.failed).to_string(),
            ]
        });
        let header = [
            "PHASE",
            "P50 MS",
            "P99 MS",
            "ADMITTED",
            "REFUSED",
            "ALL ASKED/S",
            "ALL ADMITTED/S",
            "RATIO",
            "GREEDY ADMITTED",
            "FAILED",
        ];
        let (before, after) = (&self.leader_before, &self.leader_after);
        let leader = if self.leadership_changed {
            format!(
                "LEADERSHIP CHANGED: from {} (ballot {}) to {} (ballot {})",
                before.name, before.ballot, after.name, after.ballot
            )
        } else {
            format!(
                "{} led all the time (ballot {})",
                before.name, before.ballot
            )
        };
        format!(
            "{}\np99 of {} polite clients during the flood: {:.2} times that before\n{leader}\n",
            table(&header, &rows),
            self.polite_clients,
            self.p99_ratio,
        )
    }
}

impl Stretch {
    fn new(latencies: &Latencies, [polite, flood, greedy]: [Totals; 3], length: Duration) -> Self {
        let all = [polite, flood, greedy];
        let admitted: u64 = all.iter().map(|totals| totals.admitted).sum();
        let asked: u64 = all.iter().map(|totals| totals.asked()).sum();
        let per_second = |count: u64| count as f64 / length.as_secs_f64();
        Self {
            polite,
            p50_ms: latencies.quantile(0.5).as_secs_f64() * 1e3,
            p99_ms: latencies.quantile(0.99).as_secs_f64() * 1e3,
            flood,
            greedy,
            asked_per_second: per_second(asked),
            admitted_per_second: per_second(admitted),
            asked_for_one_admitted: asked as f64 / (admitted as f64).max(1.0),
        }
    }
}

impl Totals {
    fn of(counts: &Counts, phase: Phase) -> Self {
        let of = |told| counts.get(phase, told);
        Self {
            admitted: of(Told::Admitted),
            refused: of(Told::Refused),
            failed: of(Told::Failed),
            held_back: of(Told::HeldBack),
        }
    }

    /// What was held back is asked for as well: only nobody has heard of it.
    const fn asked(&self) -> u64 {
        self.admitted + self.refused + self.failed
    }
}

impl Leader {
    fn of(view: &NodeView) -> Self {
        Self {
            name: view.name.clone(),
            ballot: view.ballot,
        }
    }
}

/// Who leads, if all say the same.
fn leader(views: &[NodeView]) -> Option<NodeView> {
    let leader = views.iter().find(|view| view.leads())?;
    let agreed = views
        .iter()
        .all(|view| view.leader.as_ref() == Some(&leader.name));
    agreed.then(|| leader.clone())
}

/// Polite clients and operators have connections as well.
const CONNECTIONS_SPARE: u32 = 256;
/// What the crowd asks for usually, as a part of what polite clients leave.
const USUAL: f64 = 0.8;
/// What a polite client asks for, as a part of its share.
const BELOW_SHARE: f64 = 0.8;
/// So many requests of polite clients a second are enough, and their clients are at most so many.
const SAMPLES_PER_SECOND: f64 = 100.0;
const POLITE_MAX: u16 = 64;
const WARM_UP: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polite_clients_stay_below_their_share_and_are_enough_to_be_measured() {
        for (clients, limit) in [
            (1, 100),
            (16, 2_000),
            (256, 2_000),
            (256, 20_000),
            (900, 500),
        ] {
            let flood = Flood {
                clients,
                limit,
                factor: 20,
                value_bytes: 1,
                seconds: 1,
            };
            let (polite, each) = flood.polite();
            let askers = f64::from(clients) + f64::from(polite) + 1.0;
            assert!(each < f64::from(limit) / askers, "{clients} {limit}");
            let all = each * f64::from(polite);
            assert!(all <= 2.0 * SAMPLES_PER_SECOND, "{clients} {limit}: {all}");
            assert!(
                all >= SAMPLES_PER_SECOND || polite == POLITE_MAX || limit < 250,
                "{clients} {limit}: {all}"
            );
        }
    }
}
