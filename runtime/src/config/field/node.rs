//! Settings of the node, its protocol, snapshots, log and sessions.
//! Knows nothing about values.

use super::{Field, Known, known};

pub(super) const FIELDS: &[Known] = &[
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
        "the other nodes: addresses, name=address, or {address, name, weight}; none by default",
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
        "the protocol, of which there is one; multi_paxos by default",
    ),
    known(
        Field::ProtocolTimeout,
        "consensus.protocol.timeout",
        "CONSENSUS_PROTOCOL_TIMEOUT",
        "what is not acknowledged for so long is sent again; two heartbeat intervals by default",
    ),
    known(
        Field::ProtocolRetries,
        "consensus.protocol.retries",
        "CONSENSUS_PROTOCOL_RETRIES",
        "timeouts that a candidate waits for promises before it gives up; 4 by default",
    ),
    known(
        Field::FailureDetector,
        "consensus.fault_tolerance.failure_detector",
        "CONSENSUS_FAILURE_DETECTOR",
        "how silence is judged, for which there is one way; phi_accrual by default",
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
