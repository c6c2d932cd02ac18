//! What one message costs in the codec, both ways: a publish of three frames in, a delivery of three frames out, a
//! confirm out and an ack in. `amq-protocol` reads the same publish beside it, for scale.
//! Run: `cargo bench --bench codec`.

use amq_protocol::frame::parse_frame;
use bytes::{Buf, Bytes};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ledgermq::protocol::client_method::ClientMethod;
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::{self, ChannelId, Frame};
use ledgermq::protocol::outbound::Outbound;
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::publish_codec::{Content, Deliver};
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use std::hint::black_box;

const FRAME_BYTES_MAX: u32 = 131_072;

fn minimal() -> Bytes {
    PropertyList { delivery_mode: Some(2), ..PropertyList::default() }.encode()
}

fn rich() -> Bytes {
    let headers = Table::from_pairs(&[
        ("tenant", Value::text("acme")),
        ("attempt", Value::I32(1)),
        ("urgent", Value::Bool(true)),
        ("traceparent", Value::text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
    ]);
    PropertyList {
        content_type: Some("application/json"),
        headers: Some(headers),
        delivery_mode: Some(2),
        priority: Some(0),
        correlation_id: Some("5f0c2b1e-8a3d-4c57-9b6f"),
        message_id: Some("91f2"),
        timestamp: Some(1_700_000_000),
        ..PropertyList::default()
    }
    .encode()
}

/// A publish as a client writes it: method, content header, one body frame.
fn publish(properties: &[u8], body_bytes: usize) -> Vec<u8> {
    let method = b"\0\x3c\0\x28\0\0\x06orders\x07created\0".to_vec();
    let header = [b"\0\x3c\0\0", &(body_bytes as u64).to_be_bytes()[..], properties].concat();
    let mut bytes = Vec::new();
    for (kind, payload) in [(1, method), (2, header), (3, vec![7; body_bytes])] {
        bytes.extend_from_slice(&[kind, 0, 1]);
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&payload);
        bytes.push(0xCE);
    }
    bytes
}

/// Reads every frame in `input`, as a connection does. Counts body bytes and persistent messages, so that all is used.
fn read(mut input: &[u8]) -> usize {
    let mut seen = 0;
    while let Ok(Some((frame, consumed))) = frame::decode(input, FRAME_BYTES_MAX) {
        match frame {
            Frame::Method { payload, .. } => match ClientMethod::decode(payload) {
                Ok(ClientMethod::BasicPublish { exchange, routing_key, .. }) => {
                    seen += exchange.len() + routing_key.len();
                }
                Ok(ClientMethod::BasicAck { delivery_tag, .. }) => seen += delivery_tag as usize,
                other => panic!("unexpected {other:?}"),
            },
            Frame::Header { payload, .. } => {
                let Ok(header) = ContentHeader::decode(payload) else { panic!("a content header") };
                seen += usize::from(Properties::new(header.properties).delivery_mode() == Some(2));
            }
            Frame::Body { payload, .. } => seen += payload.len(),
            Frame::Heartbeat => {}
        }
        input = input.get(consumed..).unwrap_or_default();
    }
    seen
}

fn inbound(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("in");
    group.throughput(Throughput::Elements(1));
    for (name, properties) in [("minimal", minimal()), ("rich", rich())] {
        let bytes = publish(&properties, 1024);
        group.bench_function(format!("publish 1 KiB, {name} properties"), |bencher| {
            bencher.iter(|| read(black_box(&bytes)));
        });
        group.bench_function(format!("publish 1 KiB, {name} properties, amq-protocol"), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&bytes[..]);
                while let Ok((after, frame)) = parse_frame(rest) {
                    black_box(frame);
                    rest = after;
                }
            });
        });
    }
    let ack = b"\x01\0\x01\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x09\0\xce";
    group.bench_function("ack", |bencher| bencher.iter(|| read(black_box(ack))));
    group.finish();
}

/// Messages written between two writes to the socket.
const BATCH: usize = 64;

fn outbound(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("out");
    group.throughput(Throughput::Elements(BATCH as u64));
    let Some(channel) = ChannelId::new(1) else { panic!("a channel") };
    let mut out = Outbound::new();
    for (name, properties, body_bytes) in [
        ("16 B, minimal properties", minimal(), 16),
        ("1 KiB, minimal properties", minimal(), 1024),
        ("1 KiB, rich properties", rich(), 1024),
        ("64 KiB, minimal properties", minimal(), 65_536),
    ] {
        let body = Bytes::from(vec![7; body_bytes]);
        group.bench_function(format!("{BATCH} deliveries, {name}"), |bencher| {
            bencher.iter(|| {
                for delivery_tag in 0..BATCH as u64 {
                    let method = Deliver {
                        consumer_tag: "ctag1.9f3c2b",
                        delivery_tag,
                        redelivered: false,
                        exchange: "orders",
                        routing_key: "created",
                    };
                    out.deliver(
                        channel,
                        FRAME_BYTES_MAX,
                        black_box(&method),
                        Content { properties: &properties, body: &body },
                    );
                }
                out.advance(out.remaining());
            });
        });
    }
    group.bench_function(format!("{BATCH} confirms"), |bencher| {
        bencher.iter_batched_ref(
            Outbound::new,
            |out| {
                for delivery_tag in 0..BATCH as u64 {
                    out.ack(channel, black_box(delivery_tag), false);
                }
                out.advance(out.remaining());
            },
            BatchSize::NumIterations(1000),
        );
    });
    group.finish();
}

criterion_group!(benches, inbound, outbound);
criterion_main!(benches);
