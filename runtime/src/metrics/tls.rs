//! What is counted of certificates.
//! Knows nothing about connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Certificates.
#[derive(Clone, Debug)]
pub(crate) struct TlsMetrics {
    own: Gauge,
    authority: Gauge,
    reloads: Family<Outcome, Counter>,
    bad: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            own: Gauge::default(),
            authority: Gauge::default(),
            reloads: Family::default(),
            bad: Gauge::default(),
        };
        registry.register(
            "tls_certificate_expiry_seconds",
            "Seconds until the node's certificate expires; 0 afterwards, and without TLS",
            metrics.own.clone(),
        );
        registry.register(
            "tls_authority_expiry_seconds",
            "Seconds until the first of the authorities expires; 0 afterwards, and without TLS",
            metrics.authority.clone(),
        );
        registry.register(
            "tls_reloads",
            "How often certificate, key or authorities had changed, by the outcome",
            metrics.reloads.clone(),
        );
        registry.register(
            "tls_reload_bad",
            "1 while the files contain what cannot be used",
            metrics.bad.clone(),
        );
        metrics
    }

    /// So many seconds are left.
    pub(crate) fn expires(&self, own: u64, authority: u64) {
        let seconds = |left: u64| i64::try_from(left).unwrap_or(i64::MAX);
        self.own.set(seconds(own));
        self.authority.set(seconds(authority));
    }

    /// The files had changed.
    pub(crate) fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// Whether the files cannot be used now.
    pub(crate) fn bad(&self, bad: bool) {
        self.bad.set(i64::from(bad));
    }
}
