//! Queues that are deleted while they owe letters: what died in them before is not lost with them.

use super::script::Talk;
use ledgermq::vhost::DeliverMode;

/// A durable queue `q` with dead letters to `dead`, and a message that a client rejected, whose body is being read.
const REJECTED: &str = "
    1.1 < queue.declare dead durable
    1.1 > queue.declare-ok dead 0 0
    1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=dead
    1.1 > queue.declare-ok q 0 0
    1.1 < publish . q bad persistent
    1.1 < publish . q good persistent
    1.1 < get q
    1.1 > get-ok bad 1
    reads hold
    1.1 < discard 1";

/// A vhost in which no body stays in memory.
fn without_memory(script: &str) {
    Talk::with(0, 1 << 20, DeliverMode::AfterDurable).converse(script);
}

#[test]
fn a_deletion_waits_for_what_was_rejected() {
    without_memory(&format!(
        "{REJECTED}
         1.1 < queue.delete q
         1.1 < queue.declare dead passive
         exists queue q true
         reads go
         log sync
         1.1 > queue.delete-ok 1
         1.1 > queue.declare-ok dead 1 0
         exists queue q false
         1.1 < get dead
         1.1 > get-ok bad 0 [rejected q 1]"
    ));
}

#[test]
fn conditions_hold_when_the_queue_goes() {
    without_memory(&format!(
        "{REJECTED}
         1.1 < queue.delete q if-unused
         2.1 < consume q x
         1.1 > failed 406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use
         2.1 > consume-ok x
         reads go
         2.1 > deliver x good"
    ));
}

#[test]
fn a_crash_meanwhile_finds_the_queue_as_it_was() {
    without_memory(&format!(
        "{REJECTED}
         1.1 < queue.delete q
         crash
         reads go
         queue q ready=2 unacked=0 bytes=7 consumers=0
         queue dead ready=0 unacked=0 bytes=0 consumers=0"
    ));
}

#[test]
fn an_operators_deletion_waits_too() {
    without_memory(&format!(
        "{REJECTED}
         admin delete q
         reads go
         log sync
         driver > removed 1
         1.1 < get dead
         1.1 > get-ok bad 0 [rejected q 1]"
    ));
}

#[test]
fn what_has_expired_is_not_lost_either() {
    without_memory(
        "1.1 < queue.declare dead durable
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q durable x-message-ttl=100 x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         // It takes the memory there is.
         1.1 < publish . dead filler persistent
         1.1 < publish . q old persistent
         reads hold
         clock 100
         1.1 < queue.delete q
         reads go
         log sync
         1.1 > queue.delete-ok 0
         1.1 < get dead
         1.1 > get-ok filler 1
         1.1 < get dead
         1.1 > get-ok old 0 [expired q 1]",
    );
}

#[test]
fn a_queue_that_goes_with_its_last_consumer_waits() {
    without_memory(
        "1.1 < queue.declare dead durable
         1.1 > queue.declare-ok dead 0 0
         1.1 < queue.declare q durable auto-delete x-dead-letter-exchange= x-dead-letter-routing-key=dead
         1.1 > queue.declare-ok q 0 0
         2.1 < consume q x
         2.1 > consume-ok x
         1.1 < publish . q bad persistent
         2.1 > deliver x bad
         reads hold
         2.1 < discard 1
         2.1 < cancel x
         2.1 > cancel-ok x
         exists queue q true
         reads go
         exists queue q false
         1.1 < get dead
         1.1 > get-ok bad 0 [rejected q 1]",
    );
}

#[test]
fn a_client_that_does_not_wait_loses_nothing() {
    without_memory(&format!(
        "{REJECTED}
         1.1 < queue.delete q
         detach 1
         driver > detached 1
         reads go
         log sync
         exists queue q false
         2.1 < get dead
         2.1 > get-ok bad 0 [rejected q 1]"
    ));
}
