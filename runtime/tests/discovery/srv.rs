//! SRV records, asked for at a name server of the test.

use std::time::{Duration, Instant};

use chil::discovery::{Lookup, ResolveError, SrvLookup};

use crate::name_server::{Mood, NameServer};

const SERVICE: &str = "_peers._tcp.chil.test";
const LIMIT: Duration = Duration::from_secs(2);

fn server() -> NameServer {
    let server = NameServer::start("127.0.0.1:0");
    server.host("node-1.chil.test", &["10.0.0.1", "fd00::1"]);
    server.host("node-2.a.test", &["10.0.0.2"]);
    server.host("node-2.b.test", &["10.0.0.3"]);
    let targets = [
        (1, 7_001, "node-1.chil.test"),
        (9, 7_002, "node-2.a.test"),
        (5, 7_003, "node-2.b.test"),
    ];
    server.service(SERVICE, &targets);
    server
}

#[tokio::test]
async fn a_host_is_the_target_with_its_first_label_at_the_port_of_the_record() {
    let server = server();
    let lookup = SrvLookup::new(SERVICE, &[server.at], LIMIT);
    let mut found = lookup.lookup("Node-1", 9).await.unwrap();
    found.sort();
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["10.0.0.1:7001", "[fd00::1]:7001"]);
    let found = lookup.lookup("node-2.any.where", 9).await.unwrap();
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["10.0.0.3:7003", "10.0.0.2:7002"], "by priority");
}

#[tokio::test]
async fn what_has_changed_is_seen_at_once() {
    let server = server();
    let lookup = SrvLookup::new(SERVICE, &[server.at], LIMIT);
    lookup.lookup("node-1", 9).await.unwrap();
    server.host("node-1.chil.test", &["10.9.9.9"]);
    server.service(SERVICE, &[(1, 7_009, "node-1.chil.test")]);
    let found = lookup.lookup("node-1", 9).await.unwrap();
    assert_eq!(found, ["10.9.9.9:7009".parse().unwrap()]);
}

#[tokio::test]
async fn a_host_that_is_no_target_is_told_from_a_server_that_fails() {
    let server = server();
    let lookup = SrvLookup::new(SERVICE, &[server.at], LIMIT);
    let error = lookup.lookup("node-3", 9).await.unwrap_err().to_string();
    assert!(error.contains("begins with 'node-3.': add one"), "{error}");
    server.mood(Mood::Fails);
    let error = lookup.lookup("node-1", 9).await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed { .. }), "{error}");
    server.mood(Mood::Silent);
    let began = Instant::now();
    let error = lookup.lookup("node-1", 9).await.unwrap_err();
    assert!(began.elapsed() < 2 * LIMIT, "{error}");
    assert!(server.asked() > 0);
}
