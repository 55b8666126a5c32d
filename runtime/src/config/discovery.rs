//! How a node finds out where its peers are: the settings of the section `discovery`.
//! Knows nothing about how it is done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
