//! Consumers and basic.get: order, turns, prefetch, settling, requeue, cancel, outboxes.

use super::script::{Talk, converse};
use ledgermq::limits::OUTBOX_BYTES_MAX;
use ledgermq::vhost::DeliverMode;

#[test]
fn consume_ok_comes_first_and_order_is_kept() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b
         1.1 < publish . q c persistent
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x a
         2.1 > deliver x b
         2.1 > deliver x c
         2.1 < ack 1 2 3
         queue q ready=0 unacked=0 bytes=0 consumers=1
         stop
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn round_robin() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         3.1 < consume q y
         3.1 > consume-ok y
         1.1 < publish . q a
         2.1 > deliver x a
         1.1 < publish . q b
         3.1 > deliver y b
         1.1 < publish . q c
         2.1 > deliver x c",
    );
}

#[test]
fn prefetch_of_consumers_and_of_the_channel() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < publish . q b
         1.1 < publish . q c
         1.1 < publish . q d
         2.1 < qos 2
         2.1 > qos-ok
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x a
         2.1 > deliver x b
         2.1 < qos 1
         2.1 > qos-ok
         2.1 < ack 2
         2.1 > deliver x c
         2.1 < qos 3 global
         2.1 > qos-ok
         2.1 < consume q y
         2.1 > consume-ok y
         2.1 > deliver y d
         1.1 < publish . q e
         2.1 < get q
         2.1 > get-ok e 0
         1.1 < publish . q f
         2.1 < ack 1
         2.1 > deliver x f
         1.1 < publish . q g
         2.1 < ack 5
         queue q ready=1 unacked=3 bytes=4 consumers=2
         2.1 < qos 0 global
         2.1 > qos-ok
         queue q ready=1 unacked=3 bytes=4 consumers=2
         2.1 < discard 4
         2.1 > deliver y g",
    );
}

#[test]
fn what_a_consumer_can_take_is_not_there_for_a_get() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 < publish . q a ...
         1.1 < get q
         1.1 > deliver x a
         1.1 > get-empty",
    );
}

#[test]
fn what_was_published_before_a_cancel_is_still_the_consumers() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 < publish . q a ...
         1.1 < cancel x ...
         1.1 < publish . q b
         1.1 > deliver x a
         1.1 > cancel-ok x
         queue q ready=1 unacked=1 bytes=2 consumers=0",
    );
}

#[test]
fn credit_of_a_channel_goes_round_its_queues() {
    converse(
        "1.1 < queue.declare p
         1.1 > queue.declare-ok p 0 0
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < qos 1 global
         1.1 > qos-ok
         1.1 < consume p x
         1.1 > consume-ok x
         1.1 < consume q y
         1.1 > consume-ok y
         1.1 < publish . p a
         1.1 > deliver x a
         1.1 < publish . p b
         1.1 < publish . q c
         1.1 < publish . q d
         1.1 < ack 1
         1.1 > deliver y c
         1.1 < ack 2
         1.1 > deliver x b
         1.1 < ack 3
         1.1 > deliver y d",
    );
}

#[test]
fn the_prefetch_of_the_channel_holds_back_who_need_not_ack_as_well() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare p
         1.1 > queue.declare-ok p 0 0
         1.1 < qos 1 global
         1.1 > qos-ok
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 < consume p y no-ack
         1.1 > consume-ok y
         1.1 < publish . p a
         1.1 > deliver y a
         1.1 < publish . p b
         1.1 > deliver y b
         1.1 < publish . q c
         1.1 > deliver x c
         1.1 < publish . p d
         1.1 < ack 3
         1.1 > deliver y d",
    );
}

#[test]
fn what_is_put_back_into_a_full_queue_makes_room_at_once() {
    converse(
        "1.1 < queue.declare q x-max-length=1
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < publish . q b
         1.1 < requeue 1 ...
         1.1 < get q
         1.1 > get-ok b 0",
    );
}

#[test]
fn who_need_not_ack_has_no_prefetch() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         2.1 < qos 1 global
         2.1 > qos-ok
         2.1 < qos 1
         2.1 > qos-ok
         2.1 < consume q x no-ack
         2.1 > consume-ok x
         1.1 < publish . q a persistent
         2.1 > deliver x a
         1.1 < publish . q b persistent
         2.1 > deliver x b
         queue q ready=0 unacked=0 bytes=0 consumers=1
         stop
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn back_to_its_place() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b
         1.1 < publish . q c persistent
         1.1 < get q
         1.1 > get-ok a 2
         1.1 < get q
         1.1 > get-ok b 1
         1.1 < requeue 2
         1.1 < requeue 1
         1.1 < get q
         1.1 > get-ok a 2 redelivered
         1.1 < get q
         1.1 > get-ok b 1 redelivered
         1.1 < get q
         1.1 > get-ok c 0
         1.1 < recover
         1.1 > recover-ok
         queue q ready=3 unacked=0 bytes=3 consumers=0
         1.1 < get q no-ack
         1.1 > get-ok a 2 redelivered
         1.1 < channel.close
         1.1 > channel.close-ok
         queue q ready=2 unacked=0 bytes=2 consumers=0",
    );
}

#[test]
fn a_dead_consumers_messages_go_to_another() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x a
         2.1 > deliver x b
         3.1 < consume q y
         3.1 > consume-ok y
         2.1 < ack 1
         detach 2
         3.1 > deliver y b redelivered
         driver > detached 2
         3.1 < ack 1
         stop
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn settled_once_and_only_by_the_holder() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < publish . q b
         1.1 < get q
         1.1 > get-ok a 1
         1.1 < ack 1
         1.1 < ack 1
         1.1 < requeue 1
         queue q ready=1 unacked=0 bytes=1 consumers=0
         1.1 < get q
         1.1 > get-ok b 0
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         1.1 < ack 2",
    );
}

#[test]
fn after_cancel_nothing_comes_and_what_is_held_stays() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 < publish . q a
         1.1 > deliver x a
         1.1 < cancel x
         1.1 > cancel-ok x
         1.1 < publish . q b
         queue q ready=1 unacked=1 bytes=2 consumers=0
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 > deliver x b
         1.1 < ack 1
         1.1 < ack 2
         queue q ready=0 unacked=0 bytes=0 consumers=1",
    );
}

#[test]
fn alone_or_not_at_all() {
    let refusal = "failed 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
    converse(&format!(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x exclusive
         1.1 > consume-ok x
         2.1 < consume q y
         2.1 > {refusal}
         1.1 < cancel x
         1.1 > cancel-ok x
         3.1 < consume q z
         3.1 > consume-ok z
         1.1 < consume q x exclusive
         1.1 > {refusal}"
    ));
}

#[test]
fn a_consumer_hears_when_its_queue_goes() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         1.1 < publish . q a
         2.1 > deliver x a
         1.1 < queue.delete q
         2.1 > cancelled x
         1.1 > queue.delete-ok 0
         2.1 < queue.declare q
         2.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 < ack 1",
    );
}

#[test]
fn consumers_wait_while_their_outbox_is_full() {
    let half = OUTBOX_BYTES_MAX / 2;
    converse(&format!(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x no-ack
         2.1 > consume-ok x
         1.1 < publish . q a*{half}
         2.1 > deliver x aaaa...{half}
         1.1 < publish . q b*{half}
         2.1 > deliver x bbbb...{half}
         1.1 < publish . q c
         3.1 < get q
         3.1 > get-ok c 0
         1.1 < publish . q d
         drained 2 10
         drained 2 {half}
         drained 2 1000
         2.1 > deliver x d
         drained 2 99999999
         drained 9 1"
    ));
}

#[test]
fn a_transient_message_is_delivered_before_the_disk_answers() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         log hold
         1.1 < publish . q a
         2.1 > deliver x a
         1.1 < publish . q b persistent
         1.1 < publish . q c
         log write
         log sync
         2.1 > deliver x b
         2.1 > deliver x c",
    );
}

#[test]
fn at_once_if_asked_for() {
    let mut talk = Talk::with(1 << 20, 1 << 20, DeliverMode::Immediate);
    talk.converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         log hold
         1.1 < publish . q a persistent #1
         2.1 > deliver x a
         2.1 < requeue 1
         2.1 > deliver x a redelivered
         log sync
         1.1 > confirm 1",
    );
}
