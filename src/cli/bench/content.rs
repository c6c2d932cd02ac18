//! The content of a measured message: header and body as frames, made once; a message is a copy with its stamp in it.

use super::stamp::{STAMP_BYTES, Stamp, TAIL_BYTES, filler, tail_at};
use crate::cli::client::wire::put_frame;
use crate::protocol::frame::{BODY, FRAME_OVERHEAD_BYTES, HEADER};

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
    use crate::cli::client::wire::{Frame, frame};

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
                    Frame::Header { body_bytes, .. } => assert!(!incoming.begin(body_bytes)),
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
}
