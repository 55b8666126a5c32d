//! What is wrong with a configuration: the key, the place it came from, and what to write instead.
//! Knows nothing about how the layers are read.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Where a value was set. Later variants win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, from 1; 0 where it is not known.
        line: u64,
    },
    /// An environment variable.
    Env(Cow<'static, str>),
    /// A file that an environment variable names.
    EnvFile {
        /// The file as it was named.
        path: PathBuf,
        /// The variable.
        variable: String,
    },
    /// A flag of the command line.
    Flag(&'static str),
    /// The program that embeds the node.
    Builder,
}

impl Origin {
    /// Of two layers the one with the higher rank wins.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Env(_) | Self::EnvFile { .. } => 2,
            Self::Flag(_) => 3,
            Self::Builder => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "in {}", path.display()),
            Self::File { path, line } => write!(f, "in {} line {line}", path.display()),
            Self::Env(name) => write!(f, "from {name}"),
            Self::EnvFile { path, variable } => {
                write!(f, "from the file {}, named by {variable}", path.display())
            }
            Self::Flag(name) => write!(f, "from {name}"),
            Self::Builder => f.write_str("set in code"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The full name of the key, for example `consensus.peers`; empty when it is about a whole
    /// file.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.origin) {
            (key, Origin::Default) => write!(f, "{key}: {}", self.what),
            (key, origin) if key.is_empty() => {
                let place = origin.to_string();
                write!(f, "{}: {}", place.trim_start_matches("in "), self.what)
            }
            (key, origin) => write!(f, "{key} {origin}: {}", self.what),
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// At least one problem, in the order of the keys.
    pub problems: Vec<Problem>,
}

impl From<Problem> for SettingsError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}
