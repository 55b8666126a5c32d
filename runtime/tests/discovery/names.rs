//! A and AAAA records by the system's own resolver, in a network namespace with a name server of
//! the test: needs root and `ip`; without them it says so and checks nothing.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use chil::Span;
use chil::SystemClock;
use chil::discovery::{Names, Pace, Resolve, SystemLookup, Tried};
use tokio::time::timeout;

use crate::name_server::{Mood, NameServer};

/// Set where the tests below run in their namespace.
const INSIDE: &str = "CHIL_TEST_INSIDE_NAMESPACE";

/// A network namespace with a resolver of its own; goes with its owner.
struct Namespace(String);

impl Namespace {
    /// `None`, with the reason, where this machine or user cannot have one.
    fn new() -> Result<Self, String> {
        let namespace = Self(format!("chil-dns-{}", std::process::id()));
        ip(&["netns", "add", &namespace.0])?;
        fs::create_dir_all(namespace.etc()).map_err(|error| error.to_string())?;
        let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        let file = namespace.etc().join("resolv.conf");
        fs::write(file, resolver).map_err(|error| error.to_string())?;
        // Not this machine's own order of sources, which may have none but its daemon.
        let order = namespace.etc().join("nsswitch.conf");
        fs::write(order, "hosts: files dns\n").map_err(|error| error.to_string())?;
        ip(&["-n", &namespace.0, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.0]);
        let _ = fs::remove_dir_all(self.etc());
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    match Command::new("ip").args(arguments).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("there is no `ip`".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the tests of this file that are ignored otherwise, in a namespace.
#[test]
fn names_are_found_by_the_system_in_a_namespace() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(reason) => {
            println!("NOT CHECKED: real name service, as there is no namespace: {reason}");
            return;
        }
    };
    let this = std::env::current_exe().unwrap();
    let tests = Command::new("ip")
        .args(["netns", "exec", &namespace.0])
        .arg(this)
        .args(["inside_a_namespace", "--ignored", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{output}");
    assert!(output.contains("3 passed"), "{output}");
    println!("{output}");
}

const NAME: &str = "node-2.chil.test:7000";

fn server() -> NameServer {
    assert!(std::env::var_os(INSIDE).is_some(), "run by the test above");
    let server = NameServer::start("127.0.0.1:53");
    assert_eq!(server.at.port(), 53, "where resolv.conf leads");
    server
}

/// As in production, but for the times.
fn names() -> Names<SystemLookup, SystemClock> {
    let pace = Pace {
        refresh: Some(Span::from_millis(300)),
        patience: 2,
        again: Span::from_millis(100),
        seed: 1,
    };
    Names::new(
        SystemLookup::new(Duration::from_millis(1_500)),
        SystemClock,
        pace,
    )
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn inside_a_namespace_addresses_of_both_families_are_found() {
    let server = server();
    server.host("node-2.chil.test", &["10.0.0.2", "10.0.0.3", "fd00::2"]);
    let mut found = names().resolve(NAME).await.unwrap();
    found.sort();
    assert_eq!(
        found,
        [
            at("10.0.0.2:7000"),
            at("10.0.0.3:7000"),
            at("[fd00::2]:7000")
        ]
    );
    let error = names().resolve("node-9.chil.test:7000").await.unwrap_err();
    assert!(error.to_string().contains("'node-9.chil.test'"), "{error}");
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn inside_a_namespace_a_name_server_that_fails_or_is_silent_changes_nothing() {
    let server = server();
    server.host("node-2.chil.test", &["10.0.0.2"]);
    let names = names();
    assert_eq!(names.resolve(NAME).await, Ok(vec![at("10.0.0.2:7000")]));
    for mood in [Mood::Fails, Mood::Silent] {
        server.mood(mood);
        let asked = server.asked();
        let began = Instant::now();
        let moved = names.moved(NAME, Some(at("10.0.0.2:7000")));
        assert!(timeout(Duration::from_secs(3), moved).await.is_err());
        assert!(server.asked() > asked, "nobody asked");
        let known = names.resolve(NAME).await;
        assert_eq!(known, Ok(vec![at("10.0.0.2:7000")]));
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "did not wait for it"
        );
    }
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn inside_a_namespace_a_changed_record_moves_a_connection() {
    let server = server();
    server.host("node-2.chil.test", &["10.0.0.2"]);
    let names = names();
    names.resolve(NAME).await.unwrap();
    names.tried(NAME, at("10.0.0.2:7000"), Tried::Connected);
    server.host("node-2.chil.test", &["10.0.0.9"]);
    let moved = names.moved(NAME, Some(at("10.0.0.2:7000")));
    timeout(Duration::from_secs(5), moved).await.expect("moved");
    assert_eq!(names.resolve(NAME).await, Ok(vec![at("10.0.0.9:7000")]));
}
