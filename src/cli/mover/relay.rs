//! One queue's messages on their way: deliveries of the source go in, frame by frame, and come out as publishes for the target. No
//! message is ever collected: what has come of a body is passed on. Pure; knows neither sockets nor who waits for what.
//!
//! Body and properties go over byte for byte, headers in their order, with one exception: `delivery-mode` becomes 2, because
//! the source forgets a message when the target has confirmed it, and a confirm means "on disk" for persistent ones only.

use crate::cli::client::connection::CHANNEL;
use crate::cli::client::error::ClientError;
use crate::cli::client::wire::{Delivered, Method, put_frame, put_method};
use crate::protocol::frame::{BODY, FRAME_OVERHEAD_BYTES, HEADER};
use crate::protocol::wire::{Reader, WireError};

/// `delivery-mode` of what is to be on disk.
const PERSISTENT: u8 = 2;
/// Flags of the properties that stand before `delivery-mode`: content-type, content-encoding, headers.
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
/// There is another word of flags, which AMQP 0-9-1 has no properties for.
const MORE_FLAGS: u16 = 1;
/// Of basic.publish: what goes to no queue comes back.
const MANDATORY: u8 = 1;

/// See the file's head.
pub(super) struct Relay {
    exchange: String,
    payload_bytes_max: usize,
    place: Place,
    taken: u64,
    redelivered: u64,
}

/// What has to come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Header,
    /// So many bytes of the body.
    Body(u64),
}

impl Relay {
    /// Publishes through this exchange, in frames of at most so many bytes.
    pub(super) fn new(exchange: &str, frame_bytes_max: usize) -> Self {
        Self {
            exchange: exchange.to_owned(),
            payload_bytes_max: frame_bytes_max - FRAME_OVERHEAD_BYTES,
            place: Place::Between,
            taken: 0,
            redelivered: 0,
        }
    }

    /// Messages taken whole. On two channels that are new, the delivery tag of the last one and its number as a publish.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many of them the source had delivered before, to somebody who did not acknowledge.
    pub(super) fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Whether the last message is whole.
    pub(super) fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// A message begins.
    pub(super) fn deliver(
        &mut self,
        delivered: &Delivered<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        if self.place != Place::Between || delivered.tag != self.taken + 1 {
            return Err(unexpected("a delivery out of its turn"));
        }
        let routing_key = routing_key(delivered.route)?;
        put_method(out, CHANNEL, Method::PUBLISH, |out| {
            out.extend([0, 0]);
            put_short_bytes(out, self.exchange.as_bytes());
            put_short_bytes(out, routing_key);
            out.push(MANDATORY);
        });
        self.redelivered += u64::from(delivered.redelivered);
        self.place = Place::Header;
        Ok(())
    }

    /// Its header.
    pub(super) fn header(
        &mut self,
        body_bytes: u64,
        properties: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        if self.place != Place::Header {
            return Err(unexpected("a header without a message"));
        }
        let before = out.len();
        let mut written = Ok(());
        put_frame(out, HEADER, CHANNEL, |out| {
            out.extend([0, 60, 0, 0]);
            out.extend(body_bytes.to_be_bytes());
            written = put_persistent(out, properties);
        });
        written?;
        if out.len() - before > self.payload_bytes_max + FRAME_OVERHEAD_BYTES {
            let text = "the properties of a message are larger than a frame of the target may be";
            return Err(ClientError::Protocol(text.to_owned()));
        }
        self.place = Place::Body(body_bytes);
        self.end_of_part(body_bytes);
        Ok(())
    }

    /// A part of its body.
    pub(super) fn body(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), ClientError> {
        let Place::Body(missing) = self.place else { return Err(unexpected("a body without a header")) };
        let missing = missing
            .checked_sub(part.len() as u64)
            .ok_or_else(|| unexpected("a body longer than announced"))?;
        for piece in part.chunks(self.payload_bytes_max) {
            put_frame(out, BODY, CHANNEL, |out| out.extend_from_slice(piece));
        }
        self.end_of_part(missing);
        Ok(())
    }

    fn end_of_part(&mut self, missing: u64) {
        if missing == 0 {
            self.taken += 1;
            self.place = Place::Between;
        } else {
            self.place = Place::Body(missing);
        }
    }
}

fn unexpected(what: &str) -> ClientError {
    ClientError::Protocol(what.to_owned())
}

fn put_short_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// The routing key of a delivery, as its publisher wrote it.
fn routing_key(route: &[u8]) -> Result<&[u8], WireError> {
    let mut reader = Reader::new(route);
    let exchange_bytes = usize::from(reader.octet()?);
    reader.slice(exchange_bytes)?;
    let key_bytes = usize::from(reader.octet()?);
    reader.slice(key_bytes)
}

/// Appends properties with `delivery-mode` 2 and everything else as it is.
fn put_persistent(out: &mut Vec<u8>, properties: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader::new(properties);
    let flags = reader.short()?;
    if flags & MORE_FLAGS != 0 {
        out.extend_from_slice(properties);
        return Ok(());
    }
    for flag in [CONTENT_TYPE, CONTENT_ENCODING] {
        if flags & flag != 0 {
            let bytes = usize::from(reader.octet()?);
            reader.slice(bytes)?;
        }
    }
    if flags & HEADERS != 0 {
        reader.long_string()?;
    }
    let before = properties.len() - reader.rest().len();
    if flags & DELIVERY_MODE != 0 {
        reader.octet()?;
    }
    out.extend((flags | DELIVERY_MODE).to_be_bytes());
    out.extend_from_slice(properties.get(2..before).unwrap_or_default());
    out.push(PERSISTENT);
    out.extend_from_slice(reader.rest());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::wire::{Frame, frame};

    fn frames(mut bytes: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
        let mut found = Vec::new();
        while let Some((next, length)) = frame(bytes, 4096).unwrap() {
            found.push(match next {
                Frame::Method(Method::PUBLISH, fields) => (fields.to_vec(), "publish"),
                Frame::Header { properties, .. } => (properties.to_vec(), "header"),
                Frame::Body(part) => (part.to_vec(), "body"),
                Frame::Method(..) | Frame::Heartbeat => panic!("{next:?}"),
            });
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        found
    }

    fn delivered(tag: u64) -> Delivered<'static> {
        Delivered { consumer_tag: b"c", tag, redelivered: tag == 2, route: b"\x06orders\x06eu.new" }
    }

    #[test]
    fn a_delivery_becomes_a_publish_with_its_own_key() {
        let (mut relay, mut out) = (Relay::new("detour", 16), Vec::new());
        relay.deliver(&delivered(1), &mut out).unwrap();
        relay.header(11, b"\x10\0\x02", &mut out).unwrap_err();
        let mut relay = Relay::new("detour", 64);
        out.clear();
        relay.deliver(&delivered(1), &mut out).unwrap();
        relay.header(60, b"\x10\0\x02", &mut out).unwrap();
        assert!(!relay.is_between());
        relay.body(&[b'a'; 58], &mut out).unwrap();
        relay.body(b"bc", &mut out).unwrap();
        assert_eq!((relay.taken(), relay.redelivered(), relay.is_between()), (1, 0, true));
        let expected: [(&[u8], _); 5] = [
            (b"\0\0\x06detour\x06eu.new\x01", "publish"),
            (b"\x10\0\x02", "header"),
            (&[b'a'; 56], "body"),
            (b"aa", "body"),
            (b"bc", "body"),
        ];
        assert_eq!(frames(&out), expected.map(|(bytes, kind)| (bytes.to_vec(), kind)));
        // An empty one is whole with its header.
        relay.deliver(&delivered(2), &mut out).unwrap();
        relay.header(0, b"\0\0", &mut out).unwrap();
        assert_eq!((relay.taken(), relay.redelivered()), (2, 1));
    }

    #[test]
    fn what_comes_out_of_turn_is_refused() {
        let mut out = Vec::new();
        let mut relay = Relay::new("e", 4096);
        assert!(relay.deliver(&delivered(2), &mut out).is_err(), "the first tag is 1");
        assert!(relay.header(1, b"\0\0", &mut out).is_err());
        assert!(relay.body(b"x", &mut out).is_err());
        assert!(out.is_empty());
        relay.deliver(&delivered(1), &mut out).unwrap();
        assert!(relay.deliver(&delivered(2), &mut out).is_err(), "the first is not whole");
        relay.header(1, b"\0\0", &mut out).unwrap();
        assert!(relay.body(b"xy", &mut out).is_err(), "one byte was announced");
        assert!(routing_key(b"\x02e").is_err());
    }

    #[test]
    fn only_the_delivery_mode_of_properties_changes() {
        let check = |before: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            put_persistent(&mut out, before).unwrap();
            assert_eq!(out, expected, "{before:?}");
        };
        check(b"\0\0", b"\x10\0\x02");
        check(b"\x10\0\x01", b"\x10\0\x02");
        check(b"\x10\0\x02", b"\x10\0\x02");
        // content-type, headers, delivery-mode, priority
        check(b"\xb8\0\x01t\0\0\0\x04\x01bt\x01\x01\x07", b"\xb8\0\x01t\0\0\0\x04\x01bt\x01\x02\x07");
        // content-encoding, message-id; no delivery-mode yet
        check(b"\x40\x80\x04gzip\x02id", b"\x50\x80\x04gzip\x02\x02id");
        check(b"\x10\x01\0\0\x01", b"\x10\x01\0\0\x01");
        for broken in [&b"\x10"[..], b"\x10\0", b"\x80\0\x02t", b"\x20\0\0\0\0\x09"] {
            assert!(put_persistent(&mut Vec::new(), broken).is_err(), "{broken:?}");
        }
    }
}
