//! Who speaks on a connection, for everything that is served on it.
//! Knows nothing about how that was found out.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::{Identity, Kind, Role};

/// Who speaks on a connection; every request has it among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Who it has proven to be. `None` on connections without TLS: then it may do anything.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Where it speaks from.
    pub(crate) from: SocketAddr,
}

impl Caller {
    /// Whoever speaks from there without TLS.
    pub(crate) const fn unknown(from: SocketAddr) -> Self {
        Self {
            identity: None,
            from,
        }
    }

    /// What its requests are counted under.
    pub(crate) fn key(&self) -> String {
        match &self.identity {
            Some(identity) => format!("{}/{}", identity.kind().name(), identity.name()),
            None => self.from.ip().to_string(),
        }
    }

    /// Whether it may do what needs `role`. Nodes are no clients.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the guard of requests"))]
    pub(crate) fn may(&self, role: Role) -> bool {
        match self.identity.as_deref().map(Identity::kind) {
            None => true,
            Some(Kind::Node) => false,
            Some(Kind::Client(own)) => own >= role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(kind: Option<Kind>) -> Caller {
        let identity = kind.map(|kind| Arc::new(Identity::new("local", kind, "a").unwrap()));
        let from = SocketAddr::from(([127, 0, 0, 1], 5));
        Caller { identity, from }
    }

    #[test]
    fn a_role_includes_those_below_it_and_a_node_has_none() {
        let may = |kind| Role::ALL.map(|role| caller(kind).may(role));
        assert_eq!(may(None), [true; 3]);
        assert_eq!(may(Some(Kind::Node)), [false; 3]);
        assert_eq!(may(Some(Kind::Client(Role::Read))), [true, false, false]);
        assert_eq!(may(Some(Kind::Client(Role::Write))), [true, true, false]);
        assert_eq!(may(Some(Kind::Client(Role::Admin))), [true; 3]);
    }

    #[test]
    fn without_tls_callers_are_counted_by_address() {
        assert_eq!(caller(None).key(), "127.0.0.1");
        assert_eq!(caller(Some(Kind::Client(Role::Write))).key(), "write/a");
    }
}
