//! What a leader does before it goes: it hands over, so that nobody has to notice that it is gone.
//! Knows nothing about how leadership is handed over: that is the core's.

use chil_core::{Input, NodeId, StateMachine, Time, Token, TransferError};

use super::NodeLoop;
use crate::error::{ProposeError, ReadError};
use crate::ports::{Clock, Network, SnapshotStorage, Storage};
use crate::request::Request;

/// Whether the node has handed its leadership over.
#[derive(Debug, Default)]
pub(super) struct Handover {
    stage: Stage,
    /// To whom this leader hands over, at the end of its life or before.
    to: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody asked for it.
    #[default]
    NotBegun,
    /// It is under way.
    Running(Token),
    /// Another transfer is under way: it is tried again.
    Waiting,
    /// It is done, has failed, or was not needed.
    Over,
}

impl Handover {
    /// A transfer has begun, to this member.
    pub(super) const fn begun(&mut self, to: NodeId) {
        self.to = Some(to);
    }

    /// The transfer of this token has ended, well or not.
    pub(super) fn ended(&mut self, token: Token, outcome: &Result<(), TransferError>) {
        if self.stage == Stage::Running(token) {
            // One by priority, or that somebody asked for: if it fails, this node still leads.
            let is_busy = *outcome == Err(TransferError::Busy);
            self.stage = if is_busy { Stage::Waiting } else { Stage::Over };
        }
    }
}

impl<S, D, P, N, C> NodeLoop<S, D, P, N, C>
where
    S: StateMachine,
    D: Storage,
    P: SnapshotStorage<S>,
    N: Network,
    C: Clock,
{
    /// Begins to hand over to whoever suits best, if this node leads and has not begun yet, or
    /// could not because of another transfer.
    pub(super) fn hand_over(&mut self, now: Time) {
        if !matches!(self.handover.stage, Stage::NotBegun | Stage::Waiting) {
            return;
        }
        let token = self.pending.token();
        self.handover.stage = Stage::Running(token);
        let to = None;
        // A follower is told at once that there is nothing to hand over.
        self.replica.handle(now, Input::Transfer { token, to });
    }

    /// Answers for a node that is about to end. What needs a leader is sent on to the next one,
    /// so that clients need not search.
    pub(super) fn refuse_ending(&self, request: Request) {
        let promised = self.replica.promised().node;
        let next = if promised == self.about.node {
            self.handover.to
        } else {
            Some(promised)
        };
        match (request, self.address(next)) {
            (Request::Propose { reply, .. } | Request::Register { reply, .. }, hint @ Some(_)) => {
                reply.send(Err(ProposeError::NotLeader { hint }))
            }
            (Request::Read { read, .. }, hint @ Some(_)) => {
                read.send(Err(ReadError::NotLeader { hint }));
            }
            (request, _) => request.refuse_stopped(),
        }
    }

    /// Whether the node may end: nothing is in flight and somebody else leads, or the time given
    /// for it is over.
    pub(super) fn has_drained(&self, now: Time) -> bool {
        let Some(until) = self.drain_until else {
            return false;
        };
        let idle = self.pending.is_idle() && self.apply.is_idle();
        until <= now || idle && self.handover.stage == Stage::Over
    }
}
