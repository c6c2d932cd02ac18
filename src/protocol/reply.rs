//! Reply codes and the errors that carry them. The scope of an error is its type: a [`ChannelError`] ends a channel, a
//! [`ConnectionError`] the connection. The text is what clients and people match on, so it is RabbitMQ's, word for word.
//! Source: AMQP 0-9-1 §1.2 (constants); RabbitMQ: `rabbit_misc`, `rabbit_binary_generator:map_exception`.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The number on the wire.
            pub fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name that leads the reply text.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// Codes that end a channel.
    ChannelCode {
        /// Body larger than allowed.
        ContentTooLarge = 311, "CONTENT_TOO_LARGE";
        /// No right to do that, or a reserved name.
        AccessRefused = 403, "ACCESS_REFUSED";
        /// No such queue or exchange.
        NotFound = 404, "NOT_FOUND";
        /// Exclusive to another connection.
        ResourceLocked = 405, "RESOURCE_LOCKED";
        /// Inequivalent or invalid arguments, unknown delivery tag, in use, not empty.
        PreconditionFailed = 406, "PRECONDITION_FAILED";
    }
}

codes! {
    /// Codes that end a connection.
    ConnectionCode {
        /// Closed by an operator or at shutdown.
        ConnectionForced = 320, "CONNECTION_FORCED";
        /// Login refused.
        AccessRefused = 403, "ACCESS_REFUSED";
        /// A frame that cannot be.
        FrameError = 501, "FRAME_ERROR";
        /// Fields of a method that cannot be.
        SyntaxError = 502, "SYNTAX_ERROR";
        /// Not now, or unknown.
        CommandInvalid = 503, "COMMAND_INVALID";
        /// On a channel that is not open, or open twice.
        ChannelError = 504, "CHANNEL_ERROR";
        /// A frame out of order.
        UnexpectedFrame = 505, "UNEXPECTED_FRAME";
        /// Not enough of something.
        ResourceError = 506, "RESOURCE_ERROR";
        /// Vhost, limits, tuning, tag reuse.
        NotAllowed = 530, "NOT_ALLOWED";
        /// The broker does not do that.
        NotImplemented = 540, "NOT_IMPLEMENTED";
        /// A fault of ours.
        InternalError = 541, "INTERNAL_ERROR";
    }
}

macro_rules! error {
    ($(#[$doc:meta])* $name:ident($code:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// What is wrong.
            pub code: $code,
            /// The explanation, without the leading name.
            pub explanation: String,
        }

        impl $name {
            /// An error with this explanation.
            pub fn new(code: $code, explanation: impl Into<String>) -> Self {
                Self { code, explanation: explanation.into() }
            }

            /// `NAME - explanation`, at most 255 bytes (cut with `...` on a character boundary).
            pub fn reply_text(&self) -> String {
                reply_text(self.code.name(), &self.explanation)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.code.code(), self.reply_text())
            }
        }

        impl std::error::Error for $name {}
    };
}

error! {
    /// Ends the channel with channel.close.
    ChannelError(ChannelCode)
}
error! {
    /// Ends the connection with connection.close.
    ConnectionError(ConnectionCode)
}

/// 312: a mandatory message no queue took.
pub const NO_ROUTE: (u16, &str) = (312, "NO_ROUTE");

const REPLY_TEXT_BYTES_MAX: usize = 255;

fn reply_text(name: &str, explanation: &str) -> String {
    let mut text = format!("{name} - {explanation}");
    if text.len() > REPLY_TEXT_BYTES_MAX {
        let mut end = REPLY_TEXT_BYTES_MAX - 3;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}
