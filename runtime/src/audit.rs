//! What somebody was refused, as lines for those who watch over a cluster (target `chil::audit`).
//! Knows nothing about why; a flood of refusals must not become a flood of lines.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chil_core::{Span, Time};

use crate::clock::SystemClock;
use crate::ports::Clock;

/// Lines of one reason in a [`WINDOW`]; how many more there were is said in the next one.
const LINES_MAX: u32 = 10;
const WINDOW: Span = Span::from_millis(1_000);

/// Writes the lines of one node. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    node: Arc<str>,
    windows: Arc<Mutex<BTreeMap<&'static str, Window>>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Time,
    written: u32,
    left_out: u64,
}

/// What happened to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A connection was not taken, or a request of it was not.
    Refused,
    /// A connection that was open was closed.
    Cut,
}

impl Audit {
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            windows: Arc::default(),
        }
    }

    /// Somebody at `from`, who says to be `who`, is refused or cut off for a reason, which has a
    /// short name and a text.
    pub(crate) fn tell(
        &self,
        verdict: Verdict,
        from: &dyn fmt::Display,
        who: Option<&dyn fmt::Display>,
        (reason, text): (&'static str, &dyn fmt::Display),
    ) {
        let Some(left_out) = self.admit(reason, SystemClock.now()) else {
            return;
        };
        let who = who.map_or_else(|| "nobody known".to_owned(), ToString::to_string);
        let verdict = match verdict {
            Verdict::Refused => "refused",
            Verdict::Cut => "cut",
        };
        tracing::warn!(
            target: "chil::audit",
            node = %self.node, %from, who, reason, left_out, "{verdict}: {text}"
        );
    }

    /// Whether a line may be written now, and how many were left out since the last one.
    fn admit(&self, reason: &'static str, now: Time) -> Option<u64> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(reason).or_insert(Window {
            since: now,
            written: 0,
            left_out: 0,
        });
        if now.since(window.since) >= WINDOW {
            (window.since, window.written) = (now, 0);
        }
        if window.written >= LINES_MAX {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_ten_lines_a_second_and_says_how_many_it_left_out() {
        let audit = Audit::new("a");
        let at = |ms| Time::ZERO + Span::from_millis(ms);
        let written = (0..100).filter_map(|_| audit.admit("no-certificate", at(5)));
        assert_eq!(written.count(), 10);
        assert_eq!(audit.admit("expired", at(5)), Some(0));
        assert_eq!(audit.admit("no-certificate", at(1_005)), Some(90));
        assert_eq!(audit.admit("no-certificate", at(1_006)), Some(0));
    }
}
