//! How channels and connections end, from either side or both.

use crate::played::{PUBLISHED, delivery, in_state, message, names};
use crate::support::machine::{CAPABLE, HEADER, Machine, PUBLISH, accounts, key, start_ok};
use ledgermq::connection::{ConnectionConfig, Request};
use ledgermq::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use ledgermq::vhost::command::{MethodId, Notice, Reply};

#[test]
fn a_channel_number_is_free_once_closed_and_late_notices_are_dropped() {
    let mut machine = Machine::with_channel();
    machine.send(1, "channel.close reply-code=200");
    machine.notice(key(1, 0), delivery("t", 1, false));
    machine.reply(key(1, 0), Reply::ChannelClosed);
    assert_eq!(machine.heard()[1], "1 channel.close-ok");
    machine.commands();
    let life = machine.open_channel(1);
    assert_ne!(life, key(1, 0));
    machine.notice(key(1, 0), delivery("t", 2, false));
    machine.reply(key(1, 0), Reply::ChannelClosed);
    assert!(machine.heard().is_empty());
}

#[test]
fn an_error_of_the_vhost_closes_the_channel_until_the_client_agrees() {
    let mut machine = Machine::with_channel();
    let error = ChannelError::new(ChannelCode::NotFound, "no queue 'q' in vhost '/'");
    machine.notice(key(1, 0), Notice::ChannelFailed(error, MethodId { class: 60, method: 70 }));
    machine.send(1, "queue.declare queue=x\nbasic.publish body=x");
    assert_eq!(
        machine.heard(),
        [
            "1 channel.close reply-code=404 reply-text=\"NOT_FOUND - no queue 'q' in vhost '/'\" class-id=60 method-id=70"
        ]
    );
    assert!(machine.commands().is_empty(), "the vhost has closed it already");
    machine.send(1, "channel.close-ok");
    machine.open_channel(1);
}

#[test]
fn closes_that_cross_are_both_answered() {
    let mut machine = Machine::with_channel();
    machine.send(1, "channel.close reply-code=200");
    let error = ChannelError::new(ChannelCode::NotFound, "gone");
    machine.notice(key(1, 0), Notice::ChannelFailed(error, PUBLISH));
    let heard = machine.heard();
    assert!(heard[0].starts_with("1 channel.close ") && heard[1] == "1 channel.close-ok", "{heard:?}");
    machine.send(1, "channel.close-ok");
    machine.commands();
    machine.open_channel(1);

    let mut other = Machine::with_channel();
    other.send(1, "basic.ack delivery-tag=1\nchannel.close reply-code=200\nchannel.close-ok\nchannel.open");
    let heard = other.heard();
    assert!(heard[0].starts_with("1 channel.close ") && heard[1] == "1 channel.close-ok", "{heard:?}");
    assert_eq!(names(&other.commands()), ["CloseChannel", "OpenChannel"]);
}

/// RabbitMQ 3.10 returns, then answers both.
#[test]
fn a_channel_closed_twice_is_answered_twice_and_says_nothing_behind_that() {
    let mut machine = Machine::with_channel();
    let publish = "basic.publish routing-key=nowhere mandatory=true body=x";
    machine.send(1, &format!("{publish}\nchannel.close reply-code=200\nchannel.close reply-code=200"));
    assert_eq!(names(&machine.commands()), ["Publish", "CloseChannel"]);
    assert!(machine.heard().is_empty(), "the vhost may have something to say");
    let notice = Notice::Returned { code: 312, text: "NO_ROUTE", message: message("x") };
    machine.notice(key(1, 0), notice);
    machine.reply(key(1, 0), Reply::ChannelClosed);
    let heard = machine.heard();
    assert!(heard[0].starts_with("1 basic.return "), "{heard:?}");
    assert_eq!(heard[heard.len() - 2..], ["1 channel.close-ok", "1 channel.close-ok"]);
    machine.open_channel(1);
}

#[test]
fn close_ok_waits_for_the_vhost_to_let_go() {
    let mut machine = Machine::with_channel();
    machine.send(1, PUBLISHED);
    machine.send(0, "connection.close reply-code=200");
    assert_eq!(names(&machine.commands()), ["Publish"]);
    assert_eq!(machine.requests(), [Request::Detach]);
    assert!(machine.heard().is_empty());
    machine.connection.detached(0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.close-ok"]);
    assert!(machine.connection.wants_input(), "to see the client close its socket");
    machine.connection.socket_closed(&mut machine.effects);
    assert!(machine.requests().is_empty());
}

#[test]
fn a_client_that_never_closes_its_socket_is_closed_after_a_grace() {
    for state in ["lingering", "connection closed by us"] {
        let mut machine = in_state(state);
        let deadline = machine.connection.next_deadline().expect("a deadline");
        machine.connection.tick(deadline - 1, &mut machine.effects);
        assert!(machine.requests().is_empty(), "{state}");
        machine.connection.tick(deadline, &mut machine.effects);
        assert_eq!(machine.requests(), [Request::CloseSocket], "{state}");
    }
}

#[test]
fn shutdown_forces_every_connection_out() {
    let mut machine = Machine::with_channel();
    machine.connection.shutdown("shutdown", 0, &mut machine.effects);
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(
        machine.heard(),
        [format!("0 connection.close reply-code=320 reply-text=\"{text}\" class-id=0 method-id=0")]
    );
    assert_eq!(machine.requests(), [Request::Detach]);
    machine.send(0, "connection.close-ok");
    assert_eq!(machine.requests(), [Request::CloseSocket]);

    let mut young = in_state("await tune-ok");
    young.connection.shutdown("shutdown", 0, &mut young.effects);
    assert_eq!(young.requests(), [Request::CloseSocket]);
}

#[test]
fn a_failure_of_the_vhost_for_the_whole_connection_closes_it() {
    let mut machine = Machine::with_channel();
    let error = ConnectionError::new(ConnectionCode::InternalError, "the log refused");
    machine.notice(key(1, 0), Notice::ConnectionFailed(error, PUBLISH));
    assert!(machine.heard()[0].contains("reply-code=541"));
    assert_eq!(machine.requests(), [Request::Detach]);
}

#[test]
fn the_number_of_open_channels_is_bounded_not_their_numbers() {
    let mut machine = Machine::accepted_with(
        ConnectionConfig { channels_max: 2, ..ConnectionConfig::default() },
        accounts(),
    );
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "guest"));
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send(0, "connection.tune-ok channel-max=2 frame-max=4096\nconnection.open virtual-host=/");
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    machine.heard();
    machine.open_channel(65535);
    machine.open_channel(7);
    machine.send(8, "channel.open");
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    assert!(machine.heard()[0].contains(text));
}
