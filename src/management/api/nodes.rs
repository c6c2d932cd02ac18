//! The one node there is.

use super::overview::{CHURN, contexts, exchange_types};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::history::{Object, SampledNumber, Series};
use crate::management::listing::{Row, bare_rows, one, row};
use crate::management::rates::Spans;
use crate::management::versions::COMPATIBLE;
use crate::protocol::sasl::MECHANISMS;
use crate::server::NodeFigures;
use serde_json::{Value, json};

/// `GET /api/nodes`
pub(in crate::management) async fn nodes(call: Call) -> Answer {
    let row = node_row(&call)?;
    bare_rows(&call.query, vec![row]).await
}

/// `GET /api/nodes/{node}`
pub(in crate::management) async fn node(call: Call) -> Answer {
    is_here(&call)?;
    Ok(one(&call.query, node_row(&call)?))
}

/// `GET /api/nodes/{node}/memory`: what is known of it.
pub(in crate::management) async fn memory(call: Call) -> Answer {
    is_here(&call)?;
    let figures = call.management.broker.node_figures();
    let known = figures.body_bytes + figures.half_received_bytes;
    let mut memory = row([
        ("queue_procs", json!(figures.body_bytes)),
        ("connection_readers", json!(figures.half_received_bytes)),
        ("other_system", json!(figures.resident_bytes.saturating_sub(known))),
        ("strategy", json!("rss")),
        (
            "total",
            // What the process has is what it uses.
            json!({
                "rss": figures.resident_bytes,
                "allocated": figures.resident_bytes,
                "erlang": figures.resident_bytes,
            }),
        ),
    ]);
    memory.extend(NOT_APART.iter().map(|name| ((*name).to_owned(), json!(0))));
    Ok(Reply::json(&json!({ "memory": memory })))
}

/// What RabbitMQ tells apart, and what is Erlang's. Nothing here is known to be of these kinds, and clients read numbers.
const NOT_APART: [&str; 24] = [
    "allocated_unused",
    "atom",
    "binary",
    "code",
    "connection_channels",
    "connection_other",
    "connection_writers",
    "metadata_store",
    "metadata_store_ets",
    "metrics",
    "mgmt_db",
    "mnesia",
    "msg_index",
    "other_ets",
    "other_proc",
    "plugins",
    "queue_slave_procs",
    "quorum_ets",
    "quorum_queue_dlx_procs",
    "quorum_queue_procs",
    "reserved_unallocated",
    "stream_queue_coordinator_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
];

fn is_here(call: &Call) -> Result<(), ApiError> {
    if call.name("node") == call.management.broker.node_name() { Ok(()) } else { Err(ApiError::NotFound) }
}

/// Those that change all the time.
const RATED: &[SampledNumber] = &[
    ("mem_used", |sample| sample.node.memory_bytes),
    ("fd_used", |sample| sample.node.files),
    ("sockets_used", |sample| sample.node.sockets),
    ("disk_free", |sample| sample.node.disk_free_bytes),
    ("io_sync_count", |sample| sample.node.syncs),
];

fn node_row(call: &Call) -> Result<Row, ApiError> {
    let broker = &call.management.broker;
    let spans = Spans::asked(&call.query, broker.unix_ms())?;
    let figures = broker.node_figures();
    let alarms = broker.alarms();
    let applications = json!([{
        "name": "ledgermq", "description": "LedgerMQ", "version": env!("CARGO_PKG_VERSION"),
    }]);
    let enabled = &broker.config().auth_mechanisms;
    let mechanisms: Vec<Value> = MECHANISMS
        .iter()
        .map(|name| json!({"name": name, "description": format!("SASL {name}"), "enabled": enabled.contains(name)}))
        .collect();
    let mut fields = row([
        ("name", json!(broker.node_name())),
        ("type", json!("disc")),
        ("rabbitmq_version", json!(COMPATIBLE)),
        ("running", json!(true)),
        ("being_drained", json!(false)),
        ("os_pid", json!(std::process::id().to_string())),
        ("uptime", json!(broker.now_ms())),
        ("processors", json!(figures.processors)),
        ("run_queue", json!(0)),
        ("rates_mode", json!("basic")),
        ("mem_limit", json!(figures.memory_high_bytes)),
        ("mem_alarm", json!(alarms.contains(&"memory"))),
        ("mem_calculation_strategy", json!("rss")),
        ("disk_free_limit", json!(figures.disk_low_bytes)),
        ("disk_free_alarm", json!(alarms.contains(&"disk"))),
        ("fd_total", json!(figures.files_max)),
        ("sockets_total", json!(figures.files_max)),
        ("proc_total", json!(figures.threads_max)),
        ("proc_used", json!(figures.threads)),
        ("db_dir", json!(figures.data_dir)),
        ("config_files", json!([])),
        ("log_files", json!(["<stderr>"])),
        ("net_ticktime", json!(0)),
        ("partitions", json!([])),
        ("cluster_links", json!([])),
        ("enabled_plugins", json!(["rabbitmq_management", "rabbitmq_prometheus"])),
        ("applications", applications),
        ("auth_mechanisms", Value::Array(mechanisms)),
        ("exchange_types", exchange_types()),
        ("contexts", json!(contexts(broker))),
    ]);
    call.management.history.read(Object::Broker, broker.now_ms(), |series| {
        add_rated(&mut fields, series, &spans, &figures);
    });
    Ok(fields)
}

fn add_rated(fields: &mut Row, series: &Series, spans: &Spans, figures: &NodeFigures) {
    let last = series.last();
    for (name, number) in RATED.iter().chain(CHURN) {
        spans.add(fields, (name, number(&last)), series, spans.node, number);
    }
    let sync_times = figures.store.map(|store| store.sync_times).unwrap_or_default();
    let count = sync_times.count().max(1);
    // Milliseconds, as in RabbitMQ.
    let average_ms = std::time::Duration::from_nanos(sync_times.total_ns / count).as_secs_f64() * 1000.0;
    fields.insert("io_sync_avg_time".into(), json!(average_ms));
}
