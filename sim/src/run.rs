//! One run from its plan to its verdict: the faults, the healing, the audit.
//! Knows nothing about other runs.

mod audit;

use bytes::Bytes;
use chil_core::{Ballot, NodeId, Role, Slot, Status};

use crate::check::only::{self, Only};
use crate::check::{Verdict, Violation, everywhere, found_everywhere, looked, one_leader};
use crate::plan::{Ailment, CrashMode, Left, Plan, Script};
use crate::report::event::What;
use crate::stats::Stats;
use crate::subject::Subject;
use crate::sweep::caught;
use crate::trace::{Mark, Sink};
use crate::world::{Event, World};

/// Rounds after the healing within which one node leads and all others have caught up.
const SETTLE_ROUNDS: u64 = 30;
/// Rounds in which clients then still ask.
const SERVE_ROUNDS: u64 = 6;
/// Rounds after which everything must be answered and equal everywhere.
const REST_ROUNDS: u64 = 8;
/// Rounds within which a handover of leadership has come to its end, good or bad.
const HANDOVER_ROUNDS: u64 = 20;
/// So many handovers in a row are waited for.
const HANDOVERS_MAX: u64 = 4;
/// Operations that clients begin after the healing: fewer than one a round, which a cluster whose
/// window holds a single command on slow disks can still decide.
const OPERATIONS_AFTER: u64 = 30;

/// How a run is watched. Nothing of it changes the run.
pub struct Watch {
    /// How often the replicas' own state is looked into: every so many events.
    pub check_every: u64,
    /// Receives the timeline.
    pub sink: Option<Sink>,
    /// Whether to write down what is drawn while the plan is executed.
    pub script: bool,
    /// Whether the judges see what happens. Without them only the end of a run is judged: for
    /// measuring what they cost.
    pub judged: bool,
    /// The checks that count: a run goes on behind what others find.
    pub only: Only,
}

impl Watch {
    /// Of a run in which only these count.
    pub(crate) fn counting(only: Only) -> Self {
        Self {
            only,
            ..Self::default()
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            check_every: 1,
            sink: None,
            script: false,
            judged: true,
            only: Only::ALL,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Fingerprint of everything that happened.
    pub hash: u64,
    /// The run in numbers.
    pub stats: Stats,
    /// What was violated, if anything; the run ended there.
    pub violation: Option<Violation>,
    /// What then stood in the way of each node that was up, as it says itself: a line a finding.
    pub explained: Vec<String>,
    /// What was drawn while the plan was executed, if that was to be written down: with this as
    /// its script the plan gives the same run.
    pub script: Option<Script>,
    /// The commands that took effect, in order, if things were to be written down.
    pub executed: Vec<(Slot, Bytes)>,
}

/// Executes a plan. A panic of the code under test is passed on: see [`crate::sweep::guarded`].
#[must_use]
pub fn run(subject: &Subject, plan: &Plan, watch: Watch) -> Outcome {
    run_by(subject, plan, watch, World::live)
}

/// Executes a plan, of which `live` is the part that runs code under test.
pub(crate) fn run_by(
    subject: &Subject,
    plan: &Plan,
    watch: Watch,
    live: impl FnOnce(&mut World) -> Verdict,
) -> Outcome {
    let writes = watch.script;
    // What an earlier run of this thread left behind when it panicked.
    let _ = looked::taken();
    let counted = watch.only;
    only::count(counted);
    let mut world = match World::new(plan, subject, watch) {
        Ok(world) => world,
        Err(violation) => {
            return Outcome {
                hash: 0,
                stats: Stats {
                    seeds: 1,
                    ..Stats::default()
                },
                violation: Some(violation).filter(|violation| counted.has(violation.check)),
                ..Outcome::default()
            };
        }
    };
    let violation = live(&mut world).err();
    // What ended the run because it could not go on may not count either.
    let violation = violation.filter(|violation| counted.has(violation.check));
    let mut explained = Vec::new();
    if let Some(violation) = &violation {
        // What has just broken one of its own rules may not be able to say why.
        explained = caught(|| world.explained()).unwrap_or_default();
        if let Some(node) = violation.node {
            // What it became in this event is often what is wrong.
            let _ = caught(|| world.tell_state(node));
        }
        world.tell_violation(violation);
    }
    world.stats.seeds = 1;
    world.stats.overloads = u64::from(plan.workload.overload);
    (world.stats.sessions, world.stats.repeated) = world.judge.sessions();
    world.stats.slots = world.judge.ghost.chosen.last().get();
    world.stats.simulated_ms = world.now / 1_000_000;
    world.stats.coverage.checks.0 = looked::taken();
    let script = writes.then(|| world.script());
    let executed = if writes {
        world.judge.effects()
    } else {
        Vec::new()
    };
    Outcome {
        hash: world.trace.hash(),
        stats: world.stats,
        violation,
        explained,
        script,
        executed,
    }
}

impl World {
    /// What was drawn so far.
    fn script(&mut self) -> Script {
        let (requests, answers) = self.clients.recorded();
        Script {
            requests,
            accidents: self.network.accidents(),
            answers,
        }
    }

    /// What every node that is up says about itself.
    pub(crate) fn explained(&self) -> Vec<String> {
        let called = |id: NodeId| {
            let of = self.nodes.iter().find(|node| node.id == id);
            of.map_or_else(|| id.to_string(), |node| node.name.clone())
        };
        let mut lines = Vec::new();
        for node in &self.nodes {
            let Some(replica) = &node.replica else {
                continue;
            };
            let findings = replica.explain().findings;
            if findings.is_empty() {
                lines.push(format!("{}: nothing stands in the way", node.name));
            }
            for finding in findings {
                lines.push(format!("{}: {}", node.name, finding.text(&called)));
            }
        }
        lines
    }

    pub(crate) fn live_until_healing(&mut self) -> Verdict {
        self.run_until(self.plan.heal_at_us * 1_000)
    }

    pub(crate) fn live(&mut self) -> Verdict {
        self.live_until_healing()?;
        self.heal_and_audit()
    }

    /// Ends all faults at the time for that, which it must be, and judges what comes of it: of a
    /// core alone, where the plan says so, and then perhaps of all.
    pub(crate) fn heal_and_audit(&mut self) -> Verdict {
        self.heal()?;
        self.must_live()?;
        if !self.plan.left.is_empty() {
            self.stats.cores += 1;
            if self.plan.left_return {
                self.bring_back();
                self.must_live()?;
            }
        }
        let found = self.judge.answered_in_order(&mut *self.subject.oracle());
        everywhere("read_is_fresh", found)?;
        self.audit_history()
    }

    /// From now on whoever is not left behind must elect, converge and serve.
    fn must_live(&mut self) -> Verdict {
        let round = self.plan.cluster.heartbeat_us * 1_000;
        let heal_at = self.now;
        let mut settled_for = 0;
        let settle_rounds = SETTLE_ROUNDS + self.lease_rounds();
        for passed in 1..=settle_rounds {
            self.run_until(heal_at + passed * round)?;
            // Whoever hands its leadership over has healed: that it does so late is not slow.
            let hands_over = settled_for > 0 && self.now < self.handover_ends();
            settled_for = if self.leaders() == 1 || hands_over {
                settled_for + 1
            } else {
                0
            };
        }
        let rounds = settle_rounds - settled_for;
        self.stats.healings += 1;
        self.stats.heal_rounds_sum += rounds;
        self.stats.heal_rounds_max = self.stats.heal_rounds_max.max(rounds);
        let share = rounds * 1_000 / settle_rounds;
        self.stats.heal_share_max = self.stats.heal_share_max.max(share);
        self.let_hand_over()?;
        let (before, since) = (self.settled()?, self.now);
        let served = since + SERVE_ROUNDS * round;
        self.run_until(served)?;
        self.clients.close();
        if self.is_crowded() {
            self.hang_up()?;
        }
        let rest = REST_ROUNDS + self.overtaking_rounds();
        self.run_until(served + rest * round)?;
        self.let_hand_over()?;
        self.audit(&before, since)
    }

    /// Rounds in which a new leader decides nothing because the one before may have a lease.
    fn lease_rounds(&self) -> u64 {
        let cluster = &self.plan.cluster;
        let lease = cluster.lease.as_ref();
        lease.map_or(0, |lease| lease.duration_us * 3 / 2 / cluster.heartbeat_us)
    }

    /// Rounds that what is under way may take at worst where messages overtake each other: then one
    /// slot gets through in a round trip (PROTOCOL.md, "Deviations").
    fn overtaking_rounds(&self) -> u64 {
        let (network, workload) = (&self.plan.network, &self.plan.workload);
        if network.in_order {
            return 0;
        }
        let under_way = OPERATIONS_AFTER.min((workload.clients * workload.window) as u64);
        under_way * 2 * network.slowest_us() / self.plan.cluster.heartbeat_us
    }

    /// Whoever hands its leadership over, because somebody else is wanted more, may do so whenever
    /// it thinks fit: what comes of it is waited for.
    fn let_hand_over(&mut self) -> Verdict {
        for _ in 0..HANDOVERS_MAX {
            let ends = self.handover_ends();
            if ends <= self.now {
                break;
            }
            self.run_until(ends)?;
        }
        Ok(())
    }

    /// When the last handover has come to its end; 0 if there was none.
    fn handover_ends(&self) -> u64 {
        let rounds = HANDOVER_ROUNDS + self.lease_rounds();
        match self.handed_over_at {
            0 => 0,
            began => began + rounds * self.plan.cluster.heartbeat_us * 1_000,
        }
    }

    /// Ends all faults: links work, clocks run evenly, and whoever is down starts again, but for
    /// those that the plan takes away for good.
    fn heal(&mut self) -> Verdict {
        self.healing = true;
        self.trace.mix(Mark::Healing, self.now, 0, [0; 4]);
        self.tell_all(|| What::Healing);
        self.network.heal(&self.plan.lasting_cuts());
        for node in 0..self.nodes.len() {
            let state = &mut self.nodes[node];
            state.slow = (0, 0);
            state.slow_hands = (0, 0);
            state.store.disarm();
            state.paused_until = 0;
            let left = self.plan.left_by(node);
            if self.plan.gone.contains(&node) || left == Some(Ailment::Down) {
                self.crash(node, CrashMode::Power, 0)?;
                self.nodes[node].life += 1;
            } else {
                self.start_if_down(node);
            }
            if let Some(by) = left {
                self.leave(node, by);
            }
        }
        for operation in self.clients.trying() {
            self.give_up(operation)?;
        }
        self.clients_go_on();
        Ok(())
    }

    fn start_if_down(&mut self, node: usize) {
        let state = &self.nodes[node];
        if state.replica.is_none() && state.forming.is_none() {
            let life = state.life;
            self.schedule(self.now, Event::Start { node, life });
        }
    }

    /// A node is left behind: nothing of what it suffers from ends, and no client finds it.
    fn leave(&mut self, node: usize, by: Ailment) {
        self.stats.left[by as usize] += 1;
        if by == Ailment::Paused {
            self.nodes[node].paused_until = u64::MAX;
        }
        self.orphaned(node);
        self.tell(node, || What::Note {
            text: format!("stays behind: {}", Ailment::NAMES[by as usize]),
        });
    }

    /// Whoever was left behind is healed as well.
    fn bring_back(&mut self) {
        let left = std::mem::take(&mut self.plan.left);
        self.network.heal(&self.plan.lasting_cuts());
        for Left { node, .. } in left {
            self.tell(node, || What::Note {
                text: "is brought back".to_owned(),
            });
            self.nodes[node].paused_until = 0;
            self.start_if_down(node);
        }
        for event in std::mem::take(&mut self.parked) {
            self.schedule(self.now, event);
        }
        self.clients_go_on();
    }

    /// Clients ask for some more, at a pace that any cluster can keep.
    fn clients_go_on(&mut self) {
        let span = (SETTLE_ROUNDS + self.lease_rounds() + SERVE_ROUNDS)
            * self.plan.cluster.heartbeat_us
            * 1_000;
        self.clients.refill(OPERATIONS_AFTER, span);
        self.wake_clients();
    }

    fn statuses(&self) -> Vec<(usize, Status)> {
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.filter(|(node, _)| !self.is_left(*node));
        nodes
            .filter_map(|(node, state)| Some((node, state.replica.as_ref()?.status())))
            .collect()
    }

    /// Whether a node is outside of the core that must live without it now.
    pub(crate) fn is_left(&self, node: usize) -> bool {
        self.healing && self.plan.left_by(node).is_some()
    }

    fn leaders(&self) -> usize {
        let statuses = self.statuses();
        let leading = statuses.iter().filter(|(_, s)| s.role == Role::Leading);
        leading.count()
    }

    /// By now all must be well. Returns what each node has promised and knows to be decided.
    fn settled(&self) -> Result<Vec<(usize, Ballot, Slot)>, Violation> {
        let statuses = self.statuses();
        self.leader(&statuses)?;
        Ok(statuses
            .iter()
            .map(|(node, status)| (*node, status.promised, status.commit))
            .collect())
    }

    /// The one node that leads, which must be able to; nobody if that is not asked.
    fn leader(&self, statuses: &[(usize, Status)]) -> Result<Option<usize>, Violation> {
        let Some(leader) = found_everywhere("one_leader", one_leader::check(statuses))? else {
            return Ok(None);
        };
        let linked = |a, b| self.plan.linked_at_the_end(a, b);
        let weights = &self.plan.cluster.weights;
        let found = one_leader::check_connected(leader, weights, linked);
        everywhere("one_leader", found)?;
        Ok(Some(leader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ClockPlan, ClusterPlan};
    use crate::sweep::guarded;

    /// Three nodes of which the last is wanted most, on a network so slow that it takes a round
    /// until somebody else leads.
    fn plan(seed: u64) -> Plan {
        let mut plan = crate::swarm::plan(1);
        plan.seed = seed;
        plan.cluster = ClusterPlan {
            priorities: vec![0, 0, 1],
            ..ClusterPlan::default()
        };
        let clock = ClockPlan {
            offset_us: 0,
            drift_ppm: 0,
        };
        plan.clocks = vec![clock; 3];
        plan.network.latency_min_us = plan.cluster.heartbeat_us / 5;
        plan.network.latency_max_us = plan.network.latency_min_us;
        (plan.network.loss_ppm, plan.network.straggle_ppm) = (0, 0);
        plan.network.routes.clear();
        plan.faults.clear();
        plan.scars.clear();
        plan.gone.clear();
        plan.left.clear();
        plan.heal_at_us = plan.cluster.heartbeat_us;
        plan
    }

    #[test]
    fn a_handover_is_no_part_of_healing() {
        let (mut handovers, mut slowest) = (0, 0);
        for seed in 0..12 {
            let outcome = guarded(&Subject::key_value(), &plan(seed), Watch::default());
            assert_eq!(outcome.violation, None);
            handovers += outcome.stats.handovers;
            slowest = outcome.stats.heal_rounds_max.max(slowest);
        }
        assert!(handovers > 3, "{handovers} handovers");
        assert!(slowest < 5, "{slowest} rounds");
    }
}
