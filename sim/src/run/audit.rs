//! The end of a run: what must hold when all is well, of replicas and of what clients saw.
//! Knows nothing about how it became well.

use chil_core::{Ballot, Slot, Status};

use crate::check::{
    Verdict, Violation, acked_stays, answered, caught_up, everywhere, found_everywhere,
    linearizable, no_churn, on, voters_advance,
};
use crate::subject::HISTORY_MAX;
use crate::workload::{Operation, State};
use crate::world::World;

impl World {
    /// The end of the run: one leader, the same as before, equal commits, every client answered,
    /// everybody caught up, every acknowledged write executed on every node that is up.
    pub(super) fn audit(&self, before: &[(usize, Ballot, Slot)], since: u64) -> Verdict {
        let statuses = self.statuses();
        let leader = self.leader(&statuses)?;
        // A handover begins a ballot, and is no churn.
        let stays = self.handed_over_at < since;
        let newest = before.iter().map(|(_, promised, _)| *promised).max();
        if let Some(newest) = newest.filter(|_| stays) {
            for (node, status) in &statuses {
                on("no_churn", *node, no_churn::check(newest, status.promised))?;
            }
        }
        let wrote = self.audit_operations(since)?;
        let Some(leader) = leader else {
            return Ok(());
        };
        // Who does not hear the leader learns from others, in its own time.
        let linked = |a: usize, b: usize| self.plan.linked_at_the_end(a, b);
        let hears = |node: &usize| linked(leader, *node);
        let votes = |node: usize| self.plan.cluster.weights.get(node).is_some_and(|w| *w > 0);
        let commits: Vec<(usize, Slot)> = statuses
            .iter()
            .filter(|(node, _)| hears(node) && votes(*node))
            .map(|(node, status)| (*node, status.commit))
            .collect();
        let floor = before.iter().map(|(_, _, commit)| *commit).max();
        let found = voters_advance::check(&commits, floor.filter(|_| wrote));
        everywhere("voters_advance", found)?;
        self.audit_votes(leader, &statuses)?;
        for node in caught_up::reached(leader, self.nodes.len(), linked) {
            let applied = self.nodes[node].applier.applied();
            let found = caught_up::check(applied, floor.unwrap_or_default());
            on("caught_up", node, found)?;
            if hears(&node) {
                let found = acked_stays::check_end(self.judge.reads.acked(), applied);
                on("acked_stays", node, found)?;
            }
        }
        Ok(())
    }

    /// Every voter that the leader reaches accepts in its ballot.
    fn audit_votes(&self, leader: usize, statuses: &[(usize, Status)]) -> Verdict {
        let weights = &self.plan.cluster.weights;
        let votes = |node: usize| weights.get(node).is_some_and(|weight| *weight > 0);
        let mut leads = Ballot::default();
        let mut accepts = Vec::new();
        for (node, status) in statuses {
            if *node == leader {
                leads = status.ballot;
            }
            if votes(*node) && self.plan.linked_at_the_end(leader, *node) {
                accepts.push((*node, status.acc));
            }
        }
        let found = voters_advance::check_votes(&accepts, leads);
        everywhere("voters_advance", found)
    }

    /// What clients saw must have an order, whatever the log says.
    pub(super) fn audit_history(&mut self) -> Verdict {
        let operations = self.clients.operations.iter().enumerate();
        let seen = operations.filter_map(|(number, op)| op.seen(number));
        let histories = self.subject.histories(&self.plan, seen.collect());
        for (spec, history) in histories {
            let searched = history.len() <= HISTORY_MAX
                && found_everywhere("linearizable", linearizable::check(&*spec, history))?
                    .unwrap_or_default();
            self.stats.histories += u64::from(searched);
            self.stats.histories_unknown += u64::from(!searched);
        }
        Ok(())
    }

    /// Whether there are fewer sessions than clients: then these throw each other out, for ever.
    pub(super) const fn is_crowded(&self) -> bool {
        self.plan.cluster.sessions_max < self.callers.len() as u64
    }

    /// Operations that began after `since` have their answers; those that began after the healing,
    /// but when not all was well yet, have come to an end. Returns whether any of the late ones
    /// wrote.
    fn audit_operations(&self, since: u64) -> Result<bool, Violation> {
        let heal_at = self.plan.heal_at_us * 1_000;
        let all = self.clients.operations.iter().enumerate();
        let healed = all.filter(|(_, op)| op.began >= heal_at);
        let crowded = self.is_crowded();
        let due = healed
            .clone()
            .filter(|(number, _)| !(crowded && self.has_session(*number)));
        let found = answered::check(due.map(|(number, op)| {
            let what = format!("operation {number} ({:?} at node {})", op.state, op.node);
            (op.is_over(since, self.has_session(number)), what)
        }));
        everywhere("answered", found)?;
        let wrote = |op: &Operation| !op.is_read() && op.state == State::Done;
        let mut late = healed.filter(|(_, op)| op.began >= since);
        Ok(late.any(|(_, op)| wrote(op)))
    }
}
