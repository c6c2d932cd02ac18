//! Policies, limits and default types: what governs a queue or exchange, when it does, and what a restart keeps.

use super::script::{Talk, converse};

#[test]
fn a_policy_governs_what_stands_and_what_comes() {
    converse(
        "1.1 < queue.declare q1 durable
         1.1 > queue.declare-ok q1 0 0
         governed q1 user= operator=
         admin govern set-policy ttl ^q {\"message-ttl\":1000}
         driver > done
         governed q1 user=ttl operator= message-ttl=1000
         1.1 < queue.declare q2
         1.1 > queue.declare-ok q2 0 0
         1.1 < queue.declare other
         1.1 > queue.declare-ok other 0 0
         governed q2 user=ttl operator= message-ttl=1000
         governed other user= operator=
         admin govern set-policy ttl ^o {\"message-ttl\":1000}
         driver > done
         governed q1 user= operator=
         governed other user=ttl operator= message-ttl=1000
         admin govern clear-policy ttl
         driver > done
         governed other user= operator=",
    );
}

#[test]
fn a_lease_by_policy_begins_when_it_is_set() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         clock 5000
         admin govern set-policy lease ^q {\"expires\":1000}
         driver > done
         clock 999
         exists queue q true
         clock 1
         exists queue q false",
    );
}

#[test]
fn the_highest_priority_governs_alone() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         admin govern set-policy low . {\"message-ttl\":1000}
         driver > done
         admin govern set-policy high ^q$ {\"max-length\":5} priority=1
         driver > done
         governed q user=high operator= max-length=5
         admin govern set-policy higher q {\"expires\":9} priority=2 apply-to=exchanges
         driver > done
         governed q user=high operator= max-length=5
         admin govern set-policy higher q {\"expires\":9} priority=2 apply-to=quorum_queues
         driver > done
         governed q user=high operator= max-length=5
         admin govern clear-policy high
         driver > done
         governed q user=low operator= message-ttl=1000",
    );
}

#[test]
fn operators_have_the_last_word() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         admin govern set-policy mine . {\"message-ttl\":1000,\"max-length\":3,\"dead-letter-exchange\":\"x\"}
         driver > done
         admin govern set-operator-policy theirs . {\"message-ttl\":500,\"max-length\":5,\"expires\":7}
         driver > done
         governed q user=mine operator=theirs dead-letter-exchange=\"x\" expires=7 max-length=3 message-ttl=500
         admin govern clear-policy mine
         driver > done
         governed q user= operator=theirs expires=7 max-length=5 message-ttl=500
         admin govern clear-operator-policy theirs
         driver > done
         governed q user= operator=",
    );
}

#[test]
fn a_policy_is_answered_once_it_is_durable_and_outlives_a_crash() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         log hold
         admin govern set-policy ttl . {\"message-ttl\":1000}
         governed q user=ttl operator= message-ttl=1000
         log sync
         driver > done
         admin govern set-operator-policy max . {\"max-length\":5}
         log sync
         driver > done
         crash
         governed q user=ttl operator=max max-length=5 message-ttl=1000
         admin govern clear-policy ttl
         log sync
         driver > done
         crash
         governed q user= operator=max max-length=5
         admin govern clear-operator-policy max
         crash
         governed q user= operator=max max-length=5",
    );
}

#[test]
fn what_cannot_be_a_policy_is_refused_and_changes_nothing() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0",
    );
    for (order, refusal) in [
        ("set-policy p ^q {\"message-ttl\":-1}", "Validation failed\n\n-1 is not a valid message TTL\n"),
        (
            "set-operator-policy p ^q {\"dead-letter-exchange\":\"x\"}",
            "Validation failed\n\n[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings\n",
        ),
        ("clear-policy p", "Parameter does not exist"),
        ("clear-operator-policy p", "Parameter does not exist"),
    ] {
        assert_eq!(talk.refusal(&format!("admin govern {order}")), refusal);
        talk.converse("governed q user= operator=");
    }
}

#[test]
fn an_alternate_exchange_may_come_from_a_policy() {
    converse(
        "1.1 < exchange.declare main fanout
         1.1 > exchange.declare-ok
         1.1 < exchange.declare rest fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare left
         1.1 > queue.declare-ok left 0 0
         1.1 < queue.bind left rest .
         1.1 > queue.bind-ok
         1.1 < publish main k one
         queue left ready=0 unacked=0 bytes=0 consumers=0
         admin govern set-policy ae ^main$ {\"alternate-exchange\":\"rest\"}
         driver > done
         1.1 < publish main k two
         queue left ready=1 unacked=0 bytes=3 consumers=0
         1.1 < exchange.declare main2 fanout alternate-exchange=nowhere
         1.1 > exchange.declare-ok
         admin govern set-policy ae ^main {\"alternate-exchange\":\"rest\"}
         driver > done
         1.1 < publish main2 k three
         queue left ready=1 unacked=0 bytes=3 consumers=0
         admin govern clear-policy ae
         driver > done
         1.1 < publish main k four
         queue left ready=1 unacked=0 bytes=3 consumers=0",
    );
}

#[test]
fn predeclared_exchanges_are_governed_after_a_restart_too() {
    converse(
        "1.1 < exchange.declare rest fanout durable
         1.1 > exchange.declare-ok
         1.1 < queue.declare left durable
         1.1 > queue.declare-ok left 0 0
         1.1 < queue.bind left rest .
         1.1 > queue.bind-ok
         admin govern set-policy ae ^amq.direct$ {\"alternate-exchange\":\"rest\"} apply-to=exchanges
         driver > done
         1.1 < publish amq.direct k one
         queue left ready=1 unacked=0 bytes=3 consumers=0
         stop
         1.1 < publish amq.direct k two
         queue left ready=1 unacked=0 bytes=3 consumers=0",
    );
}

#[test]
fn a_vhost_may_have_so_many_queues() {
    converse(
        "admin govern max-queues 2
         driver > done
         1.1 < queue.declare a
         1.1 > queue.declare-ok a 0 0
         1.1 < queue.declare b
         1.1 > queue.declare-ok b 0 0
         1.1 < queue.declare a
         1.1 > queue.declare-ok a 0 0
         1.1 < queue.declare c
         1.1 > failed 406 PRECONDITION_FAILED - cannot declare queue 'c': queue limit in vhost '/' (2) is reached
         1.2 < queue.delete a
         1.2 > queue.delete-ok 0
         1.2 < queue.declare c
         1.2 > queue.declare-ok c 0 0
         admin govern max-queues 3
         driver > done
         1.2 < queue.declare d
         1.2 > queue.declare-ok d 0 0",
    );
}

#[test]
fn queues_that_name_no_type_are_of_the_default_one() {
    converse(
        "admin govern default-type quorum
         driver > done
         1.1 < queue.declare lasting durable
         1.1 > queue.declare-ok lasting 0 0
         1.1 < queue.declare lasting durable x-queue-type=quorum
         1.1 > queue.declare-ok lasting 0 0
         1.1 < queue.declare transient
         1.1 > queue.declare-ok transient 0 0
         1.1 < queue.declare transient x-queue-type=classic
         1.1 > queue.declare-ok transient 0 0
         1.1 < queue.declare . durable
         1.1 > failed 406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue
         admin govern default-type classic
         driver > done
         1.2 < queue.declare lasting durable
         1.2 > failed 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'lasting' in vhost '/': received none but current is the value 'quorum' of type 'longstr'",
    );
}

#[test]
fn a_policy_acts_on_messages_that_wait_already() {
    converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare dead
         1.1 > queue.declare-ok dead 0 0
         1.1 < publish . q one
         1.1 < publish . q two
         1.1 < publish . q three
         admin govern set-policy short ^q$ {\"max-length\":2,\"dead-letter-exchange\":\"\",\"dead-letter-routing-key\":\"dead\"}
         driver > done
         queue q ready=2 unacked=0 bytes=8 consumers=0
         queue dead ready=1 unacked=0 bytes=3 consumers=0
         admin govern set-operator-policy brief ^q$ {\"message-ttl\":1000}
         driver > done
         clock 999
         queue q ready=2 unacked=0 bytes=8 consumers=0
         clock 1
         queue q ready=0 unacked=0 bytes=0 consumers=0
         admin govern clear-policy short
         driver > done
         admin govern clear-operator-policy brief
         driver > done
         1.1 < publish . q four
         1.1 < publish . q five
         1.1 < publish . q six
         clock 5000
         queue q ready=3 unacked=0 bytes=11 consumers=0",
    );
}
