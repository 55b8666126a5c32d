//! What waits on a link that holds everything back: the runtime's queue, with its bounds.
//! Knows nothing about what is left out when there is no room, nor when a link is held.

use std::collections::BTreeMap;

use chil::delivery::{Bounds, DropReason, Outbox, Parcel};
use chil_core::{Ballot, Envelope, Lane};
use chil_proto::Frame;

use crate::plan::Plan;
use crate::world::{Event, World};

/// Sender, addressee and lane.
type Route = (usize, usize, Lane);

/// The queues of all links that are held, or were when something came last.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    bounds: Option<Bounds>,
    waiting: BTreeMap<Route, Outbox<Numbered>>,
}

/// A message with the number by which people are told of it.
#[derive(Debug)]
struct Numbered {
    id: u64,
    frame: Frame,
}

impl Parcel for Numbered {
    fn cost(&self) -> u64 {
        self.frame.cost()
    }

    fn kind(&self) -> Option<u8> {
        self.frame.kind()
    }

    fn supersedes(&self, older: &Self) -> bool {
        self.frame.supersedes(&older.frame)
    }

    fn ballot(&self) -> Option<Ballot> {
        self.frame.ballot()
    }
}

impl Outboxes {
    pub(crate) fn new(plan: &Plan) -> Self {
        let bounds = plan.network.outbox.map(|it| Bounds {
            messages: it.messages,
            bytes: it.bytes,
        });
        Self {
            bounds,
            waiting: BTreeMap::new(),
        }
    }

    /// A process ends, and with it what it has not sent.
    pub(crate) fn forget(&mut self, node: usize) {
        self.waiting.retain(|(from, ..), _| *from != node);
    }
}

impl World {
    /// Lets a message wait if its link is held; gives it back if it can go now.
    pub(crate) fn queue_up(
        &mut self,
        from: usize,
        to: usize,
        id: u64,
        envelope: Box<Envelope>,
    ) -> Option<Box<Envelope>> {
        let until = self.network.held_until(from, to);
        let Some(bounds) = self.outboxes.bounds else {
            return Some(envelope);
        };
        let route = (from, to, envelope.body.lane());
        let is_held = until > self.now;
        if !is_held && !self.outboxes.waiting.contains_key(&route) {
            return Some(envelope);
        }
        let outbox = self.outboxes.waiting.entry(route);
        let outbox = outbox.or_insert_with(|| Outbox::new(bounds));
        let is_first = outbox.is_empty();
        let before = left_out(outbox);
        let frame = Frame::Envelope(envelope);
        outbox.push(Numbered { id, frame });
        outbox.check();
        self.stats.left_out += left_out(outbox) - before;
        if is_first {
            let (from, to, lane) = route;
            self.schedule(until, Event::Unheld { from, to, lane });
        }
        None
    }

    /// A link was held until now, if nothing holds it for longer.
    pub(crate) fn unheld(&mut self, from: usize, to: usize, lane: Lane) {
        let until = self.network.held_until(from, to);
        if until > self.now {
            self.schedule(until, Event::Unheld { from, to, lane });
            return;
        }
        let Some(mut outbox) = self.outboxes.waiting.remove(&(from, to, lane)) else {
            return;
        };
        while let Some(Numbered { id, frame }) = outbox.pop() {
            if let Frame::Envelope(envelope) = frame {
                self.put_on_link(from, to, id, envelope);
            }
        }
    }
}

fn left_out(outbox: &Outbox<Numbered>) -> u64 {
    let counts = outbox.counts();
    counts.lost() + counts.dropped(DropReason::Superseded)
}
