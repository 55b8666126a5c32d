//! Commands without a session: sent again only while they surely did nothing.
//! Knows nothing about streams; it is driven like the automaton for sessions in `chil_core`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chil_core::retry::{Answer, Completion, RetryConfig};
use chil_core::{Span, Time, Token};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::ClientError;
use super::links::{Address, Result};

/// What is to be done next.
#[derive(Debug)]
pub(super) enum PlainOutput {
    Send {
        token: Token,
        to: Address,
        payload: Bytes,
    },
    Completed {
        token: Token,
        result: Completion<ClientError>,
    },
    Wait(Time),
}

/// All commands of one client.
#[derive(Debug)]
pub(super) struct Plain {
    config: RetryConfig,
    /// Whether what may have been executed is sent again.
    retry_unknown: bool,
    targets: Vec<Address>,
    cursor: usize,
    leader: Option<Address>,
    requests: BTreeMap<Token, Request>,
    deadlines: BTreeSet<(Time, Token)>,
    /// Those that are to be sent.
    queue: VecDeque<Token>,
    completed: VecDeque<(Token, Completion<ClientError>)>,
    paused_until: Time,
    failures: u32,
    now: Time,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Request {
    payload: Bytes,
    deadline: Time,
    /// Where it was sent to, while that is not answered.
    sent_to: Option<Address>,
    /// It may have been executed, which no later answer can undo.
    doubted: bool,
}

impl Plain {
    pub(super) fn new(
        config: RetryConfig,
        seed: [u8; 32],
        targets: Vec<Address>,
        retry_unknown: bool,
    ) -> Self {
        Self {
            config,
            retry_unknown,
            targets,
            cursor: 0,
            leader: None,
            requests: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            queue: VecDeque::new(),
            completed: VecDeque::new(),
            paused_until: Time::ZERO,
            failures: 0,
            now: Time::ZERO,
            rng: ChaCha8Rng::from_seed(seed),
        }
    }

    pub(super) fn submit(&mut self, now: Time, token: Token, payload: Bytes, deadline: Time) {
        let request = Request {
            payload,
            deadline,
            sent_to: None,
            doubted: false,
        };
        self.requests.insert(token, request);
        self.deadlines.insert((deadline, token));
        self.queue.push_back(token);
        self.wake(now);
    }

    /// An attempt ended.
    pub(super) fn answered(&mut self, now: Time, token: Token, result: Result) {
        self.now = self.now.max(now);
        let Some(request) = self.requests.get_mut(&token) else {
            return;
        };
        let Some(at) = request.sent_to.take() else {
            return;
        };
        match result {
            Answer::Executed { slot, reply } => {
                self.leader = Some(at);
                self.failures = 0;
                self.complete(token, Completion::Executed { slot, reply });
            }
            Answer::Rejected(_) if request.doubted => self.complete(token, Completion::Unknown),
            Answer::Rejected(error) => self.complete(token, Completion::Rejected(error)),
            Answer::NotLeader { hint: Some(hint) } if hint != at => {
                self.queue.push_back(token);
                if self.leader.replace(hint) == Some(at) {
                    // The first hint is followed at once; nodes that name each other are not.
                    self.rest(Span::ZERO);
                }
            }
            Answer::NotLeader { .. } | Answer::Unavailable => {
                self.queue.push_back(token);
                self.leave(&at);
            }
            Answer::Overloaded { retry_after } => {
                self.queue.push_back(token);
                self.rest(retry_after);
            }
            Answer::Unknown
            | Answer::SessionExpired
            | Answer::StaleSeq
            | Answer::Registered { .. } => {
                if self.retry_unknown {
                    request.doubted = true;
                    self.queue.push_back(token);
                } else {
                    self.complete(token, Completion::Unknown);
                }
                self.leave(&at);
            }
        }
        self.wake(now);
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up(&mut self, token: Token) {
        if let Some(request) = self.requests.get(&token) {
            let maybe = request.doubted || request.sent_to.is_some();
            self.complete(
                token,
                if maybe {
                    Completion::Unknown
                } else {
                    Completion::TimedOut
                },
            );
        }
    }

    /// The same, and what was on its way to a node was taken back before it was sent.
    pub(super) fn withdraw(&mut self, token: Token) {
        if let Some(request) = self.requests.get_mut(&token) {
            request.sent_to = None;
        }
        self.give_up(token);
    }

    /// Takes note of the time: gives up what has run out of it.
    pub(super) fn wake(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some((deadline, token)) = self.deadlines.first().copied()
            && deadline <= self.now
        {
            self.deadlines.pop_first();
            self.give_up(token);
        }
    }

    pub(super) fn poll_output(&mut self) -> PlainOutput {
        if let Some((token, result)) = self.completed.pop_front() {
            return PlainOutput::Completed { token, result };
        }
        while self.paused_until <= self.now
            && let Some(token) = self.queue.pop_front()
        {
            let to = self.target();
            if let Some(request) = self.requests.get_mut(&token) {
                request.sent_to = Some(Address::clone(&to));
                let payload = request.payload.clone();
                return PlainOutput::Send { token, to, payload };
            }
        }
        let deadline = self.deadlines.first().map_or(Time::MAX, |(at, _)| *at);
        PlainOutput::Wait(if self.queue.is_empty() {
            deadline
        } else {
            deadline.min(self.paused_until)
        })
    }

    fn target(&self) -> Address {
        let listed = || {
            self.targets
                .get(self.cursor % self.targets.len().max(1))
                .cloned()
        };
        self.leader.clone().or_else(listed).unwrap_or_default()
    }

    /// The node at `at` does not serve: another one is asked, after a pause.
    fn leave(&mut self, at: &Address) {
        if self.target() == *at {
            self.leader = None;
            self.cursor = self.cursor.wrapping_add(1);
            self.rest(Span::ZERO);
        }
    }

    /// Pauses for at least `least`; longer after each failure in a row.
    fn rest(&mut self, least: Span) {
        let doubled = self.config.backoff_min.times(1 << self.failures.min(20));
        let half = doubled.min(self.config.backoff_max).divided(2);
        let jitter = Span::from_nanos(self.rng.next_u64() % half.nanos().max(1));
        self.paused_until = self.now + (half + jitter).max(least);
        self.failures += 1;
    }

    fn complete(&mut self, token: Token, result: Completion<ClientError>) {
        if let Some(request) = self.requests.remove(&token) {
            self.deadlines.remove(&(request.deadline, token));
            self.completed.push_back((token, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use chil_core::Slot;

    use super::*;

    fn plain(retry_unknown: bool) -> Plain {
        let targets = vec!["a".into(), "b".into()];
        Plain::new(RetryConfig::default(), [1; 32], targets, retry_unknown)
    }

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    const TOKEN: Token = Token::new(7);

    fn sent(plain: &mut Plain) -> Option<Address> {
        match plain.poll_output() {
            PlainOutput::Send { to, .. } => Some(to),
            PlainOutput::Completed { .. } | PlainOutput::Wait(_) => None,
        }
    }

    fn result(plain: &mut Plain) -> Completion<ClientError> {
        match plain.poll_output() {
            PlainOutput::Completed {
                token: TOKEN,
                result,
            } => result,
            other => panic!("{other:?}"),
        }
    }

    fn submitted(retry_unknown: bool) -> Plain {
        let mut plain = plain(retry_unknown);
        plain.submit(at(0), TOKEN, Bytes::new(), at(1_000));
        assert_eq!(sent(&mut plain).as_deref(), Some("a"));
        plain
    }

    #[test]
    fn what_surely_was_not_executed_is_sent_again_elsewhere() {
        let mut plain = submitted(false);
        plain.answered(at(1), TOKEN, Answer::Unavailable);
        assert_eq!(sent(&mut plain), None, "first a pause");
        plain.wake(at(50));
        assert_eq!(sent(&mut plain).as_deref(), Some("b"));
        let hint = Some("c".into());
        plain.answered(at(51), TOKEN, Answer::NotLeader { hint });
        assert_eq!(sent(&mut plain).as_deref(), Some("c"));
        let (slot, reply) = (Slot::new(3), Bytes::from_static(b"r"));
        let executed = Answer::Executed {
            slot,
            reply: reply.clone(),
        };
        plain.answered(at(52), TOKEN, executed);
        assert_eq!(result(&mut plain), Completion::Executed { slot, reply });
    }

    #[test]
    fn who_is_overloaded_is_asked_again_but_not_at_once() {
        let mut plain = submitted(false);
        let retry_after = Span::from_millis(300);
        plain.answered(at(1), TOKEN, Answer::Overloaded { retry_after });
        plain.wake(at(300));
        assert_eq!(sent(&mut plain), None);
        plain.wake(at(301));
        assert_eq!(sent(&mut plain).as_deref(), Some("a"));
    }

    #[test]
    fn what_may_have_been_executed_is_unknown_at_once() {
        let mut plain = submitted(false);
        plain.answered(at(1), TOKEN, Answer::Unknown);
        assert_eq!(result(&mut plain), Completion::Unknown);
    }

    #[test]
    fn a_doubt_stays_whatever_is_answered_to_the_next_attempt() {
        let rejected = || {
            Answer::Rejected(ClientError::Rejected {
                reason: "too large".to_owned(),
            })
        };
        let mut plain = submitted(true);
        plain.answered(at(1), TOKEN, Answer::Unknown);
        plain.wake(at(100));
        assert_eq!(sent(&mut plain).as_deref(), Some("b"));
        plain.answered(at(101), TOKEN, rejected());
        assert_eq!(result(&mut plain), Completion::Unknown);

        let mut plain = submitted(true);
        plain.answered(at(1), TOKEN, rejected());
        assert!(matches!(result(&mut plain), Completion::Rejected(_)));
    }

    #[test]
    fn out_of_time_it_is_unknown_only_if_it_was_sent() {
        let mut plain = submitted(false);
        plain.wake(at(1_000));
        assert_eq!(result(&mut plain), Completion::Unknown);

        let mut plain = submitted(false);
        plain.answered(at(999), TOKEN, Answer::Unavailable);
        plain.wake(at(1_000));
        assert_eq!(result(&mut plain), Completion::TimedOut);
        assert_eq!(sent(&mut plain), None, "sent for a caller who has left");
    }
}
