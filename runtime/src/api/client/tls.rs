//! What a client shows, and whom it believes.
//! Knows nothing about how connections are made with it.

use std::sync::Arc;

use crate::net::accept::Proof;
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
}
