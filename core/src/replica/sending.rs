//! What the leader sends to each peer, and sends again: syncs, entries, news of the commit.
//! Knows nothing about what is decided by the answers.

use crate::message::{Accept, Learn, Message};
use crate::types::Slot;

use super::progress::{Position, Stage};
use super::{Replica, Role};

impl Replica {
    /// The next message that the leader owes somebody.
    pub(super) fn poll_leader(&mut self) -> Option<(usize, Message)> {
        if !matches!(self.role, Role::Leading(_)) {
            return None;
        }
        self.others().find_map(|to| Some((to, self.next_for(to)?)))
    }

    fn next_for(&mut self, to: usize) -> Option<Message> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let progress = leading.progress(to);
        match progress.stage {
            Stage::Unpromised => None,
            Stage::Behind(_) if progress.awaiting => None,
            Stage::Behind(position) => self.make_sync(to, position),
            Stage::Synced if progress.sent < self.log.base() => {
                // What it lacks was trimmed: it has been away for longer than is kept for it.
                let position = Position {
                    acc: leading.ballot,
                    last: leading.matched(to),
                    commit: leading.matched(to),
                };
                self.fall_behind(to, position);
                self.make_sync(to, position)
            }
            Stage::Synced => {
                let (sent, probe) = (progress.sent, progress.probe_due);
                let end = self.window_end(to, sent);
                if end > sent {
                    return self.make_accept(to, sent, end, None);
                }
                probe
                    .then(|| self.make_accept(to, sent, sent, None))
                    .flatten()
            }
        }
    }

    /// How far the peer may be sent now, within one message and its window.
    fn window_end(&self, to: usize, sent: Slot) -> Slot {
        let Role::Leading(leading) = &self.role else {
            return sent;
        };
        let under_way = self.log.cost(leading.matched(to), sent);
        if sent >= self.log.last() || under_way >= self.config.peer_window_bytes_max {
            return sent;
        }
        self.log
            .end_within(sent, self.log.last(), self.config.batch_bytes_max)
    }

    fn fall_behind(&mut self, to: usize, position: Position) {
        if let Role::Leading(leading) = &mut self.role {
            let progress = leading.progress_mut(to);
            progress.stage = Stage::Behind(position);
            progress.answered();
        }
    }

    /// The sync of a peer that promised, or the decided entries that must come before it.
    fn make_sync(&mut self, to: usize, position: Position) -> Option<Message> {
        let (last, base) = (self.log.last(), self.log.base());
        let Role::Leading(leading) = &mut self.role else {
            return None;
        };
        if position.acc == leading.ballot {
            // Synced already, in this ballot: only the answer got lost. The position may be an old
            // one; what was acknowledged since stays acknowledged.
            let sent = position.last.max(leading.matched(to)).min(last);
            if sent < base {
                self.await_answer(to);
                return self.make_offer();
            }
            let progress = leading.progress_mut(to);
            progress.stage = Stage::Synced;
            progress.sent = sent;
            return self.next_for(to);
        }
        let agreed = if position.acc == leading.adopted_acc {
            position.last.min(leading.adopted_last).max(position.commit)
        } else {
            position.commit
        };
        let (prev, adopted_last) = (agreed.min(last), leading.adopted_last);
        let end = adopted_last.max(prev);
        if prev < base {
            self.await_answer(to);
            return self.make_offer();
        }
        if self.log.cost(prev, end) > self.config.message_bytes_max && self.commit > prev {
            self.await_answer(to);
            return self.make_learn(prev, self.commit).map(Message::Learn);
        }
        self.await_answer(to);
        self.make_accept(to, prev, end, Some(adopted_last))
    }

    fn await_answer(&mut self, to: usize) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let progress = leading.progress_mut(to);
        progress.awaiting = true;
        progress.since = now;
    }

    fn make_accept(
        &mut self,
        to: usize,
        prev: Slot,
        end: Slot,
        sync: Option<Slot>,
    ) -> Option<Message> {
        let (commit, now, round) = (self.commit, self.now, self.election.round());
        let prev_chain = self.log.chain_at(prev)?;
        let entries = self.log.entries(prev, end);
        let Role::Leading(leading) = &mut self.role else {
            return None;
        };
        leading.seq += 1;
        if let Some(book) = &mut leading.lease {
            book.sends(leading.seq, now);
        }
        let (ballot, seq, matched) = (leading.ballot, leading.seq, leading.matched(to));
        let progress = leading.progress_mut(to);
        if progress.sent <= matched && !entries.is_empty() {
            progress.since = now;
        }
        if sync.is_none() {
            progress.asked_in = round;
            progress.sent = end.max(progress.sent);
            progress.probe_due &= !entries.is_empty();
        }
        progress.commit_sent = commit;
        Some(Message::Accept(Accept {
            ballot,
            sync,
            prev,
            prev_chain,
            entries,
            commit,
            seq,
        }))
    }

    /// A piece of the decided log behind `prev`.
    pub(super) fn make_learn(&self, prev: Slot, to: Slot) -> Option<Learn> {
        let prev_chain = self.log.chain_at(prev)?;
        let end = self
            .log
            .end_within(prev, to.min(self.commit), self.config.batch_bytes_max);
        let entries = self.log.entries(prev, end);
        Some(Learn {
            decided_in: self.commit_in,
            prev,
            prev_chain,
            entries,
            commit: self.commit,
        })
    }

    /// Once a round: probes everybody, and sends again what nobody answered.
    pub(super) fn tend_peers(&mut self) {
        let (now, resend_after) = (self.now, self.config.resend_after);
        for to in self.others() {
            let Role::Leading(leading) = &mut self.role else {
                return;
            };
            let (ballot, matched) = (leading.ballot, leading.matched(to));
            let progress = leading.progress_mut(to);
            progress.probe_due = true;
            let patience = resend_after.times(1 << progress.retries.min(3));
            let late = now.since(progress.since) >= patience;
            match progress.stage {
                Stage::Unpromised if late => {
                    progress.since = now;
                    progress.retries += 1;
                    let prepare = self.make_prepare(ballot);
                    self.outbox.send(to, prepare);
                }
                Stage::Behind(_) if progress.awaiting && late => {
                    progress.retries += 1;
                    progress.awaiting = false;
                }
                Stage::Synced if progress.sent > matched && late => {
                    progress.retries += 1;
                    progress.since = now;
                    progress.sent = matched;
                }
                Stage::Unpromised | Stage::Behind(_) | Stage::Synced => {}
            }
        }
    }

    /// Tells peers of the latest commit when nothing else carried it in time.
    pub(super) fn tend_commit_news(&mut self) {
        let (now, commit) = (self.now, self.commit);
        let me = self.me;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if leading.commit_news_at.is_none_or(|at| now < at) {
            return;
        }
        leading.commit_news_at = None;
        for (position, progress) in leading.peers.iter_mut().enumerate() {
            if position != me && progress.stage == Stage::Synced && progress.commit_sent < commit {
                progress.probe_due = true;
            }
        }
    }

    /// The peer's next life began: what it promised in the last one is asked again.
    pub(super) fn ask_next_life(&mut self, of: usize) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let (ballot, progress) = (leading.ballot, leading.progress_mut(of));
        if progress.restarted() {
            progress.since = now;
            let prepare = self.make_prepare(ballot);
            self.outbox.send(of, prepare);
        }
    }
}
