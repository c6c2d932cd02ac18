//! The database under damage: whatever happens to its files, it gives back a state that was saved or nothing.

use super::*;
use crate::disk::RealDisk;
use crate::ids::{GroupId, QueueId, SegmentId, Seq};
use crate::index::tests::{Log, assert_same};

const IDENTITY: StoreIdentity = StoreIdentity { uuid: [7; 16], seed: 5, created_unix_ms: 0 };

struct Saved {
    _dir: tempfile::TempDir,
    disk: RealDisk,
    log: Log,
    open: Option<SledRows>,
    base: Base,
    /// Every state saved.
    states: Vec<Index>,
}

fn saved() -> Saved {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(&dir.path().join("data")).unwrap();
    let mut saved =
        Saved { _dir: dir, disk, log: Log::new(), open: None, base: Base::Nothing, states: Vec::new() };
    for round in 0..5 {
        saved.work(round);
        saved.save();
    }
    saved
}

impl Saved {
    fn work(&mut self, round: u64) {
        for seq in round * 100..round * 100 + 100 {
            self.log.publish(&[(1, seq, 0), (2, seq, (seq % 3) as u8)], 40);
        }
        self.log.settle(1, round * 90, 80);
        self.log.define(&[(&format!("name {round}"), Some("value"))]);
        self.log.define(&[("name 1", None)]);
        self.log.roll();
    }

    fn save(&mut self) {
        let applied = self.log.index.applied();
        let mut rows = self.log.index.take_unsaved();
        if self.base == Base::Nothing {
            rows.clear();
            self.log.index.all_rows(|row| rows.push(row));
        }
        SledRows::save(&mut self.open, &self.disk, &IDENTITY, &rows, self.base, applied).unwrap();
        self.base = Base::At(applied);
        self.states.push(self.log.index.clone());
    }

    fn load(&self) -> Option<Index> {
        load(&self.disk, &IDENTITY, Lsn::NONE)
    }

    fn file(&self) -> PathBuf {
        self.disk.root().join(FILE)
    }
}

#[test]
fn the_state_saved_last_is_loaded() {
    let mut saved = saved();
    // Closed and opened again in between, and relative to what was loaded.
    saved.open = None;
    saved.work(5);
    saved.save();
    saved.open = None;
    let index = saved.load().unwrap();
    assert_eq!(index.saved(), Some(index.applied()));
    assert_same(&index, &saved.log.index);
    assert_eq!(
        load(&saved.disk, &IDENTITY, Lsn(u64::MAX)).map(|index| index.applied()),
        None,
        "an export is newer"
    );
    assert_eq!(index.queue(QueueId(1)).unwrap().group(), GroupId(3));
    assert!(index.segment(SegmentId(6)).is_some() && !index.is_live(QueueId(1), Seq(0), SegmentId(1)));
}

#[test]
fn a_database_of_another_store_or_marked_busy_is_set_aside() {
    let mut saved = saved();
    saved.open = None;
    let other = StoreIdentity { uuid: [8; 16], ..IDENTITY };
    assert!(load(&saved.disk, &other, Lsn::NONE).is_none());
    assert!(saved.load().is_none(), "it was set aside");
    let mut saved = self::saved();
    saved.open = None;
    mark(&saved.disk).unwrap();
    assert!(saved.load().is_none());
    assert!(saved.disk.list(QUARANTINED).is_ok_and(|files| !files.is_empty()));
    // A new one can be made in its place.
    saved.base = Base::Nothing;
    saved.save();
    saved.open = None;
    assert_same(&saved.load().unwrap(), &saved.log.index);
}

#[test]
fn a_database_cut_or_flipped_anywhere_gives_a_state_that_was_saved_or_nothing() {
    let mut saved = saved();
    saved.open = None;
    let whole = std::fs::read(saved.file()).unwrap();
    let keep: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(saved.disk.root().join(DIR))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    let mut outcomes = [0, 0];
    let mut try_with = |bytes: &[u8]| {
        remove_tree_if_there(&saved.disk, DIR).unwrap();
        std::fs::create_dir(saved.disk.root().join(DIR)).unwrap();
        for (path, bytes) in &keep {
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::write(saved.file(), bytes).unwrap();
        let loaded = saved.load();
        outcomes[usize::from(loaded.is_some())] += 1;
        // What was flipped or cut may be the end of the file: an earlier save is then whole.
        if let Some(index) = loaded {
            let state = saved.states.iter().find(|state| state.applied() == index.applied());
            assert_same(&index, state.unwrap());
        }
    };
    try_with(&whole);
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    for step in 0..24 {
        let at = used * step / 24;
        try_with(&whole[..at]);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (step % 8);
        try_with(&flipped);
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}
