//! What the loop and the protocol count.
//! Knows nothing about connections.

use chil_core::Span;
use chil_core::output::IgnoreReason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The loop and the protocol.
#[derive(Clone, Debug)]
pub(crate) struct NodeMetrics {
    ignored: Family<Ignored, Counter>,
    lag: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ignored {
    reason: String,
}

/// From a tenth of a millisecond, each twice the one before, to more than three seconds.
const LAG_BUCKETS: u16 = 16;
const LAG_LEAST: f64 = 0.000_1;

impl NodeMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ignored: Family::default(),
            lag: Histogram::new(exponential_buckets(LAG_LEAST, 2.0, LAG_BUCKETS)),
        };
        registry.register(
            "messages_ignored",
            "Messages of peers that were dropped, by the reason",
            metrics.ignored.clone(),
        );
        registry.register(
            "loop_lag_seconds",
            "How late the node's loop came to what it had to do at a time",
            metrics.lag.clone(),
        );
        metrics
    }

    /// The core has dropped a message.
    pub(crate) fn ignored(&self, reason: IgnoreReason) {
        let reason = format!("{reason:?}");
        self.ignored.get_or_create(&Ignored { reason }).inc();
    }

    /// The loop woke so late.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub(crate) fn lagged(&self, by: Span) {
        self.lag.observe(by.nanos() as f64 / 1e9);
    }
}
