//! How many there may be: exchanges, bindings and consumers of a vhost; and what very many of them cost: circles and chains
//! of ten thousand end, and names that nobody was told are not guessed.

use super::script::{Talk, converse};
use std::fmt::Write;

#[test]
fn a_vhost_may_have_so_many_exchanges() {
    // The nine predeclared ones count.
    let predeclared = Talk::new().vhost.report().exchanges.len();
    converse(&format!(
        "admin govern max-exchanges {}
         driver > done
         1.1 < exchange.declare a direct
         1.1 > exchange.declare-ok
         1.1 < exchange.declare b direct
         1.1 > failed 406 PRECONDITION_FAILED - cannot declare exchange 'b' in vhost '/': exchange limit of {} is reached
         // What is there may be declared again, and what goes makes room.
         1.2 < exchange.declare a direct
         1.2 > exchange.declare-ok
         1.2 < exchange.delete a
         1.2 > exchange.delete-ok
         1.2 < exchange.declare b direct
         1.2 > exchange.declare-ok",
        predeclared + 1,
        predeclared + 1,
    ));
}

#[test]
fn a_vhost_may_have_so_many_bindings() {
    converse(
        "admin govern max-bindings 2
         driver > done
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.bind q amq.direct a
         1.1 > queue.bind-ok
         1.1 < exchange.bind amq.fanout amq.direct b
         1.1 > exchange.bind-ok
         1.1 < queue.bind q amq.direct c
         1.1 > failed 406 PRECONDITION_FAILED - cannot bind: binding limit in vhost '/' (2) is reached
         1.2 < queue.bind q amq.direct a
         1.2 > queue.bind-ok
         1.2 < queue.unbind q amq.direct a
         1.2 > queue.unbind-ok
         1.2 < queue.bind q amq.direct c
         1.2 > queue.bind-ok
         // They go with what they lead to.
         1.2 < queue.delete q
         1.2 > queue.delete-ok 0
         1.2 < queue.declare r
         1.2 > queue.declare-ok r 0 0
         1.2 < queue.bind r amq.direct d
         1.2 > queue.bind-ok",
    );
}

#[test]
fn a_vhost_may_have_so_many_consumers() {
    converse(
        "admin govern max-consumers 2
         driver > done
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < consume q one
         1.1 > consume-ok one
         2.1 < consume q two
         2.1 > consume-ok two
         2.1 < consume q three
         2.1 > failed 406 PRECONDITION_FAILED - cannot consume from queue 'q' in vhost '/': consumer limit of the vhost (2) is reached
         // The channel that failed took its consumer along.
         3.1 < consume q three
         3.1 > consume-ok three
         3.1 < cancel three
         3.1 > cancel-ok three
         detach 1
         driver > detached 1
         3.1 < consume q four
         3.1 > consume-ok four
         3.1 < consume q five
         3.1 > consume-ok five",
    );
}

const MANY: usize = 10_000;

/// Tells a long list of lines, whatever is answered.
fn tell_all(talk: &mut Talk, lines: impl Iterator<Item = String>) {
    for line in lines {
        talk.tell(&line);
    }
}

#[test]
fn a_circle_of_ten_thousand_exchanges_brings_a_message_once() {
    let mut talk = Talk::new();
    talk.tell("1.1 < queue.declare q");
    tell_all(&mut talk, (0..MANY).map(|at| format!("1.1 < exchange.declare e{at} fanout")));
    let next = |at: usize| (at + 1) % MANY;
    tell_all(&mut talk, (0..MANY).map(|at| format!("1.1 < exchange.bind e{} e{at} key", next(at))));
    talk.converse(
        "1.1 < queue.bind q e7777 key
         1.1 > queue.bind-ok
         1.1 < publish e0 key once #1
         1.1 > confirm 1
         queue q ready=1 unacked=0 bytes=4 consumers=0",
    );
}

#[test]
fn a_circle_of_ten_thousand_alternate_exchanges_comes_to_an_end() {
    let mut talk = Talk::new();
    let next = |at: usize| (at + 1) % MANY;
    let declare = |at| format!("1.1 < exchange.declare e{at} direct alternate-exchange=e{}", next(at));
    tell_all(&mut talk, (0..MANY).map(declare));
    talk.converse(
        "1.1 < publish e0 key nowhere mandatory
         1.1 > return 312 NO_ROUTE nowhere",
    );
}

/// The last binding of each goes with the exchange behind it.
#[test]
fn a_chain_of_ten_thousand_auto_delete_exchanges_falls_as_a_whole() {
    let mut talk = Talk::new();
    tell_all(&mut talk, (0..MANY).map(|at| format!("1.1 < exchange.declare e{at} fanout auto-delete")));
    tell_all(&mut talk, (1..MANY).map(|at| format!("1.1 < exchange.bind e{at} e{} key", at - 1)));
    talk.converse(&format!(
        "exists exchange e0 true
         1.1 < exchange.delete e{}
         1.1 > exchange.delete-ok
         exists exchange e0 false
         exists exchange e5000 false",
        MANY - 1
    ));
}

/// A message that every queue lets go of at once passes as many of them as its history holds, and is counted in each.
#[test]
fn a_circle_of_ten_thousand_dead_letter_queues_comes_to_an_end_and_is_counted() {
    let mut talk = Talk::new();
    let declare = |at: usize| {
        let next = (at + 1) % MANY;
        format!(
            "1.1 < queue.declare q{at} x-message-ttl=0 x-dead-letter-exchange= x-dead-letter-routing-key=q{next}"
        )
    };
    tell_all(&mut talk, (0..MANY).map(declare));
    talk.tell("1.1 < publish . q0 wanderer");
    talk.tell("clock 1");
    let report = talk.vhost.report();
    assert_eq!(report.queues.iter().map(|queue| queue.messages_ready).sum::<u64>(), 0, "it is gone");
    let deaths = report.totals.expired_count;
    assert!(deaths > 100 && deaths < MANY as u64, "{deaths} deaths were counted");
}

/// Names of reply consumers hold 128 bits of chance: who was not told one reaches nobody with guesses.
#[test]
fn nobody_guesses_where_replies_go() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < consume amq.rabbitmq.reply-to caller no-ack
         1.1 > consume-ok caller",
    );
    let guesses: usize = if std::env::var_os("LEDGERMQ_FULL").is_some() { 1_000_000 } else { 10_000 };
    for guess in 0..guesses {
        let mut suffix = String::new();
        // As long as a name is, and of its letters.
        write!(suffix, "{:022}", guess as u128 * 0x9E37_79B9_7F4A_7C15).unwrap();
        let suffix = &suffix[suffix.len() - 22..];
        talk.converse(&format!(
            "2.1 < publish . amq.rabbitmq.reply-to.{suffix} x mandatory
             2.1 > return 312 NO_ROUTE x"
        ));
    }
}
