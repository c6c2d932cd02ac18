//! Why the broker could not start, or had to stop; each kind has its exit code on the command line.

use ledgermq_storage::OpenError;
use std::fmt;
use std::io;

/// Why the broker could not start, or had to stop. The text is a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// A setting cannot be used: exit code 64.
    Configuration(String),
    /// The store is damaged, or not one this version reads: exit code 65. Nothing was changed.
    Corrupt(String),
    /// Input or output failed, another process has the store, or the log is poisoned: exit code 74.
    Io(String),
}

impl ServeError {
    /// Wraps an error of the system with what was being done.
    pub(super) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io(format!("{what}: {error}"))
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) | Self::Corrupt(text) | Self::Io(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<OpenError> for ServeError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::Corrupt(_) | OpenError::Version { .. } => Self::Corrupt(text),
            OpenError::Options(_) => Self::Configuration(text),
            OpenError::Locked { .. } | OpenError::Io { .. } => Self::Io(text),
        }
    }
}
