//! What a node does with what is decided: it executes it, at once or a little later, and answers
//! who waited for it. Knows nothing about how anything was decided.

use chil_core::{Ballot, Entry, Outcome};

use crate::check::Verdict;
use crate::sessions::Waiter;
use crate::trace::Mark;
use crate::workload::State;
use crate::world::{Event, World};

impl World {
    /// Takes in what a replica hands out as decided.
    pub(crate) fn decided(&mut self, node: usize, entries: Vec<Entry>) -> Verdict {
        for entry in &entries {
            self.judge.decides(node, entry)?;
        }
        if let Some(last) = entries.last() {
            let numbers = [last.slot().get(), last.origin().n, 0, 0];
            self.trace.mix(Mark::Decided, self.now, node, numbers);
        }
        self.nodes[node].to_apply.extend(entries);
        let delay = self.plan.cluster.apply_us * 1_000;
        if delay == 0 {
            return self.execute(node);
        }
        if !self.nodes[node].apply_due {
            self.nodes[node].apply_due = true;
            let at = self.now + self.nodes[node].work_dice.below(delay);
            let life = self.nodes[node].life;
            self.schedule(at, Event::Apply { node, life });
        }
        Ok(())
    }

    /// The time has come to execute what is decided.
    pub(crate) fn apply(&mut self, node: usize, life: u64) -> Verdict {
        if self.nodes[node].life != life {
            return Ok(());
        }
        self.stats.events += 1;
        self.nodes[node].apply_due = false;
        self.execute(node)?;
        self.drain(node)
    }

    /// Executes everything that is decided, unless a snapshot is about to replace the state.
    pub(crate) fn execute(&mut self, node: usize) -> Verdict {
        while self.nodes[node].desk.installing.is_none()
            && let Some(entry) = self.nodes[node].to_apply.pop_front()
        {
            let applied = self.nodes[node].applier.apply(&entry);
            let digest = self.nodes[node].applier.digest();
            self.judge
                .executed(node, applied.slot, &applied.outcome, digest)?;
            let waiter = self.nodes[node].placed.remove(&applied.slot);
            match waiter {
                Some((ballot, Waiter::Operation(operation))) => {
                    self.executed(node, operation, ballot, &entry, &applied.outcome)?;
                }
                Some((ballot, Waiter::Attempt(number))) => {
                    let ours = entry.origin() == ballot;
                    self.attempt_executed(number, ours.then_some(&applied.outcome));
                }
                None => {}
            }
            if self.nodes[node].applier.snapshot_due() {
                self.freeze(node);
            }
        }
        self.serve_reads(node)
    }

    fn executed(
        &mut self,
        node: usize,
        operation: usize,
        ballot: Ballot,
        entry: &Entry,
        outcome: &Outcome,
    ) -> Verdict {
        if self.clients.operations[operation].state != State::Given {
            return Ok(());
        }
        if entry.origin() != ballot {
            // Another value took the slot: this one never will, and may be proposed again.
            self.try_elsewhere(operation, None);
            return Ok(());
        }
        self.judge.acks(node, entry.slot(), ballot)?;
        let client = self.clients.operations[operation].client;
        self.clients.sees(client, entry.slot());
        self.stats.writes += 1;
        let numbers = [operation as u64, entry.slot().get(), 0, 0];
        self.trace.mix(Mark::Outcome, self.now, node, numbers);
        let reply = match outcome {
            Outcome::Executed { reply, .. } => Some(reply),
            _ => None,
        };
        self.ends(operation, State::Done, Some(entry.slot()), reply);
        self.finish(operation, State::Done);
        Ok(())
    }
}
