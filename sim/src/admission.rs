//! What nodes let in of what clients ask, before a replica hears of it.
//! Knows nothing about why something is let in: the runtime's code decides, a check judges.

use std::collections::BTreeMap;

use chil::limits::{Admission, Asker, Busy, Charge};
use chil_core::{Span, Time};

use crate::check::fair_admission::Accounts;
use crate::check::{Violation, on};
use crate::plan::Plan;
use crate::report::event::What;
use crate::trace::Mark;
use crate::world::World;

/// The doors of all nodes.
pub(crate) struct Doors {
    /// One a node, or none at all.
    doors: Vec<Door>,
    /// What was let in and is not done, by token.
    inside: BTreeMap<u64, Inside>,
}

struct Door {
    admission: Admission,
    accounts: Accounts,
}

struct Inside {
    node: usize,
    client: usize,
    bytes: u64,
    charge: Charge,
}

impl Doors {
    pub(crate) fn new(plan: &Plan) -> Self {
        let nodes = 0..plan.nodes();
        Self {
            doors: nodes.filter_map(|_| Door::new(plan)).collect(),
            inside: BTreeMap::new(),
        }
    }
}

impl Door {
    fn new(plan: &Plan) -> Option<Self> {
        let limits = plan.cluster.admission?;
        Some(Self {
            admission: Admission::new(limits.limits()),
            accounts: Accounts::new(limits, plan.workload.clients),
        })
    }
}

impl World {
    /// A client asks a node for something of so many bytes, which is let in or not; if not, says
    /// when to come again.
    pub(crate) fn knocks(
        &mut self,
        node: usize,
        client: usize,
        token: u64,
        bytes: usize,
    ) -> Result<Option<Span>, Violation> {
        let Some(door) = self.doors.doors.get_mut(node) else {
            return Ok(None);
        };
        let now = self.nodes[node].clock.read(self.now);
        let bytes = bytes as u64;
        let name = format!("client {client}");
        let asked = door.admission.ask(now, Asker::Client(&name), bytes);
        door.admission.check();
        let refused = asked.as_ref().err().copied();
        if !self.judge.looks_away {
            let found = door.accounts.asked(now, client, bytes, refused);
            on("fair_admission", node, found)?;
        }
        let charge = match asked {
            Ok(charge) => charge,
            Err(busy) => return Ok(Some(self.turned_away(node, client, token, busy))),
        };
        let inside = Inside {
            node,
            client,
            bytes,
            charge,
        };
        let before = self.doors.inside.insert(token, inside);
        assert!(before.is_none(), "asked for at two nodes at the same time");
        Ok(None)
    }

    fn turned_away(&mut self, node: usize, client: usize, token: u64, busy: Busy) -> Span {
        self.stats.turned_away += 1;
        let (why, wait) = (busy.why, busy.retry_after);
        let numbers = [token, why as u64 + 1, wait.nanos(), 0];
        self.trace.mix(Mark::Refused, self.now, node, numbers);
        self.tell(node, || What::Note {
            text: format!("turns client {client} away ({}) for {wait}", why.code()),
        });
        wait
    }

    /// Nobody waits any more for what a client asked for, or it has its answer.
    pub(crate) fn leaves(&mut self, token: u64) {
        let Some(inside) = self.doors.inside.remove(&token) else {
            return;
        };
        if let Some(door) = self.doors.doors.get_mut(inside.node) {
            door.admission.done(inside.charge);
            door.admission.check();
            if !self.judge.looks_away {
                door.accounts.done(inside.client, inside.bytes);
            }
        }
    }

    /// A node woke, and this is how late.
    pub(crate) fn woke(&mut self, node: usize, now: Time, late: Span) {
        if let Some(door) = self.doors.doors.get_mut(node) {
            door.admission.measured(now, late);
            door.accounts.woke(now, late);
        }
    }

    /// A node's life is over, and with it what it counted.
    pub(crate) fn closes(&mut self, node: usize) {
        self.doors.inside.retain(|_, inside| inside.node != node);
        if let (Some(door), Some(new)) = (self.doors.doors.get_mut(node), Door::new(&self.plan)) {
            *door = new;
        }
    }
}
