//! I5 Leader completeness: whoever leads has everything that was chosen in a smaller ballot.
//! Knows nothing about how the log was adopted.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.2, P2b: every higher-numbered proposal has the
//! chosen value. Nawab Cheema et al., "OmniPaxos" (EuroSys '23), section 4, the Prepare phase.

use chil_core::{Ballot, Slot};

use super::ghost::{Cells, Ghost};

/// The leader of `ballot` begins with `log`.
pub(crate) fn check_leader(ghost: &Ghost, ballot: Ballot, log: &Cells) -> Result<(), String> {
    let lower = ghost.ballots.range(..ballot);
    let Some((chosen_in, to)) = lower
        .map(|(b, ghost)| (*b, ghost.chosen_to))
        .max_by_key(|(_, to)| *to)
    else {
        return Ok(());
    };
    describe(ghost, chosen_in, to, ballot, log)
}

/// `ballot` has chosen up to `to`: do the leaders of higher ballots have that?
pub(crate) fn check_chosen(ghost: &Ghost, ballot: Ballot, to: Slot) -> Result<(), String> {
    let above = ghost.ballots.range(ballot..).skip(1);
    for (higher, led) in above.filter(|(_, led)| led.adopted.is_some()) {
        if !ghost
            .ballots
            .get(&ballot)
            .is_none_or(|chosen| led.log.agrees(&chosen.log, to))
        {
            return Err(format!(
                "slot {to} becomes chosen in {ballot}, but the leader of {higher} began without it"
            ));
        }
    }
    Ok(())
}

fn describe(
    ghost: &Ghost,
    chosen_in: Ballot,
    to: Slot,
    ballot: Ballot,
    log: &Cells,
) -> Result<(), String> {
    if log.agrees(&ghost.chosen, to) {
        return Ok(());
    }
    match log.first_difference(&ghost.chosen) {
        Some(slot) if slot <= to => Err(format!(
            "leads {ballot} with another entry in slot {slot} than the one chosen in {chosen_in}"
        )),
        _ => Err(format!(
            "leads {ballot} with a log that ends at {}, but slots up to {to} are chosen in \
             {chosen_in}",
            log.last()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn a_leader_without_a_chosen_entry_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 2));
        let mut history = ghost(&[(one, &[one, one]), (one, &[one, one]), (one, &[one])]);
        history.chosen = history.ballots[&one].log.clone();
        history.ballot(one).chosen_to = Slot::new(2);
        let (whole, short) = (
            history.nodes[0].durable.clone(),
            history.nodes[2].durable.clone(),
        );
        assert_eq!(check_leader(&history, two, &whole), Ok(()));
        let found = check_leader(&history, two, &short).unwrap_err();
        assert!(found.contains("ends at 1"), "{found}");
        assert_eq!(
            check_leader(&history, one, &short),
            Ok(()),
            "not above itself"
        );
    }

    #[test]
    fn something_chosen_behind_the_back_of_a_higher_leader_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 2));
        let mut history = ghost(&[(one, &[one, one]), (one, &[one, one]), (two, &[one])]);
        history.ballot(two).adopted = Some((2, Slot::new(1)));
        assert_eq!(check_chosen(&history, one, Slot::new(1)), Ok(()));
        assert!(check_chosen(&history, one, Slot::new(2)).is_err());
    }
}
