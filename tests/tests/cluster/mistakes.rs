//! Mistakes of operators: each is refused with its place and reason, and loses nothing.
//! Knows nothing about how the files look inside, beyond that some hold what was written.

use std::fs;
use std::io::BufRead;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chil_tests::process::forget_settings;

use crate::harness::{Cluster, Node, Outcome, chil, free_address, run};

/// Elections that do not slow the tests down.
const FAST: &[&str] = &["--heartbeat-interval", "50ms"];

/// Runs a node that must end by itself, and gives what it said.
fn refused(node: &Node) -> Outcome {
    let outcome = run(node.command());
    assert_ne!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    outcome
}

fn config(text: &str) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("node.yaml");
    fs::write(&file, text).unwrap();
    run(chil(&["node", "--config", &file.display().to_string()]))
}

#[test]
fn an_unknown_key_is_named_with_file_line_and_suggestion() {
    let outcome = config(
        "consensus:\n  node_id: a\n  data_dir: /nowhere\n  single_node: true\n  \
         fault_tolerance:\n    heartbeat_intervall: 1s\n",
    );
    assert_eq!(outcome.code, 2, "{outcome:?}");
    for part in [
        "consensus.fault_tolerance.heartbeat_intervall",
        "node.yaml line 6",
        "unknown key",
        "did you mean 'consensus.fault_tolerance.heartbeat_interval'?",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
}

#[test]
fn a_peer_list_that_names_the_node_twice_is_refused() {
    let outcome = config(
        "consensus:\n  node_id: a\n  bind_address: 127.0.0.1:7001\n  data_dir: /nowhere\n  \
         peers:\n    - a=127.0.0.1:7001\n    - b=127.0.0.1:7002\n    - a=127.0.0.1:7003\n",
    );
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("consensus.peers in"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("names this node ('a'"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("twice"), "{outcome:?}");
}

#[test]
fn a_node_without_a_certificate_says_how_to_get_one() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("node.yaml");
    let text = "consensus:\n  node_id: a\n  data_dir: /nowhere\n  single_node: true\n";
    fs::write(&file, text).unwrap();
    let mut command = chil(&["node", "--config", &file.display().to_string()]);
    command.env_remove("CONSENSUS_TLS_ENABLED");
    let outcome = run(command);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    for part in [
        "consensus.security.cert_file: is missing",
        "chil cert issue",
    ] {
        assert!(outcome.stderr.contains(part), "{outcome:?}");
    }
}

#[test]
fn plaintext_beyond_loopback_must_be_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new("a", &root.path().join("data"), &["--single-node"]);
    node.address = node.address.replace("127.0.0.1", "0.0.0.0");
    let outcome = refused(&node);
    assert!(outcome.stderr.contains("insecure: true"), "{outcome:?}");
    node.arguments.push("--insecure".to_owned());
    node.start();
}

/// Runs `chil node` by a shell that lowers its own limit of open files first.
fn with_few_files(limit: &str, node: &Node) -> Command {
    let mut shell = Command::new("sh");
    forget_settings(&mut shell);
    shell.env("CONSENSUS_TLS_ENABLED", "false");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
    let node = node.command();
    shell.arg(node.get_program()).args(node.get_args());
    shell
}

#[test]
fn a_flood_of_connections_leaves_files_to_the_log_or_the_node_does_not_start() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new("a", &root.path().join("data"), &["--single-node"]);
    let outcome = run(with_few_files("-n 512", &node));
    assert_eq!(outcome.code, 2, "{outcome:?}");
    for part in ["lets 1808 connections in", "it may have 512", "LimitNOFILE"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    // With fewer connections it does, and raises what it may raise by itself.
    let mut command = with_few_files("-Sn 64", &node);
    command.env("CONSENSUS_CONNECTIONS_CLIENTS", "8");
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut ready = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufReader::new(stdout)
        .read_line(&mut ready)
        .unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready.starts_with("ready a "), "{ready}");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3));
    assert_eq!(soft, Some("1816"), "{limits}");
}

/// Runs `chil cert` with these words behind it.
fn cert(dir: &Path, arguments: &[&str]) -> Outcome {
    let mut command = chil(&["cert"]);
    command.args(arguments).current_dir(dir);
    run(command)
}

/// What a client was told by the environment reaches nodes that are started there as well.
#[test]
fn another_ones_certificate_is_refused_with_where_it_is_set() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    assert_eq!(cert(dir, &["init"]).code, 0);
    assert_eq!(cert(dir, &["issue", "node", "a"]).code, 0);
    assert_eq!(
        cert(dir, &["issue", "client", "me", "--role", "admin"]).code,
        0
    );
    let text = "consensus: {node_id: a, data_dir: data, single_node: true, security: {cert_file: \
                certs/a.crt, key_file: certs/a.key, ca_file: certs/ca.crt}}";
    fs::write(dir.join("a.yaml"), text).unwrap();
    let mut command = chil(&["node", "--config", "a.yaml"]);
    command.current_dir(dir);
    command.env_remove("CONSENSUS_TLS_ENABLED");
    for (name, file) in [("CERT", "certs/me.crt"), ("KEY", "certs/me.key")] {
        command.env(format!("CONSENSUS_TLS_{name}"), file);
    }
    let outcome = run(command);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    let said = "consensus.security.cert_file from CONSENSUS_TLS_CERT: tls: certs/me.crt is the \
                certificate of chil://local/";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(!dir.join("data").exists());
}

#[test]
fn a_certificate_replaces_an_earlier_one_of_the_same_identity_only() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    assert_eq!(cert(dir, &["init"]).code, 0);
    assert_eq!(cert(dir, &["issue", "node", "a", "b"]).code, 0);
    let read = |name: &str| fs::read(dir.join("certs").join(name)).unwrap();
    let before = (read("a.crt"), read("b.key"));
    for (arguments, part) in [
        (&["issue", "node", "c", "b"][..], "b.crt is there already"),
        (
            &["issue", "client", "a", "--role", "write", "--replace"],
            "a.crt is the certificate of chil://local/node/a,",
        ),
        (
            &["issue", "node", "a", "--domain", "other", "--replace"],
            "not of",
        ),
    ] {
        let outcome = cert(dir, arguments);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stderr.contains(part), "{outcome:?}");
        assert!(
            outcome.stderr.contains("nothing was changed"),
            "{outcome:?}"
        );
    }
    assert!(!dir.join("certs/c.crt").exists(), "all or nothing");
    assert_eq!((read("a.crt"), read("b.key")), before);
    let outcome = cert(dir, &["issue", "node", "a", "d", "--replace"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_ne!(read("a.crt"), before.0);
    fs::remove_file(dir.join("certs/b.crt")).unwrap();
    let outcome = cert(dir, &["issue", "node", "b", "--replace"]);
    assert!(
        outcome.stderr.contains("b.key is there already"),
        "{outcome:?}"
    );
}

#[test]
fn an_address_that_cannot_be_bound_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::single("a", &root.path().join("data"));
    node.put("key", "value");
    node.terminate();
    let free = node.address.clone();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    node.address = taken.local_addr().unwrap().to_string();
    let outcome = refused(&node);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(&node.address), "{outcome:?}");
    assert!(outcome.stderr.contains("in use"), "{outcome:?}");

    node.address = free;
    node.start();
    assert_eq!(node.value("key").as_deref(), Some("value"));
}

#[test]
fn the_directory_of_another_node_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let mut node = Node::single("a", &dir);
    node.put("key", "value");
    node.terminate();

    let outcome = refused(&Node::new("b", &dir, &["--single-node"]));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(&dir.display().to_string()),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("belongs to node 'a'"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("'b'"), "{outcome:?}");

    node.start();
    assert_eq!(node.value("key").as_deref(), Some("value"));
}

#[test]
fn the_directory_of_another_cluster_is_refused_and_left_alone() {
    let other = tempfile::tempdir().unwrap();
    let theirs = other.path().join("data");
    let mut foreign = Node::single("node-1", &theirs);
    foreign.put("key", "theirs");
    foreign.terminate();

    let mut cluster = Cluster::start(3, FAST);
    cluster.nodes[1].put("key", "ours");
    cluster.nodes[0].terminate();
    let ours = std::mem::replace(&mut cluster.nodes[0].dir, theirs.clone());
    let outcome = refused(&cluster.nodes[0]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(&theirs.display().to_string()),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("belongs to a cluster of node-1"),
        "{outcome:?}"
    );
    assert!(!outcome.stdout.contains("ready"), "{outcome:?}");

    cluster.nodes[0].dir = ours;
    cluster.nodes[0].start();
    assert_eq!(cluster.nodes[0].value("key").as_deref(), Some("ours"));
    foreign.start();
    assert_eq!(foreign.value("key").as_deref(), Some("theirs"));
}

/// Names alone do not tell two clusters apart, for example those of staging and of production.
#[test]
fn a_directory_of_a_cluster_with_the_same_names_is_refused_and_left_alone() {
    let mut ours = Cluster::start(3, FAST);
    let mut theirs = Cluster::start(3, FAST);
    ours.nodes[1].put("key", "ours");
    theirs.nodes[1].put("key", "theirs");
    ours.nodes[0].terminate();
    theirs.nodes[0].terminate();
    let right = std::mem::replace(&mut ours.nodes[0].dir, theirs.nodes[0].dir.clone());
    let outcome = refused(&ours.nodes[0]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("the data directory belongs to cluster"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("node-2") && outcome.stderr.contains("node-3"),
        "{outcome:?}"
    );

    ours.nodes[0].dir = right;
    ours.nodes[0].start();
    theirs.nodes[0].start();
    assert_eq!(ours.nodes[0].value("key").as_deref(), Some("ours"));
    assert_eq!(theirs.nodes[0].value("key").as_deref(), Some("theirs"));
}

#[test]
fn a_second_process_on_a_directory_is_refused_and_the_first_serves_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let node = Node::single("a", &dir);
    let outcome = refused(&Node::new("a", &dir, &["--single-node"]));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(&dir.display().to_string()),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("in use by another process"),
        "{outcome:?}"
    );
    node.put("key", "value");
    assert_eq!(node.value("key").as_deref(), Some("value"));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "no directory").unwrap();
    // Whoever runs the tests may be root, for whom no permission counts: these fail for everybody.
    for dir in [file.join("data"), PathBuf::from("/proc/chil")] {
        let outcome = refused(&Node::new("a", &dir, &["--single-node"]));
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(
            outcome.stderr.contains(&dir.display().to_string()),
            "{outcome:?}"
        );
    }
    assert_eq!(fs::read(&file).unwrap(), b"no directory");
}

/// The file below `dir` that contains `needle`, and where.
fn find(dir: &Path, needle: &[u8]) -> (PathBuf, usize) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let at = bytes
            .windows(needle.len())
            .position(|window| window == needle);
        if let Some(at) = at {
            return (path, at);
        }
    }
    panic!("no file in {} holds the value", dir.display());
}

#[test]
fn a_corrupt_record_in_the_middle_is_refused_with_file_and_offset() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let mut node = Node::single("a", &dir);
    for number in 0..20 {
        node.put(&format!("key-{number}"), &format!("value-number-{number}!"));
    }
    node.kill();

    let (file, at) = find(&dir, b"value-number-7!");
    let intact = fs::read(&file).unwrap();
    let mut rotten = intact.clone();
    rotten[at] ^= 0x10;
    fs::write(&file, &rotten).unwrap();
    let outcome = refused(&node);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(&file.display().to_string()),
        "{outcome:?}"
    );
    let offset = outcome
        .stderr
        .split("at byte ")
        .nth(1)
        .expect("it names an offset");
    let digits: String = offset.chars().take_while(char::is_ascii_digit).collect();
    let offset: usize = digits.parse().unwrap();
    assert!(
        offset <= at && at - offset < 512,
        "names {offset}, the damage is at {at}"
    );
    assert_eq!(
        fs::read(&file).unwrap(),
        rotten,
        "a refused log must not be touched"
    );

    fs::write(&file, &intact).unwrap();
    node.start();
    for number in 0..20 {
        let value = node.value(&format!("key-{number}"));
        assert_eq!(value, Some(format!("value-number-{number}!")));
    }
}

#[test]
fn a_value_over_the_limit_is_refused_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new("a", &root.path().join("data"), &["--single-node"]);
    let file = root.path().join("node.yaml");
    fs::write(&file, "consensus: {limits: {value_bytes_max: 1KiB}}\n").unwrap();
    node.arguments
        .extend(["--config".to_owned(), file.display().to_string()]);
    node.start();
    node.put("small", "fits");
    let outcome = node.client(&["propose", "large", &"x".repeat(2_000)]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("1024 are allowed"), "{outcome:?}");
    assert_eq!(node.value("large"), None);
    assert_eq!(node.value("small").as_deref(), Some("fits"));
}

#[test]
fn a_lost_list_of_peers_does_not_make_a_cluster_of_one() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let outcome = refused(&Node::new("a", &dir, &[]));
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("single_node: true"), "{outcome:?}");
    assert!(!dir.exists());
    let outcome = refused(&Node::new(
        "a",
        &dir,
        &["--peers", &free_address(), "--single-node"],
    ));
    assert_eq!(outcome.code, 2, "{outcome:?}");
}
