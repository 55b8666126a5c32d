//! What happens when a message arrives at a node of the world.
//! Knows nothing about when, or whether, it does.

use bytes::Bytes;
use chil_core::message::TransferNow;
use chil_core::{Envelope, Input, Lane, Message, Replica};
use chil_proto::{Frame, decode};

use crate::check::looked::looks;
use crate::check::{Verdict, Violation, on, transfer_is_fresh};
use crate::report::event::What;
use crate::trace::{self, Mark};
use crate::world::{Hop, World};

impl World {
    pub(crate) fn arrive(
        &mut self,
        from: usize,
        to: usize,
        lane: Lane,
        id: u64,
        hop: Hop,
    ) -> Verdict {
        let state = &self.nodes[to];
        let is_down = state.replica.is_none() && state.forming.is_none();
        if is_down || self.network.is_cut(from, to, lane) {
            self.stats.lost += 1;
            if is_down {
                self.note_miss(to, &hop);
            }
            self.tell(to, || What::Miss { id, from });
            return Ok(());
        }
        let frame = match hop {
            Hop::Whole(frame) => frame,
            Hop::Encoded(bytes) => decoded(from, bytes)?,
        };
        self.stats.events += 1;
        self.tell(to, || What::Receive { id, from });
        self.note_arrival(to, &frame);
        let envelope = match frame {
            Frame::Envelope(envelope) => envelope,
            Frame::Forming(message) => return self.arrive_forming(from, to, *message),
        };
        self.judge.hears(to, &envelope.body);
        let [a, b] = trace::numbers(&envelope.body);
        self.trace
            .mix(Mark::Received, self.now, to, [from as u64, a, b, 0]);
        let word = match &envelope.body {
            Message::TransferNow(word) if self.plan.cluster.gather_us == 0 => word.clone(),
            _ => return self.give(to, Input::Received(envelope)),
        };
        self.arrive_word(to, &word, envelope)
    }

    /// The word to take over arrives at a node: what does it make of it?
    fn arrive_word(&mut self, to: usize, word: &TransferNow, envelope: Box<Envelope>) -> Verdict {
        let state = &self.nodes[to];
        let in_time = state.clock.read(self.now) < state.deadline;
        let before = state.replica.as_ref().map(Replica::status);
        let ballots = self.stats.ballots;
        self.give(to, Input::Received(envelope))?;
        // What a node does because its time has come is not for this to judge.
        let Some(before) = before.filter(|_| in_time) else {
            return Ok(());
        };
        let campaigned = ballots < self.stats.ballots;
        let found = transfer_is_fresh::check(&before, word, campaigned);
        on("transfer_is_fresh", to, found)
    }
}

/// What a node encoded is what any other decodes.
fn decoded(from: usize, bytes: Bytes) -> Result<Frame, Violation> {
    looks("codec");
    decode::frame(bytes).map_err(|error| Violation {
        check: "codec",
        node: Some(from),
        what: format!("sends a message that cannot be decoded: {error}"),
    })
}
