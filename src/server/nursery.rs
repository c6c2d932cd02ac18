//! What it takes to start a vhost's task, and to wait for the disk: the store's handles and the settings all vhosts share.
//! Knows no names but those it is given.

use super::events::EventBus;
use super::mail::VhostInbox;
use super::random_bytes;
use super::vhost_about::VhostAbout;
use super::vhost_task::{self, VhostParts};
use super::wal_log::WalLog;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::queue::QueueKind;
use crate::vhost::events::EVENT_VHOST;
use crate::vhost::{DeliverMode, Vhost, VhostConfig, VhostSettings};
use ledgermq_storage::{DurationCounter, GroupId, Lsn, Progress, Reader, Wal};
use std::sync::Arc;
use tokio::sync::watch;

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Nursery {
    pub(super) wal: Wal,
    pub(super) reader: Reader,
    pub(super) clock: Clock,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) deliver: DeliverMode,
    pub(super) consumer_timeout_ms: u64,
    pub(super) budget: Budget,
    /// The type of queues that name none, in vhosts that say nothing of it.
    pub(super) default_queue_kind: QueueKind,
    pub(super) events: EventBus,
    pub(super) confirm_times: Arc<DurationCounter>,
}

impl Nursery {
    /// The log.
    pub(super) fn wal(&self) -> &Wal {
        &self.wal
    }

    /// The log as the vhost of `group` sees it.
    pub(super) fn log(&self, group: GroupId) -> WalLog {
        WalLog::new(self.wal.clone(), group)
    }

    /// Returns once the record at `lsn` is durable. If that will never be, the process is about to stop: waits for ever.
    pub(super) async fn durable(&self, lsn: Lsn) {
        let mut progress = self.progress.clone();
        if progress.wait_for(|progress| progress.durable > lsn).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What a vhost of this name is told at birth.
    pub(super) fn config(&self, name: &Arc<str>) -> VhostConfig {
        VhostConfig {
            name: Arc::clone(name),
            deliver: self.deliver,
            consumer_timeout_ms: self.consumer_timeout_ms,
            budget: self.budget.clone(),
            names_seed: random_bytes(),
            events: self.events.tap.clone(),
        }
    }

    /// What a vhost must know of what is said of it.
    pub(super) fn settings(&self, about: &VhostAbout) -> VhostSettings {
        about.settings(self.default_queue_kind)
    }

    /// A vhost that never was before.
    pub(super) fn start_empty(&self, name: &Arc<str>, group: GroupId, about: &VhostAbout) -> VhostInbox {
        self.start(name, group, Vhost::new(self.config(name)), about)
    }

    /// Puts a vhost to work.
    pub(super) fn start(
        &self,
        name: &Arc<str>,
        group: GroupId,
        mut vhost: Vhost,
        about: &VhostAbout,
    ) -> VhostInbox {
        vhost.configure(self.settings(about));
        let inbox = vhost_task::start(VhostParts {
            vhost,
            wal: self.wal.clone(),
            log: self.log(group),
            reader: self.reader.clone(),
            clock: self.clock,
            progress: self.progress.clone(),
            name: Arc::clone(name),
            events: self.events.clone(),
            confirm_times: Arc::clone(&self.confirm_times),
        });
        if **name == *EVENT_VHOST {
            self.events.lead_to(inbox.clone());
        }
        inbox
    }
}
