//! Which peers cannot be reached, and why: told when that changes, not each time it is tried.
//! Knows nothing about when that is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dial::DialError;
use super::watch::{Party, Watch};

/// What a node could not reach. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Troubles {
    watch: Watch,
    /// By logical address, what kind of trouble was told last.
    told: Arc<Mutex<BTreeMap<String, &'static str>>>,
}

impl Troubles {
    pub(crate) fn new(watch: Watch) -> Self {
        let told = Arc::default();
        Self { watch, told }
    }

    /// Whoever is at `address` was not reached, or is not believed, or does not believe this node.
    pub(super) fn failed(&self, address: &str, error: &DialError) {
        if let DialError::Refused { at, reason } = error {
            let party = Party {
                from: at,
                who: None,
            };
            self.watch.not_reached(party, (reason.code(), reason));
        }
        if !self.is_new(address, error.code()) {
            return;
        }
        match error {
            // Usual while others start.
            DialError::Socket { .. } => {
                tracing::info!(address, "does not reach a peer: {error}");
            }
            DialError::Nowhere(_) | DialError::Refused { .. } => {
                tracing::warn!(address, "does not reach a peer: {error}");
            }
        }
    }

    /// Somebody who is believed was reached at `address`.
    pub(super) fn reached(&self, address: &str) {
        if self.lock().remove(address).is_some() {
            tracing::info!(address, "reaches a peer again");
        }
    }

    /// Nobody wants to reach it any more.
    pub(super) fn forget(&self, address: &str) {
        self.lock().remove(address);
    }

    fn is_new(&self, address: &str, code: &'static str) -> bool {
        self.lock().insert(address.to_owned(), code) != Some(code)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, &'static str>> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::metrics::Metrics;
    use crate::tls::Reason;

    #[test]
    fn a_trouble_is_told_once_and_counted_each_time() {
        let metrics = Arc::new(Metrics::new("n"));
        let troubles = Troubles::new(Watch::new("n", &metrics));
        let at = SocketAddr::from(([10, 0, 0, 1], 5));
        let refused = DialError::Refused {
            at,
            reason: Reason::UnknownAuthority,
        };
        for _ in 0..3 {
            troubles.failed("a:1", &refused);
        }
        assert!(!troubles.is_new("a:1", refused.code()));
        let source = std::io::ErrorKind::ConnectionRefused.into();
        let socket = DialError::Socket { at, source };
        assert!(troubles.is_new("a:1", socket.code()), "it is another one");
        assert!(troubles.is_new("b:1", socket.code()), "it is another peer");
        troubles.reached("a:1");
        assert!(troubles.is_new("a:1", socket.code()), "it was reached");
        troubles.forget("a:1");
        assert_eq!(troubles.lock().len(), 1, "b:1");
        let counted = "chil_dials_refused_total{node=\"n\",reason=\"unknown-authority\"} 3";
        assert!(metrics.text().contains(counted), "{}", metrics.text());
    }
}
