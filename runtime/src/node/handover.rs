//! What a leader does before it goes: it hands over, so that nobody has to notice that it is gone.
//! Knows nothing about how leadership is handed over: that is the core's.

use chil_core::{Input, NodeId, Role, StateMachine, Time, Token, TransferError};

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
    /// It failed, and is tried again at this instant.
    Waiting(Time),
    /// It is done, or there was nothing to hand over.
    Over,
}

impl Handover {
    /// A transfer has begun, to this member.
    pub(super) const fn begun(&mut self, to: NodeId) {
        self.to = Some(to);
    }

    /// The transfer of this token has ended, well or not, and left the node in this role. Whatever
    /// it failed for may pass: the lease of the leader before, a member that is away, another
    /// transfer. Only who follows has nothing to hand over any more.
    pub(super) fn ended(
        &mut self,
        token: Token,
        outcome: &Result<(), TransferError>,
        role: Role,
        retry_at: Time,
    ) {
        if self.stage == Stage::Running(token) {
            let is_over = outcome.is_ok() || role == Role::Follower;
            self.stage = if is_over {
                Stage::Over
            } else {
                Stage::Waiting(retry_at)
            };
        }
    }

    /// When to try again.
    pub(super) const fn retry_at(&self) -> Option<Time> {
        match self.stage {
            Stage::Waiting(at) => Some(at),
            Stage::NotBegun | Stage::Running(_) | Stage::Over => None,
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
    /// Begins to hand over to whoever suits best, if this node leads and has not begun yet, or it
    /// is time to try again.
    pub(super) fn hand_over(&mut self, now: Time) {
        let is_due = match self.handover.stage {
            Stage::NotBegun => true,
            Stage::Waiting(at) => at <= now,
            Stage::Running(_) | Stage::Over => false,
        };
        if !is_due {
            return;
        }
        if !self.has_heirs() {
            self.handover.stage = Stage::Over;
            return;
        }
        let token = self.pending.token();
        self.handover.stage = Stage::Running(token);
        let to = None;
        // A follower is told at once that there is nothing to hand over.
        self.replica.handle(now, Input::Transfer { token, to });
    }

    /// Whether the membership has anybody else who could ever lead.
    fn has_heirs(&self) -> bool {
        let mut members = self.replica.membership().members.iter();
        members.any(|(node, member)| *node != self.about.node && member.weight > 0)
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
