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
    /// Takes over if nobody it hears has a leader that works, and enough of them could help.
    pub(super) fn plan_takeover(&mut self) {
        let mut helpers = Voters::NONE;
        helpers.insert(self.me);
        let mut anybody_happy = self.election.is_happy();
        for position in self.others() {
            if let Some(reply) = self.reply(position) {
                anybody_happy |= reply.happy;
                if reply.able {
                    helpers.insert(position);
                }
            }
        }
        let connected = self.weights.prepare_quorum(helpers).is_some();
        let follows = matches!(self.role, Role::Follower);
        if anybody_happy || !connected || !follows || !self.is_able() || !self.outbox.is_booted() {
            self.election.takeover = None;
        } else if self.election.takeover.is_none() {
            let at = self.now + self.takeover_delay();
            self.election.takeover = Some((at, self.meta.promised));
        }
    }

    /// One step a rank, so that two nodes rarely collide: whoever is wanted more comes first. Later
    /// for a node that lags behind, and random within the step. Whoever failed lets all others go first: a node that only
    /// heartbeats reach would else, again and again, be the first to try what it cannot do.
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
