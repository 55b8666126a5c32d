//! What a process owes to whoever started it: it stops when asked, keeps its data, says the truth in
//! its exit code, and leaves nobody behind. Knows nothing about the protocol.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Node, PATIENCE, chil, free_address, run, signal, wait};

#[test]
fn a_node_stops_when_asked_and_keeps_its_data() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::single("solo", &root.path().join("data"));
    node.put("greeting", "hello");
    let asked = Instant::now();
    assert_eq!(node.terminate().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    node.start();
    assert_eq!(node.value("greeting").as_deref(), Some("hello"));
}

#[test]
fn a_node_can_be_configured_by_file_or_by_environment() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("node.yaml");
    let (first, second) = (free_address(), free_address());
    let data = root.path().join("data");
    let text = format!(
        "consensus:\n  node_id: solo\n  bind_address: {first}\n  data_dir: {}\n  single_node: true\n",
        data.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut from_file = chil(&["node", "--config", &file.display().to_string()]);
    let mut child = from_file
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let written = run(chil(&["propose", "-p", &first, "key", "value"]));
    signal(child.id(), "TERM");
    assert_eq!(
        wait(&mut child, PATIENCE).and_then(|status| status.code()),
        Some(0)
    );
    assert_eq!(written.code, 0, "{written:?}");

    let mut from_env = chil(&["node"]);
    from_env
        .env("CONSENSUS_NODE_ID", "solo")
        .env("CONSENSUS_BIND_ADDRESS", &second)
        .env("CONSENSUS_DATA_DIR", &data)
        .env("CONSENSUS_SINGLE_NODE", "true");
    let mut child = from_env
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut get = chil(&["get", "key"]);
    get.env("CONSENSUS_PEERS", &second);
    let read = run(get);
    signal(child.id(), "INT");
    assert_eq!(
        wait(&mut child, PATIENCE).and_then(|status| status.code()),
        Some(0)
    );
    assert_eq!(read.code, 0, "{read:?}");
    assert!(read.stdout.contains("value"), "{read:?}");
}

#[test]
fn commands_say_in_their_exit_code_how_they_ended() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::single("solo", &root.path().join("data"));
    assert_eq!(node.client(&["propose", "a", "1"]).code, 0);
    assert_eq!(node.client(&["get", "nothing"]).code, 1);
    assert_eq!(run(chil(&["get", "a"])).code, 2);
    assert_eq!(run(chil(&["frobnicate"])).code, 2);
    assert_eq!(run(chil(&["--help"])).code, 0);
    assert_eq!(
        node.client(&["put", "a", "2", "--if-version", "99"]).code,
        5
    );
    assert_eq!(node.client(&["put", "a", "2", "--if-value", "1"]).code, 0);
    assert_eq!(node.client(&["delete", "a", "--if-absent"]).code, 5);
    let nobody = free_address();
    for command in [
        &["get", "a"][..],
        &["propose", "a", "1"],
        &["put", "a", "1"],
        &["scan", "a"],
        &["watch"],
        &["status"],
        &["explain"],
        &["move-leader"],
    ] {
        let (name, rest) = command.split_first().unwrap();
        let mut command = chil(&[name, "-p", &nobody, "--timeout", "0.5"]);
        command.args(rest);
        let outcome = run(command);
        assert_eq!(outcome.code, 3, "{outcome:?}");
    }
}

#[test]
fn a_proposal_that_may_still_be_decided_is_reported_as_unknown() {
    // Slow heartbeats: the leader must not notice its loss before the proposal arrives.
    let mut cluster = Cluster::start(3, &["--heartbeat-interval", "500ms"]);
    let leader = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = cluster.client();
            cluster.leader(&client).await
        })
    };
    for (place, node) in cluster.nodes.iter_mut().enumerate() {
        if place != leader {
            node.kill();
        }
    }
    // The leader takes it into its log before it notices that nobody is left to accept it.
    let propose = ["propose", "maybe", "1", "--timeout", "5", "--no-sessions"];
    let outcome = cluster.nodes[leader].client(&propose);
    assert_eq!(outcome.code, 4, "{outcome:?}");
    assert!(outcome.stderr.contains("unknown"), "{outcome:?}");
    // With a session it is known: the session was never opened, so nothing was sent.
    let outcome = cluster.nodes[leader].client(&["put", "maybe", "1", "--timeout", "1"]);
    assert_eq!(outcome.code, 3, "{outcome:?}");
}

#[test]
fn a_file_is_proposed_whole_or_refused_whole() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::single("solo", &root.path().join("data"));
    let file = root.path().join("claims.jsonl");
    let path = file.display().to_string();

    let lines: Vec<String> = (0..300)
        .map(|number| format!("{{\"claim_id\":\"C-{number}\",\"verdict\":true}}"))
        .collect();
    std::fs::write(&file, format!("{}\nthis is no JSON\n", lines.join("\n"))).unwrap();
    let outcome = node.client(&["propose", "--file", &path]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("line 301: is not JSON"),
        "{outcome:?}"
    );
    assert_eq!(
        node.value("C-0"),
        None,
        "nothing may be proposed of a file with a bad line"
    );

    std::fs::write(&file, lines.join("\n")).unwrap();
    let outcome = node.client(&["propose", "--file", &path, "-o", "json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["proposals"], 300);
    assert_eq!(node.value("C-299").as_deref(), Some(lines[299].as_str()));
}

#[test]
fn status_shows_every_node_and_those_that_are_silent() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::single("solo", &root.path().join("data"));
    node.put("a", "1");
    let both = format!("{},{}", node.address, free_address());
    let outcome = run(chil(&["status", "-p", &both, "-o", "json"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let rows: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(rows[0]["name"], "solo");
    assert_eq!(rows[0]["role"], "leader");
    assert!(rows[0]["applied"].as_u64() >= Some(1), "{rows}");
    assert!(rows[1]["error"].is_string(), "{rows}");
    let table = run(chil(&["status", "-p", &both])).stdout;
    assert!(
        table.contains("STATE HASH") && table.contains("silent"),
        "{table}"
    );
}

/// Processes whose command line contains `needle`.
#[cfg(target_os = "linux")]
fn processes_with(needle: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(needle))
        .count()
}

#[test]
fn the_demo_proves_what_it_promises() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("claims.jsonl");
    let mut claims = std::fs::File::create(&file).unwrap();
    for number in 0..400 {
        writeln!(claims, "{{\"claim_id\":\"C-{number}\"}}").unwrap();
    }
    let dir = root.path().join("demo");
    let mut demo = chil(&["demo", "-o", "json", "--claims"]);
    demo.arg(&file).arg("--dir").arg(&dir);
    let outcome = run(demo);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["proposals"], 400);
    assert_eq!(report["claims_verified"], 400);
    assert_ne!(report["killed_leader"], report["new_leader"]);
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!(node["state_hash"], nodes[0]["state_hash"]);
        assert_eq!(node["applied"], nodes[0]["applied"]);
    }
    assert!(dir.join("node-1.log").exists(), "--dir keeps the files");
    #[cfg(target_os = "linux")]
    assert_eq!(processes_with(&dir.display().to_string()), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_nodes_of_a_killed_demo_do_not_outlive_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    let needle = dir.join("node-").display().to_string();
    let mut demo = chil(&["demo", "--dir", &dir.display().to_string()]);
    let mut child = demo
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while processes_with(&needle) < 3 {
        assert!(Instant::now() < deadline, "the demo started no nodes");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while processes_with(&needle) > 0 {
        assert!(
            Instant::now() < deadline,
            "nodes outlived the demo that started them"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
