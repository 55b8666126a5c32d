//! `chil config show`: every setting as it is with a file and the environment, and who said so.
//! Knows nothing about whether the settings make sense together.

use std::path::PathBuf;

use chil::config::{Effective, Origin, Raw, Value};
use serde::Serialize;

use super::super::failure::{Exit, Failure};
use super::super::output::Format;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What it prints is a file that says the same. What nobody set and what must not be shown stands in
comments. It does not say whether all of it makes sense: `chil config check` does, and `chil node`.

Examples:
  chil config show --config node.yaml --origin
  chil config show -o json")]
pub(crate) struct Arguments {
    /// YAML file with the settings; the variable CONSENSUS_CONFIG names it, too.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say where each value comes from.
    #[arg(long)]
    origin: bool,
}

/// One setting, for programs.
#[derive(Debug, Serialize)]
struct View {
    key: &'static str,
    env: &'static str,
    /// As one would write it; nothing if there is none, or if it must not be shown.
    value: Option<String>,
    /// Whether somebody set it.
    set: bool,
    origin: String,
}

impl View {
    fn new(setting: &Effective) -> Self {
        let value = match &setting.value {
            Value::Set(Raw::Secret(_)) | Value::Words(_) | Value::Missing => None,
            Value::Set(_) | Value::Default(_) => Some(setting.text()),
        };
        Self {
            key: setting.known.key,
            env: setting.known.env,
            value,
            set: setting.origin != Origin::Default,
            origin: setting.origin.to_string(),
        }
    }
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let settings = super::layers(arguments.config.clone())?.effective();
    let views: Vec<View> = settings.iter().map(View::new).collect();
    format.print(&views, |_| {
        let text = Effective::yaml(&settings, arguments.origin);
        text.trim_end().to_owned()
    })?;
    Ok(Exit::Ok)
}
