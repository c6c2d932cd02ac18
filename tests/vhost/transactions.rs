//! tx: all or nothing, in memory, on disk, and after a crash.

use super::script::{Talk, converse};
use ledgermq::limits::TRANSACTION_BYTES_MAX;

#[test]
fn publishes_and_settlements_count_from_the_commit() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q old persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok old 0
         1.2 < publish . q new persistent
         1.2 < publish . nowhere lost mandatory
         1.2 < ack 1
         queue q ready=0 unacked=1 bytes=3 consumers=0
         log hold
         1.2 < tx.commit
         1.2 > return 312 NO_ROUTE lost
         queue q ready=1 unacked=0 bytes=3 consumers=0
         1.3 < consume q x
         1.3 > consume-ok x
         log write
         log sync
         1.2 > tx.commit-ok
         1.3 > deliver x new",
    );
}

#[test]
fn rolled_back_as_if_never_said() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q old persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok old 0
         1.2 < publish . q new persistent
         1.2 < ack 1
         1.2 < tx.rollback
         1.2 > tx.rollback-ok
         queue q ready=0 unacked=1 bytes=3 consumers=0
         1.2 < ack 1
         1.2 < tx.commit
         1.2 > tx.commit-ok
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

/// Recover used to put back what was acked in the transaction, too: another client got it, and then the commit found
/// nothing to acknowledge.
#[test]
fn recover_leaves_what_the_transaction_settles() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok a 1
         1.2 < get q
         1.2 > get-ok b 0
         1.2 < ack 1
         1.2 < recover
         1.2 > recover-ok
         queue q ready=1 unacked=1 bytes=2 consumers=0
         1.1 < get q
         1.1 > get-ok b 0 redelivered
         1.2 < tx.commit
         1.2 > tx.commit-ok
         queue q ready=0 unacked=1 bytes=1 consumers=0
         stop
         1.1 < get q
         1.1 > get-ok b 0 redelivered",
    );
}

/// RabbitMQ answers 504 to what comes while a commit waits for the disk; here it waits for its turn.
#[test]
fn what_comes_behind_a_commit_follows_it() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < tx.select
         1.1 > tx.select-ok
         log hold
         1.1 < publish . q a persistent
         1.1 < tx.commit
         1.1 < publish . q b persistent
         1.1 < publish . nowhere lost mandatory
         1.1 < tx.commit
         1.1 < queue.declare q passive
         log sync 1
         1.1 > tx.commit-ok
         1.1 > return 312 NO_ROUTE lost
         log sync
         1.1 > tx.commit-ok
         1.1 > queue.declare-ok q 2 0",
    );
}

#[test]
fn after_a_crash_all_or_nothing() {
    let committed = |sync: &str, a: u64, b: u64| {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "1.1 < queue.declare a durable
             1.1 > queue.declare-ok a 0 0
             1.1 < queue.declare b durable
             1.1 > queue.declare-ok b 0 0
             1.1 < publish . a in persistent
             1.1 < tx.select
             1.1 > tx.select-ok
             1.1 < get a
             1.1 > get-ok in 0
             1.1 < publish . b out persistent
             1.1 < publish . b transient
             1.1 < publish . b out persistent
             1.1 < ack 1
             log hold
             1.1 < tx.commit
             {sync}
             crash
             queue a ready={a} unacked=0 bytes={} consumers=0
             queue b ready={b} unacked=0 bytes={} consumers=0",
            a * 2,
            b * 3
        ));
    };
    committed("log sync\n1.1 > tx.commit-ok", 0, 2);
    committed("log write", 1, 0);
}

#[test]
fn refused_as_a_whole() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q old persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok old 0
         1.2 < publish . q new persistent
         1.2 < publish . nowhere lost mandatory
         1.2 < ack 1
         log full
         1.2 < tx.commit
         1.2 > failed 406 PRECONDITION_FAILED - transaction rolled back as a whole: no space left on the disk
         queue q ready=1 unacked=0 bytes=3 consumers=0
         log space
         1.1 < publish . q next persistent
         1.1 < get q
         1.1 > get-ok old 1 redelivered
         1.1 < get q
         1.1 > get-ok next 0",
    );
}

#[test]
fn refusals_of_a_transaction() {
    converse(
        "1.1 < tx.commit
         1.1 > failed 406 PRECONDITION_FAILED - channel is not transactional
         1.2 < tx.rollback
         1.2 > failed 406 PRECONDITION_FAILED - channel is not transactional
         1.3 < tx.select
         1.3 > tx.select-ok
         1.3 < publish missing k a
         1.3 > failed 404 NOT_FOUND - no exchange 'missing' in vhost '/'",
    );
    let body_bytes = TRANSACTION_BYTES_MAX / 2;
    converse(&format!(
        "1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish amq.fanout k a*{body_bytes}
         1.1 < publish amq.fanout k b*{body_bytes}
         1.1 > failed 406 PRECONDITION_FAILED - transaction is larger than {TRANSACTION_BYTES_MAX} bytes"
    ));
}

/// Who publishes to a queue by its name means the queue that has it when the message arrives there.
#[test]
fn a_queue_may_go_before_the_commit_and_another_take_its_name() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < publish . q new persistent mandatory
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.2 < tx.commit
         1.2 > tx.commit-ok
         queue q ready=1 unacked=0 bytes=3 consumers=0",
    );
}

#[test]
fn a_queue_that_was_bound_may_go_before_the_commit() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.fanout k
         1.1 > queue.bind-ok
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < publish amq.fanout k new persistent
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.fanout k
         1.1 > queue.bind-ok
         1.2 < tx.commit
         1.2 > tx.commit-ok
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn closing_drops_what_was_kept() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish . q a
         1.1 < channel.close
         1.1 > channel.close-ok
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}
