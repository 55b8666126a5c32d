//! Since when the node's loop wants its turn: clients are not read from while it waits for it.
//! Knows nothing about what the loop does, nor who reads.
//!
//! All of a node may run on one thread, where whoever is ready gets its turn in order. Hundreds of
//! clients with much to say would be before the loop each time, and its heartbeats late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chil_core::{Span, Time};

/// How long the loop may wait without anybody's notice: timers are no more exact than that.
const SLACK: Span = Span::from_millis(2);

/// When the loop has something to do, in nanoseconds of the node's clock. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<AtomicU64>);

impl Default for Turn {
    /// Nothing to do.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Turn {
    /// The loop has had its turn, and needs the next one at `deadline`.
    pub(crate) fn over(&self, deadline: Time) {
        self.0.store(deadline.nanos(), Ordering::Relaxed);
    }

    /// Something has come for it that must not wait.
    pub(crate) fn wanted(&self, now: Time) {
        self.0.fetch_min(now.nanos(), Ordering::Relaxed);
    }

    /// Whether the loop should have had it before.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        let due = Time::from_nanos(self.0.load(Ordering::Relaxed));
        now.since(due) > SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_overdue_from_a_little_behind_its_time_on_until_it_is_over() {
        let ms = |ms: u64| Time::from_nanos(ms * 1_000_000);
        let turn = Turn::default();
        assert!(!turn.is_overdue(ms(1_000)), "nothing to do");
        turn.over(ms(100));
        turn.wanted(ms(120));
        assert!(!turn.is_overdue(ms(102)));
        assert!(turn.is_overdue(ms(103)));
        turn.wanted(ms(50));
        assert!(turn.is_overdue(ms(53)), "the earlier of both counts");
        turn.over(ms(200));
        assert!(!turn.is_overdue(ms(150)));
    }
}
