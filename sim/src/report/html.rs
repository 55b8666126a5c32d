//! A recording as one HTML file that needs nothing else: no network, no server, no build step.
//! Knows nothing about how the diagram is drawn: `page/*.js` does that in the reader's browser.

use serde::Serialize;

use super::event::{Event, Recording};
use crate::plan::ClockPlan;

/// The page, with marks where the parts belong.
const PAGE: &str = include_str!("page/page.html");

const STYLE: &str = include_str!("page/style.css");

/// The script in the order of its parts. Together they are one scope: each may use what stands
/// before it at once, and all functions of the others later.
const SCRIPT: [&str; 18] = [
    include_str!("page/model.js"),
    include_str!("page/messages.js"),
    include_str!("page/words.js"),
    include_str!("page/filter.js"),
    include_str!("page/scale.js"),
    include_str!("page/causes.js"),
    include_str!("page/theme.js"),
    include_str!("page/lanes.js"),
    include_str!("page/slots.js"),
    include_str!("page/arrows.js"),
    include_str!("page/minimap.js"),
    include_str!("page/draw.js"),
    include_str!("page/panels.js"),
    include_str!("page/help.js"),
    include_str!("page/input.js"),
    include_str!("page/controls.js"),
    include_str!("page/selftest.js"),
    include_str!("page/main.js"),
];

/// What the page is given. Numbers beyond 2^53 are text in it: the reader's browser would round
/// them.
#[derive(Serialize)]
struct Data<'a> {
    seed: String,
    plan: String,
    nodes: &'a [String],
    clocks: &'a [ClockPlan],
    events: &'a [Event],
    violation: Option<&'a str>,
    explained: &'a [String],
    hash: &'a str,
}

/// The page that shows the recording.
///
/// # Panics
/// Never: recordings have only string keys.
#[must_use]
pub fn html(recording: &Recording) -> String {
    let plan = serde_json::to_string_pretty(&recording.plan);
    let data = Data {
        seed: recording.plan.seed.to_string(),
        plan: plan.expect("a plan has only string keys"),
        nodes: &recording.nodes,
        clocks: &recording.plan.clocks,
        events: &recording.events,
        violation: recording.violation.as_deref(),
        explained: &recording.explained,
        hash: &recording.hash,
    };
    let json = serde_json::to_string(&data).expect("an event has only string keys");
    let script = SCRIPT.concat();
    let parts = [
        ("STYLE", STYLE),
        ("DATA", &inert(&json)),
        ("SCRIPT", &script),
    ];
    filled(PAGE, &parts)
}

/// JSON with everything escaped that means something to HTML, or ends a line in old scripts.
/// These characters stand only in strings of JSON, where the escapes mean the same.
pub(super) fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(c),
        }
    }
    out
}

/// The page with its parts. What is put in is not searched for marks again: a recording may
/// contain them.
fn filled(page: &str, parts: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (number, piece) in page.split("@@").enumerate() {
        let part = parts.iter().find(|(mark, _)| *mark == piece);
        match part {
            Some((_, text)) if number % 2 == 1 => out.push_str(text),
            _ => out.push_str(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests;
