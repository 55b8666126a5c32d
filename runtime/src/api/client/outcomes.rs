//! What nodes say to commands and registrations, in the words of the automata, and what it says
//! about the nodes. Knows nothing about streams, nor about what follows.

use bytes::Bytes;
use chil_core::retry::Answer;
use chil_core::{ClientId, Slot, Span};
use chil_proto::v1;
use chil_proto::v1::propose_response::Outcome;
use chil_proto::v1::register_response::Outcome as Registration;

use super::super::guard::overloaded;
use super::ClientError;
use super::links::Result;
use super::targets::{Refusal, Targets};

/// A node that asks for a longer pause is asked again after this one.
const RETRY_AFTER_MAX: u64 = 1_000;

/// What a node's answer to a command means.
pub(super) fn proposed(targets: &Targets, address: &str, outcome: Option<Outcome>) -> Result {
    match outcome {
        Some(Outcome::Committed(committed)) => Answer::Executed {
            slot: Slot::new(committed.slot),
            reply: committed.reply,
        },
        Some(Outcome::NotLeader(leader)) => not_leader(targets, address, leader),
        Some(Outcome::Overloaded(overloaded)) => busy(targets, address, overloaded),
        Some(Outcome::TooLarge(v1::TooLarge { len, max })) => Answer::Rejected(too_large(len, max)),
        Some(Outcome::Refused(v1::Refused { reason })) => {
            Answer::Rejected(ClientError::Rejected { reason })
        }
        Some(Outcome::WrongCluster(wrong)) => {
            Answer::Rejected(targets.other_cluster(address, &wrong.cluster))
        }
        Some(Outcome::Unavailable(v1::Unavailable { reason })) => {
            targets.failed(address, &reason);
            Answer::Unavailable
        }
        Some(Outcome::Unknown(v1::OutcomeUnknown { reason })) => {
            targets.busy(address, &reason);
            Answer::Unknown
        }
        Some(Outcome::SessionExpired(_)) => {
            targets.busy(address, "the session has expired");
            Answer::SessionExpired
        }
        Some(Outcome::StaleSeq(_)) => {
            targets.busy(address, "the reply is not kept any more");
            Answer::StaleSeq
        }
        // A newer server's outcome: nothing is known about it here.
        None => {
            targets.busy(address, "the answer is not understood");
            Answer::Unknown
        }
    }
}

/// The error for a command of `len` bytes where `max` are allowed.
pub(super) fn too_large(len: u64, max: u64) -> ClientError {
    ClientError::Rejected {
        reason: format!("the command has {len} bytes, but at most {max} are allowed"),
    }
}

fn not_leader(targets: &Targets, address: &str, leader: v1::NotLeader) -> Result {
    if leader.address.is_empty() {
        targets.failed(address, "nobody is known to lead");
        return Answer::NotLeader { hint: None };
    }
    targets.busy(address, "does not lead");
    targets.follow(&leader.address);
    Answer::NotLeader {
        hint: Some(leader.address.into()),
    }
}

/// The same node is asked again: the others would only send us back.
fn busy(targets: &Targets, address: &str, overloaded: v1::Overloaded) -> Result {
    targets.busy(address, "is overloaded");
    Answer::Overloaded {
        retry_after: Span::from_millis(overloaded.retry_after_ms.min(RETRY_AFTER_MAX)),
    }
}

/// Asks for a session, once.
pub(super) async fn register(targets: &Targets, address: &str, nonce: u128) -> Result {
    let unavailable = |reason: String| {
        targets.failed(address, &reason);
        Answer::Unavailable
    };
    let cluster = match targets.cluster(address).await {
        Ok(cluster) => cluster,
        Err(Refusal::Failed(reason)) => return unavailable(reason),
        Err(Refusal::Forever(error)) => return Answer::Rejected(error),
    };
    let mut client = match targets.consensus(address) {
        Ok(client) => client,
        Err(reason) => return unavailable(reason),
    };
    let request = v1::RegisterRequest {
        nonce: Bytes::copy_from_slice(&nonce.to_be_bytes()),
        cluster,
    };
    let outcome = match client.register(request).await {
        Ok(response) => response.into_inner().outcome,
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            let reason = "it knows no sessions: use a client without them";
            let reason = format!("{address}: {reason}");
            return Answer::Rejected(ClientError::Rejected { reason });
        }
        Err(status) => match overloaded(&status) {
            Some(overloaded) => Some(Registration::Overloaded(overloaded)),
            None => match Refusal::of(&status) {
                Refusal::Forever(error) => return Answer::Rejected(error),
                Refusal::Failed(reason) => {
                    targets.failed(address, &reason);
                    return Answer::Unknown;
                }
            },
        },
    };
    match outcome {
        Some(Registration::Registered(v1::Registered { client })) => Answer::Registered {
            client: ClientId::new(client),
        },
        Some(Registration::NotLeader(leader)) => not_leader(targets, address, leader),
        Some(Registration::Overloaded(overloaded)) => busy(targets, address, overloaded),
        Some(Registration::Unavailable(v1::Unavailable { reason })) => unavailable(reason),
        Some(Registration::WrongCluster(wrong)) => {
            Answer::Rejected(targets.other_cluster(address, &wrong.cluster))
        }
        Some(Registration::Unknown(v1::OutcomeUnknown { reason })) => {
            targets.busy(address, &reason);
            Answer::Unknown
        }
        None => Answer::Unknown,
    }
}
