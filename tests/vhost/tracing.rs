//! The firehose: copies of what is published and delivered, while an operator wants them.

use super::script::Talk;
use ledgermq::message::Message;
use ledgermq::protocol::properties::Properties;
use ledgermq::protocol::value::Value;

/// The headers of a copy as text, name by name, and the body.
fn shown(message: &Message) -> String {
    let properties = message.shown_properties();
    let headers = Properties::new(&properties).headers();
    let value = |value: Value<'_>| match value {
        Value::LongString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Array(elements) => elements
            .iter()
            .map(|element| element.as_str().unwrap_or("?").to_owned())
            .collect::<Vec<_>>()
            .join(","),
        Value::Table(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
            format!("{{{}}}", names.join(" "))
        }
        other => other.as_i64().map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    };
    let pairs: Vec<_> = headers.iter().map(|(name, found)| format!("{name}={}", value(found))).collect();
    let body = String::from_utf8_lossy(&message.body);
    format!("{} {} {body}: {}", message.exchange, message.routing_key, pairs.join(" "))
}

fn next_copy(talk: &mut Talk) -> String {
    talk.last_message = None;
    talk.tell("9.1 < get copies no-ack");
    talk.last_message.take().map_or_else(|| "nothing".to_owned(), |message| shown(&message))
}

#[test]
fn what_is_published_and_delivered_is_copied_while_tracing_is_on() {
    let mut talk = Talk::new();
    talk.converse(
        "identify 1 alice
         identify 2 bob
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.direct k
         1.1 > queue.bind-ok
         9.1 < queue.declare copies
         9.1 > queue.declare-ok copies 0 0
         9.1 < queue.bind copies amq.rabbitmq.trace #
         9.1 > queue.bind-ok
         1.1 < publish amq.direct k untraced
         queue copies ready=0 unacked=0 bytes=0 consumers=0
         2.3 < get q no-ack
         2.3 > get-ok untraced 0
         admin trace on
         driver > done
         1.1 < publish amq.direct k hello h-colour=red CC=k2 BCC=k3
         1.2 < publish . nowhere lost
         2.3 < get q
         2.3 > get-ok hello 0
         2.3 < requeue 2
         2.3 < consume q tag
         2.3 > consume-ok tag
         2.3 > deliver tag hello redelivered",
    );
    assert_eq!(
        next_copy(&mut talk),
        "amq.rabbitmq.trace publish.amq.direct hello: exchange_name=amq.direct routing_keys=k,k2,k3 \
         properties={headers} node=ledgermq@localhost vhost=/ connection=client 1 channel=1 user=alice routed_queues=q"
    );
    assert_eq!(
        next_copy(&mut talk),
        "amq.rabbitmq.trace publish. lost: exchange_name= routing_keys=nowhere properties={} \
         node=ledgermq@localhost vhost=/ connection=client 1 channel=2 user=alice routed_queues="
    );
    for redelivered in [0, 1] {
        assert_eq!(
            next_copy(&mut talk),
            format!(
                "amq.rabbitmq.trace deliver.q hello: exchange_name=amq.direct routing_keys=k,k2,k3 \
                 properties={{headers}} node=ledgermq@localhost redelivered={redelivered} vhost=/ \
                 connection=client 2 channel=3 user=bob"
            )
        );
    }
    assert_eq!(next_copy(&mut talk), "nothing", "copies are not copied");
    talk.converse(
        "admin trace off
         driver > done
         1.1 < publish amq.direct k untraced
         2.3 > deliver tag untraced
         queue copies ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn a_restart_turns_tracing_off() {
    let mut talk = Talk::new();
    talk.converse(
        "admin trace on
         driver > done",
    );
    assert!(talk.vhost.report().tracing);
    talk.converse("stop");
    assert!(!talk.vhost.report().tracing);
}

/// A queue of the longest name: the key of a copy is cut to what the wire can carry.
#[test]
fn a_long_name_makes_no_key_that_cannot_be_sent() {
    let mut talk = Talk::new();
    let name = "ü".repeat(127);
    talk.converse(&format!(
        "9.1 < queue.declare copies
         9.1 > queue.declare-ok copies 0 0
         9.1 < queue.bind copies amq.rabbitmq.trace deliver.#
         9.1 > queue.bind-ok
         1.1 < queue.declare {name}
         1.1 > queue.declare-ok {name} 0 0
         admin trace on
         driver > done
         1.1 < publish . {name} hello
         1.1 < get {name} no-ack
         1.1 > get-ok hello 0"
    ));
    assert!(next_copy(&mut talk).starts_with("amq.rabbitmq.trace deliver.üü"));
}
