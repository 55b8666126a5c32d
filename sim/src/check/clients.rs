//! What the judges hear of clients: what they ask for, are told, and read.
//! Knows nothing about nodes but who leads.

use bytes::Bytes;
use chil_core::{Ballot, Slot};

use crate::subject::Oracle;

use super::{Judge, Verdict, acked_stays, decided_is_chosen, exactly_once, on, unknown_is_honest};

impl Judge {
    /// How many sessions were opened, and how many requests came again in vain.
    pub(crate) const fn sessions(&self) -> (u64, u64) {
        (self.model.opened, self.model.repeated)
    }

    /// A client wants this executed, once, as its operation of this number.
    pub(crate) fn wants(&mut self, operation: u64, payload: &Bytes) {
        self.wishes.want(operation, payload);
    }

    /// A client is told that its request was executed in `slot`.
    pub(crate) fn told(&self, payload: &Bytes, slot: Slot, reply: &Bytes) -> Result<(), String> {
        if self.looks_away {
            return Ok(());
        }
        exactly_once::check_told(&self.model, payload, slot, reply)
    }

    /// A client knows that something took effect in `slot`.
    pub(crate) fn told_done(&mut self, node: usize, slot: Slot) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        self.reads.note_ack(slot);
        let found = decided_is_chosen::check(&self.ghost, slot, "a client's answer");
        on("decided_is_chosen", node, found)
    }

    /// A client is told that its operation was not executed and never will be.
    pub(crate) fn denies(&mut self, node: usize, operation: u64, payload: &Bytes) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let found = unknown_is_honest::deny(&mut self.wishes, operation, payload);
        on("unknown_is_honest", node, found)
    }

    /// A query that had to see `floor` is answered from a state that executed `applied`.
    pub(crate) fn answers_read(
        &mut self,
        node: usize,
        floor: Slot,
        applied: Slot,
        query: &Bytes,
        answer: &Bytes,
    ) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let found = self.reads.check(&self.model, floor, applied, query, answer);
        on("read_is_fresh", node, found)
    }

    /// The commands that took effect, in order.
    pub(crate) fn effects(&self) -> Vec<(Slot, Bytes)> {
        self.model.effects()
    }

    /// Judges the answers that could not be judged when they were given.
    pub(crate) fn answered_in_order(&mut self, oracle: &mut dyn Oracle) -> Result<(), String> {
        if self.looks_away {
            return Ok(());
        }
        self.reads.check_later(&self.model, oracle)
    }

    /// A node that executed `applied` says that its state was as new as any `age` ago.
    pub(crate) fn dates_state(
        &self,
        node: usize,
        applied: Slot,
        age: u64,
        drift_ppm: u64,
    ) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let found = self.reads.check_age(applied, age, drift_ppm);
        on("read_is_fresh", node, found)
    }

    /// A node leads no more.
    pub(crate) fn deposed(&mut self, node: usize) {
        self.leases.ends(node);
    }

    /// A node has answered a read as leader.
    pub(crate) fn serves_as_leader(&mut self, node: usize) {
        self.leases.answers(node, "a read was answered");
    }

    /// The ballot that a node leads.
    pub(crate) fn leads_in(&self, node: usize) -> Option<Ballot> {
        self.leases.ballot(node)
    }

    /// A node is about to answer a read from the lease that it had in `ballot`.
    pub(crate) fn serves_from_lease(&self, node: usize, ballot: Option<Ballot>) -> Verdict {
        let found = ballot.map_or(Ok(()), |ballot| self.leases.check(ballot));
        on("lease_is_exclusive", node, found)
    }

    /// The ballot that a node still leads, if somebody has acted in a higher one already.
    pub(crate) fn overtaken(&self, node: usize) -> Option<Ballot> {
        self.leases.overtaken(node)
    }

    /// Whether a higher ballot than ever has come to act since this was last asked.
    pub(crate) fn another_acts(&mut self) -> bool {
        self.leases.take_rise()
    }

    /// A client is told that its command is done.
    pub(crate) fn acks(&mut self, node: usize, slot: Slot, origin: Ballot) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let found = acked_stays::check_ack(&self.ghost, slot, origin);
        self.reads.note_ack(slot);
        on("acked_stays", node, found)
    }
}
