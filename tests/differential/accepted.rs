//! Where ours is meant to say something else than the RabbitMQ it is compared with (3.10): each with its reason. A
//! conversation is compared up to such a place and no further. Everything else that differs is a bug of ours.

use crate::compare::Difference;
use crate::conversation::{Conversation, Heard, Line, QUEUES, Step};
use crate::support::notation::{self, Item};
use crate::support::wire;

/// A difference that was agreed on and shows in one step.
struct Rule {
    /// Why ours differs.
    reason: &'static str,
    /// Whether a difference is of this kind: the step (a method's text; empty if it is none), ours, theirs.
    applies: fn(step: &str, ours: &str, theirs: &str) -> bool,
}

/// Why what a failed channel held may be seen elsewhere.
const FAILED: &str = "a channel that fails gives back at once what it held; in RabbitMQ its client has to \
    agree to its end first";

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
        applies: |_, ours, theirs| {
            ours.contains("is larger than configured max size")
                && (theirs.is_empty() || theirs.contains("UNEXPECTED_FRAME"))
        },
    },
    Rule {
        reason: "a login or limits that cannot be are answered at once (403, 530), where RabbitMQ is silent for a while",
        applies: |_, ours, theirs| {
            theirs.is_empty()
                && ["Login was refused", "NOT_ALLOWED - negotiated"].iter().any(|words| ours.contains(words))
        },
    },
    Rule {
        reason: "a client may say goodbye before it opens a vhost",
        applies: |step, ours, _| step.starts_with("connection.close") && ours == "connection.close-ok",
    },
    Rule {
        reason: "of several things wrong with a publish the first is told in this order: expiration, CC and BCC, topic, \
                 user-id; RabbitMQ's orders differ by version",
        applies: |_, ours, theirs| {
            let order =
                ["invalid expiration", "unacceptable_type_in_header", "access to topic", "user_id property"];
            let place = |text: &str| order.iter().position(|words| text.contains(words));
            matches!((place(ours), place(theirs)), (Some(ours), Some(theirs)) if ours < theirs)
        },
    },
    Rule {
        reason: "streams are those of RabbitMQ 4: other words for consumers without a prefetch or acknowledgements, fewer \
                 arguments",
        applies: |_, ours, theirs| {
            [
                "consumer prefetch count is not set",
                "automatic acknowledgement not supported",
                "x-dead-letter-strategy",
            ]
            .iter()
            .any(|words| theirs.contains(words) && !ours.is_empty())
        },
    },
    Rule {
        reason: "streams have filters (RabbitMQ 3.13 and later), whose argument is looked at",
        applies: |step, ours, _| {
            step.contains("x-stream-filter-size-bytes") && ours.contains("x-stream-filter-size-bytes")
        },
    },
    Rule {
        reason: "to nack or reject a message of a stream gives credit (RabbitMQ 4)",
        applies: |_, _, theirs| theirs.contains("basic.nack and basic.reject not supported by stream queues"),
    },
    Rule {
        reason: "basic.recover gives credit for what streams have delivered; RabbitMQ 3.10 falls over it (541)",
        applies: |step, _, theirs| step.starts_with("basic.recover") && theirs.contains("INTERNAL_ERROR"),
    },
    Rule {
        reason: "quorum queues are deleted only if unused or empty where that is asked; RabbitMQ does not do that (540)",
        applies: |step, _, theirs| step.starts_with("queue.delete") && theirs.contains("NOT_IMPLEMENTED"),
    },
    Rule {
        reason: "a method that cannot be read is told as such also where none is due",
        applies: |_, ours, theirs| {
            ours.contains("FRAME_ERROR - cannot decode") && theirs.contains("UNEXPECTED_FRAME")
        },
    },
    Rule {
        reason: "of contents in disorder the frame told as missing is that of the channel's state; RabbitMQ may have left it",
        applies: |_, ours, theirs| ours.contains("UNEXPECTED_FRAME") && theirs.contains("UNEXPECTED_FRAME"),
    },
    Rule {
        reason: "a method at the wrong time of the handshake ends the connection with 503 at once; RabbitMQ says 504 or 505, \
                 or is silent for a while",
        applies: |_, ours, theirs| {
            ours.contains("unexpected method in connection state")
                && (theirs.is_empty() || theirs.starts_with("connection.close "))
        },
    },
    Rule {
        reason: "rights that dead letters and alternate exchanges want are asked at each declaration, not only at the first",
        applies: |step, ours, theirs| {
            (step.contains("x-dead-letter-exchange") || step.contains("alternate-exchange"))
                && ours.contains("ACCESS_REFUSED")
                && !theirs.contains("ACCESS_REFUSED")
        },
    },
    Rule {
        reason: "the answer to tx.commit comes before what the transaction delivers to the channel itself",
        applies: |step, ours, theirs| {
            step.starts_with("tx.commit") && ours == "tx.commit-ok" && theirs.starts_with("basic.deliver ")
        },
    },
    Rule {
        reason: "who asks whether its own direct replies are there is answered; RabbitMQ waits for itself",
        applies: |step, ours, theirs| {
            step.starts_with("queue.declare queue=$")
                && ours.starts_with("queue.declare-ok")
                && theirs.is_empty()
        },
    },
    Rule {
        reason: "amq.rabbitmq.reply-to is refused in bindings as what it is (RabbitMQ 4)",
        applies: |_, ours, _| ours.contains("cannot bind or unbind to a volatile (direct reply-to) queue"),
    },
    Rule {
        reason: "fields and properties that cannot be read end the connection with 501 or 502; RabbitMQ 3.10 falls over them, with \
                 541 or without a word",
        applies: |_, ours, theirs| {
            [
                "SYNTAX_ERROR - cannot decode",
                "SYNTAX_ERROR - unknown field type",
                "FRAME_ERROR - cannot decode",
            ]
            .iter()
            .any(|words| ours.contains(words))
                && (theirs.is_empty() || theirs.contains("INTERNAL_ERROR"))
        },
    },
    Rule {
        reason: "an exchange or routing key of a publish, or a name in a table, that is no UTF-8 ends the connection with 501 as it does in any \
                 other method; RabbitMQ looks at those later or never",
        applies: |step, ours, theirs| {
            (step.starts_with("basic.publish") || step.is_empty())
                && ours.contains("Malformed UTF-8")
                && theirs.is_empty()
        },
    },
    Rule {
        reason: "an unknown type is refused (406) also for a queue without a name, over which RabbitMQ falls (541)",
        applies: |_, ours, theirs| ours.contains("unsupported queue type") && theirs.is_empty(),
    },
    Rule {
        reason: "a direct reply that finds its receiver counts as routed (RabbitMQ 4.2)",
        applies: |step, ours, theirs| {
            step.contains("routing-key=$") && theirs.contains("NO_ROUTE") && !ours.contains("NO_ROUTE")
        },
    },
    Rule {
        reason: "consumers of a queue that goes are told of it in the order in which they came, whatever their priorities",
        applies: |_, ours, theirs| ours.starts_with("basic.cancel ") && theirs.starts_with("basic.cancel "),
    },
    Rule {
        reason: "a name of line breaks only is the empty one, which stands for the queue declared last",
        applies: |step, ours, _| {
            (step.contains("\"\\n\"") || step.contains("\"\\r\""))
                && ours.contains("no previously declared queue")
        },
    },
    Rule {
        reason: "exclusive consumers have a quorum queue for themselves, too",
        applies: |step, ours, theirs| {
            step.starts_with("basic.consume")
                && ours.contains("in exclusive use")
                && (theirs.is_empty() || theirs.starts_with("basic.consume-ok"))
        },
    },
    Rule {
        reason: "amq.rabbitmq.reply-to is not the queue declared last, also where its presence was asked",
        applies: |_, ours, _| ours.contains("no queue 'amq.rabbitmq.reply-to'"),
    },
    Rule {
        reason: "names without control characters only",
        applies: |_, ours, _| ours.contains("contains control characters"),
    },
    Rule {
        reason: "a method that the specification does not know ends the connection with 503, also on a channel that is \
                 not open, where RabbitMQ drops the connection without a word",
        applies: |_, ours, theirs| ours.contains("unimplemented method") && theirs.is_empty(),
    },
];

/// Why a stream says how much it holds.
const STREAM_COUNTED: &str = "how many messages a stream holds is told at once when it is declared again or \
    deleted; RabbitMQ says 0, or the number of some seconds ago";

/// Why a quorum queue has other counts.
const QUORUM_COUNTED: &str =
    "the counts of a quorum queue are those of the moment; RabbitMQ's are of one before";

/// Why messages may be gone that RabbitMQ has.
const TTL_FOR_ALL: &str =
    "a policy's time to live counts for what waits already, too, from the moment it is set";

/// Why messages that came back to a quorum queue may be in another order.
const RETURNED: &str = "what comes back to a quorum queue takes its old place; RabbitMQ has it in the order in \
    which it came back";

/// Why deliveries may come in another order.
const SEVERAL_QUEUES: &str =
    "a channel that consumes from several queues gets what comes to them at once in any order";

/// Why a publish may have no answer, and no consumer that it wakes on the connection that ends.
const UNCONFIRMED: &str = "what was published right before a fault that ends the connection is not confirmed any \
    more, nor delivered on it";

/// Why more messages may be left after a policy.
const LENGTH_AND_OVERFLOW: &str = "a policy that brings a length and `reject-publish` drops nothing of what waits; RabbitMQ \
    takes the length first, and drops what is above it by the overflow there was before";

/// Why urgent messages may come earlier.
const URGENT: &str = "quorum queues have urgent messages (RabbitMQ 4.0), those of a priority above 4, which go before \
    others, also where one has to go for a length";

/// Why delivery tags may be higher behind a direct reply.
const REPLY_TAGS: &str = "a direct reply has a delivery tag of its own (RabbitMQ 4.2); before, it has that of the delivery after it";

/// Why consumers that do not acknowledge may get more.
const NO_ACK: &str =
    "consumers that do not acknowledge are not held back by a global prefetch that others have used up";

/// Whether a consumer of this tag does not acknowledge.
fn acknowledges_nothing(conversation: &Conversation, tag: &str) -> bool {
    let consumes = format!("consumer-tag={tag} no-ack=true");
    holds(conversation, &consumes)
        || tag.starts_with('$') && holds(conversation, "consumer-tag=\"\" no-ack=true")
}

/// Whether one of its steps contains this.
fn holds(conversation: &Conversation, what: &str) -> bool {
    conversation.steps.iter().any(|step| step.to_string().contains(what))
}

/// Whether a queue of this name was declared as one of this type. Of a queue without a name nobody knows: it counts as one
/// if any is.
fn is_of_type(conversation: &Conversation, queue: &str, kind: &str) -> bool {
    let kind = format!("x-queue-type={kind}");
    let declares = |text: &str| {
        let name = wire::short_string(text, "queue").unwrap_or_default();
        text.starts_with("queue.declare ") && text.contains(&kind) && *name == *queue.as_bytes()
    };
    let unnamed = queue.is_empty() || queue.starts_with('$');
    let methods = conversation.steps.iter().filter_map(|step| match step {
        Step::Method { text, .. } => Some(text.as_str()),
        _ => None,
    });
    if unnamed { holds(conversation, &kind) } else { methods.into_iter().any(declares) }
}

/// The delivery tag of a line, and the line without it.
fn delivery_tag(line: &str) -> Option<(u64, String)> {
    let (before, rest) = line.split_once("delivery-tag=")?;
    let (tag, after) = rest.split_once(' ')?;
    Some((tag.parse().ok()?, format!("{before}{after}")))
}

/// Whether a message has a priority that makes it urgent in a quorum queue.
fn is_urgent(line: &str) -> bool {
    let values = line.split([' ', '{']).filter_map(|word| word.strip_prefix("priority="));
    values.filter_map(|value| value.trim_end_matches('}').parse::<u8>().ok()).any(|value| value > 4)
}

/// How many direct replies came to this place before this step ended, and to this line.
fn replies_before(conversation: &Conversation, difference: &Difference, ours: &Heard) -> u64 {
    let tags: Vec<String> = conversation
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Method { text, .. } if text.starts_with("basic.consume queue=amq.rabbitmq.reply-to ") => {
                let tag = text.split("consumer-tag=").nth(1)?.split(' ').next()?;
                Some(format!("basic.deliver consumer-tag=\"{tag}\" "))
            }
            _ => None,
        })
        .collect();
    let lines = ours.lines.get(&difference.place).into_iter().flatten();
    let before = lines.take_while(|line| line.step <= difference.step && line.text != difference.ours);
    before.filter(|line| tags.iter().any(|tag| line.text.starts_with(tag))).count() as u64
}

/// Why consumers of quorum queues may get other messages, or any.
const QUORUM_GLOBAL: &str = "quorum queues have a global prefetch, too; RabbitMQ refuses their consumers then \
    (540), or passes over it";

/// Why anything may differ, each reason once.
pub(crate) fn reasons() -> impl Iterator<Item = &'static str> {
    let others = [
        FAILED,
        STREAM_COUNTED,
        QUORUM_COUNTED,
        TTL_FOR_ALL,
        RETURNED,
        SEVERAL_QUEUES,
        UNCONFIRMED,
        NO_ACK,
        QUORUM_GLOBAL,
        LENGTH_AND_OVERFLOW,
        URGENT,
        REPLY_TAGS,
    ];
    RULES.iter().map(|rule| rule.reason).chain(others)
}

/// Why this difference was agreed on, if it was.
pub(crate) fn reason(
    conversation: &Conversation,
    difference: &Difference,
    ours: &Heard,
) -> Option<&'static str> {
    let step = match conversation.steps.get(difference.step) {
        Some(Step::Method { text, .. }) => text.as_str(),
        _ => "",
    };
    let fails = |line: &Line| line.step == difference.step && line.text.starts_with("channel.close ");
    if difference.theirs.is_empty()
        && difference.ours.starts_with("basic.deliver ")
        && ours.lines.values().flatten().any(fails)
    {
        return Some(FAILED);
    }
    let tag = difference.ours.split("consumer-tag=").nth(1).and_then(|rest| rest.split('"').nth(1));
    if difference.theirs.is_empty()
        && holds(conversation, "global=true")
        && tag.is_some_and(|tag| acknowledges_nothing(conversation, tag))
    {
        return Some(NO_ACK);
    }
    if difference.theirs.contains("does not support global qos") {
        return Some(QUORUM_GLOBAL);
    }
    if holds(conversation, "global=true")
        && holds(conversation, "x-queue-type=quorum")
        && (difference.ours.contains("basic.deliver ") || difference.theirs.contains("basic.deliver "))
    {
        return Some(QUORUM_GLOBAL);
    }
    let ends = |line: &Line| line.step == difference.step && line.text.starts_with("connection.close ");
    if (difference.theirs.starts_with("confirm ") || difference.theirs.starts_with("basic.deliver "))
        && difference.ours.is_empty()
        && ours.lines.values().flatten().any(ends)
    {
        return Some(UNCONFIRMED);
    }
    let comes = |text: &str| text.starts_with("basic.deliver ");
    let gives = |text: &str| comes(text) || text.starts_with("basic.get-ok ");
    let tags = delivery_tag(&difference.ours).zip(delivery_tag(&difference.theirs));
    if gives(&difference.ours)
        && let Some(((our_tag, ours_else), (their_tag, theirs_else))) = tags
        && same_words(&ours_else, &theirs_else)
        && our_tag > their_tag
        && our_tag - their_tag <= replies_before(conversation, difference, ours)
    {
        return Some(REPLY_TAGS);
    }
    // Theirs comes from ours after the same step, too, with another number.
    let comes_later = || {
        let lines = ours.lines.get(&difference.place).into_iter().flatten();
        let mut now = lines.filter(|line| line.step == difference.step && comes(&line.text));
        let theirs = delivery_tag(&difference.theirs).map(|(_, text)| text).unwrap_or_default();
        now.any(|line| delivery_tag(&line.text).is_some_and(|(_, ours)| same_words(&ours, &theirs)))
    };
    if comes(&difference.ours) && comes(&difference.theirs) && comes_later() {
        return Some(SEVERAL_QUEUES);
    }
    if gives(&difference.ours)
        && gives(&difference.theirs)
        && is_urgent(&difference.ours) != is_urgent(&difference.theirs)
        && (is_urgent(&difference.ours) || holds(conversation, "max-length"))
        && holds(conversation, "x-queue-type=quorum")
    {
        return Some(URGENT);
    }
    let comes_again = |text: &str| text.contains(" redelivered=true ");
    if comes_again(&difference.ours)
        && comes_again(&difference.theirs)
        && holds(conversation, "x-queue-type=quorum")
    {
        return Some(RETURNED);
    }
    let counts = |text: &str| text.starts_with("queue.delete-ok ") || text.starts_with("queue.declare-ok ");
    if counts(&difference.ours) && counts(&difference.theirs) {
        let named = wire::short_string(step, "queue").unwrap_or_default();
        let named = String::from_utf8_lossy(&named);
        if is_of_type(conversation, &named, "stream") {
            return Some(STREAM_COUNTED);
        }
        if is_of_type(conversation, &named, "quorum") {
            return Some(QUORUM_COUNTED);
        }
    }
    if difference.place.0 == QUEUES
        && let Some(Step::Policy(policy)) = conversation.steps.get(difference.step)
        && policy.definition.contains("max-length")
        && policy.definition.contains("reject-publish")
    {
        return Some(LENGTH_AND_OVERFLOW);
    }
    if difference.place.0 == QUEUES && holds(conversation, "\"message-ttl\"") {
        return Some(TTL_FOR_ALL);
    }
    RULES
        .iter()
        .find(|rule| (rule.applies)(step, &difference.ours, &difference.theirs))
        .map(|rule| rule.reason)
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
    if OF_FOUR.iter().any(|header| ours.contains(header) || theirs.contains(header)) {
        return as_in_three(ours) == as_in_three(theirs);
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

/// Headers of which RabbitMQ 4 has more than 3.10, or in another order.
const OF_FOUR: [&str; 3] = ["x-death=", "x-delivery-count=", "x-stream-offset="];

/// A line without the headers that RabbitMQ 4 added (those of the last death, a count of deliveries that is 0), all
/// others in the order of their names.
fn as_in_three(line: &str) -> Vec<(String, Item)> {
    let mut pairs = notation::pairs(line);
    for (name, value) in &mut pairs {
        if name == "properties"
            && let Item::Table(properties) = value
        {
            properties.iter_mut().filter(|(name, _)| name == "headers").for_each(|(_, value)| headers(value));
            // An empty table is none.
            properties.retain(|(_, value)| *value != Item::Table(Vec::new()));
        }
    }
    pairs.retain(|(_, value)| *value != Item::Table(Vec::new()));
    pairs
}

fn headers(value: &mut Item) {
    let Item::Table(headers) = value else { return };
    headers.retain(|(name, value)| {
        let counts_nothing = name == "x-delivery-count" && matches!(value, Item::Number(0, _));
        !name.starts_with("x-last-death-") && !counts_nothing
    });
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    for (name, value) in headers {
        if name == "x-death"
            && let Item::Array(deaths) = value
        {
            for death in deaths {
                if let Item::Table(fields) = death {
                    fields.sort_by(|one, other| one.0.cmp(&other.0));
                }
            }
        }
    }
}
