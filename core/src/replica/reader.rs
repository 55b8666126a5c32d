//! Linearizable reads without the log: one probe confirms the leader for all that wait
//! (read-index; Ongaro 2014, section 6.4). Knows nothing about what is read.

use std::collections::VecDeque;

use crate::output::{Output, Refusal};
use crate::quorum::Voters;
use crate::types::{Slot, Token};

use super::{Replica, Role};

/// Reads that wait for the proof that this node still leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    queued: VecDeque<Token>,
    /// Reads whose probe is under way: the first `seq` that confirms them, and what they see.
    probing: Option<(u64, Slot, Vec<Token>)>,
}

impl Replica {
    pub(super) fn on_read(&mut self, token: Token) {
        let reason = if !matches!(self.role, Role::Leading(_)) {
            Refusal::NotLeader {
                hint: self.leader_hint(),
            }
        } else if self.reader.queued.len() >= self.config.reads_queued_max {
            Refusal::Overloaded
        } else {
            return self.reader.queued.push_back(token);
        };
        self.outbox.effect(Output::Refused { token, reason });
    }

    /// Begins a probe for the reads that came since the last one; called when polled, so that
    /// one probe serves a whole batch.
    pub(super) fn start_probe(&mut self) {
        if self.reader.queued.is_empty() || self.reader.probing.is_some() {
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
        self.reader.probing = Some((seq, commit, self.reader.queued.drain(..).collect()));
        self.try_reads();
    }

    /// Serves the probed reads once an accept quorum has answered.
    pub(super) fn try_reads(&mut self) {
        let Some((seq, _, _)) = &self.reader.probing else {
            return;
        };
        let Role::Leading(leading) = &self.role else {
            return;
        };
        let mut voters = Voters::NONE;
        voters.insert(self.me);
        for position in self.others() {
            if leading.progress(position).acked_seq >= *seq {
                voters.insert(position);
            }
        }
        if self.weights.accept_quorum(voters).is_none() {
            return;
        }
        if let Some((_, index, tokens)) = self.reader.probing.take() {
            for token in tokens {
                self.outbox.effect(Output::ReadReady {
                    token,
                    index,
                    until: None,
                });
            }
        }
    }

    /// This node no longer leads: whoever waits asks elsewhere.
    pub(super) fn refuse_reads(&mut self) {
        let probed = self.reader.probing.take().map(|(_, _, tokens)| tokens);
        let queued = std::mem::take(&mut self.reader.queued);
        for token in probed.into_iter().flatten().chain(queued) {
            let reason = Refusal::NotLeader { hint: None };
            self.outbox.effect(Output::Refused { token, reason });
        }
    }
}
