//! How things stand, as the text of a definitions file, made a piece at a time: a vhost tells a few of its queues and
//! serves its clients in between, and nobody holds the whole file. What changes meanwhile may be in it or not; what was there
//! all along is.

use super::entries::{binding, exchange, policy, queue, users, vhost};
use crate::limits::EXPORT_PIECE_BYTES;
use crate::server::Broker;
use crate::server::mail::VhostInbox;
use crate::server::survey::{Listed, sorted_once};
use crate::server::vhost_about::VhostAbout;
use crate::vhost::{BindingObject, ExchangeObject, PolicyLayer, QueueObject};
use serde_json::{Map, Value as Json, json};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The RabbitMQ whose files these are, and whose API it is: tools decide by it what they may ask.
pub(crate) const COMPATIBLE_VERSION: &str = "4.1.0";

/// A definitions file under way.
#[derive(Debug)]
pub struct Export {
    broker: Arc<Broker>,
    /// Whether it is of the whole broker: entries name their vhost then.
    is_whole: bool,
    parts: VecDeque<Part>,
    /// What is not told yet of the part that was begun last.
    left: Left,
    /// An entry stands in this list already.
    has_entry: bool,
}

/// A piece of the file that is still to come.
#[derive(Debug)]
enum Part {
    /// Everything that is short.
    Head(Vec<(Arc<str>, VhostAbout)>),
    /// The beginning of a list of this name.
    List(&'static str),
    Queues(Arc<str>),
    Exchanges(Arc<str>),
    /// Those of all exchanges.
    Bindings(Arc<str>),
    BindingsFrom(Arc<str>, Arc<str>),
    End,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Queues(Arc<str>, std::vec::IntoIter<QueueObject>),
    Exchanges(Arc<str>, std::vec::IntoIter<ExchangeObject>),
    Bindings(Arc<str>, std::vec::IntoIter<BindingObject>),
}

/// A vhost that is there does not answer any more: the broker is stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportError {
    vhost: Arc<str>,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vhost '{}' is stopping", self.vhost)
    }
}

impl std::error::Error for ExportError {}

impl Export {
    /// A file of the whole broker.
    pub fn of_broker(broker: Arc<Broker>) -> Self {
        let vhosts = broker.directory.about_vhosts();
        Self::of(broker, vhosts, true)
    }

    /// A file of one vhost; `None` if it is not there.
    pub fn of_vhost(broker: Arc<Broker>, name: &str) -> Option<Self> {
        let about = broker.directory.open(name)?.about;
        Some(Self::of(broker, vec![(name.into(), about)], false))
    }

    fn of(broker: Arc<Broker>, vhosts: Vec<(Arc<str>, VhostAbout)>, is_whole: bool) -> Self {
        let names: Vec<Arc<str>> = vhosts.iter().map(|(name, _)| Arc::clone(name)).collect();
        let mut parts = VecDeque::from([Part::Head(vhosts)]);
        let mut list = |name, of: fn(Arc<str>) -> Part| {
            parts.push_back(Part::List(name));
            parts.extend(names.iter().cloned().map(of));
        };
        list("queues", Part::Queues);
        list("exchanges", Part::Exchanges);
        list("bindings", Part::Bindings);
        parts.push_back(Part::End);
        Self { broker, is_whole, parts, left: Left::Nothing, has_entry: false }
    }

    /// The next piece of the text; `None` after the last.
    ///
    /// # Errors
    /// [`ExportError`]; what came before is no whole file.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        let mut text = Vec::new();
        while text.len() < EXPORT_PIECE_BYTES {
            if let Some(entry) = self.entry() {
                if std::mem::replace(&mut self.has_entry, true) {
                    text.push(b',');
                }
                // Maps with keys that are texts are all there is, so nothing can fail.
                let _ = serde_json::to_writer(&mut text, &entry);
                continue;
            }
            let Some(part) = self.parts.pop_front() else { break };
            self.begin(part, &mut text).await?;
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// The rest in one piece.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn text(mut self) -> Result<String, ExportError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend(piece);
        }
        // JSON is text.
        Ok(String::from_utf8(whole).unwrap_or_default())
    }

    fn entry(&mut self) -> Option<Json> {
        let (vhost, entry) = match &mut self.left {
            Left::Nothing => return None,
            Left::Queues(vhost, left) => (vhost, queue(&left.next()?)),
            Left::Exchanges(vhost, left) => (vhost, exchange(&left.next()?)),
            Left::Bindings(vhost, left) => (vhost, binding(&left.next()?)),
        };
        let vhost = self.is_whole.then(|| ("vhost".to_owned(), Json::from(&**vhost)));
        Some(Json::Object(vhost.into_iter().chain(entry).collect()))
    }

    async fn begin(&mut self, part: Part, text: &mut Vec<u8>) -> Result<(), ExportError> {
        match part {
            Part::Head(vhosts) => {
                let head =
                    if self.is_whole { self.cluster(&vhosts).await? } else { self.single(&vhosts).await? };
                let _ = serde_json::to_writer(&mut *text, &head);
                // What follows stands in it.
                text.pop();
            }
            Part::List(name) => {
                // Behind the head, or behind another list.
                let before = if name == "queues" { "" } else { "]" };
                text.extend(format!("{before},\"{name}\":[").as_bytes());
                self.has_entry = false;
            }
            Part::Queues(vhost) => {
                let queues = self.ask(&vhost, async |inbox| inbox.queue_objects().await).await?;
                self.left = Left::Queues(vhost, queues.unwrap_or_default().into_iter());
            }
            Part::Exchanges(vhost) => {
                let exchanges = self.ask(&vhost, async |inbox| inbox.exchange_objects().await).await?;
                self.left = Left::Exchanges(vhost, exchanges.unwrap_or_default().into_iter());
            }
            Part::Bindings(vhost) => {
                let sources = self.ask(&vhost, async |inbox| inbox.names(Listed::Exchanges).await).await?;
                for source in sources.unwrap_or_default().into_iter().rev() {
                    self.parts.push_front(Part::BindingsFrom(Arc::clone(&vhost), source));
                }
            }
            Part::BindingsFrom(vhost, source) => {
                let bindings = self.ask(&vhost, async |inbox| {
                    sorted_once(inbox.bindings_from(&source, true).await?, BindingObject::order).await
                });
                self.left =
                    Left::Bindings(Arc::clone(&vhost), bindings.await?.unwrap_or_default().into_iter());
            }
            Part::End => text.extend(b"]}"),
        }
        Ok(())
    }

    /// Asks a vhost; `None` if it was deleted meanwhile.
    async fn ask<T>(
        &self,
        vhost: &Arc<str>,
        question: impl AsyncFnOnce(&VhostInbox) -> Option<T>,
    ) -> Result<Option<T>, ExportError> {
        let Some(inbox) = self.broker.directory.vhost(vhost) else { return Ok(None) };
        match question(&inbox).await {
            None if self.broker.directory.vhost(vhost).is_some() => {
                Err(ExportError { vhost: Arc::clone(vhost) })
            }
            answer => Ok(answer),
        }
    }

    /// What a file of the whole broker says before the long lists.
    async fn cluster(&self, vhosts: &[(Arc<str>, VhostAbout)]) -> Result<Map<String, Json>, ExportError> {
        let broker = &self.broker;
        let accounts = broker.directory.accounts();
        let permissions = vhosts.iter().flat_map(|(name, _)| accounts.permissions_in(name)).map(|found| {
            json!({
                "user": found.user, "vhost": found.vhost,
                "configure": found.configure, "write": found.write, "read": found.read,
            })
        });
        let topics = vhosts.iter().flat_map(|(name, _)| accounts.topic_permissions_in(name)).map(|found| {
            json!({
                "user": found.user, "vhost": found.vhost, "exchange": found.exchange,
                "write": found.write, "read": found.read,
            })
        });
        let global = broker.global_parameters().into_iter();
        let global = global.map(|(name, value)| json!({"name": name, "value": value}));
        let (parameters, policies) = self.rules(vhosts).await?;
        let mut file = head("cluster");
        file.insert("original_cluster_name".to_owned(), broker.cluster_name().into());
        for (name, list) in [
            ("users", users(&accounts)),
            ("vhosts", vhosts.iter().map(|(name, about)| vhost(name, about)).collect()),
            ("permissions", permissions.collect()),
            ("topic_permissions", topics.collect()),
            ("parameters", parameters),
            ("global_parameters", global.collect()),
            ("policies", policies),
        ] {
            file.insert(name.to_owned(), Json::Array(list));
        }
        Ok(file)
    }

    /// What a file of one vhost says before the long lists.
    async fn single(&self, vhosts: &[(Arc<str>, VhostAbout)]) -> Result<Map<String, Json>, ExportError> {
        let mut file = head("single_virtual_host");
        for (name, about) in vhosts {
            file.insert("original_vhost_name".to_owned(), (**name).into());
            if let Json::Object(said) = vhost(name, about) {
                file.extend(said.into_iter().filter(|(key, _)| key != "name"));
            }
        }
        let (parameters, policies) = self.rules(vhosts).await?;
        file.insert("parameters".to_owned(), Json::Array(parameters));
        file.insert("policies".to_owned(), Json::Array(policies));
        Ok(file)
    }

    /// Parameters and policies of vhosts. Their entries name the vhost in every file, as RabbitMQ's do.
    async fn rules(&self, vhosts: &[(Arc<str>, VhostAbout)]) -> Result<(Vec<Json>, Vec<Json>), ExportError> {
        let (mut parameters, mut policies) = (Vec::new(), Vec::new());
        for (vhost, about) in vhosts {
            let parameter = |component: &str, name: &str, value: Json| json!({"vhost": **vhost, "component": component, "name": name, "value": value});
            if !about.limits.is_empty() {
                let limits = about.limits.as_slice().iter().map(|(name, n)| (name.clone(), Json::from(*n)));
                parameters.push(parameter("vhost-limits", "limits", Json::Object(limits.collect())));
            }
            let [of_users, of_operators] = [PolicyLayer::User, PolicyLayer::Operator].map(async |layer| {
                let mut found =
                    self.ask(vhost, async |inbox| inbox.policies(layer).await).await?.unwrap_or_default();
                found.sort_by(|one, other| one.name.cmp(&other.name));
                Ok::<_, ExportError>(found)
            });
            for found in of_operators.await? {
                let value = policy(&found).into_iter().filter(|(key, _)| key != "name");
                parameters.push(parameter("operator_policy", &found.name, Json::Object(value.collect())));
            }
            policies.extend(of_users.await?.iter().map(policy).map(|entry| {
                let vhost = ("vhost".to_owned(), Json::from(&**vhost));
                Json::Object([vhost].into_iter().chain(entry).collect())
            }));
        }
        Ok((parameters, policies))
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
