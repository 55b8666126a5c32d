//! What a forming node is told: its own name and its peers, checked for what can be seen at once.
//! Knows nothing about what the peers will answer.

use super::message::{ADDR_BYTES_MAX, NAME_BYTES_MAX};
use crate::membership::{Lease, Membership};
use crate::session::SessionLimits;
use crate::time::Span;
use crate::types::{DiskId, NodeId};

/// One entry of a node's peer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormingPeer {
    /// Where to look for it.
    pub addr: String,
    /// Who must answer there, if that is known: then any other name is refused.
    pub name: Option<String>,
    /// How much its vote is to count.
    pub weight: u32,
}

/// What a node with an empty directory needs to know to become part of a new cluster.
#[derive(Clone, Debug)]
pub struct FormingConfig {
    /// This node's name.
    pub name: String,
    /// Its data directory; durable, so that it is the same after a crash.
    pub disk: DiskId,
    /// Where peers reach this node.
    pub advertise_addr: String,
    /// How much its vote counts, unless the list contains the node itself and says otherwise.
    pub weight: u32,
    /// The others. May contain the node itself once, so that all nodes can be given one list.
    pub peers: Vec<FormingPeer>,
    /// Allows a cluster of this node alone.
    pub single_node: bool,
    /// Whether leaders may serve reads from a lease: the same on all nodes, and for as long as
    /// the cluster lives.
    pub lease: Option<Lease>,
    /// What is kept for sessions: the same on all nodes, since it decides who is evicted from a
    /// state that all must share, and for as long as the cluster lives.
    pub sessions: SessionLimits,
    /// Every question is asked again after this long.
    pub interval: Span,
    /// Drawn at random for this process: answers to another process must not count.
    pub seed: u64,
}

/// Why a node cannot even try. Each says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormingConfigError {
    /// Names are hashed and travel in messages.
    #[error("'{0}' cannot be the name of a node: 1 to {NAME_BYTES_MAX} bytes")]
    BadName(String),
    /// An address is empty or too long.
    #[error("'{0}' cannot be the address of a node: 1 to {ADDR_BYTES_MAX} bytes")]
    BadAddr(String),
    /// One peer stands in the list twice.
    #[error("the peer list names '{0}' twice: remove one of the entries")]
    Twice(String),
    /// The node itself stands in the list twice.
    #[error("the peer list names this node twice, as '{0}' and as '{1}': remove one of them")]
    SelfTwice(String, String),
    /// Somebody else is expected at this node's own address.
    #[error(
        "the peer list expects '{listed}' at '{addr}', but that is the address of this node, '{own}'"
    )]
    ForeignName {
        /// The address.
        addr: String,
        /// The name beside it.
        listed: String,
        /// The node's name.
        own: String,
    },
    /// Nobody is listed, and nobody said that this is meant.
    #[error("no peers are listed: list them, or set single_node to form a cluster of one")]
    NoPeers,
    /// Two settings contradict each other.
    #[error("single_node is set, but {0} peers are listed: remove one or the other")]
    SingleWithPeers(usize),
    /// More than a membership can have.
    #[error("{0} nodes are listed, but at most {max} are supported", max = Membership::MEMBERS_MAX)]
    TooMany(usize),
    /// Nobody's vote would count.
    #[error("all weights are 0: nothing could ever be decided")]
    NoVoter,
    /// Clocks worse than that are none, a lease that ends at once serves nobody, and a very long
    /// one stops every new leader for as long.
    #[error(
        "a lease of {0} cannot be used: it must last for some time, for at most {longest} us, \
         and clocks may not drift by more than {max} ppm",
        longest = Lease::DURATION_US_MAX, max = Lease::DRIFT_PPM_MAX
    )]
    BadLease(Lease),
    /// No session could ever be opened.
    #[error("{0} cannot be kept: allow at least one session")]
    BadSessions(SessionLimits),
    /// Questions would be asked without a pause.
    #[error("the interval between questions must be greater than 0")]
    NoInterval,
}

impl FormingConfig {
    /// Which entry of the list is certainly this node: by its address or by its name.
    ///
    /// # Errors
    /// The first contradiction within the configuration.
    pub(super) fn check(&self) -> Result<Option<usize>, FormingConfigError> {
        if !is_name(&self.name) {
            return Err(FormingConfigError::BadName(self.name.clone()));
        }
        if !is_addr(&self.advertise_addr) {
            return Err(FormingConfigError::BadAddr(self.advertise_addr.clone()));
        }
        if self.interval == Span::ZERO {
            return Err(FormingConfigError::NoInterval);
        }
        if let Some(lease) = self.lease.filter(|lease| !lease.valid()) {
            return Err(FormingConfigError::BadLease(lease));
        }
        if !self.sessions.valid() {
            return Err(FormingConfigError::BadSessions(self.sessions));
        }
        let mut own = None;
        for (i, peer) in self.peers.iter().enumerate() {
            let earlier = self.peers.get(..i).unwrap_or_default();
            self.check_peer(peer, earlier)?;
            if self.is_own(peer) {
                own = Some(i);
            }
        }
        let others = self.peers.len() - usize::from(own.is_some());
        match (others, self.single_node) {
            (0, false) => return Err(FormingConfigError::NoPeers),
            (1.., true) => return Err(FormingConfigError::SingleWithPeers(others)),
            (0, true) | (_, false) => {}
        }
        if others >= Membership::MEMBERS_MAX {
            return Err(FormingConfigError::TooMany(others + 1));
        }
        let own_weight = own.and_then(|i| self.peers.get(i)).map(|peer| peer.weight);
        if own_weight.unwrap_or(self.weight) == 0 && self.peers.iter().all(|peer| peer.weight == 0)
        {
            return Err(FormingConfigError::NoVoter);
        }
        Ok(own)
    }

    fn check_peer(
        &self,
        peer: &FormingPeer,
        earlier: &[FormingPeer],
    ) -> Result<(), FormingConfigError> {
        if !is_addr(&peer.addr) {
            return Err(FormingConfigError::BadAddr(peer.addr.clone()));
        }
        if let Some(name) = &peer.name {
            if !is_name(name) {
                return Err(FormingConfigError::BadName(name.clone()));
            }
            if self.is_own_addr(&peer.addr) && *name != self.name {
                return Err(FormingConfigError::ForeignName {
                    addr: peer.addr.clone(),
                    listed: name.clone(),
                    own: self.name.clone(),
                });
            }
        }
        for other in earlier {
            if self.is_own(peer) && self.is_own(other) {
                let both = (other.addr.clone(), peer.addr.clone());
                return Err(FormingConfigError::SelfTwice(both.0, both.1));
            }
            if peer.addr.eq_ignore_ascii_case(&other.addr) {
                return Err(FormingConfigError::Twice(peer.addr.clone()));
            }
            if let Some(name) = &peer.name
                && peer.name == other.name
            {
                return Err(FormingConfigError::Twice(name.clone()));
            }
        }
        Ok(())
    }

    fn is_own(&self, peer: &FormingPeer) -> bool {
        self.is_own_addr(&peer.addr) || peer.name.as_ref() == Some(&self.name)
    }

    fn is_own_addr(&self, addr: &str) -> bool {
        addr.eq_ignore_ascii_case(&self.advertise_addr)
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && NodeId::from_name(name).is_some()
}

fn is_addr(addr: &str) -> bool {
    (1..=ADDR_BYTES_MAX).contains(&addr.len())
}
