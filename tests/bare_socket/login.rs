//! The first bytes of a connection, and the login, from strangers and from clients.

use crate::socket::{Client, FRAME_BYTES_MAX, start_ok, tune_ok};
use crate::{asked, asks_rabbitmq};
use amq_protocol::protocol::{AMQPClass, connection};

/// What a connection gets back for its first bytes before the broker closes it.
fn check_opening(bytes: &[u8]) {
    let mut client = Client::connect(&asked().address).expect("a connection");
    client.send(bytes).expect("bytes sent");
    let expected: &[u8] = if asks_rabbitmq() { b"AMQP" } else { b"AMQP\0\0\x09\x01" };
    let got = client.receive_to_end();
    assert!(
        got.starts_with(expected) && got.len() == 8,
        "{} got {}",
        bytes.escape_ascii(),
        got.escape_ascii()
    );
}

#[test]
fn other_protocols_are_told_ours() {
    let _broker = asked();
    if !asks_rabbitmq() {
        // RabbitMQ 3.10 still speaks AMQP 0-8, which 4.x gave up.
        check_opening(b"AMQP\x00\x00\x08\x00");
        check_opening(b"AMQP\x01\x01\x08\x00");
    }
    check_opening(b"AMQP\x00\x00\x0a\x00");
    check_opening(b"GET / HTTP/1.1\r\n\r\n");
    check_opening(b"\x16\x03\x01\x02\x00\x01\x00\x01");
    check_opening(b"\0\0\0\0\0\0\0\0");
}

/// What a login gets: the line of the close, or of the tune.
fn login(mechanism: &str, response: &[u8]) -> String {
    let mut client = Client::connect(&asked().address).expect("a connection");
    client.send(b"AMQP\0\0\x09\x01").expect("bytes sent");
    let is_start =
        |class: &AMQPClass| matches!(class, AMQPClass::Connection(connection::AMQPMethod::Start(_)));
    client.expect("connection.start", is_start);
    client.method(0, &start_ok(mechanism, response)).expect("bytes sent");
    client.receive().line()
}

#[test]
fn logins() {
    let _broker = asked();
    for (mechanism, response) in [
        ("PLAIN", &b"\0guest\0guest"[..]),
        ("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"),
    ] {
        let got = login(mechanism, response);
        assert!(got.contains("Tune"), "{mechanism}: {got}");
    }
    for response in [&b"\0guest\0wrong"[..], b"\0nobody\0guest", b"\0guest\0", b"\0\0"] {
        let refused = "connection close: 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0.0)";
        assert_eq!(login("PLAIN", response), refused, "{}", response.escape_ascii());
    }
}

#[test]
fn logins_that_make_no_sense_do_not_get_in() {
    let _broker = asked();
    for (mechanism, response) in [
        ("PLAIN", &b""[..]),
        ("PLAIN", b"guest"),
        ("PLAIN", b"\0guest"),
        ("PLAIN", b"\0guest\0guest\0"),
        ("PLAIN", b"root\0guest\0guest"),
        ("AMQPLAIN", b""),
        ("AMQPLAIN", b"\x05abc"),
        ("AMQPLAIN", b"\x05LOGINI\0\0\0\x01\x08PASSWORDS\0\0\0\x05guest"),
        ("", b"\0guest\0guest"),
        ("NOPE", b"\0guest\0guest"),
    ] {
        let got = login(mechanism, response);
        let closed = got.starts_with("connection close:") || got.starts_with("closed");
        assert!(closed, "{mechanism} {}: {got}", response.escape_ascii());
    }
}

#[test]
fn both_version_headers_open_a_connection() {
    let _broker = asked();
    for opening in [b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09"] {
        let mut client = Client::connect(&asked().address).expect("a connection");
        client.send(opening).expect("bytes sent");
        let AMQPClass::Connection(connection::AMQPMethod::Start(start)) = client.receive().method(0) else {
            panic!("connection.start");
        };
        assert_eq!((start.version_major, start.version_minor), (0, 9));
        client.method(0, &start_ok("PLAIN", b"\0guest\0guest")).expect("bytes sent");
        client.expect("connection.tune", |_| true);
        client.method(0, &tune_ok(0, FRAME_BYTES_MAX, 0)).expect("bytes sent");
        let answer = client.receive().line();
        // RabbitMQ 3.10 closes without a word, 4.x says why.
        let unlimited = "connection close: 530 NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047) (10.30)";
        assert_eq!(answer, if asks_rabbitmq() { "closed after " } else { unlimited });
    }
}
