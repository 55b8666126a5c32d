//! The resolver of a node, of whichever type its settings ask for.
//! Knows nothing about how any of them finds anything.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chil_core::Span;

#[cfg(feature = "kubernetes")]
use super::kubernetes::{KubernetesOptions, KubernetesResolver};
#[cfg(feature = "dns-srv")]
use super::srv::SrvLookup;
use super::{Names, Pace, Resolve, ResolveError, SystemLookup, Tried};
use crate::clock::{SystemClock, random_u64};
use crate::config::Discovery;
use crate::metrics::DiscoveryMetrics;

/// What this build was not made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("discovery of this type is not built in: build chil with the feature {0}")]
pub struct NotBuiltIn(pub &'static str);

/// Translates addresses as settings say. Clones share what is known.
#[derive(Clone, Debug)]
pub struct Resolver(Source);

#[derive(Clone, Debug)]
enum Source {
    Names(Names<SystemLookup, SystemClock>),
    #[cfg(feature = "dns-srv")]
    Srv(Names<SrvLookup, SystemClock>),
    #[cfg(feature = "kubernetes")]
    Kubernetes(KubernetesResolver),
}

/// In how many answers running a name's address must be missing: one answer may be partial.
const PATIENCE: u32 = 2;
/// How soon a name that leads nowhere is looked up again by whoever asks.
const AGAIN: Span = Span::from_millis(1_000);

impl Resolver {
    /// Begins to find out. On a tokio runtime only.
    ///
    /// # Errors
    /// Of a type that this program was built without.
    pub fn new(settings: &Discovery) -> Result<Self, NotBuiltIn> {
        let source = match settings {
            Discovery::Static { timeout } => Source::Names(system(*timeout, None)),
            Discovery::Dns { refresh, timeout } => Source::Names(system(*timeout, Some(*refresh))),
            #[cfg(feature = "dns-srv")]
            Discovery::Srv {
                service,
                servers,
                refresh,
                timeout,
            } => {
                let lookup = SrvLookup::new(service, servers, *timeout);
                Source::Srv(Names::new(lookup, SystemClock, pace(Some(*refresh))))
            }
            #[cfg(not(feature = "dns-srv"))]
            Discovery::Srv { .. } => return Err(NotBuiltIn("dns-srv")),
            #[cfg(feature = "kubernetes")]
            Discovery::Kubernetes {
                service,
                namespace,
                port_name,
                api,
                token_file,
                ca_file,
                timeout,
            } => {
                let usual = KubernetesOptions::in_cluster(service);
                let options = KubernetesOptions {
                    api: api.clone().unwrap_or(usual.api),
                    namespace: namespace.clone(),
                    port_name: port_name.clone(),
                    token_file: token_file.clone().unwrap_or(usual.token_file),
                    ca_file: ca_file.clone().unwrap_or(usual.ca_file),
                    timeout: *timeout,
                    ..usual
                };
                Source::Kubernetes(KubernetesResolver::new(options))
            }
            #[cfg(not(feature = "kubernetes"))]
            Discovery::Kubernetes { .. } => return Err(NotBuiltIn("kubernetes")),
        };
        Ok(Self(source))
    }

    /// Counts there what is found out.
    pub(crate) fn count(&self, metrics: &DiscoveryMetrics) {
        match &self.0 {
            Source::Names(names) => names.count(metrics),
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.count(metrics),
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.count(metrics),
        }
    }
}

/// By the system's own resolver.
fn system(timeout: Duration, refresh: Option<Duration>) -> Names<SystemLookup, SystemClock> {
    Names::new(SystemLookup::new(timeout), SystemClock, pace(refresh))
}

fn pace(refresh: Option<Duration>) -> Pace {
    let span = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Pace {
        refresh: refresh.map(|refresh| Span::from_nanos(span(refresh))),
        // Without refreshing, there is one answer for each attempt, and no second one to wait for.
        patience: if refresh.is_some() { PATIENCE } else { 1 },
        again: AGAIN,
        seed: random_u64(),
    }
}

impl Resolve for Resolver {
    async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        match &self.0 {
            Source::Names(names) => names.resolve(address).await,
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.resolve(address).await,
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.resolve(address).await,
        }
    }

    fn tried(&self, address: &str, at: SocketAddr, outcome: Tried) {
        match &self.0 {
            Source::Names(names) => names.tried(address, at, outcome),
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.tried(address, at, outcome),
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.tried(address, at, outcome),
        }
    }

    async fn moved(&self, address: &str, from: Option<SocketAddr>) {
        match &self.0 {
            Source::Names(names) => names.moved(address, from).await,
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.moved(address, from).await,
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.moved(address, from).await,
        }
    }

    fn forget(&self, address: &str) {
        match &self.0 {
            Source::Names(names) => names.forget(address),
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.forget(address),
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.forget(address),
        }
    }

    fn leads_to(&self, ip: IpAddr) -> bool {
        match &self.0 {
            Source::Names(names) => names.leads_to(ip),
            #[cfg(feature = "dns-srv")]
            Source::Srv(names) => names.leads_to(ip),
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(pods) => pods.leads_to(ip),
        }
    }
}
