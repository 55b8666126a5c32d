//! The client library: submits commands and asks queries, wherever the leader happens to be.
//! Knows nothing about the protocol between nodes.
//!
//! Commands of all clones of a client share one pipelined stream to the leader, and are numbered
//! within sessions: so each can be sent again, to whichever node, until its outcome is known, and
//! is executed once. Only when time is up before that, or when the cluster has forgotten the
//! session, the outcome is [`ClientError::Unknown`].

mod driver;
mod error;
mod kv;
mod lane;
mod links;
mod operate;
mod outcomes;
mod plain;
mod read;
mod targets;
mod tls;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chil_core::{Slot, Token};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use chil_core::{ClientId, ClusterId};
pub use chil_proto::v1::{Finding, MemberStatus, StatusResponse, Topic};

use crate::net::transport::status_text;

pub use crate::handle::{Answer, Committed, Consistency, Executed};
use driver::{Driver, Job, Submit};
pub use error::{ClientError, WatchError};
pub use kv::{Page, Scan, TxnOutcome};
pub use operate::SnapshotDownload;
pub use read::ReadOptions;
use targets::Targets;
pub use tls::ClientTls;
pub use watch::{Decided, Decision, Watch};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long one operation may take, with everything that is tried on its way.
    pub timeout: Duration,
    /// Whether commands go through sessions, so that each is executed at most once although it is
    /// sent again whenever that may help. Without them a command whose outcome becomes unknown is
    /// not sent again, unless `retry_unknown` says so.
    pub exactly_once: bool,
    /// Whether to try a command again whose outcome is unknown. It may then be executed more than
    /// once: only for commands for which that makes no difference. With sessions an outcome is
    /// unknown only when time is up or the cluster has forgotten the session.
    pub retry_unknown: bool,
    /// How long one node may take to answer before it, or another one, is asked again.
    pub attempt_timeout: Duration,
    /// Whether every query sees all writes of this client that have succeeded before it,
    /// whatever its consistency.
    pub read_your_writes: bool,
    /// The cluster to talk to; without it, the one that the first node belongs to that is asked
    /// anything. Nodes of any other cluster are never sent anything that they would act on.
    pub cluster: Option<ClusterId>,
    /// What the client shows and whom it believes; without it, connections are not encrypted.
    pub tls: Option<ClientTls>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            exactly_once: true,
            retry_unknown: false,
            attempt_timeout: Duration::from_secs(2),
            read_your_writes: false,
            cluster: None,
            tls: None,
        }
    }
}

/// A client of a cluster. Cheap to clone; clones share connections and sessions.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    targets: Arc<Targets>,
    options: ClientOptions,
}

#[derive(Debug)]
struct Shared {
    jobs: mpsc::UnboundedSender<Job>,
    /// Room for commands under way: what bounds the queue of jobs.
    room: Arc<Semaphore>,
    next_token: AtomicU64,
    /// The last slot that a command of this client was executed in.
    written: AtomicU64,
}

/// Commands of one client that may be under way; beyond that callers wait.
const PENDING_MAX: usize = 1_024;
/// A longer patience counts as this one: `Duration::MAX` for "no limit" would overflow the clock.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Client {
    /// A client of the cluster that has nodes at `addresses` (`host:port`; one that is alive is
    /// enough, since nodes name their leader). Connects when it is used first.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(
        addresses: impl IntoIterator<Item = impl Into<String>>,
        mut options: ClientOptions,
    ) -> Self {
        options.timeout = options.timeout.min(TIMEOUT_MAX);
        options.attempt_timeout = options.attempt_timeout.min(TIMEOUT_MAX);
        let addresses = addresses.into_iter().map(Into::into).collect();
        let targets = Arc::new(Targets::new(
            addresses,
            options.cluster,
            options.tls.as_ref(),
        ));
        let (jobs, queued) = mpsc::unbounded_channel();
        let driver = Driver::new(queued, Arc::clone(&targets), options.clone());
        tokio::spawn(driver.run());
        let shared = Arc::new(Shared {
            jobs,
            room: Arc::new(Semaphore::new(PENDING_MAX)),
            next_token: AtomicU64::new(1),
            written: AtomicU64::new(0),
        });
        Self {
            shared,
            targets,
            options,
        }
    }

    /// Has the cluster decide `command` and returns the state machine's reply to it.
    ///
    /// A caller who stops waiting gives the command up: it is not sent any more, but what was sent
    /// may be executed.
    ///
    /// # Errors
    /// See [`ClientError`]: each variant says whether the command can have been executed.
    pub async fn submit(&self, command: impl Into<Bytes>) -> Result<Executed, ClientError> {
        let payload = command.into();
        let deadline = Instant::now() + self.options.timeout;
        let room = Arc::clone(&self.shared.room).acquire_owned();
        let unavailable = || ClientError::Unavailable {
            reason: self.targets.last_failure(),
        };
        let room = timeout_at(deadline, room)
            .await
            .map_err(|_| unavailable())?;
        let room = room.map_err(|_| unavailable())?;
        let token = Token::new(self.shared.next_token.fetch_add(1, Ordering::Relaxed));
        let (reply, outcome) = oneshot::channel();
        let submit = Submit {
            token,
            payload,
            deadline,
            reply,
            room,
        };
        let jobs = &self.shared.jobs;
        jobs.send(Job::Submit(submit)).map_err(|_| unavailable())?;
        let mut waiting = Waiting {
            jobs,
            token: Some(token),
        };
        let result = outcome.await;
        waiting.token = None;
        match result {
            Ok(Ok(executed)) => {
                let slot = executed.slot.get();
                self.shared.written.fetch_max(slot, Ordering::Relaxed);
                Ok(executed)
            }
            Ok(Err(error)) => Err(error),
            // The driver ended under us: the runtime is shutting down.
            Err(_) => Err(ClientError::Unknown {
                reason: "the client was stopped".to_owned(),
            }),
        }
    }

    /// The last slot that a command of this client, or a clone of it, was executed in;
    /// [`Slot::ZERO`] before the first. Whoever reads with this `min_slot` sees its effect.
    #[must_use]
    pub fn last_write(&self) -> Slot {
        Slot::new(self.shared.written.load(Ordering::Relaxed))
    }

    /// What its own queries must have seen.
    fn own_writes(&self) -> Slot {
        if self.options.read_your_writes {
            self.last_write()
        } else {
            Slot::ZERO
        }
    }
}

/// A caller who waits for a command; dropped before its outcome, it gives the command up.
struct Waiting<'a> {
    jobs: &'a mpsc::UnboundedSender<Job>,
    token: Option<Token>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // When the driver is gone, nothing is sent any more either.
            drop(self.jobs.send(Job::GiveUp(token)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_limit_of_time_is_a_limit_like_any() {
        let options = ClientOptions {
            timeout: Duration::MAX,
            attempt_timeout: Duration::MAX,
            ..ClientOptions::default()
        };
        // Nobody listens there: the client waits, and goes on trying.
        let client = Client::connect(["127.0.0.1:1"], options);
        let asked = client.query(Bytes::new(), Consistency::Stale);
        let proposed = client.submit(Bytes::new());
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, asked).await.is_err());
        assert!(tokio::time::timeout(soon, proposed).await.is_err());
    }
}
