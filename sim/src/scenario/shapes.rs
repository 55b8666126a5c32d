//! Which links are missing, by role: 0 is whoever leads when the fault strikes.
//! Knows nothing about which node plays a role, nor about what is missing on a link.

/// Links (from, to), by role.
pub(super) type Links = Vec<(usize, usize)>;

/// Makes the links of a cluster of so many nodes.
pub(super) type Shape = fn(usize) -> Links;

/// Both directions of every pair that is not in `kept`.
fn all_but(nodes: usize, kept: impl Fn(usize, usize) -> bool) -> Links {
    let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    pairs
        .filter(|(a, b)| a != b && !kept(*a.min(b), *a.max(b)))
        .collect()
}

/// Nobody hears the leader, nor the leader anybody.
pub(super) fn leader_alone(nodes: usize) -> Links {
    all_but(nodes, |a, _| a != 0)
}

/// The leader is gone, and two of the others do not hear each other.
pub(super) fn rivals(nodes: usize) -> Links {
    all_but(nodes, |a, b| a != 0 && (a, b) != (1, 2))
}

/// Everybody hears one follower only (OmniPaxos, section 2, quorum loss).
pub(super) fn star_of_a_follower(nodes: usize) -> Links {
    all_but(nodes, |a, b| a == 1 || b == 1)
}

/// Everybody hears the leader only.
pub(super) fn star_of_the_leader(nodes: usize) -> Links {
    all_but(nodes, |a, _| a == 0)
}

/// The leader is gone, and of the others everybody hears one only (OmniPaxos, section 2,
/// constrained election: that one's log is the shortest).
pub(super) fn star_without_the_leader(nodes: usize) -> Links {
    all_but(nodes, |a, _| a == 1)
}

/// A path that begins at the leader (OmniPaxos, section 2, chained).
pub(super) fn path_from_the_leader(nodes: usize) -> Links {
    all_but(nodes, |a, b| b - a == 1)
}

/// A path with the leader in its middle.
pub(super) fn path_through_the_leader(nodes: usize) -> Links {
    let middle = nodes / 2;
    // Where each role stands on the path: the leader in the middle, the others around it.
    let place = move |role: usize| match role {
        0 => middle,
        role if role <= middle => role - 1,
        role => role,
    };
    all_but(nodes, |a, b| place(a).abs_diff(place(b)) == 1)
}

/// The leader and one follower do not hear each other; all else works.
pub(super) fn one_link(_: usize) -> Links {
    vec![(0, 1), (1, 0)]
}

/// A quorum that hears each other, of which one node still hears the leader; the rest is cut off
/// (databendlabs/openraft#2080: there the leader's heartbeats keep that node, and so the quorum,
/// from electing anybody).
pub(super) fn bridge_to_the_leader(nodes: usize) -> Links {
    let quorum = 1..=nodes / 2 + 1;
    all_but(nodes, |a, b| {
        (a, b) == (0, 1) || (quorum.contains(&a) && quorum.contains(&b))
    })
}

/// Two halves, and one follower that hears both.
pub(super) fn bridge_between_halves(nodes: usize) -> Links {
    let with_leader = |role: usize| role == 0 || (role > 1 && role <= nodes / 2);
    all_but(nodes, |a, b| {
        a == 1 || b == 1 || with_leader(a) == with_leader(b)
    })
}

/// A quorum around the leader, with one leaf that only a follower hears and one that only the
/// leader hears (databendlabs/openraft#2111).
pub(super) fn two_leaves(nodes: usize) -> Links {
    all_but(nodes, |a, b| matches!((a, b), (0, 1 | 2 | 4) | (1, 2 | 3)))
}

/// What the leader says gets nowhere.
pub(super) fn leader_mute(nodes: usize) -> Links {
    (1..nodes).map(|to| (0, to)).collect()
}

/// Nothing gets to the leader.
pub(super) fn leader_deaf(nodes: usize) -> Links {
    (1..nodes).map(|from| (from, 0)).collect()
}

/// What the leader says gets to a minority only.
pub(super) fn leader_half_mute(nodes: usize) -> Links {
    (1..=nodes / 2 + 1).map(|to| (0, to)).collect()
}

/// What one follower says does not get to the leader.
pub(super) fn follower_mute(_: usize) -> Links {
    vec![(1, 0)]
}

/// What the leader says does not get to one follower.
pub(super) fn follower_deaf(_: usize) -> Links {
    vec![(0, 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whom each of `nodes` hears both ways.
    fn hears(links: &Links, nodes: usize) -> Vec<Vec<usize>> {
        let linked = |a, b| a != b && !links.contains(&(a, b)) && !links.contains(&(b, a));
        let of = |a| (0..nodes).filter(|b| linked(a, *b)).collect();
        (0..nodes).map(of).collect()
    }

    #[test]
    fn the_shapes_are_what_they_are_called() {
        let rivals = hears(&rivals(5), 5);
        assert_eq!(
            rivals,
            [vec![], vec![3, 4], vec![3, 4], vec![1, 2, 4], vec![1, 2, 3]]
        );
        let star = hears(&star_of_a_follower(5), 5);
        assert_eq!(star, [vec![1], vec![0, 2, 3, 4], vec![1], vec![1], vec![1]]);
        let path = hears(&path_from_the_leader(4), 4);
        assert_eq!(path, [vec![1], vec![0, 2], vec![1, 3], vec![2]]);
        let through = hears(&path_through_the_leader(5), 5);
        assert_eq!(
            through,
            [vec![2, 3], vec![2], vec![0, 1], vec![0, 4], vec![3]]
        );
        let bridge = hears(&bridge_to_the_leader(5), 5);
        assert_eq!(
            bridge,
            [vec![1], vec![0, 2, 3], vec![1, 3], vec![1, 2], vec![]]
        );
        let halves = hears(&bridge_between_halves(5), 5);
        assert_eq!(
            halves,
            [
                vec![1, 2],
                vec![0, 2, 3, 4],
                vec![0, 1],
                vec![1, 4],
                vec![1, 3]
            ]
        );
        let leaves = hears(&two_leaves(5), 5);
        assert_eq!(
            leaves,
            [vec![1, 2, 4], vec![0, 2, 3], vec![0, 1], vec![1], vec![0]]
        );
        assert_eq!(hears(&leader_mute(3), 3), [vec![], vec![2], vec![1]]);
        assert_eq!(leader_mute(3), [(0, 1), (0, 2)]);
        assert_eq!(leader_deaf(3), [(1, 0), (2, 0)]);
        assert_eq!(hears(&leader_half_mute(5), 5)[0], [4]);
    }
}
