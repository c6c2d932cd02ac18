//! Definitions as a damaged or hostile data directory holds them: undamaged ones come back as they were, damaged ones are
//! refused or are others, and whatever can be read restores users and a vhost that works, or is refused with a sentence.

use super::connection::words;
use super::script::Script;
use crate::support::memory_log::MemoryLog;
use bytes::Bytes;
use ledgermq::auth::{Access, Accounts, Hashing, Limits, MAX_CHANNELS};
use ledgermq::budget::Budget;
use ledgermq::definitions::{
    ApplyTo, BindingDefinition, Definition, DestinationKind, ExchangeDefinition, LimitScope,
    LimitsDefinition, PermissionDefinition, PolicyDefinition, QueueDefinition, TopicPermissionDefinition,
    UserDefinition, VhostDefinition, VhostMetadataDefinition,
};
use ledgermq::message::{Holders, Message};
use ledgermq::vhost::command::{ChannelKey, Command, ConnectionId, Envelope, MethodId, Publish};
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{Effects, Input};
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig};
use ledgermq_storage::{GroupId, QueueId};
use std::sync::Arc;

pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut definitions = Vec::new();
    while !script.is_empty() && definitions.len() < 12 {
        let definition = next(&mut script);
        let (key, mut value) = (definition.key(), definition.value());
        assert_eq!(Definition::decode(&key, &value).as_ref(), Ok(&definition), "read as it was written");
        let damage = script.byte();
        if damage > 0x7F {
            let at = usize::from(script.byte()) % value.len();
            value[at] = script.byte();
            value.truncate(value.len() - usize::from(damage & 1));
        }
        if let Ok(read) = Definition::decode(&key, &value) {
            assert_eq!((read.key(), read.value()), (key, value), "one way to write it");
            definitions.push(read);
        }
    }
    let mut accounts = Accounts::new(Vec::new(), Hashing::Sha256);
    for sentence in accounts.restore(definitions.iter()) {
        assert!(!sentence.is_empty());
    }
    let _ = (accounts.login("q", b"q", true), accounts.may("q", "/", Access::Read, "q"));
    restore(&definitions);
}

const NAMES: [&str; 16] =
    ["q", "e", "r", "", "/", "amq.direct", "amq.topic", "u", "é", "", "", "", "", "", "", ""];
const POLICIES: [&str; 16] = [
    "{\"max-length\":1}",
    "{\"message-ttl\":0}",
    "{\"alternate-exchange\":\"e\"}",
    "{\"dead-letter-exchange\":\"e\",\"dead-letter-routing-key\":\"q\"}",
    "{\"expires\":1,\"overflow\":\"reject-publish\"}",
    "{\"max-age\":\"1s\",\"stream-max-segment-size-bytes\":1}",
    "{\"delivery-limit\":1}",
    "{}",
    "[[[[",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
];

/// A name of the list, or any text.
fn name(script: &mut Script<'_>) -> String {
    match script.byte() {
        listed @ 0..=0xBF => NAMES[usize::from(listed & 0x0F)].to_owned(),
        count => text(script.bytes(usize::from(count & 0x3F))),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pattern(script: &mut Script<'_>) -> String {
    if script.byte() < 0x80 { ".*".to_owned() } else { text(script.counted()) }
}

/// A table that is one, or any bytes.
fn arguments(script: &mut Script<'_>) -> Vec<u8> {
    match script.byte() {
        0..=0x7F => Vec::new(),
        0x80..=0xBF => super::connection::words::table(script).as_bytes().to_vec(),
        _ => script.counted().to_vec(),
    }
}

fn next(script: &mut Script<'_>) -> Definition {
    let what = script.byte();
    let flags = what >> 4;
    match what & 0x0F {
        0 => Definition::Vhost(VhostDefinition { name: name(script), group: GroupId(flags.into()) }),
        1 => Definition::User(UserDefinition {
            name: name(script),
            password_hash: text(script.counted()),
            tags: vec![name(script); usize::from(flags & 3)],
        }),
        2 => Definition::Permission(PermissionDefinition {
            user: name(script),
            vhost: name(script),
            configure: pattern(script),
            write: pattern(script),
            read: pattern(script),
        }),
        3 => Definition::TopicPermission(TopicPermissionDefinition {
            user: name(script),
            vhost: name(script),
            exchange: name(script),
            write: pattern(script),
            read: pattern(script),
        }),
        4..=6 => Definition::Exchange(ExchangeDefinition {
            name: name(script),
            kind: script.pick(&words::TYPES).to_owned(),
            auto_delete: flags & 1 != 0,
            internal: flags & 2 != 0,
            arguments: arguments(script),
        }),
        7..=9 => Definition::Queue(QueueDefinition {
            name: name(script),
            queue: QueueId(flags.into()),
            auto_delete: flags & 1 != 0,
            arguments: arguments(script),
        }),
        10..=11 => Definition::Binding(BindingDefinition {
            source: name(script),
            destination_kind: if flags & 1 == 0 { DestinationKind::Queue } else { DestinationKind::Exchange },
            destination: name(script),
            binding_key: name(script),
            arguments: arguments(script),
        }),
        12..=13 => policy(script, flags),
        14 => {
            let limits = vec![(MAX_CHANNELS.to_owned(), i64::from(script.byte()) - 1)];
            let parsed = Limits::parse(&text(script.counted()), &[MAX_CHANNELS], "limits");
            assert!(parsed.is_ok() || parsed.is_err_and(|why| !why.is_empty()));
            let scope = if flags & 1 == 0 { LimitScope::User } else { LimitScope::Vhost };
            Definition::Limits(LimitsDefinition { scope, name: name(script), limits })
        }
        _ => Definition::VhostMetadata(VhostMetadataDefinition {
            vhost: name(script),
            description: name(script),
            tags: vec![name(script); usize::from(flags & 3)],
            default_queue_type: name(script),
        }),
    }
}

fn policy(script: &mut Script<'_>, flags: u8) -> Definition {
    let definition = match script.byte() {
        listed @ 0..=0xBF => POLICIES[usize::from(listed & 0x0F)].to_owned(),
        _ => text(script.counted()),
    };
    let apply_to = [ApplyTo::All, ApplyTo::Queues, ApplyTo::Exchanges, ApplyTo::Streams];
    let policy = PolicyDefinition {
        name: name(script),
        pattern: pattern(script),
        apply_to: apply_to[usize::from(flags & 3)],
        priority: script.byte().into(),
        definition,
    };
    if flags & 4 == 0 { Definition::Policy(policy) } else { Definition::OperatorPolicy(policy) }
}

/// A vhost of these definitions: if there can be one, every exchange in it takes a message, and time passes.
fn restore(definitions: &[Definition]) {
    let budget = Budget::new(1 << 20);
    let config = VhostConfig {
        name: "/".into(),
        deliver: DeliverMode::AfterDurable,
        consumer_timeout_ms: 0,
        budget: budget.clone(),
        names_seed: [7; 32],
        events: EventTap::default(),
    };
    let mut vhost = match Vhost::restore(config, definitions.iter().cloned(), [], true) {
        Ok(vhost) => vhost,
        Err(error) => return assert!(!error.problem.is_empty()),
    };
    let (mut log, mut now) = (MemoryLog::new(1000), Now::default());
    let mut apply = |vhost: &mut Vhost, input, now| {
        let mut effects = Effects::default();
        vhost.apply(input, now, &mut log, &mut effects);
        vhost.apply(Input::Progress(log.sync(usize::MAX)), now, &mut log, &mut effects);
    };
    let connection = ConnectionId(1);
    let channel = ChannelKey { connection, number: 1, life: 0 };
    apply(&mut vhost, Input::Attach(connection), now);
    let open = Envelope { channel, method: MethodId::default(), command: Command::OpenChannel };
    let publishes = definitions.iter().filter_map(|definition| match definition {
        Definition::Exchange(exchange) => Some(publish(channel, &exchange.name)),
        Definition::Queue(_) => Some(publish(channel, "")),
        _ => None,
    });
    apply(&mut vhost, Input::Commands(std::iter::once(open).chain(publishes).collect()), now);
    for _ in 0..4 {
        let Some(at_ms) = vhost.next_deadline() else { break };
        now.monotonic_ms = now.monotonic_ms.max(at_ms);
        now.unix_ms = now.monotonic_ms;
        apply(&mut vhost, Input::Tick, now);
    }
    apply(&mut vhost, Input::Detach(connection), now);
    drop(vhost);
    assert_eq!(budget.used_bytes(), 0, "what a vhost took it gave back");
}

fn publish(channel: ChannelKey, exchange: &str) -> Envelope {
    let message = Message {
        exchange: exchange.into(),
        routing_key: "q".into(),
        properties: Bytes::from_static(&[0, 0]),
        body: Bytes::from_static(b"x"),
        persistent: true,
        dead_lettered: false,
        holders: Holders::default(),
    };
    let publish = Publish {
        message: Arc::new(message),
        publish_seq: None,
        mandatory: false,
        wants_reply: false,
        topic_refusal: None,
    };
    Envelope { channel, method: MethodId::BASIC_PUBLISH, command: Command::Publish(publish) }
}
