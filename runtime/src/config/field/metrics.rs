//! Settings of the section `metrics`: where somebody can read what the node has counted.
//! Knows nothing about values.

use super::{Field, Known, known};

pub(super) const FIELDS: &[Known] = &[known(
    Field::MetricsAddress,
    "consensus.metrics.address",
    "CONSENSUS_METRICS_ADDRESS",
    "host:port of a page with the metrics, at /metrics over plain HTTP, for everybody who reaches \
     it; none by default",
)];
