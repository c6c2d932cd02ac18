//! Replays every input that fuzzing kept, with the compiler of every day: those that reach something of their own
//! (`fuzz/corpus`), and those that once found something (`fuzz/regressions`). `scripts/fuzz` looks for more; docs/testing.md
//! tells how. `LEDGERMQ_FUZZ_INPUT=target:file` replays one. A few inputs made by chance are tried as well:
//! `LEDGERMQ_FUZZ_ROUNDS` says how many, `LEDGERMQ_SEED` replays one of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod fuzz_targets;
mod support;

use fuzz_targets::TARGETS;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

/// All kept inputs together, bytes and files: more would make every test run and every clone pay.
const KEPT_BYTES_MAX: u64 = 500 * 1024;
const KEPT_FILES_MAX: usize = 1200;

/// The inputs of one target in one of the directories, in order.
fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an input").path()).collect();
    paths.sort();
    paths
}

/// What went wrong, if anything did.
fn replay(run: fn(&[u8]), path: &Path) -> Result<(), String> {
    let input = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    panic::catch_unwind(AssertUnwindSafe(|| run(&input))).map_err(|_| path.display().to_string())
}

#[test]
fn kept_inputs_find_nothing() {
    let mut found = Vec::new();
    for (target, run) in TARGETS {
        let corpus = inputs("corpus", target);
        assert!(!corpus.is_empty(), "no inputs are kept for {target}");
        for path in corpus.iter().chain(&inputs("regressions", target)) {
            found.extend(replay(run, path).err());
        }
    }
    assert!(found.is_empty(), "these find something:\n{}", found.join("\n"));
}

#[test]
fn kept_inputs_are_few() {
    let all: Vec<_> = TARGETS.iter().flat_map(|(target, _)| inputs("corpus", target)).collect();
    let bytes: u64 = all.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(all.len() <= KEPT_FILES_MAX && bytes <= KEPT_BYTES_MAX, "{} files, {bytes} bytes", all.len());
}

#[test]
fn one_input_is_replayed_on_demand() {
    let Ok(asked) = std::env::var("LEDGERMQ_FUZZ_INPUT") else { return };
    let (target, path) = asked.split_once(':').expect("target:file");
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    run(&std::fs::read(path).expect("a file"));
}

/// Every target takes every short input, and inputs that are all alike: what a fuzzer begins with.
#[test]
fn every_target_takes_anything() {
    for (_, run) in TARGETS {
        run(&[]);
        (0..=255_u8).for_each(|byte| run(&[byte]));
        for byte in [0, 1, 0x40, 0x7F, 0x80, 0xC0, 0xFF] {
            (2..40).for_each(|count| run(&vec![byte; count]));
        }
    }
}

/// Inputs by chance: no match for a fuzzer, but every compiler and every machine can do it.
#[test]
fn inputs_made_by_chance_find_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seeds = match number("LEDGERMQ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LEDGERMQ_FUZZ_ROUNDS").unwrap_or(200),
    };
    for seed in seeds {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let input: Vec<u8> = (0..next() % 300).map(|_| next().to_le_bytes()[0]).collect();
        for (target, run) in TARGETS {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(&input)));
            assert!(outcome.is_ok(), "{target} fails: LEDGERMQ_SEED={seed} replays it");
        }
    }
}
