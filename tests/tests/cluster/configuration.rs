//! `chil config`: what it says of files and of the environment, and the codes that it ends with.
//! Knows nothing about what the settings do to a node.

use std::path::{Path, PathBuf};
use std::process::Command;

use chil_tests::certs::Certs;
use serde_json::Value;

use crate::harness::{Outcome, chil, run};

/// A directory with a file in it.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn show(path: &Path, more: &[&str]) -> Command {
    let mut command = chil(&["config", "show", "--config"]);
    command.arg(path).args(more);
    command
}

fn check(path: &Path) -> Outcome {
    let mut command = chil(&["config", "check"]);
    command.arg(path);
    run(command)
}

#[test]
fn what_is_in_force_is_shown_with_its_origin() {
    let (dir, path) = file("consensus:\n  node_id: node-1\n  weight: 2\n");
    let named = dir.path().join("directory");
    std::fs::write(&named, "/var/lib/chil\n").unwrap();
    let mut command = show(&path, &["--origin"]);
    command
        .env("CONSENSUS_WEIGHT", "3")
        .env("CONSENSUS_DATA_DIR_FILE", &named);
    let outcome = run(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let (file, named) = (path.display(), named.display());
    for line in [
        &format!("  node_id: node-1  # in {file} line 2\n"),
        "  weight: 3  # from CONSENSUS_WEIGHT\n",
        &format!(
            "  data_dir: /var/lib/chil  # from the file {named}, named by CONSENSUS_DATA_DIR_FILE\n"
        ),
        "  bind_address: 127.0.0.1:7000  # default\n",
    ] {
        assert!(outcome.stdout.contains(line), "{line}{outcome:?}");
    }
}

#[test]
fn what_is_shown_is_a_file_that_makes_sense() {
    let (_dir, path) = file("consensus:\n  peers: [b=h:2, {address: 'h:3', weight: 2}]\n");
    let shown = run(show(&path, &["--origin"])).stdout;
    let (_dir, again) = file(&shown);
    assert_eq!(run(show(&again, &[])).stdout, run(show(&path, &[])).stdout);
}

#[test]
fn programs_are_told_the_same() {
    let (_dir, path) = file("consensus:\n  node_id: node-1\n");
    let outcome = run(show(&path, &["--json"]));
    let settings: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let of = |key: &str| {
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
    };
    assert_eq!(of("consensus.node_id")["value"], "node-1");
    assert_eq!(of("consensus.weight")["value"], "1");
    assert_eq!(of("consensus.weight")["set"], false);
    assert_eq!(of("consensus.data_dir")["value"], Value::Null);
    assert_eq!(of("consensus.data_dir")["env"], "CONSENSUS_DATA_DIR");
}

#[test]
fn a_file_is_judged_by_itself() {
    let (_dir, path) = file("consensus:\n  fault_tolerance: {heartbeat_interval: 1s}\n");
    let outcome = check(&path);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome.stdout.contains("1 settings, nothing wrong"),
        "{outcome:?}"
    );
    let left = "left to others: consensus.node_id (CONSENSUS_NODE_ID)";
    assert!(outcome.stdout.contains(left), "{outcome:?}");

    let (_dir, path) = file("consensus:\n  limits:\n    value_bytes_max: 8MiB\n  wieght: 1\n");
    let outcome = check(&path);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("line 4: unknown key; did you mean 'consensus.weight'?")
    );
    let (_dir, path) = file("consensus:\n  limits:\n    value_bytes_max: 8MiB\n");
    let outcome = check(&path);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(
        outcome.stderr.contains("node.yaml line 3: value_bytes_max"),
        "{outcome:?}"
    );
    // That this is allowed may be said elsewhere.
    let text = "consensus:\n  peers: [b=10.0.0.2:7000]\n  security: {tls_enabled: false}\n";
    let (_dir, path) = file(text);
    assert_eq!(check(&path).code, 0);
    let (_dir, path) = file(&text.replace("false}", "false, insecure: false}"));
    let outcome = check(&path);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("node.yaml line 3: is false, but the peer 10.0.0.2:7000"),
        "{outcome:?}"
    );
    let nowhere = check(Path::new("/nowhere/node.yaml"));
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
}

#[test]
fn a_key_is_shown_nowhere() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    let (_dir, path) = file("consensus:\n  node_id: node-1\n");
    for variable in [
        "CONSENSUS_TLS_KEY",
        "CONSENSUS_TLS_CERT",
        "CONSENSUS_DATA_DIR",
    ] {
        for more in [&["--origin"][..], &["--json"]] {
            let mut command = show(&path, more);
            command.env(variable, key);
            let outcome = run(command);
            assert_eq!(outcome.code, 0, "{outcome:?}");
            assert!(!outcome.stdout.contains("MC4CAQ"), "{outcome:?}");
        }
        let mut node = chil(&["node", "--config"]);
        node.arg(&path).arg("--single-node").env(variable, key);
        let outcome = run(node);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(!outcome.stderr.contains("MC4CAQ"), "{outcome:?}");
    }
}

#[test]
fn clients_find_their_nodes_in_a_file_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers");
    let status = |text: &str, also: &str| {
        std::fs::write(&path, text).unwrap();
        let mut command = chil(&["status", "--timeout", "0.2"]);
        command
            .env("CONSENSUS_PEERS_FILE", &path)
            .env("CONSENSUS_PEERS", also);
        run(command)
    };
    // Nobody listens there.
    assert_eq!(status("127.0.0.1:1\n", "").code, 3);
    let wrong = status("127.0.0.1\n", "");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let place = format!("the file {}, named by CONSENSUS_PEERS_FILE", path.display());
    assert!(wrong.stderr.contains(&place), "{wrong:?}");
    assert_eq!(status("127.0.0.1:1\n", "127.0.0.1:2").code, 2);
}

#[test]
fn a_file_may_be_judged_with_all_that_a_node_finds_on_its_machine() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::new(dir.path(), ["node-1".to_owned()]);
    let [cert, key, ca] = certs.node("node-1");
    let text = format!(
        "consensus:\n  node_id: node-1\n  peers: [node-2=10.0.0.2:7000]\n  security:\n    \
         cert_file: {cert}\n    key_file: {key}\n    ca_file: {ca}\n"
    );
    let (_dir, file) = file(&text);
    let here = |variables: &[(&str, &str)]| {
        let mut command = chil(&["config", "check", "--here"]);
        command.arg(&file).env_remove("CONSENSUS_TLS_ENABLED");
        command.envs(variables.iter().copied());
        run(command)
    };
    let data = ("CONSENSUS_DATA_DIR", "/data");
    let missing = here(&[]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(
        missing.stderr.contains("consensus.data_dir: is missing"),
        "{missing:?}"
    );
    let whole = here(&[data]);
    assert_eq!(whole.code, 0, "{whole:?}");
    for (variables, said) in [
        (
            [data, ("CONSENSUS_NODE_ID", "node-9")],
            "is the certificate of chil://local/node/node-1, but this is the node 'node-9'",
        ),
        (
            [data, ("CONSENSUS_TLS_KEY", "/nowhere/key")],
            "/nowhere/key: cannot be read",
        ),
        (
            [data, ("CONSENSUS_TLS_ENABLED", "false")],
            "is set, but consensus.security.tls_enabled is false",
        ),
    ] {
        let refused = here(&variables);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
}

#[test]
fn clients_find_their_certificates_as_nodes_do() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::new(dir.path(), ["node-1".to_owned()]);
    let ask = |variables: &[(&str, &str)]| {
        let mut command = chil(&["status", "-p", "127.0.0.1:1", "--timeout", "0.2"]);
        command.env_remove("CONSENSUS_TLS_ENABLED");
        command.envs(variables.iter().copied());
        run(command)
    };
    let [cert, key, ca] = certs.client();
    let files = [
        ("CONSENSUS_TLS_CERT_FILE", cert.as_str()),
        ("CONSENSUS_TLS_KEY_FILE", key.as_str()),
        ("CONSENSUS_TLS_CA_FILE", ca.as_str()),
    ];
    // Nobody listens there: the certificates were found.
    assert_eq!(ask(&files).code, 3);
    let without = ask(&files[..2]);
    assert_eq!(without.code, 2, "{without:?}");
    assert!(
        without.stderr.contains("--tls-ca or CONSENSUS_TLS_CA"),
        "{without:?}"
    );
    let twice = ask(&[files[0], files[1], files[2], ("CONSENSUS_TLS_CERT", &cert)]);
    assert!(
        twice.stderr.contains("says it, too: set one of the two"),
        "{twice:?}"
    );
    assert_eq!(ask(&[("CONSENSUS_TLS_ENABLED", "False")]).code, 3);
    let neither = ask(&[("CONSENSUS_TLS_ENABLED", "no")]);
    assert_eq!(neither.code, 2, "{neither:?}");
    assert!(
        neither.stderr.contains("'no' is neither true nor false"),
        "{neither:?}"
    );
}
