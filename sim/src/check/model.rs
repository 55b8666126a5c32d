//! What the chosen sequence means: sessions, once more by the simplest means, around an oracle.
//! Knows nothing about the code that it judges, nor what commands do: the oracle does.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.3: the state machine keeps
//! for each client the responses to its commands, and answers a repeated one without executing it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::{ClientId, Command, Entry, EntryKind, Outcome, Slot};

use crate::subject::Oracle;

/// Commands of a session that may wait for their replies (PROTOCOL.md, "Clients").
const WINDOW: u64 = 64;

/// The state behind the last slot taken in, and everything that ever happened.
pub(crate) struct Model {
    sessions_max: usize,
    sessions: BTreeMap<ClientId, Session>,
    oracle: Box<dyn Oracle>,
    /// What became of each slot, from slot 1.
    outcomes: Vec<Outcome>,
    /// The payloads that were executed, by slot.
    executed: Vec<Option<Bytes>>,
    /// Sessions that were opened, and commands that were not executed because they had been.
    pub(crate) opened: u64,
    pub(crate) repeated: u64,
}

#[derive(Clone, Debug)]
struct Session {
    nonce: u128,
    /// The last slot that held anything of it.
    last: Slot,
    floor: u64,
    replies: BTreeMap<u64, (Slot, Bytes, Bytes)>,
}

impl Model {
    pub(crate) fn new(sessions_max: u64, oracle: Box<dyn Oracle>) -> Self {
        Self {
            sessions_max: usize::try_from(sessions_max).unwrap_or(usize::MAX),
            sessions: BTreeMap::new(),
            oracle,
            outcomes: Vec::new(),
            executed: Vec::new(),
            opened: 0,
            repeated: 0,
        }
    }

    /// The chosen entry of a slot, told in the order of slots; repetitions are ignored. Returns
    /// whether it was news.
    pub(crate) fn take(&mut self, entry: &Entry) -> bool {
        let slot = entry.slot();
        if slot.get() != self.outcomes.len() as u64 + 1 {
            return false;
        }
        self.executed.push(None);
        let outcome = match entry.kind() {
            EntryKind::Register { nonce } => Outcome::Registered {
                client: self.register(slot, *nonce),
            },
            EntryKind::Command(command) if command.client == ClientId::NONE => Outcome::Executed {
                slot,
                reply: self.execute(slot, &command.payload),
            },
            EntryKind::Command(command) => self.of_session(slot, command),
        };
        self.outcomes.push(outcome);
        true
    }

    /// What has to come of executing a slot.
    pub(crate) fn outcome(&self, slot: Slot) -> Option<&Outcome> {
        let at = usize::try_from(slot.get()).ok()?.checked_sub(1)?;
        self.outcomes.get(at)
    }

    /// The payload that was executed in a slot, if one was.
    pub(crate) fn executed(&self, slot: Slot) -> Option<&Bytes> {
        let at = usize::try_from(slot.get()).ok()?.checked_sub(1)?;
        self.executed.get(at)?.as_ref()
    }

    /// The commands that took effect, in order.
    pub(crate) fn effects(&self) -> Vec<(Slot, Bytes)> {
        let slots = self.executed.iter().zip(1..);
        let effects = slots.filter_map(|(payload, slot)| Some((Slot::new(slot), payload.clone()?)));
        effects.collect()
    }

    /// The answer to a query in the state behind a slot, if it can be said at once.
    pub(crate) fn answer(&self, query: &Bytes, behind: Slot) -> Option<Bytes> {
        self.oracle.answer_behind(behind, query)
    }

    fn register(&mut self, slot: Slot, nonce: u128) -> ClientId {
        let mut open = self.sessions.iter_mut();
        if let Some((client, session)) = open.find(|(_, session)| session.nonce == nonce) {
            session.last = slot;
            return *client;
        }
        while self.sessions.len() >= self.sessions_max.max(1) {
            let idle = self.sessions.iter().min_by_key(|(_, session)| session.last);
            let Some(client) = idle.map(|(client, _)| *client) else {
                break;
            };
            self.sessions.remove(&client);
        }
        let client = ClientId::new(slot.get());
        let session = Session {
            nonce,
            last: slot,
            floor: 0,
            replies: BTreeMap::new(),
        };
        self.sessions.insert(client, session);
        self.opened += 1;
        client
    }

    fn of_session(&mut self, slot: Slot, command: &Command) -> Outcome {
        let Some(session) = self.sessions.get_mut(&command.client) else {
            return Outcome::SessionExpired;
        };
        session.last = slot;
        session.floor = session.floor.max(command.ack_floor);
        let floor = session.floor;
        session.replies.retain(|seq, _| *seq > floor);
        if command.seq <= floor {
            return Outcome::StaleSeq;
        }
        if command.seq > floor + WINDOW {
            return Outcome::BeyondWindow;
        }
        match session.replies.get(&command.seq) {
            Some((_, payload, _)) if *payload != command.payload => Outcome::Reused,
            Some((first, _, reply)) => {
                self.repeated += 1;
                Outcome::Executed {
                    slot: *first,
                    reply: reply.clone(),
                }
            }
            None => {
                let reply = self.execute(slot, &command.payload);
                if let Some(session) = self.sessions.get_mut(&command.client) {
                    let stored = (slot, command.payload.clone(), reply.clone());
                    session.replies.insert(command.seq, stored);
                }
                Outcome::Executed { slot, reply }
            }
        }
    }

    fn execute(&mut self, slot: Slot, payload: &Bytes) -> Bytes {
        if let Some(executed) = self.executed.last_mut() {
            *executed = Some(payload.clone());
        }
        self.oracle.apply(slot, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;
    use crate::subject::Subject;
    use chil_core::Chain;
    use chil_core::kv::{KvAnswer, KvCommand, KvQuery, KvReply, Versioned};

    fn put(value: &'static [u8]) -> Bytes {
        let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value));
        KvCommand::put(key, value).encode()
    }

    fn of(client: u64, seq: u64, ack_floor: u64, payload: Bytes) -> EntryKind {
        EntryKind::Command(Command {
            client: ClientId::new(client),
            seq,
            ack_floor,
            payload,
        })
    }

    #[test]
    fn repeated_commands_are_answered_and_forgotten_sessions_are_not_executed() {
        let mut model = Model::new(1, Subject::key_value().oracle());
        let kinds = [
            EntryKind::Register { nonce: 7 },
            of(1, 1, 0, put(b"a")),
            of(1, 1, 0, put(b"a")),
            of(1, 1, 0, put(b"b")),
            of(1, 1, 1, put(b"a")),
            of(1, 66, 1, put(b"c")),
            EntryKind::Register { nonce: 7 },
            EntryKind::Register { nonce: 8 },
            of(1, 2, 1, put(b"d")),
        ];
        for (at, kind) in kinds.into_iter().enumerate() {
            let slot = Slot::new(at as u64 + 1);
            let entry = Entry::new(Chain::EMPTY, slot, ballot(1, 0), kind);
            assert!(model.take(&entry));
            assert!(!model.take(&entry), "only once");
        }
        let reply = KvReply::Written {
            applied: true,
            version: 2,
            previous: None,
        };
        let first = Outcome::Executed {
            slot: Slot::new(2),
            reply: reply.encode(),
        };
        let registered = |client| Outcome::Registered {
            client: ClientId::new(client),
        };
        let expected = [
            registered(1),
            first.clone(),
            first,
            Outcome::Reused,
            Outcome::StaleSeq,
            Outcome::BeyondWindow,
            registered(1),
            registered(8),
            Outcome::SessionExpired,
        ];
        assert_eq!(model.outcomes, expected);
        let key = Bytes::from_static(b"k");
        let get = KvQuery::Get { key }.encode();
        let written = Versioned {
            value: Bytes::from_static(b"a"),
            version: 2,
            created: 2,
        };
        let answer = |slot| model.answer(&get, Slot::new(slot));
        assert_eq!(answer(1), Some(KvAnswer::Value(None).encode()));
        let written = KvAnswer::Value(Some(written));
        assert_eq!(answer(9), Some(written.encode()));
        assert_eq!(model.executed(Slot::new(2)), Some(&put(b"a")));
        assert_eq!(model.executed(Slot::new(3)), None);
    }
}
