//! The simulated network: when a message arrives, how often, or that it never does.
//! Knows nothing about what messages say.

use chil_core::Lane;

use crate::dice::{Concern, Dice};
use crate::plan::NetworkPlan;

/// All links between the nodes of a run.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    nodes: usize,
    dice: Dice,
    links: Vec<Link>,
    calm: bool,
}

/// One direction between two nodes.
#[derive(Clone, Debug, Default)]
struct Link {
    /// How many faults cut each lane of it now.
    cuts: [u32; Lane::ALL.len()],
    /// Messages are held until this simulated time.
    held_until: u64,
    /// When the last message of each lane arrives.
    latest: [u64; Lane::ALL.len()],
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// When it arrives; `None` if it is lost.
    pub(crate) first: Option<u64>,
    /// When a copy of it arrives.
    pub(crate) second: Option<u64>,
}

impl Network {
    pub(crate) fn new(seed: u64, plan: &NetworkPlan, nodes: usize) -> Self {
        Self {
            plan: plan.clone(),
            nodes,
            dice: Dice::new(seed, Concern::Network),
            links: vec![Link::default(); nodes * nodes],
            calm: false,
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let at = from * self.nodes + to;
        self.links.get_mut(at).expect("nodes x nodes links exist")
    }

    /// Decides the fate of a message sent now.
    pub(crate) fn send(&mut self, now: u64, from: usize, to: usize, lane: Lane) -> Arrivals {
        if self.is_cut(from, to, lane) || (!self.calm && self.dice.chance(self.plan.loss_ppm)) {
            return Arrivals::default();
        }
        let first = Some(self.arrival(now, from, to, lane));
        let twice = !self.calm && self.dice.chance(self.plan.duplicate_ppm);
        let second = twice.then(|| self.arrival(now, from, to, lane));
        Arrivals { first, second }
    }

    fn arrival(&mut self, now: u64, from: usize, to: usize, lane: Lane) -> u64 {
        let micros = |us: u64| us * 1_000;
        let (low, high) = (self.plan.latency_min_us, self.plan.latency_max_us);
        let latency = self.dice.range(micros(low), micros(high));
        let straggles = !self.calm && self.dice.chance(self.plan.straggle_ppm);
        let late = if straggles {
            self.dice.below(micros(self.plan.straggle_max_us))
        } else {
            0
        };
        let in_order = self.plan.in_order && !straggles;
        let link = self.link(from, to);
        let mut at = (now + latency).max(link.held_until) + late;
        if in_order && let Some(latest) = link.latest.get_mut(lane as usize) {
            at = at.max(*latest + 1);
            *latest = at;
        }
        at
    }

    /// Whether a message that is on its way can still arrive.
    pub(crate) fn is_cut(&mut self, from: usize, to: usize, lane: Lane) -> bool {
        self.link(from, to)
            .cuts
            .iter()
            .zip(Lane::ALL)
            .any(|(cuts, of)| *cuts > 0 && of == lane)
    }

    /// Cuts these lanes of a link once more.
    pub(crate) fn cut(&mut self, from: usize, to: usize, lanes: &[Lane]) {
        for cuts in self.cuts(from, to, lanes) {
            *cuts += 1;
        }
    }

    /// Takes back one cut of each of these lanes.
    pub(crate) fn mend(&mut self, from: usize, to: usize, lanes: &[Lane]) {
        for cuts in self.cuts(from, to, lanes) {
            *cuts = cuts.saturating_sub(1);
        }
    }

    fn cuts(&mut self, from: usize, to: usize, lanes: &[Lane]) -> impl Iterator<Item = &mut u32> {
        let cuts = self.link(from, to).cuts.iter_mut().zip(Lane::ALL);
        cuts.filter_map(|(cuts, lane)| lanes.contains(&lane).then_some(cuts))
    }

    /// Holds what is sent on a link until `until`.
    pub(crate) fn clog(&mut self, from: usize, to: usize, until: u64) {
        let link = self.link(from, to);
        link.held_until = link.held_until.max(until);
    }

    /// Ends everything that goes wrong, for good, but for these links, which stay cut.
    pub(crate) fn heal(&mut self, scars: &[(usize, usize)]) {
        self.calm = true;
        for link in &mut self.links {
            link.cuts = [0; Lane::ALL.len()];
            link.held_until = 0;
            link.latest = [0; Lane::ALL.len()];
        }
        for (from, to) in scars {
            self.cut(*from, *to, &Lane::ALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> NetworkPlan {
        NetworkPlan {
            latency_min_us: 10,
            latency_max_us: 90,
            in_order: true,
            loss_ppm: 0,
            duplicate_ppm: 0,
            straggle_ppm: 0,
            straggle_max_us: 0,
            codec: false,
        }
    }

    #[test]
    fn messages_of_a_lane_stay_in_order_when_the_plan_says_so() {
        let mut network = Network::new(1, &plan(), 2);
        let mut before = 0;
        for now in 0..500 {
            let at = network.send(now, 0, 1, Lane::Quorum).first.unwrap();
            assert!(at > before);
            before = at;
        }
    }

    #[test]
    fn a_cut_is_one_way_and_counted() {
        let mut network = Network::new(1, &plan(), 2);
        network.cut(0, 1, &Lane::ALL);
        network.cut(0, 1, &Lane::ALL);
        network.mend(0, 1, &Lane::ALL);
        assert_eq!(network.send(0, 0, 1, Lane::Quorum), Arrivals::default());
        assert!(network.send(0, 1, 0, Lane::Quorum).first.is_some());
        network.mend(0, 1, &Lane::ALL);
        assert!(network.send(0, 0, 1, Lane::Quorum).first.is_some());
    }

    #[test]
    fn a_lane_can_be_cut_alone() {
        let mut network = Network::new(1, &plan(), 2);
        network.cut(0, 1, &Lane::ALL);
        network.cut(0, 1, &[Lane::Quorum, Lane::Bulk]);
        network.mend(0, 1, &Lane::ALL);
        let cut = Lane::ALL.map(|lane| network.is_cut(0, 1, lane));
        assert_eq!(cut, [false, true, true]);
        assert!(network.send(0, 0, 1, Lane::Heartbeat).first.is_some());
        assert_eq!(network.send(0, 0, 1, Lane::Quorum), Arrivals::default());
    }

    #[test]
    fn loss_duplication_and_clogs_happen_and_end() {
        let mut network = Network::new(
            1,
            &NetworkPlan {
                loss_ppm: 500_000,
                duplicate_ppm: 500_000,
                ..plan()
            },
            2,
        );
        network.clog(0, 1, 1_000_000);
        let fates: Vec<Arrivals> = (0..200)
            .map(|_| network.send(0, 0, 1, Lane::Bulk))
            .collect();
        assert!(fates.iter().any(|fate| fate.first.is_none()));
        assert!(fates.iter().any(|fate| fate.second.is_some()));
        assert!(
            fates
                .iter()
                .all(|fate| fate.first.is_none_or(|at| at >= 1_000_000))
        );
        network.heal(&[(0, 1)]);
        assert!(network.is_cut(0, 1, Lane::Bulk));
        for _ in 0..200 {
            let fate = network.send(0, 1, 0, Lane::Bulk);
            assert!(fate.first.is_some_and(|at| at <= 90_000 + 200) && fate.second.is_none());
        }
    }
}
