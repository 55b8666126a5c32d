//! When a node takes over: whether it may, and how long it lets others go first.
//! Knows nothing about what happens then.

use rand_core::Rng;

use crate::quorum::Voters;
use crate::time::Span;

use super::{Replica, Role};

/// A node that lags waits this many turns of all members at most: what a peer says to be decided
/// may be wrong.
const LAG_TURNS_MAX: u64 = 8;

/// After a failed attempt the others get this many intervals more to come to lead.
const OTHERS_FIRST: u64 = 4;

impl Replica {
    /// Takes over if that is called for: plans it, or does it when this round was asked for that.
    /// Before the round is over, what is lacking may still come.
    pub(super) fn tend_takeover(&mut self, is_over: bool) {
        let mut helpers = Voters::NONE;
        helpers.insert(self.me);
        let mut anybody_happy = self.election.is_happy();
        for position in self.others() {
            if let Some(reply) = self.reply(position) {
                anybody_happy |= reply.happy;
                // Who does not answer on the quorum lane as well could not help.
                if reply.able && self.election.echoes.contains(position) {
                    helpers.insert(position);
                }
            }
        }
        let helped = self.weights.prepare_quorum(helpers).is_some();
        if anybody_happy || !self.may_lead() || (is_over && !helped) {
            self.election.takeover = None;
            self.election.confirming = false;
        } else if helped && self.election.confirming {
            self.campaign();
            self.try_adopt();
        } else if helped && self.election.takeover.is_none() {
            let at = self.now + self.takeover_delay();
            self.election.takeover = Some((at, self.meta.promised));
        }
    }

    fn may_lead(&self) -> bool {
        let follows = matches!(self.role, Role::Follower);
        follows && self.is_able() && self.outbox.is_booted() && self.next_ballot().is_some()
    }

    /// It is this node's turn. What it was told is as old as its turn was long, and somebody may
    /// have come to lead meanwhile that it does not hear itself: it asks once more, and tries at
    /// once if nothing has changed.
    pub(super) fn confirm_takeover(&mut self) {
        self.election.confirming = true;
        self.ask_all();
        // Nobody to be asked is an answer, too.
        self.judge_early();
    }

    /// One step a rank, so that two nodes rarely collide: whoever is wanted more comes first. Later
    /// for a node that lags behind, and random within the step. Whoever failed lets all others go
    /// first: its attempt met something that nobody can see beforehand, such as a disk that hangs.
    fn takeover_delay(&mut self) -> Span {
        let step = self.config.heartbeat_interval.divided(4);
        let heard = self
            .others()
            .filter_map(|p| self.reply(p).map(|reply| reply.commit))
            .max()
            .unwrap_or_default();
        let lag = heard.distance(self.log.last()) / self.config.lag_limit;
        let lag = lag.min(LAG_TURNS_MAX);
        let ranks = self
            .rank()
            .saturating_add(lag.saturating_mul(self.peers.len() as u64));
        let jitter = self.election.rng.next_u64() % step.nanos().max(1);
        let others_first = if self.election.failures > 0 {
            let interval = self.config.heartbeat_interval;
            interval.times(OTHERS_FIRST) + step.times(self.peers.len() as u64)
        } else {
            Span::ZERO
        };
        others_first + step.times(ranks) + Span::from_nanos(jitter)
    }

    /// How many members come before this one, by priority and then in their own order.
    fn rank(&self) -> u64 {
        let own = (std::cmp::Reverse(self.priority()), self.me);
        let theirs = |position| (std::cmp::Reverse(self.peer(position).priority), position);
        let before = self.others().filter(|&position| theirs(position) < own);
        before.count() as u64
    }
}
