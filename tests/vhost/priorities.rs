//! Queues with priorities: the highest first, in memory, from disk, and after a restart.

use super::backlog::drain;
use super::script::{Talk, converse};
use ledgermq::limits::HEAD_ENTRIES_MIN;
use ledgermq::vhost::DeliverMode;

#[test]
fn the_highest_first_and_in_order_within_one() {
    converse(
        "1.1 < queue.declare q durable x-max-priority=5
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q none persistent
         1.1 < publish . q five persistent priority=5
         1.1 < publish . q zero persistent priority=0
         1.1 < publish . q two priority=2
         // Above the highest is the highest.
         1.1 < publish . q nine persistent priority=9
         queue q ready=5 unacked=0 bytes=19 consumers=0
         1.1 < get q
         1.1 > get-ok five 4
         1.1 < get q
         1.1 > get-ok nine 3
         // What comes back goes to its place in its level.
         1.1 < publish . q other persistent priority=5
         1.1 < requeue 1
         1.1 < requeue 2
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x five redelivered
         2.1 > deliver x nine redelivered
         2.1 > deliver x other
         2.1 > deliver x two
         2.1 > deliver x none
         2.1 > deliver x zero",
    );
}

#[test]
fn a_queue_without_priorities_does_not_look_at_them() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q low priority=1
         1.1 < publish . q high priority=9
         1.1 < get q
         1.1 > get-ok low 1",
    );
}

#[test]
fn a_transaction_and_a_restart_keep_priorities() {
    converse(
        "1.1 < queue.declare q durable x-max-priority=10
         1.1 > queue.declare-ok q 0 0
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish . q low persistent
         1.1 < publish . q high persistent priority=7
         1.1 < publish . q middle persistent priority=3
         1.1 < tx.commit
         1.1 > tx.commit-ok
         crash
         1.1 < get q
         1.1 > get-ok high 2 redelivered
         1.1 < ack 1
         stop
         1.1 < get q
         1.1 > get-ok middle 1 redelivered
         1.1 < requeue 1
         1.1 < publish . q seven persistent priority=7
         stop
         1.1 < get q
         1.1 > get-ok seven 2
         1.1 < get q
         1.1 > get-ok middle 1 redelivered
         1.1 < get q
         1.1 > get-ok low 0 redelivered",
    );
}

/// Three levels, mixed, each longer than what stays in memory; read as they are, and after a crash.
#[test]
fn long_levels_leave_memory_and_come_back_in_order() {
    let count = 6 * HEAD_ENTRIES_MIN;
    for crash in [false, true] {
        let mut talk = Talk::with(200, 20_000, DeliverMode::AfterDurable);
        talk.converse("1.1 < queue.declare q durable x-max-priority=9\n1.1 > queue.declare-ok q 0 0");
        for body in 0..count {
            talk.converse(&format!("1.1 < publish . q m{body} persistent priority={}", body % 3 * 4));
        }
        if crash {
            talk.converse("crash");
        }
        assert_eq!(talk.vhost.report().queues[0].messages_ready, count);
        let redelivered = if crash { " redelivered" } else { "" };
        let in_level = |level: u64| (0..count).filter(move |body| body % 3 == level);
        let in_order = in_level(2).chain(in_level(1)).chain(in_level(0));
        drain(&mut talk, in_order.map(|body| format!("m{body}{redelivered}")));
        talk.converse("queue q ready=0 unacked=0 bytes=0 consumers=0");
    }
}
