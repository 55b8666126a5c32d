//! `chil config`: what a node would be told here, and whether a file makes sense.
//! Knows nothing about what the settings mean.

mod check;
mod show;

use std::path::PathBuf;

use chil::config::{Field, Layers, Origin, Raw};
use clap::Subcommand;

use super::failure::{Exit, Failure};
use super::output::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print what is in force with a file and the present environment.
    Show(show::Arguments),
    /// Say whether a file makes sense by itself.
    Check(check::Arguments),
}

/// Runs `chil config`.
pub(crate) fn run(command: Config, format: Format) -> Result<Exit, Failure> {
    match command {
        Config::Show(arguments) => show::run(&arguments, format),
        Config::Check(arguments) => check::run(&arguments, format),
    }
}

/// What the file (the one named by `CONSENSUS_CONFIG`, if none is given) and the environment say.
pub(crate) fn layers(file: Option<PathBuf>) -> Result<Layers, Failure> {
    let mut layers = Layers::new();
    let named = std::env::var_os("CONSENSUS_CONFIG").filter(|name| !name.is_empty());
    if let Some(path) = file.or_else(|| named.map(PathBuf::from)) {
        layers = layers.file(&path)?;
    }
    Ok(layers.env(variables())?)
}

/// What the environment says of one setting and where: in its variable, or in the file that the
/// variable with `_FILE` behind its name names.
pub(crate) fn variable(field: Field) -> Result<Option<(String, Origin)>, Failure> {
    let is_its = |(name, _): &(String, String)| {
        let rest = name.strip_prefix(field.known().env);
        matches!(rest, Some("" | "_FILE"))
    };
    let layers = Layers::new().env(variables().filter(is_its))?;
    Ok(layers.get(field).and_then(|(raw, origin)| match raw {
        Raw::Text(text) => Some((text.clone(), origin.clone())),
        Raw::Secret(secret) => Some((secret.reveal().to_owned(), origin.clone())),
        Raw::Integer(_) | Raw::Float(_) | Raw::Bool(_) | Raw::Peers(_) => None,
    }))
}

/// The variables of this process, as far as they are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let value = value.to_string_lossy().into_owned();
        Some((name.into_string().ok()?, value))
    })
}
