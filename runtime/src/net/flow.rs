//! How much of what was answered on one connection HTTP/2 holds, since its socket has not taken it:
//! who does not read is answered no further. Knows nothing about what the bytes are.
//!
//! HTTP/2 keeps for each stream what its socket does not take, hundreds of kilobytes of it, and
//! there are hundreds of streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chil_core::Time;

use super::server::STREAMS_MAX;
use crate::clock::SystemClock;
use crate::ports::Clock;

/// Bytes that are handed to HTTP/2 at once.
pub(crate) const PIECE: usize = 8 << 10;
/// Bytes that may be on their way to the socket, beside what HTTP/2 keeps of each stream although
/// the other side allows no more, one piece with itself and one before it: those must not hold up
/// the others.
const AHEAD: usize = 512 << 10;
const PIECES: usize = 2;
/// What a piece takes up beside its bytes: small ones would cost many times of those.
const PIECE_COST: usize = 512;

/// What is on its way on one connection.
#[derive(Debug)]
pub(crate) struct Flow {
    most: usize,
    state: Mutex<State>,
}

/// As many streams as any connection has.
impl Default for Flow {
    fn default() -> Self {
        Self::new(STREAMS_MAX)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Bytes handed to HTTP/2, with what they cost beside, and neither to the socket nor thrown
    /// away with a stream that was reset.
    ahead: usize,
    /// Since when each piece of them is there: numbers grow, so the first has been for longest.
    pieces: BTreeMap<u64, Time>,
    /// Streams that have more.
    waiting: BTreeMap<u64, Waker>,
    /// The last number that a piece or a stream got.
    number: u64,
}

impl State {
    const fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

impl Flow {
    /// Of a connection with at most so many streams.
    pub(crate) fn new(streams: u32) -> Self {
        Self {
            most: PIECES * streams as usize * (PIECE + PIECE_COST) + AHEAD,
            state: Mutex::default(),
        }
    }

    /// Since when HTTP/2 has had what it has had for longest, if it has anything.
    pub(crate) fn waits_since(&self) -> Option<Time> {
        self.lock().pieces.values().next().copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one stream hands to HTTP/2.
#[derive(Debug)]
pub(crate) struct StreamFlow {
    flow: Arc<Flow>,
    /// Its number, once it has been told to wait.
    waits: Option<u64>,
}

impl StreamFlow {
    /// Of one more stream of a connection.
    pub(crate) const fn new(flow: Arc<Flow>) -> Self {
        Self { flow, waits: None }
    }

    /// Ready when more may be handed to HTTP/2.
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.flow.lock();
        if state.ahead < self.flow.most {
            return Poll::Ready(());
        }
        let number = *self.waits.get_or_insert_with(|| state.number());
        state.waiting.insert(number, cx.waker().clone());
        Poll::Pending
    }

    /// The same bytes, counted until nobody holds them any more, and `with` them what is kept for
    /// as long.
    pub(crate) fn hands<T: Send + 'static>(&self, bytes: Bytes, with: T) -> Bytes {
        let now = SystemClock.now();
        let mut state = self.flow.lock();
        let number = state.number();
        state.ahead += bytes.len() + PIECE_COST;
        state.pieces.insert(number, now);
        drop(state);
        Bytes::from_owner(Handed {
            flow: Arc::clone(&self.flow),
            number,
            bytes,
            _with: with,
        })
    }
}

/// A stream that is over, whether it was answered or reset, waits for nothing.
impl Drop for StreamFlow {
    fn drop(&mut self) {
        if let Some(number) = self.waits {
            self.flow.lock().waiting.remove(&number);
        }
    }
}

/// Bytes that HTTP/2 holds.
struct Handed<T> {
    flow: Arc<Flow>,
    number: u64,
    bytes: Bytes,
    _with: T,
}

impl<T> AsRef<[u8]> for Handed<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T> Drop for Handed<T> {
    fn drop(&mut self) {
        let mut state = self.flow.lock();
        state.pieces.remove(&self.number);
        state.ahead -= self.bytes.len() + PIECE_COST;
        if state.ahead < self.flow.most {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_values().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_has_more_waits_until_some_is_gone() {
        let (flow, woken) = (Arc::new(Flow::default()), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let kept = Arc::new(());
        let mut stream = StreamFlow::new(Arc::clone(&flow));
        let other = StreamFlow::new(Arc::clone(&flow));
        let bytes = |len: usize| other.hands(Bytes::from(vec![7; len]), Arc::clone(&kept));
        assert_eq!(flow.waits_since(), None);
        let most = bytes(flow.most - PIECE_COST - 1);
        assert!(stream.poll_room(&cx).is_ready());
        let (mut piece, last) = (bytes(PIECE), bytes(1));
        for _ in 0..2 {
            assert!(stream.poll_room(&cx).is_pending());
        }
        // Part of it is written: the rest is there.
        let part = piece.split_to(PIECE - 1);
        drop((part, last));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "there is no room yet");
        drop(piece);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(stream.poll_room(&cx).is_ready());
        let first = flow.waits_since();
        let later = bytes(1);
        assert_eq!(flow.waits_since(), first);
        drop(most);
        assert!(flow.waits_since() >= first);
        drop(later);
        assert_eq!(flow.waits_since(), None);
        assert_eq!((flow.lock().ahead, Arc::strong_count(&kept)), (0, 1));
    }

    #[test]
    fn a_stream_that_is_reset_leaves_nothing_behind() {
        let flow = Arc::new(Flow::new(1));
        let all = StreamFlow::new(Arc::clone(&flow)).hands(vec![7; flow.most].into(), ());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..3 {
            let mut stream = StreamFlow::new(Arc::clone(&flow));
            let polled = stream.poll_room(&Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        assert_eq!(Arc::strong_count(&woken), 2, "the test and its waker");
        drop(all);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }
}
