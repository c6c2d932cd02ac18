//! Consumers that hold deliveries for too long.

use super::script::converse;

#[test]
fn what_is_held_too_long_goes_back_and_the_consumer_is_ended() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         due never
         2.1 < qos 2
         2.1 > qos-ok
         2.1 < consume q slow x-consumer-timeout=60000
         2.1 > consume-ok slow
         due 60000
         2.2 < consume q patient x-consumer-timeout=0 x-priority=-1
         2.2 > consume-ok patient
         due 60000
         clock 30000
         1.1 < publish . q a persistent
         2.1 > deliver slow a
         clock 20000
         1.1 < publish . q b persistent
         2.1 > deliver slow b
         clock 5000
         2.1 < ack 1
         1.1 < publish . q c persistent
         2.1 > deliver slow c
         clock 54000
         // The oldest it holds is b, delivered at 50 s.
         queue q ready=0 unacked=2 bytes=2 consumers=2
         clock 1000
         2.1 > timed out slow 60000
         2.2 > deliver patient b redelivered
         2.2 > deliver patient c redelivered
         queue q ready=0 unacked=2 bytes=2 consumers=1
         due never
         // An ack that comes after all is for nothing.
         2.1 < ack 2
         queue q ready=0 unacked=2 bytes=2 consumers=1
         // Its tag is free.
         2.1 < consume q slow no-ack
         2.1 > consume-ok slow
         due never",
    );
}

#[test]
fn the_consumers_timeout_goes_before_the_queues() {
    converse(
        "1.1 < queue.declare q x-consumer-timeout=10000
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q queues
         2.1 > consume-ok queues
         due 10000
         3.1 < consume q own x-consumer-timeout=20000
         3.1 > consume-ok own
         1.1 < publish . q a
         2.1 > deliver queues a
         1.1 < publish . q b
         3.1 > deliver own b
         clock 10000
         2.1 > timed out queues 10000
         3.1 > deliver own a redelivered
         clock 10000
         3.1 > timed out own 20000
         queue q ready=2 unacked=0 bytes=2 consumers=0
         due never",
    );
}

#[test]
fn who_holds_deliveries_without_a_consumer_loses_its_channel() {
    converse(
        "1.1 < queue.declare q x-consumer-timeout=10000
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < publish . q b
         2.1 < get q no-ack
         2.1 > get-ok a 1
         due never
         2.1 < get q
         2.1 > get-ok b 0
         due 10000
         clock 10000
         2.1 > timed out . 10000
         // The channel closes it now.
         2.1 < channel.close
         2.1 > channel.close-ok
         queue q ready=1 unacked=0 bytes=1 consumers=0",
    );
}

#[test]
fn an_auto_delete_queue_goes_with_the_consumer_that_timed_out() {
    converse(
        "1.1 < queue.declare q auto-delete
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x x-consumer-timeout=5000
         2.1 > consume-ok x
         1.1 < publish . q a
         2.1 > deliver x a
         clock 5000
         2.1 > timed out x 5000
         exists queue q false",
    );
}

#[test]
fn a_timeout_is_a_number_of_milliseconds() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q x x-consumer-timeout=-5
         1.1 > failed 406 PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': {value_negative,-5}
         2.1 < consume q x x-consumer-timeout=soon
         2.1 > failed 406 PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': \"expected integer, got longstr\"",
    );
}
