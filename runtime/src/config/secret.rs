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

/// Whether `text` holds something in the armour of PEM, rather than naming a file that does.
pub(crate) fn is_pem(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN")
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
        assert!(is_pem(key) && holds_key(key));
        assert!(
            is_pem("\n-----BEGIN CERTIFICATE-----") && !holds_key("-----BEGIN CERTIFICATE-----")
        );
        assert!(holds_key("-----BEGIN EC PRIVATE KEY-----"));
        assert!(!is_pem("/etc/chil/node.key"));
    }
}
