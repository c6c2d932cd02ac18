//! The frames of a measurement, made and read by hand: the hot path copies a template and writes a stamp into it, and reads
//! frames where they lie in the buffer. Knows the methods that the workloads need and nothing else.
//! Source: AMQP 0-9-1 §4.2.

use super::error::BenchError;
use super::stamp::{STAMP_BYTES, Stamp, TAIL_BYTES, filler, tail_at};
use crate::protocol::frame::{BODY, FRAME_END, FRAME_OVERHEAD_BYTES, HEADER, HEARTBEAT, METHOD};
use crate::protocol::wire::Reader;

/// Class and method, as they stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method(pub(super) u16, pub(super) u16);

impl Method {
    pub(super) const START: Self = Self(10, 10);
    pub(super) const START_OK: Self = Self(10, 11);
    pub(super) const TUNE: Self = Self(10, 30);
    pub(super) const TUNE_OK: Self = Self(10, 31);
    pub(super) const OPEN: Self = Self(10, 40);
    pub(super) const CONNECTION_CLOSE: Self = Self(10, 50);
    pub(super) const BLOCKED: Self = Self(10, 60);
    pub(super) const UNBLOCKED: Self = Self(10, 61);
    pub(super) const CHANNEL_OPEN: Self = Self(20, 10);
    pub(super) const FLOW: Self = Self(20, 20);
    pub(super) const FLOW_OK: Self = Self(20, 21);
    pub(super) const CHANNEL_CLOSE: Self = Self(20, 40);
    pub(super) const EXCHANGE_DECLARE: Self = Self(40, 10);
    pub(super) const EXCHANGE_DELETE: Self = Self(40, 20);
    pub(super) const QUEUE_DECLARE: Self = Self(50, 10);
    pub(super) const QUEUE_BIND: Self = Self(50, 20);
    pub(super) const QUEUE_DELETE: Self = Self(50, 40);
    pub(super) const QOS: Self = Self(60, 10);
    pub(super) const CONSUME: Self = Self(60, 20);
    pub(super) const CANCEL: Self = Self(60, 30);
    pub(super) const PUBLISH: Self = Self(60, 40);
    pub(super) const RETURN: Self = Self(60, 50);
    pub(super) const DELIVER: Self = Self(60, 60);
    pub(super) const ACK: Self = Self(60, 80);
    pub(super) const NACK: Self = Self(60, 120);
    pub(super) const CONFIRM_SELECT: Self = Self(85, 10);

    /// Its answer: in AMQP the next method of the class.
    pub(super) fn answer(self) -> Self {
        Self(self.0, self.1 + 1)
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A method and its fields.
    Method(Method, &'a [u8]),
    /// The size of the body that follows.
    Header { body_bytes: u64 },
    /// A part of a body.
    Body(&'a [u8]),
    /// Nothing of interest.
    Heartbeat,
}

/// The frame at the front of `bytes` and its whole length; `None` while it is not all there. Payloads of more than
/// `payload_bytes_max` are refused, so that a buffer that holds one always suffices.
pub(super) fn frame(
    bytes: &[u8],
    payload_bytes_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, BenchError> {
    let Some(([kind, _, _, length @ ..], _)) = bytes.split_first_chunk::<7>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > payload_bytes_max {
        return Err(BenchError::Protocol(format!("a frame of {length} bytes")));
    }
    let Some((payload, end)) = bytes.get(7..7 + length).zip(bytes.get(7 + length)) else { return Ok(None) };
    if *end != FRAME_END {
        return Err(BenchError::Protocol("a frame without its end octet".to_owned()));
    }
    let frame = match *kind {
        BODY => Frame::Body(payload),
        METHOD => {
            let mut reader = Reader::new(payload);
            let method = Method(reader.short()?, reader.short()?);
            Frame::Method(method, reader.rest())
        }
        HEADER => {
            let mut reader = Reader::new(payload);
            reader.long()?;
            Frame::Header { body_bytes: reader.long_long()? }
        }
        HEARTBEAT => Frame::Heartbeat,
        other => return Err(BenchError::Protocol(format!("a frame of type {other}"))),
    };
    Ok(Some((frame, length + FRAME_OVERHEAD_BYTES)))
}

/// `basic.ack` or `basic.nack`, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

/// Reads the fields of `basic.ack` or `basic.nack`.
pub(super) fn settled(fields: &[u8]) -> Result<Settled, BenchError> {
    let mut reader = Reader::new(fields);
    Ok(Settled { tag: reader.long_long()?, multiple: reader.octet()? & 1 == 1 })
}

/// `basic.deliver`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivered<'a> {
    pub(super) consumer_tag: &'a [u8],
    pub(super) tag: u64,
    pub(super) redelivered: bool,
}

/// Reads the fields of `basic.deliver`.
pub(super) fn delivered(fields: &[u8]) -> Result<Delivered<'_>, BenchError> {
    let mut reader = Reader::new(fields);
    let length = usize::from(reader.octet()?);
    let consumer_tag = reader.slice(length)?;
    Ok(Delivered { consumer_tag, tag: reader.long_long()?, redelivered: reader.octet()? & 1 == 1 })
}

/// Appends a method with the fields that `fields` writes.
pub(super) fn put_method(
    out: &mut Vec<u8>,
    channel: u16,
    Method(class, method): Method,
    fields: impl FnOnce(&mut Vec<u8>),
) {
    put_frame(out, METHOD, channel, |out| {
        out.extend(class.to_be_bytes());
        out.extend(method.to_be_bytes());
        fields(out);
    });
}

/// Appends `basic.ack` for everything up to `tag`.
pub(super) fn put_ack(out: &mut Vec<u8>, channel: u16, tag: u64) {
    put_method(out, channel, Method::ACK, |out| {
        out.extend(tag.to_be_bytes());
        out.push(1);
    });
}

fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    let length = put_later(out);
    payload(out);
    length.fill(out);
    out.push(FRAME_END);
}

/// Appends a short string; names are cut to what fits.
pub(super) fn put_short_string(out: &mut Vec<u8>, text: &str) {
    let text = crate::protocol::wire::cut_to_short_string(text);
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

/// Appends a long string.
pub(super) fn put_long_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Appends a field table with the pairs that `pairs` writes.
pub(super) fn put_table(out: &mut Vec<u8>, pairs: impl FnOnce(&mut Vec<u8>)) {
    let length = put_later(out);
    pairs(out);
    length.fill(out);
}

/// Appends a pair of a field table: `true` and `false` are booleans, integers are 64 bits wide, the rest is text.
pub(super) fn put_pair(out: &mut Vec<u8>, key: &str, value: &str) {
    put_short_string(out, key);
    match (value.parse::<bool>(), value.parse::<i64>()) {
        (Ok(yes), _) => out.extend([b't', u8::from(yes)]),
        (_, Ok(number)) => {
            out.push(b'l');
            out.extend(number.to_be_bytes());
        }
        (Err(_), Err(_)) => {
            out.push(b'S');
            put_long_string(out, value.as_bytes());
        }
    }
}

/// A length that is written once what it counts is there.
struct Later(usize);

fn put_later(out: &mut Vec<u8>) -> Later {
    out.extend([0; 4]);
    Later(out.len())
}

impl Later {
    fn fill(self, out: &mut [u8]) {
        let length = (out.len() - self.0) as u32;
        if let Some(place) = out.get_mut(self.0 - 4..self.0) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// The method frame of a publish, made once for each key.
pub(super) fn publish_method(channel: u16, exchange: &str, routing_key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_method(&mut out, channel, Method::PUBLISH, |out| {
        out.extend([0, 0]);
        put_short_string(out, exchange);
        put_short_string(out, routing_key);
        out.push(0);
    });
    out
}

/// Content header and body of a publish, made once; a message is a copy with its stamp written into it.
pub(super) struct ContentTemplate {
    frames: Vec<u8>,
    head_at: usize,
    tail_at: Option<usize>,
}

impl ContentTemplate {
    /// For bodies of `size` bytes (at least [`STAMP_BYTES`]) in frames of at most `frame_bytes_max`.
    pub(super) fn new(channel: u16, size: usize, persistent: bool, frame_bytes_max: usize) -> Self {
        let mut frames = Vec::with_capacity(size + 256);
        put_frame(&mut frames, HEADER, channel, |out| {
            out.extend([0, 60, 0, 0]);
            out.extend((size as u64).to_be_bytes());
            // The property flags, of which only delivery-mode is set, and its value.
            out.extend([0x10, 0x00, if persistent { 2 } else { 1 }]);
        });
        let head_at = frames.len() + 7;
        let body = filler(size);
        let mut rest = &*body;
        for part_bytes in part_lengths(size, frame_bytes_max - FRAME_OVERHEAD_BYTES) {
            let (part, behind) = rest.split_at_checked(part_bytes).unwrap_or((rest, &[]));
            rest = behind;
            put_frame(&mut frames, BODY, channel, |out| out.extend(part));
        }
        // The last part holds the whole tail, and its frame one more octet.
        let tail_at = tail_at(size).map(|_| frames.len() - 1 - TAIL_BYTES);
        Self { frames, head_at, tail_at }
    }

    /// Bytes of what [`Self::put`] appends.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Appends the frames of the message with this stamp.
    pub(super) fn put(&self, out: &mut Vec<u8>, stamp: Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.frames);
        let head_at = start + self.head_at;
        if let Some(head) = out.get_mut(head_at..head_at + STAMP_BYTES) {
            head.copy_from_slice(&stamp.head());
        }
        if let Some(tail_at) = self.tail_at.map(|at| start + at)
            && let Some(tail) = out.get_mut(tail_at..tail_at + TAIL_BYTES)
        {
            tail.copy_from_slice(&stamp.tail());
        }
    }
}

/// Lengths of the parts of a body, the last of which is never shorter than the tail.
fn part_lengths(size: usize, part_bytes_max: usize) -> Vec<usize> {
    let mut parts = vec![part_bytes_max; size / part_bytes_max];
    match (size % part_bytes_max, parts.last_mut()) {
        (0, _) => {}
        (rest @ 1..TAIL_BYTES, Some(last)) => {
            *last -= TAIL_BYTES;
            parts.push(rest + TAIL_BYTES);
        }
        (rest, _) => parts.push(rest),
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::stamp::{Incoming, body};
    use super::*;

    #[test]
    fn lengths_of_parts_leave_room_for_the_tail() {
        for (size, expected) in [
            (50, vec![50]),
            (100, vec![100]),
            (101, vec![92, 9]),
            (107, vec![92, 15]),
            (108, vec![100, 8]),
            (250, vec![100, 100, 50]),
            (301, vec![100, 100, 92, 9]),
        ] {
            assert_eq!(part_lengths(size, 100), expected, "{size}");
        }
    }

    #[test]
    fn a_template_gives_whole_messages_in_frames_of_the_agreed_size() {
        for size in [16, 31, 32, 4088, 4089, 4095, 4096, 20_000] {
            let template = ContentTemplate::new(1, size, true, 4096);
            let stamp = Stamp { publisher: 3, number: 77, due_us: 5 };
            let mut out = b"before".to_vec();
            template.put(&mut out, stamp);
            assert_eq!(out.len(), 6 + template.len());

            let (mut rest, mut found, mut incoming) = (&out[6..], Vec::new(), Incoming::new(size));
            while let Some((next, length)) = frame(rest, 4088).unwrap() {
                match next {
                    Frame::Header { body_bytes } => assert!(!incoming.begin(body_bytes)),
                    Frame::Body(part) => {
                        found.extend_from_slice(part);
                        incoming.part(part);
                    }
                    Frame::Method(..) | Frame::Heartbeat => panic!("{next:?}"),
                }
                rest = &rest[length..];
            }
            assert!(rest.is_empty());
            assert_eq!(found, body(stamp, size), "{size}");
            assert_eq!(incoming.finish(), Some(stamp), "{size}");
        }
    }

    #[test]
    fn frames_are_read_when_they_are_whole() {
        let mut bytes = Vec::new();
        put_method(&mut bytes, 1, Method::ACK, |out| out.extend([0, 0, 0, 0, 0, 0, 1, 2, 1]));
        let whole = bytes.len();
        for cut in 0..whole {
            assert!(frame(&bytes[..cut], 4096).unwrap().is_none(), "{cut} bytes of it");
        }
        bytes.extend([1, 2, 3]);
        let (first, length) = frame(&bytes, 4096).unwrap().unwrap();
        let Frame::Method(Method::ACK, fields) = first else { panic!("{first:?}") };
        assert_eq!((settled(fields).unwrap(), length), (Settled { tag: 258, multiple: true }, whole));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut bytes = Vec::new();
        put_method(&mut bytes, 1, Method::ACK, |out| out.extend([0; 9]));
        for (at, value, words) in
            [(0, 9, "type 9"), (bytes.len() - 1, 0, "end octet"), (3, 0x7f, "a frame of 2130")]
        {
            let mut broken = bytes.clone();
            broken[at] = value;
            let error = frame(&broken, 4096).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let mut short = Vec::new();
        put_frame(&mut short, METHOD, 1, |out| out.extend([0, 60, 0]));
        assert!(frame(&short, 4096).is_err(), "a method without its number");
        assert!(settled(&[0; 8]).is_err());
        assert!(delivered(&[5, b'a']).is_err());
    }

    #[test]
    fn deliveries_and_tables_are_as_amqp_writes_them() {
        let fields = b"\x0212\0\0\0\0\0\0\0\x09\x01\0\x01q";
        let expected = Delivered { consumer_tag: b"12", tag: 9, redelivered: true };
        assert_eq!(delivered(fields).unwrap(), expected);
        let mut table = Vec::new();
        put_table(&mut table, |out| {
            put_pair(out, "a", "true");
            put_pair(out, "b", "-2");
            put_pair(out, "c", "quorum");
        });
        assert_eq!(
            table,
            b"\0\0\0\x1c\x01at\x01\x01bl\xff\xff\xff\xff\xff\xff\xff\xfe\x01cS\0\0\0\x06quorum"
        );
    }
}
