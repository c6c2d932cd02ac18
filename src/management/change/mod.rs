//! The routes that change something: one file per resource. What is done in a vhost is done by a deputy of the caller (see
//! `server::visit`), so rights and refusals are those of AMQP; everything is durable before it is answered.

mod accounts;
mod bindings;
mod broker;
mod definitions;
mod errands;
mod exchanges;
mod limits;
mod messages;
mod parameters;
mod policies;
mod queues;
mod routes;
mod vhosts;

pub(super) use routes::routes;

use super::answer::{Answer, ApiError, Reply};
use super::call::Call;
use crate::auth::AccountsError;
use crate::channel::{Refusal, short_string};
use crate::protocol::json::{self, JsonError};
use crate::protocol::reply::ChannelCode;
use crate::protocol::table::Table;
use crate::server::definitions_file::boolean;
use crate::server::visit::Visit;
use crate::vhost::Named;
use crate::vhost::input::{AdminCommand, AdminReply};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Begins a visit of the caller to the vhost of the path.
async fn visit(call: &Call) -> Result<Visit<'_>, ApiError> {
    let Call { management, caller, .. } = call;
    let visit = Visit::begin(&management.broker, call.vhost(), &caller.user, caller.rights()).await;
    visit.ok_or_else(|| no_vhost(call.vhost()))
}

fn no_vhost(vhost: &str) -> ApiError {
    ApiError::Unavailable(format!("virtual host '{vhost}' is being deleted"))
}

/// Asks the vhost of the path.
async fn ask(call: &Call, command: AdminCommand) -> Result<AdminReply, ApiError> {
    let reply = call.management.broker.ask(call.vhost(), command).await;
    reply.ok_or_else(|| no_vhost(call.vhost()))
}

/// Whether there is such a thing in the vhost of the path.
async fn holds(call: &Call, named: Named) -> Result<bool, ApiError> {
    Ok(matches!(ask(call, AdminCommand::Holds(named)).await?, AdminReply::Holds(true)))
}

/// 201 for what is new, 204 for what was there.
#[expect(clippy::unnecessary_wraps, reason = "the last line of handlers, which answer so")]
fn put(is_new: bool) -> Answer {
    Ok(if is_new { Reply::created() } else { Reply::no_content() })
}

/// What AMQP refuses, as RabbitMQ's management API says it.
fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Channel(error) => match error.code {
            ChannelCode::AccessRefused => ApiError::NotAuthorised(error.reply_text()),
            ChannelCode::NotFound => ApiError::Missing(error.explanation),
            _ => ApiError::BadRequest(error.explanation),
        },
        Refusal::Connection(error) => ApiError::BadRequest(error.explanation),
        Refusal::Stopping => ApiError::Unavailable(refusal.to_string()),
        Refusal::Rejected => ApiError::bad("rejected"),
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::NoSuchUser(_) | AccountsError::NoSuchVhost(_) => Self::NotFound,
            AccountsError::VhostProtected(_) => Self::Precondition(error.to_string()),
            error => Self::BadRequest(error.to_string()),
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

/// A field that must be there.
fn required<'a>(object: &'a Object, key: &str) -> Result<&'a Value, ApiError> {
    object.get(key).ok_or_else(|| ApiError::bad(format!("[{{key_missing,{key}}}]")))
}

/// A text that must be there.
fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, ApiError> {
    required(object, key)?.as_str().ok_or_else(|| ApiError::bad(format!("{key} is no text")))
}

/// A bool, also as a text; false where nothing is said.
fn flag(object: &Object, key: &str) -> Result<bool, ApiError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => boolean(value).ok_or_else(|| ApiError::bad(format!("not_boolean: {key} is {value}"))),
    }
}

/// `arguments`; none where nothing is said.
fn arguments(object: &Object) -> Result<Table, ApiError> {
    match object.get("arguments") {
        None | Some(Value::Null) => Ok(Table::default()),
        Some(arguments) => Ok(json::table(arguments)?),
    }
}

/// A name that AMQP can carry.
fn name<'a>(call: &'a Call, place: &str) -> Result<&'a str, ApiError> {
    short_string(call.name(place)).map_err(refused)
}

/// An exchange that AMQP can carry.
fn exchange<'a>(call: &'a Call, place: &str) -> Result<&'a str, ApiError> {
    short_string(call.exchange(place)).map_err(refused)
}
