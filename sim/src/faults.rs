//! What each fault of a plan does to the world, and how it ends.
//! Knows nothing about why a fault was drawn.

mod steps;

use chil_core::{Input, Lane, Role, Token};

use crate::check::{Verdict, Violation};
use crate::plan::{CrashMode, FaultKind, LaneName, Target};
use crate::report::event::What;
use crate::store::StoreFailure;
use crate::trace::Mark;
use crate::world::{Event, World};

impl World {
    /// A fault of the plan begins or ends.
    pub(crate) fn fault(&mut self, index: usize, begins: bool) -> Verdict {
        if self.healing {
            return Ok(());
        }
        self.stats.events += 1;
        let fault = self.plan.faults[index].clone();
        let numbers = [index as u64, u64::from(begins), 0, 0];
        self.trace.mix(Mark::Fault, self.now, 0, numbers);
        if begins {
            self.stats.faults[fault.kind.index()] += 1;
            let end = self.end_of(index);
            if fault.kind.has_end() {
                let begins = false;
                self.schedule(end, Event::Fault { index, begins });
            }
            self.begin_fault(index, &fault.kind, end)
        } else {
            self.end_fault(index, &fault.kind);
            Ok(())
        }
    }

    /// When a fault ends: none outlasts the fault phase.
    fn end_of(&self, index: usize) -> u64 {
        let fault = &self.plan.faults[index];
        let over = self.plan.heal_at_us * 1_000;
        over.min((fault.at_us + fault.for_us) * 1_000)
    }

    fn begin_fault(&mut self, index: usize, kind: &FaultKind, end: u64) -> Verdict {
        let down = end.saturating_sub(self.now);
        let (now, nodes) = (self.now, self.nodes.len());
        self.tell_fault(index, kind, end);
        match kind {
            FaultKind::Crash { node, mode } => {
                let node = self.target(*node);
                self.crash(node, *mode, down)
            }
            FaultKind::Blackout => {
                for node in 0..nodes {
                    let down = self.nodes[node].own_dice.below(down.max(1));
                    self.crash(node, CrashMode::Power, down)?;
                }
                Ok(())
            }
            FaultKind::Absence { node } => {
                let node = self.target(*node);
                self.crash(node, CrashMode::Power, down)
            }
            FaultKind::Transfer { node, to } => self.ask_for_transfer(index, *node, *to),
            FaultKind::CrashInDisk { node, operations } => {
                let node = self.target(*node);
                if !self.nodes[node].store.fail_after(*operations) {
                    self.crash(node, CrashMode::Power, down)?;
                }
                Ok(())
            }
            FaultKind::Cut { .. }
            | FaultKind::CutLanes { .. }
            | FaultKind::Isolate { .. }
            | FaultKind::Clog { .. }
            | FaultKind::Flap { .. }
            | FaultKind::Swizzle { .. } => {
                self.begin_on_links(index, kind, end);
                Ok(())
            }
            FaultKind::SlowDisk { node, extra_us } => {
                let node = self.target(*node);
                self.nodes[node].slow = (*extra_us * 1_000, end);
                Ok(())
            }
            FaultKind::SlowNode { node, handle_us } => {
                let node = self.target(*node);
                self.nodes[node].slow_hands = (*handle_us * 1_000, end);
                Ok(())
            }
            FaultKind::Pause { node } => {
                let node = self.target(*node);
                self.nodes[node].paused_until = end;
                Ok(())
            }
            FaultKind::ClockJump { node } => {
                let node = self.target(*node);
                self.nodes[node].clock.jump(now, down);
                let deadline = self.nodes[node].deadline;
                let state = &self.nodes[node];
                if state.replica.is_some() || state.forming.is_some() {
                    self.arm(node, deadline);
                }
                Ok(())
            }
        }
    }

    /// A fault of links begins.
    fn begin_on_links(&mut self, index: usize, kind: &FaultKind, end: u64) {
        let begins = true;
        match kind {
            FaultKind::Cut { links } => self.bend(links, &Lane::ALL, begins),
            FaultKind::CutLanes { links, lanes } => self.bend(links, &lanes_of(lanes), begins),
            FaultKind::Isolate { node, .. } => {
                self.hit[index] = Some(self.target(*node));
                let links = self.isolated_links(index, kind);
                self.bend(&links, &Lane::ALL, begins);
            }
            FaultKind::Clog { links } => {
                for (from, to) in links {
                    self.network.clog(*from, *to, end);
                }
            }
            _ => self.fault_step(index, 0),
        }
    }

    /// An operator asks a node to hand its leadership over.
    fn ask_for_transfer(&mut self, index: usize, node: Target, to: Option<usize>) -> Verdict {
        let node = self.target(node);
        let to = to.map(|to| self.ids[to]);
        let token = Token::new(index as u64);
        let numbers = [token.get(), 0, 0, 0];
        self.trace.mix(Mark::Transfer, self.now, node, numbers);
        self.stats.transfers_asked += u64::from(self.nodes[node].replica.is_some());
        self.give(node, Input::Transfer { token, to })
    }

    fn end_fault(&mut self, index: usize, kind: &FaultKind) {
        let begins = false;
        match kind {
            FaultKind::Cut { links } => self.bend(links, &Lane::ALL, begins),
            FaultKind::CutLanes { links, lanes } => self.bend(links, &lanes_of(lanes), begins),
            FaultKind::Isolate { .. } => {
                let links = self.isolated_links(index, kind);
                self.bend(&links, &Lane::ALL, begins);
            }
            FaultKind::Crash { .. }
            | FaultKind::Blackout
            | FaultKind::CrashInDisk { .. }
            | FaultKind::Clog { .. }
            | FaultKind::Flap { .. }
            | FaultKind::Swizzle { .. }
            | FaultKind::SlowNode { .. }
            | FaultKind::SlowDisk { .. }
            | FaultKind::Pause { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::Absence { .. }
            | FaultKind::Transfer { .. } => {}
        }
    }

    /// Cuts lanes of links, or takes that back.
    fn bend(&mut self, links: &[(usize, usize)], lanes: &[Lane], cuts: bool) {
        for (from, to) in links {
            if cuts {
                self.network.cut(*from, *to, lanes);
            } else {
                self.network.mend(*from, *to, lanes);
            }
        }
    }

    fn isolated_links(&self, index: usize, kind: &FaultKind) -> Vec<(usize, usize)> {
        let (FaultKind::Isolate { inbound_only, .. }, Some(node)) = (kind, self.hit[index]) else {
            return Vec::new();
        };
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        others
            .flat_map(|other| {
                let inbound = Some((other, node));
                let outbound = (!inbound_only).then_some((node, other));
                inbound.into_iter().chain(outbound)
            })
            .collect()
    }

    /// The node that a fault hits now.
    pub(crate) fn target(&self, target: Target) -> usize {
        let leads = |node: usize| {
            let replica = self.nodes[node].replica.as_ref();
            replica.is_some_and(|replica| replica.status().role != Role::Follower)
        };
        let nodes = self.nodes.len();
        match target {
            Target::Node(node) => node,
            Target::Leader => (0..nodes).find(|node| leads(*node)).unwrap_or(0),
            Target::Follower(nth) => {
                let followers: Vec<usize> = (0..nodes).filter(|node| !leads(*node)).collect();
                let count = followers.len().max(1);
                followers.get(nth % count).copied().unwrap_or(0)
            }
        }
    }

    /// Ends a node's life and starts the next one after `down` nanoseconds.
    pub(crate) fn crash(&mut self, node: usize, mode: CrashMode, down: u64) -> Verdict {
        let life = self.nodes[node].life;
        self.trace
            .mix(Mark::Crash, self.now, node, [life, mode as u64, down, 0]);
        self.tell(node, || What::Dies {
            mode: match mode {
                CrashMode::Power => "loses power".to_owned(),
                CrashMode::Kill => "is killed".to_owned(),
            },
        });
        self.tell_down(node);
        if mode == CrashMode::Power {
            self.interrupt_work(node);
        }
        let state = &mut self.nodes[node];
        state.store.crash(mode, &mut state.disk_dice);
        self.orphaned(node);
        self.judge.deposed(node);
        let state = &mut self.nodes[node];
        state.forget(&self.plan, &self.subject);
        self.closes(node);
        self.outboxes.forget(node);
        let state = &mut self.nodes[node];
        state.paused_until = 0;
        state.busy_until = 0;
        self.note_stage(node);
        let state = &self.nodes[node];
        let (node, life) = (node, state.life);
        self.schedule(self.now + down, Event::Start { node, life });
        Ok(())
    }
}

fn lanes_of(names: &[LaneName]) -> Vec<Lane> {
    names.iter().map(|name| Lane::from(*name)).collect()
}

impl World {
    /// A disk gives an error: at a power failure, or for no reason that the plan explains.
    pub(crate) fn store_failed(&mut self, node: usize, failure: StoreFailure) -> Verdict {
        match failure {
            StoreFailure::Power => {
                let down = self.plan.cluster.heartbeat_us * 1_000;
                self.crash(node, CrashMode::Power, down)
            }
            StoreFailure::Wrong(_) => Err(store_violation(node, failure)),
        }
    }
}

/// What a disk's error is that the plan does not explain.
pub(crate) fn store_violation(node: usize, failure: StoreFailure) -> Violation {
    let what = match failure {
        StoreFailure::Power => "its disk fails without a fault".to_owned(),
        StoreFailure::Wrong(what) => what,
    };
    Violation {
        check: "recovery_is_a_prefix",
        node: Some(node),
        what,
    }
}
