//! A request that passed the table: who asks, the names in its path, its query and its body.

use super::Management;
use super::access::Caller;
use super::answer::ApiError;
use super::shape::connection_name;
use crate::server::Acquaintance;
use crate::server::HttpClient;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use std::sync::Arc;

/// See the file's head.
pub(super) struct Call {
    /// What all requests share.
    pub(super) management: Arc<Management>,
    /// Who asks.
    pub(super) caller: Caller,
    /// From where, if that is known.
    pub(super) peer: Option<HttpClient>,
    /// Captured by the path, decoded once.
    pub(super) names: Vec<(String, String)>,
    /// Its query.
    pub(super) query: Query,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body, within the route's bound.
    pub(super) body: Vec<u8>,
}

impl Call {
    /// What stands in the path at `{name}`; empty if the route has no such place.
    pub(super) fn name(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether the route has such a place.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| known == name)
    }

    /// The vhost of the path, which exists if the route's rule speaks of it.
    pub(super) fn vhost(&self) -> &str {
        self.name("vhost")
    }

    /// The exchange at `{name}`: paths say `amq.default` for the one without a name.
    pub(super) fn exchange(&self, name: &str) -> &str {
        match self.name(name) {
            "amq.default" => "",
            exchange => exchange,
        }
    }

    /// The vhosts whose contents lists show the caller, by name.
    pub(super) fn visible_vhosts(&self) -> Vec<Arc<str>> {
        let all = self.management.broker.vhost_names().into_iter();
        all.filter(|vhost| self.caller.sees(vhost)).collect()
    }

    /// The connection of this name, if the caller may see it.
    pub(super) fn connection_named(&self, name: &str) -> Option<Acquaintance> {
        let all = self.management.broker.acquaintances().into_iter();
        let mut visible = all.filter(|one| self.caller.sees_user(&one.user));
        visible.find(|one| connection_name(&one.peer) == name)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a JSON object; no body is an empty one, and so are `null`, `true` and `false`, as in RabbitMQ.
    ///
    /// # Errors
    /// 400 if it is something else.
    pub(super) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(Value::Null | Value::Bool(_)) => Ok(Map::new()),
            Ok(_) => Err(ApiError::bad("the body is not a JSON object")),
            Err(error) => Err(ApiError::bad(format!("the body is not JSON: {error}"))),
        }
    }
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Names and values, decoded.
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of this name, the last one if it is given twice.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same, but an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// Whether the value of this name is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}
