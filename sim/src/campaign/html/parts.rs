//! Pieces of the page: escaped text, grouped digits, bars and shades.
//! Knows nothing about campaigns.

use std::fmt::Write as _;

use crate::impossible::reason;

/// Text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How large a count is beside the largest, on a logarithmic scale: 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "a width on a screen: three digits are enough"
)]
pub(super) fn share_of(count: u64, most: u64) -> f64 {
    let log = |count: u64| (count as f64 + 1.0).ln();
    if most == 0 {
        0.0
    } else {
        log(count) / log(most)
    }
}

/// The items of a list.
pub(super) fn items(of: &[String]) -> String {
    let items = of.iter().map(|one| format!("<li>{}</li>", escaped(one)));
    items.collect()
}

/// What a count is called where a number cannot say it: the class of its mark, its word, and why.
fn mark(cell: &str, count: u64) -> Option<(&'static str, String, &'static str)> {
    match (count, reason(cell)) {
        (0, Some(reason)) => Some(("impossible", "cannot be".to_owned(), reason)),
        (0, None) => Some(("never", "never".to_owned(), "no seed reached it")),
        (_, Some(reason)) => Some(("contradiction", grouped(count), reason)),
        (_, None) => None,
    }
}

/// Counts as bars; what was never counted is marked. With the prefix, names are those of cells.
pub(super) fn bars(caption: &str, prefix: &str, names: &[&str], counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut out = format!("<table class=\"bars\"><caption>{caption}</caption><tbody>\n");
    for (name, count) in names.iter().zip(counts) {
        let mark = mark(&format!("{prefix}{name}"), *count);
        let name = escaped(name);
        // Writing to a string cannot fail.
        let _ = if let Some((class, word, why)) = mark {
            writeln!(
                out,
                "<tr class=\"{class}\" title=\"{}\"><th>{name}</th>\
                 <td class=\"number\">{word}</td><td></td></tr>",
                escaped(why)
            )
        } else {
            writeln!(
                out,
                "<tr><th>{name}</th><td class=\"number\">{}</td>\
                 <td><i style=\"width: {:.1}%\"></i></td></tr>",
                grouped(*count),
                share_of(*count, most) * 100.0
            )
        };
    }
    out.push_str("</tbody></table>\n");
    out
}

/// A cell of a matrix, the darker the more.
pub(super) fn cell(name: &str, count: u64, most: u64) -> String {
    if let Some((class, word, why)) = mark(name, count) {
        let why = escaped(why);
        return format!("<td class=\"{class}\" title=\"{why}\"><span>{word}</span></td>");
    }
    let shade = 0.06 + 0.34 * share_of(count, most);
    format!(
        "<td style=\"background: rgba(var(--heat), {shade:.2})\">{}</td>",
        grouped(count)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234), "1,234");
        assert_eq!(grouped(123_456_789), "123,456,789");
    }

    #[test]
    fn the_largest_is_the_whole_width() {
        assert!((share_of(9, 9) - 1.0).abs() < 1e-9);
        assert!(share_of(0, 9) < 1e-9 && share_of(0, 0) < 1e-9);
        let bars = bars("x", "", &["<a>"], &[0]);
        assert!(bars.contains("&lt;a&gt;</th><td class=\"number\">never"));
    }

    #[test]
    fn what_cannot_be_looks_unlike_what_was_missed() {
        let of = |name, count| cell(name, count, 10);
        assert!(of("Accept while leading", 0).contains("class=\"never\""));
        assert!(of("Accept while leading", 3).contains(">3<"));
        assert!(of("Accept while forming", 0).contains("class=\"impossible\""));
        let wrong = of("Accept while forming", 3);
        assert!(
            wrong.contains("class=\"contradiction\"") && wrong.contains(">3<"),
            "{wrong}"
        );
        let bars = bars("x", "notice ", &["Leading", "Ignored: Malformed"], &[0, 0]);
        assert!(
            bars.contains("\"never\"") && bars.contains("\"impossible\""),
            "{bars}"
        );
    }
}
