//! What is counted of requests, and of frames that were not sent.
//! Knows nothing about who asks: names of clients are never labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Requests of clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdmissionMetrics {
    in_flight: Gauge,
    bytes_in_flight: Gauge,
    refused: Family<Refused, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

impl AdmissionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "requests_in_flight",
            "Requests of clients that have no answer yet",
            metrics.in_flight.clone(),
        );
        registry.register(
            "request_bytes_in_flight",
            "Bytes of these requests",
            metrics.bytes_in_flight.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests of clients that were not let in, by the reason",
            metrics.refused.clone(),
        );
        metrics
    }

    /// A request was let in.
    pub(crate) fn let_in(&self, bytes: u64) {
        self.in_flight.inc();
        self.bytes_in_flight.inc_by(signed(bytes));
    }

    /// One that was let in is done.
    pub(crate) fn left(&self, bytes: u64) {
        self.in_flight.dec();
        self.bytes_in_flight.dec_by(signed(bytes));
    }

    /// A request was not let in.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
