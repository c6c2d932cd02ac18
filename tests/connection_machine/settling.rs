//! Confirms, deliveries, settlements, transactions, and how replies are told.

use crate::played::{PUBLISHED, delivery, message, names};
use crate::support::machine::{CAPABLE, Machine, accounts, key};
use ledgermq::connection::ConnectionConfig;
use ledgermq::vhost::command::{Command, Envelope, Notice, Outcome, PublishSeq, Reply};
use ledgermq_storage::{QueueId, Seq};
use std::sync::Arc;

#[test]
fn confirms_are_numbered_from_select_and_folded() {
    let mut machine = Machine::with_channel();
    machine.send(1, PUBLISHED);
    machine.send(1, "confirm.select nowait=true");
    machine.send(1, &[PUBLISHED; 5].join("\n"));
    let seqs: Vec<_> = machine
        .commands()
        .iter()
        .filter_map(|envelope| match &envelope.command {
            Command::Publish(publish) => Some(publish.publish_seq.map(|seq| seq.0)),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [None, Some(1), Some(2), Some(3), Some(4), Some(5)]);
    let confirmed = |seqs: &[u64]| Notice::Confirmed(seqs.iter().copied().map(PublishSeq).collect());
    machine.notice(key(1, 0), confirmed(&[1, 2, 3]));
    machine.notice(key(1, 0), confirmed(&[5]));
    machine.notice(key(1, 0), Notice::Refused(vec![PublishSeq(4)]));
    assert_eq!(
        machine.heard(),
        [
            "1 basic.ack delivery-tag=3 multiple=true",
            "1 basic.ack delivery-tag=5 multiple=false",
            "1 basic.nack delivery-tag=4 multiple=false requeue=true",
        ]
    );
    assert_eq!(machine.connection.report().channels[0].unconfirmed_count, 0);
}

#[test]
fn acks_of_one_read_become_one_command_per_run() {
    let mut machine = Machine::with_channel();
    for seq in 1..=6 {
        machine.notice(key(1, 0), delivery("t", seq, false));
    }
    assert_eq!(
        machine.heard()[5],
        "1 basic.deliver consumer-tag=\"t\" delivery-tag=6 redelivered=false exchange=\"\" routing-key=\"q\" body=\"x\""
    );
    machine.send(
        1,
        "basic.ack delivery-tag=1\nbasic.ack delivery-tag=2\nbasic.reject delivery-tag=3 requeue=true\n\
         basic.nack delivery-tag=4 requeue=true\nbasic.ack delivery-tag=6 multiple=true",
    );
    let settles: Vec<_> = machine
        .commands()
        .into_iter()
        .map(|envelope| match envelope.command {
            Command::Settle { outcome, deliveries } => {
                (outcome, deliveries.into_iter().map(|(_, seq)| seq.0).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        settles,
        [(Outcome::Ack, vec![1, 2]), (Outcome::Requeue, vec![3, 4]), (Outcome::Ack, vec![5, 6])]
    );
    assert_eq!(machine.connection.report().channels[0].unacked_count, 0);
}

#[test]
fn deliveries_are_counted_for_the_vhost_whether_or_not_they_are_seen() {
    let mut machine = Machine::with_channel();
    machine.notice(key(1, 0), delivery("t", 1, true));
    machine.notice(key(1, 9), delivery("t", 2, true));
    machine.notice(key(7, 0), delivery("t", 3, true));
    assert_eq!(machine.heard().len(), 1);
    assert_eq!(machine.effects.drained_bytes, 3 * message("x").resident_bytes());
}

#[test]
fn recover_forgets_all_tags() {
    let mut machine = Machine::with_channel();
    machine.notice(key(1, 0), delivery("t", 1, false));
    machine.heard();
    machine.send(1, "basic.recover requeue=true");
    assert_eq!(names(&machine.commands()), ["Recover"]);
    machine.reply(key(1, 0), Reply::Recovered);
    machine.send(1, "basic.ack delivery-tag=1");
    let heard = machine.heard();
    assert_eq!(heard[0], "1 basic.recover-ok");
    assert!(heard[1].contains("unknown delivery tag 1"));
}

#[test]
fn a_transaction_keeps_settlements_until_commit_and_restores_them_at_rollback() {
    let mut machine = Machine::with_channel();
    for seq in 1..=3 {
        machine.notice(key(1, 0), delivery("t", seq, false));
    }
    machine.send(
        1,
        "tx.select\nbasic.ack delivery-tag=2 multiple=true\nbasic.reject delivery-tag=3\ntx.rollback",
    );
    assert_eq!(names(&machine.commands()), ["TxSelect", "TxRollback"]);
    machine
        .send(1, "basic.ack delivery-tag=1\nbasic.ack delivery-tag=3\nbasic.nack delivery-tag=2\ntx.commit");
    let commands = machine.commands();
    let [Envelope { command: Command::TxCommit { settles }, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let place = |seq| (QueueId(3), Seq(seq));
    assert_eq!(settles[..], [(Outcome::Ack, vec![place(1), place(3)]), (Outcome::Discard, vec![place(2)])]);
    machine.heard();
    machine.send(1, "tx.commit");
    let commands = machine.commands();
    assert!(
        matches!(&commands[0].command, Command::TxCommit { settles } if settles.is_empty()),
        "{commands:?}"
    );
}

#[test]
fn every_reply_becomes_its_method() {
    let check = |reply: Reply, expected: &str| {
        let mut machine = Machine::with_channel();
        machine.reply(key(1, 0), reply);
        assert_eq!(machine.heard(), [format!("1 {expected}")]);
    };
    check(Reply::ExchangeDeclared, "exchange.declare-ok");
    check(Reply::ExchangeDeleted, "exchange.delete-ok");
    check(Reply::ExchangeBound, "exchange.bind-ok");
    check(Reply::ExchangeUnbound, "exchange.unbind-ok");
    check(
        Reply::QueueDeclared { name: "q".into(), message_count: 2, consumer_count: 1 },
        "queue.declare-ok queue=\"q\" message-count=2 consumer-count=1",
    );
    check(Reply::QueueDeleted { message_count: 3 }, "queue.delete-ok message-count=3");
    check(Reply::QueueBound, "queue.bind-ok");
    check(Reply::QueueUnbound, "queue.unbind-ok");
    check(Reply::QueuePurged { message_count: 4 }, "queue.purge-ok message-count=4");
    check(Reply::QosSet, "basic.qos-ok");
    check(Reply::Consuming { tag: "t".into() }, "basic.consume-ok consumer-tag=\"t\"");
    check(Reply::Cancelled { tag: "t".into() }, "basic.cancel-ok consumer-tag=\"t\"");
    check(
        Reply::GetOk {
            queue: QueueId(1),
            seq: Seq(1),
            no_ack: false,
            redelivered: true,
            message_count: 5,
            message: message("body"),
        },
        "basic.get-ok delivery-tag=1 redelivered=true exchange=\"\" routing-key=\"q\" message-count=5 body=\"body\"",
    );
    check(Reply::GetEmpty, "basic.get-empty");
    check(Reply::Recovered, "basic.recover-ok");
    check(Reply::TxSelected, "tx.select-ok");
    check(Reply::TxCommitted, "tx.commit-ok");
    check(Reply::TxRolledBack, "tx.rollback-ok");
    check(Reply::ConfirmSelected, "confirm.select-ok");
}

#[test]
fn returned_messages_come_back_whole() {
    let mut machine = Machine::with_channel();
    let notice = Notice::Returned { code: 312, text: "NO_ROUTE", message: message("back") };
    machine.notice(key(1, 0), notice);
    assert_eq!(
        machine.heard(),
        [
            "1 basic.return reply-code=312 reply-text=\"NO_ROUTE\" exchange=\"\" routing-key=\"q\" body=\"back\""
        ]
    );
}

#[test]
fn only_clients_that_understand_hear_of_cancelled_consumers() {
    for (properties, expected) in [(CAPABLE, 1), ("{}", 0)] {
        let mut machine = Machine::open_as(properties);
        machine.open_channel(1);
        machine.send(1, "basic.consume queue=q consumer-tag=t nowait=true");
        let tag = consumed(&mut machine);
        machine.notice(key(1, 0), Notice::ConsumerCancelled { tag });
        let heard = machine.heard();
        assert_eq!(heard.len(), expected, "{heard:?}");
        machine.send(1, "basic.consume queue=q consumer-tag=t nowait=true");
        assert!(machine.heard().is_empty(), "the tag is free again");
    }
}

#[test]
fn a_channel_has_so_many_consumers_and_no_more() {
    let config = ConnectionConfig { consumers_max: 2, ..ConnectionConfig::default() };
    let mut machine = Machine::accepted_with(config, accounts());
    machine.shake_hands(CAPABLE);
    machine.open_channel(1);
    machine.open_channel(2);
    let consume = |tag: &str| format!("basic.consume queue=q consumer-tag={tag} nowait=true");
    machine.send(
        1,
        &[consume("a"), consume("b"), "basic.cancel consumer-tag=a nowait=true".into(), consume("c")]
            .join("\n"),
    );
    machine.send(2, &consume("a"));
    assert_eq!(machine.heard(), [""; 0]);
    machine.send(1, &consume("d"));
    let text = "reply-text=\"NOT_ALLOWED - reached maximum (2) of consumers per channel\"";
    assert_eq!(
        machine.heard(),
        [format!("0 connection.close reply-code=530 {text} class-id=60 method-id=20")]
    );
}

#[test]
fn nameless_consumers_get_tags() {
    let mut machine = Machine::with_channel();
    machine.send(1, "basic.consume queue=q\nbasic.consume queue=q");
    let tags: Vec<_> = machine
        .commands()
        .into_iter()
        .map(|envelope| match envelope.command {
            Command::Consume { tag, .. } => tag,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tags[0].starts_with("amq.ctag-") && tags[0].len() == 31 && tags[0] != tags[1], "{tags:?}");
}

#[test]
fn line_breaks_are_taken_out_of_names() {
    let mut machine = Machine::with_channel();
    machine.send(1, "queue.declare queue=\"a\\r\\nb\"");
    let commands = machine.commands();
    assert!(
        matches!(&commands[0].command, Command::DeclareQueue { name, .. } if **name == *"ab"),
        "{commands:?}"
    );
}

/// The tag that the vhost was given with a consumer.
fn consumed(machine: &mut Machine) -> Arc<str> {
    let tag = machine.commands().into_iter().find_map(|envelope| match envelope.command {
        Command::Consume { tag, .. } => Some(tag),
        _ => None,
    });
    tag.expect("a consumer")
}

/// The vhost cancelled a consumer while the client cancelled it as well and gave its tag to another: what is said of the
/// first must not end the second.
#[test]
fn late_news_of_a_cancelled_consumer_is_not_for_the_next_one_of_its_tag() {
    let mut machine = Machine::with_channel();
    machine.send(1, "basic.consume queue=q consumer-tag=t nowait=true");
    let first = consumed(&mut machine);
    machine
        .send(1, "basic.cancel consumer-tag=t nowait=true\nbasic.consume queue=r consumer-tag=t nowait=true");
    let second = consumed(&mut machine);
    machine.notice(key(1, 0), Notice::ConsumerCancelled { tag: first });
    assert_eq!(machine.heard(), [""; 0]);
    machine.notice(key(1, 0), Notice::ConsumerCancelled { tag: second });
    assert_eq!(machine.heard(), ["1 basic.cancel consumer-tag=\"t\" nowait=true"]);
}

#[test]
fn recover_in_a_transaction_names_what_is_not_settled_there() {
    let mut machine = Machine::with_channel();
    machine.send(1, "tx.select");
    for seq in 1..=3 {
        machine.notice(key(1, 0), delivery("t", seq, false));
    }
    machine.send(1, "basic.ack delivery-tag=2\nbasic.recover requeue=true\ntx.commit");
    let commands = machine.commands();
    let [.., Envelope { command: recover, .. }, Envelope { command: commit, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let Command::Recover { only: Some(only), .. } = recover else { panic!("{recover:?}") };
    assert_eq!(only.iter().map(|(_, seq)| seq.0).collect::<Vec<_>>(), [1, 3]);
    let Command::TxCommit { settles } = commit else { panic!("{commit:?}") };
    assert_eq!(settles[..], [(Outcome::Ack, vec![(QueueId(3), Seq(2))])]);
}

#[test]
fn a_consumer_that_timed_out_is_cancelled_or_its_channel_closed() {
    let closed = "1 channel.close reply-code=406 reply-text=\"PRECONDITION_FAILED - delivery acknowledgement on channel 1 \
                  timed out. Timeout value used: 1800000 ms. This timeout value can be configured, see consumers doc \
                  guide to learn more\" class-id=0 method-id=0";
    let cancelled = "1 basic.cancel consumer-tag=\"t\" nowait=true";
    for (properties, has_consumer, expected) in
        [(CAPABLE, true, cancelled), ("{}", true, closed), (CAPABLE, false, closed)]
    {
        let mut machine = Machine::open_as(properties);
        machine.open_channel(1);
        machine.send(1, "basic.consume queue=q consumer-tag=t nowait=true");
        let tag = has_consumer.then_some(consumed(&mut machine));
        machine.notice(key(1, 0), Notice::TimedOut { tag, timeout_ms: 1_800_000 });
        assert_eq!(machine.heard(), [expected]);
        let commands = if expected == closed { vec!["CloseChannel"] } else { Vec::new() };
        assert_eq!(names(&machine.commands()), commands);
    }
}
