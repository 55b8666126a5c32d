//! Queries: which node is asked, how fresh its answer must be, and whom to ask when it has none.
//! Knows nothing about what queries mean.

use std::time::Duration;

use bytes::Bytes;
use chil_core::Slot;
use chil_proto::v1;
use chil_proto::v1::read_response::Outcome;
use tokio::time::{Instant, timeout_at};

use super::super::guard::overloaded;
use super::targets::{Refusal, Targets};
use super::{Client, ClientError};
use crate::handle::{Answer, Consistency};

/// How fresh the answer to a query must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// What it must have seen of the writes of others.
    pub consistency: Consistency,
    /// It must have seen this slot, whatever the consistency: with the slot of a write, the
    /// answer has seen that write. The node asked waits for it for a while.
    pub min_slot: Slot,
}

impl From<Consistency> for ReadOptions {
    fn from(consistency: Consistency) -> Self {
        Self {
            consistency,
            min_slot: Slot::ZERO,
        }
    }
}

/// The first pause between two attempts; it doubles from there to the last.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// A node that asks for a longer pause is asked again after this one.
const RETRY_AFTER_MAX: u64 = 1_000;

/// What an attempt came to.
enum Attempt {
    Answer(Answer),
    /// Another node, or the same later, may do: waits for the next pause.
    Again,
    /// A hint was followed: no need to wait, the first time.
    Followed,
    /// Waits at least so long.
    Busy(Duration),
    Failed(ClientError),
}

impl Client {
    /// Asks the state machine. [`Consistency::Linearizable`] and [`Consistency::Lease`] ask the
    /// leader, the others the first of the given nodes that works.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] when it cannot be answered, [`ClientError::Unavailable`] when
    /// nobody answered in time.
    pub async fn query(
        &self,
        query: impl Into<Bytes>,
        options: impl Into<ReadOptions>,
    ) -> Result<Answer, ClientError> {
        let query = query.into();
        let mut options = options.into();
        options.min_slot = options.min_slot.max(self.own_writes());
        let deadline = Instant::now() + self.options.timeout;
        let mut pause = PAUSE_MIN;
        loop {
            let address = match asks_anybody(options.consistency) {
                false => self.targets.current(),
                true => self.targets.any(),
            };
            let until = deadline.min(Instant::now() + self.options.attempt_timeout);
            let attempt = attempt(&self.targets, &address, query.clone(), options);
            let rest = match timeout_at(until, attempt).await {
                Ok(Attempt::Answer(answer)) => return Ok(answer),
                Ok(Attempt::Failed(error)) => return Err(error),
                Ok(Attempt::Again) => pause,
                // The first hint is followed at once; nodes that name each other are not.
                Ok(Attempt::Followed) if pause == PAUSE_MIN => Duration::ZERO,
                Ok(Attempt::Followed) => pause,
                Ok(Attempt::Busy(least)) => pause.max(least),
                Err(_) => {
                    self.targets.failed(&address, "did not answer in time");
                    pause
                }
            };
            if deadline <= Instant::now() + rest {
                let reason = self.targets.last_failure();
                return Err(ClientError::Unavailable { reason });
            }
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Whether any node may answer such a read, not the leader alone.
const fn asks_anybody(consistency: Consistency) -> bool {
    match consistency {
        Consistency::Linearizable | Consistency::Lease => false,
        Consistency::Follower | Consistency::Stale => true,
    }
}

/// Asks one node once, and takes note of what that says about it.
async fn attempt(targets: &Targets, address: &str, query: Bytes, options: ReadOptions) -> Attempt {
    let outcome = match ask(targets, address, query, options).await {
        Ok(outcome) => outcome,
        Err(NoOutcome::Node(reason)) => {
            targets.failed(address, &reason);
            return Attempt::Again;
        }
        Err(NoOutcome::Query(error)) => return Attempt::Failed(error),
    };
    match outcome {
        Outcome::Answer(answer) => {
            return Attempt::Answer(Answer {
                answer: answer.answer,
                applied: Slot::new(answer.applied),
                age: answer.age_ms.map(Duration::from_millis),
            });
        }
        Outcome::NotLeader(leader) if leader.address.is_empty() => {
            targets.failed(address, "nobody is known to lead");
        }
        Outcome::NotLeader(leader) => {
            targets.follow(&leader.address);
            if !asks_anybody(options.consistency) {
                return Attempt::Followed;
            }
            // It could have answered, and cannot reach whom it takes for the leader.
            targets.failed(address, "cannot reach the leader");
        }
        Outcome::Overloaded(overloaded) => {
            // The others would only send it here again, or be overloaded by it next.
            targets.busy(address, "is overloaded");
            let least = overloaded.retry_after_ms.min(RETRY_AFTER_MAX);
            return Attempt::Busy(Duration::from_millis(least));
        }
        Outcome::Behind(v1::Behind { applied, needed }) => {
            let reason = format!("has executed slot {applied}, but slot {needed} is needed");
            targets.failed(address, &reason);
        }
        Outcome::Unavailable(v1::Unavailable { reason }) => targets.failed(address, &reason),
        Outcome::WrongCluster(wrong) => {
            return Attempt::Failed(targets.other_cluster(address, &wrong.cluster));
        }
    }
    Attempt::Again
}

/// Why a call gave no outcome.
enum NoOutcome {
    /// The node did not serve it: another one may.
    Node(String),
    /// No node will serve this query.
    Query(ClientError),
}

impl From<Refusal> for NoOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(reason) => Self::Node(reason),
            Refusal::Forever(error) => Self::Query(error),
        }
    }
}

async fn ask(
    targets: &Targets,
    address: &str,
    query: Bytes,
    options: ReadOptions,
) -> Result<Outcome, NoOutcome> {
    let cluster = targets.cluster(address).await.map_err(NoOutcome::from)?;
    let consistency = match options.consistency {
        Consistency::Linearizable => v1::Consistency::Linearizable,
        Consistency::Lease => v1::Consistency::Lease,
        Consistency::Follower => v1::Consistency::Follower,
        Consistency::Stale => v1::Consistency::Stale,
    };
    let request = v1::ReadRequest {
        query,
        consistency: consistency.into(),
        cluster,
        min_slot: options.min_slot.get(),
    };
    let mut client = targets.consensus(address).map_err(NoOutcome::Node)?;
    match client.read(request).await {
        Ok(response) => {
            let outcome = response.into_inner().outcome;
            outcome.ok_or_else(|| NoOutcome::Node("the answer is not understood".to_owned()))
        }
        // With a cause it is the connection's end, which some call internal, too.
        Err(status)
            if status.code() == tonic::Code::Internal
                && std::error::Error::source(&status).is_none() =>
        {
            let reason = status.message().to_owned();
            Err(NoOutcome::Query(ClientError::Rejected { reason }))
        }
        Err(status) => match overloaded(&status) {
            Some(overloaded) => Ok(Outcome::Overloaded(overloaded)),
            None => Err(Refusal::of(&status).into()),
        },
    }
}
