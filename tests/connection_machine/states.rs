//! The full table: every method of AMQP, clients' and servers' alike, and every kind of frame, in every state of the
//! conversation. Nothing that comes out of turn moves anything.

use crate::played::{in_state, number_in};
use crate::support::machine::{CAPABLE, Machine, start_ok};
use crate::support::wire;
use ledgermq::connection::Request;
use std::collections::BTreeSet;

/// The columns.
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

/// What a client gets for each:
///
/// ```text
/// 503    connection.close with this code       .     nothing: it is dropped, or taken without a word
/// c404   channel.close with this code          ok    its -ok on the same channel
/// ask    a command goes to the vhost           req   the driver is asked to do something
/// -      it is not read before an answer came  end   the socket is closed
/// ```
///
/// Methods of the connection class are sent on channel 0, the others on channel 1, with empty fields: an empty exchange is
/// the default exchange (403), an empty queue the one declared last, of which there is none (404).
/// Where RabbitMQ drops a connection without a word, during the handshake, ours says 503. Source: `rabbit_reader`,
/// `rabbit_channel`, `rabbit_command_assembler`; rows of the open channel were compared by `tests/bare_socket`.
const TABLE: &str = "
                            start- authen tune-  open   open-  no     open   await  await  closed closed  conn.closed  linger
                            ok     ticat. ok            ing    chan.  chan.  header body   by it  by us  by it  by us  ing
connection.start            503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.start-ok         req    -      503    503    -      504    504    504    504    504    504    .      .      .
connection.secure           503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.secure-ok        503    -      503    503    -      504    504    504    504    504    504    .      .      .
connection.tune             503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.tune-ok          503    -      .      503    -      504    504    504    504    504    504    .      .      .
connection.open             503    -      503    req    -      504    504    504    504    504    504    .      .      .
connection.open-ok          503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.close            503    -      503    ok     -      req    req    req    req    req    req    .      ok     .
connection.close-ok         503    -      503    503    -      504    504    504    504    504    504    .      end    .
connection.blocked          503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.unblocked        503    -      503    503    -      503    503    503    503    503    503    .      .      .
connection.update-secret    503    -      503    503    -      ok     ok     ok     ok     ok     ok     .      .      .
connection.update-secret-ok 503    -      503    503    -      503    503    503    503    503    503    .      .      .
channel.open                503    -      503    503    -      ask    504    505    505    504    504    .      .      .
channel.open-ok             503    -      503    503    -      503    503    503    503    503    503    .      .      .
channel.flow                503    -      503    503    -      504    540    505    505    .      .      .      .      .
channel.flow-ok             503    -      503    503    -      504    503    505    505    .      .      .      .      .
channel.close               503    -      503    503    -      504    ask    505    505    .      ok     .      .      .
channel.close-ok            503    -      503    503    -      504    503    505    505    .      .      .      .      .
access.request              503    -      503    503    -      504    ok     505    505    .      .      .      .      .
access.request-ok           503    -      503    503    -      503    503    503    503    503    503    .      .      .
exchange.declare            503    -      503    503    -      504    c403   505    505    .      .      .      .      .
exchange.declare-ok         503    -      503    503    -      503    503    503    503    503    503    .      .      .
exchange.delete             503    -      503    503    -      504    c403   505    505    .      .      .      .      .
exchange.delete-ok          503    -      503    503    -      503    503    503    503    503    503    .      .      .
exchange.bind               503    -      503    503    -      504    c403   505    505    .      .      .      .      .
exchange.bind-ok            503    -      503    503    -      503    503    503    503    503    503    .      .      .
exchange.unbind             503    -      503    503    -      504    c403   505    505    .      .      .      .      .
exchange.unbind-ok          503    -      503    503    -      503    503    503    503    503    503    .      .      .
queue.declare               503    -      503    503    -      504    ask    505    505    .      .      .      .      .
queue.declare-ok            503    -      503    503    -      503    503    503    503    503    503    .      .      .
queue.bind                  503    -      503    503    -      504    c404   505    505    .      .      .      .      .
queue.bind-ok               503    -      503    503    -      503    503    503    503    503    503    .      .      .
queue.purge                 503    -      503    503    -      504    c404   505    505    .      .      .      .      .
queue.purge-ok              503    -      503    503    -      503    503    503    503    503    503    .      .      .
queue.delete                503    -      503    503    -      504    c404   505    505    .      .      .      .      .
queue.delete-ok             503    -      503    503    -      503    503    503    503    503    503    .      .      .
queue.unbind                503    -      503    503    -      504    c404   505    505    .      .      .      .      .
queue.unbind-ok             503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.qos                   503    -      503    503    -      504    ask    505    505    .      .      .      .      .
basic.qos-ok                503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.consume               503    -      503    503    -      504    c404   505    505    .      .      .      .      .
basic.consume-ok            503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.cancel                503    -      503    503    -      504    ask    505    505    .      .      .      .      .
basic.cancel-ok             503    -      503    503    -      504    .      505    505    .      .      .      .      .
basic.publish               503    -      503    503    -      504    ask    505    505    .      .      .      .      .
basic.return                503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.deliver               503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.get                   503    -      503    503    -      504    c404   505    505    .      .      .      .      .
basic.get-ok                503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.get-empty             503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.ack                   503    -      503    503    -      504    c406   505    505    .      .      .      .      .
basic.reject                503    -      503    503    -      504    c406   505    505    .      .      .      .      .
basic.recover-async         503    -      503    503    -      504    540    505    505    .      .      .      .      .
basic.recover               503    -      503    503    -      504    540    505    505    .      .      .      .      .
basic.recover-ok            503    -      503    503    -      503    503    503    503    503    503    .      .      .
basic.nack                  503    -      503    503    -      504    c406   505    505    .      .      .      .      .
tx.select                   503    -      503    503    -      504    ask    505    505    .      .      .      .      .
tx.select-ok                503    -      503    503    -      503    503    503    503    503    503    .      .      .
tx.commit                   503    -      503    503    -      504    c406   505    505    .      .      .      .      .
tx.commit-ok                503    -      503    503    -      503    503    503    503    503    503    .      .      .
tx.rollback                 503    -      503    503    -      504    c406   505    505    .      .      .      .      .
tx.rollback-ok              503    -      503    503    -      503    503    503    503    503    503    .      .      .
confirm.select              503    -      503    503    -      504    ask    505    505    .      .      .      .      .
confirm.select-ok           503    -      503    503    -      503    503    503    503    503    503    .      .      .
a-content-header            505    -      505    505    -      505    505    .      505    .      .      .      .      .
a-piece-of-a-body           505    -      505    505    -      505    505    505    ask    .      .      .      .      .
a-content-header-on-0       505    -      505    505    -      505    505    505    505    505    505    .      .      .
a-heartbeat                 .      -      .      .      -      .      .      .      .      .      .      .      .      .
a-heartbeat-on-1            505    -      505    505    -      505    505    505    505    505    505    .      .      .
a-frame-of-no-type          501    -      501    501    -      501    501    501    501    501    501    .      .      .
a-frame-with-another-end    501    -      501    501    -      501    501    501    501    501    501    .      .      .
a-frame-too-large           501    -      501    501    -      501    501    501    501    501    501    .      .      .
a-method-of-no-class        503    -      503    503    -      503    503    503    503    503    503    .      .      .
";

/// The rows: what is sent, and what is expected in each state.
fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLE.lines().skip(3).map(|line| {
        let mut cells = line.split_whitespace();
        let row = (cells.next().unwrap(), cells.collect::<Vec<_>>());
        assert_eq!(row.1.len(), STATES.len(), "{line}");
        row
    })
}

/// The bytes of a row.
fn bytes_of(row: &str) -> Vec<u8> {
    match row {
        "a-content-header" => wire::frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
        "a-content-header-on-0" => wire::frame(2, 0, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
        "a-piece-of-a-body" => wire::frame(3, 1, b"x"),
        "a-heartbeat" => wire::frame(8, 0, b""),
        "a-heartbeat-on-1" => wire::frame(8, 1, b""),
        "a-frame-of-no-type" => wire::frame(5, 1, b""),
        "a-frame-with-another-end" => vec![1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 80, 0xCF],
        "a-frame-too-large" => vec![3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF],
        "a-method-of-no-class" => wire::frame(1, 1, &[0, 61, 0, 10]),
        method => {
            let text = match method {
                "connection.tune-ok" => "connection.tune-ok channel-max=10 frame-max=4096".to_owned(),
                "connection.start-ok" => start_ok(CAPABLE, "guest"),
                "connection.update-secret" => "connection.update-secret new-secret=guest".to_owned(),
                other => other.to_owned(),
            };
            wire::encode(u16::from(!method.starts_with("connection.")), &text)
        }
    }
}

/// What a machine did since it was last looked at, as the table has it.
fn observed(machine: &mut Machine, row: &str) -> String {
    let heard = machine.heard();
    let requests = machine.requests();
    let commands = machine.commands();
    if let Some(line) = heard.first() {
        let (channel, method) = line.split_once(' ').unwrap();
        let method = method.split(' ').next().unwrap();
        return match method {
            "connection.close" => number_in(line, "reply-code").to_string(),
            "channel.close" => format!("c{}", number_in(line, "reply-code")),
            _ => {
                let on_connection = row.starts_with("connection.");
                assert_eq!((method, channel == "0"), (&*format!("{row}-ok"), on_connection), "{row}: {line}");
                "ok".to_owned()
            }
        };
    }
    let done = match (&requests[..], &commands[..]) {
        ([Request::CloseSocket], []) => "end",
        ([], []) if machine.unread.is_empty() => ".",
        ([], []) => "-",
        ([], [_]) => "ask",
        ([_], []) => "req",
        both => panic!("{row}: {both:?}"),
    };
    done.to_owned()
}

#[test]
fn every_method_and_every_frame_has_its_answer_in_every_state() {
    let mut wrong = Vec::new();
    for (row, cells) in rows() {
        for (state, expected) in STATES.iter().zip(cells) {
            let mut machine = in_state(state);
            machine.send_bytes(&bytes_of(row));
            let got = observed(&mut machine, row);
            if got != expected {
                wrong.push(format!("{row} in state \"{state}\": {got}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_method_once() {
    let listed: Vec<_> = rows().map(|(row, _)| row).filter(|row| !row.starts_with("a-")).collect();
    let known: BTreeSet<_> = wire::METHODS.iter().map(|known| known.0).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!(listed.len(), known.len(), "a method is there twice");
}

/// Whatever comes out of turn during the handshake: the handshake does not go on after it, and nobody is asked anything.
#[test]
fn what_is_out_of_turn_moves_nothing() {
    for (row, cells) in rows() {
        for (state, expected) in STATES.iter().zip(cells).take(5) {
            if !expected.starts_with('5') {
                continue;
            }
            let mut machine = in_state(state);
            machine.send_bytes(&bytes_of(row));
            machine.heard();
            machine.send(0, &start_ok(CAPABLE, "guest"));
            machine.send(0, "connection.tune-ok channel-max=10 frame-max=4096");
            machine.send(0, "connection.open virtual-host=/");
            machine.send(1, "channel.open");
            let asked = machine.requests();
            assert!(machine.heard().is_empty() && asked.is_empty(), "{row} in state \"{state}\": {asked:?}");
            assert!(machine.commands().is_empty(), "{row} in state \"{state}\"");
        }
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
