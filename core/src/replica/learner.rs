//! The learner: takes in decided entries and hands them out for execution, in order.
//! Knows nothing about how they were decided.

use crate::command::Entry;
use crate::log::linked;
use crate::message::{Learn, Message, NackReason};
use crate::output::{IgnoreReason, StepDown};
use crate::types::{Ballot, Slot};

use super::{Replica, Role};

impl Replica {
    /// Everything up to `commit` is decided, which was learned by `ballot`.
    pub(super) fn learn_commit(&mut self, commit: Slot, ballot: Ballot) {
        let last = self.log.last();
        assert!(
            commit <= last,
            "decided {commit} lies behind the end of the log, {last}"
        );
        if commit > self.commit {
            self.commit = commit;
            self.commit_in = self.commit_in.max(ballot);
        }
    }

    pub(super) fn on_learn(&mut self, from: usize, m: &Learn) {
        let d = m.decided_in;
        let plausible = d.epoch == self.epoch() && self.is_believable(d);
        if !plausible || !linked(m.prev, m.prev_chain, &m.entries) {
            return self.ignore(from, "Learn", IgnoreReason::Malformed);
        }
        if matches!(&self.role, Role::Leading(leading) if d <= leading.ballot) {
            // What was decided below its ballot, a leader holds already.
            return self.ignore(from, "Learn", IgnoreReason::Stale);
        }
        let (before, theirs) = (self.commit, m.commit);
        match self.take_decided(m) {
            Err(reason) => self.ignore(from, "Learn", reason),
            Ok(()) => self.after_learning(from, before, theirs),
        }
    }

    fn take_decided(&mut self, m: &Learn) -> Result<(), IgnoreReason> {
        let end = Slot::new(m.prev.get() + m.entries.len() as u64);
        let before = self.commit;
        if end <= before {
            return Ok(());
        }
        // Up to `base` this log is known to be the decided one: by its own commit, or by the
        // chain that the decided log has there.
        let base = m.prev.max(before);
        let theirs = m
            .entries
            .iter()
            .find(|e| e.slot() == base)
            .map(Entry::chain);
        let theirs = if base == m.prev {
            Some(m.prev_chain)
        } else {
            theirs
        };
        match self.log.chain_at(base) {
            Some(ours) if Some(ours) == theirs => {}
            // Two decided logs differ: one of the two nodes is wrong, and it is not for this
            // message to say which.
            _ if base == before => return Err(IgnoreReason::Malformed),
            _ => return Err(IgnoreReason::Stale),
        }
        if m.decided_in > self.meta.promised {
            // Fences a stale leader, whose late sync would meet decided slots that it lacks.
            self.promise(m.decided_in, StepDown::HigherDecision);
        }
        let agreed = self.agreement(base, &m.entries);
        if agreed < end {
            // Behind a conflict nothing can be decided in `acc`; without one the tail stays,
            // since its slots may be acknowledged votes.
            self.log.truncate(agreed);
            for entry in m.entries.iter().filter(|entry| entry.slot() > agreed) {
                self.log.append(entry.clone());
            }
            self.outbox.log_changed(agreed);
        }
        // `acc` stays: learning is no vote in any ballot.
        self.learn_commit(end, m.decided_in);
        Ok(())
    }

    /// The last slot up to which this log holds what `entries` say; at least `base`.
    fn agreement(&self, base: Slot, entries: &[Entry]) -> Slot {
        let mut agreed = base;
        for entry in entries.iter().filter(|entry| entry.slot() > base) {
            if self.log.chain_at(entry.slot()) != Some(entry.chain()) {
                break;
            }
            agreed = entry.slot();
        }
        agreed
    }

    fn after_learning(&mut self, from: usize, before: Slot, their_commit: Slot) {
        if matches!(self.role, Role::Preparing(_)) {
            return self.try_adopt();
        }
        let (promised, sender) = (self.meta.promised, self.id(from));
        // Only what brought something new is followed by a question for more: otherwise every
        // duplicate would start another conversation.
        let wants_more = before < self.commit && self.commit < their_commit;
        let waits_for_sync = sender == promised.node && self.acc < promised;
        let leads = self.election.working_leader(self.meta.node) == Some(sender);
        if waits_for_sync && (leads || !wants_more) {
            // The leader sends what comes next once it knows how far this was enough. Here a
            // duplicate is answered, since the answer to the first may have been lost.
            let nack = self.nack(promised, NackReason::NeedSync);
            self.outbox.send(from, Message::Nack(nack));
        } else if wants_more {
            // Whoever no longer leads sends more only when asked.
            self.fetch(from, their_commit);
        } else if before < self.commit && self.acc < promised {
            // It caught up over others. Whose sync it waits for does not know, and may have become
            // patient with it meanwhile.
            self.tell_position(promised);
        }
    }

    /// Tells the owner of the promised ballot where this node stands, whose sync it waits for.
    fn tell_position(&mut self, promised: Ballot) {
        let owner = self.weights.position(promised.node);
        if let Some(owner) = owner.filter(|owner| *owner != self.me) {
            let nack = self.nack(promised, NackReason::NeedSync);
            self.outbox.send(owner, Message::Nack(nack));
        }
    }

    /// The next decided entries to execute.
    pub(super) fn poll_decided(&mut self) -> Option<Vec<Entry>> {
        let waiting = self.log.cost(self.applied, self.delivered);
        if self.delivered == self.commit || waiting > self.config.unapplied_bytes_max {
            return None;
        }
        let budget = self.config.batch_bytes_max;
        let end = self.log.end_within(self.delivered, self.commit, budget);
        let entries = self.log.entries(self.delivered, end);
        self.delivered = end;
        Some(entries)
    }
}
