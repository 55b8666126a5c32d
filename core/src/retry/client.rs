//! The automaton: what is asked of whom and when, and what the answers mean for each request.
//! Knows nothing about how an attempt travels.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::pace::Pace;
use super::queue::{Place, Queue, Request};
use super::session::{Flight, Opening, Session, Tries};
use super::{Answer, Ask, AttemptId, Completion, RetryConfig, RetryInput, RetryOutput, TokenInUse};
use crate::command::Command;
use crate::session::SessionLimits;
use crate::time::Time;
use crate::types::Token;

/// One client: a queue of requests, the session that takes them, and earlier sessions that still
/// have some under way.
#[derive(Debug)]
pub struct RetryClient<T, R> {
    config: RetryConfig,
    rng: ChaCha8Rng,
    now: Time,
    pace: Pace<T>,
    requests: BTreeMap<Token, Request>,
    /// Requests without a number.
    queue: Queue,
    deadlines: BTreeSet<(Time, Token)>,
    /// By the client's number for them.
    sessions: BTreeMap<u64, Session<T>>,
    /// The session that takes further requests.
    live: Option<u64>,
    opening: Option<Opening<T>>,
    last_session: u64,
    /// Numbers under way whose last attempt came to an end.
    unsent: BTreeSet<(u64, u64)>,
    timeouts: BTreeSet<(Time, AttemptId)>,
    completed: VecDeque<(Token, Completion<R>)>,
}

impl<T: Clone + PartialEq, R: Clone> RetryClient<T, R> {
    /// A client of the cluster that consists of `targets` (some of it is enough). `seed` must be
    /// drawn at random for each client: sessions are told apart by what follows from it.
    ///
    /// # Panics
    /// Without any target, and if the configuration's window is 0 or above
    /// [`SessionLimits::WINDOW`].
    #[must_use]
    pub fn new(config: RetryConfig, seed: [u8; 32], targets: Vec<T>) -> Self {
        assert!(
            (1..=SessionLimits::WINDOW).contains(&config.window),
            "a window of {} is not within 1 and {}",
            config.window,
            SessionLimits::WINDOW
        );
        let rng = ChaCha8Rng::from_seed(seed);
        let mut jitter = rng.clone();
        jitter.set_stream(1);
        Self {
            config,
            rng,
            now: Time::ZERO,
            pace: Pace::new(config, jitter, targets),
            requests: BTreeMap::new(),
            queue: Queue::default(),
            deadlines: BTreeSet::new(),
            sessions: BTreeMap::new(),
            live: None,
            opening: None,
            last_session: 0,
            unsent: BTreeSet::new(),
            timeouts: BTreeSet::new(),
            completed: VecDeque::new(),
        }
    }

    /// Handles one event.
    ///
    /// # Errors
    /// If a token is submitted whose former request has no result yet. That one goes on, and the
    /// new one is not taken.
    pub fn handle(&mut self, now: Time, input: RetryInput<T, R>) -> Result<(), TokenInUse> {
        self.now = self.now.max(now);
        let mut taken = Ok(());
        match input {
            RetryInput::Submit {
                token,
                payload,
                deadline,
            } => taken = self.submit(token, payload, deadline),
            RetryInput::Answered { attempt, answer } if attempt.seq == 0 => {
                self.session_answered(attempt, answer);
            }
            RetryInput::Answered { attempt, answer } => self.answered(attempt, answer),
            RetryInput::GiveUp { token } => self.give_up(token, false),
            RetryInput::Withdraw { token } => self.give_up(token, true),
            RetryInput::Wake => {}
        }
        self.run_timers();
        taken
    }

    /// The next thing to do; [`RetryOutput::Wait`] when there is nothing.
    pub fn poll_output(&mut self) -> RetryOutput<T, R> {
        if let Some((token, result)) = self.completed.pop_front() {
            return RetryOutput::Completed { token, result };
        }
        if self.pace.may_send(self.now)
            && let Some(send) = self.next_send()
        {
            return send;
        }
        RetryOutput::Wait(self.next_wake())
    }

    /// The attempt at a request that waits for its answer, if there is one.
    #[must_use]
    pub fn attempt_of(&self, token: Token) -> Option<AttemptId> {
        let Place::Numbered(session, seq) = self.requests.get(&token)?.place else {
            return None;
        };
        let tries = &self.sessions.get(&session)?.pending.get(&seq)?.tries;
        let n = tries.count;
        tries
            .flight
            .is_some()
            .then_some(AttemptId { session, seq, n })
    }

    /// Requests without a result.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.requests.len()
    }

    /// How many sessions it asked for so far.
    #[must_use]
    pub const fn sessions_opened(&self) -> u64 {
        self.last_session
    }

    fn submit(&mut self, token: Token, payload: Bytes, deadline: Time) -> Result<(), TokenInUse> {
        let unsaid = || self.completed.iter().any(|(done, _)| *done == token);
        if self.requests.contains_key(&token) || unsaid() {
            // Two requests of one name could not be told apart any more.
            return Err(TokenInUse { token });
        }
        let request = Request {
            payload,
            deadline,
            place: Place::Queued(self.queue.push(token)),
        };
        self.requests.insert(token, request);
        if deadline != Time::MAX {
            self.deadlines.insert((deadline, token));
        }
        Ok(())
    }

    fn run_timers(&mut self) {
        while let Some((at, attempt)) = self.timeouts.first().copied()
            && at <= self.now
        {
            self.timeouts.pop_first();
            if attempt.seq == 0 {
                self.session_answered(attempt, Answer::Unknown);
            } else {
                self.answered(attempt, Answer::Unknown);
            }
        }
        while let Some((at, token)) = self.deadlines.first().copied()
            && at <= self.now
        {
            self.give_up(token, false);
        }
    }

    /// The request's time is over; of the attempt under way nothing was sent if it is `withdrawn`.
    fn give_up(&mut self, token: Token, withdrawn: bool) {
        let place = self.requests.get(&token).map(|request| request.place);
        let Some(Place::Numbered(session_id, seq)) = place else {
            return self.complete(token, Completion::TimedOut);
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let maybe_sent = session
            .pending
            .get(&seq)
            .is_some_and(|p| p.ambiguous || !withdrawn && p.tries.flight.is_some());
        if maybe_sent {
            self.unknown(session_id, seq);
        } else {
            self.end(session_id, seq);
            self.complete(token, Completion::TimedOut);
        }
    }

    /// An attempt at a request ended.
    fn answered(&mut self, attempt: AttemptId, answer: Answer<T, R>) {
        let (id, seq) = (attempt.session, attempt.seq);
        let flight = self.land(attempt);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(pending) = session.pending.get_mut(&seq) else {
            return;
        };
        let token = pending.token;
        match answer {
            // Also when it comes late: the number was executed once, by whichever attempt.
            Answer::Executed { slot, reply } => {
                self.pace.succeeded(self.now, flight);
                self.end(id, seq);
                self.complete(token, Completion::Executed { slot, reply });
            }
            Answer::SessionExpired => {
                session.expired = true;
                if self.live == Some(id) {
                    self.live = None;
                }
                self.pace.succeeded(self.now, flight);
                self.settle_expired(id);
            }
            // A late answer beside an attempt under way: that one's answer says more.
            _ if flight.is_none() => {}
            Answer::Rejected(reason) if !pending.ambiguous => {
                self.pace.succeeded(self.now, flight);
                self.end(id, seq);
                self.complete(token, Completion::Rejected(reason));
            }
            Answer::Rejected(_) | Answer::StaleSeq => {
                self.pace.succeeded(self.now, flight);
                self.unknown(id, seq);
            }
            failure @ (Answer::NotLeader { .. }
            | Answer::Overloaded { .. }
            | Answer::Unavailable
            | Answer::Unknown
            | Answer::Registered { .. }) => {
                let surely_nothing = matches!(
                    failure,
                    Answer::NotLeader { .. } | Answer::Overloaded { .. } | Answer::Unavailable
                );
                pending.ambiguous |= !surely_nothing;
                self.unsent.insert((id, seq));
                if let Some(flight) = flight {
                    self.pace.failed(self.now, flight, failure);
                }
                self.settle_expired(id);
            }
        }
    }

    /// An attempt at opening a session ended.
    fn session_answered(&mut self, attempt: AttemptId, answer: Answer<T, R>) {
        let is_open = |opening: &Opening<T>| opening.session != attempt.session;
        if self.opening.as_ref().is_none_or(is_open) {
            return;
        }
        let flight = self.land(attempt);
        match answer {
            Answer::Registered { client } => {
                // Whichever attempt it answers: one nonce opens one session.
                self.drop_flight(attempt.session, 0);
                self.opening = None;
                self.sessions.insert(attempt.session, Session::new(client));
                self.live = Some(attempt.session);
                self.pace.succeeded(self.now, flight);
            }
            _ if flight.is_none() => {}
            Answer::Rejected(reason) => {
                // What nobody may have a session for, nobody may ask for either.
                self.opening = None;
                self.pace.succeeded(self.now, flight);
                for token in self.queue.take_all() {
                    self.complete(token, Completion::Rejected(reason.clone()));
                }
            }
            failure => {
                if let Some(flight) = flight {
                    self.pace.failed(self.now, flight, failure);
                }
            }
        }
    }

    /// In a session that the cluster has forgotten, no attempt does anything any more: what was
    /// surely never in a log goes to a new one, of the rest nothing will ever be known.
    fn settle_expired(&mut self, id: u64) {
        let Some(session) = self.sessions.get(&id).filter(|s| s.expired) else {
            return;
        };
        let settled = session
            .pending
            .iter()
            .filter(|(_, p)| p.tries.flight.is_none());
        let settled: Vec<_> = settled
            .map(|(seq, p)| (*seq, p.token, p.ambiguous))
            .collect();
        // From the back, so that they stand in front of the queue in their old order.
        for (seq, token, ambiguous) in settled.into_iter().rev() {
            if ambiguous {
                self.unknown(id, seq);
                continue;
            }
            self.end(id, seq);
            if let Some(request) = self.requests.get_mut(&token) {
                request.place = Place::Queued(self.queue.give_back(token));
            }
        }
        self.forget_if_over(id);
    }

    /// Nothing is known of `seq`, and nobody asks any more. Its session is given nothing more:
    /// the number's attempts may still be on their way.
    fn unknown(&mut self, id: u64, seq: u64) {
        if self.live == Some(id) {
            self.live = None;
        }
        self.drop_flight(id, seq);
        self.unsent.remove(&(id, seq));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(pending) = session.pending.remove(&seq) {
            self.complete(pending.token, Completion::Unknown);
        }
        self.forget_if_over(id);
    }

    /// The outcome of `seq` is known, or nothing of it ever reached a log.
    fn end(&mut self, id: u64, seq: u64) {
        self.drop_flight(id, seq);
        self.unsent.remove(&(id, seq));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.end(seq);
        }
        self.forget_if_over(id);
    }

    fn tries_mut(&mut self, id: u64, seq: u64) -> Option<&mut Tries<T>> {
        if seq == 0 {
            let opening = self.opening.as_mut().filter(|o| o.session == id)?;
            return Some(&mut opening.tries);
        }
        let pending = self.sessions.get_mut(&id)?.pending.get_mut(&seq)?;
        Some(&mut pending.tries)
    }

    /// Ends an attempt, if it is waited for.
    fn land(&mut self, attempt: AttemptId) -> Option<Flight<T>> {
        let tries = self.tries_mut(attempt.session, attempt.seq)?;
        let flight = tries.flight.take_if(|_| tries.count == attempt.n)?;
        self.timeouts.remove(&(flight.timeout, attempt));
        self.pace.landed(&flight);
        Some(flight)
    }

    /// Ends whatever attempt is waited for.
    fn drop_flight(&mut self, session: u64, seq: u64) {
        if let Some(tries) = self.tries_mut(session, seq) {
            let n = tries.count;
            self.land(AttemptId { session, seq, n });
        }
    }

    fn forget_if_over(&mut self, id: u64) {
        let is_over = |s: &Session<T>| s.pending.is_empty();
        if self.live != Some(id) && self.sessions.get(&id).is_some_and(is_over) {
            self.sessions.remove(&id);
        }
    }

    fn complete(&mut self, token: Token, result: Completion<R>) {
        if let Some(request) = self.requests.remove(&token) {
            if let Place::Queued(at) = request.place {
                self.queue.remove(at);
            }
            self.deadlines.remove(&(request.deadline, token));
            self.completed.push_back((token, result));
        }
    }

    fn next_send(&mut self) -> Option<RetryOutput<T, R>> {
        if let Some((id, seq)) = self.unsent.pop_first() {
            return self.send_request(id, seq);
        }
        let (at, token) = self.queue.first()?;
        let Some(id) = self.live else {
            return self.send_register();
        };
        let session = self.sessions.get_mut(&id)?;
        let seq = session.begin(token, self.config.window)?;
        self.queue.remove(at);
        if let Some(request) = self.requests.get_mut(&token) {
            request.place = Place::Numbered(id, seq);
        }
        self.send_request(id, seq)
    }

    fn send_register(&mut self) -> Option<RetryOutput<T, R>> {
        if self.opening.is_none() {
            self.last_session += 1;
            let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
            self.opening = Some(Opening {
                session: self.last_session,
                nonce: u128::from(high) << 64 | u128::from(low),
                tries: Tries::new(),
            });
        }
        let opening = self.opening.as_ref().filter(|o| o.tries.flight.is_none())?;
        let (id, nonce) = (opening.session, opening.nonce);
        self.send(id, 0, Ask::Register { nonce })
    }

    fn send_request(&mut self, id: u64, seq: u64) -> Option<RetryOutput<T, R>> {
        let session = self.sessions.get(&id)?;
        let pending = session.pending.get(&seq)?;
        let command = Command {
            client: session.client,
            seq,
            ack_floor: session.floor(),
            payload: self.requests.get(&pending.token)?.payload.clone(),
        };
        self.send(id, seq, Ask::Propose(command))
    }

    fn send(&mut self, session: u64, seq: u64, ask: Ask) -> Option<RetryOutput<T, R>> {
        let flight = self.pace.take_off(self.now);
        let (to, timeout) = (flight.to.clone(), flight.timeout);
        let tries = self.tries_mut(session, seq)?;
        tries.count += 1;
        tries.flight = Some(flight);
        let n = tries.count;
        let attempt = AttemptId { session, seq, n };
        self.timeouts.insert((timeout, attempt));
        Some(RetryOutput::Send { attempt, to, ask })
    }

    fn next_wake(&self) -> Time {
        let first = |set: &BTreeSet<(Time, Token)>| set.first().map(|(at, _)| *at);
        let mut wake = first(&self.deadlines).unwrap_or(Time::MAX);
        if let Some((at, _)) = self.timeouts.first() {
            wake = wake.min(*at);
        }
        let resumes_at = self.pace.resumes_at();
        if self.now < resumes_at && self.wants_to_send() {
            wake = wake.min(resumes_at);
        }
        wake
    }

    fn wants_to_send(&self) -> bool {
        let window = self.config.window;
        let is_free = || match self.live.and_then(|id| self.sessions.get(&id)) {
            Some(session) => session.has_room(window),
            None => self
                .opening
                .as_ref()
                .is_none_or(|o| o.tries.flight.is_none()),
        };
        !self.unsent.is_empty() || !self.queue.is_empty() && is_free()
    }
}
