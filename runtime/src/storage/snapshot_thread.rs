//! Snapshot files off the node's thread, and off the one of the log.
//! Knows nothing about what a snapshot says or where it is kept.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use chil_core::StateMachine;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Disk, SnapshotDone, SnapshotJob, Snapshots, StorageError};
use crate::ports::SnapshotStorage;

/// How long a part that could not be written is reported late: a sender asks for it again at once,
/// and a full disk would make the two of them busy.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// [`Snapshots`] on a thread of their own, as the node loop uses them.
///
/// Dropping it ends the thread, without waiting for that; long work under way is given up.
#[derive(Debug)]
pub struct SnapshotThread<S> {
    submit: Option<Sender<SnapshotJob<S>>>,
    completed: UnboundedReceiver<SnapshotDone<S>>,
    stop: Arc<AtomicBool>,
    /// Whether the end of the thread was reported.
    failed: bool,
}

impl<S: StateMachine> SnapshotThread<S> {
    /// Hands the files to a new thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start<D>(mut snapshots: Snapshots<D>) -> io::Result<Self>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let (submit, queue) = channel();
        let (report, completed) = unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        snapshots.stop_with(Arc::clone(&stop));
        let worker = Worker {
            snapshots,
            jobs: Jobs {
                queue,
                later: VecDeque::new(),
                stop: Arc::clone(&stop),
            },
            report,
        };
        std::thread::Builder::new()
            .name("chil-snapshots".to_string())
            .spawn(move || worker.run())?;
        Ok(Self {
            submit: Some(submit),
            completed,
            stop,
            failed: false,
        })
    }
}

impl<S: StateMachine> SnapshotStorage<S> for SnapshotThread<S> {
    fn submit(&mut self, job: SnapshotJob<S>) {
        if let Some(submit) = &self.submit {
            // That the thread has ended is reported by `completed`.
            let _ = submit.send(job);
        }
    }

    /// See [`SnapshotStorage::completed`]. An error comes once; after it this waits for ever.
    async fn completed(&mut self) -> Result<SnapshotDone<S>, StorageError> {
        match self.completed.recv().await {
            Some(done) => Ok(done),
            None if self.failed => std::future::pending().await,
            None => {
                self.failed = true;
                // The thread ends without a word only by a panic: the state machine's, mostly.
                Err(StorageError::Io {
                    file: "chil-snapshots".to_string(),
                    what: "go on: the snapshot thread panicked, see its message on stderr",
                    source: io::Error::other("a snapshot could not be written or restored"),
                })
            }
        }
    }

    async fn close(mut self) {
        self.stop.store(true, Ordering::Release);
        self.submit = None;
        // The worker's last act is to drop the channel, behind the files.
        while self.completed.recv().await.is_some() {}
    }
}

impl<S> Drop for SnapshotThread<S> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Fields are dropped in this order: the files are closed before the end of `report` says so.
struct Worker<S, D: Disk> {
    snapshots: Snapshots<D>,
    jobs: Jobs<S>,
    report: UnboundedSender<SnapshotDone<S>>,
}

/// What is to be done.
struct Jobs<S> {
    queue: Receiver<SnapshotJob<S>>,
    /// Taken out of the queue already, in order.
    later: VecDeque<SnapshotJob<S>>,
    stop: Arc<AtomicBool>,
}

impl<S> Jobs<S> {
    /// Waits for the next job; `None` when it is time to end.
    fn next(&mut self) -> Option<SnapshotJob<S>> {
        let job = match self.later.pop_front() {
            Some(job) => Some(job),
            None => self.queue.recv().ok(),
        };
        job.filter(|_| !self.stop.load(Ordering::Acquire))
    }

    /// The next job that may be done while a snapshot is being taken, if there is one.
    fn next_between(&mut self) -> Option<SnapshotJob<S>> {
        self.later.extend(self.queue.try_iter());
        let is_short = |job: &SnapshotJob<S>| !matches!(job, SnapshotJob::Take(_));
        let at = self.later.iter().position(is_short)?;
        self.later.remove(at)
    }

    /// Lets `span` pass, unless it is time to end; jobs that come meanwhile wait.
    fn pause(&mut self, span: Duration) {
        let until = Instant::now() + span;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.queue.recv_timeout(left) {
                Ok(job) => self.later.push_back(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl<S: StateMachine, D: Disk> Worker<S, D> {
    fn run(mut self) {
        let Self {
            snapshots,
            jobs,
            report,
        } = &mut self;
        while let Some(job) = jobs.next() {
            // Nobody waits any more for a report when the node is being dropped.
            if let SnapshotJob::Take(frozen) = job {
                let taken = snapshots.take_while(&frozen, &mut |snapshots| {
                    while let Some(job) = jobs.next_between() {
                        let _ = report.send(snapshots.perform(job));
                    }
                });
                let _ = report.send(SnapshotDone::Taken(taken));
                continue;
            }
            let done = snapshots.perform(job);
            if matches!(&done, SnapshotDone::Written { result: Err(_), .. }) {
                jobs.pause(RETRY_AFTER);
            }
            let _ = report.send(done);
        }
    }
}
