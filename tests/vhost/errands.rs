//! What operators do with messages: look without touching, and move without losing.

use super::script::{Talk, converse};
use ledgermq::limits::{HEAD_ENTRIES_MIN, MOVED_PER_ORDER_MAX};
use ledgermq::vhost::DeliverMode;

/// Durable queues `q`, with three persistent messages, and `r`.
const TWO_QUEUES: &str = "
    1.1 < queue.declare q durable
    1.1 > queue.declare-ok q 0 0
    1.1 < queue.declare r durable
    1.1 > queue.declare-ok r 0 0
    1.1 < publish . q one persistent
    1.1 < publish . q two persistent
    1.1 < publish . q three persistent";

#[test]
fn looking_takes_nothing_and_marks_nothing() {
    converse(&format!(
        "{TWO_QUEUES}
         admin peek q 2
         driver > peeked one two
         admin peek q 100
         driver > peeked one two three
         admin peek r 5
         driver > peeked
         queue q ready=3 unacked=0 bytes=11 consumers=0
         1.1 < get q
         1.1 > get-ok one 2
         admin peek q 5
         driver > peeked two three
         1.1 < requeue 1
         admin peek q 5
         driver > peeked one* two three"
    ));
}

#[test]
fn what_was_moved_is_in_the_other_queue_and_stays_there() {
    converse(&format!(
        "{TWO_QUEUES}
         admin move q r 2
         log sync
         driver > removed 2
         queue q ready=1 unacked=0 bytes=5 consumers=0
         crash
         queue q ready=1 unacked=0 bytes=5 consumers=0
         queue r ready=2 unacked=0 bytes=6 consumers=0
         2.1 < get r
         2.1 > get-ok one 1 redelivered
         2.1 < get r
         2.1 > get-ok two 0 redelivered"
    ));
}

#[test]
fn a_move_is_answered_once_it_is_durable() {
    converse(&format!(
        "{TWO_QUEUES}
         log hold
         admin move q r 10
         log sync
         driver > removed 3"
    ));
}

#[test]
fn moves_that_make_no_sense_are_refused_and_move_nothing() {
    converse(&format!(
        "{TWO_QUEUES}
         admin move q none 1
         driver > refused no queue 'none' in vhost '/'
         admin move none q 1
         driver > refused no queue 'none' in vhost '/'
         admin peek none 1
         driver > refused no queue 'none' in vhost '/'
         admin move q q 1
         driver > refused a queue's messages cannot be moved to itself
         1.1 < queue.declare full durable x-max-length=2 x-overflow=reject-publish
         1.1 > queue.declare-ok full 0 0
         admin move q full 10
         log sync
         driver > removed 2
         admin move q full 10
         driver > refused queue 'full' in vhost '/' is full
         queue q ready=1 unacked=0 bytes=5 consumers=0"
    ));
}

#[test]
fn consumers_of_the_other_queue_get_what_is_moved() {
    converse(&format!(
        "{TWO_QUEUES}
         2.1 < consume r x
         2.1 > consume-ok x
         admin move q r 1
         log sync
         driver > removed 1
         2.1 > deliver x one"
    ));
}

#[test]
fn what_is_on_disk_only_is_read_first() {
    let mut talk = Talk::with(200, 600, DeliverMode::AfterDurable);
    talk.converse("1.1 < queue.declare q durable\n1.1 > queue.declare-ok q 0 0");
    talk.converse("1.1 < queue.declare r durable\n1.1 > queue.declare-ok r 0 0");
    let count = 2 * HEAD_ENTRIES_MIN;
    talk.publish_many("q", 0..count);
    // After a crash no body is in memory, and of the middle not even the entries.
    talk.converse("crash\nadmin peek q 2\ndriver > peeked #0* #1*");
    let mut moved = 0;
    loop {
        let answer = talk.answered("admin move q r 10000");
        let count: u64 = answer.strip_prefix("removed ").unwrap().parse().unwrap();
        assert!(count <= MOVED_PER_ORDER_MAX);
        if count == 0 {
            break;
        }
        moved += count;
    }
    assert_eq!(moved, count);
    talk.converse("crash");
    let ready: Vec<_> = talk.vhost.report().queues.iter().map(|queue| queue.messages_ready).collect();
    assert_eq!(ready, [0, count], "of q and r");
    talk.converse(&format!("2.1 < get r\n2.1 > get-ok m0 {} redelivered", count - 1));
}

#[test]
fn what_belongs_to_a_connection_is_no_operators() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare mine exclusive
         1.1 > queue.declare-ok mine 0 0
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . mine secret
         1.1 < publish . q known",
    );
    for order in ["peek mine 1", "move mine q 1", "move q mine 1"] {
        let refusal = talk.refusal(&format!("admin {order}"));
        assert!(
            refusal.starts_with("cannot obtain exclusive access to locked queue 'mine' in vhost '/'"),
            "{refusal}"
        );
    }
    talk.converse(
        "queue mine ready=1 unacked=0 bytes=6 consumers=0
         queue q ready=1 unacked=0 bytes=5 consumers=0",
    );
}
