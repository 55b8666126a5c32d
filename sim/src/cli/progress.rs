//! How far a campaign is, while it runs: a bar on a terminal, now and then a line elsewhere.
//! Knows nothing about what seeds come to, but how many failed.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::campaign::Part;
use crate::sweep::Failure;

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// A bar or lines, on the standard error.
pub(super) struct Progress {
    /// Where there is a terminal.
    bar: Option<ProgressBar>,
    all: u64,
    before: u64,
    done: u64,
    failures: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    /// Of a campaign of which some may be done already.
    pub(super) fn new(part: &Part) -> anyhow::Result<Self> {
        let (all, before) = (part.header.shard.len(), part.done);
        let mut progress = Self {
            bar: None,
            all,
            before,
            done: before,
            failures: part.tally.failures.len() as u64,
            began: Instant::now(),
            told: Instant::now(),
        };
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
            let template = "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left{msg}";
            bar.set_style(ProgressStyle::with_template(template)?);
            bar.set_position(before);
            // What was done in another sitting says nothing about the speed of this one.
            bar.reset_eta();
            progress.bar = Some(bar);
        } else if before > 0 {
            progress.tell(&format!("goes on behind {before} of {all} seeds"));
        }
        progress.show_failures();
        Ok(progress)
    }

    /// Another seed is done.
    pub(super) fn one_more(&mut self, failures: u64) {
        self.done += 1;
        self.failures += failures;
        if failures > 0 {
            self.show_failures();
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let line = line(
                self.done,
                self.all,
                self.done - self.before,
                self.began.elapsed(),
                self.failures,
            );
            self.tell(&line);
        }
    }

    /// A seed takes much longer than others do.
    pub(super) fn is_slow(&self, seed: u64) {
        self.say(&format!(
            "seed {seed} is still under way: if it never ends, it will be given up"
        ));
    }

    /// A seed violated something, which counts when those before it are through.
    pub(super) fn is_ahead(&self, failure: &Failure) {
        self.say(&format!(
            "seed {} violates {}: seeds before it are still under way",
            failure.token, failure.violation
        ));
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => self.tell(line),
        }
    }

    fn show_failures(&self) {
        if let Some(bar) = self.bar.as_ref().filter(|_| self.failures > 0) {
            bar.set_message(format!(", {} violations", self.failures));
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[expect(
        clippy::unused_self,
        reason = "only lines of a progress are told like this"
    )]
    fn tell(&self, line: &str) {
        // Nobody has to listen.
        let _ = writeln!(std::io::stderr().lock(), "chil-sim: {line}");
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people: three digits are enough"
)]
fn line(done: u64, all: u64, here: u64, took: Duration, failures: u64) -> String {
    let rate = here as f64 / took.as_secs_f64().max(0.001);
    let left = ((all - done) as f64 / rate.max(1e-9)).min(1e9) as u64;
    let (hours, minutes, seconds) = (left / 3_600, left / 60 % 60, left % 60);
    format!(
        "{done} of {all} seeds, {rate:.1}/s, {hours}:{minutes:02}:{seconds:02} left, \
         {failures} violations"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_and_time_left() {
        let line = line(1_000, 8_300, 500, Duration::from_secs(250), 3);
        assert_eq!(
            line,
            "1000 of 8300 seeds, 2.0/s, 1:00:50 left, 3 violations"
        );
    }
}
