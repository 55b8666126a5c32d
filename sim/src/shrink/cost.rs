//! What makes one plan smaller than another.
//! Knows nothing about how plans get smaller.

use std::fmt;

use serde_json::Value;

use super::settings;
use crate::plan::Plan;

/// How large a plan is: what comes first counts more. A plan never becomes larger in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Faults, requests, and whatever befalls messages and answers.
    pub things: u64,
    /// Nodes.
    pub nodes: usize,
    /// How long the faults last, in simulated microseconds.
    pub time_us: u64,
    /// How much there is to read: settings that differ from the plain ones, digits, bytes.
    pub size: u64,
}

impl Cost {
    /// The cost of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            things: Counts::of(plan).things(),
            nodes: plan.nodes(),
            time_us: plan.heal_at_us,
            size: size(plan),
        }
    }
}

/// What a plan consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Nodes.
    pub nodes: usize,
    /// Faults.
    pub faults: usize,
    /// Links that stay cut and nodes that stay away when the faults are over.
    pub endings: usize,
    /// Requests of clients; at most so many, if they are drawn as the plan is executed.
    pub requests: usize,
    /// Messages that are lost, late, or come twice.
    pub accidents: usize,
    /// Answers to clients that are lost or come twice.
    pub answers: usize,
    /// How long the faults last, in simulated microseconds.
    pub time_us: u64,
}

impl Counts {
    /// Counts what is in a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let drawn = usize::try_from(plan.workload.operations_max).unwrap_or(usize::MAX);
        let (requests, accidents, answers) = match &plan.script {
            Some(script) => (
                script.requests.len(),
                script.accidents.len(),
                script.answers.len(),
            ),
            None => (drawn, 0, 0),
        };
        Self {
            nodes: plan.nodes(),
            faults: plan.faults.len(),
            endings: plan.scars.len() + plan.gone.len() + plan.left.len(),
            requests,
            accidents,
            answers,
            time_us: plan.heal_at_us,
        }
    }

    /// All of it but the nodes.
    #[must_use]
    pub const fn things(&self) -> u64 {
        let befalls = self.accidents as u64 + self.answers as u64;
        (self.faults + self.endings) as u64 + self.requests as u64 + befalls
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut count = |number: usize, one: &str, many: &str| {
            let name = if number == 1 { one } else { many };
            write!(f, "{number} {name}, ")
        };
        count(self.nodes, "node", "nodes")?;
        count(self.faults, "fault", "faults")?;
        if self.endings > 0 {
            count(self.endings, "lasting fault", "lasting faults")?;
        }
        count(self.requests, "request", "requests")?;
        count(self.accidents, "accident", "accidents of messages")?;
        if self.answers > 0 {
            count(self.answers, "lost answer", "lost answers")?;
        }
        write!(f, "{} ms until all is well", self.time_us.div_ceil(1_000))
    }
}

/// What a person has to read of a plan.
fn size(plan: &Plan) -> u64 {
    let settings = settings::oddities(plan);
    let odd: u64 = settings.iter().map(|(_, value)| 1 + weight(value)).sum();
    let list = |value: serde_json::Result<Value>| value.map_or(0, |value| weight(&value));
    odd + list(serde_json::to_value(&plan.faults))
        + list(serde_json::to_value(&plan.script))
        + list(serde_json::to_value(&plan.scars))
        + list(serde_json::to_value(&plan.left))
        + u64::from(plan.left_return)
        + plan.workload.clients as u64
}

/// Digits that say something, letters, and items.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(false) => 0,
        Value::Bool(true) => 1,
        Value::Number(number) => {
            let digits = number.to_string();
            digits.trim_end_matches('0').len() as u64
        }
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(|item| 1 + weight(item)).sum(),
        Value::Object(fields) => fields.values().map(weight).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, FaultKind};

    #[test]
    fn things_count_more_than_nodes_and_nodes_more_than_digits() {
        let mut plan = crate::swarm::plan(1);
        let cost = Cost::of(&plan);
        plan.heal_at_us *= 2;
        assert!(Cost::of(&plan) > cost);
        plan.workload.operations_max -= 1;
        assert!(Cost::of(&plan) < cost, "though it takes longer");
    }

    #[test]
    fn round_times_are_easier_to_read() {
        let at = |at_us| {
            let mut plan = crate::swarm::plan(1);
            plan.faults = vec![Fault {
                at_us,
                for_us: 0,
                kind: FaultKind::Blackout,
            }];
            Cost::of(&plan).size
        };
        assert!(at(100_000) < at(123_456));
        assert_eq!(at(100_000), at(9));
    }
}
