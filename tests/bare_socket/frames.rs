//! Frames and fields that cannot be: each is refused with RabbitMQ's code and words, on the method it names.
//! Sizes, types, ends, short payloads, methods that are not a client's, content out of turn.

use crate::socket::{
    BODY, Client, HEADER, HEARTBEAT, METHOD, get, header, method, publish, raw_frame, raw_method,
};
use crate::{asked, asks_rabbitmq};

const CUT: &[u8] = b"\0\0\0\0\0";

/// Sends bytes on a connection with channel 1 open: what comes back.
fn ask(bytes: &[u8]) -> String {
    let mut client = Client::login(&asked().address).expect("a login");
    client.open_channel(1).expect("a channel");
    client.send(bytes).expect("bytes sent");
    client.receive().line()
}

fn check(bytes: &[u8], expected: &str) {
    assert_eq!(ask(bytes), expected, "{}", bytes.escape_ascii());
}

/// Ours names the mistake where RabbitMQ drops the connection without a word or calls it an internal error.
fn check_ours(bytes: &[u8], expected: &str) {
    if !asks_rabbitmq() {
        check(bytes, expected);
    }
}

/// A basic.publish that content must follow.
fn publish_method() -> Vec<u8> {
    raw_method(1, 60, 40, b"\0\0\0\x07nowhere\0")
}

/// A method whose answer shows that the connection still works.
fn sync() -> Vec<u8> {
    method(1, &get("none such"))
}

const SYNCED: &str = "channel 1 close: 404 NOT_FOUND - no queue 'none such' in vhost '/' (60.70)";

#[test]
fn types_and_channels() {
    let _broker = asked();
    check(
        &raw_frame(HEARTBEAT, 1, b""),
        "connection close: 505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0.0)",
    );
    for (kind, payload, shown) in
        [(0, "abc", "<<\"abc\">>"), (4, "", "<<>>"), (9, "abc", "<<\"abc\">>"), (8, "x", "<<\"x\">>")]
    {
        let expected = format!(
            "connection close: 501 FRAME_ERROR - type {kind}, all octets = {shown}: unknown_frame (0.0)"
        );
        check(&raw_frame(kind, 0, payload.as_bytes()), &expected);
    }
    check(
        &raw_frame(BODY, 0, b"abc"),
        "connection close: 505 UNEXPECTED_FRAME - type 3, all octets = <<\"abc\">> (0.0)",
    );
    let content_header = "connection close: 505 UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>> (0.0)";
    check(&header(0, 60, 0, &[0, 0]), content_header);
    check(&[raw_frame(HEARTBEAT, 0, b""), sync()].concat(), SYNCED);
}

#[test]
fn sizes() {
    let _broker = asked();
    let too_large = |kind: u8, size: u32| [&[kind, 0, 1][..], &size.to_be_bytes()].concat();
    let text = |kind: u8, size: u32| {
        format!(
            "connection close: 501 FRAME_ERROR - type {kind}, all octets = <<>>: {{frame_too_large,{size},131064}} (0.0)"
        )
    };
    for size in [131_073, 1 << 31, u32::MAX] {
        for kind in [METHOD, HEADER, BODY] {
            check(&too_large(kind, size), &text(kind, size));
        }
    }
    check(
        &raw_frame(METHOD, 1, b""),
        "connection close: 501 FRAME_ERROR - type 1, all octets = <<>>: unknown_frame (0.0)",
    );
    check(
        &raw_frame(METHOD, 1, b"\0"),
        "connection close: 501 FRAME_ERROR - type 1, all octets = <<0>>: unknown_frame (0.0)",
    );
    check(
        &raw_frame(HEADER, 1, b"\0<"),
        "connection close: 501 FRAME_ERROR - type 2, all octets = <<0,60>>: unknown_frame (0.0)",
    );
}

#[test]
fn a_frame_that_does_not_end() {
    let _broker = asked();
    let mut bytes = raw_method(1, 60, 80, &[0; 9]);
    *bytes.last_mut().expect("an end") = 207;
    let got = ask(&bytes).split_whitespace().collect::<Vec<_>>().join("");
    let text =
        "501FRAME_ERROR-type1,alloctets=<<0,60,0,80,0,0,0,0,0,0,0,0,0>>:{invalid_frame_end_marker,207}(0.0)";
    assert!(got.ends_with(text), "{got}");
}

#[test]
fn methods_that_cannot_be_read() {
    let _broker = asked();
    check(
        &raw_method(1, 60, 80, CUT),
        "connection close: 501 FRAME_ERROR - cannot decode <<0,0,0,0,0>> (60.80)",
    );
    let trailing = "connection close: 501 FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,0,0,0,0,0>> (60.80)";
    check(&raw_method(1, 60, 80, &[0; 12]), trailing);
    let utf8 = "connection close: 501 FRAME_ERROR - Malformed UTF-8 in shortstr";
    let declare = |table: &[u8]| {
        let length = u32::try_from(table.len()).expect("a short table").to_be_bytes();
        raw_method(1, 50, 10, &[b"\0\0\x01q\x10", &length[..], table].concat())
    };
    let got = ask(&raw_method(1, 50, 10, b"\0\0\x01\xff\0\0\0\0\0"));
    assert!(got.starts_with(utf8), "{got}");
    check_ours(&declare(b"\x01aZ"), "connection close: 502 SYNTAX_ERROR - unknown field type 'Z' (50.10)");
    let cut_table =
        "connection close: 501 FRAME_ERROR - cannot decode <<0,0,1,113,16,0,0,0,4,1,97,73,0>> (50.10)";
    check_ours(&declare(b"\x01aI\0"), cut_table);
    let bomb = (0..100_u32)
        .rev()
        .flat_map(|level| [&b"A"[..], &(level * 5).to_be_bytes()].concat())
        .collect::<Vec<_>>();
    let deep = "connection close: 502 SYNTAX_ERROR - tables nested deeper than 16 (50.10)";
    check_ours(&declare(&[b"\x01n", &bomb[..]].concat()), deep);
}

#[test]
fn methods_that_are_not_a_clients() {
    let _broker = asked();
    let unimplemented = |id| format!("connection close: 503 COMMAND_INVALID - unimplemented method ({id})");
    check(&raw_method(1, 60, 11, b""), &unimplemented("60.11"));
    // RabbitMQ 3.10 refuses the answer to its own basic.cancel, which clients send if that came without nowait.
    check_ours(&[raw_method(1, 60, 31, b"\x01t"), sync()].concat(), SYNCED);
    check(&raw_method(1, 20, 21, b"\x01"), &unimplemented("20.21"));
    check_ours(&raw_method(1, 61, 10, b""), &unimplemented("61.10"));
    check_ours(&raw_method(1, 60, 99, b""), &unimplemented("60.99"));
    check(&raw_method(1, 10, 50, b"\0\0\0\0\0\0\0"), &unimplemented("10.50"));
    let state = |id| {
        format!("connection close: 504 CHANNEL_ERROR - unexpected method in connection state running ({id})")
    };
    check(&raw_method(0, 10, 31, &[0; 8]), &state("10.31"));
    check(&raw_method(0, 10, 21, &[0; 4]), &state("10.21"));
    check(&raw_method(0, 50, 10, b"\0\0\x01q\x10\0\0\0\0"), &state("50.10"));
}

#[test]
fn content_out_of_turn() {
    let _broker = asked();
    let no_method =
        "connection close: 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0.0)";
    let no_header = "connection close: 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60.40)";
    let no_body = "connection close: 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60.40)";
    let after_publish = |bytes: &[u8]| [publish_method(), bytes.to_vec()].concat();
    check(&raw_frame(BODY, 1, b"abc"), no_method);
    check(&header(1, 60, 0, &[0, 0]), no_method);
    check(&after_publish(&publish_method()), no_header);
    check(&after_publish(&raw_frame(BODY, 1, b"x")), no_header);
    let class = "connection close: 505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60.40)";
    check(&after_publish(&header(1, 50, 0, &[0, 0])), class);
    let twice = [header(1, 60, 3, &[0, 0]), header(1, 60, 3, &[0, 0])].concat();
    check(&after_publish(&twice), no_body);
    check(&after_publish(&[header(1, 60, 3, &[0, 0]), sync()].concat()), no_body);
    check(&after_publish(&[header(1, 60, 0, &[0, 0]), raw_frame(BODY, 1, b"abcd")].concat()), no_method);
    // Empty body frames are of no use, and do no harm.
    let pieces = [
        raw_frame(BODY, 1, b""),
        raw_frame(BODY, 1, b"a"),
        raw_frame(BODY, 1, b""),
        raw_frame(BODY, 1, b"bc"),
    ];
    let dribbled = [header(1, 60, 3, &[0, 0]), pieces.concat(), sync()].concat();
    check(&after_publish(&dribbled), SYNCED);
    check(
        &[publish(1, "", "nowhere", false, b"abc"), publish(1, "", "nowhere", false, b""), sync()].concat(),
        SYNCED,
    );
}

#[test]
fn properties_that_cannot_be_read() {
    let _broker = asked();
    let content = |properties: &[u8]| [publish_method(), header(1, 60, 0, properties), sync()].concat();
    let text =
        |what| format!("connection close: 502 SYNTAX_ERROR - cannot decode properties: {what} (60.40)");
    check_ours(&content(&[0x80, 0]), &text("a field reaches past the end"));
    check_ours(&content(&[0, 0, 9]), &text("bytes left over after the last field"));
    check_ours(&content(b"\x20\0\0\0\0\x03\x01aZ"), &text("unknown field type 'Z'"));
    check_ours(&content(&[0, 1]), &text("unknown property flags"));
}
