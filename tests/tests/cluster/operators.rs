//! What operators do to a running cluster: moving its leader, asking a stuck one why, saving its
//! state and restoring it elsewhere. Knows nothing about how any of it is done.

use std::fs;
use std::path::Path;
use std::time::Instant;

use chil::client::{Client, ClientError, ClientOptions};
use serde_json::Value;

use crate::harness::{Cluster, Node, Outcome, PATIENCE, chil, run};

fn json(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// Runs `chil <arguments> --peers <addresses>`.
fn ask(addresses: &[String], arguments: &[&str]) -> Outcome {
    let mut command = chil(arguments);
    command.args(["--peers", &addresses.join(",")]);
    run(command)
}

#[tokio::test]
async fn the_leader_moves_where_it_is_told_and_nothing_is_lost() {
    let cluster = Cluster::start(3, &[]);
    let client = cluster.client();
    let leader = cluster.leader(&client).await;
    let target = cluster.nodes[(leader + 1) % 3].name.clone();
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        for number in 0..200 {
            writer.put(format!("k{number}"), "v").await?;
        }
        Ok::<_, ClientError>(())
    });
    let move_it = || {
        ask(
            &cluster.addresses(),
            &["move-leader", "--to", &target, "--json"],
        )
    };
    let (began, mut moved) = (Instant::now(), move_it());
    // Soon after the start the leader has not heard that the other is able to lead.
    while moved.stderr.contains("cannot take over") && began.elapsed() < PATIENCE {
        moved = move_it();
    }
    assert_eq!(json(&moved)["leader"], target.as_str());
    writing.await.unwrap().expect("clients wait, and go on");
    let leader = cluster.leader(&client).await;
    assert_eq!(cluster.nodes[leader].name, target);

    let nobody = ask(&cluster.addresses(), &["move-leader", "--to", "nobody"]);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.stderr.contains("nobody"), "{nobody:?}");
}

#[tokio::test]
async fn a_cluster_without_a_quorum_says_so() {
    let mut cluster = Cluster::start(3, &["--heartbeat-interval", "50ms"]);
    let client = cluster.client();
    cluster.leader(&client).await;
    let explained = ask(&cluster.addresses(), &["explain", "--json"]);
    for answer in json(&explained).as_array().unwrap() {
        assert!(answer["findings"].is_array(), "{answer}");
    }
    for dead in [1, 2] {
        cluster.nodes[dead].kill();
    }
    let survivor = cluster.addresses()[0].clone();
    let no_leader = || {
        let explained = ask(&cluster.addresses(), &["explain", "--json"]);
        let answers = json(&explained);
        assert!(answers[1]["error"].is_string(), "{answers}");
        let findings = answers[0]["findings"].as_array().unwrap().clone();
        let named = |name: &str| findings.iter().any(|found| found["about"] == name);
        let leader = findings.iter().any(|found| found["topic"] == "leader");
        (leader && named("node-2") && named("node-3"), answers)
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (said, answers) = no_leader();
        if said {
            break;
        }
        assert!(Instant::now() < deadline, "{answers}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let text = ask(&[survivor], &["explain"]);
    assert!(text.stdout.contains("leader"), "{text:?}");
}

/// Restores `snapshot` for each of `nodes`; gives the cluster that each of them is told.
fn restore(snapshot: &Path, nodes: &[Node], token: &str) -> Vec<String> {
    let peers: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}={}", node.name, node.address))
        .collect();
    let restored = nodes.iter().map(|node| {
        let mut command = chil(&["snapshot", "restore", "--json", "--name", &node.name]);
        command.arg(snapshot).arg("--data-dir").arg(&node.dir);
        command.args(["--peers", &peers.join(","), "--token", token]);
        json(&run(command))["cluster"].as_str().unwrap().to_owned()
    });
    restored.collect()
}

fn new_nodes(root: &Path, prefix: &str) -> Vec<Node> {
    let names = (1..=3).map(|number| format!("{prefix}-{number}"));
    let mut nodes: Vec<Node> = names
        .map(|name| Node::new(&name, &root.join(&name), &[]))
        .collect();
    let peers: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}={}", node.name, node.address))
        .collect();
    for node in &mut nodes {
        node.arguments
            .extend(["--peers".to_owned(), peers.join(",")]);
    }
    nodes
}

#[tokio::test]
async fn a_saved_cluster_lives_on_as_another_one() {
    let root = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(3, &[]);
    let client = cluster.client();
    let mut last = 0;
    for number in 0..300 {
        let value = format!("value {number}");
        let committed = client.put(format!("k{number:03}"), value).await.unwrap();
        last = committed.slot.get();
    }
    // A node saves the state that it has: the one that is asked may be a little behind the others.
    let deadline = Instant::now() + PATIENCE;
    let asked = &cluster.nodes[0].address;
    while client.status_of(asked).await.unwrap().applied < last {
        assert!(Instant::now() < deadline, "{asked} does not get to {last}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let file = root.path().join("backup.chil");
    let path = file.display().to_string();
    let saved = json(&ask(
        &cluster.addresses(),
        &["snapshot", "save", &path, "--json"],
    ));
    assert!(saved["slot"].as_u64() >= Some(last), "{saved}");
    let again = ask(&cluster.addresses(), &["snapshot", "save", &path]);
    assert_eq!(
        again.code, 2,
        "it must not replace a backup unasked: {again:?}"
    );
    let files = fs::read_dir(root.path()).unwrap().count();
    assert_eq!(files, 1, "something was left beside the file");

    let inspected = json(&run(chil(&["snapshot", "inspect", &path, "--json"])));
    for field in ["slot", "bytes", "digest", "state_hash", "sessions"] {
        assert_eq!(inspected[field], saved[field], "{field}");
    }
    assert!(inspected["sessions"].as_u64() >= Some(1), "{inspected}");
    assert_eq!(inspected["members"][2]["name"], "node-3");

    // On three machines that do not talk to each other.
    let mut nodes = new_nodes(root.path(), "new");
    let clusters = restore(&file, &nodes, "drill");
    assert!(
        clusters.iter().all(|cluster| *cluster == clusters[0]),
        "{clusters:?}"
    );
    let elsewhere = restore(&file, &new_nodes(&root.path().join("b"), "new"), "drill");
    assert_eq!(
        elsewhere, clusters,
        "it depends on more than token, names and snapshot"
    );
    let other = restore(&file, &new_nodes(&root.path().join("c"), "new"), "second");
    assert_ne!(other[0], clusters[0]);

    let lines: Vec<_> = nodes.iter_mut().map(Node::spawn).collect();
    for (node, lines) in nodes.iter().zip(&lines) {
        node.ready(lines);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| node.address.clone()).collect();
    let restored = Client::connect(addresses.clone(), ClientOptions::default());
    for number in [0, 150, 299] {
        let key = format!("k{number:03}");
        let (old, new) = (
            client.get(key.clone()).await,
            restored.get(key.clone()).await,
        );
        let (old, new) = (old.unwrap().unwrap(), new.unwrap().unwrap());
        assert_eq!((old.value, old.version), (new.value, new.version), "{key}");
    }
    let committed = restored.put("k000", "changed").await.unwrap();
    assert!(committed.slot.get() > saved["slot"].as_u64().unwrap());
    let kept = client.get("k000").await.unwrap().unwrap();
    assert_eq!(kept.value, "value 0", "the old cluster is another one");

    let status = client.status_of(&cluster.nodes[0].address).await.unwrap();
    refuses_the_old_clusters_clients(addresses, &status.cluster, &clusters[0]).await;
}

/// Who knows the old cluster is not served by the new one.
async fn refuses_the_old_clusters_clients(addresses: Vec<String>, old: &[u8], new: &str) {
    let old = u128::from_be_bytes(old.try_into().unwrap());
    let options = ClientOptions {
        cluster: Some(chil::client::ClusterId::new(old)),
        ..ClientOptions::default()
    };
    let lost = Client::connect(addresses, options);
    for error in [
        lost.put("k000", "stray").await.unwrap_err(),
        lost.get("k000").await.unwrap_err(),
    ] {
        assert!(matches!(error, ClientError::OtherCluster { .. }), "{error}");
        assert!(error.to_string().contains(new), "{error}");
    }
}

#[test]
fn a_damaged_snapshot_is_neither_shown_nor_restored() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::single("solo", &root.path().join("data"));
    for number in 0..20 {
        node.put(&format!("k{number}"), &"x".repeat(10_000));
    }
    let file = root.path().join("backup.chil");
    let path = file.display().to_string();
    let saved = ask(
        std::slice::from_ref(&node.address),
        &["snapshot", "save", &path],
    );
    assert_eq!(saved.code, 0, "{saved:?}");
    let good = fs::read(&file).unwrap();
    let place = good.len() - 1_000;
    let mut rotten = good.clone();
    rotten[place] ^= 1;
    let target = root.path().join("restored");
    for bad in [rotten, good[..place].to_vec(), b"something else".to_vec()] {
        fs::write(&file, bad).unwrap();
        let inspected = run(chil(&["snapshot", "inspect", &path]));
        assert_eq!(inspected.code, 6, "{inspected:?}");
        let mut command = chil(&["snapshot", "restore", &path, "--name", "a", "--token", "t"]);
        command.args(["--peers", "a=127.0.0.1:7001", "--data-dir"]);
        let restored = run({
            command.arg(&target);
            command
        });
        assert_eq!(restored.code, 6, "{restored:?}");
        assert!(
            !target.exists(),
            "nothing may be made of a damaged snapshot"
        );
    }
    fs::write(&file, good).unwrap();
    assert_eq!(run(chil(&["snapshot", "inspect", &path])).code, 0);

    let restore = |name: &str, peers: &str, dir: &Path| {
        let mut command = chil(&["snapshot", "restore", &path, "--name", name, "--token", "t"]);
        command.args(["--peers", peers, "--data-dir"]).arg(dir);
        run(command)
    };
    for (name, peers, part) in [
        ("b", "a=127.0.0.1:7001", "'b' is not among the members"),
        ("a", "a=127.0.0.1:7001,127.0.0.1:7002", "has no name"),
        ("a", "a=127.0.0.1", "has no port"),
    ] {
        let refused = restore(name, peers, &target);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        assert!(!target.exists());
    }
    let full = restore("a", "a=127.0.0.1:7001", &node.dir);
    assert_eq!(full.code, 2, "{full:?}");
    assert!(full.stderr.contains("is not empty"), "{full:?}");
}
