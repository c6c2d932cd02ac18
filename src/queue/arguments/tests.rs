//! Which arguments queues have, what is refused and how.

use super::super::argument_values::age_ms;
use super::super::settings::QueueSettings;
use super::*;

const DESCRIBED: &str = "queue 'q' in vhost '/'";

fn check_refused(pairs: &[(&str, Value<'_>)], expected: &str) {
    let error = QueueArguments::parse(&Table::from_pairs(pairs), DESCRIBED).expect_err(expected);
    assert_eq!(error.reply_text(), format!("PRECONDITION_FAILED - {expected}"));
}

#[test]
fn arguments_are_parsed() {
    let arguments = Table::from_pairs(&[
        ("x-message-ttl", Value::I32(0)),
        ("x-expires", Value::I64(1000)),
        ("x-max-length", Value::U8(5)),
        ("x-max-priority", Value::I16(255)),
        ("x-overflow", Value::text("reject-publish")),
        ("x-dead-letter-exchange", Value::text("dlx")),
        ("x-dead-letter-routing-key", Value::text("key")),
        ("x-single-active-consumer", Value::Bool(true)),
        ("x-delivery-limit", Value::I32(3)),
        ("x-queue-mode", Value::text("lazy")),
        ("x-queue-version", Value::I32(2)),
        ("x-queue-master-locator", Value::Void),
        ("x-ours", Value::Void),
    ]);
    let expected = QueueSettings {
        message_ttl_ms: Some(0),
        expires_ms: Some(1000),
        length_max: Some(5),
        overflow: Overflow::RejectPublish,
        priority_max: Some(255),
        dead_letter_exchange: Some("dlx".into()),
        dead_letter_routing_key: Some("key".into()),
        single_active_consumer: true,
        delivery_limit: Some(3),
        ..QueueSettings::default()
    };
    assert_eq!(QueueSettings::parse(&arguments, DESCRIBED), Ok(expected));
    let arguments = Table::from_pairs(&[
        ("x-delivery-limit", Value::I32(-1)),
        ("x-dead-letter-strategy", Value::text("at-least-once")),
        ("x-quorum-initial-group-size", Value::I32(3)),
        ("x-queue-leader-locator", Value::text("balanced")),
        ("x-queue-type", Value::text("quorum")),
    ]);
    let expected = QueueSettings {
        kind: QueueKind::Quorum,
        dead_letter_strategy: DeadLetterStrategy::AtLeastOnce,
        ..QueueSettings::default()
    };
    assert_eq!(QueueSettings::parse(&arguments, DESCRIBED), Ok(expected));
}

#[test]
fn what_cannot_be_is_refused() {
    let arg = |name: &str, problem: &str| format!("invalid arg '{name}' for {DESCRIBED}: {problem}");
    for (name, value, problem) in [
        ("x-message-ttl", Value::I32(-1), "{value_negative,-1}"),
        ("x-message-ttl", Value::I64(315_360_000_001), "{value_too_large,315360000001}"),
        ("x-message-ttl", Value::text("60"), "\"expected integer, got longstr\""),
        ("x-expires", Value::I32(0), "{value_zero,0}"),
        ("x-max-length", Value::I64(-7), "{value_negative,-7}"),
        ("x-max-length-bytes", Value::Bool(true), "\"expected integer, got bool\""),
        ("x-max-priority", Value::I32(256), "{max_value_exceeded,256}"),
        ("x-overflow", Value::text("drop-tail"), "invalid_overflow"),
        ("x-overflow", Value::I32(1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", Value::text("yes"), "{unacceptable_type,longstr}"),
        ("x-dead-letter-routing-key", Value::text("k"), "routing_key_but_no_dlx_defined"),
        ("x-queue-mode", Value::text("busy"), "\"unsupported queue mode 'busy'\""),
        ("x-queue-mode", Value::I32(1), "{unacceptable_type,signedint}"),
        ("x-queue-version", Value::I32(3), "\"unsupported queue version '3'\""),
        ("x-queue-leader-locator", Value::text("here"), "invalid_queue_locator_arg"),
        ("x-delivery-limit", Value::I32(-2), "{value_negative,-2}"),
        ("x-queue-type", Value::text("fast"), "\"unsupported queue type 'fast'\""),
        ("x-queue-type", Value::I32(1), "{unacceptable_type,signedint}"),
    ] {
        check_refused(&[(name, value)], &arg(name, problem));
    }
    let quorum = ("x-queue-type", Value::text("quorum"));
    for (name, value, problem) in [
        ("x-dead-letter-strategy", Value::text("never"), "invalid_dlx_strategy"),
        ("x-quorum-initial-group-size", Value::I32(0), "{value_zero,0}"),
        ("x-max-in-memory-length", Value::I32(-1), "{value_negative,-1}"),
    ] {
        check_refused(&[quorum, (name, value)], &arg(name, problem));
    }
    let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
    check_refused(&[("x-dead-letter-exchange", Value::I32(1))], text);
}

#[test]
fn each_type_has_arguments_of_its_own() {
    for (kind, name, value) in [
        (QueueKind::Quorum, "x-max-priority", Value::I32(5)),
        (QueueKind::Quorum, "x-queue-mode", Value::text("lazy")),
        (QueueKind::Quorum, "x-queue-version", Value::I32(2)),
        (QueueKind::Quorum, "x-max-age", Value::text("1h")),
        (QueueKind::Classic, "x-max-age", Value::text("1h")),
        (QueueKind::Classic, "x-dead-letter-strategy", Value::text("at-least-once")),
        (QueueKind::Classic, "x-quorum-initial-group-size", Value::I32(3)),
        (QueueKind::Classic, "x-max-in-memory-bytes", Value::I32(3)),
    ] {
        let module = kind.module();
        let text = format!("invalid arg '{name}' for {DESCRIBED} of queue type {module}");
        check_refused(&[(name, value), ("x-queue-type", Value::text(kind.name()))], &text);
    }
    // What no type lists is passed over, as anything unknown is.
    let arguments = Table::from_pairs(&[("x-stream-filter-size-bytes", Value::text("x"))]);
    assert_eq!(QueueArguments::parse(&arguments, DESCRIBED), Ok(QueueArguments::default()));
}

#[test]
fn what_a_type_lists_is_compared() {
    for kind in [QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream] {
        let listed = QUEUE_ARGUMENTS.iter().filter(|known| known.is_listed && known.kinds.contains(&kind));
        let mut listed: Vec<_> = listed.map(|known| known.name).collect();
        let mut compared = compared(kind).to_vec();
        listed.sort_unstable();
        compared.sort_unstable();
        assert_eq!(compared, listed, "{kind}");
    }
}

#[test]
fn ages_have_units() {
    for (text, expected) in [
        ("1s", Some(1000)),
        ("90m", Some(90 * 60_000)),
        ("1h", Some(3_600_000)),
        ("7D", Some(7 * 86_400_000)),
        ("1M", Some(30 * 86_400_000)),
        ("2Y", Some(730 * 86_400_000)),
        ("0s", None),
        ("5", None),
        ("s", None),
        ("", None),
        ("-1s", None),
        ("1 h", None),
        ("1w", None),
        ("18446744073709551615Y", None),
    ] {
        assert_eq!(age_ms(text), expected, "{text}");
    }
}
