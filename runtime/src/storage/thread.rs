//! Storage off the node's thread: takes what was submitted, writes it, syncs once, reports once.
//! Knows nothing about what the records mean or where they are kept.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use chil_core::{Lsn, Persist, Record};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Disk, StorageError, Store};
use crate::ports::Storage;

/// How long the disk must be idle before a watermark is written.
const WATERMARK_AFTER: Duration = Duration::from_millis(10);
/// Bytes of entries after which a batch is closed: a sync should not take longer than it must.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// Steps towards the next segment after one batch, so that large batches do not outrun them.
const PREPARE_STEPS_MAX: u32 = 8;

/// What the thread measured, for metrics. Cheap to clone, readable at any time.
#[derive(Clone, Debug, Default)]
pub struct WalStats(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    persists: AtomicU64,
    nanos_total: AtomicU64,
    nanos_max: AtomicU64,
    buckets: [AtomicU64; WalStats::BUCKETS],
}

impl WalStats {
    /// Number of latency buckets: bucket `i` counts batches of less than `2^(i+4)` microseconds,
    /// and not less than half of that; the first takes all that were shorter, the last all longer.
    pub const BUCKETS: usize = 16;

    /// Batches made durable.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.0.batches.load(Ordering::Relaxed)
    }

    /// Persists made durable.
    #[must_use]
    pub fn persists(&self) -> u64 {
        self.0.persists.load(Ordering::Relaxed)
    }

    /// Time spent writing and syncing batches.
    #[must_use]
    pub fn time_total(&self) -> Duration {
        Duration::from_nanos(self.0.nanos_total.load(Ordering::Relaxed))
    }

    /// The longest that a batch took.
    #[must_use]
    pub fn time_max(&self) -> Duration {
        Duration::from_nanos(self.0.nanos_max.load(Ordering::Relaxed))
    }

    /// Batches by the time they took; see [`WalStats::BUCKETS`].
    #[must_use]
    pub fn histogram(&self) -> [u64; Self::BUCKETS] {
        std::array::from_fn(|i| self.0.buckets[i].load(Ordering::Relaxed))
    }

    fn record(&self, persists: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let micros_bits = u64::BITS - (nanos / 1000).leading_zeros();
        let bucket = (micros_bits.saturating_sub(4) as usize).min(Self::BUCKETS - 1);
        let counters = &self.0;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.persists.fetch_add(persists, Ordering::Relaxed);
        counters.nanos_total.fetch_add(nanos, Ordering::Relaxed);
        counters.nanos_max.fetch_max(nanos, Ordering::Relaxed);
        counters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

/// A [`Store`] on a thread of its own, as the node loop uses it.
///
/// Dropping it ends the thread after the batch under way, without waiting for that. What was
/// submitted and not yet reported may or may not be durable then, as after a crash.
#[derive(Debug)]
pub struct WalThread {
    submit: Option<Sender<Persist>>,
    completed: UnboundedReceiver<Result<Lsn, StorageError>>,
    stop: Arc<AtomicBool>,
    stats: WalStats,
    /// Whether the final error was handed over.
    failed: bool,
}

impl WalThread {
    /// Hands the store to a new thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start<D>(store: Store<D>) -> io::Result<Self>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let (submit, queue) = channel();
        let (report, completed) = unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stats = WalStats::default();
        let worker = Worker {
            store,
            queue,
            report,
            stop: Arc::clone(&stop),
            stats: stats.clone(),
        };
        std::thread::Builder::new()
            .name("chil-wal".to_string())
            .spawn(move || worker.run())?;
        Ok(Self {
            submit: Some(submit),
            completed,
            stop,
            stats,
            failed: false,
        })
    }

    /// What was measured so far, and from now on.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.stats.clone()
    }
}

impl Storage for WalThread {
    fn submit(&mut self, persist: Persist) {
        if let Some(submit) = &self.submit {
            // A thread that ended has reported why, and that report stops the node.
            let _ = submit.send(persist);
        }
    }

    /// See [`Storage::completed`]. An error comes once; after it this waits for ever.
    async fn completed(&mut self) -> Result<Lsn, StorageError> {
        let result = match self.completed.recv().await {
            Some(result) => result,
            None if self.failed => std::future::pending().await,
            // The thread ends without a word only by a panic: a record did not fit the log.
            None => Err(StorageError::Io {
                file: "chil-wal".to_string(),
                what: "go on: the storage thread panicked, see its message on stderr",
                source: io::Error::other("a record does not fit the log"),
            }),
        };
        self.failed = result.is_err();
        result
    }

    async fn close(mut self) {
        self.submit = None;
        // The worker's last act is to drop the channel, behind the store with its lock.
        while self.completed.recv().await.is_some() {}
    }
}

impl Drop for WalThread {
    fn drop(&mut self) {
        // The thread is not waited for: whoever drops this may be a thread that must not block. It
        // wakes by the end of its queue, which goes with the sender.
        self.stop.store(true, Ordering::Release);
    }
}

/// Fields are dropped in this order: the store is closed before the end of `report` says so.
struct Worker<D: Disk> {
    store: Store<D>,
    queue: Receiver<Persist>,
    report: UnboundedSender<Result<Lsn, StorageError>>,
    stop: Arc<AtomicBool>,
    stats: WalStats,
}

impl<D: Disk> Worker<D> {
    fn run(mut self) {
        if let Err(error) = self.serve() {
            // Nobody is told when the node is being dropped: nobody was promised anything either.
            let _ = self.report.send(Err(error));
        }
    }

    fn serve(&mut self) -> Result<(), StorageError> {
        let mut batch = VecDeque::new();
        loop {
            if !self.collect(&mut batch)? {
                return self.store.watermark();
            }
            let started = Instant::now();
            let persists = batch.len() as u64;
            for persist in batch.drain(..) {
                self.store.write(&persist)?;
            }
            let lsn = self.store.sync()?;
            self.stats.record(persists, started.elapsed());
            // Nobody waits any more when the node is being dropped.
            let _ = self.report.send(Ok(lsn));
            for _ in 0..PREPARE_STEPS_MAX {
                if self.store.preparation_due() {
                    self.store.prepare()?;
                }
            }
        }
    }

    /// Waits for work and takes all that is there, up to a limit; false when it is time to end.
    /// The wait is used for what keeps the store in shape.
    fn collect(&mut self, batch: &mut VecDeque<Persist>) -> Result<bool, StorageError> {
        let first = loop {
            if self.stop.load(Ordering::Acquire) {
                return Ok(false);
            }
            if self.store.preparation_due() {
                match self.queue.try_recv() {
                    Ok(persist) => break persist,
                    Err(TryRecvError::Disconnected) => return Ok(false),
                    Err(TryRecvError::Empty) => self.store.prepare()?,
                }
            } else if self.store.watermark_due() {
                match self.queue.recv_timeout(WATERMARK_AFTER) {
                    Ok(persist) => break persist,
                    Err(RecvTimeoutError::Disconnected) => return Ok(false),
                    Err(RecvTimeoutError::Timeout) => self.store.watermark()?,
                }
            } else {
                match self.queue.recv() {
                    Ok(persist) => break persist,
                    Err(_) => return Ok(false),
                }
            }
        };
        let mut bytes = cost(&first);
        batch.push_back(first);
        while bytes < BATCH_BYTES_MAX
            && let Ok(persist) = self.queue.try_recv()
        {
            bytes += cost(&persist);
            batch.push_back(persist);
        }
        Ok(true)
    }
}

fn cost(persist: &Persist) -> u64 {
    let of = |record: &Record| match record {
        Record::Meta(_) | Record::Trim(_) => 0,
        Record::Log(change) => change.entries.iter().map(chil_core::Entry::cost).sum(),
    };
    persist.records.iter().map(of).sum()
}
