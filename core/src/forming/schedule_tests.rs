//! Forming under random schedules: loss, duplication, reordering, restarts, wiped disks, and a
//! name that leads now to one disk, now to another. Whatever happens, one cluster at most can
//! decide; and once the network is reliable, everybody who can join it does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::tests::config;
use super::*;
use crate::time::Span;
use crate::types::{DiskId, NodeId};

/// One directory and the process that runs on it.
struct Disk {
    name: &'static str,
    id: DiskId,
    /// `None` while it is stopped.
    process: Option<Forming>,
    formed: Option<Meta>,
}

struct World {
    rng: ChaCha8Rng,
    now: Time,
    /// Every directory that there ever was; two of them share the last name.
    disks: Vec<Disk>,
    weights: Vec<u32>,
    wire: Vec<(String, FormingMessage)>,
    /// Delivered much later, in a bunch.
    held: Vec<(String, FormingMessage)>,
    /// Which of the two disks the shared address leads to.
    twin_reached: bool,
    /// Counts processes, so that each has a seed of its own.
    processes: u64,
}

/// How often what happens in one run; zeros and extremes find more than one mixture for all.
struct Odds {
    deliver: u32,
    lose: u32,
    duplicate: u32,
    stop: u32,
    start: u32,
    flip: u32,
    release: u32,
    wake: u32,
    /// Of a hundred confirmations, so many are late.
    hold: usize,
}

impl Odds {
    fn draw(world: &mut World) -> Self {
        let mut pick = |from: &[u32]| from[world.below(from.len())];
        Self {
            deliver: pick(&[50, 100, 200]),
            lose: pick(&[0, 0, 5, 15]),
            duplicate: pick(&[0, 0, 5]),
            stop: pick(&[0, 0, 1, 3]),
            start: 8,
            flip: pick(&[1, 2, 5, 10]),
            release: pick(&[1, 2, 5]),
            wake: pick(&[5, 10]),
            hold: pick(&[0, 50, 90]) as usize,
        }
    }

    const fn total(&self) -> u32 {
        let faults = self.lose + self.duplicate + self.stop + self.flip;
        self.deliver + self.start + self.release + self.wake + faults
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl World {
    /// `count` names, the last of them on two disks.
    fn new(seed: u64, count: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weights: Vec<u32> = (0..count).map(|_| 1 + rng.next_u32() % 3).collect();
        // No quorum may exist twice: the shared name weighs less than half.
        let rest: u32 = weights[..count - 1].iter().sum();
        weights[count - 1] = weights[count - 1].min(rest - 1);
        let twins = NAMES[..count].iter().chain([&NAMES[count - 1]]);
        let disks = twins.zip(1..).map(|(name, id)| Disk {
            name,
            id: DiskId::new(id),
            process: None,
            formed: None,
        });
        let disks = disks.collect();
        Self {
            rng,
            now: Time::ZERO,
            disks,
            weights,
            wire: Vec::new(),
            held: Vec::new(),
            twin_reached: false,
            processes: 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.next_u64() % n as u64).expect("below a usize")
    }

    fn start(&mut self, i: usize) {
        let names = &NAMES[..self.weights.len()];
        let disk = &self.disks[i];
        if disk.formed.is_some() {
            return;
        }
        self.processes += 1;
        let mut config = config(disk.name, disk.id.get(), names);
        config.seed = self.processes;
        for (peer, weight) in config.peers.iter_mut().zip(&self.weights) {
            peer.weight = *weight;
        }
        self.disks[i].process = Some(Forming::new(config, self.now).expect("valid"));
        self.drain(i, false);
    }

    fn drain(&mut self, i: usize, crash_before_durable: bool) {
        let Some(process) = &mut self.disks[i].process else {
            return;
        };
        loop {
            match process.poll_output() {
                FormingOutput::Send { to_addr, message } => self.wire.push((to_addr, message)),
                FormingOutput::Notice(_) => {}
                FormingOutput::Refused { .. } => break,
                FormingOutput::Formed { meta } => {
                    if !crash_before_durable {
                        self.disks[i].formed = Some(*meta);
                    }
                    break;
                }
                FormingOutput::Wait(_) => return,
            }
        }
        self.disks[i].process = None;
    }

    /// Who is reached by an address now.
    fn reached(&self, addr: &str) -> Option<usize> {
        let last = self.disks.len() - 1;
        let found = self
            .disks
            .iter()
            .position(|d| format!("{}:7000", d.name) == addr)?;
        Some(if found + 1 == last && self.twin_reached {
            last
        } else {
            found
        })
    }

    fn deliver(&mut self, addr: &str, message: FormingMessage, crash_before_durable: bool) {
        let Some(i) = self.reached(addr) else { return };
        let disk = &mut self.disks[i];
        if let Some(meta) = &disk.formed {
            self.wire.extend(answer_formed(meta, addr, &message));
        } else if let Some(process) = &mut disk.process {
            process.handle(self.now, FormingInput::Received(message));
            self.drain(i, crash_before_durable);
        }
    }

    fn wake_all(&mut self) {
        self.now += Span::from_millis(150);
        for i in 0..self.disks.len() {
            if let Some(process) = &mut self.disks[i].process {
                process.handle(self.now, FormingInput::Wake);
                self.drain(i, false);
            }
        }
    }

    fn step(&mut self, odds: &Odds) {
        let mut dice = self.rng.next_u32() % odds.total();
        let mut falls = |share: u32| {
            let hit = dice < share;
            dice = dice.wrapping_sub(share);
            hit
        };
        if falls(odds.deliver) {
            let Some((addr, message)) = self.take_any() else {
                return;
            };
            // Confirmations are what has to be late for anything to go wrong.
            if matches!(message, FormingMessage::Confirmed(_)) && self.below(100) < odds.hold {
                self.held.push((addr, message));
            } else {
                let crash = self.below(20) == 0;
                self.deliver(&addr, message, crash);
            }
        } else if falls(odds.lose) {
            self.take_any();
        } else if falls(odds.duplicate) {
            if let Some(both) = self.take_any() {
                self.wire.extend([both.clone(), both]);
            }
        } else if falls(odds.stop) {
            let i = self.below(self.disks.len());
            self.disks[i].process = None;
        } else if falls(odds.start) {
            let i = self.below(self.disks.len());
            if self.disks[i].process.is_none() {
                self.start(i);
            }
        } else if falls(odds.flip) {
            self.twin_reached = !self.twin_reached;
        } else if falls(odds.release) {
            self.wire.append(&mut self.held);
        } else {
            self.wake_all();
        }
    }

    fn take_any(&mut self) -> Option<(String, FormingMessage)> {
        if self.wire.is_empty() {
            return None;
        }
        let i = self.below(self.wire.len());
        Some(self.wire.swap_remove(i))
    }

    fn check(&self) {
        let formed = || {
            let disks = self.disks.iter();
            disks.filter_map(|d| d.formed.as_ref().map(|meta| (d, meta)))
        };
        for (x, in_x) in formed() {
            assert!(has(in_x, x), "{} is no member of what it formed", x.name);
            for (y, in_y) in formed() {
                assert!(
                    in_x.cluster == in_y.cluster || !has(in_x, y) || !has(in_y, x),
                    "{}/{} and {}/{} formed different clusters with each other",
                    x.name,
                    x.id,
                    y.name,
                    y.id
                );
            }
        }
        let mut by_cluster: BTreeMap<ClusterId, (u64, u64)> = BTreeMap::new();
        for (_, meta) in formed() {
            let own = u64::from(meta.membership.members[&meta.node].weight);
            let total = meta.membership.weight_total();
            by_cluster.entry(meta.cluster).or_insert((0, total)).0 += own;
        }
        let deciding = by_cluster
            .values()
            .filter(|(weight, total)| weight * 2 > *total);
        assert!(
            deciding.count() <= 1,
            "two clusters can decide: {by_cluster:?}"
        );
    }

    /// Delivers what is on the wire and passes; the rest, and what is not wanted, is lost.
    fn pass(&mut self, wanted: impl Fn(&str, &FormingMessage) -> bool) {
        for (addr, message) in std::mem::take(&mut self.wire) {
            if wanted(&addr, &message) {
                self.deliver(&addr, message, false);
            }
        }
    }

    /// Two rounds of questions and answers; only requests to confirm stay on the wire.
    fn introduce(&mut self) {
        let mut confirms = Vec::new();
        for _ in 0..4 {
            self.wake_all();
            confirms = Vec::new();
            for _ in 0..2 {
                for (addr, message) in std::mem::take(&mut self.wire) {
                    match message {
                        FormingMessage::Confirm(_) => confirms.push((addr, message)),
                        FormingMessage::Confirmed(_) => {}
                        FormingMessage::Hello(_) | FormingMessage::HelloReply(_) => {
                            self.deliver(&addr, message, false);
                        }
                    }
                }
            }
        }
        self.wire = confirms;
    }

    /// The disk that the shared name has to lead to, so that everybody can take part: the one
    /// that somebody has formed a cluster with (what is still on the wire can do that, too).
    fn choose_twin(&mut self) -> usize {
        let last = self.disks.len() - 1;
        let others = self.disks[..last - 1]
            .iter()
            .filter_map(|d| d.formed.as_ref());
        let shared = NodeId::from_name(self.disks[last].name).expect("a name");
        let chosen = others
            .map(|meta| meta.membership.members[&shared].disk)
            .next();
        self.twin_reached = match chosen {
            Some(disk) => disk == self.disks[last].id,
            None => self.disks[last].formed.is_some(),
        };
        let unused = if self.twin_reached { last - 1 } else { last };
        self.disks[unused].process = None;
        unused
    }

    /// The shared name settles on one disk, everybody is started, and nothing is lost any more.
    fn heal(&mut self) {
        self.wire.append(&mut self.held);
        for _ in 0..30 {
            let unused = self.choose_twin();
            for i in 0..self.disks.len() {
                if i != unused && self.disks[i].process.is_none() {
                    self.start(i);
                }
            }
            for _ in 0..4 {
                for (addr, message) in std::mem::take(&mut self.wire) {
                    self.deliver(&addr, message, false);
                }
            }
            self.wake_all();
            self.check();
        }
        let unused = self.choose_twin();
        let mut clusters = BTreeSet::new();
        for (i, disk) in self.disks.iter().enumerate() {
            if i != unused {
                let why = disk.process.as_ref().map(Forming::explain);
                let meta = disk.formed.as_ref();
                let meta = meta.unwrap_or_else(|| panic!("{} never forms: {why:?}", disk.name));
                clusters.insert(meta.cluster);
            }
        }
        assert_eq!(clusters.len(), 1);
    }
}

fn has(meta: &Meta, disk: &Disk) -> bool {
    let id = NodeId::from_name(disk.name).expect("a name");
    meta.membership
        .members
        .get(&id)
        .is_some_and(|member| member.disk == disk.id)
}

fn run(seed: u64) {
    let mut world = World::new(seed, 3 + usize::try_from(seed % 2).expect("0 or 1"));
    for i in 0..world.disks.len() {
        world.start(i);
    }
    let odds = Odds::draw(&mut world);
    for _ in 0..400 {
        world.step(&odds);
        world.check();
    }
    world.heal();
}

/// The schedule that the rule of more than half of the weight is for.
#[test]
fn a_disk_that_lost_its_name_forms_alone_and_nobody_joins_it() {
    let mut world = World::new(0, 3);
    world.weights = vec![1, 1, 1];
    for i in 0..4 {
        world.start(i);
    }
    let (twin, last) = (DiskId::new(4), 3);
    // The name leads to the twin. All agree on it; a and b confirm it, but that is still on the way.
    world.twin_reached = true;
    world.introduce();
    world.pass(|_, m| matches!(m, FormingMessage::Confirm(m) if m.disk == twin));
    let late = std::mem::take(&mut world.wire);
    assert_eq!(late.len(), 2);
    // Now it leads to the first disk. All agree on that, and b completes it.
    world.twin_reached = false;
    world.introduce();
    world.pass(|_, m| matches!(m, FormingMessage::Confirm(m) if m.name == "b"));
    world.pass(|to, _| to == "b:7000");
    assert!(world.disks[1].formed.is_some());
    // The name leads to the twin again, and what was on the way arrives.
    world.twin_reached = true;
    world.wire = late;
    world.pass(|_, _| true);
    assert!(
        world.disks[last].formed.is_some(),
        "the twin has every confirmation"
    );
    // The only one whom a hears is the twin: with it, a would be the majority of a second cluster.
    world.introduce();
    assert!(world.disks[0].formed.is_none(), "a believed the twin alone");
    world.check();
    world.heal();
    let formed = |i: usize| world.disks[i].formed.as_ref().map(|meta| meta.cluster);
    assert_eq!(formed(0), formed(1));
    assert_ne!(formed(0), formed(last));
}

proptest! {
    #[test]
    fn at_most_one_cluster_can_decide_and_healing_completes_it(seed in any::<u64>()) {
        run(seed);
    }
}
