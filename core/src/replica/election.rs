//! Ballot leader election: who may try to lead, and when (OmniPaxos, EuroSys '23, section 5,
//! restated with weights). Knows nothing about logs: safety never depends on it.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::config::Config;
use crate::message::{Heartbeat, HeartbeatReply, Message};
use crate::output::{IgnoreReason, Notice, StepDown};
use crate::quorum::Voters;
use crate::record::Meta;
use crate::time::{Span, Time};
use crate::types::{Ballot, NodeId, Slot};

use super::{Replica, Role};

/// A round waits for a peer that is silent but not given up at most this many intervals.
const ROUND_STRETCH_MAX: u64 = 3;

/// Everything that deciding who may try needs.
#[derive(Clone, Debug)]
pub(super) struct Election {
    round: u64,
    started: Time,
    /// When the round ends, unless a silent peer is worth waiting for.
    ends: Time,
    /// Answers to this round, by position.
    replies: Vec<Option<HeartbeatReply>>,
    /// The highest ballot that somebody owns or that was promised here.
    leader: Ballot,
    happy: bool,
    /// Highest ballot number ever seen.
    n_seen: u64,
    /// When to take over, and what was promised when that was planned.
    pub(super) takeover: Option<(Time, Ballot)>,
    /// Attempts in a row that came to nothing, although enough nodes answered heartbeats.
    pub(super) failures: u32,
    /// Members whose promises contradicted the others'.
    distrusted: Vec<usize>,
    /// The commit at the end of the last round, and for how many rounds it stayed the same.
    commit_before: (Slot, u32),
    pub(super) rng: ChaCha8Rng,
}

impl Election {
    pub(super) fn new(config: &Config, meta: &Meta, members: usize, now: Time) -> Self {
        Self {
            round: meta.boot << 32,
            started: now,
            ends: now,
            replies: vec![None; members],
            leader: meta.promised,
            happy: false,
            n_seen: meta.promised.n,
            takeover: None,
            failures: 0,
            distrusted: Vec::new(),
            commit_before: (Slot::ZERO, 0),
            rng: ChaCha8Rng::seed_from_u64(config.seed ^ meta.boot),
        }
    }

    pub(super) const fn is_happy(&self) -> bool {
        self.happy
    }

    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    pub(super) const fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// Whoever owns the leading ballot, while this node is content with it.
    pub(super) fn working_leader(&self, me: NodeId) -> Option<NodeId> {
        let owner = self.leader.node;
        (self.happy && owner != me && owner != NodeId::NONE).then_some(owner)
    }

    /// Remembers a ballot number, so that the next attempt exceeds it.
    pub(super) fn saw(&mut self, ballot: Ballot) {
        self.n_seen = self.n_seen.max(ballot.n);
    }

    /// This node tries: it is content until it has failed.
    pub(super) fn campaigning(&mut self, ballot: Ballot) {
        self.leader = ballot;
        self.happy = true;
        self.takeover = None;
    }

    /// This node no longer leads or tries.
    pub(super) const fn deposed(&mut self) {
        self.happy = false;
    }

    /// An attempt came to nothing: no quorum of promises, or none of syncs.
    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// An attempt succeeded.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// `rounds`, doubled for each failure in a row: answers that wait for slow disks must get
    /// through some day, while dead connections should be given up soon.
    pub(super) fn patience(&self, rounds: u32) -> u64 {
        u64::from(rounds) << self.failures.min(4)
    }

    pub(super) fn distrust(&mut self, position: usize) {
        self.distrusted.push(position);
    }

    pub(super) fn distrusts(&self, position: usize) -> bool {
        self.distrusted.contains(&position)
    }

    pub(super) fn trust_all(&mut self) {
        self.distrusted.clear();
    }

    pub(super) const fn commit_is_stuck(&self, commit: Slot) -> bool {
        self.commit_before.0.get() == commit.get() && self.commit_before.1 >= 2
    }
}

impl Replica {
    /// Does whatever is due; called after every input, so that it never depends on `Wake` alone.
    pub(super) fn on_time(&mut self) {
        if self.disk_is_stalled() && !matches!(self.role, Role::Follower) {
            self.step_down(StepDown::DiskStalled);
        }
        if self.now >= self.round_deadline() {
            self.end_round();
            self.begin_round();
        }
        if let Some((at, promised)) = self.election.takeover
            && self.now >= at
        {
            self.election.takeover = None;
            let unchanged = promised == self.meta.promised;
            let may_try = self.is_able() && self.next_ballot().is_some();
            if unchanged && matches!(self.role, Role::Follower) && may_try {
                self.campaign();
                self.try_adopt();
            }
        }
        self.tend_deferral();
        self.tend_commit_news();
    }

    /// The next instant at which something is due.
    pub(super) fn deadline(&self) -> Time {
        let mut deadline = self.round_deadline();
        if let Some((at, _)) = self.election.takeover {
            deadline = deadline.min(at);
        }
        if let Role::Leading(leading) = &self.role {
            let due = leading.commit_news_at().into_iter();
            deadline = due.chain(self.defers_until()).fold(deadline, Time::min);
        }
        if let Some(since) = self.outbox.oldest_in_flight()
            && !matches!(self.role, Role::Follower)
        {
            deadline = deadline.min(since + self.config.disk_stall_limit + Span::from_nanos(1));
        }
        deadline
    }

    /// When the round is over: at its end, or while somebody who is not given up yet is silent,
    /// when the last of those is.
    pub(super) fn round_deadline(&self) -> Time {
        let ends = self.election.ends;
        if self.now < ends {
            return ends;
        }
        let silent = self.others().filter(|&p| self.reply(p).is_none());
        let patience = silent
            .filter_map(|p| self.peer(p).detector.suspect_at(&self.config))
            .max();
        let stretch = self.config.heartbeat_interval.times(ROUND_STRETCH_MAX);
        let longest = self.election.started + stretch;
        patience.map_or(ends, |at| at.min(longest).max(ends))
    }

    fn begin_round(&mut self) {
        self.election.round += 1;
        self.election.started = self.now;
        self.election.ends = self.now + self.config.heartbeat_interval;
        self.election.replies.fill(None);
        let round = self.election.round;
        for to in self.others() {
            self.outbox
                .send(to, Message::Heartbeat(Heartbeat { round }));
        }
    }

    pub(super) fn on_heartbeat(&mut self, from: usize, m: &Heartbeat) {
        let reply = HeartbeatReply {
            round: m.round,
            ballot: self.own_ballot(),
            leader: self.election.leader,
            happy: self.election.happy,
            able: self.is_able(),
            commit: self.commit,
            priority: self.priority(),
        };
        self.outbox.send(from, Message::HeartbeatReply(reply));
    }

    pub(super) fn on_heartbeat_reply(&mut self, from: usize, m: HeartbeatReply) {
        if m.round != self.election.round {
            // Only the present round counts: a link that works one way is no link.
            return self.ignore(from, "HeartbeatReply", IgnoreReason::Stale);
        }
        let own = m.ballot;
        if !self.is_believable(own) || own.node != self.id(from) || own.epoch != self.epoch() {
            return self.ignore(from, "HeartbeatReply", IgnoreReason::BadBallot);
        }
        self.election.saw(own);
        let now = self.now;
        let config = &self.config;
        let peer = self
            .peers
            .get_mut(from)
            .expect("positions come from the weights");
        peer.detector.arrived(now, config);
        peer.commit = m.commit;
        (peer.is_able, peer.priority) = (m.able, m.priority);
        peer.content_with = m.happy.then_some(m.leader.node);
        if let Some(place) = self.election.replies.get_mut(from) {
            *place = Some(m);
        }
    }

    /// Draws the round's conclusions.
    fn end_round(&mut self) {
        self.report_peers();
        let commit = self.commit;
        let (before, rounds) = self.election.commit_before;
        self.election.commit_before = (
            commit,
            if before == commit {
                rounds.saturating_add(1)
            } else {
                0
            },
        );
        let was_happy = self.election.happy;
        let leader_is_new = self.raise_leader();
        // A new leader has a round to show itself. Without it, whoever follows it looks unhappy
        // to the one it replaced; if those two cannot hear each other, they replace each other
        // for ever (the chained scenario).
        let grace = leader_is_new && was_happy && !self.disk_is_stalled();
        self.election.happy = grace || self.judge_happiness();
        self.judge_leadership();
        if leader_is_new {
            // Answers to this round were given before it came: the next round judges it.
            self.election.takeover = None;
        } else {
            self.plan_takeover();
        }
        self.tend_campaign();
        self.tend_peers();
        self.tend_catch_up();
        self.tend_question();
        self.tend_freshness();
        self.tend_preference();
        self.tend_transfer();
        self.tend_state_sync();
        self.trim();
    }

    /// Adopts the highest ballot that somebody *owns*. What others follow is not adopted: that
    /// gossip is what lets a half-connected node chase leaders for ever. Returns whether the
    /// leader changed.
    fn raise_leader(&mut self) -> bool {
        let owned = self
            .election
            .replies
            .iter()
            .flatten()
            .map(|reply| reply.ballot)
            .max();
        // A ballot promised here counts, too: its owner may have died with it, and whoever needs
        // this node's promise must find it unhappy.
        let leader = owned
            .unwrap_or_default()
            .max(self.election.leader)
            .max(self.meta.promised);
        let changed = leader > self.election.leader;
        self.election.leader = leader;
        if changed && leader.n > 0 && leader.node != self.meta.node {
            self.outbox.notice(Notice::Following { ballot: leader });
        }
        changed
    }

    fn judge_happiness(&self) -> bool {
        if self.disk_is_stalled() {
            return false;
        }
        let leader = self.election.leader;
        let replies = || self.election.replies.iter().flatten();
        let owns = !matches!(self.role, Role::Follower) && self.own_ballot() == leader;
        if !owns {
            return replies().any(|reply| reply.ballot == leader && reply.happy);
        }
        let mut supporters = Voters::NONE;
        supporters.insert(self.me);
        for position in self.others() {
            if self
                .reply(position)
                .is_some_and(|r| r.able && r.leader <= leader)
            {
                supporters.insert(position);
            }
        }
        let supported = self.weights.accept_quorum(supporters).is_some();
        (supported && self.probes_answered())
            || replies().any(|reply| reply.leader > leader && reply.happy)
    }

    /// A leader or candidate that is unhappy, or knows of a higher ballot, gives up.
    fn judge_leadership(&mut self) {
        if matches!(self.role, Role::Follower) {
            return;
        }
        if self.election.leader > self.own_ballot() {
            let happy = self.election.happy;
            self.step_down(StepDown::HigherBallot);
            self.election.happy = happy;
        } else if !self.election.happy {
            self.step_down(StepDown::NoQuorum);
        }
    }

    /// Whether this node could help a leader, or be one.
    pub(super) fn is_able(&self) -> bool {
        self.meta.damaged.is_none() && self.weights.weight(self.me) > 0 && !self.disk_is_stalled()
    }

    /// Leadership needs a disk that moves: a leader whose disk hangs keeps everybody quiet and
    /// decides nothing.
    fn disk_is_stalled(&self) -> bool {
        let since = self.outbox.oldest_in_flight();
        since.is_some_and(|since| self.now.since(since) > self.config.disk_stall_limit)
    }

    fn report_peers(&mut self) {
        for position in self.others() {
            let (now, up) = (self.now, self.peer(position).is_up(self.now, &self.config));
            let peer = self.peer_mut(position);
            if peer.reported_up != up {
                peer.reported_up = up;
                let node = peer.id;
                let notice = if up {
                    Notice::PeerUp { node }
                } else {
                    Notice::PeerDown { node }
                };
                self.outbox.notice(notice);
            }
            debug_assert!(now >= self.election.started, "time went back");
        }
    }

    pub(super) fn reply(&self, position: usize) -> Option<&HeartbeatReply> {
        self.election.replies.get(position).and_then(Option::as_ref)
    }
}
