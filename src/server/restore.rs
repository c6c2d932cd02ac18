//! From what the store recovered to running vhosts and accounts. A new store gets vhost `/` and user `guest`; what belongs
//! to no vhost (the broker died while one was being deleted) is dropped.

use super::directory::OpenVhost;
use super::error::ServeError;
use super::logins::salt;
use super::nursery::Nursery;
use super::parameters::GlobalParameters;
use super::vhost_about::VhostAbout;
use crate::auth::{Accounts, AccountsError, PasswordHash, check_name};
use crate::config::Config;
use crate::definitions::{Definition, VhostDefinition};
use crate::vhost::Vhost;
use crate::vhost::log::Log;
use ledgermq_storage::{DefinitionKey, GroupId, Recovered, RecoveredQueue, STORE_DEFINITION_KIND};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{info, warn};

/// What came back.
pub(super) struct Restored {
    pub(super) accounts: Accounts,
    pub(super) vhosts: BTreeMap<Arc<str>, OpenVhost>,
    pub(super) parameters: GlobalParameters,
    /// Durable queues of all vhosts.
    pub(super) queue_count: usize,
}

/// What one group holds.
#[derive(Default)]
struct Group {
    definitions: Vec<(DefinitionKey, Vec<u8>)>,
    queues: Vec<RecoveredQueue>,
}

/// Starts everything that was recovered. `accounts` are empty, and take what was.
pub(super) async fn restore(
    nursery: &Nursery,
    recovered: Recovered,
    mut accounts: Accounts,
    config: &Config,
) -> Result<Restored, ServeError> {
    let clean = recovered.clean;
    let mut groups = split(recovered);
    let mut global = decode(&groups.remove(&GroupId::GLOBAL).unwrap_or_default().definitions)?;
    // As in RabbitMQ, definitions that a new store is given say all: nobody is there whom they do not name.
    if global.is_empty() && config.definitions.is_none() {
        global = begin(nursery, &accounts, config).await?;
    }
    for unusable in accounts.restore(global.iter()) {
        warn!("{}", unusable.escape_debug());
    }
    let mut vhosts = BTreeMap::new();
    let mut queue_count = 0;
    for definition in &global {
        let Definition::Vhost(VhostDefinition { name, group }) = definition else { continue };
        let (about, group) = (VhostAbout::restore(name, &global), *group);
        let name: Arc<str> = name.as_str().into();
        let held = groups.remove(&group).unwrap_or_default();
        let definitions = decode(&held.definitions)?;
        queue_count += definitions.iter().filter(|held| matches!(held, Definition::Queue(_))).count();
        let vhost = Vhost::restore(nursery.config(&name), definitions, held.queues, clean)
            .map_err(|error| ServeError::Corrupt(format!("vhost '{name}': {error}")))?;
        let inbox = nursery.start(&name, group, vhost, &about);
        vhosts.insert(name, OpenVhost { inbox, group, about });
    }
    for (group, held) in groups {
        drop_group(nursery, group, held);
    }
    Ok(Restored { accounts, vhosts, parameters: GlobalParameters::restore(&global), queue_count })
}

fn split(recovered: Recovered) -> BTreeMap<GroupId, Group> {
    let mut groups: BTreeMap<GroupId, Group> = BTreeMap::new();
    for (group, key, value) in recovered.definitions {
        // The store keeps notes of its own beside ours.
        if key.kind != STORE_DEFINITION_KIND {
            groups.entry(group).or_default().definitions.push((key, value));
        }
    }
    for queue in recovered.queues {
        groups.entry(queue.group).or_default().queues.push(queue);
    }
    groups
}

fn decode(definitions: &[(DefinitionKey, Vec<u8>)]) -> Result<Vec<Definition>, ServeError> {
    let decoded = definitions.iter().map(|(key, value)| Definition::decode(key, value));
    decoded.collect::<Result<_, _>>().map_err(|error| ServeError::Corrupt(error.to_string()))
}

/// What a new store begins with, durable before anybody can rely on it.
async fn begin(
    nursery: &Nursery,
    accounts: &Accounts,
    config: &Config,
) -> Result<Vec<Definition>, ServeError> {
    let (user, vhost) = (&config.default_user, &config.default_vhost);
    let wrong = |error: AccountsError| ServeError::Configuration(error.to_string());
    check_name(user).and_then(|()| check_name(vhost)).map_err(wrong)?;
    let hash = PasswordHash::new(config.default_pass.expose(), accounts.hashing(), salt()).map_err(wrong)?;
    let group = nursery.wal().next_group_id();
    let mut definitions = vec![Definition::Vhost(VhostDefinition { name: vhost.clone(), group })];
    let (tags, permissions) = (&config.default_user_tags, &config.default_permissions);
    definitions.extend(Accounts::fresh_with(user, vhost, &hash, tags, permissions));
    let changes: Vec<_> = definitions.iter().map(Definition::set).collect();
    let lsn = nursery.wal().define(GroupId::GLOBAL, &changes);
    nursery.durable(lsn).await;
    let from = if config.loopback_users.contains(user) { " who may log in from this machine" } else { "" };
    info!(
        "a new store, with vhost {} and user {}{from}; add a user of your own with: ledgermq ctl add_user NAME",
        vhost.escape_debug(),
        user.escape_debug()
    );
    Ok(definitions)
}

/// Drops what a vhost left behind whose definition is gone.
fn drop_group(nursery: &Nursery, group: GroupId, held: Group) {
    let mut log = nursery.log(group);
    for queue in &held.queues {
        log.drop_queue(queue.id, &[]);
    }
    let removed: Vec<_> = held.definitions.into_iter().map(|(key, _)| (key, None)).collect();
    if !removed.is_empty() {
        log.define(&removed);
    }
    info!(group = group.0, queues = held.queues.len(), "dropped what a deleted vhost left behind");
}
