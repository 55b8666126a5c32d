//! Texts that nobody may print: keys and tokens that a layer holds by themselves, not by the name
//! of their file. Knows nothing about what they open.

use std::fmt;

/// What stands in place of a secret wherever it would be shown.
pub(crate) const REDACTED: &str = "'***'";

/// A text that is shown nowhere: not in messages, not by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever uses it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Whether `text` is itself what should stand in a file, rather than the name of one: in the armour
/// of PEM, or without it, which is a mistake that must not be shown either.
pub(crate) fn is_inline(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("-----BEGIN") || text.contains('\n') || is_bare_der(text)
}

/// Whether `text` is DER in base64 and nothing around it. DER of keys and certificates begins with
/// a sequence (0x30), which is an `M`.
fn is_bare_der(text: &str) -> bool {
    /// The shortest private key has 48 bytes: longer than what one calls a file in this directory.
    const LENGTH_MIN: usize = 64;
    let in_alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    text.len() >= LENGTH_MIN && text.starts_with('M') && text.chars().all(in_alphabet)
}

/// Whether `text` holds a private key, wherever it was put by mistake.
pub(crate) fn holds_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret))
                .matches("hunter2")
                .count(),
            0
        );
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_key_is_known_by_its_armour() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
        assert!(is_inline(key) && holds_key(key));
        assert!(
            is_inline("\n-----BEGIN CERTIFICATE-----") && !holds_key("-----BEGIN CERTIFICATE-----")
        );
        assert!(holds_key("-----BEGIN EC PRIVATE KEY-----"));
        assert!(!is_inline("/etc/chil/node.key"));
    }

    #[test]
    fn a_key_without_its_armour_is_no_path() {
        let bare = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF";
        assert!(is_inline(bare) && is_inline("MC4CAQ\nAwBQ"));
        assert!(!is_inline("Makefile") && !is_inline(&bare[..40]));
        assert!(!is_inline(&format!("/{bare}")) && !is_inline(&format!("{bare}.key")));
    }
}
