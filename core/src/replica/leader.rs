//! The leader: proposes, and counts what is accepted (Lamport 2001, phase 2; Sequence Paxos).
//! Knows nothing about how it came to lead, nor when what is sent to whom.

use crate::command::{Command, Entry, EntryKind};
use crate::membership::Lease;
use crate::message::{Accepted, Nack, NackReason};
use crate::output::{IgnoreReason, Notice, Output, Refusal, StepDown};
use crate::time::Time;
use crate::types::{Ballot, NodeId, Slot, Token};

use super::freshness::Proof;
use super::lease::LeaseBook;
use super::progress::{Progress, Stage};
use super::{Replica, Role};

/// What a node has while it leads.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    pub(super) ballot: Ballot,
    /// The ballot that the adopted log was accepted in before.
    pub(super) adopted_acc: Ballot,
    /// The end of the adopted log: what a sync must carry.
    pub(super) adopted_last: Slot,
    /// By position; the own one is unused.
    pub(super) peers: Vec<Progress>,
    /// Durable end of each member's log *in this ballot*, by position; starts empty.
    matched: Vec<Slot>,
    /// Number of the last `Accept`.
    pub(super) seq: u64,
    /// When peers that were sent nothing else are told of the latest commit.
    pub(super) commit_news_at: Option<Time>,
    /// Whether an accept quorum was synced: until then it waits for disks.
    pub(super) settled: bool,
    /// Nothing was decided since then, or there was nothing to decide.
    pub(super) undecided_since: Time,
    /// Since when it surely led, as far as is known.
    pub(super) proof: Proof,
    /// In a cluster whose leaders may serve reads without a round trip.
    pub(super) lease: Option<LeaseBook>,
}

impl Leading {
    pub(super) fn new(
        ballot: Ballot,
        adopted_acc: Ballot,
        adopted_last: Slot,
        members: usize,
    ) -> Self {
        Self {
            ballot,
            adopted_acc,
            adopted_last,
            peers: vec![Progress::new(); members],
            matched: vec![Slot::ZERO; members],
            seq: 0,
            commit_news_at: None,
            settled: false,
            undecided_since: Time::ZERO,
            proof: Proof::default(),
            lease: None,
        }
    }

    /// The same from `now` on, its promises complete; in a cluster with leases if there is one.
    pub(super) fn since(mut self, now: Time, lease: Option<&Lease>) -> Self {
        self.undecided_since = now;
        self.lease = lease.map(|lease| LeaseBook::new(lease, now));
        self
    }

    pub(super) fn progress(&self, position: usize) -> &Progress {
        self.peers.get(position).expect("one a member, by position")
    }

    pub(super) fn progress_mut(&mut self, position: usize) -> &mut Progress {
        self.peers
            .get_mut(position)
            .expect("one a member, by position")
    }

    pub(super) fn matched(&self, position: usize) -> Slot {
        self.matched.get(position).copied().unwrap_or(Slot::ZERO)
    }

    pub(super) fn matched_at(&mut self, position: usize, last: Slot) {
        let matched = self
            .matched
            .get_mut(position)
            .expect("one a member, by position");
        *matched = last.max(*matched);
    }

    pub(super) const fn commit_news_at(&self) -> Option<Time> {
        self.commit_news_at
    }
}

impl Replica {
    /// Who leads, as far as this node knows.
    pub(super) fn leader_hint(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leading(_) => Some(self.meta.node),
            Role::Follower | Role::Preparing(_) => self.election.working_leader(self.meta.node),
        }
    }

    pub(super) fn on_propose(&mut self, token: Token, command: Command) {
        let len = command.payload.len() as u64;
        if let Err(reason) = self.may_propose(len) {
            return self.outbox.effect(Output::Refused { token, reason });
        }
        self.place(token, EntryKind::Command(command));
    }

    pub(super) fn on_register(&mut self, token: Token, nonce: u128) {
        let now = self.now;
        let allowed = self.may_propose(0).and_then(|()| {
            let in_rate = self.registers.take(now);
            in_rate.then_some(()).ok_or(Refusal::Overloaded)
        });
        match allowed {
            Ok(()) => self.place(token, EntryKind::Register { nonce }),
            Err(reason) => self.outbox.effect(Output::Refused { token, reason }),
        }
    }

    /// Proposes `kind` in the next slot, which [`Self::may_propose`] has allowed.
    fn place(&mut self, token: Token, kind: EntryKind) {
        let (now, last) = (self.now, self.log.last());
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if last == self.commit {
            leading.undecided_since = now;
        }
        let ballot = leading.ballot;
        self.log
            .append(Entry::new(self.log.chain(), last.next(), ballot, kind));
        self.outbox.log_changed(last);
        self.outbox.placed(ballot, last.next(), token);
    }

    fn may_propose(&self, len: u64) -> Result<(), Refusal> {
        if !matches!(self.role, Role::Leading(_)) {
            return Err(Refusal::NotLeader {
                hint: self.leader_hint(),
            });
        }
        if let Some(successor) = self.hands_over_to() {
            let hint = Some(successor);
            return Err(Refusal::NotLeader { hint });
        }
        let max = self.config.value_bytes_max;
        if len > max {
            return Err(Refusal::TooLarge { len, max });
        }
        let last = self.log.last();
        if self.log.cost(self.applied, last) > self.config.unapplied_bytes_max {
            // What is decided faster than it is executed would pile up without end.
            return Err(Refusal::Overloaded);
        }
        let bytes = self.log.cost(self.commit, last) + len + Entry::OVERHEAD as u64;
        let entries = last.distance(self.commit) + 1;
        if entries > self.config.in_flight_entries_max || bytes > self.config.in_flight_bytes_max {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    pub(super) fn on_accepted(&mut self, from: usize, m: &Accepted) {
        let (last, now, round) = (self.log.last(), self.now, self.election.round());
        let Role::Leading(leading) = &mut self.role else {
            return self.ignore(from, "Accepted", IgnoreReason::Stale);
        };
        if leading.ballot != m.ballot {
            return self.ignore(from, "Accepted", IgnoreReason::Stale);
        }
        if m.last > last || m.seq > leading.seq {
            // Nobody's log in this ballot can be longer than its owner's.
            return self.ignore(from, "Accepted", IgnoreReason::Malformed);
        }
        let advanced = m.last > leading.matched(from);
        let progress = leading.progress_mut(from);
        progress.accepted(m.last, m.seq, round);
        if advanced {
            progress.retries = 0;
            progress.since = now;
            leading.matched_at(from, m.last);
            self.try_commit();
        }
        self.settle();
        self.prove_freshness();
        self.try_reads();
    }

    /// Notes that an accept quorum is synced, the leader's own log being its business.
    fn settle(&mut self) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if leading.settled {
            return;
        }
        let mut voters = crate::quorum::Voters::NONE;
        voters.insert(self.me);
        for position in self.others() {
            if leading.progress(position).stage == Stage::Synced {
                voters.insert(position);
            }
        }
        if self.weights.accept_quorum(voters).is_none() {
            return;
        }
        if let Role::Leading(leading) = &mut self.role {
            leading.settled = true;
            self.election.succeeded();
        }
    }

    pub(super) fn on_nack(&mut self, from: usize, m: &Nack) {
        if !self.is_believable(m.promised) {
            return self.ignore(from, "Nack", IgnoreReason::BadBallot);
        }
        self.election.saw(m.promised);
        let by = self.id(from);
        self.outbox.notice(Notice::Refused {
            by,
            reason: m.reason,
        });
        if self.own_ballot() != m.ballot || matches!(self.role, Role::Follower) {
            return;
        }
        if m.reason == NackReason::Ballot {
            if m.promised > m.ballot {
                self.step_down(StepDown::HigherBallot);
            }
            return;
        }
        let (now, round, patience) = (self.now, self.election.round(), self.config.resend_after);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let (ballot, seq, matched) = (leading.ballot, leading.seq, leading.matched(from));
        let progress = leading.progress_mut(from);
        match m.reason {
            // Once synced, always synced: the sync was durable before it was confirmed. These are
            // delayed answers to what came before it.
            NackReason::NeedPrepare | NackReason::NeedSync if progress.stage == Stage::Synced => {}
            NackReason::NeedPrepare => {
                // It answers only ballots that it knows; it may have been away for the first.
                progress.stage = Stage::Unpromised;
                progress.answered();
                let prepare = self.make_prepare(ballot);
                self.outbox.send(from, prepare);
            }
            NackReason::NeedSync => {
                progress.answered_in = round;
                progress.moved(m);
            }
            NackReason::Gap => {
                progress.answered_in = round;
                if m.last >= matched {
                    progress.rewind(m.last, seq, now, patience);
                }
            }
            NackReason::Damaged | NackReason::Ballot => {}
        }
    }

    /// Decides what an accept quorum holds durably in this ballot. No test of an entry's origin
    /// is needed: `matched` counts only what was acknowledged in this very ballot.
    pub(super) fn try_commit(&mut self) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if self.defers_until().is_some() {
            // The one before may still serve reads from its lease: nothing new may be known yet.
            return;
        }
        let decided = self.weights.reached_by_accept_quorum(&leading.matched);
        if decided > self.commit {
            let ballot = leading.ballot;
            self.learn_commit(decided, ballot);
            let at = self.now + self.config.commit_news_after;
            let Role::Leading(leading) = &mut self.role else {
                return;
            };
            leading.undecided_since = self.now;
            leading.commit_news_at.get_or_insert(at);
            self.try_reads();
        }
    }

    /// Whether an accept quorum answered on the quorum lane lately: a heartbeat lane of its own
    /// would hide that nothing else gets through.
    pub(super) fn probes_answered(&self) -> bool {
        let Role::Leading(leading) = &self.role else {
            return true;
        };
        // Until a quorum holds its sync, a leader waits for disks, later only for the network.
        let rounds = if leading.settled {
            u64::from(self.config.probe_rounds_max)
        } else {
            self.election.patience(2 * self.config.probe_rounds_max)
        };
        let oldest = (self.election.round() + 1).saturating_sub(rounds);
        let mut voters = crate::quorum::Voters::NONE;
        voters.insert(self.me);
        for position in self.others() {
            if leading.progress(position).answered_in >= oldest {
                voters.insert(position);
            }
        }
        self.weights.accept_quorum(voters).is_some()
    }
}
