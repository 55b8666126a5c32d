//! How many sessions may be opened in a second: a bucket of tokens, in integers.
//! Knows nothing about sessions; those are the state machine's side of the log.

use crate::time::Time;

/// What one registration costs: with credit in billionths, a nanosecond earns `per_second`.
const COST: u64 = 1_000_000_000;

/// Holds at most one second's worth, which may be spent at once.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    per_second: u64,
    credit: u64,
    at: Time,
}

impl Registers {
    pub(super) fn new(per_second: u32, now: Time) -> Self {
        let per_second = u64::from(per_second);
        Self {
            per_second,
            credit: per_second * COST,
            at: now,
        }
    }

    /// Takes one if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let earned = now.since(self.at).nanos().saturating_mul(self.per_second);
        let full = self.per_second * COST;
        self.credit = self.credit.saturating_add(earned).min(full);
        self.at = self.at.max(now);
        let enough = COST <= self.credit;
        if enough {
            self.credit -= COST;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// How many of `asked` are granted at `now`.
    fn granted(registers: &mut Registers, now: Time, asked: usize) -> usize {
        (0..asked).filter(|_| registers.take(now)).count()
    }

    #[test]
    fn a_second_grants_as_many_as_configured_and_saves_no_more() {
        let mut now = Time::from_nanos(5);
        let mut registers = Registers::new(10, now);
        assert_eq!(granted(&mut registers, now, 50), 10);
        now += Span::from_millis(99);
        assert_eq!(granted(&mut registers, now, 50), 0);
        // What was earned is kept over the refusal.
        now += Span::from_millis(1);
        assert_eq!(granted(&mut registers, now, 50), 1);
        now += Span::from_millis(60_000);
        assert_eq!(granted(&mut registers, now, 50), 10);
        now += Span::from_millis(1_000);
        assert_eq!(granted(&mut registers, now, 50), 10);
    }

    #[test]
    fn the_highest_rate_and_the_longest_pause_overflow_nothing() {
        let mut registers = Registers::new(u32::MAX, Time::ZERO);
        assert!(registers.take(Time::MAX));
        assert!(registers.take(Time::ZERO));
    }
}
