//! The store: everything put together. Opening it recovers; then a commit thread, a keeper's thread and a preparer's
//! thread serve the handles until it is shut down. Without threads, `step` does their work in a fixed order, so that a
//! simulated disk can lose power at any point of it and the same seed finds the same point again.
//!
//! ```text
//! Wal ─▶ staging ─▶ committer ─▶ disk            watchers ◀─ progress
//!                       │ committed frames
//!                       ▼
//!                     keeper ─▶ index, index files, checkpoints; emptied segments ─▶ preparer ─▶ next segment
//! ```

use crate::commit::{Committer, Next};
use crate::disk::Disk;
use crate::durations::Durations;
use crate::error::{AppendError, OpenError};
use crate::frame::BufferPool;
use crate::id_blocks::{Ids, STORE_DEFINITION_KIND};
use crate::identity::StoreIdentity;
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::index::Index;
use crate::keeper::{Keeper, KeeperOptions, KeeperPorts};
use crate::limits::POOL_BYTES_MAX;
use crate::options::{Clock, Options};
use crate::prepare::Preparer;
use crate::reader::Reader;
use crate::record::{DefinitionKey, DeliveredRange, RecordHeader, RecordView};
use crate::recovery::{Found, RecoveryProgress, Replay, recover};
use crate::run::Run;
use crate::segment::{COLD_DIR, WAL_DIR, parse_segment_name};
use crate::settled::SettledSet;
use crate::staging::{Staging, StagingSettings};
use crate::survey::Survey;
use crate::threads::{Threads, forward};
use crate::wal::{Progress, Shared, Waits, Wal, Watcher};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// An open store.
pub struct Store {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    preparer: Arc<Preparer>,
    reader: Reader,
    monotonic_ms: Clock,
    uuid: [u8; 16],
    engine: Engine,
    survey: Arc<Mutex<Survey>>,
}

/// Who does the work.
enum Engine {
    /// [`Store::step`].
    Inline(Box<Inline>),
    /// Threads of the store.
    Threads(Threads),
    /// Nobody any more.
    Stopped,
}

struct Inline {
    committer: Committer,
    keeper: Keeper,
}

/// What a recovered store holds.
#[derive(Debug)]
pub struct Recovered {
    /// The store was closed cleanly (or is new). If not, any message may have been delivered before.
    pub clean: bool,
    /// All definitions, by group and key.
    pub definitions: Vec<(GroupId, DefinitionKey, Vec<u8>)>,
    /// Every queue that ever held a logged message and was not dropped, by id.
    pub queues: Vec<RecoveredQueue>,
    /// What was found, in numbers.
    pub statistics: RecoveryStatistics,
}

/// A queue as recovered.
#[derive(Debug)]
pub struct RecoveredQueue {
    /// Its id.
    pub id: QueueId,
    /// Its owner.
    pub group: GroupId,
    /// No logged message had this position or a higher one: the next message may take it.
    pub next_seq: Seq,
    /// Messages not settled.
    pub live: u64,
    /// Where its messages are, ascending.
    pub runs: Vec<Run>,
    /// Which of them are settled.
    pub settled: SettledSet,
    /// Which were delivered before the clean stop; some may be settled.
    pub delivered: Vec<DeliveredRange>,
}

/// A recovery in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryStatistics {
    /// Messages not settled, counted once for each queue.
    pub messages: u64,
    /// Bytes of their records, about.
    pub bytes: u64,
    /// Records read from the log; the index knew the others.
    pub replayed_records: u64,
}

/// What an operator may ask of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Which store it is, as long as it exists.
    pub uuid: [u8; 16],
    /// How far the log got, and what stops it.
    pub progress: Progress,
    /// Bytes appended and not yet written.
    pub staged_bytes: u64,
    /// Files of the log, the prepared one and those written by compaction included.
    pub segment_count: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes free for the broker's user.
    pub free_bytes: u64,
    /// How long the disk took to sync.
    pub sync_times: Durations,
}

impl Store {
    /// Opens the store on `disk`, creating it if it is not there; whoever calls holds the directory's lock. `progress` is
    /// told how far a long recovery is.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if durable bytes are damaged: then nothing was changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<(Store, Recovered), OpenError> {
        options.check()?;
        let identity = identity(&*disk, &options)?;
        let loaded = Index::load(&*disk, &identity)?;
        let mut index = loaded.index;
        let found = {
            let mut replay = IndexReplay(&mut index);
            recover(&*disk, &identity, options.segment_bytes, loaded.applied, &mut replay, progress)?
        };
        index.seal();
        Store::start(disk, options, identity, index, &found)
    }

    fn start(
        disk: Arc<dyn Disk>,
        options: Options,
        identity: StoreIdentity,
        index: Index,
        found: &Found,
    ) -> Result<(Store, Recovered), OpenError> {
        let pool = BufferPool::new(POOL_BYTES_MAX);
        let shared = Arc::new(shared(&options, &identity, &index, found, &pool));
        let next = SegmentId(found.end.segment.0 + 1);
        let preparer = Preparer::new(Arc::clone(&disk), Arc::clone(&shared), &options, next, found.leftovers)
            .map_err(OpenError::io("opening the next segment"))?;
        let preparer = Arc::new(preparer);
        let survey = Arc::new(Mutex::default());
        let ports = Ports {
            shared: Arc::clone(&shared),
            preparer: Arc::clone(&preparer),
            survey: Arc::clone(&survey),
        };
        let keeper =
            Keeper::new(Arc::clone(&disk), identity, index, keeper_options(&options), Box::new(ports))?;
        // The keeper has counted what only index files can tell.
        let recovered = recovered(keeper.index(), found);
        let reader = keeper.reader();
        let mut committer = Committer::new(
            Arc::clone(&disk),
            Arc::clone(&shared),
            Arc::clone(&preparer),
            pool,
            identity.uuid,
            &options,
            found.end,
        );
        start_log(&mut committer, &preparer, (options.monotonic_ms)())?;
        let mut inline = Box::new(Inline { committer, keeper });
        inline.hand_over(&shared);
        let engine = if options.threads {
            let Inline { committer, keeper } = *inline;
            let clock = Arc::clone(&options.monotonic_ms);
            let started = Threads::start(&shared, &preparer, committer, keeper, &clock);
            Engine::Threads(started.map_err(OpenError::io("starting a thread"))?)
        } else {
            Engine::Inline(inline)
        };
        let (monotonic_ms, uuid) = (options.monotonic_ms, identity.uuid);
        let store = Store { disk, shared, preparer, reader, monotonic_ms, uuid, engine, survey };
        Ok((store, recovered))
    }

    /// A handle to append with.
    pub fn wal(&self) -> Wal {
        Wal::new(Arc::clone(&self.shared))
    }

    /// A handle to read messages back with.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Has `watcher` told of progress from now on, and at once how things stand.
    pub fn watch(&self, watcher: Watcher) {
        self.shared.watch(watcher);
    }

    /// How things stand.
    ///
    /// # Errors
    /// Of the disk.
    pub fn status(&self) -> io::Result<StoreStatus> {
        let mut status = StoreStatus {
            uuid: self.uuid,
            progress: self.shared.progress(),
            staged_bytes: self.shared.lock().staging.bytes() as u64,
            free_bytes: self.disk.free_bytes()?,
            sync_times: self.disk.sync_times(),
            ..StoreStatus::default()
        };
        for dir in [WAL_DIR, COLD_DIR] {
            for (name, bytes) in self.disk.list(dir)? {
                if parse_segment_name(&name).is_some() {
                    status.segment_count += 1;
                    status.segment_bytes += bytes;
                }
            }
        }
        Ok(status)
    }

    /// What the segments hold, as it stood about a second ago.
    pub fn survey(&self) -> Survey {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves the limit of free disk space below which publishers are stopped, bytes; until the next start.
    pub fn set_disk_low_bytes(&self, bytes: u64) {
        self.preparer.set_disk_low_bytes(bytes);
    }

    /// In a store without threads: does everything that is due at `now_ms` of the monotonic clock.
    ///
    /// # Errors
    /// The first error of the disk; the log is poisoned then.
    pub fn step(&mut self, now_ms: u64) -> io::Result<()> {
        let Engine::Inline(inline) = &mut self.engine else { return Ok(()) };
        if self.shared.is_poisoned() {
            return Err(poisoned());
        }
        let stepped = inline.step(&self.shared, &self.preparer, now_ms).map(drop);
        if stepped.is_err() {
            self.shared.poison();
            self.shared.tell();
        }
        stepped
    }

    /// Writes and syncs everything appended, marks the log as cleanly closed, saves the index.
    ///
    /// # Errors
    /// The first error of the disk, also an earlier one: the log is poisoned, the next start recovers it.
    pub fn shutdown(mut self) -> io::Result<()> {
        self.shared.close();
        match std::mem::replace(&mut self.engine, Engine::Stopped) {
            Engine::Inline(_) if self.shared.is_poisoned() => Err(poisoned()),
            Engine::Inline(mut inline) => {
                let now_ms = (self.monotonic_ms)();
                loop {
                    match inline.step(&self.shared, &self.preparer, now_ms)? {
                        Next::Closed => return inline.keeper.close(),
                        // Only a segment that cannot be prepared keeps a closing log from going on.
                        Next::Sleep { .. } => return Err(io::Error::from(io::ErrorKind::StorageFull)),
                        Next::Again => {}
                    }
                }
            }
            Engine::Threads(threads) => threads.join(&self.preparer),
            Engine::Stopped => Ok(()),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Engine::Threads(threads) = std::mem::replace(&mut self.engine, Engine::Stopped) {
            // Dropped without a shutdown: as if the process had died here.
            self.shared.abandon();
            if let Err(error) = threads.join(&self.preparer) {
                tracing::warn!(%error, "a store was dropped without being shut down");
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("progress", &self.shared.progress()).finish_non_exhaustive()
    }
}

impl Inline {
    /// Everything that is due; ends when the committer would sleep.
    fn step(&mut self, shared: &Arc<Shared>, preparer: &Preparer, now_ms: u64) -> io::Result<Next> {
        loop {
            while preparer.work(now_ms)? {}
            let next = self.committer.step(now_ms)?;
            self.hand_over(shared);
            match next {
                Next::Again => {}
                Next::Sleep { waits: Waits::Segment, .. } if preparer.work(now_ms)? => {}
                Next::Sleep { .. } => {
                    self.keeper.maintain(now_ms)?;
                    return Ok(next);
                }
                Next::Closed => return Ok(next),
            }
        }
    }

    fn hand_over(&mut self, shared: &Arc<Shared>) {
        for frame in self.committer.take_committed() {
            forward(&mut self.keeper, shared, &frame);
        }
    }
}

/// What every step after a failed one answers: nothing is tried again.
fn poisoned() -> io::Error {
    io::Error::other("the log is poisoned by an earlier failure of the disk")
}

/// Reads who the store is; a new one is made up and its directories created.
fn identity(disk: &dyn Disk, options: &Options) -> Result<StoreIdentity, OpenError> {
    let creating = || OpenError::io("creating the store's directories");
    let identity = if let Some(identity) = StoreIdentity::read(disk)? {
        identity
    } else {
        let uuid = u128::from((options.random)()) << 64 | u128::from((options.random)());
        let identity = StoreIdentity {
            uuid: uuid.to_le_bytes(),
            seed: (options.random)() as u32,
            created_unix_ms: (options.unix_ms)(),
        };
        identity.create(disk)?;
        identity
    };
    for dir in [WAL_DIR, COLD_DIR] {
        disk.create_dir(dir).map_err(creating())?;
    }
    disk.sync_dir("").map_err(creating())?;
    Ok(identity)
}

fn shared(
    options: &Options,
    identity: &StoreIdentity,
    index: &Index,
    found: &Found,
    pool: &Arc<BufferPool>,
) -> Shared {
    let settings = StagingSettings {
        seed: identity.seed,
        segment_bytes: options.segment_bytes,
        unix_ms: Arc::clone(&options.unix_ms),
        pool: Arc::clone(pool),
        acks_apart: options.planted().acks_apart,
    };
    let marks = index.marks();
    let number = found.next_number.max(marks.number + 1);
    let staging = Staging::new(settings, SegmentId(found.end.segment.0 + 1), number);
    let key = Ids::key();
    let claimed = index
        .definitions()
        .find(|(group, name, _)| *group == GroupId::GLOBAL && **name == key)
        .map(|(_, _, value)| value);
    let ids = Ids::after(marks.queue, marks.group, claimed);
    let durable = Lsn::new(found.end.segment, found.end.offset);
    Shared::new(staging, durable, ids, options.staging_bytes_max)
}

fn keeper_options(options: &Options) -> KeeperOptions {
    KeeperOptions {
        segment_bytes: options.segment_bytes,
        checkpoint_bytes: options.checkpoint_bytes,
        checkpoint_ms: options.checkpoint_ms,
        export_bytes: options.export_bytes,
        export_ms: options.export_ms,
        threaded: options.threads,
        compact: options.compact,
        observer: options.observer.clone(),
    }
}

/// Opens the first segment of this run; prepares it if it is not there.
fn start_log(committer: &mut Committer, preparer: &Preparer, now_ms: u64) -> Result<(), OpenError> {
    let starting = || OpenError::io("opening a new segment");
    while !committer.start().map_err(starting())? {
        if !preparer.work(now_ms).map_err(starting())? {
            return Err(starting()(io::Error::from(io::ErrorKind::StorageFull)));
        }
    }
    Ok(())
}

fn recovered(index: &Index, found: &Found) -> Recovered {
    let definitions = index
        .definitions()
        .filter(|(group, key, _)| *group != GroupId::GLOBAL || key.kind != STORE_DEFINITION_KIND)
        .map(|(group, key, value)| (group, key.clone(), value.to_vec()))
        .collect();
    let mut queues: Vec<RecoveredQueue> = index
        .queues()
        .map(|(id, queue)| RecoveredQueue {
            id,
            group: queue.group(),
            next_seq: queue.next_seq(),
            live: queue.live(),
            runs: queue.runs(),
            settled: queue.settled().clone(),
            delivered: queue.delivered(id),
        })
        .collect();
    queues.sort_by_key(|queue| queue.id);
    let statistics = RecoveryStatistics {
        messages: queues.iter().map(|queue| queue.live).sum(),
        bytes: index.segments().map(|(_, segment)| segment.live_bytes()).sum(),
        replayed_records: found.record_count,
    };
    Recovered { clean: found.clean, definitions, queues, statistics }
}

/// Recovery's records go into the index.
struct IndexReplay<'a>(&'a mut Index);

impl Replay for IndexReplay<'_> {
    fn apply(&mut self, at: Lsn, header: &RecordHeader, view: &RecordView<'_>) {
        self.0.apply(at, header, view);
    }

    fn advance(&mut self, end: Lsn) {
        self.0.advance(end);
    }
}

/// The rest of the store, as the keeper sees it.
struct Ports {
    shared: Arc<Shared>,
    preparer: Arc<Preparer>,
    survey: Arc<Mutex<Survey>>,
}

impl KeeperPorts for Ports {
    fn recycle(&mut self, segment: SegmentId) -> io::Result<()> {
        self.preparer.retire(segment);
        Ok(())
    }

    fn relocate(&mut self, target: SegmentId, end: u64, sources: &[SegmentId]) -> Result<Lsn, AppendError> {
        Ok(Wal::new(Arc::clone(&self.shared)).relocate(target, end, sources))
    }

    fn sealed_below(&mut self, segment: SegmentId) {
        self.shared.set_sealed_below(segment);
        self.shared.tell();
    }

    fn space_is_low(&self) -> bool {
        self.shared.is_low_on_disk()
    }

    fn surveyed(&mut self, survey: Survey) {
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = survey;
    }
}
