//! Drives the forming of a cluster, for a node whose directory belongs to none yet.
//! Knows nothing about how nodes agree on who they are: that is `chil_core::forming`'s.

use std::pin::pin;

use chil_core::forming::{
    Forming, FormingConfig, FormingInput, FormingMessage, FormingOutput, FormingPeer, Obstacle,
};
use chil_core::{Config, DiskId, Lane, Lease, Meta, Slot, Time};
use chil_proto::Frame;
use tokio::sync::mpsc;

use crate::builder::{NodeBuilder, setting};
use crate::config::Peer;
use crate::error::{NodeError, ProposeError, ReadError, StartError, TransferError};
use crate::explain::{Finding, Topic};
use crate::net::inbox::Inbox;
use crate::net::peer::Links;
use crate::node::About;
use crate::ports::{Clock, Network};
use crate::request::Request;
use crate::shutdown::Stopped;
use crate::status::{NodeStatus, Phase};
use crate::watch::WatchError;

/// The automaton for what the node was told about its cluster.
pub(crate) fn automaton(
    node: &NodeBuilder,
    config: &Config,
    disk: DiskId,
    address: &str,
    others: &[Peer],
    now: Time,
) -> Result<Forming, StartError> {
    let peer = |peer: &Peer| FormingPeer {
        addr: peer.address.clone(),
        name: peer.name.clone(),
        weight: peer.weight,
    };
    let config = FormingConfig {
        name: node.name.clone(),
        disk,
        advertise_addr: address.to_owned(),
        weight: node.weight,
        peers: others.iter().map(peer).collect(),
        single_node: node.single_node,
        lease: node.lease,
        sessions: node.sessions,
        interval: config.heartbeat_interval,
        seed: config.run,
    };
    Forming::new(config, now).map_err(|error| setting("peers", error.to_string()))
}

/// What driving it needs of the node.
pub(crate) struct Driver<'a, N, C> {
    pub(crate) about: &'a About,
    pub(crate) automaton: Forming,
    /// What the node was told about leases.
    pub(crate) lease: Option<Lease>,
    pub(crate) links: &'a mut Links<N, C>,
    pub(crate) clock: C,
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) requests: &'a mut mpsc::Receiver<Request>,
    pub(crate) stopped: &'a mut Stopped,
}

/// What a drain of the automaton ended with.
enum Drained {
    Wait(Time),
    Formed(Box<Meta>),
}

impl<N: Network, C: Clock> Driver<'_, N, C> {
    /// Returns what the directory shall hold; `None` when the node was told to end.
    pub(crate) async fn run(mut self) -> Result<Option<Meta>, NodeError> {
        let clock = self.clock.clone();
        loop {
            let until = match self.drain()? {
                Drained::Wait(until) => until,
                Drained::Formed(meta) => return Ok(Some(*meta)),
            };
            let timer = pin!(clock.sleep_until(until));
            tokio::select! {
                biased;
                () = timer => self.automaton.handle(clock.now(), FormingInput::Wake),
                () = self.stopped.at_all() => return Ok(None),
                frame = self.inbox.next() => {
                    // Members of a cluster have nothing to say to a node without one.
                    if let Frame::Forming(message) = frame {
                        self.automaton.handle(clock.now(), FormingInput::Received(*message));
                    }
                }
                Some(request) = self.requests.recv() => self.answer(request),
            }
        }
    }

    fn drain(&mut self) -> Result<Drained, NodeError> {
        loop {
            match self.automaton.poll_output() {
                FormingOutput::Send { to_addr, message } => {
                    let asked = matches!(
                        message,
                        FormingMessage::HelloReply(_) | FormingMessage::Confirmed(_)
                    );
                    let frame = Frame::Forming(message.into());
                    if asked {
                        self.links.answer(&to_addr, Lane::Bulk, frame);
                    } else {
                        self.links.send(&to_addr, Lane::Bulk, frame);
                    }
                }
                FormingOutput::Formed { meta } => return Ok(Drained::Formed(meta)),
                FormingOutput::Refused { reason } => return Err(NodeError::Forming(reason)),
                FormingOutput::Notice(notice) => {
                    tracing::info!(node = self.about.name, "{notice}");
                }
                FormingOutput::Wait(until) => return Ok(Drained::Wait(until)),
            }
        }
    }

    fn answer(&self, request: Request) {
        match request {
            Request::Propose { reply, .. } | Request::Register { reply, .. } => {
                reply.send(Err(ProposeError::NotLeader { hint: None }));
            }
            Request::Read { read, .. } => read.send(Err(ReadError::NotLeader { hint: None })),
            Request::Watch { reply, .. } => drop(reply.send(Err(WatchError::Forming))),
            Request::Transfer { reply, .. } => {
                drop(reply.send(Err(TransferError::NotLeader { hint: None })));
            }
            // There is no state yet.
            Request::ReadStored { .. } | Request::Freeze(_) => {}
            Request::Explain(reply) => drop(reply.send(self.findings())),
            Request::Status(reply) => drop(reply.send(self.status())),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |obstacle: &Obstacle| Finding {
            topic: Topic::Forming,
            code: "forming-waits",
            about: None,
            text: format!("the cluster is not formed yet: {obstacle}"),
            facts: Vec::new(),
        };
        let waits = self.automaton.explain();
        let not_reached = self.links.not_reached();
        let not_reached = not_reached.map(|it| Finding::not_reached(Topic::Forming, None, it));
        waits.iter().map(finding).chain(not_reached).collect()
    }

    fn status(&self) -> NodeStatus {
        let obstacles = self.automaton.explain();
        let waiting = obstacles.iter().map(ToString::to_string).collect();
        NodeStatus {
            node: self.about.node,
            name: self.about.name.clone(),
            disk: self.about.disk,
            address: self.about.address.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started: self.about.started,
            priority: self.about.priority,
            phase: Phase::Forming { waiting },
            replica: None,
            members: Vec::new(),
            applied: Slot::ZERO,
            digest: None,
            sessions: None,
            age: None,
            lease: self.lease,
            links: self.links.status(),
        }
    }
}
