//! An authority for development: makes itself, and certificates for nodes and clients.
//! Knows nothing about the command line.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use chil::identity::{Identity, Kind};
use chil::tls::inspect;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Clocks of others may be behind by this much.
const BACKDATED: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);
/// Readable by everybody, and by its owner alone.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// An authority, with its key.
pub(in crate::cli) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Whole days until its own certificate expires.
    days: u64,
}

/// A certificate and its key, in files.
#[derive(Debug)]
pub(in crate::cli) struct Issued {
    pub(in crate::cli) cert: PathBuf,
    pub(in crate::cli) key: PathBuf,
}

impl Authority {
    /// Makes one in `dir`, which is created if it has to be. Overwrites nothing.
    pub(in crate::cli) fn create(dir: &Path, name: &str, days: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        absent(&[&dir.join(CA_CERT), &dir.join(CA_KEY)])?;
        let mut params = params(name, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        write(&dir.join(CA_KEY), &key.serialize_pem(), PRIVATE)?;
        write(&dir.join(CA_CERT), &cert.pem(), PUBLIC)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            days: days.into(),
        })
    }

    /// The one in `dir`.
    pub(in crate::cli) fn open(dir: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path)
                .with_context(|| format!("{}: `chil cert init` makes an authority", path.display()))
        };
        let key = KeyPair::from_pem(&read(CA_KEY)?);
        let key = key.with_context(|| dir.join(CA_KEY).display().to_string())?;
        let issuer = Issuer::from_ca_cert_pem(&read(CA_CERT)?, key);
        let issuer = issuer.with_context(|| dir.join(CA_CERT).display().to_string())?;
        let found = inspect(&dir.join(CA_CERT))?;
        let ends = found.first().map_or(0, |authority| authority.not_after);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.context("the clock is before 1970")?.as_secs();
        let days = ends.saturating_sub(now) / DAY.as_secs();
        Ok(Self { issuer, days })
    }

    /// Issues a certificate into `dir`, over what [`Issued::may_be_written`] allows.
    pub(in crate::cli) fn issue(
        &self,
        dir: &Path,
        identity: &Identity,
        days: u32,
    ) -> anyhow::Result<Issued> {
        if u64::from(days) > self.days {
            bail!(
                "the authority itself holds for {} more days only: issue for less (--days), or \
                 make another authority (`chil cert init --dir`)",
                self.days
            );
        }
        let mut params = params(identity.name(), days)?;
        let uri = Ia5String::try_from(identity.uri()).context("an identity is ASCII")?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match identity.kind() {
            // A node calls others, and is called.
            Kind::Node => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            Kind::Client(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let issued = Issued::of(dir, identity)?;
        write(&issued.key, &key.serialize_pem(), PRIVATE)?;
        write(&issued.cert, &cert.pem(), PUBLIC)?;
        Ok(issued)
    }
}

impl Issued {
    /// Where the certificate of `identity` lies in `dir`.
    fn of(dir: &Path, identity: &Identity) -> anyhow::Result<Self> {
        let uri = identity.uri();
        // As it is in the URI, which has no characters that are special in paths.
        let file = uri.rsplit('/').next().unwrap_or(&uri);
        let issued = Self {
            cert: dir.join(format!("{file}.crt")),
            key: dir.join(format!("{file}.key")),
        };
        if issued.cert.file_name() == Some(CA_CERT.as_ref()) {
            bail!("'{file}' is what an authority's files are called: choose another name");
        }
        Ok(issued)
    }

    /// Refuses to overwrite what is in `dir`, but for an earlier certificate of the same identity
    /// if that is to be replaced.
    pub(in crate::cli) fn may_be_written(
        dir: &Path,
        identity: &Identity,
        replace: bool,
    ) -> anyhow::Result<()> {
        let Self { cert, key } = Self::of(dir, identity)?;
        if !replace {
            return absent(&[&cert, &key]);
        }
        if !cert.exists() {
            // A key without its certificate may be somebody else's.
            return absent(&[&key]);
        }
        let found = inspect(&cert)?.into_iter().next();
        match found.map(|found| found.identity) {
            Some(Ok(found)) if found == *identity => Ok(()),
            Some(Ok(found)) => bail!(
                "{} is the certificate of {found}, not of {identity}: nothing was changed; --out \
                 names another directory",
                cert.display()
            ),
            Some(Err(_)) | None => bail!(
                "{} is not the certificate of {identity}: nothing was changed",
                cert.display()
            ),
        }
    }
}

/// What an authority's files are called.
pub(in crate::cli) const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

fn params(name: &str, days: u32) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = date_time_ymd(1970, 1, 1) + since.context("the clock is before 1970")?;
    params.not_before = now - BACKDATED;
    params.not_after = now + DAY * days;
    Ok(params)
}

/// Refuses to overwrite any of these, before the first is written.
fn absent(paths: &[&Path]) -> anyhow::Result<()> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => bail!("{} is there already: nothing was changed", path.display()),
        None => Ok(()),
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let shown = || path.display().to_string();
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // What an earlier attempt left may be readable by others.
    if partial.exists() {
        fs::remove_file(&partial).with_context(shown)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&partial, path));
    renamed.with_context(shown)
}
