//! Settings of the section `limits`: how much may be asked for and kept.
//! Knows nothing about values.

use super::{Field, Known, known};

pub(super) const FIELDS: &[Known] = &[
    known(
        Field::ValueBytesMax,
        "consensus.limits.value_bytes_max",
        "CONSENSUS_VALUE_BYTES_MAX",
        "largest command, for example 64KiB; 1MiB by default",
    ),
    known(
        Field::InFlightEntriesMax,
        "consensus.limits.in_flight_entries_max",
        "CONSENSUS_IN_FLIGHT_ENTRIES_MAX",
        "most commands proposed ahead of the last decision; 16384 by default",
    ),
    known(
        Field::InFlightBytesMax,
        "consensus.limits.in_flight_bytes_max",
        "CONSENSUS_IN_FLIGHT_BYTES_MAX",
        "most bytes proposed ahead of the last decision; 4MiB by default",
    ),
];
