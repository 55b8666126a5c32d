//! Snapshots from node to node: who offers one, and how it is fetched in parts and installed.
//! Knows nothing about what is in them; the driver reads, writes and compares the bytes.
//!
//! ```text
//! behind            server
//!   | -- Fetch -------> |   (or a Promise, or an Accepted, that shows how far it is behind)
//!   | <------- Offer -- |   what it needs was trimmed
//!   | -- FetchChunk --> |   some parts ahead; again, from another node as well, when none comes
//!   | <------- Chunk -- |   equal ids, equal bytes: it does not matter who sends which part
//!   |  FinishSnapshot: the digest is compared, the file is durable
//!   |  Meta{snap} is written, Install
//! ```

use bytes::Bytes;

use crate::message::{Chunk, FetchChunk, Message, NackReason, Offer};
use crate::output::{IgnoreReason, Notice, Output, StepDown};
use crate::snapshot::{PartialSnapshot, SnapshotId, SnapshotMark};
use crate::types::{NodeId, Slot};

use super::incoming::Incoming;
use super::{Log, Replica, Role};

/// Parts that the driver reads for one peer at the same time at most.
const SERVING_MAX: u32 = 64;

/// After so many attempts in a row that brought nothing, a transfer is given up. What is there of
/// it stays, and whoever offers the same snapshot lets it go on.
const STALLS_MAX: u32 = 10;

impl Replica {
    /// The news that a snapshot stands for what is not in the log any more.
    pub(super) fn make_offer(&self) -> Option<Message> {
        let snap = self.meta.snap?;
        Some(Message::Offer(Offer {
            id: snap.id,
            decided_in: self.commit_in,
            commit: self.commit,
        }))
    }

    pub(super) fn offer(&mut self, to: usize) {
        if let Some(offer) = self.make_offer() {
            self.outbox.send(to, offer);
        }
    }

    pub(super) fn on_offer(&mut self, from: usize, m: &Offer) {
        let plausible = m.decided_in.epoch == self.epoch() && self.is_believable(m.decided_in);
        if !plausible || m.id.slot > m.commit || m.id.bytes == 0 {
            return self.ignore(from, "Offer", IgnoreReason::Malformed);
        }
        if matches!(&self.role, Role::Leading(leading) if m.decided_in <= leading.ballot) {
            return self.ignore(from, "Offer", IgnoreReason::Stale);
        }
        if m.id.slot <= self.commit {
            // It was needed once: whoever offers it does not know how far this node is.
            return self.ask_for_sync(from, m.id.slot);
        }
        match &self.incoming {
            Some(incoming) if incoming.id == m.id => {
                // Who offers it is there now; where it is fetched from may be gone.
                let quiet = incoming.is_quiet(self.now, self.config.resend_after);
                let other = incoming.source != from && quiet;
                if (other || !incoming.gets_on()) && !incoming.finishing {
                    self.fetch_from(from);
                }
            }
            // What still comes is not given up for something newer: under load there is always
            // something newer, and a transfer that begins anew each time never ends.
            Some(_) if self.transfer_may_go_on() => {}
            // Nor is what does not come waited for: an older one that somebody has is better.
            _ => self.begin_fetching(from, m),
        }
    }

    /// Whether more of a transfer is to be expected. A bad link makes the wait long, which is no
    /// reason to wait for a source that is gone; and a source that is not heard of otherwise may
    /// well be sending parts. What is here whole needs nobody but the disk.
    pub(super) fn transfer_may_go_on(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| {
            let quiet = incoming.is_quiet(self.now, self.config.resend_after);
            let gone = quiet && !self.peer(incoming.source).is_up(self.now, &self.config);
            incoming.finishing || (incoming.gets_on() && !gone)
        })
    }

    /// Tells the leader where this node stands, if it waits for its sync, or does not know that it
    /// has what it needs up to `slot`.
    fn ask_for_sync(&mut self, leader: usize, slot: Slot) {
        let promised = self.meta.promised;
        if self.id(leader) == promised.node && self.acc < promised {
            let nack = self.nack(promised, NackReason::NeedSync);
            self.outbox.send(leader, Message::Nack(nack));
        } else if self.id(leader) == promised.node {
            // Until an installation, or the entries that were offered, are durable, the answer
            // would be the old log, and that would be answered with another offer, as fast as
            // messages travel. Being durable is told by itself.
            let told = slot.max(self.snapshot_slot());
            self.accepted_due |= told <= self.outbox.durable_mark().last;
        }
    }

    fn begin_fetching(&mut self, from: usize, m: &Offer) {
        let partial = self.partial.take().filter(|partial| partial.id == m.id);
        let have = partial.map_or(0, |partial| partial.have.min(m.id.bytes));
        self.incoming = Some(Incoming::new(m.id, m.decided_in, from, have, self.now));
        // Whose bytes were wrong is asked last.
        let source = match self.unsound {
            Some((id, source)) if id == m.id && source == from => self.next_source(source, id.slot),
            Some(_) | None => from,
        };
        self.fetch_from(source);
    }

    /// Goes on fetching from this node.
    fn fetch_from(&mut self, source: usize) {
        let from = self.id(source);
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if incoming.source != source {
            incoming.turn_to(source);
        }
        incoming.start_over();
        let (id, have) = incoming.progress();
        self.outbox
            .notice(Notice::FetchingSnapshot { from, id, have });
        self.fetch_chunks();
    }

    /// Asks again for every part that was asked for and has not come.
    fn fetch_holes(&mut self) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        for (offset, len) in incoming.holes(self.config.chunk_bytes_max) {
            let fetch = incoming.ask(offset, len);
            let source = incoming.source;
            self.outbox.send(source, Message::FetchChunk(fetch));
        }
    }

    /// Asks again for the part that belongs behind what came, and for that alone.
    fn fetch_missing(&mut self) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if let Some((offset, len)) = incoming.missing(self.config.chunk_bytes_max) {
            let fetch = incoming.ask(offset, len);
            let source = incoming.source;
            self.outbox.send(source, Message::FetchChunk(fetch));
        }
    }

    /// Asks for the next parts, as far ahead of what is written as allowed.
    fn fetch_chunks(&mut self) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        let part = incoming.part(self.config.chunk_bytes_max);
        let ahead = part.saturating_mul(self.config.chunks_in_flight_max);
        let (id, source) = (incoming.id, incoming.source);
        if id.slot <= self.commit {
            // Entries came faster; the driver may throw away what there is of it.
            self.incoming = None;
            return;
        }
        let end = id.bytes.min(incoming.have.saturating_add(ahead));
        while incoming.asked < end {
            let (offset, len) = (incoming.asked, part.min(end - incoming.asked));
            let fetch = incoming.ask(offset, len);
            self.outbox.send(source, Message::FetchChunk(fetch));
        }
        if incoming.have == id.bytes && !incoming.finishing {
            incoming.finishing = true;
            self.outbox.effect(Output::FinishSnapshot { id });
        }
    }

    /// Any node that keeps the snapshot serves its parts.
    pub(super) fn on_fetch_chunk(&mut self, from: usize, m: &FetchChunk) {
        let within = m.offset < m.id.bytes && m.len > 0;
        if !within {
            return self.ignore(from, "FetchChunk", IgnoreReason::Malformed);
        }
        if m.id.slot > self.snapshot_slot() {
            return self.ignore(from, "FetchChunk", IgnoreReason::Stale);
        }
        let (to, now) = (self.id(from), self.now);
        if let Role::Leading(leading) = &mut self.role {
            let progress = leading.progress_mut(from);
            progress.pinned = Some((m.id.slot, now));
            progress.fetches = Some((m.id, m.offset.saturating_add(m.len), now));
        }
        let serving = self.serving_mut(from);
        if *serving >= SERVING_MAX {
            return;
        }
        *serving += 1;
        let len = m
            .len
            .min(m.id.bytes - m.offset)
            .min(self.config.chunk_bytes_max);
        let (id, offset) = (m.id, m.offset);
        self.outbox.effect(Output::ReadChunk {
            to,
            id,
            offset,
            len,
        });
    }

    fn serving_mut(&mut self, position: usize) -> &mut u32 {
        self.serving
            .get_mut(position)
            .expect("one a member, by position")
    }

    pub(super) fn on_chunk_read(
        &mut self,
        to: NodeId,
        id: SnapshotId,
        offset: u64,
        bytes: Option<Bytes>,
    ) {
        let position = self.weights.position(to);
        let to = position.expect("parts are read for members only");
        let serving = self.serving_mut(to);
        *serving = serving
            .checked_sub(1)
            .expect("the driver answers each ReadChunk once");
        match bytes.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => {
                let chunk = Chunk { id, offset, bytes };
                self.outbox.send(to, Message::Chunk(chunk));
            }
            // It is not kept any more, or cannot be read: here is what stands for it.
            None if id.slot < self.snapshot_slot() => self.offer(to),
            None => {}
        }
    }

    pub(super) fn on_chunk(&mut self, from: usize, m: Chunk) {
        let (now, early_max) = (self.now, self.config.chunks_in_flight_max);
        let Some(incoming) = self.incoming.as_mut().filter(|i| i.id == m.id) else {
            return self.ignore(from, "Chunk", IgnoreReason::Stale);
        };
        let is_short = incoming.learn_part(from, m.offset, m.bytes.len() as u64);
        let ready = incoming.take(m.offset, m.bytes, early_max);
        if !ready.is_empty() {
            incoming.came(now);
        }
        let id = m.id;
        for (offset, bytes) in ready {
            self.outbox.effect(Output::WriteChunk { id, offset, bytes });
        }
        if is_short && let Some(incoming) = &mut self.incoming {
            incoming.start_over();
            self.fetch_chunks();
        }
    }

    pub(super) fn on_chunk_written(&mut self, id: SnapshotId, have: u64) {
        let now = self.now;
        let Some(incoming) = self.incoming.as_mut().filter(|i| i.id == id) else {
            return;
        };
        let have = have.min(id.bytes);
        if have > incoming.received {
            // It was begun before, given up here, and kept there: its file is further.
            incoming.skip_to(have);
        }
        if have <= incoming.have {
            // It could not be written. Not at once again: the disk may be full.
            incoming.have = have;
            incoming.received = have;
            return incoming.start_over();
        }
        // What was asked for again has come: the link works, so what else is missing of the same
        // loss is asked for now, and not after a wait for each part.
        let recovers = incoming.stalls > 0;
        incoming.wrote(have, now);
        if recovers {
            self.fetch_holes();
        }
        self.fetch_chunks();
    }

    pub(super) fn on_snapshot_received(&mut self, id: SnapshotId, sound: bool) {
        let Some(incoming) = self.incoming.take_if(|incoming| incoming.id == id) else {
            return;
        };
        if !sound {
            // Some part of it was wrong, and nobody knows which: the next offer begins anew, if
            // possible with somebody else's. A candidate lets the others try meanwhile.
            self.unsound = Some((id, incoming.source));
            if matches!(self.role, Role::Preparing(_)) {
                self.step_down(StepDown::PrepareTimeout);
            }
            return self.ignore(incoming.source, "Chunk", IgnoreReason::Malformed);
        }
        if id.slot <= self.commit {
            // Entries came faster.
            return;
        }
        self.install(&incoming);
        if matches!(self.role, Role::Preparing(_)) {
            return self.try_adopt();
        }
        self.ask_for_sync(incoming.source, incoming.id.slot);
    }

    /// Lets a durable snapshot stand for the log up to its slot. The record of the metadata that
    /// names it is the one atomic step: what it makes of the log follows from it (see
    /// [`Meta::snap`](crate::Meta::snap)), before a crash and after.
    fn install(&mut self, incoming: &Incoming) {
        let id = incoming.id;
        assert!(
            self.commit < id.slot,
            "installing {id} behind {}",
            self.commit
        );
        if incoming.decided_in > self.meta.promised {
            // As with decided entries: a late sync of an older ballot would overwrite it.
            self.promise(incoming.decided_in, StepDown::HigherDecision);
        }
        let head = self.head();
        self.outbox.seal_log(&self.log, head);
        if self.log.chain_at(id.slot) != Some(id.chain) {
            // Where the logs differ, nothing from there on is decided in `acc`, or the snapshot
            // would have it; where this log ends before, there is nothing to keep.
            self.log = Log::behind(id.slot, id.chain);
        }
        // `acc` stays: a snapshot is no vote in any ballot.
        self.learn_commit(id.slot, incoming.decided_in);
        self.delivered = id.slot;
        self.meta.snap = Some(SnapshotMark {
            id,
            decided_in: incoming.decided_in,
        });
        self.touch_meta();
        self.outbox.log_changed(self.log.last());
        self.outbox.notice(Notice::Installed { id });
        self.outbox.effect(Output::Install { id });
        self.trim();
    }

    /// Once a round: asks again, and elsewhere, for what did not come. What counts is whether
    /// anything comes, not how long all of it takes.
    pub(super) fn tend_state_sync(&mut self) {
        let (now, patience, commit) = (self.now, self.config.resend_after, self.commit);
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if incoming.finishing {
            return;
        }
        if incoming.id.slot <= commit {
            self.incoming = None;
            return;
        }
        if !incoming.is_quiet(now, incoming.wait.max(patience)) {
            return;
        }
        incoming.stalled(now, patience);
        let (slot, source) = (incoming.id.slot, incoming.source);
        if incoming.stalls > STALLS_MAX {
            let (id, have) = incoming.progress();
            self.partial = Some(PartialSnapshot { id, have });
            self.incoming = None;
            return;
        }
        if incoming.gets_on() {
            // Perhaps one part got lost. After that it is the source that is in doubt.
            return self.fetch_missing();
        }
        let source = self.next_source(source, slot);
        self.fetch_from(source);
    }

    /// The next member behind `source` that knows of decisions up to `slot`, so that it may have
    /// the same snapshot; the same one if there is no other.
    fn next_source(&self, source: usize, slot: Slot) -> usize {
        let members = self.peers.len();
        let order = (1..=members).map(|step| (source + step) % members);
        order
            .filter(|&position| position != self.me)
            .find(|&position| self.reply(position).is_some_and(|r| r.commit >= slot))
            .unwrap_or(source)
    }
}
