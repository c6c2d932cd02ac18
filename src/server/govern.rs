//! What operators order about many objects at once, carried out: policies, parameters, limits, and what is said of
//! vhosts. Texts and rules are rabbitmqctl's.

use super::broker::Broker;
use super::vhost_about::VhostAbout;
use crate::auth::{AccountsError, Limits, MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES};
use crate::cli::control::{ControlRequest, ControlResponse, RefusalReason, Row, VhostMetadata};
use crate::cli::rows;
use crate::definitions::{ApplyTo, PolicyDefinition};
use crate::queue::QueueKind;
use crate::vhost::PolicyLayer;
use crate::vhost::input::{AdminCommand, AdminReply};
use serde_json::json;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Refused {
    /// What accounts and vhosts say.
    Accounts(AccountsError),
    /// What was asked cannot be.
    Invalid(String),
}

impl From<AccountsError> for Refused {
    fn from(error: AccountsError) -> Self {
        Self::Accounts(error)
    }
}

/// The one component of parameters there is beside policies, and the one name it has.
const VHOST_LIMITS: (&str, &str) = ("vhost-limits", "limits");

/// Carries out one request; `None` if it is none of these.
pub(super) async fn carry_out(
    broker: &Broker,
    request: ControlRequest,
) -> Option<Result<ControlResponse, Refused>> {
    Some(match request {
        ControlRequest::SetPolicy { vhost, operator, name, pattern, definition, priority, apply_to } => {
            let policy = ApplyTo::from_name(&apply_to)
                .ok_or_else(|| unknown_apply_to(&apply_to))
                .map(|apply_to| PolicyDefinition { name, pattern, apply_to, priority, definition });
            match policy {
                Ok(policy) => order(broker, &vhost, AdminCommand::SetPolicy(layer(operator), policy)).await,
                Err(refused) => Err(refused),
            }
        }
        ControlRequest::ClearPolicy { vhost, operator, name } => {
            order(broker, &vhost, AdminCommand::ClearPolicy(layer(operator), name.into())).await
        }
        ControlRequest::ListPolicies { vhost, operator } => list_policies(broker, &vhost, operator).await,
        ControlRequest::SetVhostLimits { vhost, definition } => {
            set_vhost_limits(broker, &vhost, &definition).await
        }
        ControlRequest::ClearVhostLimits { vhost } => clear_vhost_limits(broker, &vhost).await,
        ControlRequest::ListVhostLimits { vhost } => list_vhost_limits(broker, vhost.as_deref()),
        ControlRequest::SetUserLimits { user, definition } => {
            set_user_limits(broker, &user, &definition).await
        }
        ControlRequest::ClearUserLimits { user, limit } => clear_user_limits(broker, &user, &limit).await,
        ControlRequest::ListUserLimits { user } => list_user_limits(broker, user.as_deref()),
        ControlRequest::SetParameter { vhost, component, name, value } => {
            match parameter(&component, Some(&name), "set") {
                Ok(()) => set_vhost_limits(broker, &vhost, &value).await,
                Err(refused) => Err(refused),
            }
        }
        ControlRequest::ClearParameter { vhost, component, name } => {
            match parameter(&component, Some(&name), "cleared") {
                Ok(()) => clear_vhost_limits(broker, &vhost).await,
                Err(refused) => Err(refused),
            }
        }
        ControlRequest::ListParameters { vhost } => list_parameters(broker, &vhost),
        ControlRequest::AddVhost { vhost, metadata } => add_vhost(broker, &vhost, metadata).await,
        ControlRequest::UpdateVhostMetadata { vhost, metadata } => {
            let changed = broker.directory.change_vhost(&vhost, |about| describe(about, metadata)).await;
            changed.map(|()| ControlResponse::Done)
        }
        ControlRequest::ProtectVhost { vhost, on } => {
            let protect = |about: &mut VhostAbout| -> Result<(), Refused> {
                about.is_protected = on;
                Ok(())
            };
            broker.directory.change_vhost(&vhost, protect).await.map(|()| ControlResponse::Done)
        }
        ControlRequest::SetGlobalParameter { name, value } => {
            let set = match serde_json::from_str(&value) {
                Ok(value) => {
                    broker.set_global_parameter(&name, value).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(format!("{value} is not JSON: {error}")),
            };
            set.map(|_| ControlResponse::Done).map_err(Refused::Invalid)
        }
        ControlRequest::ClearGlobalParameter { name } => {
            if broker.clear_global_parameter(&name).await {
                Ok(ControlResponse::Done)
            } else {
                Err(Refused::Invalid("Parameter does not exist".to_owned()))
            }
        }
        ControlRequest::ListGlobalParameters => {
            let parameters = broker.global_parameters().into_iter();
            // As JSON, as other parameters are: tools read the value with a parser of it.
            let rows = parameters.map(|(name, value)| {
                rows::named([("name", json!(name)), ("value", json!(value.to_string()))])
            });
            Ok(ControlResponse::Rows { rows: rows.collect() })
        }
        ControlRequest::ListVhosts => Ok(list_vhosts(broker).await),
        _ => return None,
    })
}

fn layer(operator: bool) -> PolicyLayer {
    if operator { PolicyLayer::Operator } else { PolicyLayer::User }
}

fn unknown_apply_to(apply_to: &str) -> Refused {
    Refused::Invalid(format!(
        "Validation failed\n\napply-to '{apply_to}' unrecognised; should be one of: 'queues', 'classic_queues',  \
         'quorum_queues', 'streams', 'exchanges', or 'all'\n"
    ))
}

/// Asks the vhost to do something; its refusal is a sentence for the operator.
async fn order(broker: &Broker, vhost: &str, command: AdminCommand) -> Result<ControlResponse, Refused> {
    let inbox = broker.directory.vhost(vhost).ok_or_else(|| no_vhost(vhost))?;
    match inbox.ask(command).await {
        Some(AdminReply::Done) => Ok(ControlResponse::Done),
        Some(AdminReply::Refused(why)) => Err(Refused::Invalid(why)),
        Some(_) | None => {
            Ok(ControlResponse::refused(RefusalReason::Unavailable, format!("vhost '{vhost}' is stopping")))
        }
    }
}

async fn list_policies(broker: &Broker, vhost: &str, operator: bool) -> Result<ControlResponse, Refused> {
    let inbox = broker.directory.vhost(vhost).ok_or_else(|| no_vhost(vhost))?;
    let layer = if operator { PolicyLayer::Operator } else { PolicyLayer::User };
    let policies = inbox.policies(layer).await.ok_or_else(|| no_vhost(vhost))?;
    Ok(ControlResponse::Rows {
        rows: policies.iter().map(|policy| rows::policy_row(vhost, policy)).collect(),
    })
}

async fn set_vhost_limits(
    broker: &Broker,
    vhost: &str,
    definition: &str,
) -> Result<ControlResponse, Refused> {
    let limits =
        Limits::parse(definition, &[MAX_CONNECTIONS, MAX_QUEUES], VHOST_LIMITS.1).map_err(|why| {
            let is_json = !why.starts_with("JSON");
            Refused::Invalid(if is_json { format!("Validation failed\n\n{why}\n") } else { why })
        })?;
    let set = |about: &mut VhostAbout| {
        about.limits = limits;
        Ok::<_, Refused>(())
    };
    broker.directory.change_vhost(vhost, set).await?;
    Ok(ControlResponse::Done)
}

async fn clear_vhost_limits(broker: &Broker, vhost: &str) -> Result<ControlResponse, Refused> {
    let clear = |about: &mut VhostAbout| {
        if about.limits.is_empty() {
            return Err(Refused::Invalid("Parameter does not exist".to_owned()));
        }
        about.limits = Limits::default();
        Ok(())
    };
    broker.directory.change_vhost(vhost, clear).await?;
    Ok(ControlResponse::Done)
}

fn list_vhost_limits(broker: &Broker, vhost: Option<&str>) -> Result<ControlResponse, Refused> {
    let Some(vhost) = vhost else {
        let all = broker.directory.about_vhosts();
        let limited = all.iter().filter(|(_, about)| !about.limits.is_empty());
        let rows = limited.map(|(name, about)| limits_row("vhost", name, &about.limits)).collect();
        return Ok(ControlResponse::Rows { rows });
    };
    let open = broker.directory.open(vhost).ok_or_else(|| no_vhost(vhost))?;
    let limits = &open.about.limits;
    Ok(ControlResponse::Text { text: if limits.is_empty() { String::new() } else { limits.to_json() } })
}

async fn set_user_limits(broker: &Broker, user: &str, definition: &str) -> Result<ControlResponse, Refused> {
    let known = [MAX_CONNECTIONS, MAX_CHANNELS];
    let limits = Limits::parse(definition, &known, "user-limits").map_err(Refused::Invalid)?;
    let change = |current: &mut Limits| current.merge(limits);
    broker.directory.change_accounts(|accounts| accounts.change_limits(user, change)).await?;
    Ok(ControlResponse::Done)
}

async fn clear_user_limits(broker: &Broker, user: &str, limit: &str) -> Result<ControlResponse, Refused> {
    let change = |current: &mut Limits| match limit {
        "all" => *current = Limits::default(),
        limit => current.remove(limit),
    };
    broker.directory.change_accounts(|accounts| accounts.change_limits(user, change)).await?;
    Ok(ControlResponse::Done)
}

fn list_user_limits(broker: &Broker, user: Option<&str>) -> Result<ControlResponse, Refused> {
    let accounts = broker.directory.accounts();
    let Some(user) = user else {
        let users = accounts.users();
        let limited = users.iter().filter_map(|user| Some((&user.name, accounts.limits(&user.name)?)));
        let rows = limited.filter(|(_, limits)| !limits.is_empty());
        return Ok(ControlResponse::Rows {
            rows: rows.map(|(name, limits)| limits_row("user", name, limits)).collect(),
        });
    };
    let limits = accounts.limits(user).ok_or_else(|| AccountsError::NoSuchUser(user.to_owned()))?;
    Ok(ControlResponse::Text { text: limits.to_json() })
}

fn limits_row(of: &str, name: &str, limits: &Limits) -> Row {
    rows::named([(of, json!(name)), ("limits", json!(limits.to_json()))])
}

/// Whether there is such a parameter.
fn parameter(component: &str, name: Option<&str>, done: &str) -> Result<(), Refused> {
    match (component, name) {
        ("policy" | "operator_policy", _) => {
            Err(Refused::Invalid(format!("policies may not be {done} using this method")))
        }
        (component, Some(name)) if (component, name) == VHOST_LIMITS => Ok(()),
        (component, _) if done == "cleared" || component == VHOST_LIMITS.0 => {
            Err(Refused::Invalid("Parameter does not exist".to_owned()))
        }
        (component, _) => {
            Err(Refused::Invalid(format!("Validation failed\n\ncomponent {component} not found\n")))
        }
    }
}

fn list_parameters(broker: &Broker, vhost: &str) -> Result<ControlResponse, Refused> {
    let open = broker.directory.open(vhost).ok_or_else(|| no_vhost(vhost))?;
    let limits = &open.about.limits;
    let row = || {
        let (component, name) = VHOST_LIMITS;
        rows::named([
            ("component", json!(component)),
            ("name", json!(name)),
            ("value", json!(limits.to_json())),
        ])
    };
    Ok(ControlResponse::Rows { rows: if limits.is_empty() { Vec::new() } else { vec![row()] } })
}

async fn add_vhost(
    broker: &Broker,
    vhost: &str,
    metadata: VhostMetadata,
) -> Result<ControlResponse, Refused> {
    let mut about = VhostAbout::default();
    describe(&mut about, metadata)?;
    broker.directory.add_vhost(vhost, about).await?;
    Ok(ControlResponse::Done)
}

fn describe(about: &mut VhostAbout, metadata: VhostMetadata) -> Result<(), Refused> {
    let VhostMetadata { description, tags, default_queue_type } = metadata;
    if let Some(name) = default_queue_type {
        let kind = QueueKind::from_name(&name)
            .ok_or_else(|| Refused::Invalid(format!("Unsupported default queue type: {name}")))?;
        about.default_queue_kind = Some(kind);
    }
    about.description = description.unwrap_or_else(|| std::mem::take(&mut about.description));
    about.tags = tags.unwrap_or_else(|| std::mem::take(&mut about.tags));
    Ok(())
}

async fn list_vhosts(broker: &Broker) -> ControlResponse {
    let mut rows = Vec::new();
    for (name, about) in broker.directory.about_vhosts() {
        let kind = about.default_queue_kind.unwrap_or(broker.config.default_queue_kind);
        // A vhost that is being deleted answers no more.
        let Some(inbox) = broker.directory.vhost(&name) else { continue };
        let Some(sums) = inbox.sums().await else { continue };
        let about = rows::VhostDescription {
            description: &about.description,
            tags: &about.tags,
            default_queue_type: kind.name(),
            is_protected: about.is_protected,
        };
        rows.push(rows::vhost_row(&name, &sums, broker.connections.count_in(&name), &about));
    }
    ControlResponse::Rows { rows }
}

fn no_vhost(vhost: &str) -> Refused {
    Refused::Accounts(AccountsError::NoSuchVhost(vhost.to_owned()))
}
