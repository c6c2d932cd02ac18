//! Exchanges, queues and bindings: declared, declared again, looked for, bound, deleted, and every refusal on the way.

use super::script::{Talk, converse};

#[test]
fn a_queue_is_declared_and_declared_again() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q hello
         1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 1 0
         2.1 < queue.declare q passive
         2.1 > queue.declare-ok q 1 0
         1.1 < queue.declare q durable nowait",
    );
}

#[test]
fn what_differs_is_named() {
    for (first, second, text) in [
        ("durable", "", "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"),
        (
            "",
            "auto-delete",
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "",
            "x-message-ttl=1000",
            "'x-message-ttl' for queue 'q' in vhost '/': received the value '1000' of type 'signedint' but current is none",
        ),
        (
            "x-max-length=5",
            "x-max-length=6",
            "'x-max-length' for queue 'q' in vhost '/': received '6' but current is '5'",
        ),
    ] {
        converse(&format!(
            "1.1 < queue.declare q {first}
             1.1 > queue.declare-ok q 0 0
             1.1 < queue.declare q {second}
             1.1 > failed 406 PRECONDITION_FAILED - inequivalent arg {text}"
        ));
    }
    for (first, second, text) in [
        (
            "fanout",
            "direct",
            "'type' for exchange 'e' in vhost '/': received 'direct' but current is 'fanout'",
        ),
        (
            "topic",
            "topic durable",
            "'durable' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "topic",
            "topic auto-delete",
            "'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "topic internal",
            "topic",
            "'internal' for exchange 'e' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            "topic alternate-exchange=ae",
            "topic",
            "'alternate-exchange' for exchange 'e' in vhost '/': received none but current is the value 'ae' of type 'longstr'",
        ),
    ] {
        converse(&format!(
            "1.1 < exchange.declare e {first}
             1.1 > exchange.declare-ok
             1.1 < exchange.declare e {first}
             1.1 > exchange.declare-ok
             1.1 < exchange.declare e {second}
             1.1 > failed 406 PRECONDITION_FAILED - inequivalent arg {text}"
        ));
    }
}

#[test]
fn arguments_that_mean_nothing_here_are_ignored() {
    converse(
        "1.1 < queue.declare q x-ours=1 x-quorum-target-group-size=3
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare q x-queue-type=classic
         1.1 > queue.declare-ok q 0 0",
    );
}

/// Also those that have no effect here: a declaration that RabbitMQ refuses is refused.
#[test]
fn arguments_of_other_types_are_refused_and_those_of_its_own_compared() {
    converse(
        "1.1 < queue.declare q x-queue-mode=lazy x-queue-version=2
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare q x-queue-version=2
         1.1 > failed 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-mode' for queue 'q' in vhost '/': received none but current is the value 'lazy' of type 'longstr'
         1.2 < queue.declare p durable x-queue-type=quorum x-queue-mode=lazy
         1.2 > failed 406 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'p' in vhost '/' of queue type rabbit_quorum_queue
         1.3 < queue.declare p auto-delete exclusive x-queue-type=quorum
         1.3 > failed 406 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'p' in vhost '/'
         1.4 < queue.declare p exclusive durable x-queue-type=quorum
         1.4 > failed 406 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'p' in vhost '/'
         1.5 < queue.declare p x-queue-type=quorum
         1.5 > failed 406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'p' in vhost '/'
         1.6 < queue.declare . durable x-queue-type=quorum
         1.6 > failed 406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue",
    );
}

#[test]
fn declarations_that_cannot_be() {
    for (command, refusal) in [
        (
            "queue.declare amq.mine",
            "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (
            "queue.declare q x-max-length=-1",
            "406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}",
        ),
        (
            "queue.declare q x-queue-type=quorum",
            "406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'",
        ),
        (
            "queue.declare q durable exclusive x-queue-type=quorum",
            "406 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'",
        ),
        (
            "queue.declare q durable auto-delete x-queue-type=quorum",
            "406 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q' in vhost '/'",
        ),
        (
            "queue.declare . durable x-queue-type=quorum",
            "406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue",
        ),
        ("queue.declare q passive", "404 NOT_FOUND - no queue 'q' in vhost '/'"),
        ("exchange.declare e nonsense", "406 PRECONDITION_FAILED - unknown exchange type 'nonsense'"),
        (
            "exchange.declare amq.mine fanout",
            "403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        ("exchange.declare . direct", "403 ACCESS_REFUSED - operation not permitted on the default exchange"),
        (
            "exchange.declare e direct alternate-exchange=1",
            "406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '/'",
        ),
        ("exchange.declare e direct passive", "404 NOT_FOUND - no exchange 'e' in vhost '/'"),
        (
            "exchange.delete amq.direct",
            "403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ),
        ("exchange.delete .", "403 ACCESS_REFUSED - operation not permitted on the default exchange"),
        (
            "exchange.bind amq.topic . k",
            "403 ACCESS_REFUSED - operation not permitted on the default exchange",
        ),
        ("exchange.bind missing amq.topic k", "404 NOT_FOUND - no exchange 'missing' in vhost '/'"),
        ("exchange.bind amq.topic missing k", "404 NOT_FOUND - no exchange 'missing' in vhost '/'"),
        ("queue.bind missing amq.topic k", "404 NOT_FOUND - no queue 'missing' in vhost '/'"),
        ("queue.bind missing missing k", "404 NOT_FOUND - no exchange 'missing' in vhost '/'"),
        ("queue.bind . amq.topic k", "404 NOT_FOUND - no previously declared queue"),
        ("queue.purge .", "404 NOT_FOUND - no previously declared queue"),
        ("queue.purge missing", "404 NOT_FOUND - no queue 'missing' in vhost '/'"),
        ("queue.delete .", "404 NOT_FOUND - no previously declared queue"),
        ("consume missing c", "404 NOT_FOUND - no queue 'missing' in vhost '/'"),
        ("get missing", "404 NOT_FOUND - no queue 'missing' in vhost '/'"),
    ] {
        converse(&format!("1.1 < {command}\n1.1 > failed {refusal}"));
    }
}

#[test]
fn predeclared_exchanges_may_be_declared_again() {
    converse(
        "1.1 < exchange.declare amq.direct direct durable
         1.1 > exchange.declare-ok
         1.1 < exchange.declare amq.match headers durable
         1.1 > exchange.declare-ok
         1.1 < exchange.declare amq.topic topic passive
         1.1 > exchange.declare-ok
         1.1 < publish amq.rabbitmq.trace k hello
         1.1 > failed 403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
    );
}

#[test]
fn a_failed_channel_hears_nothing_more() {
    converse(
        "1.1 < queue.declare q passive
         1.1 > failed 404 NOT_FOUND - no queue 'q' in vhost '/'
         1.1 < queue.declare q
         1.1 < channel.close
         1.1 < channel.open
         1.1 > channel.open-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0",
    );
}

#[test]
fn the_broker_names_a_queue_and_the_channel_remembers() {
    converse(
        "1.1 < queue.declare . exclusive auto-delete
         1.1 > queue.declare-ok amq.gen 0 0
         1.1 < queue.bind . amq.fanout .
         1.1 > queue.bind-ok
         1.1 < publish amq.fanout anything hello
         1.1 < get .
         1.1 > get-ok hello 0
         1.1 < queue.delete .
         1.1 > queue.delete-ok 0",
    );
}

#[test]
fn bound_by_its_own_name() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind . amq.direct .
         1.1 > queue.bind-ok
         1.1 < publish amq.direct q hello
         1.1 < get q
         1.1 > get-ok hello 0",
    );
}

#[test]
fn exclusive_queues_belong_to_their_connection() {
    let locked = "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
                  originally declared on another connection or the exclusive property value does not match that of \
                  the original declaration.";
    for command in [
        "queue.declare q exclusive",
        "queue.declare q",
        "queue.declare q passive",
        "queue.delete q",
        "queue.bind q amq.fanout k",
        "queue.unbind q amq.fanout k",
        "queue.purge q",
        "consume q c",
        "get q",
    ] {
        converse(&format!(
            "1.1 < queue.declare q exclusive durable
             1.1 > queue.declare-ok q 0 0
             1.1 < queue.declare q exclusive
             1.1 > queue.declare-ok q 0 0
             1.1 < queue.bind q amq.fanout k
             1.1 > queue.bind-ok
             2.1 < publish . q hello
             2.1 < {command}
             2.1 > failed {locked}
             1.1 < get q
             1.1 > get-ok hello 0
             1.1 < queue.declare q
             1.1 > failed {locked}"
        ));
    }
    converse(
        "1.1 < queue.declare q exclusive
         1.1 > queue.declare-ok q 0 0
         1.2 < queue.declare q passive
         1.2 > queue.declare-ok q 0 0
         detach 1
         driver > detached 1
         exists queue q false",
    );
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    converse(
        "1.1 < queue.declare q auto-delete
         1.1 > queue.declare-ok q 0 0
         1.1 < get q
         1.1 > get-empty
         exists queue q true
         1.1 < consume q a
         1.1 > consume-ok a
         1.2 < consume q b
         1.2 > consume-ok b
         1.1 < cancel a
         1.1 > cancel-ok a
         exists queue q true
         1.2 < channel.close
         1.2 > channel.close-ok
         exists queue q false",
    );
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    converse(
        "1.1 < exchange.declare e fanout auto-delete durable
         1.1 > exchange.declare-ok
         1.1 < exchange.declare source fanout auto-delete
         1.1 > exchange.declare-ok
         1.1 < exchange.bind e source .
         1.1 > exchange.bind-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q e .
         1.1 > queue.bind-ok
         1.1 < queue.bind q e other
         1.1 > queue.bind-ok
         1.1 < queue.unbind q e .
         1.1 > queue.unbind-ok
         exists exchange e true
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         exists exchange e false
         exists exchange source false",
    );
}

#[test]
fn deleted_only_if() {
    converse(
        "1.1 < exchange.declare e fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q e .
         1.1 > queue.bind-ok
         1.2 < exchange.delete e if-unused
         1.2 > failed 406 PRECONDITION_FAILED - exchange 'e' in vhost '/' in use
         1.1 < publish . q hello
         1.2 < channel.open
         1.2 > channel.open-ok
         1.2 < queue.delete q if-empty
         1.2 > failed 406 PRECONDITION_FAILED - queue 'q' in vhost '/' not empty
         1.1 < consume q c
         1.1 > consume-ok c
         1.1 > deliver c hello
         1.2 < channel.open
         1.2 > channel.open-ok
         1.2 < queue.delete q if-unused
         1.2 > failed 406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use
         1.1 < exchange.delete e
         1.1 > exchange.delete-ok
         1.1 < queue.delete q if-empty
         1.1 > queue.delete-ok 0
         1.1 > cancelled c",
    );
}

#[test]
fn what_is_not_there_need_not_be_deleted() {
    converse(
        "1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         1.1 < exchange.delete e
         1.1 > exchange.delete-ok
         1.1 < queue.unbind q amq.direct k
         1.1 > queue.unbind-ok
         1.1 < exchange.unbind e amq.direct k
         1.1 > exchange.unbind-ok
         1.1 < cancel nobody
         1.1 > cancel-ok nobody",
    );
}

#[test]
fn purged_of_what_is_ready() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < publish . q c
         1.1 < get q
         1.1 > get-ok a 2
         1.1 < queue.purge q
         1.1 > queue.purge-ok 2
         queue q ready=0 unacked=1 bytes=1 consumers=0
         crash
         queue q ready=1 unacked=0 bytes=1 consumers=0
         1.1 < get q
         1.1 > get-ok a 0 redelivered",
    );
}

#[test]
fn durable_things_come_back() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.declare kept topic durable
         1.1 > exchange.declare-ok
         1.1 < exchange.declare lost topic
         1.1 > exchange.declare-ok
         1.1 < queue.declare kept durable x-max-length=5
         1.1 > queue.declare-ok kept 0 0
         1.1 < queue.declare lost
         1.1 > queue.declare-ok lost 0 0
         1.1 < queue.declare gone durable
         1.1 > queue.declare-ok gone 0 0
         1.1 < queue.bind kept kept #
         1.1 > queue.bind-ok
         1.1 < queue.bind kept lost #
         1.1 > queue.bind-ok
         1.1 < queue.bind lost kept #
         1.1 > queue.bind-ok
         1.1 < queue.bind kept amq.fanout k
         1.1 > queue.bind-ok
         1.1 < queue.unbind kept amq.fanout k
         1.1 > queue.unbind-ok
         1.1 < exchange.bind amq.fanout kept #
         1.1 > exchange.bind-ok
         1.1 < queue.delete gone
         1.1 > queue.delete-ok 0",
    );
    for stop in ["stop", "crash", "crash"] {
        talk.converse(&format!(
            "{stop}
             exists exchange kept true
             exists exchange lost false
             exists queue lost false
             exists queue gone false
             1.1 < queue.declare kept durable x-max-length=5
             1.1 > queue.declare-ok kept 0 0"
        ));
        let report = talk.vhost.report();
        let bindings: Vec<_> = report.bindings.iter().map(|one| (&*one.source, &*one.destination)).collect();
        assert_eq!(bindings, [("", "kept"), ("kept", "amq.fanout"), ("kept", "kept")]);
    }
}

#[test]
fn operators_purge_and_delete() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         log hold
         admin purge q
         log sync
         driver > removed 1
         admin purge missing
         driver > refused no queue 'missing' in vhost '/'
         1.1 < consume q c
         1.1 > consume-ok c
         admin delete q if-unused
         driver > refused queue 'q' in vhost '/' in use
         admin delete q
         1.1 > cancelled c
         log sync
         driver > removed 0
         admin delete q
         driver > refused no queue 'q' in vhost '/'",
    );
}
