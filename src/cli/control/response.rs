//! What the broker answers over the control socket.

use crate::cli::figures::Figures;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of a listing: column names to values. It holds every column there is; the client picks.
pub type Row = Map<String, Value>;

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ControlResponse {
    /// It is done, and durable.
    Done,
    /// A listing.
    Rows {
        /// Its lines.
        rows: Vec<Row>,
    },
    /// A line to print; empty = none.
    Text {
        /// The line.
        text: String,
    },
    /// Counters and how things stand.
    Figures {
        /// Them.
        figures: Box<Figures>,
    },
    /// A queue is gone or empty.
    Removed {
        /// Messages that went.
        message_count: u64,
    },
    /// It was not done.
    Refused {
        /// What kind of reason, for the exit code.
        reason: RefusalReason,
        /// A sentence for a person.
        message: String,
    },
}

/// Why something was not done; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The request means nothing, or has a value that is not allowed.
    Usage,
    /// What was asked cannot be, in the broker's words.
    Invalid,
    /// No such vhost.
    NoSuchVhost,
    /// No such user.
    NoSuchUser,
    /// No such queue.
    NoSuchQueue,
    /// There is one already, or the operation does not fit the state.
    Conflict,
    /// Not now: starting, stopping, or the disk refuses.
    Unavailable,
    /// A login that is not right.
    AccessRefused,
}

impl ControlResponse {
    /// A refusal.
    pub fn refused(reason: RefusalReason, message: impl Into<String>) -> Self {
        Self::Refused { reason, message: message.into() }
    }
}
