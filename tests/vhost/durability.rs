//! What waits for the disk, and in which order it is said afterwards.

use super::script::{Talk, converse};

#[test]
fn replies_about_durable_things_wait() {
    converse(
        "1.1 < channel.open
         1.1 > channel.open-ok
         log hold
         1.1 < queue.declare t
         1.1 > queue.declare-ok t 0 0
         1.1 < queue.declare q durable
         1.1 < queue.bind q amq.direct k
         1.1 < exchange.declare e fanout durable
         1.1 < exchange.declare amq.direct direct passive
         1.1 < qos 5
         log write
         log sync 1
         1.1 > queue.declare-ok q 0 0
         log sync 1
         1.1 > queue.bind-ok
         log sync 1
         1.1 > exchange.declare-ok
         1.1 > exchange.declare-ok
         1.1 > qos-ok
         1.1 < exchange.delete e
         1.1 < queue.unbind q amq.direct k
         1.1 < queue.delete q
         log sync
         1.1 > exchange.delete-ok
         1.1 > queue.unbind-ok
         1.1 > queue.delete-ok 0",
    );
}

#[test]
fn who_finds_a_queue_that_is_not_durable_yet_waits_too() {
    converse(
        "1.1 < channel.open
         1.1 > channel.open-ok
         2.1 < channel.open
         2.1 > channel.open-ok
         log hold
         1.1 < queue.declare q durable
         2.1 < queue.declare q durable
         2.1 < queue.declare q passive
         log sync
         1.1 > queue.declare-ok q 0 0
         2.1 > queue.declare-ok q 0 0
         2.1 > queue.declare-ok q 0 0",
    );
}

#[test]
fn confirms_pass_what_is_held_back_but_not_a_return() {
    converse(
        "1.1 < queue.declare t
         1.1 > queue.declare-ok t 0 0
         log hold
         1.1 < queue.declare q durable
         1.1 < publish . t a #1
         1.1 > confirm 1
         1.1 < publish . nowhere b mandatory #2
         1.1 < publish . t c #3
         1.1 < consume t x
         log sync
         1.1 > queue.declare-ok q 0 0
         1.1 > return 312 NO_ROUTE b
         1.1 > confirm 2
         1.1 > confirm 3
         1.1 > consume-ok x
         1.1 > deliver x a
         1.1 > deliver x c",
    );
}

#[test]
fn an_answer_after_an_ack_waits_until_the_ack_is_written() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < get q
         1.1 > get-ok a 1
         log hold
         1.1 < ack 1
         1.2 < channel.open
         1.2 > channel.open-ok",
    );
    let before = talk.log.flush_count;
    talk.converse("1.1 < qos 1");
    assert_eq!(talk.log.flush_count, before + 1, "somebody waits for the ack");
    talk.converse(
        "1.1 < get q
         log write
         1.1 > qos-ok
         1.1 > get-ok b 0",
    );
}

#[test]
fn a_channel_closes_once_its_publishes_are_durable() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         1.1 < publish . q a persistent #1
         1.1 < channel.close
         1.1 < publish . q ignored persistent #2
         log write
         log sync
         1.1 > confirm 1
         1.1 > channel.close-ok
         queue q ready=1 unacked=0 bytes=1 consumers=0",
    );
}

#[test]
fn a_connection_goes_once_its_publishes_are_durable() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         1.1 < publish . q a persistent
         1.2 < publish . q b persistent
         detach 1
         log sync 1
         log sync 1
         driver > detached 1
         detach 1
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x a
         2.1 > deliver x b",
    );
}

#[test]
fn a_get_waits_for_its_message_and_what_follows_waits_for_the_get() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         1.1 < publish . q a persistent #1
         1.1 < publish . q b persistent #2
         1.1 < get q
         1.1 < get q
         1.1 < get q
         1.1 < queue.declare q passive
         log sync 1
         1.1 > confirm 1
         1.1 > get-ok a 1
         log sync
         1.1 > confirm 2
         1.1 > get-ok b 0
         1.1 > get-empty
         1.1 > queue.declare-ok q 2 0",
    );
}

#[test]
fn a_waiting_get_goes_with_its_channel_or_its_queue() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         2.1 < channel.open
         2.1 > channel.open-ok
         log hold
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 < channel.close
         2.1 < get q
         log sync
         1.1 > channel.close-ok
         2.1 > get-ok a 0
         1.1 < channel.open
         1.1 > channel.open-ok
         1.1 < publish . q b persistent
         1.1 < get q
         2.1 < queue.delete q
         1.1 > get-empty
         log sync
         2.1 > queue.delete-ok 1",
    );
}

#[test]
fn a_crash_keeps_what_was_durable_and_flags_it() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < publish . q transient
         1.1 < get q
         1.1 > get-ok a 2
         log hold
         1.1 < publish . q c persistent #1
         crash
         log auto
         1.1 < queue.declare q passive
         1.1 > queue.declare-ok q 2 0
         1.1 < publish . q d persistent
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 > deliver x a redelivered
         1.1 > deliver x b redelivered
         1.1 > deliver x d",
    );
}

#[test]
fn a_clean_stop_remembers_what_was_delivered() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < publish . q c persistent
         1.1 < get q
         1.1 > get-ok a 2
         1.1 < get q
         1.1 > get-ok b 1
         1.1 < requeue 1
         stop
         stop
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 > deliver x a redelivered
         1.1 > deliver x b redelivered
         1.1 > deliver x c",
    );
}
