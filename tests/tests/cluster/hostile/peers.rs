//! A node of the cluster that has gone bad: what it sends with a good certificate of its own.
//! Knows nothing about what good nodes send.

use chil_core::NodeId;
use chil_proto::v1;
use prost::Message;
use prost::bytes::Bytes;

use super::h2::{DATA, END_HEADERS, HEADERS, NO_FLAGS, call, frame, message};
use super::raw::Raw;
use super::victim::Victim;
use super::{LINK, PROPOSE, SOON};
use crate::harness::PATIENCE;

/// What one frame of a link looks like.
fn link(body: Option<v1::frame::Kind>) -> Vec<u8> {
    v1::Frame { kind: body }.encode_to_vec()
}

fn heartbeat(status: &v1::StatusResponse, from: &str) -> Vec<u8> {
    let id = |name: &str| NodeId::from_name(name).unwrap().get();
    link(Some(v1::frame::Kind::Envelope(v1::Envelope {
        cluster: status.cluster.clone(),
        from: id(from),
        from_disk: Bytes::from_static(&[1; 16]),
        boot: 1,
        run: 1,
        to: status.node,
        to_boot: 0,
        epoch: status.epoch,
        body: Some(v1::envelope::Body::Heartbeat(v1::Heartbeat::default())),
    })))
}

#[tokio::test]
async fn a_node_that_has_gone_bad_is_cut_off_and_nothing_else_happens() {
    let victim = Victim::start().await;
    let status = victim.status().await;
    let other = victim.as_other();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let whole = |bytes: &[u8]| message(len(bytes), bytes);
    let as_another = heartbeat(&status, victim.name());
    for (what, bytes, reason) in [
        ("no message", whole(&[0xff; 64]), Some("invalid-frame")),
        ("an empty frame", whole(&link(None)), Some("invalid-frame")),
        (
            "another node's message",
            whole(&as_another),
            Some("other-sender"),
        ),
        ("a frame of 4 GiB", message(u32::MAX, &[0; 4_096]), None),
        (
            "a compressed frame",
            [&[1, 0, 0, 0, 1][..], &[0]].concat(),
            None,
        ),
    ] {
        let attack = async {
            // A few at a time, and again and again: there is room for eight.
            for _ in 0..20 {
                let mut raw = Raw::h2(victim.address(), &other, &[]).await;
                let headers = frame(HEADERS, END_HEADERS, 1, &call(LINK));
                raw.send(&headers).await.unwrap();
                raw.send_many(
                    bytes
                        .chunks(16_000)
                        .map(|part| frame(DATA, NO_FLAGS, 1, part)),
                )
                .await;
                // What is closed at once is not read.
                raw.is_closed_within(SOON / 100).await;
            }
        };
        victim.withstands(what, attack).await;
        if let Some(reason) = reason {
            victim.audits(&[reason]);
        }
    }

    let asks = async {
        let mut raw = Raw::h2(victim.address(), &other, &[]).await;
        let headers = frame(HEADERS, END_HEADERS, 1, &call(PROPOSE));
        raw.send(&headers).await.unwrap();
        raw.is_closed_within(SOON / 10).await
    };
    victim.withstands("a node as a client", asks).await;

    // Most of a large message, on every stream of some connections.
    let huge = async {
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut raw = Raw::h2(victim.address(), &other, &[]).await;
            let headers = frame(HEADERS, END_HEADERS, 1, &call(LINK));
            raw.send(&headers).await.unwrap();
            let begin = frame(DATA, NO_FLAGS, 1, &message(48 << 20, &[]));
            let more = frame(DATA, NO_FLAGS, 1, &[0; 16_000]);
            raw.send(&begin).await.unwrap();
            // No more than may be sent before it is told that there is room.
            raw.send_many((0..4).map(|_| more.clone())).await;
            open.push(raw);
        }
        tokio::time::sleep(SOON / 5).await;
    };
    victim.withstands("large frames that never end", huge).await;
    assert!(victim.status().await.happy, "{PATIENCE:?}");
}
