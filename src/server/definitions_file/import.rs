//! Definitions brought in. What can be refused is refused before anything is done; then in RabbitMQ's order: vhosts, users
//! with their rights in one step, limits and parameters, policies, queues, exchanges, bindings. Queues and exchanges that
//! are there stay as they are; a binding whose end is missing is passed over, as in RabbitMQ.

use super::document::{Document, Secret, UserEntry, VhostEntry};
use super::{ImportError, VhostObjects};
use crate::auth::{Accounts, AccountsError, MAX_QUEUES, PasswordHash, check_name};
use crate::definitions::{DefinitionChange, DestinationKind, PermissionDefinition};
use crate::limits::{IMPORT_ORDERS_MAX, QUEUES_PER_VHOST_MAX};
use crate::server::Broker;
use crate::server::parameters::ParameterError;
use crate::server::vhost_about::VhostAbout;
use crate::server::visit::Visit;
use crate::vhost::command::Command;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::{BindingObject, ExchangeObject, PolicyLayer, QueueObject};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tracing::{info, warn};

/// What a file adds to a vhost, and what stands there.
struct Plan {
    adds: VhostObjects,
    stands: Standing,
}

/// The names in a vhost that a file may speak of.
#[derive(Default)]
struct Standing {
    queues: HashSet<Arc<str>>,
    exchanges: HashSet<Arc<str>>,
}

impl Standing {
    /// `None` if there is no such vhost.
    async fn of(broker: &Broker, vhost: &str) -> Option<Self> {
        let inbox = broker.directory.vhost(vhost)?;
        let queues = inbox.queue_objects().await?.into_iter().map(|queue| queue.name).collect();
        let exchanges = inbox.exchange_objects().await?.into_iter().map(|exchange| exchange.name).collect();
        Some(Self { queues, exchanges })
    }
}

impl Broker {
    /// Brings in a definitions file, of the whole broker or of one vhost; returns once all of it is durable. Who imports
    /// gets all rights in vhosts that are new; nobody, if it is the broker itself.
    ///
    /// # Errors
    /// What is wrong, and with which entry. Types, names, arguments and policies are checked before anything is done.
    pub async fn import_definitions(
        &self,
        file: &Json,
        vhost: Option<&str>,
        user: Option<&str>,
    ) -> Result<(), ImportError> {
        let mut document = Document::read(file, vhost)?;
        let plans = self.plan(&mut document).await?;
        let users = self.secrets(std::mem::take(&mut document.users)).await?;
        self.check_accounts(&document, &users)?;
        for entry in document.vhosts.drain(..) {
            let name = entry.name.clone();
            self.put_vhost(entry, user)
                .await
                .map_err(|error| ImportError::of(format!("vhost '{name}'"), &error))?;
        }
        let changed = self.directory.change_accounts(|accounts| set_accounts(accounts, &document, &users));
        changed.await.map_err(|error| ImportError::new(error.to_string()))?;
        for (name, limits) in std::mem::take(&mut document.limits) {
            let changed = self.directory.change_vhost(&name, |about| {
                about.limits = limits;
                Ok::<_, AccountsError>(())
            });
            changed.await.map_err(|error| ImportError::of(format!("limits of vhost '{name}'"), &error))?;
        }
        for (name, value) in document.global_parameters.drain(..) {
            let set: Result<bool, ParameterError> = self.set_global_parameter(&name, value).await;
            set.map_err(|error| ImportError::of(format!("global parameter '{name}'"), &error))?;
        }
        for (name, plan) in &plans {
            self.set_policies(name, &plan.adds).await?;
        }
        for (name, plan) in plans {
            self.declare(&name, plan, user.unwrap_or_default()).await?;
        }
        info!(vhost = vhost.unwrap_or_default(), "definitions imported");
        Ok(())
    }

    /// Adds a vhost, or changes what is said of it; answers whether it is new, once that is durable. `user` gets all rights
    /// in a new one.
    pub(crate) async fn put_vhost(
        &self,
        entry: VhostEntry,
        user: Option<&str>,
    ) -> Result<bool, AccountsError> {
        let VhostEntry { name, description, tags, default_queue_kind, limits, protected } = entry;
        let say = |about: &mut VhostAbout| {
            about.description = description.unwrap_or_else(|| std::mem::take(&mut about.description));
            about.tags = tags.unwrap_or_else(|| std::mem::take(&mut about.tags));
            about.default_queue_kind = default_queue_kind.or(about.default_queue_kind);
            about.limits = limits.unwrap_or_else(|| std::mem::take(&mut about.limits));
            about.is_protected = protected.unwrap_or(about.is_protected);
            Ok(())
        };
        if self.directory.vhost(&name).is_some() {
            self.directory.change_vhost(&name, say).await?;
            return Ok(false);
        }
        let mut about = VhostAbout::default();
        say(&mut about)?;
        self.directory.add_vhost(&name, about).await?;
        if let Some(user) = user.filter(|user| self.directory.accounts().exists(user)) {
            let [configure, write, read] = [".*", ".*", ".*"].map(str::to_owned);
            let permission =
                PermissionDefinition { user: user.to_owned(), vhost: name, configure, write, read };
            self.directory.change_accounts(|accounts| accounts.set_permissions(permission)).await?;
        }
        Ok(true)
    }

    /// What is to be done in each vhost. Refuses what needs a vhost that is not there, and more queues than it may have.
    async fn plan(&self, document: &mut Document) -> Result<BTreeMap<String, Plan>, ImportError> {
        let new: HashSet<&str> = document.vhosts.iter().map(|entry| entry.name.as_str()).collect();
        let is_known = |vhost: &str| new.contains(vhost) || self.directory.vhost(vhost).is_some();
        let named = document.limits.keys().chain(document.objects.keys()).map(String::as_str);
        let named = named
            .chain(document.permissions.iter().map(|permission| permission.vhost.as_str()))
            .chain(document.topic_permissions.iter().map(|permission| permission.vhost.as_str()));
        for vhost in named {
            if !is_known(vhost) {
                return Err(ImportError::of(format!("vhost '{vhost}'"), &"no such virtual host"));
            }
        }
        for vhost in &new {
            check_name(vhost).map_err(|error| ImportError::of(format!("vhost '{vhost}'"), &error))?;
        }
        let mut plans = BTreeMap::new();
        for (name, mut adds) in std::mem::take(&mut document.objects) {
            let stands = Standing::of(self, &name).await.unwrap_or_default();
            adds.queues.retain(|queue| !stands.queues.contains(&queue.name) && is_nameable(&name, queue));
            adds.exchanges.retain(|exchange| {
                !stands.exchanges.contains(&exchange.name) && !exchange.name.starts_with("amq.")
            });
            let limits = document.limits.get(&name).cloned();
            let limits = limits.or_else(|| self.directory.open(&name).map(|open| open.about.limits));
            let limit = limits.unwrap_or_default().get_or(MAX_QUEUES, QUEUES_PER_VHOST_MAX);
            check_queues(&name, adds.queues.len(), stands.queues.len(), limit)?;
            plans.insert(name, Plan { adds, stands });
        }
        Ok(plans)
    }

    /// What is kept of each user's password.
    async fn secrets(&self, users: Vec<UserEntry>) -> Result<Vec<(UserEntry, PasswordHash)>, ImportError> {
        let mut hashed = Vec::with_capacity(users.len());
        for mut user in users {
            let secret = std::mem::replace(&mut user.secret, Secret::None);
            let kept = match secret {
                Secret::None => Ok(PasswordHash::none()),
                Secret::Hash(hash, algorithm) => PasswordHash::import(&hash, algorithm.as_deref()),
                Secret::Password(password) => self.hash_password(&password).await,
            };
            let kept = kept.map_err(|error| ImportError::of(format!("user '{}'", user.name), &error))?;
            hashed.push((user, kept));
        }
        Ok(hashed)
    }

    /// Does to a copy what will be done to the accounts.
    fn check_accounts(
        &self,
        document: &Document,
        users: &[(UserEntry, PasswordHash)],
    ) -> Result<(), ImportError> {
        let mut copy = Accounts::clone(&self.directory.accounts());
        for (user, secret) in users {
            let put = copy.put_user(&user.name, Some(secret.clone()), user.tags.clone());
            put.map_err(|error| ImportError::of(format!("user '{}'", user.name), &error))?;
        }
        for permission in &document.permissions {
            copy.set_permissions(permission.clone()).map_err(|error| {
                let (user, vhost) = (&permission.user, &permission.vhost);
                ImportError::of(format!("permission of user '{user}' in vhost '{vhost}'"), &error)
            })?;
        }
        for permission in &document.topic_permissions {
            copy.set_topic_permissions(permission.clone()).map_err(|error| {
                let (user, vhost) = (&permission.user, &permission.vhost);
                ImportError::of(format!("topic permission of user '{user}' in vhost '{vhost}'"), &error)
            })?;
        }
        Ok(())
    }

    async fn set_policies(&self, vhost: &str, adds: &VhostObjects) -> Result<(), ImportError> {
        let user = adds.policies.iter().map(|policy| (PolicyLayer::User, policy));
        let operator = adds.operator_policies.iter().map(|policy| (PolicyLayer::Operator, policy));
        for (layer, policy) in user.chain(operator) {
            let of = |reason: &str| {
                ImportError::of(format!("policy '{}' in vhost '{vhost}'", policy.name), &reason)
            };
            let inbox = self.directory.vhost(vhost).ok_or_else(|| of("the virtual host is gone"))?;
            match inbox.ask(AdminCommand::SetPolicy(layer, policy.clone())).await {
                Some(AdminReply::Done) => {}
                Some(AdminReply::Refused(why)) => return Err(of(&why)),
                Some(_) | None => return Err(of("the virtual host is stopping")),
            }
        }
        Ok(())
    }

    /// Declares queues and exchanges, then binds them: many at a time, because each waits for the disk.
    async fn declare(&self, vhost: &str, plan: Plan, user: &str) -> Result<(), ImportError> {
        let Plan { adds, stands } = plan;
        let bindings = possible(vhost, &adds, &stands);
        let mut orders: Vec<(String, Command)> = Vec::new();
        orders.extend(adds.queues.into_iter().map(declare_queue));
        orders.extend(adds.exchanges.into_iter().map(declare_exchange));
        orders.extend(bindings.into_iter().map(bind));
        if orders.is_empty() {
            return Ok(());
        }
        let gone = || ImportError::of(format!("vhost '{vhost}'"), &"the virtual host is gone");
        let mut visit = Visit::begin(self, vhost, user, self.directory.accounts()).await.ok_or_else(gone)?;
        let mut orders = orders.into_iter().peekable();
        while orders.peek().is_some() {
            let (names, commands): (Vec<_>, Vec<_>) = orders.by_ref().take(IMPORT_ORDERS_MAX).unzip();
            if let Err((place, refusal)) = visit.order_all(commands).await {
                let name = names.get(place).map(String::as_str).unwrap_or_default();
                return Err(ImportError::of(format!("{name} in vhost '{vhost}'"), &refusal));
            }
        }
        visit.end().await;
        Ok(())
    }
}

/// Sets users, their limits and what they may do, all in one step.
fn set_accounts(
    accounts: &mut Accounts,
    document: &Document,
    users: &[(UserEntry, PasswordHash)],
) -> Result<Vec<DefinitionChange>, AccountsError> {
    let mut changes = Vec::new();
    for (user, secret) in users {
        changes.extend(accounts.put_user(&user.name, Some(secret.clone()), user.tags.clone())?);
        if !user.limits.is_empty() {
            changes.extend(accounts.change_limits(&user.name, |limits| limits.merge(user.limits.clone()))?);
        }
    }
    for permission in &document.permissions {
        changes.extend(accounts.set_permissions(permission.clone())?);
    }
    for permission in &document.topic_permissions {
        changes.extend(accounts.set_topic_permissions(permission.clone())?);
    }
    Ok(changes)
}

/// Whether anybody can ask for a queue of this name: those that the broker itself named are of use only to who has them.
fn is_nameable(vhost: &str, queue: &QueueObject) -> bool {
    let is_reserved = queue.name.starts_with("amq.");
    if is_reserved {
        warn!(%vhost, queue = %queue.name, "a queue of the definitions has a name that only the broker gives");
    }
    !is_reserved
}

/// RabbitMQ's sentence.
fn check_queues(vhost: &str, added: usize, standing: usize, limit: Option<u64>) -> Result<(), ImportError> {
    let Some(limit) = limit.filter(|limit| added > 0 && (added + standing) as u64 > *limit) else {
        return Ok(());
    };
    Err(ImportError::new(format!(
        "Adding {added} queue(s) to virtual host \"{vhost}\" would exceed the limit of {limit} queue(s).\n\nThis virtual \
         host currently has {standing} queue(s) defined.\n\nImport aborted!"
    )))
}

/// The bindings that are not there yet and whose ends are, or will be.
fn possible(vhost: &str, adds: &VhostObjects, stands: &Standing) -> Vec<BindingObject> {
    let queues = adds.queues.iter().map(|queue| &queue.name);
    let queues: HashSet<&Arc<str>> = queues.chain(&stands.queues).collect();
    let exchanges = adds.exchanges.iter().map(|exchange| &exchange.name);
    let exchanges: HashSet<&Arc<str>> = exchanges.chain(&stands.exchanges).collect();
    // The predeclared ones are in no file; the vhost knows them.
    let is_exchange = |name: &Arc<str>| exchanges.contains(name) || name.starts_with("amq.");
    let mut possible = Vec::new();
    for binding in &adds.bindings {
        let has_destination = match binding.destination_kind {
            DestinationKind::Queue => queues.contains(&binding.destination),
            DestinationKind::Exchange => is_exchange(&binding.destination),
        };
        if binding.source.is_empty() {
            // The default exchange binds every queue by itself.
        } else if has_destination && is_exchange(&binding.source) {
            possible.push(binding.clone());
        } else {
            let (source, destination) = (&binding.source, &binding.destination);
            warn!(%vhost, %source, %destination, "a binding of the definitions has an end that is not there");
        }
    }
    possible
}

fn declare_queue(queue: QueueObject) -> (String, Command) {
    let QueueObject { name, kind: _, durable, auto_delete, arguments } = queue;
    let told = format!("queue '{name}'");
    let (passive, exclusive, nowait) = (false, false, false);
    (told, Command::DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments })
}

fn declare_exchange(exchange: ExchangeObject) -> (String, Command) {
    let ExchangeObject { name, kind, durable, auto_delete, internal, arguments } = exchange;
    let (passive, nowait) = (false, false);
    let told = format!("exchange '{name}'");
    let kind = kind.into();
    (
        told,
        Command::DeclareExchange { name, kind, passive, durable, auto_delete, internal, nowait, arguments },
    )
}

fn bind(binding: BindingObject) -> (String, Command) {
    let BindingObject { source, destination_kind, destination, binding_key, arguments } = binding;
    let told = format!("binding from exchange '{source}' to '{destination}'");
    let (add, nowait, topic_refusal) = (true, false, None);
    let command = match destination_kind {
        DestinationKind::Queue => Command::BindQueue {
            add,
            queue: destination,
            exchange: source,
            binding_key,
            nowait,
            arguments,
            topic_refusal,
        },
        DestinationKind::Exchange => {
            Command::BindExchange { add, destination, source, binding_key, nowait, arguments, topic_refusal }
        }
    };
    (told, command)
}
