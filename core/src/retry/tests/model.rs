//! Clients of a small cluster that loses, delays and repeats, changes its leader and forgets sessions.
//! Knows nothing about how a replica decides: one log, and a leader that may be deposed at any time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::applier::Applier;
use crate::canonical;
use crate::command::{Chain, Entry, EntryKind};
use crate::session::Outcome;
use crate::snapshot::SnapshotPolicy;
use crate::state_machine::{FrozenState, StateMachine};
use crate::types::{Ballot, Epoch, NodeId};

const CLIENTS: usize = 3;
const NODES: u64 = 3;
const REQUESTS: u64 = 60;

/// Counts how often each command is executed.
#[derive(Clone, Default)]
struct Tally(BTreeMap<Bytes, u64>);

impl StateMachine for Tally {
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes {
        *self.0.entry(command.clone()).or_default() += 1;
        Bytes::from(slot.to_string())
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn digest(&self) -> u128 {
        0
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(self.clone())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        canonical::read_end(from)
    }
}

impl FrozenState for Tally {
    fn write_to(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// An attempt reaches a node.
    Asked {
        client: usize,
        attempt: AttemptId,
        node: u64,
        ask: Ask,
    },
    /// What a leader placed is decided.
    Decided {
        placed: u64,
    },
    Answered {
        client: usize,
        attempt: AttemptId,
        answer: Answer<u64, ()>,
    },
    Wake {
        client: usize,
    },
    Submit {
        client: usize,
        token: u64,
        patience: Option<Span>,
    },
    /// Another node leads.
    Deposed,
    /// Others open so many sessions that some are forgotten.
    Crowd,
}

struct Placed {
    term: u64,
    client: usize,
    attempt: AttemptId,
    ask: Ask,
}

struct World {
    rng: ChaCha8Rng,
    now: Time,
    events: BTreeMap<(Time, u64), Event>,
    last_event: u64,
    healed: bool,
    term: u64,
    leader: u64,
    placed: BTreeMap<u64, Placed>,
    applier: Applier<Tally>,
    clients: Vec<RetryClient<u64, ()>>,
    results: BTreeMap<u64, Completion<()>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let limits = SessionLimits {
            sessions_max: 6,
            ..SessionLimits::default()
        };
        let clients = (0..CLIENTS).map(|_| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let config = RetryConfig {
                window: 1 + u64::from(rng.next_u32() % 64),
                attempt_timeout: Span::from_millis(50),
                backoff_max: Span::from_millis(200),
                ..RetryConfig::default()
            };
            RetryClient::new(config, seed, (0..NODES).collect())
        });
        let clients = clients.collect();
        let mut world = Self {
            rng,
            now: Time::ZERO,
            events: BTreeMap::new(),
            last_event: 0,
            healed: false,
            term: 1,
            leader: 0,
            placed: BTreeMap::new(),
            applier: Applier::with_limits(Tally::default(), SnapshotPolicy::NEVER, limits),
            clients,
            results: BTreeMap::new(),
        };
        for token in 0..REQUESTS {
            let client = world.below(CLIENTS as u64) as usize;
            let patience = world
                .chance(30)
                .then(|| Span::from_millis(20 + world.below(400)));
            let at = world.below(2_000);
            world.at(
                Span::from_millis(at),
                Event::Submit {
                    client,
                    token,
                    patience,
                },
            );
        }
        for _ in 0..world.below(12) {
            let at = Span::from_millis(world.below(2_500));
            let event = if world.chance(60) {
                Event::Deposed
            } else {
                Event::Crowd
            };
            world.at(at, event);
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn at(&mut self, delay: Span, event: Event) {
        self.last_event += 1;
        self.events
            .insert((self.now + delay, self.last_event), event);
    }

    /// Something travels: late, and in the fault phase sometimes never.
    fn travel(&mut self, event: Event) {
        if !self.healed && self.chance(15) {
            return;
        }
        let slow = if !self.healed && self.chance(10) {
            150
        } else {
            4
        };
        let delay = Span::from_micros(100 + self.below(slow * 1_000));
        self.at(delay, event);
    }

    fn answer(&mut self, client: usize, attempt: AttemptId, answer: Answer<u64, ()>) {
        if !self.healed && self.chance(10) {
            let answer = answer.clone();
            self.travel(Event::Answered {
                client,
                attempt,
                answer,
            });
        }
        self.travel(Event::Answered {
            client,
            attempt,
            answer,
        });
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.healed = at > Time::ZERO + Span::from_millis(3_000);
            self.step(event);
            assert!(
                at < Time::ZERO + Span::from_millis(20_000),
                "does not come to rest"
            );
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Asked {
                client,
                attempt,
                node,
                ask,
            } => self.asked(client, attempt, node, ask),
            Event::Decided { placed } => self.decided(placed),
            Event::Answered {
                client,
                attempt,
                answer,
            } => {
                self.client(client, RetryInput::Answered { attempt, answer });
            }
            Event::Wake { client } => self.client(client, RetryInput::Wake),
            Event::Submit {
                client,
                token,
                patience,
            } => {
                let deadline = patience.map_or(Time::MAX, |patience| self.now + patience);
                let payload = Bytes::from(token.to_string());
                let token = Token::new(token);
                self.client(
                    client,
                    RetryInput::Submit {
                        token,
                        payload,
                        deadline,
                    },
                );
            }
            Event::Deposed => self.depose(),
            Event::Crowd => {
                for _ in 0..self.below(6) {
                    let nonce = self.rng.next_u64().into();
                    self.append(EntryKind::Register { nonce });
                }
            }
        }
    }

    fn client(&mut self, index: usize, input: RetryInput<u64, ()>) {
        let taken = self.clients[index].handle(self.now, input);
        taken.expect("every request has a token of its own");
        loop {
            match self.clients[index].poll_output() {
                RetryOutput::Send {
                    attempt,
                    to: node,
                    ask,
                } => {
                    let client = index;
                    self.travel(Event::Asked {
                        client,
                        attempt,
                        node,
                        ask,
                    });
                }
                RetryOutput::Completed { token, result } => {
                    let before = self.results.insert(token.get(), result);
                    assert_eq!(before, None, "{token:?} has two results");
                }
                RetryOutput::Wait(Time::MAX) => return,
                RetryOutput::Wait(until) => {
                    assert!(self.now < until, "a client that waits for the past");
                    self.at(until.since(self.now), Event::Wake { client: index });
                    return;
                }
            }
        }
    }

    fn asked(&mut self, client: usize, attempt: AttemptId, node: u64, ask: Ask) {
        if node != self.leader {
            let hint = match self.below(3) {
                0 if !self.healed => Some(self.below(NODES)),
                1 if !self.healed => None,
                _ => Some(self.leader),
            };
            return self.answer(client, attempt, Answer::NotLeader { hint });
        }
        if !self.healed && self.chance(10) {
            let retry_after = Span::from_millis(5);
            return self.answer(client, attempt, Answer::Overloaded { retry_after });
        }
        let term = self.term;
        let number = self.last_event;
        self.placed.insert(
            number,
            Placed {
                term,
                client,
                attempt,
                ask,
            },
        );
        let delay = Span::from_micros(100 + self.below(5_000));
        self.at(delay, Event::Decided { placed: number });
    }

    fn depose(&mut self) {
        self.term += 1;
        self.leader = self.below(NODES);
        let waiting: Vec<_> = self
            .placed
            .values()
            .map(|p| (p.client, p.attempt))
            .collect();
        for (client, attempt) in waiting {
            self.answer(client, attempt, Answer::Unknown);
        }
        // The new leader finds some of it in its log, and some not.
        let numbers: Vec<u64> = self.placed.keys().copied().collect();
        for number in numbers {
            if self.chance(50) {
                self.placed.remove(&number);
            }
        }
    }

    fn decided(&mut self, number: u64) {
        let Some(Placed {
            term,
            client,
            attempt,
            ask,
        }) = self.placed.remove(&number)
        else {
            return;
        };
        let outcome = self.append(match ask {
            Ask::Register { nonce } => EntryKind::Register { nonce },
            Ask::Propose(command) => EntryKind::Command(command),
        });
        if term != self.term {
            return;
        }
        let answer = match outcome {
            Outcome::Executed { slot, reply } => Answer::Executed { slot, reply },
            Outcome::Registered { client } => Answer::Registered { client },
            Outcome::SessionExpired => Answer::SessionExpired,
            outcome @ (Outcome::StaleSeq | Outcome::BeyondWindow | Outcome::Reused) => {
                // Late attempts of what is complete; a client never breaks the rules.
                assert_eq!(outcome, Outcome::StaleSeq);
                Answer::StaleSeq
            }
        };
        self.answer(client, attempt, answer);
    }

    fn append(&mut self, kind: EntryKind) -> Outcome {
        let origin = Ballot::new(Epoch::FIRST, self.term, NodeId::new(self.leader + 1));
        let chain: Chain = self.applier.chain();
        let entry = Entry::new(chain, self.applier.applied().next(), origin, kind);
        self.applier.apply(&entry).outcome
    }

    fn judge(&self) {
        for token in 0..REQUESTS {
            let payload = Bytes::from(token.to_string());
            let executed = self.applier.machine().0.get(&payload).copied().unwrap_or(0);
            let result = self.results.get(&token);
            let result = result.unwrap_or_else(|| panic!("request {token} has no result"));
            match result {
                Completion::Executed { slot, reply } => {
                    assert_eq!(executed, 1, "request {token}: {result:?}");
                    assert_eq!(reply[..], *slot.to_string().as_bytes());
                }
                Completion::Unknown => assert!(executed <= 1, "request {token}"),
                Completion::TimedOut => assert_eq!(executed, 0, "request {token}"),
                Completion::Rejected(()) => panic!("nobody rejects"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn each_request_completes_and_is_executed_at_most_once(seed in any::<u64>()) {
        let mut world = World::new(seed);
        world.run();
        world.judge();
        prop_assert!(world.clients.iter().all(|client| client.pending() == 0));
    }
}

/// The worlds above are not so kind that everything goes well in them.
#[test]
fn the_model_makes_trouble() {
    let (mut executed, mut unknown, mut timed_out, mut sessions) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed);
        world.run();
        world.judge();
        sessions += world
            .clients
            .iter()
            .map(RetryClient::sessions_opened)
            .sum::<u64>();
        for result in world.results.values() {
            match result {
                Completion::Executed { .. } => executed += 1,
                Completion::Unknown => unknown += 1,
                Completion::TimedOut => timed_out += 1,
                Completion::Rejected(()) => {}
            }
        }
    }
    let counts = (executed, unknown, timed_out, sessions);
    assert!(
        executed > 2_500 && unknown > 40 && timed_out > 20,
        "{counts:?}"
    );
    assert!(sessions > 300, "{counts:?}");
}
