//! The full table: every method a client can send, in every state of the conversation.

use crate::played::{in_state, number_in};
use crate::support::machine::{CAPABLE, Machine, start_ok};
use crate::support::wire;
use ledgermq::connection::Request;

/// What a client gets for a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It stays in the socket's buffer until a login or vhost check is over.
    NotRead,
    /// It is dropped, and nothing changes.
    Dropped,
    /// A command goes to the vhost, and nothing to the client yet.
    Asked,
    /// A method on the same channel.
    Said(&'static str),
    /// The socket is closed.
    Closed,
    /// channel.close with this code.
    ChannelEnds(u16),
    /// connection.close with this code.
    ConnectionEnds(u16),
    /// A request for the driver.
    Requested,
}

const STATES: [&str; 14] = [
    "await start-ok",
    "authenticating",
    "await tune-ok",
    "await open",
    "opening vhost",
    "unopened channel",
    "open channel",
    "await content header",
    "await body",
    "channel closed by client",
    "channel closed by us",
    "connection closed by client",
    "connection closed by us",
    "lingering",
];

#[expect(clippy::match_same_arms, reason = "the arms follow the states")]
fn expected(state: &str, method: &str) -> Answer {
    use Answer::{Asked, ChannelEnds, Closed, ConnectionEnds, Dropped, NotRead, Requested, Said};
    let on_connection = method.starts_with("connection.");
    match (state, method) {
        ("authenticating" | "opening vhost", _) => NotRead,
        ("await start-ok", "connection.start-ok") => Requested,
        ("await tune-ok", "connection.tune-ok") => Dropped,
        ("await open", "connection.open") => Requested,
        ("await open", "connection.close") => Said("connection.close-ok"),
        ("await start-ok" | "await tune-ok" | "await open", _) => ConnectionEnds(503),

        ("connection closed by client" | "lingering", _) => Dropped,
        ("connection closed by us", "connection.close-ok") => Closed,
        ("connection closed by us", "connection.close") => Said("connection.close-ok"),
        ("connection closed by us", _) => Dropped,

        (_, "connection.close") => Requested,
        (_, "connection.update-secret") => Said("connection.update-secret-ok"),
        _ if on_connection => ConnectionEnds(504),

        ("unopened channel", "channel.open") => Asked,
        ("unopened channel", _) => ConnectionEnds(504),
        ("await content header" | "await body", _) => ConnectionEnds(505),

        ("channel closed by client", "channel.open") => ConnectionEnds(504),
        ("channel closed by us", "channel.open") => ConnectionEnds(504),
        ("channel closed by us" | "channel closed by client", "channel.close") => Said("channel.close-ok"),
        ("channel closed by us" | "channel closed by client", _) => Dropped,

        ("open channel", "channel.open") => ConnectionEnds(504),
        ("open channel", "channel.flow-ok" | "channel.close-ok") => ConnectionEnds(503),
        ("open channel", "channel.flow" | "basic.recover" | "basic.recover-async") => ConnectionEnds(540),
        ("open channel", "access.request") => Said("access.request-ok"),
        ("open channel", "exchange.declare" | "exchange.delete" | "exchange.bind" | "exchange.unbind") => {
            ChannelEnds(403)
        }
        // The empty name stands for the queue declared last, and there is none.
        ("open channel", "queue.bind" | "queue.unbind" | "queue.purge" | "queue.delete") => ChannelEnds(404),
        ("open channel", "basic.get" | "basic.consume") => ChannelEnds(404),
        ("open channel", "basic.ack" | "basic.nack" | "basic.reject" | "tx.commit" | "tx.rollback") => {
            ChannelEnds(406)
        }
        ("open channel", "basic.cancel-ok") => Dropped,
        ("open channel", _) => Asked,
        other => panic!("no answer for {other:?}"),
    }
}

fn observed(machine: &mut Machine) -> Answer {
    let heard = machine.heard();
    let requests = machine.requests();
    let commands = machine.commands();
    if let Some(line) = heard.first() {
        let method = line.split(' ').nth(1).unwrap();
        return match method {
            "connection.close" => Answer::ConnectionEnds(number_in(line, "reply-code")),
            "channel.close" => Answer::ChannelEnds(number_in(line, "reply-code")),
            _ => Answer::Said(wire::METHODS.iter().find(|known| known.0 == method).unwrap().0),
        };
    }
    if requests == [Request::CloseSocket] {
        Answer::Closed
    } else if !requests.is_empty() {
        Answer::Requested
    } else if !commands.is_empty() {
        Answer::Asked
    } else if machine.unread.is_empty() {
        Answer::Dropped
    } else {
        Answer::NotRead
    }
}

#[test]
fn every_method_has_its_answer_in_every_state() {
    let mut cases = 0;
    for state in STATES {
        for method in wire::client_methods() {
            let mut machine = in_state(state);
            let on_connection = method.starts_with("connection.");
            let text = match method {
                "connection.tune-ok" => "connection.tune-ok channel-max=10 frame-max=4096".to_owned(),
                "connection.start-ok" => start_ok(CAPABLE, "guest"),
                "connection.update-secret" => "connection.update-secret new-secret=guest".to_owned(),
                other => other.to_owned(),
            };
            machine.send(u16::from(!on_connection), &text);
            assert_eq!(observed(&mut machine), expected(state, method), "{method} in state {state}");
            cases += 1;
        }
    }
    println!("{cases} cases");
}

#[test]
fn a_method_out_of_turn_moves_nothing() {
    for state in ["await start-ok", "await tune-ok", "await open"] {
        let mut machine = in_state(state);
        machine.send(1, "channel.open");
        assert!(machine.heard()[0].contains("reply-code=503"), "{state}");
        machine.send(0, &start_ok(CAPABLE, "guest"));
        machine.send(0, "connection.tune-ok channel-max=10 frame-max=4096");
        machine.send(0, "connection.open virtual-host=/");
        assert!(machine.heard().is_empty() && machine.requests().is_empty() && machine.commands().is_empty());
    }
}

#[test]
fn methods_on_the_wrong_kind_of_channel_end_the_connection() {
    fn check(channel: u16, method: &str, code: u16, class: u16, number: u16) {
        let mut machine = Machine::with_channel();
        machine.send(channel, method);
        let line = machine.heard().remove(0);
        let ids =
            (number_in(&line, "reply-code"), number_in(&line, "class-id"), number_in(&line, "method-id"));
        assert_eq!(ids, (code, class, number), "{method} on {channel}: {line}");
        assert_eq!(machine.requests(), [Request::Detach]);
    }
    check(0, "channel.open", 504, 20, 10);
    check(0, "basic.ack delivery-tag=1", 504, 60, 80);
    check(0, &start_ok(CAPABLE, "guest"), 504, 10, 11);
    check(1, "connection.open virtual-host=/", 503, 10, 40);
    check(2, "connection.open virtual-host=/", 504, 10, 40);
    check(2, "queue.declare", 504, 50, 10);
    check(2, "channel.close-ok", 504, 20, 41);
}
