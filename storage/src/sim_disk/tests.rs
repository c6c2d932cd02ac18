//! What survives on the simulated disk and what does not: if this were wrong, every crash test would prove nothing.

use super::*;

/// A disk with the durable directory `wal`.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir("wal").unwrap();
    disk.sync_dir("").unwrap();
    disk
}

fn durable_file(disk: &SimDisk, name: &str, size: u64) -> FileId {
    let file = disk.create(name, size, Allocate::Zeroed).unwrap();
    disk.sync(file).unwrap();
    disk.sync_dir("wal").unwrap();
    file
}

/// What crashes with the seeds 0..200 leave of `name`.
fn outcomes(disk: &SimDisk, name: &str) -> std::collections::BTreeSet<Option<Vec<u8>>> {
    (0..200).map(|seed| disk.crashed_copy(seed).contents(name)).collect()
}

#[test]
fn what_was_synced_survives_every_crash() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 2000);
    disk.write_at(file, 700, b"kept").unwrap();
    disk.sync(file).unwrap();
    let expected = disk.contents("wal/a");
    assert_eq!(outcomes(&disk, "wal/a").into_iter().collect::<Vec<_>>(), vec![expected]);
}

#[test]
fn unsynced_sectors_vanish_one_by_one() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 1024);
    disk.write_at(file, 0, &[7; 1024]).unwrap();
    let halves: std::collections::BTreeSet<(u8, u8)> =
        outcomes(&disk, "wal/a").into_iter().flatten().map(|bytes| (bytes[0], bytes[512])).collect();
    assert_eq!(halves, [(0, 0), (0, 7), (7, 0), (7, 7)].into_iter().collect());
}

#[test]
fn a_later_write_of_a_sector_never_yields_to_an_earlier_synced_one() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 512);
    disk.write_at(file, 0, &[1; 512]).unwrap();
    disk.write_at(file, 0, &[2; 512]).unwrap();
    disk.sync(file).unwrap();
    assert_eq!(outcomes(&disk, "wal/a").len(), 1);
    assert_eq!(disk.crash(1).contents("wal/a").unwrap(), [2; 512]);
}

#[test]
fn names_need_a_directory_sync_even_when_the_data_are_synced() {
    let disk = disk();
    let file = disk.create("wal/a", 512, Allocate::Zeroed).unwrap();
    disk.sync(file).unwrap();
    let found: std::collections::BTreeSet<bool> =
        outcomes(&disk, "wal/a").iter().map(Option::is_some).collect();
    assert_eq!(found, [false, true].into_iter().collect());
    disk.sync_dir("wal").unwrap();
    assert!(outcomes(&disk, "wal/a").iter().all(Option::is_some));
}

#[test]
fn a_growing_file_may_lose_its_length_or_its_data() {
    let disk = disk();
    let file = disk.create("wal/a", 0, Allocate::Empty).unwrap();
    disk.sync_dir("wal").unwrap();
    disk.write_at(file, 0, &[5; 100]).unwrap();
    let outcomes = outcomes(&disk, "wal/a");
    assert!(outcomes.contains(&Some(vec![])) && outcomes.contains(&Some(vec![0; 100])));
    assert!(outcomes.contains(&Some(vec![5; 100])) && outcomes.len() == 3);
}

#[test]
fn a_rename_is_all_or_nothing() {
    let disk = disk();
    durable_file(&disk, "wal/a", 1);
    durable_file(&disk, "wal/b", 2);
    disk.rename("wal/a", "wal/b").unwrap();
    for seed in 0..100 {
        let after = disk.crashed_copy(seed);
        let lens = (after.contents("wal/a").map(|a| a.len()), after.contents("wal/b").map(|b| b.len()));
        assert!(lens == (None, Some(1)) || lens == (Some(1), Some(2)), "{lens:?}");
    }
}

#[test]
fn an_unsynced_directory_takes_its_files_along() {
    let disk = SimDisk::new();
    disk.create_dir("wal").unwrap();
    let file = disk.create("wal/a", 1, Allocate::Zeroed).unwrap();
    disk.sync(file).unwrap();
    disk.sync_dir("wal").unwrap();
    assert!(outcomes(&disk, "wal/a").contains(&None));
    disk.sync_dir("").unwrap();
    assert!(!outcomes(&disk, "wal/a").contains(&None));
}

#[test]
fn a_killed_process_leaves_the_cache_unsynced() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 512);
    disk.write_at(file, 0, &[3; 512]).unwrap();
    let killed = disk.kill();
    assert!(disk.write_at(file, 0, &[4; 512]).is_err());
    assert_eq!(killed.contents("wal/a").unwrap(), [3; 512]);
    assert_eq!(outcomes(&killed, "wal/a").len(), 2);
}

#[test]
fn a_failed_sync_in_its_three_kinds() {
    for (how, seen, after_retry) in [
        (SyncFailure::PagesDropped, 0, 0),
        (SyncFailure::PagesLookClean, 3, 0),
        (SyncFailure::Retryable, 3, 3),
    ] {
        let disk = disk();
        let file = durable_file(&disk, "wal/a", 512);
        disk.write_at(file, 0, &[3; 512]).unwrap();
        disk.fail_sync(1, how);
        assert!(disk.sync(file).is_err(), "{how:?}");
        assert_eq!(disk.contents("wal/a").unwrap(), [seen; 512], "{how:?}");
        disk.sync(file).unwrap();
        assert_eq!(disk.crash(9).contents("wal/a").unwrap(), [after_retry; 512], "{how:?}");
    }
}

#[test]
fn full_is_full_for_growth_only() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 1000);
    disk.set_capacity_bytes(Some(1000));
    assert_eq!(disk.free_bytes().unwrap(), 0);
    let full = disk.create("wal/b", 1, Allocate::Zeroed).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    disk.write_at(file, 500, &[1; 500]).unwrap();
    assert!(disk.write_at(file, 501, &[1; 500]).is_err());
    disk.remove("wal/a").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0, "an open file keeps its space");
    disk.close(file);
    assert_eq!(disk.free_bytes().unwrap(), 1000);
}

#[test]
fn faults_hit_where_they_were_asked_for() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 1024);
    disk.fail_reads("wal/a", 600, 10);
    assert!(disk.read_at(file, 0, &mut [0; 601]).is_err());
    assert_eq!(disk.read_at(file, 0, &mut [0; 600]).unwrap(), 600);
    disk.heal_reads();
    disk.flip_bit("wal/a", 1, 3);
    assert_eq!(disk.crashed_copy(0).contents("wal/a").unwrap()[1], 8);
    disk.lose_write(2);
    disk.write_at(file, 0, &[1]).unwrap();
    disk.write_at(file, 512, &[1]).unwrap();
    disk.sync(file).unwrap();
    let after = disk.crashed_copy(0).contents("wal/a").unwrap();
    assert_eq!((after[0], after[512]), (1, 0));
    disk.lie_on_sync(true);
    disk.write_at(file, 0, &[9]).unwrap();
    disk.sync(file).unwrap();
    assert!(outcomes(&disk, "wal/a").iter().flatten().any(|bytes| bytes[0] == 1));
}

#[test]
fn the_disk_goes_off_at_the_operation_named() {
    let disk = disk();
    let file = durable_file(&disk, "wal/a", 512);
    disk.crash_at(2);
    disk.write_at(file, 0, &[1; 512]).unwrap();
    assert!(disk.sync(file).is_err());
    assert!(disk.is_off());
    assert!(disk.open("wal/a").is_err() && disk.list("wal").is_err());
    assert_eq!(outcomes(&disk, "wal/a").len(), 2, "the sync that failed stored nothing for certain");
    let after = disk.crash(3);
    assert!(after.open("wal/a").is_ok());
}
