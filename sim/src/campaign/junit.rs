//! The summary of a campaign for CI services, as JUnit XML: a test case a signature.
//! Knows nothing about how it was run.

use std::fmt::Write as _;

use super::merge::Merged;
use super::tally::Group;
use super::text::text;
use super::words::{contradictions, replay_command};

/// The XML: one case for the campaign as such, which passes when nothing else is wrong, and a
/// failing one for each signature. The former fails when something came about that is listed as
/// impossible.
#[must_use]
pub fn junit(merged: &Merged) -> String {
    let groups = merged.tally.groups();
    let contradictions = contradictions(merged);
    let seconds = merged.seconds;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\"",
        groups.len() + 1,
        groups.len() + usize::from(!contradictions.is_empty())
    );
    let name = format!("chil-sim {}", merged.header.shard);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<testsuites {counts}>");
    let _ = writeln!(out, "  <testsuite name=\"chil-sim\" {counts}>");
    let _ = writeln!(
        out,
        "    <testcase classname=\"chil-sim\" name=\"{}\" time=\"{seconds:.3}\">\n{}      \
         <system-out>{}</system-out>\n    </testcase>",
        escaped(&name),
        impossible(&contradictions),
        escaped(&text(merged))
    );
    for group in &groups {
        case(group, merged, &mut out);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn impossible(reached: &[String]) -> String {
    if reached.is_empty() {
        return String::new();
    }
    format!(
        "      <failure type=\"coverage\" message=\"impossible, and reached\">{}</failure>\n",
        escaped(&reached.join("\n"))
    )
}

fn case(group: &Group<'_>, merged: &Merged, out: &mut String) {
    let check = group.failures.first().map_or("", |f| f.check.as_str());
    let times = if group.count == 1 {
        "once"
    } else {
        "more than once"
    };
    let mut words = format!("{} failures, the first ones:\n", group.count);
    for failed in &group.failures {
        let (run, sentence) = (&failed.token, failed.sentence());
        let _ = writeln!(words, "{}  # {sentence}", replay_command(merged, run));
    }
    let _ = writeln!(
        out,
        "    <testcase classname=\"chil-sim.{}\" name=\"{}\" time=\"0\">\n      \
         <failure type=\"{}\" message=\"violated {times}\">{}</failure>\n    </testcase>",
        escaped(check),
        escaped(&group.signature),
        escaped(check),
        escaped(&words)
    );
}

/// Text as XML 1.0 can hold it: with entities, and without the characters that it has no way to
/// write.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                out.push(c);
            }
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::testing::{failed, header, part, well_formed};

    #[test]
    fn a_clean_campaign_is_one_passing_case() {
        let xml = junit(&Merged::alone(&part(header(0, 20, 0, 1), 20)));
        assert_eq!(well_formed(&xml), Ok(()));
        assert!(xml.contains("tests=\"1\" failures=\"0\""), "{xml}");
        assert!(xml.contains("name=\"chil-sim seeds 0..20\""), "{xml}");
    }

    #[test]
    fn what_is_reached_and_impossible_fails_the_campaign_itself() {
        let mut part = part(header(0, 20, 0, 1), 20);
        part.tally.stats.coverage.received[2].0[1] = 1;
        let xml = junit(&Merged::alone(&part));
        assert_eq!(well_formed(&xml), Ok(()));
        assert!(xml.contains("tests=\"1\" failures=\"1\""), "{xml}");
        assert!(xml.contains("Accept while forming"), "{xml}");
    }

    #[test]
    fn a_signature_is_a_failing_case_whatever_it_says() {
        let mut part = part(header(0, 20, 0, 1), 20);
        for seed in [3, 4] {
            let what = format!("a < b && \"c\" > 'd' ]]> \u{1b}[31m \u{0} {seed} \u{ffff}");
            part.tally.failures.push(failed(seed, "agreement", &what));
        }
        part.tally.failures.push(failed(5, "bounds", ""));
        let xml = junit(&Merged::alone(&part));
        assert_eq!(well_formed(&xml), Ok(()));
        assert!(xml.contains("tests=\"3\" failures=\"2\""), "{xml}");
        assert_eq!(xml.matches("<failure ").count(), 2);
        assert!(xml.contains("a &lt; b &amp;&amp; &quot;c&quot;"), "{xml}");
        assert!(xml.contains("cargo chaos replay 4"), "{xml}");
        assert!(
            !xml.contains('\u{1b}') && !xml.contains('\u{ffff}'),
            "{xml}"
        );
    }
}
