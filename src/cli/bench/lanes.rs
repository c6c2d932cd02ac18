//! Work that several threads share, one piece at a time, each piece timed: connections to open, queues to declare. The first
//! failure ends all of it.

use super::latency::Latencies;
use super::watch::{TICK, Watch};
use crate::cli::client::error::ClientError;
use crate::clock::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

/// When a lane takes no further piece.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// So many pieces have been taken.
    Count(u64),
    /// The time is over, seconds.
    Seconds(f64),
}

/// What the lanes did.
pub(super) struct Done<T> {
    pub(super) count: u64,
    pub(super) seconds: f64,
    pub(super) each_us: Latencies,
    /// What the lanes hold at the end.
    pub(super) held: Vec<T>,
}

/// Runs `piece(lane, number)` on so many threads. `open(lane)` makes what a lane works with; `finish` turns it into what is kept.
pub(super) fn run<L, T: Send>(
    lanes: usize,
    until: Until,
    watch: &mut Watch,
    clock: Clock,
    open: impl Fn() -> Result<L, ClientError> + Sync,
    piece: impl Fn(&mut L, u64) -> Result<(), ClientError> + Sync,
    finish: impl Fn(L) -> Result<T, ClientError> + Sync,
) -> Result<Done<T>, ClientError> {
    let (next, finished, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let begin_ns = clock.now_ns();
    let deadline_ns = match until {
        Until::Count(_) => u64::MAX,
        Until::Seconds(seconds) => begin_ns.saturating_add((seconds * 1e9) as u64),
    };
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let enough = matches!(until, Until::Count(count) if number >= count) || clock.now_ns() >= deadline_ns;
        (!enough && !failed.load(Ordering::Relaxed)).then_some(number)
    };
    let lane = || -> Result<(Latencies, T), ClientError> {
        let mut each_us = Latencies::new();
        let mut held = open()?;
        while let Some(number) = take() {
            let before_ns = clock.now_ns();
            piece(&mut held, number)?;
            each_us.record((clock.now_ns() - before_ns) / 1000);
            finished.fetch_add(1, Ordering::Relaxed);
        }
        Ok((each_us, finish(held)?))
    };
    let mut done = Done { count: 0, seconds: 0.0, each_us: Latencies::new(), held: Vec::new() };
    let mut failure = None;
    watch.begin(begin_ns);
    thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for _ in 0..lanes {
            let (sender, lane) = (sender.clone(), &lane);
            scope.spawn(move || {
                // The receiver outlives the threads.
                let _ = sender.send(lane());
            });
        }
        drop(sender);
        loop {
            match ended.recv_timeout(TICK) {
                Ok(Ok((each_us, held))) => {
                    done.each_us.merge(&each_us);
                    done.held.push(held);
                }
                Ok(Err(error)) => {
                    failed.store(true, Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(broker) = &mut watch.broker {
                broker.sample();
            }
            watch.say(clock.now_ns(), || format!("{} done", finished.load(Ordering::Relaxed)));
        }
    });
    done.count = finished.load(Ordering::Relaxed);
    done.seconds = (clock.now_ns() - begin_ns) as f64 / 1e9;
    match failure {
        Some(error) => Err(error),
        None => Ok(done),
    }
}
