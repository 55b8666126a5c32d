//! Ballot leader election: who may try to lead, and when (OmniPaxos, EuroSys '23, section 5,
//! restated with weights). Knows nothing about logs: safety never depends on it.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::config::Config;
use crate::message::HeartbeatReply;
use crate::output::{Notice, StepDown};
use crate::quorum::Voters;
use crate::record::Meta;
use crate::time::{Span, Time};
use crate::types::{Ballot, NodeId, Slot};

use super::{Replica, Role};

/// A write that takes so many times what the slowest of the last ones took is unusually slow.
const UNUSUALLY_SLOW: u64 = 4;

/// Everything that deciding who may try needs.
#[derive(Clone, Debug)]
pub(super) struct Election {
    pub(super) round: u64,
    pub(super) started: Time,
    /// When the questions of this round were asked first.
    pub(super) asked: Time,
    /// When the round ends, unless a silent peer is worth waiting for.
    pub(super) ends: Time,
    /// When whoever is silent is asked again.
    pub(super) again_at: Option<Time>,
    /// Answers to this round, by position.
    pub(super) replies: Vec<Option<HeartbeatReply>>,
    /// Whoever answered this round on the quorum lane.
    pub(super) echoes: Voters,
    /// The highest ballot that somebody owns or that was promised here.
    leader: Ballot,
    /// The round in which it came to be that.
    rose_in: u64,
    happy: bool,
    /// Highest ballot number ever seen.
    n_seen: u64,
    /// When to take over, and what was promised when that was planned.
    pub(super) takeover: Option<(Time, Ballot)>,
    /// Whether this round is asked to confirm that a takeover is called for.
    pub(super) confirming: bool,
    /// Whoever could help a leader, as of the last round.
    able: Voters,
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
            asked: now,
            ends: now,
            again_at: None,
            replies: vec![None; members],
            echoes: Voters::NONE,
            leader: meta.promised,
            rose_in: 0,
            happy: false,
            n_seen: meta.promised.n,
            takeover: None,
            confirming: false,
            able: Voters::NONE,
            failures: 0,
            distrusted: Vec::new(),
            commit_before: (Slot::ZERO, 0),
            rng: ChaCha8Rng::seed_from_u64(config.seed ^ meta.boot),
        }
    }

    pub(super) const fn is_happy(&self) -> bool {
        self.happy
    }

    pub(super) const fn leader(&self) -> Ballot {
        self.leader
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
        self.confirming = false;
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
        if self.disk_disqualifies() && !matches!(self.role, Role::Follower) {
            self.step_down(StepDown::DiskStalled);
        }
        if self.election.again_at.is_some_and(|at| self.now >= at) {
            self.ask_again();
        }
        if self.now >= self.round_deadline() {
            self.end_round();
            self.begin_round();
        }
        if let Some((at, promised)) = self.election.takeover
            && self.now >= at
        {
            self.election.takeover = None;
            if promised == self.meta.promised && matches!(self.role, Role::Follower) {
                self.confirm_takeover();
            }
        }
        self.tend_deferral();
        self.tend_commit_news();
    }

    /// The next instant at which something is due.
    pub(super) fn deadline(&self) -> Time {
        let mut deadline = self.round_deadline();
        if let Some(at) = self.election.again_at {
            deadline = deadline.min(at);
        }
        if let Some((at, _)) = self.election.takeover {
            deadline = deadline.min(at);
        }
        if let Role::Leading(leading) = &self.role {
            let due = leading.commit_news_at().into_iter();
            deadline = due.chain(self.defers_until()).fold(deadline, Time::min);
        }
        if let Some(since) = self.outbox.oldest_in_flight()
            && !matches!(self.role, Role::Follower)
            && !self.disk_is_stalled()
        {
            deadline = deadline.min(since + self.disk_patience() + Span::from_nanos(1));
        }
        deadline
    }

    /// Draws the round's conclusions.
    fn end_round(&mut self) {
        self.report_peers();
        self.note_able();
        self.note_data_lanes();
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
        let leader_is_new = self.raise_leader() || self.leader_is_new();
        // A new leader has a round to show itself. Without it, whoever follows it looks unhappy
        // to the one it replaced; if those two cannot hear each other, they replace each other
        // for ever (the chained scenario).
        let grace = leader_is_new && was_happy && !self.disk_is_stalled();
        self.election.happy = grace || self.judge_happiness();
        self.judge_leadership();
        if leader_is_new {
            // Answers to this round were given before it came: the next round judges it.
            self.election.takeover = None;
            self.election.confirming = false;
        } else {
            self.tend_takeover(true);
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
        let leader = self.highest_owned();
        let changed = leader > self.election.leader;
        self.election.leader = leader;
        if changed && leader.n > 0 && leader.node != self.meta.node {
            self.outbox.notice(Notice::Following { ballot: leader });
        }
        changed
    }

    fn highest_owned(&self) -> Ballot {
        let replies = self.election.replies.iter().flatten();
        let owned = replies.map(|reply| reply.ballot).max();
        // A ballot promised here counts, too: its owner may have died with it, and whoever needs
        // this node's promise must find it unhappy.
        owned
            .unwrap_or_default()
            .max(self.election.leader)
            .max(self.meta.promised)
    }

    /// Follows a candidate that it has promised: whoever asks now hears that there may be a
    /// leader soon, and does not try at the same time.
    pub(super) fn follow(&mut self, ballot: Ballot) {
        if ballot > self.election.leader {
            self.election.leader = ballot;
            self.election.rose_in = self.election.round;
            self.election.happy = !self.disk_is_stalled();
            self.outbox.notice(Notice::Following { ballot });
        }
    }

    /// Whether answers to this round may have been given before the leader came.
    const fn leader_is_new(&self) -> bool {
        self.election.rose_in == self.election.round
    }

    /// Judges a follower as soon as everybody has answered who is not given up: the rest of the
    /// round could bring nothing new, and a cluster without a leader waits for it. What else the
    /// end of a round calls for stays with that.
    pub(super) fn judge_early(&mut self) {
        // A ballot that is new in this round is judged by the next one.
        let is_new = self.leader_is_new() || self.highest_owned() > self.election.leader;
        if !matches!(self.role, Role::Follower) || is_new || !self.is_answered() {
            return;
        }
        if !self.election.happy {
            self.tend_takeover(false);
        } else if !self.judge_happiness() {
            self.election.happy = false;
            self.ask_all();
        }
    }

    fn judge_happiness(&self) -> bool {
        if self.disk_disqualifies() {
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
        } else if !self.probes_answered() {
            // Others follow a higher leader, which this node does not hear: there is nothing to
            // overbid, but nothing to decide either.
            self.step_down(StepDown::NoQuorum);
            self.election.happy = true;
        }
    }

    /// Whether this node could help a leader, or be one.
    pub(super) fn is_able(&self) -> bool {
        self.meta.damaged.is_none() && self.weights.weight(self.me) > 0 && !self.disk_is_stalled()
    }

    /// Leadership needs a disk that moves: a leader whose disk hangs decides nothing of its own, and
    /// what it cannot write piles up. But where the others are no quorum without it, or wait for
    /// their own disks, another leader would wait for the same disks, and an election on top.
    fn disk_disqualifies(&self) -> bool {
        let leads = matches!(self.role, Role::Leading(_));
        let replaceable = self.weights.prepare_quorum(self.election.able).is_some();
        self.disk_is_stalled() && (replaceable || !leads)
    }

    pub(super) fn disk_is_stalled(&self) -> bool {
        let since = self.outbox.oldest_in_flight();
        since.is_some_and(|since| self.now.since(since) > self.disk_patience())
    }

    /// From when on a write counts as stalled: soon on a disk that is usually fast, so that another
    /// leader takes over soon; later on one that is always slow, which is better than none.
    fn disk_patience(&self) -> Span {
        let unusual = self.outbox.slowest().times(UNUSUALLY_SLOW);
        let (min, max) = (self.config.disk_stall_min, self.config.disk_stall_limit);
        unusual.max(min).min(max)
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

    fn note_able(&mut self) {
        self.election.able = Voters::NONE;
        for position in self.others() {
            if self.reply(position).is_some_and(|reply| reply.able) {
                self.election.able.insert(position);
            }
        }
    }

    pub(super) fn reply(&self, position: usize) -> Option<&HeartbeatReply> {
        self.election.replies.get(position).and_then(Option::as_ref)
    }
}
