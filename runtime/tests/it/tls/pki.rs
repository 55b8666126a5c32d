//! Authorities and certificates of all kinds, good and bad, for the tests of TLS.
//! Knows nothing about what is done with them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chil::Tls;
use chil::client::ClientTls;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const DAY: u64 = 86_400;

/// Somebody who issues certificates.
pub(crate) struct Authority {
    pub(crate) cert: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain with the key of its first certificate.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
    pems: (String, String),
}

/// What a certificate is to say.
#[derive(Clone)]
pub(crate) struct Wish {
    uris: Vec<String>,
    dns: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    /// Seconds from now.
    from: i64,
    to: i64,
    authority: bool,
}

impl Wish {
    /// A good certificate with these URIs.
    pub(crate) fn of(uris: &[&str]) -> Self {
        Self {
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            dns: Vec::new(),
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            from: -300,
            to: DAY.cast_signed(),
            authority: false,
        }
    }

    pub(crate) fn dns(mut self, name: &str) -> Self {
        self.dns.push(name.to_owned());
        self
    }

    pub(crate) fn only(mut self, usage: ExtendedKeyUsagePurpose) -> Self {
        self.usages = vec![usage];
        self
    }

    /// Valid from then until then, in seconds from now.
    pub(crate) const fn within(mut self, from: i64, to: i64) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    pub(crate) const fn authority(mut self) -> Self {
        self.authority = true;
        self
    }

    fn params(&self, name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(self.dns.clone()).unwrap();
        for uri in &self.uris {
            let uri = Ia5String::try_from(uri.as_str()).unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.clone_from(&self.usages);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let at = |seconds: i64| {
            let at = now.as_secs().saturating_add_signed(seconds);
            date_time_ymd(1970, 1, 1) + Duration::from_secs(at)
        };
        (params.not_before, params.not_after) = (at(self.from), at(self.to));
        if self.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.extended_key_usages.clear();
        }
        params
    }
}

impl Authority {
    /// One that nobody has issued.
    pub(crate) fn new(name: &str) -> Self {
        let params = Wish::of(&[]).authority().params(name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            cert,
            issuer: Issuer::new(params, key),
        }
    }

    /// Somebody below it who issues certificates, whether that is allowed or not.
    pub(crate) fn below(&self, wish: &Wish) -> Self {
        let params = wish.params("below");
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            cert,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(&self, wish: &Wish) -> Shown {
        let key = KeyPair::generate().unwrap();
        let cert = wish.params("leaf").signed_by(&key, &self.issuer).unwrap();
        Shown::new(&cert, &key)
    }

    /// A node's certificate.
    pub(crate) fn node(&self, name: &str) -> Shown {
        self.issue(&Wish::of(&[&format!("chil://local/node/{name}")]))
    }

    /// A client's certificate.
    pub(crate) fn client(&self, role: &str) -> Shown {
        let wish = Wish::of(&[&format!("chil://local/{role}/somebody")]);
        self.issue(&wish.only(ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// Itself, as if it were somebody's certificate.
    pub(crate) fn itself(&self) -> Shown {
        Shown::new(&self.cert, self.issuer.key())
    }
}

impl Shown {
    fn new(cert: &Certificate, key: &KeyPair) -> Self {
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self {
            chain: vec![cert.der().clone()],
            key: Arc::new(PrivateKeyDer::from(der)),
            pems: (cert.pem(), key.serialize_pem()),
        }
    }

    /// One that nobody else has issued.
    pub(crate) fn by_itself(wish: &Wish) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = wish.params("leaf").self_signed(&key).unwrap();
        Self::new(&cert, &key)
    }

    /// With this certificate behind it.
    pub(crate) fn with(mut self, other: &Authority) -> Self {
        self.chain.push(other.cert.der().clone());
        self.pems.0.push_str(&other.cert.pem());
        self
    }

    /// With the key of another one.
    pub(crate) fn with_key_of(mut self, other: &Self) -> Self {
        self.key = Arc::clone(&other.key);
        self
    }

    /// Writes certificate, key and the authorities to believe into `dir`, each whole.
    pub(crate) fn write(&self, dir: &Path, authorities: &[&Authority]) {
        fs::create_dir_all(dir).unwrap();
        let ca: String = authorities.iter().map(|it| it.cert.pem()).collect();
        for (name, text) in [
            ("tls.crt", &self.pems.0),
            ("tls.key", &self.pems.1),
            ("ca.crt", &ca),
        ] {
            fs::write(dir.join("partial"), text).unwrap();
            fs::rename(dir.join("partial"), dir.join(name)).unwrap();
        }
    }

    /// What a node or client is told that has these files.
    pub(crate) fn tls(&self, dir: &Path, authorities: &[&Authority]) -> Tls {
        self.write(dir, authorities);
        tls_in(dir)
    }

    /// The same for the client library.
    pub(crate) fn client_tls(&self, dir: &Path, authorities: &[&Authority]) -> ClientTls {
        ClientTls::load(self.tls(dir, authorities)).unwrap()
    }
}

/// What stands in `dir`.
pub(crate) fn tls_in(dir: &Path) -> Tls {
    let path = |name: &str| dir.join(name);
    Tls::files(path("tls.crt"), path("tls.key"), path("ca.crt"))
        .reload_interval(Duration::from_millis(200))
}
