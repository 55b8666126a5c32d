//! A command between its caller and the stream that carries it.
//! Knows nothing about streams: only whether the command can have reached a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::client::ClientError;
use crate::handle::Executed;

/// One command on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) payload: Bytes,
    pub(super) progress: Arc<Progress>,
    pub(super) reply: oneshot::Sender<Result<Executed, ClientError>>,
}

impl Job {
    /// Notes that it is being sent; false when nobody waits for it any more.
    pub(super) fn start(&self) -> bool {
        self.is_awaited() && self.progress.step(Progress::QUEUED, Progress::SENT)
    }

    /// Notes that it is to be sent again; false when nobody waits for it any more: what is sent
    /// for nobody would be executed at a time that nobody expects.
    pub(super) fn restart(&self) -> bool {
        self.is_awaited() && self.progress.step(Progress::SENT, Progress::QUEUED)
    }

    /// Notes that what was sent may have been executed, which no later answer can undo.
    pub(super) fn doubt(&self) {
        self.progress.doubted.store(true, Ordering::Release);
    }

    /// Tells the caller that the command can never be taken as it is.
    pub(super) fn reject(self, reason: String) {
        let error = if self.progress.doubted.load(Ordering::Acquire) {
            ClientError::Unknown { reason }
        } else {
            ClientError::Rejected { reason }
        };
        drop(self.reply.send(Err(error)));
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }
}

/// Whether a command can have reached a node: shared with its caller, who may lose patience.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: AtomicU8,
    /// Whether it was sent once with an unknown outcome, whatever became of it since.
    doubted: AtomicBool,
}

impl Progress {
    const QUEUED: u8 = 0;
    const SENT: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Goes on from `from` to `to`; false if the caller has left meanwhile.
    fn step(&self, from: u8, to: u8) -> bool {
        let step = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        step.is_ok()
    }

    /// The caller leaves; whether the command is surely on no node, and will not get there.
    pub(super) fn give_up(&self) -> bool {
        self.step(Self::QUEUED, Self::GIVEN_UP) && !self.doubted.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = oneshot::Receiver<Result<Executed, ClientError>>;

    fn job() -> (Job, Arc<Progress>, Outcome) {
        let (reply, outcome) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let job = Job {
            payload: Bytes::new(),
            progress: Arc::clone(&progress),
            reply,
        };
        (job, progress, outcome)
    }

    #[test]
    fn what_surely_was_not_executed_is_on_no_node_while_it_is_queued() {
        let (job, progress, _outcome) = job();
        assert!(job.start() && job.restart());
        assert!(progress.give_up());
        assert!(!job.start(), "sent for a caller who has left");
    }

    #[test]
    fn what_is_sent_may_be_executed_after_its_caller_has_left() {
        let (job, progress, _outcome) = job();
        assert!(job.start());
        assert!(!progress.give_up());
    }

    #[test]
    fn a_doubt_stays_when_the_command_is_queued_again() {
        let (job, progress, _outcome) = job();
        assert!(job.start());
        job.doubt();
        assert!(job.restart());
        assert!(!progress.give_up(), "the first sending may be executed");
    }

    #[test]
    fn a_rejection_is_no_certainty_after_a_doubt() {
        let rejected = |doubted: bool| {
            let (job, _, mut outcome) = job();
            assert!(job.start());
            if doubted {
                job.doubt();
            }
            job.reject("too large".to_owned());
            outcome.try_recv().unwrap().unwrap_err()
        };
        let reason = "too large".to_owned();
        assert_eq!(
            rejected(true),
            ClientError::Unknown {
                reason: reason.clone()
            }
        );
        assert_eq!(rejected(false), ClientError::Rejected { reason });
    }

    #[test]
    fn nothing_is_sent_for_nobody() {
        let (queued, _, outcome) = job();
        drop(outcome);
        assert!(!queued.start());
        let (sent, _, outcome) = job();
        assert!(sent.start());
        drop(outcome);
        assert!(!sent.restart());
    }
}
