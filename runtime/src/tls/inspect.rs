//! What a file of certificates says, and whether others would take the first of them.
//! Knows nothing about who asks.

use std::path::Path;

use rustls_pki_types::UnixTime;

use super::files::{Source, certificates};
use super::judge::{Judge, Shown};
use super::leaf::{self, Validity};
use super::reason::Reason;
use super::trust::{WallClock, in_time, provider, time_of};
use super::{TlsError, date, span};
use crate::identity::Identity;

/// What one certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Whose it is, or why that cannot be said.
    pub identity: Result<Identity, Reason>,
    /// Its subject's name.
    pub subject: String,
    /// The name of the authority that has issued it.
    pub issuer: String,
    /// All URIs that it is for.
    pub uris: Vec<String>,
    /// Whether it may issue others.
    pub is_authority: bool,
    /// From when on it holds, in seconds since 1970.
    pub not_before: u64,
    /// Until when.
    pub not_after: u64,
}

impl Inspected {
    /// From when until when it holds, for people.
    #[must_use]
    pub fn validity(&self) -> String {
        let now = now().as_secs();
        let left = if now > self.not_after {
            format!("expired for {}", span(now - self.not_after))
        } else if now < self.not_before {
            format!("not valid for another {}", span(self.not_before - now))
        } else {
            format!("{} left", span(self.not_after - now))
        };
        let (from, to) = (date(self.not_before), date(self.not_after));
        format!("{from} to {to} ({left})")
    }
}

fn now() -> UnixTime {
    time_of(&WallClock)
}

/// Every certificate of a file, in its order.
///
/// # Errors
/// A file that cannot be read, or has none.
pub fn inspect(file: &Path) -> Result<Vec<Inspected>, TlsError> {
    let source = Source::File(file.to_owned());
    let found = certificates(&source.read()?, &source)?;
    let inspected = found.iter().map(|certificate| {
        let (subject, issuer) = leaf::names(certificate)?;
        let Validity { from, to } = leaf::validity(certificate)?;
        Ok(Inspected {
            identity: leaf::identity(certificate),
            subject,
            issuer,
            uris: leaf::uris(certificate)?,
            is_authority: leaf::is_authority(certificate)?,
            not_before: from,
            not_after: to,
        })
    });
    let inspected: Result<Vec<Inspected>, Reason> = inspected.collect();
    inspected.map_err(|reason| TlsError::Content {
        file: file.display().to_string(),
        what: reason.to_string(),
    })
}

/// Whose a certificate is, if somebody who believes the authorities in `ca` takes it now.
///
/// # Errors
/// Why it is not taken, or what cannot be read.
pub fn verify(file: &Path, ca: &Path, domain: &str) -> Result<Identity, TlsError> {
    let (own, roots) = (Source::File(file.to_owned()), Source::File(ca.to_owned()));
    let chain = certificates(&own.read()?, &own)?;
    let authorities = in_time(certificates(&roots.read()?, &roots)?, &roots, now())?;
    let judge = Judge::new(&authorities, &roots, provider(), domain)?;
    let refused = |reason| TlsError::Refused {
        file: file.display().to_string(),
        reason,
    };
    let who = judge.judge(Shown::ByCaller, &chain, now());
    who.map_err(refused)
}
