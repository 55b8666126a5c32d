//! Discovery without any: literals are themselves, names are looked up where somebody connects.
//! Knows nothing about refreshing: a connection that stands stays where it leads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chil_core::Span;

use super::{Names, Pace, Resolve, ResolveError, SystemLookup, Tried};
use crate::clock::{SystemClock, random_u64};

/// The addresses are what the settings say: nothing is asked but the system's resolver, and that
/// only for a new connection, at most once a second a name.
#[derive(Clone, Debug)]
pub struct StaticResolver(Names<SystemLookup, SystemClock>);

impl StaticResolver {
    /// Gives up waiting for the system's resolver after `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let pace = Pace {
            refresh: None,
            patience: 1,
            again: Span::from_millis(1_000),
            seed: random_u64(),
        };
        Self(Names::new(SystemLookup::new(limit), SystemClock, pace))
    }
}

impl Default for StaticResolver {
    fn default() -> Self {
        Self::new(Duration::from_secs(2))
    }
}

impl Resolve for StaticResolver {
    async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        self.0.resolve(address).await
    }

    fn tried(&self, address: &str, at: SocketAddr, outcome: Tried) {
        self.0.tried(address, at, outcome);
    }

    async fn moved(&self, address: &str, from: Option<SocketAddr>) {
        self.0.moved(address, from).await;
    }

    fn leads_to(&self, ip: IpAddr) -> bool {
        self.0.leads_to(ip)
    }
}
