//! Mutual TLS 1.3: what a node and a client show, whom they believe, and that both may change
//! while they run. Knows nothing about what is said on connections, nor who may say it.

mod files;
mod inspect;
mod judge;
pub(crate) mod leaf;
pub(crate) mod live;
pub(crate) mod reason;
pub(crate) mod reload;
mod time;
pub(crate) mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Identity;

use files::{Source, Sources};
pub use inspect::{Inspected, inspect, verify};
pub use reason::Reason;
pub use reload::Reloaded;
pub(crate) use time::{date, span};
use trust::{Owner, Trusted, WallClock};

/// How often files are looked at where nothing else is set.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// A certificate with its key, the authorities that are believed, and the domain of trust.
///
/// The certificate has one identity, `chil://DOMAIN/node/NAME` for a node and
/// `chil://DOMAIN/ROLE/NAME` for a client (see [`crate::identity`]), among its alternative names.
/// The files are read again when they change: everything that connects from then on shows and
/// believes what is new, and what is open and no longer believed is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub(crate) sources: Sources,
    pub(crate) domain: String,
    pub(crate) reload_interval: Duration,
}

impl Tls {
    /// From three files in PEM: the certificate (with those between it and its authority, if
    /// there are any), its key, and the authorities.
    pub fn files(
        cert: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        ca: impl Into<PathBuf>,
    ) -> Self {
        Self::from_sources(Sources {
            cert: Source::File(cert.into()),
            key: Source::File(key.into()),
            ca: Source::File(ca.into()),
        })
    }

    /// As [`Self::files`], of paths, or of the PEM texts themselves where they begin with
    /// `-----BEGIN`.
    #[must_use]
    pub fn paths_or_pem(cert: &str, key: &str, ca: &str) -> Self {
        Self::from_sources(Sources {
            cert: Source::of(cert),
            key: Source::of(key),
            ca: Source::of(ca),
        })
    }

    fn from_sources(sources: Sources) -> Self {
        Self {
            sources,
            domain: Identity::DOMAIN_DEFAULT.to_owned(),
            reload_interval: RELOAD_INTERVAL,
        }
    }

    /// Believes identities of this domain only. Default: `local`.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    /// Reads everything and finds out whether the node of this name could start with it, here and
    /// now.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn check_for_node(&self, name: &str) -> Result<(), TlsError> {
        let owner = Owner::Node(name.to_owned());
        Trusted::load(self.clone(), owner, Arc::new(WallClock)).map(drop)
    }

    /// Looks every so often whether the files have changed. Default: ten seconds.
    #[must_use]
    pub fn reload_interval(mut self, interval: Duration) -> Self {
        self.reload_interval = interval;
        self
    }
}

/// Why certificate, key and authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Its path.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file does not contain what it should.
    #[error("{file}: {what}")]
    Content {
        /// Its path.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Others would not take it.
    #[error("{file}: nobody with these files would take it: {reason}")]
    Refused {
        /// The certificate's path.
        file: String,
        /// Why they would not.
        reason: Reason,
    },
    /// It is somebody else's.
    #[error("{file} is the certificate of {found}, but {wanted}: issue one for it")]
    Other {
        /// The certificate's path.
        file: String,
        /// Whose it is.
        found: Identity,
        /// Who needs one.
        wanted: String,
    },
    /// The key is another one's.
    #[error("the key in {key} does not belong to the certificate in {cert}")]
    Key {
        /// The key's path.
        key: String,
        /// The certificate's path.
        cert: String,
    },
}
