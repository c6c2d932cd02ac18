//! Why moving ended early: for one queue, after which the next one is tried, or for all of them.

use crate::cli::client::error::ClientError;
use crate::cli::exit::Exit;
use std::fmt;

/// Which of the two brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Target,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// What ended it.
#[derive(Debug)]
pub(super) enum MoveError {
    /// This queue stays as it is, for the reason of the sentence.
    Queue(String),
    /// There is no such queue at the source.
    Missing(String),
    /// Nothing more can be moved over this connection.
    Connection(End, ClientError),
    /// The broker with the list of queues, or the command itself.
    Other(String, Exit),
}

impl MoveError {
    /// A queue's own trouble, if it is no more than that: the channel is closed, the connection stands.
    pub(super) fn at(end: End) -> impl Fn(ClientError) -> Self {
        move |error| match error {
            ClientError::Closed { scope: "channel", code: 404, text } if end == End::Source => {
                Self::Missing(format!("source: 404 {text}"))
            }
            ClientError::Closed { scope: "channel", code, text } => Self::Queue(of_queue(end, code, &text)),
            error => Self::Connection(end, error),
        }
    }

    /// The code the program ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Queue(_) | Self::Missing(_) => Exit::Data,
            Self::Connection(_, error) => error.exit(),
            Self::Other(_, exit) => *exit,
        }
    }
}

/// What a refusal means here, and what to do about it.
fn of_queue(end: End, code: u16, text: &str) -> String {
    let hint = match (end, code) {
        (End::Target, 404) => "; bring in the definitions first: ledgermq ctl import_definitions",
        (_, 405) => "; an exclusive queue belongs to one connection and is not moved",
        (End::Source, 403) => "; the user needs the right to read there, and no consumer may be exclusive",
        (End::Target, 403) => "; the user needs the rights to configure, write and read there",
        (End::Target, 406) if text.contains("user_id") => {
            "; give the user the tag impersonator while messages are moved"
        }
        (End::Target, 406 | 501) if text.contains("size") => "; raise message_bytes_max of the target",
        _ => "",
    };
    format!("{end}: {code} {text}{hint}")
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(text) | Self::Missing(text) | Self::Other(text, _) => f.write_str(text),
            Self::Connection(end, error) => write!(f, "{end}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_closes_is_one_queues_trouble() {
        let closed = |scope, code, text: &str| ClientError::Closed { scope, code, text: text.to_owned() };
        let missing = MoveError::at(End::Target)(closed("channel", 404, "NOT_FOUND - no queue 'q'"));
        assert!(
            missing.to_string().starts_with("target: 404 NOT_FOUND - no queue 'q'; bring in the definitions")
        );
        assert_eq!(missing.exit(), Exit::Data);
        let claimed =
            MoveError::at(End::Target)(closed("channel", 406, "PRECONDITION_FAILED - user_id property"));
        assert!(claimed.to_string().ends_with("impersonator while messages are moved"), "{claimed}");
        let refused = MoveError::at(End::Source)(closed("connection", 403, "ACCESS_REFUSED"));
        assert_eq!(refused.to_string(), "source: the broker closed the connection: 403 ACCESS_REFUSED");
        assert_eq!(refused.exit(), Exit::Software);
    }
}
