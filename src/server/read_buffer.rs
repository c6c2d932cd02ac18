//! What a socket brought and its connection has not consumed yet. Between reads a connection holds only the incomplete
//! frame at the end, so an idle one holds nothing: the bytes are read into one buffer per worker thread.
//! Owns the bytes; knows no frames.

use super::socket::Socket;
use crate::protocol::frame;
use bytes::{Buf, Bytes, BytesMut};
use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// Bytes read from a socket at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes read at once behind a large frame: another will follow, and what is read of it here is copied.
const READ_BEFORE_LARGE_BYTES: usize = 16 * 1024;
/// An incomplete frame up to this size is copied in front of what is read next; a larger one is completed in place, and
/// nothing else is read with it, so that its bytes are not copied again however small the pieces it comes in. Once whole
/// it is handed over with its memory, for the message to keep.
const COPY_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The incomplete frame at the end of what was read.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    unread: BytesMut,
    /// The last frame was completed in place.
    was_large: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// So many bytes, which `consume` has seen.
    Bytes(usize),
    /// The peer closed its side.
    End,
}

impl ReadBuffer {
    /// Reads once and hands everything there is to `consume`, which says how much of it is done with. Of a whole frame that
    /// is alone in its memory, that comes with it.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut impl Socket,
        cx: &mut Context<'_>,
        consume: impl FnOnce(&[u8], Option<&Bytes>) -> usize,
    ) -> Poll<io::Result<Brought>> {
        if self.unread.len() > COPY_BYTES_MAX {
            return self.poll_read_in_place(stream, cx, consume);
        }
        READ.with_borrow_mut(|read| {
            let kept = self.unread.len();
            let Some((front, space)) = read.split_at_mut_checked(kept) else { return Poll::Pending };
            let bytes_max = if self.was_large { READ_BEFORE_LARGE_BYTES } else { space.len() };
            let space = space.get_mut(..bytes_max).unwrap_or_default();
            let mut buffer = ReadBuf::new(space);
            ready!(stream.poll_read(cx, &mut buffer))?;
            let read_bytes = buffer.filled().len();
            if read_bytes == 0 {
                return Poll::Ready(Ok(Brought::End));
            }
            front.copy_from_slice(&self.unread);
            let all = read.get(..kept + read_bytes).unwrap_or_default();
            let rest = all.get(consume(all, None)..).unwrap_or_default();
            self.was_large &= rest.len() > COPY_BYTES_MAX;
            self.keep(rest);
            Poll::Ready(Ok(Brought::Bytes(read_bytes)))
        })
    }

    fn poll_read_in_place(
        &mut self,
        stream: &mut impl Socket,
        cx: &mut Context<'_>,
        consume: impl FnOnce(&[u8], Option<&Bytes>) -> usize,
    ) -> Poll<io::Result<Brought>> {
        let wanted = wanted_bytes(&self.unread);
        self.unread.reserve(wanted);
        let read_bytes = ready!(stream.poll_read_behind(cx, &mut self.unread, wanted))?;
        if read_bytes == 0 {
            return Poll::Ready(Ok(Brought::End));
        }
        if !is_one_frame(&self.unread) || !is_well_filled(&self.unread) {
            self.again(|bytes| consume(bytes, None));
            return Poll::Ready(Ok(Brought::Bytes(read_bytes)));
        }
        self.was_large = true;
        let mut whole = std::mem::take(&mut self.unread).freeze();
        let consumed = consume(&whole, Some(&whole));
        whole.advance(consumed);
        self.keep(&whole);
        Poll::Ready(Ok(Brought::Bytes(read_bytes)))
    }

    /// Hands over once more what was not consumed.
    pub(super) fn again(&mut self, consume: impl FnOnce(&[u8]) -> usize) {
        if self.unread.is_empty() {
            return;
        }
        let consumed = consume(&self.unread);
        self.unread.advance(consumed);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
    }

    /// Keeps what was not consumed of what the worker's buffer held.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.unread = BytesMut::new();
            return;
        }
        let in_place = if rest.len() > COPY_BYTES_MAX { wanted_bytes(rest) } else { 0 };
        self.unread.clear();
        self.unread.reserve(rest.len() + in_place);
        self.unread.extend_from_slice(rest);
    }
}

/// Whether `unread` ends where its first frame ends: without its last byte, one is missing.
fn is_one_frame(unread: &[u8]) -> bool {
    unread.split_last().is_some_and(|(_, but_last)| frame::missing_bytes(but_last) == 1)
}

/// Whether little of its memory is unused: whoever keeps a part of it keeps all of it, and counts only the part.
fn is_well_filled(unread: &BytesMut) -> bool {
    unread.capacity() - unread.len() <= unread.len() / 4
}

/// What the first frame of `unread` lacks, as far as room is made for it at once: a frame is as long as was agreed, but
/// that may be much.
fn wanted_bytes(unread: &[u8]) -> usize {
    frame::missing_bytes(unread).clamp(1, READ_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_alone_if_nothing_is_missing_and_nothing_follows() {
        let frame = [&[3, 0, 1, 0, 0, 0, 5][..], b"abcde", &[0xCE]].concat();
        assert!(is_one_frame(&frame));
        assert!(!is_one_frame(&frame[..frame.len() - 1]));
        assert!(!is_one_frame(&[&frame[..], &frame[..1]].concat()));
        assert!(!is_one_frame(&frame.repeat(2)));
    }
}
