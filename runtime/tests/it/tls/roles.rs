//! What those may do who have got in: nodes, and clients by their role.
//! Knows nothing about who gets in.

use std::time::Duration;

use chil::client::{Client, ClientError, ClientOptions};
use chil::{KeyValue, Node};

use super::pki::Authority;
use super::{address, alone, counted, counts};

async fn client(node: &Node<KeyValue>, ca: &Authority, kind: &str) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let options = ClientOptions {
        timeout: Duration::from_millis(700),
        tls: Some(ca.client(kind).client_tls(dir.path(), &[ca])),
        ..ClientOptions::default()
    };
    Client::connect([address(node).to_string()], options)
}

#[tokio::test]
async fn a_role_allows_what_it_says_and_what_is_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    for (role, writes, moves) in [
        ("read", false, false),
        ("write", true, false),
        ("admin", true, true),
    ] {
        let client = client(&node, &ca, role).await;
        let read = client.get("key").await;
        assert!(read.is_ok(), "{role}: {read:?}");
        let wrote = client.put("key", "value").await;
        assert_eq!(wrote.is_ok(), writes, "{role}: {wrote:?}");
        if let Err(error) = wrote {
            let text = error.to_string();
            assert!(text.contains("has the role read"), "{text}");
            assert!(text.contains("chil cert issue client"), "{text}");
            assert!(matches!(error, ClientError::Rejected { .. }), "{error:?}");
        }
        // There is nobody to move it to: who may ask is told that.
        let moved = client.move_leader(Some("nobody")).await;
        let error = moved.unwrap_err();
        assert!(matches!(error, ClientError::Rejected { .. }), "{error:?}");
        let text = error.to_string();
        assert_eq!(!text.contains("has the role"), moves, "{role}: {text}");
    }
    counts(&node, "requests_denied", "Register", 1).await;
    counts(&node, "requests_denied", "MoveLeader", 2).await;
    assert_eq!(counted(&node, "requests_denied", "Read"), 0);
    // Whoever may not is told so once: asking again, or elsewhere, does not help.
    assert_eq!(counted(&node, "requests_denied", "Register"), 1);
    assert_eq!(counted(&node, "requests_denied", "MoveLeader"), 2);
}
