//! A core that is healed alone must live without the others, whatever those suffer from; and what
//! is no quorum must not pass for one. How cores are drawn is not tested here.

use chil_sim::plan::{Ailment, Left, Plan};
use chil_sim::run::Watch;
use chil_sim::subject::Subject;
use chil_sim::swarm;
use chil_sim::sweep::guarded;

const AILMENTS: [Ailment; 5] = [
    Ailment::Down,
    Ailment::CutOff,
    Ailment::Deaf,
    Ailment::Mute,
    Ailment::Paused,
];

/// A short run of three equal nodes of which these are left behind.
fn plan(left: &[usize], by: Ailment, left_return: bool) -> Plan {
    let mut plan = (0..)
        .map(swarm::short)
        .find(|plan| {
            let ordinary = !plan.cluster.forms && !plan.workload.overload;
            plan.cluster.weights == [1, 1, 1] && ordinary && !plan.faults.is_empty()
        })
        .expect("there are many of these");
    plan.scars.clear();
    plan.gone.clear();
    plan.left = left.iter().map(|node| Left { node: *node, by }).collect();
    plan.left_return = left_return;
    plan
}

#[test]
fn two_of_three_live_without_the_third_and_with_it_once_it_is_back() {
    for by in AILMENTS {
        for node in 0..3 {
            for left_return in [false, true] {
                let plan = plan(&[node], by, left_return);
                plan.check().unwrap();
                let outcome = guarded(&Subject::key_value(), &plan, Watch::default());
                assert_eq!(outcome.violation, None, "{by:?} {node}");
                assert_eq!(
                    (outcome.stats.cores, outcome.stats.left[by as usize]),
                    (1, 1)
                );
            }
        }
    }
}

#[test]
fn a_core_without_a_quorum_is_found_not_to_live() {
    for by in AILMENTS {
        let plan = plan(&[0, 2], by, false);
        // Nobody would draw it, nor is it taken from a file: here it stands for a bug.
        assert!(plan.check().is_err());
        let outcome = guarded(&Subject::key_value(), &plan, Watch::default());
        let found = outcome.violation.map(|violation| violation.check);
        assert_eq!(found, Some("one_leader"), "{by:?}");
    }
}
