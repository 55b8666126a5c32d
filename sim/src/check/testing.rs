//! Small histories for the checks' own tests.
//! Knows nothing about replicas: everything here is made by hand.

use bytes::Bytes;
use chil_core::{
    Ballot, Chain, ClusterId, Command, Entry, EntryKind, Epoch, LogChange, NodeId, Role, Slot,
    Status,
};

use super::ghost::Ghost;

/// The ballot with number `n` of the node with index `node`.
pub(crate) fn ballot(n: u64, node: u64) -> Ballot {
    Ballot::new(Epoch::FIRST, n, NodeId::new(node + 1))
}

/// A log with one entry for each ballot, first proposed in it.
pub(crate) fn entries(origins: &[Ballot]) -> Vec<Entry> {
    let mut chain = Chain::EMPTY;
    let mut log = Vec::new();
    for (at, origin) in origins.iter().enumerate() {
        let payload = Bytes::copy_from_slice(&(at as u64).to_le_bytes());
        let kind = EntryKind::Command(Command::sessionless(payload));
        let entry = Entry::new(chain, Slot::new(at as u64 + 1), *origin, kind);
        chain = entry.chain();
        log.push(entry);
    }
    log
}

/// A change that keeps `keep` slots and appends the rest of `log`.
pub(crate) fn change(acc: Ballot, keep: u64, log: &[Entry], commit: u64) -> LogChange {
    LogChange {
        keep: Slot::new(keep),
        entries: log[usize::try_from(keep).unwrap()..].to_vec(),
        acc,
        commit: Slot::new(commit),
        commit_in: acc,
    }
}

/// Three nodes of weight 1, each with this durable log in this ballot, and their votes.
pub(crate) fn ghost(logs: &[(Ballot, &[Ballot])]) -> Ghost {
    let mut ghost = Ghost::new(&vec![1; logs.len()]);
    for (node, (acc, origins)) in logs.iter().enumerate() {
        let last = Slot::new(origins.len() as u64);
        let state = &mut ghost.nodes[node];
        for entry in entries(origins) {
            state.durable.push(&entry);
            state.written.push(&entry);
        }
        (state.acc, state.written_acc, state.voted_to) = (*acc, *acc, last);
        state.promised = *acc;
        ghost.vote(node, *acc, last);
    }
    ghost
}

/// A node in this role that knows so many slots to be decided.
pub(crate) fn status(role: Role, commit: u64) -> Status {
    Status {
        cluster: ClusterId::new(1),
        node: NodeId::new(1),
        epoch: Epoch::FIRST,
        boot: 1,
        role,
        ballot: ballot(1, 0),
        promised: ballot(1, 0),
        acc: ballot(1, 0),
        leader: None,
        happy: true,
        damaged: false,
        applied: Slot::new(commit),
        commit: Slot::new(commit),
        last: Slot::new(commit),
        durable: Slot::new(commit),
        fresh_at: None,
        base: Slot::ZERO,
        log_bytes: 0,
        snapshot: None,
        fetching: None,
        peers: Vec::new(),
    }
}
