//! Content in pieces: what adds up, what does not, and what it may cost.

use crate::played::{names, number_in};
use crate::support::machine::{Machine, PUBLISH};
use crate::support::wire;
use bytes::Bytes;
use ledgermq::connection::Request;
use ledgermq::vhost::command::{Command, Envelope, Publish};
use std::sync::Arc;

fn content_frames(machine: &mut Machine, header_bytes: u64, pieces: &[&[u8]]) {
    machine.send(1, "basic.get queue=before");
    machine.commands();
    let publish = wire::encode(1, "basic.publish routing-key=q");
    let method = 8 + u32::from_be_bytes(publish[3..7].try_into().unwrap()) as usize;
    let mut header = vec![0, 60, 0, 0];
    header.extend(header_bytes.to_be_bytes());
    header.extend([0, 0]);
    let mut bytes = publish[..method].to_vec();
    bytes.extend(wire::frame(2, 1, &header));
    for piece in pieces {
        bytes.extend(wire::frame(3, 1, piece));
    }
    machine.send_bytes(&bytes);
}

#[test]
fn a_body_arrives_in_as_many_pieces_as_it_likes() {
    let mut machine = Machine::with_channel();
    content_frames(&mut machine, 6, &[b"ab", b"", b"cde", b"f"]);
    let commands = machine.commands();
    let [
        Envelope {
            command:
                Command::Publish(Publish {
                    message, publish_seq: None, mandatory: false, wants_reply: false, ..
                }),
            method,
            ..
        },
    ] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!((&message.body[..], &*message.routing_key, *method), (&b"abcdef"[..], "q", PUBLISH));
    assert_eq!(machine.effects.command_bytes, message.resident_bytes());
}

#[test]
fn a_body_alone_in_its_frame_stays_in_the_memory_of_the_frame() {
    let check = |pieces: &[&[u8]], stays: bool| {
        let mut machine = Machine::with_channel();
        let (last, before) = pieces.split_last().unwrap();
        let body_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        content_frames(&mut machine, body_bytes, before);
        let frame = Bytes::from(wire::frame(3, 1, last));
        assert_eq!(machine.connection.receive_frame(&frame, 0, &mut machine.effects), frame.len());
        let commands = machine.commands();
        let Some(Envelope { command: Command::Publish(publish), .. }) = commands.last() else {
            panic!("{commands:?}")
        };
        assert_eq!(publish.message.body, pieces.concat());
        assert_eq!(frame.as_ptr_range().contains(&publish.message.body.as_ptr()), stays);
    };
    check(&[b"abcdef"], true);
    check(&[b"abc", b"def"], false);
}

#[test]
fn content_that_does_not_add_up_ends_the_connection() {
    let check = |header_bytes, pieces: &[&[u8]], code| {
        let mut machine = Machine::with_channel();
        content_frames(&mut machine, header_bytes, pieces);
        let heard = machine.heard();
        assert_eq!(number_in(&heard[0], "reply-code"), code, "{heard:?}");
        assert!(heard[0].starts_with("0 connection.close"), "{heard:?}");
        assert_eq!(machine.requests(), [Request::Detach]);
    };
    check(2, &[b"abc"], 501);
    check(512 * 1024 * 1024 + 1, &[], 501);
    check(u64::MAX, &[], 501);
    // A body with nobody waiting for it.
    check(1, &[b"a", b"b"], 505);
    check(0, &[b"a"], 505);
}

/// Each channel may have a message on its way, and there may be two thousand channels.
#[test]
fn too_much_that_is_unfinished_ends_the_connection() {
    let mut machine = Machine::with_channel();
    let piece = vec![0; 100_000];
    let mut header = vec![0, 60, 0, 0];
    header.extend((16_u64 << 20).to_be_bytes());
    header.extend([0, 0]);
    for number in 1..=5 {
        if number > 1 {
            machine.open_channel(number);
        }
        let publish = wire::encode(number, "basic.publish routing-key=q");
        let method = 8 + u32::from_be_bytes(publish[3..7].try_into().unwrap()) as usize;
        machine.send_bytes(&publish[..method]);
        machine.send_bytes(&wire::frame(2, number, &header));
        for _ in 0..167 {
            machine.send_bytes(&wire::frame(3, number, &piece));
        }
    }
    let heard = machine.heard();
    let [close] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(number_in(close, "reply-code"), 320, "{close}");
    assert!(close.contains(" bytes of unfinished messages on one connection"), "{close}");
}

#[test]
fn a_message_larger_than_allowed_ends_the_channel_at_its_header() {
    let mut machine = Machine::with_channel();
    content_frames(&mut machine, 20_000_000, &[b"the rest is dropped"]);
    let text = "PRECONDITION_FAILED - message size 20000000 is larger than configured max size 16777216";
    assert_eq!(
        machine.heard(),
        [format!("1 channel.close reply-code=406 reply-text=\"{text}\" class-id=60 method-id=40")]
    );
    machine.send_bytes(&wire::frame(3, 1, b"and more"));
    assert!(machine.heard().is_empty());
    assert_eq!(names(&machine.commands()), ["CloseChannel"]);
}

#[test]
fn half_received_bodies_of_one_connection_are_bounded() {
    let mut machine = Machine::open();
    let piece = vec![0; 100_000];
    let mut sent = 0_usize;
    'all: for number in 1..=2000 {
        machine.send(number, "channel.open");
        let publish = wire::encode(number, "basic.publish routing-key=q");
        let method = 8 + u32::from_be_bytes(publish[3..7].try_into().unwrap()) as usize;
        let mut header = vec![0, 60, 0, 0];
        header.extend(16_000_000_u64.to_be_bytes());
        header.extend([0, 0]);
        let mut bytes = publish[..method].to_vec();
        bytes.extend(wire::frame(2, number, &header));
        for _ in 0..150 {
            bytes.extend(wire::frame(3, number, &piece));
        }
        sent += 150 * piece.len();
        machine.send_bytes(&bytes);
        if let Some(line) = machine.heard().first() {
            assert!(line.contains("reply-code=320"), "{line}");
            break 'all;
        }
        assert!(sent < 100_000_000, "not bounded");
    }
}

#[test]
fn repeated_publishes_share_names_and_properties() {
    let mut machine = Machine::with_channel();
    let publish = "basic.publish exchange=amq.direct routing-key=k properties={delivery-mode=2} body=x";
    machine.send(1, &format!("{publish}\n{publish}"));
    let commands = machine.commands();
    let [first, second] = &commands[..] else { panic!("{commands:?}") };
    let (Command::Publish(first), Command::Publish(second)) = (&first.command, &second.command) else {
        panic!("{commands:?}")
    };
    assert!(Arc::ptr_eq(&first.message.exchange, &second.message.exchange));
    assert!(Arc::ptr_eq(&first.message.routing_key, &second.message.routing_key));
    assert_eq!(first.message.properties.as_ptr(), second.message.properties.as_ptr());
    assert!(first.message.persistent && second.message.persistent);
}
