//! Bytes on their way to one socket: small pieces are copied together, large bodies are queued as they are and go out
//! with one vectored write. It is a [`Buf`], so a driver writes it with `write_buf` until nothing remains.

use super::frame::{FRAME_END, HEARTBEAT};
use super::server_method::ServerMethod;
use crate::limits::OUTBOUND_COPY_BYTES_MAX;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

/// Encoded frames waiting to be written. Invariant: `sealed` precedes `open` on the wire.
#[derive(Debug, Default)]
pub struct Outbound {
    sealed: VecDeque<Bytes>,
    sealed_bytes: usize,
    open: BytesMut,
}

impl Outbound {
    /// Nothing to write.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.sealed_bytes + self.open.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a method's frame.
    pub fn method(&mut self, channel: u16, method: &ServerMethod<'_>) {
        method.encode(channel, &mut self.open);
    }

    /// Appends a heartbeat.
    pub fn heartbeat(&mut self) {
        self.open.put_slice(&[HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END]);
    }

    /// Where small pieces are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Appends a piece of a body: copied if the body is small, else queued without a copy.
    pub(super) fn body(&mut self, body: &Bytes, range: Range<usize>) {
        if body.len() <= OUTBOUND_COPY_BYTES_MAX {
            self.open.extend_from_slice(body.get(range).unwrap_or_default());
            return;
        }
        self.sealed_bytes += self.open.len() + range.len();
        if !self.open.is_empty() {
            self.sealed.push_back(self.open.split().freeze());
        }
        self.sealed.push_back(body.slice(range));
    }
}

impl Buf for Outbound {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.sealed.front().map_or(&self.open, |bytes| bytes)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.sealed.iter().map(|bytes| &bytes[..]).chain(std::iter::once(&self.open[..]));
        let pieces = pieces.filter(|piece| !piece.is_empty());
        let mut used = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "no more is written than was waiting");
        while let Some(front) = self.sealed.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.sealed_bytes -= count;
                return;
            }
            count -= front.len();
            self.sealed_bytes -= front.len();
            self.sealed.pop_front();
        }
        self.open.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(filler: u8) -> Bytes {
        Bytes::from(vec![filler; OUTBOUND_COPY_BYTES_MAX + 1])
    }

    #[test]
    fn queues_large_bodies_without_a_copy() {
        let mut out = Outbound::new();
        let body = large(7);
        out.heartbeat();
        out.body(&body, 0..body.len());
        out.heartbeat();
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(out.chunks_vectored(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), body.as_ptr(), "the same memory");
        assert_eq!(out.len(), 8 + body.len() + 8);
    }

    #[test]
    fn gives_the_same_bytes_however_they_are_taken() {
        let mut expected = Vec::new();
        let mut filled = Outbound::new();
        for filler in 0..5_u8 {
            filled.heartbeat();
            expected.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0xCE]);
            let body = if filler % 2 == 0 { large(filler) } else { Bytes::from(vec![filler; 10]) };
            filled.body(&body, 1..body.len());
            expected.extend_from_slice(&body[1..]);
        }
        for step in [1, 7, 8, 4096, 100_000] {
            let mut out = Outbound { sealed: filled.sealed.clone(), open: filled.open.clone(), ..filled };
            let mut got = Vec::new();
            while out.has_remaining() {
                let taken = out.chunk().len().min(step);
                assert!(taken > 0, "a chunk while bytes remain");
                got.extend_from_slice(&out.chunk()[..taken]);
                out.advance(taken);
            }
            assert_eq!(got, expected, "in steps of {step}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn takes_a_partial_vectored_write() {
        let mut out = Outbound::new();
        let body = large(1);
        out.body(&body, 0..body.len());
        out.heartbeat();
        out.advance(body.len() + 3);
        assert_eq!(out.chunk(), &[0, 0, 0, 0, 0xCE]);
        out.advance(5);
        assert!(!out.has_remaining());
    }
}
