//! An event in one line of words, for the exports that are text.
//! Knows nothing about which events are shown, or in which order.

use std::collections::BTreeMap;

use super::event::{Event, Recording, State, Step, What};

/// The words for the events of one recording.
pub(crate) struct Words<'a> {
    nodes: &'a [String],
    /// Each message's sending, by its number: what arrives is described by what was sent.
    sends: BTreeMap<u64, &'a Event>,
    /// The state that a node had before each of its states, by the index of the event.
    before: BTreeMap<usize, &'a State>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(recording: &'a Recording) -> Self {
        let mut words = Self {
            nodes: &recording.nodes,
            sends: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        let mut last: BTreeMap<Option<usize>, &State> = BTreeMap::new();
        for (index, event) in recording.events.iter().enumerate() {
            match &event.what {
                What::Send { id, .. } => {
                    words.sends.insert(*id, event);
                }
                What::State(state) => {
                    if let Some(before) = last.insert(event.node, state) {
                        words.before.insert(index, before);
                    }
                }
                _ => {}
            }
        }
        words
    }

    /// A node's name; what is no node's is the world's.
    pub(crate) fn name(&self, node: Option<usize>) -> &str {
        let Some(node) = node else { return "world" };
        self.nodes.get(node).map_or("?", String::as_str)
    }

    /// The sending that an event of a message belongs to, that itself included.
    pub(crate) fn sending(&self, event: &'a Event) -> Option<&'a Event> {
        match &event.what {
            What::Send { .. } => Some(event),
            What::Receive { id, .. } | What::Miss { id, .. } => self.sends.get(id).copied(),
            _ => None,
        }
    }

    /// The slots that an event speaks of.
    pub(crate) fn slots(&self, event: &'a Event) -> Option<(u64, u64)> {
        match &event.what {
            What::Decided { first, last } => Some((*first, *last)),
            What::Client { slot, .. } => slot.map(|slot| (slot, slot)),
            _ => match &self.sending(event)?.what {
                What::Send { slots, .. } => *slots,
                _ => None,
            },
        }
    }

    /// Whether the event belongs to a heartbeat: most of what happens, and rarely the cause.
    pub(crate) fn is_heartbeat(&self, event: &'a Event) -> bool {
        let sending = self.sending(event).map(|event| &event.what);
        matches!(sending, Some(What::Send { lane, .. }) if lane == "heartbeat")
    }

    /// Whether a node begins to campaign or to lead, or no longer leads though it lives.
    pub(crate) fn is_about_leading(&self, index: usize, event: &Event) -> bool {
        let What::State(state) = &event.what else {
            return false;
        };
        let before = self.before.get(&index).map_or("", |before| &before.role);
        let (is, was) = (state.role.as_str(), before);
        let begins = is == "campaigning" || is == "leading";
        is != was && (begins || (was == "leading" && is != "down"))
    }

    /// All of the event in one line, without its time and node.
    pub(crate) fn line(&self, index: usize, event: &'a Event) -> String {
        one_line(&self.say(index, event))
    }

    fn say(&self, index: usize, event: &'a Event) -> String {
        match &event.what {
            What::Send { to, arrives, .. } => {
                let fate = match arrives.len() {
                    0 => "  (lost)",
                    1 => "",
                    _ => "  (duplicated)",
                };
                let text = self.message(event);
                format!("-> {:<4} {text}{fate}", self.name(Some(*to)))
            }
            What::Receive { from, .. } => {
                let text = self.message(event);
                format!("<- {:<4} {text}", self.name(Some(*from)))
            }
            What::Miss { from, .. } => {
                let text = self.message(event);
                format!("misses  {text} of {}", self.name(Some(*from)))
            }
            What::Wake => "wakes".to_owned(),
            What::State(state) => self.state(self.before.get(&index).copied(), state),
            What::Persist { lsn, text } => format!("to disk {lsn}: {text}"),
            What::Durable { lsn } => format!("durable up to {lsn}"),
            What::Decided { first, last } => format!("decided {}", range(*first, *last)),
            What::Fault {
                index, text, until, ..
            } => format!("FAULT {index}: {text}, until {}", time(*until)),
            What::Dies { mode } => format!("DIES ({mode})"),
            What::Starts { text } => format!("STARTS {text}"),
            What::Healing => "HEALING: all faults are over".to_owned(),
            What::Client {
                client,
                operation,
                step,
                text,
                slot,
            } => {
                let slot = slot.map_or_else(String::new, |slot| format!(" at slot {slot}"));
                let step = step_name(*step);
                format!("client c{client}: operation {operation} {step}{slot}: {text}")
            }
            What::Note { text } => format!("note: {text}"),
            What::Violation { check, text } => format!("VIOLATED {check}: {text}"),
        }
    }

    /// What the message of an event says.
    fn message(&self, event: &'a Event) -> &'a str {
        match self.sending(event).map(|event| &event.what) {
            Some(What::Send { text, .. }) => text,
            _ => "a message whose sending is not recorded",
        }
    }

    /// What is new in a state; all of it when nothing is known before.
    fn state(&self, before: Option<&State>, state: &State) -> String {
        let leader = |state: &State| match state.leader {
            Some(leader) => self.name(Some(leader)).to_owned(),
            None => "nobody".to_owned(),
        };
        let fields = |state: &State| {
            [
                ("", state.role.clone()),
                ("promised ", state.promised.clone()),
                ("log of ", state.acc.clone()),
                ("leader ", leader(state)),
                ("last ", state.last.to_string()),
                ("durable ", state.durable.to_string()),
                ("commit ", state.commit.to_string()),
                ("applied ", state.applied.to_string()),
            ]
        };
        let old = before.map(fields);
        let news = fields(state).into_iter().enumerate().filter(|(i, field)| {
            let was = old.as_ref().and_then(|old| old.get(*i));
            was != Some(field)
        });
        let news: Vec<String> = news
            .map(|(_, (label, value))| format!("{label}{value}"))
            .collect();
        if news.is_empty() {
            return "state: as before".to_owned();
        }
        format!("state: {}", news.join(", "))
    }
}

/// How far an operation is, as people say it.
pub(crate) const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Asked => "asked",
        Step::Done => "done",
        Step::Unknown => "unknown",
        Step::Failed => "failed",
    }
}

/// Simulated nanoseconds as seconds with microseconds.
pub(crate) fn time(at: u64) -> String {
    format!("{}.{:06}", at / 1_000_000_000, at / 1_000 % 1_000_000)
}

/// "slot 4" or "slots 4..7".
fn range(first: u64, last: u64) -> String {
    if first == last {
        format!("slot {first}")
    } else {
        format!("slots {first}..{last}")
    }
}

/// The text with everything that would end its line, or write over it, made visible.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_state_says_what_is_new_in_it() {
        let recording = fixture::small();
        let words = Words::new(&recording);
        let states: Vec<String> = (0..)
            .zip(&recording.events)
            .filter(|(_, event)| event.node == Some(0) && matches!(event.what, What::State(_)))
            .map(|(index, event)| words.line(index, event))
            .collect();
        assert_eq!(
            states[..2],
            [
                "state: following, promised e1.0, log of e1.0, leader nobody, last 0, durable 0, \
                 commit 0, applied 0",
                "state: campaigning, promised e1.1.n0",
            ]
        );
    }

    #[test]
    fn what_arrives_is_described_by_what_was_sent() {
        let recording = fixture::small();
        let words = Words::new(&recording);
        let received = (0..).zip(&recording.events).find(|(_, event)| {
            matches!(event.what, What::Receive { .. }) && !words.is_heartbeat(event)
        });
        let (index, event) = received.expect("the fixture has one");
        let line = words.line(index, event);
        assert_eq!(line, "<- n0   Prepare e1.1.n0 acc=e1.0 last=0 commit=0");
    }

    #[test]
    fn no_text_breaks_its_line() {
        assert_eq!(
            one_line("a\nb\u{1b}[2J\u{2028}c"),
            "a\\nb\\u{1b}[2J\\u{2028}c"
        );
    }
}
