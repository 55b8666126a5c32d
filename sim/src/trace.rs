//! The fingerprint of a run, and where what happens in it is told: every event goes into both.
//! Knows nothing about what events mean.

use std::fmt::Display;

use chil_core::{Ballot, Message};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::node::Names;
use crate::report::event::{Event, State, What};

/// Receives what happens.
pub type Sink = Box<dyn FnMut(Event)>;

/// A rolling hash over everything that happens; equal hashes mean equal runs.
pub(crate) struct Trace {
    hash: u64,
    sink: Option<Sink>,
    names: Names,
    /// The state of each node that was told last.
    states: Vec<Option<State>>,
}

/// Kinds of events, as they are hashed.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Mark {
    Received = 1,
    Sent,
    Persist,
    Durable,
    Wake,
    Propose,
    Read,
    Decided,
    ReadReady,
    Refused,
    Placed,
    Deposed,
    Fault,
    Crash,
    Restart,
    Healing,
    Outcome,
    Forming,
    Formed,
    Transfer,
    Snapshot,
}

impl Trace {
    pub(crate) fn new(sink: Option<Sink>, nodes: usize) -> Self {
        Self {
            hash: 0,
            sink,
            names: Names::new(nodes),
            states: vec![None; nodes],
        }
    }

    /// The fingerprint so far.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Hashes one event: what, when, where, and its key numbers.
    pub(crate) fn mix(&mut self, mark: Mark, now: u64, node: usize, numbers: [u64; 4]) {
        let [a, b, c, d] = numbers;
        let words = [mark as u64, now, node as u64, a, b, c, d];
        let mut bytes = [0_u8; 56];
        for (to, from) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        self.hash = xxh3_64_with_seed(&bytes, self.hash);
    }

    /// Whether anybody wants to be told.
    pub(crate) const fn is_told(&self) -> bool {
        self.sink.is_some()
    }

    /// Something as text, with the names of nodes instead of their numbers.
    pub(crate) fn named(&self, what: impl Display) -> String {
        self.names.put_into(&what.to_string())
    }

    /// Tells what happens, if anybody wants to know.
    pub(crate) fn tell(&mut self, event: Event) {
        if let Some(sink) = &mut self.sink {
            sink(event);
        }
    }

    /// Tells the state of a node if it is another one than before.
    pub(crate) fn tell_state(&mut self, n: u64, at: u64, node: usize, state: State) {
        let before = self.states.get_mut(node);
        if let Some(before) = before.filter(|before| before.as_ref() != Some(&state)) {
            *before = Some(state.clone());
            let (node, what) = (Some(node), What::State(state));
            self.tell(Event { n, at, node, what });
        }
    }
}

/// The numbers of a message that tell it from others, folded into two words.
pub(crate) fn numbers(message: &Message) -> [u64; 2] {
    let b = |ballot: &Ballot| ballot.n.rotate_left(40) ^ ballot.node.get();
    let id = |id: &chil_core::SnapshotId| {
        id.slot.get().rotate_left(32) ^ u64::try_from(id.digest >> 64).unwrap_or(0)
    };
    let entries = |entries: &[chil_core::Entry]| {
        entries.last().map_or(0, |last| {
            (entries.len() as u64).rotate_left(32)
                ^ u64::try_from(last.chain().get() >> 64).unwrap_or(0)
        })
    };
    match message {
        Message::Prepare(m) => [
            b(&m.ballot) ^ b(&m.acc).rotate_left(1),
            m.last.get().rotate_left(32) ^ m.commit.get() ^ (1 << 60),
        ],
        Message::Promise(m) => [
            b(&m.ballot) ^ b(&m.acc).rotate_left(1),
            m.last.get().rotate_left(32) ^ m.commit.get() ^ entries(&m.suffix) ^ (2 << 60),
        ],
        Message::Accept(m) => [
            b(&m.ballot) ^ m.seq.rotate_left(20),
            m.prev.get().rotate_left(32)
                ^ m.commit.get()
                ^ entries(&m.entries)
                ^ m.sync.map_or(0, |s| s.get().rotate_left(16) ^ 1)
                ^ (3 << 60),
        ],
        Message::Accepted(m) => [
            b(&m.ballot) ^ m.seq.rotate_left(20),
            m.last.get() ^ (4 << 60),
        ],
        Message::Nack(m) => [
            b(&m.ballot) ^ b(&m.promised).rotate_left(1) ^ b(&m.acc).rotate_left(2),
            m.last.get().rotate_left(32) ^ m.commit.get() ^ (5 << 60),
        ],
        Message::Learn(m) => [
            b(&m.decided_in) ^ entries(&m.entries),
            m.prev.get().rotate_left(32) ^ m.commit.get() ^ (6 << 60),
        ],
        Message::Fetch(m) => [m.prev.get(), m.to.get() ^ (7 << 60)],
        Message::Heartbeat(m) => [
            m.round,
            u64::from(m.data) | u64::from(m.happy) << 1 | 8 << 60,
        ],
        Message::Offer(m) => [id(&m.id), m.commit.get() ^ (10 << 60)],
        Message::FetchChunk(m) => [id(&m.id), m.offset.rotate_left(24) ^ m.len ^ (11 << 60)],
        Message::Chunk(m) => [id(&m.id), m.offset.rotate_left(24) ^ (12 << 60)],
        Message::ReadIndex(m) => [m.token, 13 << 60],
        Message::ReadIndexReply(m) => [
            m.token,
            m.index.map_or(1, chil_core::Slot::get) ^ (14 << 60),
        ],
        Message::TransferNow(m) => [b(&m.ballot), m.last.get() ^ (15 << 60)],
        Message::HeartbeatReply(m) => [
            m.round ^ b(&m.ballot).rotate_left(1) ^ b(&m.leader).rotate_left(2),
            m.commit.get()
                ^ (u64::from(m.happy) << 50)
                ^ (u64::from(m.able) << 51)
                ^ (u64::from(m.data) << 52)
                ^ (9 << 60),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn the_hash_depends_on_order_and_content() {
        let hash = |events: &[(u64, u64)]| {
            let mut trace = Trace::new(None, 1);
            for (now, number) in events {
                trace.mix(Mark::Wake, *now, 0, [*number, 0, 0, 0]);
            }
            trace.hash()
        };
        assert_eq!(hash(&[(1, 2), (3, 4)]), hash(&[(1, 2), (3, 4)]));
        assert_ne!(hash(&[(1, 2), (3, 4)]), hash(&[(3, 4), (1, 2)]));
        assert_ne!(hash(&[(1, 2)]), hash(&[(1, 3)]));
    }

    #[test]
    fn a_state_is_told_when_it_changes() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&told);
        let sink: Sink = Box::new(move |event| seen.borrow_mut().push(event.n));
        let mut trace = Trace::new(Some(sink), 1);
        let state = |commit| State {
            role: "following".to_owned(),
            promised: "e1.1.n0".to_owned(),
            acc: "e1.1.n0".to_owned(),
            leader: None,
            last: 7,
            durable: 7,
            commit,
            applied: 0,
        };
        for (n, commit) in [(1, 0), (2, 0), (3, 1)] {
            trace.tell_state(n, 0, 0, state(commit));
        }
        assert_eq!(*told.borrow(), [1, 3]);
    }
}
