//! What stands in the way now, gathered from where each part is known.
//! Knows nothing about words, and changes nothing: it may be asked at any time.

use crate::explain::{Explanation, Finding};
use crate::quorum::Voters;
use crate::types::{NodeId, Slot};

use super::leader::Leading;
use super::progress::Stage;
use super::{Replica, Role};

/// Rounds without an answer on the quorum lane that may be chance.
const DATA_SILENT_MIN: u32 = 3;

impl Replica {
    /// Why nobody leads, why a peer is behind, what proposals and reads wait for: the most
    /// important first. Nothing when nothing stands in the way of anything.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let mut findings = Vec::new();
        if self.leader_hint().is_none() {
            self.explain_leaderless(&mut findings);
        }
        findings.extend(self.explain_transfer());
        self.explain_local(&mut findings);
        self.explain_proposals(&mut findings);
        findings.extend(self.explain_reads());
        self.explain_peers(&mut findings);
        Explanation { findings }
    }

    /// Those of `positions` that are wanted, as people know them.
    fn nodes(&self, wanted: impl Fn(usize) -> bool) -> Vec<NodeId> {
        let all = 0..self.peers.len();
        all.filter(|&p| wanted(p)).map(|p| self.id(p)).collect()
    }

    fn is_heard(&self, position: usize) -> bool {
        self.peer(position).is_up(self.now, &self.config)
    }

    fn counts(&self, position: usize) -> bool {
        self.weights.weight(position) > 0
    }

    fn weight_of(&self, wanted: impl Fn(usize) -> bool) -> u64 {
        let all = (0..self.peers.len()).filter(|&p| wanted(p));
        all.map(|p| self.weights.weight(p)).sum()
    }

    fn explain_leaderless(&self, findings: &mut Vec<Finding>) {
        if let Role::Preparing(preparing) = &self.role {
            return findings.push(self.explain_campaign(preparing));
        }
        let helps = |p: usize| {
            (p == self.me && self.is_able()) || (self.is_heard(p) && self.peer(p).is_able)
        };
        let (weight, total) = (self.weight_of(helps), self.weight_of(|_| true));
        if 2 * weight <= total {
            let other = |p: usize| p != self.me && self.counts(p);
            findings.push(Finding::NoQuorum {
                weight,
                total,
                silent: self.nodes(|p| other(p) && !self.is_heard(p)),
                unable: self.nodes(|p| other(p) && self.is_heard(p) && !self.peer(p).is_able),
            });
        }
        for position in self.others().filter(|&p| self.is_heard(p)) {
            let peer = self.peer(position);
            if let Some(leader) = peer.content_with
                && leader != self.meta.node
            {
                findings.push(Finding::PeerContent {
                    peer: peer.id,
                    leader,
                });
            }
        }
        if let Some((at, _)) = self.election.takeover {
            let remaining = at.since(self.now);
            findings.push(Finding::WaitsForTurn { remaining });
        } else if findings.is_empty() && self.is_able() && self.outbox.is_booted() {
            let remaining = self.round_deadline().since(self.now);
            findings.push(Finding::RoundUnderWay { remaining });
        }
    }

    fn explain_campaign(&self, preparing: &super::Preparing) -> Finding {
        let ballot = preparing.ballot;
        let has_promised = |p: usize| p == self.me || preparing.has_promise_of(p);
        let missing = self.nodes(|p| self.counts(p) && !has_promised(p));
        let own_promise = !self.outbox.is_durable(preparing.own_promise());
        let weight = self.weight_of(has_promised);
        if 2 * weight > self.weight_of(|_| true) && !own_promise {
            let commit = self.commit;
            return Finding::AdoptionLacks { ballot, commit };
        }
        Finding::Campaigning {
            ballot,
            missing,
            own_promise,
            rounds_left: preparing.rounds_left(self.election.round()),
        }
    }

    fn explain_transfer(&self) -> Option<Finding> {
        let to = self.hands_over_to()?;
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let position = self.weights.position(to)?;
        Some(Finding::HandingOver {
            to,
            slots: self.log.last().distance(leading.matched(position)),
            undecided: self.log.last().distance(self.commit),
            told: self.transfer.as_ref().is_some_and(|t| t.is_told()),
        })
    }

    fn explain_local(&self, findings: &mut Vec<Finding>) {
        if let Some(promised) = self.meta.damaged {
            findings.push(Finding::Damaged { promised });
        }
        if let Some(since) = self.outbox.oldest_in_flight() {
            let waiting = self.now.since(since);
            if waiting >= self.config.resend_after {
                let stalled = self.disk_is_stalled();
                findings.push(Finding::DiskSlow { waiting, stalled });
            }
        }
        if !self.counts(self.me) && self.leader_hint().is_none() {
            findings.push(Finding::Weightless);
        }
        if !self.outbox.is_booted() {
            findings.push(Finding::Starting);
        }
        if self.applied < self.commit {
            let (applied, commit) = (self.applied, self.commit);
            findings.push(Finding::Executing { applied, commit });
        }
        if let Some(incoming) = &self.incoming {
            let (id, have) = incoming.progress();
            findings.push(Finding::FetchingSnapshot {
                slot: id.slot,
                have,
                bytes: id.bytes,
                gets_on: incoming.gets_on(),
            });
        }
        let ballot = self.meta.promised;
        let follows = matches!(self.role, Role::Follower) && self.leader_hint().is_some();
        if follows && self.acc < ballot {
            let heard = self.others().map(|p| self.peer(p).commit).max();
            findings.push(Finding::NotSynced {
                ballot,
                commit: self.commit,
                heard: heard.unwrap_or_default().max(self.commit),
            });
        }
    }

    fn explain_proposals(&self, findings: &mut Vec<Finding>) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if let Some(at) = self.defers_until() {
            let remaining = at.since(self.now);
            findings.push(Finding::Deferring { remaining });
        }
        let (commit, last) = (self.commit, self.log.last());
        let (entries, bytes) = (last.distance(commit), self.log.cost(commit, last));
        if entries == 0 {
            return;
        }
        let confirmed = |p: usize| leading.matched(p) > commit;
        let largest = self.config.value_bytes_max + crate::Entry::OVERHEAD as u64;
        findings.push(Finding::Proposals {
            entries,
            bytes,
            waiting: self.now.since(leading.undecided_since),
            missing: self.nodes(|p| p != self.me && self.counts(p) && !confirmed(p)),
            own_disk: self.counts(self.me) && !confirmed(self.me),
            weight: self.weight_of(confirmed),
            total: self.weight_of(|_| true),
            full: entries >= self.config.in_flight_entries_max
                || bytes + largest > self.config.in_flight_bytes_max,
        });
    }

    fn explain_reads(&self) -> Option<Finding> {
        let reads = self.reader.waiting();
        if reads == 0 {
            return None;
        }
        if let Some((leader, rounds)) = self.asks(self.election.round()) {
            return Some(Finding::ReadsAsked {
                reads,
                leader,
                rounds,
            });
        }
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let (commit, adopted_last) = (self.commit, leading.adopted_last);
        if commit < adopted_last {
            return Some(Finding::ReadsBeforeAdoption {
                reads,
                commit,
                adopted_last,
            });
        }
        let answered = self.probe_voters().unwrap_or(Voters::NONE);
        let is_sent = self.probe_voters().is_some();
        let missing = self.nodes(|p| is_sent && self.counts(p) && !answered.contains(p));
        Some(Finding::ReadsUnproven { reads, missing })
    }

    fn explain_peers(&self, findings: &mut Vec<Finding>) {
        for position in self.others() {
            let peer = self.peer(position).id;
            if !self.is_heard(position) {
                let heard = self.peer(position).detector.last_heard();
                let silence = heard.map(|at| self.now.since(at));
                findings.push(Finding::Silent { peer, silence });
            } else if !self.peer(position).is_able && self.counts(position) {
                findings.push(Finding::Unable { peer });
            }
            let rounds = self.peer(position).data_silent;
            if rounds >= DATA_SILENT_MIN && self.is_heard(position) {
                let rounds = u64::from(rounds);
                findings.push(Finding::DataSilent { peer, rounds });
            }
            if let Role::Leading(leading) = &self.role {
                findings.extend(self.explain_peer(leading, position));
            }
        }
    }

    /// What stands between a peer and the end of this leader's log.
    fn explain_peer(&self, leading: &Leading, position: usize) -> Option<Finding> {
        let (peer, progress) = (self.id(position), leading.progress(position));
        if let Some((id, upto, at)) = progress.fetches
            && leading.matched(position) < id.slot
        {
            return Some(Finding::SendingSnapshot {
                peer,
                slot: id.slot,
                sent: upto.min(id.bytes),
                bytes: id.bytes,
                idle: self.now.since(at),
            });
        }
        match progress.stage {
            Stage::Unpromised => Some(Finding::Unpromised {
                peer,
                ballot: leading.ballot,
                retries: progress.retries,
            }),
            Stage::Behind(at) => Some(Finding::Unsynced {
                peer,
                last: at.last,
                commit: at.commit,
                unanswered: progress.awaiting.then(|| self.now.since(progress.since)),
            }),
            Stage::Synced => self.explain_lag(leading, position),
        }
    }

    fn explain_lag(&self, leading: &Leading, position: usize) -> Option<Finding> {
        let (progress, matched) = (leading.progress(position), leading.matched(position));
        let slots = self.log.last().distance(matched);
        if slots == 0 {
            return None;
        }
        // What is trimmed has no size any more, and is not under way either.
        let from: Slot = matched.max(self.log.base());
        let in_flight = self.log.cost(from, progress.sent.max(from));
        Some(Finding::Lagging {
            peer: self.id(position),
            slots,
            in_flight,
            window_full: in_flight >= self.config.peer_window_bytes_max,
            unanswered: self.now.since(progress.since),
        })
    }
}
