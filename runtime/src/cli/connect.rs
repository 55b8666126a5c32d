//! How the commands reach a cluster: the addresses that they were given, and one client.
//! Knows nothing about leaders: the client library follows them.

use std::time::Duration;

use chil::client::{Client, ClientError, ClientOptions};
use chil::config::{Field, Origin, Peer};

use super::config::variable;
use super::failure::{Exit, Failure};

/// Which cluster to talk to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// Addresses of nodes (host:port, separated by commas); any of them will do. Without this the
    /// variable CONSENSUS_PEERS counts.
    #[arg(short, long, value_name = "ADDR,..")]
    peers: Option<String>,
    /// How long to try before giving up, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    timeout: f64,
}

impl Target {
    /// The addresses, at least one.
    pub(crate) fn addresses(&self) -> Result<Vec<String>, Failure> {
        const MISSING: &str = "which cluster? Name nodes with --peers host:port,host:port or set \
                               CONSENSUS_PEERS";
        let (text, origin) = match &self.peers {
            Some(text) => (text.clone(), Origin::Flag("--peers")),
            None => variable(Field::Peers)?.ok_or_else(|| Failure::usage(MISSING))?,
        };
        let mut addresses = Vec::new();
        for item in text.split(',').filter(|item| !item.trim().is_empty()) {
            let peer: Peer = item
                .parse()
                .map_err(|error| Failure::usage(format!("the peers {origin}: {error}")))?;
            if !addresses.contains(&peer.address) {
                addresses.push(peer.address);
            }
        }
        if addresses.is_empty() {
            return Err(Failure::usage(MISSING));
        }
        Ok(addresses)
    }

    /// How long to try.
    pub(crate) fn timeout(&self) -> Result<Duration, Failure> {
        Duration::try_from_secs_f64(self.timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= TIMEOUT_MAX)
            .ok_or_else(|| Failure::usage("--timeout must be a number of seconds up to 86400"))
    }

    /// A client of the cluster.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_with(ClientOptions::default())
    }

    /// A client of the cluster that behaves like this.
    pub(crate) fn client_with(&self, options: ClientOptions) -> Result<Client, Failure> {
        let options = ClientOptions {
            timeout: self.timeout()?,
            ..options
        };
        Ok(Client::connect(self.addresses()?, options))
    }
}

const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Unknown { .. } => Exit::Unknown,
            ClientError::Unavailable { .. } => Exit::Unavailable,
            ClientError::Rejected { .. } | ClientError::OtherCluster { .. } => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(peers: &str) -> Target {
        Target {
            peers: Some(peers.to_owned()),
            timeout: 1.0,
        }
    }

    #[test]
    fn names_are_left_out_and_addresses_kept_once() {
        let addresses = target("a=h:1, h:2,h:1").addresses().unwrap();
        assert_eq!(addresses, ["h:1", "h:2"]);
    }

    #[test]
    fn what_is_no_address_is_a_usage_error() {
        for bad in ["host", "", " , "] {
            assert_eq!(target(bad).addresses().unwrap_err().exit(), Exit::Usage);
        }
    }

    #[test]
    fn a_timeout_must_be_a_time() {
        for bad in [0.0, -1.0, f64::NAN, 1e9] {
            let target = Target {
                peers: None,
                timeout: bad,
            };
            assert_eq!(target.timeout().unwrap_err().exit(), Exit::Usage);
        }
    }
}
