//! What scripts may say: names, arguments, values and properties, chosen by bytes. Lists have a fixed size; what they do not
//! use yet is empty, so that they may grow.

use crate::fuzz_targets::script::Script;
use bytes::Bytes;
use ledgermq::protocol::properties::PropertyList;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::{Array, Value};
use std::sync::LazyLock;

/// Names of queues and exchanges alike.
pub const NAMES: [&str; 32] = [
    "q",
    "r",
    "s",
    "e",
    "f",
    "",
    "amq.direct",
    "amq.topic",
    "amq.fanout",
    "amq.headers",
    "amq.match",
    "amq.rabbitmq.event",
    "amq.rabbitmq.trace",
    "amq.rabbitmq.reply-to",
    "amq.x",
    "é\n",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
];
pub const KEYS: [&str; 16] =
    ["q", "", "r", "s", "a", "a.b", "#", "*", "*.#", "queue.*", "1", "2", "x", "", "", ""];
pub const TAGS: [&str; 8] = ["", "a", "b", "c", "d", "", "", ""];
pub const TYPES: [&str; 16] = [
    "direct",
    "topic",
    "fanout",
    "headers",
    "x-delayed-message",
    "x-consistent-hash",
    "x-modulus-hash",
    "x-random",
    "x-local-random",
    "x-recent-history",
    "x",
    "",
    "",
    "",
    "",
    "",
];
pub const TEXTS: [&str; 16] =
    ["", "PLAIN", "AMQPLAIN", "en_US", "/", "x", "EXTERNAL", "", "", "", "", "", "", "", "", ""];
pub const SECRETS: [&[u8]; 8] = [
    b"\0guest\0guest",
    b"\0guest\0bad",
    b"",
    b"\0\0",
    b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest",
    b"\xff\xfe",
    b"",
    b"",
];
pub const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    3,
    10,
    60,
    255,
    4096,
    8192,
    65_535,
    131_072,
    131_073,
    1 << 31,
    u32::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// Steps of the clock, ms.
pub const TIMES: [u64; 16] = [
    1, 10, 100, 500, 1_000, 1_001, 5_000, 10_000, 30_000, 60_000, 120_000, 1_800_000, 3_600_000, 86_400_000,
    0, 0,
];
pub const BODY_BYTES: [usize; 16] = [0, 1, 2, 5, 10, 50, 100, 300, 1000, 4096, 4097, 20_000, 0, 0, 0, 0];

/// Arguments of declarations, bindings and consumers, headers of messages, and what clients say of themselves.
const FIELDS: [&str; 64] = [
    "x-queue-type",
    "x-message-ttl",
    "x-max-length",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-expires",
    "x-overflow",
    "x-max-priority",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-max-length-bytes",
    "x-dead-letter-strategy",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-consumer-timeout",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-quorum-initial-group-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-initial-cluster-size",
    "x-priority",
    "x-stream-offset",
    "x-stream-filter",
    "x-stream-match-unfiltered",
    "alternate-exchange",
    "hash-header",
    "hash-property",
    "x-recent-history-length",
    "x-delayed-type",
    "x-match",
    "a",
    "b",
    "CC",
    "BCC",
    "x-delay",
    "x-death",
    "x-delivery-count",
    "x-first-death-queue",
    "x-stream-filter-value",
    "x-recent-history-no-store",
    "x-acquired-count",
    "capabilities",
    "connection_name",
    "product",
    "version",
    "x-delays-for",
    "x-opt-deaths",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
];

static NESTED: LazyLock<Table> = LazyLock::new(|| {
    let words =
        ["authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify"];
    Table::from_pairs(&words.map(|word| (word, Value::Bool(true))))
});
static LIST: LazyLock<Array> = LazyLock::new(|| Array::from_values(["q", "r", "s"].map(Value::text)));
static DEATHS: LazyLock<Array> = LazyLock::new(|| {
    let death = Table::from_pairs(&[
        ("queue", Value::text("q")),
        ("reason", Value::text("expired")),
        ("count", Value::I64(3)),
        ("exchange", Value::text("")),
        ("routing-keys", Value::Array(LIST.elements())),
        ("time", Value::Timestamp(1)),
    ]);
    Array::from_values([Value::Table(death.fields()), Value::I32(1)])
});

const WORDS: [&str; 32] = [
    "",
    "q",
    "r",
    "e",
    "f",
    "quorum",
    "stream",
    "classic",
    "reject-publish",
    "reject-publish-dlx",
    "drop-head",
    "at-least-once",
    "first",
    "last",
    "next",
    "1h",
    "5s",
    "all",
    "any",
    "any-with-x",
    "all-with-x",
    "direct",
    "topic",
    "fanout",
    "headers",
    "x-consistent-hash",
    "x-delayed-message",
    "amq.topic",
    "a",
    "lazy",
    "message_id",
    "client-local",
];
const INTEGERS: [i64; 16] =
    [0, 1, 2, 3, 5, 10, 100, 500, 1000, 60_000, 255, 256, -1, i32::MAX as i64, i64::MAX, i64::MIN];

/// A value of any type.
fn value(script: &mut Script<'_>) -> Value<'static> {
    let what = script.byte();
    let number = INTEGERS[usize::from(what & 0x0F)];
    match what >> 4 {
        0..=3 => Value::text(WORDS[usize::from(what & 0x1F)]),
        4 | 5 => Value::I32(number as i32),
        6 => Value::I64(number),
        7 => Value::U8(number as u8),
        8 => Value::Bool(number != 0),
        9 => Value::Timestamp(number as u64),
        10 => Value::I16(number as i16),
        11 => Value::U32(number as u32),
        12 => Value::F64(if number == 2 { f64::NAN } else { number as f64 }),
        13 => Value::Array(if number == 0 { DEATHS.elements() } else { LIST.elements() }),
        14 => Value::Table(NESTED.fields()),
        _ => [
            Value::Void,
            Value::Binary(b"\xff"),
            Value::LongString(b"\xff\xfe"),
            Value::Decimal { scale: 1, value: 5 },
            Value::F32(1.5),
            Value::I8(-1),
            Value::U16(500),
            Value::LongString(b"a\0b"),
        ][usize::from(what & 7)],
    }
}

/// A field table of up to three pairs.
pub fn table(script: &mut Script<'_>) -> Table {
    let count = script.byte() & 3;
    let pairs: Vec<_> = (0..count).map(|_| (script.pick(&FIELDS), value(script))).collect();
    Table::from_pairs(&pairs)
}

const EXPIRATIONS: [&str; 8] = ["0", "1", "1000", "60000", "+5", "-1", "x", "315360000001"];

/// Flags and property list of a message.
pub fn properties(script: &mut Script<'_>) -> Bytes {
    let (what, more) = (script.byte(), script.byte());
    let has = |bit: u8| what & bit != 0;
    let list = PropertyList {
        delivery_mode: has(0x01).then_some(2),
        headers: has(0x02).then(|| table(script)),
        expiration: has(0x04).then(|| EXPIRATIONS[usize::from(more & 7)]),
        priority: has(0x08).then_some(more),
        reply_to: has(0x10).then_some(if more & 8 == 0 { "amq.rabbitmq.reply-to" } else { "q" }),
        user_id: has(0x20).then_some(if more & 0x10 == 0 { "guest" } else { "eve" }),
        message_id: has(0x40).then_some("1"),
        timestamp: has(0x80).then_some(1),
        ..PropertyList::default()
    };
    list.encode()
}
