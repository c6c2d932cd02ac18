//! The connections there are: how each is reached, which vhost it opened, and as whom. Owns their ids and counts them.

use super::mail::{ConnectionInbox, ConnectionMail};
use crate::auth::Tally;
use crate::connection::{ConnectionReport, Peer, Traffic};
use crate::vhost::command::ConnectionId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot, watch};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Connections {
    registry: Mutex<Registry>,
    next_id: AtomicU64,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Registry {
    open: HashMap<ConnectionId, Entry>,
    /// Connections that opened a vhost.
    admitted: u64,
    by_vhost: HashMap<Arc<str>, u64>,
    by_user: HashMap<Arc<str>, UserShare>,
}

#[derive(Debug)]
struct Entry {
    inbox: Arc<ConnectionInbox>,
    peer: Option<Peer>,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    vhost: Arc<str>,
    user: Arc<str>,
}

#[derive(Debug, Default)]
struct UserShare {
    connections: u64,
    channels: Tally,
}

/// A connection as others may know it without asking it.
#[derive(Clone, Debug)]
pub struct Acquaintance {
    /// Which.
    pub id: ConnectionId,
    /// The client's and our address.
    pub peer: Peer,
    /// The vhost it opened.
    pub vhost: Arc<str>,
    /// As whom.
    pub user: Arc<str>,
    /// What its socket carried; what waits to be sent is not told.
    pub traffic: Traffic,
}

/// How many connections opened a vhost so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// All.
    pub(super) node: u64,
    /// The one that is asked for.
    pub(super) vhost: u64,
    /// As this user.
    pub(super) user: u64,
}

impl Connections {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { registry: Mutex::default(), next_id: AtomicU64::new(1), count: watch::Sender::new(0) }
    }

    /// Adds a connection. From now on it gets what is told to all.
    pub(super) fn register(&self) -> (Arc<ConnectionInbox>, UnboundedReceiver<ConnectionMail>) {
        let id = self.next_id();
        let (inbox, incoming) = ConnectionInbox::new(id);
        let mut registry = self.lock();
        registry.open.insert(id, Entry { inbox: Arc::clone(&inbox), peer: None, opened: None });
        self.count.send_replace(registry.open.len());
        (inbox, incoming)
    }

    /// An id for somebody who is not counted among the connections.
    pub(super) fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Says who is at the other end.
    pub(super) fn introduce(&self, id: ConnectionId, peer: Peer) {
        if let Some(entry) = self.lock().open.get_mut(&id) {
            entry.peer = Some(peer);
        }
    }

    /// Those that opened a vhost, as others may know them, by id.
    pub(super) fn acquaintances(&self) -> Vec<Acquaintance> {
        let registry = self.lock();
        let mut all: Vec<_> = registry
            .open
            .iter()
            .filter_map(|(id, entry)| {
                let Opened { vhost, user } = entry.opened.as_ref()?;
                Some(Acquaintance {
                    id: *id,
                    peer: entry.peer?,
                    vhost: Arc::clone(vhost),
                    user: Arc::clone(user),
                    traffic: entry.inbox.carried.traffic(),
                })
            })
            .collect();
        all.sort_unstable_by_key(|one| one.id);
        all
    }

    /// It is gone.
    pub(super) fn unregister(&self, id: ConnectionId) {
        let mut registry = self.lock();
        if let Some(Entry { opened: Some(opened), .. }) = registry.open.remove(&id) {
            registry.forget(&opened);
        }
        self.count.send_replace(registry.open.len());
    }

    /// Lets a connection open `vhost` as `user` if `may` agrees, which is told how many did so before; no other is
    /// let in meanwhile. Answers what `may` did, and where the channels of the user are counted.
    pub(super) fn admit<T, E>(
        &self,
        id: ConnectionId,
        vhost: &Arc<str>,
        user: &Arc<str>,
        may: impl FnOnce(Counts) -> Result<T, E>,
    ) -> Result<(T, Tally), E> {
        let mut registry = self.lock();
        let counts = Counts {
            node: registry.admitted,
            vhost: registry.by_vhost.get(vhost).copied().unwrap_or_default(),
            user: registry.by_user.get(user).map(|share| share.connections).unwrap_or_default(),
        };
        let allowed = may(counts)?;
        let channels = registry.by_user.entry(Arc::clone(user)).or_default().channels.clone();
        if let Some(entry) = registry.open.get_mut(&id) {
            let opened = Opened { vhost: Arc::clone(vhost), user: Arc::clone(user) };
            if let Some(before) = entry.opened.replace(opened) {
                registry.forget(&before);
            }
            registry.admitted += 1;
            *registry.by_vhost.entry(Arc::clone(vhost)).or_default() += 1;
            registry.by_user.entry(Arc::clone(user)).or_default().connections += 1;
        }
        Ok((allowed, channels))
    }

    /// Tells all connections.
    pub(super) fn tell_all(&self, mail: impl Fn() -> ConnectionMail) {
        for entry in self.lock().open.values() {
            entry.inbox.send(mail());
        }
    }

    /// Tells those that opened `vhost`.
    pub(super) fn tell_vhost(&self, vhost: &str, mail: impl Fn() -> ConnectionMail) {
        let registry = self.lock();
        let there = |entry: &&Entry| entry.opened.as_ref().is_some_and(|opened| *opened.vhost == *vhost);
        for entry in registry.open.values().filter(there) {
            entry.inbox.send(mail());
        }
    }

    /// Tells one; whether it is there.
    pub(super) fn tell(&self, id: ConnectionId, mail: ConnectionMail) -> bool {
        let registry = self.lock();
        let entry = registry.open.get(&id);
        entry.inspect(|entry| entry.inbox.send(mail)).is_some()
    }

    /// Those that opened a vhost and are `chosen` by its name and their user's, oldest first.
    pub(super) fn opened(&self, chosen: impl Fn(&str, &str) -> bool) -> Vec<ConnectionId> {
        let registry = self.lock();
        let opened = registry.open.iter().filter_map(|(id, entry)| Some((*id, entry.opened.as_ref()?)));
        let mut ids: Vec<_> =
            opened.filter(|(_, opened)| chosen(&opened.vhost, &opened.user)).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// How many opened `vhost`.
    pub(super) fn count_in(&self, vhost: &str) -> u64 {
        self.lock().by_vhost.get(vhost).copied().unwrap_or_default()
    }

    /// How many there were since the start, those that are gone included.
    pub(super) fn opened_count(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
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
        self.reports_of(|_| true).await
    }

    /// What there is to see of those that are `chosen`, by id.
    pub(super) async fn reports_of(&self, chosen: impl Fn(ConnectionId) -> bool) -> Vec<ConnectionReport> {
        let mut answers = Vec::new();
        self.tell_each(|inbox| {
            if !chosen(inbox.id) {
                return;
            }
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
        for entry in self.lock().open.values() {
            tell(&entry.inbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn forget(&mut self, opened: &Opened) {
        self.admitted -= 1;
        if let Some(count) = self.by_vhost.get_mut(&opened.vhost) {
            *count -= 1;
            if *count == 0 {
                self.by_vhost.remove(&opened.vhost);
            }
        }
        if let Some(share) = self.by_user.get_mut(&opened.user) {
            share.connections -= 1;
            if share.connections == 0 {
                self.by_user.remove(&opened.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_vhost_or_a_user_are_found_and_told() {
        let connections = Connections::new();
        let (eve, mut eves_mail) = connections.register();
        let (bob, _bobs_mail) = connections.register();
        let (handshaking, _mail) = connections.register();
        for (id, vhost, user) in [(bob.id, "v", "bob"), (eve.id, "w", "eve")] {
            connections.admit(id, &vhost.into(), &user.into(), |_| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(connections.opened(|_, _| true), [eve.id, bob.id], "not the one that shakes hands");
        assert_eq!(connections.opened(|vhost, _| vhost == "v"), [bob.id]);
        assert_eq!(connections.opened(|_, user| user == "eve"), [eve.id]);
        assert!(connections.tell(eve.id, ConnectionMail::Force("why".into())));
        assert!(matches!(eves_mail.try_recv(), Ok(ConnectionMail::Force(text)) if &*text == "why"));
        connections.unregister(handshaking.id);
        assert!(!connections.tell(handshaking.id, ConnectionMail::Drop), "it is gone");
    }

    #[test]
    fn connections_are_counted_by_vhost_and_user() {
        let connections = Connections::new();
        let (vhost, user): (Arc<str>, Arc<str>) = ("v".into(), "u".into());
        let admit = |id, expected| {
            let admitted = connections.admit(id, &vhost, &user, |counts| {
                assert_eq!((counts.node, counts.vhost, counts.user), expected);
                Ok::<_, ()>(())
            });
            admitted.unwrap().1
        };
        let (one, _mail) = connections.register();
        let (two, _mail) = connections.register();
        let channels = admit(one.id, (0, 0, 0));
        let taken = channels.take(None).unwrap();
        assert_eq!(admit(two.id, (1, 1, 1)).count(), 1, "they count together");
        assert_eq!(connections.admit(two.id, &"w".into(), &user, |_| Err::<(), _>("no")).unwrap_err(), "no");
        connections.unregister(one.id);
        let (three, _mail) = connections.register();
        admit(three.id, (1, 1, 1));
        connections.unregister(two.id);
        connections.unregister(three.id);
        let (four, _mail) = connections.register();
        admit(four.id, (0, 0, 0));
        drop(taken);
    }
}
