//! Replies that pass no queue.

use super::script::converse;
use ledgermq::limits::REPLY_OUTBOX_BYTES_MAX;

#[test]
fn a_reply_goes_straight_to_its_caller_on_another_connection() {
    converse(
        "1.1 < queue.declare calls durable
         1.1 > queue.declare-ok calls 0 0
         2.1 < consume calls server no-ack
         2.1 > consume-ok server
         1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller
         1.1 < publish . calls ping persistent for-reply
         2.1 > deliver server ping
         2.1 < queue.declare REPLY passive
         2.1 > queue.declare-ok amq.rabbitmq.reply-to 0 1
         // It counts as routed, and is confirmed without the disk.
         log hold
         2.1 < publish . REPLY pong persistent mandatory #1
         1.1 > deliver caller pong
         2.1 > confirm 1
         log auto
         // Nobody else may say where it leads.
         2.1 < queue.bind REPLY amq.direct key
         2.1 > failed 403 ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue",
    );
}

#[test]
fn a_reply_to_nobody_is_returned() {
    converse(
        "1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller
         1.2 < queue.declare calls
         1.2 > queue.declare-ok calls 0 0
         2.1 < consume calls server no-ack
         2.1 > consume-ok server
         1.1 < publish . calls ping for-reply
         2.1 > deliver server ping
         1.1 < cancel caller
         1.1 > cancel-ok caller
         2.1 < publish . REPLY late mandatory #1
         2.1 > return 312 NO_ROUTE late
         2.1 > confirm 1
         2.1 < publish . REPLY late #2
         2.1 > confirm 2
         2.1 < queue.declare REPLY passive
         2.1 > failed 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.vHMaGwm582Y0iMEGcRvAXA' in vhost '/'
         // A new consumer has a new name.
         1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller
         3.1 < publish . REPLY late mandatory
         3.1 > return 312 NO_ROUTE late
         3.1 < publish . amq.rabbitmq.reply-to guess mandatory
         3.1 > return 312 NO_ROUTE guess
         1.1 < publish . calls again for-reply
         queue calls ready=1 unacked=0 bytes=5 consumers=0
         // The name ends with its channel.
         3.1 < consume calls server no-ack
         3.1 > consume-ok server
         3.1 > deliver server again
         1.1 < channel.close
         1.1 > channel.close-ok
         3.1 < publish . REPLY late mandatory
         3.1 > return 312 NO_ROUTE late",
    );
}

#[test]
fn rules_of_reply_consumers() {
    converse(
        "1.1 < consume amq.rabbitmq.reply-to caller
         1.1 > failed 406 PRECONDITION_FAILED - reply consumer cannot acknowledge
         2.1 < consume amq.rabbitmq.reply-to one no-ack
         2.1 > consume-ok one
         2.1 < consume amq.rabbitmq.reply-to two no-ack
         2.1 > failed 406 PRECONDITION_FAILED - reply consumer already set
         3.1 < publish . calls ping for-reply
         3.1 > failed 406 PRECONDITION_FAILED - fast reply consumer does not exist
         4.1 < queue.declare amq.rabbitmq.reply-to
         4.1 > queue.declare-ok amq.rabbitmq.reply-to 0 1
         4.1 < get amq.rabbitmq.reply-to
         4.1 > failed 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'",
    );
}

#[test]
fn a_request_in_a_transaction_and_a_reply_at_commit() {
    converse(
        "1.1 < queue.declare calls
         1.1 > queue.declare-ok calls 0 0
         1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish . calls ping for-reply
         1.1 < tx.commit
         1.1 > tx.commit-ok
         2.1 < consume calls server no-ack
         2.1 > consume-ok server
         2.1 > deliver server ping
         2.1 < tx.select
         2.1 > tx.select-ok
         2.1 < publish . REPLY pong mandatory
         2.1 < tx.commit
         1.1 > deliver caller pong
         2.1 > tx.commit-ok",
    );
}

#[test]
fn replies_for_a_client_that_does_not_read_are_dropped() {
    let half = REPLY_OUTBOX_BYTES_MAX / 2;
    converse(&format!(
        "1.1 < queue.declare calls
         1.1 > queue.declare-ok calls 0 0
         1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller
         2.1 < consume calls server no-ack
         2.1 > consume-ok server
         1.1 < publish . calls ping for-reply
         2.1 > deliver server ping
         2.1 < publish . REPLY a*{half} mandatory
         1.1 > deliver caller aaaa...{half}
         2.1 < publish . REPLY b*{half} mandatory
         1.1 > deliver caller bbbb...{half}
         2.1 < publish . REPLY c mandatory
         2.1 > return 312 NO_ROUTE c
         drained 1 {half}
         2.1 < publish . REPLY d mandatory
         1.1 > deliver caller d"
    ));
}
