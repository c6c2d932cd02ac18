//! Connections, named after both their ends, and their end at an operator's wish.

use crate::connection::{ConnectionReport, TlsSession};
use crate::management::Management;
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::history::Object;
use crate::management::listing::{Row, Source, Wanted, one, paged, row};
use crate::management::rates::Spans;
use crate::management::shape::{connection_name, table_value};
use crate::server::Acquaintance;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::info;

/// `GET /api/connections`
pub(in crate::management) async fn all(call: Call) -> Answer {
    list(call, |_| true).await
}

/// `GET /api/vhosts/{vhost}/connections`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    let vhost = call.vhost().to_owned();
    list(call, move |connection| *connection.vhost == *vhost).await
}

/// `GET /api/connections/username/{user}`
pub(in crate::management) async fn of_user(call: Call) -> Answer {
    let user = call.name("user").to_owned();
    list(call, move |connection| *connection.user == *user).await
}

async fn list(call: Call, chosen: impl Fn(&Acquaintance) -> bool) -> Answer {
    let spans = Spans::asked(&call.query, call.management.broker.unix_ms())?;
    let all = call.management.broker.acquaintances().into_iter();
    let visible = all.filter(|one| call.caller.sees_user(&one.user) && chosen(one));
    let keys = visible.map(|one| (connection_name(&one.peer).into(), one)).collect();
    let source = Connections { management: Arc::clone(&call.management), spans };
    paged(&call.query, source, keys).await
}

/// `GET /api/connections/{name}`
pub(in crate::management) async fn connection(call: Call) -> Answer {
    let spans = Spans::asked(&call.query, call.management.broker.unix_ms())?;
    let name = call.name("name");
    let found = call.connection_named(name).ok_or(ApiError::NotFound)?;
    let source = Connections { management: Arc::clone(&call.management), spans };
    let rows = source.rows(&[(name.into(), found)], &Wanted::ALL).await;
    Ok(one(&call.query, rows.into_iter().next().flatten().ok_or(ApiError::NotFound)?))
}

/// `DELETE /api/connections/{name}`: its client hears 320 with the text of the header `X-Reason`.
pub(in crate::management) async fn close(call: Call) -> Answer {
    let found = call.connection_named(call.name("name")).ok_or(ApiError::NotFound)?;
    check_closes_for(&call, &found.user)?;
    close_one(&call, &found);
    Ok(Reply::no_content())
}

/// `DELETE /api/connections/username/{user}`
pub(in crate::management) async fn close_all_of_user(call: Call) -> Answer {
    let user = call.name("user");
    check_closes_for(&call, user)?;
    let all = call.management.broker.acquaintances();
    for found in all.iter().filter(|one| *one.user == *user) {
        close_one(&call, found);
    }
    Ok(Reply::no_content())
}

/// Who watches all connections may not close them for that.
/// Source: RabbitMQ `rabbit_mgmt_util:is_authorized_user`.
fn check_closes_for(call: &Call, user: &str) -> Result<(), ApiError> {
    let refused = || ApiError::NotAuthorised("User not authorised to access object".to_owned());
    if call.caller.closes_for(user) { Ok(()) } else { Err(refused()) }
}

fn close_one(call: &Call, found: &Acquaintance) {
    let reason = call.header("x-reason").filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or("Closed via management plugin");
    if call.management.broker.close_connection(found.id, reason) {
        info!(connection = found.id.0, by = %call.caller.user.escape_debug(), reason, "closing a connection");
    }
}

/// Connections by name.
struct Connections {
    management: Arc<Management>,
    spans: Spans,
}

impl Connections {
    fn row_of(&self, report: &ConnectionReport) -> Row {
        let (peer, text) = (&report.peer, |text: &Option<Arc<str>>| json!(text.as_deref()));
        let mut fields = row([
            ("name", json!(connection_name(peer))),
            ("node", json!(self.management.broker.node_name())),
            ("vhost", text(&report.vhost)),
            ("user", text(&report.user)),
            ("user_who_performed_action", text(&report.user)),
            ("protocol", json!("AMQP 0-9-1")),
            ("type", json!("network")),
            ("state", json!(report.state)),
            ("channels", json!(report.channels.len())),
            ("connected_at", json!(report.connected_unix_ms)),
            ("client_properties", table_value(&report.client_properties)),
            ("user_provided_name", json!(report.name)),
            ("peer_host", json!(peer.remote.ip().to_string())),
            ("peer_port", json!(peer.remote.port())),
            ("host", json!(peer.local.ip().to_string())),
            ("port", json!(peer.local.port())),
            ("auth_mechanism", json!(report.mechanism)),
            ("timeout", json!(report.heartbeat_s)),
            ("frame_max", json!(report.frame_bytes_max)),
            ("channel_max", json!(report.channels_max)),
            ("recv_cnt", json!(report.traffic.received_count)),
            ("send_cnt", json!(report.traffic.sent_count)),
            ("send_pend", json!(report.traffic.unsent_bytes)),
            ("ssl", json!(report.tls.is_some())),
        ]);
        add_tls(&mut fields, report.tls.as_deref());
        let traffic = report.traffic;
        let object = Object::Connection(report.id);
        self.management.history.read(object, self.management.broker.now_ms(), |series| {
            let (spans, data) = (&self.spans, self.spans.data);
            spans.add(&mut fields, ("recv_oct", traffic.received_bytes), series, data, |one| {
                one.received_bytes
            });
            spans.add(&mut fields, ("send_oct", traffic.sent_bytes), series, data, |one| one.sent_bytes);
        });
        fields
    }
}

/// How the connection is encrypted, and whose certificate the client has.
fn add_tls(fields: &mut Row, tls: Option<&TlsSession>) {
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    for (name, value) in [
        ("ssl_protocol", tls.map(|tls| &tls.protocol)),
        ("ssl_key_exchange", tls.map(|tls| &tls.key_exchange)),
        ("ssl_cipher", tls.map(|tls| &tls.cipher)),
        ("ssl_hash", tls.map(|tls| &tls.hash)),
        ("peer_cert_subject", certificate.map(|certificate| &certificate.subject)),
        ("peer_cert_issuer", certificate.map(|certificate| &certificate.issuer)),
        ("peer_cert_validity", certificate.map(|certificate| &certificate.validity)),
    ] {
        fields.insert(name.to_owned(), json!(value));
    }
}

impl Source for Connections {
    type Key = (Arc<str>, Acquaintance);

    fn name<'a>(&'a self, (name, _): &'a Self::Key) -> &'a str {
        name
    }

    async fn rows(&self, keys: &[Self::Key], _: &Wanted) -> Vec<Option<Row>> {
        let ids: Vec<_> = keys.iter().map(|(_, one)| one.id).collect();
        let reports = self.management.broker.connection_reports_of(&ids).await;
        let mut rows: HashMap<_, _> =
            reports.into_iter().map(|report| (report.id, self.row_of(&report))).collect();
        ids.iter().map(|id| rows.remove(id)).collect()
    }
}
