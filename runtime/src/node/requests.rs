//! What is asked of the loop, and how it is handed to the core or answered at once.
//! Knows nothing about who asks.

use chil_core::{Input, NodeId, ReadVia, Slot, StateMachine, Time};

use super::NodeLoop;
use crate::apply::Read;
use crate::clock::duration;
use crate::error::TransferError;
use crate::explain::{Finding, Topic};
use crate::handle::Consistency;
use crate::ports::{Clock, Network, SnapshotStorage, Storage};
use crate::request::{Request, TransferReply};
use crate::status::{NodeStatus, Phase};

impl<S, D, P, N, C> NodeLoop<S, D, P, N, C>
where
    S: StateMachine,
    D: Storage,
    P: SnapshotStorage<S>,
    N: Network,
    C: Clock,
{
    pub(super) fn request(&mut self, now: Time, request: Request) {
        let about_itself = matches!(request, Request::Status(_) | Request::Explain(_));
        if self.drain_until.is_some() && !about_itself {
            return self.refuse_ending(request);
        }
        match request {
            Request::Propose { command, reply } => {
                let token = self.pending.propose(reply);
                self.replica.handle(now, Input::Propose { token, command });
            }
            Request::Register { nonce, reply } => {
                let token = self.pending.propose(reply);
                self.replica.handle(now, Input::Register { token, nonce });
            }
            Request::Read { consistency, read } => self.read(now, consistency, read),
            Request::Watch { from, reply } => {
                let applied = self.apply.applied();
                self.watchers.ask(from, reply, self.replica.log(), applied);
            }
            Request::Transfer { to, reply } => self.transfer(now, to, reply),
            Request::ReadStored {
                id,
                offset,
                len,
                reply,
            } => self.read_stored(id, offset, len, reply),
            Request::Freeze(reply) => self.freeze(reply),
            Request::Explain(reply) => drop(reply.send(self.explain())),
            Request::Status(reply) => drop(reply.send(self.status())),
        }
    }

    fn read(&mut self, now: Time, consistency: Consistency, read: Read) {
        let via = match consistency {
            Consistency::Linearizable => ReadVia::Leader,
            Consistency::Lease => ReadVia::Lease,
            Consistency::Follower => ReadVia::Follower,
            Consistency::Stale => {
                self.apply.fresh(self.replica.fresh_at());
                let again = self.apply.read(&self.clock, Slot::ZERO, read, None);
                debug_assert!(again.is_none(), "no lease, none that could end");
                return;
            }
        };
        self.read_via(now, via, read);
    }

    pub(super) fn read_via(&mut self, now: Time, via: ReadVia, read: Read) {
        let token = self.pending.read(read);
        self.replica.handle(now, Input::Read { token, via });
    }

    /// Asks for a probe where a lease has ended before the answer was there.
    pub(super) fn read_again(&mut self, now: Time, reads: impl IntoIterator<Item = Read>) {
        for read in reads {
            self.read_via(now, ReadVia::Leader, read);
        }
    }

    fn transfer(&mut self, now: Time, to: Option<String>, reply: TransferReply) {
        let named = to.map(|name| (NodeId::from_name(&name), name));
        let to = match named {
            None => None,
            Some((Some(node), _)) if self.book.member(node).is_some() => Some(node),
            Some((_, name)) => {
                drop(reply.send(Err(TransferError::BadTarget { name })));
                return;
            }
        };
        let token = self.pending.transfer(to, reply);
        self.replica.handle(now, Input::Transfer { token, to });
    }

    /// What stands in the way of what, in the words of people.
    fn explain(&self) -> Vec<Finding> {
        let explanation = self.replica.explain();
        let name = |node| self.book.name(node);
        let found = explanation.findings.iter();
        let found = found.map(|finding| Finding::named(finding, &name));
        let not_reached = self.links.not_reached().filter_map(|it| {
            let peer = self.book.peers().find(|peer| peer.address == it.0)?;
            Some(Finding::not_reached(
                Topic::Peer,
                Some(peer.name.clone()),
                it,
            ))
        });
        found.chain(not_reached).collect()
    }

    pub(super) fn status(&self) -> NodeStatus {
        let (now, fresh_at) = (self.clock.now(), self.replica.fresh_at());
        NodeStatus {
            node: self.about.node,
            name: self.about.name.clone(),
            disk: self.about.disk,
            address: self.about.address.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started: self.about.started,
            priority: self.about.priority,
            phase: Phase::Member,
            replica: Some(self.replica.status()),
            members: self.book.members(),
            applied: self.apply.applied(),
            digest: self.apply.digest(),
            sessions: self.apply.sessions(),
            age: fresh_at.map(|at| duration(now.since(at))),
            lease: self.replica.membership().lease,
            links: self.links.status(),
        }
    }
}
