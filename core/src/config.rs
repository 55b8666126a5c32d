//! Every limit and interval of the protocol by name, and the relations between them.
//! Knows nothing about files, flags or the machine: `runtime/src/config` fills it in.

use crate::command::Entry;
use crate::time::Span;
use crate::types::NodeId;

/// How one replica behaves. Members may differ in it; safety depends on none of it.
///
/// Relations, checked by [`Config::check`]:
/// `value_bytes_max + overhead <= in_flight_bytes_max <= message_bytes_max - in_flight slack`,
/// `batch_bytes_max <= peer_window_bytes_max`, `batch_bytes_max <= message_bytes_max`,
/// `log_tail_bytes <= log_keep_bytes_max`,
/// `heartbeat_interval <= resend_after <= disk_stall_limit`, `disk_stall_min <= disk_stall_limit`.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Random, drawn for this process: tells two processes of one boot apart.
    pub run: u64,
    /// Seed of the jitter in elections. Only liveness depends on it.
    pub seed: u64,
    /// Length of a heartbeat round.
    pub heartbeat_interval: Span,
    /// Rounds after which a candidate without enough promises gives up.
    pub prepare_rounds_max: u32,
    /// Rounds after which a leader whose probes are not answered counts as without a quorum.
    pub probe_rounds_max: u32,
    /// A node that is this many slots behind waits one more step before it takes over.
    pub lag_limit: u64,
    /// A peer's silence counts as death when its probability falls below `10^-phi_threshold`.
    pub phi_threshold: u32,
    /// The least deviation assumed between a peer's heartbeats.
    pub phi_sigma_min: Span,
    /// Added to the mean interval before silence is judged.
    pub phi_pause: Span,
    /// What is not acknowledged for so long is sent again.
    pub resend_after: Span,
    /// A commit that no other message carried is told to the peers after so long.
    pub commit_news_after: Span,
    /// A `Persist` that takes longer than this, and much longer than the last ones, counts as a
    /// stalled disk: the node does not lead.
    pub disk_stall_min: Span,
    /// A `Persist` that takes longer than this counts as a stalled disk, however slow the last
    /// ones were.
    pub disk_stall_limit: Span,
    /// Largest payload of a command, in bytes.
    pub value_bytes_max: u64,
    /// Most entries that a leader proposes ahead of the last decision.
    pub in_flight_entries_max: u64,
    /// Most bytes (payload and overhead) that a leader proposes ahead of the last decision.
    pub in_flight_bytes_max: u64,
    /// Most bytes of entries sent to one peer ahead of its acknowledgement.
    pub peer_window_bytes_max: u64,
    /// Most bytes of entries in one message, but for a sync or a promise, which go whole.
    pub batch_bytes_max: u64,
    /// Most bytes of entries in any message.
    pub message_bytes_max: u64,
    /// Most bytes of decided entries that wait to be executed: beyond that, a leader proposes
    /// nothing, and nothing more is handed out for execution.
    pub unapplied_bytes_max: u64,
    /// Most reads that wait for a probe.
    pub reads_queued_max: usize,
    /// How much this node is wanted as leader: a leader hands over to a peer of higher priority.
    /// A node that was asked to hand over counts as one of priority 0 for a while.
    pub priority: u32,
    /// Bytes of decided entries that every node keeps behind its snapshot, for peers that were
    /// away for a moment.
    pub log_tail_bytes: u64,
    /// Bytes of decided entries that a leader keeps at most for peers that are slow, or that are
    /// being sent a snapshot.
    pub log_keep_bytes_max: u64,
    /// Bytes of a snapshot in one message.
    pub chunk_bytes_max: u64,
    /// Parts of a snapshot that are asked for ahead of their arrival.
    pub chunks_in_flight_max: u64,
    /// Rounds after which a transfer of leadership counts as failed.
    pub transfer_rounds_max: u32,
    /// Sessions that may be opened in a second.
    pub registers_per_second_max: u32,
}

/// Why a [`Config`] cannot be used: each names the field to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The node has no identity.
    #[error("node: the reserved id 0 cannot be a node")]
    NoNode,
    /// A value must not be zero.
    #[error("{0} must be greater than 0")]
    Zero(&'static str),
    /// Two values do not fit together.
    #[error("{low} ({low_value}) must not exceed {high} ({high_value})")]
    Order {
        /// The field that is too large.
        low: &'static str,
        /// Its value.
        low_value: u64,
        /// The field that bounds it.
        high: &'static str,
        /// Its value.
        high_value: u64,
    },
}

impl Config {
    /// What `message_bytes_max` must not exceed: every node takes in messages of this size,
    /// whatever its own limits are, so that members may differ in theirs.
    pub const MESSAGE_BYTES_CEILING: u64 = 48 << 20;

    /// A configuration that suits a local network, for `node`.
    #[must_use]
    pub const fn new(node: NodeId, run: u64, seed: u64) -> Self {
        let heartbeat_interval = Span::from_millis(100);
        Self {
            node,
            run,
            seed,
            heartbeat_interval,
            prepare_rounds_max: 10,
            probe_rounds_max: 2,
            lag_limit: 10_000,
            phi_threshold: 8,
            phi_sigma_min: heartbeat_interval.divided(10),
            phi_pause: heartbeat_interval.divided(2),
            resend_after: heartbeat_interval.times(2),
            commit_news_after: heartbeat_interval.divided(10),
            disk_stall_min: Span::from_millis(800),
            disk_stall_limit: Span::from_millis(2_000),
            value_bytes_max: 1 << 20,
            in_flight_entries_max: 16_384,
            in_flight_bytes_max: 4 << 20,
            peer_window_bytes_max: 16 << 20,
            batch_bytes_max: 1 << 20,
            message_bytes_max: 16 << 20,
            unapplied_bytes_max: 64 << 20,
            reads_queued_max: 65_536,
            priority: 0,
            log_tail_bytes: 4 << 20,
            log_keep_bytes_max: 64 << 20,
            chunk_bytes_max: 256 << 10,
            chunks_in_flight_max: 8,
            transfer_rounds_max: 5,
            registers_per_second_max: 1_000,
        }
    }

    /// The same with another heartbeat, and everything that is measured in heartbeats with it.
    #[must_use]
    pub const fn with_heartbeat(mut self, interval: Span) -> Self {
        self.heartbeat_interval = interval;
        self.phi_sigma_min = interval.divided(10);
        self.phi_pause = interval.divided(2);
        self.resend_after = interval.times(2);
        self.commit_news_after = interval.divided(10);
        self.disk_stall_min = interval.times(8);
        self.disk_stall_limit = interval.times(20);
        self
    }

    /// Checks that the values fit together.
    ///
    /// # Errors
    /// The first relation that does not hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.node == NodeId::NONE {
            return Err(ConfigError::NoNode);
        }
        for (name, value) in [
            ("heartbeat_interval", self.heartbeat_interval.nanos()),
            ("prepare_rounds_max", u64::from(self.prepare_rounds_max)),
            ("probe_rounds_max", u64::from(self.probe_rounds_max)),
            ("lag_limit", self.lag_limit),
            ("phi_sigma_min", self.phi_sigma_min.nanos()),
            ("in_flight_entries_max", self.in_flight_entries_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("reads_queued_max", self.reads_queued_max as u64),
            ("chunk_bytes_max", self.chunk_bytes_max),
            ("chunks_in_flight_max", self.chunks_in_flight_max),
            ("transfer_rounds_max", u64::from(self.transfer_rounds_max)),
            (
                "registers_per_second_max",
                u64::from(self.registers_per_second_max),
            ),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        for (low, low_value, high, high_value) in self.relations() {
            if low_value > high_value {
                return Err(ConfigError::Order {
                    low,
                    low_value,
                    high,
                    high_value,
                });
            }
        }
        Ok(())
    }

    /// What must not exceed what, with the values.
    fn relations(&self) -> [(&'static str, u64, &'static str, u64); 10] {
        let largest_entry = self.value_bytes_max.saturating_add(Entry::OVERHEAD as u64);
        // What a promise or a sync carries whole is undecided somewhere: at most one leader's
        // window and one command, since the window counts what was adopted, too.
        let undecided_max = self.in_flight_bytes_max.saturating_add(largest_entry);
        [
            (
                "value_bytes_max + overhead",
                largest_entry,
                "in_flight_bytes_max",
                self.in_flight_bytes_max,
            ),
            (
                "in_flight_bytes_max + one value",
                undecided_max,
                "message_bytes_max",
                self.message_bytes_max,
            ),
            (
                "batch_bytes_max",
                self.batch_bytes_max,
                "peer_window_bytes_max",
                self.peer_window_bytes_max,
            ),
            (
                "batch_bytes_max",
                self.batch_bytes_max,
                "message_bytes_max",
                self.message_bytes_max,
            ),
            (
                "chunk_bytes_max",
                self.chunk_bytes_max,
                "what every member takes in",
                Self::MESSAGE_BYTES_CEILING,
            ),
            (
                "log_tail_bytes",
                self.log_tail_bytes,
                "log_keep_bytes_max",
                self.log_keep_bytes_max,
            ),
            (
                "message_bytes_max",
                self.message_bytes_max,
                "what every member takes in",
                Self::MESSAGE_BYTES_CEILING,
            ),
            (
                "heartbeat_interval",
                self.heartbeat_interval.nanos(),
                "resend_after",
                self.resend_after.nanos(),
            ),
            (
                "resend_after",
                self.resend_after.nanos(),
                "disk_stall_limit",
                self.disk_stall_limit.nanos(),
            ),
            (
                "disk_stall_min",
                self.disk_stall_min.nanos(),
                "disk_stall_limit",
                self.disk_stall_limit.nanos(),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_must_fit_a_message() {
        let mut config = Config::new(NodeId::new(1), 0, 0);
        assert_eq!(config.check(), Ok(()));
        config.batch_bytes_max = config.message_bytes_max + 1;
        config.peer_window_bytes_max = config.batch_bytes_max;
        let error = config.check().map_err(|e| e.to_string());
        let expected = "batch_bytes_max (16777217) must not exceed message_bytes_max (16777216)";
        assert_eq!(error, Err(expected.to_string()));
    }
    #[test]
    fn a_message_must_fit_what_every_member_takes_in() {
        let mut config = Config::new(NodeId::new(1), 0, 0);
        config.message_bytes_max = Config::MESSAGE_BYTES_CEILING;
        assert_eq!(config.check(), Ok(()));
        config.message_bytes_max += 1;
        assert!(matches!(
            config.check(),
            Err(ConfigError::Order {
                low: "message_bytes_max",
                ..
            })
        ));
    }
}
