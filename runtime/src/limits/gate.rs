//! Which connections may begin, and which may stay: by address, by name, by side.
//! Knows no sockets and no certificates: it is told who comes, who that proves to be, who left.
//!
//! Peers and clients have places of their own, before their handshake as behind it: a flood of
//! strangers keeps no peer out. On each side, one address may have at most as many handshakes
//! under way as places are left (Choudhury, Hahne, "Dynamic queue length thresholds", 1998): one
//! alone gets half of them, and whoever comes from another address finds room. So somebody who
//! shares the address of a peer does not keep the other peers out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use chil_core::{Span, Time};

use super::brake::Brake;
use super::bucket::Rate;
use super::side::{Side, Source};
use super::table::Place;

/// Places that only those get who look after the cluster, beside those of all clients.
const OPERATORS_MAX: usize = 16;
/// Those of one name among them.
const OPERATOR_MAX: usize = 8;
/// Connections that a peer has in good order: one a lane.
const LANES: usize = 3;

/// No handshake is put off for longer: whoever dials gives up at some time.
const WAIT_MAX: Span = Span::from_millis(500);

/// How many connections are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of clients.
    pub clients: usize,
    /// Connections of peers; one more of the same peer takes the place of its oldest.
    pub peers: usize,
    /// Connections of one peer: while it starts anew, those of its earlier life may hang.
    pub per_peer: usize,
    /// Connections from one address, which for IPv6 is a network of 64 bits. Those that are known
    /// as addresses of peers are not bounded by it.
    pub per_address: usize,
    /// Connections of one client that has a name.
    pub per_identity: usize,
    /// Handshakes under way; half of the places are for addresses of peers only.
    pub handshakes: usize,
    /// Handshakes that begin; from one address half as many.
    pub handshake_rate: Rate,
    /// Addresses that are told apart; those beyond share one account.
    pub addresses_tracked: usize,
    /// How late the node may be while handshakes of strangers begin at once. When it is later, each
    /// waits first, until the node is in time again or half a second is over. Zero: they never
    /// wait; but a node takes its heartbeat interval for zero.
    pub late_max: Span,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            clients: 1_024,
            peers: 512,
            per_peer: 8,
            per_address: 256,
            per_identity: 64,
            handshakes: 256,
            handshake_rate: Rate {
                per_second: 200,
                burst: Span::from_millis(1_000),
            },
            addresses_tracked: 16_384,
            late_max: Span::ZERO,
        }
    }
}

impl ConnectionLimits {
    /// How many connections there are at most, those with their handshake under way among them.
    #[must_use]
    pub const fn most(&self) -> usize {
        let inside = self.clients.saturating_add(self.peers);
        inside
            .saturating_add(OPERATORS_MAX)
            .saturating_add(self.handshakes)
    }
}

/// Who proved to be at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// The node of this name.
    Peer(&'a str),
    /// The client of this name.
    Client(&'a str),
    /// The client of this name, which looks after the cluster.
    Operator(&'a str),
    /// Nobody proves anything here.
    Anybody,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum GateReason {
    /// Too many handshakes are under way.
    #[error("too many handshakes are under way")]
    Handshakes,
    /// Handshakes begin too fast.
    #[error("handshakes begin too fast")]
    HandshakeRate,
    /// Too many connections from this address, or handshakes under way with it.
    #[error("too many connections from this address, or handshakes with it")]
    Address,
    /// Too many connections of this client.
    #[error("too many connections of this client")]
    Identity,
    /// Too many connections of clients.
    #[error("too many connections of clients")]
    Clients,
    /// Too many connections of peers.
    #[error("too many connections of peers")]
    Peers,
}

impl GateReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Handshakes,
        Self::HandshakeRate,
        Self::Address,
        Self::Identity,
        Self::Clients,
        Self::Peers,
    ];

    /// Its name in metrics and audit lines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::HandshakeRate => "handshake-rate",
            Self::Address => "address",
            Self::Identity => "identity",
            Self::Clients => "clients",
            Self::Peers => "peers",
        }
    }
}

/// A connection, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketId(u64);

/// A connection's place: it is taken until this is handed to [`Gate::left`].
#[derive(Debug)]
#[must_use = "a place is taken until it is given back to Gate::left"]
pub struct Ticket {
    id: TicketId,
    /// Whether peers are known to be at its address.
    known_peer: bool,
    source: Place<Source>,
    wait: Span,
    state: State,
}

impl Ticket {
    /// Which connection this is.
    #[must_use]
    pub const fn id(&self) -> TicketId {
        self.id
    }

    /// How long its handshake is to be put off: not at all, unless the node comes late.
    ///
    /// It is not turned away. A stranger may be a peer that has moved, or somebody who wants to see
    /// why the node comes late; and those who wait are no more than there are places.
    #[must_use]
    pub const fn wait(&self) -> Span {
        self.wait
    }
}

#[derive(Debug)]
enum State {
    Handshake,
    Peer(Arc<str>),
    /// By name, if it has one.
    Client(Option<Arc<str>>),
    /// In a place beside those of all clients.
    Operator(Arc<str>),
    /// From the address of a peer, where nobody proves who it is.
    LikelyPeer,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With their handshake under way.
    pub handshakes: usize,
    /// Of peers.
    pub peers: usize,
    /// Of clients, operators among them.
    pub clients: usize,
}

/// The connections of one node.
#[derive(Debug)]
pub struct Gate {
    limits: ConnectionLimits,
    next: u64,
    strangers: Side,
    /// From addresses of peers.
    known: Side,
    peers: BTreeMap<Arc<str>, BTreeSet<TicketId>>,
    peers_open: usize,
    clients: BTreeMap<Arc<str>, usize>,
    clients_open: usize,
    operators_open: usize,
    /// By name, in those places.
    operators: BTreeMap<Arc<str>, usize>,
    brake: Brake,
}

/// Counts another connection of this name. All of one name share it.
fn one_more(open: &mut BTreeMap<Arc<str>, usize>, name: &str) -> Arc<str> {
    let known = open.get_key_value(name);
    let name = known.map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known));
    *open.entry(Arc::clone(&name)).or_default() += 1;
    name
}

/// One of this name is gone.
fn one_less(open: &mut BTreeMap<Arc<str>, usize>, name: &Arc<str>) {
    let count = open.get_mut(name).expect("counted by one_more");
    *count -= 1;
    if *count == 0 {
        open.remove(name);
    }
}

impl Gate {
    /// Nobody is connected.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            next: 0,
            strangers: Side::new(limits.addresses_tracked),
            known: Side::new(limits.addresses_tracked),
            peers: BTreeMap::new(),
            peers_open: 0,
            clients: BTreeMap::new(),
            clients_open: 0,
            operators_open: 0,
            operators: BTreeMap::new(),
            brake: Brake::new(limits.late_max),
            limits,
        }
    }

    /// A connection has come; `known_peer` says whether peers are known to be at its address.
    ///
    /// # Errors
    /// Why it is to be closed at once. Nothing is counted then.
    pub fn arrive(
        &mut self,
        now: Time,
        from: IpAddr,
        known_peer: bool,
    ) -> Result<Ticket, GateReason> {
        let (limits, source) = (self.limits, Source::of(from));
        let free = limits.handshakes.saturating_sub(self.handshakes());
        if free == 0 {
            return Err(GateReason::Handshakes);
        }
        let (side, room) = if known_peer {
            // All that strangers leave, and they get half at most.
            let places = limits.handshakes - self.strangers.handshakes();
            (&mut self.known, (places, usize::MAX))
        } else {
            let places = limits.handshakes / 2;
            (&mut self.strangers, (places, limits.per_address))
        };
        let source = side.arrive(now, source, room, limits.handshake_rate)?;
        let wait = if known_peer {
            Span::ZERO
        } else {
            self.brake.left(now).min(WAIT_MAX)
        };
        self.next += 1;
        Ok(Ticket {
            id: TicketId(self.next),
            known_peer,
            source,
            wait,
            state: State::Handshake,
        })
    }

    const fn handshakes(&self) -> usize {
        self.strangers.handshakes() + self.known.handshakes()
    }

    const fn side(&mut self, known_peer: bool) -> &mut Side {
        if known_peer {
            &mut self.known
        } else {
            &mut self.strangers
        }
    }

    /// The handshake is over, and this is who came. The connection of the same peer that has to
    /// be cut for it is returned, if one has: the oldest is most likely dead.
    ///
    /// # Errors
    /// Why the connection is to be closed. Its place is still to be given back.
    ///
    /// # Panics
    /// If that was said of this connection already.
    pub fn identified(
        &mut self,
        ticket: &mut Ticket,
        who: Who<'_>,
    ) -> Result<Option<TicketId>, GateReason> {
        assert!(matches!(ticket.state, State::Handshake), "identified twice");
        let is_known = ticket.known_peer;
        let (state, evicted) = match who {
            Who::Peer(name) => {
                let (name, evicted) = self.enter_peer(ticket.id, name)?;
                (State::Peer(name), evicted)
            }
            Who::Client(name) => (self.enter_client(Some(name))?, None),
            Who::Operator(name) => (self.enter_operator(name)?, None),
            Who::Anybody if is_known && self.peers_open < self.limits.peers => {
                self.peers_open += 1;
                (State::LikelyPeer, None)
            }
            Who::Anybody => (self.enter_client(None)?, None),
        };
        self.end_handshake(ticket);
        ticket.state = state;
        Ok(evicted)
    }

    fn enter_peer(
        &mut self,
        id: TicketId,
        name: &str,
    ) -> Result<(Arc<str>, Option<TicketId>), GateReason> {
        let most = self.limits.per_peer.max(LANES);
        let open = self.peers.get(name).map_or(0, BTreeSet::len);
        if open < most && self.peers_open >= self.limits.peers {
            return Err(GateReason::Peers);
        }
        let name = self
            .peers
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(n, _)| n.clone());
        let links = self.peers.entry(name.clone()).or_default();
        let evicted = if open >= most {
            links.pop_first()
        } else {
            None
        };
        links.insert(id);
        self.peers_open += 1;
        Ok((name, evicted))
    }

    /// The places beside those of all clients are the last that are taken: they are for when
    /// clients have taken all others.
    fn enter_operator(&mut self, name: &str) -> Result<State, GateReason> {
        match self.enter_client(Some(name)) {
            Err(GateReason::Clients) if self.operators_open < OPERATORS_MAX => {
                // One tool that has gone wild does not take them all.
                if self.operators.get(name) >= Some(&OPERATOR_MAX) {
                    return Err(GateReason::Identity);
                }
                self.operators_open += 1;
                Ok(State::Operator(one_more(&mut self.operators, name)))
            }
            entered => entered,
        }
    }

    fn enter_client(&mut self, name: Option<&str>) -> Result<State, GateReason> {
        let open = name.and_then(|name| self.clients.get(name));
        if open.is_some_and(|open| *open >= self.limits.per_identity) {
            return Err(GateReason::Identity);
        }
        if self.clients_open >= self.limits.clients {
            return Err(GateReason::Clients);
        }
        self.clients_open += 1;
        let name = name.map(|name| one_more(&mut self.clients, name));
        Ok(State::Client(name))
    }

    /// A connection is closed, whoever closed it.
    pub fn left(&mut self, ticket: Ticket) {
        match &ticket.state {
            State::Handshake => self.end_handshake(&ticket),
            State::LikelyPeer => self.peers_open -= 1,
            State::Operator(name) => {
                self.operators_open -= 1;
                one_less(&mut self.operators, name);
            }
            State::Peer(name) => {
                self.peers_open -= 1;
                // One that was cut for another is in there no more.
                if let Some(links) = self.peers.get_mut(name) {
                    links.remove(&ticket.id);
                    if links.is_empty() {
                        self.peers.remove(name);
                    }
                }
            }
            State::Client(name) => {
                self.clients_open -= 1;
                if let Some(name) = name {
                    one_less(&mut self.clients, name);
                }
            }
        }
        self.side(ticket.known_peer).left(&ticket.source);
    }

    fn end_handshake(&mut self, ticket: &Ticket) {
        self.side(ticket.known_peer).end_handshake(&ticket.source);
    }

    /// The node met a deadline of its own so late.
    pub fn measured(&mut self, now: Time, late: Span) {
        self.brake.measured(now, late);
    }

    /// How many connections there are.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts {
            handshakes: self.handshakes(),
            peers: self.peers_open,
            clients: self.clients_open + self.operators_open,
        }
    }

    /// Panics if the numbers do not add up.
    pub fn check(&self) {
        let limits = &self.limits;
        self.strangers
            .check(limits.per_address, limits.addresses_tracked);
        self.known.check(usize::MAX, limits.addresses_tracked);
        assert!(
            self.strangers.handshakes() <= limits.handshakes / 2,
            "handshakes of strangers"
        );
        assert!(self.handshakes() <= limits.handshakes, "handshakes in all");
        assert!(self.clients_open <= limits.clients, "clients");
        assert!(self.operators_open <= OPERATORS_MAX, "operators");
        let named: usize = self.operators.values().sum();
        assert_eq!(named, self.operators_open, "operators by name");
        assert!(
            self.clients.values().sum::<usize>() <= self.clients_open,
            "clients by name"
        );
        let is_bounded = |open: &usize| (1..=limits.per_identity).contains(open);
        assert!(
            self.clients.values().all(is_bounded),
            "connections of a client"
        );
        let links: usize = self.peers.values().map(BTreeSet::len).sum();
        assert!(links <= self.peers_open, "links by name");
        let most = limits.per_peer.max(LANES);
        let is_bounded = |open: &BTreeSet<TicketId>| (1..=most).contains(&open.len());
        assert!(self.peers.values().all(is_bounded), "links of a peer");
    }
}
