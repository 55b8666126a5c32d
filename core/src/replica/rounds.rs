//! The rounds of heartbeats: who is asked when, and whose answer counts for which round.
//! Knows nothing about what is concluded from the answers.

use crate::message::{Heartbeat, HeartbeatReply, Message};
use crate::output::IgnoreReason;
use crate::quorum::Voters;
use crate::time::Time;

use super::{Replica, Role};

/// A round waits for a peer that is silent but not given up at most this many intervals.
const ROUND_STRETCH_MAX: u64 = 3;

impl Replica {
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

    pub(super) fn begin_round(&mut self) {
        let interval = self.config.heartbeat_interval;
        self.election.started = self.now;
        self.election.ends = self.now + interval;
        self.election.again_at = Some(self.now + interval.divided(2));
        self.ask_all();
    }

    /// Whether everybody has answered this round who is not given up.
    pub(super) fn is_answered(&self) -> bool {
        let is_up = |p: usize| self.peer(p).is_up(self.now, &self.config);
        self.others().all(|p| self.reply(p).is_some() || !is_up(p))
    }

    /// Asks everybody anew: only what is answered from now on counts. Whoever has no leader asks
    /// on the quorum lane as well: only who answers on both could help it to lead.
    pub(super) fn ask_all(&mut self) {
        self.election.round += 1;
        self.election.asked = self.now;
        self.election.replies.fill(None);
        self.election.echoes = Voters::NONE;
        let tests_data = !self.election.is_happy();
        for to in self.others() {
            self.ask_one(to, false);
            if tests_data {
                self.ask_one(to, true);
            }
        }
    }

    fn ask_one(&mut self, to: usize, data: bool) {
        let (round, happy) = (self.election.round, self.election.is_happy());
        let question = Heartbeat { round, data, happy };
        self.outbox.send(to, Message::Heartbeat(question));
    }

    /// In the middle of a round, asks whoever is silent once more: a single message that is lost
    /// must not cost a leader its office, nor a cluster the round in which it finds one. Whoever
    /// has no leader, and every answer, asks all of them again: more may have noticed by now.
    pub(super) fn ask_again(&mut self) {
        self.election.again_at = None;
        let tests_data = !self.election.is_happy();
        if tests_data && matches!(self.role, Role::Follower) && self.is_answered() {
            return self.ask_all();
        }
        let round = self.election.round;
        for to in self.others() {
            let answered = self.reply(to).is_some();
            if !answered && self.peer(to).is_up(self.now, &self.config) {
                self.ask_one(to, false);
            }
            if tests_data && answered && !self.election.echoes.contains(to) {
                self.ask_one(to, true);
            }
            if answered && let Role::Leading(leading) = &mut self.role {
                let progress = leading.progress_mut(to);
                progress.probe_due |= progress.answered_in < round;
            }
        }
    }

    /// Notes, for people, that the peer speaks about the log, too.
    pub(super) fn note_data_heard(&mut self, from: usize, body: &Message) {
        let round = self.election.round();
        match body {
            Message::Promise(_)
            | Message::Accepted(_)
            | Message::Nack(_)
            | Message::Fetch(_)
            | Message::FetchChunk(_) => self.peer_mut(from).data_heard_in = round,
            Message::Prepare(_)
            | Message::Accept(_)
            | Message::Learn(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatReply(_)
            | Message::Offer(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::TransferNow(_) => {}
        }
    }

    /// Once a round, for people: notes who answers heartbeats only. A leader asks whoever is synced
    /// on the quorum lane by its probes, and whoever has no leader asks by a heartbeat there. What
    /// others are sent they may have to write first, or to fetch.
    pub(super) fn note_data_lanes(&mut self) {
        let round = self.election.round;
        for position in self.others() {
            let heard = self.peer(position).data_heard_in >= round;
            let asks_and_hears = match &self.role {
                Role::Leading(leading) => {
                    let asks = leading.progress(position).asked_in >= round;
                    (asks || heard).then_some(heard)
                }
                Role::Follower if !self.election.is_happy() => {
                    Some(self.election.echoes.contains(position))
                }
                Role::Follower | Role::Preparing(_) => None,
            };
            let answered = self.reply(position).is_some();
            let peer = self.peer_mut(position);
            match asks_and_hears {
                Some(false) if answered => peer.data_silent = peer.data_silent.saturating_add(1),
                // Not asked, or silent on both lanes: nothing new is known.
                Some(false) => {}
                Some(true) | None => peer.data_silent = 0,
            }
        }
    }

    pub(super) fn on_heartbeat(&mut self, from: usize, m: &Heartbeat) {
        let reply = HeartbeatReply {
            round: m.round,
            data: m.data,
            ballot: self.own_ballot(),
            leader: self.election.leader(),
            happy: self.election.is_happy(),
            able: self.is_able(),
            commit: self.commit,
            priority: self.priority(),
            fresh: self.freshness_told(),
        };
        self.outbox.send(from, Message::HeartbeatReply(reply));
        let thought_happy = self.reply(from).is_some_and(|reply| reply.happy);
        if !m.happy && thought_happy && matches!(self.role, Role::Follower) {
            // News: whoever depends on it need not wait for the next round.
            self.ask_all();
        }
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
        peer.commit = m.commit;
        (peer.is_able, peer.priority) = (m.able, m.priority);
        peer.content_with = m.happy.then_some(m.leader.node);
        let told = m.fresh.map(|age| (m.commit, age));
        if m.data {
            self.election.echoes.insert(from);
        } else if let Some(place) = self.election.replies.get_mut(from) {
            // The rhythm is that of the rounds, however often one asks.
            if place.is_none() {
                peer.detector.arrived(now, config);
            }
            *place = Some(m);
        }
        if let Some((commit, age)) = told {
            self.hear_freshness(commit, age);
        }
        self.judge_early();
    }
}
