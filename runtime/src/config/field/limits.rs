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
    known(
        Field::ConnectionsClients,
        "consensus.limits.connections.clients",
        "CONSENSUS_CONNECTIONS_CLIENTS",
        "connections of clients at a time; 1024 by default",
    ),
    known(
        Field::ConnectionsPerAddress,
        "consensus.limits.connections.per_address",
        "CONSENSUS_CONNECTIONS_PER_ADDRESS",
        "connections from one address that is no peer's; 256 by default",
    ),
    known(
        Field::ConnectionsPerIdentity,
        "consensus.limits.connections.per_identity",
        "CONSENSUS_CONNECTIONS_PER_IDENTITY",
        "connections of one client by its certificate; 64 by default",
    ),
    known(
        Field::Handshakes,
        "consensus.limits.connections.handshakes",
        "CONSENSUS_HANDSHAKES",
        "handshakes under way, half of them for peers only; 256 by default",
    ),
    known(
        Field::HandshakesPerSecond,
        "consensus.limits.connections.handshakes_per_second",
        "CONSENSUS_HANDSHAKES_PER_SECOND",
        "handshakes that begin in a second, half of them from one address; 200 by default",
    ),
    known(
        Field::ReceivingBytes,
        "consensus.limits.clients.receiving_bytes",
        "CONSENSUS_RECEIVING_BYTES",
        "bytes of clients' messages that are being received; 64MiB by default",
    ),
    known(
        Field::QueueFrames,
        "consensus.limits.peers.queue_frames",
        "CONSENSUS_QUEUE_FRAMES",
        "messages that wait on each lane to each peer; 4096 by default",
    ),
    known(
        Field::QueueBytes,
        "consensus.limits.peers.queue_bytes",
        "CONSENSUS_QUEUE_BYTES",
        "their bytes; 32MiB by default",
    ),
    known(
        Field::InboxBytes,
        "consensus.limits.peers.inbox_bytes",
        "CONSENSUS_INBOX_BYTES",
        "bytes of peers' messages that wait to be handled, heartbeats apart; 128MiB by default",
    ),
    known(
        Field::RequestsPerSecond,
        "consensus.limits.admission.requests_per_second",
        "CONSENSUS_REQUESTS_PER_SECOND",
        "requests of all clients in a second; without limit by default",
    ),
    known(
        Field::RequestBytesPerSecond,
        "consensus.limits.admission.bytes_per_second",
        "CONSENSUS_REQUEST_BYTES_PER_SECOND",
        "their bytes in a second; without limit by default",
    ),
    known(
        Field::ClientRequestsPerSecond,
        "consensus.limits.admission.client_requests_per_second",
        "CONSENSUS_CLIENT_REQUESTS_PER_SECOND",
        "requests of each client in a second; without limit by default",
    ),
    known(
        Field::ClientBytesPerSecond,
        "consensus.limits.admission.client_bytes_per_second",
        "CONSENSUS_CLIENT_BYTES_PER_SECOND",
        "their bytes in a second; without limit by default",
    ),
    known(
        Field::Burst,
        "consensus.limits.admission.burst",
        "CONSENSUS_REQUEST_BURST",
        "how long who asked for nothing saves up; 1s by default",
    ),
    known(
        Field::RequestsInFlight,
        "consensus.limits.admission.in_flight",
        "CONSENSUS_REQUESTS_IN_FLIGHT",
        "requests of clients without an answer; 8192 by default",
    ),
    known(
        Field::RequestBytesInFlight,
        "consensus.limits.admission.in_flight_bytes",
        "CONSENSUS_REQUEST_BYTES_IN_FLIGHT",
        "their bytes; 64MiB by default",
    ),
    known(
        Field::ClientsTracked,
        "consensus.limits.admission.clients_tracked",
        "CONSENSUS_CLIENTS_TRACKED",
        "clients that are told apart, the rest share one account; 4096 by default",
    ),
];
