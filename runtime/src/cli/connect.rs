//! How the commands reach a cluster: the addresses that they were given, and one client.
//! Knows nothing about leaders: the client library follows them.

use std::path::Path;
use std::time::Duration;

use chil::Tls;
use chil::client::{Client, ClientError, ClientOptions, ClientTls};
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
    #[command(flatten)]
    tls: TlsOptions,
}

/// What the command shows to nodes, and whom it believes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TlsOptions {
    /// This client's certificate, its key and the authorities: PATH.crt, PATH.key, and ca.crt
    /// beside them. The variables CONSENSUS_TLS_CERT, CONSENSUS_TLS_KEY and CONSENSUS_TLS_CA name
    /// each, also with _FILE behind.
    #[arg(long, value_name = "PATH")]
    tls: Option<String>,
    /// The certificate's file, where it is another one.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The key's file.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The file of the authorities.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// The domain of trust; without it the variable CONSENSUS_TLS_DOMAIN counts, or else 'local'.
    #[arg(long, value_name = "DOMAIN")]
    tls_domain: Option<String>,
    /// Talk to nodes that do without TLS; the variable CONSENSUS_TLS_ENABLED=false says it, too.
    #[arg(long, conflicts_with_all = ["tls", "tls_cert", "tls_key", "tls_ca", "tls_domain"])]
    no_tls: bool,
}

impl TlsOptions {
    /// A client's TLS, read and checked; `None` where there is none.
    pub(crate) fn load(&self) -> Result<Option<ClientTls>, Failure> {
        let flags = [
            &self.tls,
            &self.tls_cert,
            &self.tls_key,
            &self.tls_ca,
            &self.tls_domain,
        ];
        let given = flags.into_iter().any(Option::is_some);
        if self.no_tls || (!given && turned_off()?) {
            return Ok(None);
        }
        let beside = |end: &str| self.tls.as_ref().map(|path| format!("{path}.{end}"));
        let ca = self.tls.as_ref().map(|path| {
            let path = Path::new(path).with_file_name("ca.crt");
            path.display().to_string()
        });
        let find = |flag: &Option<String>, beside: Option<String>, field: Field, name: &str| {
            let env = field.known().env;
            let found = match flag.clone().or(beside) {
                Some(flag) => Some(flag),
                None => variable(field)?.map(|(text, _)| text),
            };
            found.ok_or_else(|| {
                Failure::usage(format!(
                    "which certificate? Name it with --tls PATH (PATH.crt, PATH.key, and ca.crt \
                     beside them), or with {name} or {env}: `chil cert issue client` makes one; \
                     or talk to nodes without TLS by --no-tls"
                ))
            })
        };
        let cert = find(&self.tls_cert, beside("crt"), Field::TlsCert, "--tls-cert")?;
        let key = find(&self.tls_key, beside("key"), Field::TlsKey, "--tls-key")?;
        let ca = find(&self.tls_ca, ca, Field::TlsCa, "--tls-ca")?;
        let mut tls = Tls::paths_or_pem(&cert, &key, &ca);
        let domain = match &self.tls_domain {
            Some(domain) => Some(domain.clone()),
            None => variable(Field::TlsDomain)?.map(|(text, _)| text),
        };
        if let Some(domain) = domain {
            tls = tls.domain(domain);
        }
        let loaded = ClientTls::load(tls).map_err(Failure::usage)?;
        Ok(Some(loaded))
    }
}

/// Whether the environment says that nodes do without TLS.
fn turned_off() -> Result<bool, Failure> {
    let Some((text, origin)) = variable(Field::TlsEnabled)? else {
        return Ok(false);
    };
    let enabled: Result<bool, _> = text.trim().to_ascii_lowercase().parse();
    let enabled = enabled.map_err(|_| {
        let key = Field::TlsEnabled.key();
        Failure::usage(format!(
            "{key} {origin}: '{text}' is neither true nor false"
        ))
    })?;
    Ok(!enabled)
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
            tls: self.tls.load()?,
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
            tls: TlsOptions::default(),
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
                tls: TlsOptions::default(),
            };
            assert_eq!(target.timeout().unwrap_err().exit(), Exit::Usage);
        }
    }
}
