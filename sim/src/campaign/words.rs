//! What the summaries say in the same words: commands, shares, what was never reached.
//! Knows nothing about their formats.

use std::fmt::Display;

use crate::coverage::Coverage;

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

/// Everything that has a counter and was never counted, by the kind of counter.
pub(super) fn never_reached(coverage: &Coverage) -> Vec<String> {
    let mut never = Vec::new();
    let mut list = |kind: &str, names: &[&str], counts: &[u64]| {
        let zero = names.iter().zip(counts).filter(|(_, count)| **count == 0);
        never.extend(zero.map(|(name, _)| format!("{kind} {name}")));
    };
    for (message, counts) in Coverage::MESSAGES.iter().zip(&coverage.received) {
        list(&format!("{message} while"), &Coverage::STAGES, &counts.0);
    }
    for (stage, counts) in Coverage::STAGES.iter().zip(&coverage.became) {
        let others = Coverage::STAGES.iter().zip(counts.0);
        let others = others.filter(|(other, _)| *other != stage);
        let (names, counts): (Vec<&str>, Vec<u64>) = others.unzip();
        list(&format!("from {stage} to"), &names, &counts);
    }
    list("output", &Coverage::OUTPUTS, &coverage.outputs.0);
    list("notice", &Coverage::NOTICES, &coverage.notices.0);
    list("check", &Coverage::CHECKS, &coverage.checks.0);
    never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_reached_is_named() {
        let mut coverage = Coverage::default();
        let all = never_reached(&coverage).len();
        coverage.received[2].0[4] = 1;
        coverage.became[0].0[0] = 1;
        coverage.notices.0[0] = 1;
        let never = never_reached(&coverage);
        assert_eq!(never.len(), all - 2, "nothing becomes what it is");
        assert!(!never.contains(&"Accept while leading".to_owned()));
        assert!(never.contains(&"Accept while preparing".to_owned()));
        assert!(never.contains(&"from leading to down".to_owned()));
        assert!(never.contains(&"check bounds".to_owned()));
    }

    #[test]
    fn shares_have_a_tenth() {
        assert_eq!(share(1_000), "100.0 %");
        assert_eq!(share(7), "0.7 %");
    }
}
