//! A recording as lines for a terminal: the whole timeline, a part of it, or a short story.
//! Knows nothing about how it was recorded.

use std::fmt::Write as _;

use super::event::{Event, Recording, What};
use super::words::{Words, time};

/// Which events a timeline consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what happens at this node or between it and others, and what happens to the world.
    pub node: Option<usize>,
    /// Only what speaks of one of these slots (the first and the last), and faults.
    pub slots: Option<(u64, u64)>,
    /// Only what happens up to the event with this number, which is included.
    pub until: Option<u64>,
    /// Without heartbeats and wake-ups.
    pub quiet: bool,
}

impl Filter {
    fn takes(&self, words: &Words<'_>, event: &Event) -> bool {
        if self.until.is_some_and(|until| event.n > until) {
            return false;
        }
        if self.quiet && (matches!(event.what, What::Wake) || words.is_heartbeat(event)) {
            return false;
        }
        if self.node.is_some_and(|node| !concerns(event, node)) {
            return false;
        }
        let Some((first, last)) = self.slots else {
            return true;
        };
        let overlaps = |(from, to): (u64, u64)| from <= last && first <= to;
        words.slots(event).is_some_and(overlaps) || is_landmark(event)
    }
}

/// Whether the event happens at the node, between it and others, or to the whole world.
fn concerns(event: &Event, node: usize) -> bool {
    match &event.what {
        What::Send { to, .. } => event.node == Some(node) || *to == node,
        What::Receive { from, .. } | What::Miss { from, .. } => {
            event.node == Some(node) || *from == node
        }
        _ => event.node.is_none_or(|at| at == node),
    }
}

/// Whether the event orients readers in each timeline.
const fn is_landmark(event: &Event) -> bool {
    matches!(
        event.what,
        What::Fault { .. }
            | What::Dies { .. }
            | What::Starts { .. }
            | What::Healing
            | What::Violation { .. }
    )
}

/// The recording with only the events that the filter takes.
#[must_use]
pub fn filtered(recording: &Recording, filter: &Filter) -> Recording {
    let words = Words::new(recording);
    let events = recording.events.iter();
    Recording {
        events: events
            .filter(|event| filter.takes(&words, event))
            .cloned()
            .collect(),
        ..recording.clone()
    }
}

/// The timeline, one line an event: time, number, node, and what happened.
#[must_use]
pub fn text(recording: &Recording, filter: &Filter) -> String {
    let words = Words::new(recording);
    let mut out = String::new();
    for (index, event) in recording.events.iter().enumerate() {
        if filter.takes(&words, event) {
            out.push_str(&line(&words, index, event));
            out.push('\n');
        }
    }
    out
}

fn line(words: &Words<'_>, index: usize, event: &Event) -> String {
    let (at, name) = (time(event.at), words.name(event.node));
    let what = words.line(index, event);
    format!("{at:>11} #{:<6} {name:<5} {what}", event.n)
}

/// Lines of a story at most, its first one included.
const STORY_LINES_MAX: usize = 40;

/// What an event is to a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The violation itself.
    Verdict,
    /// A decision about the slots of the violation, or what a client saw of them.
    Witness,
    /// A message that speaks of these slots.
    Message,
    /// Faults, ends and starts of nodes, new roles.
    Landmark,
    /// What clients saw otherwise.
    Client,
}

impl Part {
    /// In the order of their importance, each with how many events it may take. Of witnesses and
    /// messages the first ones matter as much as the last; of the others, what is nearest to the
    /// end.
    const SHARES: [(Self, usize, bool); 5] = [
        (Self::Verdict, 2, false),
        (Self::Witness, 12, true),
        (Self::Message, 8, true),
        (Self::Landmark, STORY_LINES_MAX, false),
        (Self::Client, STORY_LINES_MAX, false),
    ];
}

/// What matters of a run in at most forty lines: faults, ends and starts, new roles, what clients
/// saw, and whatever speaks of the slots of the violation.
#[must_use]
pub fn story(recording: &Recording) -> String {
    let words = Words::new(recording);
    let suspects = suspects(recording);
    let mut parts: Vec<(Part, usize)> = Vec::new();
    for (index, event) in recording.events.iter().enumerate() {
        if let Some(part) = part(&words, &suspects, index, event) {
            parts.push((part, index));
        }
    }
    let mut chosen: Vec<usize> = Vec::new();
    for (part, share, from_both_ends) in Part::SHARES {
        let of_it = parts.iter().filter(|(other, _)| *other == part);
        let of_it: Vec<usize> = of_it.map(|(_, index)| *index).collect();
        let room = share.min(STORY_LINES_MAX - 1 - chosen.len());
        chosen.extend(outermost(&of_it, room, from_both_ends));
    }
    chosen.sort_unstable();
    let mut out = String::new();
    let (count, all) = (chosen.len(), recording.events.len());
    let _ = writeln!(out, "the story, {count} of {all} events:");
    for index in chosen {
        if let Some(event) = recording.events.get(index) {
            let _ = writeln!(out, "{}", shortened(&line(&words, index, event)));
        }
    }
    out
}

/// So many of the last ones, or half of them from each end.
fn outermost(all: &[usize], count: usize, from_both_ends: bool) -> Vec<usize> {
    if all.len() <= count {
        return all.to_vec();
    }
    let first = if from_both_ends { count / 2 } else { 0 };
    let last = all.len() - (count - first);
    let (head, tail) = (all.iter().take(first), all.iter().skip(last));
    head.chain(tail).copied().collect()
}

/// What an event is to the story; `None` if nothing.
fn part(words: &Words<'_>, suspects: &[(u64, u64)], index: usize, event: &Event) -> Option<Part> {
    let is_suspect = || {
        let slots = words.slots(event);
        slots.is_some_and(|(first, last)| suspects.iter().any(|s| s.0 <= last && first <= s.1))
    };
    match &event.what {
        What::Violation { .. } => Some(Part::Verdict),
        What::Client { .. } | What::Decided { .. } if is_suspect() => Some(Part::Witness),
        What::Client { .. } => Some(Part::Client),
        What::Send { .. } | What::Receive { .. } | What::Miss { .. } if is_suspect() => {
            Some(Part::Message)
        }
        What::Dies { .. } | What::Fault { .. } | What::Healing | What::Starts { .. } => {
            Some(Part::Landmark)
        }
        What::State(_) if words.is_about_leading(index, event) => Some(Part::Landmark),
        _ => None,
    }
}

/// The slots that the violation speaks of; when it names none, those decided last.
fn suspects(recording: &Recording) -> Vec<(u64, u64)> {
    let Some(violation) = &recording.violation else {
        return Vec::new();
    };
    let named = slots_in(violation);
    if !named.is_empty() {
        return named;
    }
    let mut decisions = recording.events.iter().rev();
    let last = decisions.find_map(|event| match event.what {
        What::Decided { first, last } => Some((first, last)),
        _ => None,
    });
    last.into_iter().collect()
}

/// The numbers behind the words "slot" and "slots".
fn slots_in(sentence: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for (at, word) in sentence.match_indices("slot") {
        let rest = &sentence[at + word.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start();
        let Some((first, rest)) = number(rest) else {
            continue;
        };
        let behind = rest.strip_prefix("..").or_else(|| rest.strip_prefix('-'));
        let last = behind
            .map(|rest| rest.trim_start_matches('='))
            .and_then(number);
        found.push((first, last.map_or(first, |(last, _)| last.max(first))));
    }
    found
}

/// The number that the text begins with, and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((digits.parse().ok()?, rest))
}

/// Lines of a story fit into a wide terminal: the whole of each is in the timeline.
fn shortened(line: &str) -> String {
    const WIDTH_MAX: usize = 160;
    if line.chars().count() <= WIDTH_MAX {
        return line.to_owned();
    }
    let kept: String = line.chars().take(WIDTH_MAX - 2).collect();
    format!("{kept} …")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_line_has_time_number_node_and_what() {
        let text = text(&fixture::small(), &Filter::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), fixture::small().events.len());
        let dies = lines.iter().find(|line| line.contains("DIES"));
        assert_eq!(
            dies.copied(),
            Some("   0.009000 #17     n0    DIES (power)")
        );
    }

    #[test]
    fn filters_leave_out_what_is_not_asked_for() {
        let recording = fixture::small();
        let until = Filter {
            until: Some(3),
            ..Filter::default()
        };
        let shown = text(&recording, &until);
        assert!(shown.contains("#3 ") && !shown.contains("#4 "), "{shown}");
        let slots = Filter {
            slots: Some((1, 1)),
            ..Filter::default()
        };
        let shown = text(&recording, &slots);
        assert!(
            shown.contains("Accept ") && shown.contains("VIOLATED"),
            "{shown}"
        );
        assert!(!shown.contains("Prepare"), "{shown}");
        let node = Filter {
            node: Some(2),
            ..Filter::default()
        };
        let shown = text(&recording, &node);
        assert!(
            shown.contains("-> n2 ") && shown.contains("world"),
            "{shown}"
        );
        assert!(!shown.contains("-> n1 "), "{shown}");
    }

    #[test]
    fn quiet_leaves_out_what_happens_all_the_time() {
        let recording = fixture::small();
        let loud = text(&recording, &Filter::default());
        let quiet = Filter {
            quiet: true,
            ..Filter::default()
        };
        let quiet = text(&recording, &quiet);
        assert!(loud.contains("Heartbeat") && loud.contains("wakes"));
        assert!(!quiet.contains("Heartbeat") && !quiet.contains("wakes"));
    }

    #[test]
    fn a_story_keeps_the_violation_and_what_speaks_of_its_slots() {
        let mut recording = fixture::small();
        let whole = story(&recording);
        assert!(whole.contains("VIOLATED agreement"), "{whole}");
        assert!(whole.contains("Accept e1.1.n0"), "{whole}");
        assert!(whole.contains("campaigning"), "{whole}");
        assert!(!whole.contains("Heartbeat"), "{whole}");
        // Noise in front of it pushes none of that out.
        let end = recording.events.pop().expect("the violation");
        let client = fixture::client_noise(500, end.at - 1);
        recording.events.extend(client);
        recording.events.push(end);
        let long = story(&recording);
        assert_eq!(long.lines().count(), STORY_LINES_MAX);
        assert!(
            long.contains("VIOLATED agreement") && long.contains("DIES"),
            "{long}"
        );
    }

    #[test]
    fn slots_are_found_in_a_sentence() {
        assert_eq!(slots_in("slot 12 has two values"), [(12, 12)]);
        assert_eq!(
            slots_in("slots 3..7 and slot 9, in slots"),
            [(3, 7), (9, 9)]
        );
        assert_eq!(slots_in("no place at all"), []);
    }
}
