//! I4 Local equals chosen: the entry that a node executes is the one that was chosen.
//! Knows nothing about how it got there.
//!
//! Schneider, "Implementing Fault-Tolerant Services Using the State Machine Approach" (1990):
//! every non-faulty replica receives every request in the same order.

use chil_core::Entry;

use super::ghost::{Cell, Ghost};

/// A node hands out `entry` as decided; that its slot is chosen is known already.
pub(crate) fn check(ghost: &Ghost, entry: &Entry) -> Result<(), String> {
    let before = ghost.chosen.prefix(entry.slot().prev());
    let mine = before.map(|before| Cell::of(before, entry));
    let chosen = ghost.chosen.get(entry.slot());
    if mine == chosen {
        return Ok(());
    }
    Err(format!(
        "executes {entry}, but in this slot the entry proposed in {} was chosen",
        chosen.map_or_else(|| "no ballot".to_owned(), |cell| cell.origin.to_string())
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, entries, ghost};
    use super::*;

    #[test]
    fn another_entry_than_the_chosen_one_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(one, &[one, one]), (one, &[one, one]), (one, &[])]);
        history.chosen = history.ballots[&one].log.clone();
        assert_eq!(check(&history, &entries(&[one, one])[1]), Ok(()));
        assert!(check(&history, &entries(&[one, two])[1]).is_err());
    }
}
