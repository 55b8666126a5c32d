//! The settings of what is let in from outside, and of what waits for peers.
//! Knows nothing about how these limits are kept.

use std::time::Duration;

use chil_core::{Config, Span};

use super::field::Field;
use super::settings::Check;
use crate::limits::{Limits, Rate};

/// How long whoever asked for nothing may save up.
const BURST_DEFAULT: Duration = Duration::from_secs(1);
const BURST_MIN: Duration = Duration::from_millis(10);
const BURST_MAX: Duration = Duration::from_secs(60);

impl Check<'_> {
    /// What is set, the rest as it is by default.
    pub(super) fn limits(&mut self) -> Limits {
        let mut limits = Limits::default();
        let burst = self.optional(Field::Burst, |raw| {
            let burst = raw.duration()?;
            if (BURST_MIN..=BURST_MAX).contains(&burst) {
                Ok(burst)
            } else {
                Err(format!("{} must lie between 10ms and 60s", raw.shown()))
            }
        });
        let burst = burst.unwrap_or(BURST_DEFAULT).as_nanos();
        let burst = Span::from_nanos(u64::try_from(burst).unwrap_or(u64::MAX));
        let rate = |per_second| Rate { per_second, burst };
        let admission = &mut limits.admission;
        for (field, limit) in [
            (Field::RequestsPerSecond, &mut admission.requests),
            (
                Field::ClientRequestsPerSecond,
                &mut admission.client_requests,
            ),
        ] {
            if let Some(per_second) = self.optional(field, |raw| raw.integer(1, u32::MAX)) {
                *limit = rate(per_second.into());
            }
        }
        for (field, limit) in [
            (Field::RequestBytesPerSecond, &mut admission.bytes),
            (Field::ClientBytesPerSecond, &mut admission.client_bytes),
        ] {
            if let Some(per_second) = self.optional(field, |raw| raw.bytes()) {
                *limit = rate(per_second);
            }
        }
        self.amounts(&mut limits);
        limits
    }

    /// Those that are no rates.
    fn amounts(&mut self, limits: &mut Limits) {
        let admission = &mut limits.admission;
        if let Some(most) = self.optional(Field::RequestsInFlight, |raw| raw.integer(1, u32::MAX)) {
            admission.in_flight = most.into();
        }
        if let Some(most) = self.optional(Field::RequestBytesInFlight, |raw| raw.bytes()) {
            admission.in_flight_bytes = most;
        }
        let connections = &mut limits.connections;
        for (field, least, limit) in [
            (Field::ClientsTracked, 1, &mut admission.clients_tracked),
            (Field::ConnectionsClients, 1, &mut connections.clients),
            (
                Field::ConnectionsPerAddress,
                1,
                &mut connections.per_address,
            ),
            (
                Field::ConnectionsPerIdentity,
                1,
                &mut connections.per_identity,
            ),
            (Field::Handshakes, 4, &mut connections.handshakes),
            (Field::QueueFrames, 16, &mut limits.queues.messages),
        ] {
            if let Some(most) = self.optional(field, |raw| raw.integer(least, u32::MAX)) {
                *limit = usize::try_from(most).unwrap_or(usize::MAX);
            }
        }
        if let Some(rate) =
            self.optional(Field::HandshakesPerSecond, |raw| raw.integer(1, u32::MAX))
        {
            connections.handshake_rate.per_second = rate.into();
        }
        if let Some(bytes) = self.optional(Field::ReceivingBytes, |raw| raw.bytes()) {
            limits.receiving_bytes = bytes;
        }
        if let Some(bytes) = self.optional(Field::QueueBytes, |raw| raw.bytes()) {
            limits.queues.bytes = bytes;
        }
        if let Some(bytes) = self.optional(Field::InboxBytes, |raw| raw.bytes()) {
            limits.inbox_bytes = bytes;
        }
    }

    /// Limits that contradict each other let less through than somebody meant.
    pub(super) fn limits_fit(&mut self, limits: &Limits, config: &Config) {
        let value = config.value_bytes_max;
        let (admission, connections) = (&limits.admission, &limits.connections);
        // What is larger than what is there by default gets through alone.
        let is_set = self.is_set(Field::RequestBytesInFlight, Field::RequestBytesInFlight);
        if is_set && admission.in_flight_bytes < value {
            let bytes = admission.in_flight_bytes;
            let what = format!(
                "{bytes} bytes are less than one value of {value} (value_bytes_max): set at least \
                 that"
            );
            self.refuse(Field::RequestBytesInFlight, what);
        }
        for (field, rate) in [
            (Field::RequestBytesPerSecond, admission.bytes),
            (Field::ClientBytesPerSecond, admission.client_bytes),
        ] {
            let burst =
                u128::from(rate.per_second) * u128::from(rate.burst.nanos()) / 1_000_000_000;
            if rate.per_second > 0 && burst < u128::from(value) {
                let what = format!(
                    "makes a burst of {burst} bytes, less than one value of {value} \
                     (value_bytes_max): raise this or admission.burst"
                );
                self.refuse(field, what);
            }
        }
        self.rates_fit(limits);
        for (field, most) in [
            (Field::ConnectionsPerAddress, connections.per_address),
            (Field::ConnectionsPerIdentity, connections.per_identity),
        ] {
            // Who lowers the one need not know the other.
            if most > connections.clients && self.is_set(field, field) {
                let what = format!(
                    "is {most}, but all clients together get {}",
                    connections.clients
                );
                self.refuse(field, what);
            }
        }
        let is_set = self.is_set(Field::ReceivingBytes, Field::ReceivingBytes);
        let message = value.saturating_add(1 << 20);
        if is_set && limits.receiving_bytes / 2 < message {
            let what = format!(
                "{} bytes are less than two messages of {message}: one client alone gets half",
                limits.receiving_bytes
            );
            self.refuse(Field::ReceivingBytes, what);
        }
        let batch = config.batch_bytes_max.max(value);
        let is_set = self.is_set(Field::QueueBytes, Field::QueueBytes);
        if is_set && limits.queues.bytes < batch {
            let bytes = limits.queues.bytes;
            let what = format!("{bytes} bytes are less than one message of {batch}");
            self.refuse(Field::QueueBytes, what);
        }
        let is_set = self.is_set(Field::InboxBytes, Field::InboxBytes);
        if is_set && limits.inbox_bytes / 2 < batch {
            let bytes = limits.inbox_bytes;
            let what = format!(
                "{bytes} bytes are less than two messages of {batch}: what decides gets half"
            );
            self.refuse(Field::InboxBytes, what);
        }
    }

    fn rates_fit(&mut self, limits: &Limits) {
        let admission = &limits.admission;
        for (field, all, one) in [
            (
                Field::ClientRequestsPerSecond,
                admission.requests,
                admission.client_requests,
            ),
            (
                Field::ClientBytesPerSecond,
                admission.bytes,
                admission.client_bytes,
            ),
        ] {
            if all.per_second > 0 && one.per_second > all.per_second {
                let what = format!(
                    "is {} for one client, but {} for all: lower the one or raise the other",
                    one.per_second, all.per_second
                );
                self.refuse(field, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, minimal};
    use super::*;

    fn settings(set: &[(Field, &str)]) -> Result<Settings, String> {
        let set = set
            .iter()
            .fold(minimal(), |layers, (field, text)| layers.set(*field, *text));
        set.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_as_by_default() {
        assert_eq!(settings(&[]).unwrap().limits, Limits::default());
        let set = settings(&[
            (Field::RequestsPerSecond, "500"),
            (Field::ClientBytesPerSecond, "2MiB"),
            (Field::Burst, "2s"),
            (Field::RequestsInFlight, "9"),
            (Field::ConnectionsPerAddress, "7"),
            (Field::HandshakesPerSecond, "5"),
            (Field::QueueFrames, "17"),
            (Field::InboxBytes, "9MiB"),
        ]);
        let limits = set.unwrap().limits;
        let burst = Span::from_millis(2_000);
        let of_all = Rate {
            per_second: 500,
            burst,
        };
        assert_eq!(limits.admission.requests, of_all);
        assert_eq!(limits.admission.client_bytes.per_second, 2 << 20);
        assert_eq!(limits.admission.client_bytes.burst, burst);
        assert_eq!(limits.admission.bytes, Rate::NONE);
        assert_eq!(limits.admission.in_flight, 9);
        assert_eq!(limits.connections.per_address, 7);
        assert_eq!(limits.connections.handshake_rate.per_second, 5);
        assert_eq!(limits.queues.messages, 17);
        assert_eq!(limits.inbox_bytes, 9 << 20);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_with_both_numbers() {
        for (set, expected) in [
            (
                vec![(Field::RequestBytesInFlight, "1KiB")],
                "limits.admission.in_flight_bytes set in code: 1024 bytes are less than one value",
            ),
            (
                vec![
                    (Field::RequestBytesPerSecond, "1MiB"),
                    (Field::Burst, "100ms"),
                ],
                "makes a burst of 104857 bytes",
            ),
            (
                vec![
                    (Field::RequestsPerSecond, "10"),
                    (Field::ClientRequestsPerSecond, "11"),
                ],
                "is 11 for one client, but 10 for all",
            ),
            (
                vec![
                    (Field::ConnectionsClients, "10"),
                    (Field::ConnectionsPerIdentity, "11"),
                ],
                "is 11, but all clients together get 10",
            ),
            (
                vec![(Field::QueueBytes, "100KiB")],
                "102400 bytes are less than one message",
            ),
            (
                vec![(Field::InboxBytes, "1MiB")],
                "1048576 bytes are less than two messages of 1048576: what decides gets half",
            ),
            (
                vec![(Field::ReceivingBytes, "3MiB")],
                "3145728 bytes are less than two messages of 2097152",
            ),
            (vec![(Field::Burst, "1ms")], "must lie between 10ms and 60s"),
            (
                vec![(Field::RequestsPerSecond, "0")],
                "must be a whole number",
            ),
        ] {
            let error = settings(&set).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
