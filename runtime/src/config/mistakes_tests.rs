//! What people get wrong, and exactly what they are told: the key, the place, what to write instead.
//! A table: file, environment and flags on the left, the text on the right.

use super::*;

struct Mistake {
    file: &'static str,
    env: &'static [(&'static str, &'static str)],
    flags: &'static [(Field, &'static str, &'static str)],
    told: &'static str,
}

const fn file(file: &'static str, told: &'static str) -> Mistake {
    Mistake {
        file,
        env: &[],
        flags: &[],
        told,
    }
}

const fn env(env: &'static [(&'static str, &'static str)], told: &'static str) -> Mistake {
    Mistake {
        file: "",
        env,
        flags: &[],
        told,
    }
}

const MISTAKES: &[Mistake] = &[
    file(
        "consensus:\n  node_id: a\n  peer: [b:1]\n",
        "consensus.peer in node.yaml line 3: unknown key; did you mean 'consensus.peers'?",
    ),
    file(
        "consensus:\n  heartbeat_interval: 1s\n",
        "consensus.heartbeat_interval in node.yaml line 2: unknown key; did you mean 'consensus.fault_tolerance.heartbeat_interval'?",
    ),
    file(
        "consensus:\n  limits:\n    value_bytes: 1MiB\n",
        "consensus.limits.value_bytes in node.yaml line 3: unknown key; did you mean 'consensus.limits.value_bytes_max'?",
    ),
    file(
        "consensus:\n  securty:\n    insecure: true\n",
        "consensus.securty in node.yaml line 2: unknown key; did you mean 'consensus.security'?",
    ),
    file("colour: red\n", "colour in node.yaml line 1: unknown key"),
    file(
        "node_id: a\n",
        "node_id in node.yaml line 1: unknown key; did you mean 'consensus.node_id'?",
    ),
    file(
        "- a\n",
        "node.yaml line 1: must begin with 'consensus:' and the settings below it",
    ),
    file(
        "consensus:\n  protocol: fast\n",
        "consensus.protocol in node.yaml line 2: is a section: its settings go below it",
    ),
    file(
        "consensus:\n  weight: [1]\n",
        "consensus.weight in node.yaml line 2: must be one value, not a list or a section",
    ),
    file(
        "consensus:\n  node_id:\n",
        "consensus.node_id in node.yaml line 2: has no value: give it one or remove the line",
    ),
    file(
        "consensus:\n  weight: 1\n  weight: 2\n",
        "node.yaml line 3: 'weight' stands in this section twice: remove one of them",
    ),
    file(
        "consensus:\n  node_id: [a\n",
        "node.yaml line 2: is no YAML: unclosed bracket '['",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    heartbeat_interval: 500\n",
        "consensus.fault_tolerance.heartbeat_interval in node.yaml line 3: '500' is no span of time: write a number and its unit, for example 500ms, 2s or 1m",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    heartbeat_interval: 1.5s\n",
        "consensus.fault_tolerance.heartbeat_interval in node.yaml line 3: '1.5s' is no span of time: write a number and its unit, for example 500ms, 2s or 1m",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    heartbeat_interval: 0s\n",
        "consensus.fault_tolerance.heartbeat_interval in node.yaml line 3: '0s' must be greater than 0",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    heartbeat_interval: 2h\n",
        "consensus.fault_tolerance.heartbeat_interval in node.yaml line 3: '2h' must lie between 1ms and 60s",
    ),
    file(
        "consensus:\n  reads: {lease: 2 weeks}\n",
        "consensus.reads.lease in node.yaml line 2: '2 weeks' is no span of time: write a number and its unit, for example 500ms, 2s or 1m",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    suspect_threshold: 40\n",
        "consensus.fault_tolerance.suspect_threshold in node.yaml line 3: '40' must be a whole number from 1 to 16",
    ),
    file(
        "consensus:\n  fault_tolerance:\n    failure_detector: ping\n",
        "consensus.fault_tolerance.failure_detector in node.yaml line 3: 'ping' is not available: write phi_accrual",
    ),
    file(
        "consensus:\n  protocol: {type: raft}\n",
        "consensus.protocol.type in node.yaml line 2: 'raft' is not available: write multi_paxos",
    ),
    file(
        "consensus:\n  limits: {value_bytes_max: 12 furlongs}\n",
        "consensus.limits.value_bytes_max in node.yaml line 2: '12 furlongs' is no size: write bytes, or a number and its unit, for example 64KiB or 1MiB",
    ),
    file(
        "consensus:\n  single_node: yes please\n",
        "consensus.single_node in node.yaml line 2: 'yes please' is neither true nor false",
    ),
    file(
        "consensus:\n  node_id: 1.10\n",
        "consensus.node_id in node.yaml line 2: '1.1' must stand in quotes to be text",
    ),
    file(
        "consensus:\n  peers:\n    - b:1\n    - {adress: \"c:1\"}\n",
        "consensus.peers[1] in node.yaml line 4: unknown key 'consensus.peers[1].adress' in line 4; did you mean 'address'?",
    ),
    file(
        "consensus:\n  peers: []\n",
        "consensus.peers in node.yaml line 2: names no other node: list the others, or set consensus.single_node: true for a cluster of one",
    ),
    file(
        "consensus:\n  peers: [b=h:1, b=h:2]\n",
        "consensus.peers in node.yaml line 2: the list names 'b' twice: each node may stand in it once",
    ),
    file(
        "consensus:\n  bind_address: 0.0.0.0\n",
        "consensus.bind_address in node.yaml line 2: '0.0.0.0' has no port: write host:port",
    ),
    file(
        "consensus:\n  advertise_address: h:0\n",
        "consensus.advertise_address in node.yaml line 2: 'h:0' has port 0: nobody can be reached there",
    ),
    file(
        "consensus:\n  limits: {value_bytes_max: 1GiB, in_flight_bytes_max: 4MiB}\n",
        "consensus.limits.in_flight_bytes_max in node.yaml line 2: value_bytes_max + overhead (1073741952) must not exceed in_flight_bytes_max (4194304); see consensus.limits.value_bytes_max (in node.yaml line 2)",
    ),
    file(
        "consensus:\n  limits:\n    value_bytes_max: 8MiB\n",
        "consensus.limits.value_bytes_max in node.yaml line 3: value_bytes_max + overhead (8388736) must not exceed in_flight_bytes_max (4194304); see consensus.limits.in_flight_bytes_max (default)",
    ),
    file(
        "consensus:\n  log:\n    tail_bytes: 1GiB\n",
        "consensus.log.tail_bytes in node.yaml line 3: log_tail_bytes (1073741824) must not exceed log_keep_bytes_max (67108864); see consensus.log.keep_bytes_max (default)",
    ),
    file(
        "consensus:\n  protocol: {timeout: 10ms}\n",
        "consensus.protocol.timeout in node.yaml line 2: must lie between one heartbeat interval (100.000ms) and twenty (2000.000ms)",
    ),
    file(
        "consensus:\n  reads: {lease: 150ms}\n",
        "consensus.reads.lease in node.yaml line 2: '150ms' must not be less than two heartbeat intervals (200ms): it is renewed once in each",
    ),
    file(
        "consensus:\n  reads: {clock_drift_ppm: 5}\n",
        "consensus.reads.clock_drift_ppm in node.yaml line 2: means nothing without consensus.reads.lease",
    ),
    file(
        "consensus:\n  single_node: true\n",
        "consensus.single_node in node.yaml line 2: is true, but 2 peers are listed: remove either",
    ),
    file(
        "consensus:\n  nodeid: a\n  weigth: 1\n",
        "consensus.nodeid in node.yaml line 2: unknown key; did you mean 'consensus.node_id'?\nconsensus.weigth in node.yaml line 3: unknown key; did you mean 'consensus.weight'?",
    ),
    env(
        &[("CONSENSUS_PEER", "b:1")],
        "CONSENSUS_PEER: unknown variable; did you mean CONSENSUS_PEERS?",
    ),
    env(
        &[("CONSENSUS_HEARTBEAT", "1s")],
        "CONSENSUS_HEARTBEAT: unknown variable; did you mean CONSENSUS_HEARTBEAT_INTERVAL?",
    ),
    env(
        &[("CONSENSUS_HEARTBEAT_INTERVAL", "often")],
        "consensus.fault_tolerance.heartbeat_interval from CONSENSUS_HEARTBEAT_INTERVAL: 'often' is no span of time: write a number and its unit, for example 500ms, 2s or 1m",
    ),
    env(
        &[("CONSENSUS_HEARTBEAT_INTERVAL_FILE", "/nowhere/interval")],
        "consensus.fault_tolerance.heartbeat_interval from the file /nowhere/interval, named by CONSENSUS_HEARTBEAT_INTERVAL_FILE: cannot read it: No such file or directory (os error 2)",
    ),
    env(
        &[
            ("CONSENSUS_WEIGHT", "2"),
            ("CONSENSUS_WEIGHT_FILE", "/run/weight"),
        ],
        "consensus.weight from CONSENSUS_WEIGHT_FILE: CONSENSUS_WEIGHT says it, too: set one of the two",
    ),
    env(
        &[("CONSENSUS_WEIGTH_FILE", "/run/weight")],
        "CONSENSUS_WEIGTH_FILE: unknown variable; did you mean CONSENSUS_WEIGHT_FILE?",
    ),
    env(
        &[("CONSENSUS_PEERS", "b,c=127.0.0.1:1")],
        "consensus.peers from CONSENSUS_PEERS: 'b' has no port: write host:port",
    ),
    env(
        &[
            ("CONSENSUS_VALUE_BYTES_MAX", "1GiB"),
            ("CONSENSUS_IN_FLIGHT_BYTES_MAX", "2MiB"),
        ],
        "consensus.limits.in_flight_bytes_max from CONSENSUS_IN_FLIGHT_BYTES_MAX: value_bytes_max + overhead (1073741952) must not exceed in_flight_bytes_max (2097152); see consensus.limits.value_bytes_max (from CONSENSUS_VALUE_BYTES_MAX)",
    ),
    Mistake {
        file: "",
        env: &[],
        flags: &[(Field::BindAddress, "--bind-address", "nowhere")],
        told: "consensus.bind_address from --bind-address: 'nowhere' has no port: write host:port",
    },
    Mistake {
        file: "consensus:\n  limits:\n    in_flight_bytes_max: 2MiB\n",
        env: &[("CONSENSUS_VALUE_BYTES_MAX", "4MiB")],
        flags: &[],
        told: "consensus.limits.in_flight_bytes_max in node.yaml line 3: value_bytes_max + overhead (4194432) must not exceed in_flight_bytes_max (2097152); see consensus.limits.value_bytes_max (from CONSENSUS_VALUE_BYTES_MAX)",
    },
];

/// What a node is told that makes each of these mistakes, and no other.
fn told(mistake: &Mistake) -> Result<Settings, SettingsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    std::fs::write(&path, mistake.file).unwrap();
    let rest = [
        ("CONSENSUS_NODE_ID", "a"),
        ("CONSENSUS_DATA_DIR", "/data"),
        ("CONSENSUS_PEERS", "b=127.0.0.1:2,c=127.0.0.1:3"),
        ("CONSENSUS_TLS_ENABLED", "false"),
    ];
    // What the mistake is about does not come from elsewhere.
    let is_said = |name: &str| {
        let known = fields().find(|known| known.env == name).unwrap();
        let word = known.key.rsplit('.').next().unwrap();
        let file = format!("{}_FILE", name);
        mistake.file.contains(&format!("{word}:"))
            || mistake.env.iter().any(|(n, _)| *n == name || *n == file)
    };
    let rest = rest.iter().filter(|(name, _)| !is_said(name));
    let variables = rest
        .chain(mistake.env)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut layers = Layers::new().file(&path)?.env(variables)?;
    for (field, flag, value) in mistake.flags {
        layers = layers.flag(*field, flag, *value);
    }
    layers.finish()
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut differ = String::new();
    for mistake in MISTAKES {
        let error = told(mistake).expect_err(mistake.file).to_string();
        // The directory is another one each time.
        let words = error.split_inclusive([' ', '\n']);
        let words = words.map(|word| word.find("/node.yaml").map_or(word, |at| &word[at + 1..]));
        let text: String = words.collect();
        if text != mistake.told {
            let (file, env) = (mistake.file, mistake.env);
            differ.push_str(&format!(
                "{file}{env:?}\n is told\n{text}\n not\n{}\n\n",
                mistake.told
            ));
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

/// The file that the design of this program began with.
#[test]
fn the_first_file_of_all_is_accepted() {
    let text = "\
consensus:
  node_id: node-1
  bind_address: 0.0.0.0:7000
  data_dir: /var/lib/chil
  peers: [{address: node-2.cluster.local:7000, weight: 1}, {address: node-3.cluster.local:7000}]
  protocol: {type: multi_paxos, timeout: 5s, retries: 3}
  security: {tls_enabled: true, cert_file: /certs/node.crt, key_file: /certs/node.key, ca_file: /certs/ca.crt}
  fault_tolerance: {failure_detector: phi_accrual, suspect_threshold: 8, heartbeat_interval: 1s}
";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    std::fs::write(&path, text).unwrap();
    let settings = Layers::new().file(&path).unwrap().finish().unwrap();
    assert_eq!(settings.peers.len(), 2);
    let tls = settings.security.tls.unwrap();
    let files = [tls.cert.as_str(), &tls.key, &tls.ca];
    assert_eq!(
        files,
        ["/certs/node.crt", "/certs/node.key", "/certs/ca.crt"]
    );
    assert_eq!(settings.protocol.retries, Some(3));
}

#[test]
fn a_part_is_judged_for_what_it_says() {
    let part = Layers::new().set(Field::HeartbeatInterval, "1s");
    assert_eq!(part.check_part(), Ok(()));
    let wrong = part
        .clone()
        .set(Field::ReadLease, "100ms")
        .check_part()
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .starts_with("consensus.reads.lease set in code: '100ms' must")
    );
    // What does not fit together is found although other settings are missing.
    let wrong = part
        .set(Field::ValueBytesMax, "1GiB")
        .check_part()
        .unwrap_err();
    assert!(wrong.to_string().contains("must not exceed"), "{wrong}");
    // What bounds all bounds each: whoever sets the one need not know the other.
    let fewer = Layers::new().set(Field::ConnectionsClients, 10);
    assert_eq!(fewer.check_part(), Ok(()));
    let lists = Layers::new().set(Field::Peers, "b=h:2,c=h:3");
    assert_eq!(lists.check_part(), Ok(()));
    // What it allows may be what another layer asks for.
    let allows = lists.set(Field::Insecure, true);
    assert_eq!(allows.check_part(), Ok(()));
    let contradicts = allows.set(Field::TlsCert, "/a.crt").check_part();
    let wrong = contradicts.unwrap_err().to_string();
    assert!(wrong.contains("is true, but TLS is on"), "{wrong}");
}
