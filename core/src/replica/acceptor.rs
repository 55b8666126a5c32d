//! The acceptor: promises, syncs and accepts (Lamport 2001, phases 1b and 2b; Sequence Paxos).
//! Knows nothing about who should lead.

use crate::command::Chain;
use crate::log::linked;
use crate::message::{Accept, Accepted, Message, NackReason, Prepare, Promise};
use crate::output::{IgnoreReason, StepDown};
use crate::types::{Ballot, Slot};

use super::Replica;

impl Replica {
    pub(super) fn on_prepare(&mut self, from: usize, m: &Prepare) {
        if !self.plausible(from, m.ballot) {
            return self.ignore(from, "Prepare", IgnoreReason::BadBallot);
        }
        if m.ballot < self.meta.promised {
            let nack = self.nack(m.ballot, NackReason::Ballot);
            return self.outbox.send(from, Message::Nack(nack));
        }
        if m.ballot == self.meta.promised && self.outbox.holds_promise(from) {
            // Its answer waits for the disk. A second one would say no more, and after a stall
            // all of them would leave at once, each with its suffix.
            return;
        }
        let Some(promise) = self.make_promise(m) else {
            return self.ignore(from, "Prepare", IgnoreReason::Malformed);
        };
        let before = (self.acc, self.log.last(), self.log.chain());
        if m.ballot > self.meta.promised {
            self.promise(m.ballot, StepDown::HigherBallot);
            self.follow(m.ballot);
        }
        // It reports the log in memory, so it waits for all of that: an `Accepted` for a part of
        // it may still be on its way out.
        self.outbox.send_durable(from, Message::Promise(promise));
        let after = (self.acc, self.log.last(), self.log.chain());
        assert!(before == after, "promising {} changed the log", m.ballot);
        assert!(
            self.meta.promised == m.ballot,
            "promised {} instead",
            self.meta.promised
        );
    }

    /// The answer to a `Prepare`; `None` when the candidate's decided log is not this one's.
    fn make_promise(&self, m: &Prepare) -> Option<Promise> {
        let last = self.log.last();
        let known = m.commit.min(last);
        let better = (self.acc, last) > (m.acc, m.last);
        // Where both know the log to be decided it is the same. Beyond this node's commit it may
        // hold what lost: the candidate can have learned of later ballots than this node's.
        let both_decided = m.commit <= self.commit;
        let held = m.commit >= self.log.base();
        if both_decided && held && self.log.chain_at(m.commit) != Some(m.chain_at_commit) {
            return None;
        }
        let mut from = match (better, self.acc > m.acc) {
            (true, true) => known,
            (true, false) => m.last,
            (false, _) => last,
        };
        if self.log.cost(from, last) > self.config.message_bytes_max {
            // What is decided can be fetched in pieces; the rest is at most one leader's window.
            from = from.max(self.commit);
        }
        // What was trimmed is fetched as a snapshot.
        from = from.max(self.log.base());
        Some(Promise {
            ballot: m.ballot,
            acc: self.acc,
            last,
            chain_at_last: self.log.chain(),
            commit: self.commit,
            from,
            suffix: self.log.entries(from, last),
            damaged: self.meta.damaged.is_some(),
        })
    }

    pub(super) fn on_accept(&mut self, from: usize, m: Accept) {
        let b = m.ballot;
        if !self.plausible(from, b) {
            return self.ignore(from, "Accept", IgnoreReason::BadBallot);
        }
        let refusal = if b < self.meta.promised {
            Some(NackReason::Ballot)
        } else if b > self.meta.promised {
            // Accepting and raising the promise at once would skip the sync point.
            Some(NackReason::NeedPrepare)
        } else if self.meta.damaged.is_some_and(|damaged| b <= damaged) {
            Some(NackReason::Damaged)
        } else {
            None
        };
        if let Some(reason) = refusal {
            let nack = self.nack(b, reason);
            return self.outbox.send(from, Message::Nack(nack));
        }
        if !linked(m.prev, m.prev_chain, &m.entries) {
            return self.ignore(from, "Accept", IgnoreReason::Malformed);
        }
        let (commit, seq) = (m.commit, m.seq);
        let outcome = if self.acc < b {
            self.sync(m)
        } else {
            self.extend(m)
        };
        self.seq_seen = self.seq_seen.max(seq);
        match outcome {
            Ok(()) => {
                self.accepted_due = true;
                self.learn_commit(commit.min(self.log.last()), b);
            }
            Err(Refused::Malformed) => self.ignore(from, "Accept", IgnoreReason::Malformed),
            Err(Refused::Nack(reason)) => {
                // What the log holds in this ballot stays acknowledged, and the probe answered.
                self.accepted_due = self.acc == b;
                let nack = self.nack(b, reason);
                self.outbox.send(from, Message::Nack(nack));
            }
        }
    }

    /// The first `Accept` of a ballot: replaces everything undecided behind `prev`, atomically.
    fn sync(&mut self, m: Accept) -> Result<(), Refused> {
        let Some(adopted_last) = m.sync else {
            return Err(Refused::Nack(NackReason::NeedSync));
        };
        let end = Slot::new(m.prev.get() + m.entries.len() as u64);
        if end < adopted_last {
            return Err(Refused::Malformed);
        }
        // A delayed sync may begin, and even end, before what was learned as decided since:
        // cutting there would lose decided slots.
        let base = m.prev.max(self.commit);
        if m.prev > self.log.last() || !self.agrees_at(base, &m, end) {
            return Err(Refused::Nack(NackReason::NeedSync));
        }
        self.log.truncate(base);
        for entry in m.entries.into_iter().filter(|entry| entry.slot() > base) {
            self.log.append(entry);
        }
        self.acc = m.ballot;
        self.outbox.log_changed(base);
        if self.meta.damaged.take().is_some() {
            // A whole log of a later ballot replaces whatever was lost.
            self.touch_meta();
        }
        Ok(())
    }

    /// Whether this log and the message's are the same at `base`, or at the message's end where
    /// that comes first. What was trimmed cannot be compared: it is decided, so it is the same.
    fn agrees_at(&self, base: Slot, m: &Accept, end: Slot) -> bool {
        let at = base.min(end);
        let theirs = chain_in(m, at);
        let trimmed = at < self.log.base();
        theirs.is_some() && (trimmed || self.log.chain_at(at) == theirs)
    }

    /// A further `Accept` of the ballot: appends what lies behind the end, and never cuts.
    fn extend(&mut self, m: Accept) -> Result<(), Refused> {
        assert!(
            self.acc == m.ballot,
            "acc {} exceeds promised {}",
            self.acc,
            m.ballot
        );
        let last = self.log.last();
        if m.prev > last {
            return Err(Refused::Nack(NackReason::Gap));
        }
        let end = Slot::new(m.prev.get() + m.entries.len() as u64);
        // One owner, one value a slot: two logs of a ballot agree as far as both reach. A Learn
        // may have replaced what was accepted in this ballot only by something equal.
        let at = last.min(end);
        if at < self.log.base() {
            // All of it was trimmed since, so all of it is decided.
            return Ok(());
        }
        if self.log.chain_at(at) != chain_in(&m, at) {
            return Err(Refused::Malformed);
        }
        if end > last {
            for entry in m.entries.into_iter().filter(|entry| entry.slot() > last) {
                self.log.append(entry);
            }
            self.outbox.log_changed(last);
        }
        Ok(())
    }

    /// The `Accepted` that is owed: what is durable in the promised ballot, once for all the
    /// `Accept`s of a batch.
    pub(super) fn poll_accepted(&mut self) -> Option<(usize, Message)> {
        if !self.outbox.is_booted() || !std::mem::take(&mut self.accepted_due) {
            return None;
        }
        let mark = self.outbox.durable_mark();
        let ballot = self.meta.promised;
        let to = self
            .weights
            .position(ballot.node)
            .filter(|&p| p != self.me)?;
        if mark.acc != ballot || self.acc != ballot {
            return None;
        }
        let last = mark.last.min(self.log.last());
        Some((
            to,
            Message::Accepted(Accepted {
                ballot,
                last,
                seq: self.seq_seen,
            }),
        ))
    }

    /// Whether a ballot can be what its sender says: its own, and not absurdly high.
    pub(super) fn plausible(&self, from: usize, ballot: Ballot) -> bool {
        ballot.epoch == self.epoch()
            && ballot.node == self.id(from)
            && ballot.n > 0
            && self.is_believable(ballot)
    }

    /// Whether attempts can have come so far. Up to [`Ballot::N_LEAP_MAX`] any number is believed
    /// at once; above, only a few steps beyond what is known already. So nobody can make up a
    /// number that leaves none to exceed it with.
    pub(super) fn is_believable(&self, ballot: Ballot) -> bool {
        let known = self.meta.promised.n.max(self.election.n_seen());
        let highest = known.max(Ballot::N_LEAP_MAX) + Ballot::N_STEP_MAX;
        ballot.n <= highest.min(Ballot::N_MAX)
    }
}

enum Refused {
    Nack(NackReason),
    Malformed,
}

/// The chain that the message claims for `slot`, within what it covers.
fn chain_in(m: &Accept, slot: Slot) -> Option<Chain> {
    if slot == m.prev {
        return Some(m.prev_chain);
    }
    let index = slot.get().checked_sub(m.prev.get() + 1)?;
    let entry = m.entries.get(usize::try_from(index).ok()?)?;
    Some(entry.chain())
}
