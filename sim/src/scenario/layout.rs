//! Who plays which role when a scenario strikes, the faults that this makes, and who is fit to lead
//! under them. Knows nothing about what happens then.

use super::shapes::Links;
use super::{Scenario, Trouble};
use crate::check::one_leader;
use crate::dice::Dice;
use crate::plan::{CrashMode, Fault, FaultKind, LaneName, Target};

/// A scenario around one leader.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) faults: Vec<Fault>,
    weights: Vec<u32>,
    /// Links (from, to) that do not work, in part or at times.
    broken: Links,
    /// The node whose disk or process does not work.
    disabled: Option<usize>,
    crashed: bool,
}

/// When it strikes and when it ends, in simulated microseconds, and the length of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) round_us: u64,
}

/// Rounds for which a follower is away before [`Trouble::CutBehind`] and [`Trouble::CrashBehind`].
pub(super) const AWAY_ROUNDS: u64 = 12;

/// Ways to give the roles to the followers that are tried.
const SHUFFLES: usize = 60;

const fn fault(at_us: u64, to_us: u64, kind: FaultKind) -> Fault {
    Fault {
        at_us,
        for_us: to_us - at_us,
        kind,
    }
}

/// A node hears nobody, and nobody hears it, before the scenario strikes.
const fn away(node: usize, span: Span) -> Fault {
    let since = span.from_us - AWAY_ROUNDS * span.round_us;
    let kind = FaultKind::Isolate {
        node: Target::Node(node),
        inbound_only: false,
    };
    fault(since, span.from_us, kind)
}

const fn crash(node: usize, span: Span) -> Fault {
    let (node, mode) = (Target::Node(node), CrashMode::Kill);
    fault(span.from_us, span.to_us, FaultKind::Crash { node, mode })
}

impl Layout {
    /// Gives the roles to the nodes such that the leader stays connected to a quorum, or not, as
    /// the scenario has it, and somebody is. `None` if that leader's weight does not allow it.
    pub(super) fn find(
        scenario: &Scenario,
        weights: &[u32],
        leader: usize,
        span: Span,
        dice: &mut Dice,
    ) -> Option<Self> {
        let mut roles = vec![leader];
        roles.extend((0..weights.len()).filter(|node| *node != leader));
        for _ in 0..SHUFFLES {
            for place in (2..roles.len()).rev() {
                let other = 1 + dice.index(place);
                roles.swap(place, other);
            }
            if !scenario.trouble.casts(&roles) {
                continue;
            }
            let layout = Self::new(scenario.trouble, weights, &roles, span);
            let stays = layout.is_fit(leader);
            let others = roles.iter().skip(1);
            let somebody = stays || others.clone().any(|node| layout.is_fit(*node));
            if stays == scenario.leader_stays && somebody {
                return Some(layout);
            }
        }
        None
    }

    fn new(trouble: Trouble, weights: &[u32], roles: &[usize], span: Span) -> Self {
        let node = |role: usize| roles.get(role).copied().unwrap_or(0);
        let real = |links: Links| -> Links {
            let links = links.into_iter();
            links.map(|(a, b)| (node(a), node(b))).collect()
        };
        let nodes = weights.len();
        let whole = |kind| vec![fault(span.from_us, span.to_us, kind)];
        let mut layout = Self {
            faults: Vec::new(),
            weights: weights.to_vec(),
            broken: Vec::new(),
            disabled: None,
            crashed: false,
        };
        match trouble {
            Trouble::Cut(shape) | Trouble::CutBehind(shape) => {
                layout.broken = real(shape(nodes));
                let links = layout.broken.clone();
                layout.faults = whole(FaultKind::Cut { links });
                if let Trouble::CutBehind(_) = trouble {
                    layout.faults.insert(0, away(node(1), span));
                }
            }
            Trouble::Lanes(shape, lanes) => {
                layout.broken = real(shape(nodes));
                let (links, lanes): (Links, Vec<LaneName>) =
                    (layout.broken.clone(), lanes.to_vec());
                layout.faults = whole(FaultKind::CutLanes { links, lanes });
            }
            Trouble::Flap(shape, down, up) => {
                layout.broken = real(shape(nodes));
                let (down, up) = (down * span.round_us / 10, up * span.round_us / 10);
                let mut at = span.from_us;
                while at < span.to_us {
                    let links = layout.broken.clone();
                    let kind = FaultKind::Cut { links };
                    layout
                        .faults
                        .push(fault(at, span.to_us.min(at + down), kind));
                    at += down + up;
                }
            }
            Trouble::Stall(role) => {
                layout.disabled = Some(node(role));
                let (node, extra_us) = (Target::Node(node(role)), span.to_us);
                layout.faults = whole(FaultKind::SlowDisk { node, extra_us });
            }
            Trouble::Crash => {
                layout.disabled = Some(node(0));
                layout.crashed = true;
                layout.faults = vec![crash(node(0), span)];
            }
            Trouble::CrashBehind => {
                layout.disabled = Some(node(0));
                layout.crashed = true;
                let others = (0..nodes).filter(|role| *role != 1);
                layout.broken = real(others.flat_map(|role| [(1, role), (role, 1)]).collect());
                let (links, lanes) = (layout.broken.clone(), vec![LaneName::Bulk]);
                let dead = FaultKind::CutLanes { links, lanes };
                let away = away(node(1), span);
                let dead = fault(away.at_us, span.to_us, dead);
                layout.faults = vec![away, dead, crash(node(0), span)];
            }
        }
        layout
    }

    /// Whether this node, while the fault lasts, works and exchanges messages with a quorum of
    /// nodes that work.
    pub(super) fn is_fit(&self, node: usize) -> bool {
        let works = |node: usize| Some(node) != self.disabled;
        let linked = |a: usize, b: usize| works(b) && !self.broken.contains(&(a, b));
        let votes = self.weights.get(node).is_some_and(|weight| *weight > 0);
        works(node) && votes && self.is_connected(node, linked)
    }

    /// Whether what is proposed at this node may be decided: its disk need not work for that.
    pub(super) fn may_decide(&self, node: usize) -> bool {
        let linked = |a: usize, b: usize| !self.broken.contains(&(a, b));
        !(self.crashed && Some(node) == self.disabled) && self.is_connected(node, linked)
    }

    fn is_connected(&self, node: usize, linked: impl Fn(usize, usize) -> bool) -> bool {
        one_leader::check_connected(node, &self.weights, linked).is_ok()
    }
}
