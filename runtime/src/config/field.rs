//! The table of settings: every key of the file, its environment variable, and what it is for.
//! Knows nothing about values: `value.rs` reads them.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The node's name.
    NodeId,
    /// Where it listens.
    BindAddress,
    /// Where the others reach it.
    AdvertiseAddress,
    /// The other nodes.
    Peers,
    /// How much its vote counts.
    Weight,
    /// Whether it is a cluster of one.
    SingleNode,
    /// Where its data lies.
    DataDir,
    /// Which protocol decides.
    ProtocolType,
    /// How long the protocol waits for an acknowledgement before it sends again.
    ProtocolTimeout,
    /// How often a candidate waits that long for promises before it gives up its ballot.
    ProtocolRetries,
    /// Whether connections without TLS may leave the machine.
    Insecure,
    /// Whether connections use TLS.
    TlsEnabled,
    /// The node's certificate.
    TlsCert,
    /// The key of it.
    TlsKey,
    /// Whose certificates are trusted.
    TlsCa,
    /// How silence is judged.
    FailureDetector,
    /// From which phi on a silent peer counts as down.
    SuspectThreshold,
    /// Length of a heartbeat round.
    HeartbeatInterval,
    /// Largest value.
    ValueBytesMax,
    /// Most entries proposed ahead of the last decision.
    InFlightEntriesMax,
    /// Most bytes proposed ahead of the last decision.
    InFlightBytesMax,
    /// How much it is wanted as leader.
    Priority,
    /// How long a leader may serve reads without asking.
    ReadLease,
    /// By how much clocks may run fast or slow.
    ClockDriftPpm,
    /// Slots from one snapshot to the next.
    SnapshotSlots,
    /// Bytes of the log from one snapshot to the next.
    SnapshotBytes,
    /// Bytes of the log that are kept behind a snapshot.
    LogTailBytes,
    /// Bytes of the log that a leader keeps for slow peers.
    LogKeepBytesMax,
    /// Sessions of clients at a time.
    SessionsMax,
    /// Bytes of replies that are kept for them.
    SessionReplyBytesMax,
    /// Sessions that may be opened in a second.
    SessionsPerSecondMax,
}

/// How a setting is called.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Which one.
    pub field: Field,
    /// Its key in the file, with the sections around it.
    pub key: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// One line for people.
    pub help: &'static str,
}

impl Field {
    /// Its entry in the table.
    #[must_use]
    pub fn known(self) -> &'static Known {
        FIELDS
            .iter()
            .find(|known| known.field == self)
            .expect("a test proves that every field stands in the table")
    }

    /// Its key in the file, with the sections around it.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.known().key
    }
}

const fn known(field: Field, key: &'static str, env: &'static str, help: &'static str) -> Known {
    Known {
        field,
        key,
        env,
        help,
    }
}

/// Every setting there is.
pub const FIELDS: &[Known] = &[
    known(
        Field::NodeId,
        "consensus.node_id",
        "CONSENSUS_NODE_ID",
        "name of this node, unique in its cluster; required",
    ),
    known(
        Field::BindAddress,
        "consensus.bind_address",
        "CONSENSUS_BIND_ADDRESS",
        "host:port to listen on; 127.0.0.1:7000 by default",
    ),
    known(
        Field::AdvertiseAddress,
        "consensus.advertise_address",
        "CONSENSUS_ADVERTISE_ADDRESS",
        "host:port where the others reach this node; the bind address by default",
    ),
    known(
        Field::Peers,
        "consensus.peers",
        "CONSENSUS_PEERS",
        "the other nodes: addresses, name=address, or {address, name, weight}",
    ),
    known(
        Field::Weight,
        "consensus.weight",
        "CONSENSUS_WEIGHT",
        "how much this node's vote counts; 1 by default",
    ),
    known(
        Field::SingleNode,
        "consensus.single_node",
        "CONSENSUS_SINGLE_NODE",
        "true for a cluster of one; false by default",
    ),
    known(
        Field::DataDir,
        "consensus.data_dir",
        "CONSENSUS_DATA_DIR",
        "directory of the log, this node's alone; required",
    ),
    known(
        Field::ProtocolType,
        "consensus.protocol.type",
        "CONSENSUS_PROTOCOL_TYPE",
        "multi_paxos",
    ),
    known(
        Field::ProtocolTimeout,
        "consensus.protocol.timeout",
        "CONSENSUS_PROTOCOL_TIMEOUT",
        "what is not acknowledged for so long is sent again; two heartbeats by default",
    ),
    known(
        Field::ProtocolRetries,
        "consensus.protocol.retries",
        "CONSENSUS_PROTOCOL_RETRIES",
        "timeouts that a candidate waits for promises before it gives up; 4 by default",
    ),
    known(
        Field::Insecure,
        "consensus.security.insecure",
        "CONSENSUS_INSECURE",
        "true to allow connections without TLS beyond loopback; false by default",
    ),
    known(
        Field::TlsEnabled,
        "consensus.security.tls_enabled",
        "CONSENSUS_TLS_ENABLED",
        "must be false: TLS is not available in this version",
    ),
    known(
        Field::TlsCert,
        "consensus.security.cert_file",
        "CONSENSUS_TLS_CERT",
        "not available in this version",
    ),
    known(
        Field::TlsKey,
        "consensus.security.key_file",
        "CONSENSUS_TLS_KEY",
        "not available in this version",
    ),
    known(
        Field::TlsCa,
        "consensus.security.ca_file",
        "CONSENSUS_TLS_CA",
        "not available in this version",
    ),
    known(
        Field::FailureDetector,
        "consensus.fault_tolerance.failure_detector",
        "CONSENSUS_FAILURE_DETECTOR",
        "phi_accrual",
    ),
    known(
        Field::SuspectThreshold,
        "consensus.fault_tolerance.suspect_threshold",
        "CONSENSUS_SUSPECT_THRESHOLD",
        "phi from which on a silent peer counts as down; 8 by default",
    ),
    known(
        Field::HeartbeatInterval,
        "consensus.fault_tolerance.heartbeat_interval",
        "CONSENSUS_HEARTBEAT_INTERVAL",
        "length of a heartbeat round; 100ms by default",
    ),
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
    known(
        Field::Priority,
        "consensus.priority",
        "CONSENSUS_PRIORITY",
        "a leader hands over to a member of higher priority that keeps up; 0 by default",
    ),
    known(
        Field::ReadLease,
        "consensus.reads.lease",
        "CONSENSUS_READ_LEASE",
        "how long a leader may answer reads without asking, for example 500ms; equal on all \
         members, fixed when the cluster forms; none by default",
    ),
    known(
        Field::ClockDriftPpm,
        "consensus.reads.clock_drift_ppm",
        "CONSENSUS_CLOCK_DRIFT_PPM",
        "millionths by which any clock may run fast or slow, for leases; equal on all members, \
         fixed when the cluster forms; 1000 by default",
    ),
    known(
        Field::SnapshotSlots,
        "consensus.snapshots.every_slots",
        "CONSENSUS_SNAPSHOT_SLOTS",
        "slots from one snapshot to the next; should be equal on all members; 65536 by default",
    ),
    known(
        Field::SnapshotBytes,
        "consensus.snapshots.every_bytes",
        "CONSENSUS_SNAPSHOT_BYTES",
        "bytes of the log from one snapshot to the next, if that comes first; should be equal on \
         all members; 64MiB by default",
    ),
    known(
        Field::LogTailBytes,
        "consensus.log.tail_bytes",
        "CONSENSUS_LOG_TAIL_BYTES",
        "bytes of the log kept behind a snapshot, for peers that were away for a moment; 4MiB by \
         default",
    ),
    known(
        Field::LogKeepBytesMax,
        "consensus.log.keep_bytes_max",
        "CONSENSUS_LOG_KEEP_BYTES_MAX",
        "most bytes of the log that a leader keeps for peers that are slow or fetch a snapshot; \
         64MiB by default",
    ),
    known(
        Field::SessionsMax,
        "consensus.sessions.max",
        "CONSENSUS_SESSIONS_MAX",
        "sessions of clients at a time; equal on all members, fixed when the cluster forms; \
         65536 by default",
    ),
    known(
        Field::SessionReplyBytesMax,
        "consensus.sessions.reply_bytes_max",
        "CONSENSUS_SESSION_REPLY_BYTES_MAX",
        "bytes of replies kept for them; equal on all members, fixed when the cluster forms; \
         256MiB by default",
    ),
    known(
        Field::SessionsPerSecondMax,
        "consensus.sessions.opened_per_second_max",
        "CONSENSUS_SESSIONS_PER_SECOND_MAX",
        "sessions that may be opened in a second; 1000 by default",
    ),
];

/// The known name nearest to `unknown`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(
    unknown: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(unknown, name), name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len().max(unknown.len()) / 3).max(1))
        .map(|(_, name)| name)
}

/// Levenshtein distance: how many letters to insert, delete or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_stands_in_the_table_once() {
        let fields: BTreeSet<Field> = FIELDS.iter().map(|known| known.field).collect();
        assert_eq!(fields.len(), FIELDS.len());
        // `SessionsPerSecondMax` is the last variant: its number counts the others.
        assert_eq!(Field::SessionsPerSecondMax as usize + 1, FIELDS.len());
        let keys: BTreeSet<&str> = FIELDS.iter().map(|known| known.key).collect();
        let envs: BTreeSet<&str> = FIELDS.iter().map(|known| known.env).collect();
        assert_eq!((keys.len(), envs.len()), (FIELDS.len(), FIELDS.len()));
        assert!(envs.iter().all(|env| env.starts_with("CONSENSUS_")));
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("peer", ["peers", "weight"]), Some("peers"));
        assert_eq!(nearest("node_idd", ["peers", "node_id"]), Some("node_id"));
        assert_eq!(nearest("colour", ["peers", "weight"]), None);
    }
}
