//! Catching up over decided entries: who asks whom for what.
//! Knows nothing about undecided entries; those travel in promises and syncs only.

use crate::message::{Fetch, Message};
use crate::output::Notice;
use crate::types::Slot;

use super::{Replica, Role};

impl Replica {
    /// Asks a peer for the decided log up to `to`.
    pub(super) fn fetch(&mut self, from: usize, to: Slot) {
        let prev = self.commit;
        let peer = self.id(from);
        self.outbox.notice(Notice::CatchingUp {
            from: peer,
            commit: prev,
            to,
        });
        self.outbox.send(from, Message::Fetch(Fetch { prev, to }));
    }

    /// Any node serves what it knows to be decided.
    pub(super) fn on_fetch(&mut self, from: usize, m: &Fetch) {
        if m.prev >= self.commit || m.to <= m.prev {
            return;
        }
        if m.prev < self.log.base() {
            return self.offer(from);
        }
        if let Some(learn) = self.make_learn(m.prev, m.to) {
            self.outbox.send(from, Message::Learn(learn));
        }
    }

    /// Once a round: a node whose leader leaves it behind asks whoever answered that it knows
    /// more. What silent peers once knew does not help: they may be gone, or have forgotten it.
    pub(super) fn tend_catch_up(&mut self) {
        let commit = self.commit;
        let stuck = self.election.commit_is_stuck(commit);
        if !stuck || !matches!(self.role, Role::Follower) || self.incoming.is_some() {
            return;
        }
        let answered = self
            .others()
            .filter_map(|p| Some((self.reply(p)?.commit, p)));
        let ahead = answered.max();
        if let Some((theirs, from)) = ahead
            && theirs > commit
        {
            self.fetch(from, theirs);
        }
    }
}
