//! What a forming node has heard from the addresses of its list, and what follows from all of it:
//! a membership that all listed nodes agree on, or what still stands against it.
//! Knows nothing about confirmations, timers or who asked when.

use std::collections::{BTreeMap, BTreeSet};

use super::config::FormingPeer;
use super::message::{HelloReply, HelloState, Listed};
use super::obstacle::{Obstacle, lease_text};
use crate::membership::{Lease, Member, Membership};
use crate::session::SessionLimits;
use crate::types::{ClusterId, DiskId, Epoch, NodeId};

/// The node itself.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) name: String,
    pub(super) disk: DiskId,
    pub(super) addr: String,
    /// As configured; an entry of the list that leads back here overrules it.
    pub(super) weight: u32,
    pub(super) lease: Option<Lease>,
    pub(super) sessions: SessionLimits,
}

/// One address of the list, and who was last heard from there.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) addr: String,
    pub(super) expected: Option<String>,
    pub(super) weight: u32,
    /// Names the questions that this process asks this address.
    pub(super) nonce: u64,
    /// The latest question that was answered; earlier ones' answers no longer count.
    pub(super) round: u64,
    pub(super) heard: Heard,
}

/// Who answers at an address.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// Nobody so far.
    Nobody,
    /// This very process: its own question came back.
    Myself,
    /// This node.
    Node(HelloReply),
}

/// Names and weights: what lists must agree on.
type Roll = BTreeSet<(String, u32)>;

#[derive(Clone, Debug)]
pub(super) struct Roster {
    pub(super) own: Own,
    pub(super) peers: Vec<Peer>,
}

impl Own {
    /// Whether this node belongs to the cluster that `reply` comes from.
    pub(super) fn may_join(
        &self,
        reply: &HelloReply,
        cluster: ClusterId,
        membership: &Membership,
    ) -> Result<(), String> {
        let (peer, name) = (&reply.name, &self.name);
        let listed = membership
            .members
            .values()
            .find(|member| member.name == *name);
        let Some(member) = listed else {
            return Err(format!(
                "'{peer}' at {} belongs to cluster {cluster}, and '{name}' is no member of it: \
                 add it as a member there, or correct the peer list",
                reply.addr
            ));
        };
        if member.disk != self.disk {
            return Err(format!(
                "'{peer}' at {} belongs to cluster {cluster}, where '{name}' has disk {}, not {}: \
                 this directory is new or another's; restore the old one, or replace the member",
                reply.addr, member.disk, self.disk
            ));
        }
        if membership.epoch != Epoch::FIRST || membership.cluster_id() != cluster {
            return Err(format!(
                "'{peer}' at {} belongs to cluster {cluster}, whose members have changed since it \
                 was formed ({}): '{name}' cannot join it from an empty directory",
                reply.addr, membership.epoch
            ));
        }
        if membership.lease != self.lease {
            return Err(format!(
                "'{peer}' at {} belongs to cluster {cluster}, which uses {} for reads, \
                 but '{name}' was told to use {}: correct its settings",
                reply.addr,
                lease_text(membership.lease),
                lease_text(self.lease)
            ));
        }
        if membership.sessions != self.sessions {
            return Err(format!(
                "'{peer}' at {} belongs to cluster {cluster}, which keeps {}, \
                 but '{name}' was told to keep {}: correct its settings",
                reply.addr, membership.sessions, self.sessions
            ));
        }
        Ok(())
    }
}

impl Peer {
    pub(super) fn new(peer: FormingPeer, nonce: u64) -> Self {
        Self {
            addr: peer.addr,
            expected: peer.name,
            weight: peer.weight,
            nonce,
            round: 0,
            heard: Heard::Nobody,
        }
    }

    /// How people know it.
    pub(super) fn label(&self) -> String {
        match &self.expected {
            Some(name) => format!("'{name}' ({})", self.addr),
            None => self.addr.clone(),
        }
    }

    fn name(&self) -> Option<&str> {
        match (&self.expected, &self.heard) {
            (Some(name), _) => Some(name),
            (None, Heard::Node(reply)) => Some(&reply.name),
            (None, Heard::Nobody | Heard::Myself) => None,
        }
    }
}

impl Roster {
    /// The peer whose address leads to the node called `name`.
    pub(super) fn peer_named(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| match &peer.heard {
            Heard::Node(reply) => reply.name == name,
            Heard::Nobody | Heard::Myself => false,
        })
    }

    fn own_weight(&self) -> u32 {
        let myself = |peer: &&Peer| matches!(peer.heard, Heard::Myself);
        self.peers
            .iter()
            .find(myself)
            .map_or(self.own.weight, |peer| peer.weight)
    }

    /// The list as this node now knows it, itself included.
    pub(super) fn list(&self) -> Vec<Listed> {
        let mut list = vec![Listed {
            name: Some(self.own.name.clone()),
            addr: self.own.addr.clone(),
            weight: self.own_weight(),
        }];
        for peer in &self.peers {
            if !matches!(peer.heard, Heard::Myself) {
                list.push(Listed {
                    name: peer.name().map(str::to_owned),
                    addr: peer.addr.clone(),
                    weight: peer.weight,
                });
            }
        }
        list
    }

    /// The membership that this node would form with whom it has heard.
    ///
    /// # Errors
    /// Everything that stands against it, so that an operator sees all of it at once.
    pub(super) fn agreement(&self) -> Result<Membership, Vec<Obstacle>> {
        let mut obstacles = self.identity_obstacles();
        // A roll with unknown names cannot be compared: first things first.
        if obstacles.is_empty() {
            obstacles = self.list_obstacles();
        }
        if !obstacles.is_empty() {
            return Err(obstacles);
        }
        let own = Member {
            name: self.own.name.clone(),
            disk: self.own.disk,
            addr: self.own.addr.clone(),
            weight: self.own_weight(),
        };
        let others = self.nodes().map(|(peer, reply)| Member {
            name: reply.name.clone(),
            disk: reply.disk,
            addr: reply.addr.clone(),
            weight: peer.weight,
        });
        let members = std::iter::once(own).chain(others);
        let mut membership = Membership::new(Epoch::FIRST, members)
            .map_err(|error| vec![Obstacle::Invalid(error)])?;
        membership.lease = self.own.lease;
        membership.sessions = self.own.sessions;
        Ok(membership)
    }

    fn nodes(&self) -> impl Iterator<Item = (&Peer, &HelloReply)> {
        self.peers.iter().filter_map(|peer| match &peer.heard {
            Heard::Node(reply) => Some((peer, reply)),
            Heard::Nobody | Heard::Myself => None,
        })
    }

    /// Addresses that do not answer, or not as who they should.
    fn identity_obstacles(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let mut seen: BTreeMap<&str, &Peer> = BTreeMap::new();
        for peer in &self.peers {
            let name = match &peer.heard {
                Heard::Nobody => {
                    obstacles.push(Obstacle::Silent { peer: peer.label() });
                    continue;
                }
                Heard::Myself => &self.own.name,
                Heard::Node(reply) if reply.name == self.own.name => {
                    let addr = peer.addr.clone();
                    obstacles.push(Obstacle::Twin {
                        addr,
                        disk: reply.disk,
                    });
                    continue;
                }
                Heard::Node(reply) => &reply.name,
            };
            if let Some(expected) = &peer.expected
                && expected != name
            {
                obstacles.push(Obstacle::WrongName {
                    addr: peer.addr.clone(),
                    expected: expected.clone(),
                    found: name.clone(),
                });
            } else if let Some(other) = seen.insert(name, peer) {
                obstacles.push(Obstacle::SameNode {
                    name: name.clone(),
                    addrs: (other.addr.clone(), peer.addr.clone()),
                });
            }
        }
        obstacles
    }

    /// Peers whose lists are not this node's.
    fn list_obstacles(&self) -> Vec<Obstacle> {
        let Some(mine) = roll(&self.list()) else {
            return vec![Obstacle::Unresolved {
                peer: self.own.name.clone(),
            }];
        };
        let mut obstacles = Vec::new();
        for (_, reply) in self.nodes() {
            let peer = reply.name.clone();
            let theirs = match &reply.state {
                HelloState::Forming { list, .. } => roll(list),
                HelloState::Formed { membership, .. } => {
                    let members = membership.members.values();
                    Some(members.map(|m| (m.name.clone(), m.weight)).collect())
                }
            };
            obstacles.extend(self.terms_obstacles(reply));
            match theirs {
                None => obstacles.push(Obstacle::Unresolved { peer }),
                Some(theirs) if theirs != mine => obstacles.push(Obstacle::OtherList {
                    peer,
                    own: self.own.name.clone(),
                    there: theirs.difference(&mine).cloned().collect(),
                    here: mine.difference(&theirs).cloned().collect(),
                }),
                Some(_) => {}
            }
        }
        obstacles
    }

    /// What a peer was told otherwise about what all must do alike.
    fn terms_obstacles(&self, reply: &HelloReply) -> Vec<Obstacle> {
        let (own, peer) = (&self.own, &reply.name);
        let (lease, sessions) = match &reply.state {
            HelloState::Forming {
                lease, sessions, ..
            } => (*lease, *sessions),
            HelloState::Formed { membership, .. } => (membership.lease, membership.sessions),
        };
        let mut obstacles = Vec::new();
        if lease != own.lease {
            obstacles.push(Obstacle::OtherLease {
                peer: peer.clone(),
                there: lease,
                here: own.lease,
            });
        }
        if sessions != own.sessions {
            obstacles.push(Obstacle::OtherSessions {
                peer: peer.clone(),
                there: sessions,
                here: own.sessions,
            });
        }
        obstacles
    }

    /// Peers that are formed already, by cluster: its membership and who said so.
    pub(super) fn formed(&self) -> BTreeMap<ClusterId, (&Membership, BTreeSet<NodeId>)> {
        let mut formed: BTreeMap<_, (&Membership, BTreeSet<NodeId>)> = BTreeMap::new();
        for (_, reply) in self.nodes() {
            if let HelloState::Formed {
                cluster,
                membership,
            } = &reply.state
                && let Some(id) = member_with_disk(membership, &reply.name, reply.disk)
            {
                let known = formed
                    .entry(*cluster)
                    .or_insert((membership, BTreeSet::new()));
                known.1.insert(id);
            }
        }
        formed
    }
}

/// The member called `name`, if it lives on `disk`.
pub(super) fn member_with_disk(
    membership: &Membership,
    name: &str,
    disk: DiskId,
) -> Option<NodeId> {
    let id = NodeId::from_name(name)?;
    let member = membership.members.get(&id)?;
    (member.name == name && member.disk == disk).then_some(id)
}

/// The names and weights of a list; `None` while a name is unknown.
fn roll(list: &[Listed]) -> Option<Roll> {
    list.iter()
        .map(|listed| listed.name.clone().map(|name| (name, listed.weight)))
        .collect()
}
