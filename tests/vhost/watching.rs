//! The event exchange: what happens is told to whoever is bound to `amq.rabbitmq.event`, and nobody else pays for it.

use super::script::Talk;
use ledgermq::message::Message;
use ledgermq::protocol::properties::Properties;
use ledgermq::protocol::value::Value;
use ledgermq::vhost::Now;
use ledgermq::vhost::input::{Effects, Input};

/// An event as text: key and headers, but for the time.
fn shown(message: &Message) -> String {
    let properties = Properties::new(&message.properties);
    assert!(message.body.is_empty() && message.persistent);
    assert!(properties.timestamp().is_some() && properties.delivery_mode() == Some(2));
    let value = |value: Value<'_>| match value {
        Value::LongString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Array(elements) => {
            let texts = elements.iter().map(|text| text.as_str().unwrap_or_default().to_owned());
            format!("[{}]", texts.collect::<Vec<_>>().join(","))
        }
        Value::Table(fields) => {
            format!("{{{}}}", fields.iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
        }
        other => other.as_i64().map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    };
    let headers = properties.headers();
    assert!(headers.get("timestamp_in_ms").is_some());
    let told = headers.iter().filter(|(name, _)| *name != "timestamp_in_ms");
    let pairs: Vec<_> = told.map(|(name, found)| format!("{name}={}", value(found))).collect();
    format!("{}: {}", message.routing_key, pairs.join(" "))
}

/// Everything told since the last time.
fn told(talk: &mut Talk) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        talk.last_message = None;
        talk.tell("9.1 < get events no-ack");
        match talk.last_message.take() {
            Some(message) => told.push(shown(&message)),
            None => return told,
        }
    }
}

fn watched(keys: &str) -> Talk {
    let mut talk = Talk::new();
    talk.converse(&format!(
        "9.1 < queue.declare events durable
         9.1 > queue.declare-ok events 0 0
         9.1 < queue.bind events amq.rabbitmq.event {keys}
         9.1 > queue.bind-ok"
    ));
    talk
}

fn check(talk: &mut Talk, expected: &[&str]) {
    let told = told(talk);
    assert_eq!(told, expected, "\n{}", told.join("\n"));
}

#[test]
fn queues_exchanges_and_bindings_come_and_go() {
    let mut talk = watched("#");
    talk.converse("identify 1 alice");
    talk.converse(
        "1.1 < exchange.declare e topic auto-delete alternate-exchange=amq.fanout
         1.1 > exchange.declare-ok
         1.1 < exchange.declare e topic auto-delete alternate-exchange=amq.fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare q durable x-max-length=5
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare mine exclusive auto-delete
         1.1 > queue.declare-ok mine 0 0",
    );
    check(
        &mut talk,
        &[
            "connection.created: pid=client 1 name=client 1 user=alice vhost=/ node=ledgermq@localhost \
             user_who_performed_action=alice",
            "channel.created: pid=client 1 (1) name=client 1 (1) connection=client 1 number=1 user=alice vhost=/ \
             user_who_performed_action=alice",
            "exchange.created: name=e vhost=/ type=topic durable=false auto_delete=true internal=false \
             arguments=[{<<\"alternate-exchange\">>,longstr,<<\"amq.fanout\">>}] policy= user_who_performed_action=alice",
            "queue.created: name=q vhost=/ durable=true auto_delete=false exclusive=false arguments=[{<<\"x-max-length\">>,signedint,5}] \
             owner_pid= type=rabbit_classic_queue user_who_performed_action=alice",
            "queue.created: name=mine vhost=/ durable=false auto_delete=true exclusive=true arguments=[] \
             owner_pid=client 1 type=rabbit_classic_queue user_who_performed_action=alice",
        ],
    );
    talk.converse(
        "1.1 < queue.bind q e a.* x=1
         1.1 > queue.bind-ok
         1.1 < queue.bind q e a.* x=1
         1.1 > queue.bind-ok
         1.1 < exchange.bind e amq.direct k
         1.1 > exchange.bind-ok
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0",
    );
    check(
        &mut talk,
        &[
            "binding.created: source_name=e source_kind=exchange destination_name=q destination_kind=queue \
             routing_key=a.* arguments=[{<<\"x\">>,signedint,1}] vhost=/ user_who_performed_action=alice",
            "binding.created: source_name=amq.direct source_kind=exchange destination_name=e \
             destination_kind=exchange routing_key=k arguments=[] vhost=/ user_who_performed_action=alice",
            // The exchange goes with its last binding as a source, and takes the one to it along.
            "binding.deleted: source_name=e source_kind=exchange destination_name=q destination_kind=queue \
             routing_key=a.* arguments=[{<<\"x\">>,signedint,1}] vhost=/ user_who_performed_action=alice",
            "binding.deleted: source_name=amq.direct source_kind=exchange destination_name=e \
             destination_kind=exchange routing_key=k arguments=[] vhost=/ user_who_performed_action=alice",
            "exchange.deleted: name=e vhost=/ user_who_performed_action=alice",
            "queue.deleted: name=q vhost=/ type=rabbit_classic_queue user_who_performed_action=alice",
        ],
    );
}

#[test]
fn consumers_channels_and_connections_come_and_go() {
    let mut talk = watched("consumer.*");
    talk.tell("9.1 < queue.bind events amq.rabbitmq.event *.closed");
    talk.tell("9.1 < queue.bind events amq.rabbitmq.event queue.deleted");
    talk.converse(
        "identify 1 alice
         1.1 < queue.declare mine exclusive
         1.1 > queue.declare-ok mine 0 0
         1.2 < qos 5
         1.2 > qos-ok
         1.2 < consume mine one exclusive
         1.2 > consume-ok one
         1.2 < cancel one
         1.2 > cancel-ok one
         1.2 < consume mine two no-ack x-priority=3
         1.2 > consume-ok two
         1.2 < channel.close
         1.2 > channel.close-ok
         1.1 < consume mine three
         1.1 > consume-ok three
         detach 1
         driver > detached 1",
    );
    let created = |tag, exclusive, ack, channel, prefetch, arguments| {
        format!(
            "consumer.created: consumer_tag={tag} exclusive={exclusive} ack_required={ack} channel=client 1 ({channel}) \
             queue=mine vhost=/ prefetch_count={prefetch} arguments=[{arguments}] user_who_performed_action=alice"
        )
    };
    let deleted = |tag, channel| {
        format!(
            "consumer.deleted: consumer_tag={tag} channel=client 1 ({channel}) queue=mine vhost=/ \
             user_who_performed_action=alice"
        )
    };
    let closed =
        |channel| format!("channel.closed: pid=client 1 ({channel}) user_who_performed_action=alice");
    let expected = [
        created("one", true, true, 2, 5, ""),
        deleted("one", 2),
        created("two", false, false, 2, 5, "{<<\"x-priority\">>,signedint,3}"),
        deleted("two", 2),
        closed(2),
        created("three", false, true, 1, 0, ""),
        deleted("three", 1),
        closed(1),
        "queue.deleted: name=mine vhost=/ type=rabbit_classic_queue user_who_performed_action=alice"
            .to_owned(),
        "connection.closed: pid=client 1 name=client 1 node=ledgermq@localhost".to_owned(),
    ];
    check(&mut talk, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_an_operator_does_bears_the_operators_name() {
    let mut talk = watched("queue.deleted");
    talk.converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q tag
         1.1 > consume-ok tag
         admin delete q
         1.1 > cancelled tag
         driver > removed 0",
    );
    check(
        &mut talk,
        &["queue.deleted: name=q vhost=/ type=rabbit_classic_queue user_who_performed_action=rmq-cli"],
    );
}

#[test]
fn who_made_messages_go_is_told() {
    let mut talk = watched("queue.#");
    talk.converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare r
         1.1 > queue.declare-ok r 0 0
         1.1 < publish . q one
         1.1 < publish . q two
         1.1 < publish . q three
         admin move q r 2
         driver > removed 2
         1.1 < queue.purge r
         1.1 > queue.purge-ok 2
         admin purge q
         driver > removed 1",
    );
    let created = |name| {
        format!(
            "queue.created: name={name} vhost=/ durable=false auto_delete=false exclusive=false arguments=[] owner_pid= \
             type=rabbit_classic_queue user_who_performed_action="
        )
    };
    check(
        &mut talk,
        &[
            &created("q"),
            &created("r"),
            "queue.messages.moved: name=q vhost=/ to=r messages=2 user_who_performed_action=rmq-cli",
            "queue.purged: name=r vhost=/ messages=2 user_who_performed_action=",
            "queue.purged: name=q vhost=/ messages=1 user_who_performed_action=rmq-cli",
        ],
    );
}

/// Nothing is logged or kept for an exchange that nobody is bound to; and who unbinds hears no more.
#[test]
fn nobody_bound_nothing_told() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0",
    );
    assert!(!talk.config.events.is_wanted());
    let records = talk.log.record_count();
    assert_eq!(records, 0, "a transient queue is no record, and neither is its event");
    talk.converse(
        "1.1 < queue.declare events durable
         1.1 > queue.declare-ok events 0 0
         1.1 < queue.bind events amq.rabbitmq.event #
         1.1 > queue.bind-ok",
    );
    assert!(talk.config.events.is_wanted());
    talk.converse(
        "1.1 < queue.unbind events amq.rabbitmq.event #
         1.1 > queue.unbind-ok
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0",
    );
    assert!(!talk.config.events.is_wanted());
    talk.converse(
        "1.1 < publish amq.rabbitmq.event k forged
         1.1 > failed 403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.event' in vhost '/'",
    );
}

/// A durable queue that is bound hears of what happens after a restart, too, and keeps what it heard before.
#[test]
fn a_bound_queue_outlives_a_restart() {
    let mut talk = watched("queue.created");
    talk.converse(
        "1.1 < queue.declare before
         1.1 > queue.declare-ok before 0 0
         crash
         1.1 < queue.declare after
         1.1 > queue.declare-ok after 0 0",
    );
    let told = told(&mut talk);
    let names: Vec<_> = told.iter().map(|event| event.split(' ').nth(1).unwrap()).collect();
    assert_eq!(names, ["name=before", "name=after"]);
}

#[test]
fn when_the_vhost_of_the_event_exchange_ends_nobody_listens() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.bind amq.fanout amq.rabbitmq.event #
         1.1 > exchange.bind-ok",
    );
    assert!(talk.config.events.is_wanted());
    talk.vhost.apply(Input::Shutdown, Now::default(), &mut talk.log, &mut Effects::default());
    assert!(!talk.config.events.is_wanted(), "other vhosts make no events that nobody gets");
}

#[test]
fn who_only_looks_is_not_named_for_what_fell_due() {
    let mut talk = watched("queue.deleted");
    talk.converse(
        "identify 1 alice
         1.1 < queue.declare q auto-delete
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x x-consumer-timeout=5000
         1.1 > consume-ok x
         1.1 < publish . q a
         1.1 > deliver x a
         admin look-after 5000 ann
         1.1 > timed out x 5000
         driver > Queues([])",
    );
    check(
        &mut talk,
        &["queue.deleted: name=q vhost=/ type=rabbit_classic_queue user_who_performed_action=rmq-internal"],
    );
}
