//! What a vhost says of itself for definitions files, and the small questions before a change.

use super::script::converse;

#[test]
fn what_was_made_is_told_and_what_is_always_there_is_not() {
    converse(
        "1.1 < queue.declare lasting durable
         1.1 > queue.declare-ok lasting 0 0
         1.1 < queue.declare passing
         1.1 > queue.declare-ok passing 0 0
         1.1 < queue.declare mine exclusive
         1.1 > queue.declare-ok mine 0 0
         1.1 < exchange.declare e topic durable
         1.1 > exchange.declare-ok
         1.1 < queue.bind lasting e a.*
         1.1 > queue.bind-ok
         1.1 < queue.bind mine e b
         1.1 > queue.bind-ok
         1.1 < queue.bind passing amq.direct c
         1.1 > queue.bind-ok
         admin look queues 0
         driver > queues lasting passing next Some(2)
         admin look queues 2
         driver > queues next None
         admin look exchanges 0
         driver > exchanges next Some(2)
         admin look lasting-bindings e
         driver > bindings e-a.*->lasting
         admin look lasting-bindings amq.direct
         driver > bindings amq.direct-c->passing
         admin look lasting-bindings none
         driver > bindings",
    );
}

#[test]
fn bindings_between_two_are_found_and_no_others() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare r durable
         1.1 > queue.declare-ok r 0 0
         1.1 < queue.bind q amq.topic one
         1.1 > queue.bind-ok
         1.1 < queue.bind q amq.topic two
         1.1 > queue.bind-ok
         1.1 < queue.bind q amq.direct three
         1.1 > queue.bind-ok
         1.1 < queue.bind r amq.topic four
         1.1 > queue.bind-ok
         admin bindings amq.topic q
         driver > bindings amq.topic-one->q amq.topic-two->q
         admin bindings amq.topic nosuch
         driver > bindings
         admin bindings nosuch q
         driver > bindings",
    );
}

#[test]
fn a_name_is_known_or_not() {
    converse(
        "1.1 < queue.declare q durable
         1.1 > queue.declare-ok q 0 0
         admin holds queue q
         driver > holds true
         admin holds exchange q
         driver > holds false
         admin holds exchange amq.topic
         driver > holds true",
    );
}
