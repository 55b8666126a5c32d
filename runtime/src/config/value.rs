//! From what a person wrote to numbers, spans of time, sizes and lists.
//! Knows nothing about keys or where a value came from.

use std::fmt;
use std::time::Duration;

use super::peer::Peer;
use super::secret::{REDACTED, Secret, holds_key};

/// A value as a layer holds it, before anybody knows what it should be.
#[derive(Clone, PartialEq)]
pub enum Raw {
    /// Text: all that environment and flags know.
    Text(String),
    /// A whole number of a file.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list of nodes.
    Peers(Vec<Peer>),
    /// A text that is not to be shown.
    Secret(Secret),
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peers(peers) => f.debug_tuple("Peers").field(peers).finish(),
            other => f.write_str(&other.shown()),
        }
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Raw {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Raw {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<Vec<Peer>> for Raw {
    fn from(peers: Vec<Peer>) -> Self {
        Self::Peers(peers)
    }
}

impl Raw {
    /// How to show it in a message.
    pub(crate) fn shown(&self) -> String {
        match self {
            secret if secret.is_secret() => REDACTED.to_owned(),
            Self::Secret(_) => REDACTED.to_owned(),
            Self::Text(text) => format!("'{text}'"),
            Self::Integer(number) => format!("'{number}'"),
            Self::Float(number) => format!("'{number}'"),
            Self::Bool(value) => format!("'{value}'"),
            Self::Peers(_) => "a list".to_owned(),
        }
    }

    /// Whether it must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Text(text) => holds_key(text),
            Self::Integer(_) | Self::Float(_) | Self::Bool(_) | Self::Peers(_) => false,
        }
    }

    /// Any text. A number is taken as its digits, but a fraction is not: `1.10` would become `1.1`.
    pub(crate) fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) if text.trim().is_empty() => Err("must not be empty".to_owned()),
            Self::Text(text) => Ok(text.trim().to_owned()),
            Self::Secret(secret) if secret.reveal().trim().is_empty() => {
                Err("must not be empty".to_owned())
            }
            Self::Secret(secret) => Ok(secret.reveal().trim().to_owned()),
            Self::Integer(number) => Ok(number.to_string()),
            Self::Float(_) | Self::Bool(_) => {
                Err(format!("{} must stand in quotes to be text", self.shown()))
            }
            Self::Peers(_) => Err("must be one value, not a list".to_owned()),
        }
    }

    /// `true` or `false`.
    pub(crate) fn bool(&self) -> Result<bool, String> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Peers(_)
            | Self::Secret(_) => Err(format!("{} is neither true nor false", self.shown())),
        }
    }

    /// A whole number in `range`.
    pub(crate) fn integer(&self, min: u32, max: u32) -> Result<u32, String> {
        let number = match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Float(_) | Self::Bool(_) | Self::Peers(_) | Self::Secret(_) => None,
        };
        number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| {
                format!(
                    "{} must be a whole number from {min} to {max}",
                    self.shown()
                )
            })
    }

    /// A span of time with its unit.
    pub(crate) fn duration(&self) -> Result<Duration, String> {
        let bad = || {
            format!(
                "{} is no span of time: write a number and its unit, for example 500ms, 2s or 1m",
                self.shown()
            )
        };
        let Self::Text(text) = self else {
            return Err(bad());
        };
        let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
        let nanos_each: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        let nanos = number
            .checked_mul(nanos_each)
            .filter(|nanos| *nanos <= SPAN_MAX.as_nanos() as u64)
            .ok_or_else(|| format!("{} is too long: the most is 24h", self.shown()))?;
        if nanos == 0 {
            return Err(format!("{} must be greater than 0", self.shown()));
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// A number of bytes, with or without a unit.
    pub(crate) fn bytes(&self) -> Result<u64, String> {
        let bad = || {
            format!(
                "{} is no size: write bytes, or a number and its unit, for example 64KiB or 1MiB",
                self.shown()
            )
        };
        let size = match self {
            Self::Integer(number) => u64::try_from(*number).map_err(|_| bad())?,
            Self::Text(text) => {
                let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
                let each: u64 = match unit {
                    "" | "B" => 1,
                    "kB" | "KB" => 1_000,
                    "MB" => 1_000_000,
                    "GB" => 1_000_000_000,
                    "KiB" => 1 << 10,
                    "MiB" => 1 << 20,
                    "GiB" => 1 << 30,
                    _ => return Err(bad()),
                };
                number.checked_mul(each).ok_or_else(bad)?
            }
            Self::Float(_) | Self::Bool(_) | Self::Peers(_) | Self::Secret(_) => return Err(bad()),
        };
        if size == 0 {
            return Err(format!("{} must be greater than 0", self.shown()));
        }
        Ok(size)
    }

    /// A list of nodes; as text, separated by commas.
    pub(crate) fn peers(&self) -> Result<Vec<Peer>, String> {
        match self {
            Self::Peers(peers) => Ok(peers.clone()),
            Self::Text(text) => text
                .split(',')
                .filter(|item| !item.trim().is_empty())
                .map(|item| Peer::listed(item).map_err(|error| error.to_string()))
                .collect(),
            Self::Integer(_) | Self::Float(_) | Self::Bool(_) | Self::Secret(_) => {
                Err(format!("{} is no list of addresses", self.shown()))
            }
        }
    }
}

/// The longest span that a setting may have.
const SPAN_MAX: Duration = Duration::from_secs(24 * 3600);

/// `250ms` is `(250, "ms")`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_has_a_unit() {
        let span = |text: &str| Raw::from(text).duration();
        assert_eq!(span("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(span("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(span("3m"), Ok(Duration::from_secs(180)));
        for bad in ["500", "", "s", "1 parsec", "-1s", "1.5s"] {
            assert!(span(bad).unwrap_err().contains("500ms, 2s or 1m"), "{bad}");
        }
        assert!(Raw::Integer(5).duration().unwrap_err().contains("unit"));
        assert!(span("0s").unwrap_err().contains("greater than 0"));
        assert!(span("25h").unwrap_err().contains("24h"));
        assert!(span("99999999999999999999s").is_err());
        assert!(span("9999999999999999999h").unwrap_err().contains("24h"));
    }

    #[test]
    fn a_size_may_have_a_unit() {
        let size = |text: &str| Raw::from(text).bytes();
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 MB"), Ok(1_000_000));
        assert_eq!(Raw::Integer(7).bytes(), Ok(7));
        for bad in ["", "KiB", "1 furlong", "-5", "18446744073709551615GiB"] {
            assert!(size(bad).unwrap_err().contains("64KiB or 1MiB"), "{bad}");
        }
        assert!(size("0").unwrap_err().contains("greater than 0"));
    }

    #[test]
    fn numbers_and_booleans_are_strict() {
        assert_eq!(Raw::from("8").integer(1, 10), Ok(8));
        assert_eq!(Raw::Integer(8).integer(1, 10), Ok(8));
        for bad in [
            Raw::Integer(11),
            Raw::Integer(-1),
            Raw::Float(8.5),
            Raw::from("eight"),
        ] {
            assert!(bad.integer(1, 10).unwrap_err().contains("from 1 to 10"));
        }
        assert_eq!(Raw::from("TRUE").bool(), Ok(true));
        assert_eq!(Raw::Bool(false).bool(), Ok(false));
        assert!(
            Raw::from("yes")
                .bool()
                .unwrap_err()
                .contains("true nor false")
        );
    }

    #[test]
    fn text_never_loses_what_was_written() {
        assert_eq!(Raw::Integer(7).text(), Ok("7".to_owned()));
        assert!(Raw::Float(1.1).text().unwrap_err().contains("in quotes"));
        assert!(Raw::Bool(true).text().unwrap_err().contains("in quotes"));
        assert!(Raw::from("  ").text().unwrap_err().contains("empty"));
    }

    #[test]
    fn peers_as_text_are_separated_by_commas() {
        let peers = Raw::from("a:1, b = h:2,").peers().unwrap();
        assert_eq!(peers, [Peer::at("a:1"), Peer::at("h:2").named("b")]);
        assert!(
            Raw::from("a:0")
                .peers()
                .unwrap_err()
                .contains("no usable port")
        );
    }
}
