//! The other nodes as a person names them: an address, perhaps a name, a weight.
//! Knows nothing about how an address is reached or whether anybody lives there.

use std::net::IpAddr;
use std::str::FromStr;

/// One node of the cluster as the configuration lists it.
///
/// Written as `host:port` or `name=host:port`; the weight is 1 unless it is set.
///
/// ```
/// let peer: chil::config::Peer = "node-2=10.0.0.2:7000".parse().unwrap();
/// assert_eq!(peer.name.as_deref(), Some("node-2"));
/// assert_eq!(peer.address, "10.0.0.2:7000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it can be reached: `host:port`.
    pub address: String,
    /// Its name, where the configuration says it; else the peer introduces itself.
    pub name: Option<String>,
    /// How much its vote counts.
    pub weight: u32,
}

/// Whether what is sent to this host, a name or an address, stays on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Peer {
    /// Whether its address is surely one of this host: what is sent there leaves it not.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.address.rsplit_once(':');
        let host = host.map_or(self.address.as_str(), |(host, _)| host);
        is_loopback(host)
    }

    /// A peer that introduces itself.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            name: None,
            weight: 1,
        }
    }

    /// The same with this name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with this weight.
    #[must_use]
    pub const fn weighing(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

/// Why a text is no address of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No port.
    #[error("'{0}' has no port: write host:port")]
    NoPort(String),
    /// No host.
    #[error("'{0}' has no host: write host:port")]
    NoHost(String),
    /// A port that is no number from 1 to 65535 (0 only where one is bound).
    #[error("'{0}' has no usable port: it must be a number from 1 to 65535")]
    BadPort(String),
    /// Spaces and the like.
    #[error("'{0}' contains characters that no address has")]
    BadCharacter(String),
    /// `=host:port`.
    #[error("'{0}' has an empty name before '='")]
    NoName(String),
}

/// Checks that `text` has the form `host:port` and returns the port. Nothing is looked up.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_address(text: &str) -> Result<u16, AddressError> {
    let owned = || text.to_owned();
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '=' | ',' | '@'))
    {
        return Err(AddressError::BadCharacter(owned()));
    }
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| AddressError::NoPort(owned()))?;
    if host.is_empty() {
        return Err(AddressError::NoHost(owned()));
    }
    // An IPv6 address must stand in brackets, or its last group would be taken for the port.
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(AddressError::NoPort(owned()));
    }
    port.parse().map_err(|_| AddressError::BadPort(owned()))
}

impl Peer {
    /// Checks that name and address can be what they are meant to be. Nothing is looked up.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), AddressError> {
        if self.name.as_deref() == Some("") {
            return Err(AddressError::NoName(format!("={}", self.address)));
        }
        match check_address(&self.address)? {
            0 => Err(AddressError::BadPort(self.address.clone())),
            _ => Ok(()),
        }
    }
}

impl Peer {
    /// From a list of settings: as it is written elsewhere, or without a port, where discovery may
    /// know it. Nothing is looked up.
    pub(super) fn listed(text: &str) -> Result<Self, AddressError> {
        let peer = Self::from(text);
        match peer.check() {
            Err(AddressError::NoPort(address)) if !address.contains(':') => {
                let stand_in = format!("{address}:1");
                check_address(&stand_in).map(|_| peer)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(peer),
        }
    }

    /// Whether its address says at which port.
    pub(super) fn has_port(&self) -> bool {
        self.address.contains(':')
    }
}

impl From<&str> for Peer {
    /// From `host:port` or `name=host:port`. [`Peer::check`] says whether that makes sense.
    fn from(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, address)) => Self::at(address.trim()).named(name.trim()),
            None => Self::at(text.trim()),
        }
    }
}

impl From<String> for Peer {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl FromStr for Peer {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let peer = Self::from(text);
        peer.check()?;
        Ok(peer)
    }
}

/// Why a list of peers contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerListError {
    /// The node itself stands in it more than once.
    #[error(
        "the list names this node ('{name}', {address}) twice: leave it out, or name it once at most"
    )]
    SelfTwice {
        /// The node.
        name: String,
        /// Its address.
        address: String,
    },
    /// Another name or address stands in it twice.
    #[error("the list names '{0}' twice: each node may stand in it once")]
    Twice(String),
    /// The node's own name at a foreign address, or its own address under a foreign name.
    #[error(
        "the list calls the node at {address} '{listed}', but this node is '{name}' at {own}: \
         correct one of them"
    )]
    NotSelf {
        /// What the list says.
        listed: String,
        /// Where.
        address: String,
        /// This node.
        name: String,
        /// Its address.
        own: String,
    },
}

/// A list of peers without the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    /// The others.
    pub others: Vec<Peer>,
    /// What the list said about the node itself, if it names it.
    pub own: Option<Peer>,
}

impl PeerList {
    /// Takes the node called `name` at `address` out of `list`, and refuses a list that names
    /// anybody twice. One list may then serve every node of a cluster.
    ///
    /// # Errors
    /// See [`PeerListError`].
    pub fn split(list: Vec<Peer>, name: &str, address: &str) -> Result<Self, PeerListError> {
        let mut others: Vec<Peer> = Vec::with_capacity(list.len());
        let mut own = None;
        for peer in list {
            let same_name = peer.name.as_deref().map(|listed| listed == name);
            let same_address = peer.address == address;
            match (same_name, same_address) {
                (Some(true), _) | (None, true) => {
                    if own.is_some() {
                        return Err(PeerListError::SelfTwice {
                            name: name.to_owned(),
                            address: address.to_owned(),
                        });
                    }
                    own = Some(peer);
                }
                (Some(false), true) => {
                    return Err(PeerListError::NotSelf {
                        listed: peer.name.unwrap_or_default(),
                        address: peer.address,
                        name: name.to_owned(),
                        own: address.to_owned(),
                    });
                }
                (Some(false) | None, false) => {
                    if others.iter().any(|other| other.address == peer.address) {
                        return Err(PeerListError::Twice(peer.address));
                    }
                    if let Some(listed) = &peer.name
                        && others
                            .iter()
                            .any(|other| other.name.as_ref() == Some(listed))
                    {
                        return Err(PeerListError::Twice(listed.clone()));
                    }
                    others.push(peer);
                }
            }
        }
        Ok(Self { others, own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(list: &[&str]) -> Vec<Peer> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_peer_is_an_address_with_or_without_a_name() {
        assert_eq!("a.b:1".parse(), Ok(Peer::at("a.b:1")));
        assert_eq!(" n = a:1 ".parse(), Ok(Peer::at("a:1").named("n")));
        assert_eq!("[::1]:80".parse(), Ok(Peer::at("[::1]:80")));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<Peer>().unwrap_err().to_string();
        assert!(reason("host").contains("no port"));
        assert!(reason(":7000").contains("no host"));
        assert!(reason("host:0").contains("1 to 65535"));
        assert!(reason("host:99999").contains("1 to 65535"));
        assert!(reason("::1").contains("no port"));
        assert!(reason("=host:1").contains("empty name"));
        assert!(reason("http://host:1").contains("no address has"));
        assert!(reason("ho st:1").contains("no address has"));
    }

    #[test]
    fn the_node_itself_may_stand_in_the_list_once() {
        let list = PeerList::split(peers(&["a=h:1", "b=h:2", "c=h:3"]), "a", "h:1").unwrap();
        assert_eq!(list.others, peers(&["b=h:2", "c=h:3"]));
        assert_eq!(list.own, Some(Peer::at("h:1").named("a")));

        let unnamed = PeerList::split(peers(&["h:1", "h:2"]), "a", "h:1").unwrap();
        assert_eq!(unnamed.others, peers(&["h:2"]));
    }

    #[test]
    fn a_list_that_names_the_node_itself_twice_is_refused() {
        for list in [
            &["a=h:1", "a=h:9"][..],
            &["h:1", "h:1"],
            &["a=h:9", "h:1"],
            &["h:1", "b=h:2", "a=h:9"],
        ] {
            let error = PeerList::split(peers(list), "a", "h:1").unwrap_err();
            assert!(
                matches!(error, PeerListError::SelfTwice { .. }),
                "{list:?}: {error}"
            );
        }
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused() {
        let refused = |list: &[&str]| PeerList::split(peers(list), "a", "h:1").unwrap_err();
        assert_eq!(refused(&["h:2", "h:2"]), PeerListError::Twice("h:2".into()));
        assert_eq!(
            refused(&["b=h:2", "b=h:3"]),
            PeerListError::Twice("b".into())
        );
        assert!(matches!(refused(&["b=h:1"]), PeerListError::NotSelf { .. }));
    }
}
