//! One seed of a scenario: strikes a cluster at work, and measures how it recovers.
//! Knows nothing about what is fast enough.

use bytes::Bytes;
use chil_core::Role;
use chil_core::kv::KvCommand;

use super::Scenario;
use super::layout::{AWAY_ROUNDS, Layout, Span};
use crate::check::Violation;
use crate::dice::{Concern, Dice};
use crate::plan::{
    ClockPlan, ClusterPlan, DiskPlan, NetworkPlan, Plan, SnapshotPlan, WorkloadPlan,
};
use crate::report::event::What;
use crate::run::Watch;
use crate::subject::Subject;
use crate::workload::State;
use crate::world::{Event, World};

/// The length of a heartbeat round.
const ROUND_US: u64 = 100_000;
/// Rounds before the fault strikes, in which the cluster elects a leader and works.
const CALM_ROUNDS: u64 = 20;
/// Rounds for which the fault lasts: those of the longest recovery that is measured, and then a
/// hundred in which nothing may happen but work.
const FAULT_ROUNDS: u64 = RECOVERY_ROUNDS_MAX + QUIET_ROUNDS;
/// A recovery that takes longer counts as none.
const RECOVERY_ROUNDS_MAX: u64 = 30;
/// Rounds after the recovery in which no ballot may begin.
pub(super) const QUIET_ROUNDS: u64 = 100;
/// How often in a round it is looked whether the cluster has recovered.
const LOOKS: u64 = 20;
/// How often in a round a command is proposed once it has.
const PROBES: u64 = 4;

/// How a cluster recovered. All lengths are in thousandths of a heartbeat round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// From the fault until a node leads that works and is connected to a quorum, and a command
    /// proposed to it after the fault is decided; `None` if that took too long.
    pub recovery: Option<u64>,
    /// The longest time, from the fault on, in which nothing was decided.
    pub pause: u64,
    /// Ballots begun in the hundred rounds after the recovery, and, when the leader could have
    /// stayed, those before.
    pub churn: u64,
    /// Commands proposed and decided in those rounds.
    pub decided: u64,
}

/// Runs one seed of a scenario in a cluster of these weights, shuffled. `None` if with this seed a
/// node leads around which the scenario cannot be laid out.
///
/// # Errors
/// Whatever was violated, also in the healing after it.
pub fn measure(
    scenario: &Scenario,
    weights: &[u32],
    seed: u64,
    watch: Watch,
) -> Result<Option<Measured>, Violation> {
    let (plan, mut dice) = plan(scenario, weights, seed);
    let mut world = World::new(&plan, &Subject::key_value(), watch)?;
    let measured = world.strike(scenario, &mut dice);
    if let Err(violation) = &measured {
        world.tell_violation(violation);
        for text in world.explained() {
            world.tell_all(|| What::Note { text });
        }
    }
    measured
}

/// The plan that most scenarios are measured with.
#[cfg(test)]
pub(crate) fn plan_of(weights: &[u32], seed: u64) -> Plan {
    calm(seed, weights, &mut Dice::new(seed, Concern::Plan))
}

/// The plan that a scenario is measured with, and what its fault is drawn from.
pub(super) fn plan(scenario: &Scenario, weights: &[u32], seed: u64) -> (Plan, Dice) {
    let mut dice = Dice::new(seed, Concern::Plan);
    let mut plan = calm(seed, weights, &mut dice);
    scenario.trouble.prepare(&mut plan);
    (plan, dice)
}

/// A cluster that works well, under light load.
fn calm(seed: u64, weights: &[u32], dice: &mut Dice) -> Plan {
    let mut weights = weights.to_vec();
    dice.shuffle(&mut weights);
    let latency_max_us = dice.magnitude(200, ROUND_US / 20);
    let disk_max_us = dice.magnitude(200, ROUND_US / 20);
    let strikes = ROUND_US * CALM_ROUNDS + dice.below(ROUND_US);
    Plan {
        seed,
        clocks: (0..weights.len())
            .map(|_| ClockPlan {
                offset_us: dice.below(1_000_000_000),
                drift_ppm: i32::try_from(dice.below(400)).unwrap_or(0) - 200,
            })
            .collect(),
        cluster: ClusterPlan {
            weights,
            heartbeat_us: ROUND_US,
            ..ClusterPlan::default()
        },
        network: NetworkPlan {
            latency_min_us: latency_max_us / 4,
            latency_max_us,
            in_order: true,
            loss_ppm: 0,
            duplicate_ppm: 0,
            straggle_ppm: 0,
            straggle_max_us: 0,
            codec: false,
            routes: Vec::new(),
            outbox: None,
        },
        disk: DiskPlan {
            files: false,
            segment_bytes: 64 << 10,
            latency_min_us: disk_max_us / 4,
            latency_max_us: disk_max_us,
        },
        workload: WorkloadPlan {
            clients: 2,
            window: 4,
            think_min_us: ROUND_US / 2,
            think_max_us: ROUND_US,
            timeout_us: ROUND_US * 10,
            keys: 4,
            read_ppm: 300_000,
            delete_ppm: 0,
            value_bytes_max: 64,
            operations_max: 1_000_000,
            ..WorkloadPlan::default()
        },
        snapshots: SnapshotPlan::default(),
        faults: Vec::new(),
        scars: Vec::new(),
        gone: Vec::new(),
        left: Vec::new(),
        left_return: false,
        // The fault strikes at any moment of a round.
        heal_at_us: strikes + ROUND_US * FAULT_ROUNDS,
        events_max: 3_000_000,
        script: None,
    }
}

impl World {
    fn strike(
        &mut self,
        scenario: &Scenario,
        dice: &mut Dice,
    ) -> Result<Option<Measured>, Violation> {
        let to_us = self.plan.heal_at_us;
        let span = Span {
            from_us: to_us - ROUND_US * FAULT_ROUNDS,
            to_us,
            round_us: ROUND_US,
        };
        self.run_until((span.from_us - ROUND_US * AWAY_ROUNDS) * 1_000)?;
        let Some(leader) = self.who_leads() else {
            return Ok(None);
        };
        let weights = self.plan.cluster.weights.clone();
        let Some(layout) = Layout::find(scenario, &weights, leader, span, dice) else {
            return Ok(None);
        };
        for fault in &layout.faults {
            let index = self.plan.faults.len();
            self.plan.faults.push(fault.clone());
            self.hit.push(None);
            let begins = true;
            self.schedule(fault.at_us * 1_000, Event::Fault { index, begins });
        }
        // Up to the moment before the fault, and then into it.
        self.run_until(span.from_us * 1_000 - 1)?;
        if self.who_leads() != Some(leader) {
            return Ok(None);
        }
        self.run_until(span.from_us * 1_000)?;
        let measured = self.observe(scenario, &layout)?;
        // With the fault over, the cluster must be as well as at the end of any run.
        self.heal_and_audit()?;
        Ok(Some(measured))
    }

    fn who_leads(&self) -> Option<usize> {
        let leads = |node: &usize| self.leads(*node);
        (0..self.nodes.len()).find(leads)
    }

    fn leads(&self, node: usize) -> bool {
        let replica = self.nodes[node].replica.as_ref();
        replica.is_some_and(|replica| replica.status().role == Role::Leading)
    }

    /// Watches the cluster until the fault is over.
    fn observe(&mut self, scenario: &Scenario, layout: &Layout) -> Result<Measured, Violation> {
        let began = self.now;
        let end = self.plan.heal_at_us * 1_000;
        let round = ROUND_US * 1_000;
        let length = |from: u64, to: u64| (to - from) * 1_000 / round;
        let mut measured = Measured::default();
        let mut ballots = self.stats.ballots;
        let mut decided_at = began;
        let mut probes = Probes::default();
        for look in 0.. {
            // The leader that the fault meets is asked, too: it may not be the one to replace.
            self.probe(layout, &mut probes, look, measured.recovery.is_some());
            let next = end.min(self.now + round / LOOKS);
            self.run_until(next)?;
            let (done, fit) = self.collect(layout, &mut probes);
            if done > 0 {
                measured.pause = measured.pause.max(length(decided_at, self.now));
                decided_at = self.now;
            }
            if measured.recovery.is_some() {
                measured.decided += done;
            } else if fit {
                measured.recovery = Some(length(began, self.now));
                if !scenario.leader_stays {
                    ballots = self.stats.ballots;
                }
            } else if self.now - began > RECOVERY_ROUNDS_MAX * round {
                break;
            }
            if self.now >= end {
                break;
            }
        }
        self.run_until(end)?;
        measured.pause = measured.pause.max(length(decided_at, self.now));
        measured.churn = self.stats.ballots - ballots;
        Ok(measured)
    }

    /// Proposes a command to whoever leads and may decide it.
    fn probe(&mut self, layout: &Layout, probes: &mut Probes, look: u64, recovered: bool) {
        if recovered && !look.is_multiple_of(LOOKS / PROBES) {
            return;
        }
        for node in 0..self.nodes.len() {
            // Before the recovery one at a time: it is asked again when it has failed.
            let waits = !recovered && probes.open.iter().any(|(_, at)| *at == node);
            if !waits && self.leads(node) && layout.may_decide(node) {
                let operation = self.clients.place(node, self.now, probe(probes.sent));
                self.schedule(self.now, Event::Request { operation });
                probes.sent += 1;
                probes.open.push((operation, node));
            }
        }
    }

    /// How many commands were decided since the last look, and whether by a node that is fit.
    fn collect(&self, layout: &Layout, probes: &mut Probes) -> (u64, bool) {
        let (mut done, mut fit) = (0, false);
        probes.open.retain(|(operation, node)| {
            let op = &self.clients.operations[*operation];
            let here = op.node == *node;
            if op.state == State::Done {
                done += 1;
                fit |= here && self.leads(*node) && layout.is_fit(*node);
            }
            here && matches!(op.state, State::Trying | State::Given)
        });
        (done, fit)
    }
}

/// Commands that the measurement has proposed and that are not decided yet, with the node.
#[derive(Debug, Default)]
struct Probes {
    open: Vec<(usize, usize)>,
    sent: u64,
}

/// A command unlike all others.
fn probe(number: u64) -> Bytes {
    let value = Bytes::from(number.to_le_bytes().to_vec());
    KvCommand::put(Bytes::from_static(b"probe"), value).encode()
}
