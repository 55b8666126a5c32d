//! What the summaries say in the same words: commands, shares, rates.
//! Knows nothing about their formats.

use std::fmt::Display;

use crate::stats::Stats;

/// The command that shows a run again, which is named by its seed or token.
pub(super) fn replay_command(run: impl Display, short: bool) -> String {
    let short = if short { " --short" } else { "" };
    format!("cargo chaos replay {run}{short}")
}

/// A share in thousandths, for people.
pub(super) fn share(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// How many there were of something in a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: three digits are enough"
)]
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(0.001)
}

/// Heartbeat rounds until all was well, on average over all that was healed.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: three digits are enough"
)]
pub(super) fn mean_rounds(stats: &Stats) -> f64 {
    stats.heal_rounds_sum as f64 / (stats.healings as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_tenth() {
        assert_eq!(share(1_000), "100.0 %");
        assert_eq!(share(7), "0.7 %");
    }
}
