//! The store of a durable message broker: a segmented write-ahead log, its index, and recovery.
//! Knows no AMQP: a message is a record with slots in queues, a definition is a key with bytes.

mod checkpoint;
mod commit;
mod compaction;
mod dir_lock;
mod disk;
mod durations;
pub mod encoding;
mod error;
mod export;
mod field;
mod files;
pub mod frame;
mod handover;
mod helper;
mod id_blocks;
mod identity;
mod ids;
pub mod index;
pub mod inspect;
mod keeper;
pub mod limits;
mod observer;
mod options;
mod pending;
mod prepare;
mod reader;
pub mod record;
mod record_decode;
pub mod record_encode;
mod recovery;
mod run;
pub mod segment;
mod segment_index;
mod segment_scan;
mod settled;
mod sim_disk;
mod staging;
mod store;
mod survey;
mod sync_times;
mod threads;
mod wal;

pub use checkpoint::Loaded;
pub use dir_lock::{DirLock, LOCK_NAME};
pub use disk::{Allocate, Disk, FileId, RealDisk};
pub use durations::{DURATION_CLASSES_US, DurationCounter, Durations, quantile};
pub use error::{AppendError, Damage, OpenError, RecordError};
pub use frame::CommittedFrame;
pub use id_blocks::STORE_DEFINITION_KIND;
pub use identity::StoreIdentity;
pub use ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
pub use index::Index;
pub use keeper::{Keeper, KeeperOptions, KeeperPorts};
pub use observer::{Observer, Work, WorkKind};
#[cfg(feature = "planted-bugs")]
pub use options::PlantedBug;
pub use options::{Clock, Options, Random};
pub use reader::{ReadError, Reader, StoredMessage, Wanted};
pub use record::{
    Change, DefinitionKey, DeliveredRange, Publish, RecordHeader, RecordView, Settle, SettleReason, Slot,
};
pub use recovery::RecoveryProgress;
pub use run::{IndexEntry, Run, StoredEntry};
pub use settled::SettledSet;
pub use sim_disk::{SimDisk, SyncFailure};
pub use staging::Stored;
pub use store::{Recovered, RecoveredQueue, RecoveryStatistics, Store, StoreStatus};
pub use survey::{Survey, SurveyedSegment};
pub use wal::{Alarm, Progress, Wal, Watcher};
