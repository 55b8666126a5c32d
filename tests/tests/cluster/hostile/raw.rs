//! Connections that obey nobody: bytes over TCP, or over TLS with any certificate.
//! Knows nothing about what the bytes say.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::h2;

/// How long somebody hostile tries to send what is not taken.
const STUBBORN: Duration = Duration::from_secs(1);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection.
pub(super) struct Raw(Box<dyn Io>);

/// What somebody shows of itself. Whom it calls, it believes.
#[derive(Clone)]
pub(super) struct Shown(Arc<ClientConfig>);

impl Shown {
    /// A certificate with its key, of files.
    pub(super) fn new([cert, key, _]: &[String; 3]) -> Self {
        let chain = CertificateDer::pem_file_iter(cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let mut config = gullible()
            .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }

    /// Nothing.
    pub(super) fn nothing() -> Self {
        let mut config = gullible().with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }
}

impl Raw {
    pub(super) async fn tcp(at: &str) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Box::new(stream))
    }

    pub(super) async fn tls(at: &str, shown: &Shown) -> io::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("chil").unwrap();
        let connector = TlsConnector::from(Arc::clone(&shown.0));
        Ok(Self(Box::new(connector.connect(name, stream).await?)))
    }

    /// One on which HTTP/2 has begun, as a client begins it.
    pub(super) async fn h2(at: &str, shown: &Shown, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::tls(at, shown).await.unwrap();
        let begin = [h2::PREFACE, &h2::settings(settings)].concat();
        raw.send(&begin).await.unwrap();
        raw.send(&h2::frame(h2::SETTINGS, h2::ACK, 0, &[]))
            .await
            .unwrap();
        raw
    }

    /// Sends all of it, unless the other side does not take it for a while.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        let sent = timeout(STUBBORN, sending).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends these again and again, and reads nothing, until they are not taken any more.
    pub(super) async fn send_many(&mut self, parts: impl IntoIterator<Item = Vec<u8>>) {
        const AT_ONCE: usize = 64 << 10;
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(part);
            if bytes.len() >= AT_ONCE {
                if self.send(&bytes).await.is_err() {
                    return;
                }
                bytes.clear();
            }
        }
        // Closed meanwhile: that is what it may come to.
        self.send(&bytes).await.ok();
    }

    /// Sends a byte now and then, until the other side has enough of it.
    pub(super) async fn send_slowly(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            if self.send(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads to the end. True if the other side has closed it within that time.
    pub(super) async fn is_closed_within(&mut self, limit: Duration) -> bool {
        let reading = async {
            let mut buffer = vec![0; 64 << 10];
            while !matches!(self.0.read(&mut buffer).await, Ok(0) | Err(_)) {}
        };
        timeout(limit, reading).await.is_ok()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn gullible() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
