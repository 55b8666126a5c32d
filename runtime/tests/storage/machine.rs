//! A state machine with a large state, and transfers of its snapshots.
//! Knows nothing about files.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chil::storage::{Disk, Snapshots, StorageError};
use chil_core::snapshot::FrozenSnapshot;
use chil_core::state_machine::{FrozenState, StateMachine};
use chil_core::{Applier, Entry, Slot, SnapshotId};

use crate::model::Model;

/// Bytes of a state: more than one block of a snapshot.
const STATE_LEN: usize = 70_000;

/// Hashes what it executes; its state is a pattern that only this hash gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(u64);

fn pattern(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words
        .take(STATE_LEN / 8)
        .flat_map(u64::to_le_bytes)
        .collect()
}

impl StateMachine for Machine {
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes {
        let first = command.first().copied().unwrap_or(0);
        self.0 = (self.0 ^ slot.get() ^ u64::from(first)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Bytes::new()
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn digest(&self) -> u128 {
        self.0.into()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(self.clone())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut seed = [0; 8];
        from.read_exact(&mut seed)?;
        self.0 = u64::from_le_bytes(seed);
        let mut rest = Vec::new();
        from.read_to_end(&mut rest)?;
        assert!(rest == pattern(self.0), "the state is not what was frozen");
        Ok(())
    }
}

impl FrozenState for Machine {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0.to_le_bytes())?;
        out.write_all(&pattern(self.0))
    }
}

/// A machine that cannot be restored.
#[derive(Debug)]
pub(crate) struct Panicking;

impl StateMachine for Panicking {
    fn apply(&mut self, _: Slot, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn digest(&self) -> u128 {
        0
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Machine::default())
    }

    fn restore(&mut self, _: &mut dyn Read) -> io::Result<()> {
        panic!("as it is meant to");
    }
}

/// Executes what `model` has in its log up to `to`.
pub(crate) fn catch_up(applier: &mut Applier<Machine>, model: &Model, to: Slot) {
    let after = applier.applied();
    let from = usize::try_from(after.distance(model.state.base)).unwrap();
    let count = usize::try_from(to.distance(after)).unwrap();
    execute(applier, &model.state.log[from..from + count]);
}

pub(crate) fn execute(applier: &mut Applier<Machine>, entries: &[Entry]) {
    for entry in entries {
        applier.apply(entry);
    }
}

pub(crate) fn freeze(applier: &Applier<Machine>, model: &Model) -> FrozenSnapshot {
    applier.freeze(&model.state.meta.membership)
}

/// A snapshot as another node has it.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) id: SnapshotId,
    pub(crate) bytes: Vec<u8>,
}

impl Remote {
    pub(crate) fn of(applier: &Applier<Machine>, model: &Model) -> Self {
        let mut bytes = Vec::new();
        let id = freeze(applier, model).write_to(&mut bytes).unwrap();
        Self { id, bytes }
    }

    /// Sends its parts up to `to`, from what is there already.
    pub(crate) fn send<D: Disk>(
        &self,
        snapshots: &mut Snapshots<D>,
        to: usize,
    ) -> Result<(), StorageError> {
        let mut have = usize::try_from(snapshots.have(&self.id)).unwrap();
        while have < to {
            let end = to.min(have + 40_000);
            let now = snapshots.write(&self.id, have as u64, &self.bytes[have..end])?;
            assert_eq!(now, end as u64);
            have = end;
        }
        Ok(())
    }
}

/// A machine whose snapshots take for ever to write, and very long to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sluggish {
    /// Whether somebody works on one.
    pub(crate) busy: Arc<AtomicBool>,
    /// Whether writing one comes to an end.
    pub(crate) ends: bool,
}

/// What is written or read at a time, and how long that takes.
const STEP_LEN: usize = 300 << 10;
const STEP: Duration = Duration::from_millis(50);

impl StateMachine for Sluggish {
    fn apply(&mut self, _: Slot, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn digest(&self) -> u128 {
        0
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(self.clone())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut step = vec![0; STEP_LEN];
        loop {
            from.read_exact(&mut step)?;
            self.busy.store(true, Ordering::Release);
            std::thread::sleep(STEP);
        }
    }
}

impl FrozenState for Sluggish {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let step = vec![7; STEP_LEN];
        if self.ends {
            return (0..100).try_for_each(|_| out.write_all(&step));
        }
        loop {
            out.write_all(&step)?;
            self.busy.store(true, Ordering::Release);
            std::thread::sleep(STEP);
        }
    }
}
