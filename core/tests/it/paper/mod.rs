//! One test for each claim of the papers, quoting or naming the place that makes it.
//! Knows nothing about chil's own additions: those are argued in PROTOCOL.md and tested elsewhere.

mod election;
mod made_simple;
mod sequence;
mod storage;

use bytes::Bytes;
use chil_core::message::{Accept, Accepted, Learn, NackReason, Prepare, Promise};
use chil_core::{Ballot, Chain, Command, Entry, EntryKind, Epoch, Message, Slot};

use crate::rig::{Rig, id, number};

/// The ballot `n` of node `number`.
pub(crate) fn ballot(n: u64, number: usize) -> Ballot {
    Ballot::new(Epoch::FIRST, n, id(number))
}

pub(crate) fn slot(slot: u64) -> Slot {
    Slot::new(slot)
}

/// A log with one entry a pair of ballot and text.
pub(crate) fn log(entries: &[(Ballot, &str)]) -> Vec<Entry> {
    let mut chain = Chain::EMPTY;
    let mut log = Vec::new();
    for (at, (origin, text)) in (1..).zip(entries) {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        let kind = EntryKind::Command(Command::sessionless(payload));
        let entry = Entry::new(chain, slot(at), *origin, kind);
        chain = entry.chain();
        log.push(entry);
    }
    log
}

pub(crate) fn end_of(log: &[Entry]) -> (Slot, Chain) {
    log.last()
        .map_or((Slot::ZERO, Chain::EMPTY), |e| (e.slot(), e.chain()))
}

/// A `Prepare` of a candidate that has nothing.
pub(crate) fn prepare(ballot: Ballot) -> Message {
    Message::Prepare(Prepare {
        ballot,
        acc: Ballot::bottom(Epoch::FIRST),
        last: Slot::ZERO,
        commit: Slot::ZERO,
        chain_at_commit: Chain::EMPTY,
    })
}

/// A promise of `ballot` by a node with all of `log` accepted in `acc`.
pub(crate) fn promise(ballot: Ballot, acc: Ballot, log: &[Entry]) -> Message {
    let (last, chain_at_last) = end_of(log);
    Message::Promise(Promise {
        ballot,
        acc,
        last,
        chain_at_last,
        commit: Slot::ZERO,
        from: Slot::ZERO,
        suffix: log.to_vec(),
        damaged: false,
    })
}

/// The sync of `ballot` that carries all of `log`, from its beginning.
pub(crate) fn sync(ballot: Ballot, log: &[Entry]) -> Message {
    Message::Accept(Accept {
        ballot,
        sync: Some(end_of(log).0),
        prev: Slot::ZERO,
        prev_chain: Chain::EMPTY,
        entries: log.to_vec(),
        commit: Slot::ZERO,
        seq: 1,
    })
}

/// An `Accept` behind the sync: what `log` holds behind `prev`.
pub(crate) fn accept(ballot: Ballot, log: &[Entry], prev: usize, commit: u64) -> Message {
    let (prev, prev_chain) = end_of(&log[..prev]);
    Message::Accept(Accept {
        ballot,
        sync: None,
        prev,
        prev_chain,
        entries: log.iter().filter(|e| e.slot() > prev).cloned().collect(),
        commit: slot(commit),
        seq: 2,
    })
}

/// The first `upto` entries of `log`, as decided by `decided_in`.
pub(crate) fn learn(decided_in: Ballot, log: &[Entry], upto: usize) -> Message {
    Message::Learn(Learn {
        decided_in,
        prev: Slot::ZERO,
        prev_chain: Chain::EMPTY,
        entries: log[..upto].to_vec(),
        commit: slot(upto as u64),
    })
}

pub(crate) fn accepted(ballot: Ballot, last: u64, seq: u64) -> Message {
    Message::Accepted(Accepted {
        ballot,
        last: slot(last),
        seq,
    })
}

/// The owner of `ballot` prepares and syncs it at `to`, whose disk is quick.
pub(crate) fn follow(rig: &mut Rig, to: usize, ballot: Ballot, log: &[Entry]) {
    let from = number(ballot.node);
    rig.inject(from, to, prepare(ballot));
    rig.persist(to);
    rig.inject(from, to, sync(ballot, log));
    rig.persist(to);
    rig.sent(to, from);
    assert_eq!(rig.disk(to).acc, ballot, "n{to} did not follow");
}

/// The texts in a node's log.
pub(crate) fn texts(rig: &Rig, number: usize) -> Vec<String> {
    let log = rig.replica(number).log();
    let entries = log.entries(Slot::ZERO, log.last());
    let text = |entry: &Entry| {
        let EntryKind::Command(command) = entry.kind() else {
            return entry.to_string();
        };
        String::from_utf8_lossy(&command.payload).into_owned()
    };
    entries.iter().map(text).collect()
}

pub(crate) fn nacks(messages: &[Message]) -> Vec<NackReason> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Nack(nack) => Some(nack.reason),
            _ => None,
        })
        .collect()
}
