//! The codec held against another one: `amq-protocol` writes what clients send and reads what the broker sends, and both
//! must mean the same. And the codec held against strangers: no bytes make it panic, no nesting gets through.
//! A failing case is shrunk and printed with its seed; `PROPTEST_CASES` sets how many are
//! tried, `PROPTEST_RNG_SEED` which.

mod generators;
mod oracle;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, parse_class};
use amq_protocol::types::ShortString;
use bytes::{Buf, Bytes, BytesMut};
use generators::{client_class, generated, table};
use ledgermq::limits::TABLE_DEPTH_MAX;
use ledgermq::protocol::client_method::ClientMethod;
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::{self, ChannelId, Frame};
use ledgermq::protocol::method_id::MethodId;
use ledgermq::protocol::outbound::Outbound;
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::publish_codec::{Content, Deliver, GetOk, Return};
use ledgermq::protocol::server_method::ServerMethod;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use ledgermq::protocol::{protocol_header, sasl};
use oracle::{their_class, their_table};
use proptest::collection::vec;
use proptest::prelude::*;

// ---- reading what clients send ----

/// Enough that each of 37 methods comes up with each of its bits.
fn every_method() -> ProptestConfig {
    ProptestConfig::with_cases(ProptestConfig::default().cases * 16)
}

proptest! {
    #![proptest_config(every_method())]

    #[test]
    fn reads_what_the_other_codec_writes(class in client_class()) {
        let payload = generated(&class);
        let method = ClientMethod::decode(&payload).expect("a client's method");
        prop_assert_eq!(Some(method.id()), MethodId::of(&payload));
        prop_assert_eq!(their_class(&method), class);
    }
}

proptest! {
    #[test]
    fn refuses_methods_cut_short_or_too_long(class in client_class(), extra in 1..20_usize) {
        let mut payload = generated(&class);
        for cut in 0..payload.len() {
            prop_assert!(ClientMethod::decode(&payload[..cut]).is_err(), "{} of {} bytes", cut, payload.len());
        }
        payload.extend(std::iter::repeat_n(0, extra));
        prop_assert!(ClientMethod::decode(&payload).is_err());
    }

    #[test]
    fn mutated_methods_are_read_or_refused(class in client_class(), flips in vec(any::<(usize, u8)>(), 1..6)) {
        let mut payload = generated(&class);
        for (at, value) in flips {
            let at = at % payload.len();
            payload[at] = value;
        }
        if let Ok(method) = ClientMethod::decode(&payload) {
            let _ = format!("{method:?}");
        }
    }

    #[test]
    fn tables_keep_what_came(fields in table()) {
        let class = AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            arguments: fields.clone(), ..basic::Consume::default()
        }));
        let payload = generated(&class);
        let Ok(ClientMethod::BasicConsume { arguments, .. }) = ClientMethod::decode(&payload) else {
            panic!("a consume");
        };
        prop_assert!(payload.ends_with(arguments.as_bytes()), "byte for byte");
        prop_assert_eq!(arguments.len(), fields.inner().len());
        prop_assert_eq!(their_table(arguments.fields()), fields.clone());
        let pairs: Vec<_> = arguments.iter().collect();
        let copy = Table::from_pairs(&pairs);
        prop_assert_eq!(copy.as_bytes(), arguments.as_bytes());
        let reversed: Vec<_> = pairs.iter().rev().copied().collect();
        prop_assert_eq!(Table::from_pairs(&reversed), arguments);
    }
}

// ---- reading what strangers send ----

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn arbitrary_frames_never_panic(kind in 0..9_u8, channel in 0..3_u16, class in prop_oneof![Just(10_u16), Just(20), Just(40), Just(50), Just(60), Just(85), Just(90), any::<u16>()], method in 0..130_u16, fields in vec(any::<u8>(), 0..120)) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), &fields].concat();
        let size = u32::try_from(payload.len()).unwrap();
        let bytes = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), &payload, &[0xCE]].concat();
        read_everything(&bytes);
    }
}

/// Everything that is ever done with bytes of a peer.
fn read_everything(bytes: &[u8]) {
    let _ = protocol_header::opening(bytes);
    let mut rest = bytes;
    while let Ok(Some((frame, consumed))) = frame::decode(rest, 4096) {
        assert!((8..=rest.len()).contains(&consumed), "a frame takes what it has");
        match frame {
            Frame::Method { payload, .. } => drop(ClientMethod::decode(payload)),
            Frame::Header { payload, .. } => {
                if let Ok(header) = ContentHeader::decode(payload) {
                    read_properties(header.properties);
                }
            }
            Frame::Body { .. } | Frame::Heartbeat => {}
        }
        rest = rest.get(consumed..).unwrap_or_default();
    }
    let _ = ClientMethod::decode(bytes);
    let _ = ContentHeader::decode(bytes);
    let _ = Table::from_wire(bytes).map(|table| format!("{table:?}"));
    let _ = sasl::parse("PLAIN", bytes);
    let _ = sasl::parse("AMQPLAIN", bytes);
    read_properties(bytes);
}

fn read_properties(bytes: &[u8]) {
    let properties = Properties::new(bytes);
    let _ = (properties.content_type(), properties.app_id(), properties.timestamp(), properties.priority());
    let _ = (format!("{:?}", properties.headers()), properties.with_headers(&Table::default()));
}

/// Nested deeper than a stack is high: found and refused without recursion, in tables and arrays, in arguments and in
/// message headers.
#[test]
fn depth_bombs_are_refused() {
    for depth in [TABLE_DEPTH_MAX + 1, 100, 6000, 30_000] {
        let mut bytes = Vec::with_capacity(depth * 5 + 8);
        for level in (0..depth).rev() {
            bytes.push(b'A');
            bytes.extend_from_slice(&u32::try_from(level * 5).unwrap().to_be_bytes());
        }
        let fields = [b"\x01n", &bytes[..]].concat();
        assert!(Table::from_wire(&fields).is_err(), "depth {depth}");
        let length = u32::try_from(fields.len()).unwrap().to_be_bytes();
        let declare = [b"\0\x32\0\x0a\0\0\x01q\0", &length[..], &fields].concat();
        assert!(ClientMethod::decode(&declare).is_err(), "depth {depth}");
        let header = [b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0", &length[..], &fields].concat();
        assert!(ContentHeader::decode(&header).is_err(), "depth {depth}");
        assert!(sasl::parse("AMQPLAIN", &fields).is_err(), "depth {depth}");
    }
}

// ---- writing what the broker sends ----

/// Every server method is read by the other codec, and written back by it to the same bytes.
fn check_server_method(method: &ServerMethod<'_>) {
    let mut out = BytesMut::new();
    method.encode(3, &mut out);
    let Ok(Some((Frame::Method { channel: 3, payload }, consumed))) = frame::decode(&out, 0) else {
        panic!("{method:?} is one frame on channel 3");
    };
    assert_eq!(consumed, out.len());
    let (rest, class) = parse_class(payload).expect("readable");
    assert!(rest.is_empty(), "{method:?} leaves {} bytes", rest.len());
    if !matches!(method, ServerMethod::AccessRequestOk | ServerMethod::ConnectionStart { .. }) {
        assert_eq!(generated(&class), payload, "{method:?}");
    }
}

proptest! {
    #[test]
    fn server_methods_are_readable(text in "\\PC{0,100}", numbers in any::<(u16, u32, u32, u16)>(), active in any::<bool>(), challenge in vec(any::<u8>(), 0..50)) {
        let server_properties = Table::from_pairs(&[("product", Value::text("LedgerMQ"))]);
        let cause = MethodId { class: numbers.0, method: numbers.3 };
        let text = text.as_str();
        let (short, long, other, small) = numbers;
        let methods = [
            ServerMethod::ConnectionStart { server_properties: &server_properties, mechanisms: text, locales: text },
            ServerMethod::ConnectionSecure { challenge: &challenge },
            ServerMethod::ConnectionTune { channel_max: short, frame_bytes_max: long, heartbeat_s: small },
            ServerMethod::ConnectionOpenOk,
            ServerMethod::ConnectionClose { reply_code: short, reply_text: text, cause },
            ServerMethod::ConnectionCloseOk,
            ServerMethod::ConnectionBlocked { reason: text },
            ServerMethod::ConnectionUnblocked,
            ServerMethod::ConnectionUpdateSecretOk,
            ServerMethod::ChannelOpenOk,
            ServerMethod::ChannelFlowOk { active },
            ServerMethod::ChannelClose { reply_code: short, reply_text: text, cause },
            ServerMethod::ChannelCloseOk,
            ServerMethod::AccessRequestOk,
            ServerMethod::ExchangeDeclareOk,
            ServerMethod::ExchangeDeleteOk,
            ServerMethod::ExchangeBindOk,
            ServerMethod::ExchangeUnbindOk,
            ServerMethod::QueueDeclareOk { queue: text, message_count: long, consumer_count: other },
            ServerMethod::QueueBindOk,
            ServerMethod::QueueUnbindOk,
            ServerMethod::QueuePurgeOk { message_count: long },
            ServerMethod::QueueDeleteOk { message_count: other },
            ServerMethod::BasicQosOk,
            ServerMethod::BasicConsumeOk { consumer_tag: text },
            ServerMethod::BasicCancel { consumer_tag: text },
            ServerMethod::BasicCancelOk { consumer_tag: text },
            ServerMethod::BasicGetEmpty,
            ServerMethod::BasicRecoverOk,
            ServerMethod::TxSelectOk,
            ServerMethod::TxCommitOk,
            ServerMethod::TxRollbackOk,
            ServerMethod::ConfirmSelectOk,
        ];
        for method in &methods {
            check_server_method(method);
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-zäö.]{0,30}"
}

fn frame_bytes_max() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0_u32), Just(9), Just(100), Just(4096), Just(131_072), 9..10_000_u32]
}

fn body() -> impl Strategy<Value = Bytes> {
    (prop_oneof![Just(0_usize), 1..200_usize, 4090..4100_usize, 9000..20_000_usize], any::<u8>()).prop_map(
        |(length, seed)| (0..length).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect::<Vec<_>>().into(),
    )
}

/// The frames in `out`, read by the other codec.
fn their_frames(out: &mut Outbound) -> Vec<AMQPFrame> {
    let bytes = out.copy_to_bytes(out.remaining());
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (after, frame) = parse_frame(rest).expect("whole frames");
        rest = after;
        frames.push(frame);
    }
    frames
}

/// Checks the content that follows a method frame.
fn check_content(frames: &[AMQPFrame], list: &PropertyList<'_>, body: &Bytes) {
    let Some((AMQPFrame::Header(7, header), pieces)) = frames.split_first() else {
        panic!("a content header");
    };
    assert_eq!((header.class_id, header.body_size), (60, body.len() as u64));
    assert_eq!(header.properties.delivery_mode(), &list.delivery_mode);
    assert_eq!(header.properties.priority(), &list.priority);
    assert_eq!(header.properties.timestamp(), &list.timestamp);
    assert_eq!(header.properties.reply_to().as_ref().map(ShortString::as_str), list.reply_to);
    assert_eq!(header.properties.kind().as_ref().map(ShortString::as_str), list.kind);
    assert_eq!(
        header.properties.headers(),
        &list.headers.as_ref().map(|headers| their_table(headers.fields()))
    );
    let joined: Vec<u8> = pieces
        .iter()
        .flat_map(|frame| match frame {
            AMQPFrame::Body(7, piece) => piece.clone(),
            other => panic!("a body frame on channel 7, not {other:?}"),
        })
        .collect();
    assert_eq!(joined, &body[..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_reassemble_at_every_frame_size(
        frame_bytes_max in frame_bytes_max(),
        names in (text(), text(), text()),
        numbers in any::<(u64, bool, u32)>(),
        optional in any::<(Option<u8>, Option<u8>, Option<u64>)>(),
        reply_to in proptest::option::of(text()),
        body in body(),
    ) {
        let (consumer_tag, exchange, routing_key) = (names.0.as_str(), names.1.as_str(), names.2.as_str());
        let (delivery_tag, redelivered, message_count) = numbers;
        let list = PropertyList {
            delivery_mode: optional.0,
            priority: optional.1,
            timestamp: optional.2,
            reply_to: reply_to.as_deref(),
            kind: Some("k"),
            headers: optional.0.map(|n| Table::from_pairs(&[("n", Value::U8(n))])),
            ..PropertyList::default()
        };
        let encoded = list.encode();
        let content = Content { properties: &encoded, body: &body };
        let channel = ChannelId::new(7).unwrap();

        let mut out = Outbound::new();
        out.deliver(channel, frame_bytes_max, &Deliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key }, content);
        let frames = their_frames(&mut out);
        let expected = basic::Deliver {
            consumer_tag: consumer_tag.into(), delivery_tag, redelivered, exchange: exchange.into(), routing_key: routing_key.into(),
        };
        prop_assert_eq!(&frames[0], &AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Deliver(expected))));
        check_content(&frames[1..], &list, &body);

        out.get_ok(channel, frame_bytes_max, &GetOk { delivery_tag, redelivered, exchange, routing_key, message_count }, content);
        let frames = their_frames(&mut out);
        let expected = basic::GetOk {
            delivery_tag, redelivered, exchange: exchange.into(), routing_key: routing_key.into(), message_count,
        };
        prop_assert_eq!(&frames[0], &AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::GetOk(expected))));
        check_content(&frames[1..], &list, &body);

        out.returned(channel, frame_bytes_max, &Return { reply_code: 312, reply_text: "NO_ROUTE", exchange, routing_key }, content);
        let frames = their_frames(&mut out);
        let expected = basic::Return {
            reply_code: 312, reply_text: "NO_ROUTE".into(), exchange: exchange.into(), routing_key: routing_key.into(),
        };
        prop_assert_eq!(&frames[0], &AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Return(expected))));
        check_content(&frames[1..], &list, &body);
    }

    #[test]
    fn confirms_are_readable(delivery_tag in any::<u64>(), multiple in any::<bool>()) {
        let mut out = Outbound::new();
        out.ack(ChannelId::new(7).unwrap(), delivery_tag, multiple);
        out.nack(ChannelId::new(8).unwrap(), delivery_tag, multiple);
        out.heartbeat();
        let expected = vec![
            AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }))),
            AMQPFrame::Method(8, AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue: true }))),
            AMQPFrame::Heartbeat,
        ];
        prop_assert_eq!(their_frames(&mut out), expected);
    }
}
