//! Handing leadership over: on request, or to whom is wanted more (Ongaro 2014, section 3.10).
//! Knows nothing about why somebody wants it, nor how the successor comes to lead.
//!
//! ```text
//! leader   stops proposing ... all of it is decided, and the target has it: gives up its lease
//!          -- TransferNow -->
//! target                                             holds the same in the same ballot: campaigns
//! leader   promises the target's ballot: follows. Or, after some rounds without that:
//!            TransferNow never sent: goes on;   sent: prepares a higher ballot, then goes on
//! ```
//!
//! Whatever the leader proposed after a `TransferNow` the target would not have: so it goes on
//! only in a ballot that the target must promise first, and a late attempt finds it promised.

use crate::message::{Message, TransferNow};
use crate::output::{IgnoreReason, Notice, Output, StepDown, TransferError};
use crate::quorum::Voters;
use crate::types::{Ballot, NodeId, Token};

use super::progress::Stage;
use super::{Replica, Role};

/// A transfer that this node began.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    /// Who asked for it; nobody if it is by priority.
    token: Option<Token>,
    target: usize,
    /// The ballot handed over.
    ballot: Ballot,
    /// The last round that it may take.
    ends_after: u64,
    phase: Phase,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Something is undecided still, or the target lacks it, and nothing more is proposed.
    Draining,
    /// The target was told to take over.
    Told,
    /// This node leads no more, and nobody is known to.
    Released,
}

impl Transfer {
    pub(super) fn is_told(&self) -> bool {
        self.phase == Phase::Told
    }
}

impl Replica {
    pub(super) fn on_transfer(&mut self, token: Token, to: Option<NodeId>) {
        match self.transfer_target(to) {
            Ok(target) => self.begin_transfer(Some(token), target),
            Err(error) => {
                let outcome = Err(error);
                self.outbox.effect(Output::TransferEnded { token, outcome });
            }
        }
    }

    fn transfer_target(&self, to: Option<NodeId>) -> Result<usize, TransferError> {
        if !matches!(self.role, Role::Leading(_)) {
            let hint = self.leader_hint();
            return Err(TransferError::NotLeader { hint });
        }
        if self.transfer.is_some() {
            return Err(TransferError::Busy);
        }
        let Some(to) = to else {
            return self.successor(0).ok_or(TransferError::NoTarget);
        };
        let position = self.weights.position(to);
        let target = position.filter(|&p| p != self.me && self.weights.weight(p) > 0);
        target
            .filter(|&p| self.peer(p).is_able)
            .ok_or(TransferError::BadTarget)
    }

    /// Whoever suits best, among those that are up and able, of at least this priority: the
    /// highest priority first, then the longest log.
    pub(super) fn successor(&self, priority_min: u32) -> Option<usize> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let suits = |&position: &usize| {
            let peer = self.peer(position);
            self.weights.weight(position) > 0
                && peer.is_able
                && peer.priority >= priority_min
                && peer.is_up(self.now, &self.config)
                && leading.progress(position).stage == Stage::Synced
        };
        let rank = |&position: &usize| {
            let first = std::cmp::Reverse(position);
            (
                self.peer(position).priority,
                leading.matched(position),
                first,
            )
        };
        self.others().filter(suits).max_by_key(rank)
    }

    pub(super) fn begin_transfer(&mut self, token: Option<Token>, target: usize) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        self.transfer = Some(Transfer {
            token,
            target,
            ballot: leading.ballot,
            ends_after: self.election.round() + u64::from(self.config.transfer_rounds_max),
            phase: Phase::Draining,
        });
        let to = self.id(target);
        self.outbox.notice(Notice::Transferring { to });
    }

    /// To whom this leader hands over.
    pub(super) fn hands_over_to(&self) -> Option<NodeId> {
        let leads = matches!(self.role, Role::Leading(_));
        let transfer = self.transfer.as_ref().filter(|_| leads)?;
        Some(self.id(transfer.target))
    }

    /// Goes on with the transfer after anything has happened.
    pub(super) fn advance_transfer(&mut self) {
        let Some(Transfer { ballot, target, .. }) = self.transfer else {
            return;
        };
        let leads = matches!(&self.role, Role::Leading(leading) if leading.ballot == ballot);
        match self.transfer.as_ref().map(|transfer| transfer.phase) {
            Some(Phase::Draining) if leads => self.tell_target(),
            Some(Phase::Draining) => {
                // Whoever asked for it might ask the next leader to move it once more.
                self.yield_on_request();
                self.end_transfer(Err(TransferError::Unclear));
            }
            Some(Phase::Told) if !leads => self.release(),
            Some(Phase::Released) if self.acc > ballot => {
                let is_target = self.acc.node == self.id(target);
                self.end_transfer(is_target.then_some(()).ok_or(TransferError::Unclear));
            }
            Some(Phase::Told | Phase::Released) | None => {}
        }
    }

    /// Whether everything that this leader has proposed is decided, and handed to the driver in
    /// this very drain: whoever waits for it learns its outcome, whatever comes of the leadership.
    fn owes_nothing(&self) -> bool {
        let last = self.log.last();
        let waiting = self.log.cost(self.applied, last);
        self.commit == last && waiting <= self.config.unapplied_bytes_max
    }

    /// Tells the target to take over, once it has all that this leader has proposed, and all of
    /// that is decided.
    fn tell_target(&mut self) {
        let (last, owes_nothing) = (self.log.last(), self.owes_nothing());
        let (Some(transfer), Role::Leading(leading)) = (&mut self.transfer, &mut self.role) else {
            return;
        };
        let target = transfer.target;
        let is_level =
            leading.progress(target).stage == Stage::Synced && leading.matched(target) == last;
        let is_able = self.peers.get(target).is_some_and(|peer| peer.is_able);
        if !is_level || !is_able || !owes_nothing {
            return;
        }
        if let Some(book) = &mut leading.lease {
            book.void();
        }
        transfer.phase = Phase::Told;
        let ballot = leading.ballot;
        let message = Message::TransferNow(TransferNow { ballot, last });
        self.outbox.send(target, message);
    }

    /// The leadership is given up: what comes of it takes its time.
    fn release(&mut self) {
        let rounds = u64::from(self.config.transfer_rounds_max);
        let ends_after = self.election.round() + rounds;
        if let Some(transfer) = &mut self.transfer {
            (transfer.phase, transfer.ends_after) = (Phase::Released, ends_after);
        }
        self.yield_on_request();
    }

    /// Whoever asked for the transfer does not want the leadership back here at once, for
    /// priority's sake.
    fn yield_on_request(&mut self) {
        if self.transfer.as_ref().is_some_and(|t| t.token.is_some()) {
            self.preference.yields(self.election.round());
        }
    }

    fn end_transfer(&mut self, outcome: Result<(), TransferError>) {
        if let Some(Transfer {
            token: Some(token), ..
        }) = self.transfer.take()
        {
            self.outbox.effect(Output::TransferEnded { token, outcome });
        }
    }

    /// Once a round: tells the target again, or takes the leadership back.
    pub(super) fn tend_transfer(&mut self) {
        self.advance_transfer();
        let Some(transfer) = &self.transfer else {
            return;
        };
        let is_late = self.election.round() >= transfer.ends_after;
        match transfer.phase {
            Phase::Draining if is_late => self.end_transfer(Err(TransferError::TimedOut)),
            Phase::Released if is_late => self.end_transfer(Err(TransferError::Unclear)),
            Phase::Told if is_late => {
                self.end_transfer(Err(TransferError::Unclear));
                self.step_down(StepDown::TransferTimeout);
                if self.is_able() && self.next_ballot().is_some() {
                    self.campaign();
                    self.try_adopt();
                }
            }
            Phase::Told => self.tell_target(),
            Phase::Draining | Phase::Released => {}
        }
    }

    /// The leader lets this node take over.
    pub(super) fn on_transfer_now(&mut self, from: usize, m: &TransferNow) {
        if !self.plausible(from, m.ballot) {
            return self.ignore(from, "TransferNow", IgnoreReason::BadBallot);
        }
        let is_level = self.meta.promised == m.ballot
            && self.acc == m.ballot
            && self.log.last() == m.last
            && matches!(self.role, Role::Follower);
        if !is_level {
            return self.ignore(from, "TransferNow", IgnoreReason::Stale);
        }
        let could_lead = self.outbox.is_booted() && self.is_able() && self.hears_quorum();
        if could_lead && self.next_ballot().is_some() {
            self.campaign();
            self.try_adopt();
        }
    }

    /// Whether enough members answer heartbeats, and are able to help, for this node to lead.
    fn hears_quorum(&self) -> bool {
        let mut helpers = Voters::NONE;
        helpers.insert(self.me);
        for position in self.others() {
            let peer = self.peer(position);
            if peer.is_able && peer.is_up(self.now, &self.config) {
                helpers.insert(position);
            }
        }
        self.weights.prepare_quorum(helpers).is_some()
    }

    /// Asserts that a leader which told its successor to take over stands still.
    pub(super) fn check_transfer(&self) {
        let Some(transfer) = &self.transfer else {
            return;
        };
        assert!(transfer.target != self.me, "hands over to itself");
        assert!(
            self.weights.weight(transfer.target) > 0,
            "hands over to a member without weight"
        );
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if transfer.phase == Phase::Told && leading.ballot == transfer.ballot {
            let matched = leading.matched(transfer.target);
            let (commit, last) = (self.commit, self.log.last());
            assert!(matched == last, "proposed ({matched}, {last}] handing over");
            assert!(commit == last, "({commit}, {last}] undecided handing over");
            let book = leading.lease.as_ref();
            assert!(
                book.is_none_or(super::lease::LeaseBook::is_void),
                "a lease while handing over"
            );
        }
    }
}
