//! Loading the index at start: whichever of the database and the two exports is whole and goes furthest. What is not
//! whole is left out, never repaired; with nothing to load, the log must be there from its first segment.

use crate::disk::Disk;
use crate::error::OpenError;
use crate::export;
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, SegmentId};
use crate::index::Index;
use crate::index::sled_rows;
use crate::segment::{WAL_DIR, parse_segment_name};
use std::io;
use tracing::{info, warn};

/// The index as last saved, and from where the log is to be replayed.
#[derive(Debug)]
pub struct Loaded {
    /// The index.
    pub index: Index,
    /// Replay starts here; [`Lsn::NONE`]: at the first segment.
    pub applied: Lsn,
}

impl Index {
    /// Loads the index: from the database, else the newest export, else the older one, else empty if the log is there
    /// from its beginning.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if nothing can be loaded and the log has lost its beginning; [`OpenError::Io`].
    pub fn load(disk: &dyn Disk, identity: &StoreIdentity) -> Result<Loaded, OpenError> {
        let exports = export::list(disk).map_err(OpenError::io("listing the exports"))?;
        let newest = exports.first().copied().unwrap_or(Lsn::NONE);
        if let Some(index) = sled_rows::load(disk, identity, newest) {
            info!(applied = %index.applied(), "index loaded from the database");
            return Ok(Loaded { applied: index.applied(), index });
        }
        for applied in &exports {
            match export::read(disk, *applied, &identity.uuid) {
                Ok(index) => {
                    info!(%applied, "index loaded from an export");
                    return Ok(Loaded { applied: *applied, index });
                }
                Err(error) => warn!(export = %export::name(*applied), %error, "export passed over"),
            }
        }
        match first_segment(disk).map_err(OpenError::io("listing the log directory"))? {
            Some(first) if first.0 > 1 => Err(OpenError::corrupt(
                SegmentId(1),
                0,
                "no checkpoint can be read, and the log's first segment is gone",
            )),
            None if !exports.is_empty() => {
                Err(OpenError::corrupt(SegmentId(1), 0, "no checkpoint can be read, and the log is gone"))
            }
            Some(_) | None => Ok(Loaded { index: Index::new(), applied: Lsn::NONE }),
        }
    }
}

/// The lowest hot segment there is a file of.
fn first_segment(disk: &dyn Disk) -> io::Result<Option<SegmentId>> {
    let names = match disk.list(WAL_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    Ok(names.iter().filter_map(|(name, _)| parse_segment_name(name)).filter(|id| !id.is_cold()).min())
}
