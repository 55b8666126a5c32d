//! The overview of a campaign as one HTML page that needs nothing else.
//! Knows nothing about how it was run.

mod parts;
mod tables;

use std::fmt::Write as _;

use super::merge::Merged;
use super::tally::{Failed, Group};
use super::words::{contradictions, mean_rounds, per_second, replay_command, share};
use parts::{escaped, grouped, items};

const STYLE: &str = include_str!("page/style.css");
const SORT: &str = include_str!("page/sort.js");

/// The page.
#[must_use]
pub fn html(merged: &Merged) -> String {
    let header = &merged.header;
    let title = format!("chil campaign: {}", header.shard);
    let title = escaped(&title);
    let sections = [
        verdict(merged),
        tiles(merged),
        failures(merged),
        tables::extremes(merged),
        tables::exercised(merged),
        tables::coverage(merged),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {sections}<footer>chil-sim {}, runs <code>{}</code>{}</footer>\n\
         <script>\n{SORT}</script>\n</body>\n</html>\n",
        escaped(&header.version),
        escaped(&header.code),
        how(merged)
    )
}

fn how(merged: &Merged) -> String {
    let header = &merged.header;
    let short = if header.short { ", cut short" } else { "" };
    let twice = match header.twice_every {
        0 => String::new(),
        every => format!(", seeds that {every} divides run twice"),
    };
    let every = match header.check_every {
        1 => String::new(),
        every => format!(", replicas looked into at every {every}th event"),
    };
    format!("{short}{twice}{every}")
}

fn verdict(merged: &Merged) -> String {
    let mut out = if merged.is_clean() {
        "<p class=\"verdict\">Nothing was violated.</p>\n".to_owned()
    } else {
        let (failed, kinds) = (merged.tally.failures.len(), merged.tally.groups().len());
        format!("<p class=\"verdict bad\">{failed} violations, of {kinds} signatures.</p>\n")
    };
    let contradictions = contradictions(merged);
    if !contradictions.is_empty() {
        let items = items(&contradictions);
        let _ = writeln!(
            out,
            "<section class=\"failure\"><h3>Reached although it cannot be</h3><p>A mistake of the \
             protocol, of the simulator, or of <code>sim/src/impossible.rs</code>:</p>\
             <ul>{items}</ul></section>"
        );
    }
    if merged.missing > 0 {
        let missing = grouped(merged.missing);
        let _ = write!(
            out,
            "<details><summary class=\"warn\">{missing} seeds were not run</summary><ul>"
        );
        for gap in &merged.gaps {
            let _ = write!(out, "<li>{}</li>", escaped(gap));
        }
        out.push_str("</ul></details>\n");
    }
    out
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people: three digits are enough"
)]
fn tiles(merged: &Merged) -> String {
    let (stats, seconds) = (&merged.tally.stats, merged.seconds);
    let rate = |count: u64| grouped(per_second(count, seconds).round() as u64);
    let hours = stats.simulated_ms as f64 / 3_600_000.0;
    let simulated = if hours > 48.0 {
        format!("{:.1} days", hours / 24.0)
    } else {
        format!("{hours:.1} h")
    };
    let mean = mean_rounds(stats);
    let tiles = [
        (
            "Seeds",
            grouped(stats.seeds),
            format!("{:.1} a second", per_second(stats.seeds, seconds)),
        ),
        (
            "Events",
            grouped(stats.events),
            format!("{} a second", rate(stats.events)),
        ),
        (
            "Simulated time",
            simulated,
            format!("{} times real time", rate(stats.simulated_ms / 1_000)),
        ),
        (
            "Slots decided",
            grouped(stats.slots),
            format!("{} a second", rate(stats.slots)),
        ),
        (
            "Faults",
            grouped(stats.faults_total()),
            format!("{} restarts", grouped(stats.restarts)),
        ),
        (
            "Messages",
            grouped(stats.messages),
            format!("{} lost", grouped(stats.lost)),
        ),
        (
            "Operations",
            grouped(stats.writes + stats.reads),
            format!("{} of unknown outcome", grouped(stats.unknown)),
        ),
        (
            "Ballots",
            grouped(stats.ballots),
            format!("{} led", grouped(stats.leaders)),
        ),
        (
            "Healed after",
            format!("{mean:.1} rounds"),
            format!("at most {} of what is allowed", share(stats.heal_share_max)),
        ),
        (
            "Run twice",
            grouped(stats.run_twice),
            "and compared".to_owned(),
        ),
    ];
    let mut out = String::from("<dl class=\"tiles\">\n");
    for (name, value, small) in &tiles {
        let _ = writeln!(
            out,
            "<div><dt>{name}</dt><dd>{value}<small>{small}</small></dd></div>"
        );
    }
    out.push_str("</dl>\n");
    out
}

fn failures(merged: &Merged) -> String {
    let groups = merged.tally.groups();
    if groups.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h2>Failures by signature</h2>\n");
    for group in &groups {
        out.push_str(&failure(group, merged));
    }
    out
}

fn failure(group: &Group<'_>, merged: &Merged) -> String {
    let item = |failed: &&Failed| {
        let again = if failed.repeats || !failed.ended {
            ""
        } else {
            " <b>A second run was different.</b>"
        };
        let explained = if failed.explained.is_empty() {
            String::new()
        } else {
            let lines: Vec<String> = failed.explained.iter().map(|l| escaped(l)).collect();
            format!(
                "<details><summary>what stood in the way</summary><code>{}</code></details>",
                lines.join("<br>")
            )
        };
        format!(
            "<li><code>{}</code><br>{}{again}{explained}</li>\n",
            escaped(&replay_command(merged, &failed.token)),
            escaped(&failed.sentence())
        )
    };
    let items: String = group.failures.iter().map(item).collect();
    let more = group.count - group.failures.len();
    let more = if more > 0 {
        format!("<p>and {more} more</p>")
    } else {
        String::new()
    };
    format!(
        "<section class=\"failure\"><h3>{} &times; {}</h3>\n<ul>\n{items}</ul>{more}</section>\n",
        group.count,
        escaped(&group.signature)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::testing::{failed, header, part};

    #[test]
    fn the_page_needs_nothing_else_and_shows_what_there_is() {
        let mut part = part(header(0, 2_000, 0, 1), 1_999);
        part.tally.stats.coverage.received[2].0[2] = 1_234_567;
        let page = html(&Merged::alone(&part));
        for sign in ["http:", "https:", "src=", "url(", "@import"] {
            assert!(!page.contains(sign), "{sign}");
        }
        for words in [
            "Nothing was violated.",
            "1 seeds were not run",
            "1,234,567",
            "cargo chaos replay 1998",
            "<th>Accept</th>",
            "never",
        ] {
            assert!(page.contains(words), "{words}");
        }
    }

    #[test]
    fn what_was_missed_is_listed_and_what_cannot_be_is_loud_when_it_is() {
        let mut part = part(header(0, 20, 0, 1), 20);
        let page = html(&Merged::alone(&part));
        assert!(page.contains("<li>Accept while leading</li>"));
        assert!(!page.contains("<li>Accept while forming"), "it is no gap");
        assert!(!page.contains("Reached although it cannot be"));
        part.tally.stats.coverage.received[2].0[1] = 7;
        let merged = Merged::alone(&part);
        let page = html(&merged);
        assert!(page.contains("Reached although it cannot be"));
        assert!(page.contains("<li>Accept while forming, 7 times, although it "));
        let said = "IMPOSSIBLE AND REACHED Accept while forming";
        let text = crate::campaign::text::text(&merged);
        assert!(text.contains(said), "{text}");
        let json = crate::campaign::json::json(&merged);
        assert_eq!(
            json["impossible_and_reached"].as_array().map(Vec::len),
            Some(1)
        );
    }

    #[test]
    fn failures_are_shown_as_text() {
        let mut part = part(header(0, 20, 0, 1), 20);
        part.header.short = true;
        for seed in 0..12 {
            let mut failed = failed(seed, "agreement", "<script>alert(1)</script> & more");
            failed.repeats = seed > 0;
            part.tally.failures.push(failed);
        }
        let page = html(&Merged::alone(&part));
        assert!(page.contains("12 violations, of 1 signatures."), "{page}");
        assert!(page.contains("12 &times; agreement"));
        assert!(page.contains("and 2 more"));
        assert!(
            page.contains("cargo chaos replay 11 --short") || page.contains("replay 9 --short")
        );
        assert_eq!(page.matches("A second run was different.").count(), 1);
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"));
    }
}
