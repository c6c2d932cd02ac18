//! Where messages go beyond plain bindings: alternate exchanges, further keys, exchanges that choose, that hash, that
//! remember.

use super::script::{Talk, converse};
use std::fmt::Write;

#[test]
fn an_alternate_exchange_takes_what_nobody_takes() {
    converse(
        "1.1 < exchange.declare rest fanout
         1.1 > exchange.declare-ok
         1.1 < exchange.declare e direct alternate-exchange=rest
         1.1 > exchange.declare-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare rests
         1.1 > queue.declare-ok rests 0 0
         1.1 < queue.bind rests rest .
         1.1 > queue.bind-ok
         1.1 < queue.bind q e k
         1.1 > queue.bind-ok
         1.1 < confirm.select
         1.1 > confirm.select-ok
         1.1 < publish e k taken mandatory #1
         1.1 > confirm 1
         1.1 < publish e other rest mandatory #2
         1.1 > confirm 2
         queue q ready=1 unacked=0 bytes=5 consumers=0
         queue rests ready=1 unacked=0 bytes=4 consumers=0
         // Only what the alternate exchange does not take either is returned.
         1.1 < queue.unbind rests rest .
         1.1 > queue.unbind-ok
         1.1 < publish e other lost mandatory #3
         1.1 > return 312 NO_ROUTE lost
         1.1 > confirm 3",
    );
}

/// A destination that is an exchange counts as one, though that exchange leads nowhere: then its own alternate is asked.
#[test]
fn an_alternate_exchange_is_asked_by_each_exchange_for_itself() {
    converse(
        "1.1 < exchange.declare rest fanout
         1.1 > exchange.declare-ok
         1.1 < exchange.declare inner direct alternate-exchange=rest
         1.1 > exchange.declare-ok
         1.1 < exchange.declare nowhere direct
         1.1 > exchange.declare-ok
         1.1 < exchange.declare e fanout alternate-exchange=rest
         1.1 > exchange.declare-ok
         1.1 < queue.declare rests
         1.1 > queue.declare-ok rests 0 0
         1.1 < queue.bind rests rest .
         1.1 > queue.bind-ok
         1.1 < exchange.bind nowhere e .
         1.1 > exchange.bind-ok
         1.1 < publish e k lost
         queue rests ready=0 unacked=0 bytes=0 consumers=0
         1.1 < exchange.bind inner e .
         1.1 > exchange.bind-ok
         1.1 < publish e k rest
         queue rests ready=1 unacked=0 bytes=4 consumers=0",
    );
}

#[test]
fn alternate_exchanges_may_form_a_chain_or_a_circle_or_be_missing() {
    converse(
        "1.1 < exchange.declare a direct alternate-exchange=b
         1.1 > exchange.declare-ok
         1.1 < exchange.declare b direct alternate-exchange=a
         1.1 > exchange.declare-ok
         1.1 < publish a k lost mandatory
         1.1 > return 312 NO_ROUTE lost
         1.1 < exchange.declare c direct alternate-exchange=c
         1.1 > exchange.declare-ok
         1.1 < publish c k lost mandatory
         1.1 > return 312 NO_ROUTE lost
         1.1 < exchange.declare d direct alternate-exchange=later
         1.1 > exchange.declare-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < publish d k lost mandatory
         1.1 > return 312 NO_ROUTE lost
         // It is found once it is there, and what was remembered of the way is forgotten.
         1.1 < exchange.declare later fanout internal
         1.1 > exchange.declare-ok
         1.1 < queue.bind q later .
         1.1 > queue.bind-ok
         1.1 < publish d k found mandatory
         queue q ready=1 unacked=0 bytes=5 consumers=0
         1.1 < exchange.delete later
         1.1 > exchange.delete-ok
         1.1 < publish d k lost mandatory
         1.1 > return 312 NO_ROUTE lost
         // The default exchange is bound to nothing that an alternate could reach.
         1.1 < exchange.declare f direct alternate-exchange=
         1.1 > exchange.declare-ok
         1.1 < publish f q lost mandatory
         1.1 > return 312 NO_ROUTE lost",
    );
}

#[test]
fn an_alternate_exchange_outlives_a_restart() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.declare rest fanout durable
         1.1 > exchange.declare-ok
         1.1 < exchange.declare e direct durable alternate-exchange=rest
         1.1 > exchange.declare-ok
         1.1 < queue.declare rests durable
         1.1 > queue.declare-ok rests 0 0
         1.1 < queue.bind rests rest .
         1.1 > queue.bind-ok
         crash
         2.1 < publish e other rest
         queue rests ready=1 unacked=0 bytes=4 consumers=0
         2.1 < exchange.declare e direct durable
         2.1 > failed 406 PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e' in vhost '/': \
         received none but current is the value 'rest' of type 'longstr'",
    );
}

#[test]
fn further_keys_lead_to_further_queues() {
    converse(
        "1.1 < queue.declare one
         1.1 > queue.declare-ok one 0 0
         1.1 < queue.declare two
         1.1 > queue.declare-ok two 0 0
         1.1 < queue.declare three
         1.1 > queue.declare-ok three 0 0
         1.1 < publish . one plain
         1.1 < publish . one copied CC=two,one,nobody BCC=three
         1.1 < publish . one plain
         queue one ready=3 unacked=0 bytes=16 consumers=0
         queue two ready=1 unacked=0 bytes=6 consumers=0
         queue three ready=1 unacked=0 bytes=6 consumers=0
         1.1 < queue.bind one amq.topic a.*
         1.1 > queue.bind-ok
         1.1 < queue.bind one amq.topic b.*
         1.1 > queue.bind-ok
         1.1 < publish amq.topic c.1 once CC=a.1,b.1
         queue one ready=4 unacked=0 bytes=20 consumers=0
         // A key of its own is not needed, and one that leads nowhere is no reason to return the message.
         1.1 < publish . nobody copy mandatory BCC=two
         queue two ready=2 unacked=0 bytes=10 consumers=0
         1.1 < publish . nobody lost mandatory CC=nobody
         1.1 > return 312 NO_ROUTE lost",
    );
}

/// BCC stays with the message, so that whatever routes it later knows all its keys; but nobody is shown it.
#[test]
fn a_message_that_comes_back_from_the_disk_has_its_keys() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q hello persistent CC=a,b BCC=c
         crash
         2.1 < get q
         2.1 > get-ok hello 0 redelivered",
    );
    let message = talk.last_message.expect("a message was heard");
    assert_eq!(message.more_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let shown = message.shown_properties();
    let headers = ledgermq::protocol::properties::Properties::new(&shown).headers();
    assert!(headers.get("CC").is_some() && headers.get("BCC").is_none());
}

#[test]
fn a_message_for_a_thousand_queues_is_one_record() {
    for kind in ["headers", "fanout"] {
        let mut talk = Talk::new();
        let mut script = format!("1.1 < exchange.declare e {kind} durable\n1.1 > exchange.declare-ok\n");
        for number in 0..1000 {
            writeln!(script, "1.1 < queue.declare q{number} durable\n1.1 > queue.declare-ok q{number} 0 0")
                .unwrap();
            writeln!(
                script,
                "1.1 < queue.bind q{number} e . x-match=any colour=red n{number}=1\n1.1 > queue.bind-ok"
            )
            .unwrap();
        }
        talk.converse(&script);
        let before = talk.log.record_count();
        talk.converse("1.1 < publish e k hello persistent h-colour=red h-size=1");
        assert_eq!(talk.log.record_count() - before, 1, "{kind}");
        assert_eq!(talk.log.slot_count(), 1000, "{kind}: one slot for each queue in that record");
        let report = talk.vhost.report();
        assert!(report.queues.iter().all(|queue| queue.messages_ready == 1), "{kind}");
    }
}

fn ready(talk: &Talk) -> Vec<u64> {
    let mut queues = talk.vhost.report().queues;
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    queues.iter().map(|queue| queue.messages_ready).collect()
}

fn chosen(kind: &str, arguments: &str, bind: &str) -> Talk {
    let mut talk = Talk::new();
    talk.converse(&format!(
        "1.1 < exchange.declare e {kind} durable {arguments}
         1.1 > exchange.declare-ok"
    ));
    for number in 1..=4 {
        talk.converse(&format!(
            "1.1 < queue.declare q{number} durable
             1.1 > queue.declare-ok q{number} 0 0
             1.1 < queue.bind q{number} e {bind}
             1.1 > queue.bind-ok"
        ));
    }
    talk
}

/// The channel publishes the same way again and again: what it remembers of the way must not take chance away.
#[test]
fn chance_chooses_for_each_message() {
    for kind in ["x-random", "x-local-random"] {
        let mut talk = chosen(kind, "", ".");
        for _ in 0..400 {
            talk.converse("1.1 < publish e k x");
        }
        let counts = ready(&talk);
        assert_eq!(counts.iter().sum::<u64>(), 400, "{kind}: one queue for each");
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{kind}: {counts:?}");
    }
}

#[test]
fn a_hash_sends_the_same_key_to_the_same_queue_also_after_a_restart() {
    for (kind, bind) in [("x-consistent-hash", "1"), ("x-modulus-hash", ".")] {
        let mut talk = chosen(kind, "", bind);
        for number in 0..400 {
            talk.converse(&format!("1.1 < publish e key-{} x persistent", number % 200));
        }
        let counts = ready(&talk);
        assert_eq!(counts.iter().sum::<u64>(), 400);
        assert!(counts.iter().all(|count| *count > 40 && count % 2 == 0), "{kind}: {counts:?}");
        talk.converse("crash");
        for number in 0..200 {
            talk.converse(&format!("2.1 < publish e key-{number} x persistent"));
        }
        let tripled: Vec<_> = counts.iter().map(|count| count / 2 * 3).collect();
        assert_eq!(ready(&talk), tripled, "{kind}");
    }
}

#[test]
fn a_hash_of_a_header_looks_at_every_message() {
    let mut talk = chosen("x-consistent-hash", "hash-header=account", "1");
    for number in 0..200 {
        talk.converse(&format!("1.1 < publish e same-key x h-account=a{}", number % 100));
    }
    let counts = ready(&talk);
    assert!(counts.iter().all(|count| *count > 10 && count % 2 == 0), "{counts:?}");
}

#[test]
fn exchange_arguments_and_bindings_that_mean_nothing_are_refused() {
    for (command, text) in [
        (
            "exchange.declare e x-consistent-hash hash-header=a hash-property=message_id",
            "hash-header and hash-property are mutually exclusive",
        ),
        ("exchange.declare e x-consistent-hash hash-property=app_id", "Unsupported property: app_id"),
        (
            "exchange.declare e x-recent-history x-recent-history-length=0",
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
        ),
        ("exchange.declare e x-delayed", "unknown exchange type 'x-delayed'"),
        (
            "exchange.declare e direct alternate-exchange=5",
            "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '/'",
        ),
        ("queue.bind q hash heavy", "The binding key must be an integer: <<\"heavy\">>"),
        ("queue.bind q hash 0", "The binding key must be greater than 0"),
        ("queue.bind q local k", "Non empty binding 'k' key not permitted"),
        ("queue.bind quorum local .", "Queue type rabbit_quorum_queue not valid for this exchange type"),
        ("exchange.bind amq.fanout local .", "Destination not found"),
    ] {
        converse(&format!(
            "1.1 < exchange.declare hash x-consistent-hash
             1.1 > exchange.declare-ok
             1.1 < exchange.declare local x-local-random
             1.1 > exchange.declare-ok
             1.1 < queue.declare q
             1.1 > queue.declare-ok q 0 0
             1.1 < queue.declare quorum durable x-queue-type=quorum
             1.1 > queue.declare-ok quorum 0 0
             1.1 < {command}
             1.1 > failed 406 PRECONDITION_FAILED - {text}
             exists exchange e false"
        ));
    }
}

#[test]
fn a_recent_history_is_given_to_who_comes_later() {
    converse(
        "1.1 < exchange.declare e x-recent-history x-recent-history-length=2
         1.1 > exchange.declare-ok
         1.1 < publish e k 1
         1.1 < publish e k 2
         1.1 < publish e k secret h-x-recent-history-no-store=true
         1.1 < publish e k 3
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q e .
         1.1 > queue.bind-ok
         1.1 < get q no-ack
         1.1 > get-ok 2 1
         1.1 < get q no-ack
         1.1 > get-ok 3 0
         // Once for each binding, and not for one that was there before.
         1.1 < queue.bind q e .
         1.1 > queue.bind-ok
         queue q ready=0 unacked=0 bytes=0 consumers=0
         1.1 < queue.bind q e again
         1.1 > queue.bind-ok
         queue q ready=2 unacked=0 bytes=2 consumers=0
         // Who is bound gets what comes, and it is remembered all the same.
         1.1 < publish e k 4
         queue q ready=3 unacked=0 bytes=3 consumers=0
         1.1 < exchange.declare next direct
         1.1 > exchange.declare-ok
         1.1 < queue.declare behind
         1.1 > queue.declare-ok behind 0 0
         1.1 < queue.bind behind next k
         1.1 > queue.bind-ok
         1.1 < exchange.bind next e .
         1.1 > exchange.bind-ok
         queue behind ready=2 unacked=0 bytes=2 consumers=0",
    );
}

/// What was persistent is as safe in the queue that gets it later as in the first.
#[test]
fn a_recent_history_is_durable_once_it_is_in_a_queue() {
    converse(
        "1.1 < exchange.declare e x-recent-history durable
         1.1 > exchange.declare-ok
         1.1 < publish e k kept persistent
         1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q e .
         1.1 > queue.bind-ok
         crash
         2.1 < get q
         2.1 > get-ok kept 0 redelivered
         // The memory itself is gone, as with RabbitMQ.
         2.1 < queue.declare late
         2.1 > queue.declare-ok late 0 0
         2.1 < queue.bind late e .
         2.1 > queue.bind-ok
         queue late ready=0 unacked=0 bytes=0 consumers=0",
    );
}
