//! V1 One leader: once nothing goes wrong any more, exactly one node leads, and it hears a quorum.
//! Knows nothing about how far logs are.
//!
//! PROTOCOL.md, "Liveness". Ng et al., "OmniPaxos" (EuroSys '23), section 2: clusters that
//! stay without a leader although a quorum is connected.

use chil_core::{Role, Status};

/// Of the nodes that are up, exactly one leads. Returns its index.
pub(crate) fn check(statuses: &[(usize, Status)]) -> Result<usize, String> {
    let mut leaders = statuses
        .iter()
        .filter(|(_, status)| status.role == Role::Leading)
        .map(|(node, _)| *node);
    if let (Some(leader), None) = (leaders.next(), leaders.next()) {
        return Ok(leader);
    }
    let leading = statuses.iter().filter(|(_, s)| s.role == Role::Leading);
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
        leading.count(),
        states.join("; ")
    ))
}

/// Whoever leads exchanges messages, both ways, with members that weigh more than half.
pub(crate) fn check_connected(
    leader: usize,
    weights: &[u32],
    linked: impl Fn(usize, usize) -> bool,
) -> Result<(), String> {
    let weigh = |counts: &dyn Fn(usize) -> bool| -> u64 {
        let nodes = weights.iter().enumerate();
        let counted = nodes.filter(|(node, _)| counts(*node));
        counted.map(|(_, weight)| u64::from(*weight)).sum()
    };
    let all = weigh(&|_| true);
    let heard = weigh(&|node| node == leader || (linked(leader, node) && linked(node, leader)));
    if heard * 2 > all {
        return Ok(());
    }
    Err(format!(
        "node {leader} leads although it hears a weight of {heard} out of {all} only"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::status;
    use super::*;

    #[test]
    fn no_leader_and_two_leaders_are_found() {
        let (led, follows) = (status(Role::Leading, 3), status(Role::Follower, 3));
        let one = [(0, follows.clone()), (1, led.clone())];
        assert_eq!(check(&one), Ok(1));
        let two = check(&[(0, led.clone()), (1, led)]);
        assert!(two.is_err_and(|what| what.starts_with("2 nodes lead")));
        let none = check(&[(0, follows.clone()), (1, follows)]);
        assert!(none.is_err_and(|what| what.starts_with("0 nodes lead")));
    }

    #[test]
    fn a_leader_that_no_quorum_hears_is_found() {
        let weights = [1, 1, 1];
        assert_eq!(check_connected(0, &weights, |_, _| true), Ok(()));
        assert!(check_connected(0, &weights, |_, _| false).is_err());
        // It is heard by everybody, but hears nobody: one way is no connection.
        assert!(check_connected(0, &weights, |from, _| from == 0).is_err());
        // Half is not more than half, and nodes are not counted but weighed.
        assert!(check_connected(0, &[1, 1, 1, 1], |a, b| a + b == 1).is_err());
        assert_eq!(check_connected(0, &[1, 2, 0, 0], |a, b| a + b == 1), Ok(()));
        assert!(check_connected(2, &[1, 2, 0, 0], |a, b| a + b == 2).is_err());
    }
}
