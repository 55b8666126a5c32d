//! A node's clock: offset, drift and forward jumps against simulated time, and back again.
//! Knows nothing about what is timed.

use chil_core::Time;

use crate::plan::ClockPlan;

const MILLION: i128 = 1_000_000;

/// What one node takes for time. It never goes back: the system's monotonic clock does not.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    since_sim: u64,
    since_local: u64,
    rate_ppm: i128,
}

impl Clock {
    /// The clock as the plan wants it, when the simulation begins.
    pub(crate) fn new(plan: &ClockPlan) -> Self {
        Self {
            since_sim: 0,
            since_local: plan.offset_us * 1_000,
            rate_ppm: MILLION + i128::from(plan.drift_ppm),
        }
    }

    /// What the node reads when simulated time is `sim` nanoseconds.
    pub(crate) fn read(&self, sim: u64) -> Time {
        let passed = i128::from(sim.saturating_sub(self.since_sim)) * self.rate_ppm / MILLION;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Time::from_nanos(self.since_local.saturating_add(passed))
    }

    /// The first simulated nanosecond at which the node reads `local` or more.
    pub(crate) fn when(&self, local: Time) -> u64 {
        if local == Time::MAX {
            return u64::MAX;
        }
        let ahead = i128::from(local.nanos().saturating_sub(self.since_local)) * MILLION;
        let passed = ahead.div_euclid(self.rate_ppm) + i128::from(ahead % self.rate_ppm != 0);
        u64::try_from(i128::from(self.since_sim) + passed).unwrap_or(u64::MAX)
    }

    /// Jumps forward by `nanos` at simulated time `sim`.
    pub(crate) fn jump(&mut self, sim: u64, nanos: u64) {
        self.since_local = self.read(sim).nanos() + nanos;
        self.since_sim = sim;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_inverse_of_read() {
        for drift_ppm in [-50_000, -1, 0, 3, 49_999] {
            let mut clock = Clock::new(&ClockPlan {
                offset_us: 77,
                drift_ppm,
            });
            clock.jump(1_000, 5_000_000);
            for sim in [1_000, 1_001, 123_456_789, 3_600_000_000_000] {
                let local = clock.read(sim);
                let back = clock.when(local);
                assert!(back <= sim, "{back} {sim}");
                assert_eq!(clock.read(back), local);
                assert!(back == 0 || back <= 1_000 || clock.read(back - 1) < local);
            }
        }
    }

    #[test]
    fn a_fast_clock_gains_and_a_jump_stays() {
        let mut clock = Clock::new(&ClockPlan {
            offset_us: 0,
            drift_ppm: 10_000,
        });
        assert_eq!(clock.read(1_000_000), Time::from_nanos(1_010_000));
        clock.jump(1_000_000, 500);
        assert_eq!(clock.read(1_000_000), Time::from_nanos(1_010_500));
        assert_eq!(clock.when(Time::MAX), u64::MAX);
    }
}
