//! The client library: submits commands and asks queries, wherever the leader happens to be.
//! Knows nothing about the protocol between nodes.
//!
//! Commands of all clones of a client share one pipelined stream to the leader. What was surely
//! not executed is sent again, with growing pauses, until the client's timeout has passed. What
//! may have been executed is reported as [`ClientError::Unknown`]: only the caller can tell
//! whether executing it twice would do harm ([`ClientOptions::retry_unknown`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::Slot;
use chil_core::kv::{KvAnswer, KvCommand, KvQuery, Versioned};
use chil_proto::v1;
use chil_proto::v1::read_response::Outcome;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use chil_proto::v1::StatusResponse;

use super::connection::{Driver, QUEUED_MAX, status_text};
use super::job::{Job, Progress};
use super::targets::Targets;
use crate::clock::random_u64;
use crate::error::ProposeError;
pub use crate::handle::{Answer, Committed, Consistency, Executed};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long one operation may take, with everything that is tried on its way.
    pub timeout: Duration,
    /// Whether to send a command again whose outcome is unknown. It may then be executed more
    /// than once: only for commands for which that makes no difference.
    pub retry_unknown: bool,
    /// How long one node may take to answer a query before another one is asked.
    pub attempt_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            retry_unknown: false,
            attempt_timeout: Duration::from_secs(2),
        }
    }
}

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The command may have been executed, or may yet be.
    #[error("the outcome is unknown, the command may have been executed or may yet be: {reason}")]
    Unknown {
        /// What was seen last.
        reason: String,
    },
    /// The request can never succeed as it is. Surely not executed.
    #[error("rejected: {reason}")]
    Rejected {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody served it in time. Surely not executed.
    #[error("no node served the request in time: {reason}")]
    Unavailable {
        /// What was seen last.
        reason: String,
    },
}

/// A client of a cluster. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    targets: Arc<Targets>,
    options: ClientOptions,
}

/// The first pause between two attempts of a query; it doubles from there to the last.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);
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
        let targets = Arc::new(Targets::new(addresses));
        let (jobs, queued) = mpsc::channel(QUEUED_MAX);
        let driver = Driver::new(
            queued,
            Arc::clone(&targets),
            options.retry_unknown,
            random_u64(),
        );
        tokio::spawn(driver.run());
        Self {
            jobs,
            targets,
            options,
        }
    }

    /// Has the cluster decide `command` and returns the state machine's reply to it.
    ///
    /// # Errors
    /// See [`ClientError`]: each variant says whether the command can have been executed.
    pub async fn submit(&self, command: impl Into<Bytes>) -> Result<Executed, ClientError> {
        let deadline = Instant::now() + self.options.timeout;
        let (reply, outcome) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let job = Job {
            payload: command.into(),
            progress: Arc::clone(&progress),
            reply,
        };
        let submitted = async {
            self.jobs.send(job).await.ok()?;
            outcome.await.ok()
        };
        match timeout_at(deadline, submitted).await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => {
                let reason = self.targets.last_failure();
                Err(if progress.give_up() {
                    ClientError::Unavailable { reason }
                } else {
                    ClientError::Unknown { reason }
                })
            }
        }
    }

    /// Asks the state machine: the leader's, or with [`Consistency::Stale`] any node's.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] when it cannot be answered, [`ClientError::Unavailable`] when
    /// nobody answered in time.
    pub async fn query(
        &self,
        query: impl Into<Bytes>,
        consistency: Consistency,
    ) -> Result<Answer, ClientError> {
        let query = query.into();
        let deadline = Instant::now() + self.options.timeout;
        let mut pause = PAUSE_MIN;
        loop {
            let address = self.targets.current();
            let until = deadline.min(Instant::now() + self.options.attempt_timeout);
            let attempt = self.attempt(&address, query.clone(), consistency);
            let mut rest = pause;
            match timeout_at(until, attempt).await {
                Ok(Ok(Outcome::Answer(answer))) => {
                    return Ok(Answer {
                        answer: answer.answer,
                        applied: Slot::new(answer.applied),
                    });
                }
                Ok(Ok(Outcome::NotLeader(leader))) if leader.address.is_empty() => {
                    self.targets.failed(&address, "nobody is known to lead");
                }
                Ok(Ok(Outcome::NotLeader(leader))) => {
                    self.targets.follow(&leader.address);
                    // The first hint is followed at once; nodes that name each other are not.
                    rest = if pause == PAUSE_MIN {
                        Duration::ZERO
                    } else {
                        pause
                    };
                }
                Ok(Ok(Outcome::Overloaded(overloaded))) => {
                    rest = rest.max(Duration::from_millis(overloaded.retry_after_ms.min(1_000)));
                }
                Ok(Ok(Outcome::Behind(_))) => {
                    self.targets.failed(&address, "is too far behind");
                }
                Ok(Ok(Outcome::Unavailable(v1::Unavailable { reason }))) | Ok(Err(Ok(reason))) => {
                    self.targets.failed(&address, &reason);
                }
                Ok(Ok(Outcome::WrongCluster(_))) => {
                    let reason = format!("{address} belongs to another cluster");
                    return Err(ClientError::Rejected { reason });
                }
                Ok(Err(Err(rejected))) => return Err(rejected),
                Err(_) => self.targets.failed(&address, "did not answer in time"),
            }
            if deadline <= Instant::now() + rest {
                let reason = self.targets.last_failure();
                return Err(ClientError::Unavailable { reason });
            }
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks one node once. The inner error is `Ok` when another attempt may help.
    async fn attempt(
        &self,
        address: &str,
        query: Bytes,
        consistency: Consistency,
    ) -> Result<Outcome, Result<String, ClientError>> {
        let consistency = match consistency {
            Consistency::Linearizable => v1::Consistency::Linearizable,
            Consistency::Lease => v1::Consistency::Lease,
            Consistency::Follower => v1::Consistency::Follower,
            Consistency::Stale => v1::Consistency::Stale,
        };
        let request = v1::ReadRequest {
            query,
            consistency: consistency.into(),
            ..v1::ReadRequest::default()
        };
        let mut client = self.targets.consensus(address).map_err(Ok)?;
        match client.read(request).await {
            Ok(response) => {
                let outcome = response.into_inner().outcome;
                outcome.ok_or_else(|| Ok("the answer is not understood".to_owned()))
            }
            // With a cause it is the connection's end, which some call internal, too.
            Err(status)
                if status.code() == tonic::Code::Internal
                    && std::error::Error::source(&status).is_none() =>
            {
                Err(Err(ClientError::Rejected {
                    reason: status.message().to_owned(),
                }))
            }
            Err(status) => Err(Ok(status_text(&status))),
        }
    }

    /// The state of the node at `address`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer in time.
    pub async fn status_of(&self, address: &str) -> Result<StatusResponse, ClientError> {
        let unavailable = |reason: String| ClientError::Unavailable {
            reason: format!("{address}: {reason}"),
        };
        let mut admin = self.targets.admin(address).map_err(unavailable)?;
        let deadline = Instant::now() + self.options.timeout.min(self.options.attempt_timeout);
        match timeout_at(deadline, admin.status(v1::StatusRequest {})).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(unavailable(status_text(&status))),
            Err(_) => Err(unavailable("does not answer".to_owned())),
        }
    }
}

/// What a cluster with the key-value machine offers besides.
impl Client {
    /// Writes `value` under `key`.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        let command = KvCommand::Put {
            key: key.into(),
            value: value.into(),
        };
        self.write(command)
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn delete(
        &self,
        key: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        self.write(KvCommand::Delete { key: key.into() })
    }

    /// The value of `key` and its version; `None` if it has none.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Versioned>, ClientError> {
        let query = KvQuery::Get { key: key.into() };
        let answer = self
            .query(query.encode(), Consistency::Linearizable)
            .await?;
        match KvAnswer::decode(&answer.answer) {
            Ok(KvAnswer::Value(value)) => Ok(value),
            Ok(KvAnswer::Count(_) | KvAnswer::Malformed) | Err(_) => Err(ClientError::Rejected {
                reason: "the cluster's state machine is not the key-value machine".to_owned(),
            }),
        }
    }

    async fn write(&self, command: KvCommand) -> Result<Committed, ClientError> {
        let executed = self.submit(command.encode()).await?;
        crate::handle::committed(&executed).map_err(|error| match error {
            ProposeError::Unknown => ClientError::Unknown {
                reason: "it was executed, but its reply is not the key-value machine's".to_owned(),
            },
            error => ClientError::Rejected {
                reason: error.to_string(),
            },
        })
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
