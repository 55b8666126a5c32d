//! What stands in the way of what, as data with the names that people know.
//! Knows nothing about how it was found out: that is the core's.

use chil_core::{NodeId, explain};

/// One thing that stands in the way of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it stands in the way of.
    pub topic: Topic,
    /// What it is, for programs: lower case words with hyphens, which keep their meaning.
    pub code: &'static str,
    /// The name of the member that it is about; `None` when it is about the asked node or the
    /// whole cluster.
    pub about: Option<String>,
    /// What it is, for people.
    pub text: String,
    /// The figures in the text, for programs.
    pub facts: Vec<(&'static str, String)>,
}

/// What something can stand in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The cluster is not formed yet.
    Forming,
    /// Who leads, and why nobody does.
    Leader,
    /// Why a peer is behind, or silent.
    Peer,
    /// What proposals and reads wait for.
    Pending,
    /// What the node's own disk and state machine stand in the way of.
    Local,
}

impl Finding {
    /// The node cannot connect to `address`, where the member `about` should be.
    pub(crate) fn not_reached(
        topic: Topic,
        about: Option<String>,
        (address, trouble): (&str, String),
    ) -> Self {
        let who = about
            .as_ref()
            .map_or_else(String::new, |name| format!("{name} at "));
        Self {
            topic,
            code: "peer-not-reached",
            about,
            text: format!("cannot connect to {who}{address}: {trouble}"),
            facts: vec![("address", address.to_owned()), ("reason", trouble)],
        }
    }

    /// What the core found, with members called as `name` says.
    pub(crate) fn named(found: &explain::Finding, name: &dyn Fn(NodeId) -> String) -> Self {
        Self {
            topic: match found.topic() {
                explain::Topic::Leader => Topic::Leader,
                explain::Topic::Local => Topic::Local,
                explain::Topic::Pending => Topic::Pending,
                explain::Topic::Peer => Topic::Peer,
            },
            code: found.code(),
            about: found.about().map(name),
            text: found.text(name),
            facts: found.facts(),
        }
    }
}
