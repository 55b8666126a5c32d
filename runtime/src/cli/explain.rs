//! `chil explain`: asks nodes what keeps them, and the cluster, from doing more.
//! Knows nothing about what may stand in the way: nodes say it, this shows it.

use std::collections::BTreeMap;

use chil::client::{Client, ClientError, Finding, Topic};
use futures_util::future::join_all;
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::Format;

/// Ask every given node why things are as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every node answers by itself, also one that has no leader or is cut off: ask all of them when a cluster
is stuck. Ends with code 0 when a node answered, whatever it found, and with 3 when none did.

Examples:
  chil explain -p 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
  chil explain -p 127.0.0.1:7001 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

/// What one node said.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Findings {
        address: String,
        findings: Vec<Found>,
    },
    Silent {
        address: String,
        error: String,
    },
}

/// One thing that stands in the way of something.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    topic: &'static str,
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    about: String,
    text: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<String, String>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        let topic = match finding.topic() {
            Topic::Unspecified => "other",
            Topic::Forming => "forming",
            Topic::Leader => "leader",
            Topic::Peer => "peer",
            Topic::Pending => "pending",
            Topic::Local => "local",
        };
        let facts = finding.facts.into_iter();
        Self {
            topic,
            code: finding.code,
            about: finding.about,
            text: finding.text,
            facts: facts.map(|fact| (fact.name, fact.value)).collect(),
        }
    }
}

/// Runs `chil explain`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let addresses = arguments.target.addresses()?;
    let client = arguments.target.client()?;
    let answers: Vec<Answer> = join_all(addresses.into_iter().map(|a| ask(&client, a))).await;
    format.print(&answers, |answers| shown(answers))?;
    let silent = |answer: &Answer| matches!(answer, Answer::Silent { .. });
    Ok(if answers.iter().all(silent) {
        Exit::Unavailable
    } else {
        Exit::Ok
    })
}

async fn ask(client: &Client, address: String) -> Answer {
    match client.explain_of(&address).await {
        Ok(findings) => Answer::Findings {
            address,
            findings: findings.into_iter().map(Found::from).collect(),
        },
        Err(ClientError::Unavailable { reason }) => Answer::Silent {
            address,
            error: reason,
        },
        Err(error) => Answer::Silent {
            error: format!("{address}: {error}"),
            address,
        },
    }
}

fn shown(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        match answer {
            Answer::Findings { address, findings } if findings.is_empty() => {
                text.push_str(&format!("{address}: nothing stands in the way\n"));
            }
            Answer::Findings { address, findings } => {
                text.push_str(&format!("{address}:\n"));
                for found in findings {
                    text.push_str(&format!("  {:8} {}\n", found.topic, found.text));
                }
            }
            // It begins with the address.
            Answer::Silent { error, .. } => text.push_str(&format!("{error}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use chil::proto::Fact;

    use super::*;

    fn finding() -> Finding {
        let mut finding = Finding {
            code: "no-quorum".to_owned(),
            text: "1 of 3 answers".to_owned(),
            facts: vec![Fact {
                name: "answering".to_owned(),
                value: "1".to_owned(),
            }],
            ..Finding::default()
        };
        finding.set_topic(Topic::Leader);
        finding
    }

    #[test]
    fn findings_are_shown_by_node_and_silence_is_shown_as_well() {
        let answers = [
            Answer::Findings {
                address: "a:1".to_owned(),
                findings: vec![finding().into()],
            },
            Answer::Findings {
                address: "b:1".to_owned(),
                findings: Vec::new(),
            },
            Answer::Silent {
                address: "c:1".to_owned(),
                error: "c:1: does not answer".to_owned(),
            },
        ];
        assert_eq!(
            shown(&answers),
            "a:1:\n  leader   1 of 3 answers\nb:1: nothing stands in the way\n\
             c:1: does not answer\n"
        );
        assert_eq!(
            serde_json::to_value(&answers).unwrap(),
            serde_json::json!([
                {"address": "a:1", "findings": [
                    {"topic": "leader", "code": "no-quorum", "text": "1 of 3 answers",
                     "facts": {"answering": "1"}}
                ]},
                {"address": "b:1", "findings": []},
                {"address": "c:1", "error": "c:1: does not answer"},
            ])
        );
    }
}
