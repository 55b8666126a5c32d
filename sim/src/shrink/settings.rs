//! Leaves out what is special about a plan's settings: limits, features, latencies, clocks.
//! Knows no setting but those that have no plain value of their own.
//!
//! Plans are compared as JSON with a plain one of the same shape: so settings that are added to
//! plans later take part without being named here.

use serde_json::Value;

use super::search::{Search, Stopped};
use crate::plan::{
    ClockPlan, ClusterPlan, DiskPlan, NetworkPlan, Plan, SnapshotPlan, WorkloadPlan,
};

/// The parts of a plan that are settings.
const SECTIONS: [&str; 6] = [
    "cluster",
    "network",
    "disk",
    "snapshots",
    "clocks",
    "workload",
];

/// The settings of a plan that differ from plain ones: where they are (RFC 6901), and the value.
pub(super) fn oddities(plan: &Plan) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let (odd, plain) = (settings(plan), settings(&plain(plan)));
    for section in SECTIONS {
        if let (Some(odd), Some(plain)) = (odd.get(section), plain.get(section)) {
            differences(&format!("/{section}"), odd, plain, &mut found);
        }
    }
    found
}

/// Makes settings plain: all, or as many as can be. What takes a random time takes the same time
/// each time.
pub(super) fn simplify(search: &mut Search<'_>) -> Result<(), Stopped> {
    let original = search.best().clone();
    let (odd, target) = (settings(&original), settings(&plain(&original)));
    let pointers: Vec<String> = oddities(&original).into_iter().map(|(at, _)| at).collect();
    search.reduce(&pointers, |best, kept| {
        let mut mixed = odd.clone();
        for pointer in pointers.iter().filter(|pointer| !kept.contains(pointer)) {
            if let (Some(to), Some(from)) = (mixed.pointer_mut(pointer), target.pointer(pointer)) {
                *to = from.clone();
            }
        }
        match serde_json::from_value::<Plan>(mixed) {
            Ok(mixed) => Plan {
                cluster: mixed.cluster,
                network: mixed.network,
                disk: mixed.disk,
                snapshots: mixed.snapshots,
                clocks: mixed.clocks,
                workload: mixed.workload,
                ..best.clone()
            },
            Err(_) => best.clone(),
        }
    })?;
    even(search)?;
    sooner(search)
}

/// Takes snapshots after fewer slots, so that fewer requests bring one about.
fn sooner(search: &mut Search<'_>) -> Result<(), Stopped> {
    let best = search.best();
    let (slots, bytes) = (best.snapshots.slots, best.snapshots.bytes);
    let never = SnapshotPlan::default();
    if (slots, bytes) == (never.slots, never.bytes) {
        return Ok(());
    }
    let fewer = [1, 2, 5, 10, 20, 50, 100].into_iter();
    let candidates = fewer.filter(|fewer| *fewer < slots).map(|slots| {
        let mut candidate = best.clone();
        (candidate.snapshots.slots, candidate.snapshots.bytes) = (slots, never.bytes);
        candidate
    });
    let candidates = candidates.collect();
    search.first(candidates)?;
    while search.first(without_one(search.best()))?.is_some() {}
    Ok(())
}

/// Plans with one request less, and snapshots one slot earlier, so that the same one is taken.
fn without_one(best: &Plan) -> Vec<Plan> {
    let (slots, requests) = match &best.script {
        Some(script) if best.snapshots.slots > 1 => (best.snapshots.slots, &script.requests),
        _ => return Vec::new(),
    };
    if slots > requests.len() as u64 {
        return Vec::new();
    }
    let without = |index: usize| {
        let mut candidate = best.clone();
        candidate.snapshots.slots = slots - 1;
        if let Some(script) = &mut candidate.script {
            script.requests.remove(index);
        }
        candidate
    };
    (0..requests.len()).map(without).collect()
}

/// Lets messages and syncs always take the same time, if their longest did not do.
fn even(search: &mut Search<'_>) -> Result<(), Stopped> {
    let best = search.best();
    let mut candidates = Vec::new();
    let network = &best.network;
    for us in between(network.latency_min_us, network.latency_max_us) {
        let mut candidate = best.clone();
        (
            candidate.network.latency_min_us,
            candidate.network.latency_max_us,
        ) = (us, us);
        candidates.push(candidate);
    }
    search.first(candidates)?;
    let best = search.best();
    let mut candidates = Vec::new();
    for us in between(best.disk.latency_min_us, best.disk.latency_max_us) {
        let mut candidate = best.clone();
        (candidate.disk.latency_min_us, candidate.disk.latency_max_us) = (us, us);
        candidates.push(candidate);
    }
    search.first(candidates)?;
    Ok(())
}

fn between(low: u64, high: u64) -> Vec<u64> {
    let middle = low + (high.saturating_sub(low)) / 2;
    vec![low, middle]
}

/// The simplest settings for the faults and requests of a plan.
fn plain(plan: &Plan) -> Plan {
    let nodes = plan.nodes();
    let (network, disk, workload) = (&plan.network, &plan.disk, &plan.workload);
    let is_scripted = plan.script.is_some();
    Plan {
        cluster: ClusterPlan {
            weights: vec![1; nodes],
            priorities: vec![0; nodes],
            heartbeat_us: plan.cluster.heartbeat_us,
            ..ClusterPlan::default()
        },
        network: NetworkPlan {
            latency_min_us: network.latency_max_us,
            latency_max_us: network.latency_max_us,
            in_order: true,
            loss_ppm: 0,
            duplicate_ppm: 0,
            straggle_ppm: 0,
            straggle_max_us: 0,
            codec: false,
            routes: Vec::new(),
            outbox: None,
        },
        disk: DiskPlan {
            files: false,
            segment_bytes: disk.segment_bytes,
            latency_min_us: disk.latency_max_us,
            latency_max_us: disk.latency_max_us,
        },
        snapshots: SnapshotPlan::default(),
        clocks: vec![
            ClockPlan {
                offset_us: 0,
                drift_ppm: 0,
            };
            nodes
        ],
        // What only says how requests are drawn has no meaning when they are written down.
        workload: WorkloadPlan {
            clients: workload.clients,
            timeout_us: workload.timeout_us,
            ..if is_scripted {
                WorkloadPlan::default()
            } else {
                workload.clone()
            }
        },
        faults: Vec::new(),
        script: None,
        ..plan.clone()
    }
}

/// A plan as JSON, without its long lists.
fn settings(plan: &Plan) -> Value {
    let bare = Plan {
        faults: Vec::new(),
        script: None,
        ..plan.clone()
    };
    serde_json::to_value(bare).unwrap_or_default()
}

fn differences(at: &str, odd: &Value, plain: &Value, found: &mut Vec<(String, Value)>) {
    match (odd, plain) {
        (Value::Object(odd), Value::Object(plain)) if odd.keys().eq(plain.keys()) => {
            for ((name, odd), plain) in odd.iter().zip(plain.values()) {
                differences(&format!("{at}/{name}"), odd, plain, found);
            }
        }
        (Value::Array(odd), Value::Array(plain)) if odd.len() == plain.len() => {
            for (index, (odd, plain)) in odd.iter().zip(plain).enumerate() {
                differences(&format!("{at}/{index}"), odd, plain, found);
            }
        }
        _ if odd == plain => {}
        _ => found.push((at.to_owned(), odd.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LeasePlan;

    #[test]
    fn a_plain_plan_has_no_oddities_and_can_be_run() {
        for seed in 0..200 {
            let mut odd = crate::swarm::plan(seed);
            // With other weights, lasting faults may leave too few.
            odd.scars.clear();
            odd.gone.clear();
            odd.left.clear();
            let plain = plain(&odd);
            assert!(oddities(&plain).is_empty());
            plain.check().unwrap();
        }
    }

    #[test]
    fn what_differs_is_found_where_it_is() {
        let mut plan = plain(&crate::swarm::plan(1));
        plan.cluster.lease = Some(LeasePlan {
            duration_us: 5,
            drift_ppm: 7,
        });
        plan.clocks[1].offset_us = 9;
        plan.disk.files = true;
        let found: Vec<String> = oddities(&plan).into_iter().map(|(at, _)| at).collect();
        assert_eq!(
            found,
            ["/cluster/lease", "/disk/files", "/clocks/1/offset_us"]
        );
    }
}
