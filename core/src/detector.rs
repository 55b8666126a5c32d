//! Phi accrual failure detection of one peer, in integers (Hayashibara et al., SRDS 2004).
//! Knows nothing about elections: it says from when on a peer's silence is improbable.

use std::collections::VecDeque;

use crate::config::Config;
use crate::time::{Span, Time};

/// Quantiles of the standard normal distribution, in thousandths: `k(PHI)` with
/// `P(X > k) = 10^-PHI`, for PHI = 1 ..= 16.
const QUANTILES: [u64; 16] = [
    1282, 2326, 3090, 3719, 4265, 4753, 5199, 5612, 5998, 6361, 6706, 7034, 7349, 7651, 7941, 8222,
];

/// Remembers the intervals between a peer's answers.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    last: Option<Time>,
    /// The latest intervals, in microseconds.
    intervals: VecDeque<u32>,
    sum: u64,
    sum_of_squares: u128,
    /// Mean and standard deviation of the intervals: asked for far more often than they change.
    mean: u64,
    sigma: u64,
}

impl Detector {
    const WINDOW: usize = 100;
    /// A silence of more heartbeats than this is no sample of the rhythm.
    const OUTAGE: u64 = 5;

    /// The peer answered.
    pub fn arrived(&mut self, now: Time, config: &Config) {
        if let Some(last) = self.last.replace(now) {
            let silence = now.since(last);
            // An outage that is over says nothing about the rhythm before or after it.
            if silence <= config.heartbeat_interval.times(Self::OUTAGE) {
                self.push(u32::try_from(silence.micros()).unwrap_or(u32::MAX));
            }
        }
    }

    /// When the peer last answered; `None` if it never has.
    #[must_use]
    pub const fn last_heard(&self) -> Option<Time> {
        self.last
    }

    /// From when on the silence counts as death; `None` while the peer was never heard.
    #[must_use]
    pub fn suspect_at(&self, config: &Config) -> Option<Time> {
        let last = self.last?;
        let mean = if self.intervals.is_empty() {
            config.heartbeat_interval.micros()
        } else {
            self.mean
        };
        let sigma = self.sigma.max(config.phi_sigma_min.micros());
        let row = usize::try_from(config.phi_threshold.max(1) - 1).unwrap_or(usize::MAX);
        let quantile = QUANTILES.get(row).copied().unwrap_or(8222);
        let silence = mean.saturating_add(sigma.saturating_mul(quantile) / 1000);
        Some(last + Span::from_micros(silence) + config.phi_pause)
    }

    /// Whether the silence at `now` is less probable than `10^-phi_threshold`.
    #[must_use]
    pub fn is_down(&self, now: Time, config: &Config) -> bool {
        self.suspect_at(config).is_none_or(|at| now > at)
    }

    fn push(&mut self, interval: u32) {
        if self.intervals.len() == Self::WINDOW
            && let Some(oldest) = self.intervals.pop_front()
        {
            self.sum -= u64::from(oldest);
            self.sum_of_squares -= u128::from(oldest).pow(2);
        }
        self.intervals.push_back(interval);
        self.sum += u64::from(interval);
        self.sum_of_squares += u128::from(interval).pow(2);
        let n = self.intervals.len() as u64;
        let spread = u128::from(n) * self.sum_of_squares - u128::from(self.sum).pow(2);
        let variance = spread / u128::from(n * n);
        self.mean = self.sum / n;
        self.sigma = u64::try_from(variance.isqrt()).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn config() -> Config {
        let mut config = Config::new(NodeId::new(1), 0, 0);
        config.phi_pause = Span::ZERO;
        config.phi_sigma_min = Span::from_millis(1);
        config
    }

    fn fed(intervals_ms: &[u64]) -> (Detector, Time) {
        let (mut detector, mut now) = (Detector::default(), Time::ZERO);
        detector.arrived(now, &config());
        for &ms in intervals_ms {
            now += Span::from_millis(ms);
            detector.arrived(now, &config());
        }
        (detector, now)
    }

    #[test]
    fn a_peer_never_heard_is_down() {
        assert!(Detector::default().is_down(Time::ZERO, &config()));
    }

    #[test]
    fn a_steady_rhythm_is_judged_by_the_least_deviation() {
        let (detector, now) = fed(&[100; 50]);
        // mean 100 ms, sigma 1 ms, PHI 8: 105.612 ms.
        assert!(!detector.is_down(now + Span::from_micros(105_600), &config()));
        assert!(detector.is_down(now + Span::from_micros(105_700), &config()));
    }

    #[test]
    fn jitter_buys_patience() {
        let (detector, now) = fed(&[99, 101].repeat(10));
        let steady = fed(&[100; 20]).0.suspect_at(&config());
        assert!(detector.suspect_at(&config()) >= steady);
        let (jittery, end) = fed(&[80, 120].repeat(10));
        assert!(!jittery.is_down(end + Span::from_millis(200), &config()));
        assert!(detector.is_down(now + Span::from_millis(200), &config()));
    }

    #[test]
    fn a_long_silence_leaves_the_rhythm_alone() {
        let (mut detector, now) = fed(&[100; 50]);
        let back = now + Span::from_millis(60_000);
        detector.arrived(back, &config());
        assert!(detector.is_down(back + Span::from_millis(107), &config()));
    }

    #[test]
    fn the_window_forgets() {
        let (detector, now) = fed(&[[300_u64; 20].as_slice(), &[100; 100]].concat());
        assert!(detector.is_down(now + Span::from_millis(110), &config()));
    }
}
