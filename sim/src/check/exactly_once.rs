//! I20 Exactly once: each command of a session has at most one effect in the chosen sequence, and
//! every execution, on every node, is answered as the sequence demands. Knows nothing about how a
//! client finds out.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.3, "Implementing
//! linearizable semantics": filtering out duplicate requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::{Outcome, Slot};

use super::model::Model;

/// Commands that must not be executed twice, by their payload, and where they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once {
    effects: BTreeMap<Bytes, Option<Slot>>,
}

impl Once {
    /// A client with a session wants a command executed that nobody else ever sends.
    pub(crate) fn wants(&mut self, payload: &Bytes) {
        self.effects.entry(payload.clone()).or_default();
    }

    /// A payload is executed in a slot of the chosen sequence.
    pub(crate) fn executes(&mut self, slot: Slot, payload: &Bytes) -> Result<(), String> {
        let Some(effect) = self.effects.get_mut(payload) else {
            return Ok(());
        };
        match effect {
            Some(first) => Err(format!(
                "one request of a session takes effect in slot {first} and again in slot {slot}"
            )),
            None => {
                *effect = Some(slot);
                Ok(())
            }
        }
    }

    /// A client is told that its command was executed in `slot`, with this reply.
    pub(crate) fn check_told(
        &self,
        model: &Model,
        payload: &Bytes,
        slot: Slot,
        reply: &Bytes,
    ) -> Result<(), String> {
        let effect = self.effects.get(payload).copied().flatten();
        if effect != Some(slot) {
            return Err(format!(
                "tells a client that its request took effect in slot {slot}, but it did in {}",
                effect.map_or_else(|| "none".to_owned(), |slot| slot.to_string())
            ));
        }
        match model.outcome(slot) {
            Some(Outcome::Executed { reply: right, .. }) if right == reply => Ok(()),
            outcome => Err(format!(
                "answers the request of slot {slot} with {reply:?} instead of {outcome:?}"
            )),
        }
    }
}

/// A node executes `slot`, and this comes of it.
pub(crate) fn check(model: &Model, slot: Slot, outcome: &Outcome) -> Result<(), String> {
    match model.outcome(slot) {
        Some(right) if right == outcome => Ok(()),
        right => Err(format!(
            "executes slot {slot} with the outcome {outcome:?} instead of {right:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::entries;
    use super::*;
    use crate::check::testing::ballot;

    #[test]
    fn a_second_effect_and_another_reply_are_found() {
        let mut model = Model::new(8);
        let log = entries(&[ballot(1, 0), ballot(1, 0)]);
        for entry in &log {
            model.take(entry);
        }
        let slot = Slot::new(1);
        let right = model.outcome(slot).unwrap().clone();
        assert_eq!(check(&model, slot, &right), Ok(()));
        assert!(check(&model, slot, &Outcome::StaleSeq).is_err());
        assert!(check(&model, Slot::new(3), &right).is_err());

        let payload = model.executed(slot).unwrap().clone();
        let Outcome::Executed { reply, .. } = right else {
            panic!("a command is executed");
        };
        let mut once = Once::default();
        once.wants(&payload);
        assert!(once.check_told(&model, &payload, slot, &reply).is_err());
        assert_eq!(once.executes(slot, &payload), Ok(()));
        assert_eq!(once.check_told(&model, &payload, slot, &reply), Ok(()));
        let wrong = Bytes::from_static(b"wrong");
        assert!(once.check_told(&model, &payload, slot, &wrong).is_err());
        assert!(once.executes(Slot::new(2), &payload).is_err());
    }
}
