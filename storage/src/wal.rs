//! The WAL as its users see it: a handle to append records and to ask how far the disk got. Cheap to clone; shared by
//! all vhosts. Appending takes one short lock, encodes, and returns the record's position; it never waits for the disk.
//! A record is durable iff its position is below `durable()`; watchers are told once for each commit, not each record.

use crate::error::AppendError;
use crate::id_blocks::Ids;
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::record::{Change, DeliveredRange, Publish, Settle, SettleRange, SettleReason};
use crate::staging::{Asked, Staging, Stored};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How far the log got, as told to watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records below survive a power cut.
    pub durable: Lsn,
    /// Records below survive the death of the process. `>= durable`.
    pub written: Lsn,
    /// Segments below are sealed and have their index on disk.
    pub sealed_below: SegmentId,
    /// What stops publishers.
    pub alarm: Option<Alarm>,
    /// A write or sync failed: nothing more will become durable, the process must stop.
    pub poisoned: bool,
}

/// What stops publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Free disk space is low.
    Disk,
}

/// Told of progress, from the store's threads; must not block or call back into the store's appends.
pub type Watcher = Box<dyn Fn(Progress) + Send + Sync>;

/// A handle to the log.
#[derive(Clone)]
pub struct Wal {
    shared: Arc<Shared>,
}

/// What the handles, the commit thread, the preparer and the keeper share.
pub(crate) struct Shared {
    staging: Mutex<Staged>,
    /// Wakes the commit thread.
    wake: Condvar,
    /// Appends so far; written under the lock, read without it.
    appended: AtomicU64,
    durable: AtomicU64,
    written: AtomicU64,
    sealed_below: AtomicU32,
    low_on_disk: AtomicBool,
    poisoned: AtomicBool,
    /// The store was dropped without a shutdown: its threads end where they are.
    abandoned: AtomicBool,
    /// Bytes of frames written and not yet indexed.
    pub(crate) in_flight_bytes: AtomicUsize,
    pub(crate) staging_bytes_max: usize,
    watchers: Mutex<Vec<Watcher>>,
}

/// The staging buffer and what the commit thread waits for.
pub(crate) struct Staged {
    pub(crate) staging: Staging,
    ids: Ids,
    waits: Waits,
    /// The store is closing: the commit thread writes what is left, then ends.
    pub(crate) closing: bool,
}

/// What wakes the commit thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// It is at work and will look again.
    No,
    /// Any record.
    Any,
    /// It knows of settles and lets them wait for company: only what is urgent.
    Urgent,
    /// It holds a batch for a segment that is not prepared: only the preparer.
    Segment,
}

impl Wal {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Wal { shared }
    }

    /// Appends a message with its slots.
    ///
    /// # Errors
    /// [`AppendError::NoSpace`] while the disk is full, [`AppendError::TooLarge`] for what no frame can hold.
    pub fn publish(&self, group: GroupId, publish: &Publish<'_>) -> Result<Stored, AppendError> {
        self.append(|staged| staged.staging.publish(group, publish))
    }

    /// Notes that a message left its queue. Merged with its neighbours; written within `ack_flush_ms`.
    pub fn settle(&self, group: GroupId, settle: Settle) -> Lsn {
        self.append(|staged| staged.staging.settle(group, settle))
    }

    /// Notes that the messages from `first` to `last` left their queue, all for the same reason. As [`Wal::settle`] for
    /// each of them, at the cost of one.
    pub fn settle_range(
        &self,
        group: GroupId,
        queue: QueueId,
        (first, last): (Seq, Seq),
        reason: SettleReason,
    ) -> Lsn {
        self.append(|staged| {
            let mut next = first;
            loop {
                let left = (last.0 - next.0).saturating_add(1);
                let count = u32::try_from(left).unwrap_or(u32::MAX);
                let range = SettleRange { queue, first: next, count };
                let lsn = staged.staging.settle_range(group, range, reason);
                if left <= u64::from(count) {
                    return lsn;
                }
                next = Seq(next.0 + u64::from(count));
            }
        })
    }

    /// Appends publishes and settles as one record: after any crash all of them are there or none. Returns the position
    /// of the record and, for each publish in order, where its own record inside lies.
    ///
    /// # Errors
    /// As [`Wal::publish`]; then none of it was taken.
    pub fn transaction(
        &self,
        group: GroupId,
        publishes: &[Publish<'_>],
        settles: &[Settle],
    ) -> Result<(Lsn, Vec<Stored>), AppendError> {
        self.append(|staged| staged.staging.transaction(group, publishes, settles))
    }

    /// Sets (`Some`) or removes definitions, all in one record (unless they are larger than a frame).
    pub fn define(&self, group: GroupId, changes: &[Change]) -> Lsn {
        self.append(|staged| staged.staging.define(group, changes))
    }

    /// Removes every message of the queue up to and including `last`, but those in `kept`.
    pub fn purge(&self, group: GroupId, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn {
        self.append(|staged| staged.staging.purge(group, queue, last, kept))
    }

    /// Removes a queue with all its messages, and definitions with it, in one record (unless larger than a frame).
    pub fn drop_queue(&self, group: GroupId, queue: QueueId, changes: &[Change]) -> Lsn {
        self.append(|staged| staged.staging.drop_queue(group, queue, changes))
    }

    /// Notes, at a clean stop, which messages were delivered and not settled.
    pub fn delivered(&self, group: GroupId, ranges: &[DeliveredRange]) -> Lsn {
        self.append(|staged| staged.staging.delivered(group, ranges))
    }

    /// Notes that the live messages of `sources` are in the cold segment `target`, which is synced and ends at `end`.
    pub(crate) fn relocate(&self, target: SegmentId, end: u64, sources: &[SegmentId]) -> Lsn {
        self.append(|staged| staged.staging.relocate(target, end, sources))
    }

    /// A queue id never used before in this store.
    pub fn next_queue_id(&self) -> QueueId {
        self.append(|staged| staged.ids.next_queue(&mut staged.staging))
    }

    /// A group id never used before in this store.
    pub fn next_group_id(&self) -> GroupId {
        self.append(|staged| staged.ids.next_group(&mut staged.staging))
    }

    /// Asks that everything appended so far be written and synced without waiting for company.
    pub fn flush(&self) {
        self.shared.ask(Asked::Sync);
    }

    /// Asks that everything appended so far be written now: it then survives the death of the process, and is synced
    /// within `ack_flush_ms`.
    pub fn flush_written(&self) {
        self.shared.ask(Asked::Write);
    }

    /// Records below survive a power cut.
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    /// Records below survive the death of the process.
    pub fn written(&self) -> Lsn {
        self.shared.written()
    }

    /// Whether publishers may go on: bytes appended and not yet durable and indexed are within bounds. Settles and
    /// definitions need not ask. Watchers are told when it may have become true again.
    pub fn has_room(&self) -> bool {
        let staged = self.shared.lock().staging.bytes();
        staged + self.shared.in_flight_bytes.load(Ordering::Relaxed) < self.shared.staging_bytes_max
    }

    fn append<T>(&self, append: impl FnOnce(&mut Staged) -> T) -> T {
        let mut staged = self.shared.lock();
        let appended = append(&mut staged);
        self.shared.count_append(&staged);
        let wakes = staged.wakes();
        drop(staged);
        if wakes {
            self.shared.wake.notify_one();
        }
        appended
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("durable", &self.durable()).field("written", &self.written()).finish()
    }
}

impl Staged {
    /// Whether the commit thread must be woken now; if so it counts as awake.
    fn wakes(&mut self) -> bool {
        let wakes = match self.waits {
            Waits::No => false,
            Waits::Segment => self.staging.spare_ready,
            Waits::Any => !self.staging.is_empty() || self.staging.asked != Asked::Nothing || self.closing,
            Waits::Urgent => self.staging.is_urgent() || self.staging.asked != Asked::Nothing || self.closing,
        };
        if wakes {
            self.waits = Waits::No;
        }
        wakes
    }
}

impl Shared {
    pub(crate) fn new(staging: Staging, durable: Lsn, ids: Ids, max: usize) -> Self {
        Shared {
            staging: Mutex::new(Staged { staging, ids, waits: Waits::No, closing: false }),
            wake: Condvar::new(),
            appended: AtomicU64::new(0),
            durable: AtomicU64::new(durable.0),
            written: AtomicU64::new(durable.0),
            sealed_below: AtomicU32::new(0),
            low_on_disk: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            in_flight_bytes: AtomicUsize::new(0),
            staging_bytes_max: max,
            watchers: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Staged> {
        // A panic under the lock may have left half a record in the batch; the frame's records would not add up.
        let staged = self.staging.lock();
        assert!(staged.is_ok(), "no append has panicked");
        staged.unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an append, of whoever holds the lock.
    fn count_append(&self, _: &MutexGuard<'_, Staged>) {
        self.appended.store(self.appended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Appends so far.
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    fn ask(&self, asked: Asked) {
        let mut staged = self.lock();
        staged.staging.asked = staged.staging.asked.max(asked);
        let wakes = staged.wakes();
        drop(staged);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Lets the commit thread look again, whatever it waits for.
    pub(crate) fn wake(&self) {
        self.lock().waits = Waits::No;
        self.wake.notify_one();
    }

    /// Ends the threads where they are.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Says whether the next segment is prepared.
    pub(crate) fn set_spare_ready(&self, ready: bool) {
        self.lock().staging.spare_ready = ready;
        if ready {
            self.wake();
        }
    }

    /// Tells the commit thread to write what is left and end.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake();
    }

    /// Puts the commit thread to sleep until `waits` is over, or `timeout_ms` are.
    pub(crate) fn wait(&self, waits: Waits, timeout_ms: Option<u64>) {
        let mut staged = self.lock();
        staged.waits = waits;
        if staged.wakes() || self.is_poisoned() || self.is_abandoned() {
            staged.waits = Waits::No;
            return;
        }
        let asleep = |staged: &mut Staged| staged.waits != Waits::No;
        let mut staged = match timeout_ms {
            Some(ms) => {
                let timeout = std::time::Duration::from_millis(ms);
                let woken = self.wake.wait_timeout_while(staged, timeout, asleep);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.wake.wait_while(staged, asleep).unwrap_or_else(PoisonError::into_inner),
        };
        staged.waits = Waits::No;
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn written(&self) -> Lsn {
        Lsn(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn set_written(&self, written: Lsn) {
        self.written.store(written.0, Ordering::Release);
    }

    pub(crate) fn set_durable(&self, durable: Lsn) {
        self.durable.store(durable.0, Ordering::Release);
    }

    pub(crate) fn set_sealed_below(&self, segment: SegmentId) {
        self.sealed_below.store(segment.0, Ordering::Release);
    }

    /// Sets or clears the alarm. Returns whether that changed it.
    pub(crate) fn set_low_on_disk(&self, low: bool) -> bool {
        self.lock().staging.scarce = low;
        self.low_on_disk.swap(low, Ordering::AcqRel) != low
    }

    pub(crate) fn is_low_on_disk(&self) -> bool {
        self.low_on_disk.load(Ordering::Acquire)
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            durable: self.durable(),
            written: self.written(),
            sealed_below: SegmentId(self.sealed_below.load(Ordering::Acquire)),
            alarm: self.is_low_on_disk().then_some(Alarm::Disk),
            poisoned: self.is_poisoned(),
        }
    }

    /// Tells every watcher how far the log got. Never called with the staging lock held.
    pub(crate) fn tell(&self) {
        let progress = self.progress();
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for watcher in watchers.iter() {
            watcher(progress);
        }
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        watcher(self.progress());
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }
}
