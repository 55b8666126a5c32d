//! What the summaries say in the same words: commands, shares, rates.
//! Knows nothing about their formats.

use std::fmt::Display;

use super::merge::Merged;
use super::tally::Tally;
use crate::stats::Stats;

/// The command that shows a run of a campaign again, which is named by its seed or token.
pub(super) fn replay_command(merged: &Merged, run: impl Display) -> String {
    let short = if merged.header.short { " --short" } else { "" };
    // Without them it would end at what the campaign passed over.
    let checks = checks_flag(&merged.checks);
    format!("cargo chaos replay {run}{short}{checks}")
}

/// What makes only these checks count; nothing if all do.
pub(crate) fn checks_flag(checks: &[String]) -> String {
    match checks {
        [] => String::new(),
        checks => format!(" --checks {}", checks.join(",")),
    }
}

/// What was reached although it cannot be, each with a sentence, and how to see it.
pub(crate) fn contradictions(merged: &Merged) -> Vec<String> {
    let Tally {
        stats, impossible, ..
    } = &merged.tally;
    let contradicted = stats.coverage.contradicted().into_iter();
    let told = contradicted.map(|(cell, sentence)| match impossible.get(&cell) {
        Some(seed) => format!(
            "{sentence}; seed {seed} did: {}",
            replay_command(merged, seed)
        ),
        // Results of a build that did not note it.
        None => sentence,
    });
    told.collect()
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
    use crate::campaign::Part;
    use crate::campaign::testing::{header, part};

    #[test]
    fn a_run_is_shown_again_with_the_checks_that_counted() {
        let mut merged = Merged::alone(&part(header(0, 4, 0, 1), 4));
        assert_eq!(replay_command(&merged, 3), "cargo chaos replay 3");
        merged.checks = vec!["linearizable".to_owned(), "answered".to_owned()];
        assert_eq!(
            replay_command(&merged, 3),
            "cargo chaos replay 3 --checks linearizable,answered"
        );
        merged.header.short = true;
        assert_eq!(
            replay_command(&merged, "3:1a2b3c4d"),
            "cargo chaos replay 3:1a2b3c4d --short --checks linearizable,answered"
        );
    }

    #[test]
    fn what_cannot_be_comes_with_the_command_that_shows_it() {
        let mut part = part(header(0, 4, 0, 1), 4);
        part.tally.stats.coverage.received[2].0[1] = 3;
        let told = |part: &Part| contradictions(&Merged::alone(part)).concat();
        let sentence = told(&part);
        assert!(
            sentence.starts_with("Accept while forming, 3 times, although "),
            "{sentence}"
        );
        let noted = &mut part.tally.impossible;
        noted.insert("Accept while forming".to_owned(), 2);
        assert_eq!(
            told(&part),
            format!("{sentence}; seed 2 did: cargo chaos replay 2")
        );
    }

    #[test]
    fn shares_have_a_tenth() {
        assert_eq!(share(1_000), "100.0 %");
        assert_eq!(share(7), "0.7 %");
    }
}
