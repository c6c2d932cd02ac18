//! The `STORE` file: who a data directory is, and which version may read it. Made once, by a temporary file that is
//! synced and renamed, never changed.
//!
//! ```text
//! 0 magic "LEDGERMQ" | 8 format u32 | 12 store uuid [16] | 28 created unix ms u64 | 36 oldest reader u32 | 40 seed u32
//! 44 zeros | 4092 crc32 u32 over 0..4092
//! ```

use crate::disk::{Allocate, Disk};
use crate::error::OpenError;
use crate::field::{Fields, patch};
use crate::ids::SegmentId;
use crate::record::checksum;
use std::io;

const NAME: &str = "STORE";
const NAME_NEW: &str = "STORE.tmp";
const MAGIC: &[u8; 8] = b"LEDGERMQ";
const FORMAT: u32 = 1;
const BYTES: usize = 4096;
const CRC_AT: usize = BYTES - 4;

/// Who a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Written into every file of the store, so that files of two stores are never mixed.
    pub uuid: [u8; 16],
    /// Seeds the checksum of every record.
    pub seed: u32,
    /// When the store was made.
    pub created_unix_ms: u64,
}

impl StoreIdentity {
    /// Reads the identity of the store on `disk`; `None` if there is no store yet.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>, OpenError> {
        let names = disk.list("").map_err(OpenError::io("listing the data directory"))?;
        if !names.iter().any(|(name, _)| name == NAME) {
            return Ok(None);
        }
        let file = disk.open(NAME).map_err(OpenError::io("opening STORE"))?;
        let mut page = vec![0; BYTES];
        let read = disk.read_at(file, 0, &mut page);
        disk.close(file);
        read.map_err(OpenError::io("reading STORE"))?;
        decode(&page).map(Some)
    }

    /// Writes the identity of a new store and makes it durable.
    pub(crate) fn create(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        self.write(disk).map_err(OpenError::io("creating STORE"))
    }

    fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        match disk.remove(NAME_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(NAME_NEW, 0, Allocate::Empty)?;
        let written = disk.write_at(file, 0, &self.encode()).and_then(|()| disk.sync(file));
        disk.close(file);
        written?;
        disk.rename(NAME_NEW, NAME)?;
        disk.sync_dir("")
    }

    fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; BYTES];
        patch(&mut page, 0, MAGIC);
        patch(&mut page, 8, &FORMAT.to_le_bytes());
        patch(&mut page, 12, &self.uuid);
        patch(&mut page, 28, &self.created_unix_ms.to_le_bytes());
        patch(&mut page, 36, &FORMAT.to_le_bytes());
        patch(&mut page, 40, &self.seed.to_le_bytes());
        let crc = checksum(0, page.get(..CRC_AT).unwrap_or_default());
        patch(&mut page, CRC_AT, &crc.to_le_bytes());
        page
    }
}

fn decode(page: &[u8]) -> Result<StoreIdentity, OpenError> {
    let damaged = || OpenError::corrupt(SegmentId(0), 0, "the STORE file is damaged");
    let stored_crc = page.get(CRC_AT..).and_then(|tail| Fields(tail).u32()).ok_or_else(damaged)?;
    if checksum(0, page.get(..CRC_AT).ok_or_else(damaged)?) != stored_crc {
        return Err(damaged());
    }
    let (identity, oldest_reader) = parse(page).ok_or_else(damaged)?;
    if oldest_reader > FORMAT {
        return Err(OpenError::Version { found: oldest_reader, known: FORMAT });
    }
    Ok(identity)
}

fn parse(page: &[u8]) -> Option<(StoreIdentity, u32)> {
    let mut fields = Fields(page);
    if fields.bytes(8)? != MAGIC {
        return None;
    }
    fields.u32()?;
    let uuid = fields.bytes(16)?.try_into().ok()?;
    let created_unix_ms = fields.u64()?;
    let oldest_reader = fields.u32()?;
    let seed = fields.u32()?;
    Some((StoreIdentity { uuid, seed, created_unix_ms }, oldest_reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_read_back_and_damage_is_refused() {
        let identity = StoreIdentity { uuid: *b"0123456789abcdef", seed: 77, created_unix_ms: 5 };
        let page = identity.encode();
        assert_eq!(decode(&page).unwrap(), identity);
        for bit in (0..BYTES * 8).step_by(11) {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&flipped), Err(OpenError::Corrupt(_))), "bit {bit}");
        }
        let mut later = page;
        patch(&mut later, 36, &9u32.to_le_bytes());
        let crc = checksum(0, &later[..CRC_AT]);
        patch(&mut later, CRC_AT, &crc.to_le_bytes());
        assert!(matches!(decode(&later), Err(OpenError::Version { found: 9, known: 1 })));
    }
}
