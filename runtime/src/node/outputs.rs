//! What the core wants done, handed to the ports and to who waits for it.
//! Knows nothing about why the core wants it.

use std::time::Duration;

use chil_core::{
    Envelope, NodeId, Notice, Output, Refusal, StateMachine, Token, TransferError as Failure,
};
use chil_proto::Frame;

use super::NodeLoop;
use crate::error::{ProposeError, ReadError, Rejection, TransferError};
use crate::ports::{Clock, Network, SnapshotStorage, Storage};
use crate::telemetry;

/// What an overloaded proposer is told to wait: a few syncs, by which the window has moved.
const RETRY_AFTER: Duration = Duration::from_millis(5);

impl<S, D, P, N, C> NodeLoop<S, D, P, N, C>
where
    S: StateMachine,
    D: Storage,
    P: SnapshotStorage<S>,
    N: Network,
    C: Clock,
{
    /// Does what the core wants done, until it waits.
    pub(super) fn drain(&mut self) {
        loop {
            match self.replica.poll_output() {
                Output::Persist(persist) => {
                    self.keeper.persists(&persist);
                    self.storage.submit(persist);
                }
                Output::Send(envelope) => self.send(envelope),
                Output::Placed {
                    ballot,
                    first,
                    tokens,
                } => {
                    let replies = tokens.iter().map(|token| self.pending.placed(*token));
                    self.apply.placed(ballot, first, replies);
                }
                Output::Refused { token, reason } => self.refused(token, reason),
                Output::Deposed { ballot } => self.apply.deposed(ballot),
                Output::Decided { entries } => self.apply.decided(entries),
                Output::ReadReady {
                    token,
                    index,
                    until,
                } => {
                    if let Some(read) = self.pending.take_read(token) {
                        let again = self.apply.read(&self.clock, index, read, until);
                        self.read_again(self.clock.now(), again);
                    }
                }
                Output::TransferEnded { token, outcome } => self.transfer_ended(token, outcome),
                Output::ReadChunk {
                    to,
                    id,
                    offset,
                    len,
                } => self.keeper.read_chunk(to, id, offset, len),
                Output::WriteChunk { id, offset, bytes } => {
                    self.keeper.write_chunk(id, offset, bytes);
                }
                Output::FinishSnapshot { id } => self.keeper.finish(id),
                Output::Install { id } => self.install(id),
                Output::Notice(notice) => {
                    self.leader_may_differ = true;
                    if let Notice::Transferring { to } = notice {
                        self.handover.begun(to);
                    }
                    if let Notice::Ignored { reason, .. } = notice {
                        self.metrics.node.ignored(reason);
                    }
                    telemetry::tell(&self.about.name, &self.book, &notice);
                }
                Output::Wait(until) => {
                    self.wake = until;
                    break;
                }
            }
        }
        if std::mem::take(&mut self.leader_may_differ) {
            self.publish_leader();
        }
    }

    fn send(&mut self, envelope: Box<Envelope>) {
        let Some(address) = self.book.address(envelope.to) else {
            tracing::debug!(to = %envelope.to, "nobody knows where this node is");
            return;
        };
        let lane = envelope.body.lane();
        self.links.send(address, lane, Frame::Envelope(envelope));
    }

    pub(super) fn address(&self, node: Option<NodeId>) -> Option<String> {
        self.book.address(node?).map(str::to_owned)
    }

    fn refused(&mut self, token: Token, reason: Refusal) {
        let retry_after = RETRY_AFTER;
        if let Some(reply) = self.pending.take_proposal(token) {
            reply.send(Err(match reason {
                Refusal::NotLeader { hint } => ProposeError::NotLeader {
                    hint: self.address(hint),
                },
                Refusal::Overloaded => ProposeError::Overloaded { retry_after },
                Refusal::TooLarge { len, max } => {
                    ProposeError::Rejected(Rejection::TooLarge { len, max })
                }
            }));
        } else if let Some(read) = self.pending.take_read(token) {
            read.send(Err(match reason {
                Refusal::NotLeader { hint } => ReadError::NotLeader {
                    hint: self.address(hint),
                },
                Refusal::Overloaded | Refusal::TooLarge { .. } => {
                    ReadError::Overloaded { retry_after }
                }
            }));
        }
    }

    fn transfer_ended(&mut self, token: Token, outcome: Result<(), Failure>) {
        let role = self.replica.status().role;
        let retry_at = self.clock.now() + self.about.round;
        self.handover.ended(token, &outcome, role, retry_at);
        let Some((to, reply)) = self.pending.take_transfer(token) else {
            return;
        };
        // The successor's ballot is what ended the transfer; that it works shows in a round.
        let successor = self.book.member(self.replica.promised().node);
        let outcome = match outcome {
            Ok(()) => successor.cloned().ok_or(TransferError::Unclear),
            Err(Failure::NotLeader { hint }) => Err(TransferError::NotLeader {
                hint: self.address(hint),
            }),
            Err(Failure::BadTarget) => Err(TransferError::BadTarget {
                name: to.map_or_else(String::new, |node| self.book.name(node)),
            }),
            Err(Failure::NoTarget) => Err(TransferError::NoTarget),
            Err(Failure::Busy) => Err(TransferError::Busy),
            Err(Failure::TimedOut) => Err(TransferError::TimedOut),
            Err(Failure::Unclear) => Err(TransferError::Unclear),
        };
        drop(reply.send(outcome));
    }

    fn publish_leader(&self) {
        let leader = self.replica.status().leader;
        let leader = leader.and_then(|node| self.book.member(node).cloned());
        self.leader.send_if_modified(|now| {
            let changed = *now != leader;
            *now = leader;
            changed
        });
    }
}
