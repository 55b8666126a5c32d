//! The task behind a client: hands commands to automata, what these want sent to streams, and
//! results to callers. Knows nothing about what is tried when: that is the automata's.
//!
//! A session takes at most [`SessionLimits::WINDOW`] commands at a time. When that is not enough,
//! the driver opens another session instead of letting callers wait: how much is under way decides
//! how much a cluster does at a time, since it decides in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::retry::{Ask, Completion, RetryClient, RetryConfig, RetryOutput};
use chil_core::{Command, SessionLimits, Span, Time, Token};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::lane::{Attempt, Automaton, Lane, Tag};
use super::links::{Address, Event, Links};
use super::plain::{Plain, PlainOutput};
use super::targets::Targets;
use super::{ClientError, ClientOptions, PENDING_MAX};
use crate::clock::random_u64;
use crate::handle::Executed;

/// Sessions of one client at a time: enough for all commands that may be under way.
const SESSIONS_MAX: usize = PENDING_MAX / SessionLimits::WINDOW as usize;
/// Short against the time that an election takes: who waits longer finds the new leader late.
const BACKOFF_MIN: Span = Span::from_millis(5);
const BACKOFF_MAX: Span = Span::from_millis(100);
/// Events and jobs that are taken in before what they lead to is sent.
const BATCH: usize = 64;

/// What a caller wants.
#[derive(Debug)]
pub(super) enum Job {
    Submit(Submit),
    /// Nobody waits for it any more.
    GiveUp(Token),
}

#[derive(Debug)]
pub(super) struct Submit {
    pub(super) token: Token,
    pub(super) payload: Bytes,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Executed, ClientError>>,
    /// Room among all that is under way.
    pub(super) room: OwnedSemaphorePermit,
}

/// A command under way.
#[derive(Debug)]
struct Request {
    lane: usize,
    reply: oneshot::Sender<Result<Executed, ClientError>>,
    /// Of use only where an unknown outcome is tried again.
    payload: Option<Bytes>,
    deadline: Time,
    doubted: bool,
    _room: OwnedSemaphorePermit,
}

enum Step {
    Event(Event),
    Woken,
    Job(Job),
}

/// The task.
#[derive(Debug)]
pub(super) struct Driver {
    jobs: mpsc::UnboundedReceiver<Job>,
    targets: Arc<Targets>,
    options: ClientOptions,
    lanes: Vec<Lane>,
    links: Links<Tag>,
    requests: BTreeMap<Token, Request>,
    began: Instant,
}

impl Driver {
    pub(super) fn new(
        jobs: mpsc::UnboundedReceiver<Job>,
        targets: Arc<Targets>,
        options: ClientOptions,
    ) -> Self {
        // Shorter than an attempt: what could not be sent in time was surely not executed.
        let opening_max = options.attempt_timeout / 4 * 3;
        Self {
            jobs,
            links: Links::new(Arc::clone(&targets), opening_max),
            targets,
            options,
            lanes: Vec::new(),
            requests: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    /// Runs until every clone of the client is dropped.
    pub(super) async fn run(mut self) {
        let mut armed = Time::MAX;
        let timer = sleep_until(self.instant(armed));
        tokio::pin!(timer);
        loop {
            let due = self.lanes.iter().map(|lane| lane.wake).min();
            let due = due.unwrap_or(Time::MAX);
            // Only to an earlier instant, or after it went off: nearly always it need not move.
            if due < armed {
                armed = due;
                timer.as_mut().reset(self.instant(armed));
            }
            let step = tokio::select! {
                biased;
                event = self.links.event() => Step::Event(event),
                () = timer.as_mut(), if armed < Time::MAX => Step::Woken,
                job = self.jobs.recv() => match job {
                    Some(job) => Step::Job(job),
                    // Nobody is left who could wait for an answer.
                    None => return,
                },
            };
            match step {
                Step::Event(event) => {
                    self.links.take(event);
                    for _ in 1..BATCH {
                        let Some(event) = self.links.ready_event() else {
                            break;
                        };
                        self.links.take(event);
                    }
                }
                Step::Woken => {
                    armed = Time::MAX;
                    self.wake();
                }
                Step::Job(job) => {
                    self.job(job);
                    for _ in 1..BATCH {
                        let Ok(job) = self.jobs.try_recv() else {
                            break;
                        };
                        self.job(job);
                    }
                }
            }
            self.settle();
        }
    }

    fn job(&mut self, job: Job) {
        match job {
            Job::Submit(submit) => {
                let lane = self.lane();
                let deadline = self.time(submit.deadline);
                let request = Request {
                    lane,
                    reply: submit.reply,
                    payload: self.options.retry_unknown.then(|| submit.payload.clone()),
                    deadline,
                    doubted: false,
                    _room: submit.room,
                };
                self.requests.insert(submit.token, request);
                self.submit(lane, submit.token, submit.payload, deadline);
            }
            Job::GiveUp(token) => self.give_up(&BTreeSet::from([token])),
        }
    }

    /// Nobody waits for these any more. What still waits for its stream is taken back, so that it
    /// is known that it was not sent; of the rest the automata know what to think.
    fn give_up(&mut self, tokens: &BTreeSet<Token>) {
        let now = self.now();
        let mut named = BTreeMap::new();
        for token in tokens {
            let Some(request) = self.requests.get(token) else {
                continue;
            };
            let Some(lane) = self.lanes.get_mut(request.lane) else {
                continue;
            };
            let attempt = lane.automaton.attempt_of(*token);
            if let Some(attempt) = attempt {
                let lane = request.lane;
                named.insert(Tag { lane, attempt }, *token);
            }
        }
        let taken = self.links.take_back(|tag| named.contains_key(tag));
        let taken: BTreeSet<Token> = taken.iter().filter_map(|t| named.get(t).copied()).collect();
        for token in tokens {
            let lane = self.requests.get(token).map(|request| request.lane);
            let Some(lane) = lane.and_then(|lane| self.lanes.get_mut(lane)) else {
                continue;
            };
            let is_taken = taken.contains(token);
            lane.automaton.give_up(now, *token, is_taken);
            lane.told = true;
        }
    }

    fn submit(&mut self, lane: usize, token: Token, payload: Bytes, deadline: Time) {
        let now = self.now();
        self.give_up_late(now);
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        lane.automaton.submit(now, token, payload, deadline);
        lane.told = true;
    }

    /// Whom the next command goes to.
    fn lane(&mut self) -> usize {
        let window = SessionLimits::WINDOW as usize;
        let mut least = (usize::MAX, 0);
        for (at, lane) in self.lanes.iter().enumerate() {
            let Automaton::Session(session) = &lane.automaton else {
                return at;
            };
            let pending = session.pending();
            // The first with room: sessions that are not needed any more get nothing to do.
            if pending < window {
                return at;
            }
            least = least.min((pending, at));
        }
        if self.lanes.len() >= SESSIONS_MAX {
            return least.1;
        }
        let automaton = self.automaton();
        self.lanes.push(Lane {
            automaton,
            wake: Time::MAX,
            told: false,
        });
        self.lanes.len() - 1
    }

    fn automaton(&self) -> Automaton {
        let attempt_timeout = self.options.attempt_timeout.as_nanos();
        let config = RetryConfig {
            backoff_min: BACKOFF_MIN,
            backoff_max: BACKOFF_MAX,
            attempt_timeout: Span::from_nanos(u64::try_from(attempt_timeout).unwrap_or(u64::MAX)),
            ..RetryConfig::default()
        };
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&random_u64().to_be_bytes());
        }
        let addresses = self.targets.addresses().iter();
        let addresses: Vec<Address> = addresses.map(|address| address.as_str().into()).collect();
        if self.options.exactly_once {
            let session = RetryClient::new(config, seed, addresses);
            Automaton::Session(Box::new(session))
        } else {
            let retry_unknown = self.options.retry_unknown;
            Automaton::Plain(Box::new(Plain::new(config, seed, addresses, retry_unknown)))
        }
    }

    /// Whatever an automaton is told tells it the time as well. Before it gives up by itself what is
    /// late, that is taken back where it still waits for its stream.
    fn give_up_late(&mut self, now: Time) {
        if !self.links.is_opening() {
            return;
        }
        let late = self.requests.iter().filter(|(_, r)| r.deadline <= now);
        let late: BTreeSet<Token> = late.map(|(token, _)| *token).collect();
        if !late.is_empty() {
            self.give_up(&late);
        }
    }

    fn wake(&mut self) {
        let now = self.now();
        self.give_up_late(now);
        for lane in self.lanes.iter_mut().filter(|lane| lane.wake <= now) {
            lane.automaton.wake(now);
            lane.told = true;
        }
    }

    /// Hands in what became of attempts, and does what follows, until nothing more does.
    fn settle(&mut self) {
        loop {
            self.hand_in();
            let told = self.lanes.iter().position(|lane| lane.told);
            let Some(at) = told else {
                return;
            };
            self.poll(at);
        }
    }

    fn hand_in(&mut self) {
        let now = self.now();
        self.give_up_late(now);
        for (tag, result) in self.links.settled() {
            let Some(lane) = self.lanes.get_mut(tag.lane) else {
                continue;
            };
            lane.automaton.answered(now, tag.attempt, result);
            lane.told = true;
        }
    }

    /// Does what the automaton wants done.
    fn poll(&mut self, at: usize) {
        let mut again = Vec::new();
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        lane.told = false;
        lane.wake = loop {
            let (token, completion) = match &mut lane.automaton {
                Automaton::Session(session) => match session.poll_output() {
                    RetryOutput::Send { attempt, to, ask } => {
                        let attempt = Attempt::Session(attempt);
                        self.links.send(Tag { lane: at, attempt }, &to, ask);
                        continue;
                    }
                    RetryOutput::Completed { token, result } => (token, result),
                    RetryOutput::Wait(until) => break until,
                },
                Automaton::Plain(plain) => match plain.poll_output() {
                    PlainOutput::Send { token, to, payload } => {
                        let attempt = Attempt::Plain(token);
                        let ask = Ask::Propose(Command::sessionless(payload));
                        self.links.send(Tag { lane: at, attempt }, &to, ask);
                        continue;
                    }
                    PlainOutput::Completed { token, result } => (token, result),
                    PlainOutput::Wait(until) => break until,
                },
            };
            if let Some(request) = self.requests.remove(&token) {
                let now = time(self.began, Instant::now());
                match finish(&self.targets, request, completion, now) {
                    None => {}
                    Some((request, payload)) => again.push((token, request, payload)),
                }
            }
        };
        for (token, mut request, payload) in again {
            request.lane = self.lane();
            let (lane, deadline) = (request.lane, request.deadline);
            self.requests.insert(token, request);
            self.submit(lane, token, payload, deadline);
        }
    }

    fn now(&self) -> Time {
        self.time(Instant::now())
    }

    fn time(&self, at: Instant) -> Time {
        time(self.began, at)
    }

    fn instant(&self, at: Time) -> Instant {
        let span = Duration::from_nanos(at.nanos()).min(super::TIMEOUT_MAX);
        self.began + span
    }
}

/// Tells the caller how it ended; gives back what is to be tried again instead.
fn finish(
    targets: &Targets,
    mut request: Request,
    completion: Completion<ClientError>,
    now: Time,
) -> Option<(Request, Bytes)> {
    let unknown = |reason: String| Err(ClientError::Unknown { reason });
    let result = match completion {
        Completion::Executed { slot, reply } => Ok(Executed { slot, reply }),
        // What the first attempts came to is not known any more, whatever is said of the last.
        Completion::Rejected(error) if request.doubted => unknown(error.to_string()),
        Completion::Rejected(error) => Err(error),
        Completion::TimedOut if request.doubted => unknown(targets.last_failure()),
        Completion::TimedOut => Err(ClientError::Unavailable {
            reason: targets.last_failure(),
        }),
        Completion::Unknown => {
            let wanted = now < request.deadline && !request.reply.is_closed();
            if wanted && let Some(payload) = request.payload.clone() {
                request.doubted = true;
                return Some((request, payload));
            }
            unknown(targets.last_failure())
        }
    };
    // Whoever has stopped waiting does not want to know.
    drop(request.reply.send(result));
    None
}

fn time(began: Instant, at: Instant) -> Time {
    let span = at.saturating_duration_since(began);
    Time::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
