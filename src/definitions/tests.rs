//! What definitions look like on disk, byte for byte, and what cannot be read.

use super::*;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use ledgermq_storage::{GroupId, QueueId};
use proptest::prelude::*;

fn vhost() -> Definition {
    Definition::Vhost(VhostDefinition { name: "/".into(), group: GroupId(1) })
}

fn user() -> Definition {
    let tags = vec!["administrator".into()];
    Definition::User(UserDefinition { name: "guest".into(), password_hash: "aGk=".into(), tags })
}

fn permission() -> Definition {
    Definition::Permission(PermissionDefinition {
        user: "u".into(),
        vhost: "/".into(),
        configure: String::new(),
        write: "^w".into(),
        read: ".*".into(),
    })
}

fn topic_permission() -> Definition {
    Definition::TopicPermission(TopicPermissionDefinition {
        user: "u".into(),
        vhost: "/".into(),
        exchange: "e".into(),
        write: "^w".into(),
        read: String::new(),
    })
}

fn exchange() -> Definition {
    Definition::Exchange(ExchangeDefinition {
        name: "e".into(),
        kind: "topic".into(),
        auto_delete: false,
        internal: true,
        arguments: vec![],
    })
}

fn queue() -> Definition {
    let arguments = Table::from_pairs(&[("a", Value::Bool(true))]).as_bytes().to_vec();
    Definition::Queue(QueueDefinition { name: "q".into(), queue: QueueId(258), auto_delete: true, arguments })
}

fn binding(pairs: &[(&str, Value<'_>)]) -> Definition {
    Definition::Binding(BindingDefinition {
        source: "e".into(),
        destination_kind: DestinationKind::Queue,
        destination: "q".into(),
        binding_key: "k.*".into(),
        arguments: Table::from_pairs(pairs).as_bytes().to_vec(),
    })
}

fn policy() -> PolicyDefinition {
    PolicyDefinition {
        name: "p".into(),
        pattern: "^q".into(),
        apply_to: ApplyTo::QuorumQueues,
        priority: -1,
        definition: "{\"expires\":1}".into(),
    }
}

fn limits() -> Definition {
    let limits = vec![("max-channels".into(), 7)];
    Definition::Limits(LimitsDefinition { scope: LimitScope::User, name: "u".into(), limits })
}

fn metadata() -> Definition {
    Definition::VhostMetadata(VhostMetadataDefinition {
        vhost: "/".into(),
        description: "d".into(),
        tags: vec!["t".into()],
        default_queue_type: "quorum".into(),
    })
}

fn parameter() -> Definition {
    Definition::GlobalParameter(GlobalParameterDefinition { name: "n".into(), value: "{\"a\":1}".into() })
}

fn check_golden(definition: &Definition, kind: u8, name: &[u8], value: &[u8]) {
    let key = definition.key();
    assert_eq!((key.kind, &*key.name), (kind, name), "{definition:?}");
    assert_eq!(definition.value(), value, "{definition:?}");
    assert_eq!(Definition::decode(&key, value).as_ref(), Ok(definition));
    for cut in 0..value.len() {
        assert!(Definition::decode(&key, &value[..cut]).is_err(), "cut at {cut}: {definition:?}");
    }
    let longer = [value, &[0]].concat();
    assert!(Definition::decode(&key, &longer).is_err(), "{definition:?}");
}

/// These bytes are in stores: a test that fails here means that a new version is needed.
#[test]
fn bytes_stay_as_they_are() {
    check_golden(&vhost(), 1, b"/", b"\x01\x01\0\0\0\0\0\0\0/\x01\0\0\0");
    check_golden(
        &user(),
        2,
        b"guest",
        b"\x01\x05\0\0\0\0\0\0\0guest\x04\0\0\0\0\0\0\0aGk=\x01\0\0\0\0\0\0\0\x0d\0\0\0\0\0\0\0administrator",
    );
    check_golden(
        &permission(),
        3,
        b"\x01\0u\x01\0/",
        b"\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0/\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0^w\x02\0\0\0\0\0\0\0.*",
    );
    check_golden(
        &topic_permission(),
        20,
        b"\x01\0u\x01\0/\x01\0e",
        b"\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0/\x01\0\0\0\0\0\0\0e\x02\0\0\0\0\0\0\0^w\0\0\0\0\0\0\0\0",
    );
    check_golden(
        &exchange(),
        4,
        b"e",
        b"\x01\x01\0\0\0\0\0\0\0e\x05\0\0\0\0\0\0\0topic\0\x01\0\0\0\0\0\0\0\0",
    );
    check_golden(&queue(), 5, b"q", b"\x01\x01\0\0\0\0\0\0\0q\x02\x01\0\0\x01\x04\0\0\0\0\0\0\0\x01at\x01");
    check_golden(
        &binding(&[("a", Value::Bool(true))]),
        6,
        b"\x01\0e\x01\0\0\x01\0q\x03\0k.*\x05\0\0\x01at\x01",
        b"\x01\x01\0\0\0\0\0\0\0e\0\x01\0\0\0\0\0\0\0q\x03\0\0\0\0\0\0\0k.*\x04\0\0\0\0\0\0\0\x01at\x01",
    );
    let policy_bytes = b"\x01\x01\0\0\0\0\0\0\0p\x02\0\0\0\0\0\0\0^q\x04\xff\xff\xff\xff\xff\xff\xff\xff\x0d\0\0\0\0\0\0\0{\"expires\":1}";
    check_golden(&Definition::Policy(policy()), 16, b"p", policy_bytes);
    check_golden(&Definition::OperatorPolicy(policy()), 17, b"p", policy_bytes);
    check_golden(
        &limits(),
        18,
        b"\x01\0\x01\x01\0u",
        b"\x01\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0max-channels\x07\0\0\0\0\0\0\0",
    );
    check_golden(
        &metadata(),
        19,
        b"/",
        b"\x01\x01\0\0\0\0\0\0\0/\x01\0\0\0\0\0\0\0d\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0t\x06\0\0\0\0\0\0\0quorum",
    );
    let protection = VhostProtectionDefinition { vhost: "/".into() };
    check_golden(&Definition::VhostProtection(protection), 22, b"/", b"\x01\x01\0\0\0\0\0\0\0/");
    check_golden(&parameter(), 21, b"n", b"\x01\x01\0\0\0\0\0\0\0n\x07\0\0\0\0\0\0\0{\"a\":1}");
}

#[test]
fn the_order_of_arguments_is_no_part_of_a_binding() {
    let (a, b) = (("a", Value::Bool(true)), ("b", Value::I32(7)));
    assert_eq!(binding(&[a, b]).key(), binding(&[b, a]).key());
    assert_ne!(binding(&[a]).key(), binding(&[b]).key());
    assert_ne!(binding(&[]).key(), binding(&[b]).key());
}

#[test]
fn long_arguments_have_short_keys() {
    let (long, other) = ("x".repeat(100_000), "y".repeat(100_000));
    let key = binding(&[("a", Value::text(&long))]).key();
    assert!(key.name.len() < 100);
    assert_ne!(key, binding(&[("a", Value::text(&other))]).key());
    let name = "n".repeat(255);
    let longest = Definition::Binding(BindingDefinition {
        source: name.clone(),
        destination_kind: DestinationKind::Exchange,
        destination: name.clone(),
        binding_key: name,
        arguments: Table::from_pairs(&[("a", Value::text(&long[..1000]))]).as_bytes().to_vec(),
    });
    assert!(longest.key().name.len() <= ledgermq_storage::limits::DEFINITION_NAME_BYTES_MAX);
    assert_eq!(Definition::decode(&longest.key(), &longest.value()), Ok(longest));
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let key = |kind, name: &[u8]| DefinitionKey { kind, name: name.to_vec() };
    for (key, value, reason) in [
        (key(99, b"q"), &b"\x01"[..], "kind 99 is unknown"),
        (key(5, b"q"), b"", "no value"),
        (key(5, b"q"), b"\x02", "version 2 of Queue is unknown"),
        (key(1, b"other"), &vhost().value(), "the value under a key of kind Vhost belongs to another key"),
    ] {
        assert_eq!(Definition::decode(&key, value).unwrap_err().reason, reason);
    }
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(
        kind in 0u8..24,
        name in prop::collection::vec(any::<u8>(), 0..20),
        mut value in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        value.insert(0, VERSION);
        let _ = Definition::decode(&DefinitionKey { kind, name }, &value);
    }
}
