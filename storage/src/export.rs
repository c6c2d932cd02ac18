//! Exports: the whole index in one file, written aside, synced and renamed, so that it is there whole or not at all.
//! An export and the log from its position on are the truth; the database beside them only makes starting quicker.
//! The newest two are kept, and the log is kept as long as the older one needs it.
//!
//! ```text
//! ckpt/<lsn>.ckpt  header { magic [8] | format u32 | 0 u32 | store uuid [16] | applied u64 | 0 u32 | crc32 u32 }
//!                  blocks { bytes u32, not 0 | crc32 over bytes and rows u32 | rows }
//!                  end    { 0 u32 | crc32 over what follows u32 | rows u64 | applied u64 | crc32 of all blocks' crcs u32 }
//! row              key bytes u32 | value bytes u32 | key | value
//! ```

use crate::disk::{Allocate, Disk, FileId};
use crate::field::{Fields, patch};
use crate::ids::Lsn;
use crate::index::{Index, RowError};
use crate::limits::{EXPORT_BLOCK_BYTES, EXPORTS_KEPT};
use crate::prepare::remove_if_there;
use crate::record::checksum;
use std::io;

/// Directory of the exports.
pub(crate) const CHECKPOINT_DIR: &str = "ckpt";
const TEMPORARY: &str = "ckpt/export.tmp";
const SUFFIX: &str = ".ckpt";
const MAGIC: &[u8; 8] = b"LMQEXPT1";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 48;
const BLOCK_HEAD_BYTES: usize = 8;
const END_BYTES: usize = 28;

/// Why a file is not an export that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(&'static str),
    /// Its rows are no index.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The bytes of an export of `index`.
pub(crate) fn encode(index: &Index, store: &[u8; 16]) -> Vec<u8> {
    let mut file = vec![0; HEADER_BYTES];
    patch(&mut file, 0, MAGIC);
    patch(&mut file, 8, &FORMAT.to_le_bytes());
    patch(&mut file, 16, store);
    patch(&mut file, 32, &index.applied().0.to_le_bytes());
    let crc = checksum(0, file.get(..HEADER_BYTES - 4).unwrap_or_default());
    patch(&mut file, HEADER_BYTES - 4, &crc.to_le_bytes());
    let mut block = file.len();
    let mut row_count = 0u64;
    let mut crcs = 0;
    file.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
    index.all_rows(|row| {
        let value = row.value.unwrap_or_default();
        file.extend_from_slice(&(row.key.len() as u32).to_le_bytes());
        file.extend_from_slice(&(value.len() as u32).to_le_bytes());
        file.extend_from_slice(&row.key);
        file.extend_from_slice(&value);
        row_count += 1;
        if file.len() - block >= EXPORT_BLOCK_BYTES {
            crcs = close_block(&mut file, block, crcs);
            block = file.len();
            file.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
        }
    });
    if file.len() > block + BLOCK_HEAD_BYTES {
        crcs = close_block(&mut file, block, crcs);
    } else {
        file.truncate(block);
    }
    let mut end = [0; END_BYTES];
    patch(&mut end, 8, &row_count.to_le_bytes());
    patch(&mut end, 16, &index.applied().0.to_le_bytes());
    patch(&mut end, 24, &crcs.to_le_bytes());
    let crc = checksum(0, end.get(BLOCK_HEAD_BYTES..).unwrap_or_default());
    patch(&mut end, 4, &crc.to_le_bytes());
    file.extend_from_slice(&end);
    file
}

/// Fills in the head of the block that starts at `start`; returns the checksum over all heads so far.
fn close_block(file: &mut [u8], start: usize, crcs: u32) -> u32 {
    let bytes = ((file.len() - start - BLOCK_HEAD_BYTES) as u32).to_le_bytes();
    patch(file, start, &bytes);
    let crc = checksum(checksum(0, &bytes), file.get(start + BLOCK_HEAD_BYTES..).unwrap_or_default());
    patch(file, start + 4, &crc.to_le_bytes());
    checksum(crcs, &crc.to_le_bytes())
}

/// Writes an export that [`encode`] made, makes it durable, removes those that are too many.
pub(crate) fn write(disk: &dyn Disk, applied: Lsn, bytes: &[u8]) -> io::Result<()> {
    remove_if_there(disk, TEMPORARY)?;
    let file = disk.create(TEMPORARY, 0, Allocate::Empty)?;
    let written = disk.write_at(file, 0, bytes).and_then(|()| disk.sync(file));
    disk.close(file);
    if let Err(error) = written {
        drop(disk.remove(TEMPORARY));
        return Err(error);
    }
    disk.rename(TEMPORARY, &name(applied))?;
    disk.sync_dir(CHECKPOINT_DIR)?;
    for old in list(disk)?.into_iter().skip(EXPORTS_KEPT) {
        remove_if_there(disk, &name(old))?;
    }
    Ok(())
}

/// Name of the export made at a position.
pub(crate) fn name(applied: Lsn) -> String {
    format!("{CHECKPOINT_DIR}/{:016x}{SUFFIX}", applied.0)
}

/// Positions of the exports there are, the newest first. Whether they can be read is not known.
pub(crate) fn list(disk: &dyn Disk) -> io::Result<Vec<Lsn>> {
    let names = match disk.list(CHECKPOINT_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let digits =
        names.iter().filter_map(|(name, _)| name.strip_suffix(SUFFIX).filter(|name| name.len() == 16));
    let mut exports: Vec<Lsn> =
        digits.filter_map(|digits| u64::from_str_radix(digits, 16).ok().map(Lsn)).collect();
    exports.sort_unstable_by(|one, other| other.cmp(one));
    Ok(exports)
}

/// Reads an export.
pub(crate) fn read(disk: &dyn Disk, applied: Lsn, store: &[u8; 16]) -> Result<Index, ExportError> {
    let file = disk.open(&name(applied))?;
    let bytes = read_whole(disk, file);
    disk.close(file);
    let index = decode(&bytes?, store)?;
    if index.applied() == applied {
        Ok(index)
    } else {
        Err(ExportError::Damaged("its name does not tell its position"))
    }
}

fn read_whole(disk: &dyn Disk, file: FileId) -> io::Result<Vec<u8>> {
    let len = disk.len(file)?;
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let read = disk.read_at(file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The index in the bytes of an export.
fn decode(bytes: &[u8], store: &[u8; 16]) -> Result<Index, ExportError> {
    let (rows, applied) = rows(bytes, store)?;
    let index = Index::from_rows(rows.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())))?;
    if index.applied() == applied { Ok(index) } else { Err(ExportError::Damaged("its positions differ")) }
}

/// Key and value of a row.
type RowBytes<'a> = (&'a [u8], &'a [u8]);

fn rows<'a>(bytes: &'a [u8], store: &[u8; 16]) -> Result<(Vec<RowBytes<'a>>, Lsn), ExportError> {
    let cut = || ExportError::Damaged("it is cut");
    let mut fields = Fields(bytes);
    let applied = header(&mut fields, store).ok_or(ExportError::Damaged("its header does not fit"))?;
    let mut rows = Vec::new();
    let mut crcs = 0;
    loop {
        let head = fields.0.get(..4).ok_or_else(cut)?;
        let block_bytes = fields.u32().ok_or_else(cut)?;
        let crc = fields.u32().ok_or_else(cut)?;
        if block_bytes == 0 {
            let end = end(&mut fields, crc).ok_or(ExportError::Damaged("its end does not fit"))?;
            return if end == (rows.len() as u64, applied, crcs) {
                Ok((rows, applied))
            } else {
                Err(ExportError::Damaged("its end does not fit its rows"))
            };
        }
        let block = fields.bytes(block_bytes as usize).ok_or_else(cut)?;
        if checksum(checksum(0, head), block) != crc {
            return Err(ExportError::Damaged("a block does not match its checksum"));
        }
        crcs = checksum(crcs, &crc.to_le_bytes());
        block_rows(block, &mut rows).ok_or(ExportError::Damaged("a row does not fit its block"))?;
    }
}

fn header(fields: &mut Fields<'_>, store: &[u8; 16]) -> Option<Lsn> {
    let bytes = fields.0.get(..HEADER_BYTES - 4)?;
    let ours = fields.bytes(8)? == MAGIC && fields.u32()? == FORMAT;
    fields.u32()?;
    let of_store = fields.bytes(16)? == store;
    let applied = fields.lsn()?;
    fields.u32()?;
    (ours && of_store && fields.u32()? == checksum(0, bytes)).then_some(applied)
}

/// Rows, position, checksum over the blocks' checksums.
fn end(fields: &mut Fields<'_>, crc: u32) -> Option<(u64, Lsn, u32)> {
    let fits = fields.0.len() == END_BYTES - BLOCK_HEAD_BYTES && checksum(0, fields.0) == crc;
    fits.then_some((fields.u64()?, fields.lsn()?, fields.u32()?))
}

fn block_rows<'a>(block: &'a [u8], rows: &mut Vec<RowBytes<'a>>) -> Option<()> {
    let mut fields = Fields(block);
    while !fields.is_empty() {
        let key_bytes = fields.u32()? as usize;
        let value_bytes = fields.u32()? as usize;
        rows.push((fields.bytes(key_bytes)?, fields.bytes(value_bytes)?));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::{Log, assert_same};
    use crate::sim_disk::SimDisk;

    const STORE: [u8; 16] = *b"0123456789abcdef";

    fn index() -> Index {
        let mut log = Log::new();
        for seq in 0..20 {
            log.publish(&[(1, seq, 0), (2, seq, (seq % 3) as u8)], 10);
            log.define(&[(&format!("name {seq}"), Some("value"))]);
        }
        log.settle(1, 3, 9);
        log.roll();
        log.publish(&[(1, 20, 0)], 10);
        log.index
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir(CHECKPOINT_DIR).unwrap();
        disk.sync_dir("").unwrap();
        disk
    }

    #[test]
    fn an_export_is_read_back_after_a_power_cut_and_the_newest_two_are_kept() {
        let index = index();
        let disk = disk();
        for position in [7, 9, 8] {
            write(&disk, Lsn(position), b"older").unwrap();
        }
        write(&disk, index.applied(), &encode(&index, &STORE)).unwrap();
        assert_eq!(list(&disk).unwrap(), [index.applied(), Lsn(9)]);
        for seed in 0..50 {
            let after = disk.crashed_copy(seed);
            assert_same(&read(&after, index.applied(), &STORE).unwrap(), &index);
        }
        assert!(read(&disk, index.applied(), b"another store...").is_err());
        assert!(read(&disk, Lsn(9), &STORE).is_err());
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let bytes = encode(&index(), &STORE);
        assert!(decode(&bytes, &STORE).is_ok());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], &STORE).is_err(), "length {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode(&longer, &STORE).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, &STORE).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_index_of_many_blocks_is_read_back() {
        let mut log = Log::new();
        let value = "v".repeat(100_000);
        for number in 0..40 {
            log.define(&[(&format!("name {number}"), Some(&value))]);
        }
        let bytes = encode(&log.index, &STORE);
        assert!(bytes.len() > 3 * EXPORT_BLOCK_BYTES);
        assert_same(&decode(&bytes, &STORE).unwrap(), &log.index);
    }
}
