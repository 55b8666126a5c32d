//! Settings of the section `discovery`: how a node finds out where its peers are.
//! Knows nothing about values.

use super::{Field, Known, known};

pub(super) const FIELDS: &[Known] = &[
    known(
        Field::DiscoveryType,
        "consensus.discovery.type",
        "CONSENSUS_DISCOVERY_TYPE",
        "static, dns, srv or kubernetes: who says where a peer's address leads; static by default",
    ),
    known(
        Field::DiscoveryRefresh,
        "consensus.discovery.refresh",
        "CONSENSUS_DISCOVERY_REFRESH",
        "how often dns and srv look a name up again, give or take a fifth; 10s for those two by default",
    ),
    known(
        Field::DiscoveryTimeout,
        "consensus.discovery.timeout",
        "CONSENSUS_DISCOVERY_TIMEOUT",
        "how long a look-up may take; what was known is kept; 2s by default",
    ),
    known(
        Field::SrvService,
        "consensus.discovery.srv.service",
        "CONSENSUS_DISCOVERY_SRV_SERVICE",
        "the service whose SRV records name the peers, for example _peers._tcp.example.org; none by default",
    ),
    known(
        Field::SrvServers,
        "consensus.discovery.srv.servers",
        "CONSENSUS_DISCOVERY_SRV_SERVERS",
        "name servers to ask for them, IP:port, separated by commas; the system's by default",
    ),
    known(
        Field::KubernetesService,
        "consensus.discovery.kubernetes.service",
        "CONSENSUS_DISCOVERY_KUBERNETES_SERVICE",
        "the headless service whose EndpointSlices say where the pods are; none by default",
    ),
    known(
        Field::KubernetesNamespace,
        "consensus.discovery.kubernetes.namespace",
        "CONSENSUS_DISCOVERY_KUBERNETES_NAMESPACE",
        "the service's namespace; the pod's own by default",
    ),
    known(
        Field::KubernetesPortName,
        "consensus.discovery.kubernetes.port_name",
        "CONSENSUS_DISCOVERY_KUBERNETES_PORT_NAME",
        "which of the service's ports is the nodes'; its only one by default",
    ),
    known(
        Field::KubernetesApi,
        "consensus.discovery.kubernetes.api",
        "CONSENSUS_DISCOVERY_KUBERNETES_API",
        "the API, for example https://10.0.0.1:6443; where a pod finds it by default",
    ),
    known(
        Field::KubernetesTokenFile,
        "consensus.discovery.kubernetes.token_file",
        "CONSENSUS_DISCOVERY_KUBERNETES_TOKEN_PATH",
        "file with the token for the API, read again for each request; the pod's own by default",
    ),
    known(
        Field::KubernetesCaFile,
        "consensus.discovery.kubernetes.ca_file",
        "CONSENSUS_DISCOVERY_KUBERNETES_CA_PATH",
        "file with the CA of the API's certificate; the pod's own by default",
    ),
];
