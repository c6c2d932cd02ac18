//! Time and alarms: heartbeats, deadlines, publishes held back.

use crate::played::{PUBLISHED, delivery, names};
use crate::support::machine::{CAPABLE, HEADER, Machine, key, start_ok};
use crate::support::wire;
use ledgermq::connection::Request;
use ledgermq::vhost::command::Command;

#[test]
fn heartbeats_go_out_when_idle_and_silence_ends_the_connection() {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "guest"));
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send(
        0,
        "connection.tune-ok channel-max=2 frame-max=4096 heartbeat=10\nconnection.open virtual-host=/",
    );
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    machine.heard();
    machine.requests();
    assert_eq!(machine.connection.next_deadline(), Some(5_000));
    machine.connection.tick(5_000, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 heartbeat"]);
    machine.now_ms = 12_000;
    machine.send_bytes(&wire::frame(8, 0, b""));
    machine.connection.tick(31_999, &mut machine.effects);
    assert!(machine.requests().is_empty());
    machine.connection.tick(32_000, &mut machine.effects);
    assert_eq!(machine.requests(), [Request::Detach, Request::CloseSocket]);
    assert_eq!(machine.connection.next_deadline(), None);
}

#[test]
fn an_alarm_holds_publishes_back_and_lets_settlements_through() {
    let mut machine = Machine::with_channel();
    machine.send(1, PUBLISHED);
    machine.notice(key(1, 0), delivery("t", 1, false));
    machine.commands();
    machine.heard();
    machine.connection.alarm(Some("low on disk"), 0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.blocked reason=\"low on disk\""]);
    let bytes_before = machine.effects.command_bytes;
    machine.send(1, &format!("{PUBLISHED}\nbasic.ack delivery-tag=1\nqueue.declare queue=later"));
    assert_eq!(names(&machine.commands()), ["Settle"]);
    assert_eq!(machine.effects.command_bytes, bytes_before);
    assert_eq!(machine.connection.report().state, "blocked");
    machine.connection.alarm(None, 0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.unblocked"]);
    assert_eq!(names(&machine.commands()), ["Publish", "DeclareQueue"]);
    assert!(machine.effects.command_bytes > bytes_before);
}

#[test]
fn a_connection_that_does_not_publish_hears_of_no_alarm() {
    let mut machine = Machine::with_channel();
    machine.connection.alarm(Some("low on disk"), 0, &mut machine.effects);
    machine.send(1, "basic.consume queue=q nowait=true");
    assert_eq!(names(&machine.commands()), ["Consume"]);
    assert!(machine.heard().is_empty());
    machine.send(1, PUBLISHED);
    assert_eq!(machine.heard(), ["0 connection.blocked reason=\"low on disk\""], "from its first publish on");
    assert!(machine.commands().is_empty());
}

#[test]
fn a_blocked_publisher_is_read_up_to_a_bound() {
    let mut machine = Machine::with_channel();
    machine.connection.alarm(Some("low on disk"), 0, &mut machine.effects);
    let publish = wire::encode(1, &format!("basic.publish routing-key=q body={}", "x".repeat(100_000)));
    let mut count = 0;
    while machine.connection.wants_input() {
        machine.send_bytes(&publish);
        count += 1;
        assert!(count < 100, "not bounded");
    }
    machine.send_bytes(&publish);
    assert!(!machine.unread.is_empty(), "stays with the driver");
    machine.connection.alarm(None, 0, &mut machine.effects);
    machine.send_bytes(b"");
    assert_eq!(machine.commands().len(), count + 1);
}

#[test]
fn what_an_alarm_holds_back_precedes_what_a_closing_client_sends_with_its_close() {
    let mut machine = Machine::with_channel();
    machine.connection.alarm(Some("low on disk"), 0, &mut machine.effects);
    machine.send(1, "basic.publish routing-key=q body=first");
    let mut bytes = wire::encode(1, "basic.publish routing-key=q body=second");
    bytes.extend(wire::encode(0, "connection.close reply-code=200"));
    machine.send_bytes(&bytes);
    let bodies: Vec<_> = machine
        .commands()
        .into_iter()
        .map(|envelope| match envelope.command {
            Command::Publish(publish) => publish.message.body.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bodies, ["first", "second"]);
    assert_eq!(machine.requests(), [Request::Detach]);
}
