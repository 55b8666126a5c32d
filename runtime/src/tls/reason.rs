//! Why somebody's certificate or connection is not taken: a short name for metrics, a text for
//! people. Knows nothing about who asks.

use std::error::Error as _;
use std::io;

use rustls::{CertificateError, Error, PeerIncompatible};
use rustls_pki_types::UnixTime;

use super::time::date;
use crate::identity::IdentityError;

/// Why somebody is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No certificate was shown.
    #[error("it shows no certificate")]
    NoCertificate,
    /// What came first is no TLS.
    #[error(
        "it speaks no TLS: is consensus.security.tls_enabled the same on both sides, and does \
         the client have a certificate?"
    )]
    Plaintext,
    /// It speaks an old version of TLS only.
    #[error("it does not speak TLS 1.3")]
    OldTls,
    /// No authority that is trusted has issued the certificate.
    #[error(
        "no authority in this side's ca_file has issued its certificate, or an intermediate one \
         is not shown with it"
    )]
    UnknownAuthority,
    /// The certificate is too old.
    #[error("its certificate has expired{0}")]
    Expired(String),
    /// The certificate is too young.
    #[error("its certificate is not valid yet{0}: is a clock wrong?")]
    NotYetValid(String),
    /// The certificate is for another use.
    #[error(
        "its certificate is for another use: nodes need serverAuth and clientAuth, clients clientAuth"
    )]
    Purpose,
    /// Somebody shows a certificate whose key it does not have, or a chain does not hold.
    #[error(
        "a signature does not hold: it does not have the key, its chain is not what it says, or \
         ca_file has another authority of the same name"
    )]
    Signature,
    /// The chain is wrong in another way.
    #[error("its chain of certificates cannot be used: {0}")]
    Chain(String),
    /// There is no identity in it.
    #[error("its certificate has no chil:// identity: `chil cert inspect` shows what it has")]
    NoIdentity,
    /// There are several.
    #[error("its certificate has {0} chil:// identities: exactly one is needed")]
    SeveralIdentities(usize),
    /// There is one that cannot be read.
    #[error("its identity cannot be read: {0}")]
    BadIdentity(IdentityError),
    /// It is of another domain of trust.
    #[error("it is of the domain '{theirs}', and this side of '{ours}'")]
    OtherDomain {
        /// What its certificate says.
        theirs: String,
        /// What is wanted.
        ours: String,
    },
    /// Somebody else answers than was called.
    #[error("'{found}' answers where '{wanted}' was called")]
    OtherName {
        /// Who answers.
        found: String,
        /// Who was called.
        wanted: String,
    },
    /// A client answers, or calls as if it were a node.
    #[error("'{0}' is a client, and clients are never peers")]
    ClientAsPeer(String),
    /// It did not finish in time.
    #[error("it does not finish its handshake within {0:?}")]
    TooSlow(std::time::Duration),
    /// The other side has refused this one, and says why, as far as TLS has words for it.
    #[error("the other side refuses this side's certificate ({0}): its log says why")]
    RefusedByThem(String),
    /// Anything else that TLS says.
    #[error("the handshake fails: {0}")]
    Handshake(String),
}

impl Reason {
    /// Its name among metrics and in audit lines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Plaintext => "plaintext",
            Self::OldTls => "old-tls",
            Self::UnknownAuthority => "unknown-authority",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not-yet-valid",
            Self::Purpose => "purpose",
            Self::Signature => "signature",
            Self::Chain(_) => "chain",
            Self::NoIdentity => "no-identity",
            Self::SeveralIdentities(_) => "several-identities",
            Self::BadIdentity(_) => "bad-identity",
            Self::OtherDomain { .. } => "other-domain",
            Self::OtherName { .. } => "other-name",
            Self::ClientAsPeer(_) => "client-as-peer",
            Self::TooSlow(_) => "handshake-timeout",
            Self::RefusedByThem(_) => "refused-by-them",
            Self::Handshake(_) => "handshake",
        }
    }

    /// What a failed handshake, or the first read behind it, says.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(error) => Self::of_tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Handshake("it closed the connection: does it speak TLS?".to_owned())
            }
            None => Self::Handshake(error.to_string()),
        }
    }

    /// That the other side refuses this one, if that is what the text of an error says: between
    /// TLS and whoever reads it, errors become texts.
    pub(crate) fn of_alert(text: &str) -> Option<Self> {
        let (_, alert) = text.split_once("received fatal alert: ")?;
        let alert = alert.split(|c: char| !c.is_alphanumeric()).next()?;
        let known = ALERTS.iter().find(|(name, _)| *name == alert);
        let text = known.map_or(alert, |(_, text)| text);
        Some(Self::RefusedByThem(text.to_owned()))
    }

    /// What rustls says.
    pub(crate) fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            // What is no TLS is a message that cannot be read.
            Error::InvalidMessage(_) => Self::Plaintext,
            Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::OldTls,
            error => {
                let text = error.to_string();
                Self::of_alert(&text).unwrap_or(Self::Handshake(text))
            }
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired(String::new()),
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired(at(*not_after, *time))
            }
            CertificateError::NotValidYet => Self::NotYetValid(String::new()),
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid(at(*not_before, *time))
            }
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::BadSignature => Self::Signature,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<Self>() {
                Some(reason) => reason.clone(),
                None => Self::Chain(other.0.source().map_or_else(
                    || other.0.to_string(),
                    |source| format!("{}: {source}", other.0),
                )),
            },
            error => Self::Chain(error.to_string()),
        }
    }
}

fn at(limit: UnixTime, now: UnixTime) -> String {
    format!(
        " ({}; this machine's clock says {})",
        date(limit.as_secs()),
        date(now.as_secs())
    )
}

/// What alerts say about the certificate that was shown, by their names.
const ALERTS: [(&str, &str); 10] = [
    ("CertificateRequired", "it wants one, and none was shown"),
    ("UnknownCA", "its ca_file does not have the authority"),
    ("CertificateExpired", "expired, or not valid yet"),
    ("BadCertificate", "bad"),
    ("UnsupportedCertificate", "for another use"),
    ("AccessDenied", "not who it wants"),
    ("CertificateUnknown", "not who it wants"),
    ("DecryptError", "a signature does not hold"),
    ("ProtocolVersion", "it does not speak TLS 1.3"),
    ("NoApplicationProtocol", "it speaks no HTTP/2"),
];

impl From<Reason> for Error {
    /// In the words of rustls, which tells the other side.
    fn from(reason: Reason) -> Self {
        let other = rustls::OtherError(std::sync::Arc::new(reason));
        Self::InvalidCertificate(CertificateError::Other(other))
    }
}
