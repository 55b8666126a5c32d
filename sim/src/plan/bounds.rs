//! Whether the numbers of a plan from a file are numbers that a run can work with.
//! Knows nothing about what they mean, beyond the units in their names.

use serde_json::Value;

use super::{Plan, PlanError};

/// Longer than any run.
const TIME_MAX_US: u64 = 24 * 3_600 * 1_000_000;
/// What a clock may be ahead: nobody's is further off that is not broken.
const OFFSET_MAX_US: u64 = 100 * 365 * TIME_MAX_US;
/// More than any machine has the memory for, as everything below: what is made for each.
const CLIENTS_MAX: u64 = 10_000;
/// See above.
const EVENTS_MAX: u64 = 1_000_000_000;
/// See above, for each file and value.
const BYTES_MAX: u64 = 1 << 28;
/// All of them.
const PPM_MAX: u64 = 1_000_000;

impl Plan {
    /// Checks every time and every share, and that what is least is not above what is most.
    ///
    /// # Errors
    /// The first that cannot be.
    pub(super) fn check_bounds(&self) -> Result<(), PlanError> {
        let (network, disk, workload) = (&self.network, &self.disk, &self.workload);
        for (name, least, most) in [
            (
                "network.latency",
                network.latency_min_us,
                network.latency_max_us,
            ),
            ("disk.latency", disk.latency_min_us, disk.latency_max_us),
            (
                "workload.think",
                workload.think_min_us,
                workload.think_max_us,
            ),
        ] {
            if least > most {
                let what = format!("{name}_min_us is {least}, more than {name}_max_us, {most}");
                return Err(PlanError(what));
            }
        }
        let plan = serde_json::to_value(self).map_err(|error| PlanError(error.to_string()))?;
        bounded("", &plan)
    }
}

/// Walks through a plan as data, so that no field is forgotten.
fn bounded(path: &str, value: &Value) -> Result<(), PlanError> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            bounded(&format!("{path}{dot}{name}"), value)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(nth, item)| bounded(&format!("{path}[{nth}]"), item)),
        Value::Number(number) => {
            let most = match path.rsplit('.').next().unwrap_or(path) {
                "offset_us" => OFFSET_MAX_US,
                name if name.ends_with("_us") => TIME_MAX_US,
                name if name.ends_with("_ns") => TIME_MAX_US * 1_000,
                name if name.ends_with("_ppm") => PPM_MAX,
                "clients" | "window" | "sessions" | "clients_tracked" => CLIENTS_MAX,
                "operations_max" | "events_max" | "keys" => EVENTS_MAX,
                "segment_bytes" => BYTES_MAX,
                "value_bytes_max" if path.starts_with("workload.") => BYTES_MAX,
                _ => return Ok(()),
            };
            // Negative ones are drifts, which have a check of their own.
            if number.as_u64().is_none_or(|number| number <= most) {
                return Ok(());
            }
            Err(PlanError(format!("{path} is {number}, more than {most}")))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, FaultKind};

    #[test]
    fn what_is_drawn_is_within_bounds() {
        for seed in 0..200 {
            crate::swarm::plan(seed).check_bounds().unwrap();
        }
    }

    #[test]
    fn a_number_that_no_run_can_work_with_is_named() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = crate::swarm::plan(3);
            plan.faults = vec![Fault {
                at_us: 1,
                for_us: 1,
                kind: FaultKind::Blackout,
            }];
            change(&mut plan);
            plan.check_bounds().unwrap_err().to_string()
        };
        for (change, said) in [
            (
                (|plan| plan.heal_at_us = 1 << 62) as fn(&mut Plan),
                "heal_at_us is 4611686018427387904, more than 86400000000",
            ),
            (
                |plan| plan.cluster.heartbeat_us = u64::MAX,
                "cluster.heartbeat_us is",
            ),
            (|plan| plan.faults[0].at_us = 1 << 63, "faults[0].at_us is"),
            (
                |plan| plan.network.loss_ppm = 2_000_000,
                "network.loss_ppm is 2000000, more than 1000000",
            ),
            (
                |plan| plan.network.latency_min_us = plan.network.latency_max_us + 1,
                "network.latency_min_us is",
            ),
            (
                |plan| plan.workload.think_min_us = plan.workload.think_max_us + 1,
                "workload.think_min_us is",
            ),
            (
                |plan| plan.workload.clients = 1_000_000_000_000,
                "workload.clients is 1000000000000, more than 10000",
            ),
            (
                |plan| plan.workload.value_bytes_max = 1 << 40,
                "workload.value_bytes_max is",
            ),
            (
                |plan| plan.disk.segment_bytes = 1 << 50,
                "disk.segment_bytes is",
            ),
        ] {
            let error = refused(change);
            assert!(error.contains(said), "{error}");
        }
    }
}
