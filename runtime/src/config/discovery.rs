//! How a node finds out where its peers are: the settings of the section `discovery`.
//! Knows nothing about how it is done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Raw;
use super::field::Field;
use super::settings::Check;

/// Where the addresses that peers' addresses stand for come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Literals are themselves; names are looked up where a connection is opened.
    Static {
        /// How long a look-up may take.
        timeout: Duration,
    },
    /// The same, but names are looked up again and again, and connections follow.
    Dns {
        /// How often, give or take a fifth.
        refresh: Duration,
        /// How long a look-up may take.
        timeout: Duration,
    },
    /// SRV records: a peer is the target with the same first label, at the port of the record.
    Srv {
        /// The service: `_peers._tcp.example.org`.
        service: String,
        /// Name servers; without any, those of the system.
        servers: Vec<SocketAddr>,
        /// How often, give or take a fifth.
        refresh: Duration,
        /// How long a look-up may take.
        timeout: Duration,
    },
    /// A watch on the EndpointSlices of a Kubernetes service: a peer is the pod with the same
    /// first label, at the port of the service.
    Kubernetes {
        /// The service.
        service: String,
        /// Its namespace; `None`: that of the node's own pod.
        namespace: Option<String>,
        /// Which of its ports; `None`: its only one.
        port_name: Option<String>,
        /// The API; `None`: where a pod finds it.
        api: Option<String>,
        /// The token for it; `None`: where a pod finds it.
        token_file: Option<PathBuf>,
        /// The CA of its certificate; `None`: where a pod finds it.
        ca_file: Option<PathBuf>,
        /// How long looking up the API's name may take.
        timeout: Duration,
    },
}

impl Discovery {
    /// How often names are looked up unless settings say otherwise.
    pub const REFRESH: Duration = Duration::from_secs(10);
    /// How long a look-up may take unless settings say otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// Whether it says at which port a peer is reached, so that lists need not.
    #[must_use]
    pub const fn knows_ports(&self) -> bool {
        matches!(self, Self::Srv { .. } | Self::Kubernetes { .. })
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self::Static {
            timeout: Self::TIMEOUT,
        }
    }
}

/// The names of the types, whether this program has them, and which settings belong to each.
const TYPES: [(&str, Option<&str>, &[Field]); 4] = [
    ("static", None, &[Field::DiscoveryTimeout]),
    (
        "dns",
        None,
        &[Field::DiscoveryRefresh, Field::DiscoveryTimeout],
    ),
    (
        "srv",
        feature(cfg!(feature = "dns-srv"), "dns-srv"),
        &[
            Field::DiscoveryRefresh,
            Field::DiscoveryTimeout,
            Field::SrvService,
            Field::SrvServers,
        ],
    ),
    (
        "kubernetes",
        feature(cfg!(feature = "kubernetes"), "kubernetes"),
        &[
            Field::DiscoveryTimeout,
            Field::KubernetesService,
            Field::KubernetesNamespace,
            Field::KubernetesPortName,
            Field::KubernetesApi,
            Field::KubernetesTokenFile,
            Field::KubernetesCaFile,
        ],
    ),
];

/// The feature that is missing, if it is.
const fn feature(there: bool, name: &'static str) -> Option<&'static str> {
    if there { None } else { Some(name) }
}

const REFRESH_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

impl Check<'_> {
    /// How peers are found. Settings of another type than the one that is set are refused: they
    /// would be ignored.
    pub(super) fn discovery(&mut self) -> Discovery {
        let default = "static".to_owned();
        let kind = self.optional(Field::DiscoveryType, |raw| {
            let kind = raw.text()?;
            let known = TYPES.iter().find(|(name, ..)| *name == kind);
            match known {
                Some((_, None, _)) => Ok(kind),
                Some((name, Some(feature), _)) => Err(format!(
                    "'{name}' is not built into this program: build it with the feature {feature}"
                )),
                None => Err(format!(
                    "'{kind}' is not known: write static, dns, srv or kubernetes"
                )),
            }
        });
        if kind.is_none() && self.has(Field::DiscoveryType) {
            return Discovery::default();
        }
        let kind = kind.unwrap_or(default);
        let own = TYPES.iter().find(|(name, ..)| *name == kind);
        let own = own.map_or(&[][..], |(.., fields)| fields);
        let all = TYPES
            .iter()
            .flat_map(|(name, _, fields)| fields.iter().map(move |f| (name, f)));
        let mut told = Vec::new();
        for (of, field) in all {
            if !own.contains(field) && self.has(*field) && !told.contains(field) {
                told.push(*field);
                let key = Field::DiscoveryType.key();
                let what =
                    format!("means nothing for {key} '{kind}': remove it, or set {key}: {of}");
                self.refuse(*field, what);
            }
        }
        self.discovery_of(&kind)
    }

    fn discovery_of(&mut self, kind: &str) -> Discovery {
        let timeout = self.optional(Field::DiscoveryTimeout, |raw| {
            let timeout = raw.duration()?;
            let range = TIMEOUT_MIN..=TIMEOUT_MAX;
            let refused = || format!("{} must lie between 100ms and 30s", raw.shown());
            range
                .contains(&timeout)
                .then_some(timeout)
                .ok_or_else(refused)
        });
        let timeout = timeout.unwrap_or(Discovery::TIMEOUT);
        let refresh = self.optional(Field::DiscoveryRefresh, |raw| {
            let refresh = raw.duration()?;
            let refused = || format!("{} must be 1s at least", raw.shown());
            (refresh >= REFRESH_MIN)
                .then_some(refresh)
                .ok_or_else(refused)
        });
        let refresh = refresh.unwrap_or(Discovery::REFRESH);
        match kind {
            "dns" => Discovery::Dns { refresh, timeout },
            "srv" => Discovery::Srv {
                service: self.needed(Field::SrvService, "srv"),
                servers: self
                    .optional(Field::SrvServers, servers)
                    .unwrap_or_default(),
                refresh,
                timeout,
            },
            "kubernetes" => Discovery::Kubernetes {
                service: self.needed(Field::KubernetesService, "kubernetes"),
                namespace: self.optional(Field::KubernetesNamespace, name),
                port_name: self.optional(Field::KubernetesPortName, name),
                api: self.optional(Field::KubernetesApi, api),
                token_file: self.optional(Field::KubernetesTokenFile, file),
                ca_file: self.optional(Field::KubernetesCaFile, file),
                timeout,
            },
            _ => Discovery::Static { timeout },
        }
    }

    fn needed(&mut self, field: Field, kind: &str) -> String {
        if !self.has(field) {
            let what = format!(
                "is missing: {} '{kind}' needs it",
                Field::DiscoveryType.key()
            );
            self.refuse(field, what);
        }
        self.optional(field, name).unwrap_or_default()
    }
}

/// A name of DNS, or a part of one.
fn name(raw: &Raw) -> Result<String, String> {
    let text = raw.text()?;
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() > 253 || !text.chars().all(letter) {
        return Err(format!(
            "{} is no name: letters, digits, '-', '_' and '.'",
            raw.shown()
        ));
    }
    Ok(text)
}

fn servers(raw: &Raw) -> Result<Vec<SocketAddr>, String> {
    let text = raw.text()?;
    let one = |server: &str| {
        let server = server.trim();
        server.parse().map_err(|_| {
            format!(
                "'{server}' is no address of a name server: write IP:port, for example 10.0.0.53:53"
            )
        })
    };
    text.split(',').map(one).collect()
}

fn api(raw: &Raw) -> Result<String, String> {
    let text = raw.text()?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Ok(text),
        Some(_) | None => Err(format!(
            "{} is no API: write https://host:port, without a path",
            raw.shown()
        )),
    }
}

fn file(raw: &Raw) -> Result<PathBuf, String> {
    raw.text().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::super::Layers;
    use super::*;

    fn with(settings: &[(Field, &str)]) -> Layers {
        let minimal = Layers::new()
            .set(Field::NodeId, "a")
            .set(Field::DataDir, "/data")
            .set(Field::Peers, "b=h:2,c=h:3")
            .set(Field::TlsEnabled, false)
            .set(Field::Insecure, true);
        let all = settings.iter().copied();
        all.fold(minimal, |layers, (field, value)| layers.set(field, value))
    }

    fn refused(settings: &[(Field, &str)]) -> String {
        with(settings).finish().unwrap_err().to_string()
    }

    const TYPE: Field = Field::DiscoveryType;

    #[test]
    fn without_settings_it_is_static() {
        assert_eq!(with(&[]).finish().unwrap().discovery, Discovery::default());
        let dns = with(&[(TYPE, "dns"), (Field::DiscoveryRefresh, "5s")]);
        let expected = Discovery::Dns {
            refresh: Duration::from_secs(5),
            timeout: Discovery::TIMEOUT,
        };
        assert_eq!(dns.finish().unwrap().discovery, expected);
    }

    #[test]
    fn what_cannot_be_is_refused_and_says_what_can() {
        for (settings, expected) in [
            (
                &[(TYPE, "consul")][..],
                "discovery.type set in code: 'consul' is not known: write static, dns, srv or kubernetes",
            ),
            (
                &[(TYPE, "dns"), (Field::DiscoveryRefresh, "10ms")],
                "discovery.refresh set in code: '10ms' must be 1s at least",
            ),
            (
                &[(Field::DiscoveryTimeout, "1m")],
                "'1m' must lie between 100ms and 30s",
            ),
            (
                &[(Field::DiscoveryRefresh, "10s")],
                "discovery.refresh set in code: means nothing for consensus.discovery.type 'static': remove it, or set consensus.discovery.type: dns",
            ),
            (
                &[
                    (TYPE, "dns"),
                    (Field::KubernetesService, "chil"),
                    (Field::SrvServers, "x"),
                ],
                "discovery.kubernetes.service set in code: means nothing for consensus.discovery.type 'dns'",
            ),
        ] {
            let text = refused(settings);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[cfg(not(all(feature = "dns-srv", feature = "kubernetes")))]
    #[test]
    fn what_is_not_built_in_is_said_with_its_feature() {
        #[cfg(not(feature = "dns-srv"))]
        assert!(refused(&[(TYPE, "srv")]).contains("build it with the feature dns-srv"));
        #[cfg(not(feature = "kubernetes"))]
        assert!(refused(&[(TYPE, "kubernetes")]).contains("build it with the feature kubernetes"));
    }

    #[cfg(feature = "dns-srv")]
    #[test]
    fn srv_needs_a_service_and_says_ports() {
        let settings = with(&[
            (TYPE, "srv"),
            (Field::SrvService, "_peers._tcp.example.org"),
            (Field::SrvServers, "10.0.0.53:53, [::1]:5353"),
            (Field::Peers, "b, c=h.example.org, d:7"),
            (Field::BindAddress, "127.0.0.1:7009"),
        ]);
        let settings = settings.finish().unwrap();
        let addresses: Vec<&str> = settings.peers.iter().map(|p| p.address.as_str()).collect();
        assert_eq!(addresses, ["b:7009", "h.example.org:7009", "d:7"]);
        let names: Vec<_> = settings.peers.iter().map(|p| p.name.as_deref()).collect();
        assert_eq!(names, [Some("b"), Some("c"), None]);
        assert!(matches!(settings.discovery, Discovery::Srv { servers, .. } if servers.len() == 2));
        assert!(refused(&[(TYPE, "srv")]).contains("discovery.srv.service: is missing"));
        let wrong = [
            (TYPE, "srv"),
            (Field::SrvService, "a b"),
            (Field::SrvServers, "dns.example"),
        ];
        let text = refused(&wrong);
        assert!(
            text.contains("'a b' is no name") && text.contains("write IP:port"),
            "{text}"
        );
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn kubernetes_needs_a_service_and_finds_the_rest_in_its_pod() {
        let settings = with(&[(TYPE, "kubernetes"), (Field::KubernetesService, "chil")]);
        let discovery = settings.finish().unwrap().discovery;
        let Discovery::Kubernetes {
            service,
            namespace,
            api,
            ..
        } = discovery
        else {
            panic!("{discovery:?}");
        };
        assert_eq!((service.as_str(), namespace, api), ("chil", None, None));
        assert!(refused(&[(TYPE, "kubernetes")]).contains("kubernetes.service: is missing"));
        let wrong = [
            (TYPE, "kubernetes"),
            (Field::KubernetesService, "c"),
            (Field::KubernetesApi, "host"),
        ];
        assert!(refused(&wrong).contains("write https://host:port"));
    }

    #[test]
    fn without_ports_from_discovery_a_peer_needs_one() {
        let text = refused(&[(Field::Peers, "b, c=h:3"), (TYPE, "dns")]);
        assert!(
            text.contains("consensus.peers set in code: 'b' has no port: write host:port"),
            "{text}"
        );
    }
}
