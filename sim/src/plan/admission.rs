//! What a plan says of how much each node lets in of what clients ask.
//! Knows nothing about how that is decided, or judged.

use chil::limits::{AdmissionLimits, Rate};
use chil_core::Span;
use serde::{Deserialize, Serialize};

/// The limits of each node, in the terms of `chil::limits::AdmissionLimits`. A rate of zero limits
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionPlan {
    /// Requests a second of all clients.
    pub requests_per_second: u64,
    /// Their bytes.
    pub bytes_per_second: u64,
    /// Requests a second of each client.
    pub client_requests_per_second: u64,
    /// Their bytes.
    pub client_bytes_per_second: u64,
    /// How long whoever asked for nothing saves up, in microseconds.
    pub burst_us: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Their bytes.
    pub in_flight_bytes: u64,
    /// Clients that are told apart.
    pub clients_tracked: usize,
    /// How late a node may wake while it still lets requests in, in microseconds; 0: however late.
    pub late_max_us: u64,
}

impl AdmissionPlan {
    /// The same for the code that keeps to it.
    #[must_use]
    pub const fn limits(&self) -> AdmissionLimits {
        AdmissionLimits {
            requests: self.rate(self.requests_per_second),
            bytes: self.rate(self.bytes_per_second),
            client_requests: self.rate(self.client_requests_per_second),
            client_bytes: self.rate(self.client_bytes_per_second),
            in_flight: self.in_flight,
            in_flight_bytes: self.in_flight_bytes,
            clients_tracked: self.clients_tracked,
            late_max: Span::from_micros(self.late_max_us),
        }
    }

    const fn rate(&self, per_second: u64) -> Rate {
        Rate {
            per_second,
            burst: Span::from_micros(self.burst_us),
        }
    }
}
