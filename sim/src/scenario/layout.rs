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

/// Rounds for which a follower is away before [`Trouble::CutBehind`].
pub(super) const AWAY_ROUNDS: u64 = 12;

/// Ways to give the roles to the followers that are tried.
const SHUFFLES: usize = 60;

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
        let fault = |at_us, to_us: u64, kind| Fault {
            at_us,
            for_us: to_us - at_us,
            kind,
        };
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
                    let away = FaultKind::Isolate {
                        node: Target::Node(node(1)),
                        inbound_only: false,
                    };
                    let since = span.from_us - AWAY_ROUNDS * span.round_us;
                    layout.faults.insert(0, fault(since, span.from_us, away));
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
                let (node, mode) = (Target::Node(node(0)), CrashMode::Kill);
                layout.faults = whole(FaultKind::Crash { node, mode });
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
