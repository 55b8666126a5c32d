//! One look-up by SRV records: which of a service's targets a host is, where, and at which port.
//! Knows nothing about refreshing, nor what is done with the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::{Resolver, TokioResolver};

use super::{Lookup, ResolveError, first_label};

/// Finds a host among the targets of a service (`_peers._tcp.chil.example`): the one with the same
/// first label. Its port is the one of the record.
#[derive(Clone, Debug)]
pub struct SrvLookup {
    service: Arc<str>,
    servers: Arc<[SocketAddr]>,
    limit: Duration,
}

impl SrvLookup {
    /// Asks `servers`, or without any those of `/etc/resolv.conf`; gives up after `limit`.
    #[must_use]
    pub fn new(service: &str, servers: &[SocketAddr], limit: Duration) -> Self {
        Self {
            service: service.into(),
            servers: servers.into(),
            limit,
        }
    }

    /// Made anew for each look-up: so it forgets what it cached, and reads what has changed.
    fn resolver(&self) -> Result<TokioResolver, String> {
        let builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| error.to_string())?
        } else {
            let servers = self.servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.to_vec())
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = builder;
        let options = builder.options_mut();
        options.timeout = self.limit / 2;
        options.attempts = 1;
        builder.build().map_err(|error| error.to_string())
    }

    async fn ask(&self, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let failed = |reason: String| ResolveError::Failed {
            host: host.to_owned(),
            reason: format!("the SRV records of {}: {reason}", self.service),
        };
        let resolver = self.resolver().map_err(failed)?;
        let answer = resolver.srv_lookup(&*self.service).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let label = first_label(host);
        let mut targets: Vec<&SRV> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .filter(|srv| first_label(&srv.target.to_ascii()) == label)
            .collect();
        targets.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
        if targets.is_empty() {
            return Err(ResolveError::Nowhere {
                host: host.to_owned(),
                hint: format!(
                    "no SRV record of {} has a target that begins with '{label}.': add one, or \
                     correct the name",
                    self.service
                ),
            });
        }
        let (mut found, mut trouble) = (Vec::new(), None);
        for srv in targets {
            match resolver.lookup_ip(srv.target.clone()).await {
                Ok(ips) => found.extend(ips.iter().map(|ip| SocketAddr::new(ip, srv.port))),
                Err(error) => trouble = Some(failed(format!("{}: {error}", srv.target))),
            }
        }
        match trouble {
            Some(trouble) if found.is_empty() => Err(trouble),
            Some(_) | None => Ok(found),
        }
    }
}

impl Lookup for SrvLookup {
    async fn lookup(&self, host: &str, _port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let asking = tokio::time::timeout(self.limit, self.ask(host));
        asking.await.unwrap_or_else(|_| {
            Err(ResolveError::Silent {
                host: self.service.to_string(),
                limit: self.limit,
            })
        })
    }
}
