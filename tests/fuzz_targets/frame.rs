//! Bytes from a socket to frames: what is read does not depend on how the bytes were cut, no frame reaches past its input, what
//! is read can be written and read again, and after a refusal nothing more is read.

use super::script::Script;
use super::{method, properties};
use bytes::{Buf, BytesMut};
use ledgermq::protocol::frame::{self, FRAME_OVERHEAD_BYTES, Frame};

/// What a stream of bytes was read as.
#[derive(Debug, PartialEq, Eq)]
pub struct Read<T> {
    pub frames: Vec<T>,
    /// The code of the refusal that ended it. Its words show as much of the frame as had arrived.
    pub refused: Option<u16>,
}

/// The first byte says how the bytes behind it are cut, and which frames are too large.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let how = script.byte();
    let frame_bytes_max = [4096, 131_072, 0, 16][usize::from(how >> 6)];
    let bytes = script.rest();
    let keep = |frame: Frame<'_>| {
        check(frame);
        write(frame)
    };
    let at_once = feed(bytes, frame_bytes_max, || usize::MAX, keep);
    let piece_bytes = usize::from(how & 0x3F) + 1;
    let in_pieces = feed(bytes, frame_bytes_max, || piece_bytes, write);
    assert_eq!(at_once, in_pieces, "the same however it is cut");
}

/// Feeds bytes in pieces and calls `each` with every frame.
pub fn feed<T>(
    bytes: &[u8],
    frame_bytes_max: u32,
    mut piece_bytes: impl FnMut() -> usize,
    mut each: impl FnMut(Frame<'_>) -> T,
) -> Read<T> {
    let (mut input, mut frames) = (BytesMut::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_bytes().clamp(1, rest.len()));
        input.extend_from_slice(piece);
        rest = after;
        loop {
            let consumed = match frame::decode(&input, frame_bytes_max) {
                Ok(None) => break,
                Ok(Some((frame, consumed))) => {
                    assert!((8..=input.len()).contains(&consumed), "a frame takes what it has");
                    frames.push(each(frame));
                    consumed
                }
                Err(error) => {
                    let refused = error.code.code();
                    assert!(matches!(refused, 501 | 505), "{error}");
                    assert!(error.reply_text().len() <= 255, "{error}");
                    return Read { frames, refused: Some(refused) };
                }
            };
            input.advance(consumed);
        }
    }
    Read { frames, refused: None }
}

/// A frame as bytes.
pub fn write(frame: Frame<'_>) -> Vec<u8> {
    let (kind, channel, payload) = match frame {
        Frame::Method { channel, payload } => (1, channel, payload),
        Frame::Header { channel, payload } => (2, channel.get(), payload),
        Frame::Body { channel, payload } => (3, channel.get(), payload),
        Frame::Heartbeat => (8, 0, &[][..]),
    };
    let mut out = Vec::with_capacity(payload.len() + FRAME_OVERHEAD_BYTES);
    push(&mut out, kind, channel, payload);
    out
}

/// Appends a frame.
pub fn push(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xCE);
}

fn check(frame: Frame<'_>) {
    let bytes = write(frame);
    assert_eq!(frame::decode(&bytes, 0), Ok(Some((frame, bytes.len()))), "written and read again");
    for cut in [0, 6, 7, 8, bytes.len() / 2, bytes.len() - 1] {
        let part = bytes.get(..cut).filter(|part| part.len() < bytes.len()).unwrap_or_default();
        assert_eq!(frame::decode(part, 0), Ok(None), "{cut} bytes of {}", bytes.len());
    }
    match frame {
        Frame::Method { payload, .. } => method::run(payload),
        Frame::Header { payload, .. } => properties::run(payload),
        Frame::Body { .. } | Frame::Heartbeat => {}
    }
}
