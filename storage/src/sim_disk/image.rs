//! What a simulated disk holds: for every file what a reader sees, what is on the platter and the writes between
//! the two; for the names the same. Knows no faults and no handles, only what survives.
//! Invariant: replaying `unsynced` over `durable` in order gives `visible`, but for lost writes.

use super::SyncFailure;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Files, names and what is not yet durable of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    files: BTreeMap<u64, Contents>,
    visible: Names,
    durable: Names,
    unsynced: Vec<Change>,
    next_inode: u64,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, u64>,
    dirs: BTreeSet<String>,
}

/// One change of names, applied or lost as a whole.
#[derive(Clone, Debug)]
enum Change {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
    MakeDir(String),
}

#[derive(Clone, Debug, Default)]
struct Contents {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Write>,
}

/// Something a sync would make durable. Data are whole sectors as they looked after the write.
#[derive(Clone, Debug)]
enum Write {
    Data(usize, Vec<u8>),
    Length(usize),
}

const SECTOR: usize = 512;

/// Chances, in tenths, from which each power cut draws how likely an unsynced sector of a file survives.
const CHANCES: [u64; 7] = [0, 1, 3, 5, 7, 9, 10];

impl Names {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link(name, inode) => {
                self.files.insert(name.clone(), *inode);
            }
            Change::Unlink(name) => {
                self.files.remove(name);
            }
            Change::Rename(from, to, inode) => {
                if self.files.get(from) == Some(inode) {
                    self.files.remove(from);
                }
                self.files.insert(to.clone(), *inode);
            }
            Change::MakeDir(dir) => {
                self.dirs.insert(dir.clone());
            }
        }
    }
}

impl Change {
    /// Whether syncing `dir` makes this durable.
    fn is_in(&self, dir: &str) -> bool {
        match self {
            Change::Link(name, _) | Change::Unlink(name) | Change::MakeDir(name) => dir_of(name) == dir,
            Change::Rename(from, to, _) => dir_of(to) == dir || dir_of(from) == dir,
        }
    }
}

fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

impl Image {
    pub(super) fn find(&self, name: &str) -> Option<u64> {
        self.visible.files.get(name).copied()
    }

    pub(super) fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.visible.dirs.contains(dir)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.visible.files.keys().cloned().collect()
    }

    pub(super) fn name_of(&self, inode: u64) -> String {
        let named = self.visible.files.iter().find(|(_, candidate)| **candidate == inode);
        named.map_or_else(|| format!("(removed file {inode})"), |(name, _)| name.clone())
    }

    pub(super) fn visible(&self, inode: u64) -> &[u8] {
        self.files.get(&inode).map_or(&[], |contents| &contents.visible)
    }

    pub(super) fn list(&self, dir: &str) -> Vec<(String, u64)> {
        let inside = self.visible.files.iter().filter(|(name, _)| dir_of(name) == dir);
        inside
            .map(|(name, inode)| {
                let short = name.rsplit_once('/').map_or(name.as_str(), |(_, short)| short);
                (short.to_owned(), self.visible(*inode).len() as u64)
            })
            .collect()
    }

    pub(super) fn used_bytes(&self, open: impl Iterator<Item = u64>) -> u64 {
        let inodes: BTreeSet<u64> = self.visible.files.values().copied().chain(open).collect();
        inodes.into_iter().map(|inode| self.visible(inode).len() as u64).sum()
    }

    fn change(&mut self, change: Change) {
        self.visible.apply(&change);
        self.unsynced.push(change);
    }

    pub(super) fn create(&mut self, name: &str, size: u64) -> io::Result<u64> {
        if !self.has_dir(dir_of(name)) {
            return Err(missing(name));
        }
        self.next_inode += 1;
        let mut contents = Contents::default();
        contents.resize(size as usize);
        self.files.insert(self.next_inode, contents);
        self.change(Change::Link(name.to_owned(), self.next_inode));
        Ok(self.next_inode)
    }

    pub(super) fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        if !self.has_dir(dir_of(dir)) {
            return Err(missing(dir));
        }
        if !self.has_dir(dir) {
            self.change(Change::MakeDir(dir.to_owned()));
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.find(from).ok_or_else(|| missing(from))?;
        if !self.has_dir(dir_of(to)) {
            return Err(missing(to));
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name).ok_or_else(|| missing(name))?;
        self.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    pub(super) fn write(&mut self, inode: u64, offset: u64, bytes: &[u8], lost: bool) {
        if let Some(contents) = self.files.get_mut(&inode) {
            contents.write(offset as usize, bytes, lost);
        }
    }

    pub(super) fn sync(&mut self, inode: u64) {
        if let Some(contents) = self.files.get_mut(&inode) {
            contents.sync();
        }
    }

    pub(super) fn fail_sync(&mut self, inode: u64, how: SyncFailure) {
        if let Some(contents) = self.files.get_mut(&inode) {
            contents.fail_sync(how);
        }
    }

    pub(super) fn sync_dir(&mut self, dir: &str) {
        let (now, later) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|change| change.is_in(dir));
        self.unsynced = later;
        let now: Vec<Change> = now;
        for change in &now {
            self.durable.apply(change);
        }
    }

    pub(super) fn corrupt(&mut self, name: &str, offset: u64, bytes: &[u8]) {
        let Some(contents) = self.find(name).and_then(|inode| self.files.get_mut(&inode)) else { return };
        for image in [&mut contents.visible, &mut contents.durable] {
            for (place, byte) in image.iter_mut().skip(offset as usize).zip(bytes) {
                *place = *byte;
            }
        }
    }

    pub(super) fn truncate(&mut self, name: &str, len: u64) {
        let Some(contents) = self.find(name).and_then(|inode| self.files.get_mut(&inode)) else { return };
        contents.visible.truncate(len as usize);
        contents.durable.truncate(len as usize);
        contents.unsynced.clear();
    }

    /// The disk after a power cut: everything visible is durable, nothing is in flight.
    pub(super) fn after_power_cut(&self, seed: u64) -> Image {
        let mut chance = Chance(seed);
        let mut names = self.durable.clone();
        // Half of the crashes keep a prefix of the changes of names, as a journal does; the others any subset.
        let prefix = (chance.next() & 1 == 0).then(|| chance.below(self.unsynced.len() as u64 + 1) as usize);
        for (position, change) in self.unsynced.iter().enumerate() {
            let survives = prefix.map_or_else(|| chance.next() & 1 == 0, |prefix| position < prefix);
            if survives {
                names.apply(change);
            }
        }
        let dirs = names.dirs.clone();
        let reachable = |dir: &str| dir.is_empty() || dirs.contains(dir);
        names.files.retain(|name, _| reachable(dir_of(name)));
        names.dirs.retain(|dir| reachable(dir_of(dir)));
        let mut files = BTreeMap::new();
        for inode in names.files.values() {
            if let Some(contents) = self.files.get(inode) {
                files.insert(*inode, contents.after_power_cut(&mut chance));
            }
        }
        let durable = names.clone();
        Image { files, visible: names, durable, unsynced: Vec::new(), next_inode: self.next_inode }
    }
}

impl Contents {
    fn resize(&mut self, len: usize) {
        self.visible.resize(len, 0);
        self.unsynced.push(Write::Length(len));
    }

    fn write(&mut self, offset: usize, bytes: &[u8], is_lost: bool) {
        let end = offset + bytes.len();
        if end > self.visible.len() {
            self.resize(end);
        }
        if let Some(place) = self.visible.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        if !is_lost {
            let start = offset / SECTOR * SECTOR;
            let stop = end.next_multiple_of(SECTOR).min(self.visible.len());
            let sectors = self.visible.get(start..stop).unwrap_or_default().to_vec();
            self.unsynced.push(Write::Data(start, sectors));
        }
    }

    fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            write.apply(&mut self.durable, |_| true);
        }
    }

    fn fail_sync(&mut self, how: SyncFailure) {
        match how {
            SyncFailure::PagesDropped => {
                let len = self.visible.len();
                self.visible.clone_from(&self.durable);
                self.visible.resize(len, 0);
                self.forget_data();
            }
            SyncFailure::PagesLookClean => self.forget_data(),
            SyncFailure::Retryable => {}
        }
    }

    fn forget_data(&mut self) {
        self.unsynced.retain(|write| matches!(write, Write::Length(_)));
    }

    fn after_power_cut(&self, chance: &mut Chance) -> Contents {
        let mut durable = self.durable.clone();
        let tenths = CHANCES.get(chance.below(CHANCES.len() as u64) as usize).copied().unwrap_or(5);
        for write in &self.unsynced {
            write.apply(&mut durable, |_| chance.below(10) < tenths);
        }
        Contents { visible: durable.clone(), durable, unsynced: Vec::new() }
    }
}

impl Write {
    /// Applies the sectors for which `survives` says so; sectors beyond the length that survived are lost.
    fn apply(&self, durable: &mut Vec<u8>, mut survives: impl FnMut(usize) -> bool) {
        match self {
            Write::Length(len) => {
                if survives(0) {
                    durable.resize(*len, 0);
                }
            }
            Write::Data(offset, bytes) => {
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    let at = offset + number * SECTOR;
                    if survives(at) {
                        for (place, byte) in durable.iter_mut().skip(at).zip(sector) {
                            *place = *byte;
                        }
                    }
                }
            }
        }
    }
}

/// A small generator of numbers that depend on the seed alone (splitmix64).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
