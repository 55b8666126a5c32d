//! How much of what was answered on one connection its socket has not taken yet: who does not read
//! is answered no further. Knows nothing about what the bytes are.
//!
//! HTTP/2 keeps for each stream what its socket does not take, hundreds of kilobytes of it, and
//! there are hundreds of streams.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that are handed to HTTP/2 at once: so much of a stream it keeps although the other side
/// allows no more.
pub(crate) const PIECE: usize = 8 << 10;
/// Bytes that may be on their way to the socket, beside one piece of each stream that waits for
/// the other side to allow more: those must not hold up the others.
const AHEAD: usize = 512 << 10;
const STREAMS: usize = 256;
const FLOW_MAX: usize = STREAMS * PIECE + AHEAD;

/// What is on its way on one connection.
#[derive(Debug, Default)]
pub(crate) struct Flow(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Handed to HTTP/2, and not to the socket.
    ahead: usize,
    /// Those who have more.
    waiting: Vec<Waker>,
}

impl Flow {
    /// Ready when more may be handed to HTTP/2.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.ahead < FLOW_MAX {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|it| it.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So much is handed to HTTP/2.
    pub(crate) fn gives(&self, bytes: usize) {
        self.lock().ahead += bytes;
    }

    /// The socket has taken so much. What frames consist of beside data counts as well, so this
    /// errs on the side of letting more through.
    pub(crate) fn took(&self, bytes: usize) {
        let mut state = self.lock();
        state.ahead = state.ahead.saturating_sub(bytes);
        if state.ahead < FLOW_MAX {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
    fn who_has_more_waits_until_the_socket_has_taken_some() {
        let (flow, woken) = (Flow::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        flow.gives(FLOW_MAX - 1);
        assert!(flow.poll_room(&cx).is_ready());
        flow.gives(PIECE);
        for _ in 0..2 {
            assert!(flow.poll_room(&cx).is_pending());
        }
        flow.took(PIECE - 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "there is no room yet");
        flow.took(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(flow.poll_room(&cx).is_ready());
        flow.took(usize::MAX);
        assert!(flow.poll_room(&cx).is_ready());
    }
}
