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
            Message::Accept(m) => &m.entries,
            Message::Learn(m) => &m.entries,
            Message::Promise(m) => &m.suffix,
            Message::Prepare(_)
            | Message::Accepted(_)
            | Message::Nack(_)
            | Message::Fetch(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatReply(_) => &[],
        },
        Frame::Forming(_) => &[],
    };
    Entry::OVERHEAD as u64 + entries.iter().map(Entry::cost).sum::<u64>()
}
