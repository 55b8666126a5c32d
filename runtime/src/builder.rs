//! What a host says about a node before it starts, and whether that makes sense.
//! Knows nothing about sockets and files: `start` hands over to `life`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chil_core::{Config, Lease, NodeId, SessionLimits, SnapshotPolicy, StateMachine};

use crate::clock::random_u64;
use crate::config::{AddressError, Agreed, Discovery, Peer, PeerList, exposed};
use crate::error::StartError;
use crate::limits::Limits;
use crate::tls::Tls;
use crate::tls::trust::{Owner, Trusted, WallClock};

/// A peer as the host wrote it: a [`Peer`], or the text of one (`host:port`, `name=host:port`).
#[derive(Clone, Debug)]
pub struct ListedPeer(Result<Peer, AddressError>);

impl From<Peer> for ListedPeer {
    fn from(peer: Peer) -> Self {
        Self(Ok(peer))
    }
}

impl From<&str> for ListedPeer {
    fn from(text: &str) -> Self {
        Self(text.parse())
    }
}

impl From<String> for ListedPeer {
    fn from(text: String) -> Self {
        Self(text.parse())
    }
}

/// A change of the protocol's settings.
type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// A node that is being described.
#[must_use = "a node is started by `state_machine(..).start().await`"]
pub struct NodeBuilder {
    pub(crate) name: String,
    pub(crate) bind: String,
    pub(crate) advertise: Option<String>,
    peers: Vec<ListedPeer>,
    pub(crate) weight: u32,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) single_node: bool,
    pub(crate) insecure: bool,
    tls: Option<Tls>,
    plaintext: bool,
    pub(crate) discovery: Discovery,
    pub(crate) metrics_address: Option<String>,
    pub(crate) lease: Option<Lease>,
    pub(crate) snapshots: SnapshotPolicy,
    pub(crate) sessions: SessionLimits,
    pub(crate) limits: Limits,
    protocol: Vec<Change>,
}

/// A node that is described, with its state machine.
#[must_use = "a node is started by `start().await`"]
pub struct NodeReady<S> {
    pub(crate) node: NodeBuilder,
    pub(crate) machine: S,
}

/// The address that is listened on when none is set.
const BIND: &str = "127.0.0.1:7000";

impl NodeBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            bind: BIND.to_owned(),
            advertise: None,
            peers: Vec::new(),
            weight: 1,
            data_dir: None,
            single_node: false,
            insecure: false,
            tls: None,
            plaintext: false,
            discovery: Discovery::default(),
            metrics_address: None,
            lease: None,
            snapshots: SnapshotPolicy::default(),
            sessions: SessionLimits::default(),
            limits: Limits::default(),
            protocol: Vec::new(),
        }
    }

    /// Listens on `address` (`host:port`) for peers, clients and operators. Port 0 lets the
    /// system choose. Default: `127.0.0.1:7000`.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.bind = address.into();
        self
    }

    /// Tells others to reach this node at `address`. Default: the address that it listens on;
    /// where that is every address of the host, the one that leads to the first peer.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// The other nodes of the cluster; this one may be among them. Used until the cluster has
    /// formed; later, named ones tell where a member has moved.
    pub fn peers(mut self, peers: impl IntoIterator<Item = impl Into<ListedPeer>>) -> Self {
        self.peers = peers.into_iter().map(Into::into).collect();
        self
    }

    /// How much this node's vote counts. Default: 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Keeps everything durable in this directory, which belongs to this node alone.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Allows a cluster of this node alone. Without it an empty list of peers is refused, since
    /// it is more often a lost setting than a wish.
    pub fn single_node(mut self, single: bool) -> Self {
        self.single_node = single;
        self
    }

    /// Proves with this certificate that it is the node of its name, and believes those that the
    /// same authorities have certified: on every connection, of peers and of clients.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Does without TLS: nothing is encrypted, everybody who can connect may do everything. Only
    /// on loopback, unless [`Self::insecure`] allows more.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// How it finds out where its peers are. Default: addresses are what they are, and names are
    /// looked up for each new connection.
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = discovery;
        self
    }

    /// Serves what [`Node::metrics`](crate::Node::metrics) says on `address` (`host:port`), at
    /// `/metrics` over plain HTTP, for everybody who reaches it: so choose an address that only
    /// those reach who may know how busy the node is. Default: nowhere.
    pub fn metrics_address(mut self, address: impl Into<String>) -> Self {
        self.metrics_address = Some(address.into());
        self
    }

    /// Allows [`Self::plaintext`] beyond this host.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Bounds what is let in from outside, and what waits for peers. Default: bounds on
    /// connections and on what is under way, and no rates.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets leaders answer [`Consistency::Lease`](crate::Consistency::Lease) reads without a
    /// round trip, for `duration` from the last one: as long as no clock of the cluster runs fast
    /// or slow by more than `drift_ppm` millionths. A new leader waits as long before it decides
    /// anything new. The same on every node, and for as long as the cluster lives. Default: none.
    pub fn lease(mut self, duration: Duration, drift_ppm: u32) -> Self {
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.lease = Some(Lease {
            duration_us,
            drift_ppm,
        });
        self
    }

    /// Takes a snapshot of the state machine behind every so many slots or bytes of the log. Give
    /// all nodes the same, so that they take them in the same slots: a transfer to a node that
    /// was away then goes on from another one when the first fails. Default: 65,536 slots or
    /// 64 MiB, whichever comes first.
    pub fn snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.snapshots = policy;
        self
    }

    /// How many sessions of clients are kept, and how much of replies for them. It must be the
    /// same on all nodes and for as long as the cluster lives: which session is evicted is part
    /// of the replicated state. Default: 65,536 sessions and 256 MiB.
    pub fn sessions(mut self, limits: SessionLimits) -> Self {
        self.sessions = limits;
        self
    }

    /// What all nodes are to be told the same, as settings say it.
    pub(crate) fn agreed(mut self, agreed: Agreed) -> Self {
        self.lease = agreed.lease;
        self.snapshots(agreed.snapshots).sessions(agreed.sessions)
    }

    /// How much this node is wanted as leader: a leader hands over to a member of higher priority
    /// that keeps up. Default: 0.
    pub fn priority(self, priority: u32) -> Self {
        self.protocol(move |config| config.priority = priority)
    }

    /// Changes how the protocol behaves.
    pub fn protocol(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.protocol.push(Box::new(change));
        self
    }

    /// The state machine that executes what is decided: [`chil_core::kv::KeyValue`], or your own.
    pub fn state_machine<S: StateMachine>(self, machine: S) -> NodeReady<S> {
        NodeReady {
            node: self,
            machine,
        }
    }

    /// The protocol's settings for this process.
    pub(crate) fn config(&mut self) -> Result<Config, StartError> {
        let problem = |problem: String| setting("name", problem);
        let node = NodeId::from_name(&self.name);
        let node = node.filter(|_| !self.name.is_empty());
        let node = node.ok_or_else(|| {
            problem(format!(
                "'{}' cannot name a node: choose another",
                self.name
            ))
        })?;
        let mut config = Config::new(node, random_u64(), random_u64());
        for change in self.protocol.drain(..) {
            change(&mut config);
        }
        config.node = node;
        config
            .check()
            .map_err(|e| setting("protocol", e.to_string()))?;
        let useless = |lease: &Lease| !lease.valid() || lease.trust() < config.heartbeat_interval;
        if let Some(lease) = self.lease.filter(useless) {
            let problem = format!(
                "{lease} is of no use: with such clocks, it has to last for a heartbeat interval \
                 at least, and at most for a minute, since no new leader decides anything before"
            );
            return Err(setting("lease", problem));
        }
        if !self.sessions.valid() {
            let problem = format!("{} cannot be kept: allow at least one", self.sessions);
            return Err(setting("sessions", problem));
        }
        Ok(config)
    }

    /// The address of the first peer that has one.
    pub(crate) fn first_peer(&self) -> Option<String> {
        let usable = |listed: &ListedPeer| listed.0.as_ref().ok().map(|p| p.address.clone());
        self.peers.iter().find_map(usable)
    }

    /// The other nodes, when this one is reached at `address`.
    pub(crate) fn others(&mut self, address: &str) -> Result<Vec<Peer>, StartError> {
        let peers: Result<Vec<Peer>, AddressError> =
            self.peers.drain(..).map(|listed| listed.0).collect();
        let peers = peers.map_err(|error| setting("peers", error.to_string()))?;
        let list = PeerList::split(peers, &self.name, address);
        let list = list.map_err(|error| setting("peers", error.to_string()))?;
        if let Some(own) = list.own {
            self.weight = own.weight;
        }
        Ok(list.others)
    }

    /// What the node shows and whom it believes; `None` if it is to do without.
    pub(crate) fn trusted(
        &mut self,
        listens_on: IpAddr,
        others: &[Peer],
    ) -> Result<Option<Trusted>, StartError> {
        let Some(tls) = self.tls.take() else {
            self.check_plaintext(listens_on, others)?;
            return Ok(None);
        };
        if self.plaintext {
            let problem = "a certificate is given, and plaintext asked for: decide for one of both";
            return Err(setting("tls", problem.to_owned()));
        }
        let owner = Owner::Node(self.name.clone());
        Ok(Some(Trusted::load(tls, owner, Arc::new(WallClock))?))
    }

    /// Refuses to speak unencrypted unless that is wished, and with other hosts, unless that was
    /// allowed.
    fn check_plaintext(&self, listens_on: IpAddr, others: &[Peer]) -> Result<(), StartError> {
        if !self.plaintext {
            let problem = "no certificate is given: `chil cert init` and `chil cert issue` make \
                           some for development; or do without TLS on loopback \
                           (`security.tls_enabled: false`, or `.plaintext()`)";
            return Err(setting("tls", problem.to_owned()));
        }
        match exposed(Some(listens_on), others) {
            None => Ok(()),
            Some(exposed) if self.insecure => {
                tracing::warn!(
                    node = self.name,
                    "traffic is neither encrypted nor authenticated, because of `insecure`: \
                     {exposed} is reachable beyond this host"
                );
                Ok(())
            }
            Some(exposed) => Err(setting(
                "insecure",
                format!(
                    "{exposed} is not on loopback, and TLS is off: give the node a certificate, \
                     or allow it with `insecure: true`"
                ),
            )),
        }
    }
}

pub(crate) const fn setting(setting: &'static str, problem: String) -> StartError {
    StartError::Setting { setting, problem }
}

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("bind", &self.bind)
            .field("advertise", &self.advertise)
            .field("peers", &self.peers)
            .field("weight", &self.weight)
            .field("data_dir", &self.data_dir)
            .field("single_node", &self.single_node)
            .field("insecure", &self.insecure)
            .field("lease", &self.lease)
            .field("snapshots", &self.snapshots)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for NodeReady<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeReady").field(&self.node).finish()
    }
}
