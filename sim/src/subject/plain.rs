//! Judges made of what an embedder has: a sequential model, or another instance of the machine.
//! Knows nothing about sessions: it sees only commands that take effect.

use std::fmt;

use bytes::Bytes;
use chil_core::{Slot, StateMachine};

use super::{Model, Oracle};

/// A model of an embedder's.
#[derive(Clone, Debug)]
pub(super) struct Sequential<M>(pub(super) M);

impl<M: Model> Oracle for Sequential<M> {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        self.0.apply(command)
    }

    fn answer_behind(&self, _slot: Slot, _query: &Bytes) -> Option<Bytes> {
        None
    }

    fn answer(&self, query: &Bytes) -> Bytes {
        self.0.query(query)
    }
}

/// The machine itself, which executes everything once and in one go.
pub(super) struct Fallback(pub(super) Box<dyn StateMachine>);

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fallback").finish()
    }
}

impl Oracle for Fallback {
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes {
        self.0.apply(slot, command)
    }

    fn answer_behind(&self, _slot: Slot, _query: &Bytes) -> Option<Bytes> {
        None
    }

    fn answer(&self, query: &Bytes) -> Bytes {
        self.0.query(query)
    }
}
