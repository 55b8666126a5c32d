//! Reads from a follower: it asks its leader how far it must have executed to serve them.
//! Knows nothing about how the leader finds out.

use std::collections::VecDeque;

use crate::message::{Message, ReadIndex, ReadIndexReply};
use crate::output::IgnoreReason;
use crate::types::{NodeId, Token};

use super::{Replica, Role};

/// A question under way. All its reads arrived before it was first sent, so that whatever answers
/// it serves them, whoever gives the answer and however often it was asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    token: u64,
    /// The leader that was asked last.
    to: usize,
    /// The round in which it was asked first.
    since: u64,
    pub(super) reads: Vec<Token>,
}

impl Question {
    /// The reads go back to the head of the queue.
    pub(super) fn give_back(self, queue: &mut VecDeque<Token>) {
        for token in self.reads.into_iter().rev() {
            queue.push_front(token);
        }
    }
}

impl Replica {
    /// The position of the leader that this node follows, if that one works.
    fn followed(&self) -> Option<usize> {
        let leader = self.election.working_leader(self.meta.node)?;
        self.weights.position(leader)
    }

    /// Who was asked last, and for how many rounds there was no answer.
    pub(super) fn asks(&self, round: u64) -> Option<(NodeId, u64)> {
        let question = self.reader.question.as_ref()?;
        let rounds = round.saturating_sub(question.since);
        Some((self.id(question.to), rounds))
    }

    /// Asks for all reads that came since the last question; one is under way at a time.
    pub(super) fn ask_leader(&mut self) {
        if self.reader.question.is_some() || !self.outbox.is_booted() {
            return;
        }
        // Without a leader the reads wait for the end of the round, which refuses them.
        let Some(to) = self.followed() else {
            return;
        };
        self.reader.last_question += 1;
        self.reader.question = Some(Question {
            token: self.reader.last_question,
            to,
            since: self.election.round(),
            reads: self.reader.queued.drain(..).collect(),
        });
        self.ask();
    }

    fn ask(&mut self) {
        if let Some(Question { token, to, .. }) = &self.reader.question {
            let question = Message::ReadIndex(ReadIndex { token: *token });
            self.outbox.send(*to, question);
        }
    }

    pub(super) fn on_read_index_reply(&mut self, from: usize, m: &ReadIndexReply) {
        let ours = |question: &mut Question| question.token == m.token;
        let Some(question) = self.reader.question.take_if(ours) else {
            return self.ignore(from, "ReadIndexReply", IgnoreReason::Stale);
        };
        match m.index {
            Some(index) => self.serve(index, question.reads),
            // It does not lead. Who does is known, and asked, when the round ends.
            None => self.reader.question = Some(question),
        }
    }

    /// Once a round: asks again where no answer came, and whoever leads now. What nobody answers
    /// is refused after some rounds; a leader that is silent for one of them is no reason yet.
    pub(super) fn tend_question(&mut self) {
        if matches!(self.role, Role::Leading(_)) {
            return;
        }
        let (round, followed) = (self.election.round(), self.followed());
        let rounds_max = u64::from(self.config.probe_rounds_max);
        let late = |question: &mut Question| round > question.since + rounds_max;
        if let Some(question) = self.reader.question.take_if(late) {
            return self.refuse(question.reads, followed.map(|leader| self.id(leader)));
        }
        if let Some(question) = &mut self.reader.question {
            question.to = followed.unwrap_or(question.to);
            self.ask();
        } else if followed.is_none() {
            let queued = std::mem::take(&mut self.reader.queued);
            self.refuse(queued, None);
        }
    }
}
