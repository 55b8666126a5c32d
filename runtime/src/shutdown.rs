//! The one signal by which a node is told to end, and the one by which it tells that it has.
//! Knows nothing about what has to be ended.

use std::future::Future;
use std::sync::Arc;

use chil_core::{Span, Time};
use tokio::sync::watch;

use crate::error::NodeError;
use crate::ports::Clock;

/// How far a node has been told to end. It only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    Run,
    /// Take nothing new; finish what is in flight, until this instant at the latest.
    Drain(Time),
    /// At once.
    Now,
}

/// The side that tells. Dropping it tells [`Stop::Now`].
#[derive(Clone, Debug)]
pub(crate) struct Stopper(Arc<watch::Sender<Stop>>);

/// The side that is told.
#[derive(Clone, Debug)]
pub(crate) struct Stopped(watch::Receiver<Stop>);

/// A signal with its two sides.
pub(crate) fn signal() -> (Stopper, Stopped) {
    let (tell, told) = watch::channel(Stop::Run);
    (Stopper(Arc::new(tell)), Stopped(told))
}

impl Stopper {
    /// Whether it has told [`Stop::Now`].
    pub(crate) fn told(&self) -> bool {
        *self.0.borrow() == Stop::Now
    }

    pub(crate) fn tell(&self, stop: Stop) {
        self.0.send_if_modified(|now| {
            let rises = match (*now, stop) {
                (Stop::Run, Stop::Drain(_) | Stop::Now) | (Stop::Drain(_), Stop::Now) => true,
                // The nearer of two deadlines holds.
                (Stop::Drain(old), Stop::Drain(new)) => new < old,
                (Stop::Run | Stop::Drain(_) | Stop::Now, _) => false,
            };
            if rises {
                *now = stop;
            }
            rises
        });
    }
}

impl Stopped {
    /// What the node has been told so far.
    pub(crate) fn now(&self) -> Stop {
        if self.0.has_changed().is_err() {
            return Stop::Now;
        }
        *self.0.borrow()
    }

    /// Resolves when the node has been told more than before. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Stop {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            Err(_) => Stop::Now,
        }
    }

    /// Resolves when the node shall end at once. Cancel-safe.
    pub(crate) async fn at_once(&mut self) {
        // The sender's end means the same.
        drop(self.0.wait_for(|stop| *stop == Stop::Now).await);
    }

    /// Resolves when the node shall end at all. Cancel-safe.
    pub(crate) async fn at_all(&mut self) {
        drop(self.0.wait_for(|stop| *stop != Stop::Run).await);
    }
}

/// How a node ended, once it has.
pub(crate) type Ended = Option<Result<(), NodeError>>;

/// Waits until the node has ended.
pub(crate) async fn ended(mut ended: watch::Receiver<Ended>) -> Result<(), NodeError> {
    match ended.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
        Err(_) => Err(NodeError::Runtime),
    }
}

/// How long the end of a node waits for its disk. A sync that takes longer may never return, and
/// whoever shuts a node down was promised a bounded time.
const CLOSE_MAX: Span = Span::from_millis(2_000);

/// Waits until log and snapshots are closed, which is done at the same time: whatever holds up a
/// snapshot, the log's last records are made durable. A disk that hangs is not waited for: then the
/// directory stays in use until the disk answers or the process ends. Whether both were closed.
pub(crate) async fn close(
    log: impl Future<Output = ()>,
    snapshots: impl Future<Output = ()>,
    clock: &impl Clock,
) -> bool {
    let both = async { tokio::join!(log, snapshots) };
    tokio::select! {
        biased;
        ((), ()) = both => true,
        () = clock.sleep(CLOSE_MAX) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// A clock that need not be waited for.
    #[derive(Clone)]
    struct Ahead;

    impl Clock for Ahead {
        fn now(&self) -> Time {
            Time::ZERO
        }

        fn sleep_until(&self, _: Time) -> impl Future<Output = ()> + Send {
            ready(())
        }
    }

    #[tokio::test]
    async fn a_disk_that_hangs_does_not_hold_up_the_end() {
        assert!(close(ready(()), ready(()), &Ahead).await);
        assert!(!close(pending(), ready(()), &Ahead).await);
    }

    #[tokio::test]
    async fn a_snapshot_that_hangs_does_not_keep_the_log_open() {
        let mut closed = false;
        let log = async { closed = true };
        assert!(!close(log, pending(), &Ahead).await);
        assert!(closed, "its last records are durable");
    }
}
