//! The index in a sled database: the quicker way to start, never the truth. The only file that names sled, and the
//! fence around its three known faults: `flush` does not sync (we do, on its file); rot or a torn end makes rows vanish
//! without an error (every row has a checksum, a commit row counts them all); large batches eat memory (ours are small).
//! A rotten file may also make it panic or hang: it is loaded on a thread that is given up after a while, and a marker
//! file stands while it is worked with, so that a start after the process died there sets it aside unopened.
//!
//! A save that was cut short leaves rows that do not fit the commit row: the database is then set aside, and the index
//! comes from an export.

use super::rows::{ROW_BYTES_MAX, seal, stored_crc, unseal};
use super::{Index, Row};
use crate::disk::{Allocate, Disk};
use crate::encoding::{self, Decode, Encode};
use crate::identity::StoreIdentity;
use crate::ids::Lsn;
use crate::limits::{DATABASE_BATCH_ROWS, DATABASE_CACHE_BYTES, DATABASE_LOAD_MS};
use crate::prepare::remove_if_there;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::Builder;
use std::time::Duration;
use tracing::{info, warn};

/// Directory of the database.
const DIR: &str = "index";
/// The file within it that is synced.
const FILE: &str = "index/db";
/// Stands while the database is worked with.
const MARKER: &str = "index.busy";
const QUARANTINE_DIR: &str = "quarantine";
/// Where a database that cannot be used is kept for a look at it; only the last one is.
const QUARANTINED: &str = "quarantine/index";
/// Key of the commit row; no other key starts with a zero.
const COMMIT: &[u8] = b"\0commit";

/// What the rows to be saved are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing: they are all the rows there are.
    Nothing,
    /// The state saved at this position.
    At(Lsn),
}

/// Why the database could not be used. It is not used any more until it is written anew.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RowsError(String);

impl RowsError {
    fn new(what: &str) -> impl FnOnce(sled::Error) -> RowsError {
        move |error| RowsError(format!("{what}: {error}"))
    }

    fn io(what: &str) -> impl FnOnce(io::Error) -> RowsError {
        move |error| RowsError(format!("{what}: {error}"))
    }
}

/// What the commit row says of all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "crate::encoding")]
struct Totals {
    store: [u8; 16],
    rows: u64,
    /// All their checksums, combined by exclusive or.
    crcs: u32,
}

impl Totals {
    fn of(store: [u8; 16]) -> Totals {
        Totals { store, rows: 0, crcs: 0 }
    }

    fn add(&mut self, value: &[u8]) {
        self.rows += 1;
        self.crcs ^= stored_crc(value).unwrap_or_default();
    }

    fn remove(&mut self, value: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.crcs ^= stored_crc(value).unwrap_or_default();
    }
}

/// The open database.
pub(crate) struct SledRows {
    database: sled::Db,
    totals: Totals,
    applied: Lsn,
}

impl SledRows {
    /// Brings the database to the state at `applied` and makes it durable. `open` is what the last save left open; it is
    /// closed by a failure.
    pub(crate) fn save(
        open: &mut Option<SledRows>,
        disk: &dyn Disk,
        identity: &StoreIdentity,
        rows: &[Row],
        base: Base,
        applied: Lsn,
    ) -> Result<(), RowsError> {
        mark(disk).map_err(RowsError::io("marking the database"))?;
        // Where panics end the process, the marker tells the next start.
        let saved = catch_unwind(AssertUnwindSafe(|| {
            let mut database = match (base, open.take()) {
                (Base::Nothing, previous) => {
                    drop(previous);
                    SledRows::create(disk, identity)?
                }
                (Base::At(_), Some(previous)) => previous,
                (Base::At(_), None) => SledRows::open(disk, identity)?,
            };
            if let Base::At(base) = base
                && database.applied != base
            {
                return Err(RowsError(format!("the database is at {}, not at {base}", database.applied)));
            }
            database.write(disk, rows, applied)?;
            Ok(database)
        }));
        *open = Some(saved.unwrap_or_else(|_| Err(RowsError("the database has panicked".to_owned())))?);
        remove_if_there(disk, MARKER).map_err(RowsError::io("unmarking the database"))
    }

    /// A new, empty database in place of the one there may be.
    fn create(disk: &dyn Disk, identity: &StoreIdentity) -> Result<SledRows, RowsError> {
        remove_tree_if_there(disk, DIR).map_err(RowsError::io("removing the old database"))?;
        let database = open_database(&path(disk)?)?;
        disk.sync_dir("").map_err(RowsError::io("syncing the data directory"))?;
        disk.sync_dir(DIR).map_err(RowsError::io("syncing the database's directory"))?;
        Ok(SledRows { database, totals: Totals::of(identity.uuid), applied: Lsn::NONE })
    }

    fn open(disk: &dyn Disk, identity: &StoreIdentity) -> Result<SledRows, RowsError> {
        let database = open_database(&path(disk)?)?;
        let (totals, applied) = commit_row(&database)?;
        if totals.store != identity.uuid {
            return Err(RowsError("the database belongs to another store".to_owned()));
        }
        Ok(SledRows { database, totals, applied })
    }

    fn write(&mut self, disk: &dyn Disk, rows: &[Row], applied: Lsn) -> Result<(), RowsError> {
        for rows in rows.chunks(DATABASE_BATCH_ROWS) {
            let mut batch = sled::Batch::default();
            for row in rows {
                self.replace(row)?;
                match &row.value {
                    Some(value) => batch.insert(row.key.as_slice(), value.as_slice()),
                    None => batch.remove(row.key.as_slice()),
                }
            }
            self.database.apply_batch(batch).map_err(RowsError::new("writing rows"))?;
            self.database.flush().map_err(RowsError::new("flushing rows"))?;
        }
        sync(disk)?;
        let commit = seal(COMMIT, applied, &encoding::encode(&self.totals));
        self.database.insert(COMMIT, commit).map_err(RowsError::new("writing the commit row"))?;
        self.database.flush().map_err(RowsError::new("flushing the commit row"))?;
        sync(disk)?;
        self.applied = applied;
        Ok(())
    }

    /// Counts a row about to be written, and out the one it replaces. No key comes twice in a save with a value.
    fn replace(&mut self, row: &Row) -> Result<(), RowsError> {
        let previous = self.database.get(&row.key).map_err(RowsError::new("reading a row"))?;
        if let Some(previous) = previous {
            self.totals.remove(&previous);
        }
        if let Some(value) = &row.value {
            self.totals.add(value);
        }
        Ok(())
    }
}

/// The index in the database, if it is whole and not older than `newest`; if it is damaged it is set aside.
pub(crate) fn load(disk: &dyn Disk, identity: &StoreIdentity, newest: Lsn) -> Option<Index> {
    let path = path(disk).ok()?;
    match disk.list(DIR) {
        Ok(files) if !files.is_empty() => {}
        _ => return None,
    }
    let died_there = disk.list("").is_ok_and(|names| names.iter().any(|(name, _)| name == MARKER));
    let loaded = if died_there {
        Err(RowsError("the last stop was in the middle of writing it".to_owned()))
    } else {
        mark(disk).map_err(RowsError::io("marking the database")).and_then(|()| load_aside(path, *identity))
    };
    let index = match loaded {
        Ok(index) if index.applied() >= newest => Some(index),
        Ok(index) => {
            info!(applied = %index.applied(), %newest, "the database is older than an export");
            None
        }
        Err(error) => {
            warn!(%error, "database set aside");
            set_aside(disk);
            None
        }
    };
    drop(remove_if_there(disk, MARKER));
    index
}

/// Loads on another thread, which is left to itself if it takes too long.
fn load_aside(path: PathBuf, identity: StoreIdentity) -> Result<Index, RowsError> {
    let (sender, receiver) = channel();
    let thread = Builder::new().name("index-load".into()).spawn(move || {
        let loaded = catch_unwind(|| load_all(&path, &identity));
        let panicked = || Err(RowsError("the database has panicked".to_owned()));
        // Nobody waits any more if it took too long.
        drop(sender.send(loaded.unwrap_or_else(|_| panicked())));
    });
    thread.map_err(RowsError::io("starting a thread"))?;
    let waited = receiver.recv_timeout(Duration::from_millis(DATABASE_LOAD_MS));
    waited.unwrap_or_else(|_| Err(RowsError("the database does not open in time".to_owned())))
}

fn load_all(path: &Path, identity: &StoreIdentity) -> Result<Index, RowsError> {
    let database = open_database(path)?;
    let (expected, applied) = commit_row(&database)?;
    let mut totals = Totals::of(identity.uuid);
    let mut rows = Vec::new();
    for row in database.iter() {
        let (key, value) = row.map_err(RowsError::new("reading rows"))?;
        if *key == *COMMIT {
            continue;
        }
        totals.add(&value);
        rows.push((key.to_vec(), value.to_vec()));
    }
    if totals != expected {
        return Err(RowsError(format!("the rows are not those committed: {totals:?} where {expected:?}")));
    }
    let mut index = Index::from_rows(rows.into_iter()).map_err(|error| RowsError(error.to_string()))?;
    if index.applied() != applied {
        return Err(RowsError("the rows and the commit row are of different positions".to_owned()));
    }
    index.saved = Some(applied);
    Ok(index)
}

fn commit_row(database: &sled::Db) -> Result<(Totals, Lsn), RowsError> {
    let row = database.get(COMMIT).map_err(RowsError::new("reading the commit row"))?;
    let row = row.ok_or_else(|| RowsError("there is no commit row".to_owned()))?;
    let (applied, body) = unseal(COMMIT, &row).map_err(|error| RowsError(error.to_string()))?;
    let totals = encoding::decode(body, ROW_BYTES_MAX).map_err(|error| RowsError(error.to_string()))?;
    Ok((totals, applied))
}

fn open_database(path: &Path) -> Result<sled::Db, RowsError> {
    let config = sled::Config::new()
        .path(path)
        .flush_every_ms(None)
        .cache_capacity(DATABASE_CACHE_BYTES)
        .mode(sled::Mode::HighThroughput);
    config.open().map_err(RowsError::new("opening the database"))
}

/// `flush` has written to the file and has not synced it.
fn sync(disk: &dyn Disk) -> Result<(), RowsError> {
    let file = disk.open(FILE).map_err(RowsError::io("opening the database's file"))?;
    let synced = disk.sync(file);
    disk.close(file);
    synced.map_err(RowsError::io("syncing the database's file"))
}

fn path(disk: &dyn Disk) -> Result<PathBuf, RowsError> {
    disk.local_path(DIR).ok_or_else(|| RowsError("there is no database on this disk".to_owned()))
}

fn mark(disk: &dyn Disk) -> io::Result<()> {
    match disk.create(MARKER, 0, Allocate::Empty) {
        Ok(file) => disk.close(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Moves the database away; if even that fails it is overwritten by the next save.
fn set_aside(disk: &dyn Disk) {
    let moved = disk
        .create_dir(QUARANTINE_DIR)
        .and_then(|()| remove_tree_if_there(disk, QUARANTINED))
        .and_then(|()| disk.rename(DIR, QUARANTINED));
    if let Err(error) = moved {
        warn!(%error, "the database could not be moved to {QUARANTINED}");
    }
}

fn remove_tree_if_there(disk: &dyn Disk, dir: &str) -> io::Result<()> {
    match disk.remove_tree(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
