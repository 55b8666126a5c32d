//! V5 No churn: once nothing goes wrong any more, nobody starts ballots, and the cluster is quiet.
//! Knows nothing about who leads.
//!
//! PROTOCOL.md, "Liveness". Ng et al., "OmniPaxos" (EuroSys '23), section 2, the chained
//! scenario: two nodes that do not hear each other depose each other for ever.

use chil_core::Ballot;

/// What a node promises at the end, when at an earlier moment at which all was well the newest
/// ballot of the cluster was `newest`: nothing newer. Whoever does not hear the leader may learn
/// of that ballot late.
pub(crate) fn check(newest: Ballot, after: Ballot) -> Result<(), String> {
    if after <= newest {
        return Ok(());
    }
    Err(format!(
        "promises {after}, although the ballot was {newest} and nothing goes wrong any more"
    ))
}

/// How much has happened in a run that should need fewer events than `max`.
pub(crate) fn check_events(events: u64, max: u64, now_us: u64) -> Result<(), String> {
    if events <= max {
        return Ok(());
    }
    Err(format!(
        "the run does not come to rest: {events} events and only {now_us} us have passed"
    ))
}

/// One input makes a replica want so many things at most: far more than what fits into its windows.
const OUTPUTS_MAX: u64 = 1_000_000;

/// How much a replica has wanted since its last input.
pub(crate) fn check_outputs(outputs: u64) -> Result<(), String> {
    if outputs <= OUTPUTS_MAX {
        return Ok(());
    }
    Err(format!(
        "wants something else without end: {outputs} outputs since its last input"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;

    #[test]
    fn another_ballot_and_a_storm_are_found() {
        assert_eq!(check(ballot(1, 0), ballot(1, 0)), Ok(()));
        assert!(check(ballot(1, 0), ballot(2, 0)).is_err());
        assert!(check(ballot(1, 0), ballot(1, 1)).is_err());
        assert_eq!(check(ballot(2, 0), ballot(1, 1)), Ok(()));
        assert_eq!(check_events(5, 5, 1), Ok(()));
        assert!(check_events(6, 5, 1).is_err());
        assert_eq!(check_outputs(OUTPUTS_MAX), Ok(()));
        assert!(check_outputs(OUTPUTS_MAX + 1).is_err());
    }
}
