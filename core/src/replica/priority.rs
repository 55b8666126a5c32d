//! Leadership for whom it is wanted for: when a leader hands over of its own accord.
//! Knows nothing about how it does; that a wrong guess costs little is the transfer's business.

use crate::types::Slot;

use super::{Replica, Role};

/// For so many rounds in a row a peer must be fit before leadership is handed to it.
const FIT_ROUNDS: u32 = 5;

/// Rounds between two attempts; doubled by each.
const PAUSE_ROUNDS: u64 = 16;

/// For so many rounds a node that was asked to hand over does not want to lead.
const YIELD_ROUNDS: u64 = 100;

/// Doubled so often at most.
const DOUBLINGS_MAX: u32 = 8;

/// Whom this node would rather see lead, and how often it gave way already.
#[derive(Clone, Debug, Default)]
pub(super) struct Preference {
    /// The fittest peer, and for how many rounds it has been.
    fittest: Option<(usize, u32)>,
    /// Attempts lately: a peer that does not take the leadership, or does not keep it, is given
    /// it ever less often.
    attempts: u32,
    /// The round of the last one.
    last_attempt: u64,
    /// The round up to which this node gives way to everybody else.
    yields_until: u64,
    /// What was decided when the round before ended.
    decided: Slot,
}

impl Preference {
    const fn pause(&self) -> u64 {
        if self.attempts == 0 {
            return 0;
        }
        let doublings = if self.attempts < DOUBLINGS_MAX {
            self.attempts
        } else {
            DOUBLINGS_MAX
        };
        PAUSE_ROUNDS << doublings
    }

    /// Leadership was handed over because somebody asked for that.
    pub(super) const fn yields(&mut self, round: u64) {
        self.yields_until = round + YIELD_ROUNDS;
    }
}

impl Replica {
    /// How much this node is wanted as leader now.
    pub(super) const fn priority(&self) -> u32 {
        if self.election.round() < self.preference.yields_until {
            0
        } else {
            self.config.priority
        }
    }

    /// Once a round: hands over to a peer of strictly higher priority that has been up, able and
    /// level for a while.
    pub(super) fn tend_preference(&mut self) {
        let fittest = self.fittest();
        let round = self.election.round();
        let preference = &mut self.preference;
        preference.decided = self.commit;
        let rounds = match (preference.fittest, fittest) {
            (Some((before, rounds)), Some(now)) if before == now => rounds.saturating_add(1),
            _ => 1,
        };
        preference.fittest = fittest.map(|position| (position, rounds));
        let since = round.saturating_sub(preference.last_attempt);
        if preference.pause().saturating_mul(4) < since {
            // What was long ago says little.
            preference.attempts = 0;
        }
        if let Some(target) = fittest
            && rounds >= FIT_ROUNDS
            && since >= preference.pause()
            && self.transfer.is_none()
        {
            preference.attempts = preference.attempts.saturating_add(1);
            preference.last_attempt = round;
            preference.fittest = None;
            self.begin_transfer(None, target);
        }
    }

    /// The peer that a settled leader would hand over to now.
    fn fittest(&self) -> Option<usize> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let is_settled =
            leading.settled && leading.adopted_last <= self.commit && self.defers_until().is_none();
        let above = self.priority().checked_add(1)?;
        let fittest = self.successor(above).filter(|_| is_settled)?;
        // While it catches up nothing could be proposed: so it must hold what was decided a
        // round ago.
        let is_level = self.preference.decided <= leading.matched(fittest);
        is_level.then_some(fittest)
    }
}
