//! When a node has time for what comes: it may be paused, or slow, and clients come last.
//! Knows nothing about what is done then.

use crate::world::{Event, World};

impl World {
    /// The node that an event needs awake, if any.
    fn needs(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Arrive { to, .. } => Some(*to),
            Event::Wake { node, .. }
            | Event::Drain { node, .. }
            | Event::Synced { node, .. }
            | Event::Worked { node, .. }
            | Event::Apply { node, .. }
            | Event::Ask { node }
            | Event::Answer { node, .. } => Some(*node),
            Event::Request { operation } => Some(self.clients.operations[*operation].node),
            Event::Attempt { number } => Some(self.attempts[*number].node),
            Event::Call { .. }
            | Event::Answered { .. }
            | Event::Start { .. }
            | Event::Scripted { .. }
            | Event::Think { .. }
            | Event::Timeout { .. }
            | Event::Fault { .. }
            | Event::Unheld { .. }
            | Event::Step { .. }
            | Event::Milestone => None,
            Event::Late(event) => self.needs(event),
        }
    }

    /// Puts an event off whose node has no time for it now; returns what happens now.
    pub(crate) fn now_or_later(&mut self, event: Event) -> Option<Event> {
        let Some(node) = self.needs(&event) else {
            return Some(event);
        };
        let state = &mut self.nodes[node];
        let until = state.paused_until;
        let is_asked = matches!(event, Event::Request { .. } | Event::Attempt { .. });
        if until == u64::MAX && !is_asked {
            self.parked.push(event);
            return None;
        }
        if until > self.now && until < u64::MAX {
            self.schedule(until, event);
            return None;
        }
        match event {
            Event::Late(event) => Some(*event),
            Event::Ask { node } => {
                self.serve_asked(node);
                None
            }
            event if !state.is_slow(self.now) => Some(event),
            event if is_asked => {
                let at = state.busy_until;
                let asked = &mut self.asked[node];
                asked.push_back(event);
                if asked.len() == 1 {
                    self.schedule(at, Event::Ask { node });
                }
                None
            }
            event => {
                let at = state.queues_up(self.now);
                self.schedule(at, Event::Late(Box::new(event)));
                None
            }
        }
    }

    /// A node turns to the next request that waits, if it is done with all else; to all of them if
    /// it is slow no longer.
    fn serve_asked(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if !state.is_slow(self.now) {
            for event in std::mem::take(&mut self.asked[node]) {
                self.schedule(self.now, event);
            }
            return;
        }
        let mut next = state.busy_until;
        if next <= self.now
            && let Some(event) = self.asked[node].pop_front()
        {
            next = state.queues_up(self.now);
            self.schedule(next, Event::Late(Box::new(event)));
        }
        if !self.asked[node].is_empty() {
            self.schedule(next, Event::Ask { node });
        }
    }
}
