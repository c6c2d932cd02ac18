//! The connections there are: how each is reached, and which vhost it opened. Owns their ids.

use super::mail::{ConnectionInbox, ConnectionMail};
use crate::connection::ConnectionReport;
use crate::vhost::command::ConnectionId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot, watch};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<HashMap<ConnectionId, Entry>>,
    next_id: AtomicU64,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Entry {
    inbox: Arc<ConnectionInbox>,
    vhost: Option<Arc<str>>,
}

impl Connections {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), next_id: AtomicU64::new(1), count: watch::Sender::new(0) }
    }

    /// Adds a connection. From now on it gets what is told to all.
    pub(super) fn register(&self) -> (Arc<ConnectionInbox>, UnboundedReceiver<ConnectionMail>) {
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (inbox, incoming) = ConnectionInbox::new(id);
        let mut open = self.lock();
        open.insert(id, Entry { inbox: Arc::clone(&inbox), vhost: None });
        self.count.send_replace(open.len());
        (inbox, incoming)
    }

    /// It is gone.
    pub(super) fn unregister(&self, id: ConnectionId) {
        let mut open = self.lock();
        open.remove(&id);
        self.count.send_replace(open.len());
    }

    /// It opened a vhost.
    pub(super) fn note_vhost(&self, id: ConnectionId, vhost: Arc<str>) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.vhost = Some(vhost);
        }
    }

    /// Tells all connections.
    pub(super) fn tell_all(&self, mail: impl Fn() -> ConnectionMail) {
        for entry in self.lock().values() {
            entry.inbox.send(mail());
        }
    }

    /// Tells those that opened `vhost`.
    pub(super) fn tell_vhost(&self, vhost: &str, mail: impl Fn() -> ConnectionMail) {
        for entry in self.lock().values().filter(|entry| entry.vhost.as_deref() == Some(vhost)) {
            entry.inbox.send(mail());
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are none.
    pub(super) async fn all_gone(&self) {
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// What there is to see of each, by id.
    pub(super) async fn reports(&self) -> Vec<ConnectionReport> {
        let mut answers = Vec::new();
        self.tell_each(|inbox| {
            let (sender, receiver) = oneshot::channel();
            inbox.send(ConnectionMail::Report(sender));
            answers.push(receiver);
        });
        let mut reports = Vec::with_capacity(answers.len());
        for answer in answers {
            // A connection that ended meanwhile is not there to be seen.
            reports.extend(answer.await.ok());
        }
        reports.sort_unstable_by_key(|report: &ConnectionReport| report.id);
        reports
    }

    fn tell_each(&self, mut tell: impl FnMut(&ConnectionInbox)) {
        for entry in self.lock().values() {
            tell(&entry.inbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
