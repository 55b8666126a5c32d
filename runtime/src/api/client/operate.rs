//! What operators ask of single nodes through a client: status, explanations, moving the leader,
//! saving a snapshot. Knows nothing about how answers are shown.

use std::time::Duration;

use bytes::Bytes;
use chil_core::{Chain, Slot, SnapshotId};
use chil_proto::v1;
use chil_proto::v1::move_leader_response::Outcome;
use chil_proto::v1::save_snapshot_response::Event;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Streaming;

use super::targets::Refusal;
use super::{Client, ClientError, status_text};

/// The pause before another node is asked to move the leader, or to save a snapshot.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// The state of the node at `address`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer in time, [`ClientError::Rejected`] when
    /// this client may not ask for it.
    pub async fn status_of(&self, address: &str) -> Result<v1::StatusResponse, ClientError> {
        let mut admin = self.targets.admin(address).map_err(unavailable(address))?;
        let answer = timeout(self.one_attempt(), admin.status(v1::StatusRequest {})).await;
        answered(address, answer)
    }

    /// What keeps the node at `address`, and the cluster as it sees it, from doing more: the most
    /// important first, nothing when all is well.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer in time.
    pub async fn explain_of(&self, address: &str) -> Result<Vec<v1::Finding>, ClientError> {
        let mut admin = self.targets.admin(address).map_err(unavailable(address))?;
        let answer = timeout(self.one_attempt(), admin.explain(v1::ExplainRequest {})).await;
        answered(address, answer).map(|response| response.findings)
    }

    /// Has the leader hand its leadership over to the member called `to`, or without a name to
    /// whoever suits best. Returns who leads then. Asked for the leader itself, it does nothing.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] when the leader says that it cannot, [`ClientError::Unavailable`]
    /// when no leader was found in time, and [`ClientError::Unknown`] when an answer was lost, did
    /// not come in time, or said that it is not known how the transfer ended: without a name it is
    /// not asked for again then, or the leadership might move twice. Nothing is lost in any case: at
    /// worst, another node leads.
    pub async fn move_leader(&self, to: Option<&str>) -> Result<v1::MemberStatus, ClientError> {
        let deadline = Instant::now() + self.options.timeout;
        // Who has been asked and may have done it, and what is known of that.
        let mut begun = None;
        loop {
            let address = self.targets.current();
            let asked = self.move_leader_at(&address, to, deadline).await;
            let reason = match asked {
                Ok(Outcome::Moved(moved)) => {
                    let leader = moved.leader.unwrap_or_default();
                    self.targets.follow(&leader.address);
                    return Ok(leader);
                }
                // Perhaps with what it was asked for before.
                Ok(Outcome::Failed(failed)) if begun.is_some() && is_busy(&failed) => failed.reason,
                Ok(Outcome::Failed(failed)) => return self.refused(&address, to, failed).await,
                Ok(Outcome::NotLeader(leader)) if !leader.address.is_empty() => {
                    self.targets.busy(&address, "does not lead");
                    self.targets.follow(&leader.address);
                    String::new()
                }
                Ok(Outcome::NotLeader(_)) => "nobody is known to lead".to_owned(),
                // It may have ended in the middle of it.
                Ok(
                    Outcome::Unavailable(v1::Unavailable { reason })
                    | Outcome::Unknown(v1::OutcomeUnknown { reason }),
                )
                | Err(NotMoved::Lost(reason)) => {
                    let unclear = unclear(&address, &reason);
                    if to.is_none() {
                        return Err(unclear);
                    }
                    begun = Some(unclear);
                    reason
                }
                Err(NotMoved::NotAsked(Refusal::Failed(reason))) => reason,
                Err(NotMoved::NotAsked(Refusal::Forever(error))) => return Err(error),
            };
            if !reason.is_empty() {
                self.targets.failed(&address, &reason);
            }
            if deadline <= Instant::now() + PAUSE {
                let reason = self.targets.last_failure();
                return Err(begun.unwrap_or(ClientError::Unavailable { reason }));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The leader at `address` cannot hand over: which is well if it is the one that was wanted.
    async fn refused(
        &self,
        address: &str,
        to: Option<&str>,
        failed: v1::MoveFailed,
    ) -> Result<v1::MemberStatus, ClientError> {
        if failed.failure() == v1::MoveFailure::BadTarget
            && let Ok(status) = self.status_of(address).await
            && let Some(leader) = status.leader.filter(|leader| Some(&*leader.name) == to)
        {
            return Ok(leader);
        }
        let reason = failed.reason;
        Err(ClientError::Rejected { reason })
    }

    async fn move_leader_at(
        &self,
        address: &str,
        to: Option<&str>,
        deadline: Instant,
    ) -> Result<Outcome, NotMoved> {
        let late = || "did not answer in time".to_owned();
        let not_asked = |reason| NotMoved::NotAsked(Refusal::Failed(reason));
        match timeout_at(deadline, self.targets.verify(address)).await {
            Ok(verified) => verified.map_err(NotMoved::NotAsked)?,
            Err(_) => return Err(not_asked(late())),
        };
        let mut admin = self.targets.admin(address).map_err(not_asked)?;
        let to = to.unwrap_or_default().to_owned();
        // From here on it may be done, whatever becomes of the answer.
        match timeout_at(deadline, admin.move_leader(v1::MoveLeaderRequest { to })).await {
            Ok(Ok(response)) => {
                let outcome = response.into_inner().outcome;
                outcome.ok_or_else(|| NotMoved::Lost("the answer is not understood".to_owned()))
            }
            Ok(Err(status)) => Err(match Refusal::of(&status) {
                Refusal::Failed(reason) => NotMoved::Lost(reason),
                forever @ Refusal::Forever(_) => NotMoved::NotAsked(forever),
            }),
            Err(_) => Err(NotMoved::Lost(late())),
        }
    }

    /// Begins to save a snapshot of the node at `address`: of what it has executed now, or with
    /// `stored` the newest one on its disk.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer in time,
    /// [`ClientError::OtherCluster`] when it belongs to another cluster than this client.
    pub async fn save_snapshot(
        &self,
        address: &str,
        stored: bool,
    ) -> Result<SnapshotDownload, ClientError> {
        match timeout(self.one_attempt(), self.targets.verify(address)).await {
            Ok(Ok(_)) => {}
            Ok(Err(Refusal::Forever(error))) => return Err(error),
            Ok(Err(Refusal::Failed(reason))) => return Err(unavailable(address)(reason)),
            Err(_) => return Err(unavailable(address)("does not answer".to_owned())),
        }
        let mut admin = self.targets.admin(address).map_err(unavailable(address))?;
        let request = v1::SaveSnapshotRequest { stored };
        let answer = timeout(self.options.timeout, admin.save_snapshot(request)).await;
        Ok(SnapshotDownload {
            parts: answered(address, answer)?,
            address: address.to_owned(),
            silence_max: self.options.timeout,
            saved: None,
        })
    }

    pub(super) fn one_attempt(&self) -> Duration {
        self.options.timeout.min(self.options.attempt_timeout)
    }
}

/// Why it is not known who leads now.
enum NotMoved {
    /// The node was not asked to move the leader: another one may be.
    NotAsked(Refusal),
    /// It was asked, and its answer is not known.
    Lost(String),
}

fn is_busy(failed: &v1::MoveFailed) -> bool {
    failed.failure() == v1::MoveFailure::Busy
}

fn unclear(address: &str, reason: &str) -> ClientError {
    let reason = format!(
        "{address} was asked to hand the leadership over, and it is not known how that ended \
         ({reason}): see with 'chil status' who leads before asking again"
    );
    ClientError::Unknown { reason }
}

/// A snapshot on its way from a node.
#[derive(Debug)]
pub struct SnapshotDownload {
    parts: Streaming<v1::SaveSnapshotResponse>,
    address: String,
    silence_max: Duration,
    saved: Option<SnapshotId>,
}

impl SnapshotDownload {
    /// The next part of its bytes; `None` behind the last one.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when the node stopped sending: what came is not all of it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let failed = unavailable(&self.address);
        let message = timeout(self.silence_max, self.parts.message()).await;
        let message = message.map_err(|_| failed("sends no more of the snapshot".to_owned()))?;
        let message = message.map_err(|status| failed(status_text(&status)))?;
        match message.and_then(|response| response.event) {
            Some(Event::Chunk(bytes)) => Ok(Some(bytes)),
            Some(Event::Done(done)) => {
                let number = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes);
                let (Ok(chain), Ok(digest)) = (number(&done.chain), number(&done.digest)) else {
                    return Err(failed("does not say which snapshot it sent".to_owned()));
                };
                self.saved = Some(SnapshotId {
                    slot: Slot::new(done.slot),
                    chain: Chain::new(chain),
                    bytes: done.bytes,
                    digest,
                });
                Ok(None)
            }
            Some(Event::Unavailable(v1::Unavailable { reason })) => Err(failed(reason)),
            Some(Event::Overloaded(_)) => Err(failed(
                "saves too many snapshots already: try again later".to_owned(),
            )),
            None => Err(failed("ended in the middle of the snapshot".to_owned())),
        }
    }

    /// Which snapshot it is, once all parts have come: what came must be checked against it.
    #[must_use]
    pub const fn id(&self) -> Option<SnapshotId> {
        self.saved
    }
}

fn unavailable(address: &str) -> impl Fn(String) -> ClientError {
    move |reason| ClientError::Unavailable {
        reason: format!("{address}: {reason}"),
    }
}

fn answered<T>(
    address: &str,
    answer: Result<Result<tonic::Response<T>, tonic::Status>, tokio::time::error::Elapsed>,
) -> Result<T, ClientError> {
    match answer {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(match Refusal::of(&status) {
            Refusal::Failed(reason) => unavailable(address)(reason),
            Refusal::Forever(error) => error,
        }),
        Err(_) => Err(unavailable(address)("does not answer".to_owned())),
    }
}
