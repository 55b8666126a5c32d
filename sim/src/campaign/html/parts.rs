//! Pieces of the page: escaped text, grouped digits, bars and shades.
//! Knows nothing about campaigns.

use std::fmt::Write as _;

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

/// Counts as bars; what was never counted is marked.
pub(super) fn bars(caption: &str, names: &[&str], counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut out = format!("<table class=\"bars\"><caption>{caption}</caption><tbody>\n");
    for (name, count) in names.iter().zip(counts) {
        let name = escaped(name);
        // Writing to a string cannot fail.
        let _ = if *count == 0 {
            writeln!(
                out,
                "<tr class=\"never\"><th>{name}</th><td class=\"number\">never</td><td></td></tr>"
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
pub(super) fn cell(count: u64, most: u64) -> String {
    if count == 0 {
        return "<td class=\"never\"><span>never</span></td>".to_owned();
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
        assert!(bars("x", &["<a>"], &[0]).contains("&lt;a&gt;</th><td class=\"number\">never"));
    }
}
