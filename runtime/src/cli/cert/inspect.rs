//! `chil cert inspect`: says what is in a file of certificates, and whether others take it.
//! Knows nothing about how that is judged.

use std::path::PathBuf;

use chil::identity::Identity;
use chil::tls::{Inspected, inspect, verify};
use serde::Serialize;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Format, list};

/// Say what is in a file of certificates.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --ca, the first certificate is judged as a node that believes these authorities would: ends
with code 6 when it would refuse, and says why.

Examples:
  chil cert inspect certs/node-1.crt
  chil cert inspect certs/node-1.crt --ca certs/ca.crt --json")]
pub(super) struct Arguments {
    /// The certificates, in PEM.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The authorities that have to have issued the first of them.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The domain of trust that it has to be of.
    #[arg(long, value_name = "DOMAIN", default_value = Identity::DOMAIN_DEFAULT)]
    domain: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    identity: Option<String>,
    why_not: Option<String>,
    subject: String,
    issuer: String,
    uris: Vec<String>,
    authority: bool,
    not_before: u64,
    not_after: u64,
    #[serde(skip)]
    validity: String,
}

impl From<Inspected> for Shown {
    fn from(inspected: Inspected) -> Self {
        let validity = inspected.validity();
        let (identity, why_not) = match inspected.identity {
            Ok(identity) => (Some(identity.uri()), None),
            Err(_) if inspected.is_authority => (None, None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        Self {
            identity,
            why_not,
            subject: inspected.subject,
            issuer: inspected.issuer,
            uris: inspected.uris,
            authority: inspected.is_authority,
            not_before: inspected.not_before,
            not_after: inspected.not_after,
            validity,
        }
    }
}

/// Runs `chil cert inspect`.
pub(super) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let damaged = |error| Failure::new(Exit::Damaged, anyhow::Error::new(error));
    let inspected = inspect(&arguments.file).map_err(damaged)?;
    let shown: Vec<Shown> = inspected.into_iter().map(Shown::from).collect();
    format.print(&shown, |shown| {
        let texts: Vec<String> = shown.iter().map(text).collect();
        texts.join("\n")
    })?;
    if let Some(ca) = &arguments.ca {
        verify(&arguments.file, ca, &arguments.domain).map_err(damaged)?;
    }
    Ok(Exit::Ok)
}

fn text(shown: &Shown) -> String {
    let what = match (&shown.identity, &shown.why_not) {
        (Some(identity), _) => identity.clone(),
        (None, Some(why_not)) => why_not.clone(),
        (None, None) => "none: this is an authority".to_owned(),
    };
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    list(&[
        row("identity", &what),
        row("subject", &shown.subject),
        row("issuer", &shown.issuer),
        row("valid", &shown.validity),
    ])
}
