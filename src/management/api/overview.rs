//! The broker at a glance: what there is in all vhosts the caller sees, and what goes through it.

use crate::exchange::ExchangeKind;
use crate::limits::{HISTORY_OBJECT_SAMPLES, HISTORY_SAMPLE_MS, HISTORY_SUM_SAMPLES};
use crate::management::answer::{Answer, Reply};
use crate::management::call::Call;
use crate::management::history::{Object, SampledNumber, Series};
use crate::management::listing::{Row, one, row};
use crate::management::rates::Spans;
use crate::management::versions::{COMPATIBLE, ERLANG};
use crate::server::Broker;
use crate::vhost::counts::MessageCounts;
use crate::vhost::figures::VhostFigures;
use serde_json::{Value, json};

/// `GET /api/overview`
pub(in crate::management) async fn overview(call: Call) -> Answer {
    let broker = &call.management.broker;
    let spans = Spans::asked(&call.query, broker.unix_ms())?;
    let mut sums = VhostFigures::default();
    for vhost in call.visible_vhosts() {
        if let Some(one) = broker.sums(&vhost).await {
            sums.add(&one);
        }
    }
    let visible = broker.acquaintances().into_iter().filter(|one| call.caller.sees_user(&one.user)).count();
    let node = broker.node_name();
    let mut fields = row([
        ("product_name", json!(broker.product().0)),
        ("product_version", json!(broker.product().1)),
        ("rabbitmq_version", json!(COMPATIBLE)),
        ("management_version", json!(COMPATIBLE)),
        ("erlang_version", json!(ERLANG)),
        ("erlang_full_version", json!(ERLANG)),
        ("release_series_support_status", json!("supported")),
        ("cluster_name", json!(broker.cluster_name())),
        ("node", json!(node)),
        ("rates_mode", json!("basic")),
        ("disable_stats", json!(false)),
        ("enable_queue_totals", json!(false)),
        ("is_op_policy_updating_enabled", json!(true)),
        ("sample_retention_policies", retention()),
        ("exchange_types", exchange_types()),
        ("statistics_db_event_queue", json!(0)),
        ("listeners", json!(listeners(broker))),
        (
            "object_totals",
            json!({
                "connections": visible,
                "channels": sums.channels,
                "queues": sums.queues,
                "exchanges": sums.exchanges,
                "consumers": sums.consumers,
            }),
        ),
        ("contexts", json!(contexts(broker))),
    ]);
    if call.query.is_true("disable_stats") {
        fields.insert("disable_stats".into(), json!(true));
        return Ok(one(&call.query, fields));
    }
    call.management.history.read(Object::Broker, broker.now_ms(), |series| {
        fields.insert(
            "message_stats".into(),
            spans.message_stats(&sums.counts, MessageCounts::CHANNEL, series),
        );
        let mut totals = Row::new();
        spans.add_lengths(&mut totals, sums.messages_ready, sums.messages_unacknowledged, series);
        fields.insert("queue_totals".into(), Value::Object(totals));
        fields.insert("churn_rates".into(), churn(series, &spans));
    });
    Ok(one(&call.query, fields))
}

/// What came and went: connections, channels, queues.
fn churn(series: &Series, spans: &Spans) -> Value {
    let mut rates = Row::new();
    let last = series.last();
    for (name, number) in CHURN {
        spans.add(&mut rates, (name, number(&last)), series, spans.node, number);
    }
    Value::Object(rates)
}

/// The numbers of what came and went, by RabbitMQ's names.
pub(in crate::management) const CHURN: &[SampledNumber] = &[
    ("connection_created", |sample| sample.node.connections_created),
    ("connection_closed", |sample| sample.node.connections_closed),
    ("channel_created", |sample| sample.node.channels_created),
    ("channel_closed", |sample| sample.node.channels_closed),
    ("queue_declared", |sample| sample.node.queues_declared),
    ("queue_created", |sample| sample.node.queues_created),
    ("queue_deleted", |sample| sample.node.queues_deleted),
];

/// For how long samples are kept, seconds.
fn retention() -> Value {
    let seconds = |samples: usize| samples as u64 * HISTORY_SAMPLE_MS / 1000;
    json!({
        "global": [seconds(HISTORY_SUM_SAMPLES)],
        "basic": [seconds(HISTORY_OBJECT_SAMPLES)],
        "detailed": [seconds(HISTORY_OBJECT_SAMPLES)],
    })
}

/// Types of exchanges that may be declared.
pub(in crate::management) fn exchange_types() -> Value {
    let types = ExchangeKind::all().map(|kind| {
        json!({"name": kind.name(), "description": format!("exchange of type {}", kind.name()), "enabled": true})
    });
    Value::Array(types.collect())
}

/// Where the broker listens, and what is spoken there.
pub(in crate::management) fn listeners(broker: &Broker) -> Vec<Value> {
    let node = broker.node_name();
    let listeners = broker.listeners().into_iter().map(|(protocol, address)| {
        json!({
            "node": node,
            "protocol": protocol,
            "ip_address": address.ip().to_string(),
            "port": address.port(),
            "socket_opts": {"backlog": crate::limits::LISTEN_BACKLOG, "nodelay": true},
        })
    });
    listeners.collect()
}

/// What is served over HTTP.
pub(in crate::management) fn contexts(broker: &Broker) -> Vec<Value> {
    let node = broker.node_name();
    let http = broker.listeners().into_iter().filter(|(protocol, _)| protocol.starts_with("http"));
    let contexts = http.map(|(protocol, address)| {
        json!({
            "node": node,
            "description": if protocol == "http/prometheus" { "Prometheus" } else { "Management" },
            "path": "/",
            "ip": address.ip().to_string(),
            "port": address.port().to_string(),
            "ssl_opts": [],
        })
    });
    contexts.collect()
}

/// `GET /api/cluster-name`
pub(in crate::management) async fn cluster_name(call: Call) -> Answer {
    Ok(Reply::json(&json!({"name": call.management.broker.cluster_name()})))
}

/// `GET /api/version`
pub(in crate::management) async fn version(_: Call) -> Answer {
    Ok(Reply::json(&json!(COMPATIBLE)))
}
