//! One test for each rule of the session table, and its bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn command(client: u64, seq: u64, ack_floor: u64, payload: &str) -> Command {
    Command {
        client: ClientId::new(client),
        seq,
        ack_floor,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

fn limits(sessions_max: u64) -> SessionLimits {
    SessionLimits {
        sessions_max,
        ..SessionLimits::default()
    }
}

/// The table with a log's next slot, and a machine that replies with the slot.
struct Log {
    sessions: Sessions,
    slot: u64,
}

impl Log {
    fn new(limits: SessionLimits) -> Self {
        Self {
            sessions: Sessions::new(limits),
            slot: 0,
        }
    }

    fn register(&mut self, nonce: u128) -> u64 {
        self.slot += 1;
        let outcome = self.sessions.register(Slot::new(self.slot), nonce);
        self.sessions.check();
        match outcome {
            Outcome::Registered { client } => client.get(),
            other => panic!("registered: {other:?}"),
        }
    }

    fn decide(&mut self, command: &Command) -> Outcome {
        self.slot += 1;
        let slot = Slot::new(self.slot);
        let outcome = match self.sessions.admit(slot, command) {
            Admission::Answer(outcome) => outcome,
            Admission::Execute { payload_hash } => {
                let reply = Bytes::from(format!("reply {slot}"));
                let kept = reply.clone();
                self.sessions.executed(slot, command, payload_hash, kept);
                Outcome::Executed { slot, reply }
            }
        };
        self.sessions.check();
        outcome
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.sessions.freeze().write_to(&mut out).unwrap();
        out
    }
}

fn executed(slot: u64) -> Outcome {
    Outcome::Executed {
        slot: Slot::new(slot),
        reply: Bytes::from(format!("reply {slot}")),
    }
}

#[test]
fn a_session_is_called_what_its_slot_is_and_a_nonce_opens_one_only() {
    let mut log = Log::new(SessionLimits::default());
    assert_eq!(log.register(7), 1);
    assert_eq!(log.register(8), 2);
    assert_eq!(log.register(7), 1);
    assert_eq!(log.sessions.len(), 2);
}

#[test]
fn a_number_is_executed_once_and_answered_as_often_as_it_comes() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    let first = command(client, 1, 0, "a");
    assert_eq!(log.decide(&first), executed(2));
    assert_eq!(log.decide(&first), executed(2));
    // Out of order, too: what is pipelined may overtake.
    assert_eq!(log.decide(&command(client, 3, 0, "c")), executed(4));
    assert_eq!(log.decide(&command(client, 2, 0, "b")), executed(5));
    assert_eq!(log.decide(&command(client, 3, 0, "c")), executed(4));
    assert_eq!(log.decide(&command(client, 2, 0, "b")), executed(5));
    // The floor of an attempt does not belong to the command: a later one may have a higher.
    assert_eq!(log.decide(&command(client, 3, 2, "c")), executed(4));
}

#[test]
fn what_the_client_has_seen_is_stale_and_forgotten() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    log.decide(&command(client, 1, 0, "a"));
    log.decide(&command(client, 2, 0, "b"));
    assert_eq!(log.decide(&command(client, 3, 1, "c")), executed(4));
    assert_eq!(log.decide(&command(client, 1, 0, "a")), Outcome::StaleSeq);
    assert_eq!(log.decide(&command(client, 2, 0, "b")), executed(3));
    // Even a command that is refused says what was seen.
    let late = command(client, 2, 2, "b");
    assert_eq!(log.decide(&late), Outcome::StaleSeq);
    let session = log.sessions.table.get(&ClientId::new(client)).unwrap();
    let kept: Vec<u64> = session.replies.iter().map(|r| r.seq).collect();
    assert_eq!((session.floor, kept), (2, vec![3]));
    // Zero is no number.
    assert_eq!(log.decide(&command(client, 0, 0, "z")), Outcome::StaleSeq);
}

#[test]
fn the_window_is_64_above_what_was_seen() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    let beyond = command(client, 65, 0, "a");
    assert_eq!(log.decide(&beyond), Outcome::BeyondWindow);
    assert_eq!(log.decide(&command(client, 64, 0, "a")), executed(3));
    assert_eq!(log.decide(&command(client, 65, 1, "b")), executed(4));
    // Nothing overflows, whatever a client claims; it only harms itself.
    let all_seen = command(client, u64::MAX, u64::MAX - 1, "c");
    assert_eq!(log.decide(&all_seen), executed(5));
    let nonsense = command(client, u64::MAX, u64::MAX, "c");
    assert_eq!(log.decide(&nonsense), Outcome::StaleSeq);
}

#[test]
fn a_number_stands_for_one_command_only() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    log.decide(&command(client, 1, 0, "a"));
    assert_eq!(log.decide(&command(client, 1, 0, "b")), Outcome::Reused);
    assert_eq!(log.decide(&command(client, 1, 0, "a")), executed(2));
}

#[test]
fn an_unknown_session_executes_nothing() {
    let mut log = Log::new(SessionLimits::default());
    assert_eq!(log.decide(&command(1, 1, 0, "a")), Outcome::SessionExpired);
    let client = log.register(7);
    let stranger = command(client + 1, 1, 0, "a");
    assert_eq!(log.decide(&stranger), Outcome::SessionExpired);
}

#[test]
fn the_session_that_the_log_was_without_for_longest_is_evicted() {
    let mut log = Log::new(limits(3));
    let [a, b, c] = [1, 2, 3].map(|nonce| log.register(nonce));
    log.decide(&command(a, 1, 0, "a"));
    // A refused command and a second Register are signs of life as well.
    log.decide(&command(c, 100, 0, "c"));
    log.register(2);
    let d = log.register(4);
    assert_eq!(log.sessions.len(), 3);
    assert_eq!(log.decide(&command(a, 1, 0, "a")), Outcome::SessionExpired);
    for alive in [b, c, d] {
        assert_ne!(
            log.decide(&command(alive, 1, 0, "x")),
            Outcome::SessionExpired
        );
    }
    // Its nonce opens a new session, since nobody knows the old one.
    assert_ne!(log.register(1), a);
}

#[test]
fn replies_are_bounded_in_bytes_over_all_sessions() {
    let room = 2 * SessionLimits::REPLY_OVERHEAD + 20;
    let mut log = Log::new(SessionLimits {
        sessions_max: 10,
        reply_bytes_max: room,
    });
    let [a, b, c] = [1, 2, 3].map(|nonce| log.register(nonce));
    log.decide(&command(a, 1, 0, "a"));
    log.decide(&command(b, 1, 0, "b"));
    assert_eq!(log.sessions.len(), 3);
    // The third reply is one too many: c has none, but is oldest; then goes a.
    log.decide(&command(b, 2, 0, "b"));
    assert_eq!(log.sessions.len(), 1);
    assert_eq!(log.decide(&command(a, 1, 0, "a")), Outcome::SessionExpired);
    assert_eq!(log.decide(&command(c, 1, 0, "c")), Outcome::SessionExpired);
    // Alone, a session may hold a whole window, so that its client can always go on.
    for seq in 3..=64 {
        assert_ne!(
            log.decide(&command(b, seq, 0, "b")),
            Outcome::SessionExpired
        );
    }
}

#[test]
fn the_bytes_are_pinned() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    log.decide(&command(client, 1, 0, "a"));
    log.decide(&command(client, 2, 1, "b"));
    let hex: String = log.bytes().iter().map(|b| format!("{b:02x}")).collect();
    let expected = "0000000000000001 0000000000000001 00000000000000000000000000000007 \
        0000000000000001 0000000000000003 00000001 0000000000000002 0000000000000003 \
        4b2212e31ac97fd4575a0b1c44d8843f 0000000000000007 7265706c792033";
    assert_eq!(hex, expected.replace(' ', ""));
    assert_eq!(
        format!("{:032x}", log.sessions.digest()),
        "6b57645e7b556a328eb5f73ff96a9bd0"
    );
}

#[test]
fn bytes_that_break_a_rule_are_refused() {
    let mut log = Log::new(SessionLimits::default());
    let client = log.register(7);
    log.register(8);
    log.decide(&command(client, 1, 0, "a"));
    log.decide(&command(client, 2, 0, "b"));
    let (good, slot) = (log.bytes(), Slot::new(log.slot));
    let read = |bytes: &[u8], slot, limits| {
        Sessions::read_from(&mut &bytes[..], slot, limits).map(|s| s.digest())
    };
    let restored = read(&good, slot, SessionLimits::default());
    assert_eq!(restored.unwrap(), log.sessions.digest());
    assert!(read(&good, slot.prev(), SessionLimits::default()).is_err());
    assert!(read(&good, slot, limits(1)).is_err());
    for cut in 0..good.len() {
        assert!(read(&good[..cut], slot, SessionLimits::default()).is_err());
    }
    for (name, at, byte) in [
        ("count of sessions", 0, 0xff),
        ("second session before the first", 8, 0xff),
        ("floor above its replies", 39, 1),
        ("count of replies", 48, 0xff),
        ("number beyond the window", 52, 1),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(
            read(&bad, slot, SessionLimits::default()).is_err(),
            "{name}"
        );
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register(u128),
    Decide(Command),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let decide = (1_u64..8, 0_u64..6, 0_u64..4, 0_u8..2).prop_map(|(client, seq, floor, what)| {
        Step::Decide(command(client, seq, floor, &what.to_string()))
    });
    let step = prop_oneof![
        1 => (0_u128..6).prop_map(Step::Register),
        3 => decide,
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn restoring_at_any_point_changes_nothing(steps in steps(), at in 0_usize..60) {
        let limits = SessionLimits { sessions_max: 3, reply_bytes_max: 900 };
        let (mut straight, mut restored) = (Log::new(limits), Log::new(limits));
        for (i, step) in steps.iter().enumerate() {
            if i == at {
                let bytes = restored.bytes();
                let slot = Slot::new(restored.slot);
                restored.sessions = Sessions::read_from(&mut bytes.as_slice(), slot, limits).unwrap();
            }
            match step {
                Step::Register(nonce) => {
                    prop_assert_eq!(straight.register(*nonce), restored.register(*nonce));
                }
                Step::Decide(command) => {
                    prop_assert_eq!(straight.decide(command), restored.decide(command));
                }
            }
            prop_assert_eq!(straight.sessions.digest(), restored.sessions.digest());
        }
        prop_assert_eq!(straight.bytes(), restored.bytes());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8..3, 0..200)) {
        let read = Sessions::read_from(&mut bytes.as_slice(), Slot::new(9), limits(5));
        if let Ok(sessions) = read {
            sessions.check();
        }
    }
}
