//! Named scenarios of partial connectivity and failing leaders, and how long the cluster takes to
//! recover from each. Knows nothing about random faults: `crate::swarm` draws those.
//!
//! A scenario is a shape of missing links around *whoever leads at that moment*, which differs
//! from seed to seed; a plan names nodes by their index. That is why these are built in code.

mod layout;
mod measure;
mod shapes;
mod table;

#[cfg(test)]
pub(crate) use measure::plan_of;
pub use measure::{Measured, measure};
pub use table::{Limits, MEDIAN_OF, Row, Table, table};

use crate::plan::{LaneName, Plan};
use shapes::Shape;

/// A fault with a name, and the clusters in which it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub about: &'static str,
    /// The weights of each cluster's members; each seed shuffles them.
    pub clusters: &'static [&'static [u32]],
    /// Whether whoever leads stays connected to a quorum, and so must go on leading.
    pub leader_stays: bool,
    /// What is fast enough.
    pub limits: Limits,
    trouble: Trouble,
}

/// What goes wrong, by role; it lasts to the end of the measurement.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Links are cut.
    Cut(Shape),
    /// The same, but one follower was away before and lacks what was decided meanwhile.
    CutBehind(Shape),
    /// Some lanes of links are cut.
    Lanes(Shape, &'static [LaneName]),
    /// Links are cut for so many tenths of a round, then work for so many, and so on.
    Flap(Shape, u64, u64),
    /// A disk does not answer any more.
    Stall(usize),
    /// The process of the leader is gone.
    Crash,
    /// The same, and what a follower lacks is trimmed and does not get to it. It is the one with
    /// the highest number, whose ballot wins among those that begin at the same moment.
    CrashBehind,
}

impl Trouble {
    /// Whether the roles are given to nodes that it can happen to.
    fn casts(self, roles: &[usize]) -> bool {
        !matches!(self, Self::CrashBehind) || roles.get(1) == roles.iter().max()
    }

    /// Makes the limits of the cluster such that it can happen within the measurement.
    const fn prepare(self, plan: &mut Plan) {
        if let Self::CrashBehind = self {
            plan.cluster.lag_limit = 8;
            plan.snapshots.slots = 8;
            plan.snapshots.log_tail_bytes = 256;
            plan.snapshots.log_keep_bytes_max = 512;
        }
    }
}

/// Everything but heartbeats.
const DATA: &[LaneName] = &[LaneName::Quorum, LaneName::Bulk];

const THREE: &[u32] = &[1, 1, 1];
const FIVE: &[u32] = &[1, 1, 1, 1, 1];
const SEVEN: &[u32] = &[1, 1, 1, 1, 1, 1, 1];
const HEAVY: &[u32] = &[2, 1, 1];
const UNEQUAL: &[u32] = &[3, 2, 2, 1, 1];
const OBSERVED: &[u32] = &[1, 1, 1, 0];

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    loses(
        "leader_crashes",
        "the leader's process is gone",
        &[THREE, FIVE, SEVEN, UNEQUAL, OBSERVED],
        Trouble::Crash,
    ),
    loses(
        "crash_with_one_behind",
        "the leader's process is gone, and one follower lacks what gets to it from nobody",
        &[FIVE, SEVEN, UNEQUAL],
        Trouble::CrashBehind,
    ),
    loses(
        "leader_isolated",
        "the leader hears nobody and nobody hears it",
        &[THREE, FIVE, SEVEN, UNEQUAL, OBSERVED],
        Trouble::Cut(shapes::leader_alone),
    ),
    loses(
        "rivals",
        "the leader is cut off, and two of the others do not hear each other",
        &[FIVE, SEVEN, UNEQUAL],
        Trouble::Cut(shapes::rivals),
    ),
    // A leader that noticed the loss of its quorum only by its own probes would take half a round
    // more than one that says at once that it is unhappy.
    within(
        3_700,
        loses(
            "quorum_loss",
            "everybody hears one follower only",
            &[FIVE, SEVEN, HEAVY, UNEQUAL],
            Trouble::Cut(shapes::star_of_a_follower),
        ),
    ),
    loses(
        "constrained_election",
        "the leader is cut off, and all others hear only the one of them that lies behind",
        &[THREE, FIVE, SEVEN, UNEQUAL],
        Trouble::CutBehind(shapes::star_without_the_leader),
    ),
    keeps(
        "chained",
        "a path of links with the leader in its middle",
        &[THREE, FIVE],
        Trouble::Cut(shapes::path_through_the_leader),
    ),
    keeps(
        "chained_at_the_end",
        "a path of three that begins at the leader",
        &[THREE],
        Trouble::Cut(shapes::path_from_the_leader),
    ),
    loses(
        "chained_without_quorum",
        "a path that begins at the leader, too long for it",
        &[FIVE, HEAVY],
        Trouble::Cut(shapes::path_from_the_leader),
    ),
    keeps(
        "one_link",
        "the leader and one follower do not hear each other",
        &[THREE, FIVE, SEVEN, UNEQUAL, OBSERVED],
        Trouble::Cut(shapes::one_link),
    ),
    loses(
        "bridge_to_the_leader",
        "a connected quorum of which one node still hears the leader",
        &[FIVE, SEVEN],
        Trouble::Cut(shapes::bridge_to_the_leader),
    ),
    keeps(
        "bridge_between_halves",
        "two halves and one follower that hears both",
        &[FIVE, SEVEN],
        Trouble::Cut(shapes::bridge_between_halves),
    ),
    keeps(
        "star_of_the_leader",
        "everybody hears the leader only",
        &[THREE, FIVE, SEVEN],
        Trouble::Cut(shapes::star_of_the_leader),
    ),
    keeps(
        "two_leaves",
        "a quorum around the leader, and two nodes that hear one of it each",
        &[FIVE],
        Trouble::Cut(shapes::two_leaves),
    ),
    loses(
        "leader_mute",
        "what the leader says gets nowhere",
        &[THREE, FIVE, SEVEN, UNEQUAL, OBSERVED],
        Trouble::Cut(shapes::leader_mute),
    ),
    loses(
        "leader_deaf",
        "nothing gets to the leader",
        &[THREE, FIVE, SEVEN, UNEQUAL, OBSERVED],
        Trouble::Cut(shapes::leader_deaf),
    ),
    loses(
        "leader_half_mute",
        "what the leader says gets to a minority only",
        &[FIVE, SEVEN],
        Trouble::Cut(shapes::leader_half_mute),
    ),
    keeps(
        "follower_mute",
        "what one follower says does not get to the leader",
        &[THREE, FIVE],
        Trouble::Cut(shapes::follower_mute),
    ),
    keeps(
        "follower_deaf",
        "what the leader says does not get to one follower",
        &[THREE, FIVE],
        Trouble::Cut(shapes::follower_deaf),
    ),
    loses(
        "data_dead",
        "only heartbeats pass between the leader and the others",
        &[THREE, FIVE, UNEQUAL],
        Trouble::Lanes(shapes::leader_alone, DATA),
    ),
    loses(
        "data_mute",
        "only heartbeats pass from the leader to the others",
        &[THREE, FIVE, UNEQUAL],
        Trouble::Lanes(shapes::leader_mute, DATA),
    ),
    loses(
        "data_deaf",
        "only heartbeats pass from the others to the leader",
        &[THREE, FIVE, UNEQUAL],
        Trouble::Lanes(shapes::leader_deaf, DATA),
    ),
    keeps(
        "data_dead_to_one",
        "only heartbeats pass between the leader and one follower",
        &[THREE, FIVE],
        Trouble::Lanes(shapes::one_link, DATA),
    ),
    loses(
        "data_star",
        "everybody's data gets to one follower only, heartbeats everywhere",
        &[FIVE, UNEQUAL],
        Trouble::Lanes(shapes::star_of_a_follower, DATA),
    ),
    stalls(
        "leader_stalled",
        "the leader's disk does not answer any more",
        &[THREE, FIVE, UNEQUAL, OBSERVED],
        Trouble::Stall(0),
    ),
    keeps(
        "follower_stalled",
        "a follower's disk does not answer any more",
        &[THREE, FIVE],
        Trouble::Stall(1),
    ),
    keeps(
        "link_flaps",
        "the link between the leader and one follower comes and goes",
        &[THREE, FIVE, UNEQUAL],
        Trouble::Flap(shapes::one_link, 13, 17),
    ),
    loses(
        "leader_flaps",
        "the leader is cut off for eight rounds, back for eight, and so on",
        &[THREE, FIVE, UNEQUAL],
        Trouble::Flap(shapes::leader_alone, 80, 80),
    ),
];

const fn loses(
    name: &'static str,
    about: &'static str,
    clusters: &'static [&'static [u32]],
    trouble: Trouble,
) -> Scenario {
    Scenario {
        name,
        about,
        clusters,
        leader_stays: false,
        limits: Limits {
            pause: 4_000,
            median: 4_000,
            max: 12_000,
        },
        trouble,
    }
}

const fn keeps(
    name: &'static str,
    about: &'static str,
    clusters: &'static [&'static [u32]],
    trouble: Trouble,
) -> Scenario {
    Scenario {
        leader_stays: true,
        ..loses(name, about, clusters, trouble)
    }
}

/// The same, with so many thousandths of a round for the median of recoveries and pauses.
const fn within(median: u64, scenario: Scenario) -> Scenario {
    Scenario {
        limits: Limits {
            pause: median,
            median,
            ..scenario.limits
        },
        ..scenario
    }
}

/// The leader's disk hangs, and must be told from one that is slow for a moment: `disk_stall_min`,
/// which is eight rounds, passes before another takes over. Work goes on meanwhile, since a quorum
/// of the others' disks decides; what may not last longer than elsewhere is the pause.
const fn stalls(
    name: &'static str,
    about: &'static str,
    clusters: &'static [&'static [u32]],
    trouble: Trouble,
) -> Scenario {
    Scenario {
        limits: Limits {
            pause: 4_000,
            median: 12_000,
            max: 12_000,
        },
        ..loses(name, about, clusters, trouble)
    }
}

impl Scenario {
    /// The plan that this is measured with, without its fault: that depends on who leads.
    pub(crate) fn plan(&self, weights: &[u32], seed: u64) -> Plan {
        measure::plan(self, weights, seed).0
    }
}

/// The scenario of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
