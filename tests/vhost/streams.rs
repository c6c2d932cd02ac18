//! Streams: messages stay when they are delivered, every consumer has its place, retention lets the oldest go, and all of
//! it comes back after a restart.

use super::script::{Talk, converse};
use ledgermq::vhost::DeliverMode;

const DECLARE: &str = "
    1.1 < queue.declare s durable x-queue-type=stream
    1.1 > queue.declare-ok s 0 0
";

#[test]
fn every_consumer_gets_every_message_from_its_place() {
    let mut talk = Talk::new();
    talk.converse(DECLARE);
    talk.publish_many("s", 0..3);
    talk.converse(
        "
        1.1 < qos 10
        1.1 > qos-ok
        1.1 < consume s all x-stream-offset=first
        1.1 > consume-ok all
        1.1 > deliver all m0
        1.1 > deliver all m1
        1.1 > deliver all m2
        2.1 < qos 10
        2.1 > qos-ok
        2.1 < consume s third x-stream-offset=2
        2.1 > consume-ok third
        2.1 > deliver third m2
        2.1 < consume s newest x-stream-offset=last
        2.1 > consume-ok newest
        2.1 > deliver newest m2
        2.1 < consume s new
        2.1 > consume-ok new
        2.1 < consume s later x-stream-offset=5
        2.1 > consume-ok later
        1.1 < publish . s m3
        1.1 > deliver all m3
        2.1 > deliver third m3
        2.1 > deliver newest m3
        2.1 > deliver new m3
        1.1 < ack 1
        1.1 < requeue 2
        1.1 < discard 3
        queue s ready=4 unacked=0 bytes=200 consumers=5
        1.1 < publish . s m4
        1.1 > deliver all m4
        2.1 > deliver third m4
        2.1 > deliver newest m4
        2.1 > deliver new m4
        ",
    );
}

#[test]
fn credit_is_per_consumer_and_comes_back_with_any_settlement() {
    let mut talk = Talk::new();
    talk.converse(DECLARE);
    talk.publish_many("s", 0..6);
    talk.converse(
        "
        1.1 < qos 2
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=first
        1.1 > consume-ok a
        1.1 > deliver a m0
        1.1 > deliver a m1
        1.1 < consume s b x-stream-offset=first
        1.1 > consume-ok b
        1.1 > deliver b m0
        1.1 > deliver b m1
        1.1 < discard 1
        1.1 > deliver a m2
        1.1 < requeue 4
        1.1 > deliver b m2
        1.1 < recover
        1.1 > recover-ok
        1.1 > deliver a m3
        1.1 > deliver b m3
        1.1 > deliver a m4
        1.1 > deliver b m4
        ",
    );
}

#[test]
fn a_stream_keeps_transient_messages_and_confirms_them_when_they_are_durable() {
    let mut talk = Talk::new();
    talk.converse(DECLARE);
    talk.converse(
        "
        1.1 < queue.declare c durable
        1.1 > queue.declare-ok c 0 0
        1.1 < queue.bind c amq.fanout .
        1.1 > queue.bind-ok
        1.1 < queue.bind s amq.fanout .
        1.1 > queue.bind-ok
        1.1 < confirm.select
        1.1 > confirm.select-ok
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a
        1.1 > consume-ok a
        log hold
        1.1 < publish amq.fanout . one #1
        1.1 < publish amq.fanout . two persistent #2
        log sync
        1.1 > confirm 1 2
        1.1 > deliver a one
        1.1 > deliver a two
        log auto
        crash
        1.1 < get c
        1.1 > get-ok two 0 redelivered
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=first
        1.1 > consume-ok a
        1.1 > deliver a one
        1.1 > deliver a two
        ",
    );
}

#[test]
fn a_transaction_into_a_stream_is_whole() {
    let mut talk = Talk::new();
    talk.converse(DECLARE);
    talk.converse(
        "
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a
        1.1 > consume-ok a
        1.1 < tx.select
        1.1 > tx.select-ok
        1.1 < publish . s one
        1.1 < publish . s two persistent
        queue s ready=0 unacked=0 bytes=0 consumers=1
        1.1 < tx.commit
        1.1 > tx.commit-ok
        1.1 > deliver a one
        1.1 > deliver a two
        log full
        1.1 < publish . s three
        1.1 < tx.commit
        1.1 > failed 406 PRECONDITION_FAILED - transaction rolled back as a whole: no space left on the disk
        log space
        1.1 < channel.open
        1.1 > channel.open-ok
        1.1 < publish . s four
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=2
        1.1 > consume-ok a
        1.1 > deliver a four
        ",
    );
}

#[test]
fn what_a_stream_refuses() {
    let refused = |command: &str, answer: &str| {
        converse(&format!("{DECLARE}\n1.1 < {command}\n1.1 > {answer}"));
        converse(&format!(
            "{DECLARE}\n1.1 < qos 5\n1.1 > qos-ok\n1.1 < publish . s m0\n1.1 < {command}\n1.1 > {answer}"
        ));
    };
    let queue = "queue 's' in vhost '/'";
    refused(
        "get s",
        &format!("connection failed 540 NOT_IMPLEMENTED - basic.get not supported by stream queues {queue}"),
    );
    refused(
        "queue.purge s",
        &format!(
            "connection failed 540 NOT_IMPLEMENTED - queue.purge not supported by stream queues {queue}"
        ),
    );
    refused(
        "consume s a x-priority=3",
        &format!(
            "failed 406 PRECONDITION_FAILED - invalid arg 'x-priority' for {queue} of queue type rabbit_stream_queue"
        ),
    );
    refused(
        "consume s a x-stream-offset=soon",
        &format!(
            "failed 406 PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {queue}: {{invalid_stream_offset_arg,{{longstr,<<\"soon\">>}}}}"
        ),
    );
    converse(&format!(
        "{DECLARE}
        1.1 < consume s a
        1.1 > failed 406 PRECONDITION_FAILED - consumer prefetch count is not set for stream {queue}
        1.1 < channel.open
        1.1 > channel.open-ok
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a no-ack
        1.1 > connection failed 540 NOT_IMPLEMENTED - automatic acknowledgement not supported by stream {queue}"
    ));
    for (property, flags) in [
        ("non-durable", ""),
        ("exclusive-owner", "durable exclusive"),
        ("auto-delete", "durable auto-delete"),
    ] {
        converse(&format!(
            "1.1 < queue.declare s {flags} x-queue-type=stream
            1.1 > failed 406 PRECONDITION_FAILED - invalid property '{property}' for {queue}"
        ));
    }
}

#[test]
fn exclusive_means_nothing_and_conditions_of_delete_neither() {
    converse(&format!(
        "{DECLARE}
        1.1 < publish . s m0
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a exclusive
        1.1 > consume-ok a
        1.1 < consume s b exclusive
        1.1 > consume-ok b
        1.1 < queue.delete s if-unused if-empty
        1.1 > queue.delete-ok 1
        1.1 > cancelled a
        1.1 > cancelled b"
    ));
}

#[test]
fn a_deep_stream_lies_on_disk_and_is_read_by_windows() {
    let mut talk = Talk::with(64 * 1024, 4096, DeliverMode::AfterDurable);
    talk.converse(DECLARE);
    talk.publish_many("s", 0..2000);
    let mut expected = "1.1 < qos 2000\n1.1 > qos-ok\n".to_owned();
    expected.push_str("1.1 < consume s a x-stream-offset=first\n1.1 > consume-ok a\n");
    let delivered: Vec<_> = (0..2000).map(|body| format!("1.1 > deliver a m{body}")).collect();
    expected.push_str(&delivered.join("\n"));
    talk.converse(&expected);
    let resident = talk.vhost.report().queues[0].messages_resident;
    assert!(resident <= 64, "{resident} messages stay in memory");
    talk.converse(
        "
        2.1 < qos 1
        2.1 > qos-ok
        2.1 < consume s b x-stream-offset=1000
        2.1 > consume-ok b
        2.1 > deliver b m1000
        2.1 < ack 1
        2.1 > deliver b m1001
        ",
    );
    assert!(talk.config.budget.used_bytes() <= 1024 * 1024);
    talk.converse("detach 1\ndriver > detached 1\ndetach 2\ndriver > detached 2");
    assert_eq!(talk.config.budget.used_bytes(), 0, "without consumers nothing stays");
}

#[test]
fn offsets_and_retention_survive_a_crash() {
    let mut talk = Talk::with(1 << 20, 4096, DeliverMode::AfterDurable);
    talk.converse(
        "
        1.1 < queue.declare s durable x-queue-type=stream x-max-length-bytes=5000 x-stream-max-segment-size-bytes=1000
        1.1 > queue.declare-ok s 0 0
        ",
    );
    // Fifty bytes a record.
    talk.publish_many("s", 0..1000);
    let kept = talk.vhost.report().queues[0].messages_ready;
    assert!((80..=110).contains(&kept), "{kept}");
    let first = 1000 - kept;
    for stop in ["crash", "stop", "crash"] {
        talk.converse(stop);
        talk.converse(&format!(
            "
            1.1 < queue.declare s passive
            1.1 > queue.declare-ok s {kept} 0
            1.1 < qos 1
            1.1 > qos-ok
            1.1 < consume s a x-stream-offset=first
            1.1 > consume-ok a
            1.1 > deliver a m{first}
            1.1 < consume s b x-stream-offset=0
            1.1 > consume-ok b
            1.1 > deliver b m{first}
            1.1 < consume s c x-stream-offset=999
            1.1 > consume-ok c
            1.1 > deliver c m999
            "
        ));
    }
    talk.converse("1.1 < channel.close\n1.1 > channel.close-ok\n1.1 < channel.open\n1.1 > channel.open-ok\n1.1 < qos 1\n1.1 > qos-ok\n1.1 < consume s d\n1.1 > consume-ok d\n1.1 < publish . s m1000\n1.1 > deliver d m1000");
}

#[test]
fn a_stream_lets_old_messages_go_also_those_of_an_earlier_life() {
    let mut talk = Talk::with(1 << 20, 1024, DeliverMode::AfterDurable);
    talk.converse(
        "
        1.1 < queue.declare s durable x-queue-type=stream x-max-age=1m x-stream-max-segment-size-bytes=200
        1.1 > queue.declare-ok s 0 0
        ",
    );
    talk.publish_many("s", 0..30);
    talk.converse("clock 50000");
    talk.publish_many("s", 30..60);
    talk.converse("clock 9000\nqueue s ready=60 unacked=0 bytes=3050 consumers=0");
    talk.converse("crash\nclock 7000");
    let kept = talk.vhost.report().queues[0].messages_ready;
    assert!((30..60).contains(&kept), "{kept}: what was written a minute ago went, stretch by stretch");
    talk.converse("clock 1000000");
    let kept = talk.vhost.report().queues[0].messages_ready;
    assert!((4..=30).contains(&kept), "{kept}: the newest stretch stays whatever its age");
    talk.converse(&format!(
        "
        1.1 < qos 1
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=0
        1.1 > consume-ok a
        1.1 > deliver a m{}
        ",
        60 - kept
    ));
}

#[test]
fn consumers_begin_at_a_time() {
    let mut talk = Talk::with(1 << 20, 1024, DeliverMode::AfterDurable);
    talk.converse(DECLARE);
    for second in 0..60 {
        talk.publish_many("s", second..second + 1);
        talk.converse("clock 1000");
    }
    talk.converse("1.1 < qos 1\n1.1 > qos-ok");
    let check = |talk: &mut Talk, tag: &str, since: &str, first: Option<u64>| {
        talk.converse(&format!(
            "1.1 < consume s {tag} x-stream-offset={since}\n1.1 > consume-ok {tag}\n{}",
            first.map(|first| format!("1.1 > deliver {tag} m{first}")).unwrap_or_default()
        ));
    };
    for life in 0..2 {
        check(&mut talk, &format!("a{life}"), "time:1700000005", Some(5));
        check(&mut talk, &format!("b{life}"), "time:1700000057", Some(57));
        check(&mut talk, &format!("c{life}"), "time:0", Some(0));
        check(&mut talk, &format!("d{life}"), "time:1700005000", None);
        check(&mut talk, &format!("e{life}"), "30s", Some(30));
        check(&mut talk, &format!("f{life}"), "1h", Some(0));
        talk.converse("crash\n1.1 < qos 1\n1.1 > qos-ok");
    }
}

#[test]
fn a_filter_is_exact() {
    converse(&format!(
        "{DECLARE}
        1.1 < publish . s one h-x-stream-filter-value=a
        1.1 < publish . s two h-x-stream-filter-value=b
        1.1 < publish . s three
        1.1 < publish . s four h-x-stream-filter-value=a
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s f x-stream-offset=first x-stream-filter=a
        1.1 > consume-ok f
        1.1 > deliver f one
        1.1 > deliver f four
        1.1 < consume s g x-stream-offset=first x-stream-filter=b x-stream-match-unfiltered=true
        1.1 > consume-ok g
        1.1 > deliver g two
        1.1 > deliver g three
        1.1 < publish . s five h-x-stream-filter-value=b
        1.1 > deliver g five"
    ));
}

#[test]
fn what_cannot_be_read_is_reported_and_passed_over() {
    let mut talk = Talk::with(1 << 20, 1024, DeliverMode::AfterDurable);
    talk.converse(DECLARE);
    talk.publish_many("s", 0..30);
    talk.converse(
        "
        log rot 2 3
        1.1 < qos 4
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=first
        1.1 > consume-ok a
        1.1 > deliver a m0
        1.1 > deliver a m1
        1.1 > deliver a m2
        1.1 > deliver a m4
        driver > damaged s 3..=3 1
        1.1 < consume s b x-stream-offset=3
        1.1 > consume-ok b
        1.1 > deliver b m4
        1.1 > deliver b m5
        1.1 > deliver b m6
        1.1 > deliver b m7
        ",
    );
}

#[test]
fn immediate_delivery_does_not_wait_for_the_disk() {
    let mut talk = Talk::with(1 << 20, 1 << 20, DeliverMode::Immediate);
    talk.converse(DECLARE);
    talk.converse(
        "
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a
        1.1 > consume-ok a
        log hold
        1.1 < publish . s one
        1.1 > deliver a one
        log sync
        ",
    );
}

#[test]
fn a_dead_letter_is_kept_with_its_history() {
    let mut talk = Talk::new();
    talk.converse(DECLARE);
    talk.converse(
        "
        1.1 < queue.declare q durable x-dead-letter-exchange= x-dead-letter-routing-key=s
        1.1 > queue.declare-ok q 0 0
        1.1 < publish . q one persistent
        1.1 < get q
        1.1 > get-ok one 0
        1.1 < discard 1
        queue q ready=0 unacked=0 bytes=0 consumers=0
        crash
        1.1 < qos 5
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=first
        1.1 > consume-ok a
        1.1 > deliver a one [rejected q 1]
        ",
    );
}

#[test]
fn a_policy_shortens_a_stream_at_once() {
    let mut talk = Talk::with(1 << 20, 4096, DeliverMode::AfterDurable);
    talk.converse(DECLARE);
    talk.publish_many("s", 0..1000);
    talk.converse(
        r#"
        admin govern set-policy short ^s {"max-length-bytes":10000,"stream-max-segment-size-bytes":1000}
        driver > done
        "#,
    );
    let kept = talk.vhost.report().queues[0].messages_ready;
    assert!((180..=300).contains(&kept), "{kept}: up to a segment more than ten kilobytes");
    let first = 1000 - kept;
    talk.converse(&format!(
        "
        admin govern clear-policy short
        driver > done
        crash
        1.1 < qos 1
        1.1 > qos-ok
        1.1 < consume s a x-stream-offset=first
        1.1 > consume-ok a
        1.1 > deliver a m{first}
        "
    ));
}
