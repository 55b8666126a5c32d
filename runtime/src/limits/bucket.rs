//! How often, or how much, in a second: the generic cell rate algorithm in integers.
//! Knows nothing about who asks for what.
//!
//! ITU-T I.371 (virtual scheduling): one instant is all that a bucket remembers. It is the time at
//! which everything that was granted would have been used up at the steady rate.

use chil_core::{Span, Time};

const SECOND: u128 = 1_000_000_000;

/// So much a second, and at most `burst` worth of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much a second; 0 limits nothing.
    pub per_second: u64,
    /// How long somebody who asked for nothing saves up.
    pub burst: Span,
}

impl Rate {
    /// No limit.
    pub const NONE: Self = Self {
        per_second: 0,
        burst: Span::ZERO,
    };

    /// How long the steady rate takes for `cost`, rounded up.
    fn span_of(self, cost: u64) -> Span {
        let nanos = (u128::from(cost) * SECOND).div_ceil(u128::from(self.per_second.max(1)));
        Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What was granted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When all that was granted is used up.
    spent_until: Time,
}

impl Bucket {
    /// Whether `cost` may be granted now; if not, how long until it may.
    ///
    /// What costs more than a whole burst is granted when nothing else was for a burst, and is
    /// paid for afterwards: else it never would be.
    ///
    /// # Errors
    /// How long to wait: asking then, if nobody else was granted anything, succeeds.
    pub fn conforms(&self, rate: Rate, now: Time, cost: u64) -> Result<(), Span> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let ahead = self.spent_until.since(now);
        let allowed = rate
            .burst
            .nanos()
            .saturating_sub(rate.span_of(cost).nanos());
        let over = ahead.nanos().saturating_sub(allowed);
        if over == 0 {
            return Ok(());
        }
        Err(Span::from_nanos(over))
    }

    /// Grants `cost`.
    pub fn spend(&mut self, rate: Rate, now: Time, cost: u64) {
        if rate.per_second > 0 {
            self.spent_until = self.spent_until.max(now) + rate.span_of(cost);
        }
    }

    /// Forgets what was granted beyond so much.
    pub fn owe_at_most(&mut self, now: Time, most: Span) {
        self.spent_until = self.spent_until.min(now + most);
    }

    /// Whether it remembers nothing that matters any more.
    #[must_use]
    pub fn is_full(&self, now: Time) -> bool {
        self.spent_until <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn rate(per_second: u64, burst_ms: u64) -> Rate {
        Rate {
            per_second,
            burst: Span::from_millis(burst_ms),
        }
    }

    fn take(bucket: &mut Bucket, rate: Rate, now: Time, cost: u64) -> Result<(), Span> {
        bucket.conforms(rate, now, cost)?;
        bucket.spend(rate, now, cost);
        Ok(())
    }

    #[test]
    fn a_burst_is_granted_at_once_and_then_the_rate() {
        let (rate, mut bucket) = (rate(10, 1_000), Bucket::default());
        let mut now = Time::from_nanos(7);
        let granted = |bucket: &mut Bucket, now| {
            (0..50)
                .filter(|_| take(bucket, rate, now, 1).is_ok())
                .count()
        };
        assert_eq!(granted(&mut bucket, now), 10);
        let wait = bucket.conforms(rate, now, 1).unwrap_err();
        assert_eq!(wait, Span::from_millis(100));
        now += Span::from_nanos(wait.nanos() - 1);
        assert_eq!(granted(&mut bucket, now), 0);
        now += Span::from_nanos(1);
        assert_eq!(granted(&mut bucket, now), 1);
        now += Span::from_millis(60_000);
        assert_eq!(
            granted(&mut bucket, now),
            10,
            "no more than a burst is saved"
        );
    }

    #[test]
    fn what_is_larger_than_a_burst_is_granted_once_and_paid_for() {
        let (rate, mut bucket) = (rate(100, 100), Bucket::default());
        let now = Time::from_nanos(1);
        assert_eq!(take(&mut bucket, rate, now, 500), Ok(()));
        assert_eq!(
            take(&mut bucket, rate, now, 1),
            Err(Span::from_millis(4_910))
        );
    }

    #[test]
    fn no_rate_limits_nothing_and_nothing_overflows() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(take(&mut bucket, Rate::NONE, Time::ZERO, u64::MAX), Ok(()));
        }
        assert_eq!(take(&mut bucket, rate(1, 1), Time::MAX, u64::MAX), Ok(()));
        assert!(take(&mut bucket, rate(1, 1), Time::ZERO, 1).is_err());
    }

    /// A bucket that is filled drop by drop: what is in it, in parts of a billion.
    struct Filled {
        level: u128,
        at: Time,
    }

    impl Filled {
        fn missing(&mut self, rate: Rate, now: Time, cost: u64) -> u128 {
            let most = u128::from(rate.per_second) * u128::from(rate.burst.nanos());
            let new = u128::from(rate.per_second) * u128::from(now.since(self.at).nanos());
            self.level = (self.level + new).min(most);
            self.at = now;
            // What is more than a bucket full is granted by a full one.
            (u128::from(cost) * SECOND)
                .min(most)
                .saturating_sub(self.level)
        }
    }

    proptest! {
        /// It grants what a bucket would that is filled drop by drop, but for the rounding of
        /// each grant to a nanosecond; and waiting as long as one is told is enough.
        #[test]
        fn it_is_a_bucket_that_is_filled_at_the_rate(
            per_second in 1_u64..5_000,
            burst_ms in 1_u64..2_000,
            asks in prop::collection::vec((0_u64..50_000_000, 1_u64..20), 1..200),
        ) {
            let (rate, mut bucket) = (rate(per_second, burst_ms), Bucket::default());
            let start = Time::from_nanos(1);
            let mut filled = Filled { level: u128::MAX / 2, at: start };
            let (mut now, mut grants) = (start, 0_u128);
            let most = u128::from(per_second) * u128::from(rate.burst.nanos());
            for (pause, cost) in asks {
                now += Span::from_nanos(pause);
                let missing = filled.missing(rate, now, cost);
                let fits = u128::from(cost) * SECOND <= most;
                match take(&mut bucket, rate, now, cost) {
                    Ok(()) if fits => {
                        prop_assert_eq!(missing, 0);
                        filled.level -= u128::from(cost) * SECOND;
                        grants += 1;
                    }
                    // Debts are not what the reference knows.
                    Ok(()) => return Ok(()),
                    Err(wait) => {
                        prop_assert!(bucket.conforms(rate, now + wait, cost).is_ok());
                        let rounding = (grants + 1) * u128::from(per_second);
                        let told = u128::from(wait.nanos()) * u128::from(per_second);
                        prop_assert!(told <= missing + rounding + u128::from(per_second), "{told} {missing}");
                    }
                }
            }
        }
    }
}
