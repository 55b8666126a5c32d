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
    /// The leader of the promised ballot announced that slots up to `commit` are decided.
    pub(super) fn hear_commit(&mut self, ballot: Ballot, commit: Slot) {
        if ballot == self.meta.promised {
            self.freshness.announced(commit, self.applied, self.now);
        }
    }

    /// Once a round: what a leader knows to be decided it announces, to itself as well.
    pub(super) fn tend_freshness(&mut self) {
        if matches!(self.role, Role::Leading(_)) {
            self.freshness
                .announced(self.commit, self.applied, self.now);
        }
    }

    /// The last instant at which this node's state was as new as its leader said.
    pub(super) fn fresh_at(&self) -> Option<Time> {
        let leads = matches!(self.role, Role::Leading(_));
        if leads && self.commit <= self.applied {
            Some(self.now)
        } else {
            self.freshness.at
        }
    }
}
