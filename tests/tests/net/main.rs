//! Real processes in network namespaces of their own, under load the whole time: wires are cut, in
//! both directions or in one, slowed down and lossy; nodes are paused and killed, one or all. What
//! clients saw must have an order, what was acknowledged must be there, and all nodes must be equal.
//!
//! It needs root, `ip` and `tc`. Where one of them is missing nothing is checked, and that is said.

mod history;
mod lab;
mod load;
mod nodes;
mod story;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use chil_sim::dice::{Concern, Dice};
use chil_tests::tell;

use load::Load;
use nodes::{Nodes, PATIENCE};
use story::{Trouble, heal};

/// Answers after a story is healed that show that the cluster works again.
const ANSWERS: u64 = 50;

/// What happened, in numbers.
#[derive(Debug, Default)]
struct Tally {
    kinds: BTreeMap<&'static str, u64>,
    /// Answers while things of each kind, alone, went wrong, and how long that was.
    meanwhile: BTreeMap<&'static str, (u64, Duration)>,
    longest_recovery: Duration,
}

impl Tally {
    fn tell(&self) {
        tell(format_args!("went wrong: {:?}", self.kinds));
        for (kind, (answers, time)) in &self.meanwhile {
            let rate = *answers as f64 / time.as_secs_f64();
            tell(format_args!(
                "  {kind:12} alone, {:6.1} s: {rate:6.1} answers/s",
                time.as_secs_f64()
            ));
        }
        tell(format_args!(
            "slowest recovery, {ANSWERS} answers after everything was healed: {} ms",
            self.longest_recovery.as_millis()
        ));
    }
}

/// Runs on machines that can, and says so on those that cannot.
fn with_cluster(size: usize, seed: u64, story: impl FnOnce(&mut Nodes, &Load) -> Tally) {
    if let Some(why) = lab::missing() {
        // Past the capture of test output: a check that did not happen must not look like one.
        let text = format!("NOT CHECKED: nodes in network namespaces, because {why}\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let mut nodes = Nodes::start(size, runtime.handle());
    tell(format_args!(
        "wires are slowed down by {}",
        nodes.lab.slowness()
    ));
    let began = Instant::now();
    let load = Load::start(&nodes, seed, runtime.handle());
    let tally = story(&mut nodes, &load);

    let told = load.end(&nodes).unwrap_or_else(|why| {
        let path = nodes.file("violation.txt");
        std::fs::write(&path, &why).unwrap();
        panic!("{why}\n(also in {})", path.display());
    });
    let answers = nodes.wait_until("one state on all nodes", |answers| {
        let first = answers
            .first()
            .map(|answer| (answer.applied, &answer.digest));
        answers.len() == size
            && answers.iter().all(|answer| {
                answer.applied == answer.commit && Some((answer.applied, &answer.digest)) == first
            })
    });
    let judged = told.judged;
    // A search that was given up proves nothing: it must stay the exception.
    assert!(judged.unknown * 20 <= judged.keys, "{judged:?}");
    let boots: Vec<u64> = answers.iter().map(|answer| answer.boot).collect();
    tell(format_args!(
        "{} s: {} answers, {} outcomes unknown, {} surely not executed; {} claims are there; {} \
         operations on {} keys have an order ({} of them stayed open), {} keys were too much to \
         search; all {size} nodes are equal at slot {}, started {boots:?} times; ballot {}",
        began.elapsed().as_secs(),
        told.acknowledged,
        told.unknown,
        told.unserved,
        told.claims,
        judged.operations,
        judged.keys - judged.unknown,
        judged.open,
        judged.unknown,
        answers[0].applied,
        answers[0].promised.as_ref().map_or(0, |ballot| ballot.n),
    ));
    tally.tell();
}

/// Lets things go wrong for a while, heals them, and waits until clients are served.
fn chapter(
    nodes: &mut Nodes,
    load: &Load,
    troubles: &[Trouble],
    lasts: Duration,
    tally: &mut Tally,
) {
    let leader = nodes.leader();
    let before = load.acknowledged();
    let names: Vec<String> = troubles.iter().map(Trouble::to_string).collect();
    tell(format_args!(
        "{} for {} ms (node-{leader} leads)",
        names.join(" and "),
        lasts.as_millis()
    ));
    for trouble in troubles {
        trouble.begin(nodes, leader);
        *tally.kinds.entry(trouble.kind()).or_default() += 1;
    }
    thread::sleep(lasts);
    let meanwhile = load.acknowledged() - before;
    if let [trouble] = troubles {
        let (answers, time) = tally.meanwhile.entry(trouble.kind()).or_default();
        *answers += meanwhile;
        *time += lasts;
    }
    heal(nodes);
    let (healed, target) = (Instant::now(), load.acknowledged() + ANSWERS);
    while load.acknowledged() < target {
        assert!(
            healed.elapsed() < PATIENCE,
            "clients are not served although all is well again:\n{}",
            nodes.explain()
        );
        thread::sleep(Duration::from_millis(5));
    }
    let recovery = healed.elapsed();
    tell(format_args!(
        "  {meanwhile} answers; served {} ms after it",
        recovery.as_millis()
    ));
    tally.longest_recovery = tally.longest_recovery.max(recovery);
}

/// The same story each time: everything that there is, once.
#[test]
fn whatever_goes_wrong_once_clients_see_one_order() {
    let seed = 1;
    with_cluster(3, seed, |nodes, load| {
        let mut tally = Tally::default();
        for (trouble, lasts) in Trouble::each() {
            chapter(nodes, load, &[trouble], lasts, &mut tally);
        }
        tally
    });
}

/// As long as `CHIL_NET_SECONDS` says, from the seed `CHIL_NET_SEED`, on `CHIL_NET_NODES` nodes.
#[test]
#[ignore = "takes as long as CHIL_NET_SECONDS says: see docs/TESTING.md"]
fn whatever_goes_wrong_for_long_clients_see_one_order() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name}: '{text}' is no number")),
        )
    };
    let seconds = number("CHIL_NET_SECONDS").unwrap_or(600);
    let size = usize::try_from(number("CHIL_NET_NODES").unwrap_or(5)).unwrap();
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = number("CHIL_NET_SEED").unwrap_or(clock);
    tell(format_args!(
        "the same story again: CHIL_NET_SEED={seed} CHIL_NET_SECONDS={seconds} \
         CHIL_NET_NODES={size} cargo test -p chil-tests --test net -- --ignored --nocapture"
    ));
    with_cluster(size, seed, |nodes, load| {
        let mut tally = Tally::default();
        let mut dice = Dice::new(seed, Concern::Plan);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            let troubles: Vec<Trouble> = (0..dice.range(1, 2))
                .map(|_| Trouble::draw(&mut dice, size))
                .collect();
            let lasts = Duration::from_millis(dice.magnitude(300, 8_000));
            chapter(nodes, load, &troubles, lasts, &mut tally);
            thread::sleep(Duration::from_millis(dice.below(1_500)));
        }
        tally
    });
}
