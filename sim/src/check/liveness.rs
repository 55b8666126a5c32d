//! V1, V2, V3, V5: once nothing goes wrong any more, one node leads, all agree how far they are,
//! clients are answered, and nobody starts ballots. Knows nothing about safety.
//!
//! PROTOCOL.md, "Liveness". Nawab Cheema et al., "OmniPaxos" (EuroSys '23), section 2: clusters that
//! stay without progress although a quorum is connected.

use chil_core::{Ballot, Role, Slot, Status};

/// V1: of the nodes that are up, exactly one leads.
pub(crate) fn one_leads(statuses: &[(usize, Status)]) -> Result<(), String> {
    let leaders: Vec<usize> = statuses
        .iter()
        .filter(|(_, status)| status.role == Role::Leading)
        .map(|(node, _)| *node)
        .collect();
    if leaders.len() == 1 {
        return Ok(());
    }
    let states: Vec<String> = statuses
        .iter()
        .map(|(node, s)| {
            format!(
                "node {node} is {:?} in {}, promised {}, follows {}, {}",
                s.role,
                s.ballot,
                s.promised,
                s.leader
                    .map_or_else(|| "nobody".to_owned(), |l| l.to_string()),
                if s.happy { "happy" } else { "unhappy" }
            )
        })
        .collect();
    Err(format!(
        "{} nodes lead although nothing has gone wrong for a while: {}",
        leaders.len(),
        states.join("; ")
    ))
}

/// V1: whoever leads hears a quorum.
pub(crate) fn leads_a_quorum(leader: usize, able: bool) -> Result<(), String> {
    if able {
        return Ok(());
    }
    Err(format!(
        "node {leader} leads although it does not hear a quorum"
    ))
}

/// V2: all nodes that are up know the same slots to be decided, and more than `before`.
pub(crate) fn all_advance(statuses: &[(usize, Status)], before: Slot) -> Result<(), String> {
    let commits: Vec<Slot> = statuses.iter().map(|(_, status)| status.commit).collect();
    let equal = commits.windows(2).all(|pair| pair[0] == pair[1]);
    match commits.first() {
        Some(first) if equal && *first > before => Ok(()),
        _ => Err(format!(
            "the commits of the nodes that are up are {commits:?}: they should be equal and \
             behind slot {before}"
        )),
    }
}

/// V2, when nothing was written meanwhile: all nodes that are up know the same slots.
pub(crate) fn all_equal(statuses: &[(usize, Status)]) -> Result<(), String> {
    let commits: Vec<Slot> = statuses.iter().map(|(_, status)| status.commit).collect();
    if commits.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    Err(format!(
        "the commits of the nodes that are up are {commits:?}: they should be equal"
    ))
}

/// V3: an operation that began when all was well has not been answered.
pub(crate) fn answered(unanswered: usize, of: usize, example: &str) -> Result<(), String> {
    if unanswered == 0 {
        return Ok(());
    }
    Err(format!(
        "{unanswered} of {of} operations that began after the healing got no answer, such as \
         {example}"
    ))
}

/// V5: a node's promise did not change between two moments at which all was well.
pub(crate) fn no_churn(before: Ballot, after: Ballot) -> Result<(), String> {
    if before == after {
        return Ok(());
    }
    Err(format!(
        "promises {after} after it had promised {before}, although nothing goes wrong any more"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;

    fn status(role: Role, commit: u64) -> Status {
        Status {
            cluster: chil_core::ClusterId::new(1),
            node: chil_core::NodeId::new(1),
            epoch: chil_core::Epoch::FIRST,
            boot: 1,
            role,
            ballot: ballot(1, 0),
            promised: ballot(1, 0),
            acc: ballot(1, 0),
            leader: None,
            happy: true,
            damaged: false,
            applied: Slot::new(commit),
            commit: Slot::new(commit),
            last: Slot::new(commit),
            durable: Slot::new(commit),
            peers: Vec::new(),
        }
    }

    #[test]
    fn no_leader_and_two_leaders_are_found() {
        let (led, follows) = (status(Role::Leading, 3), status(Role::Follower, 3));
        let one = [(0, led.clone()), (1, follows.clone())];
        assert_eq!(one_leads(&one), Ok(()));
        assert!(one_leads(&[(0, led.clone()), (1, led)]).is_err());
        assert!(one_leads(&[(0, follows.clone()), (1, follows)]).is_err());
    }

    #[test]
    fn a_leader_that_no_quorum_hears_is_found() {
        assert_eq!(leads_a_quorum(0, true), Ok(()));
        assert!(leads_a_quorum(0, false).is_err());
    }

    #[test]
    fn lagging_and_standing_still_are_found() {
        let at = |commit| status(Role::Follower, commit);
        let even = [(0, at(3)), (1, at(3))];
        assert_eq!(all_advance(&even, Slot::new(2)), Ok(()));
        assert!(all_advance(&even, Slot::new(3)).is_err());
        assert!(all_advance(&[(0, at(3)), (1, at(2))], Slot::new(1)).is_err());
        assert_eq!(all_equal(&even), Ok(()));
        assert!(all_equal(&[(0, at(3)), (1, at(2))]).is_err());
    }

    #[test]
    fn silence_and_churn_are_found() {
        assert_eq!(answered(0, 5, ""), Ok(()));
        assert!(answered(1, 5, "a read").is_err());
        assert_eq!(no_churn(ballot(1, 0), ballot(1, 0)), Ok(()));
        assert!(no_churn(ballot(1, 0), ballot(2, 0)).is_err());
    }
}
