//! Whether a plan makes sense: plans are also written by people.
//! Knows nothing about what a plan does.

use crate::dice::{Concern, Dice};

use super::{Accident, ClockPlan, Fault, FaultKind, Mishap, Plan, PlanError, Script, Scripted};

/// By how many millionths clocks may run fast or slow under plain overload.
const OVERLOAD_DRIFT_PPM_MAX: u32 = 50_000;

impl Plan {
    /// Checks that every index and range makes sense: plans are also written by people.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), PlanError> {
        let nodes = self.nodes();
        let fail = |what: String| Err(PlanError(what));
        if !(1..=16).contains(&nodes) {
            return fail(format!("cluster.weights names {nodes} nodes, not 1 to 16"));
        }
        let known = |node: &usize| *node < nodes;
        let scarred = self.scars.iter().all(|(a, b)| known(a) && known(b));
        if !scarred || !self.gone.iter().all(known) {
            return fail("`scars` or `gone` names no node".to_owned());
        }
        if self.clocks.len() != nodes {
            return fail(format!("{} clocks for {nodes} nodes", self.clocks.len()));
        }
        if let Some(clock) = self.clocks.iter().find(|c| c.drift_ppm.abs() > 500_000) {
            return fail(format!("a drift of {} ppm is too much", clock.drift_ppm));
        }
        let voters: u64 = self.cluster.weights.iter().map(|w| u64::from(*w)).sum();
        self.check_left()?;
        let present: u64 = (0..nodes)
            .filter(|i| !self.gone.contains(i) && self.left_by(*i).is_none())
            .filter_map(|i| self.cluster.weights.get(i))
            .map(|w| u64::from(*w))
            .sum();
        if self.cluster.forms
            && !(self.gone.is_empty() && self.scars.is_empty() && self.left.is_empty())
        {
            return fail("a cluster forms only when everybody hears everybody".to_owned());
        }
        if present * 2 <= voters {
            return fail("`gone` and `left` leave no quorum, so nothing could heal".to_owned());
        }
        if !(0..nodes).any(|node| self.can_lead_at_the_end(node)) {
            return fail("`scars` leave nobody connected to a quorum".to_owned());
        }
        self.check_lease()?;
        self.check_script()?;
        self.check_overload()?;
        self.check_admission()?;
        self.check_members()?;
        if self.cluster.priorities.len() != nodes {
            return fail(format!(
                "{} priorities for {nodes} nodes",
                self.cluster.priorities.len()
            ));
        }
        if self.workload.keys == 0 || self.cluster.heartbeat_us == 0 || self.events_max == 0 {
            return fail("workload.keys, heartbeat_us and events_max must not be 0".to_owned());
        }
        self.check_config()?;
        self.check_faults()
    }

    fn check_faults(&self) -> Result<(), PlanError> {
        let nodes = self.nodes();
        let known = |node: &usize| *node < nodes;
        let fail = |what: String| Err(PlanError(what));
        for fault in &self.faults {
            let known = match &fault.kind {
                FaultKind::Cut { links }
                | FaultKind::CutLanes { links, .. }
                | FaultKind::Clog { links } => links.iter().all(|(a, b)| *a < nodes && *b < nodes),
                FaultKind::Crash { node, .. }
                | FaultKind::CrashInDisk { node, .. }
                | FaultKind::Isolate { node, .. }
                | FaultKind::SlowDisk { node, .. }
                | FaultKind::SlowNode { node, .. }
                | FaultKind::Pause { node }
                | FaultKind::Absence { node }
                | FaultKind::ClockJump { node } => node.is_below(nodes),
                FaultKind::Transfer { node, to } => {
                    node.is_below(nodes) && to.is_none_or(|to| to < nodes)
                }
                FaultKind::Blackout => true,
                FaultKind::Flap {
                    links,
                    down_us,
                    up_us,
                } => {
                    if *down_us == 0 || *up_us == 0 {
                        return fail("links that flap must be down and up for a while".to_owned());
                    }
                    links.iter().all(|(a, b)| *a < nodes && *b < nodes)
                }
                FaultKind::Swizzle { clogs, frees } => {
                    let mut ordered = [clogs.clone(), frees.clone()];
                    ordered.iter_mut().for_each(|nodes| nodes.sort_unstable());
                    let [clogs, frees] = ordered;
                    if clogs != frees || clogs.windows(2).any(|pair| pair.first() == pair.last()) {
                        return fail(
                            "a swizzle must clog each node once and release the same".to_owned(),
                        );
                    }
                    clogs.iter().all(known)
                }
            };
            if !known {
                return fail(format!("the fault at {} us names no node", fault.at_us));
            }
        }
        Ok(())
    }

    fn check_left(&self) -> Result<(), PlanError> {
        let nodes = self.nodes();
        for (at, left) in self.left.iter().enumerate() {
            let again = self.left.iter().take(at).any(|it| it.node == left.node);
            if again || left.node >= nodes || self.gone.contains(&left.node) {
                let what = "`left` must name each node once, and none of `gone`";
                return Err(PlanError(what.to_owned()));
            }
        }
        Ok(())
    }

    /// Links with a latency of their own, and members with limits of their own.
    fn check_members(&self) -> Result<(), PlanError> {
        let nodes = self.nodes();
        let routes = &self.network.routes;
        if !routes.iter().all(|r| r.from < nodes && r.to < nodes) {
            return Err(PlanError("`network.routes` names no link".to_owned()));
        }
        let Some(mixed) = self.cluster.mixed.iter().find(|it| it.node >= nodes) else {
            return Ok(());
        };
        let node = mixed.node;
        Err(PlanError(format!("`cluster.mixed` has no node {node}")))
    }

    /// Plain overload is judged by whether anybody else leads: nothing else may be a reason.
    fn check_overload(&self) -> Result<(), PlanError> {
        let network = &self.network;
        let unwanted = self.cluster.priorities.iter().any(|it| *it > 0);
        let bent = network.loss_ppm > 0 || network.straggle_ppm > 0;
        let ended = !(self.gone.is_empty() && self.left.is_empty() && self.scars.is_empty());
        let is_bad = |it: &Accident| matches!(it.mishap, Mishap::Lost | Mishap::Late { .. });
        let accident = |script: &Script| script.accidents.iter().any(is_bad);
        let drifts = |clock: &ClockPlan| clock.drift_ppm.unsigned_abs() > OVERLOAD_DRIFT_PPM_MAX;
        let bad_clock = self.clocks.iter().any(drifts);
        let bent = bent || bad_clock || self.script.as_ref().is_some_and(accident);
        let is_bent = unwanted || bent || ended || !self.faults.is_empty();
        if !(is_bent && self.workload.overload) {
            return Ok(());
        }
        let what = "`workload.overload` is judged without faults, losses, stragglers, bad clocks \
                    and priorities only";
        Err(PlanError(what.to_owned()))
    }

    fn check_script(&self) -> Result<(), PlanError> {
        let Some(script) = &self.script else {
            return Ok(());
        };
        let (nodes, clients) = (self.nodes(), self.workload.clients);
        let digits = |r: &Scripted| r.payload.is_sound();
        if !script.requests.iter().all(digits) {
            let what = "a payload of the script is not made of pairs of hexadecimal digits";
            return Err(PlanError(what.to_owned()));
        }
        let sound = script
            .requests
            .iter()
            .all(|r| r.client < clients && r.node < nodes);
        if sound && script.answers.iter().all(|a| a.client < clients) {
            return Ok(());
        }
        let what = format!("the script has clients or nodes beyond {clients} and {nodes}");
        Err(PlanError(what))
    }

    /// What is never let in is never answered.
    fn check_admission(&self) -> Result<(), PlanError> {
        let Some(limits) = &self.cluster.admission else {
            return Ok(());
        };
        if limits.in_flight > 0 && limits.burst_us > 0 {
            return Ok(());
        }
        let what = "`cluster.admission` lets nothing in: in_flight and burst_us must not be 0";
        Err(PlanError(what.to_owned()))
    }

    /// What no node would start with is no run, although the first start would look like damage.
    fn check_config(&self) -> Result<(), PlanError> {
        let mut dice = Dice::new(self.seed, Concern::Nodes);
        for node in 0..self.nodes() {
            let config = crate::node::config(self, node, &mut dice);
            let wrong = |error| PlanError(format!("the nodes' configuration: {error}"));
            config.check().map_err(wrong)?;
        }
        Ok(())
    }

    /// Leases hold only as long as clocks keep within their bound.
    fn check_lease(&self) -> Result<(), PlanError> {
        let Some(lease) = &self.cluster.lease else {
            return Ok(());
        };
        let drift = |clock: &ClockPlan| clock.drift_ppm.unsigned_abs();
        if self
            .clocks
            .iter()
            .any(|clock| drift(clock) > lease.drift_ppm)
        {
            let what = "a clock drifts by more than the lease allows";
            return Err(PlanError(what.to_owned()));
        }
        let jumps = |fault: &Fault| matches!(fault.kind, FaultKind::ClockJump { .. });
        if self.faults.iter().any(jumps) {
            let what = "a clock jumps, which no lease allows";
            return Err(PlanError(what.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_plan_that_no_node_would_start_with_is_refused() {
        let mut plan = crate::swarm::plan(3);
        plan.check().unwrap();
        plan.cluster.in_flight_bytes_max = plan.cluster.value_bytes_max;
        let error = plan.check().unwrap_err().to_string();
        assert!(error.contains("in_flight_bytes_max"), "{error}");
    }
}
