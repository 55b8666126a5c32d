//! What became of a request, in the words of the wire: every outcome that a caller must tell apart.
//! Knows nothing about how it came about.

use std::time::Duration;

use bytes::Bytes;
use chil_core::{ClientId, ClusterId};
use chil_proto::v1;
use chil_proto::v1::move_leader_response::Outcome as MoveOutcome;
use chil_proto::v1::propose_response::Outcome;
use chil_proto::v1::read_response::Outcome as ReadOutcome;
use chil_proto::v1::register_response::Outcome as RegisterOutcome;
use tonic::Status;

use crate::apply::{ProposeResult, ReadResult};
use crate::error::{ProposeError, ReadError, Rejection, TransferError};
use crate::status::MemberInfo;

/// What became of a proposal.
pub(super) fn proposed(result: ProposeResult) -> Outcome {
    match result {
        Ok(executed) => Outcome::Committed(v1::Committed {
            slot: executed.slot.get(),
            reply: executed.reply,
        }),
        Err(ProposeError::NotLeader { hint }) => Outcome::NotLeader(not_leader(hint)),
        Err(ProposeError::Overloaded { retry_after }) => {
            Outcome::Overloaded(overloaded(retry_after))
        }
        Err(ProposeError::Rejected(Rejection::TooLarge { len, max })) => {
            Outcome::TooLarge(v1::TooLarge { len, max })
        }
        Err(ProposeError::Rejected(Rejection::WrongCluster { cluster })) => {
            Outcome::WrongCluster(wrong_cluster(cluster))
        }
        Err(ProposeError::SessionExpired) => Outcome::SessionExpired(v1::SessionExpired {}),
        Err(ProposeError::StaleSeq) => Outcome::StaleSeq(v1::StaleSeq {}),
        Err(ProposeError::Rejected(reason @ (Rejection::BeyondWindow | Rejection::Reused))) => {
            Outcome::Refused(v1::Refused {
                reason: reason.to_string(),
            })
        }
        Err(
            error @ (ProposeError::Unknown | ProposeError::Rejected(Rejection::NotUnderstood(_))),
        ) => Outcome::Unknown(unknown(&error)),
        Err(error @ (ProposeError::Forming | ProposeError::Stopped)) => {
            Outcome::Unavailable(unavailable(&error))
        }
    }
}

/// What became of a registration.
pub(super) fn registered(result: Result<ClientId, ProposeError>) -> RegisterOutcome {
    match result {
        Ok(client) => RegisterOutcome::Registered(v1::Registered {
            client: client.get(),
        }),
        Err(ProposeError::NotLeader { hint }) => RegisterOutcome::NotLeader(not_leader(hint)),
        Err(ProposeError::Overloaded { retry_after }) => {
            RegisterOutcome::Overloaded(overloaded(retry_after))
        }
        Err(ProposeError::Rejected(Rejection::WrongCluster { cluster })) => {
            RegisterOutcome::WrongCluster(wrong_cluster(cluster))
        }
        Err(error @ (ProposeError::Forming | ProposeError::Stopped)) => {
            RegisterOutcome::Unavailable(unavailable(&error))
        }
        Err(
            error @ (ProposeError::Unknown
            | ProposeError::SessionExpired
            | ProposeError::StaleSeq
            | ProposeError::Rejected(
                Rejection::TooLarge { .. }
                | Rejection::BeyondWindow
                | Rejection::Reused
                | Rejection::NotUnderstood(_),
            )),
        ) => RegisterOutcome::Unknown(unknown(&error)),
    }
}

/// What became of a read. An error of the state machine is the call's.
pub(super) fn answered(result: ReadResult) -> Result<ReadOutcome, Status> {
    Ok(match result {
        Ok(answer) => ReadOutcome::Answer(v1::Answer {
            answer: answer.answer,
            applied: answer.applied.get(),
            age_ms: answer.age.map(millis),
        }),
        Err(ReadError::NotLeader { hint }) => ReadOutcome::NotLeader(not_leader(hint)),
        Err(ReadError::Overloaded { retry_after }) => {
            ReadOutcome::Overloaded(overloaded(retry_after))
        }
        Err(ReadError::Behind { applied, needed }) => ReadOutcome::Behind(v1::Behind {
            applied: applied.get(),
            needed: needed.get(),
        }),
        Err(error @ ReadError::Failed(_)) => return Err(Status::internal(error.to_string())),
        Err(error @ ReadError::Stopped) => ReadOutcome::Unavailable(unavailable(&error)),
    })
}

/// What became of a transfer of leadership.
pub(super) fn moved(result: Result<MemberInfo, TransferError>) -> MoveOutcome {
    let failed = |failure: v1::MoveFailure, error: &TransferError| {
        MoveOutcome::Failed(v1::MoveFailed {
            failure: failure.into(),
            reason: error.to_string(),
        })
    };
    match result {
        Ok(leader) => MoveOutcome::Moved(v1::Moved {
            leader: Some(member(&leader)),
        }),
        Err(TransferError::NotLeader { hint }) => MoveOutcome::NotLeader(not_leader(hint)),
        Err(error @ TransferError::BadTarget { .. }) => failed(v1::MoveFailure::BadTarget, &error),
        Err(error @ TransferError::NoTarget) => failed(v1::MoveFailure::NoTarget, &error),
        Err(error @ TransferError::Busy) => failed(v1::MoveFailure::Busy, &error),
        Err(error @ TransferError::TimedOut) => failed(v1::MoveFailure::TimedOut, &error),
        Err(error @ TransferError::Unclear) => MoveOutcome::Unknown(unknown(&error)),
        Err(error @ TransferError::Stopped) => MoveOutcome::Unavailable(unavailable(&error)),
    }
}

/// A member, as clients and operators see it.
pub(super) fn member(member: &MemberInfo) -> v1::MemberStatus {
    v1::MemberStatus {
        node: member.node.get(),
        name: member.name.clone(),
        address: member.address.clone(),
    }
}

/// A 128-bit number as its 16 bytes.
pub(super) fn big_endian(number: u128) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Rounded up: an age is a bound.
pub(super) fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

pub(super) fn unavailable(error: &impl ToString) -> v1::Unavailable {
    v1::Unavailable {
        reason: error.to_string(),
    }
}

fn unknown(error: &impl ToString) -> v1::OutcomeUnknown {
    v1::OutcomeUnknown {
        reason: error.to_string(),
    }
}

pub(super) fn not_leader(hint: Option<String>) -> v1::NotLeader {
    v1::NotLeader {
        name: String::new(),
        address: hint.unwrap_or_default(),
    }
}

pub(super) fn overloaded(retry_after: Duration) -> v1::Overloaded {
    v1::Overloaded {
        retry_after_ms: millis(retry_after),
    }
}

pub(super) fn wrong_cluster(cluster: ClusterId) -> v1::WrongCluster {
    v1::WrongCluster {
        cluster: big_endian(cluster.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_told_as_less_than_it_is() {
        let told = [0, 1, 999_999, 1_000_000, 1_000_001].map(|ns| millis(Duration::from_nanos(ns)));
        assert_eq!(told, [0, 1, 1, 1, 2]);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}
