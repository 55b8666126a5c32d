//! What is counted of finding out where peers are.
//! Knows nothing about how that is done.

use std::fmt;
use std::sync::{Arc, OnceLock};

use chil_core::Span;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Discovery.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryMetrics {
    refreshes: Family<Outcome, Counter>,
    known: Known,
}

/// What is known when somebody reads the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Knowledge {
    /// How many socket addresses.
    pub(crate) addresses: usize,
    /// How old the oldest answer is.
    pub(crate) age: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

type Ask = Box<dyn Fn() -> Knowledge + Send + Sync>;

/// Whom to ask; nobody before a resolver is there.
#[derive(Clone, Default)]
struct Known(Arc<OnceLock<Ask>>);

impl DiscoveryMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            refreshes: Family::default(),
            known: Known::default(),
        };
        registry.register(
            "discovery_refreshes",
            "Attempts to find out where peers are, by their outcome",
            metrics.refreshes.clone(),
        );
        registry.register_collector(Box::new(metrics.known.clone()));
        metrics
    }

    /// An attempt to find something out has ended, well or not.
    pub(crate) fn refreshed(&self, well: bool) {
        let outcome = if well { "ok" } else { "failed" };
        self.refreshes.get_or_create(&Outcome { outcome }).inc();
    }

    /// From now on `ask` says what is known. The first one stays.
    pub(crate) fn knows(&self, ask: impl Fn() -> Knowledge + Send + Sync + 'static) {
        let _ = self.known.0.set(Box::new(ask));
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.0.get().map(|ask| ask()).unwrap_or_default();
        let addresses = ConstGauge::new(i64::try_from(known.addresses).unwrap_or(i64::MAX));
        let help = "Socket addresses that peers' addresses stand for";
        let gauge = encoder.encode_descriptor(
            "discovery_addresses",
            help,
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        addresses.encode(gauge)?;
        let Some(age) = known.age else { return Ok(()) };
        let help = "How old the oldest answer is that is still relied on";
        let gauge = encoder.encode_descriptor(
            "discovery_age_seconds",
            help,
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        ConstGauge::new(seconds(age)).encode(gauge)
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(span: Span) -> f64 {
    span.nanos() as f64 / 1e9
}
