//! tx.commit with rejections: dead letters are part of the transaction's one record.

use super::script::{Talk, converse};
use ledgermq::vhost::DeliverMode;

/// A durable queue `q` with dead letters to `dead`, a message in it, and a transaction on channel 2 that rejects it and
/// publishes another to `out`.
const REJECTING: &str = "
    1.1 < queue.declare dead durable
    1.1 > queue.declare-ok dead 0 0
    1.1 < queue.declare out durable
    1.1 > queue.declare-ok out 0 0
    1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=dead
    1.1 > queue.declare-ok q 0 0
    1.1 < publish . q bad persistent
    1.2 < tx.select
    1.2 > tx.select-ok
    1.2 < get q
    1.2 > get-ok bad 0
    1.2 < publish . out report persistent
    1.2 < discard 1";

#[test]
fn a_dead_letter_is_in_the_record_of_its_transaction() {
    for synced in [false, true] {
        let mut talk = Talk::new();
        talk.converse(&format!(
            "{REJECTING}
             log hold
             1.2 < tx.commit
             {}
             crash
             log auto",
            // One record more: there is no second one to wait for.
            if synced { "log sync 1\n1.2 > tx.commit-ok" } else { "" },
        ));
        talk.converse(if synced {
            "queue q ready=0 unacked=0 bytes=0 consumers=0
             1.1 < get out
             1.1 > get-ok report 0 redelivered
             1.1 < get dead
             1.1 > get-ok bad 0 redelivered [rejected q 1]"
        } else {
            "1.1 < get dead
             1.1 > get-empty
             1.1 < get out
             1.1 > get-empty
             1.1 < get q
             1.1 > get-ok bad 0 redelivered"
        });
    }
}

#[test]
fn a_letter_that_goes_nowhere_is_an_end_like_any_other() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q durable x-dead-letter-exchange=missing
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q bad persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok bad 0
         1.2 < discard 1
         log hold
         1.2 < tx.commit
         log sync 1
         1.2 > tx.commit-ok",
    );
    assert_eq!(talk.log.live_count(), 0);
}

#[test]
fn a_full_disk_refuses_the_letters_with_the_rest() {
    converse(&format!(
        "{REJECTING}
         log full
         1.2 < tx.commit
         1.2 > failed 406 PRECONDITION_FAILED - transaction rolled back as a whole: no space left on the disk
         log space
         1.1 < get dead
         1.1 > get-empty
         1.1 < get q
         1.1 > get-ok bad 0 redelivered"
    ));
}

#[test]
fn letters_find_the_room_that_the_publishes_leave() {
    converse(
        "1.1 < queue.declare dead durable x-max-length=1 x-overflow=reject-publish
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q bad persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < get q
         1.2 > get-ok bad 0
         1.2 < publish . dead first persistent
         1.2 < discard 1
         1.2 < tx.commit
         1.2 > tx.commit-ok
         1.1 < get dead
         1.1 > get-ok first 0",
    );
}

/// A message that another one pushed out used to take the place in a third queue that the record had given to a publish.
#[test]
fn what_a_publish_pushes_out_takes_no_place_of_another() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare dead durable
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q durable x-max-length=1 x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         1.1 < publish . q old persistent
         1.2 < tx.select
         1.2 > tx.select-ok
         1.2 < publish . q new persistent
         1.2 < publish . dead direct persistent
         1.2 < tx.commit
         1.2 > tx.commit-ok
         1.1 < get dead
         1.1 > get-ok direct 1
         1.1 < get dead
         1.1 > get-ok old 0 [maxlen q 1]
         1.1 < ack 1
         crash
         queue dead ready=1 unacked=0 bytes=3 consumers=0
         1.1 < get dead
         1.1 > get-ok old 0 redelivered [maxlen q 1]
         1.1 < get q
         1.1 > get-ok new 0 redelivered",
    );
}

/// No body stays in memory here, so a letter's has to be read first.
fn without_memory(script: &str) {
    Talk::with(0, 1 << 20, DeliverMode::AfterDurable).converse(&format!(
        "{REJECTING}
         reads hold
         1.2 < tx.commit
         {script}"
    ));
}

#[test]
fn a_commit_waits_for_the_bodies_its_letters_need() {
    without_memory(
        "queue q ready=0 unacked=1 bytes=3 consumers=0
         log hold
         reads go
         log sync 1
         1.2 > tx.commit-ok
         crash
         log auto
         1.1 < get dead
         1.1 > get-ok bad 0 redelivered [rejected q 1]",
    );
}

#[test]
fn what_comes_behind_a_commit_that_reads_waits_for_it() {
    without_memory(
        "1.2 < publish . out next persistent
         1.2 < tx.commit
         1.2 < queue.declare out passive
         reads go
         log sync
         1.2 > tx.commit-ok
         1.2 > tx.commit-ok
         1.2 > queue.declare-ok out 2 0",
    );
}

#[test]
fn a_client_that_goes_is_not_waited_for_and_nothing_is_lost() {
    without_memory(
        "detach 1
         log sync
         driver > detached 1
         reads go
         log sync
         2.1 < get out
         2.1 > get-ok report 0
         2.1 < get dead
         2.1 > get-ok bad 0 [rejected q 1]",
    );
}
