//! Connections that say little, or nothing, to keep a place: each is closed, and others find one.
//! Knows nothing about how long the node has patience.

use std::time::Duration;

use super::h2::{END_HEADERS, HEADERS, PREFACE, call, frame, settings};
use super::raw::Raw;
use super::victim::Victim;
use super::{PROPOSE, all};
use crate::harness::PATIENCE;

/// Between two bytes.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn who_is_slow_or_silent_is_closed_and_keeps_nobody_out() {
    let victim = Victim::start().await;
    let (at, client) = (victim.address().to_owned(), victim.as_client());
    let preface = [PREFACE, &settings(&[])].concat();
    let headers = frame(HEADERS, END_HEADERS, 1, &call(PROPOSE));
    // The beginning of a handshake: that 512 bytes of one follow.
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 64]].concat();
    let slow = all(60, |number| {
        let (at, client, preface) = (at.clone(), client.clone(), preface.clone());
        let (headers, hello) = (headers.clone(), hello.clone());
        async move {
            let (what, mut raw) = match number % 6 {
                0 => ("silent TCP", Raw::tcp(&at).await),
                1 => ("a slow handshake", {
                    let mut raw = Raw::tcp(&at).await;
                    raw.send_slowly(&hello, PAUSE).await;
                    raw
                }),
                2 => ("silent TLS", Raw::tls(&at, &client).await.unwrap()),
                3 => ("a slow preface", {
                    let mut raw = Raw::tls(&at, &client).await.unwrap();
                    raw.send_slowly(&preface, PAUSE).await;
                    raw
                }),
                4 => ("slow headers", {
                    let mut raw = Raw::h2(&at, &client, &[]).await;
                    raw.send_slowly(&headers, PAUSE).await;
                    raw
                }),
                _ => ("nothing asked", Raw::h2(&at, &client, &[]).await),
            };
            (what, raw.is_closed_within(PATIENCE).await)
        }
    });
    for (what, closed) in victim.withstands("slow connections", slow).await {
        assert!(closed, "{what}: it is still open");
    }
    victim.audits(&["handshake-timeout", "silent"]);
}
