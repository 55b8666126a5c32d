//! What a certificate says: its identity and until when it holds.
//! Knows nothing about whether it may be believed: whoever asks has had the chain judged.

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::reason::Reason;
use crate::identity::{Identity, SCHEME};

/// Times of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Reason> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    let (_, parsed) = parsed.map_err(|error| Reason::Chain(error.to_string()))?;
    Ok(parsed)
}

/// The one identity of a certificate.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Result<Identity, Reason> {
    let uris = uris(certificate)?;
    let mut ours = uris.iter().filter(|uri| uri.starts_with(SCHEME));
    match (ours.next(), ours.count()) {
        (None, _) => Err(Reason::NoIdentity),
        (Some(uri), 0) => Identity::parse(uri).map_err(Reason::BadIdentity),
        (Some(_), more) => Err(Reason::SeveralIdentities(more + 1)),
    }
}

/// All URIs that a certificate is for.
pub(crate) fn uris(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Reason> {
    let parsed = parsed(certificate)?;
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|error| Reason::Chain(error.to_string()))?;
    let names = names.map(|names| &names.value.general_names);
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    Ok(names.into_iter().flatten().filter_map(uri).collect())
}

/// From when until when a certificate holds.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, Reason> {
    let parsed = parsed(certificate)?;
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let validity = parsed.validity();
    Ok(Validity {
        from: seconds(validity.not_before),
        to: seconds(validity.not_after),
    })
}

/// Subject and issuer of a certificate, for people.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Result<(String, String), Reason> {
    let parsed = parsed(certificate)?;
    Ok((parsed.subject().to_string(), parsed.issuer().to_string()))
}

/// Whether a certificate may issue others.
pub(crate) fn is_authority(certificate: &CertificateDer<'_>) -> Result<bool, Reason> {
    Ok(parsed(certificate)?.is_ca())
}
