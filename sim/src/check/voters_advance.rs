//! V2 Voters advance: once nothing goes wrong any more, all voters that are up know the same slots
//! to be decided, and, when something was written meanwhile, more than before; and they vote.
//! Knows nothing about who leads.
//!
//! PROTOCOL.md, "Liveness".

use chil_core::{Ballot, Slot};

/// What each voter that is up knows to be decided; `before` is what was known when all was well
/// already, if anything was written since.
pub(crate) fn check(commits: &[(usize, Slot)], before: Option<Slot>) -> Result<(), String> {
    let equal = commits.windows(2).all(|pair| match pair {
        [(_, a), (_, b)] => a == b,
        _ => true,
    });
    if !equal {
        return Err(format!(
            "the commits of the voters that are up are {}: they should be equal",
            shown(commits)
        ));
    }
    match (commits.first(), before) {
        (Some((_, commit)), Some(before)) if *commit <= before => Err(format!(
            "the commits of the voters that are up are {}: writes were asked for since they were \
             {before}, so they should be behind that",
            shown(commits)
        )),
        (None, _) => Err("no voter is up".to_owned()),
        _ => Ok(()),
    }
}

/// In which ballot each voter that hears the leader accepts, when all has been well for a while: in
/// the leader's. Whoever only learns what is decided is no help when another voter fails.
pub(crate) fn check_votes(accepts: &[(usize, Ballot)], leads: Ballot) -> Result<(), String> {
    match accepts.iter().find(|(_, acc)| *acc != leads) {
        None => Ok(()),
        Some((node, acc)) => Err(format!(
            "node {node} accepts in {acc}, although {leads} has led for a while and hears it"
        )),
    }
}

fn shown(commits: &[(usize, Slot)]) -> String {
    let each = commits
        .iter()
        .map(|(node, at)| format!("node {node}: {at}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;

    #[test]
    fn a_voter_that_only_learns_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        assert_eq!(check_votes(&[(0, two), (1, two)], two), Ok(()));
        let behind = check_votes(&[(0, two), (1, one)], two);
        assert!(behind.is_err_and(|what| what.starts_with("node 1 accepts in")));
    }

    #[test]
    fn standing_still_and_differing_are_found() {
        let at = |slots: &[u64]| -> Vec<(usize, Slot)> {
            slots.iter().map(|s| Slot::new(*s)).enumerate().collect()
        };
        let before = |slot| Some(Slot::new(slot));
        assert_eq!(check(&at(&[3, 3]), before(2)), Ok(()));
        assert_eq!(check(&at(&[3, 3]), None), Ok(()));
        let still = check(&at(&[3, 3]), before(3));
        assert!(still.is_err_and(|what| what.contains("writes were asked for since")));
        let differ = check(&at(&[3, 2, 3]), before(1));
        assert!(differ.is_err_and(|what| what.contains("node 1: 2")));
        assert!(check(&at(&[3, 2]), None).is_err());
        assert!(check(&[], None).is_err());
    }
}
