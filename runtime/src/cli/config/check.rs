//! `chil config check`: whether one file makes sense, whatever else a node is told, or with all of
//! that. Knows nothing about what a node does then.

use std::path::PathBuf;

use chil::config::{Effective, Field, Layers, Value};
use serde::Serialize;

use super::super::failure::{Exit, Failure};
use super::super::output::Format;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 if nothing in the file is wrong, and with 2 if something is. What the file does not say
may come from variables or flags. With --here it is judged as `chil node` would on this machine:
together with the variables, and with the certificates that it names.

Examples:
  chil config check node.yaml
  CONSENSUS_NODE_ID=node-1 chil config check --here /etc/chil/node.yaml")]
pub(crate) struct Arguments {
    /// The YAML file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Judge it with this machine's variables, and the certificates that it names.
    #[arg(long)]
    here: bool,
}

/// What was found out about a file that makes sense.
#[derive(Debug, Serialize)]
struct View {
    file: String,
    /// How many settings it makes.
    settings: usize,
    /// What a node needs besides, with the variables that may say it.
    elsewhere: Vec<(&'static str, &'static str)>,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let mut layers = Layers::new().file(&arguments.file)?;
    if arguments.here {
        layers = layers.env(super::variables())?;
        let settings = layers.clone().finish()?;
        if let Some(tls) = &settings.security.tls {
            let checked = tls.tls().check_for_node(&settings.node_id);
            checked.map_err(Failure::usage)?;
        }
    } else {
        layers.check_part()?;
    }
    let settings = layers.effective();
    let is_set = |setting: &&Effective| matches!(setting.value, Value::Set(_));
    let sets = |field| {
        settings
            .iter()
            .filter(is_set)
            .any(|setting| setting.known.field == field)
    };
    let lacks_peers = !sets(Field::Peers) && !sets(Field::SingleNode);
    let elsewhere = settings.iter().filter(|setting| {
        setting.value == Value::Missing || lacks_peers && setting.known.field == Field::Peers
    });
    let view = View {
        file: arguments.file.display().to_string(),
        settings: settings.iter().filter(is_set).count(),
        elsewhere: elsewhere
            .map(|setting| (setting.known.key, setting.known.env))
            .collect(),
    };
    format.print(&view, table)?;
    Ok(Exit::Ok)
}

fn table(view: &View) -> String {
    let mut text = format!("{}: {} settings, nothing wrong", view.file, view.settings);
    for (key, env) in &view.elsewhere {
        text.push_str(&format!("\n  left to others: {key} ({env})"));
    }
    text
}
