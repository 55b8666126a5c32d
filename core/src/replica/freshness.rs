//! How old this node's state is: when nothing was acknowledged anywhere that it has not executed.
//! Knows nothing about linearizable reads; whoever reads here reads what may be old.

use crate::quorum::Voters;
use crate::time::{Span, Time};
use crate::types::Slot;

use super::{Replica, Role};

/// What is known about instants, and not executed yet: the first and the latest. One in between
/// says little more, and there may be any number of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness {
    /// Everything acknowledged up to then was executed.
    at: Option<Time>,
    awaited: Option<(Slot, Time)>,
    latest: Option<(Slot, Time)>,
}

impl Freshness {
    /// At `at`, nothing was acknowledged beyond `commit`.
    fn announced(&mut self, commit: Slot, applied: Slot, at: Time) {
        if commit <= applied {
            self.at = self.at.max(Some(at));
            (self.awaited, self.latest) = (None, None);
        } else {
            self.awaited.get_or_insert((commit, at));
            self.latest = Some((commit, at));
        }
    }

    pub(super) fn executed(&mut self, applied: Slot) {
        while let Some((commit, at)) = self.awaited
            && commit <= applied
        {
            self.at = self.at.max(Some(at));
            self.awaited = self.latest.take_if(|(latest, _)| commit < *latest);
        }
    }
}

/// What a leader knows of its own leadership: PROTOCOL.md "Stale".
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    /// The number of the first `Accept` that was sent after this instant, and not answered by a
    /// quorum yet.
    asked: Option<(u64, Time)>,
    /// Nobody led in a higher ballot then.
    at: Option<Time>,
}

impl Replica {
    /// Once a round: a leader begins to find out whether it leads still.
    pub(super) fn tend_freshness(&mut self) {
        let now = self.now;
        if let Role::Leading(leading) = &mut self.role {
            // The probes of this round are sent after this.
            let next = leading.seq + 1;
            leading.proof.asked.get_or_insert((next, now));
        }
    }

    /// Looks whether an accept quorum has answered what was sent since the leader began to ask.
    pub(super) fn prove_freshness(&mut self) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        let Some((seq, at)) = leading.proof.asked else {
            return;
        };
        let mut voters = Voters::NONE;
        voters.insert(self.me);
        for position in self.others() {
            if leading.progress(position).acked_seq >= seq {
                voters.insert(position);
            }
        }
        if self.weights.accept_quorum(voters).is_none() {
            return;
        }
        let knows_all_decided = leading.adopted_last <= self.commit;
        if let Role::Leading(leading) = &mut self.role {
            leading.proof.asked = None;
            if knows_all_decided {
                leading.proof.at = Some(at);
                self.freshness.announced(self.commit, self.applied, at);
            }
        }
    }

    /// How long ago a leader knew last that nothing was acknowledged beyond its commit.
    pub(super) fn freshness_told(&self) -> Option<Span> {
        match &self.role {
            Role::Leading(leading) => leading.proof.at.map(|at| self.now.since(at)),
            Role::Follower | Role::Preparing(_) => None,
        }
    }

    /// A leader answered this round's question: `age` before that, nothing was acknowledged beyond
    /// `commit`. It answered after it was asked, and when it was asked is known here: how long the
    /// answer was under way does not matter.
    pub(super) fn hear_freshness(&mut self, commit: Slot, age: Span) {
        if let Some(at) = self.election.asked.nanos().checked_sub(age.nanos()) {
            let at = Time::from_nanos(at);
            self.freshness.announced(commit, self.applied, at);
        }
    }

    /// An instant at which this node's state was as new as any: see
    /// [`Status::fresh_at`](crate::Status::fresh_at).
    #[must_use]
    pub fn fresh_at(&self) -> Option<Time> {
        if self.leads_alone() && self.commit <= self.applied {
            Some(self.now)
        } else {
            self.freshness.at
        }
    }

    /// Whether nobody else can lead now: by a lease, or because nothing is decided without it.
    fn leads_alone(&self) -> bool {
        let Role::Leading(leading) = &self.role else {
            return false;
        };
        let mut own = Voters::NONE;
        own.insert(self.me);
        let suffices = self.weights.accept_quorum(own).is_some();
        self.lease_until().is_some() || suffices && leading.adopted_last <= self.commit
    }
}
