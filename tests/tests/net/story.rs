//! What goes wrong, drawn from a seed: which wires, which nodes, for how long.
//! Knows nothing about how wires are cut, nor what clients see.

use std::fmt;
use std::time::Duration;

use chil_sim::dice::Dice;

use crate::lab::{HOST, Wire};
use crate::nodes::Nodes;

/// Whom it meets: a node by its number, or whoever leads when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Leader,
    Node(usize),
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What the one sends does not reach the next; the other way all is well.
    OneWay(Who),
    /// Neither hears the other; both hear everybody else.
    Parted(Who),
    /// Hears nobody, and nobody hears it. Clients reach it.
    Alone(Who),
    /// Hears nobody; its own messages arrive.
    Deaf(Who),
    /// Is heard by nobody, but hears all.
    Mute(Who),
    /// The smaller half of all nodes on one side, with the given one, the rest on the other.
    Halves(Who),
    /// Requests of clients arrive, the answers do not.
    Unanswered(Who),
    /// One wire is slow and loses packets, in both directions.
    Slow(Who, u8),
    /// All wires between nodes.
    AllSlow(u8),
    /// Stopped in the middle of whatever it does.
    Paused(Who),
    Killed(Who),
    AllKilled,
    AllPaused,
}

impl Trouble {
    /// One of each kind, for a story that is the same each time, and for how long each lasts.
    pub(crate) fn each() -> [(Self, Duration); 13] {
        use Who::{Leader, Node};
        let all = [
            Self::Alone(Leader),
            Self::OneWay(Leader),
            Self::Parted(Node(1)),
            Self::Deaf(Leader),
            Self::Killed(Leader),
            Self::Mute(Leader),
            Self::Slow(Leader, 2),
            Self::Paused(Leader),
            Self::Unanswered(Leader),
            Self::Halves(Leader),
            Self::AllSlow(1),
            Self::AllPaused,
            Self::AllKilled,
        ];
        all.map(|trouble| match trouble {
            // Long enough for another leader, and short enough that some clients still ask the
            // one that wakes up and does not know of it.
            Self::Paused(_) => (trouble, Duration::from_millis(1_500)),
            _ => (trouble, Duration::from_millis(2_500)),
        })
    }

    pub(crate) fn draw(dice: &mut Dice, size: usize) -> Self {
        let who = match dice.coin() {
            true => Who::Leader,
            false => Who::Node(1 + dice.index(size)),
        };
        let level = u8::try_from(dice.range(1, 3)).expect("it is at most 3");
        match dice.below(26) {
            0..2 => Self::OneWay(who),
            2..4 => Self::Parted(who),
            4..7 => Self::Alone(who),
            7..9 => Self::Deaf(who),
            9..11 => Self::Mute(who),
            11..13 => Self::Halves(who),
            13 => Self::Unanswered(who),
            14..16 => Self::Slow(who, level),
            16..18 => Self::AllSlow(level),
            18..21 => Self::Paused(who),
            21..24 => Self::Killed(who),
            24 => Self::AllPaused,
            _ => Self::AllKilled,
        }
    }

    /// Its kind in a word, for counting.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::OneWay(_) => "one-way",
            Self::Parted(_) => "parted",
            Self::Alone(_) => "alone",
            Self::Deaf(_) => "deaf",
            Self::Mute(_) => "mute",
            Self::Halves(_) => "halves",
            Self::Unanswered(_) => "unanswered",
            Self::Slow(..) => "slow",
            Self::AllSlow(_) => "all-slow",
            Self::Paused(_) => "paused",
            Self::Killed(_) => "killed",
            Self::AllKilled => "all-killed",
            Self::AllPaused => "all-paused",
        }
    }

    /// Lets it happen. What it did is undone by [`heal`].
    pub(crate) fn begin(self, nodes: &mut Nodes, leader: usize) {
        let place = |who| match who {
            Who::Leader => leader,
            Who::Node(node) => node,
        };
        let size = nodes.size();
        let next = |node: usize| node % size + 1;
        match self {
            Self::OneWay(who) => nodes.lab.set(place(who), next(place(who)), Wire::Cut),
            Self::Parted(who) => {
                let node = place(who);
                both(nodes, node, next(node), Wire::Cut);
            }
            Self::Alone(who) => split(nodes, |node| node == place(who)),
            Self::Deaf(who) => {
                for from in others(size, place(who)) {
                    nodes.lab.set(from, place(who), Wire::Cut);
                }
            }
            Self::Mute(who) => {
                for to in others(size, place(who)) {
                    nodes.lab.set(place(who), to, Wire::Cut);
                }
            }
            Self::Halves(who) => {
                let (first, few) = (place(who), (size - 1) / 2);
                split(nodes, |node| (node + size - first) % size < few);
            }
            Self::Unanswered(who) => nodes.lab.set(place(who), HOST, Wire::Cut),
            Self::Slow(who, level) => {
                let node = place(who);
                both(nodes, node, next(node), Wire::Slow(level));
            }
            Self::AllSlow(level) => {
                for from in 1..=size {
                    for to in others(size, from) {
                        nodes.lab.set(from, to, Wire::Slow(level));
                    }
                }
            }
            Self::Paused(who) => nodes.pause(place(who)),
            Self::Killed(who) => nodes.kill(place(who)),
            Self::AllPaused => (1..=size).for_each(|node| nodes.pause(node)),
            Self::AllKilled => (1..=size).for_each(|node| nodes.kill(node)),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self {
            Self::OneWay(who)
            | Self::Parted(who)
            | Self::Alone(who)
            | Self::Deaf(who)
            | Self::Mute(who)
            | Self::Halves(who)
            | Self::Unanswered(who)
            | Self::Slow(who, _)
            | Self::Paused(who)
            | Self::Killed(who) => match who {
                Who::Leader => " the leader".to_owned(),
                Who::Node(node) => format!(" node-{node}"),
            },
            Self::AllSlow(_) | Self::AllKilled | Self::AllPaused => String::new(),
        };
        let level = match self {
            Self::Slow(_, level) | Self::AllSlow(level) => format!(" (level {level})"),
            _ => String::new(),
        };
        write!(f, "{}{who}{level}", self.kind())
    }
}

/// Ends all that went wrong.
pub(crate) fn heal(nodes: &mut Nodes) {
    nodes.resume_all();
    nodes.lab.heal();
    nodes.run_all();
}

fn others(size: usize, node: usize) -> impl Iterator<Item = usize> {
    (1..=size).filter(move |other| *other != node)
}

fn both(nodes: &mut Nodes, a: usize, b: usize, wire: Wire) {
    nodes.lab.set(a, b, wire);
    nodes.lab.set(b, a, wire);
}

/// Cuts all wires between those on the one side and the rest.
fn split(nodes: &mut Nodes, is_here: impl Fn(usize) -> bool) {
    for from in 1..=nodes.size() {
        for to in others(nodes.size(), from) {
            if is_here(from) != is_here(to) {
                nodes.lab.set(from, to, Wire::Cut);
            }
        }
    }
}
