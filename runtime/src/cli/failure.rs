//! How a command ends: exit codes that scripts can rely on, and one message for people.
//! Knows nothing about the commands.

use std::io::Write;
use std::process::ExitCode;

use chil::config::SettingsError;

/// The exit codes that `chil --help` documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Failed.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Nobody who could serve the request was reached; it had no effect.
    Unavailable = 3,
    /// A write may or may not have been decided.
    Unknown = 4,
    /// The condition of a write did not hold; it changed nothing.
    Condition = 5,
    /// A file is damaged, or not what it should be.
    Damaged = 6,
    /// The log is not there any more where it was asked for.
    Compacted = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, and with which code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{message}"))
    }

    /// The same failure, with what was being done in front of it.
    pub(crate) fn during(self, what: impl std::fmt::Display) -> Self {
        Self {
            exit: self.exit,
            error: anyhow::anyhow!("{what}: {self}"),
        }
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::fmt::Display for Failure {
    /// The error with its causes, but for those that the text before has told already.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut told = String::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            if told.ends_with(&text) {
                continue;
            }
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(&text);
        }
        f.write_str(&told)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// Tells the failure on standard error and gives the code to end with.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "chil: {failure}");
    failure.exit.into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let io = || std::io::Error::other("no room");
        let failure = Failure::from(anyhow::Error::new(io()).context("cannot write"));
        assert_eq!(failure.to_string(), "cannot write: no room");
        let told = Err::<(), _>(io()).context("cannot write: no room");
        let failure = Failure::from(told.unwrap_err()).during("saving");
        assert_eq!(failure.to_string(), "saving: cannot write: no room");
    }
}
