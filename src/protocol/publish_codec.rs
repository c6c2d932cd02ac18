//! The hot frames out: basic.deliver, get-ok and return with their content, basic.ack and nack. Coded by hand: method,
//! content header and body frames of a message in one go, properties as the bytes they came in.

use super::frame::{BODY, ChannelId, FRAME_END, FRAME_OVERHEAD_BYTES, HEADER, METHOD};
use super::outbound::Outbound;
use crate::limits::{OUTBOUND_COPY_BYTES_MAX, SHORT_STRING_BYTES_MAX};
use bytes::{BufMut, Bytes, BytesMut};

/// What a message consists of on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Flags and property list, as received.
    pub properties: &'a [u8],
    /// Body; split into frames as the receiver's `frame_max` demands.
    pub body: &'a Bytes,
}

/// Fields of basic.deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// Whose.
    pub consumer_tag: &'a str,
    /// Number on the channel.
    pub delivery_tag: u64,
    /// May have been delivered before.
    pub redelivered: bool,
    /// As published.
    pub exchange: &'a str,
    /// As published.
    pub routing_key: &'a str,
}

/// Fields of basic.get-ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOk<'a> {
    /// Number on the channel.
    pub delivery_tag: u64,
    /// May have been delivered before.
    pub redelivered: bool,
    /// As published.
    pub exchange: &'a str,
    /// As published.
    pub routing_key: &'a str,
    /// Ready messages left.
    pub message_count: u32,
}

/// Fields of basic.return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return<'a> {
    /// 312.
    pub reply_code: u16,
    /// `NO_ROUTE`.
    pub reply_text: &'a str,
    /// As published.
    pub exchange: &'a str,
    /// As published.
    pub routing_key: &'a str,
}

/// Class basic.
const BASIC: u8 = 60;
/// The bit `requeue` of basic.nack.
const REQUEUE: u8 = 0b10;
/// Class, weight and body size of a content header.
const HEADER_BYTES: usize = 12;

impl Outbound {
    /// basic.deliver with its content. `frame_bytes_max` as negotiated; 0 = no limit.
    pub fn deliver(
        &mut self,
        channel: ChannelId,
        frame_bytes_max: u32,
        method: &Deliver<'_>,
        content: Content<'_>,
    ) {
        let Deliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key } = *method;
        let fields_bytes = 1 + consumer_tag.len() + 9 + 1 + exchange.len() + 1 + routing_key.len();
        let out = self.begin(channel, 60, fields_bytes, &content);
        short_string(out, consumer_tag);
        tag_and_bit(out, delivery_tag, redelivered);
        short_string(out, exchange);
        short_string(out, routing_key);
        self.content(channel, frame_bytes_max, content);
    }

    /// basic.get-ok with its content.
    pub fn get_ok(
        &mut self,
        channel: ChannelId,
        frame_bytes_max: u32,
        method: &GetOk<'_>,
        content: Content<'_>,
    ) {
        let GetOk { delivery_tag, redelivered, exchange, routing_key, message_count } = *method;
        let fields_bytes = 9 + 1 + exchange.len() + 1 + routing_key.len() + 4;
        let out = self.begin(channel, 71, fields_bytes, &content);
        tag_and_bit(out, delivery_tag, redelivered);
        short_string(out, exchange);
        short_string(out, routing_key);
        out.put_u32(message_count);
        self.content(channel, frame_bytes_max, content);
    }

    /// basic.return with its content.
    pub fn returned(
        &mut self,
        channel: ChannelId,
        frame_bytes_max: u32,
        method: &Return<'_>,
        content: Content<'_>,
    ) {
        let Return { reply_code, reply_text, exchange, routing_key } = *method;
        let fields_bytes = 2 + 1 + reply_text.len() + 1 + exchange.len() + 1 + routing_key.len();
        let out = self.begin(channel, 50, fields_bytes, &content);
        out.put_u16(reply_code);
        short_string(out, reply_text);
        short_string(out, exchange);
        short_string(out, routing_key);
        self.content(channel, frame_bytes_max, content);
    }

    /// basic.ack: a publish (and with `multiple` all before it) is confirmed.
    pub fn ack(&mut self, channel: ChannelId, delivery_tag: u64, multiple: bool) {
        self.settled(channel, 80, delivery_tag, u8::from(multiple));
    }

    /// basic.nack: a publish (and with `multiple` all before it) was not stored. `requeue` says nothing to a publisher; it is
    /// set as RabbitMQ sets it.
    pub fn nack(&mut self, channel: ChannelId, delivery_tag: u64, multiple: bool) {
        self.settled(channel, 120, delivery_tag, REQUEUE | u8::from(multiple));
    }

    #[expect(clippy::many_single_char_names, reason = "the octets of numbers, in their order")]
    fn settled(&mut self, channel: ChannelId, method: u8, delivery_tag: u64, bits: u8) {
        let [high, low] = channel.get().to_be_bytes();
        let [a, b, c, d, e, f, g, h] = delivery_tag.to_be_bytes();
        let frame =
            [METHOD, high, low, 0, 0, 0, 13, 0, BASIC, 0, method, a, b, c, d, e, f, g, h, bits, FRAME_END];
        self.buffer().extend_from_slice(&frame);
    }

    /// Makes room for the whole message (its body only if that is copied) and begins its method frame.
    fn begin(
        &mut self,
        channel: ChannelId,
        method: u8,
        fields_bytes: usize,
        content: &Content<'_>,
    ) -> &mut BytesMut {
        let out = self.buffer();
        let copied = if content.body.len() <= OUTBOUND_COPY_BYTES_MAX { content.body.len() } else { 0 };
        out.reserve(
            FRAME_OVERHEAD_BYTES * 3 + 4 + fields_bytes + HEADER_BYTES + content.properties.len() + copied,
        );
        let [high, low] = channel.get().to_be_bytes();
        let [a, b, c, d] = (fields_bytes as u32 + 4).to_be_bytes();
        out.extend_from_slice(&[METHOD, high, low, a, b, c, d, 0, BASIC, 0, method]);
        out
    }

    /// Ends the method frame, then the content header and the body, split as the receiver demands.
    #[expect(clippy::many_single_char_names, reason = "the octets of numbers, in their order")]
    fn content(&mut self, channel: ChannelId, frame_bytes_max: u32, content: Content<'_>) {
        let Content { properties, body } = content;
        let out = self.buffer();
        let [high, low] = channel.get().to_be_bytes();
        let [a, b, c, d] = ((HEADER_BYTES + properties.len()) as u32).to_be_bytes();
        let [e, f, g, h, i, j, k, l] = (body.len() as u64).to_be_bytes();
        let head = [FRAME_END, HEADER, high, low, a, b, c, d, 0, BASIC, 0, 0, e, f, g, h, i, j, k, l];
        out.extend_from_slice(&head);
        out.extend_from_slice(properties);
        if body.is_empty() {
            out.put_u8(FRAME_END);
            return;
        }
        let piece_bytes_max = piece_bytes_max(frame_bytes_max);
        let mut start = 0;
        while start < body.len() {
            let end = body.len().min(start.saturating_add(piece_bytes_max));
            let [a, b, c, d] = ((end - start) as u32).to_be_bytes();
            // Each head also ends the frame before it.
            self.buffer().extend_from_slice(&[FRAME_END, BODY, high, low, a, b, c, d]);
            self.body(body, start..end);
            start = end;
        }
        self.buffer().put_u8(FRAME_END);
    }
}

/// Bytes of a body that fit a frame; at least one, whatever was negotiated.
fn piece_bytes_max(frame_bytes_max: u32) -> usize {
    match frame_bytes_max {
        0 => u32::MAX as usize,
        _ => (frame_bytes_max as usize).saturating_sub(FRAME_OVERHEAD_BYTES).max(1),
    }
}

#[expect(clippy::many_single_char_names, reason = "the octets of a number, in their order")]
fn tag_and_bit(out: &mut BytesMut, delivery_tag: u64, bit: bool) {
    let [a, b, c, d, e, f, g, h] = delivery_tag.to_be_bytes();
    out.extend_from_slice(&[a, b, c, d, e, f, g, h, u8::from(bit)]);
}

fn short_string(out: &mut BytesMut, text: &str) {
    assert!(text.len() <= SHORT_STRING_BYTES_MAX, "names and keys came in as short strings");
    out.put_u8(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{self, Frame};
    use bytes::Buf;

    fn written(outbound: &mut Outbound) -> Vec<u8> {
        let length = outbound.remaining();
        outbound.copy_to_bytes(length).to_vec()
    }

    #[test]
    fn writes_a_small_delivery_to_the_byte() {
        let mut out = Outbound::new();
        let body = Bytes::from_static(b"hi");
        let method = Deliver {
            consumer_tag: "t",
            delivery_tag: 3,
            redelivered: true,
            exchange: "",
            routing_key: "key",
        };
        out.deliver(channel(1), 4096, &method, Content { properties: &[0x10, 0, 2], body: &body });
        let expected = [
            &b"\x01\0\x01\0\0\0\x14\0\x3c\0\x3c\x01t\0\0\0\0\0\0\0\x03\x01\0\x03key\xce"[..],
            b"\x02\0\x01\0\0\0\x0f\0\x3c\0\0\0\0\0\0\0\0\0\x02\x10\0\x02\xce",
            b"\x03\0\x01\0\0\0\x02hi\xce",
        ]
        .concat();
        assert_eq!(written(&mut out), expected);
        assert!(out.is_empty());
    }

    #[test]
    fn writes_confirms() {
        let mut out = Outbound::new();
        out.ack(channel(2), 258, true);
        out.nack(channel(2), 1, false);
        let expected = [
            &b"\x01\0\x02\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\x01\x02\x01\xce"[..],
            b"\x01\0\x02\0\0\0\x0d\0\x3c\0\x78\0\0\0\0\0\0\0\x01\x02\xce",
        ]
        .concat();
        assert_eq!(written(&mut out), expected);
    }

    #[test]
    fn splits_bodies_as_the_receiver_demands() {
        for frame_bytes_max in [0, 9, 64, 4096, 131_072] {
            for length in [0_usize, 1, 55, 56, 57, 112, 4096, 4097, 20_000] {
                let body = Bytes::from((0..length).map(|n| (n % 251) as u8).collect::<Vec<_>>());
                let mut out = Outbound::new();
                let method = GetOk {
                    delivery_tag: 1,
                    redelivered: false,
                    exchange: "e",
                    routing_key: "k",
                    message_count: 7,
                };
                out.get_ok(
                    channel(9),
                    frame_bytes_max,
                    &method,
                    Content { properties: &[0, 0], body: &body },
                );
                let bytes = written(&mut out);
                assert_eq!(
                    bodies(&bytes, frame_bytes_max),
                    body,
                    "{length} bytes in frames of {frame_bytes_max}"
                );
            }
        }
    }

    /// Puts the body together again, and checks that no body frame is larger than agreed.
    fn bodies(mut input: &[u8], frame_bytes_max: u32) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some((frame, consumed)) = frame::decode(input, 0).expect("frames") {
            if let Frame::Body { payload, .. } = frame {
                assert!(!payload.is_empty(), "no empty body frames");
                assert!(frame_bytes_max == 0 || consumed <= frame_bytes_max as usize);
                body.extend_from_slice(payload);
            }
            input = &input[consumed..];
        }
        assert!(input.is_empty(), "whole frames");
        body
    }

    fn channel(number: u16) -> ChannelId {
        ChannelId::new(number).unwrap()
    }
}
