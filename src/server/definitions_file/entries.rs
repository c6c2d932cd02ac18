//! The entries of a definitions file, in RabbitMQ's form.

use crate::auth::{Accounts, PasswordHash};
use crate::protocol::json;
use crate::server::vhost_about::VhostAbout;
use crate::vhost::report::PolicyReport;
use crate::vhost::{BindingObject, ExchangeObject, QueueObject};
use serde_json::{Map, Value as Json, json};

pub(super) fn users(accounts: &Accounts) -> Vec<Json> {
    let users = accounts.users().into_iter();
    users
        .map(|user| {
            let (hash, algorithm) =
                accounts.password_hash(&user.name).map(PasswordHash::export).unwrap_or_default();
            let limits = accounts.limits(&user.name).map(|limits| limits.as_slice().to_vec());
            let limits: Map<String, Json> =
                limits.unwrap_or_default().into_iter().map(|(name, n)| (name, n.into())).collect();
            json!({
                "name": user.name, "password_hash": hash, "hashing_algorithm": algorithm, "tags": user.tags,
                "limits": limits,
            })
        })
        .collect()
}

/// What is said of a vhost: beside its name and, for newer tools, in `metadata`.
pub(super) fn vhost(name: &str, about: &VhostAbout) -> Json {
    let VhostAbout { description, tags, default_queue_kind, is_protected, .. } = about;
    let mut metadata = Map::new();
    metadata.insert("description".to_owned(), description.as_str().into());
    metadata.insert("tags".to_owned(), tags.clone().into());
    if let Some(kind) = default_queue_kind {
        metadata.insert("default_queue_type".to_owned(), kind.name().into());
    }
    if *is_protected {
        metadata.insert("protected_from_deletion".to_owned(), true.into());
    }
    let mut said = Map::new();
    said.insert("name".to_owned(), name.into());
    said.extend(metadata.clone());
    said.insert("metadata".to_owned(), metadata.into());
    Json::Object(said)
}

pub(super) fn policy(policy: &PolicyReport) -> Map<String, Json> {
    let PolicyReport { name, pattern, apply_to, definition, priority } = policy;
    // It was checked when it was set.
    let definition: Json = serde_json::from_str(definition).unwrap_or_default();
    fields([
        ("name", name.as_str().into()),
        ("pattern", pattern.as_str().into()),
        ("apply-to", (*apply_to).into()),
        ("definition", definition),
        ("priority", (*priority).into()),
    ])
}

pub(super) fn queue(queue: &QueueObject) -> Map<String, Json> {
    fields([
        ("name", (*queue.name).into()),
        ("type", queue.kind.name().into()),
        ("durable", queue.durable.into()),
        ("auto_delete", queue.auto_delete.into()),
        ("arguments", json::from_fields(queue.arguments.fields())),
    ])
}

pub(super) fn exchange(exchange: &ExchangeObject) -> Map<String, Json> {
    fields([
        ("name", (*exchange.name).into()),
        ("type", exchange.kind.as_str().into()),
        ("durable", exchange.durable.into()),
        ("auto_delete", exchange.auto_delete.into()),
        ("internal", exchange.internal.into()),
        ("arguments", json::from_fields(exchange.arguments.fields())),
    ])
}

pub(super) fn binding(binding: &BindingObject) -> Map<String, Json> {
    fields([
        ("source", (*binding.source).into()),
        ("destination", (*binding.destination).into()),
        ("destination_type", binding.destination_kind.name().into()),
        ("routing_key", (*binding.binding_key).into()),
        ("arguments", json::from_fields(binding.arguments.fields())),
    ])
}

fn fields<const N: usize>(fields: [(&str, Json); N]) -> Map<String, Json> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
