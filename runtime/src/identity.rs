//! Who somebody is by certificate: a node, or a client with a role; and the URI that says so.
//! Knows nothing about certificates nor how they are checked.
//!
//! The URI is `chil://DOMAIN/KIND/NAME`: the domain of trust, one of `node`, `read`, `write` and
//! `admin`, and the name, percent-encoded where it is not a letter, a digit or one of `-._~`. It
//! is a URI and no DNS name, since a name of a node is any text, since wildcards must mean
//! nothing, and since a web server's certificate by the same authority must not be a node's.

use std::fmt;
use std::str::FromStr;

/// What a client may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read, watch, ask for the status.
    Read,
    /// Propose, too.
    Write,
    /// Move the leadership and take snapshots, too.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its name, as it stands in URIs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| IdentityError::Role(text.to_owned()))
    }
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A node, which may open links to others, and is no client.
    Node,
    /// A client, which is never a peer.
    Client(Role),
}

impl Kind {
    const NODE: &'static str = "node";

    /// Its name, as it stands in URIs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => Self::NODE,
            Self::Client(role) => role.name(),
        }
    }
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    domain: String,
    kind: Kind,
    name: String,
}

/// Why something is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It does not begin as one, or has more or fewer parts.
    #[error("'{0}' is no chil://DOMAIN/KIND/NAME")]
    Form(String),
    /// The domain is none.
    #[error("'{0}' is no domain of trust: use small letters, digits, dots and hyphens")]
    Domain(String),
    /// The kind is not known.
    #[error("'{0}' is no kind of identity: it is node, read, write or admin")]
    Kind(String),
    /// The role is not known.
    #[error("'{0}' is no role: it is read, write or admin")]
    Role(String),
    /// The name is empty, too long, or has control characters.
    #[error("the name '{0}' cannot be used: it has 1 to 255 bytes and no control characters")]
    Name(String),
    /// The same identity is written in another way.
    #[error("'{0}' has to be written '{1}'")]
    Canonical(String, String),
}

/// Where identities begin.
pub(crate) const SCHEME: &str = "chil://";
const NAME_BYTES_MAX: usize = 255;
const DOMAIN_BYTES_MAX: usize = 253;
/// No URI that is valid is longer: each byte of a name takes three at most.
const URI_BYTES_MAX: usize = SCHEME.len() + DOMAIN_BYTES_MAX + 8 + 3 * NAME_BYTES_MAX;

impl Identity {
    /// The domain of trust where none is set.
    pub const DOMAIN_DEFAULT: &'static str = "local";

    /// An identity.
    ///
    /// # Errors
    /// A domain or a name that cannot be one.
    pub fn new(domain: &str, kind: Kind, name: &str) -> Result<Self, IdentityError> {
        check_domain(domain)?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(IdentityError::Name(shown(name)));
        }
        Ok(Self {
            domain: domain.to_owned(),
            kind,
            name: name.to_owned(),
        })
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// Whatever [`Self::uri`] does not make.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form(shown(uri));
        if uri.len() > URI_BYTES_MAX {
            return Err(form());
        }
        let rest = uri.strip_prefix(SCHEME).ok_or_else(form)?;
        let mut parts = rest.split('/');
        let (Some(domain), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let kind = match kind {
            Kind::NODE => Kind::Node,
            role => Kind::Client(role.parse().map_err(|_| IdentityError::Kind(shown(kind)))?),
        };
        let name = decoded(name).ok_or_else(form)?;
        let identity = Self::new(domain, kind, &name)?;
        // One identity, one text: nobody has to wonder whether two that differ mean the same.
        let canonical = identity.uri();
        if canonical != uri {
            return Err(IdentityError::Canonical(shown(uri), canonical));
        }
        Ok(identity)
    }

    /// The URI that says it.
    #[must_use]
    pub fn uri(&self) -> String {
        let (domain, kind) = (&self.domain, self.kind.name());
        let mut uri = format!("{SCHEME}{domain}/{kind}/");
        for byte in self.name.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri.push_str(&format!("%{byte:02X}"));
            }
        }
        uri
    }

    /// The domain of trust.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

/// Whether `domain` can be a domain of trust.
pub(crate) fn check_domain(domain: &str) -> Result<(), IdentityError> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |label: &str| !label.is_empty() && label.chars().all(letter);
    if domain.len() <= DOMAIN_BYTES_MAX && domain.split('.').all(label) {
        Ok(())
    } else {
        Err(IdentityError::Domain(shown(domain)))
    }
}

/// Undoes percent-encoding; `None` where it is none, or no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Text of strangers, so that it harms no terminal and no log.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 128;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_are_read_as_they_are_written() {
        let cases = [
            (Kind::Node, "node-1", "chil://local/node/node-1"),
            (
                Kind::Client(Role::Read),
                "a b/ü",
                "chil://local/read/a%20b%2F%C3%BC",
            ),
            (Kind::Client(Role::Admin), "..", "chil://local/admin/.."),
        ];
        for (kind, name, uri) in cases {
            let identity = Identity::new("local", kind, name).unwrap();
            assert_eq!(identity.uri(), uri);
            assert_eq!(Identity::parse(uri), Ok(identity));
        }
    }

    #[test]
    fn what_is_no_identity_is_told_apart() {
        let long = format!("chil://local/node/{}", "a".repeat(300));
        let huge = format!("chil://local/node/{}", "a".repeat(5_000));
        for (uri, what) in [
            ("spiffe://local/node/a", "is no chil://"),
            ("chil://local/node", "is no chil://"),
            ("chil://local/node/a/b", "is no chil://"),
            ("chil://local/node/%zz", "is no chil://"),
            ("chil://local/node/%ff", "is no chil://"),
            ("chil://local/node/%4", "is no chil://"),
            (huge.as_str(), "is no chil://"),
            ("chil:///node/a", "domain of trust"),
            ("chil://Local/node/a", "domain of trust"),
            ("chil://local./node/a", "domain of trust"),
            ("chil://local/peer/a", "no kind"),
            ("chil://local/Node/a", "no kind"),
            ("chil://local/node/", "cannot be used"),
            (long.as_str(), "cannot be used"),
            ("chil://local/node/%0A", "cannot be used"),
            ("chil://local/node/%61", "has to be written"),
            ("chil://local/node/a%2f", "has to be written"),
            ("chil://local/node/a b", "has to be written"),
        ] {
            let error = Identity::parse(uri).unwrap_err().to_string();
            assert!(error.contains(what), "{uri}: {error}");
            assert!(error.len() < 1_500 && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn roles_rise() {
        assert!(Role::Read < Role::Write && Role::Write < Role::Admin);
        assert!("node".parse::<Role>().is_err());
    }

    proptest! {
        #[test]
        fn every_name_survives(name in "\\PC{1,60}") {
            let identity = Identity::new("a.b-1", Kind::Node, &name).unwrap();
            prop_assert_eq!(Identity::parse(&identity.uri()), Ok(identity));
        }

        #[test]
        fn no_text_panics_and_what_is_taken_is_canonical(uri in "(chil://)?[a-z%/.0-9A-F]{0,40}") {
            if let Ok(identity) = Identity::parse(&uri) {
                prop_assert_eq!(identity.uri(), uri);
            }
        }
    }
}
