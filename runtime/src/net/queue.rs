//! What waits to be sent on one lane of a link: bounded in frames and bytes, newest kept.
//! Knows nothing about connections; losing a message is allowed, since the core sends again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chil_core::{Entry, Message};
use chil_proto::Frame;
use tokio::sync::Notify;

/// A queue between the node's loop, which never waits, and the task of one connection.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: u64,
    counts: Counts,
}

/// What became of the frames of one link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) dropped: u64,
    pub(super) superseded: u64,
}

impl Queue {
    /// Most frames in a queue.
    const FRAMES_MAX: usize = 4_096;
    /// Most bytes in a queue of more than one frame: a window of entries and as much again.
    const BYTES_MAX: u64 = 32 << 20;

    /// Adds a frame; the oldest make room for it.
    pub(super) fn push(&self, frame: Frame) {
        let mut state = self.lock();
        let superseded = match state.frames.back() {
            Some(last) if supersedes(&frame, last) => Some(state.frames.len() - 1),
            // Heartbeats and their answers alternate; the lane holds little else.
            _ if is_heartbeat(&frame) => state.frames.iter().position(|f| supersedes(&frame, f)),
            _ => None,
        };
        if let Some(at) = superseded
            && let Some(old) = state.frames.remove(at)
        {
            state.bytes -= cost(&old);
            state.counts.superseded += 1;
        }
        let bytes = cost(&frame);
        while !state.frames.is_empty()
            && (state.bytes + bytes > Self::BYTES_MAX || state.frames.len() >= Self::FRAMES_MAX)
            && let Some(oldest) = state.frames.pop_front()
        {
            state.bytes -= cost(&oldest);
            state.counts.dropped += 1;
        }
        state.bytes += bytes;
        state.frames.push_back(frame);
        drop(state);
        self.filled.notify_one();
    }

    /// Takes the oldest frame.
    pub(super) fn pop(&self) -> Option<Frame> {
        let mut state = self.lock();
        let frame = state.frames.pop_front()?;
        state.bytes -= cost(&frame);
        state.counts.sent += 1;
        Some(frame)
    }

    /// Resolves when something may have been added. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Drops everything: nobody can be reached, and what is said by then would be old.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.counts.dropped += state.frames.len() as u64;
        state.bytes = 0;
        state.frames.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_heartbeat(frame: &Frame) -> bool {
    matches!(frame, Frame::Envelope(e) if matches!(e.body, Message::Heartbeat(_) | Message::HeartbeatReply(_)))
}

/// Whether `new` says everything that `old` does, so that `old` need not be sent any more.
fn supersedes(new: &Frame, old: &Frame) -> bool {
    let (Frame::Envelope(new), Frame::Envelope(old)) = (new, old) else {
        return false;
    };
    match (&new.body, &old.body) {
        (Message::Heartbeat(_), Message::Heartbeat(_)) | (Message::Fetch(_), Message::Fetch(_)) => {
            true
        }
        (Message::HeartbeatReply(new), Message::HeartbeatReply(old)) => new.round >= old.round,
        (Message::Accepted(new), Message::Accepted(old)) => {
            new.ballot == old.ballot && new.last >= old.last && new.seq >= old.seq
        }
        (Message::Accept(new), Message::Accept(old)) => {
            let news_only =
                |m: &chil_core::message::Accept| m.entries.is_empty() && m.sync.is_none();
            news_only(new) && news_only(old) && new.ballot == old.ballot && new.prev == old.prev
        }
        _ => false,
    }
}

/// Bytes that a frame counts for.
fn cost(frame: &Frame) -> u64 {
    let entries: &[Entry] = match frame {
        Frame::Envelope(envelope) => match &envelope.body {
            Message::Chunk(m) => return Entry::OVERHEAD as u64 + m.bytes.len() as u64,
            Message::Accept(m) => &m.entries,
            Message::Learn(m) => &m.entries,
            Message::Promise(m) => &m.suffix,
            Message::Prepare(_)
            | Message::Accepted(_)
            | Message::Nack(_)
            | Message::Fetch(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatReply(_)
            | Message::Offer(_)
            | Message::FetchChunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::TransferNow(_) => &[],
        },
        Frame::Forming(_) => &[],
    };
    Entry::OVERHEAD as u64 + entries.iter().map(Entry::cost).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chil_core::message::{Accept, Accepted, Heartbeat, HeartbeatReply};
    use chil_core::{
        Ballot, Chain, ClusterId, Command, DiskId, EntryKind, Envelope, Epoch, NodeId, Slot,
    };

    use super::*;

    fn ballot(n: u64) -> Ballot {
        Ballot::new(Epoch::FIRST, n, NodeId::new(1))
    }

    fn frame(body: Message) -> Frame {
        Frame::Envelope(Box::new(Envelope {
            cluster: ClusterId::new(1),
            from: NodeId::new(1),
            from_disk: DiskId::new(1),
            boot: 1,
            run: 1,
            to: NodeId::new(2),
            to_boot: 0,
            epoch: Epoch::FIRST,
            body,
        }))
    }

    fn accepted(n: u64, last: u64, seq: u64) -> Frame {
        frame(Message::Accepted(Accepted {
            ballot: ballot(n),
            last: Slot::new(last),
            seq,
        }))
    }

    fn heartbeat(round: u64) -> Frame {
        frame(Message::Heartbeat(Heartbeat {
            round,
            data: false,
            happy: true,
        }))
    }

    fn reply(round: u64) -> Frame {
        frame(Message::HeartbeatReply(HeartbeatReply {
            round,
            data: false,
            ballot: ballot(0),
            leader: ballot(1),
            happy: true,
            able: true,
            commit: Slot::ZERO,
            priority: 0,
            fresh: None,
        }))
    }

    fn accept(seq: u64, payload: Option<usize>) -> Frame {
        let entry = |len| {
            let kind = EntryKind::Command(Command::sessionless(Bytes::from(vec![0; len])));
            Entry::new(Chain::EMPTY, Slot::new(1), ballot(1), kind)
        };
        frame(Message::Accept(Accept {
            ballot: ballot(1),
            sync: None,
            prev: Slot::ZERO,
            prev_chain: Chain::EMPTY,
            entries: payload.map(entry).into_iter().collect(),
            commit: Slot::ZERO,
            seq,
        }))
    }

    /// What is left of `pushed`, and how many were superseded and dropped.
    fn check(pushed: Vec<Frame>, left: &[Frame], superseded: u64, dropped: u64) {
        let queue = Queue::default();
        pushed.into_iter().for_each(|frame| queue.push(frame));
        let mut frames = Vec::new();
        while let Some(frame) = queue.pop() {
            frames.push(frame);
        }
        assert_eq!(frames, left);
        assert_eq!(queue.lock().bytes, 0);
        let counts = queue.counts();
        assert_eq!((counts.superseded, counts.dropped), (superseded, dropped));
    }

    #[test]
    fn a_later_heartbeat_takes_the_place_of_an_earlier_one() {
        let pushed = vec![heartbeat(1), reply(7), heartbeat(2), reply(8), heartbeat(3)];
        check(pushed, &[reply(8), heartbeat(3)], 3, 0);
        // A late answer to an earlier round says nothing about the later one.
        check(vec![reply(8), reply(7)], &[reply(8), reply(7)], 0, 0);
    }

    #[test]
    fn acknowledgements_are_cumulative_within_a_ballot() {
        check(
            vec![accepted(1, 5, 1), accepted(1, 9, 2)],
            &[accepted(1, 9, 2)],
            1,
            0,
        );
        let two = [accepted(1, 5, 1), accepted(2, 9, 2)];
        check(two.to_vec(), &two, 0, 0);
    }

    #[test]
    fn only_news_of_a_commit_is_superseded_never_entries() {
        check(
            vec![accept(1, None), accept(2, None)],
            &[accept(2, None)],
            1,
            0,
        );
        let entries = [accept(1, Some(10)), accept(2, None)];
        check(entries.to_vec(), &entries, 0, 0);
    }

    #[test]
    fn the_oldest_make_room_and_a_huge_one_still_fits() {
        let half = usize::try_from(Queue::BYTES_MAX / 2).unwrap();
        let frames = [
            accept(1, Some(half)),
            accept(2, Some(half)),
            accept(3, Some(1)),
        ];
        check(frames.to_vec(), &frames[1..], 0, 1);
        let huge = [accept(1, Some(1)), accept(2, Some(3 * half))];
        check(huge.to_vec(), &huge[1..], 0, 1);
        let many = (0..Queue::FRAMES_MAX as u64 + 2).map(|i| accept(i, Some(0)));
        let many: Vec<_> = many.collect();
        check(many.clone(), &many[2..], 0, 2);
    }
}
