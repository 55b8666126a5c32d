//! The places that connections take, given back when they close, whoever closes them.
//! Knows nothing about how many there are: the gate decides.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chil_core::{Span, Time};

use crate::clock::SystemClock;
use crate::limits::{ConnectionLimits, Gate, GateReason, Ticket, TicketId, Who};
use crate::ports::Clock;
use crate::shutdown::{Stop, Stopped, Stopper, signal};

/// The gate of one node, and how to close what has passed it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Doors(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    gate: Gate,
    inside: BTreeMap<TicketId, Stopper>,
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Held {
    doors: Doors,
    ticket: Option<Ticket>,
}

impl Doors {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Mutex::new(State {
            gate: Gate::new(limits),
            inside: BTreeMap::new(),
        })))
    }

    /// A connection has come.
    pub(crate) fn arrive(&self, from: IpAddr, known_peer: bool) -> Result<Held, GateReason> {
        let now = SystemClock.now();
        let ticket = self.lock().gate.arrive(now, from, known_peer)?;
        Ok(Held {
            doors: self.clone(),
            ticket: Some(ticket),
        })
    }

    /// The node met a deadline of its own so late.
    pub(crate) fn measured(&self, now: Time, late: Span) {
        self.lock().gate.measured(now, late);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How long the handshake is to be put off.
    pub(crate) fn wait(&self) -> Duration {
        let wait = self.ticket.as_ref().map_or(Span::ZERO, Ticket::wait);
        Duration::from_nanos(wait.nanos())
    }

    /// The handshake is over. The result says when the connection has to make room for another
    /// one of the same peer.
    pub(crate) fn identified(&mut self, who: Who<'_>) -> Result<Stopped, GateReason> {
        let ticket = self
            .ticket
            .as_mut()
            .expect("a place is held until it is dropped");
        let mut state = self.doors.lock();
        if let Some(evicted) = state.gate.identified(ticket, who)?
            && let Some(stopper) = state.inside.remove(&evicted)
        {
            stopper.tell(Stop::Now);
        }
        let (stopper, stopped) = signal();
        state.inside.insert(ticket.id(), stopper);
        Ok(stopped)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut state = self.doors.lock();
            state.inside.remove(&ticket.id());
            state.gate.left(ticket);
        }
    }
}
