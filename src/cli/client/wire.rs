//! The frames of a client, made and read by hand: what comes is read where it lies in the buffer. Knows the methods that the
//! tools need and nothing else.
//! Source: AMQP 0-9-1 §4.2.

use super::error::ClientError;
use crate::protocol::frame::{BODY, FRAME_END, FRAME_OVERHEAD_BYTES, HEADER, HEARTBEAT, METHOD};
use crate::protocol::wire::Reader;

/// Class and method, as they stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Method(pub(in crate::cli) u16, pub(in crate::cli) u16);

impl Method {
    pub(in crate::cli) const START: Self = Self(10, 10);
    pub(in crate::cli) const START_OK: Self = Self(10, 11);
    pub(in crate::cli) const TUNE: Self = Self(10, 30);
    pub(in crate::cli) const TUNE_OK: Self = Self(10, 31);
    pub(in crate::cli) const OPEN: Self = Self(10, 40);
    pub(in crate::cli) const CONNECTION_CLOSE: Self = Self(10, 50);
    pub(in crate::cli) const BLOCKED: Self = Self(10, 60);
    pub(in crate::cli) const UNBLOCKED: Self = Self(10, 61);
    pub(in crate::cli) const CHANNEL_OPEN: Self = Self(20, 10);
    pub(in crate::cli) const CHANNEL_CLOSE_OK: Self = Self(20, 41);
    pub(in crate::cli) const FLOW: Self = Self(20, 20);
    pub(in crate::cli) const FLOW_OK: Self = Self(20, 21);
    pub(in crate::cli) const CHANNEL_CLOSE: Self = Self(20, 40);
    pub(in crate::cli) const EXCHANGE_DECLARE: Self = Self(40, 10);
    pub(in crate::cli) const EXCHANGE_DELETE: Self = Self(40, 20);
    pub(in crate::cli) const QUEUE_DECLARE: Self = Self(50, 10);
    pub(in crate::cli) const QUEUE_DECLARE_OK: Self = Self(50, 11);
    pub(in crate::cli) const QUEUE_BIND: Self = Self(50, 20);
    pub(in crate::cli) const QUEUE_DELETE: Self = Self(50, 40);
    pub(in crate::cli) const QOS: Self = Self(60, 10);
    pub(in crate::cli) const CONSUME: Self = Self(60, 20);
    pub(in crate::cli) const CANCEL: Self = Self(60, 30);
    pub(in crate::cli) const CANCEL_OK: Self = Self(60, 31);
    pub(in crate::cli) const PUBLISH: Self = Self(60, 40);
    pub(in crate::cli) const RETURN: Self = Self(60, 50);
    pub(in crate::cli) const DELIVER: Self = Self(60, 60);
    pub(in crate::cli) const ACK: Self = Self(60, 80);
    pub(in crate::cli) const NACK: Self = Self(60, 120);
    pub(in crate::cli) const CONFIRM_SELECT: Self = Self(85, 10);

    /// Its answer: in AMQP the next method of the class.
    pub(in crate::cli) fn answer(self) -> Self {
        Self(self.0, self.1 + 1)
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Frame<'a> {
    /// A method and its fields.
    Method(Method, &'a [u8]),
    /// The size of the body that follows, and the properties as they are on the wire, their flags first.
    Header { body_bytes: u64, properties: &'a [u8] },
    /// A part of a body.
    Body(&'a [u8]),
    /// Nothing of interest.
    Heartbeat,
}

/// The frame at the front of `bytes` and its whole length; `None` while it is not all there. Payloads of more than
/// `payload_bytes_max` are refused, so that a buffer that holds one always suffices.
pub(in crate::cli) fn frame(
    bytes: &[u8],
    payload_bytes_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, ClientError> {
    let Some(([kind, _, _, length @ ..], _)) = bytes.split_first_chunk::<7>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > payload_bytes_max {
        return Err(ClientError::Protocol(format!("a frame of {length} bytes")));
    }
    let Some((payload, end)) = bytes.get(7..7 + length).zip(bytes.get(7 + length)) else { return Ok(None) };
    if *end != FRAME_END {
        return Err(ClientError::Protocol("a frame without its end octet".to_owned()));
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
            Frame::Header { body_bytes: reader.long_long()?, properties: reader.rest() }
        }
        HEARTBEAT => Frame::Heartbeat,
        other => return Err(ClientError::Protocol(format!("a frame of type {other}"))),
    };
    Ok(Some((frame, length + FRAME_OVERHEAD_BYTES)))
}

/// `basic.ack` or `basic.nack`, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Settled {
    pub(in crate::cli) tag: u64,
    pub(in crate::cli) multiple: bool,
}

/// Reads the fields of `basic.ack` or `basic.nack`.
pub(in crate::cli) fn settled(fields: &[u8]) -> Result<Settled, ClientError> {
    let mut reader = Reader::new(fields);
    Ok(Settled { tag: reader.long_long()?, multiple: reader.octet()? & 1 == 1 })
}

/// `basic.deliver`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Delivered<'a> {
    pub(in crate::cli) consumer_tag: &'a [u8],
    pub(in crate::cli) tag: u64,
    pub(in crate::cli) redelivered: bool,
    /// What is behind: the exchange and the routing key, as short strings.
    pub(in crate::cli) route: &'a [u8],
}

/// Reads the fields of `basic.deliver`.
pub(in crate::cli) fn delivered(fields: &[u8]) -> Result<Delivered<'_>, ClientError> {
    let mut reader = Reader::new(fields);
    let length = usize::from(reader.octet()?);
    let consumer_tag = reader.slice(length)?;
    let (tag, redelivered) = (reader.long_long()?, reader.octet()? & 1 == 1);
    Ok(Delivered { consumer_tag, tag, redelivered, route: reader.rest() })
}

/// Appends a method with the fields that `fields` writes.
pub(in crate::cli) fn put_method(
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
pub(in crate::cli) fn put_ack(out: &mut Vec<u8>, channel: u16, tag: u64) {
    put_method(out, channel, Method::ACK, |out| {
        out.extend(tag.to_be_bytes());
        out.push(1);
    });
}

/// Appends a frame with the payload that `payload` writes.
pub(in crate::cli) fn put_frame(
    out: &mut Vec<u8>,
    kind: u8,
    channel: u16,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    let length = put_later(out);
    payload(out);
    length.fill(out);
    out.push(FRAME_END);
}

/// Appends a short string; names are cut to what fits.
pub(in crate::cli) fn put_short_string(out: &mut Vec<u8>, text: &str) {
    let text = crate::protocol::wire::cut_to_short_string(text);
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

/// Appends a long string.
pub(in crate::cli) fn put_long_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Appends a field table with the pairs that `pairs` writes.
pub(in crate::cli) fn put_table(out: &mut Vec<u8>, pairs: impl FnOnce(&mut Vec<u8>)) {
    let length = put_later(out);
    pairs(out);
    length.fill(out);
}

/// Appends a pair of a field table: `true` and `false` are booleans, integers are 64 bits wide, the rest is text.
pub(in crate::cli) fn put_pair(out: &mut Vec<u8>, key: &str, value: &str) {
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
pub(in crate::cli) fn publish_method(channel: u16, exchange: &str, routing_key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_method(&mut out, channel, Method::PUBLISH, |out| {
        out.extend([0, 0]);
        put_short_string(out, exchange);
        put_short_string(out, routing_key);
        out.push(0);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let expected = Delivered { consumer_tag: b"12", tag: 9, redelivered: true, route: b"\0\x01q" };
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
