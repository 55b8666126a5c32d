//! Whom a client asks, and when: it follows the leader, and pauses while nothing succeeds.
//! Knows nothing about requests and sessions.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::session::Flight;
use super::{Answer, RetryConfig};
use crate::time::{Span, Time};

/// Attempts are made in rounds. The first failure of a round ends it: the next one begins after a
/// pause, elsewhere, and with a single attempt, until something succeeds. So a burst of failures
/// counts as one, and a node in trouble is not hit by everything at once.
#[derive(Debug)]
pub(super) struct Pace<T> {
    config: RetryConfig,
    rng: ChaCha8Rng,
    targets: Vec<T>,
    /// Index of the target that is asked while nobody is known to lead.
    cursor: usize,
    leader: Option<T>,
    /// Leaders named by others since the last success or pause.
    hops: u32,
    round: u64,
    /// Attempts of this round that are waited for.
    flights: u64,
    failures: u32,
    paused_until: Time,
    /// A pause that a node asked for: no success elsewhere ends it.
    overloaded_until: Time,
}

impl<T: Clone + PartialEq> Pace<T> {
    pub(super) fn new(config: RetryConfig, mut rng: ChaCha8Rng, targets: Vec<T>) -> Self {
        assert!(!targets.is_empty(), "a client needs somebody to ask");
        let cursor = rng.next_u32() as usize % targets.len();
        Self {
            config,
            rng,
            targets,
            cursor,
            leader: None,
            hops: 0,
            round: 0,
            flights: 0,
            failures: 0,
            paused_until: Time::ZERO,
            overloaded_until: Time::ZERO,
        }
    }

    /// When the pause ends: in the past, if there is none.
    pub(super) fn resumes_at(&self) -> Time {
        self.paused_until.max(self.overloaded_until)
    }

    /// Whether an attempt may be made. While nothing succeeds, that is one a round.
    pub(super) fn may_send(&self, now: Time) -> bool {
        self.resumes_at() <= now && (self.failures == 0 || self.flights == 0)
    }

    /// An attempt is made.
    pub(super) fn take_off(&mut self, now: Time) -> Flight<T> {
        self.flights += 1;
        let listed = || self.targets.get(self.cursor).cloned();
        let to = self.leader.clone().or_else(listed);
        Flight {
            to: to.expect("there is a target, and the cursor is one of theirs"),
            round: self.round,
            timeout: now + self.config.attempt_timeout,
        }
    }

    /// An attempt is not waited for any more.
    pub(super) fn landed(&mut self, flight: &Flight<T>) {
        if flight.round == self.round {
            self.flights -= 1;
        }
    }

    /// A node answered as one that leads does; with the flight, if it was not a late answer.
    pub(super) fn succeeded(&mut self, now: Time, flight: Option<Flight<T>>) {
        if let Some(flight) = flight {
            self.leader = Some(flight.to);
        }
        self.hops = 0;
        self.failures = 0;
        self.paused_until = now;
    }

    /// An attempt did not lead to anything.
    pub(super) fn failed<R>(&mut self, now: Time, flight: Flight<T>, answer: Answer<T, R>) {
        match answer {
            Answer::NotLeader { hint: Some(hint) } if hint != flight.to => {
                // Followed at once, unless they go on sending us from one to the next.
                if self.leader.as_ref() == Some(&hint) {
                    return;
                }
                self.leader = Some(hint);
                self.hops += 1;
                if self.hops <= HOPS_MAX {
                    return;
                }
            }
            Answer::Overloaded { retry_after } => {
                self.overloaded_until = self.overloaded_until.max(now + retry_after);
            }
            _ => {
                if self.leader.as_ref() == Some(&flight.to) {
                    self.leader = None;
                }
            }
        }
        if flight.round == self.round {
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Time) {
        self.round += 1;
        self.flights = 0;
        self.hops = 0;
        self.cursor = (self.cursor + 1) % self.targets.len();
        let doubled = self.config.backoff_min.times(1 << self.failures.min(20));
        // Between half of it and all of it, so that clients do not come back together.
        let half = doubled.min(self.config.backoff_max).divided(2);
        let jitter = Span::from_nanos(self.rng.next_u64() % half.nanos().max(1));
        self.paused_until = now + half + jitter;
        self.failures += 1;
    }
}

/// How often a client goes at once where it is sent, before it takes a pause.
const HOPS_MAX: u32 = 3;
