//! Health checks as RabbitMQ names them: 200 with `{"status":"ok"}`, or 503 with `failed` and a reason.

use crate::cli::checks::{Unit, protocol_named};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::server::ExpiringListener;
use serde_json::{Value, json};

/// Whether clients are accepted.
pub(in crate::management) async fn is_in_service(call: Call) -> Answer {
    verdict(call.management.broker.is_in_service(), "the broker does not accept clients")
}

/// Whether any alarm is on.
pub(in crate::management) async fn alarms(call: Call) -> Answer {
    let on = call.management.broker.alarms();
    let node = call.management.broker.node_name();
    let told: Vec<Value> = on.iter().map(|alarm| json!({"node": node, "resource": alarm})).collect();
    failed_unless(
        on.is_empty(),
        || json!({"reason": format!("alarms that are on: {}", on.join(", ")), "alarms": told}),
    )
}

/// Whether all vhosts answer.
pub(in crate::management) async fn virtual_hosts(call: Call) -> Answer {
    let broker = &call.management.broker;
    let mut down = Vec::new();
    for name in broker.vhost_names() {
        if !broker.answers(&name).await && broker.has_vhost(&name) {
            down.push(name.to_string());
        }
    }
    failed_unless(down.is_empty(), || json!({"reason": "Some virtual hosts are down", "virtual-hosts": down}))
}

/// Whether queues would be lost without this node: there is only one, and its disk has everything.
pub(in crate::management) async fn node_is_quorum_critical(_: Call) -> Answer {
    Ok(Reply::json(&json!({"status": "ok", "reason": "single node cluster"})))
}

/// Whether something listens on the port.
pub(in crate::management) async fn port_listener(call: Call) -> Answer {
    let port: u16 = call.name("port").parse().map_err(|_| ApiError::bad("invalid_port"))?;
    let ports: Vec<u16> = call.management.broker.listeners().iter().map(|(_, at)| at.port()).collect();
    if ports.contains(&port) {
        return Ok(Reply::json(&json!({"status": "ok", "port": port})));
    }
    Err(ApiError::Unhealthy(json!({"reason": "No active listener", "missing": port, "ports": ports})))
}

/// Whether the protocol is spoken somewhere.
pub(in crate::management) async fn protocol_listener(call: Call) -> Answer {
    let asked = call.name("protocol").to_ascii_lowercase();
    let protocols: Vec<&str> =
        call.management.broker.listeners().iter().map(|(protocol, _)| *protocol).collect();
    let wanted = protocol_named(&asked);
    if protocols.contains(&&*wanted) {
        return Ok(Reply::json(&json!({"status": "ok", "protocol": asked})));
    }
    let fields = json!({"reason": "No active listener", "missing": asked, "protocols": protocols});
    Err(ApiError::Unhealthy(fields))
}

/// Whether a certificate expires soon. Listeners without TLS have none.
pub(in crate::management) async fn certificate_expiration(call: Call) -> Answer {
    let within: u32 = call.name("within").parse().map_err(|_| ApiError::bad("Invalid expiration value."))?;
    let Some(unit) = Unit::from_name(call.name("unit")) else {
        let reason = "Time unit not recognised. Use: days, weeks, months, years.";
        return Err(ApiError::bad(reason));
    };
    let broker = &call.management.broker;
    let expiring = broker.expiring_listeners(u64::from(within) * unit.seconds());
    let node = broker.node_name();
    let row = |one: &ExpiringListener| {
        json!({
            "node": node,
            "protocol": one.protocol,
            "interface": one.address.ip().to_string(),
            "port": one.address.port(),
            "certfile": one.certificate_file,
            "cacertfile": one.authorities_file,
            "certfile_expires_on": one.certificates,
            "cacertfile_expires_on": one.authorities,
        })
    };
    let told: Vec<Value> = expiring.iter().map(row).collect();
    failed_unless(expiring.is_empty(), || json!({"reason": "Certificates expiring", "expired": told}))
}

/// Whether there is room for another connection.
pub(in crate::management) async fn below_node_connection_limit(call: Call) -> Answer {
    let (open, limit) = call.management.broker.connection_room();
    if limit.is_none_or(|limit| open < limit) {
        return Ok(Reply::json(&json!({"status": "ok", "current": open, "limit": limit})));
    }
    Err(ApiError::Unhealthy(
        json!({"reason": "node connection limit is reached", "current": open, "limit": limit}),
    ))
}

/// Whether clients can be served: accepted, and the log writes.
pub(in crate::management) async fn ready_to_serve_clients(call: Call) -> Answer {
    is_in_service(call).await
}

/// Whether definitions can be read: recovery is over before the listeners open.
pub(in crate::management) async fn metadata_store(_: Call) -> Answer {
    Ok(Reply::json(&json!({"status": "ok"})))
}

/// Whether all nodes are there: there is one.
pub(in crate::management) async fn cluster_size(_: Call) -> Answer {
    Ok(Reply::json(&json!({"status": "ok"})))
}

/// `GET /api/aliveness-test/{vhost}`: whether the vhost answers. Unlike RabbitMQ's, it declares no queue.
pub(in crate::management) async fn aliveness(call: Call) -> Answer {
    failed_unless(
        call.management.broker.answers(call.vhost()).await,
        || json!({"reason": "the vhost does not answer"}),
    )
}

/// `GET /api/healthchecks/node[/{node}]`
pub(in crate::management) async fn node(call: Call) -> Answer {
    let asked = call.name("node");
    if !asked.is_empty() && asked != call.management.broker.node_name() {
        return Err(ApiError::NotFound);
    }
    alarms(call).await
}

fn verdict(good: bool, reason: &str) -> Answer {
    failed_unless(good, || json!({"reason": reason}))
}

fn failed_unless(good: bool, fields: impl FnOnce() -> Value) -> Answer {
    if good { Ok(Reply::json(&json!({"status": "ok"}))) } else { Err(ApiError::Unhealthy(fields())) }
}
