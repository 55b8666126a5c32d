//! Judges chains of certificates, in handshakes and later: by webpki first, then by identity.
//! Knows nothing about connections, nor where certificates come from.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::TlsError;
use super::files::Source;
use super::leaf;
use super::reason::Reason;
use crate::identity::{self, Identity, Kind};

/// Longer chains are nobody's: each certificate of one costs a signature.
const CHAIN_MAX: usize = 8;

/// In which role somebody shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It has called.
    ByCaller,
    /// It was called, and so has to be a node.
    ByCalled,
}

/// Who may be believed: authorities, and a domain of trust.
pub(super) struct Judge {
    roots: Arc<RootCertStore>,
    callers: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    domain: String,
}

impl Judge {
    /// One that believes these authorities, which stand in `from`.
    pub(super) fn new(
        authorities: &[CertificateDer<'static>],
        from: &Source,
        provider: Arc<CryptoProvider>,
        domain: &str,
    ) -> Result<Self, TlsError> {
        let content = |what: String| TlsError::Content {
            file: from.to_string(),
            what,
        };
        let mut roots = RootCertStore::empty();
        for (nth, authority) in authorities.iter().enumerate() {
            let added = roots.add(authority.clone());
            added.map_err(|error| {
                let nth = nth + 1;
                content(format!(
                    "the certificate number {nth} in it is no authority: {error}"
                ))
            })?;
        }
        let roots = Arc::new(roots);
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        Ok(Self {
            callers: callers
                .build()
                .map_err(|error| content(error.to_string()))?,
            roots,
            provider,
            domain: domain.to_owned(),
        })
    }

    /// Who shows this chain, of which the first certificate is its own.
    pub(super) fn judge(
        &self,
        shown: Shown,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, Reason> {
        let (leaf, others) = chain.split_first().ok_or(Reason::NoCertificate)?;
        let chain = self.chain(shown, leaf, others, now);
        chain.map_err(|error| Reason::of_tls(&error))?;
        self.identity(shown, leaf)
    }

    /// The same for a handshake: of what webpki says, TLS has words for the other side.
    fn shakes(
        &self,
        shown: Shown,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.chain(shown, leaf, others, now)?;
        self.identity(shown, leaf)?;
        Ok(())
    }

    fn chain(
        &self,
        shown: Shown,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if others.len() >= CHAIN_MAX {
            let length = others.len() + 1;
            return Err(Reason::Chain(format!("it has {length} certificates")).into());
        }
        match shown {
            Shown::ByCaller => self.callers.verify_client_cert(leaf, others, now).map(drop),
            Shown::ByCalled => {
                let leaf = ParsedCertificate::try_from(leaf)?;
                let algorithms = self.provider.signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &leaf,
                    &self.roots,
                    others,
                    now,
                    algorithms,
                )
            }
        }
    }

    fn identity(&self, shown: Shown, leaf: &CertificateDer<'_>) -> Result<Identity, Reason> {
        let identity = leaf::identity(leaf)?;
        if identity.domain() != self.domain {
            return Err(Reason::OtherDomain {
                theirs: identity.domain().to_owned(),
                ours: self.domain.clone(),
            });
        }
        if shown == Shown::ByCalled && identity.kind() != Kind::Node {
            return Err(Reason::ClientAsPeer(identity::shown(identity.name())));
        }
        Ok(identity)
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.len();
        f.debug_struct("Judge")
            .field("roots", &roots)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// TLS 1.2 is not spoken: whoever asks for it is refused before.
fn no_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig)
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Strangers need not learn whom this node believes, and nobody has to choose.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.shakes(Shown::ByCaller, end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        // A constant: whom a certificate is for is its identity, not a name in DNS.
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.shakes(Shown::ByCalled, end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
