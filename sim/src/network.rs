//! The simulated network: when a message arrives, how often, or that it never does.
//! Knows nothing about what messages say.

use std::collections::BTreeMap;

use chil_core::Lane;

use crate::dice::{Concern, Lot};
use crate::plan::{Accident, MessageName, Mishap, NetworkPlan, Plan};

/// All links between the nodes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    nodes: usize,
    seed: u64,
    /// What befalls messages, if it is written down and not drawn.
    script: Option<BTreeMap<MessageName, Mishap>>,
    /// What befell messages, if that is to be written down.
    record: Option<Vec<Accident>>,
    links: Vec<Link>,
    calm: bool,
}

/// One direction between two nodes.
#[derive(Clone, Debug)]
struct Link {
    /// The least and the largest ordinary latency of it, in nanoseconds.
    latency: (u64, u64),
    /// How many faults cut each lane of it now.
    cuts: [u32; Lane::ALL.len()],
    /// Messages are held until this simulated time.
    held_until: u64,
    /// When the last message of each lane arrives.
    latest: [u64; Lane::ALL.len()],
    /// Messages of each lane so far.
    sent: [u64; Lane::ALL.len()],
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// When it arrives; `None` if it is lost.
    pub(crate) first: Option<u64>,
    /// When a copy of it arrives.
    pub(crate) second: Option<u64>,
}

impl Arrivals {
    /// When it arrives, as often as it does.
    pub(crate) fn times(self) -> Vec<u64> {
        self.first.into_iter().chain(self.second).collect()
    }
}

impl Network {
    pub(crate) fn new(plan: &Plan, record: bool) -> Self {
        let nodes = plan.nodes();
        let script = plan.script.as_ref().map(|script| {
            let accidents = script.accidents.iter();
            accidents.map(|a| (a.message, a.mishap)).collect()
        });
        Self {
            plan: plan.network.clone(),
            nodes,
            seed: plan.seed,
            script,
            record: record.then(Vec::new),
            links: links(plan),
            calm: false,
        }
    }

    /// What befell messages, if that was to be written down.
    pub(crate) fn accidents(&mut self) -> Vec<Accident> {
        self.record.take().unwrap_or_default()
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let at = from * self.nodes + to;
        self.links.get_mut(at).expect("nodes x nodes links exist")
    }

    /// Decides the fate of a message sent now.
    pub(crate) fn send(&mut self, now: u64, from: usize, to: usize, lane: Lane) -> Arrivals {
        let link = self.link(from, to);
        let sent = link.sent.get_mut(lane as usize).map(|sent| {
            *sent += 1;
            *sent
        });
        let message = MessageName {
            from,
            to,
            lane: lane.into(),
            nth: sent.unwrap_or(0),
        };
        if self.is_cut(from, to, lane) {
            return Arrivals::default();
        }
        let name = [from as u64, to as u64, lane as u64, message.nth];
        let mut lot = Lot::new(self.seed, Concern::Network, name);
        let mishap = self.mishap(&mut lot, &message);
        if let (Some(mishap), Some(record)) = (mishap, &mut self.record) {
            record.push(Accident { message, mishap });
        }
        let (late, copy) = match mishap {
            None => (0, None),
            Some(Mishap::Lost) => return Arrivals::default(),
            Some(Mishap::Late { by_us }) => (by_us, None),
            Some(Mishap::Twice {
                late_us,
                copy_late_us,
            }) => (late_us, Some(copy_late_us)),
        };
        let mut lot = Lot::new(self.seed, Concern::Latency, name);
        let (low, high) = self.link(from, to).latency;
        let mut latency = || lot.range(low, high);
        let (one, other) = (latency(), latency());
        let first = Some(self.arrival(now, from, to, lane, (one, late)));
        let second = copy.map(|late| self.arrival(now, from, to, lane, (other, late)));
        Arrivals { first, second }
    }

    /// What befalls a message, as it is written down or drawn; nothing any more when all is well,
    /// wherever the counts of a script that was taken apart have come to.
    fn mishap(&self, lot: &mut Lot, message: &MessageName) -> Option<Mishap> {
        if self.calm {
            return None;
        }
        if let Some(script) = &self.script {
            return script.get(message).copied();
        }
        if lot.chance(self.plan.loss_ppm) {
            return Some(Mishap::Lost);
        }
        let twice = lot.chance(self.plan.duplicate_ppm);
        let mut late = || {
            let straggles = lot.chance(self.plan.straggle_ppm);
            let late = lot.below(self.plan.straggle_max_us.max(1));
            if straggles { late.max(1) } else { 0 }
        };
        let (late_us, copy_late_us) = (late(), late());
        match (twice, late_us) {
            (true, _) => Some(Mishap::Twice {
                late_us,
                copy_late_us,
            }),
            (false, 0) => None,
            (false, by_us) => Some(Mishap::Late { by_us }),
        }
    }

    /// When a message arrives that takes so long, and is late by so much, in nanoseconds and
    /// microseconds.
    fn arrival(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        lane: Lane,
        (latency, late_us): (u64, u64),
    ) -> u64 {
        // A straggler is overtaken by those behind it.
        let in_order = self.plan.in_order && late_us == 0;
        let link = self.link(from, to);
        let mut at = (now + latency).max(link.held_until) + late_us * 1_000;
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

    /// Until when a link holds what is sent on it.
    pub(crate) fn held_until(&mut self, from: usize, to: usize) -> u64 {
        self.link(from, to).held_until
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

/// The links as they are when the run begins: each with its latency.
fn links(plan: &Plan) -> Vec<Link> {
    let (network, nodes) = (&plan.network, plan.nodes());
    let link = Link {
        latency: (
            network.latency_min_us * 1_000,
            network.latency_max_us * 1_000,
        ),
        cuts: [0; Lane::ALL.len()],
        held_until: 0,
        latest: [0; Lane::ALL.len()],
        sent: [0; Lane::ALL.len()],
    };
    let mut links = vec![link; nodes * nodes];
    for route in &network.routes {
        if let Some(link) = links.get_mut(route.from * nodes + route.to) {
            let (base, jitter) = (route.base_us * 1_000, route.jitter_us * 1_000);
            link.latency = (base, base + jitter);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(network: NetworkPlan) -> Network {
        let mut plan = crate::swarm::plan(1);
        plan.network = network;
        plan.cluster.weights = vec![1; 2];
        Network::new(&plan, false)
    }

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
            routes: Vec::new(),
            outbox: None,
        }
    }

    #[test]
    fn a_slow_link_stays_slow_in_its_direction_only() {
        let route = crate::plan::RoutePlan {
            from: 0,
            to: 1,
            base_us: 5_000,
            jitter_us: 10,
        };
        let mut network = network(NetworkPlan {
            routes: vec![route],
            ..plan()
        });
        network.heal(&[]);
        let mut took = |from, to| network.send(0, from, to, Lane::Bulk).first.unwrap();
        for _ in 0..100 {
            assert!((5_000_000..=5_010_100).contains(&took(0, 1)));
            assert!((10_000..=90_100).contains(&took(1, 0)));
        }
    }

    #[test]
    fn messages_of_a_lane_stay_in_order_when_the_plan_says_so() {
        let mut network = network(plan());
        let mut before = 0;
        for now in 0..500 {
            let at = network.send(now, 0, 1, Lane::Quorum).first.unwrap();
            assert!(at > before);
            before = at;
        }
    }

    #[test]
    fn a_cut_is_one_way_and_counted() {
        let mut network = network(plan());
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
        let mut network = network(plan());
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
        let mut network = network(NetworkPlan {
            loss_ppm: 500_000,
            duplicate_ppm: 500_000,
            ..plan()
        });
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

    #[test]
    fn a_script_counts_messages_and_ends_with_the_faults() {
        let mut whole = crate::swarm::plan(1);
        whole.cluster.weights = vec![1; 2];
        let lost = |nth| Accident {
            message: MessageName {
                from: 0,
                to: 1,
                lane: crate::plan::LaneName::Bulk,
                nth,
            },
            mishap: Mishap::Lost,
        };
        whole.script = Some(crate::plan::Script {
            accidents: vec![lost(2), lost(4)],
            ..crate::plan::Script::default()
        });
        let mut network = Network::new(&whole, false);
        let mut arrives = || network.send(0, 0, 1, Lane::Bulk).first.is_some();
        assert_eq!([arrives(), arrives(), arrives()], [true, false, true]);
        network.heal(&[]);
        assert!(network.send(0, 0, 1, Lane::Bulk).first.is_some());
    }
}
