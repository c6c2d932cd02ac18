//! Length limits and delivery limits: what gives way when a queue is full, and when a message has come back too often.

use super::script::{Talk, converse};
use ledgermq::vhost::DeliverMode;

#[test]
fn the_oldest_gives_way_by_number_and_by_bytes() {
    converse(
        "1.1 < queue.declare dead
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q x-max-length=2 x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < publish . q b
         1.1 < publish . q c
         queue q ready=2 unacked=0 bytes=2 consumers=0
         1.1 < get dead
         1.1 > get-ok a 0 [maxlen q 1]
         1.1 < get q
         1.1 > get-ok b 1
         1.1 < queue.declare r x-max-length-bytes=10
         1.1 > queue.declare-ok r 0 0
         1.1 < publish . r x*6
         1.1 < publish . r y*4
         queue r ready=2 unacked=0 bytes=10 consumers=0
         1.1 < publish . r z
         1.1 < get r
         1.1 > get-ok yyyy 1
         // One that is larger than the whole queue pushes everything out, and itself.
         1.1 < publish . r w*11
         queue r ready=0 unacked=1 bytes=4 consumers=0",
    );
}

#[test]
fn only_what_waits_is_counted_and_a_requeue_pushes_out_as_well() {
    converse(
        "1.1 < queue.declare q x-max-length=1
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < publish . q b
         queue q ready=1 unacked=1 bytes=2 consumers=0
         1.1 < requeue 1
         1.1 < get q
         1.1 > get-ok b 0",
    );
}

#[test]
fn who_is_handed_out_at_once_pushes_nobody_out() {
    converse(
        "1.1 < queue.declare q durable x-max-length=1
         1.1 > queue.declare-ok q 0 0
         1.1 < qos 2
         1.1 > qos-ok
         1.1 < consume q x
         1.1 > consume-ok x
         // They wait for the log, and the consumer waits for them.
         log hold
         1.1 < publish . q a persistent
         1.1 < publish . q b persistent
         1.1 < publish . q c persistent
         1.1 < publish . q d persistent
         log sync
         1.1 > deliver x a
         1.1 > deliver x b
         log sync
         queue q ready=1 unacked=2 bytes=3 consumers=1
         1.1 < ack 1
         1.1 > deliver x d
         1.1 < publish . q e
         1.1 < publish . q f
         queue q ready=1 unacked=2 bytes=3 consumers=1
         1.1 < ack 2
         1.1 > deliver x f",
    );
}

#[test]
fn what_is_pushed_out_is_gone_after_a_crash_as_well() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q durable x-max-length=3
         1.1 > queue.declare-ok q 0 0",
    );
    talk.publish_many("q", 0..10);
    assert_eq!(talk.log.live_count(), 3);
    talk.converse(
        "crash
         1.1 < get q
         1.1 > get-ok m7 2 redelivered",
    );
}

#[test]
fn after_a_restart_estimated_bytes_push_nobody_out() {
    let mut talk = Talk::with(1 << 20, 400, DeliverMode::AfterDurable);
    talk.converse(
        "1.1 < queue.declare q durable x-max-length-bytes=40
         1.1 > queue.declare-ok q 0 0",
    );
    talk.publish_many("q", 0..20);
    talk.converse("stop");
    talk.publish_many("q", 20..21);
    talk.converse(
        "1.1 < get q
         1.1 > get-ok m5 15
         1.1 < queue.purge q
         1.1 > queue.purge-ok 15",
    );
}

#[test]
fn a_full_queue_that_refuses_answers_with_a_nack_and_the_others_have_the_message() {
    converse(
        "1.1 < queue.declare full x-max-length=1 x-overflow=reject-publish
         1.1 > queue.declare-ok full 0 0
         1.1 < queue.declare other durable
         1.1 > queue.declare-ok other 0 0
         1.1 < queue.bind full amq.fanout .
         1.1 > queue.bind-ok
         1.1 < queue.bind other amq.fanout .
         1.1 > queue.bind-ok
         1.1 < publish amq.fanout . a persistent #1
         1.1 > confirm 1
         1.1 < publish amq.fanout . b persistent #2
         1.1 > refuse 2
         1.1 < publish . full c mandatory #3
         1.1 > refuse 3
         1.1 < publish . full d mandatory
         queue full ready=1 unacked=0 bytes=1 consumers=0
         queue other ready=2 unacked=0 bytes=2 consumers=0
         1.1 < get full
         1.1 > get-ok a 0
         1.1 < publish . full e #4
         1.1 > confirm 4
         // Requeued, it is one too many, and nobody is pushed out for it.
         1.1 < requeue 1
         queue full ready=2 unacked=0 bytes=2 consumers=0",
    );
}

#[test]
fn a_full_queue_may_dead_letter_what_it_refuses() {
    converse(
        "1.1 < queue.declare dead
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare b x-max-length=1 x-overflow=reject-publish-dlx x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok b 0 0
         1.1 < queue.declare a x-max-length=1 x-overflow=reject-publish-dlx x-dead-letter-exchange= x-dead-letter-routing-key=b
         1.1 > queue.declare-ok a 0 0
         1.1 < publish . a one #1
         1.1 > confirm 1
         1.1 < publish . a two #2
         1.1 > refuse 2
         1.1 < publish . a three #3
         1.1 > refuse 3
         1.1 < get b
         1.1 > get-ok two 0 [maxlen a 1]
         1.1 < get dead
         1.1 > get-ok three 0 [maxlen b 1, maxlen a 1]",
    );
}

#[test]
fn full_queues_that_send_to_one_another_come_to_an_end() {
    let declare = |queue: u32| {
        format!(
            "1.1 < queue.declare q{queue} x-max-length=0 x-overflow=reject-publish-dlx x-dead-letter-exchange= \
             x-dead-letter-routing-key=q{}\n1.1 > queue.declare-ok q{queue} 0 0\n",
            (queue + 1) % 300
        )
    };
    let script: String = (0..300).map(declare).collect();
    converse(&format!("{script}1.1 < publish . q0 a #1\n1.1 > refuse 1"));
}

#[test]
fn a_transaction_is_refused_as_a_whole_when_one_of_its_queues_is_full() {
    converse(
        "1.1 < queue.declare full durable x-max-length=2 x-overflow=reject-publish
         1.1 > queue.declare-ok full 0 0
         1.1 < queue.declare other durable
         1.1 > queue.declare-ok other 0 0
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish . full a persistent
         1.1 < publish . other b persistent
         1.1 < publish . full c persistent
         1.1 < tx.commit
         1.1 > tx.commit-ok
         1.1 < publish . other d persistent
         1.1 < publish . full e persistent
         1.1 < tx.commit
         1.1 > failed 406 PRECONDITION_FAILED - partial tx completion
         queue full ready=2 unacked=0 bytes=2 consumers=0
         queue other ready=1 unacked=0 bytes=1 consumers=0",
    );
}

#[test]
fn a_message_that_came_back_too_often_leaves() {
    for kind in ["x-queue-type=classic", "x-queue-type=quorum"] {
        converse(&format!(
            "1.1 < queue.declare dead durable
             1.1 > queue.declare-ok dead 0 0
             1.1 < queue.declare q durable {kind} x-delivery-limit=2 x-dead-letter-exchange= x-dead-letter-routing-key=dead
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a persistent
             1.1 < get q
             1.1 > get-ok a 0
             1.1 < requeue 1
             1.1 < get q
             1.1 > get-ok a 0 redelivered x-delivery-count=1
             1.1 < recover
             1.1 > recover-ok
             2.1 < consume q x
             2.1 > consume-ok x
             2.1 > deliver x a redelivered x-delivery-count=2
             detach 2
             driver > detached 2
             log sync
             queue q ready=0 unacked=0 bytes=0 consumers=0
             1.1 < get dead
             1.1 > get-ok a 0 [delivery_limit q 1]"
        ));
    }
}

#[test]
fn a_classic_queue_that_sets_no_limit_counts_nothing() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q a persistent
         1.1 < get q
         1.1 > get-ok a 0
         1.1 < requeue 1",
    );
    for tag in 2..40 {
        talk.converse(&format!(
            "1.1 < get q
             1.1 > get-ok a 0 redelivered
             1.1 < requeue {tag}"
        ));
    }
}

#[test]
fn a_quorum_queue_allows_twenty_returns_unless_told_otherwise() {
    for (limit, allowed) in [("", 20), ("x-delivery-limit=-1", 40)] {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "1.1 < queue.declare q durable x-queue-type=quorum {limit}
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a persistent
             1.1 < get q
             1.1 > get-ok a 0
             1.1 < requeue 1"
        ));
        for count in 1..=allowed {
            talk.converse(&format!(
                "1.1 < get q
                 1.1 > get-ok a 0 redelivered x-delivery-count={count}
                 1.1 < requeue {}",
                count + 1
            ));
        }
        let rest = u32::from(!limit.is_empty());
        talk.converse(&format!("queue q ready={rest} unacked=0 bytes={rest} consumers=0"));
    }
}

#[test]
fn counts_survive_a_stop_and_a_crash() {
    for (stop, seen) in [("stop", 2), ("crash", 1)] {
        converse(&format!(
            "1.1 < queue.declare q durable x-delivery-limit=5
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a persistent
             1.1 < publish . q b persistent
             1.1 < get q
             1.1 > get-ok a 1
             1.1 < requeue 1
             1.1 < get q
             1.1 > get-ok a 1 redelivered x-delivery-count=1
             // A clean stop takes it from its consumer; of a crash the consumer is innocent.
             {stop}
             1.1 < get q
             1.1 > get-ok a 1 redelivered x-delivery-count={seen}
             stop
             1.1 < get q
             1.1 > get-ok a 1 redelivered x-delivery-count={}",
            seen + 1
        ));
    }
}

/// A stop ends transient messages, and later ones take their places.
#[test]
fn what_a_stop_ended_leaves_its_count_to_nobody() {
    for returned in ["1.1 < requeue 1", ""] {
        converse(&format!(
            "1.1 < queue.declare q durable x-delivery-limit=5
             1.1 > queue.declare-ok q 0 0
             1.1 < publish . q a
             1.1 < get q
             1.1 > get-ok a 0
             {returned}
             stop
             1.1 < publish . q b persistent
             crash
             1.1 < get q
             1.1 > get-ok b 0 redelivered"
        ));
    }
}
