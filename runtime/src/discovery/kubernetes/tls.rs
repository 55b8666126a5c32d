//! TLS to the Kubernetes API, whose certificate its cluster's CA has signed.
//! Knows nothing about the nodes' own certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::api::{Io, Words};
use crate::net::transport::chain;
use crate::tls::trust::provider;

/// Speaks TLS with `host` over `stream`. The CA's file is read each time: it may be replaced.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    ca_file: &Path,
) -> Result<Box<dyn Io>, Words> {
    let file = ca_file.to_owned();
    let reading = tokio::task::spawn_blocking(move || roots(&file));
    let roots = reading.await.map_err(|error| error.to_string())??;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| chain(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = connecting.await.map_err(|error| chain(&error))?;
    Ok(Box::new(stream))
}

fn roots(file: &Path) -> Result<RootCertStore, Words> {
    let named = |error: &dyn std::error::Error| format!("{}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| named(&error))? {
        let certificate = certificate.map_err(|error| named(&error))?;
        roots.add(certificate).map_err(|error| named(&error))?;
    }
    if roots.is_empty() {
        return Err(format!("{}: holds no certificate", file.display()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::SocketAddr;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A CA's certificate in PEM, and a server on loopback that it vouches for as `localhost`.
    async fn server() -> (String, SocketAddr) {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        (pem, at)
    }

    #[tokio::test]
    async fn the_api_is_who_the_ca_in_the_file_says_it_is() {
        let (pem, at) = server().await;
        let (other, _) = server().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.crt");
        let with = async |content: &str, host: &str| {
            fs::write(&file, content).unwrap();
            let stream = TcpStream::connect(at).await.unwrap();
            let mut stream = connect(stream, host, &file).await?;
            let mut said = String::new();
            let read = stream.read_to_string(&mut said).await;
            read.map_err(|error| error.to_string()).map(|_| said)
        };
        assert_eq!(with(&pem, "localhost").await, Ok("hello".to_owned()));
        let both = format!("{other}{pem}");
        assert_eq!(with(&both, "localhost").await, Ok("hello".to_owned()));
        for (content, host, expected) in [
            (other.as_str(), "localhost", "invalid peer certificate"),
            (&pem, "elsewhere", "not valid for name"),
            ("", "localhost", "ca.crt: holds no certificate"),
        ] {
            let error = with(content, host).await.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
