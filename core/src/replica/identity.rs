//! Who sent a message, and whether it is meant for this life of this node.
//! Knows nothing about what the message says.

use crate::config::Config;
use crate::detector::Detector;
use crate::message::{Envelope, Message, Nack, NackReason};
use crate::output::{IgnoreReason, Notice};
use crate::time::Time;
use crate::types::{Ballot, NodeId, Slot};

use super::Replica;

/// What is known of a member beside its vote.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// Its latest boot count and the process that it was heard from; 0 while never heard.
    boot: u64,
    run: u64,
    /// What it last said to be decided there.
    pub(super) commit: Slot,
    /// Whether it last said that it could lead, or help a leader.
    pub(super) is_able: bool,
    /// Whose leadership it last said to be content with.
    pub(super) content_with: Option<NodeId>,
    /// How much it is wanted as leader, as it last said.
    pub(super) priority: u32,
    pub(super) detector: Detector,
    /// Rounds in a row in which it answered heartbeats, and said nothing about the log although it
    /// was asked what it has to answer at once.
    pub(super) data_silent: u32,
    /// The round in which it last said something about the log, be it a refusal or a question.
    pub(super) data_heard_in: u64,
    /// What people were last told about it.
    pub(super) reported_up: bool,
}

impl Peer {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            boot: 0,
            run: 0,
            commit: Slot::ZERO,
            is_able: false,
            content_with: None,
            priority: 0,
            detector: Detector::default(),
            data_silent: 0,
            data_heard_in: 0,
            reported_up: false,
        }
    }

    pub(super) fn is_up(&self, now: Time, config: &Config) -> bool {
        !self.detector.is_down(now, config)
    }
}

impl Replica {
    /// Compares the identity fields with what is known; yields the sender's position and the
    /// message, or counts why it was dropped.
    pub(super) fn admit(&mut self, envelope: Envelope) -> Option<(usize, Message)> {
        match self.sender(&envelope) {
            Ok(position) => Some((position, envelope.body)),
            Err(reason) => {
                let (from, message) = (envelope.from, envelope.body.name());
                self.outbox.notice(Notice::Ignored {
                    from,
                    message,
                    reason,
                });
                if reason == IgnoreReason::ClonedDisk {
                    self.refuse_clone(&envelope);
                }
                None
            }
        }
    }

    fn sender(&mut self, envelope: &Envelope) -> Result<usize, IgnoreReason> {
        if envelope.cluster != self.meta.cluster {
            return Err(IgnoreReason::WrongCluster);
        }
        if envelope.to != self.meta.node {
            return Err(IgnoreReason::WrongAddressee);
        }
        let member = self.meta.membership.members.get(&envelope.from);
        let position = self
            .weights
            .position(envelope.from)
            .filter(|&p| p != self.me);
        let (Some(member), Some(position)) = (member, position) else {
            return Err(IgnoreReason::UnknownSender);
        };
        if member.disk != envelope.from_disk {
            return Err(IgnoreReason::WrongDisk);
        }
        if envelope.epoch != self.epoch() {
            return Err(IgnoreReason::WrongEpoch);
        }
        let to_this_life = envelope.to_boot == 0 || envelope.to_boot == self.meta.boot;
        let peer = self.peer_mut(position);
        let is_cloned =
            envelope.boot < peer.boot || (envelope.boot == peer.boot && envelope.run != peer.run);
        if is_cloned && to_this_life {
            return Err(IgnoreReason::ClonedDisk);
        }
        // Who speaks to an earlier life of this node has a newer one itself, perhaps: that must be
        // heard, or two nodes that each know only the other's earlier life stay deaf for ever:
        //
        //   n1 (boot 2)  knows n2 as boot 1  --- to_boot=1 -->  dropped by n2
        //   n2 (boot 2)  knows n1 as boot 1  --- to_boot=1 -->  dropped by n1
        if envelope.boot > peer.boot {
            (peer.boot, peer.run) = (envelope.boot, envelope.run);
            self.ask_next_life(position);
        }
        if !to_this_life {
            return Err(IgnoreReason::WrongAddressee);
        }
        Ok(position)
    }

    /// Tells the sender that a later state of its disk, or another process on it, was seen. The
    /// answer names the boot it is for: a delayed message of an earlier life is answered to that
    /// life, which is over, and the present one drops it.
    fn refuse_clone(&mut self, envelope: &Envelope) {
        let Some(position) = self.weights.position(envelope.from) else {
            return;
        };
        if !self.outbox.is_booted() {
            return;
        }
        let ballot = Ballot::bottom(self.epoch());
        let nack = self.nack(ballot, NackReason::Damaged);
        let mut answer = self.envelope(position, Message::Nack(nack));
        answer.to_boot = envelope.boot;
        self.outbox.effect(crate::Output::Send(Box::new(answer)));
    }

    /// A refusal that says where this node stands.
    pub(super) fn nack(&self, ballot: Ballot, reason: NackReason) -> Nack {
        Nack {
            ballot,
            promised: self.meta.promised,
            acc: self.acc,
            last: self.log.last(),
            commit: self.commit,
            reason,
        }
    }

    /// The message with everything its receiver compares.
    pub(super) fn envelope(&self, to: usize, body: Message) -> Envelope {
        let peer = self.peer(to);
        Envelope {
            cluster: self.meta.cluster,
            from: self.meta.node,
            from_disk: self.meta.disk,
            boot: self.meta.boot,
            run: self.config.run,
            to: peer.id,
            to_boot: peer.boot,
            epoch: self.epoch(),
            body,
        }
    }

    /// Counts a message that was not processed.
    pub(super) fn ignore(&mut self, from: usize, message: &'static str, reason: IgnoreReason) {
        let from = self.id(from);
        self.outbox.notice(Notice::Ignored {
            from,
            message,
            reason,
        });
    }

    pub(super) fn peer(&self, position: usize) -> &Peer {
        self.peers
            .get(position)
            .expect("positions come from the membership's weights")
    }

    pub(super) fn peer_mut(&mut self, position: usize) -> &mut Peer {
        self.peers
            .get_mut(position)
            .expect("positions come from the membership's weights")
    }
}
