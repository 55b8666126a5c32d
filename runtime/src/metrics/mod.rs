//! What a node counts, in the text format of OpenMetrics: one registry a node, none a process.
//! Knows nothing about who reads it.

mod admission;
mod discovery;
mod net;
mod node;
mod page;
mod tls;

use prometheus_client::registry::Registry;

pub(crate) use admission::AdmissionMetrics;
pub(crate) use discovery::{DiscoveryMetrics, Knowledge};
pub(crate) use net::{NetMetrics, Opened};
pub(crate) use node::NodeMetrics;
pub(crate) use page::Page;
pub(crate) use tls::TlsMetrics;

/// Everything that a node counts. Names begin with `chil_`; every one has the label `node`.
///
/// Names of clients and addresses are never labels: strangers would choose how much is kept.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// The loop and the protocol.
    pub(crate) node: NodeMetrics,
    /// Connections.
    pub(crate) net: NetMetrics,
    /// Requests of clients.
    pub(crate) admission: AdmissionMetrics,
    /// Finding out where peers are.
    pub(crate) discovery: DiscoveryMetrics,
    /// Certificates.
    pub(crate) tls: TlsMetrics,
}

impl Metrics {
    /// All at zero, for the node of this name.
    pub(crate) fn new(node: &str) -> Self {
        let label = ("node".into(), node.to_owned().into());
        let mut registry = Registry::with_prefix_and_labels("chil", [label].into_iter());
        Self {
            node: NodeMetrics::register(&mut registry),
            net: NetMetrics::register(&mut registry),
            admission: AdmissionMetrics::register(&mut registry),
            discovery: DiscoveryMetrics::register(&mut registry),
            tls: TlsMetrics::register(&mut registry),
            registry,
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes any text");
        text
    }
}

#[cfg(test)]
mod tests {
    use chil_core::output::IgnoreReason;

    use super::*;

    #[test]
    fn the_text_has_names_labels_and_values() {
        let metrics = Metrics::new("node-1");
        metrics.node.ignored(IgnoreReason::WrongCluster);
        metrics.net.refused("expired");
        metrics.net.refused("expired");
        let text = metrics.text();
        for line in [
            "chil_messages_ignored_total{node=\"node-1\",reason=\"WrongCluster\"} 1",
            "chil_connections_refused_total{node=\"node-1\",reason=\"expired\"} 2",
            "# TYPE chil_loop_lag_seconds histogram",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
