//! Frames: cutting them out of what a socket gave, and their outer form.
//!
//! ```text
//! type:1  channel:2  size:4  payload:size  0xCE
//! ```
//!
//! A frame that can only be refused is refused by its first seven bytes, before any of its payload is waited for.
//! Source: AMQP 0-9-1 §4.2.3; texts and what is tolerated: RabbitMQ's `rabbit_reader:handle_input`.

use super::reply::{ConnectionCode, ConnectionError};
use crate::limits::FRAME_BYTES_MAX;
use std::fmt;
use std::num::NonZeroU16;

/// Number of a channel, 1..=65535. 0 is the connection itself and no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(NonZeroU16);

impl ChannelId {
    /// `None` for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

/// Bytes around a payload: type, channel, size, and the end octet.
pub const FRAME_OVERHEAD_BYTES: usize = 8;

/// One frame, its payload borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A method, of the connection (channel 0) or a channel.
    Method {
        /// Channel number, 0 for the connection.
        channel: u16,
        /// See [`super::client_method::ClientMethod::decode`].
        payload: &'a [u8],
    },
    /// A content header.
    Header {
        /// Channel.
        channel: ChannelId,
        /// See [`super::content::ContentHeader::decode`].
        payload: &'a [u8],
    },
    /// A piece of a body.
    Body {
        /// Channel.
        channel: ChannelId,
        /// The piece.
        payload: &'a [u8],
    },
    /// A heartbeat.
    Heartbeat,
}

/// Type octet of a method frame.
pub(crate) const METHOD: u8 = 1;
/// Type octet of a content header frame.
pub(crate) const HEADER: u8 = 2;
/// Type octet of a body frame.
pub(crate) const BODY: u8 = 3;
/// Type octet of a heartbeat.
pub(crate) const HEARTBEAT: u8 = 8;
/// Last octet of every frame.
pub(crate) const FRAME_END: u8 = 0xCE;

/// Class and method number.
const METHOD_BYTES_MIN: usize = 4;
/// Class, weight, body size.
const HEADER_BYTES_MIN: usize = 12;
const HEAD_BYTES: usize = 7;

/// Cuts the first frame off `input`: the frame and how many bytes it took, or `None` while it is incomplete.
/// `frame_bytes_max` is the negotiated size of a whole frame; 0 stands for [`FRAME_BYTES_MAX`], since a broker without
/// a limit could be made to wait for four gigabytes.
pub fn decode(input: &[u8], frame_bytes_max: u32) -> Result<Option<(Frame<'_>, usize)>, ConnectionError> {
    let Some((&[kind, channel_high, channel_low, a, b, c, d], rest)) =
        input.split_first_chunk::<HEAD_BYTES>()
    else {
        return Ok(None);
    };
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    let size = u32::from_be_bytes([a, b, c, d]);
    refuse_early(kind, channel, size, frame_bytes_max, rest)?;
    let size = size as usize;
    let (Some(payload), Some(&end)) = (rest.get(..size), rest.get(size)) else {
        return Ok(None);
    };
    if end != FRAME_END {
        return Err(frame_error(kind, payload, &format!("{{invalid_frame_end_marker,{end}}}")));
    }
    let frame = match (kind, ChannelId::new(channel)) {
        (METHOD, _) => Frame::Method { channel, payload },
        (HEADER, Some(channel)) => Frame::Header { channel, payload },
        (BODY, Some(channel)) => Frame::Body { channel, payload },
        (HEARTBEAT, None) => Frame::Heartbeat,
        _ => return Err(unexpected_frame(kind, payload)),
    };
    Ok(Some((frame, size + FRAME_OVERHEAD_BYTES)))
}

/// Bytes that the first frame of `input` lacks, as its head says; 0 if it is whole, 1 if its head is not there yet.
pub fn missing_bytes(input: &[u8]) -> usize {
    let Some((&[_, _, _, a, b, c, d], rest)) = input.split_first_chunk::<HEAD_BYTES>() else { return 1 };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    (size + 1).saturating_sub(rest.len())
}

/// Refuses what the first seven bytes give away. `rest` is shown in the text as far as it has arrived.
fn refuse_early(
    kind: u8,
    channel: u16,
    size: u32,
    frame_bytes_max: u32,
    rest: &[u8],
) -> Result<(), ConnectionError> {
    let frame_bytes_max = if frame_bytes_max == 0 { FRAME_BYTES_MAX } else { frame_bytes_max };
    // RabbitMQ forgets the eight bytes around the payload, and so do some clients.
    if size > frame_bytes_max {
        let payload_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES as u32);
        return Err(frame_error(kind, &[], &format!("{{frame_too_large,{size},{payload_max}}}")));
    }
    let size = size as usize;
    let shown = rest.get(..size).unwrap_or(rest);
    match (kind, channel) {
        (METHOD, _) if size < METHOD_BYTES_MIN => Err(unknown_frame(kind, shown)),
        (HEADER, _) if size < HEADER_BYTES_MIN => Err(unknown_frame(kind, shown)),
        (HEARTBEAT, _) if size > 0 => Err(unknown_frame(kind, shown)),
        (HEADER | BODY, 0) | (HEARTBEAT, 1..) => Err(unexpected_frame(kind, shown)),
        (METHOD | HEADER | BODY | HEARTBEAT, _) => Ok(()),
        _ => Err(unknown_frame(kind, shown)),
    }
}

/// 501 for a frame that is none.
pub(super) fn unknown_frame(kind: u8, payload: &[u8]) -> ConnectionError {
    frame_error(kind, payload, "unknown_frame")
}

fn frame_error(kind: u8, payload: &[u8], what: &str) -> ConnectionError {
    let octets = Octets::snippet(payload);
    ConnectionError::new(ConnectionCode::FrameError, format!("type {kind}, {octets}: {what}"))
}

fn unexpected_frame(kind: u8, payload: &[u8]) -> ConnectionError {
    let octets = Octets::snippet(payload);
    ConnectionError::new(ConnectionCode::UnexpectedFrame, format!("type {kind}, {octets}"))
}

/// Bytes as RabbitMQ shows them in reply texts.
pub(super) struct Octets<'a> {
    bytes: &'a [u8],
    lead: &'static str,
    as_text: bool,
}

impl<'a> Octets<'a> {
    /// `all octets = <<"abc">>`, or the first 16 of them.
    fn snippet(bytes: &'a [u8]) -> Self {
        let (bytes, lead) = bytes
            .get(..16)
            .filter(|_| bytes.len() > 16)
            .map_or((bytes, "all octets = "), |head| (head, "first 16 octets = "));
        let as_text = !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        Self { bytes, lead, as_text }
    }

    /// `<<1,2,3>>`; no more than a reply text can show.
    pub(super) fn numbers(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.get(..256).unwrap_or(bytes), lead: "", as_text: false }
    }
}

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<<", self.lead)?;
        if self.as_text {
            write!(f, "\"{}\"", self.bytes.escape_ascii())?;
        } else {
            for (index, byte) in self.bytes.iter().enumerate() {
                write!(f, "{}{byte}", if index == 0 { "" } else { "," })?;
            }
        }
        f.write_str(">>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap();
        [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[FRAME_END]].concat()
    }

    #[test]
    fn cuts_frames_off() {
        let bytes = [frame(1, 7, b"abcde"), frame(8, 0, b"")].concat();
        assert_eq!(decode(&bytes, 4096), Ok(Some((Frame::Method { channel: 7, payload: b"abcde" }, 13))));
        assert_eq!(decode(&bytes[13..], 4096), Ok(Some((Frame::Heartbeat, 8))));
        for cut in 0..13 {
            assert_eq!(decode(&bytes[..cut], 4096), Ok(None), "{cut} bytes");
        }
        let channel = ChannelId::new(1).unwrap();
        assert_eq!(decode(&frame(3, 1, b""), 4096), Ok(Some((Frame::Body { channel, payload: b"" }, 8))));
    }

    #[test]
    fn says_what_a_frame_lacks() {
        let bytes = frame(3, 7, b"abcde");
        assert_eq!(missing_bytes(&bytes[..6]), 1);
        for cut in 7..=bytes.len() {
            assert_eq!(missing_bytes(&bytes[..cut]), bytes.len() - cut);
        }
        assert_eq!(missing_bytes(&[bytes, frame(8, 0, b"")].concat()), 0);
        assert_eq!(missing_bytes(&[3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]), 1 << 32);
    }

    #[test]
    fn refuses_as_rabbitmq_does() {
        fn check(input: &[u8], expected: &str) {
            assert_eq!(decode(input, 131_072).expect_err("refused").to_string(), expected);
        }
        check(&frame(8, 1, b""), "505 UNEXPECTED_FRAME - type 8, all octets = <<>>");
        check(&frame(8, 0, b"x"), "501 FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame");
        check(&frame(0, 1, b"abc"), "501 FRAME_ERROR - type 0, all octets = <<\"abc\">>: unknown_frame");
        check(&frame(3, 0, b"abc"), "505 UNEXPECTED_FRAME - type 3, all octets = <<\"abc\">>");
        check(&frame(1, 1, b""), "501 FRAME_ERROR - type 1, all octets = <<>>: unknown_frame");
        check(&frame(2, 1, b"\0<"), "501 FRAME_ERROR - type 2, all octets = <<0,60>>: unknown_frame");
        let mut bad_end = frame(1, 1, &[1; 20]);
        *bad_end.last_mut().unwrap() = 207;
        let ones = "1,".repeat(15);
        check(
            &bad_end,
            &format!(
                "501 FRAME_ERROR - type 1, first 16 octets = <<{ones}1>>: {{invalid_frame_end_marker,207}}"
            ),
        );
        let too_large = [3, 0, 1, 0, 2, 0, 1];
        check(&too_large, "501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}");
        check(
            &[1, 0, 1, 255, 255, 255, 255],
            "501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4294967295,131064}",
        );
    }

    #[test]
    fn tolerates_a_payload_as_large_as_a_frame() {
        assert_eq!(decode(&[3, 0, 1, 0, 2, 0, 0], 131_072), Ok(None));
        assert_eq!(decode(&[3, 0, 1, 0, 2, 0, 0], 0), Ok(None));
        assert!(decode(&[3, 0, 1, 0, 2, 0, 1], 0).is_err());
    }

    #[test]
    fn every_unknown_type_is_refused_by_its_head() {
        for kind in 0..=255_u8 {
            let known = matches!(kind, 1 | 2 | 3 | 8);
            let head = [kind, 0, 1, 0, 0, 0, 20];
            assert_eq!(decode(&head, 4096).is_err(), !known || kind == 8, "type {kind}");
        }
    }
}
