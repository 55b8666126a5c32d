//! One test for each thing that an answer can mean; the cluster that answers badly is in `model`.

mod model;

use super::*;

type Client = RetryClient<u8, &'static str>;
type Output = RetryOutput<u8, &'static str>;

const MS: Span = Span::from_millis(1);

/// A client of nodes 0, 1 and 2, with what it asked for and has not been answered.
struct Rig {
    client: Client,
    now: Time,
    sent: Vec<(AttemptId, u8, Ask)>,
    done: Vec<(u64, Completion<&'static str>)>,
    wait: Time,
}

impl Rig {
    fn new() -> Self {
        Self {
            client: Client::new(RetryConfig::default(), [7; 32], vec![0, 1, 2]),
            now: Time::ZERO,
            sent: Vec::new(),
            done: Vec::new(),
            wait: Time::ZERO,
        }
    }

    /// With a session open, and node 1 known to lead.
    fn open() -> Self {
        let mut rig = Self::new();
        rig.submit(0);
        let (register, ..) = rig.take();
        rig.answer(register, not_leader(Some(1)));
        let (register, to, _) = rig.take();
        assert_eq!(to, 1);
        rig.answer(register, registered(100));
        let (first, to, ask) = rig.take();
        assert_eq!((to, number(&ask)), (1, (100, 1, 0)));
        rig.answer(first, executed(101));
        assert_eq!(rig.done.pop(), Some((0, done(101))));
        rig
    }

    fn handle(&mut self, input: RetryInput<u8, &'static str>) {
        let taken = self.client.handle(self.now, input);
        taken.expect("tests use a token once at a time");
        self.drain();
    }

    fn drain(&mut self) {
        self.wait = loop {
            match self.client.poll_output() {
                Output::Send { attempt, to, ask } => self.sent.push((attempt, to, ask)),
                Output::Completed { token, result } => self.done.push((token.get(), result)),
                Output::Wait(until) => break until,
            }
        };
    }

    fn submit(&mut self, token: u64) {
        self.submit_until(token, Time::MAX);
    }

    fn submit_all(&mut self, tokens: &[u64]) {
        tokens.iter().for_each(|token| self.submit(*token));
    }

    fn submit_until(&mut self, token: u64, deadline: Time) {
        self.handle(RetryInput::Submit {
            token: Token::new(token),
            payload: Bytes::from(token.to_string()),
            deadline,
        });
    }

    fn answer(&mut self, attempt: AttemptId, answer: Answer<u8, &'static str>) {
        self.handle(RetryInput::Answered { attempt, answer });
    }

    /// The only attempt that waits for an answer.
    fn take(&mut self) -> (AttemptId, u8, Ask) {
        assert_eq!(self.sent.len(), 1, "{:?}", self.sent);
        self.sent.remove(0)
    }

    fn pass(&mut self, span: Span) {
        self.now += span;
        self.handle(RetryInput::Wake);
    }

    /// Goes to the instant that the client waits for.
    fn wake(&mut self) {
        assert!(
            self.now < self.wait && self.wait < Time::MAX,
            "{}",
            self.wait
        );
        self.now = self.wait;
        self.handle(RetryInput::Wake);
    }
}

fn number(ask: &Ask) -> (u64, u64, u64) {
    match ask {
        Ask::Propose(c) => (c.client.get(), c.seq, c.ack_floor),
        Ask::Register { .. } => panic!("asks for a session"),
    }
}

fn nonce(ask: &Ask) -> u128 {
    match ask {
        Ask::Register { nonce } => *nonce,
        Ask::Propose(command) => panic!("proposes {command:?}"),
    }
}

fn not_leader(hint: Option<u8>) -> Answer<u8, &'static str> {
    Answer::NotLeader { hint }
}

fn registered(client: u64) -> Answer<u8, &'static str> {
    let client = ClientId::new(client);
    Answer::Registered { client }
}

fn executed(slot: u64) -> Answer<u8, &'static str> {
    Answer::Executed {
        slot: Slot::new(slot),
        reply: Bytes::new(),
    }
}

fn done(slot: u64) -> Completion<&'static str> {
    Completion::Executed {
        slot: Slot::new(slot),
        reply: Bytes::new(),
    }
}

#[test]
fn a_session_is_opened_when_the_first_request_comes_and_with_one_nonce() {
    let mut rig = Rig::new();
    rig.pass(MS);
    assert!(rig.sent.is_empty());
    assert_eq!(rig.wait, Time::MAX);
    rig.submit(1);
    let (first, to, ask) = rig.take();
    rig.answer(first, Answer::Unknown);
    assert!(rig.sent.is_empty(), "there is a pause first");
    rig.wake();
    let (second, other, again) = rig.take();
    assert_eq!(nonce(&ask), nonce(&again));
    assert_ne!(to, other);
    // The first attempt's answer will do as well, and the second one's is not needed then.
    rig.answer(first, registered(5));
    rig.answer(second, registered(5));
    let (.., ask) = rig.take();
    assert_eq!(number(&ask), (5, 1, 0));
}

#[test]
fn a_number_stays_with_its_request_wherever_it_is_sent() {
    let mut rig = Rig::open();
    rig.submit(1);
    let (attempt, to, ask) = rig.take();
    assert_eq!((to, number(&ask)), (1, (100, 2, 1)));
    rig.answer(attempt, Answer::Unknown);
    rig.wake();
    let (attempt, to, ask) = rig.take();
    assert_ne!(to, 1, "what broke is not asked again at once");
    assert_eq!(number(&ask), (100, 2, 1));
    rig.answer(attempt, not_leader(Some(2)));
    let (attempt, to, ask) = rig.take();
    assert_eq!((to, number(&ask)), (2, (100, 2, 1)));
    rig.answer(attempt, executed(7));
    assert_eq!(rig.done, [(1, done(7))]);
}

#[test]
fn the_floor_rises_over_what_is_complete_without_gaps() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2, 3]);
    let attempts = std::mem::take(&mut rig.sent);
    rig.answer(attempts[1].0, executed(8));
    rig.submit(4);
    let (.., ask) = rig.take();
    assert_eq!(number(&ask), (100, 5, 1));
    rig.answer(attempts[0].0, executed(7));
    rig.submit(5);
    let (.., ask) = rig.take();
    assert_eq!(number(&ask), (100, 6, 3));
    let finished: Vec<u64> = rig.done.iter().map(|(token, _)| *token).collect();
    assert_eq!(finished, [2, 1]);
}

#[test]
fn the_window_holds_requests_back() {
    let mut rig = Rig::open();
    for token in 1..=70 {
        rig.submit(token);
    }
    let attempts = std::mem::take(&mut rig.sent);
    assert_eq!(attempts.len(), 64);
    rig.answer(attempts[63].0, executed(8));
    assert!(rig.sent.is_empty(), "the first is still out");
    rig.answer(attempts[0].0, executed(7));
    let (.., ask) = rig.take();
    assert_eq!(number(&ask), (100, 66, 2));
}

#[test]
fn an_attempt_that_is_not_answered_is_repeated_and_a_late_answer_counts() {
    let mut rig = Rig::open();
    rig.submit(1);
    let (first, ..) = rig.take();
    rig.pass(RetryConfig::default().attempt_timeout);
    rig.wake();
    let (second, _, ask) = rig.take();
    assert_eq!(number(&ask), (100, 2, 1));
    rig.answer(first, executed(7));
    assert_eq!(rig.done, [(1, done(7))]);
    // Whatever else comes is not news.
    rig.answer(second, executed(7));
    rig.answer(second, Answer::SessionExpired);
    rig.answer(first, Answer::Unknown);
    assert_eq!(rig.done.len(), 1);
    assert_eq!(rig.wait, Time::MAX);
}

#[test]
fn failures_pause_ever_longer_and_with_one_attempt_a_time() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2, 3]);
    for (attempt, ..) in std::mem::take(&mut rig.sent) {
        rig.answer(attempt, Answer::Unavailable);
    }
    let mut pauses = Vec::new();
    for _ in 0..10 {
        pauses.push(rig.wait.since(rig.now));
        rig.wake();
        let (attempt, ..) = rig.take();
        rig.answer(attempt, not_leader(None));
    }
    let config = RetryConfig::default();
    assert!(config.backoff_min.divided(2) <= pauses[0] && pauses[0] <= config.backoff_min);
    assert!(pauses[3] > pauses[0].times(2), "{pauses:?}");
    let half = config.backoff_max.divided(2);
    assert!(
        half <= pauses[9] && pauses[9] <= config.backoff_max,
        "{pauses:?}"
    );
    // The first success lets all others go at once.
    rig.wake();
    let (attempt, ..) = rig.take();
    rig.answer(attempt, executed(9));
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn hints_are_followed_at_once_but_not_in_circles() {
    let mut rig = Rig::open();
    rig.submit(1);
    let mut hops = 0;
    while let Some((attempt, to, _)) = rig.sent.pop() {
        rig.answer(attempt, not_leader(Some((to + 1) % 3)));
        hops += 1;
    }
    assert_eq!(hops, 4);
    assert!(rig.now < rig.wait);
    rig.wake();
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn who_is_overloaded_is_left_alone_for_as_long_as_it_says() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2]);
    let attempts = std::mem::take(&mut rig.sent);
    let retry_after = Span::from_millis(300);
    rig.answer(attempts[0].0, Answer::Overloaded { retry_after });
    rig.answer(attempts[1].0, executed(7));
    assert_eq!(rig.wait, rig.now + retry_after);
    rig.wake();
    let (_, to, ask) = rig.take();
    assert_eq!((to, number(&ask)), (1, (100, 2, 1)));
}

#[test]
fn in_time_nobody_took_it_or_nobody_knows() {
    let mut rig = Rig::open();
    let deadline = rig.now + Span::from_millis(500);
    for token in 1..=3 {
        rig.submit_until(token, deadline);
    }
    let attempts = std::mem::take(&mut rig.sent);
    rig.answer(attempts[0].0, not_leader(None));
    rig.answer(attempts[1].0, Answer::Unknown);
    rig.pass(Span::from_millis(500));
    rig.done.sort_by_key(|(token, _)| *token);
    assert_eq!(
        rig.done,
        [
            (1, Completion::TimedOut),
            (2, Completion::Unknown),
            // Its attempt may still arrive.
            (3, Completion::Unknown),
        ]
    );
    // What is unknown stays so: the session takes nothing more.
    rig.submit(4);
    rig.pass(Span::from_millis(1_000));
    assert!(
        rig.sent
            .iter()
            .any(|(.., ask)| matches!(ask, Ask::Register { .. }))
    );
    assert!(
        rig.sent
            .iter()
            .all(|(.., ask)| matches!(ask, Ask::Register { .. }))
    );
}

#[test]
fn a_request_that_nobody_waits_for_ends() {
    let mut rig = Rig::new();
    rig.submit_all(&[1, 2]);
    let (register, ..) = rig.take();
    for token in [1, 2, 3] {
        let token = Token::new(token);
        rig.handle(RetryInput::GiveUp { token });
    }
    let timed_out = |token| (token, Completion::TimedOut);
    assert_eq!(rig.done, [timed_out(1), timed_out(2)]);
    // Nobody needs the session now, but it is there for whoever comes.
    rig.answer(register, registered(5));
    assert!(rig.sent.is_empty());
    rig.submit(4);
    let (.., ask) = rig.take();
    assert_eq!(number(&ask), (5, 1, 0));
}

/// What the driver took back before it was sent is not in doubt, and costs no session; what an
/// earlier attempt may have done stays in doubt.
#[test]
fn a_request_that_was_taken_back_is_surely_not_executed() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2]);
    let attempts = std::mem::take(&mut rig.sent);
    let token = Token::new(1);
    assert_eq!(rig.client.attempt_of(token), Some(attempts[0].0));
    rig.handle(RetryInput::Withdraw { token });
    assert_eq!(rig.client.attempt_of(token), None);
    assert_eq!(rig.done.pop(), Some((1, Completion::TimedOut)));
    rig.submit(3);
    let (.., ask) = rig.take();
    assert_eq!(number(&ask).0, 100, "the same session");
    rig.answer(attempts[1].0, Answer::Unknown);
    rig.wake();
    rig.take();
    let token = Token::new(2);
    rig.handle(RetryInput::Withdraw { token });
    assert_eq!(rig.done.pop(), Some((2, Completion::Unknown)));
}

/// A token that is free again names its new request, and that one only: what is left of the former
/// one's place in the queue must not have it sent twice, under two numbers.
#[test]
fn a_token_whose_request_ended_in_the_queue_may_be_used_again() {
    let mut rig = Rig::new();
    rig.submit_all(&[1, 2]);
    let token = Token::new(2);
    rig.handle(RetryInput::GiveUp { token });
    assert_eq!(rig.done.pop(), Some((2, Completion::TimedOut)));
    rig.submit_all(&[3, 2]);
    let (register, ..) = rig.take();
    rig.answer(register, registered(100));
    let sent: Vec<_> = rig.sent.drain(..).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    for (slot, (attempt, ..)) in (101..).zip(sent) {
        rig.answer(attempt, executed(slot));
    }
    assert_eq!(rig.done, [(1, done(101)), (3, done(102)), (2, done(103))]);
    assert_eq!((rig.client.pending(), rig.wait), (0, Time::MAX));
}

/// As long as a request has no result, queued or under way, its token names nothing else.
#[test]
fn a_token_in_use_is_refused() {
    let again = |rig: &mut Rig, token| {
        let token = Token::new(token);
        let submit = RetryInput::Submit {
            token,
            payload: Bytes::from_static(b"another"),
            deadline: Time::MAX,
        };
        let refused = rig.client.handle(rig.now, submit);
        assert_eq!(refused, Err(TokenInUse { token }));
        rig.drain();
    };
    let mut rig = Rig::new();
    rig.submit(1);
    again(&mut rig, 1);
    assert_eq!(rig.client.pending(), 1);
    let (register, ..) = rig.take();
    rig.answer(register, registered(100));
    again(&mut rig, 1);
    let (attempt, _, ask) = rig.take();
    let Ask::Propose(command) = ask else {
        panic!("the session is open");
    };
    assert_eq!(command.payload, Bytes::from("1"), "the former request");
    rig.answer(attempt, executed(101));
    assert_eq!(rig.done, [(1, done(101))]);
    rig.submit(1);
    assert_eq!(number(&rig.take().2), (100, 2, 1));
}

#[test]
fn in_a_forgotten_session_only_what_was_surely_not_logged_is_tried_again() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2, 3, 4]);
    let attempts = std::mem::take(&mut rig.sent);
    rig.answer(attempts[0].0, Answer::Unknown);
    rig.answer(attempts[1].0, not_leader(None));
    rig.answer(attempts[2].0, Answer::SessionExpired);
    assert_eq!(rig.done, [(1, Completion::Unknown)]);
    // The last one's attempt is out, and may have been executed before the session was forgotten.
    rig.answer(attempts[3].0, executed(9));
    assert_eq!(rig.done[1..], [(4, done(9))]);
    let old = 100;
    let (register, _, ask) = rig.take();
    nonce(&ask);
    rig.answer(register, registered(200));
    let again: Vec<_> = rig.sent.iter().map(|(.., ask)| ask.clone()).collect();
    let [Ask::Propose(first), Ask::Propose(second)] = &again[..] else {
        panic!("both are tried again: {again:?}");
    };
    assert_eq!(
        (&first.payload[..], &second.payload[..]),
        (&b"2"[..], &b"3"[..])
    );
    assert!(
        again
            .iter()
            .all(|ask| number(ask).0 == 200 && number(ask).0 != old)
    );
}

#[test]
fn what_the_cluster_does_not_take_is_rejected_if_nothing_of_it_may_be_logged() {
    let mut rig = Rig::open();
    rig.submit_all(&[1, 2]);
    let attempts = std::mem::take(&mut rig.sent);
    rig.answer(attempts[0].0, Answer::Rejected("too large"));
    assert_eq!(rig.done.pop(), Some((1, Completion::Rejected("too large"))));
    rig.answer(attempts[1].0, Answer::Unknown);
    rig.wake();
    let (attempt, _, ask) = rig.take();
    assert_eq!(
        number(&ask),
        (100, 3, 2),
        "the rejected one's number is done with"
    );
    rig.answer(attempt, Answer::Rejected("too large"));
    assert_eq!(rig.done.pop(), Some((2, Completion::Unknown)));
}

#[test]
fn who_may_not_have_a_session_has_nothing_executed() {
    let mut rig = Rig::new();
    rig.submit_all(&[1, 2]);
    let (register, ..) = rig.take();
    rig.answer(register, Answer::Rejected("wrong cluster"));
    let rejected = |token| (token, Completion::Rejected("wrong cluster"));
    assert_eq!(rig.done, [rejected(1), rejected(2)]);
}

#[test]
fn a_number_that_counts_as_acknowledged_is_somebody_elses() {
    let mut rig = Rig::open();
    rig.submit(1);
    let (attempt, ..) = rig.take();
    rig.answer(attempt, Answer::StaleSeq);
    assert_eq!(rig.done, [(1, Completion::Unknown)]);
}

#[test]
fn clients_of_different_seeds_open_different_sessions() {
    let nonce_of = |seed| {
        let mut rig = Rig::new();
        rig.client = Client::new(RetryConfig::default(), [seed; 32], vec![0]);
        rig.submit(1);
        nonce(&rig.take().2)
    };
    assert_ne!(nonce_of(1), nonce_of(2));
    assert_eq!(nonce_of(1), nonce_of(1));
}
