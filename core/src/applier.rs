//! The apply loop: executes decided entries in order, each number of a session once, and says when to snapshot.
//! Knows nothing about how entries were decided, who waits for their outcome, or where snapshots are kept.

use std::io::Read;

use xxhash_rust::xxh3::xxh3_128;

use crate::command::{Chain, Entry, EntryKind};
use crate::membership::Membership;
use crate::session::{Admission, Outcome, SessionLimits, Sessions};
use crate::snapshot::{
    FrozenSnapshot, SnapshotError, SnapshotHeader, SnapshotId, SnapshotPolicy, SnapshotReader,
};
use crate::state_machine::StateMachine;
use crate::types::{Ballot, ClientId, Slot};

/// Executes decided entries one after the other, and owns the session table.
///
/// Its whole state (machine, sessions, and how far the next snapshot is) is a function of the log
/// up to `applied`.
#[derive(Clone)]
pub struct Applier<S> {
    machine: S,
    sessions: Sessions,
    applied: Slot,
    chain: Chain,
    policy: SnapshotPolicy,
    /// What was executed behind the last snapshot point.
    since_point: SincePoint,
    snapshot_due: bool,
    /// A restore failed half-way.
    broken: bool,
}

/// How much log lies behind the last snapshot point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SincePoint {
    pub(crate) slots: u64,
    pub(crate) bytes: u64,
}

/// What executing one entry yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The slot executed.
    pub slot: Slot,
    /// The ballot that first proposed it: together with the slot, whose entry it was.
    pub origin: Ballot,
    /// What became of it.
    pub outcome: Outcome,
}

impl<S: StateMachine> Applier<S> {
    /// An applier for a machine that has executed nothing yet, with the usual limits.
    #[must_use]
    pub fn new(machine: S) -> Self {
        Self::with_limits(machine, SnapshotPolicy::default(), SessionLimits::default())
    }

    /// An applier for a machine that has executed nothing yet.
    #[must_use]
    pub fn with_limits(machine: S, policy: SnapshotPolicy, limits: SessionLimits) -> Self {
        Self {
            machine,
            sessions: Sessions::new(limits),
            applied: Slot::ZERO,
            chain: Chain::EMPTY,
            policy,
            since_point: SincePoint::default(),
            snapshot_due: false,
            broken: false,
        }
    }

    /// Executes `entry`.
    ///
    /// # Panics
    /// If it is not the entry behind the last one executed, or a restore failed before: executing
    /// anything else would let this node's state differ from the others' for ever.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        assert!(!self.broken, "a restore failed: the state is not usable");
        assert!(
            entry.follows(self.applied, self.chain),
            "entry {entry} does not follow slot {} with chain {}",
            self.applied,
            self.chain
        );
        let outcome = self.execute(entry);
        self.applied = entry.slot();
        self.chain = entry.chain();
        self.since_point.slots += 1;
        self.since_point.bytes += entry.cost();
        self.snapshot_due = self.policy.slots <= self.since_point.slots
            || self.policy.bytes <= self.since_point.bytes;
        if self.snapshot_due {
            self.since_point = SincePoint::default();
        }
        Applied {
            slot: entry.slot(),
            origin: entry.origin(),
            outcome,
        }
    }

    fn execute(&mut self, entry: &Entry) -> Outcome {
        let slot = entry.slot();
        let command = match entry.kind() {
            EntryKind::Register { nonce } => return self.sessions.register(slot, *nonce),
            EntryKind::Command(command) => command,
        };
        if command.client == ClientId::NONE {
            let reply = self.machine.apply(slot, &command.payload);
            return Outcome::Executed { slot, reply };
        }
        match self.sessions.admit(slot, command) {
            Admission::Answer(outcome) => outcome,
            Admission::Execute { payload_hash } => {
                let reply = self.machine.apply(slot, &command.payload);
                self.sessions
                    .executed(slot, command, payload_hash, reply.clone());
                Outcome::Executed { slot, reply }
            }
        }
    }

    /// Whether the entry executed last ends at a snapshot point: freeze before the next one, or
    /// leave this point out. The points depend on the log and the policy alone, so every member
    /// takes its snapshots at the same slots.
    #[must_use]
    pub const fn snapshot_due(&self) -> bool {
        self.snapshot_due
    }

    /// The state as it is now, as a snapshot to be written elsewhere while this goes on.
    ///
    /// # Panics
    /// If the membership says that sessions are kept under other limits than they are here: this
    /// state would not be the one that the other members share.
    #[must_use]
    pub fn freeze(&self, membership: &Membership) -> FrozenSnapshot {
        let limits = self.sessions.limits();
        assert!(
            membership.sessions == limits,
            "the members agreed to keep {}, but this state was kept with {limits}",
            membership.sessions
        );
        let header = SnapshotHeader {
            slot: self.applied,
            chain: self.chain,
            membership: membership.clone(),
            state_digest: self.digest(),
            since_point: self.since_point,
        };
        FrozenSnapshot::new(header, self.sessions.freeze(), self.machine.freeze())
    }

    /// Replaces everything by the snapshot `id`, whose bytes are `from`. Afterwards the entry
    /// behind its slot is the next one.
    ///
    /// # Errors
    /// If the bytes are not that snapshot, or the state that comes of them is not the one that
    /// was frozen. This applier must then not be used any more: restore into a new one.
    pub fn restore(
        &mut self,
        id: &SnapshotId,
        from: &mut dyn Read,
    ) -> Result<SnapshotHeader, SnapshotError> {
        self.broken = true;
        let mut reader = SnapshotReader::new(from);
        let header = reader.header()?;
        if (header.slot, header.chain) != (id.slot, id.chain) {
            return Err(SnapshotError::OtherSnapshot);
        }
        let limits = self.sessions.limits();
        if header.membership.sessions != limits {
            return Err(SnapshotError::OtherLimits {
                found: header.membership.sessions,
                expected: limits,
            });
        }
        self.sessions = reader.sessions(&header)?;
        self.machine.restore(&mut reader)?;
        if reader.finish(&header)? != *id {
            return Err(SnapshotError::OtherSnapshot);
        }
        if self.digest() != header.state_digest {
            return Err(SnapshotError::OtherState {
                found: self.digest(),
                expected: header.state_digest,
            });
        }
        self.applied = header.slot;
        self.chain = header.chain;
        self.since_point = header.since_point;
        self.snapshot_due = false;
        self.broken = false;
        Ok(header)
    }

    /// The last slot executed.
    #[must_use]
    pub const fn applied(&self) -> Slot {
        self.applied
    }

    /// Chain of the log at the last slot executed.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The machine, for queries.
    #[must_use]
    pub const fn machine(&self) -> &S {
        &self.machine
    }

    /// What the sessions are kept under.
    #[must_use]
    pub const fn session_limits(&self) -> SessionLimits {
        self.sessions.limits()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions.len()
    }

    /// Digest of the state after the last slot executed: of the machine and of the sessions.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut bytes = [0_u8; 32];
        let (machine, sessions) = bytes.split_at_mut(16);
        machine.copy_from_slice(&self.machine.digest().to_be_bytes());
        sessions.copy_from_slice(&self.sessions.digest().to_be_bytes());
        xxh3_128(&bytes)
    }
}

impl<S> std::fmt::Debug for Applier<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier")
            .field("applied", &self.applied)
            .field("chain", &self.chain)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
