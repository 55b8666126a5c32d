//! What file, environment and flags say about one node, layered and checked: [`Settings`].
//! Knows nothing about sockets or disks, and reads the environment only in [`Settings::from_env`].
//!
//! Later layers win: defaults, then the YAML file, then the environment, then flags, then what a
//! program sets in code. Every value remembers where it was set, and every complaint says it:
//!
//! ```text
//! consensus.fault_tolerance.heartbeat_interval in node.yaml line 7: '1' is no span of time: ...
//! ```
//!
//! [`fields`] lists every setting, and [`Layers::effective`] says what is in force. The file, with
//! every setting but `single_node`, which excludes peers, and `tls_enabled` and `insecure`, which
//! exclude certificates:
//!
//! ```yaml
//! consensus:
//!   node_id: node-1
//!   bind_address: 127.0.0.1:7001
//!   advertise_address: 127.0.0.1:7001
//!   data_dir: /var/lib/chil
//!   weight: 1
//!   peers:
//!     - node-2=127.0.0.1:7002
//!     - {address: "127.0.0.1:7003", name: node-3, weight: 1}
//!   protocol: {type: multi_paxos, timeout: 200ms, retries: 4}
//!   security:
//!     {cert_file: /etc/chil/node.crt, key_file: /etc/chil/node.key, ca_file: /etc/chil/ca.crt,
//!      domain: local, reload_interval: 10s}
//!   fault_tolerance: {failure_detector: phi_accrual, suspect_threshold: 8, heartbeat_interval: 100ms}
//!   limits:
//!     value_bytes_max: 1MiB
//!     in_flight_entries_max: 16384
//!     in_flight_bytes_max: 4MiB
//!     connections: {clients: 1024, per_address: 256, per_identity: 64, handshakes: 256, handshakes_per_second: 200}
//!     clients: {receiving_bytes: 64MiB}
//!     peers: {queue_frames: 4096, queue_bytes: 32MiB, inbox_bytes: 128MiB}
//!     admission: {requests_per_second: 20000, bytes_per_second: 64MiB, client_requests_per_second: 2000,
//!       client_bytes_per_second: 8MiB, burst: 1s, in_flight: 8192, in_flight_bytes: 64MiB, clients_tracked: 4096}
//!   priority: 0
//!   reads: {lease: 500ms, clock_drift_ppm: 1000}
//!   snapshots: {every_slots: 65536, every_bytes: 64MiB}
//!   log: {tail_bytes: 4MiB, keep_bytes_max: 64MiB}
//!   sessions: {max: 65536, reply_bytes_max: 256MiB, opened_per_second_max: 1000}
//!   metrics: {address: "127.0.0.1:7090"}
//!   discovery: {type: dns, refresh: 10s, timeout: 2s}
//! ```
//!
//! Two types of discovery have settings of their own in place of `refresh`; with them, a peer may
//! be listed without a port:
//!
//! ```yaml
//!   discovery: {type: kubernetes, kubernetes: {service: chil}}
//!   discovery: {type: srv, srv: {service: _peers._tcp.example.org}}
//! ```
//!
//! What must be equal on all members: `reads`, which they agree on when the cluster forms, and
//! `sessions.max` and `sessions.reply_bytes_max`, which decide who is evicted from a state that all
//! must share, for as long as the cluster lives. `snapshots` should be: a transfer to a member that
//! was away can then go on from another one.

mod agreed;
mod discovery;
mod effective;
mod error;
mod field;
#[cfg(feature = "config-file")]
mod file;
mod limits;
#[cfg(all(test, feature = "config-file"))]
mod mistakes_tests;
mod peer;
#[cfg(all(test, feature = "config-file"))]
mod reference_tests;
mod secret;
mod security;
mod settings;
mod value;
mod variables;

use std::collections::BTreeMap;
#[cfg(feature = "config-file")]
use std::path::Path;

pub use agreed::Agreed;
pub use discovery::Discovery;
pub use effective::{Effective, Value};
pub use error::{Origin, Problem, SettingsError};
pub use field::{Fallback, Field, Known, fields};
#[cfg(feature = "kubernetes")]
pub(crate) use peer::is_loopback;
pub use peer::{AddressError, Peer, PeerList, PeerListError, check_address};
pub use secret::Secret;
#[cfg(feature = "grpc")]
pub(crate) use secret::is_inline;
#[cfg(feature = "grpc")]
pub(crate) use security::exposed;
pub use security::{SecuritySettings, TlsSettings};
pub use settings::Settings;
pub use value::Raw;

/// The most that one node's vote may count.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Settings layer by layer, before they are checked.
///
/// The order of the calls does not matter: a layer that wins wins whenever it is added.
///
/// ```
/// use chil::config::{Field, Layers};
///
/// let settings = Layers::new()
///     .set(Field::NodeId, "node-1")
///     .set(Field::DataDir, "/var/lib/chil")
///     .set(Field::Peers, "node-2=127.0.0.1:7002, node-3=127.0.0.1:7003")
///     .set(Field::TlsEnabled, false)
///     .finish()?;
/// assert_eq!(settings.peers.len(), 2);
/// # Ok::<(), chil::config::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: BTreeMap<Field, (Raw, Origin)>,
}

impl Layers {
    /// Nothing but defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the YAML file at `path` says.
    ///
    /// # Errors
    /// A file that cannot be read or is no YAML, and every key that is not known.
    #[cfg(feature = "config-file")]
    pub fn file(mut self, path: &Path) -> Result<Self, SettingsError> {
        for (field, raw, origin) in file::read(path)? {
            self.put(field, raw, origin);
        }
        Ok(self)
    }

    /// Adds the `CONSENSUS_*` among `variables`. An empty variable counts as not set. For each
    /// `CONSENSUS_X` there is `CONSENSUS_X_FILE`, which names a file that holds the value alone;
    /// for settings that are themselves the name of a file, it is that name.
    ///
    /// # Errors
    /// Every `CONSENSUS_*` variable that is not known, but for those that Kubernetes sets for a
    /// service called "consensus"; both variables of one setting; a file that holds no value.
    pub fn env(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        for (field, raw, origin) in variables::read(variables)? {
            self.put(field, raw, origin);
        }
        Ok(self)
    }

    /// Adds what the flag called `name` says.
    #[must_use]
    pub fn flag(mut self, field: Field, name: &'static str, value: impl Into<Raw>) -> Self {
        self.put(field, value.into(), Origin::Flag(name));
        self
    }

    /// Sets a value in code: it wins over every other layer.
    #[must_use]
    pub fn set(mut self, field: Field, value: impl Into<Raw>) -> Self {
        self.put(field, value.into(), Origin::Builder);
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// All that is wrong, in the order of [`fields`].
    pub fn finish(self) -> Result<Settings, SettingsError> {
        settings::check(&self)
    }

    /// Checks what there is, as a part of what a node is told: what is missing may come from
    /// another layer.
    ///
    /// # Errors
    /// All that is wrong whatever the other layers say.
    pub fn check_part(&self) -> Result<(), SettingsError> {
        let mut whole = self.clone();
        whole.put(Field::NodeId, "a-node".into(), Origin::Default);
        whole.put(Field::DataDir, "/".into(), Origin::Default);
        if [Field::Peers, Field::SingleNode]
            .iter()
            .all(|field| self.get(*field).is_none())
        {
            whole.put(Field::SingleNode, true.into(), Origin::Default);
        }
        let says = |field, wanted| {
            self.get(field)
                .is_some_and(|(raw, _)| raw.bool() == Ok(wanted))
        };
        let files = [Field::TlsCert, Field::TlsKey, Field::TlsCa];
        let certified = files.iter().any(|field| self.get(*field).is_some());
        if says(Field::TlsEnabled, false) {
            if self.get(Field::Insecure).is_none() {
                whole.put(Field::Insecure, true.into(), Origin::Default);
            }
        } else if says(Field::Insecure, true) && self.get(Field::TlsEnabled).is_none() && !certified
        {
            whole.put(Field::TlsEnabled, false.into(), Origin::Default);
        } else {
            for field in files {
                whole.put(field, "/".into(), Origin::Default);
            }
        }
        let Err(mut error) = settings::check(&whole) else {
            return Ok(());
        };
        let is_left = |problem: &Problem| {
            problem.origin == Origin::Default && problem.what.starts_with(settings::MISSING)
        };
        error.problems.retain(|problem| !is_left(problem));
        if error.problems.is_empty() {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn put(&mut self, field: Field, raw: Raw, origin: Origin) {
        let raw = match raw {
            Raw::Text(text) if field.known().hides(&text) => Raw::Secret(Secret::new(text)),
            raw => raw,
        };
        let wins = self
            .values
            .get(&field)
            .is_none_or(|(_, present)| present.rank() <= origin.rank());
        if wins {
            self.values.insert(field, (raw, origin));
        }
    }

    /// What the layer that wins says of a setting, and which one that is.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&(Raw, Origin)> {
        self.values.get(&field)
    }
}

/// Enough to start a node without TLS.
#[cfg(test)]
pub(crate) fn minimal() -> Layers {
    Layers::new()
        .set(Field::NodeId, "a")
        .set(Field::DataDir, "/data")
        .set(Field::Peers, "b=h:2,c=h:3")
        .set(Field::TlsEnabled, false)
        .set(Field::Insecure, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn later_layers_win_whatever_the_order_of_the_calls() {
        let from_env = env(&[("CONSENSUS_NODE_ID", "env")]);
        let layers = Layers::new()
            .flag(Field::NodeId, "--node-id", "flag")
            .env(from_env.clone())
            .unwrap();
        let (raw, origin) = layers.get(Field::NodeId).unwrap();
        assert_eq!(
            (raw, origin),
            (&Raw::from("flag"), &Origin::Flag("--node-id"))
        );

        let layers = Layers::new()
            .env(from_env)
            .unwrap()
            .set(Field::NodeId, "code");
        assert_eq!(layers.get(Field::NodeId).unwrap().1, Origin::Builder);
    }

    #[cfg(feature = "config-file")]
    #[test]
    fn the_environment_wins_over_the_file_field_by_field() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.yaml");
        std::fs::write(&path, "consensus:\n  node_id: file\n  data_dir: /file\n").unwrap();
        let settings = Layers::new()
            .env(env(&[
                ("CONSENSUS_NODE_ID", "env"),
                ("CONSENSUS_PEERS", "127.0.0.1:1"),
                ("CONSENSUS_TLS_ENABLED", "false"),
            ]))
            .unwrap()
            .file(&path)
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(settings.node_id, "env");
        assert_eq!(settings.data_dir, Path::new("/file"));
    }

    /// The example above shows every setting that can stand beside the others.
    #[cfg(feature = "config-file")]
    #[test]
    fn the_documented_file_is_a_valid_one() {
        let lines = include_str!("mod.rs")
            .lines()
            .skip_while(|line| *line != "//! ```yaml")
            .skip(1)
            .take_while(|line| *line != "//! ```");
        let text: String = lines
            .map(|line| {
                format!(
                    "{}\n",
                    line.trim_start_matches("//!").strip_prefix(' ').unwrap()
                )
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.yaml");
        std::fs::write(&path, text).unwrap();
        let layers = Layers::new().file(&path).unwrap();
        let missing: Vec<&str> = fields()
            .filter(|known| layers.get(known.field).is_none())
            .map(|known| known.key)
            .filter(|key| !key.starts_with("consensus.discovery.srv."))
            .filter(|key| !key.starts_with("consensus.discovery.kubernetes."))
            .collect();
        let excluded = [Field::SingleNode, Field::Insecure, Field::TlsEnabled];
        assert_eq!(missing, excluded.map(Field::key));
        assert_eq!(layers.finish().unwrap().peers.len(), 2);
    }
}
