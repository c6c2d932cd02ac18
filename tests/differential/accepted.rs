//! Where ours is meant to say something else than the RabbitMQ it is compared with (3.10): each with its reason. A
//! conversation is compared up to such a place and no further. Everything else that differs is a bug of ours.

use crate::compare::Difference;
use crate::conversation::{Conversation, Step};

/// A difference that was agreed on.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Why ours differs.
    pub(crate) reason: &'static str,
    /// Whether a difference is of this kind: the step (a method's text; empty if it is none), ours, theirs.
    applies: fn(step: &str, ours: &str, theirs: &str) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        reason: "an unknown exchange type closes the channel with 406 (RabbitMQ 3.13 and later), not the connection",
        applies: |_, ours, theirs| {
            ours.contains("unknown exchange type") && (theirs.contains("exchange type") || theirs.is_empty())
        },
    },
    Rule {
        reason: "ours has the exchange types of all plugins; the RabbitMQ compared with has not",
        applies: |step, ours, theirs| {
            step.starts_with("exchange.declare")
                && step.contains("type=x-")
                && (theirs.contains("unknown exchange type")
                    || ours == "exchange.declare-ok" && theirs.is_empty())
        },
    },
    Rule {
        reason: "delivery modes other than 1 and 2 are transient (RabbitMQ 3.13 and later), not refused",
        applies: |_, _, theirs| theirs.contains("delivery_mode_unknown"),
    },
    Rule {
        reason: "asking whether a thing exists wants some right to it (RabbitMQ 4.3)",
        applies: |step, ours, _| step.contains("passive=true") && ours.contains("configure access to"),
    },
    Rule {
        reason: "basic.cancel-ok of a client is taken as the answer to our basic.cancel, not as unimplemented",
        applies: |step, _, theirs| {
            step.starts_with("basic.cancel-ok") && theirs.contains("unimplemented method")
        },
    },
    Rule {
        reason: "a channel that was closed says nothing more; RabbitMQ still resolves an empty queue name on it",
        applies: |_, ours, theirs| {
            theirs.contains("no previously declared queue") && !ours.starts_with("channel.close ")
        },
    },
    Rule {
        reason: "a body longer than its header says ends the connection with 501; RabbitMQ 3.10 takes it as it comes",
        applies: |_, ours, _| ours.contains("longer than its header says"),
    },
    Rule {
        reason: "a method that only a server sends ends the connection with 503; RabbitMQ has other codes for some",
        applies: |step, ours, _| {
            ours.contains("unimplemented method")
                && [
                    "basic.deliver",
                    "basic.return",
                    "basic.get-ok",
                    "connection.blocked",
                    "connection.unblocked",
                ]
                .iter()
                .any(|name| step.split(' ').next() == Some(name))
        },
    },
    Rule {
        reason: "error texts are UTF-8, so bytes of a broken frame are shown as numbers",
        applies: |_, ours, theirs| ours.contains("octets = <<") && theirs.contains("octets = <<\\\""),
    },
    Rule {
        reason: "what comes for a channel that was closed is dropped unread, also contents in disorder",
        applies: |_, ours, theirs| ours.is_empty() && theirs.contains("UNEXPECTED_FRAME"),
    },
    Rule {
        reason: "x-delivery-limit is for classic queues, too",
        applies: |step, ours, theirs| {
            step.contains("x-delivery-limit")
                && ours.starts_with("queue.declare-ok")
                && theirs.contains("x-delivery-limit")
        },
    },
    Rule {
        reason: "a frame that its type does not end is refused by the type, RabbitMQ 3.10 looks at its end first",
        applies: |_, ours, theirs| {
            ours.contains("unknown_frame") && theirs.contains("invalid_frame_end_marker")
        },
    },
    Rule {
        reason: "a message announced too large is refused by its header; RabbitMQ reads it to the end first",
        applies: |_, ours, _| ours.contains("is larger than configured max size"),
    },
    Rule {
        reason: "a login or limits that cannot be are answered at once (403, 530), where RabbitMQ is silent for a while",
        applies: |_, ours, theirs| {
            theirs.is_empty()
                && (ours.contains("Login was refused") || ours.contains("NOT_ALLOWED - negotiated"))
        },
    },
    Rule {
        reason: "a client may say goodbye before it opens a vhost",
        applies: |step, ours, _| step.starts_with("connection.close") && ours == "connection.close-ok",
    },
    Rule {
        reason: "a wrong expiration is told before a wrong user-id (RabbitMQ 4)",
        applies: |_, ours, theirs| ours.contains("invalid expiration") && theirs.contains("user_id property"),
    },
    Rule {
        reason: "the headers of a death are those of RabbitMQ 4: also of the last one, and the reason first",
        applies: |_, ours, theirs| {
            ours.contains("x-last-death-reason=") && theirs.contains("x-first-death-reason=")
        },
    },
    Rule {
        reason: "streams and quorum queues are those of RabbitMQ 4: other words, and x-delivery-count only once it counts",
        applies: |_, ours, theirs| {
            [
                "x-stream-offset",
                "consumer prefetch count is not set",
                "x-delivery-count=0",
                "x-dead-letter-strategy",
            ]
            .iter()
            .any(|words| theirs.contains(words) && !ours.is_empty())
        },
    },
    Rule {
        reason: "a method that the specification does not know ends the connection with 503, also on a channel that is \
                 not open, where RabbitMQ drops the connection without a word",
        applies: |_, ours, theirs| ours.contains("unimplemented method") && theirs.is_empty(),
    },
];

/// The rule for a difference, if there is one.
pub(crate) fn rule(conversation: &Conversation, difference: &Difference) -> Option<&'static Rule> {
    let step = match conversation.steps.get(difference.step) {
        Some(Step::Method { text, .. }) => text.as_str(),
        _ => "",
    };
    RULES.iter().find(|rule| (rule.applies)(step, &difference.ours, &difference.theirs))
}

/// Whether two lines say the same, in the words of RabbitMQ 3.10 or of 4.
pub(crate) fn same_words(ours: &str, theirs: &str) -> bool {
    if ours == theirs {
        return true;
    }
    // Mechanisms have no order.
    if theirs.starts_with("connection.start ") {
        return ours == theirs.replace("AMQPLAIN PLAIN", "PLAIN AMQPLAIN");
    }
    // Long terms are broken into lines by RabbitMQ.
    if let Some((before, after)) = theirs.split_once("\\n  ") {
        return ours == format!("{before}{}", after.trim_start());
    }
    // RabbitMQ 3.10 does not say which kind of access was refused.
    if ours.contains(" access to ") {
        let plain = ["configure ", "write ", "read "]
            .into_iter()
            .fold(ours.to_owned(), |text, kind| text.replace(&format!("{kind}access to"), "access to"));
        return plain == theirs;
    }
    false
}
