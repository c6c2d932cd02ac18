//! What is refused before the vhost is asked, in RabbitMQ's words.

use crate::support::machine::Machine;
use ledgermq::vhost::command::{Command, Envelope};

#[test]
fn refusals_use_rabbitmqs_words() {
    let refused = |channel: u16, code: u16, text: &str, class: u16, method: u16| {
        let class_name = if channel == 0 { "connection" } else { "channel" };
        format!(
            "{channel} {class_name}.close reply-code={code} reply-text=\"{text}\" class-id={class} method-id={method}"
        )
    };
    let check = |methods: &str, expected: String| Machine::check(methods, &[&expected]);

    check("channel.open", refused(0, 504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10));
    check("channel.flow active=false", refused(0, 540, "NOT_IMPLEMENTED - active=false", 20, 20));
    check("basic.publish immediate=true body=x", refused(0, 540, "NOT_IMPLEMENTED - immediate=true", 60, 40));
    check("basic.qos prefetch-size=5", refused(0, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)", 60, 10));
    check("basic.recover", refused(0, 540, "NOT_IMPLEMENTED - requeue=false", 60, 110));
    check("basic.recover-async", refused(0, 540, "NOT_IMPLEMENTED - requeue=false", 60, 100));
    check(
        "basic.consume queue=q consumer-tag=t nowait=true\nbasic.consume queue=q consumer-tag=t",
        refused(0, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", 60, 20),
    );
    check(
        "basic.ack delivery-tag=5",
        refused(1, 406, "PRECONDITION_FAILED - unknown delivery tag 5", 60, 80),
    );
    check("basic.ack", refused(1, 406, "PRECONDITION_FAILED - unknown delivery tag 0", 60, 80));
    check(
        "basic.nack delivery-tag=5 multiple=true",
        refused(1, 406, "PRECONDITION_FAILED - unknown delivery tag 5", 60, 120),
    );
    check(
        "basic.reject delivery-tag=1",
        refused(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1", 60, 90),
    );
    check("tx.commit", refused(1, 406, "PRECONDITION_FAILED - channel is not transactional", 90, 20));
    check("tx.rollback", refused(1, 406, "PRECONDITION_FAILED - channel is not transactional", 90, 30));
    check(
        "confirm.select nowait=true\ntx.select",
        refused(1, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", 90, 10),
    );
    check(
        "tx.select\nconfirm.select",
        refused(1, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", 85, 10),
    );
    let default = "ACCESS_REFUSED - operation not permitted on the default exchange";
    check("exchange.declare type=direct", refused(1, 403, default, 40, 10));
    check("exchange.declare type=direct passive=true", refused(1, 403, default, 40, 10));
    check("exchange.delete", refused(1, 403, default, 40, 20));
    check("exchange.bind destination=e", refused(1, 403, default, 40, 30));
    check("exchange.unbind source=e", refused(1, 403, default, 40, 40));
    check("queue.bind queue=q", refused(1, 403, default, 50, 20));
    check("queue.unbind queue=q", refused(1, 403, default, 50, 50));
    check(
        "queue.declare queue=\"a\\x07b\"",
        refused(1, 403, "ACCESS_REFUSED - queue name 'a\\\\u{7}b' contains control characters", 50, 10),
    );
}

/// The vhost is asked first whether the exchange takes publishes at all, and says this if it does.
#[test]
fn properties_that_cannot_be_are_refused_after_the_exchange_is_looked_at() {
    fn check(publish: &str, expected: &str) {
        let mut machine = Machine::with_channel();
        machine.send(1, publish);
        assert!(machine.heard().is_empty());
        let commands = machine.commands();
        let [Envelope { command: Command::RefusePublish { exchange, error, topic_refusal: None }, .. }] =
            &commands[..]
        else {
            panic!("{publish}: {commands:?}")
        };
        assert_eq!((&**exchange, error.reply_text().as_str()), ("e", expected));
    }
    check(
        "basic.publish exchange=e properties={expiration=abc} body=x",
        "PRECONDITION_FAILED - invalid expiration 'abc': no_integer",
    );
    check(
        "basic.publish exchange=e properties={expiration=-1}",
        "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
    );
    check(
        "basic.publish exchange=e properties={user-id=eve} body=x",
        "PRECONDITION_FAILED - user_id property set to 'eve' but authenticated user was 'guest'",
    );
}

#[test]
fn harmless_methods_are_answered_at_once() {
    Machine::check("channel.flow active=true", &["1 channel.flow-ok active=true"]);
    Machine::check("access.request realm=/data", &["1 access.request-ok ticket=1"]);
    Machine::check("basic.ack multiple=true", &[]);
    Machine::check("basic.cancel-ok consumer-tag=t", &[]);
    let mut machine = Machine::open();
    machine.send(0, "connection.update-secret new-secret=guest reason=y");
    assert_eq!(machine.heard(), ["0 connection.update-secret-ok"]);
}
