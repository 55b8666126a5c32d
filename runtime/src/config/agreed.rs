//! The settings that members of a cluster must share, and what they mean for the core.
//! Knows nothing about how it is made sure that they do.

use std::time::Duration;

use chil_core::{Lease, SessionLimits, SnapshotPolicy};

use super::field::Field;
use super::settings::{Check, HEARTBEAT_DEFAULT};

/// What all members are to be told the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Whether leaders may serve reads without asking, and for how long.
    pub lease: Option<Lease>,
    /// Where in the log snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// How much is kept for sessions of clients.
    pub sessions: SessionLimits,
}

/// By how much clocks are taken to run fast or slow: ten times what is seen of healthy ones.
const DRIFT_PPM_DEFAULT: u32 = 1_000;
/// A leader renews its lease once a heartbeat: one that is shorter serves nobody.
const LEASE_HEARTBEATS_MIN: u32 = 2;
const LEASE_MAX: Duration = Duration::from_micros(Lease::DURATION_US_MAX);

impl Check<'_> {
    pub(super) fn agreed(&mut self, heartbeat: Option<Duration>) -> Agreed {
        let mut agreed = Agreed {
            lease: self.lease(heartbeat.unwrap_or(HEARTBEAT_DEFAULT)),
            ..Agreed::default()
        };
        let (snapshots, sessions) = (&mut agreed.snapshots, &mut agreed.sessions);
        if let Some(slots) = self.optional(Field::SnapshotSlots, |raw| raw.integer(1, u32::MAX)) {
            snapshots.slots = slots.into();
        }
        if let Some(bytes) = self.optional(Field::SnapshotBytes, |raw| raw.bytes()) {
            snapshots.bytes = bytes;
        }
        if let Some(max) = self.optional(Field::SessionsMax, |raw| raw.integer(1, u32::MAX)) {
            sessions.sessions_max = max.into();
        }
        if let Some(bytes) = self.optional(Field::SessionReplyBytesMax, |raw| raw.bytes()) {
            sessions.reply_bytes_max = bytes;
        }
        agreed
    }

    fn lease(&mut self, heartbeat: Duration) -> Option<Lease> {
        let duration = self.optional(Field::ReadLease, |raw| {
            let duration = raw.duration()?;
            let least = heartbeat * LEASE_HEARTBEATS_MIN;
            if duration < least {
                return Err(format!(
                    "{} must not be less than two heartbeat intervals ({least:?}): it is renewed \
                     once in each",
                    raw.shown()
                ));
            }
            if duration > LEASE_MAX {
                return Err(format!(
                    "{} must not be more than {LEASE_MAX:?}: for so long a new leader decides \
                     nothing, after every change of leader",
                    raw.shown()
                ));
            }
            Ok(duration)
        });
        let drift = self.optional(Field::ClockDriftPpm, |raw| {
            raw.integer(0, Lease::DRIFT_PPM_MAX)
        });
        if drift.is_some() && duration.is_none() {
            let key = Field::ReadLease.key();
            self.refuse(Field::ClockDriftPpm, format!("means nothing without {key}"));
        }
        let duration_us = u64::try_from(duration?.as_micros()).unwrap_or(u64::MAX);
        let lease = Lease {
            duration_us,
            drift_ppm: drift.unwrap_or(DRIFT_PPM_DEFAULT),
        };
        let trusted = Duration::from_nanos(lease.trust().nanos());
        if trusted < heartbeat {
            let what = format!(
                "leaves {trusted:?} of the lease, less than one heartbeat interval \
                 ({heartbeat:?}): it would be over before it is renewed, so make the lease longer, \
                 or see to better clocks"
            );
            self.refuse(Field::ClockDriftPpm, what);
        }
        Some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layers, minimal};
    use super::*;

    #[test]
    fn what_members_share_is_the_cores_own_default() {
        assert_eq!(minimal().finish().unwrap().agreed, Agreed::default());
    }

    #[test]
    fn what_is_set_is_what_the_core_is_told() {
        let settings = minimal()
            .set(Field::ReadLease, "400ms")
            .set(Field::ClockDriftPpm, 250)
            .set(Field::SnapshotSlots, 1_000)
            .set(Field::SnapshotBytes, "1MiB")
            .set(Field::SessionsMax, 10)
            .set(Field::SessionReplyBytesMax, "1KiB");
        let agreed = settings.finish().unwrap().agreed;
        let lease = Lease {
            duration_us: 400_000,
            drift_ppm: 250,
        };
        assert_eq!(agreed.lease, Some(lease));
        assert_eq!(
            (agreed.snapshots.slots, agreed.snapshots.bytes),
            (1_000, 1 << 20)
        );
        let limits = SessionLimits {
            sessions_max: 10,
            reply_bytes_max: 1_024,
        };
        assert_eq!(agreed.sessions, limits);
    }

    #[test]
    fn a_lease_has_to_outlive_its_renewal() {
        let refused = |layers: Layers| layers.finish().unwrap_err().to_string();
        let short = minimal().set(Field::ReadLease, "199ms");
        assert!(refused(short).contains("two heartbeat intervals (200ms)"));
        let long_rounds = minimal()
            .set(Field::HeartbeatInterval, "1s")
            .set(Field::ReadLease, "500ms");
        assert!(refused(long_rounds).contains("consensus.reads.lease"));
        let alone = refused(minimal().set(Field::ClockDriftPpm, 5));
        assert!(
            alone.contains("means nothing without consensus.reads.lease"),
            "{alone}"
        );
        let wild = minimal()
            .set(Field::ReadLease, "1s")
            .set(Field::ClockDriftPpm, 500_001);
        assert!(refused(wild).contains("from 0 to 500000"));
        let useless = minimal()
            .set(Field::ReadLease, "200ms")
            .set(Field::ClockDriftPpm, 400_000);
        let useless = refused(useless);
        assert!(
            useless.contains("clock_drift_ppm") && useless.contains("over before it is renewed"),
            "{useless}"
        );
    }

    #[test]
    fn a_lease_does_not_stop_the_next_leader_for_long() {
        assert!(minimal().set(Field::ReadLease, "60s").finish().is_ok());
        let long = minimal().set(Field::ReadLease, "61s").finish();
        let long = long.unwrap_err().to_string();
        assert!(long.contains("a new leader decides nothing"), "{long}");
    }
}
