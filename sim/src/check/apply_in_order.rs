//! I17 Applied once and in order: a state machine executes the slot behind the last one that is in
//! its state, and a snapshot only takes it forward. Knows nothing about content.
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

/// A snapshot of `slot` replaces a state in which everything up to `applied` is executed.
pub(crate) fn check_install(applied: Slot, slot: Slot) -> Result<(), String> {
    if slot > applied {
        return Ok(());
    }
    Err(format!(
        "installs a snapshot of slot {slot} after it has executed slot {applied}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_repetitions_are_found() {
        assert_eq!(check(Slot::ZERO, Slot::new(1)), Ok(()));
        assert!(check(Slot::new(1), Slot::new(1)).is_err());
        assert!(check(Slot::new(1), Slot::new(3)).is_err());
        assert_eq!(check_install(Slot::new(1), Slot::new(2)), Ok(()));
        assert!(check_install(Slot::new(2), Slot::new(2)).is_err());
    }
}
