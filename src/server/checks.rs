//! What operators ask of certificates, of logins and of a single queue, for `ledgermq ctl`: read, and nothing changed.

use super::broker::Broker;
use super::expiry::ExpiringListener;
use crate::auth::AccountsError;
use crate::cli::control::{ControlRequest, ControlResponse, RefusalReason, Row};
use crate::cli::rows;
use crate::vhost::views::{Look, Seen};
use serde_json::json;
use std::net::SocketAddr;

/// Carries out one request.
///
/// # Errors
/// That there is no such vhost.
pub(super) async fn carry_out(
    broker: &Broker,
    request: ControlRequest,
) -> Result<ControlResponse, AccountsError> {
    let rows = match request {
        ControlRequest::ExpiringCertificates { within_s } => expiring(broker, within_s),
        ControlRequest::Certificates => certificates(broker),
        ControlRequest::LoginCounts => logins(broker),
        ControlRequest::ShowQueue { vhost, queue } => return show_queue(broker, vhost, &queue).await,
        other => {
            let message = format!("{other:?} was sent to the wrong place");
            return Ok(ControlResponse::refused(RefusalReason::Usage, message));
        }
    };
    Ok(ControlResponse::Rows { rows })
}

fn expiring(broker: &Broker, within_s: u64) -> Vec<Row> {
    let row = |one: &ExpiringListener| {
        rows::named([
            ("interface", json!(one.address.ip().to_string())),
            ("port", json!(one.address.port())),
            ("protocol", json!(one.protocol)),
            ("certfile", json!(one.certificate_file)),
            ("cacertfile", json!(one.authorities_file)),
            ("certfile_expires_on", json!(one.certificates)),
            ("cacertfile_expires_on", json!(one.authorities)),
        ])
    };
    broker.expiring_listeners(within_s).iter().map(row).collect()
}

fn certificates(broker: &Broker) -> Vec<Row> {
    let Some(tls) = &broker.tls else { return Vec::new() };
    let (own, authorities) = tls.pem();
    let doors = [
        ("amqp/ssl", broker.config.tls_listen, &*authorities),
        // Nobody is asked for a certificate there.
        ("https", broker.config.https_listen, ""),
    ];
    let row = |(protocol, address, authorities): (&str, Option<SocketAddr>, &str)| {
        let address = address?;
        Some(rows::named([
            ("interface", json!(address.ip().to_string())),
            ("port", json!(address.port())),
            ("protocol", json!(protocol)),
            ("certfile", json!(own)),
            ("cacertfile", json!(authorities)),
        ]))
    };
    doors.into_iter().filter_map(row).collect()
}

fn logins(broker: &Broker) -> Vec<Row> {
    let row = |(protocol, succeeded, failed): (&str, u64, u64)| {
        rows::named([
            ("protocol", json!(protocol)),
            ("auth_attempts", json!(succeeded + failed)),
            ("auth_attempts_failed", json!(failed)),
            ("auth_attempts_succeeded", json!(succeeded)),
        ])
    };
    broker.login_counts().into_iter().map(row).collect()
}

async fn show_queue(broker: &Broker, vhost: String, queue: &str) -> Result<ControlResponse, AccountsError> {
    let found = match broker.look(&vhost, Look::Queues(vec![queue.into()])).await {
        Some(Seen::Queues(found)) => found.into_iter().next().flatten(),
        Some(_) => None,
        None => return Err(AccountsError::NoSuchVhost(vhost)),
    };
    // Whose it is, is nothing anybody asks of one queue.
    Ok(match found {
        Some(report) => ControlResponse::Rows {
            rows: vec![rows::queue_row(&vhost, &report, &broker.node_name(), |_| None)],
        },
        None => ControlResponse::refused(RefusalReason::NoSuchQueue, "not_found"),
    })
}
