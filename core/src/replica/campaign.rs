//! The candidate: asks for promises and adopts the best log among them (Lamport 2001, phase 1;
//! Sequence Paxos). Knows nothing about why it was told to try.

use crate::message::{Message, Prepare, Promise};
use crate::output::{IgnoreReason, Notice, StepDown};
use crate::quorum::{Prepares, Quorum, Voters};
use crate::time::Time;
use crate::types::{Ballot, Lsn, Slot};

use super::leader::Leading;
use super::progress::Position;
use super::{Replica, Role};

/// What a node has while it asks for promises.
#[derive(Clone, Debug)]
pub(super) struct Preparing {
    pub(super) ballot: Ballot,
    /// Covers the own promise, which counts only when it is durable.
    own_promise: Lsn,
    /// By position; the own one is the replica itself.
    promises: Vec<Option<Promise>>,
    /// The round after which it gives up.
    give_up_after: u64,
    /// The promises are there, and the best log begins behind this node's: what is decided here
    /// when it last asked for what lies between, and when that was.
    fetched: Option<(Slot, Time)>,
}

impl Preparing {
    pub(super) const fn own_promise(&self) -> Lsn {
        self.own_promise
    }

    pub(super) fn has_promise_of(&self, position: usize) -> bool {
        let promise = self.promises.get(position).and_then(Option::as_ref);
        promise.is_some_and(|promise| !promise.damaged)
    }

    pub(super) const fn rounds_left(&self, round: u64) -> u64 {
        self.give_up_after.saturating_sub(round)
    }
}

impl Replica {
    /// Tries to lead in a ballot above everything ever promised or seen here.
    pub(super) fn campaign(&mut self) {
        assert!(self.meta.damaged.is_none(), "a damaged node must not lead");
        assert!(
            self.weights.weight(self.me) > 0,
            "a node without weight must not lead"
        );
        let before = self.meta.promised;
        let ballot = self
            .next_ballot()
            .expect("whoever plans to try has checked that a number is left");
        self.promise(ballot, StepDown::HigherBallot);
        self.role = Role::Preparing(Box::new(Preparing {
            ballot,
            own_promise: self.outbox.barrier(),
            promises: vec![None; self.peers.len()],
            give_up_after: self.election.round()
                + self.election.patience(self.config.prepare_rounds_max),
            fetched: None,
        }));
        self.election.campaigning(ballot);
        self.outbox.notice(Notice::Campaigning { ballot });
        for to in self.others() {
            let prepare = self.make_prepare(ballot);
            self.outbox.send_durable(to, prepare);
        }
        assert!(
            self.meta.promised == ballot && ballot > before,
            "{ballot} after {before}"
        );
    }

    /// A ballot of this node above everything ever promised or seen here; `None` above the last
    /// number that anybody believes.
    pub(super) fn next_ballot(&self) -> Option<Ballot> {
        let n = self.meta.promised.n.max(self.election.n_seen()) + 1;
        (n <= Ballot::N_MAX).then(|| Ballot::new(self.epoch(), n, self.meta.node))
    }

    pub(super) fn make_prepare(&self, ballot: Ballot) -> Message {
        let chain_at_commit = self.log.chain_at(self.commit);
        Message::Prepare(Prepare {
            ballot,
            acc: self.acc,
            last: self.log.last(),
            commit: self.commit,
            chain_at_commit: chain_at_commit.expect("commit <= last, so the log holds it"),
        })
    }

    pub(super) fn on_promise(&mut self, from: usize, m: Promise) {
        if !well_formed(&m) {
            return self.ignore(from, "Promise", IgnoreReason::Malformed);
        }
        let round = self.election.round();
        match &mut self.role {
            Role::Preparing(preparing) if preparing.ballot == m.ballot => {
                if let Some(place) = preparing.promises.get_mut(from) {
                    *place = Some(m);
                }
                self.try_adopt();
            }
            Role::Leading(leading) if leading.ballot == m.ballot => {
                if !m.damaged {
                    leading.progress_mut(from).promised(position(&m), round);
                }
            }
            Role::Follower | Role::Preparing(_) | Role::Leading(_) => {
                self.ignore(from, "Promise", IgnoreReason::Stale);
            }
        }
    }

    /// Adopts the best log once a quorum of promises is there, and leads.
    pub(super) fn try_adopt(&mut self) {
        let Role::Preparing(preparing) = &self.role else {
            return;
        };
        if !self.outbox.is_durable(preparing.own_promise) {
            return;
        }
        let evidence = self.evidence(preparing);
        let mut voters = Voters::NONE;
        voters.insert(self.me);
        for &(from, _) in &evidence {
            voters.insert(from);
        }
        let Some(quorum) = self.weights.prepare_quorum(voters) else {
            return;
        };
        // The promise with the highest (acc, last); this node's own log unless one is better.
        let best = evidence
            .iter()
            .max_by_key(|(_, p)| (p.acc, p.last))
            .filter(|(_, p)| (p.acc, p.last) > (self.acc, self.log.last()))
            .map(|&(from, p)| (from, p.clone()));
        let known = evidence
            .iter()
            .max_by_key(|(_, p)| p.commit)
            .map(|&(f, p)| (f, p.commit));
        if let Some((from, promise)) = best {
            let held = promise.from <= self.commit
                || (promise.acc == self.acc && promise.from <= self.log.last());
            if !held {
                // The best log begins behind what is decided here: that part comes first.
                return self.fetch_below(from, promise.from);
            }
            if !self.adopt(&promise) {
                return self.distrust(from);
            }
            self.lead(promise.acc, known, quorum);
        } else {
            self.lead(self.acc, known, quorum);
        }
    }

    /// Asks for what the best log does not have. Whatever else happens meanwhile comes by here,
    /// too: it is asked for again only after the last answer, or in its stead.
    fn fetch_below(&mut self, from: usize, to: Slot) {
        let (now, commit) = (self.now, self.commit);
        let patience = self.config.heartbeat_interval;
        let Role::Preparing(preparing) = &mut self.role else {
            return;
        };
        let waits = |&(asked, at): &(Slot, Time)| asked == commit && now.since(at) < patience;
        if preparing.fetched.as_ref().is_some_and(waits) {
            return;
        }
        preparing.fetched = Some((commit, now));
        self.fetch(from, to);
    }

    /// The promises that count: neither damaged nor caught lying.
    fn evidence<'a>(&self, preparing: &'a Preparing) -> Vec<(usize, &'a Promise)> {
        let promises = preparing.promises.iter().enumerate();
        promises
            .filter_map(|(from, promise)| Some((from, promise.as_ref()?)))
            .filter(|(from, promise)| !promise.damaged && !self.election.distrusts(*from))
            .collect()
    }

    /// Replaces what is undecided here by the promised log. False if they do not fit together.
    fn adopt(&mut self, promise: &Promise) -> bool {
        // What was decided since the promise was asked for stays.
        let base = promise.from.max(self.commit);
        let rest = promise.suffix.iter().filter(|entry| entry.slot() > base);
        if let Some(first) = rest.clone().next() {
            let Some(chain) = self.log.chain_at(base) else {
                return false;
            };
            if !first.follows(base, chain) {
                return false;
            }
        }
        self.log.truncate(base);
        for entry in rest {
            self.log.append(entry.clone());
        }
        self.outbox.log_changed(base);
        true
    }

    /// Begins to lead with the log as it stands, accepted in `adopted_acc` so far.
    fn lead(&mut self, adopted_acc: Ballot, known: Option<(usize, Slot)>, _: Quorum<Prepares>) {
        let Role::Preparing(preparing) = &self.role else {
            return;
        };
        let (ballot, adopted_last) = (preparing.ballot, self.log.last());
        if let Some((from, commit)) = known
            && commit > adopted_last
        {
            return self.distrust(from);
        }
        let promises = preparing.promises.clone();
        assert!(
            self.meta.promised == ballot,
            "leading {ballot}, promised {}",
            self.meta.promised
        );
        assert!(ballot > self.acc, "leading {ballot} twice");
        self.acc = ballot;
        self.outbox.log_changed(adopted_last);
        let mut leading = Leading::new(ballot, adopted_acc, adopted_last, self.peers.len())
            .since(self.now, self.meta.membership.lease.as_ref());
        let round = self.election.round();
        for (from, promise) in promises.iter().enumerate() {
            if let Some(promise) = promise.as_ref().filter(|p| !p.damaged) {
                leading
                    .progress_mut(from)
                    .promised(position(promise), round);
            }
        }
        self.role = Role::Leading(Box::new(leading));
        self.election.trust_all();
        self.outbox.notice(Notice::Leading {
            ballot,
            adopted_last,
        });
        if let Some((_, commit)) = known {
            self.learn_commit(commit, ballot);
        }
    }

    /// What this peer says cannot be true together with the rest: some disk lost something that
    /// it had confirmed. Try again without it.
    fn distrust(&mut self, from: usize) {
        self.election.distrust(from);
        self.step_down(StepDown::LyingDisk);
    }

    /// Asks again where no answer came, or gives up; called once a round.
    pub(super) fn tend_campaign(&mut self) {
        let Role::Preparing(preparing) = &self.role else {
            return;
        };
        // Whoever came to try although it needs a snapshot first is the best that is connected:
        // it may take its time as long as it gets on.
        let awaits_log = preparing.fetched.is_some();
        let gets_on = awaits_log && self.transfer_may_go_on();
        if self.election.round() > preparing.give_up_after && !gets_on {
            return self.step_down(StepDown::PrepareTimeout);
        }
        if !self.outbox.is_durable(preparing.own_promise) {
            return;
        }
        let ballot = preparing.ballot;
        let silent: Vec<usize> = (0..self.peers.len())
            .filter(|&p| p != self.me && preparing.promises.get(p).is_some_and(Option::is_none))
            .collect();
        for to in silent {
            let prepare = self.make_prepare(ballot);
            self.outbox.send(to, prepare);
        }
        // A fetch of the decided part may have been lost.
        self.try_adopt();
    }
}

fn position(promise: &Promise) -> Position {
    Position {
        acc: promise.acc,
        last: promise.last,
        commit: promise.commit,
    }
}

/// Whether a promise's parts fit together: `commit <= last`, and the suffix is `from+1 ..= last`,
/// linked, ending in the promised chain.
fn well_formed(m: &Promise) -> bool {
    let consecutive = m.suffix.windows(2).all(|pair| match pair {
        [a, b] => b.follows(a.slot(), a.chain()),
        _ => true,
    });
    let covers = match (m.suffix.first(), m.suffix.last()) {
        (Some(first), Some(last)) => {
            first.slot() == m.from.next()
                && last.slot() == m.last
                && last.chain() == m.chain_at_last
        }
        _ => m.from == m.last,
    };
    consecutive && covers && m.commit <= m.last && m.acc <= m.ballot
}
