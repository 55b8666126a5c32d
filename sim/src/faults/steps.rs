//! Faults that change while they last: links that flap, and swizzles.
//! Knows nothing about what else a fault may be.

use chil_core::Lane;

use crate::plan::FaultKind;
use crate::world::{Event, World};

impl World {
    /// The next step of a fault: step 0 is its begin.
    pub(crate) fn fault_step(&mut self, index: usize, step: usize) {
        if self.healing {
            return;
        }
        let (fault, end) = (self.plan.faults[index].clone(), self.end_of(index));
        let next = match &fault.kind {
            FaultKind::Flap {
                links,
                down_us,
                up_us,
            } => {
                let falls = step.is_multiple_of(2);
                self.bend(links, &Lane::ALL, falls);
                if falls {
                    // What is down when its time is over comes up then.
                    Some(end.min(self.now + down_us * 1_000))
                } else {
                    let next = self.now + up_us * 1_000;
                    (next < end).then_some(next)
                }
            }
            FaultKind::Swizzle { clogs, frees } => {
                let begin = fault.at_us * 1_000;
                self.clog_next(clogs, frees, step, (begin, end))
            }
            _ => None,
        };
        if let Some(at) = next {
            let step = step + 1;
            self.schedule(at, Event::Step { index, step });
        }
    }

    /// Clogs all links of the next node of a swizzle until it is its turn to be released. Returns
    /// when the one behind it has its turn.
    fn clog_next(
        &mut self,
        clogs: &[usize],
        frees: &[usize],
        step: usize,
        (begin, end): (u64, u64),
    ) -> Option<u64> {
        let node = *clogs.get(step)?;
        let turns = 2 * clogs.len() as u64;
        let turn = |nth: usize| begin + end.saturating_sub(begin) * nth as u64 / turns;
        let rank = frees.iter().position(|it| *it == node).unwrap_or(0);
        let until = turn(clogs.len() + rank + 1);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.network.clog(node, other, until);
            self.network.clog(other, node, until);
        }
        (step + 1 < clogs.len()).then(|| turn(step + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Plan, Target};
    use crate::run::Watch;
    use crate::subject::Subject;

    /// Three nodes, no traffic that matters, and this fault from 1 ms on.
    fn world(for_us: u64, kind: FaultKind) -> World {
        let mut plan: Plan = crate::scenario::plan_of(&[1, 1, 1], 1);
        plan.faults = vec![Fault {
            at_us: 1_000,
            for_us,
            kind,
        }];
        plan.check().unwrap();
        World::new(&plan, &Subject::key_value(), Watch::default()).unwrap()
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn links_that_flap_are_down_and_up_in_turns_and_up_at_the_end() {
        let mut world = world(
            10_000,
            FaultKind::Flap {
                links: vec![(0, 1)],
                down_us: 2_000,
                up_us: 1_000,
            },
        );
        let mut down = Vec::new();
        for ms in 0..15 {
            world.run_until(ms * MS + MS / 2).unwrap();
            assert!(!world.network.is_cut(1, 0, Lane::Bulk));
            if world.network.is_cut(0, 1, Lane::Bulk) {
                down.push(ms);
            }
        }
        // Down from 1, 4, 7 and 10 ms on; the last time cut short by the end of the fault.
        assert_eq!(down, [1, 2, 4, 5, 7, 8, 10]);
    }

    #[test]
    fn a_swizzle_clogs_in_one_order_and_releases_in_another() {
        let mut world = world(
            40_000,
            FaultKind::Swizzle {
                clogs: vec![2, 0],
                frees: vec![0, 2],
            },
        );
        // When something that is sent at this time would arrive.
        let mut arrives = |ms: u64, from, to| {
            world.run_until(ms * MS).unwrap();
            let fate = world.network.clone().send(ms * MS, from, to, Lane::Bulk);
            fate.first.unwrap() / MS
        };
        assert!(arrives(2, 0, 1) < 11, "only node 2 is clogged so far");
        assert_eq!(arrives(2, 2, 1), 41);
        assert_eq!(arrives(12, 1, 0), 31, "node 0 is released first");
        assert_eq!(arrives(12, 0, 2), 41);
        assert!(arrives(32, 0, 1) < 41);
        assert_eq!(arrives(32, 1, 2), 41);
        assert!(arrives(42, 1, 2) > 41);
    }

    #[test]
    fn what_comes_to_a_slow_node_waits_in_order_and_not_beyond_the_fault() {
        let kind = FaultKind::SlowNode {
            node: Target::Node(1),
            handle_us: 300,
        };
        let mut world = world(1_000, kind);
        world.run_until(MS + 1).unwrap();
        let state = &mut world.nodes[1];
        let turns: Vec<u64> = (0..5).map(|_| state.queues_up(MS + 1)).collect();
        let first = MS + 1 + 300_000;
        let expected = [first, first + 300_000, first + 600_000, 2 * MS, 2 * MS];
        assert_eq!(turns, expected);
    }
}
