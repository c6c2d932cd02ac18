//! What is counted of messages, by queue, exchange and channel, and what of it stays when the objects go.

use super::script::Talk;
use ledgermq::vhost::counts::MessageCounts;
use ledgermq::vhost::figures::VhostFigures;
use ledgermq::vhost::report::VhostReport;
use ledgermq::vhost::views::{Look, Seen, Stretch};

type Named = (&'static str, fn(&MessageCounts) -> u64);

/// The numbers that are not 0, by name.
fn shown(counts: MessageCounts, names: &[Named]) -> String {
    let counted = names.iter().map(|(name, count)| (name, count(&counts))).filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
}

fn queue(report: &VhostReport, name: &str) -> String {
    let queue = report.queues.iter().find(|queue| queue.name == name).unwrap();
    shown(queue.counts, MessageCounts::QUEUE)
}

fn exchange(report: &VhostReport, name: &str) -> String {
    let exchange = report.exchanges.iter().find(|exchange| exchange.name == name).unwrap();
    shown(exchange.counts, MessageCounts::EXCHANGE)
}

#[test]
fn messages_are_counted_where_they_pass() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < exchange.declare e fanout
         1.1 > exchange.declare-ok
         1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare r
         1.1 > queue.declare-ok r 0 0
         1.1 < queue.bind q e k
         1.1 > queue.bind-ok
         1.1 < queue.bind r e k
         1.1 > queue.bind-ok
         1.1 < publish e k one
         1.1 < publish e k two
         1.1 < publish . q three
         1.1 < publish . nowhere gone
         1.1 < get q
         1.1 > get-ok one 2
         1.1 < requeue 1
         1.1 < get q no-ack
         1.1 > get-ok one 2 redelivered
         2.1 < consume q x
         2.1 > consume-ok x
         2.1 > deliver x two
         2.1 > deliver x three
         2.1 < ack 1
         1.1 < get q
         1.1 > get-empty",
    );
    let report = talk.vhost.report();
    let counted = "publish=3 deliver=2 deliver_get=4 get=1 get_no_ack=1 get_empty=1 ack=1 redeliver=1";
    assert_eq!(queue(&report, "q"), counted);
    assert_eq!(queue(&report, "r"), "publish=2");
    assert_eq!(exchange(&report, "e"), "publish_in=2 publish_out=4");
    assert_eq!(exchange(&report, ""), "publish_in=2 publish_out=1 drop_unroutable=1");
    let channels: Vec<_> =
        report.channels.iter().map(|channel| shown(channel.counts, MessageCounts::CHANNEL)).collect();
    assert_eq!(
        channels,
        [
            "publish=4 drop_unroutable=1 deliver_get=2 get=1 get_no_ack=1 get_empty=1 redeliver=1",
            "deliver=2 deliver_get=2 ack=1",
        ]
    );
    let counted = "publish=4 drop_unroutable=1 deliver=2 deliver_get=4 get=1 get_no_ack=1 get_empty=1 ack=1 redeliver=1";
    assert_eq!(shown(report.counts, MessageCounts::CHANNEL), counted);
    talk.converse("2.1 < channel.close\n2.1 > channel.close-ok");
    assert_eq!(talk.vhost.report().channels.len(), 1);
    assert_eq!(
        shown(talk.vhost.report().counts, MessageCounts::CHANNEL),
        counted,
        "the vhost forgets nothing"
    );
}

#[test]
fn parts_are_what_the_whole_report_says_of_them() {
    let mut talk = Talk::new();
    talk.converse(
        "1.1 < queue.declare q
         1.1 > queue.declare-ok q 0 0
         1.1 < queue.declare r
         1.1 > queue.declare-ok r 0 0
         1.1 < queue.bind q amq.topic a.#
         1.1 > queue.bind-ok
         1.1 < publish . q one
         1.1 < consume q x
         1.1 > consume-ok x
         1.1 > deliver x one",
    );
    let whole = talk.vhost.report();
    let look = |look: Look| talk.vhost.look(&look);
    let Seen::Names(mut names, None) = look(Look::QueueNames(Stretch::ALL)) else { panic!("names") };
    names.sort();
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["q", "r"]);
    let Seen::Queues(queues) = look(Look::Queues(vec!["r".into(), "none".into(), "q".into()])) else {
        panic!("queues")
    };
    assert_eq!(queues, [Some(whole.queues[1].clone()), None, Some(whole.queues[0].clone())]);
    let made = &whole.bindings[2..];
    assert_eq!((made.len(), &*made[0].binding_key), (1, "a.#"));
    let from =
        |behind| Look::BindingsFrom { source: "amq.topic".into(), behind, only_lasting: false, count: 1 };
    let Seen::Bindings(first, Some(place)) = look(from(None)) else { panic!("there may be more") };
    assert_eq!(first, made);
    assert_eq!(look(from(Some(place))), Seen::Bindings(vec![], None));
    let to = |kind, name: &str| look(Look::BindingsTo(kind, name.into()));
    use ledgermq::definitions::DestinationKind::{Exchange, Queue};
    assert_eq!(to(Queue, "q"), Seen::Bindings(made.to_vec(), None));
    assert_eq!(to(Queue, "r"), Seen::Bindings(vec![], None));
    assert_eq!(to(Exchange, "amq.topic"), Seen::Bindings(vec![], None));
    assert_eq!(look(Look::Consumers(vec!["q".into()])), Seen::Consumers(whole.consumers.clone()));
    assert_eq!(look(Look::Consumers(vec!["r".into()])), Seen::Consumers(vec![]));
    assert_eq!(look(Look::Channels), Seen::Channels(whole.channels.clone()));
    let Seen::Sums { figures: sums, next: None, .. } = look(Look::Sums(Stretch::ALL)) else { panic!("sums") };
    assert_eq!((sums.queues, sums.bindings, sums.consumers, sums.channels), (2, 1, 1, 1));
    assert_eq!((sums.messages_ready, sums.messages_unacknowledged, sums.counts.publish), (0, 1, 1));
}

#[test]
fn stretches_add_up_to_the_whole_and_tell_of_queues_that_went_meanwhile() {
    let mut talk = Talk::new();
    for number in 0..7 {
        talk.converse(&format!(
            "1.1 < queue.declare q{number}
             1.1 > queue.declare-ok q{number} 0 0
             1.1 < publish . q{number} body"
        ));
    }
    let in_stretches = |talk: &Talk| {
        let (mut sums, mut seen, mut names) = (VhostFigures::default(), Vec::new(), Vec::new());
        let mut place = Some(0);
        while let Some(from) = place {
            let stretch = Stretch { from, places: 3 };
            let Seen::Sums { figures, next, deleted_count } = talk.vhost.look(&Look::Sums(stretch)) else {
                panic!("sums")
            };
            let Seen::Names(some, next_name) = talk.vhost.look(&Look::QueueNames(stretch)) else {
                panic!("names")
            };
            assert!(some.len() <= 3 && next == next_name, "the same places");
            sums.add(&figures);
            names.extend(some.iter().map(ToString::to_string));
            seen.push(deleted_count);
            place = next;
        }
        names.sort();
        (sums, seen, names)
    };
    let (sums, seen, names) = in_stretches(&talk);
    assert_eq!((sums, sums.queues, sums.messages_ready), (talk.vhost.figures(), 7, 7));
    assert_eq!(seen, [0, 0, 0]);
    assert_eq!(names, ["q0", "q1", "q2", "q3", "q4", "q5", "q6"]);
    talk.converse(
        "1.1 < queue.delete q4
         1.1 > queue.delete-ok 1",
    );
    let (sums, seen, names) = in_stretches(&talk);
    assert_eq!((sums, sums.queues), (talk.vhost.figures(), 6));
    assert_eq!(seen, [1, 1, 1], "who began before and ends now knows that a queue went");
    assert_eq!(names, ["q0", "q1", "q2", "q3", "q5", "q6"]);
    let beyond = talk.vhost.look(&Look::QueueNames(Stretch::from(1000)));
    assert_eq!(beyond, Seen::Names(vec![], None));
}
