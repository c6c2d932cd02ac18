//! Reading one file forward in large pieces.

use super::CHUNK_BYTES;
use crate::disk::{Disk, FileId};
use std::io;

/// A view of one file that moves forward: large reads, handed out in pieces.
pub(super) struct Window<'a> {
    disk: &'a dyn Disk,
    file: FileId,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(disk: &'a dyn Disk, file: FileId, file_bytes: u64) -> Self {
        Window { disk, file, file_bytes, start: 0, bytes: Vec::new() }
    }

    /// `count` bytes at `offset`; `None` beyond the end of the file. Allocates no more than the file is long.
    pub(super) fn get(&mut self, offset: u32, count: usize) -> io::Result<Option<&[u8]>> {
        let offset = u64::from(offset);
        if offset + count as u64 > self.file_bytes {
            return Ok(None);
        }
        let inside = offset >= self.start && offset + count as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let wanted = (count.max(CHUNK_BYTES) as u64).min(self.file_bytes - offset);
            self.bytes.resize(wanted as usize, 0);
            self.start = offset;
            let read = self.disk.read_at(self.file, offset, &mut self.bytes)?;
            self.bytes.truncate(read);
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + count))
    }
}
