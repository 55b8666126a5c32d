//! How the services let requests in, and how they say that one is not.
//! Knows nothing about how that is decided, nor about what is asked for.

use std::time::Duration;

use chil_core::Span;
use chil_proto::v1;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use super::outcome::millis;
use crate::admit::{Admit, Inside, Purpose};
use crate::caller::Caller;
use crate::limits::Busy;

/// Says in how many milliseconds asking again makes sense, and with that, that the request surely
/// had no effect: transports use the same code for other things.
const RETRY_AFTER: &str = "retry-after-ms";
/// The same for the retries that gRPC libraries do by themselves.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Beside the status of a stream that has ended at a request that is too large to be read: how large
/// a payload may be.
const VALUE_BYTES_MAX: &str = "value-bytes-max";

/// A refusal is answered late, but not later than this: a client that asks again at once is slowed
/// down, whatever it makes of what it is told.
const LATE_MAX: Duration = Duration::from_millis(200);

/// Lets a call in that is answered once; it counts until what is returned with it is dropped.
pub(super) async fn enter<T>(
    admit: &Admit,
    request: Request<T>,
    purpose: Purpose,
    bytes: usize,
) -> Result<(Inside, Request<T>), Status> {
    let caller = request.extensions().get::<Caller>();
    let busy = match admit.ask(caller, purpose, bytes) {
        Ok(inside) => return Ok((inside, request)),
        Err(busy) => busy,
    };
    // Too many of them at a time would be a queue of its own.
    match admit.place_to_wait() {
        Some(_place) => {
            let _refusing = caller.map(Caller::is_refused);
            // What was asked is not counted any more.
            drop(request);
            Err(refusal(&late(busy).await))
        }
        None => Err(refusal(&busy)),
    }
}

/// What is left to say of a refusal when it is time to tell it.
pub(super) async fn late(mut busy: Busy) -> Busy {
    let late = retry_after(&busy).min(LATE_MAX);
    tokio::time::sleep(late).await;
    let waited = Span::from_nanos(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
    busy.retry_after = busy.retry_after - waited;
    busy
}

/// A refusal, as a call's status.
fn refusal(busy: &Busy) -> Status {
    busy_status(busy.why.code(), retry_after(busy))
}

/// The refusal of what there is no room for, of this kind.
pub(super) fn no_room(what: &str) -> Status {
    const SOON: Duration = Duration::from_millis(20);
    busy_status(what, SOON)
}

fn busy_status(why: &str, after: Duration) -> Status {
    let text = format!(
        "this node has as much to do as it takes on ({why}): try again in {} ms",
        millis(after)
    );
    let mut metadata = MetadataMap::new();
    for key in [RETRY_AFTER, PUSHBACK] {
        metadata.insert(key, MetadataValue::from(millis(after)));
    }
    Status::with_metadata(Code::ResourceExhausted, text, metadata)
}

/// What a stream of requests ends with that could not be read on.
pub(super) fn unreadable(mut status: Status, value_bytes_max: u64) -> Status {
    if status.code() == Code::OutOfRange {
        let max = MetadataValue::from(value_bytes_max);
        status.metadata_mut().insert(VALUE_BYTES_MAX, max);
    }
    status
}

/// How large a payload may be, if a stream has ended because one was larger.
pub(super) fn value_bytes_max(status: &Status) -> Option<u64> {
    let text = status.metadata().get(VALUE_BYTES_MAX)?.to_str().ok()?;
    let is_too_large = status.code() == Code::OutOfRange;
    text.parse().ok().filter(|_| is_too_large)
}

/// When asking again makes sense.
pub(super) const fn retry_after(busy: &Busy) -> Duration {
    Duration::from_nanos(busy.retry_after.nanos())
}

/// What a node's refusal says; `None` for any other status.
pub(super) fn overloaded(status: &Status) -> Option<v1::Overloaded> {
    let text = status.metadata().get(RETRY_AFTER)?.to_str().ok()?;
    let retry_after_ms = text.parse().ok()?;
    let is_refusal = status.code() == Code::ResourceExhausted;
    is_refusal.then_some(v1::Overloaded { retry_after_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BusyReason;

    #[test]
    fn a_refusal_is_told_from_other_uses_of_its_code() {
        let busy = Busy {
            why: BusyReason::ClientRate,
            retry_after: Span::from_micros(7_001),
        };
        let status = refusal(&busy);
        let told = overloaded(&status).map(|it| it.retry_after_ms);
        assert_eq!(told, Some(8));
        assert_eq!(status.metadata().get(PUSHBACK).unwrap(), "8");
        assert!(status.message().contains("client-rate"), "{status}");
        assert_eq!(overloaded(&Status::resource_exhausted("too large")), None);
        let other = Status::with_metadata(Code::Internal, "", status.metadata().clone());
        assert_eq!(overloaded(&other), None);
    }
}
