//! What a client shows, and whom it believes, and a connection for which that holds.
//! Knows nothing about requests.

use std::sync::Arc;

use tonic::transport::Channel;

use crate::discovery::StaticResolver;
use crate::net::accept::Proof;
use crate::net::dial::{Connector, Dialler};
use crate::net::transport::endpoint;
use crate::ports::Target;
use crate::tls::live::Live;
use crate::tls::trust::{Owner, Trusted, WallClock};
use crate::tls::{Tls, TlsError};

/// A client's certificate with its key, and the authorities that it believes, found good. Clones
/// share them. The files are looked at again whenever a connection is made, but not more often
/// than [`Tls::reload_interval`] says; what cannot be used then is logged, and changes nothing.
#[derive(Clone, Debug)]
pub struct ClientTls(pub(super) Proof);

impl ClientTls {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn load(tls: Tls) -> Result<Self, TlsError> {
        let trusted = Trusted::load(tls, Owner::Client, Arc::new(WallClock))?;
        Ok(Self(Proof {
            trusted: Arc::new(trusted),
            live: Live::default(),
            looks: true,
        }))
    }

    /// A connection to the node at `address` (`host:port`) for the generated clients in
    /// [`crate::proto`]: made when it is used first, and again after it is lost. Whoever uses it
    /// looks for the leader, tries again, and keeps to what it is told by itself, all of which
    /// [`Client`](super::Client) does.
    ///
    /// # Errors
    /// What is wrong with the address.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn channel(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        let dialler = Dialler {
            resolver: StaticResolver::default(),
            proof: Some(self.0.clone()),
            troubles: None,
        };
        connection(dialler, address)
    }
}

/// Any node of the domain may answer there: callers know addresses only.
pub(super) fn connection(
    dialler: Dialler<StaticResolver>,
    address: &str,
) -> Result<Channel, tonic::transport::Error> {
    let target = Target {
        address: address.to_owned(),
        name: None,
    };
    let connector = Connector { dialler, target };
    Ok(endpoint(address)?.connect_with_connector_lazy(connector))
}
