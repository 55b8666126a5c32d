//! What is counted of connections.
//! Knows nothing about what is said on them.

use std::sync::atomic::Ordering;

use chil_core::Lane;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::delivery::{Counts, DropReason};

/// Connections.
#[derive(Clone, Debug)]
pub(crate) struct NetMetrics {
    open: Family<Side, Gauge>,
    refused: Family<Reason, Counter>,
    dials_refused: Family<Reason, Counter>,
    cut: Family<Reason, Counter>,
    frames_sent: Family<OfLane, Counter>,
    frames_dropped: Family<Dropped, Counter>,
    denied: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLane {
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    lane: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Side {
    side: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl NetMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Family::default(),
            refused: Family::default(),
            dials_refused: Family::default(),
            cut: Family::default(),
            frames_sent: Family::default(),
            frames_dropped: Family::default(),
            denied: Family::default(),
        };
        registry.register(
            "connections",
            "Connections that others have opened to this node, by their side",
            metrics.open.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections that were not taken, by the reason",
            metrics.refused.clone(),
        );
        registry.register(
            "dials_refused",
            "Connections to peers that came to nothing since one side did not believe the other, by \
             the reason",
            metrics.dials_refused.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections that were closed although both sides used them, by the reason",
            metrics.cut.clone(),
        );
        registry.register(
            "frames_sent",
            "Messages that were handed to connections to peers, by lane",
            metrics.frames_sent.clone(),
        );
        registry.register(
            "frames_dropped",
            "Messages to peers that were not sent, by lane and reason",
            metrics.frames_dropped.clone(),
        );
        registry.register(
            "requests_denied",
            "Requests that whoever asked may not make, by the method",
            metrics.denied.clone(),
        );
        metrics
    }

    /// Somebody's connection was not taken.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Whoever was called is not believed, or does not believe this node.
    pub(crate) fn dial_refused(&self, reason: &'static str) {
        self.dials_refused.get_or_create(&Reason { reason }).inc();
    }

    /// An open connection was closed.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&Reason { reason }).inc();
    }

    /// What became of all messages to peers so far, by lane.
    pub(crate) fn frames(&self, counts: &[Counts; Lane::ALL.len()]) {
        for (counts, lane) in counts.iter().zip(["heartbeat", "quorum", "bulk"]) {
            let sent = self.frames_sent.get_or_create(&OfLane { lane });
            sent.inner().store(counts.sent, Ordering::Relaxed);
            for why in DropReason::ALL {
                let reason = why.code();
                let dropped = Dropped { lane, reason };
                let dropped = self.frames_dropped.get_or_create(&dropped);
                dropped
                    .inner()
                    .store(counts.dropped(why), Ordering::Relaxed);
            }
        }
    }

    /// Somebody asked for what it may not do.
    pub(crate) fn denied(&self, method: &'static str) {
        self.denied.get_or_create(&Reason { reason: method }).inc();
    }

    /// A connection of peers, clients or anybody has opened; it counts until this is dropped.
    pub(crate) fn opened(&self, side: &'static str) -> Opened {
        let gauge = self.open.get_or_create(&Side { side }).clone();
        gauge.inc();
        Opened(gauge)
    }
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Opened(Gauge);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.dec();
    }
}
