//! How fast runs are: events and seeds a second on one core, by mix, and what the judges cost.
//! Knows nothing about what runs find: they must find nothing.
//!
//! `cargo bench -p chil-sim --bench world`; `-- 5` takes five seconds a row instead of two
#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chil_sim::plan::{
    ClockPlan, ClusterPlan, DiskPlan, NetworkPlan, Plan, SnapshotPlan, WorkloadPlan,
};
use chil_sim::run::Watch;
use chil_sim::subject::Subject;
use chil_sim::swarm;
use chil_sim::sweep::guarded;

/// Operations of the shortest of the plain runs.
const OPERATIONS: u64 = 2_000;

fn main() {
    // Cargo gives every benchmark the argument --bench.
    let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let patience = Duration::from_secs(seconds.unwrap_or(2));
    println!(
        "{:<34} {:>12} {:>10} {:>14}",
        "mix", "events/s", "seeds/s", "judges, share"
    );
    let mixes: [(&str, &dyn Fn(u64) -> Plan); 5] = [
        ("plain", &|seed| plain(seed, OPERATIONS, false)),
        ("plain, encoded", &|seed| plain(seed, OPERATIONS, true)),
        ("swarm", &swarm::plan),
        ("swarm, short", &swarm::short),
        ("swarm, encoded", &|seed| {
            let mut plan = swarm::plan(seed);
            plan.network.codec = true;
            plan
        }),
    ];
    for (name, plan) in mixes {
        // The default looks into replicas at every event; without that the judges see the rest.
        for (what, check_every) in [("every event", 1), ("every 100th event", 100)] {
            let judged = measure(plan, patience, || watch(check_every, true));
            let alone = measure(plan, patience, || watch(u64::MAX, false));
            let share = 1.0 - alone.nanos_per_event() / judged.nanos_per_event();
            println!(
                "{:<34} {:>12.0} {:>10.1} {:>12.0} %",
                format!("{name}, checked at {what}"),
                1e9 / judged.nanos_per_event(),
                judged.runs / judged.seconds,
                share * 100.0
            );
        }
    }
    println!(
        "\n{:<34} {:>12} {:>10} {:>14}",
        "plain, by length", "events", "ns/event", "of the first"
    );
    let mut first = None;
    for times in [1, 4, 16] {
        let plan = |seed| plain(seed, OPERATIONS * times, false);
        let took = measure(&plan, patience, || watch(1, true));
        let nanos = took.nanos_per_event();
        let first = *first.get_or_insert(nanos);
        println!(
            "{:<34} {:>12.0} {nanos:>10.0} {:>14.2}",
            format!("{times} times {OPERATIONS} operations"),
            took.events / took.runs,
            nanos / first
        );
    }
}

fn watch(check_every: u64, judged: bool) -> Watch {
    Watch {
        check_every,
        judged,
        ..Watch::default()
    }
}

/// What some runs took.
#[derive(Default)]
struct Took {
    runs: f64,
    events: f64,
    seconds: f64,
}

impl Took {
    fn nanos_per_event(&self) -> f64 {
        self.seconds * 1e9 / self.events
    }
}

/// Runs the seeds from 0 on for so long, after some that only warm up.
fn measure(plan: &dyn Fn(u64) -> Plan, patience: Duration, watch: impl Fn() -> Watch) -> Took {
    let subject = Subject::key_value();
    let mut took = Took::default();
    let (mut began, mut spent) = (Instant::now(), clock());
    for seed in 0.. {
        let outcome = guarded(&subject, &plan(seed), watch());
        assert_eq!(outcome.violation, None, "seed {seed}");
        if seed == WARM_UP {
            took = Took::default();
            (began, spent) = (Instant::now(), clock());
            continue;
        }
        took.runs += 1.0;
        took.events += outcome.stats.events as f64;
        if seed > WARM_UP && began.elapsed() > patience {
            break;
        }
    }
    took.seconds = (clock() - spent).as_secs_f64();
    took
}

/// Time that this thread was on a processor, where the system tells (Linux): others that want it
/// too then make the figures no worse. Else the time of the day.
fn clock() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = nanos.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(
        || BEGAN.get_or_init(Instant::now).elapsed(),
        Duration::from_nanos,
    )
}

const WARM_UP: u64 = 2;

/// Three nodes, four clients that write and read, and nothing that goes wrong.
fn plain(seed: u64, operations: u64, codec: bool) -> Plan {
    Plan {
        seed,
        cluster: ClusterPlan::default(),
        network: NetworkPlan {
            latency_min_us: 50,
            latency_max_us: 200,
            in_order: true,
            loss_ppm: 0,
            duplicate_ppm: 0,
            straggle_ppm: 0,
            straggle_max_us: 0,
            codec,
            routes: Vec::new(),
            outbox: None,
        },
        disk: DiskPlan {
            files: false,
            segment_bytes: 1 << 20,
            latency_min_us: 100,
            latency_max_us: 300,
        },
        snapshots: SnapshotPlan::default(),
        clocks: vec![
            ClockPlan {
                offset_us: 0,
                drift_ppm: 0,
            };
            3
        ],
        workload: WorkloadPlan {
            clients: 4,
            window: 4,
            think_min_us: 0,
            think_max_us: 200,
            keys: 100,
            operations_max: operations,
            ..WorkloadPlan::default()
        },
        faults: Vec::new(),
        scars: Vec::new(),
        gone: Vec::new(),
        left: Vec::new(),
        left_return: false,
        // As long as the operations take, give or take: idle time is full of heartbeats.
        heal_at_us: 1_000_000 + operations * 150,
        events_max: u64::MAX,
        script: None,
    }
}
