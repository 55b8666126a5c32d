//! Clients with sessions: the automaton of `chil_core::retry`, its attempts, and what they end in.
//! Knows nothing about how a request is decided; messages to and from nodes may be lost.

use chil_core::retry::{
    Answer, Ask, AttemptId, Completion, RetryClient, RetryConfig, RetryInput, RetryOutput,
};
use chil_core::{Input, Outcome, Refusal, Span, Time, Token};

use crate::check::{Verdict, on};
use crate::dice::Dice;
use crate::plan::Plan;
use crate::trace::Mark;
use crate::workload::{State, node_of};
use crate::world::{Event, World};

/// Tokens of attempts begin here; those below are operations.
const ATTEMPTS: u64 = 1 << 40;

/// A client with a session.
#[derive(Debug)]
pub(crate) struct Caller {
    automaton: RetryClient<usize, Refusal>,
    /// When it is woken next.
    wakes_at: u64,
}

/// One attempt of a client, given to a node or on its way.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) client: usize,
    id: AttemptId,
    pub(crate) node: usize,
    pub(crate) ask: Ask,
    /// The operation that it is of, where that is to be told.
    pub(crate) operation: Option<usize>,
}

/// Who waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// An operation of a client without a session.
    Operation(usize),
    /// An attempt of one that has a session.
    Attempt(usize),
}

impl Waiter {
    pub(crate) fn of(token: Token) -> Self {
        let index = |number: u64| usize::try_from(number).expect("tokens are indices");
        match token.get().checked_sub(ATTEMPTS) {
            Some(attempt) => Self::Attempt(index(attempt)),
            None => Self::Operation(index(token.get())),
        }
    }
}

/// The clients with sessions of a plan.
pub(crate) fn callers(plan: &Plan, dice: &mut Dice) -> Vec<Caller> {
    let round = plan.cluster.heartbeat_us;
    let config = RetryConfig {
        backoff_min: Span::from_micros(round / 8),
        backoff_max: Span::from_micros(round * 2),
        attempt_timeout: Span::from_micros(round * 3),
        window: (plan.workload.window as u64).clamp(1, 64),
    };
    let count = plan.workload.sessions.min(plan.workload.clients);
    (0..count)
        .map(|_| {
            let mut seed = [0; 32];
            for part in seed.chunks_exact_mut(8) {
                part.copy_from_slice(&dice.word().to_le_bytes());
            }
            Caller {
                automaton: RetryClient::new(config, seed, (0..plan.nodes()).collect()),
                wakes_at: u64::MAX,
            }
        })
        .collect()
}

impl World {
    /// A client with a session wants its operation executed.
    pub(crate) fn submit(&mut self, operation: usize) -> Verdict {
        let op = &mut self.clients.operations[operation];
        op.state = State::Given;
        let payload = op.payload();
        let waits = self.clients.timeout();
        let op = &self.clients.operations[operation];
        let deadline = if self.healing {
            // Now that all is well, clients wait for their answers: they must get them.
            Time::MAX
        } else {
            Time::from_nanos(self.now + waits)
        };
        let client = op.client;
        self.judge.wants(operation as u64, &payload);
        let input = RetryInput::Submit {
            token: Token::new(operation as u64),
            payload,
            deadline,
        };
        self.call(client, input)
    }

    /// Hands something to a client's automaton and does what it wants done.
    fn call(&mut self, client: usize, input: RetryInput<usize, Refusal>) -> Verdict {
        let now = Time::from_nanos(self.now);
        let taken = self.callers[client].automaton.handle(now, input);
        taken.expect("operations are numbered, and each is submitted once");
        loop {
            match self.callers[client].automaton.poll_output() {
                RetryOutput::Send { attempt, to, ask } => self.attempt(client, attempt, to, ask),
                RetryOutput::Completed { token, result } => {
                    let Waiter::Operation(operation) = Waiter::of(token) else {
                        continue;
                    };
                    self.completed(operation, result)?;
                }
                RetryOutput::Wait(until) => {
                    let at = until.nanos();
                    let caller = &mut self.callers[client];
                    if at < caller.wakes_at {
                        caller.wakes_at = at;
                        self.schedule(at, Event::Call { client });
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The time comes that a client's automaton waits for.
    pub(crate) fn wake_caller(&mut self, client: usize) -> Verdict {
        if self.callers[client].wakes_at > self.now {
            return Ok(());
        }
        self.callers[client].wakes_at = u64::MAX;
        self.call(client, RetryInput::Wake)
    }

    /// Clients with sessions wait no longer.
    pub(crate) fn hang_up(&mut self) -> Verdict {
        for operation in 0..self.clients.operations.len() {
            let op = &self.clients.operations[operation];
            if op.state == State::Given && self.has_session(operation) {
                let token = Token::new(operation as u64);
                self.call(op.client, RetryInput::GiveUp { token })?;
            }
        }
        Ok(())
    }

    fn attempt(&mut self, client: usize, id: AttemptId, node: usize, ask: Ask) {
        self.stats.attempts += 1;
        let number = self.attempts.len();
        let is_told = self.trace.is_told();
        self.attempts.push(Attempt {
            client,
            id,
            node,
            ask,
            operation: is_told.then(|| self.operation_of(client, id)).flatten(),
        });
        // A request that is lost on its way is as good as one whose answer is lost.
        let at = self.now + self.clients.travel(client);
        self.schedule(at, Event::Attempt { number });
    }

    /// The operation that a client has just begun an attempt of. Later nobody knows: requests may
    /// ask for the same, and sessions go on.
    fn operation_of(&self, client: usize, id: AttemptId) -> Option<usize> {
        let automaton = &self.callers[client].automaton;
        let operations = self.clients.operations.iter().enumerate();
        let mut own = operations.filter(|(_, op)| op.client == client);
        let own = own.rfind(|(n, _)| automaton.attempt_of(Token::new(*n as u64)) == Some(id));
        own.map(|(operation, _)| operation)
    }

    /// An attempt reaches its node.
    pub(crate) fn attempt_arrives(&mut self, number: usize) -> Verdict {
        let Attempt { node, ask, .. } = self.attempts[number].clone();
        if self.nodes[node].replica.is_none() || self.is_left(node) {
            self.reply(number, Answer::Unavailable);
            return Ok(());
        }
        self.stats.events += 1;
        let numbers = [ATTEMPTS + number as u64, 0, 0, 0];
        self.trace.mix(Mark::Propose, self.now, node, numbers);
        self.tell_attempt(number);
        let token = Token::new(ATTEMPTS + number as u64);
        let bytes = match &ask {
            Ask::Register { .. } => 0,
            Ask::Propose(command) => command.payload.len(),
        };
        let client = self.attempts[number].client;
        if let Some(retry_after) = self.knocks(node, client, token.get(), bytes)? {
            self.reply(number, Answer::Overloaded { retry_after });
            return Ok(());
        }
        let input = match ask {
            Ask::Register { nonce } => Input::Register { token, nonce },
            Ask::Propose(command) => Input::Propose { token, command },
        };
        self.give(node, input)
    }

    /// An answer to an attempt travels back to its client, and may be lost, or come twice.
    fn reply(&mut self, number: usize, answer: Answer<usize, Refusal>) {
        self.leaves(ATTEMPTS + number as u64);
        let client = self.attempts[number].client;
        for _ in 0..self.clients.copies(client, self.healing) {
            let at = self.now + self.clients.travel(client);
            let answer = answer.clone();
            self.schedule(at, Event::Answered { number, answer });
        }
    }

    /// An answer reaches its client.
    pub(crate) fn attempt_answered(
        &mut self,
        number: usize,
        answer: Answer<usize, Refusal>,
    ) -> Verdict {
        let (client, attempt) = (self.attempts[number].client, self.attempts[number].id);
        self.stats.events += 1;
        self.call(client, RetryInput::Answered { attempt, answer })
    }

    /// A node does not take an attempt.
    pub(crate) fn attempt_refused(&mut self, number: usize, reason: Refusal) {
        let answer = match reason {
            Refusal::NotLeader { hint } => Answer::NotLeader {
                hint: node_of(&self.ids, hint),
            },
            Refusal::Overloaded => Answer::Overloaded {
                retry_after: Span::from_micros(self.plan.cluster.heartbeat_us / 4),
            },
            Refusal::TooLarge { .. } => Answer::Rejected(reason),
        };
        self.reply(number, answer);
    }

    /// Nobody knows what became of an attempt.
    pub(crate) fn attempt_unknown(&mut self, number: usize) {
        self.reply(number, Answer::Unknown);
    }

    /// The slot of an attempt is executed: with it, or, if `outcome` is none, with something else.
    pub(crate) fn attempt_executed(&mut self, number: usize, outcome: Option<&Outcome>) {
        let answer = match outcome {
            None => Answer::Unavailable,
            Some(Outcome::Executed { slot, reply }) => Answer::Executed {
                slot: *slot,
                reply: reply.clone(),
            },
            Some(Outcome::Registered { client }) => Answer::Registered { client: *client },
            Some(Outcome::SessionExpired) => {
                self.stats.expired += 1;
                Answer::SessionExpired
            }
            Some(Outcome::StaleSeq) => Answer::StaleSeq,
            // The automaton keeps to the window and to one payload a number.
            Some(Outcome::BeyondWindow | Outcome::Reused) => Answer::Unknown,
        };
        self.reply(number, answer);
    }

    /// A request has its result.
    fn completed(&mut self, operation: usize, result: Completion<Refusal>) -> Verdict {
        let op = &self.clients.operations[operation];
        let (client, node, payload) = (op.client, op.node, op.payload());
        let kind = match &result {
            Completion::Executed { slot, reply } => {
                let found = self.judge.told(&payload, *slot, reply);
                on("exactly_once", node, found)?;
                self.judge.told_done(node, *slot)?;
                self.clients.sees(client, *slot);
                self.stats.writes += 1;
                1
            }
            Completion::Rejected(_) | Completion::TimedOut => {
                self.judge.denies(node, operation as u64, &payload)?;
                2
            }
            Completion::Unknown => 3,
        };
        let numbers = [operation as u64, kind, 0, 0];
        self.trace.mix(Mark::Outcome, self.now, node, numbers);
        match result {
            Completion::Executed { slot, reply } => {
                self.ends(operation, State::Done, Some(slot), Some(&reply));
                self.finish(operation, State::Done);
            }
            Completion::Unknown => self.unknown(operation),
            Completion::Rejected(_) | Completion::TimedOut => {
                self.ends(operation, State::Dropped, None, None);
                self.finish(operation, State::Dropped);
            }
        }
        Ok(())
    }
}
