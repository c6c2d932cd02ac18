//! Time to live of messages and queues: what expires when, and what clocks, consumers and restarts have to do with it.

use super::script::{Talk, converse};
use ledgermq::limits::HEAD_ENTRIES_MIN;
use ledgermq::vhost::DeliverMode;

#[test]
fn a_message_lives_as_long_as_its_queue_says_and_is_never_handed_out_later() {
    converse(
        "1.1 < queue.declare q x-message-ttl=1000
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         clock 500
         1.1 < publish . q b
         due 500
         clock 499
         1.1 < get q
         1.1 > get-ok a 1
         1.1 < requeue 1
         clock 1
         queue q ready=1 unacked=0 bytes=1 consumers=0
         1.1 < get q
         1.1 > get-ok b 0
         due never",
    );
}

#[test]
fn the_shorter_of_both_times_counts() {
    converse(
        "1.1 < queue.declare q x-message-ttl=100
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a expires=50
         due 50
         clock 50
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < publish . q b expires=200
         due 100
         // A queue that says nothing takes the message's word.
         1.1 < queue.declare r
         1.1 > queue.declare-ok r 0 0
         1.1 < publish . r c expires=30
         1.1 < publish . r d
         clock 30
         queue r ready=1 unacked=0 bytes=1 consumers=0",
    );
}

#[test]
fn only_the_first_message_expires() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a expires=1000
         1.1 < publish . q b expires=10
         clock 500
         queue q ready=2 unacked=0 bytes=2 consumers=0
         1.1 < get q
         1.1 > get-ok a 0
         queue q ready=0 unacked=1 bytes=1 consumers=0",
    );
}

#[test]
fn who_holds_a_message_may_keep_it_and_a_requeue_gives_no_more_time() {
    converse(
        "1.1 < queue.declare q x-message-ttl=100
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < get q
         1.1 > get-ok a 0
         clock 500
         queue q ready=0 unacked=1 bytes=1 consumers=0
         1.1 < requeue 1
         queue q ready=0 unacked=0 bytes=0 consumers=0",
    );
}

#[test]
fn without_any_time_a_message_is_for_a_consumer_who_waits_or_for_nobody() {
    converse(
        "1.1 < queue.declare q durable x-message-ttl=0
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < publish . q b persistent
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < qos 2
         1.1 > qos-ok
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 < publish . q c
         1.1 > deliver x c
         // The time the log takes is not the message's.
         log hold
         1.1 < publish . q d persistent
         1.1 < publish . q e persistent
         clock 7
         log sync
         1.1 > deliver x d
         log sync
         queue q ready=0 unacked=2 bytes=2 consumers=1",
    );
}

#[test]
fn the_log_keeps_the_time_across_a_restart() {
    for stop in ["stop", "crash"] {
        converse(&format!(
            "1.1 < queue.declare dead durable
             1.1 > queue.declare-ok dead 0 0
             1.1 < queue.declare q durable x-message-ttl=1000
             1.1 > queue.declare-ok q 0 0
             1.1 < queue.declare r durable x-dead-letter-exchange= x-dead-letter-routing-key=dead
             1.1 > queue.declare-ok r 0 0
             1.1 < publish . q a persistent
             1.1 < publish . r b persistent expires=700
             clock 600
             1.1 < publish . q c persistent
             {stop}
             due 100
             clock 100
             1.1 < get dead
             1.1 > get-ok b 0 [expired r 1]
             clock 300
             queue q ready=1 unacked=0 bytes=1 consumers=0
             clock 600
             queue q ready=0 unacked=0 bytes=0 consumers=0"
        ));
    }
}

#[test]
fn what_expired_while_the_broker_was_down_is_not_handed_out() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent expires=1000
         1.1 < publish . q b persistent
         stop
         jump 5000
         stop
         1.1 < get q
         1.1 > get-ok b 0",
    );
}

/// Of a queue without any rules only the entries tell that its messages expire: a start looks at the first.
#[test]
fn what_expires_after_a_start_goes_though_nobody_asks_for_it() {
    for stop in ["stop", "crash"] {
        converse(&format!(
            "1.1 < queue.declare q durable
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a persistent expires=1000
             1.1 < publish . q b persistent expires=2000
             1.1 < publish . q c persistent
             jump 1500
             {stop}
             queue q ready=2 unacked=0 bytes=2 consumers=0
             due 500
             clock 500
             queue q ready=1 unacked=0 bytes=1 consumers=0
             due never"
        ));
    }
}

/// What has left memory comes back to expire, too.
#[test]
fn all_of_a_long_queue_expires_though_nobody_asks_for_it() {
    let count = 2 * HEAD_ENTRIES_MIN;
    for stop in ["stop", ""].into_iter().rev() {
        let mut talk = Talk::with(0, 600, DeliverMode::AfterDurable);
        talk.converse("1.1 < queue.declare q durable\n1.1 > queue.declare-ok q 0 0");
        for number in 0..count {
            talk.tell(&format!("1.1 < publish . q m{number} persistent expires=1000"));
        }
        talk.converse(&format!("{stop}\nclock 999"));
        assert_eq!(talk.vhost.report().queues[0].messages_ready, count);
        talk.converse("clock 1\nqueue q ready=0 unacked=0 bytes=0 consumers=0");
    }
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing_while_the_broker_runs() {
    for jump in [-3_600_000, 3_600_000] {
        converse(&format!(
            "1.1 < queue.declare q x-message-ttl=1000
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a
             jump {jump}
             1.1 < publish . q b
             due 1000
             clock 999
             queue q ready=2 unacked=0 bytes=2 consumers=0
             clock 1
             queue q ready=0 unacked=0 bytes=0 consumers=0"
        ));
    }
}

#[test]
fn expired_messages_whose_bodies_left_memory_are_read_to_be_dead_lettered() {
    let mut talk = Talk::with(0, 300, DeliverMode::AfterDurable);
    talk.converse(
        "1.1 < queue.declare dead durable
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q durable x-message-ttl=50 x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0",
    );
    talk.publish_many("q", 0..40);
    talk.converse(
        "clock 49
         queue q ready=40 unacked=0 bytes=110 consumers=0
         clock 1
         queue q ready=0 unacked=0 bytes=0 consumers=0
         queue dead ready=40 unacked=0 bytes=110 consumers=0",
    );
    talk.converse(
        "1.1 < get dead
         1.1 > get-ok m0 39 [expired q 1]
         1.1 < get dead
         1.1 > get-ok m1 38 [expired q 1]",
    );
}

#[test]
fn an_unused_queue_goes_with_all_it_holds() {
    converse(
        "1.1 < queue.declare dead
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q x-expires=1000 x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         clock 999
         exists queue q true
         clock 1
         exists queue q false
         queue dead ready=0 unacked=0 bytes=0 consumers=0
         due never",
    );
}

#[test]
fn declaring_getting_and_consuming_use_a_queue_but_publishing_does_not() {
    converse(
        "1.1 < queue.declare q x-expires=1000
         1.1 > queue.declare-ok q 0 0
         clock 900
         1.1 < queue.declare q x-expires=1000
         1.1 > queue.declare-ok q 0 0
         clock 900
         1.1 < get q
         1.1 > get-empty
         clock 900
         1.1 < queue.declare q passive
         1.1 > queue.declare-ok q 0 0
         clock 900
         1.1 < consume q x
         1.1 > consume-ok x
         clock 5000
         exists queue q true
         1.1 < cancel x
         1.1 > cancel-ok x
         clock 999
         1.1 < publish . q a
         exists queue q true
         clock 1
         exists queue q false",
    );
}

#[test]
fn a_quorum_queue_is_not_renewed_by_being_declared() {
    converse(
        "1.1 < queue.declare q durable x-queue-type=quorum x-expires=1000
         1.1 > queue.declare-ok q 0 0
         clock 900
         1.1 < queue.declare q passive
         1.1 > queue.declare-ok q 0 0
         clock 100
         exists queue q false",
    );
}

#[test]
fn a_restart_begins_the_lease_anew_and_a_lost_consumer_too() {
    converse(
        "1.1 < queue.declare q durable x-expires=1000
         1.1 > queue.declare-ok q 0 0
         clock 900
         stop
         clock 900
         exists queue q true
         2.1 < consume q x
         2.1 > consume-ok x
         clock 5000
         detach 2
         driver > detached 2
         clock 999
         exists queue q true
         clock 1
         exists queue q false
         stop
         exists queue q false",
    );
}
