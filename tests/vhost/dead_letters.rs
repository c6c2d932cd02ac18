//! Messages that were not consumed go to the dead-letter exchange of their queue: which ones, where to, and what a crash
//! leaves of the move.

use super::script::{Talk, converse};
use ledgermq::vhost::DeliverMode;

/// A durable queue `q` with dead letters to `dead`.
const DURABLE: &str = "
    1.1 < queue.declare dead durable
    1.1 > queue.declare-ok dead 0 0
    1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=dead
    1.1 > queue.declare-ok q 0 0";

#[test]
fn what_is_rejected_goes_to_the_exchange_of_the_queue() {
    converse(
        "1.1 < exchange.declare dlx fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare dead
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.bind dead dlx key
         1.1 > queue.bind-ok
         1.1 < queue.declare q x-dead-letter-exchange=dlx
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a h-n=5
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < discard 1
         1.1 < get q
         1.1 > get-empty
         1.1 < get dead
         1.1 > get-ok a 0 [rejected q 1]
         // An ack or a requeue is no death.
         1.1 < publish . q b
         1.1 < get q
         1.1 > get-ok b 0
         1.1 < requeue 3
         1.1 < get q
         1.1 > get-ok b 0 redelivered
         1.1 < ack 4
         queue dead ready=0 unacked=1 bytes=1 consumers=0",
    );
}

#[test]
fn without_its_exchange_or_anybody_behind_it_a_dead_letter_is_gone() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.declare unbound fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare q durable x-dead-letter-exchange=missing
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare r durable x-dead-letter-exchange=unbound
         1.1 > queue.declare-ok r 0 0
         1.1 < publish . q a persistent
         1.1 < publish . r b persistent
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < get r
         1.1 > get-ok b 0
         1.1 < discard 1
         1.1 < discard 2
         queue q ready=0 unacked=0 bytes=0 consumers=0
         queue r ready=0 unacked=0 bytes=0 consumers=0",
    );
    assert_eq!(talk.log.live_count(), 0, "and the log knows");
}

#[test]
fn deleting_and_purging_make_no_letters() {
    converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < queue.purge q
         1.1 > queue.purge-ok 2
         1.1 < publish . q c persistent
         1.1 < queue.delete q
         1.1 > queue.delete-ok 1
         queue dead ready=0 unacked=0 bytes=0 consumers=0"
    ));
}

#[test]
fn the_move_is_one_record_and_a_crash_leaves_all_of_it_or_nothing() {
    for synced in [false, true] {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "{DURABLE}
             1.1 < publish . q a persistent
             1.1 < get q
             1.1 > get-ok a 0
             log hold
             1.1 < discard 1
             {}
             crash
             log auto",
            if synced { "log sync" } else { "" },
        ));
        talk.converse(if synced {
            "1.1 < get q
             1.1 > get-empty
             1.1 < get dead
             1.1 > get-ok a 0 redelivered [rejected q 1]"
        } else {
            "1.1 < get dead
             1.1 > get-empty
             1.1 < get q
             1.1 > get-ok a 0 redelivered"
        });
    }
}

#[test]
fn an_answer_after_a_rejection_waits_until_the_move_is_written() {
    converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         log hold
         1.1 < discard 1
         1.1 < queue.declare q passive
         log write
         1.1 > queue.declare-ok q 0 0"
    ));
}

#[test]
fn a_body_that_left_memory_is_read_before_the_message_moves() {
    let mut talk = Talk::with(0, 1 << 20, DeliverMode::AfterDurable);
    talk.converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < get q
         1.1 > get-ok a 1
         1.1 < get q
         1.1 > get-ok b 0
         reads hold
         1.1 < discard 1 2
         queue q ready=0 unacked=2 bytes=2 consumers=0
         1.1 < queue.purge q
         1.1 > queue.purge-ok 0
         reads go
         log sync
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < get dead
         1.1 > get-ok a 1 [rejected q 1]
         1.1 < get dead
         1.1 > get-ok b 0 [rejected q 1]"
    ));
}

#[test]
fn a_body_that_cannot_be_read_is_set_aside() {
    let mut talk = Talk::with(0, 1 << 20, DeliverMode::AfterDurable);
    talk.converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < get q
         1.1 > get-ok a 1
         1.1 < get q
         1.1 > get-ok b 0
         log rot 3 0
         1.1 < discard 1 2
         driver > damaged q 0..=0 1
         1.1 < get dead
         1.1 > get-ok b 0 [rejected q 1]"
    ));
}

#[test]
fn a_full_disk_keeps_what_it_cannot_move() {
    converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         log full
         1.1 < discard 1
         queue q ready=0 unacked=1 bytes=1 consumers=0
         due 1000
         clock 1000
         queue q ready=0 unacked=1 bytes=1 consumers=0
         log space
         clock 1000
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < get dead
         1.1 > get-ok a 0 [rejected q 1]
         due never"
    ));
}

#[test]
fn transient_and_durable_queues_in_every_mixture() {
    for (source, target) in [("", ""), ("durable", ""), ("", "durable"), ("durable", "durable")] {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "1.1 < queue.declare dead {target}
             1.1 > queue.declare-ok dead 0 0
             1.1 < queue.declare q {source} x-dead-letter-exchange= x-dead-letter-routing-key=dead
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a persistent
             1.1 < publish . q b
             1.1 < get q
             1.1 > get-ok a 1
             1.1 < get q
             1.1 > get-ok b 0
             1.1 < discard 1 2
             queue q ready=0 unacked=0 bytes=0 consumers=0
             queue dead ready=2 unacked=0 bytes=2 consumers=0"
        ));
        assert_eq!(talk.log.live_count(), usize::from(target == "durable"));
    }
}

#[test]
fn one_message_to_several_queues_is_one_move() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare one durable
         1.1 > queue.declare-ok one 0 0
         1.1 < queue.declare two durable
         1.1 > queue.declare-ok two 0 0
         1.1 < queue.declare three
         1.1 > queue.declare-ok three 0 0
         1.1 < queue.bind one amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.bind two amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.bind three amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.declare q durable x-dead-letter-exchange=amq.fanout
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         log hold
         1.1 < discard 1",
    );
    assert_eq!(talk.log.pending_count(), 1);
    talk.converse(
        "queue three ready=1 unacked=0 bytes=1 consumers=0
         log sync
         crash
         log auto
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < get one
         1.1 > get-ok a 0 redelivered [rejected q 1]
         1.1 < get two
         1.1 > get-ok a 0 redelivered [rejected q 1]",
    );
}

#[test]
fn a_retry_loop_counts_its_rounds_across_restarts() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare work durable x-dead-letter-exchange= x-dead-letter-routing-key=wait
         1.1 > queue.declare-ok work 0 0
         1.1 < queue.declare wait durable x-message-ttl=100 x-dead-letter-exchange= x-dead-letter-routing-key=work
         1.1 > queue.declare-ok wait 0 0
         1.1 < publish . work a persistent
         1.1 < get work
         1.1 > get-ok a 0
         1.1 < discard 1
         clock 100
         1.1 < get work
         1.1 > get-ok a 0 [expired wait 1, rejected work 1]
         1.1 < discard 2
         crash
         clock 100
         1.1 < get work
         1.1 > get-ok a 0 [expired wait 2, rejected work 2]",
    );
}

#[test]
fn a_message_that_nobody_rejected_does_not_turn_in_a_circle() {
    converse(
        "1.1 < queue.declare a x-message-ttl=10 x-dead-letter-exchange= x-dead-letter-routing-key=b
         1.1 > queue.declare-ok a 0 0
         1.1 < queue.declare b x-message-ttl=10 x-dead-letter-exchange= x-dead-letter-routing-key=a
         1.1 > queue.declare-ok b 0 0
         1.1 < publish . a m
         clock 10
         queue a ready=0 unacked=0 bytes=0 consumers=0
         queue b ready=1 unacked=0 bytes=1 consumers=0
         clock 10
         queue a ready=0 unacked=0 bytes=0 consumers=0
         queue b ready=0 unacked=0 bytes=0 consumers=0
         due never",
    );
}

#[test]
fn a_rejected_message_may_come_back_to_the_queue_that_it_left() {
    converse(
        "1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < discard 1
         1.1 < get q
         1.1 > get-ok a 0 [rejected q 1]
         1.1 < discard 2
         1.1 < get q
         1.1 > get-ok a 0 [rejected q 2]",
    );
}

#[test]
fn in_a_transaction_messages_die_at_the_commit() {
    converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < discard 1
         queue dead ready=0 unacked=0 bytes=0 consumers=0
         log hold
         1.1 < tx.commit
         log sync
         1.1 > tx.commit-ok
         crash
         log auto
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < get dead
         1.1 > get-ok a 0 redelivered [rejected q 1]"
    ));
}

#[test]
fn who_rejects_and_deletes_the_queue_still_has_the_letter() {
    converse(&format!(
        "{DURABLE}
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < discard 1
         1.1 < queue.delete q
         1.1 > queue.delete-ok 0
         1.1 < get dead
         1.1 > get-ok a 0 [rejected q 1]"
    ));
}
