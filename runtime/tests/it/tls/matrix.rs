//! Everybody who must not get in: what each shows, and for which reason it is refused.
//! Knows nothing about what those may do who get in.

use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pki::{Authority, Shown, Wish};
use super::stranger::{call, refusal};
use super::{address, alone, counted, counts};

/// What somebody shows, and why that is refused.
type Row = (&'static str, Option<Shown>, &'static str);

/// Chains that cannot be believed.
fn chains(ca: &Authority) -> Vec<Row> {
    let other = Authority::new("other");
    // Named as the one that is believed, and another one all the same.
    let namesake = Authority::new("ours");
    let node = Wish::of(&["chil://local/node/stranger"]);
    let leaf_as_authority = ca.below(&node);
    let intermediate = ca.below(&Wish::of(&[]).authority());
    let expired_intermediate = ca.below(&Wish::of(&[]).authority().within(-500, -100));
    let issue = |wish: Wish| Some(ca.issue(&wish));
    vec![
        ("no certificate", None, "no-certificate"),
        (
            "another authority",
            Some(other.issue(&node)),
            "unknown-authority",
        ),
        (
            "an authority of the same name",
            Some(namesake.issue(&node)),
            "signature",
        ),
        (
            "one that it has issued itself",
            Some(Shown::by_itself(&node)),
            "unknown-authority",
        ),
        ("the authority's own", Some(ca.itself()), "chain"),
        (
            "one that a node has issued",
            Some(leaf_as_authority.issue(&node).with(&leaf_as_authority)),
            "chain",
        ),
        ("expired", issue(node.clone().within(-500, -100)), "expired"),
        (
            "not valid yet",
            issue(node.clone().within(500, 1_000)),
            "not-yet-valid",
        ),
        (
            "below an authority that has expired",
            Some(
                expired_intermediate
                    .issue(&node)
                    .with(&expired_intermediate),
            ),
            "expired",
        ),
        (
            "below an authority that is not shown",
            Some(intermediate.issue(&node)),
            "unknown-authority",
        ),
        (
            "for servers only",
            issue(node.clone().only(ExtendedKeyUsagePurpose::ServerAuth)),
            "purpose",
        ),
        (
            "with the key of another one",
            Some(ca.node("stranger").with_key_of(&ca.node("other"))),
            "signature",
        ),
    ]
}

/// Good chains that are nobody's.
fn identities(ca: &Authority) -> Vec<Row> {
    let long = format!("chil://local/node/{}", "a".repeat(5_000));
    let uri = |uri: &str| Some(ca.issue(&Wish::of(&[uri])));
    let issue = |wish: Wish| Some(ca.issue(&wish));
    vec![
        ("without an identity", issue(Wish::of(&[])), "no-identity"),
        (
            "of another scheme",
            uri("spiffe://local/node/stranger"),
            "no-identity",
        ),
        (
            "with a name of DNS only",
            issue(Wish::of(&[]).dns("stranger")),
            "no-identity",
        ),
        (
            "with two identities",
            issue(Wish::of(&["chil://local/node/a", "chil://local/node/b"])),
            "several-identities",
        ),
        (
            "of another domain",
            uri("chil://elsewhere/node/a"),
            "other-domain",
        ),
        (
            "of an unknown kind",
            uri("chil://local/king/a"),
            "bad-identity",
        ),
        ("without a name", uri("chil://local/node/"), "bad-identity"),
        (
            "with a bad escape",
            uri("chil://local/node/%zz"),
            "bad-identity",
        ),
        (
            "written otherwise",
            uri("chil://local/node/%61"),
            "bad-identity",
        ),
        ("with a huge name", uri(&long), "bad-identity"),
    ]
}

#[tokio::test]
async fn whoever_shows_something_else_is_refused_for_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let mut expected = std::collections::BTreeMap::new();
    for (what, shown, reason) in chains(&ca).into_iter().chain(identities(&ca)) {
        let count: &mut u64 = expected.entry(reason).or_default();
        *count += 1;
        let told = refusal(address(&node), shown.as_ref()).await;
        assert!(told.contains("alert"), "{what} is told: {told}");
        counts(&node, "connections_refused", reason, *count).await;
    }
    for (reason, count) in expected {
        let counted = counted(&node, "connections_refused", reason);
        assert_eq!(counted, count, "{reason}");
    }
    // Whoever shows what is right gets in, below an authority that is shown, too.
    let below = ca.below(&Wish::of(&[]).authority());
    let wish = Wish::of(&["chil://local/read/somebody"]);
    for good in [ca.client("read"), below.issue(&wish).with(&below)] {
        assert_eq!(refusal(address(&node), Some(&good)).await, "let in");
    }
    node.propose("key", "value")
        .await
        .expect("it serves its host all the time");
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    // TLS 1.2: a greeting without the extension that names later versions.
    let mut old = vec![0x16, 3, 1, 0, 63, 1, 0, 0, 59, 3, 3];
    old.extend([7; 32]);
    old.extend([0, 0, 2, 0xc0, 0x2f, 1, 0, 0, 16]);
    old.extend([0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 0x1d]);
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (bytes, reason) in [
        (http2, "plaintext"),
        (vec![0xff; 64], "plaintext"),
        (old, "old-tls"),
    ] {
        let before = counted(&node, "connections_refused", reason);
        let mut stream = TcpStream::connect(address(&node)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        // An alert, and then the end: no reset that would take the alert back.
        stream.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.first(), Some(&0x15), "{reason}: {said:?}");
        counts(&node, "connections_refused", reason, before + 1).await;
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_being_judged_anew() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let client = ca.client("read");
    let mut stream = call(address(&node), Some(&client)).await.unwrap();
    let mut buffer = [0; 256];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    // Tickets would come right behind the handshake, before what HTTP/2 says.
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test(start_paused = false)]
async fn who_is_silent_behind_or_in_its_handshake_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let begun = tokio::time::Instant::now();
    let mut half = TcpStream::connect(address(&node)).await.unwrap();
    half.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut buffer = [0; 16];
    // Closed or reset: it is over.
    let ended = half.read(&mut buffer).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    counts(&node, "connections_refused", "handshake-timeout", 1).await;
}
