//! Who of several consumers is served: priorities, and the single active consumer.

use super::script::{Talk, converse};

#[test]
fn the_highest_priority_that_has_credit_is_served_first() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         2.1 < qos 1
         2.1 > qos-ok
         2.1 < consume q low x-priority=-5
         2.1 > consume-ok low
         2.1 < consume q high x-priority=10
         2.1 > consume-ok high
         3.1 < qos 1
         3.1 > qos-ok
         3.1 < consume q also-high x-priority=10
         3.1 > consume-ok also-high
         4.1 < consume q none
         4.1 > consume-ok none
         1.1 < publish . q a
         2.1 > deliver high a
         1.1 < publish . q b
         3.1 > deliver also-high b
         1.1 < publish . q c
         4.1 > deliver none c
         1.1 < publish . q d
         4.1 > deliver none d
         2.1 < ack 1
         1.1 < publish . q e
         2.1 > deliver high e
         4.1 < cancel none
         4.1 > cancel-ok none
         1.1 < publish . q f
         2.1 > deliver low f
         1.1 < publish . q g
         3.1 < ack 1
         3.1 > deliver also-high g",
    );
}

#[test]
fn a_priority_is_a_number() {
    let refusal = "406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \
                   \"expected integer, got longstr\"";
    converse(&format!(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x x-priority=high
         1.1 > failed {refusal}
         queue q ready=0 unacked=0 bytes=0 consumers=0"
    ));
}

#[test]
fn one_consumer_at_a_time_and_the_next_when_it_goes() {
    converse(
        "1.1 < queue.declare q durable x-single-active-consumer=true
         1.1 > queue.declare-ok q 0 0
         2.1 < qos 2
         2.1 > qos-ok
         2.1 < consume q first
         2.1 > consume-ok first
         3.1 < consume q second
         3.1 > consume-ok second
         4.1 < consume q third
         4.1 > consume-ok third
         1.1 < publish . q a persistent
         2.1 > deliver first a
         1.1 < publish . q b persistent
         2.1 > deliver first b
         // Full is not gone: the order would be lost.
         1.1 < publish . q c persistent
         2.1 < ack 1
         2.1 > deliver first c
         // What a cancelled consumer holds stays with its channel, and the next begins at once.
         2.1 < cancel first
         2.1 > cancel-ok first
         1.1 < publish . q d persistent
         3.1 > deliver second d
         // What a closed channel held goes to whom is served next, in its order.
         2.1 < channel.close
         2.1 > channel.close-ok
         3.1 > deliver second b redelivered
         3.1 > deliver second c redelivered
         detach 3
         4.1 > deliver third b redelivered
         4.1 > deliver third c redelivered
         4.1 > deliver third d redelivered
         driver > detached 3",
    );
}

#[test]
fn nobody_is_exclusive_where_one_is_served_at_a_time() {
    converse(
        "1.1 < queue.declare q x-single-active-consumer=true
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x exclusive
         1.1 > failed 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use
         // A get takes a message past the consumers, but not from a quorum queue.
         2.1 < get q
         2.1 > get-empty
         2.1 < queue.declare quorum durable x-single-active-consumer=true x-queue-type=quorum
         2.1 > queue.declare-ok quorum 0 0
         2.1 < get quorum
         2.1 > failed 405 RESOURCE_LOCKED - cannot obtain access to locked queue 'quorum' in vhost '/'. \
         basic.get operations are not supported by quorum queues with single active consumer",
    );
}

#[test]
fn an_operator_sees_who_is_served() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q x-single-active-consumer=true
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q first
         1.1 > consume-ok first
         1.1 < consume q second x-priority=3
         1.1 > consume-ok second",
    );
    let served = |talk: &Talk| {
        let consumers = talk.vhost.report().consumers;
        consumers.iter().map(|one| (one.tag.to_string(), one.active, one.priority)).collect::<Vec<_>>()
    };
    assert_eq!(served(&talk), [("first".into(), true, 0), ("second".into(), false, 3)]);
    talk.converse(
        "1.1 < cancel first
         1.1 > cancel-ok first",
    );
    assert_eq!(served(&talk), [("second".into(), true, 3)]);
}

#[test]
fn a_quorum_queue_changes_over_to_a_higher_priority_between_messages() {
    converse(
        "1.1 < queue.declare q durable x-single-active-consumer=true x-queue-type=quorum
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q low
         2.1 > consume-ok low
         1.1 < publish . q a persistent
         2.1 > deliver low a
         3.1 < consume q high x-priority=1
         3.1 > consume-ok high
         1.1 < publish . q b persistent
         2.1 < ack 1
         3.1 > deliver high b",
    );
}
