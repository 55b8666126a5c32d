//! Where a certificate, its key and the authorities come from, and what is in them.
//! Knows nothing about whether they are any good.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use crate::config::is_inline;

/// Larger files are no certificates.
const BYTES_MAX: u64 = 1 << 20;

/// A file, or what would stand in one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, read again when it has changed.
    File(PathBuf),
    /// PEM text.
    Inline(String),
}

impl Source {
    /// A path, unless the text is itself what should stand there.
    pub(crate) fn of(text: &str) -> Self {
        if is_inline(text) {
            Self::Inline(text.to_owned())
        } else {
            Self::File(PathBuf::from(text))
        }
    }

    /// What is there now.
    pub(super) fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::Inline(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => {
                let file = path.display().to_string();
                let failed = |source| TlsError::Read {
                    file: file.clone(),
                    source,
                };
                let length = std::fs::metadata(path).map_err(failed)?.len();
                if length > BYTES_MAX {
                    return Err(TlsError::Content {
                        file,
                        what: format!("it has {length} bytes: that is no certificate"),
                    });
                }
                std::fs::read(path).map_err(failed)
            }
        }
    }
}

/// The permissions of a file that let everybody read it who gets to it.
#[cfg(unix)]
fn open_to_all(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then_some(mode & 0o777)
}

/// Who may read what is another matter here.
#[cfg(not(unix))]
fn open_to_all(_path: &Path) -> Option<u32> {
    None
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Inline(_) => f.write_str("the PEM given inline"),
        }
    }
}

/// Never shows what is inline: it may be a key.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The three things that TLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The certificate and those between it and an authority.
    pub(crate) cert: Source,
    /// The key of the certificate.
    pub(crate) key: Source,
    /// The authorities.
    pub(crate) ca: Source,
}

/// What stood in all three at one time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl Sources {
    /// What is said when they cannot be read in time.
    pub(super) fn hangs(&self) -> TlsError {
        TlsError::Read {
            file: format!("{}, {} and {}", self.cert, self.key, self.ca),
            source: std::io::ErrorKind::TimedOut.into(),
        }
    }

    /// What is to be said of the key's file, if its permissions let everybody read it.
    pub(super) fn key_is_open(&self) -> Option<String> {
        let Source::File(path) = &self.key else {
            return None;
        };
        let mode = open_to_all(path)?;
        let file = path.display();
        Some(format!(
            "the mode of {file} ({mode:o}) lets everybody read the key: chmod 600 it"
        ))
    }

    /// Reads all three: as they were together, if they change meanwhile.
    pub(crate) fn read(&self) -> Result<Contents, TlsError> {
        /// Somebody who replaces files does not do so for ever.
        const TRIES: usize = 4;
        let mut contents = self.read_once()?;
        for _ in 1..TRIES {
            let again = self.read_once()?;
            if again == contents {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }

    fn read_once(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: self.cert.read()?,
            key: self.key.read()?,
            ca: self.ca.read()?,
        })
    }
}

/// What the PEM texts contain.
pub(crate) struct Pems {
    /// The certificate first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

impl Contents {
    /// Reads the PEM texts.
    pub(crate) fn pems(&self, from: &Sources) -> Result<Pems, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Content {
            file: from.key.to_string(),
            what: "no private key in PEM is in it (`-----BEGIN PRIVATE KEY-----`)".to_owned(),
        })?;
        Ok(Pems {
            chain: certificates(&self.cert, &from.cert)?,
            key,
            authorities: certificates(&self.ca, &from.ca)?,
        })
    }
}

pub(super) fn certificates(
    pem: &[u8],
    from: &Source,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |what: String| TlsError::Content {
        file: from.to_string(),
        what,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| content(format!("it is no whole PEM: {error}")))?;
    if found.is_empty() {
        let what = "no certificate in PEM is in it (`-----BEGIN CERTIFICATE-----`)";
        return Err(content(what.to_owned()));
    }
    Ok(found)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_everybody_may_read_is_complained_about() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("node.key");
        std::fs::write(&key, "").unwrap();
        let sources = Sources {
            cert: Source::of("node.crt"),
            key: Source::File(key.clone()),
            ca: Source::of("ca.crt"),
        };
        for (mode, said) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let open = sources.key_is_open();
            assert_eq!(open.is_some(), said, "{open:?}");
            assert!(open.is_none_or(|text| text.contains("node.key (644) lets everybody")));
        }
    }
}
