//! Why the work with a broker ended early. Each is one sentence for a person and an exit code for a script.

use crate::cli::exit::Exit;
use std::{fmt, io};

/// What went wrong.
#[derive(Debug)]
pub(in crate::cli) enum ClientError {
    /// Options that do not go together.
    Usage(String),
    /// Nobody took the connection.
    Unreachable { place: String, source: io::Error },
    /// The broker closed the connection or the channel, with its code and its sentence.
    Closed { scope: &'static str, code: u16, text: String },
    /// The broker let go of the socket without a word.
    HungUp { while_doing: &'static str },
    /// The broker answered nothing for this many seconds.
    Silent { while_doing: String, seconds: u64 },
    /// The broker sent what AMQP does not allow.
    Protocol(String),
    /// Reading or writing failed.
    Io(io::Error),
    /// Another thread has failed and its error counts.
    Aborted,
}

impl ClientError {
    /// The code the program ends with.
    pub(in crate::cli) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Silent { .. } => Exit::Unavailable,
            Self::Closed { .. } | Self::Protocol(_) | Self::Aborted => Exit::Software,
            Self::HungUp { .. } | Self::Io(_) => Exit::Io,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Unreachable { place, source } => write!(f, "no connection to {place}: {source}"),
            Self::Closed { scope, code, text } => write!(f, "the broker closed the {scope}: {code} {text}"),
            Self::HungUp { while_doing } => {
                write!(f, "the broker closed the socket without a word, {while_doing}")
            }
            Self::Silent { while_doing, seconds } => {
                write!(f, "the broker was silent for {seconds} s, {while_doing}")
            }
            Self::Protocol(text) => write!(f, "the broker sent what AMQP 0-9-1 does not allow: {text}"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Aborted => f.write_str("stopped because another connection failed"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for ClientError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<crate::protocol::wire::WireError> for ClientError {
    fn from(error: crate::protocol::wire::WireError) -> Self {
        Self::Protocol(error.to_string())
    }
}
