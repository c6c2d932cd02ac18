//! From publish to confirm: routing, returns, refusals.

use super::script::converse;

#[test]
fn each_queue_gets_a_message_once() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < exchange.declare a fanout
         1.1 > exchange.declare-ok
         1.1 < exchange.declare b topic internal
         1.1 > exchange.declare-ok
         1.1 < exchange.bind b a .
         1.1 > exchange.bind-ok
         1.1 < exchange.bind a b #
         1.1 > exchange.bind-ok
         1.1 < queue.bind q a one
         1.1 > queue.bind-ok
         1.1 < queue.bind q a two
         1.1 > queue.bind-ok
         1.1 < queue.bind q b a.*
         1.1 > queue.bind-ok
         1.1 < publish a a.b hello
         1.1 < get q
         1.1 > get-ok hello 0",
    );
}

#[test]
fn a_remembered_way_is_forgotten_when_something_is_bound() {
    converse(
        "1.1 < queue.declare one
         1.1 > queue.declare-ok one 0 0
         1.1 < queue.bind one amq.topic k
         1.1 > queue.bind-ok
         1.1 < publish amq.topic k a
         1.2 < queue.declare two
         1.2 > queue.declare-ok two 0 0
         1.2 < queue.bind two amq.topic #
         1.2 > queue.bind-ok
         1.1 < publish amq.topic k b
         1.2 < queue.delete one
         1.2 > queue.delete-ok 2
         1.1 < publish amq.topic k c
         queue two ready=2 unacked=0 bytes=2 consumers=0
         1.1 < publish . two d
         1.1 < publish . one lost
         1.1 < publish amq.topic k e
         queue two ready=4 unacked=0 bytes=4 consumers=0",
    );
}

#[test]
fn headers_are_looked_at_every_time() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.headers . colour=red
         1.1 > queue.bind-ok
         1.1 < publish amq.headers k a h-colour=red
         1.1 < publish amq.headers k b h-colour=blue
         1.1 < publish amq.headers k c h-colour=red
         queue q ready=2 unacked=0 bytes=2 consumers=0",
    );
}

#[test]
fn unroutable_messages_are_confirmed_and_returned_before() {
    converse(
        "1.1 < confirm.select
         1.1 > confirm.select-ok
         1.1 < publish . nowhere a #1
         1.1 > confirm 1
         1.1 < publish . nowhere b mandatory #2
         1.1 > return 312 NO_ROUTE b
         1.1 > confirm 2
         1.1 < publish missing k c #3
         1.1 > failed 404 NOT_FOUND - no exchange 'missing' in vhost '/'",
    );
}

#[test]
fn only_persistent_messages_in_durable_queues_wait_for_the_disk() {
    converse(
        "1.1 < queue.declare d durable
         1.1 > queue.declare-ok d 0 0
         1.1 < queue.declare t
         1.1 > queue.declare-ok t 0 0
         1.1 < queue.bind d amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.bind t amq.fanout .
         1.1 > queue.bind-ok
         log hold
         1.1 < publish . d a #1
         1.1 > confirm 1
         1.1 < publish . t b persistent #2
         1.1 > confirm 2
         1.1 < publish amq.fanout k c persistent #3
         1.1 < publish . d d persistent #4
         1.1 < publish . t e #5
         1.1 > confirm 5
         log write
         log sync 1
         1.1 > confirm 3
         log sync 1
         1.1 > confirm 4",
    );
}

#[test]
fn confirms_of_one_sync_are_one_notice() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         1.1 < publish . q a persistent #1
         1.2 < publish . q b persistent #1
         1.1 < publish . q c persistent #2
         1.1 < publish . q d persistent #3
         log sync 3
         1.1 > confirm 1 2
         1.2 > confirm 1
         log sync
         1.1 > confirm 3",
    );
}

#[test]
fn a_full_disk_refuses_and_stores_nothing() {
    converse(
        "1.1 < queue.declare a durable
         1.1 > queue.declare-ok a 0 0
         1.1 < queue.declare b
         1.1 > queue.declare-ok b 0 0
         1.1 < queue.bind a amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.bind b amq.fanout .
         1.1 > queue.bind-ok
         log full
         1.1 < publish amq.fanout k x persistent #1
         1.1 > refuse 1
         queue a ready=0 unacked=0 bytes=0 consumers=0
         queue b ready=0 unacked=0 bytes=0 consumers=0
         1.1 < publish amq.fanout k x #2
         1.1 > confirm 2
         log space
         1.1 < publish amq.fanout k x persistent #3
         1.1 > confirm 3
         log max 10
         1.1 < publish amq.fanout k x*11 persistent #4
         1.1 > refuse 4
         queue a ready=2 unacked=0 bytes=2 consumers=0",
    );
}

#[test]
fn confirms_come_also_when_the_queue_is_gone() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         1.1 < publish . q a persistent #1
         1.2 < queue.delete q
         log sync
         1.1 > confirm 1
         1.2 > queue.delete-ok 1",
    );
}
