//! Counting votes by weight, and the proof that enough of them came together.
//! Knows nothing about what is voted on. Votes are sets of members, never numbers of messages.

use std::marker::PhantomData;

use crate::membership::Membership;
use crate::types::NodeId;

/// The members of one epoch as positions in a bit set, with their weights.
#[derive(Clone, Debug)]
pub struct Weights {
    ids: Vec<NodeId>,
    weights: Vec<u64>,
    total: u64,
}

/// Marks a quorum of promises.
#[derive(Clone, Copy, Debug)]
pub enum Prepares {}

/// Marks a quorum of acceptances, or of answers to a probe.
#[derive(Clone, Copy, Debug)]
pub enum Accepts {}

/// Proof that the voters hold more than half of the weight. Only [`Weights`] makes one.
///
/// Any two quorums share a member of weight above 0: disjoint ones would weigh more than the
/// whole. Prepare and accept quorums have types of their own, so that one is never used as the
/// other, should they ever come to differ (Howard et al., "Flexible Paxos", 2016).
#[derive(Clone, Copy, Debug)]
pub struct Quorum<Kind> {
    voters: u64,
    kind: PhantomData<Kind>,
}

impl<Kind> Quorum<Kind> {
    /// Whether the member at `position` is one of the voters.
    #[must_use]
    pub const fn contains(&self, position: usize) -> bool {
        self.voters & (1 << position) != 0
    }
}

/// A set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Voters(u64);

impl Voters {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// Whether the member at `position` is one of them.
    #[must_use]
    pub const fn contains(self, position: usize) -> bool {
        self.0 & (1 << position) != 0
    }

    /// Adds the member at `position`. Returns whether it was new.
    pub const fn insert(&mut self, position: usize) -> bool {
        let before = self.0;
        self.0 |= 1 << position;
        self.0 != before
    }
}

impl Weights {
    /// The weights of `membership`.
    #[must_use]
    pub fn new(membership: &Membership) -> Self {
        let ids = membership.members.keys().copied().collect();
        let weights: Vec<u64> = membership
            .members
            .values()
            .map(|m| u64::from(m.weight))
            .collect();
        let total = weights.iter().sum();
        Self {
            ids,
            weights,
            total,
        }
    }

    /// Position of `node` in every vote; `None` for a stranger, whose vote must not count.
    #[must_use]
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.ids.binary_search(&node).ok()
    }

    /// The members in the order of their positions.
    #[must_use]
    pub fn ids(&self) -> &[NodeId] {
        &self.ids
    }

    /// The weight of the member at `position`; 0 for a stranger.
    #[must_use]
    pub fn weight(&self, position: usize) -> u64 {
        self.weights.get(position).copied().unwrap_or(0)
    }

    /// Whether promises of these members fence every older ballot.
    #[must_use]
    pub fn prepare_quorum(&self, voters: Voters) -> Option<Quorum<Prepares>> {
        self.majority(voters).then_some(Quorum {
            voters: voters.0,
            kind: PhantomData,
        })
    }

    /// Whether acceptances of these members decide.
    #[must_use]
    pub fn accept_quorum(&self, voters: Voters) -> Option<Quorum<Accepts>> {
        self.majority(voters).then_some(Quorum {
            voters: voters.0,
            kind: PhantomData,
        })
    }

    /// The highest value that an accept quorum has reached, `reached[position]` being each
    /// member's: the weighted order statistic. With slots it is the last slot decided.
    #[must_use]
    pub fn reached_by_accept_quorum<T: Copy + Ord + Default>(&self, reached: &[T]) -> T {
        let mut best = T::default();
        for &candidate in reached {
            if candidate <= best {
                continue;
            }
            let weight: u64 = reached
                .iter()
                .zip(&self.weights)
                .filter(|(one, _)| **one >= candidate)
                .map(|(_, weight)| *weight)
                .sum();
            if 2 * weight > self.total {
                best = candidate;
            }
        }
        best
    }

    fn majority(&self, voters: Voters) -> bool {
        let weight: u64 = self
            .weights
            .iter()
            .enumerate()
            .filter(|(position, _)| voters.0 & (1 << position) != 0)
            .map(|(_, weight)| *weight)
            .sum();
        2 * weight > self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Member;
    use crate::types::{DiskId, Epoch, Slot};

    fn weights(list: &[u32]) -> Weights {
        let members = list.iter().enumerate().map(|(i, &weight)| Member {
            name: format!("n{i}"),
            disk: DiskId::new(i as u128 + 1),
            addr: String::new(),
            weight,
        });
        Weights::new(&Membership::new(Epoch::FIRST, members).expect("valid by construction"))
    }

    fn voters(positions: &[usize]) -> Voters {
        let mut voters = Voters::NONE;
        for &p in positions {
            voters.insert(p);
        }
        voters
    }

    #[test]
    fn half_is_no_quorum() {
        let w = weights(&[1, 1, 1, 1]);
        assert!(w.accept_quorum(voters(&[0, 1])).is_none());
        assert!(w.accept_quorum(voters(&[0, 1, 3])).is_some());
    }

    #[test]
    fn any_two_quorums_share_a_member_that_counts() {
        for list in [
            &[1, 1, 1][..],
            &[2, 1, 1],
            &[3, 1, 1],
            &[1, 0, 2, 5],
            &[4, 4, 4, 1, 0],
        ] {
            let w = weights(list);
            let sets = 1_u64 << list.len();
            for a in 0..sets {
                for b in 0..sets {
                    let both = w.majority(Voters(a)) && w.majority(Voters(b));
                    let shared: u64 = (0..list.len())
                        .filter(|p| a & b & (1 << p) != 0)
                        .map(|p| w.weight(p))
                        .sum();
                    assert!(
                        !both || shared > 0,
                        "{list:?}: {a:b} and {b:b} are disjoint"
                    );
                }
            }
        }
    }

    #[test]
    fn the_order_statistic_counts_weight() {
        let s = |list: &[u64]| list.iter().map(|&n| Slot::new(n)).collect::<Vec<_>>();
        assert_eq!(
            weights(&[1, 1, 1]).reached_by_accept_quorum(&s(&[9, 4, 7])),
            Slot::new(7)
        );
        // Whoever sorts first, the sum decides: the members' order is that of their ids.
        let w = weights(&[1, 1, 3]);
        let heavy = (0..3)
            .find(|&p| w.weight(p) == 3)
            .expect("one has weight 3");
        let mut reached = s(&[9, 9, 9]);
        if let Some(slot) = reached.get_mut(heavy) {
            *slot = Slot::new(2);
        }
        assert_eq!(w.reached_by_accept_quorum(&reached), Slot::new(2));
    }
}
