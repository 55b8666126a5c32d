//! Steady leader: under plain overload, when nothing goes wrong, whoever leads first leads on.
//! Knows nothing about what clients ask for.
//!
//! PROTOCOL.md, "Liveness". Bronson et al., "Metastable failures in distributed systems" (HotOS
//! '21): a leader that gives up because it is busy makes the load that makes the next one give up.

use chil_core::{Ballot, Notice};

/// Rounds after the first leader in which another one may come: nodes start at different times,
/// and one may have begun to ask for promises already.
const GRACE_ROUNDS: u64 = 3;

/// Who leads, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    round: u64,
    led: Option<(Ballot, u64)>,
}

impl Steady {
    /// Nobody leads yet; a round lasts so many nanoseconds.
    pub(crate) const fn new(round: u64) -> Self {
        Self { round, led: None }
    }

    /// Whether a notice says anything about who leads.
    pub(crate) const fn concerns(notice: &Notice) -> bool {
        said(notice).is_some()
    }

    /// A node notices something.
    pub(crate) fn check(&mut self, now: u64, notice: &Notice) -> Result<(), String> {
        let Some((ballot, what)) = said(notice) else {
            return Ok(());
        };
        let Some((led, since)) = self.led else {
            if matches!(notice, Notice::Leading { .. }) {
                self.led = Some((ballot, now));
            }
            return Ok(());
        };
        if now > since + GRACE_ROUNDS * self.round {
            return Err(format!(
                "{what} in {ballot}, although {led} has led for {} rounds, nothing goes wrong, \
                 and there is only much to do",
                (now - since) / self.round.max(1)
            ));
        }
        if matches!(notice, Notice::Leading { .. }) {
            // Who began to campaign before the first one led.
            self.led = Some((ballot, since));
        }
        Ok(())
    }
}

/// What a notice says about who leads, and in which ballot.
const fn said(notice: &Notice) -> Option<(Ballot, &'static str)> {
    match notice {
        Notice::Leading { ballot, .. } => Some((*ballot, "leads")),
        Notice::Campaigning { ballot } => Some((*ballot, "campaigns")),
        Notice::SteppedDown { ballot, .. } => Some((*ballot, "has stepped down")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chil_core::Slot;
    use chil_core::output::StepDown;

    use super::super::testing::ballot;
    use super::*;

    #[test]
    fn another_ballot_and_a_leader_that_gives_up_are_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let leads = |ballot| Notice::Leading {
            ballot,
            adopted_last: Slot::ZERO,
        };
        let mut steady = Steady::new(100);
        assert_eq!(
            steady.check(50, &Notice::Campaigning { ballot: two }),
            Ok(())
        );
        assert_eq!(steady.check(1_000, &leads(one)), Ok(()));
        assert_eq!(
            steady.check(1_300, &leads(two)),
            Ok(()),
            "still in the grace"
        );
        let campaigns = Notice::Campaigning { ballot: one };
        assert!(
            steady
                .check(1_301, &campaigns)
                .is_err_and(|what| what.contains("campaigns"))
        );
        assert!(steady.check(9_000, &leads(one)).is_err());
        let gave_up = Notice::SteppedDown {
            ballot: two,
            reason: StepDown::DiskStalled,
        };
        assert!(
            steady
                .check(9_000, &gave_up)
                .is_err_and(|what| what.contains("80 rounds"))
        );
        let other = Notice::Trimmed { to: Slot::ZERO };
        assert_eq!(steady.check(9_000, &other), Ok(()));
    }
}
