//! How old this node's state is: when it last had executed all that its leader had announced.
//! Knows nothing about linearizable reads; whoever reads here reads what may be old.

use crate::time::Time;
use crate::types::{Ballot, Slot};

use super::{Replica, Role};

/// Announcements of the leader that are not executed yet: the first and the latest of them. One in
/// between says little more, and there may be any number of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness {
    /// Everything announced up to then was executed.
    at: Option<Time>,
    awaited: Option<(Slot, Time)>,
    latest: Option<(Slot, Time)>,
    /// The ballot whose leader is listened to, and the slot from which on its announcements cover
    /// those of all leaders before: a new one knows less at first than the last one had said.
    from: (Ballot, Slot),
}

impl Freshness {
    /// Slots up to `commit` were announced at `now`.
    fn announced(&mut self, commit: Slot, applied: Slot, now: Time) {
        if commit <= applied {
            self.at = Some(now);
            (self.awaited, self.latest) = (None, None);
        } else {
            self.awaited.get_or_insert((commit, now));
            self.latest = Some((commit, now));
        }
    }

    pub(super) fn executed(&mut self, applied: Slot) {
        while let Some((commit, at)) = self.awaited
            && commit <= applied
        {
            self.at = Some(at);
            self.awaited = self.latest.take_if(|(latest, _)| commit < *latest);
        }
    }
}

impl Replica {
    /// The leader of `ballot` announced that slots up to `commit` are decided.
    pub(super) fn hear_commit(&mut self, ballot: Ballot, commit: Slot) {
        if ballot != self.meta.promised || ballot != self.acc {
            return;
        }
        if self.freshness.from.0 != ballot {
            // This log holds all that the leader adopted, and perhaps more.
            self.freshness.from = (ballot, self.log.last());
        }
        if self.freshness.from.1 <= commit {
            self.freshness.announced(commit, self.applied, self.now);
        }
    }

    /// Once a round: what a leader knows to be decided it announces, to itself as well.
    pub(super) fn tend_freshness(&mut self) {
        if self.knows_all_decided() {
            self.freshness
                .announced(self.commit, self.applied, self.now);
        }
    }

    /// Whether this node leads, and everything that leaders before it decided is decided here.
    fn knows_all_decided(&self) -> bool {
        match &self.role {
            Role::Leading(leading) => leading.adopted_last <= self.commit,
            Role::Follower | Role::Preparing(_) => false,
        }
    }

    /// The last instant at which this node's state was as new as its leader said: see
    /// [`Status::fresh_at`](crate::Status::fresh_at).
    #[must_use]
    pub fn fresh_at(&self) -> Option<Time> {
        if self.knows_all_decided() && self.commit <= self.applied {
            Some(self.now)
        } else {
            self.freshness.at
        }
    }
}
