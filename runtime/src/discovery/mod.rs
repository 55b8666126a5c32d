//! Discovery: which socket addresses a peer's `host:port` stands for right now.
//! Knows neither members nor votes: whoever is found somewhere still has to prove who it is.
//!
//! A member is known by its name and its logical address, `host:port`; lists, membership and
//! messages speak of nothing else. Below that, a connection needs socket addresses, and these come
//! and go: a container gets another one each time it is started. Discovery translates from the
//! former to the latter, and says when the answer has changed. It adds and removes no member.

mod directory;
#[cfg(test)]
mod directory_tests;
#[cfg(feature = "grpc")]
mod fixed;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "grpc")]
mod lookup;
#[cfg(feature = "grpc")]
mod names;
#[cfg(all(test, feature = "grpc"))]
mod names_tests;
#[cfg(feature = "grpc")]
mod places;
#[cfg(feature = "grpc")]
mod resolver;
#[cfg(feature = "dns-srv")]
mod srv;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

pub use directory::{Directory, Tried};
#[cfg(feature = "dns-srv")]
pub use srv::SrvLookup;
#[cfg(feature = "grpc")]
pub use {
    fixed::StaticResolver,
    lookup::{Lookup, SystemLookup},
    names::{Names, Pace},
    resolver::{NotBuiltIn, Resolver},
};

/// Translates logical addresses, for whoever connects.
pub trait Resolve: Clone + Send + Sync + 'static {
    /// Where `address` (`host:port`) may be reached, best first; never empty. What could not be
    /// refreshed is answered from what was known. Fails rather than waits for ever; cancel-safe,
    /// and what was begun goes on for the next one who asks.
    fn resolve(
        &self,
        address: &str,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, ResolveError>> + Send;

    /// How an attempt to connect to `at`, which was an answer for `address`, went. What worked
    /// comes first from then on.
    fn tried(&self, address: &str, at: SocketAddr, outcome: Tried);

    /// Resolves once what is known of `address` calls for a new attempt: for a connection to
    /// `from`, when `address` does not lead there any more; for somebody who waits without a
    /// connection (`None`), at any news. Cancel-safe.
    fn moved(&self, address: &str, from: Option<SocketAddr>) -> impl Future<Output = ()> + Send;

    /// Nobody asks for `address` any more: what is known of others must not go for it.
    fn forget(&self, _address: &str) {}

    /// Whether any of the addresses that were asked for leads to `ip`.
    fn leads_to(&self, ip: IpAddr) -> bool;
}

/// Why nobody can say where an address leads. It will be asked again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Whoever was asked said no.
    #[error("'{host}' cannot be looked up: {reason}")]
    Failed {
        /// What was looked up.
        host: String,
        /// The answer.
        reason: String,
    },
    /// Whoever was asked did not answer.
    #[error("'{host}' cannot be looked up: no answer within {limit:?}; is the name server there?")]
    Silent {
        /// What was looked up.
        host: String,
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// The answer holds no address.
    #[error("'{host}' has no address: {hint}")]
    Nowhere {
        /// What was looked up.
        host: String,
        /// Where it should be said.
        hint: String,
    },
}

/// What sources of discovery know a host by: `Node-2.chil.default.svc` is `node-2`.
#[cfg(any(feature = "kubernetes", feature = "dns-srv"))]
fn first_label(host: &str) -> String {
    let label = host.split_once('.').map_or(host, |(label, _)| label);
    label.to_ascii_lowercase()
}
