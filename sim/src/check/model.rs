//! What the chosen sequence means: sessions and keys, executed once more by the simplest means.
//! Knows nothing about the code that it judges, but the encodings of commands and replies.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.3: the state machine keeps
//! for each client the responses to its commands, and answers a repeated one without executing it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::kv::{Cond, KvAnswer, KvCommand, KvQuery, KvReply, Stamp, Versioned, Write};
use chil_core::{ClientId, Command, Entry, EntryKind, Outcome, Slot};

/// Commands of a session that may wait for their replies (PROTOCOL.md, "Clients").
const WINDOW: u64 = 64;

/// The state behind the last slot taken in, and everything that ever happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    sessions_max: usize,
    sessions: BTreeMap<ClientId, Session>,
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// What became of each slot, from slot 1.
    outcomes: Vec<Outcome>,
    /// The payloads that were executed, by slot.
    executed: Vec<Option<Bytes>>,
    /// Sessions that were opened, and commands that were not executed because they had been.
    pub(crate) opened: u64,
    pub(crate) repeated: u64,
}

/// What one write made of a key.
#[derive(Clone, Debug)]
struct Version {
    slot: Slot,
    /// The slot that made it exist.
    created: Slot,
    /// Nothing if it was deleted.
    value: Option<Bytes>,
}

impl Version {
    const fn stamp(&self) -> Stamp {
        Stamp {
            version: self.slot.get(),
            created: self.created.get(),
        }
    }
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
    pub(crate) fn new(sessions_max: u64) -> Self {
        Self {
            sessions_max: usize::try_from(sessions_max).unwrap_or(usize::MAX),
            ..Self::default()
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

    /// The answer to a query in the state behind a slot.
    pub(crate) fn answer(&self, query: &KvQuery, behind: Slot) -> KvAnswer {
        match query {
            KvQuery::Get { key } => KvAnswer::Value(self.at(key, behind).map(versioned)),
            KvQuery::Count => {
                let there = self
                    .keys
                    .keys()
                    .filter(|key| self.at(key, behind).is_some());
                KvAnswer::Count(there.count() as u64)
            }
            KvQuery::Scan {
                prefix,
                after,
                limit,
            } => {
                let asked = |key: &&Bytes| {
                    key.starts_with(prefix) && after.as_ref().is_none_or(|after| **key > *after)
                };
                let keys = self.keys.keys().filter(asked);
                let mut items: Vec<_> = keys
                    .filter_map(|key| Some((key.clone(), versioned(self.at(key, behind)?))))
                    .collect();
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let more = items.len() > limit;
                items.truncate(limit);
                KvAnswer::Page { items, more }
            }
        }
    }

    /// What a key has behind a slot.
    fn at(&self, key: &Bytes, behind: Slot) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let at = versions.partition_point(|version| version.slot <= behind);
        let last = versions.get(at.checked_sub(1)?)?;
        last.value.is_some().then_some(last)
    }

    /// What a key has now.
    fn now(&self, key: &Bytes) -> Option<&Version> {
        self.keys
            .get(key)?
            .last()
            .filter(|last| last.value.is_some())
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
        let reply = match KvCommand::decode(payload) {
            Ok(KvCommand::Put { key, value, cond }) => self.write_if(slot, key, &cond, Some(value)),
            Ok(KvCommand::Delete { key, cond }) => self.write_if(slot, key, &cond, None),
            Ok(KvCommand::Txn(txn)) => {
                let held = txn.checks.iter().all(|c| self.holds(&c.key, &c.cond));
                let branch = if held { txn.then } else { txn.otherwise };
                let writes = branch.into_iter().map(|write| match write {
                    Write::Put { key, value } => self.write(slot, key, Some(value)),
                    Write::Delete { key } => self.write(slot, key, None),
                });
                KvReply::Decided {
                    held,
                    version: slot.get(),
                    previous: writes.collect(),
                }
            }
            Err(_) => KvReply::Malformed,
        };
        reply.encode()
    }

    fn holds(&self, key: &Bytes, cond: &Cond) -> bool {
        let there = self.now(key);
        match cond {
            Cond::Any => true,
            Cond::Absent => there.is_none(),
            Cond::Exists => there.is_some(),
            Cond::VersionEq(n) => there.is_some_and(|v| v.slot.get() == *n),
            Cond::CreatedEq(n) => there.is_some_and(|v| v.created.get() == *n),
            Cond::ValueEq(value) => there.is_some_and(|v| v.value.as_ref() == Some(value)),
        }
    }

    fn write_if(&mut self, slot: Slot, key: Bytes, cond: &Cond, value: Option<Bytes>) -> KvReply {
        let applied = self.holds(&key, cond);
        let previous = if applied {
            self.write(slot, key, value)
        } else {
            self.now(&key).map(Version::stamp)
        };
        KvReply::Written {
            applied,
            version: slot.get(),
            previous,
        }
    }

    fn write(&mut self, slot: Slot, key: Bytes, value: Option<Bytes>) -> Option<Stamp> {
        let before = self.now(&key).map(Version::stamp);
        let created = before.map_or(slot, |stamp| Slot::new(stamp.created));
        let versions = self.keys.entry(key).or_default();
        versions.push(Version {
            slot,
            created,
            value,
        });
        before
    }
}

fn versioned(version: &Version) -> Versioned {
    Versioned {
        value: version.value.clone().unwrap_or_default(),
        version: version.slot.get(),
        created: version.created.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;
    use chil_core::Chain;
    use chil_core::kv::{Check, Txn};

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
        let mut model = Model::new(1);
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
        let get = KvQuery::Get { key };
        let written = Versioned {
            value: Bytes::from_static(b"a"),
            version: 2,
            created: 2,
        };
        let answer = |slot| model.answer(&get, Slot::new(slot));
        assert_eq!(answer(1), KvAnswer::Value(None));
        assert_eq!(answer(9), KvAnswer::Value(Some(written)));
        assert_eq!(model.executed(Slot::new(2)), Some(&put(b"a")));
        assert_eq!(model.executed(Slot::new(3)), None);
    }

    #[test]
    fn conditions_and_transactions_see_what_was_written_before_them() {
        let key = |name: &'static str| Bytes::from_static(name.as_bytes());
        let put_if = |value: &'static str, cond| KvCommand::Put {
            key: key("k"),
            value: key(value),
            cond,
        };
        let txn = Txn {
            checks: vec![Check {
                key: key("k"),
                cond: Cond::ValueEq(key("a")),
            }],
            then: vec![Write::Delete { key: key("k") }],
            otherwise: Vec::new(),
        };
        let commands = [
            put_if("a", Cond::Absent),
            put_if("b", Cond::Absent),
            KvCommand::Txn(txn),
            put_if("c", Cond::VersionEq(1)),
        ];
        let mut model = Model::new(1);
        for (at, command) in commands.iter().enumerate() {
            let kind = EntryKind::Command(Command::sessionless(command.encode()));
            let slot = Slot::new(at as u64 + 1);
            model.take(&Entry::new(Chain::EMPTY, slot, ballot(1, 0), kind));
        }
        let stamp = Stamp {
            version: 1,
            created: 1,
        };
        let written = |slot: u64, applied, previous| KvReply::Written {
            applied,
            version: slot,
            previous,
        };
        let expected = [
            written(1, true, None),
            written(2, false, Some(stamp)),
            KvReply::Decided {
                held: true,
                version: 3,
                previous: vec![Some(stamp)],
            },
            written(4, false, None),
        ];
        for (at, reply) in expected.iter().enumerate() {
            let slot = Slot::new(at as u64 + 1);
            let reply = reply.encode();
            let expected = Outcome::Executed { slot, reply };
            assert_eq!(model.outcome(slot), Some(&expected));
        }
        let all = KvQuery::Scan {
            prefix: Bytes::new(),
            after: None,
            limit: 9,
        };
        let page = |slot| match model.answer(&all, Slot::new(slot)) {
            KvAnswer::Page { items, .. } => items.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((page(2), page(3)), (1, 0));
    }
}
