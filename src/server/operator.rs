//! What operators ask over the control socket, carried out: the directory is changed, vhosts and connections are asked.
//! Knows the requests and answers of `cli::control`, not how they travel.

use super::alarms::Alarms;
use super::broker::{Broker, Stage};
use super::definitions_file::{COMPATIBLE_VERSION, Export};
use super::govern::{self, Refused};
use super::watermarks::{Mark, Watermarks};
use super::{checks, closing, figures};
use crate::auth::{AccountsError, PasswordHash};
use crate::cli::control::{ControlRequest, ControlResponse, RefusalReason, Row};
use crate::cli::rows::{self, StatusReport};
use crate::config::{AuditLog, KEYS};
use crate::connection::{ConnectionReport, Login, Peer};
use crate::definitions::{PermissionDefinition, TopicPermissionDefinition};
use crate::diagnostics;
use crate::vhost::command::ConnectionId;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::report::ConsumerReport;
use serde_json::json;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Carries out one request.
pub(super) async fn carry_out(broker: &Arc<Broker>, request: ControlRequest) -> ControlResponse {
    match request {
        ControlRequest::AddUser { .. }
        | ControlRequest::DeleteUser { .. }
        | ControlRequest::ChangePassword { .. }
        | ControlRequest::ClearPassword { .. }
        | ControlRequest::AuthenticateUser { .. }
        | ControlRequest::SetUserTags { .. }
        | ControlRequest::DeleteVhost { .. }
        | ControlRequest::SetPermissions { .. }
        | ControlRequest::ClearPermissions { .. }
        | ControlRequest::SetTopicPermissions { .. }
        | ControlRequest::ClearTopicPermissions { .. } => {
            change(broker, request).await.unwrap_or_else(|error| refused(&error))
        }
        ControlRequest::Trace { vhost, on } => ask(broker, &vhost, AdminCommand::Trace(on)).await,
        ControlRequest::ListUsers
        | ControlRequest::ListPermissions { .. }
        | ControlRequest::ListTopicPermissions { .. }
        | ControlRequest::ListUserTopicPermissions { .. }
        | ControlRequest::ListUserPermissions { .. } => {
            list_accounts(broker, request).unwrap_or_else(|error| refused(&error))
        }
        ControlRequest::ListQueues { vhost } => listed(&vhost, queue_rows(broker, &vhost).await),
        ControlRequest::ListExchanges { vhost } => listed(&vhost, exchange_rows(broker, &vhost).await),
        ControlRequest::ListBindings { vhost } => listed(&vhost, binding_rows(broker, &vhost).await),
        ControlRequest::ListConsumers { vhost } => listed(&vhost, consumer_rows(broker, &vhost).await),
        ControlRequest::ListConnections => {
            let reports = broker.connections.reports().await;
            ControlResponse::Rows { rows: reports.iter().map(rows::connection_row).collect() }
        }
        ControlRequest::ListChannels => list_channels(broker).await,
        ControlRequest::CloseConnection { pid, explanation } => closing::one(broker, &pid, &explanation),
        ControlRequest::CloseConnections { vhost, limit, delay_ms, explanation } => {
            closing::all(broker, vhost.as_deref(), limit, delay_ms, &explanation).await
        }
        ControlRequest::CloseUserConnections { user, explanation } => {
            closing::all_of_user(broker, &user, &explanation)
        }
        ControlRequest::PurgeQueue { vhost, queue } => {
            ask(broker, &vhost, AdminCommand::PurgeQueue(queue.into())).await
        }
        ControlRequest::DeleteQueue { vhost, queue, if_unused, if_empty } => {
            ask(broker, &vhost, AdminCommand::DeleteQueue { name: queue.into(), if_unused, if_empty }).await
        }
        ControlRequest::SetVmMemoryHighWatermark { limit } => {
            move_watermark(broker, &limit, true, |marks, mark| marks.memory = Some(mark))
        }
        ControlRequest::SetDiskFreeLimit { limit } => {
            move_watermark(broker, &limit, false, |marks, mark| marks.disk = Some(mark))
        }
        ControlRequest::Status => ControlResponse::Rows { rows: vec![status(broker).await.row()] },
        ControlRequest::Figures => ControlResponse::Figures { figures: Box::new(figures::now(broker).await) },
        ControlRequest::Environment => {
            let pairs = KEYS.iter().map(|key| (key.name, key.text(&broker.config)));
            let rows = pairs.map(|(name, value)| row([("key", json!(name)), ("value", json!(value))]));
            ControlResponse::Rows { rows: rows.collect() }
        }
        ControlRequest::SetLogLevel { level } => match diagnostics::set_level(&level) {
            Ok(()) => ControlResponse::Done,
            Err(message) => ControlResponse::refused(RefusalReason::Invalid, message),
        },
        ControlRequest::RotateLogs => rotate_logs(broker).await,
        ControlRequest::ExportDefinitions => match Export::of_broker(Arc::clone(broker)).text().await {
            Ok(text) => ControlResponse::Text { text },
            Err(error) => ControlResponse::refused(RefusalReason::Unavailable, error.to_string()),
        },
        ControlRequest::ImportDefinitions { definitions } => import(broker, definitions.expose()).await,
        ControlRequest::LogLocation => ControlResponse::Text {
            text: match &broker.config.audit_log {
                AuditLog::File(path) => format!("<stderr>\naudit log: {}", path.display()),
                AuditLog::Off | AuditLog::Stderr => "<stderr>".to_owned(),
            },
        },
        ControlRequest::AwaitStartup => {
            broker.reached(Stage::Serving).await;
            ControlResponse::Done
        }
        ControlRequest::Stop => {
            // The transport stops the broker once the answer is on its way.
            ControlResponse::Done
        }
        ControlRequest::ShowQueue { .. }
        | ControlRequest::ExpiringCertificates { .. }
        | ControlRequest::Certificates
        | ControlRequest::LoginCounts => {
            checks::carry_out(broker, request).await.unwrap_or_else(|error| refused(&error))
        }
        governing => match govern::carry_out(broker, governing).await {
            Some(Ok(response)) => response,
            Some(Err(Refused::Accounts(error))) => refused(&error),
            Some(Err(Refused::Invalid(why))) => ControlResponse::refused(RefusalReason::Invalid, why),
            None => ControlResponse::refused(RefusalReason::Usage, "a request nobody carries out"),
        },
    }
}

async fn change(broker: &Broker, request: ControlRequest) -> Result<ControlResponse, AccountsError> {
    let directory = &broker.directory;
    match request {
        ControlRequest::AddUser { user, password } => {
            let password = broker.hash_password(password.expose()).await?;
            directory.change_accounts(|accounts| accounts.add_user(&user, password)).await?;
        }
        ControlRequest::DeleteUser { user } => {
            directory.change_accounts(|accounts| accounts.delete_user(&user)).await?;
        }
        ControlRequest::ChangePassword { user, password } => {
            let password = broker.hash_password(password.expose()).await?;
            directory.change_accounts(|accounts| accounts.change_password(&user, password)).await?;
        }
        ControlRequest::ClearPassword { user } => {
            let none = PasswordHash::none();
            directory.change_accounts(|accounts| accounts.change_password(&user, none)).await?;
        }
        ControlRequest::AuthenticateUser { user, password } => {
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let peer = Peer { remote: here, local: here };
            let password = password.expose().to_owned();
            let login = Login { mechanism: "PLAIN", user: user.clone(), password };
            if broker.check_login(&login, &peer, true).await.is_err() {
                let message = format!("failed to authenticate user \"{user}\"");
                return Ok(ControlResponse::refused(RefusalReason::AccessRefused, message));
            }
        }
        ControlRequest::SetUserTags { user, tags } => {
            directory.change_accounts(|accounts| accounts.set_tags(&user, tags)).await?;
        }
        ControlRequest::DeleteVhost { vhost } => directory.delete_vhost(&vhost).await?,
        ControlRequest::SetPermissions { vhost, user, configure, write, read } => {
            existing(broker, &vhost)?;
            let permission = PermissionDefinition { user, vhost, configure, write, read };
            directory.change_accounts(|accounts| accounts.set_permissions(permission)).await?;
        }
        ControlRequest::ClearPermissions { vhost, user } => {
            existing(broker, &vhost)?;
            directory.change_accounts(|accounts| accounts.clear_permissions(&user, &vhost)).await?;
        }
        ControlRequest::SetTopicPermissions { vhost, user, exchange, write, read } => {
            existing(broker, &vhost)?;
            let permission = TopicPermissionDefinition { user, vhost, exchange, write, read };
            directory.change_accounts(|accounts| accounts.set_topic_permissions(permission)).await?;
        }
        ControlRequest::ClearTopicPermissions { vhost, user, exchange } => {
            existing(broker, &vhost)?;
            let exchange = exchange.as_deref();
            directory
                .change_accounts(|accounts| accounts.clear_topic_permissions(&user, &vhost, exchange))
                .await?;
        }
        other => return Ok(unexpected(&other)),
    }
    Ok(ControlResponse::Done)
}

fn list_accounts(broker: &Broker, request: ControlRequest) -> Result<ControlResponse, AccountsError> {
    let accounts = broker.directory.accounts();
    let rows: Vec<Row> = match request {
        ControlRequest::ListUsers => {
            let users = accounts.users();
            users.iter().map(|user| row([("user", json!(user.name)), ("tags", json!(user.tags))])).collect()
        }
        ControlRequest::ListPermissions { vhost } => {
            existing(broker, &vhost)?;
            accounts
                .permissions_in(&vhost)
                .into_iter()
                .map(|view| permission_row(("user", &view.user), &view.configure, &view.write, &view.read))
                .collect()
        }
        ControlRequest::ListUserPermissions { user } => accounts
            .permissions_of(&user)?
            .into_iter()
            .map(|view| permission_row(("vhost", &view.vhost), &view.configure, &view.write, &view.read))
            .collect(),
        ControlRequest::ListTopicPermissions { vhost } => {
            existing(broker, &vhost)?;
            let here = accounts.topic_permissions_in(&vhost);
            here.iter().map(|found| topic_permission_row(("user", &found.user), found)).collect()
        }
        ControlRequest::ListUserTopicPermissions { user } => {
            let all = accounts.topic_permissions_of(&user)?;
            all.iter().map(|found| topic_permission_row(("vhost", &found.vhost), found)).collect()
        }
        other => return Ok(unexpected(&other)),
    };
    Ok(ControlResponse::Rows { rows })
}

fn permission_row(of: (&str, &str), configure: &str, write: &str, read: &str) -> Row {
    row([
        (of.0, json!(of.1)),
        ("configure", json!(configure)),
        ("write", json!(write)),
        ("read", json!(read)),
    ])
}

fn topic_permission_row(of: (&str, &str), permission: &TopicPermissionDefinition) -> Row {
    row([
        (of.0, json!(of.1)),
        ("exchange", json!(permission.exchange)),
        ("write", json!(permission.write)),
        ("read", json!(permission.read)),
    ])
}

/// Names that operators know connections by.
type Names = HashMap<ConnectionId, String>;

fn listed(vhost: &str, rows: Option<Vec<Row>>) -> ControlResponse {
    match rows {
        Some(rows) => ControlResponse::Rows { rows },
        None => refused(&AccountsError::NoSuchVhost(vhost.to_owned())),
    }
}

fn names(connections: &[ConnectionReport]) -> Names {
    connections.iter().map(|report| (report.id, rows::connection_name(report))).collect()
}

async fn queue_rows(broker: &Broker, vhost: &str) -> Option<Vec<Row>> {
    let queues = broker.directory.vhost(vhost)?.queues().await?;
    let names = names(&broker.connections.reports().await);
    let node = broker.node_name();
    let name_of = |id: ConnectionId| names.get(&id).map(String::as_str);
    Some(queues.iter().map(|queue| rows::queue_row(vhost, queue, &node, name_of)).collect())
}

async fn exchange_rows(broker: &Broker, vhost: &str) -> Option<Vec<Row>> {
    let exchanges = broker.directory.vhost(vhost)?.exchanges().await?;
    Some(exchanges.iter().map(|exchange| rows::exchange_row(vhost, exchange)).collect())
}

async fn binding_rows(broker: &Broker, vhost: &str) -> Option<Vec<Row>> {
    let bindings = broker.directory.vhost(vhost)?.bindings().await?;
    Some(bindings.iter().map(|binding| rows::binding_row(vhost, binding)).collect())
}

async fn consumer_rows(broker: &Broker, vhost: &str) -> Option<Vec<Row>> {
    let consumers = broker.directory.vhost(vhost)?.consumers().await?;
    let names = names(&broker.connections.reports().await);
    let name = |id| names.get(&id).map_or("", String::as_str);
    let row = |consumer: &ConsumerReport| rows::consumer_row(vhost, consumer, name(consumer.connection));
    Some(consumers.iter().map(row).collect())
}

async fn list_channels(broker: &Broker) -> ControlResponse {
    let connections = broker.connections.reports().await;
    let known: HashMap<_, _> = connections
        .iter()
        .map(|report| {
            (report.id, (rows::connection_name(report), report.user.as_deref().unwrap_or_default()))
        })
        .collect();
    let mut listed = Vec::new();
    for (vhost, inbox) in broker.directory.vhosts() {
        for channel in inbox.channels().await.unwrap_or_default() {
            let (name, user) = known.get(&channel.connection).map_or(("", ""), |(name, user)| (name, user));
            listed.push(rows::channel_row(&vhost, &channel, name, user));
        }
    }
    ControlResponse::Rows { rows: listed }
}

async fn ask(broker: &Broker, vhost: &str, command: AdminCommand) -> ControlResponse {
    let Some(inbox) = broker.directory.vhost(vhost) else {
        return refused(&AccountsError::NoSuchVhost(vhost.to_owned()));
    };
    match inbox.ask(command).await {
        Some(AdminReply::Done) => ControlResponse::Done,
        Some(AdminReply::Removed(message_count)) => ControlResponse::Removed { message_count },
        Some(AdminReply::Refused(message)) => {
            let missing = message.contains("no queue");
            let reason = if missing { RefusalReason::NoSuchQueue } else { RefusalReason::Conflict };
            ControlResponse::refused(reason, message)
        }
        Some(_) | None => {
            ControlResponse::refused(RefusalReason::Unavailable, format!("vhost '{vhost}' is stopping"))
        }
    }
}

fn move_watermark(
    broker: &Broker,
    limit: &[String],
    plain_is_fraction: bool,
    set: impl FnOnce(&mut Watermarks, Mark),
) -> ControlResponse {
    match Mark::parse(limit, plain_is_fraction) {
        Ok(mark) => {
            Alarms::move_watermarks(broker, |marks| set(marks, mark));
            ControlResponse::Done
        }
        Err(message) => ControlResponse::refused(RefusalReason::Usage, message),
    }
}

async fn import(broker: &Broker, definitions: &str) -> ControlResponse {
    let definitions = match serde_json::from_str(definitions) {
        Ok(definitions) => definitions,
        Err(error) => return ControlResponse::refused(RefusalReason::Invalid, error.to_string()),
    };
    match broker.import_definitions(&definitions, None, None).await {
        Ok(()) => ControlResponse::Done,
        Err(error) => ControlResponse::refused(RefusalReason::Invalid, error.to_string()),
    }
}

async fn status(broker: &Broker) -> StatusReport {
    let metrics = broker.metrics().await;
    let listeners = broker.listeners().into_iter();
    let listeners = listeners.map(|(protocol, address)| (address.to_string(), protocol.to_owned())).collect();
    StatusReport {
        product: broker.config.product.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rabbitmq_version: COMPATIBLE_VERSION.to_owned(),
        cluster_name: broker.cluster_name(),
        pid: std::process::id(),
        uptime_s: metrics.uptime_ms / 1000,
        data_dir: broker.config.data_dir.display().to_string(),
        listeners,
        alarms: metrics.alarms.iter().map(|alarm| (*alarm).to_owned()).collect(),
        memory_bytes: metrics.resident_bytes,
        memory_high_bytes: metrics.memory_high_bytes,
        body_memory_bytes: metrics.body_memory_bytes,
        disk_free_bytes: metrics.store.map_or(0, |store| store.free_bytes),
        disk_low_bytes: metrics.disk_low_bytes,
        open_files: metrics.files.map_or(0, |files| files.open),
        files_max: metrics.files.map_or(0, |files| files.limit),
        connection_count: metrics.connections,
        queue_count: metrics.figures.queues,
        vhost_count: broker.directory.vhosts().len() as u64,
        message_count: metrics.figures.messages_ready + metrics.figures.messages_unacknowledged,
    }
}

/// Diagnostics go to standard error, where whoever started the broker rotates them.
async fn rotate_logs(broker: &Broker) -> ControlResponse {
    let Some(audit) = broker.directory.events().audit().cloned() else { return ControlResponse::Done };
    match spawn_blocking(move || audit.reopen()).await {
        Ok(Ok(())) => ControlResponse::Done,
        Ok(Err(error)) => ControlResponse::refused(RefusalReason::Unavailable, error.to_string()),
        Err(error) => ControlResponse::refused(RefusalReason::Unavailable, error.to_string()),
    }
}

fn existing(broker: &Broker, vhost: &str) -> Result<(), AccountsError> {
    broker.directory.vhost(vhost).map(drop).ok_or_else(|| AccountsError::NoSuchVhost(vhost.to_owned()))
}

fn row<const N: usize>(columns: [(&str, serde_json::Value); N]) -> Row {
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn refused(error: &AccountsError) -> ControlResponse {
    let reason = match error {
        AccountsError::UserExists(_) | AccountsError::VhostProtected(_) => RefusalReason::Conflict,
        AccountsError::NoSuchUser(_) => RefusalReason::NoSuchUser,
        AccountsError::NoSuchVhost(_) => RefusalReason::NoSuchVhost,
        AccountsError::InvalidPattern { .. }
        | AccountsError::EmptyPassword
        | AccountsError::InvalidPasswordHash(_)
        | AccountsError::InvalidName => RefusalReason::Usage,
    };
    ControlResponse::refused(reason, error.to_string())
}

fn unexpected(request: &ControlRequest) -> ControlResponse {
    ControlResponse::refused(RefusalReason::Usage, format!("{request:?} was sent to the wrong place"))
}
