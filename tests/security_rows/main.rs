//! Attacks by their row (S…) and the answers they get, against the connection machine and, where queues matter, the whole
//! broker in memory. Attacks that need a socket, many of them, or a disk are tested with those.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod much;
mod page;
mod rights;
#[path = "../support/mod.rs"]
mod support;

use ledgermq::connection::Request;
use ledgermq::definitions::PermissionDefinition;
use ledgermq::vhost::command::Command;
use support::broker::Broker;
use support::machine::{CAPABLE, HEADER, Machine, start_ok};
use support::wire;

/// The code of the connection.close or channel.close a machine said last; `None` if it said something else.
fn code(heard: &[String]) -> Option<u16> {
    let line = heard.last()?;
    if !line.contains(".close ") {
        return None;
    }
    line.split_once("reply-code=")?.1.split(' ').next()?.parse().ok()
}

fn before_login() -> Machine {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.heard();
    machine
}

/// The frames of a publish on channel 1 up to its header, which announces this many bytes.
fn announce(body_bytes: u64) -> Vec<u8> {
    let publish = wire::encode(1, "basic.publish routing-key=q");
    let method = 8 + u32::from_be_bytes(publish[3..7].try_into().unwrap()) as usize;
    let mut header = vec![0, 60, 0, 0];
    header.extend(body_bytes.to_be_bytes());
    header.extend([0, 0]);
    [&publish[..method], &wire::frame(2, 1, &header)].concat()
}

#[test]
fn s1_strangers_are_told_the_protocol_and_closed_at_once() {
    for opening in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"AMQP\x03\x01\x00\x00",
        b"\0\0\0\0",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 5 5672\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
    ] {
        let mut machine = Machine::accepted();
        machine.send_bytes(opening);
        assert_eq!(machine.heard(), ["0 header [65, 77, 81, 80, 0, 0, 9, 1]"]);
        assert_eq!(machine.requests(), [Request::CloseSocket]);
    }
}

#[test]
fn s2_a_byte_now_and_then_buys_no_time() {
    let mut machine = Machine::accepted();
    for (at, byte) in HEADER.iter().enumerate() {
        machine.now_ms = at as u64 * 9_000;
        machine.send_bytes(&[*byte]);
        machine.connection.tick(machine.now_ms, &mut machine.effects);
    }
    assert!(machine.requests().contains(&Request::CloseSocket));
}

#[test]
fn s3_a_frame_too_large_is_refused_by_its_first_seven_bytes() {
    for size in [u32::MAX, 1 << 31, 131_073] {
        let mut machine = Machine::with_channel();
        machine.send_bytes(&[&[3, 0, 1][..], &size.to_be_bytes()].concat());
        assert_eq!(code(&machine.heard()), Some(501), "{size}");
    }
    let mut machine = before_login();
    machine.send_bytes(&[&[1, 0, 0][..], &8193_u32.to_be_bytes()].concat());
    assert_eq!(code(&machine.heard()), Some(501), "before login");
}

#[test]
fn s4_frames_of_no_type_or_with_a_wrong_end_are_refused() {
    for kind in 0..=255_u8 {
        let mut machine = Machine::with_channel();
        machine.send_bytes(&wire::frame(kind, 1, b""));
        let expected = if kind == 8 || kind == 2 || kind == 3 { [501, 502, 505] } else { [501, 501, 501] };
        let code = code(&machine.heard());
        assert!(code.is_some_and(|code| expected.contains(&code)), "type {kind}: {code:?}");
    }
    let mut machine = Machine::with_channel();
    machine.send_bytes(&[8, 0, 0, 0, 0, 0, 0, 0xCF]);
    assert_eq!(code(&machine.heard()), Some(501));
}

#[test]
fn s5_undersized_methods_and_headers_are_refused() {
    for length in 0..32 {
        for (before, kind) in [(&b""[..], 1), (&wire::encode(1, "basic.publish")[..22], 2)] {
            let mut machine = Machine::with_channel();
            let payload: Vec<u8> = [0, 60, 0, 0].iter().copied().cycle().take(length).collect();
            machine.send_bytes(before);
            machine.send_bytes(&wire::frame(kind, 1, &payload));
            let code = code(&machine.heard());
            assert!(code.is_none_or(|code| (500..=506).contains(&code)), "{kind} {length}: {code:?}");
        }
    }
}

#[test]
fn s7_client_properties_cannot_be_a_bomb() {
    let mut nested = "{}".to_owned();
    for _ in 0..64 {
        nested = format!("{{a={nested}}}");
    }
    let many = format!("{{{}}}", "a=void ".repeat(1500));
    for properties in [nested, many] {
        let mut machine = before_login();
        machine.send(0, &start_ok(&properties, "guest"));
        let code = code(&machine.heard());
        let asked = machine.requests();
        assert!(
            code.is_some_and(|code| code == 501 || code == 502) || asked.len() == 1,
            "{code:?} {asked:?}"
        );
    }
}

#[test]
fn s8_logins_that_make_no_sense_ask_nobody() {
    let long = "x".repeat(7000);
    for response in
        ["", "x", "\\x00\\x00\\x00", "\\x00guest\\x00", "\\x00\\xff\\xfe\\x00p", &format!("\\x00{long}")]
    {
        let mut machine = before_login();
        let start_ok = format!(
            "connection.start-ok client-properties={CAPABLE} mechanism=PLAIN response=\"{response}\""
        );
        machine.send(0, &start_ok);
        assert_eq!(code(&machine.heard()), Some(403), "{response:?}");
        assert!(machine.requests().is_empty());
    }
}

/// Ten thousand times what a guesser might send: no crash, and nobody is asked about an empty name or password, or about a
/// user in whose place another is to act.
#[test]
fn s8_random_logins_ask_only_about_a_name_and_a_password() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) % below
    };
    let pieces = [
        "",
        "\\x00",
        "guest",
        "\\xff",
        "\\x05LOGINS",
        "\\x00\\x00\\x00\\x05",
        "\\x08PASSWORDS",
        "a",
        "\\x80",
    ];
    for _ in 0..10_000 {
        let response: String = (0..next(8)).map(|_| pieces[next(9) as usize]).collect();
        let mechanism = ["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL", "plain", ""][next(6) as usize];
        let mut machine = before_login();
        machine.send(
            0,
            &format!(
                "connection.start-ok client-properties={CAPABLE} mechanism=\"{mechanism}\" response=\"{response}\""
            ),
        );
        match &machine.requests()[..] {
            [] => assert_eq!(code(&machine.heard()), Some(403), "{mechanism} {response}"),
            [Request::Authenticate(login)] => {
                assert!(["PLAIN", "AMQPLAIN"].contains(&mechanism), "{mechanism} {response}");
                assert!(!login.user.is_empty() && !login.password.is_empty(), "{mechanism} {response}");
            }
            others => panic!("{mechanism} {response}: {others:?}"),
        }
    }
}

#[test]
fn s10_tuning_beyond_what_was_offered_is_refused() {
    for (tune_ok, expected) in [
        ("channel-max=2047 frame-max=131072", None),
        ("channel-max=1 frame-max=4096", None),
        ("channel-max=2047 frame-max=0", None),
        ("channel-max=2047 frame-max=131072 heartbeat=0", None),
        ("channel-max=2047 frame-max=131072 heartbeat=65535", None),
        ("channel-max=0 frame-max=131072", Some(530)),
        ("channel-max=2048 frame-max=131072", Some(530)),
        ("channel-max=2047 frame-max=131073", Some(530)),
        ("channel-max=2047 frame-max=4095", Some(530)),
        ("channel-max=2047 frame-max=4294967295", Some(530)),
    ] {
        let mut machine = before_login();
        machine.send(0, &start_ok(CAPABLE, "guest"));
        machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
        machine.heard();
        machine.send(0, &format!("connection.tune-ok {tune_ok}"));
        assert_eq!(code(&machine.heard()), expected, "{tune_ok}");
    }
}

#[test]
fn s11_channels_that_come_and_go_leave_nothing_behind() {
    let mut machine = Machine::open();
    for _ in 0..20_000 {
        machine.send(9, "channel.open\nchannel.close");
        let commands = machine.commands();
        let key = commands[0].channel;
        machine.reply(key, ledgermq::vhost::command::Reply::ChannelOpened);
        machine.reply(key, ledgermq::vhost::command::Reply::ChannelClosed);
        machine.heard();
    }
    assert!(machine.connection.report().channels.is_empty());
}

#[test]
fn s12_announced_sizes_allocate_nothing() {
    for (size, expected) in [(u64::MAX, 501), (1 << 63, 501), (16 * 1024 * 1024 + 1, 406)] {
        let mut machine = Machine::with_channel();
        machine.send_bytes(&announce(size));
        assert_eq!(code(&machine.heard()), Some(expected), "{size}");
    }
    let mut machine = Machine::with_channel();
    machine.send_bytes(&announce(16 * 1024 * 1024));
    assert!(machine.heard().is_empty(), "allowed, and nothing has come");
}

#[test]
fn s13_content_out_of_order_ends_the_connection() {
    let mut more = announce(2);
    more.extend(wire::frame(3, 1, b"abc"));
    let mut again = announce(2);
    again.extend(wire::frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]));
    let mut between = announce(2);
    between.extend(wire::encode(1, "basic.get queue=q"));
    for bytes in [more, again, between] {
        let mut machine = Machine::with_channel();
        machine.send_bytes(&bytes);
        assert!(matches!(code(&machine.heard()), Some(501 | 505)));
    }
    let mut machine = Machine::with_channel();
    machine.send_bytes(&announce(1));
    for _ in 0..10_000 {
        machine.send_bytes(&wire::frame(3, 1, b""));
    }
    assert!(machine.heard().is_empty(), "empty pieces cost nothing and end nothing");
}

#[test]
fn s15_names_may_be_anything_but_control_characters() {
    for name in ["<script>alert(1)</script>", "../../etc/passwd", "%2e%2e", "ünï", &"x".repeat(255)] {
        let mut machine = Machine::with_channel();
        machine.send(1, &format!("queue.declare queue=\"{name}\""));
        assert!(machine.heard().is_empty() && machine.commands().len() == 1, "{name}");
    }
    for (name, expected) in [("a\\x00b", 403), ("a\\x1bb", 403), ("\\xff\\xfe", 502)] {
        let mut machine = Machine::with_channel();
        machine.send(1, &format!("queue.declare queue=\"{name}\""));
        let code = code(&machine.heard());
        assert!(code == Some(expected) || code == Some(501), "{name}: {code:?}");
        assert!(
            !machine
                .commands()
                .iter()
                .any(|envelope| matches!(envelope.command, Command::DeclareQueue { .. }))
        );
    }
}

#[test]
fn s22_nobody_publishes_in_anothers_name() {
    let mut broker = Broker::default();
    broker.connect("eve", "guest", None);
    broker.send("eve", 1, "channel.open");
    broker.heard("eve");
    broker.send("eve", 1, "basic.publish routing-key=q properties={user-id=bob} body=x");
    assert!(broker.heard("eve")[0].1.contains("reply-code=406"));
}

#[test]
fn s22_further_keys_that_are_no_list_of_texts_are_refused() {
    for header in ["CC=one", "BCC=one", "CC=7", "BCC={}"] {
        let mut broker = Broker::default();
        broker.connect("eve", "guest", None);
        broker.send("eve", 1, "channel.open");
        broker.heard("eve");
        broker.send(
            "eve",
            1,
            &format!("basic.publish routing-key=q properties={{headers={{{header}}}}} body=x"),
        );
        let heard = broker.heard("eve");
        assert!(heard.iter().any(|(_, line)| line.contains("reply-code=406")), "{header}: {heard:?}");
    }
}

/// A history of deaths that a client made up is replaced: it keeps no message from going where it goes.
#[test]
fn s22_a_forged_history_of_deaths_is_not_believed() {
    let mut broker = Broker::default();
    broker.connect("eve", "guest", None);
    broker.send("eve", 1, "channel.open");
    broker.send("eve", 1, "queue.declare queue=dead");
    broker.send(
        "eve",
        1,
        "queue.declare queue=q arguments={x-message-ttl=0 x-dead-letter-exchange=\"\" x-dead-letter-routing-key=dead}",
    );
    broker.heard("eve");
    let forged =
        "{x-death=[{count=9:l reason=expired queue=dead time=1:T exchange=\"\" routing-keys=[\"dead\"]}]}";
    broker.send("eve", 1, &format!("basic.publish routing-key=q properties={{headers={forged}}} body=x"));
    broker.pass(1);
    broker.send("eve", 1, "basic.get queue=dead");
    let heard = broker.heard("eve");
    let line = &heard.last().unwrap().1;
    assert!(line.starts_with("basic.get-ok") && line.contains("count=1:l"), "{heard:?}");
    assert!(!line.contains("count=9:l"), "{line}");
}

#[test]
fn s24_a_right_taken_away_ends_consumers_and_publishing_at_once() {
    let mut broker = Broker::default();
    broker.connect("alice", "guest", None);
    broker.send("alice", 1, "channel.open");
    broker.send("alice", 1, "queue.declare queue=q");
    broker.send("alice", 1, "basic.consume queue=q consumer-tag=t");
    broker.send("alice", 1, "basic.publish routing-key=q body=1");
    broker.heard("alice");
    broker.change_accounts(|accounts| {
        accounts
            .set_permissions(PermissionDefinition {
                user: "guest".into(),
                vhost: "/".into(),
                configure: ".*".into(),
                write: "^$".into(),
                read: "^$".into(),
            })
            .unwrap();
    });
    assert!(
        broker.heard("alice").iter().any(|(_, line)| line.starts_with("basic.cancel consumer-tag=\"t\""))
    );
    broker.send("alice", 1, "basic.publish routing-key=q body=2");
    assert!(broker.heard("alice").last().unwrap().1.contains("reply-code=403"));
}

#[test]
fn s24_a_user_who_is_deleted_is_put_out() {
    let mut broker = Broker::default();
    broker.connect("alice", "guest", None);
    broker.change_accounts(|accounts| {
        accounts.delete_user("guest").unwrap();
    });
    let heard = broker.heard("alice");
    assert!(
        heard[0].1.contains("reply-code=320") && heard[0].1.contains("user 'guest' is deleted"),
        "{heard:?}"
    );
}

#[test]
fn s24_a_user_without_a_vhost_is_put_out() {
    let mut broker = Broker::default();
    broker.connect("alice", "guest", None);
    broker.send("alice", 1, "channel.open");
    broker.heard("alice");
    broker.change_accounts(|accounts| {
        accounts.clear_permissions("guest", "/").unwrap();
    });
    assert!(broker.heard("alice")[0].1.contains("reply-code=320"));
}

#[test]
fn s26_an_exclusive_queue_is_locked_for_others_until_its_connection_goes() {
    let mut broker = Broker::default();
    broker.connect("alice", "guest", None);
    broker.connect("eve", "guest", None);
    broker.send("alice", 1, "channel.open");
    broker.send("alice", 1, "queue.declare queue=mine exclusive=true");
    let attempts = [
        "queue.declare queue=mine",
        "queue.declare queue=mine exclusive=true",
        "queue.declare queue=mine passive=true",
        "basic.consume queue=mine",
        "basic.consume queue=mine exclusive=true",
        "basic.get queue=mine no-ack=true",
        "basic.get queue=mine",
        "queue.bind queue=mine exchange=amq.direct",
        "queue.purge queue=mine",
        "queue.delete queue=mine",
    ];
    for (channel, attempt) in (1..).zip(attempts) {
        broker.send("eve", channel, "channel.open");
        broker.send("eve", channel, attempt);
        let heard = broker.heard("eve");
        assert!(heard.last().unwrap().1.contains("reply-code=405"), "{attempt}: {heard:?}");
    }
    broker.break_socket("alice");
    broker.send("eve", 100, "channel.open");
    broker.send("eve", 100, "queue.declare queue=mine");
    assert!(broker.heard("eve").last().unwrap().1.starts_with("queue.declare-ok"));
}

#[test]
fn s27_a_consumer_that_never_reads_gets_no_more_than_its_outbox_holds() {
    let mut broker = Broker::default();
    broker.connect("slow", "guest", None);
    broker.send("slow", 1, "channel.open");
    broker.send("slow", 1, "queue.declare queue=q");
    broker.send("slow", 1, "basic.consume queue=q no-ack=true");
    broker.heard("slow");
    broker.stop_reading("slow");
    let publish = wire::encode(1, &format!("basic.publish routing-key=q body={}", "x".repeat(100_000)));
    for _ in 0..100 {
        broker.send_bytes("slow", &publish);
    }
    let waiting = broker.waiting_bytes("slow");
    assert!(waiting < 3 * 1024 * 1024, "{waiting} bytes wait for a client that does not read");
}

#[test]
fn s31_acks_go_on_while_publishers_wait() {
    let mut broker = Broker::default();
    broker.connect("alice", "guest", None);
    broker.send("alice", 1, "channel.open");
    broker.send("alice", 1, "queue.declare queue=q");
    broker.send("alice", 1, "basic.publish routing-key=q body=1");
    broker.send("alice", 1, "basic.consume queue=q");
    broker.set_alarm(Some("low on disk"));
    broker.heard("alice");
    broker.send("alice", 1, "basic.publish routing-key=q body=2");
    broker.send("alice", 1, "basic.ack delivery-tag=1");
    broker.connect("bob", "guest", None);
    broker.send("bob", 1, "channel.open");
    broker.send("bob", 1, "queue.declare queue=q passive=true");
    assert!(broker.heard("bob").last().unwrap().1.contains("message-count=0 consumer-count=1"));
    broker.set_alarm(None);
    assert!(broker.heard("alice").iter().any(|(_, line)| line.contains("body=\"2\"")));
}
