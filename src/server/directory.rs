//! Which vhosts there are and who may do what: the broker-wide definitions of the global group. Owns the vhosts' inboxes
//! and the accounts; every change is durable before it is answered. Knows nothing of what vhosts hold.
//!
//! Accounts are handed out as snapshots: a change makes a new one and tells every connection. A change is appended to the
//! log under the lock that makes it visible, so that the log has the changes in the order in which they took effect.

use super::connections::Connections;
use super::events::EventBus;
use super::mail::{ConnectionMail, VhostInbox, VhostMail};
use super::nursery::Nursery;
use super::parameters::GlobalParameters;
use super::restore::Restored;
use super::survey::Listed;
use super::vhost_about::VhostAbout;
use crate::auth::{Accounts, AccountsError, PasswordHash, check_name};
use crate::definitions::{Definition, DefinitionChange, VhostDefinition};
use crate::vhost::figures::VhostFigures;
use crate::vhost::input::AdminCommand;
use ledgermq_storage::{Durations, GroupId, Lsn, Reader};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tracing::info;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) nursery: Nursery,
    pub(super) connections: Arc<Connections>,
    accounts: Mutex<Arc<Accounts>>,
    vhosts: Mutex<BTreeMap<Arc<str>, OpenVhost>>,
    pub(super) parameters: Mutex<GlobalParameters>,
}

/// A vhost that runs.
#[derive(Clone, Debug)]
pub(super) struct OpenVhost {
    /// Where it is reached.
    pub(super) inbox: VhostInbox,
    /// Group of its records.
    pub(super) group: GroupId,
    /// What operators said of it.
    pub(super) about: VhostAbout,
}

impl Directory {
    /// What was restored from the store.
    pub(super) fn new(nursery: Nursery, connections: Arc<Connections>, restored: Restored) -> Self {
        let Restored { accounts, vhosts, parameters, .. } = restored;
        Self {
            nursery,
            connections,
            accounts: Mutex::new(Arc::new(accounts)),
            vhosts: Mutex::new(vhosts),
            parameters: Mutex::new(parameters),
        }
    }

    /// Who may do what, as it stands now.
    pub(super) fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&lock(&self.accounts))
    }

    /// Where messages are read back.
    pub(super) fn reader(&self) -> Reader {
        self.nursery.reader.clone()
    }

    /// Where events are brought.
    pub(super) fn events(&self) -> &EventBus {
        &self.nursery.events
    }

    /// Where a vhost is reached.
    pub(super) fn vhost(&self, vhost: &str) -> Option<VhostInbox> {
        lock(&self.vhosts).get(vhost).map(|open| open.inbox.clone())
    }

    /// A vhost that runs.
    pub(super) fn open(&self, vhost: &str) -> Option<OpenVhost> {
        lock(&self.vhosts).get(vhost).cloned()
    }

    /// What operators said of each vhost, by name.
    pub(super) fn about_vhosts(&self) -> Vec<(Arc<str>, VhostAbout)> {
        let vhosts = lock(&self.vhosts);
        vhosts.iter().map(|(name, open)| (Arc::clone(name), open.about.clone())).collect()
    }

    /// All vhosts, by name.
    pub(super) fn vhosts(&self) -> Vec<(Arc<str>, VhostInbox)> {
        let vhosts = lock(&self.vhosts);
        vhosts.iter().map(|(name, open)| (Arc::clone(name), open.inbox.clone())).collect()
    }

    /// Sums over all vhosts, which copy nothing for it.
    pub(super) async fn figures(&self) -> VhostFigures {
        let mut sum = VhostFigures::default();
        for (_, inbox) in self.vhosts() {
            // A vhost that ended meanwhile is not there to be counted.
            if let Some(figures) = inbox.sums().await {
                sum.add(&figures);
            }
        }
        sum
    }

    /// How long confirms took.
    pub(super) fn confirm_times(&self) -> Durations {
        self.nursery.confirm_times.durations()
    }

    /// Changes users or permissions; returns once the change is durable.
    pub(super) async fn change_accounts(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<Vec<DefinitionChange>, AccountsError>,
    ) -> Result<(), AccountsError> {
        let lsn = self.change_accounts_with(change)?;
        self.nursery.durable(lsn).await;
        Ok(())
    }

    /// Keeps a user's password in a better way, unless it was changed meanwhile; returns once that is durable, and whether
    /// it was done. No connection and no event is told: nobody may do more or less.
    pub(super) async fn rehash(&self, user: &str, known: &PasswordHash, better: PasswordHash) -> bool {
        let lsn = {
            let mut current = lock(&self.accounts);
            let mut accounts = Accounts::clone(&current);
            let changes = accounts.rehash(user, known, better);
            if changes.is_empty() {
                return false;
            }
            *current = Arc::new(accounts);
            self.nursery.wal().define(GroupId::GLOBAL, &changes)
        };
        self.nursery.durable(lsn).await;
        true
    }

    fn change_accounts_with(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<Vec<DefinitionChange>, AccountsError>,
    ) -> Result<Lsn, AccountsError> {
        let mut current = lock(&self.accounts);
        let mut accounts = Accounts::clone(&current);
        let changes = change(&mut accounts)?;
        if changes.is_empty() {
            return Ok(Lsn::NONE);
        }
        let lsn = self.nursery.wal().define(GroupId::GLOBAL, &changes);
        self.nursery.events.tell_changes(&current, &changes);
        *current = Arc::new(accounts);
        self.connections.tell_all(|| ConnectionMail::Accounts(Arc::clone(&current)));
        Ok(lsn)
    }

    /// Adds a vhost; nothing happens if it is there. Returns once it is durable.
    pub(super) async fn add_vhost(&self, name: &str, about: VhostAbout) -> Result<(), AccountsError> {
        check_name(name)?;
        let lsn = {
            let mut vhosts = lock(&self.vhosts);
            if vhosts.contains_key(name) {
                return Ok(());
            }
            let group = self.nursery.wal().next_group_id();
            let definition = Definition::Vhost(VhostDefinition { name: name.to_owned(), group });
            let mut changes = vec![definition.set()];
            changes.extend(about.definitions(name).iter().map(Definition::set));
            let lsn = self.nursery.wal().define(GroupId::GLOBAL, &changes);
            let name: Arc<str> = Arc::from(name);
            let inbox = self.nursery.start_empty(&name, group, &about);
            self.nursery.events.tell_changes(&self.accounts(), &changes);
            vhosts.insert(name, OpenVhost { inbox, group, about });
            lsn
        };
        self.nursery.durable(lsn).await;
        info!(vhost = %name.escape_debug(), "vhost added");
        Ok(())
    }

    /// Changes what is said of a vhost, and tells it; returns once that is durable.
    pub(super) async fn change_vhost<E>(
        &self,
        name: &str,
        change: impl FnOnce(&mut VhostAbout) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<AccountsError>,
    {
        let (lsn, inbox) = {
            let mut vhosts = lock(&self.vhosts);
            let open = vhosts.get_mut(name).ok_or_else(|| AccountsError::NoSuchVhost(name.to_owned()))?;
            let before = open.about.clone();
            let mut about = before.clone();
            change(&mut about)?;
            let changes = about.changes_since(&before, name);
            if changes.is_empty() {
                return Ok(());
            }
            let lsn = self.nursery.wal().define(GroupId::GLOBAL, &changes);
            self.nursery.events.tell_changes(&self.accounts(), &changes);
            open.about = about;
            // In the order of the changes, because it is done under the lock.
            (lsn, open.inbox.tell(AdminCommand::Configure(self.nursery.settings(&open.about))))
        };
        let _ = inbox.await;
        self.nursery.durable(lsn).await;
        Ok(())
    }

    /// Deletes a vhost with all it holds, and closes the connections that opened it. The definition goes first: should
    /// the broker die half-way, the next start drops what belongs to no vhost.
    ///
    /// # Errors
    /// [`AccountsError::NoSuchVhost`], [`AccountsError::VhostProtected`].
    pub(super) async fn delete_vhost(&self, name: &str) -> Result<(), AccountsError> {
        let removed = {
            let mut vhosts = lock(&self.vhosts);
            if vhosts.get(name).is_some_and(|open| open.about.is_protected) {
                return Err(AccountsError::VhostProtected(name.to_owned()));
            }
            vhosts.remove(name).ok_or_else(|| AccountsError::NoSuchVhost(name.to_owned()))?
        };
        let definition = Definition::Vhost(VhostDefinition { name: name.to_owned(), group: removed.group });
        // Before the rights go, so that its clients hear why.
        let reason: Arc<str> = format!("vhost '{name}' is deleted").into();
        self.connections.tell_vhost(name, || ConnectionMail::Force(Arc::clone(&reason)));
        let lsn = self.change_accounts_with(|accounts| {
            let mut changes = accounts.forget_vhost(name);
            changes.push(definition.removed());
            changes.extend(removed.about.definitions(name).iter().map(Definition::removed));
            Ok(changes)
        })?;
        if let Some(names) = removed.inbox.names(Listed::Queues).await {
            for name in names {
                let delete = AdminCommand::DeleteQueue { name, if_unused: false, if_empty: false };
                removed.inbox.ask(delete).await;
            }
        }
        let (sender, ended) = oneshot::channel();
        removed.inbox.send(VhostMail::Shutdown(sender));
        let _ = ended.await;
        self.nursery.durable(lsn).await;
        info!(vhost = %name.escape_debug(), "vhost deleted");
        Ok(())
    }

    /// Ends all vhosts for a clean stop.
    pub(super) async fn shut_down_vhosts(&self) {
        for (_, inbox) in self.vhosts() {
            let (sender, ended) = oneshot::channel();
            inbox.send(VhostMail::Shutdown(sender));
            let _ = ended.await;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
