//! The system's clock behind the port, and randomness that no test needs to repeat.
//! Knows nothing about what they are used for.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use chil_core::{Span, Time};

use crate::ports::Clock;

/// Monotonic time of the system. On Linux it runs through suspension (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_nanos(monotonic_nanos())
    }

    async fn sleep_until(&self, at: Time) {
        // After a suspension the timer may be late, and an early wake-up only sleeps again.
        loop {
            let left = at.since(self.now()).nanos();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_nanos(left)).await;
        }
    }
}

#[cfg(target_os = "linux")]
fn monotonic_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn monotonic_nanos() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The same span in the words of the standard library.
pub(crate) const fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.nanos())
}

/// A number that nobody else draws: from the keys that the standard library gets from the system.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one("chil")
}

/// As [`random_u64`], twice as long.
pub(crate) fn random_u128() -> u128 {
    u128::from(random_u64()) << 64 | u128::from(random_u64())
}
