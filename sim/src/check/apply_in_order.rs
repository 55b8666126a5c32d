//! I17 Applied once and in order: a life of a node hands out slot 1, 2, 3 and so on.
//! Knows nothing about content.
//!
//! Schneider, "Implementing Fault-Tolerant Services Using the State Machine Approach" (1990).

use chil_core::Slot;

/// `slot` is handed out for execution behind `before`.
pub(crate) fn check(before: Slot, slot: Slot) -> Result<(), String> {
    if slot == before.next() {
        return Ok(());
    }
    Err(format!("executes slot {slot} behind slot {before}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_repetitions_are_found() {
        assert_eq!(check(Slot::ZERO, Slot::new(1)), Ok(()));
        assert!(check(Slot::new(1), Slot::new(1)).is_err());
        assert!(check(Slot::new(1), Slot::new(3)).is_err());
    }
}
