//! I20 Exactly once: each command of a session has at most one effect in the chosen sequence, and
//! every execution, on every node, is answered as the sequence demands. Knows nothing about how a
//! client finds out.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.3, "Implementing
//! linearizable semantics": filtering out duplicate requests.

use bytes::Bytes;
use chil_core::{Outcome, Slot};

use super::model::Model;
use super::wishes::Wish;

/// A command has taken effect in a slot of the chosen sequence.
pub(crate) fn executes(slot: Slot, wish: &Wish) -> Result<(), String> {
    if wish.effects.len() <= wish.wanted() {
        return Ok(());
    }
    let slots: Vec<String> = wish.effects.iter().map(Slot::to_string).collect();
    Err(format!(
        "a command that was asked for {} times takes effect in the slots {}: once too often, in \
         slot {slot}",
        wish.wanted(),
        slots.join(", ")
    ))
}

/// A client is told that its command was executed in `slot`, with this reply.
pub(crate) fn check_told(
    model: &Model,
    payload: &Bytes,
    slot: Slot,
    reply: &Bytes,
) -> Result<(), String> {
    let executed = model.executed(slot);
    if executed != Some(payload) {
        return Err(format!(
            "tells a client that its request took effect in slot {slot}, which executed {}",
            executed.map_or("nothing", |_| "something else")
        ));
    }
    match model.outcome(slot) {
        Some(Outcome::Executed { reply: right, .. }) if right == reply => Ok(()),
        outcome => Err(format!(
            "answers the request of slot {slot} with {reply:?} instead of {outcome:?}"
        )),
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
    use super::super::wishes::Wishes;
    use super::*;
    use crate::check::testing::ballot;
    use crate::subject::Subject;

    #[test]
    fn a_second_effect_and_another_reply_are_found() {
        let mut model = Model::new(8, Subject::key_value().oracle());
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
        assert_eq!(check_told(&model, &payload, slot, &reply), Ok(()));
        let wrong = Bytes::from_static(b"wrong");
        assert!(check_told(&model, &payload, slot, &wrong).is_err());
        assert!(check_told(&model, &payload, Slot::new(3), &reply).is_err());

        let mut wishes = Wishes::default();
        wishes.want(1, &payload);
        wishes.want(1, &payload);
        assert_eq!(executes(slot, wishes.executes(slot, &payload)), Ok(()));
        let again = Slot::new(2);
        assert!(executes(again, wishes.executes(again, &payload)).is_err());
        wishes.want(2, &payload);
        let third = Slot::new(3);
        assert!(executes(third, wishes.executes(third, &payload)).is_err());
    }
}
