//! Unknown is honest: what a client was told to be surely not executed never is.
//! Knows nothing about why it was told so; "unknown" claims nothing.
//!
//! PROTOCOL.md, "Clients": refused, committed and unknown are kept apart.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chil_core::Slot;

/// What was denied to clients, and what was executed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denied {
    denied: BTreeSet<Bytes>,
    executed: BTreeMap<Bytes, Slot>,
}

impl Denied {
    /// A client is told that this command has had and will have no effect. Nobody else sends it.
    pub(crate) fn deny(&mut self, payload: &Bytes) -> Result<(), String> {
        if let Some(slot) = self.executed.get(payload) {
            return Err(format!(
                "tells a client that its command was not executed, but it was, in slot {slot}"
            ));
        }
        self.denied.insert(payload.clone());
        Ok(())
    }

    /// A command is executed in a slot of the chosen sequence.
    pub(crate) fn executes(&mut self, slot: Slot, payload: &Bytes) -> Result<(), String> {
        if self.denied.contains(payload) {
            return Err(format!(
                "slot {slot} executes a command whose client was told that it never will be"
            ));
        }
        self.executed.insert(payload.clone(), slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_command_that_is_executed_before_or_after_is_found() {
        let mut denied = Denied::default();
        let (early, late) = (Bytes::from_static(b"early"), Bytes::from_static(b"late"));
        assert_eq!(denied.executes(Slot::new(1), &early), Ok(()));
        assert!(denied.deny(&early).is_err());
        assert_eq!(denied.deny(&late), Ok(()));
        assert!(denied.executes(Slot::new(2), &late).is_err());
    }
}
