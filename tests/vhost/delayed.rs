//! Delayed exchanges: what waits, in which order it goes on, and what restarts, full disks and memory have to do with it.

use super::backlog::drain;
use super::script::{Talk, converse};
use ledgermq::vhost::DeliverMode;

/// A durable delayed exchange `later` that routes directly to a durable queue `q` by `k`.
const LATER: &str = "
    1.1 < exchange.declare later x-delayed-message durable x-delayed-type=direct
    1.1 > exchange.declare-ok
    1.1 < queue.declare q durable
    1.1 > queue.declare-ok q 0 0
    1.1 < queue.bind q later k
    1.1 > queue.bind-ok";

#[test]
fn messages_go_on_in_the_order_of_their_times() {
    converse(&format!(
        "{LATER}
         1.1 < publish later k slow h-x-delay=1000 #1
         1.1 > confirm 1
         1.1 < publish later k quick persistent h-x-delay=100 mandatory #2
         1.1 > confirm 2
         1.1 < publish later k also-quick h-x-delay=100
         1.1 < publish later k now #3
         1.1 > confirm 3
         1.1 < publish later k past persistent h-x-delay=-5
         1.1 < publish later k zero h-x-delay=0
         queue q ready=3 unacked=0 bytes=11 consumers=0
         due 100
         clock 100
         queue q ready=5 unacked=0 bytes=26 consumers=0
         1.1 < queue.purge q
         1.1 > queue.purge-ok 5
         clock 900
         1.1 < get q
         1.1 > get-ok slow 0 x-delay=-1000
         due never"
    ));
}

#[test]
fn the_bindings_of_that_moment_count() {
    converse(
        "1.1 < exchange.declare later x-delayed-message x-delayed-type=topic
         1.1 > exchange.declare-ok
         1.1 < publish later a.b one h-x-delay=50
         1.1 < publish later b.c nobody h-x-delay=50
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q later a.*
         1.1 > queue.bind-ok
         clock 50
         1.1 < get q
         1.1 > get-ok one 0 x-delay=-50
         1.1 < get q
         1.1 > get-empty",
    );
}

#[test]
fn what_waits_survives_a_stop_and_a_crash_and_moves_in_one_record() {
    for stop in ["stop", "crash"] {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "{LATER}
             1.1 < publish later k late persistent h-x-delay=5000
             1.1 < publish later k soon persistent h-x-delay=2000
             1.1 < publish later k gone h-x-delay=1000
             clock 500
             {stop}
             due 1500
             clock 1500
             queue q ready=1 unacked=0 bytes=4 consumers=0
             log hold
             clock 3000
             queue q ready=2 unacked=0 bytes=8 consumers=0"
        ));
        assert_eq!(talk.log.pending_count(), 1, "out of one queue and into the other");
        talk.converse(
            "crash
             log auto
             1.1 < get q
             1.1 > get-ok soon 1 redelivered x-delay=-2000
             1.1 < get q
             1.1 > get-ok late 0 x-delay=-5000
             due never",
        );
    }
}

#[test]
fn bodies_that_left_memory_are_read_when_their_time_has_come() {
    let mut talk = Talk::with(0, 300, DeliverMode::AfterDurable);
    talk.converse(LATER);
    for number in 0..30 {
        talk.converse(&format!("1.1 < publish later k m{number} persistent h-x-delay={}", 100 - number));
    }
    for stop in ["", "crash"] {
        talk.converse(&format!(
            "{stop}
             clock 90"
        ));
        if stop.is_empty() {
            talk.converse(
                "1.1 < get q
                 1.1 > get-ok m29 19 x-delay=-71",
            );
        }
    }
    talk.converse(
        "1.1 < queue.purge q
         1.1 > queue.purge-ok 30",
    );
}

/// Many more messages than an exchange keeps in memory with so small a budget, in no order: those of the far future are on
/// disk, are read when their time comes near, and go on in the order of their times, also after a start.
#[test]
fn the_far_future_waits_on_disk() {
    const PRIME: u64 = 1499;
    let mut talk = Talk::with(0, 3000, DeliverMode::AfterDurable);
    talk.converse(LATER);
    let delay_ms = |number: u64| 1000 + number * 7919 % PRIME;
    for number in 0..PRIME {
        let delay_ms = delay_ms(number);
        talk.converse(&format!("1.1 < publish later k m{delay_ms} persistent h-x-delay={delay_ms}"));
    }
    let delayed = |talk: &Talk| {
        talk.vhost.report().exchanges.iter().map(|exchange| exchange.messages_delayed).sum::<u64>()
    };
    assert_eq!(delayed(&talk), PRIME);
    let mut passed_ms = 999;
    talk.converse("clock 999");
    for (stop, until_ms) in [("", 1400), ("crash", 1600), ("stop", 2600)] {
        talk.converse(&format!("{stop}\nclock {}", until_ms - passed_ms));
        let range = passed_ms + 1..=until_ms.min(999 + PRIME);
        drain(&mut talk, range.map(|delay_ms| format!("m{delay_ms} x-delay=-{delay_ms}")));
        passed_ms = until_ms;
        assert_eq!(delayed(&talk), (999 + PRIME).saturating_sub(until_ms));
    }
    talk.converse("due never");
}

#[test]
fn in_a_transaction_the_time_begins_at_the_commit() {
    converse(&format!(
        "{LATER}
         1.1 < tx.select
         1.1 > tx.select-ok
         1.1 < publish later k a persistent h-x-delay=100
         clock 500
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < tx.commit
         1.1 > tx.commit-ok
         due 100
         clock 100
         queue q ready=1 unacked=0 bytes=1 consumers=0"
    ));
}

#[test]
fn an_exchange_takes_with_it_what_waits_and_a_dead_letter_may_wait() {
    let mut talk = Talk::new();
    talk.converse(
        &format!(
            "{LATER}
         1.1 < publish later k a persistent h-x-delay=100
         1.1 < exchange.delete later
         1.1 > exchange.delete-ok
         due never
         {LATER}
         1.1 < queue.declare work durable x-dead-letter-exchange=later x-dead-letter-routing-key=k
         1.1 > queue.declare-ok work 0 0
         1.1 < publish . work b persistent h-x-delay=100
         1.1 < get work
         1.1 > get-ok b 0
         1.1 < discard 1
         queue q ready=0 unacked=0 bytes=0 consumers=0
         clock 100
         1.1 < get q
         1.1 > get-ok b 0 [rejected work 1] x-delay=-100"
        )
        .replace("get-ok b 0\n", "get-ok b 0 x-delay=100\n"),
    );
    assert_eq!(talk.log.live_count(), 1, "the one that is held");
}

#[test]
fn its_type_must_be_one() {
    for (arguments, why) in [
        ("", "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ("x-delayed-type=sideways", "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            "x-delayed-type=x-delayed-message",
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
    ] {
        converse(&format!(
            "1.1 < exchange.declare later x-delayed-message {arguments}
             1.1 > failed 406 PRECONDITION_FAILED - {why}"
        ));
    }
    converse(&format!(
        "{LATER}
         1.1 < exchange.declare later x-delayed-message durable x-delayed-type=topic
         1.1 > failed 406 PRECONDITION_FAILED - inequivalent arg 'x-delayed-type' for exchange 'later' in vhost '/': received 'topic' but current is 'direct'"
    ));
}

/// What the definition on disk says of such a queue, a client may say too: it means nothing then.
#[test]
fn a_queue_whose_arguments_pretend_to_wait_for_an_exchange_comes_back_as_what_it_is() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.declare later x-delayed-message durable x-delayed-type=direct
         1.1 > exchange.declare-ok
         1.1 < queue.declare q durable x-delays-for=later
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.direct k
         1.1 > queue.bind-ok
         1.1 < publish amq.direct k a persistent
         crash
         1.1 < get q
         1.1 > get-ok a 0 redelivered
         1.1 < publish later k b persistent h-x-delay=100
         1.1 < queue.bind q later k
         1.1 > queue.bind-ok
         clock 100
         1.1 < get q
         1.1 > get-ok b 0 x-delay=-100",
    );
}

#[test]
fn nobody_can_name_where_messages_wait() {
    converse(&format!(
        "{LATER}
         exists queue amq.delayed.later false
         1.1 < publish . amq.delayed.later a mandatory
         1.1 > return 312 NO_ROUTE a
         1.1 < get amq.delayed.later
         1.1 > failed 404 NOT_FOUND - no queue 'amq.delayed.later' in vhost '/'"
    ));
}
