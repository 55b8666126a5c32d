//! The validated settings of a node, and what they mean for the protocol's configuration.
//! Knows nothing about how the layers were read.

use std::path::PathBuf;
use std::time::Duration;

use chil_core::{Config, ConfigError, NodeId, Span};

use super::agreed::Agreed;
use super::discovery::Discovery;
use super::error::{Origin, Problem, SettingsError};
use super::field::Field;
use super::peer::{AddressError, Peer, PeerList, check_address};
use super::secret::holds_key;
use super::security::SecuritySettings;
use super::{Layers, WEIGHT_MAX};
use crate::limits::Limits;
#[cfg(feature = "grpc")]
use crate::{Node, NodeBuilder};

/// Everything that one node needs to know, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node's name.
    pub node_id: String,
    /// Where it listens.
    pub bind_address: String,
    /// Where the others reach it, if that is not where it listens.
    pub advertise_address: Option<String>,
    /// The other nodes; never this one.
    pub peers: Vec<Peer>,
    /// How much its vote counts.
    pub weight: u32,
    /// Whether it is a cluster of one.
    pub single_node: bool,
    /// Where its data lies.
    pub data_dir: PathBuf,
    /// What it shows to others, and whom it believes.
    pub security: SecuritySettings,
    /// What it says about the protocol.
    pub protocol: ProtocolSettings,
    /// What all members are to be told the same.
    pub agreed: Agreed,
    /// How much it lets in, and lets wait.
    pub limits: Limits,
    /// Where the addresses that peers' addresses stand for come from.
    pub discovery: Discovery,
    /// Where the page with the metrics is, if there is one.
    pub metrics_address: Option<String>,
}

/// What the settings change of the protocol's configuration; `None` keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolSettings {
    /// Length of a heartbeat round.
    pub heartbeat_interval: Option<Duration>,
    /// From which phi on a silent peer counts as down.
    pub suspect_threshold: Option<u32>,
    /// What is not acknowledged for so long is sent again.
    pub timeout: Option<Duration>,
    /// Further timeouts that a candidate waits for promises before it gives up its ballot.
    pub retries: Option<u32>,
    /// Largest payload of a command.
    pub value_bytes_max: Option<u64>,
    /// Most commands proposed ahead of the last decision.
    pub in_flight_entries_max: Option<u32>,
    /// Most bytes proposed ahead of the last decision.
    pub in_flight_bytes_max: Option<u64>,
    /// How much the node is wanted as leader.
    pub priority: Option<u32>,
    /// Bytes of the log that are kept behind a snapshot.
    pub log_tail_bytes: Option<u64>,
    /// Bytes of the log that a leader keeps for slow peers.
    pub log_keep_bytes_max: Option<u64>,
    /// Sessions that may be opened in a second.
    pub sessions_per_second_max: Option<u32>,
}

impl ProtocolSettings {
    /// Writes what is set into `config`.
    pub fn apply(&self, config: &mut Config) {
        if let Some(interval) = self.heartbeat_interval {
            *config = config.clone().with_heartbeat(span(interval));
        }
        if let Some(threshold) = self.suspect_threshold {
            config.phi_threshold = threshold;
        }
        if let Some(timeout) = self.timeout {
            config.resend_after = span(timeout);
        }
        if self.timeout.is_some() || self.retries.is_some() {
            // A candidate's deadline is counted in heartbeat rounds: those that its timeouts fill.
            let tries = u64::from(self.retries.unwrap_or(RETRIES_DEFAULT)) + 1;
            let wait = config.resend_after.times(tries).nanos();
            let rounds = wait.div_ceil(config.heartbeat_interval.nanos().max(1));
            config.prepare_rounds_max = u32::try_from(rounds).unwrap_or(u32::MAX);
        }
        if let Some(bytes) = self.value_bytes_max {
            config.value_bytes_max = bytes;
        }
        if let Some(entries) = self.in_flight_entries_max {
            config.in_flight_entries_max = entries.into();
        }
        if let Some(bytes) = self.in_flight_bytes_max {
            config.in_flight_bytes_max = bytes;
        }
        if let Some(priority) = self.priority {
            config.priority = priority;
        }
        if let Some(bytes) = self.log_tail_bytes {
            config.log_tail_bytes = bytes;
        }
        if let Some(bytes) = self.log_keep_bytes_max {
            config.log_keep_bytes_max = bytes;
        }
        if let Some(sessions) = self.sessions_per_second_max {
            config.registers_per_second_max = sessions;
        }
    }
}

impl Settings {
    /// What the environment alone says: for services that are configured by nothing else.
    ///
    /// # Errors
    /// Everything that is wrong or missing.
    pub fn from_env() -> Result<Self, SettingsError> {
        Layers::new().env(environment())?.finish()
    }

    /// A node with these settings, which are whole without it; what is called on it wins over
    /// them.
    #[cfg(feature = "grpc")]
    pub fn builder(&self) -> NodeBuilder {
        let protocol = self.protocol.clone();
        let builder = Node::builder(&self.node_id)
            .bind(&self.bind_address)
            .peers(self.peers.iter().cloned())
            .weight(self.weight)
            .data_dir(&self.data_dir)
            .single_node(self.single_node)
            .agreed(self.agreed)
            .limits(self.limits)
            .discovery(self.discovery.clone())
            .protocol(move |config| protocol.apply(config));
        let mut builder = self.security.apply(builder);
        if let Some(address) = &self.advertise_address {
            builder = builder.advertise(address);
        }
        if let Some(address) = &self.metrics_address {
            builder = builder.metrics_address(address);
        }
        builder
    }
}

/// The environment's variables, as far as they are text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    })
}

/// Checks every setting and how they fit together.
pub(super) fn check(layers: &Layers) -> Result<Settings, SettingsError> {
    let mut check = Check {
        layers,
        problems: Vec::new(),
    };
    check.not_available();
    let node_id = check.required(Field::NodeId, |raw| raw.text());
    let bind_address = check
        .optional(Field::BindAddress, |raw| address(&raw.text()?, true))
        .unwrap_or_else(|| BIND_ADDRESS_DEFAULT.to_owned());
    let advertise_address =
        check.optional(Field::AdvertiseAddress, |raw| address(&raw.text()?, false));
    let listed = check.optional(Field::Peers, |raw| raw.peers());
    let weight = check.optional(Field::Weight, |raw| raw.integer(0, WEIGHT_MAX));
    let single_node = check.optional(Field::SingleNode, |raw| raw.bool());
    let data_dir = check.required(Field::DataDir, |raw| raw.text());
    let protocol = check.protocol();
    let agreed = check.agreed(protocol.heartbeat_interval);
    let limits = check.limits();
    let security = check.security();
    let discovery = check.discovery();
    let metrics_address = check.optional(Field::MetricsAddress, |raw| address(&raw.text()?, true));

    let own = advertise_address.as_ref().unwrap_or(&bind_address);
    let name = node_id.as_deref().unwrap_or_default();
    let listed = listed.map(|listed| check.ports(listed, &discovery, &bind_address));
    let (peers, weight) = check.peers(listed.unwrap_or_default(), name, own, weight);
    check.size(&peers, single_node.unwrap_or(false));
    check.exposure(&bind_address, &peers);
    check.relations(name, &protocol, &limits);
    match (node_id, data_dir) {
        (Some(node_id), Some(data_dir)) if check.problems.is_empty() => Ok(Settings {
            node_id,
            bind_address,
            advertise_address,
            peers,
            weight,
            single_node: single_node.unwrap_or(false),
            data_dir: data_dir.into(),
            security,
            protocol,
            agreed,
            limits,
            discovery,
            metrics_address,
        }),
        _ => Err(SettingsError {
            problems: check.problems,
        }),
    }
}

/// The checks, and what they found.
pub(super) struct Check<'a> {
    pub(super) layers: &'a Layers,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Where a setting was set.
    fn origin(&self, field: Field) -> Origin {
        let set = self.layers.get(field);
        set.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    pub(super) fn refuse(&mut self, field: Field, what: impl Into<String>) {
        let origin = self.origin(field);
        self.problems.push(Problem {
            key: field.key().to_owned(),
            origin,
            what: what.into(),
        });
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.layers.get(field).is_some()
    }

    pub(super) fn optional<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&super::Raw) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, _) = self.layers.get(field)?;
        if let super::Raw::Text(text) = raw
            && holds_key(text)
        {
            self.refuse(field, "holds a private key, which does not belong here");
            return None;
        }
        match read(raw) {
            Ok(value) => Some(value),
            Err(what) => {
                self.refuse(field, what);
                None
            }
        }
    }

    pub(super) fn required<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&super::Raw) -> Result<T, String>,
    ) -> Option<T> {
        if self.layers.get(field).is_none() {
            let env = field.known().env;
            self.refuse(field, format!("{MISSING}: set it in the file or as {env}"));
        }
        self.optional(field, read)
    }

    /// Settings that this version knows but cannot honour are refused rather than ignored.
    fn not_available(&mut self) {
        for (field, only) in [
            (Field::ProtocolType, "multi_paxos"),
            (Field::FailureDetector, "phi_accrual"),
        ] {
            let value = self.optional(field, |raw| raw.text());
            if let Some(value) = value.filter(|value| value != only) {
                self.refuse(field, format!("'{value}' is not available: write {only}"));
            }
        }
    }

    fn protocol(&mut self) -> ProtocolSettings {
        ProtocolSettings {
            timeout: self.optional(Field::ProtocolTimeout, |raw| raw.duration()),
            retries: self.optional(Field::ProtocolRetries, |raw| raw.integer(0, 1_000)),
            suspect_threshold: self
                .optional(Field::SuspectThreshold, |raw| raw.integer(PHI_MIN, PHI_MAX)),
            heartbeat_interval: self.optional(Field::HeartbeatInterval, |raw| {
                let interval = raw.duration()?;
                if (HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&interval) {
                    Ok(interval)
                } else {
                    Err(format!("{} must lie between 1ms and 60s", raw.shown()))
                }
            }),
            value_bytes_max: self.optional(Field::ValueBytesMax, |raw| raw.bytes()),
            in_flight_entries_max: self
                .optional(Field::InFlightEntriesMax, |raw| raw.integer(1, u32::MAX)),
            in_flight_bytes_max: self.optional(Field::InFlightBytesMax, |raw| raw.bytes()),
            priority: self.optional(Field::Priority, |raw| raw.integer(0, u32::MAX)),
            log_tail_bytes: self.optional(Field::LogTailBytes, |raw| raw.bytes()),
            log_keep_bytes_max: self.optional(Field::LogKeepBytesMax, |raw| raw.bytes()),
            sessions_per_second_max: self
                .optional(Field::SessionsPerSecondMax, |raw| raw.integer(1, u32::MAX)),
        }
    }

    /// Every peer with a port. Where discovery says it, one may be written by its name alone: in
    /// what members know of each other, it gets the port that this node listens on.
    fn ports(&mut self, listed: Vec<Peer>, discovery: &Discovery, bind: &str) -> Vec<Peer> {
        let port = bind.rsplit_once(':').map_or("", |(_, port)| port);
        let mut whole = Vec::with_capacity(listed.len());
        for mut peer in listed {
            if !peer.has_port() {
                if !discovery.knows_ports() || port == "0" {
                    let what = AddressError::NoPort(peer.address).to_string();
                    self.refuse(Field::Peers, what);
                    continue;
                }
                let named = peer.name.unwrap_or_else(|| peer.address.clone());
                peer.name = Some(named);
                peer.address = format!("{}:{port}", peer.address);
            }
            whole.push(peer);
        }
        whole
    }

    /// The other nodes and this one's weight, which the list may say, too.
    fn peers(
        &mut self,
        listed: Vec<Peer>,
        name: &str,
        own: &str,
        weight: Option<u32>,
    ) -> (Vec<Peer>, u32) {
        match PeerList::split(listed, name, own) {
            Ok(list) => {
                let listed = list.own.map(|own| own.weight);
                if let (Some(here), Some(there)) = (weight, listed.filter(|w| *w != 1))
                    && here != there
                {
                    let what = format!("is {here}, but the list of peers says {there}");
                    self.refuse(Field::Weight, what);
                }
                (list.others, weight.or(listed).unwrap_or(1))
            }
            Err(error) => {
                self.refuse(Field::Peers, error.to_string());
                (Vec::new(), weight.unwrap_or(1))
            }
        }
    }

    /// A lost variable must not create a second cluster, so a cluster of one is asked for by name.
    fn size(&mut self, peers: &[Peer], single_node: bool) {
        if self
            .problems
            .iter()
            .any(|p| p.key.starts_with(Field::Peers.key()))
        {
            return;
        }
        if single_node && !peers.is_empty() {
            let what = format!(
                "is true, but {} peers are listed: remove either",
                peers.len()
            );
            self.refuse(Field::SingleNode, what);
        }
        if !single_node && peers.is_empty() {
            self.refuse(
                Field::Peers,
                "names no other node: list the others, or set consensus.single_node: true for a \
                 cluster of one",
            );
        }
    }

    /// How the settings fit together: the protocol's own checks, told in the words of the file.
    fn relations(&mut self, name: &str, protocol: &ProtocolSettings, limits: &Limits) {
        if !self.problems.is_empty() {
            return;
        }
        let Some(node) = NodeId::from_name(name) else {
            let what = format!("'{name}' cannot be the name of a node: choose another");
            return self.refuse(Field::NodeId, what);
        };
        let mut config = Config::new(node, 0, 0);
        protocol.apply(&mut config);
        let (resend, heartbeat) = (config.resend_after, config.heartbeat_interval);
        if protocol.timeout.is_some() && (resend < heartbeat || config.disk_stall_limit < resend) {
            let what = format!(
                "must lie between one heartbeat interval ({heartbeat}) and twenty ({})",
                config.disk_stall_limit
            );
            self.refuse(Field::ProtocolTimeout, what);
        } else if let Err(error) = config.check() {
            let blamed = match error {
                ConfigError::Order {
                    low: "log_tail_bytes",
                    ..
                } => [Field::LogKeepBytesMax, Field::LogTailBytes],
                _ => [Field::InFlightBytesMax, Field::ValueBytesMax],
            };
            let set = |field: &Field| self.layers.get(*field).is_some();
            let field = blamed.into_iter().find(set).unwrap_or(blamed[1]);
            let other = blamed[usize::from(field == blamed[0])];
            let what = format!("{error}; see {} ({})", other.key(), self.origin(other));
            self.refuse(field, what);
        } else {
            self.limits_fit(limits, &config);
        }
    }

    /// Whether somebody has set one of these.
    pub(super) fn is_set(&self, one: Field, other: Field) -> bool {
        [one, other]
            .into_iter()
            .any(|field| self.layers.get(field).is_some())
    }
}

/// `text` if it is an address; port 0 means "any free one" where it is bound.
fn address(text: &str, bound: bool) -> Result<String, String> {
    match check_address(text) {
        Ok(0) if !bound => Err(format!("'{text}' has port 0: nobody can be reached there")),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

const fn span(duration: Duration) -> Span {
    // At most 24 hours: `value.rs` refuses more.
    Span::from_nanos(duration.as_nanos() as u64)
}

/// What is said of a setting first that has to be set, and is not.
pub(super) const MISSING: &str = "is missing";
const BIND_ADDRESS_DEFAULT: &str = "127.0.0.1:7000";
/// The core's default of ten rounds for a candidate, in timeouts of two rounds each.
const RETRIES_DEFAULT: u32 = 4;
/// Shorter rounds than the least deviation that is assumed between heartbeats mean nothing.
pub(super) const HEARTBEAT_DEFAULT: Duration = Duration::from_millis(100);
const HEARTBEAT_MIN: Duration = Duration::from_millis(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);
const PHI_MIN: u32 = 1;
const PHI_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::super::{Raw, minimal};
    use super::*;

    fn refused(layers: Layers) -> String {
        layers.finish().unwrap_err().to_string()
    }

    fn core(settings: &Settings) -> Config {
        let mut config = Config::new(NodeId::from_name("a").unwrap(), 0, 0);
        settings.protocol.apply(&mut config);
        config
    }

    #[test]
    fn what_nobody_set_has_its_default() {
        let settings = minimal().finish().unwrap();
        assert_eq!(settings.bind_address, "127.0.0.1:7000");
        assert_eq!(settings.weight, 1);
        assert_eq!(settings.protocol, ProtocolSettings::default());
        let untouched = Config::new(NodeId::from_name("a").unwrap(), 0, 0);
        assert_eq!(format!("{:?}", core(&settings)), format!("{untouched:?}"));
        let interval = Span::from_nanos(HEARTBEAT_DEFAULT.as_nanos() as u64);
        assert_eq!(untouched.heartbeat_interval, interval);
    }

    #[test]
    fn the_default_of_retries_is_the_cores_own() {
        let settings = minimal().set(Field::ProtocolRetries, "4").finish().unwrap();
        let untouched = Config::new(NodeId::from_name("a").unwrap(), 0, 0);
        assert_eq!(
            core(&settings).prepare_rounds_max,
            untouched.prepare_rounds_max
        );
    }

    #[test]
    fn protocol_settings_act() {
        let settings = minimal()
            .set(Field::HeartbeatInterval, "1s")
            .set(Field::ProtocolTimeout, "5s")
            .set(Field::ProtocolRetries, "3")
            .set(Field::SuspectThreshold, "10")
            .set(Field::ValueBytesMax, "64KiB")
            .set(Field::InFlightBytesMax, "1MiB")
            .set(Field::InFlightEntriesMax, "100")
            .set(Field::Priority, 7)
            .set(Field::LogTailBytes, "1MiB")
            .set(Field::LogKeepBytesMax, "2MiB")
            .set(Field::SessionsPerSecondMax, 50)
            .finish()
            .unwrap();
        let config = core(&settings);
        assert_eq!(config.heartbeat_interval, Span::from_millis(1_000));
        assert_eq!(config.resend_after, Span::from_millis(5_000));
        assert_eq!(config.prepare_rounds_max, 20);
        assert_eq!(config.phi_threshold, 10);
        assert_eq!(config.value_bytes_max, 65_536);
        assert_eq!(config.in_flight_bytes_max, 1 << 20);
        assert_eq!(config.in_flight_entries_max, 100);
        assert_eq!(config.priority, 7);
        assert_eq!(
            (config.log_tail_bytes, config.log_keep_bytes_max),
            (1 << 20, 2 << 20)
        );
        assert_eq!(config.registers_per_second_max, 50);
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn what_is_missing_is_named_with_its_variable() {
        let message = refused(Layers::new());
        assert!(
            message.contains("consensus.node_id: is missing"),
            "{message}"
        );
        assert!(message.contains("CONSENSUS_DATA_DIR"), "{message}");
    }

    #[test]
    fn an_error_names_key_and_origin() {
        let env = [(
            "CONSENSUS_HEARTBEAT_INTERVAL".to_owned(),
            "often".to_owned(),
        )];
        let message = refused(minimal().env(env).unwrap());
        assert!(
            message.starts_with(
                "consensus.fault_tolerance.heartbeat_interval from \
                 CONSENSUS_HEARTBEAT_INTERVAL: 'often' is no span of time"
            ),
            "{message}"
        );
        let message = refused(minimal().flag(Field::BindAddress, "--bind-address", "nowhere"));
        assert_eq!(
            message,
            "consensus.bind_address from --bind-address: 'nowhere' has no port: write host:port"
        );
    }

    #[test]
    fn other_protocols_and_detectors_are_refused() {
        assert!(refused(minimal().set(Field::ProtocolType, "raft")).contains("write multi_paxos"));
        assert!(
            refused(minimal().set(Field::FailureDetector, "ping")).contains("write phi_accrual")
        );
        assert!(
            minimal()
                .set(Field::ProtocolType, "multi_paxos")
                .finish()
                .is_ok()
        );
    }

    #[test]
    fn a_list_that_names_this_node_twice_is_refused() {
        let message = refused(minimal().set(Field::Peers, "a=h:1,b=h:2,a=h:4"));
        assert!(message.contains("consensus.peers set in code"), "{message}");
        assert!(message.contains("twice"), "{message}");
    }

    #[test]
    fn one_list_serves_every_node() {
        let list = vec![
            Peer::at("h:1").named("a").weighing(3),
            Peer::at("h:2").named("b"),
        ];
        let settings = minimal().set(Field::Peers, list.clone()).finish().unwrap();
        assert_eq!(settings.weight, 3);
        assert_eq!(settings.peers, [Peer::at("h:2").named("b")]);
        let message = refused(minimal().set(Field::Peers, list).set(Field::Weight, 2));
        assert!(
            message.contains("is 2, but the list of peers says 3"),
            "{message}"
        );
    }

    #[test]
    fn a_cluster_of_one_is_asked_for_by_name() {
        let alone = || minimal().set(Field::Peers, Raw::Peers(Vec::new()));
        assert!(refused(alone()).contains("single_node: true"));
        assert!(alone().set(Field::SingleNode, true).finish().is_ok());
        assert!(refused(minimal().set(Field::SingleNode, true)).contains("2 peers are listed"));
    }

    #[test]
    fn limits_that_do_not_fit_together_are_refused() {
        let message = refused(minimal().set(Field::ValueBytesMax, "1GiB"));
        assert!(
            message.contains("consensus.limits.value_bytes_max"),
            "{message}"
        );
        assert!(message.contains("must not exceed"), "{message}");
        let message = refused(minimal().set(Field::LogTailBytes, "1GiB"));
        assert!(message.contains("consensus.log.tail_bytes"), "{message}");
        for bad in ["999us", "61s"] {
            let message = refused(minimal().set(Field::HeartbeatInterval, bad));
            assert!(message.contains("between 1ms and 60s"), "{message}");
        }
        let message = refused(minimal().set(Field::ProtocolTimeout, "1h"));
        assert!(message.contains("consensus.protocol.timeout"), "{message}");
        assert!(
            message.contains("between one heartbeat interval"),
            "{message}"
        );
    }
}
