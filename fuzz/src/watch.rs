//! No input may take the broker more than a second of the processor's time. libFuzzer's own `-timeout` counts the wall's time,
//! most of which a busy machine may give to others.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Steps of the accounting of processes, hundredths of a second.
const TICKS_MAX: u64 = 100;
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// Grows when an input begins (then it is odd) and when it ends.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// Runs a target; if that takes too long, it is a finding.
pub fn watched(run: fn(&[u8]), input: &[u8]) {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(thread::spawn(watch)));
    let turn = TURNS.load(Ordering::Relaxed);
    TURNS.store(turn + 1, Ordering::Relaxed);
    run(input);
    TURNS.store(turn + 2, Ordering::Relaxed);
}

fn watch() {
    let (mut since_turn, mut since_ticks) = (0, 0);
    while let Some(ticks) = ticks() {
        let turn = TURNS.load(Ordering::Relaxed);
        if turn != since_turn || turn % 2 == 0 {
            (since_turn, since_ticks) = (turn, ticks);
        } else if ticks - since_ticks > TICKS_MAX {
            eprintln!("==ERROR: an input takes more than a second");
            std::process::abort();
        }
        thread::sleep(LOOKS_EVERY);
    }
    eprintln!("no /proc/self/stat: only libFuzzer's -timeout looks for slow inputs");
}

/// The processor's time that this process has had, for itself and in the kernel.
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}
