//! An EndpointSlice as the Kubernetes API writes it, and the few of its fields that matter here.
//! Knows nothing about how it was fetched, nor how many there are.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::discovery::first_label;

/// One EndpointSlice: some of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Its name, unique in its namespace.
    pub(super) name: String,
    /// What the API calls the state that it was in.
    pub(super) version: String,
    /// Who is reached there.
    pub(super) endpoints: Vec<Endpoint>,
}

/// One pod of the service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    /// Its host name, else its pod's name: of a StatefulSet both are the same.
    pub(super) name: String,
    /// Whether it is about to end. Those that are not ready count as well: a cluster that has to
    /// form first is not ready.
    pub(super) terminating: bool,
    /// Where it is.
    pub(super) ip: IpAddr,
    /// At which port, where the slice says it.
    pub(super) port: Option<u16>,
}

impl Endpoint {
    /// Where it is reached by those who mean `port` unless discovery knows better.
    #[must_use]
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

/// The object as it is written. Everything that is not named here is left out.
#[derive(Debug, Deserialize)]
pub(super) struct RawSlice {
    metadata: RawMeta,
    #[serde(default)]
    endpoints: Option<Vec<RawEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<RawPort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMeta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: RawConditions,
    hostname: Option<String>,
    target_ref: Option<RawTarget>,
}

#[derive(Debug, Default, Deserialize)]
struct RawConditions {
    terminating: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct RawTarget {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawPort {
    name: Option<String>,
    port: Option<u16>,
}

impl RawSlice {
    /// Which state the object is in. All that a bookmark says.
    pub(super) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The slice, with the port called `port_name`; without one, with its only port.
    pub(super) fn read(self, port_name: Option<&str>) -> Slice {
        let ports = self.ports.unwrap_or_default();
        let port = match (port_name, ports.as_slice()) {
            (None, [only]) => only.port,
            (None, _) => None,
            (Some(name), ports) => {
                let named = |port: &&RawPort| port.name.as_deref() == Some(name);
                ports.iter().find(named).and_then(|port| port.port)
            }
        };
        let endpoints = self.endpoints.unwrap_or_default();
        let endpoints = endpoints.into_iter().flat_map(|raw| endpoint(raw, port));
        Slice {
            name: self.metadata.name,
            version: self.metadata.resource_version,
            endpoints: endpoints.collect(),
        }
    }
}

fn endpoint(raw: RawEndpoint, port: Option<u16>) -> Vec<Endpoint> {
    let pod = raw.target_ref.and_then(|target| target.name);
    let named = raw.hostname.filter(|name| !name.is_empty()).or(pod);
    let Some(named) = named else {
        return Vec::new();
    };
    let terminating = raw.conditions.terminating.unwrap_or(false);
    let addresses = raw.addresses.iter();
    let each = addresses.filter_map(|address| {
        Some(Endpoint {
            name: first_label(&named),
            terminating,
            ip: address.parse().ok()?,
            port,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, port_name: Option<&str>) -> Slice {
        let raw: RawSlice = serde_json::from_str(json).unwrap();
        raw.read(port_name)
    }

    #[test]
    fn a_slice_as_the_api_writes_it() {
        let slice = read(
            r#"{"addressType":"IPv4","apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
            "metadata":{"name":"chil-x7k2p","namespace":"default","resourceVersion":"4711",
              "labels":{"kubernetes.io/service-name":"chil"}},
            "endpoints":[
              {"addresses":["10.1.0.4"],"conditions":{"ready":false,"serving":false,"terminating":false},
               "hostname":"chil-0","nodeName":"worker","targetRef":{"kind":"Pod","name":"chil-0"}},
              {"addresses":["10.1.0.5"],"conditions":{"ready":null,"terminating":true},
               "targetRef":{"kind":"Pod","name":"Chil-1"}},
              {"addresses":["10.1.0.6"]},
              {"addresses":["no address","10.1.0.7"],"hostname":"chil-2"}],
            "ports":[{"name":"peers","port":7000,"protocol":"TCP","appProtocol":null}]}"#,
            None,
        );
        assert_eq!(
            (slice.name.as_str(), slice.version.as_str()),
            ("chil-x7k2p", "4711")
        );
        let shown: Vec<String> = slice
            .endpoints
            .iter()
            .map(|endpoint| {
                let end = if endpoint.terminating { " ends" } else { "" };
                format!("{} {}{end}", endpoint.name, endpoint.at(1))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "chil-0 10.1.0.4:7000",
                "chil-1 10.1.0.5:7000 ends",
                "chil-2 10.1.0.7:7000"
            ]
        );
    }

    #[test]
    fn the_port_is_the_named_one_or_the_only_one_or_left_to_the_address() {
        let json = |ports: &str| {
            format!(
                r#"{{"metadata":{{}},"endpoints":[{{"addresses":["::1"],"hostname":"a"}}],"ports":{ports}}}"#
            )
        };
        let port = |ports: &str, name| read(&json(ports), name).endpoints[0].port;
        let (two, one) = (
            r#"[{"name":"http","port":80},{"name":"peers","port":7000}]"#,
            r#"[{"port":80}]"#,
        );
        assert_eq!(port(two, Some("peers")), Some(7000));
        assert_eq!(port(two, Some("other")), None);
        assert_eq!(port(two, None), None);
        assert_eq!(port(one, None), Some(80));
        assert_eq!(port("null", None), None);
    }

    #[test]
    fn what_a_slice_leaves_out_is_nothing() {
        for json in [
            r#"{"metadata":{"name":"a"},"endpoints":null}"#,
            r#"{"metadata":{"name":"a"}}"#,
        ] {
            assert_eq!(read(json, None).endpoints, []);
        }
        assert!(serde_json::from_str::<RawSlice>(r#"{"endpoints":[]}"#).is_err());
    }
}
