//! A definitions file as RabbitMQ writes it, read into what it says. Pure: every field is checked for its type here, and
//! an error names the entry it is in; whether the world agrees is asked later. Fields nobody knows are passed over.
//! Source: RabbitMQ `rabbit_definitions`.

use super::{ImportError, VhostObjects};
use crate::auth::{Limits, MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES};
use crate::definitions::{
    ApplyTo, DestinationKind, PermissionDefinition, PolicyDefinition, TopicPermissionDefinition,
};
use crate::exchange::ExchangeKind;
use crate::limits::SHORT_STRING_BYTES_MAX;
use crate::protocol::json;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::queue::{QueueArguments, QueueKind};
use crate::vhost::{BindingObject, ExchangeObject, PolicyLayer, QueueObject, check_policy};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a definitions file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) users: Vec<UserEntry>,
    pub(super) vhosts: Vec<VhostEntry>,
    pub(super) permissions: Vec<PermissionDefinition>,
    pub(super) topic_permissions: Vec<TopicPermissionDefinition>,
    pub(super) global_parameters: Vec<(String, Json)>,
    /// By vhost.
    pub(super) limits: BTreeMap<String, Limits>,
    pub(super) objects: BTreeMap<String, VhostObjects>,
}

/// A user.
#[derive(Debug)]
pub(super) struct UserEntry {
    pub(super) name: String,
    pub(super) secret: Secret,
    pub(super) tags: Vec<String>,
    pub(super) limits: Limits,
}

/// How a user shall log in.
#[derive(PartialEq, Eq)]
pub(super) enum Secret {
    /// Not by a password.
    None,
    /// A hash, and the name of its algorithm.
    Hash(String, Option<String>),
    /// A password.
    Password(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A vhost, and what is said of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VhostEntry {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) default_queue_kind: Option<QueueKind>,
    pub(crate) limits: Option<Limits>,
    /// It may not be deleted.
    pub(crate) protected: Option<bool>,
}

/// One entry of a list, and what it is, for errors.
struct Entry<'a> {
    what: &'static str,
    fields: &'a Map<String, Json>,
}

impl Document {
    /// Reads a file of the whole broker, or of one vhost: then its entries need not name it, and users and vhosts are
    /// passed over.
    ///
    /// # Errors
    /// The first entry that cannot be, by its name.
    pub(super) fn read(file: &Json, vhost: Option<&str>) -> Result<Self, ImportError> {
        let Json::Object(file) = file else {
            return Err(ImportError::new("the definitions are not a JSON object"));
        };
        let mut document = Self::default();
        if vhost.is_none() {
            document.users =
                list(file, "users", "user")?.map(|entry| entry?.user()).collect::<Result<_, _>>()?;
            document.vhosts = list(file, "vhosts", "virtual host")?
                .map(|entry| entry?.vhost())
                .collect::<Result<_, _>>()?;
            for entry in list(file, "permissions", "permission")? {
                document.permissions.push(entry?.permission()?);
            }
            for entry in list(file, "topic_permissions", "topic permission")? {
                document.topic_permissions.push(entry?.topic_permission()?);
            }
            document.read_global_parameters(file)?;
        }
        for entry in list(file, "parameters", "parameter")? {
            document.read_parameter(&entry?, vhost)?;
        }
        for entry in list(file, "policies", "policy")? {
            let entry = entry?;
            let policy = policy(entry.text("name")?, entry.fields, PolicyLayer::User)?;
            document.objects_of(&entry, vhost)?.policies.push(policy);
        }
        for entry in list(file, "queues", "queue")? {
            let entry = entry?;
            let queue = entry.queue()?;
            document.objects_of(&entry, vhost)?.queues.push(queue);
        }
        for entry in list(file, "exchanges", "exchange")? {
            let entry = entry?;
            let exchange = entry.exchange()?;
            document.objects_of(&entry, vhost)?.exchanges.push(exchange);
        }
        for entry in list(file, "bindings", "binding")? {
            let entry = entry?;
            let binding = entry.binding()?;
            document.objects_of(&entry, vhost)?.bindings.push(binding);
        }
        Ok(document)
    }

    fn objects_of(
        &mut self,
        entry: &Entry<'_>,
        vhost: Option<&str>,
    ) -> Result<&mut VhostObjects, ImportError> {
        let vhost = entry.vhost_name(vhost)?;
        Ok(self.objects.entry(vhost.to_owned()).or_default())
    }

    /// A list of entries, or an object of names and values as RabbitMQ 3.6 wrote them.
    fn read_global_parameters(&mut self, file: &Map<String, Json>) -> Result<(), ImportError> {
        if let Some(Json::Object(fields)) = file.get("global_parameters") {
            self.global_parameters =
                fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            return Ok(());
        }
        for entry in list(file, "global_parameters", "global parameter")? {
            let entry = entry?;
            let value = entry.fields.get("value").ok_or_else(|| entry.missing("value"))?;
            self.global_parameters.push((entry.text("name")?.to_owned(), value.clone()));
        }
        Ok(())
    }

    fn read_parameter(&mut self, entry: &Entry<'_>, vhost: Option<&str>) -> Result<(), ImportError> {
        let (component, name) = (entry.text("component")?, entry.text("name")?);
        let vhost = entry.vhost_name(vhost)?.to_owned();
        let value = entry.fields.get("value").ok_or_else(|| entry.missing("value"))?;
        match (component, value) {
            ("vhost-limits", value) => {
                let limits = vhost_limits(value).map_err(|why| entry.problem(&why))?;
                self.limits.insert(vhost, limits);
            }
            ("operator_policy", Json::Object(fields)) => {
                let policy = policy(name, fields, PolicyLayer::Operator)?;
                self.objects.entry(vhost).or_default().operator_policies.push(policy);
            }
            ("operator_policy", _) => return Err(entry.problem("its value is no object")),
            (component, _) => return Err(entry.problem(&format!("component {component} not found"))),
        }
        Ok(())
    }
}

fn list<'a>(
    file: &'a Map<String, Json>,
    key: &str,
    what: &'static str,
) -> Result<impl Iterator<Item = Result<Entry<'a>, ImportError>> + use<'a>, ImportError> {
    let elements = match file.get(key) {
        None | Some(Json::Null) => &[][..],
        Some(Json::Array(elements)) => elements,
        Some(_) => return Err(ImportError::new(format!("'{key}' is no list"))),
    };
    Ok(elements.iter().map(move |element| match element {
        Json::Object(fields) => Ok(Entry { what, fields }),
        _ => Err(ImportError::new(format!("a {what} is no object"))),
    }))
}

/// The limits of a vhost out of their JSON object.
///
/// # Errors
/// RabbitMQ's sentence.
pub(crate) fn vhost_limits(value: &Json) -> Result<Limits, String> {
    match value {
        Json::Array(none) if none.is_empty() => Ok(Limits::default()),
        value => Limits::parse(&value.to_string(), &[MAX_CONNECTIONS, MAX_QUEUES], "limits"),
    }
}

/// Tags as RabbitMQ writes them: a list, or names with commas between.
///
/// # Errors
/// If it is neither.
pub(crate) fn tags(value: &Json) -> Result<Vec<String>, String> {
    let no_tags = || "tags are neither a list of texts nor a text".to_owned();
    let tags: Vec<String> = match value {
        Json::String(text) => {
            text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        }
        Json::Array(tags) => {
            let tags = tags.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(no_tags));
            tags.collect::<Result<_, _>>()?
        }
        _ => return Err(no_tags()),
    };
    if tags.len() > TAGS_MAX {
        return Err(format!("there are at most {TAGS_MAX} tags"));
    }
    Ok(tags)
}

/// Tags of a user or a vhost.
const TAGS_MAX: usize = 64;

/// A policy out of the fields that the management API and definitions files have.
///
/// # Errors
/// RabbitMQ's sentence, with the policy's name.
pub(crate) fn policy(
    name: &str,
    fields: &Map<String, Json>,
    layer: PolicyLayer,
) -> Result<PolicyDefinition, ImportError> {
    let entry = Entry { what: "policy", fields };
    let invalid = |why: String| {
        let why = if why.contains('\n') { why } else { format!("Validation failed\n\n{why}\n") };
        ImportError { reason: why, entry: Some(format!("policy '{name}'")) }
    };
    let apply_to = match fields.get("apply-to") {
        None | Some(Json::Null) => ApplyTo::All,
        Some(value) => value.as_str().and_then(ApplyTo::from_name).ok_or_else(|| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            invalid(format!(
                "apply-to '{shown}' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', \
                 'streams', 'exchanges', or 'all'"
            ))
        })?,
    };
    let priority = match fields.get("priority") {
        None | Some(Json::Null) => 0,
        Some(value) => value.as_i64().ok_or_else(|| {
            let shown = crate::erlang_term::Term(value);
            invalid(format!("priority should be a number, actually was {shown}"))
        })?,
    };
    let definition = fields.get("definition").ok_or_else(|| entry.missing("definition"))?;
    let definition = PolicyDefinition {
        name: name.to_owned(),
        pattern: entry.text("pattern")?.to_owned(),
        apply_to,
        priority,
        definition: definition.to_string(),
    };
    crate::auth::check_name(name).map_err(|error| invalid(error.to_string()))?;
    if definition.pattern.len() + definition.definition.len() > POLICY_BYTES_MAX {
        return Err(invalid(format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
    }
    check_policy(layer, &definition).map_err(invalid)?;
    Ok(definition)
}

/// Pattern and definition of a policy together, bytes.
const POLICY_BYTES_MAX: usize = 64 * 1024;

impl<'a> Entry<'a> {
    fn problem(&self, why: &str) -> ImportError {
        let mut entry = self.what.to_owned();
        for (key, words) in [
            ("name", ""),
            ("user", "user "),
            ("source", "source "),
            ("destination", "destination "),
            ("component", "component "),
            ("vhost", "in vhost "),
        ] {
            if let Some(name) = self.fields.get(key).and_then(Json::as_str) {
                // Writing to a String cannot fail.
                let _ = write!(entry, " {words}'{name}'");
            }
        }
        ImportError { reason: why.to_owned(), entry: Some(entry) }
    }

    fn missing(&self, key: &str) -> ImportError {
        self.problem(&format!("[{{key_missing,{key}}}]"))
    }

    fn text(&self, key: &str) -> Result<&'a str, ImportError> {
        match self.fields.get(key) {
            Some(Json::String(text)) => Ok(text),
            Some(_) => Err(self.problem(&format!("'{key}' is no text"))),
            None => Err(self.missing(key)),
        }
    }

    /// A text that AMQP can carry and people can read.
    fn name(&self, key: &str) -> Result<&'a str, ImportError> {
        let name = self.text(key)?;
        if name.len() > SHORT_STRING_BYTES_MAX || name.contains(char::is_control) {
            let why = format!("'{key}' has more than {SHORT_STRING_BYTES_MAX} bytes, or control characters");
            return Err(self.problem(&why));
        }
        Ok(name)
    }

    fn vhost_name(&self, vhost: Option<&'a str>) -> Result<&'a str, ImportError> {
        vhost.map_or_else(|| self.text("vhost"), Ok)
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, ImportError> {
        match self.fields.get(key) {
            None | Some(Json::Null) => Ok(default),
            Some(value) => {
                boolean(value).ok_or_else(|| self.problem(&format!("'{key}' is neither true nor false")))
            }
        }
    }

    fn arguments(&self) -> Result<Table, ImportError> {
        let arguments = self.fields.get("arguments").map_or_else(|| Ok(Table::default()), json::table);
        arguments.map_err(|error| self.problem(&format!("its arguments cannot be: {error}")))
    }

    fn user(&self) -> Result<UserEntry, ImportError> {
        let secret = match (self.fields.get("password_hash"), self.fields.get("password")) {
            (Some(Json::String(hash)), _) => {
                let algorithm = self.fields.get("hashing_algorithm").and_then(Json::as_str);
                Secret::Hash(hash.clone(), algorithm.map(str::to_owned))
            }
            (None, Some(Json::String(password))) if password.is_empty() => Secret::None,
            (None, Some(Json::String(password))) => Secret::Password(password.clone()),
            (None, None) => Secret::None,
            _ => return Err(self.problem("its password is no text")),
        };
        let tags_said = self.fields.get("tags").ok_or_else(|| self.problem("tags_not_present"))?;
        let limits = match self.fields.get("limits") {
            None => Limits::default(),
            Some(Json::Array(none)) if none.is_empty() => Limits::default(),
            Some(limits) => {
                Limits::parse(&limits.to_string(), &[MAX_CONNECTIONS, MAX_CHANNELS], "user-limits")
                    .map_err(|why| self.problem(&why))?
            }
        };
        Ok(UserEntry {
            name: self.name("name")?.to_owned(),
            secret,
            tags: tags(tags_said).map_err(|why| self.problem(&why))?,
            limits,
        })
    }

    fn vhost(&self) -> Result<VhostEntry, ImportError> {
        let name = self.name("name")?;
        vhost(name, self.fields).map_err(|why| self.problem(&why))
    }

    fn permission(&self) -> Result<PermissionDefinition, ImportError> {
        let text = |key| self.text(key).map(str::to_owned);
        Ok(PermissionDefinition {
            user: text("user")?,
            vhost: text("vhost")?,
            configure: text("configure")?,
            write: text("write")?,
            read: text("read")?,
        })
    }

    fn topic_permission(&self) -> Result<TopicPermissionDefinition, ImportError> {
        let text = |key| self.text(key).map(str::to_owned);
        Ok(TopicPermissionDefinition {
            user: text("user")?,
            vhost: text("vhost")?,
            exchange: text("exchange")?,
            write: text("write")?,
            read: text("read")?,
        })
    }

    fn queue(&self) -> Result<QueueObject, ImportError> {
        let name = self.name("name")?;
        if name.is_empty() {
            return Err(self.problem("a queue has a name"));
        }
        let mut arguments = self.arguments()?;
        // Newer files say the type beside the arguments, too.
        if let Some(kind) = self.fields.get("type").and_then(Json::as_str)
            && arguments.get(QUEUE_TYPE).is_none()
            && kind != "classic"
        {
            arguments = Table::with_first(arguments.fields(), QUEUE_TYPE, &Value::text(kind));
        }
        let described = format!("queue '{name}'");
        let parsed = QueueArguments::parse(&arguments, &described);
        let kind = parsed.map_err(|error| self.problem(&error.explanation))?.kind;
        Ok(QueueObject {
            name: name.into(),
            kind,
            durable: self.flag("durable", true)?,
            auto_delete: self.flag("auto_delete", false)?,
            arguments,
        })
    }

    fn exchange(&self) -> Result<ExchangeObject, ImportError> {
        let (name, kind) = (self.name("name")?, self.text("type")?);
        if ExchangeKind::from_name(kind).is_none() {
            return Err(self.problem(&format!("invalid exchange type '{kind}'")));
        }
        Ok(ExchangeObject {
            name: name.into(),
            kind: kind.to_owned(),
            durable: self.flag("durable", true)?,
            auto_delete: self.flag("auto_delete", false)?,
            internal: self.flag("internal", false)?,
            arguments: self.arguments()?,
        })
    }

    fn binding(&self) -> Result<BindingObject, ImportError> {
        let destination_kind = match self.text("destination_type")? {
            "queue" => DestinationKind::Queue,
            "exchange" => DestinationKind::Exchange,
            other => return Err(self.problem(&format!("a binding leads to no '{other}'"))),
        };
        // RabbitMQ keeps a number that was given as a key.
        let binding_key = match self.fields.get("routing_key") {
            None => String::new(),
            Some(Json::String(key)) => key.clone(),
            Some(Json::Number(number)) => number.to_string(),
            Some(_) => return Err(self.problem("'routing_key' is no text")),
        };
        if binding_key.len() > SHORT_STRING_BYTES_MAX {
            return Err(self.problem("'routing_key' is too long"));
        }
        Ok(BindingObject {
            source: self.name("source")?.into(),
            destination_kind,
            destination: self.name("destination")?.into(),
            binding_key: binding_key.into(),
            arguments: self.arguments()?,
        })
    }
}

/// The argument that names the type of a queue.
const QUEUE_TYPE: &str = "x-queue-type";

/// A bool as the management API takes it: also as a text.
pub(crate) fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(value) => Some(*value),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// What is said of a vhost, by the fields that the management API and definitions files have.
///
/// # Errors
/// A sentence.
pub(crate) fn vhost(name: &str, fields: &Map<String, Json>) -> Result<VhostEntry, String> {
    let metadata = fields.get("metadata").and_then(Json::as_object);
    // What stands outside is what is meant.
    let said = |key: &str| {
        let known = |json: &&Json| !json.is_null();
        fields.get(key).filter(known).or_else(|| metadata.and_then(|inner| inner.get(key)).filter(known))
    };
    let description = match said("description") {
        None => None,
        Some(Json::String(text)) if text.len() <= DESCRIPTION_BYTES_MAX => Some(text.clone()),
        Some(_) => {
            return Err(format!("the description is no text of at most {DESCRIPTION_BYTES_MAX} bytes"));
        }
    };
    let tags = said("tags").map(tags).transpose()?;
    if tags.iter().flatten().map(String::len).sum::<usize>() > DESCRIPTION_BYTES_MAX {
        return Err(format!("tags have at most {DESCRIPTION_BYTES_MAX} bytes"));
    }
    let default_queue_kind = match said("default_queue_type").map(|kind| kind.as_str().unwrap_or_default()) {
        None | Some("" | "undefined") => None,
        Some(kind) => Some(
            QueueKind::from_name(kind).ok_or_else(|| format!("Unsupported default queue type: {kind}"))?,
        ),
    };
    let limits = fields.get("limits").map(vhost_limits).transpose()?.filter(|limits| !limits.is_empty());
    let protected = said("protected_from_deletion");
    let protected = protected
        .map(|value| boolean(value).ok_or("protected_from_deletion is neither true nor false"))
        .transpose()?;
    Ok(VhostEntry { name: name.to_owned(), description, tags, default_queue_kind, limits, protected })
}

/// What people say of a vhost, bytes.
const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(file: &Json) -> String {
        Document::read(file, None).unwrap_err().to_string()
    }

    #[test]
    fn an_entry_that_cannot_be_is_named() {
        let queue = json!({"name": "q", "vhost": "v", "arguments": {"x-max-length": "a"}});
        let exchange = json!({"name": "e", "vhost": "v", "type": "odd"});
        let binding = json!({"source": "e", "vhost": "v", "destination": "d", "destination_type": "moon"});
        let policy = json!({"name": "p", "vhost": "v", "pattern": "(", "definition": {"max-length": 1}});
        let parameter = json!({"name": "u", "vhost": "v", "component": "federation-upstream", "value": {}});
        for (file, expected) in [
            (json!([]), "the definitions are not a JSON object"),
            (json!({"queues": 5}), "'queues' is no list"),
            (json!({"queues": [5]}), "a queue is no object"),
            (json!({"queues": [{"name": "q"}]}), "queue 'q': [{key_missing,vhost}]"),
            (json!({"users": [{"name": "u"}]}), "user 'u': tags_not_present"),
            (json!({"exchanges": [exchange]}), "exchange 'e' in vhost 'v': invalid exchange type 'odd'"),
            (
                json!({"bindings": [binding]}),
                "binding source 'e' destination 'd' in vhost 'v': a binding leads to no 'moon'",
            ),
            (
                json!({"parameters": [parameter]}),
                "parameter 'u' component 'federation-upstream' in vhost 'v': component federation-upstream not found",
            ),
        ] {
            assert_eq!(refused(&file), expected);
        }
        assert!(
            refused(&json!({"queues": [queue]}))
                .starts_with("queue 'q' in vhost 'v': invalid arg 'x-max-length'")
        );
        assert!(
            refused(&json!({"policies": [policy]}))
                .starts_with("policy 'p': Validation failed\n\npattern should")
        );
    }

    #[test]
    fn files_of_one_vhost_name_it_nowhere() {
        let file = json!({
            "users": [{"name": "u", "tags": ""}], "vhosts": [{"name": "w"}],
            "queues": [{"name": "q", "durable": true, "auto_delete": false, "arguments": {}}],
        });
        let document = Document::read(&file, Some("v")).unwrap();
        assert!(document.users.is_empty() && document.vhosts.is_empty());
        assert_eq!(&*document.objects["v"].queues[0].name, "q");
    }

    #[test]
    fn older_and_newer_files_mean_the_same() {
        let file = json!({
            "vhosts": [
                {"name": "a", "metadata": {"description": "d", "tags": ["x"], "default_queue_type": "quorum"}},
                {"name": "b", "description": "d", "tags": "x, y", "default_queue_type": "undefined", "limits": []},
            ],
            "global_parameters": {"cluster_name": "c"},
            "queues": [{"name": "q", "vhost": "a", "type": "quorum", "durable": true, "arguments": {}}],
            "users": [{"name": "u", "password_hash": "", "tags": "administrator", "limits": {"max-channels": 3}}],
        });
        let document = Document::read(&file, None).unwrap();
        let [a, b] = &document.vhosts[..] else { panic!("{document:?}") };
        assert_eq!(a.default_queue_kind, Some(QueueKind::Quorum));
        assert_eq!(
            (a.description.as_deref(), b.tags.as_deref()),
            (Some("d"), Some(&["x".to_owned(), "y".to_owned()][..]))
        );
        assert_eq!(b.default_queue_kind, None);
        assert_eq!(document.global_parameters, [("cluster_name".to_owned(), json!("c"))]);
        assert_eq!(document.objects["a"].queues[0].kind, QueueKind::Quorum);
        assert_eq!(document.users[0].tags, ["administrator"]);
        assert_eq!(document.users[0].limits.get(MAX_CHANNELS), Some(3));
    }
}
