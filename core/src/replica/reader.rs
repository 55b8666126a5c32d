//! Linearizable reads without the log: one probe confirms the leader for all that wait
//! (read-index; Ongaro 2014, section 6.4), also for its followers'.
//! Knows nothing about what is read, nor about leases.

use std::collections::{BTreeMap, VecDeque};

use crate::input::ReadVia;
use crate::message::{Message, ReadIndex, ReadIndexReply};
use crate::output::{Output, Refusal};
use crate::quorum::Voters;
use crate::types::{NodeId, Slot, Token};

use super::asking::Question;
use super::{Replica, Role};

/// Reads that wait for the proof that nothing later was acknowledged before they came: for the
/// answers to this leader's probe, or for its leader's answer to this follower's question.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// This node's reads, which the next probe or question will serve.
    pub(super) queued: VecDeque<Token>,
    /// Followers' questions that the next probe will answer: the latest of each, by position.
    asked: BTreeMap<usize, u64>,
    probing: Option<Probe>,
    pub(super) question: Option<Question>,
    /// Number of the latest question.
    pub(super) last_question: u64,
}

/// What a probe under way serves.
#[derive(Clone, Debug)]
struct Probe {
    /// The first `Accept` that was sent after all of these arrived.
    seq: u64,
    /// What they see.
    index: Slot,
    reads: Vec<Token>,
    asked: BTreeMap<usize, u64>,
}

impl Reader {
    /// Questions of this life are numbered behind all those of the lives before.
    pub(super) const fn new(boot: u64) -> Self {
        Self {
            queued: VecDeque::new(),
            asked: BTreeMap::new(),
            probing: None,
            question: None,
            last_question: boot << 32,
        }
    }

    fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.asked.is_empty() && self.question.is_none()
    }

    /// How many reads of this node wait.
    pub(super) fn waiting(&self) -> u64 {
        let (queued, asked) = self.counts();
        queued + asked
    }

    /// How many reads of this node wait for the next probe or question, and for the answers to
    /// what is under way.
    pub(super) fn counts(&self) -> (u64, u64) {
        let probed = self.probing.as_ref().map_or(0, |probe| probe.reads.len());
        let asked = self.question.as_ref().map_or(0, |q| q.reads.len());
        (self.queued.len() as u64, (probed + asked) as u64)
    }
}

impl Replica {
    pub(super) fn on_read(&mut self, token: Token, via: ReadVia) {
        if via == ReadVia::Lease
            && let Some(until) = self.lease_until()
        {
            return self.outbox.effect(Output::ReadReady {
                token,
                index: self.commit,
                until: Some(until),
            });
        }
        if let Err(reason) = self.may_read(via) {
            return self.outbox.effect(Output::Refused { token, reason });
        }
        self.reader.queued.push_back(token);
    }

    fn may_read(&self, via: ReadVia) -> Result<(), Refusal> {
        let hint = self.leader_hint();
        let leads = matches!(self.role, Role::Leading(_));
        // A damaged node may have lost what it executes.
        let asks = via == ReadVia::Follower && hint.is_some() && self.meta.damaged.is_none();
        if !leads && !asks {
            return Err(Refusal::NotLeader { hint });
        }
        if self.reader.queued.len() >= self.config.reads_queued_max {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// A follower asks for its reads. They came before, so the next probe serves them.
    pub(super) fn on_read_index(&mut self, from: usize, m: &ReadIndex) {
        if matches!(self.role, Role::Leading(_)) {
            let latest = self.reader.asked.entry(from).or_default();
            *latest = m.token.max(*latest);
        } else {
            self.answer(from, m.token, None);
        }
    }

    fn answer(&mut self, to: usize, token: u64, index: Option<Slot>) {
        let reply = Message::ReadIndexReply(ReadIndexReply { token, index });
        self.outbox.send(to, reply);
    }

    /// Begins a probe for what came since the last one, or asks the leader; called when polled,
    /// so that one message serves a whole batch.
    pub(super) fn start_reads(&mut self) {
        if self.reader.is_idle() {
            return;
        }
        if matches!(self.role, Role::Leading(_)) {
            self.start_probe();
        } else {
            self.ask_leader();
        }
    }

    fn start_probe(&mut self) {
        if let Some(question) = self.reader.question.take() {
            // Asked as a follower, and now it is for this node itself to say.
            question.give_back(&mut self.reader.queued);
        }
        if self.reader.probing.is_some() || self.defers_until().is_some() {
            return;
        }
        let commit = self.commit;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if commit < leading.adopted_last {
            // Something decided by an earlier leader may not be known to be decided yet.
            return;
        }
        // Every `Accept` from here on is sent after the reads arrived.
        let seq = leading.seq + 1;
        for position in self
            .weights
            .ids()
            .iter()
            .filter_map(|&id| self.weights.position(id))
        {
            leading.progress_mut(position).probe_due = true;
        }
        self.reader.probing = Some(Probe {
            seq,
            index: commit,
            reads: self.reader.queued.drain(..).collect(),
            asked: std::mem::take(&mut self.reader.asked),
        });
        self.try_reads();
    }

    /// Who has answered the probe under way.
    pub(super) fn probe_voters(&self) -> Option<Voters> {
        let Probe { seq, .. } = self.reader.probing.as_ref()?;
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let mut voters = Voters::NONE;
        voters.insert(self.me);
        for position in self.others() {
            if leading.progress(position).acked_seq >= *seq {
                voters.insert(position);
            }
        }
        Some(voters)
    }

    /// Serves the probed reads once an accept quorum has answered.
    pub(super) fn try_reads(&mut self) {
        let Some(voters) = self.probe_voters() else {
            return;
        };
        if self.weights.accept_quorum(voters).is_none() {
            return;
        }
        if let Some(probe) = self.reader.probing.take() {
            self.serve(probe.index, probe.reads);
            for (to, token) in probe.asked {
                self.answer(to, token, Some(probe.index));
            }
        }
    }

    pub(super) fn serve(&mut self, index: Slot, reads: Vec<Token>) {
        for token in reads {
            self.outbox.effect(Output::ReadReady {
                token,
                index,
                until: None,
            });
        }
    }

    pub(super) fn refuse(&mut self, reads: impl IntoIterator<Item = Token>, hint: Option<NodeId>) {
        let reason = Refusal::NotLeader { hint };
        for token in reads {
            self.outbox.effect(Output::Refused { token, reason });
        }
    }

    /// This node no longer leads: whoever waits asks elsewhere.
    pub(super) fn refuse_reads(&mut self) {
        let queued = std::mem::take(&mut self.reader.queued);
        let asked = std::mem::take(&mut self.reader.asked);
        let probe = self.reader.probing.take();
        let (probed, asked_before) = probe.map(|p| (p.reads, p.asked)).unwrap_or_default();
        self.refuse(probed.into_iter().chain(queued), None);
        for (to, token) in asked_before.into_iter().chain(asked) {
            self.answer(to, token, None);
        }
    }

    /// Asserts that reads wait for one proof at a time, the one that fits the role.
    pub(super) fn check_reads(&self) {
        let reader = &self.reader;
        if matches!(self.role, Role::Leading(_)) {
            let index = reader.probing.as_ref().map(|probe| probe.index);
            assert!(index <= Some(self.commit), "reads {index:?} too far");
        } else {
            let as_leader = reader.probing.is_some() || !reader.asked.is_empty();
            assert!(!as_leader, "probes without leading");
        }
        let most = self.config.reads_queued_max;
        assert!(reader.queued.len() <= 2 * most, "more reads than allowed");
        assert!(
            reader.asked.len() < self.peers.len().max(1),
            "asked by strangers"
        );
    }
}
