//! Clients that ask and do not take the answers: neither those nor what is kept for them may pile
//! up. Knows nothing about where answers wait.

use std::time::Duration;

use chil::kv::KvQuery;
use chil_proto::v1;
use prost::Message;

use super::h2::{INITIAL_WINDOW_SIZE, request};
use super::raw::Raw;
use super::victim::Victim;
use super::{READ, WATCH, all};

/// How long answers are left to pile up.
const LASTS: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;
/// Calls on each of them: as many streams as one may have.
const CALLS: u32 = 256;

#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    let victim = Victim::start().await;
    for number in 0..16 {
        let key = format!("large-{number}");
        victim.client().put(key, vec![7; 256 << 10]).await.unwrap();
    }
    let query = KvQuery::Scan {
        prefix: b"large-".as_slice().into(),
        after: None,
        limit: 0,
    };
    let read = v1::ReadRequest {
        query: query.encode(),
        ..v1::ReadRequest::default()
    };
    let watch = v1::WatchRequest {
        from_slot: 1,
        ..v1::WatchRequest::default()
    };
    for (what, path, body, window) in [
        ("pages without a window", READ, read.encode_to_vec(), 0),
        (
            "pages that are not read",
            READ,
            read.encode_to_vec(),
            u32::MAX / 2,
        ),
        (
            "decisions without a window",
            WATCH,
            watch.encode_to_vec(),
            0,
        ),
        (
            "decisions that are not read",
            WATCH,
            watch.encode_to_vec(),
            u32::MAX / 2,
        ),
    ] {
        let unread = all(CONNECTIONS, |_| {
            let (at, client) = (victim.address().to_owned(), victim.as_client());
            let body = body.clone();
            async move {
                let settings = [(INITIAL_WINDOW_SIZE, window)];
                let mut raw = Raw::h2(&at, &client, &settings).await;
                let calls = (0..CALLS).map(|number| request(2 * number + 1, path, &body));
                raw.send_many(calls).await;
                tokio::time::sleep(LASTS).await;
                raw
            }
        });
        drop(victim.withstands(what, unread).await);
    }
}
