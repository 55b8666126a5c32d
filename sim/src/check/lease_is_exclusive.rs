//! I22 Leases exclude: while a read is served from the lease of a ballot, nothing has been decided,
//! announced or answered in a higher one. Knows nothing about clocks: simulated time is the judge.
//!
//! Gray, Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache
//! Consistency" (1989), section 2: until a lease ends its holder's copy is the current one.

use chil_core::{Ballot, Slot};

/// Who leads what, and the highest ballot in which anything happened that somebody can see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    /// By node: the ballot that it leads or led last, and what it knew to be decided when it began.
    led: Vec<Option<(Ballot, Slot)>>,
    active: Option<(Ballot, String)>,
    /// Whether `active` has risen since somebody last asked.
    rose: bool,
}

impl Leases {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            led: vec![None; nodes],
            active: None,
            rose: false,
        }
    }

    /// A node begins to lead `ballot`, and knows everything up to `commit` to be decided already.
    pub(crate) fn leads(&mut self, node: usize, ballot: Ballot, commit: Slot) {
        if let Some(led) = self.led.get_mut(node) {
            *led = Some((ballot, commit));
        }
    }

    /// A node does not lead any more.
    pub(crate) fn ends(&mut self, node: usize) {
        if let Some(led) = self.led.get_mut(node) {
            *led = None;
        }
    }

    /// The ballot that a node leads.
    pub(crate) fn ballot(&self, node: usize) -> Option<Ballot> {
        let (ballot, _) = self.led.get(node).copied().flatten()?;
        Some(ballot)
    }

    /// A node acts on, or states, that everything up to `slot` is decided: if it leads, that is
    /// its own decision as far as it goes beyond what it began with.
    pub(crate) fn states(&mut self, node: usize, slot: Slot) {
        if let Some((ballot, began)) = self.led.get(node).copied().flatten()
            && slot > began
        {
            self.acts(ballot, || format!("slot {slot} was decided"));
        }
    }

    /// A node answers somebody as leader of the ballot that it leads.
    pub(crate) fn answers(&mut self, node: usize, what: &str) {
        if let Some(ballot) = self.ballot(node) {
            self.acts(ballot, || what.to_owned());
        }
    }

    fn acts(&mut self, ballot: Ballot, what: impl FnOnce() -> String) {
        if self
            .active
            .as_ref()
            .is_none_or(|(active, _)| *active < ballot)
        {
            self.active = Some((ballot, what()));
            self.rose = true;
        }
    }

    /// Whether a higher ballot has come to act since this was last asked.
    pub(crate) fn take_rise(&mut self) -> bool {
        std::mem::take(&mut self.rose)
    }

    /// The ballot that a node leads, if somebody has acted in a higher one already.
    pub(crate) fn overtaken(&self, node: usize) -> Option<Ballot> {
        let (active, _) = self.active.as_ref()?;
        self.ballot(node).filter(|ballot| ballot < active)
    }

    /// A read is answered from the lease of `ballot`.
    pub(crate) fn check(&self, ballot: Ballot) -> Result<(), String> {
        match &self.active {
            Some((active, what)) if *active > ballot => Err(format!(
                "answers a read from its lease in {ballot}, but {what} in {active} already"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;

    #[test]
    fn a_read_from_a_lease_after_a_later_leader_acted_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut leases = Leases::new(2);
        leases.leads(0, one, Slot::new(3));
        leases.states(0, Slot::new(4));
        assert_eq!(leases.check(one), Ok(()));
        leases.leads(1, two, Slot::new(4));
        leases.states(1, Slot::new(4));
        assert_eq!(
            leases.check(one),
            Ok(()),
            "known before: that is no decision"
        );
        leases.states(1, Slot::new(5));
        let found = leases.check(one).unwrap_err();
        assert!(found.contains("slot 5"), "{found}");
        assert_eq!(leases.check(two), Ok(()));
    }

    #[test]
    fn a_read_from_a_lease_after_a_later_leader_answered_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut leases = Leases::new(2);
        leases.leads(0, one, Slot::ZERO);
        leases.leads(1, two, Slot::ZERO);
        assert_eq!(leases.check(one), Ok(()));
        leases.answers(1, "a read was answered");
        assert!(leases.check(one).is_err());
        assert_eq!(
            (leases.overtaken(0), leases.overtaken(1)),
            (Some(one), None)
        );
        assert!(leases.take_rise() && !leases.take_rise());
        leases.ends(0);
        assert_eq!(leases.ballot(0), None);
    }
}
