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
    /// Which of the two disks the shared address leads to.
    twin_reached: bool,
    /// Counts processes, so that each has a seed of its own.
    processes: u64,
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

    fn step(&mut self) {
        match self.below(100) {
            0..70 if !self.wire.is_empty() => {
                let i = self.below(self.wire.len());
                let (addr, message) = self.wire.swap_remove(i);
                let crash = self.below(20) == 0;
                self.deliver(&addr, message, crash);
            }
            70..76 if !self.wire.is_empty() => {
                let i = self.below(self.wire.len());
                self.wire.swap_remove(i);
            }
            76..80 if !self.wire.is_empty() => {
                let i = self.below(self.wire.len());
                self.wire.push(self.wire[i].clone());
            }
            80..82 => {
                let i = self.below(self.disks.len());
                self.disks[i].process = None;
            }
            82..88 => {
                let i = self.below(self.disks.len());
                if self.disks[i].process.is_none() {
                    self.start(i);
                }
            }
            88..92 => self.twin_reached = !self.twin_reached,
            _ => self.wake_all(),
        }
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
    for _ in 0..400 {
        world.step();
        world.check();
    }
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn at_most_one_cluster_can_decide_and_healing_completes_it(seed in any::<u64>()) {
        run(seed);
    }
}
