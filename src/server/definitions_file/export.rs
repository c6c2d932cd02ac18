//! How things stand, as a definitions file. Every vhost is asked once; what changes meanwhile may be in or not.

use crate::auth::{Accounts, PasswordHash};
use crate::definitions::{DestinationKind, PolicyDefinition};
use crate::protocol::json;
use crate::server::Broker;
use crate::server::vhost_about::VhostAbout;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::{BindingObject, ExchangeObject, QueueObject, VhostObjects};
use serde_json::{Map, Value as Json, json};

/// The RabbitMQ whose files these are, and whose API it is: tools decide by it what they may ask.
pub(crate) const COMPATIBLE_VERSION: &str = "4.1.0";

impl Broker {
    /// A definitions file of the whole broker.
    pub async fn export_definitions(&self) -> Json {
        let accounts = self.directory.accounts();
        let vhosts = self.directory.about_vhosts();
        let mut lists = Lists::default();
        for (name, about) in &vhosts {
            // A vhost that is being deleted is not there any more.
            let Some(objects) = self.objects(name).await else { continue };
            lists.add(Some(name), name, about, &objects);
        }
        let permissions = vhosts.iter().flat_map(|(name, _)| accounts.permissions_in(name));
        let permissions = permissions.map(|found| {
            json!({
                "user": found.user, "vhost": found.vhost,
                "configure": found.configure, "write": found.write, "read": found.read,
            })
        });
        let topics = vhosts.iter().flat_map(|(name, _)| accounts.topic_permissions_in(name));
        let topics = topics.map(|found| {
            json!({
                "user": found.user, "vhost": found.vhost, "exchange": found.exchange,
                "write": found.write, "read": found.read,
            })
        });
        let parameters = self.global_parameters().into_iter();
        let mut file = Self::head("cluster");
        file.insert("original_cluster_name".to_owned(), self.cluster_name().into());
        for (name, list) in [
            ("users", users(&accounts)),
            ("vhosts", vhosts.iter().map(|(name, about)| vhost(name, about)).collect()),
            ("permissions", permissions.collect()),
            ("topic_permissions", topics.collect()),
            ("parameters", lists.parameters),
            (
                "global_parameters",
                parameters.map(|(name, value)| json!({"name": name, "value": value})).collect(),
            ),
            ("policies", lists.policies),
            ("queues", lists.queues),
            ("exchanges", lists.exchanges),
            ("bindings", lists.bindings),
        ] {
            file.insert(name.to_owned(), Json::Array(list));
        }
        Json::Object(file)
    }

    /// A definitions file of one vhost; `None` if it is not there.
    pub async fn export_vhost_definitions(&self, name: &str) -> Option<Json> {
        let about = self.directory.open(name)?.about;
        let objects = self.objects(name).await?;
        let mut lists = Lists::default();
        lists.add(None, name, &about, &objects);
        let mut file = Self::head("single_virtual_host");
        file.insert("original_vhost_name".to_owned(), name.into());
        if let Json::Object(said) = vhost(name, &about) {
            file.extend(said.into_iter().filter(|(key, _)| key != "name"));
        }
        for (name, list) in [
            ("parameters", lists.parameters),
            ("policies", lists.policies),
            ("queues", lists.queues),
            ("exchanges", lists.exchanges),
            ("bindings", lists.bindings),
        ] {
            file.insert(name.to_owned(), Json::Array(list));
        }
        Some(Json::Object(file))
    }

    /// What a vhost holds; `None` if it is not there.
    pub(crate) async fn objects(&self, vhost: &str) -> Option<VhostObjects> {
        match self.directory.vhost(vhost)?.ask(AdminCommand::Objects).await? {
            AdminReply::Objects(objects) => Some(*objects),
            _ => None,
        }
    }

    fn head(format: &str) -> Map<String, Json> {
        let said = [
            ("rabbit_version", COMPATIBLE_VERSION),
            ("rabbitmq_version", COMPATIBLE_VERSION),
            ("product_name", "LedgerMQ"),
            ("product_version", env!("CARGO_PKG_VERSION")),
            ("rabbitmq_definition_format", format),
        ];
        said.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }
}

#[derive(Default)]
struct Lists {
    parameters: Vec<Json>,
    policies: Vec<Json>,
    queues: Vec<Json>,
    exchanges: Vec<Json>,
    bindings: Vec<Json>,
}

impl Lists {
    /// Adds what a vhost holds; its name only to entries of files that tell vhosts apart. RabbitMQ names it in parameters
    /// and policies all the same.
    fn add(&mut self, named: Option<&str>, vhost: &str, about: &VhostAbout, objects: &VhostObjects) {
        let parameter = |component: &str, name: &str, value: Json| json!({"vhost": vhost, "component": component, "name": name, "value": value});
        if !about.limits.is_empty() {
            let limits = about.limits.as_slice().iter().map(|(name, n)| (name.clone(), Json::from(*n)));
            self.parameters.push(parameter("vhost-limits", "limits", Json::Object(limits.collect())));
        }
        for found in &objects.operator_policies {
            let value = Json::Object(policy(found).into_iter().filter(|(key, _)| key != "name").collect());
            self.parameters.push(parameter("operator_policy", &found.name, value));
        }
        let with_vhost = |entry: Map<String, Json>| {
            let named = named.map(|vhost| ("vhost".to_owned(), Json::from(vhost)));
            Json::Object(named.into_iter().chain(entry).collect())
        };
        let of_vhost = |entry: Map<String, Json>| {
            let vhost = ("vhost".to_owned(), Json::from(vhost));
            Json::Object([vhost].into_iter().chain(entry).collect())
        };
        self.policies.extend(objects.policies.iter().map(policy).map(of_vhost));
        self.queues.extend(objects.queues.iter().map(queue).map(with_vhost));
        self.exchanges.extend(objects.exchanges.iter().map(exchange).map(with_vhost));
        self.bindings.extend(objects.bindings.iter().map(binding).map(with_vhost));
    }
}

fn users(accounts: &Accounts) -> Vec<Json> {
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
fn vhost(name: &str, about: &VhostAbout) -> Json {
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

fn policy(policy: &PolicyDefinition) -> Map<String, Json> {
    let PolicyDefinition { name, pattern, apply_to, priority, definition } = policy;
    // It was checked when it was set.
    let definition: Json = serde_json::from_str(definition).unwrap_or_default();
    fields([
        ("name", name.as_str().into()),
        ("pattern", pattern.as_str().into()),
        ("apply-to", apply_to.name().into()),
        ("definition", definition),
        ("priority", (*priority).into()),
    ])
}

fn queue(queue: &QueueObject) -> Map<String, Json> {
    fields([
        ("name", (*queue.name).into()),
        ("type", queue.kind.name().into()),
        ("durable", queue.durable.into()),
        ("auto_delete", queue.auto_delete.into()),
        ("arguments", json::from_fields(queue.arguments.fields())),
    ])
}

fn exchange(exchange: &ExchangeObject) -> Map<String, Json> {
    fields([
        ("name", (*exchange.name).into()),
        ("type", exchange.kind.as_str().into()),
        ("durable", exchange.durable.into()),
        ("auto_delete", exchange.auto_delete.into()),
        ("internal", exchange.internal.into()),
        ("arguments", json::from_fields(exchange.arguments.fields())),
    ])
}

fn binding(binding: &BindingObject) -> Map<String, Json> {
    let kind = match binding.destination_kind {
        DestinationKind::Queue => "queue",
        DestinationKind::Exchange => "exchange",
    };
    fields([
        ("source", (*binding.source).into()),
        ("destination", (*binding.destination).into()),
        ("destination_type", kind.into()),
        ("routing_key", (*binding.binding_key).into()),
        ("arguments", json::from_fields(binding.arguments.fields())),
    ])
}

fn fields<const N: usize>(fields: [(&str, Json); N]) -> Map<String, Json> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
