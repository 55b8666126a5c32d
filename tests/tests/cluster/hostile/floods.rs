//! Much of what costs whoever sends it nothing: frames that are well-formed one by one, and such
//! as nobody sends who means well. Knows nothing about what limits are set.

use super::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, NO_FLAGS, PING, RST_STREAM,
    WINDOW_UPDATE, call, frame, header, message, request, settings,
};
use super::raw::{Raw, Shown};
use super::victim::Victim;
use super::{LINK, PROPOSE, SOON, all};

/// Streams of a client have odd numbers.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

#[tokio::test]
async fn floods_of_frames_cost_neither_memory_nor_the_leadership() {
    let victim = Victim::start().await;
    let (at, client) = (victim.address(), victim.as_client());
    let begin = || Raw::h2(at, &client, &[]);

    let rapid_reset = async {
        let mut raw = begin().await;
        let reset = |stream| {
            let headers = frame(HEADERS, END_HEADERS, stream, &call(PROPOSE));
            [headers, frame(RST_STREAM, NO_FLAGS, stream, &[0, 0, 0, 8])].concat()
        };
        raw.send_many(streams(20_000).map(reset)).await;
        raw.is_closed_within(SOON).await
    };
    let closed = victim.withstands("rapid reset", rapid_reset).await;
    assert!(closed, "who resets 20,000 streams is still let in");

    // Every one of them asks for an answer, and none is read.
    for (what, one) in [
        ("settings", settings(&[(4, 65_535)])),
        ("pings", frame(PING, NO_FLAGS, 0, &[7; 8])),
    ] {
        let flood = all(4, |_| {
            let (at, client, one) = (at.to_owned(), client.clone(), one.clone());
            async move {
                let mut raw = Raw::h2(&at, &client, &[]).await;
                raw.send_many((0..500_000).map(|_| one.clone())).await;
            }
        });
        victim.withstands(what, flood).await;
    }

    let updates = async {
        let mut raw = begin().await;
        let update = frame(WINDOW_UPDATE, NO_FLAGS, 0, &(1_u32 << 30).to_be_bytes());
        raw.send_many((0..10).map(|_| update.clone())).await;
        raw.is_closed_within(SOON).await
    };
    let closed = victim
        .withstands("windows beyond all bounds", updates)
        .await;
    assert!(closed, "a window of more than 2^31 is an error");
}

#[tokio::test]
async fn headers_that_never_end_are_not_kept() {
    let victim = Victim::start().await;
    let (at, client) = (victim.address(), victim.as_client());
    let begin = || Raw::h2(at, &client, &[]);

    let continuation = async {
        let mut raw = begin().await;
        let first = frame(HEADERS, END_STREAM, 1, &call(PROPOSE));
        raw.send(&first).await.unwrap();
        let more = || frame(CONTINUATION, NO_FLAGS, 1, &header("x", &"y".repeat(16_000)));
        raw.send_many((0..4_000).map(|_| more())).await;
        raw.is_closed_within(SOON).await
    };
    let closed = victim.withstands("continuation", continuation).await;
    assert!(closed, "who never ends its headers is still let in");

    let empty_continuation = async {
        let mut raw = begin().await;
        let first = frame(HEADERS, END_STREAM, 1, &call(PROPOSE));
        raw.send(&first).await.unwrap();
        let more = || frame(CONTINUATION, NO_FLAGS, 1, &[]);
        raw.send_many((0..200_000).map(|_| more())).await;
        raw.is_closed_within(SOON).await
    };
    let closed = victim
        .withstands("empty continuation", empty_continuation)
        .await;
    assert!(closed, "who never ends its headers is still let in");

    let headers = async {
        let mut raw = begin().await;
        let block = [call(PROPOSE), header("x", &"y".repeat(1 << 20))].concat();
        let (first, more) = block.split_at(16_000);
        raw.send(&frame(HEADERS, END_STREAM, 1, first)).await.ok();
        let more = more.chunks(16_000);
        let more = more.map(|part| frame(CONTINUATION, NO_FLAGS, 1, part));
        raw.send_many(more).await;
        raw.send(&frame(CONTINUATION, END_HEADERS, 1, &[])).await
    };
    // Whether that connection ends or the call alone is refused is all the same.
    victim
        .withstands("a megabyte of headers", headers)
        .await
        .ok();
}

#[tokio::test]
async fn requests_that_are_wrong_too_large_or_too_many_do_no_harm() {
    let victim = Victim::start().await;
    let (at, client) = (victim.address(), victim.as_client());
    let begin = || Raw::h2(at, &client, &[]);
    let headers = |stream| frame(HEADERS, END_HEADERS, stream, &call(PROPOSE));

    let huge = async {
        let mut raw = begin().await;
        let huge = |stream| {
            let data = frame(DATA, NO_FLAGS, stream, &message(u32::MAX, &[1; 1_000]));
            [headers(stream), data].concat()
        };
        raw.send_many(streams(200).map(huge)).await;
        raw
    };
    victim.withstands("messages of 4 GiB", huge).await;

    let many = async {
        let mut raw = begin().await;
        raw.send_many(streams(10_000).map(headers)).await;
        // What those cost that were let in is to be seen.
        tokio::time::sleep(SOON / 10).await;
    };
    victim.withstands("10,000 streams at once", many).await;

    // Each of them gets as many streams as one may have, and ends no message.
    let halves = all(16, |_| {
        let (at, client) = (at.to_owned(), client.clone());
        async move {
            let mut raw = Raw::h2(&at, &client, &[]).await;
            let half = |stream| {
                let headers = frame(HEADERS, END_HEADERS, stream, &call(PROPOSE));
                let data = frame(DATA, NO_FLAGS, stream, &message(1 << 20, &[1; 16_000]));
                let more = frame(DATA, NO_FLAGS, stream, &[1; 16_000]);
                [headers, data, more].concat()
            };
            raw.send_many(streams(256).map(half)).await;
            tokio::time::sleep(SOON / 5).await;
        }
    });
    victim
        .withstands("bodies that stop in the middle", halves)
        .await;

    let malformed = async {
        let mut raw = begin().await;
        let wrong = |stream| request(stream, PROPOSE, &[0xff; 64]);
        raw.send_many(streams(2_000).map(wrong)).await;
        let unknown = |stream| request(4_000 + stream, "/chil.v1.Consensus/Nothing", &[]);
        raw.send_many(streams(2_000).map(unknown)).await;
    };
    victim.withstands("malformed messages", malformed).await;
}

#[tokio::test]
async fn who_has_no_business_there_is_turned_away() {
    let victim = Victim::start().await;
    let (at, client) = (victim.address(), victim.as_client());
    let begin = || Raw::h2(at, &client, &[]);

    let as_peer = async {
        let mut raw = begin().await;
        let link = |stream| request(stream, LINK, &[1; 64]);
        raw.send_many(streams(100).map(link)).await;
        raw.is_closed_within(SOON / 10).await
    };
    victim.withstands("a client as a peer", as_peer).await;
    victim.audits(&["Link"]);

    let strangers = async {
        let garbage = b"GET / HTTP/1.1\r\nhost: chil\r\n\r\n".repeat(1_000);
        let mut plain = Raw::tcp(at).await;
        plain.send_many([garbage.clone()]).await;
        let mut secured = Raw::tls(at, &client).await.unwrap();
        secured.send_many([garbage]).await;
        let closed = (
            plain.is_closed_within(SOON).await,
            secured.is_closed_within(SOON).await,
        );
        assert_eq!(closed, (true, true), "garbage is no reason to wait");
        let nobody = all(50, |_| {
            let (at, nobody) = (at.to_owned(), Shown::nothing());
            async move {
                // That it is not let in it learns behind the handshake.
                if let Ok(mut raw) = Raw::tls(&at, &nobody).await {
                    assert!(raw.is_closed_within(SOON).await);
                }
            }
        });
        nobody.await;
    };
    victim.withstands("strangers", strangers).await;
    victim.audits(&["plaintext", "no-certificate"]);
}
