//! Long queues: bodies leave memory above the budget, the middle leaves it wholly, and all comes back in order.

use super::script::Talk;
use ledgermq::limits::HEAD_ENTRIES_MIN;
use ledgermq::vhost::DeliverMode;
use std::fmt::Write;

/// A budget for hardly any body, segments of a few messages, and a queue with numbered messages.
fn backlog(count: u64) -> Talk {
    let mut talk = Talk::with(200, 600, DeliverMode::AfterDurable);
    talk.converse("1.1 < queue.declare q durable\n1.1 > queue.declare-ok q 0 0");
    talk.publish_many("q", 0..count);
    talk
}

/// Consumes messages, a hundred at a time, and expects these, in order.
pub(crate) fn drain(talk: &mut Talk, expected: impl IntoIterator<Item = String>) {
    let mut expected = expected.into_iter();
    talk.converse("2.1 < qos 100\n2.1 > qos-ok");
    let mut say = "2.1 < consume q x\n2.1 > consume-ok x\n".to_owned();
    let mut tag = 1;
    loop {
        let mut script = std::mem::take(&mut say);
        let first = tag;
        for body in expected.by_ref().take(100) {
            writeln!(script, "2.1 > deliver x {body}").unwrap();
            tag += 1;
        }
        talk.converse(&script);
        if tag == first {
            break;
        }
        say = "drained 2 1000000\n2.1 < ack".to_owned();
        (first..tag).for_each(|tag| write!(say, " {tag}").unwrap());
        say.push('\n');
    }
    talk.converse("2.1 < cancel x\n2.1 > cancel-ok x");
}

fn bodies(range: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    range.map(|body| format!("m{body}"))
}

#[test]
fn bodies_are_read_back_in_order() {
    let mut talk = backlog(1000);
    assert!(talk.vhost.report().queues[0].messages_resident < 5);
    drain(&mut talk, bodies(0..1000));
    talk.converse("queue q ready=0 unacked=0 bytes=0 consumers=0");
}

#[test]
fn the_middle_of_a_long_queue_leaves_memory_and_comes_back() {
    let count = 4 * HEAD_ENTRIES_MIN;
    let mut talk = backlog(count);
    let bytes: usize = bodies(0..count).map(|body| body.len()).sum();
    talk.converse(&format!("queue q ready={count} unacked=0 bytes={bytes} consumers=0"));
    // Messages put back go to their places before, and between, what is on disk only.
    talk.converse("3.1 < get q\n3.1 > get-ok m0 16383\n3.1 < get q\n3.1 > get-ok m1 16382\n3.1 < requeue 2");
    drain(&mut talk, std::iter::once("m1 redelivered".to_owned()).chain(bodies(2..count)));
    talk.converse("3.1 < requeue 1\n3.1 < get q\n3.1 > get-ok m0 0 redelivered\n3.1 < ack 3\nstop");
    talk.converse("queue q ready=0 unacked=0 bytes=0 consumers=0");
}

#[test]
fn a_backlog_survives_crashes_and_what_was_acked_stays_gone() {
    let mut talk = backlog(3000);
    drain_some(&mut talk);
    for _ in 0..2 {
        talk.converse("crash");
        assert_eq!(talk.vhost.report().queues[0].messages_ready, 2998);
    }
    let redelivered = bodies(2..3000).map(|body| format!("{body} redelivered"));
    drain(&mut talk, redelivered);
    talk.converse("stop\nqueue q ready=0 unacked=0 bytes=0 consumers=0");
}

fn drain_some(talk: &mut Talk) {
    talk.converse(
        "2.1 < get q
         2.1 > get-ok m0 2999
         2.1 < get q
         2.1 > get-ok m1 2998
         2.1 < get q
         2.1 > get-ok m2 2997
         2.1 < ack 1 2",
    );
}

#[test]
fn a_damaged_record_is_set_aside_and_the_others_go_on() {
    let mut talk = backlog(20);
    // Queue ids are drawn from 2 on.
    talk.converse("log rot 2 7\nlog rot 2 8");
    let before = bodies(0..7).map(|body| format!("2.1 > deliver x {body}\n"));
    let after = bodies(9..20).map(|body| format!("2.1 > deliver x {body}\n"));
    let expected: String = before.chain(after).collect();
    talk.converse(&format!(
        "2.1 < consume q x
         driver > damaged q 7..=7 1
         driver > damaged q 8..=8 1
         2.1 > consume-ok x
         {expected}
         queue q ready=0 unacked=18 bytes=46 consumers=1"
    ));
    assert_eq!(talk.vhost.report().queues[0].messages_damaged, 2);
    talk.converse("crash");
    assert_eq!(talk.vhost.report().queues[0].messages_ready, 20, "it stays in the log");
}

#[test]
fn a_stretch_without_an_index_is_set_aside() {
    let mut talk = backlog(30);
    talk.converse("crash");
    for seq in 17..30 {
        talk.converse(&format!("log rot 2 {seq}"));
    }
    let expected: String =
        bodies(0..17).map(|body| format!("2.1 > deliver x {body} redelivered\n")).collect();
    talk.converse(&format!(
        "2.1 < consume q x
         driver > damaged q 17..=25 9
         driver > damaged q 26..=29 4
         2.1 > consume-ok x
         {expected}
         queue q ready=0 unacked=17 bytes=41 consumers=1"
    ));
}

#[test]
fn reads_that_answer_late() {
    let mut talk = backlog(5);
    talk.converse(
        "reads hold
         2.1 < get q
         2.1 > get-ok m0 4
         2.1 < get q
         2.1 > get-ok m1 3
         2.1 < get q
         2.1 < qos 1
         3.1 < consume q x
         3.1 > consume-ok x
         1.1 < queue.purge q
         1.1 > queue.purge-ok 3
         2.1 > get-empty
         2.1 > qos-ok
         1.1 < publish . q new
         3.1 > deliver x new
         reads go
         1.1 < queue.delete q
         3.1 > cancelled x
         1.1 > queue.delete-ok 0",
    );
}

#[test]
fn bodies_stay_in_memory_while_the_budget_lasts() {
    let mut talk = Talk::with(1 << 20, 600, DeliverMode::AfterDurable);
    talk.converse("1.1 < queue.declare q durable\n1.1 > queue.declare-ok q 0 0");
    talk.publish_many("q", 0..50);
    assert_eq!(talk.vhost.report().queues[0].messages_resident, 50);
    assert!(talk.config.budget.used_bytes() > 50 * 50);
    talk.converse("1.1 < queue.delete q\n1.1 > queue.delete-ok 50");
    assert_eq!(talk.config.budget.used_bytes(), 0);
}

/// A few messages on disk, many new ones behind them in memory: whoever waits waits for the first, and it must be read
/// however much else is there.
#[test]
fn few_recovered_messages_before_many_new_ones_are_read() {
    let mut talk = Talk::new();
    talk.converse("1.1 < queue.declare q durable\n1.1 > queue.declare-ok q 0 0");
    talk.publish_many("q", 0..10);
    talk.converse("crash");
    talk.publish_many("q", 10..250);
    talk.converse("2.1 < get q no-ack\n2.1 > get-ok m0 249 redelivered");
}
