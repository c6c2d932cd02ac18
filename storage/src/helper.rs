//! The keeper's helper: does the slow work (index files, exports, the database, copying) on a thread of its own, one
//! piece after another, so that committed frames never wait behind it. Without a thread the same work is done in place,
//! which keeps simulated runs repeatable. It owns no state of the log: all it needs comes with the job.

use crate::compaction::{self, Copied, CopyJob};
use crate::disk::Disk;
use crate::export;
use crate::identity::StoreIdentity;
use crate::ids::Lsn;
use crate::index::sled_rows::{Base, RowsError, SledRows};
use crate::index::{Row, SealedSegment};
use crate::limits::HELPER_JOBS_MAX;
use crate::observer::{Observer, Work, WorkKind};
use crate::segment_index::IndexFiles;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A piece of slow work.
pub(crate) enum Job {
    /// Write the index file of a full segment.
    WriteIndex(SealedSegment),
    /// Write an export.
    Export { applied: Lsn, bytes: Vec<u8> },
    /// Bring the database up to date.
    SaveRows { rows: Vec<Row>, base: Base, applied: Lsn },
    /// Copy live messages into a cold segment.
    Copy(CopyJob),
}

/// What became of a job.
pub(crate) enum Done {
    Indexed(SealedSegment),
    NotIndexed(SealedSegment, io::Error),
    Exported(Lsn, io::Result<()>),
    Saved(Lsn, Result<(), RowsError>),
    Copied(Copied),
}

/// See the file's head.
pub(crate) struct Helper {
    worker: Place,
    in_flight: usize,
}

enum Place {
    Here { worker: Worker, done: VecDeque<Done> },
    Thread { jobs: Option<SyncSender<Job>>, done: Receiver<Done>, thread: Option<JoinHandle<()>> },
}

struct Worker {
    disk: Arc<dyn Disk>,
    identity: StoreIdentity,
    index_files: Arc<IndexFiles>,
    rows: Option<SledRows>,
    observer: Observer,
}

impl Helper {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        identity: StoreIdentity,
        index_files: Arc<IndexFiles>,
        threaded: bool,
        observer: Observer,
    ) -> io::Result<Helper> {
        let mut worker = Worker { disk, identity, index_files, rows: None, observer };
        if !threaded {
            return Ok(Helper { worker: Place::Here { worker, done: VecDeque::new() }, in_flight: 0 });
        }
        let (jobs, job_receiver) = sync_channel::<Job>(HELPER_JOBS_MAX);
        let (done_sender, done) = channel();
        let thread = Builder::new().name("wal-helper".into()).spawn(move || {
            for job in job_receiver {
                if done_sender.send(worker.run(job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Helper { worker: Place::Thread { jobs: Some(jobs), done, thread: Some(thread) }, in_flight: 0 })
    }

    /// Hands a job over; it comes back when there are too many.
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        match &mut self.worker {
            Place::Here { worker, done } => done.push_back(worker.run(job)),
            Place::Thread { jobs, .. } => {
                let Some(jobs) = jobs else { return Err(job) };
                match jobs.try_send(job) {
                    Ok(()) => {}
                    Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => return Err(job),
                }
            }
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Whether another job would be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight < HELPER_JOBS_MAX
    }

    /// A finished job, if there is one.
    ///
    /// # Errors
    /// The helper's thread is gone.
    pub(crate) fn poll(&mut self) -> io::Result<Option<Done>> {
        let done = match &mut self.worker {
            Place::Here { done, .. } => done.pop_front(),
            Place::Thread { done, .. } => match done.try_recv() {
                Ok(done) => Some(done),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Err(gone()),
            },
        };
        self.in_flight -= usize::from(done.is_some());
        Ok(done)
    }

    /// The next finished job; waits for it. `None`: nothing is under way.
    ///
    /// # Errors
    /// The helper's thread is gone.
    pub(crate) fn wait(&mut self) -> io::Result<Option<Done>> {
        if self.in_flight == 0 {
            return Ok(None);
        }
        let done = match &mut self.worker {
            Place::Here { done, .. } => done.pop_front().ok_or_else(gone)?,
            Place::Thread { done, .. } => done.recv().map_err(|_| gone())?,
        };
        self.in_flight -= 1;
        Ok(Some(done))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Place::Thread { jobs, thread, .. } = &mut self.worker {
            drop(jobs.take());
            // A panic in it was seen as a missing answer already.
            drop(thread.take().map(JoinHandle::join));
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the keeper's helper has ended")
}

impl Worker {
    fn run(&mut self, job: Job) -> Done {
        let kind = match &job {
            // As often as segments are full, and short.
            Job::WriteIndex(_) => return self.work(job),
            Job::Export { bytes, .. } => WorkKind::Export { bytes: bytes.len() as u64 },
            Job::SaveRows { rows, .. } => WorkKind::Checkpoint { rows: rows.len() as u64 },
            Job::Copy(_) => WorkKind::Compaction,
        };
        self.observer.tell(Work::Begins(kind));
        let done = self.work(job);
        let worked = match &done {
            Done::Exported(_, result) => result.is_ok(),
            Done::Saved(_, result) => result.is_ok(),
            Done::Copied(copied) => copied.result.is_ok(),
            Done::Indexed(_) | Done::NotIndexed(..) => true,
        };
        self.observer.tell(Work::Ends { worked });
        done
    }

    fn work(&mut self, job: Job) -> Done {
        let disk = &*self.disk;
        match job {
            Job::WriteIndex(sealed) => match self.index_files.turn().write(&sealed) {
                Ok(()) => Done::Indexed(sealed),
                Err(error) => Done::NotIndexed(sealed, error),
            },
            Job::Export { applied, bytes } => Done::Exported(applied, export::write(disk, applied, &bytes)),
            Job::SaveRows { rows, base, applied } => Done::Saved(
                applied,
                SledRows::save(&mut self.rows, disk, &self.identity, &rows, base, applied),
            ),
            Job::Copy(job) => Done::Copied(compaction::copy(disk, &self.identity, &self.index_files, &job)),
        }
    }
}
