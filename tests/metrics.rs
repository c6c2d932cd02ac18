//! What Prometheus gets from a running broker: RabbitMQ's paths, names and labels, whatever clients call their queues.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]
#![expect(clippy::float_cmp, reason = "whole numbers that are sums of a few")]

#[path = "support/http.rs"]
#[expect(dead_code, reason = "others need what this does not")]
mod http;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "others need what this does not")]
mod served;

use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use served::Served;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use tempfile::tempdir;

/// The body of an answer that is 200.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = http::parts_of(&answer);
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{path}: {head}");
    body
}

/// The samples of a page, by name and labels as they stand there.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn prometheus_reads_what_rabbitmqs_dashboards_show() {
    let dir = tempdir().unwrap();
    let metrics_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("--prometheus-listen=127.0.0.1:{metrics_port}");
    let broker = Served::start(dir.path(), &[&listen, "--cluster-name", "payments"]);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for queue in ["plain", "q\"} 1 rabbitmq_queues 99\\"] {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        let publish = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(2);
        channel
            .basic_publish("".into(), queue.into(), publish, b"12345", properties)
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let consume = BasicConsumeOptions::default();
    let _consumer =
        channel.basic_consume("plain".into(), "c".into(), consume, FieldTable::default()).await.unwrap();

    let sums = samples(&get(broker.http_port, "/metrics"));
    assert_eq!(sums["rabbitmq_queues"], 2.0);
    assert_eq!(sums["rabbitmq_connections"], 1.0);
    assert_eq!(sums["rabbitmq_channels"], 1.0);
    assert_eq!(sums["rabbitmq_consumers"], 1.0);
    assert_eq!(sums["rabbitmq_queue_messages"], 2.0);
    assert_eq!(sums["rabbitmq_queue_messages_bytes"], 10.0);
    assert_eq!(sums["rabbitmq_global_messages_received_total{protocol=\"amqp091\"}"], 2.0);
    assert_eq!(sums["rabbitmq_global_messages_confirmed_total{protocol=\"amqp091\"}"], 2.0);
    assert_eq!(sums["rabbitmq_global_messages_routed_total{protocol=\"amqp091\"}"], 2.0);
    assert_eq!(sums["rabbitmq_global_messages_received_confirm_total{protocol=\"amqp091\"}"], 2.0);
    assert_eq!(sums["rabbitmq_global_publishers{protocol=\"amqp091\"}"], 1.0);
    assert_eq!(sums["rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"100\"}"], 2.0);
    assert_eq!(sums["rabbitmq_message_size_bytes_sum{protocol=\"amqp091\"}"], 10.0);
    let delivered = |kind| {
        let family = "rabbitmq_global_messages_delivered_consume_manual_ack_total";
        sums[&format!("{family}{{protocol=\"amqp091\",queue_type=\"rabbit_{kind}_queue\"}}")]
    };
    assert_eq!((delivered("classic"), delivered("quorum"), delivered("stream")), (1.0, 0.0, 0.0));
    assert_eq!(sums["rabbitmq_channel_messages_published_total"], 2.0);
    assert_eq!(sums["rabbitmq_channel_messages_unroutable_dropped_total"], 0.0);
    assert_eq!(sums["rabbitmq_queue_messages_published_total"], 2.0);
    assert_eq!(sums["rabbitmq_queue_messages_delivered_ack_total"], 1.0);
    assert_eq!(sums["rabbitmq_connections_opened_total"], 1.0);
    assert_eq!(sums["rabbitmq_channels_opened_total"], 1.0);
    assert_eq!(sums["rabbitmq_queues_created_total"], 2.0);
    assert_eq!(sums["rabbitmq_auth_attempts_succeeded_total{protocol=\"amqp091\"}"], 1.0);
    let confirms = sums["ledgermq_confirm_seconds_count"];
    assert_eq!(confirms, 2.0, "each publish was awaited");
    assert_eq!(sums["rabbitmq_alarms_memory_used_watermark"], 0.0);
    assert!(sums["rabbitmq_io_sync_ops_total"] > 0.0, "a confirm is a sync");
    assert!(sums["rabbitmq_process_open_fds"] > 3.0);
    assert!(sums["rabbitmq_disk_space_available_bytes"] > sums["rabbitmq_disk_space_available_limit_bytes"]);
    assert!(!sums.keys().any(|name| name.contains("queue=")), "names have no place among sums");
    let identity = sums.keys().find(|name| name.starts_with("rabbitmq_identity_info")).unwrap();
    assert!(identity.contains("rabbitmq_cluster=\"payments\""), "{identity}");
    assert!(identity.contains("rabbitmq_endpoint=\"aggregated\""), "{identity}");

    // The port of its own shows the same pages and nothing else.
    let objects = get(metrics_port, "/metrics/per-object");
    let objects = samples(&objects);
    assert_eq!(objects["rabbitmq_queues"], 2.0, "a queue's name makes up no sample");
    let plain = |family: &str| format!("rabbitmq_{family}{{vhost=\"/\",queue=\"plain\"}}");
    let hostile = "rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\\\"} 1 rabbitmq_queues 99\\\\\"}";
    assert_eq!(objects[hostile], 1.0);
    assert_eq!(objects[&plain("queue_messages")], 1.0);
    assert_eq!(objects[&plain("queue_consumers")], 1.0);
    assert_eq!(objects[&plain("queue_messages_bytes")], 5.0);
    assert_eq!(objects[&plain("queue_messages_published_total")], 1.0);
    assert_eq!(objects[&plain("queue_messages_delivered_ack_total")], 1.0);
    assert!(!objects.contains_key(&plain("queue_get_total")), "what never happened is not told");
    assert!(objects.keys().any(|name| name.starts_with("rabbitmq_channel_consumers{channel=\"127.0.0.1:")));
    let mut stream = TcpStream::connect(("127.0.0.1", metrics_port)).unwrap();
    write!(stream, "GET /api/overview HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");

    let coarse = samples(&get(
        metrics_port,
        "/metrics/detailed?family=queue_coarse_metrics&family=vhost_status&vhost=%2F",
    ));
    assert_eq!(coarse["rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"plain\"}"], 1.0);
    assert_eq!(coarse["rabbitmq_cluster_vhost_status{vhost=\"/\"}"], 1.0);
    assert!(!coarse.keys().any(|name| name.contains("queue_consumers")), "another family: {coarse:?}");
    let elsewhere =
        samples(&get(metrics_port, "/metrics/detailed?family=queue_coarse_metrics&vhost=nowhere"));
    assert_eq!(elsewhere.len(), 2, "who the broker is and no queue: {elsewhere:?}");
}

#[tokio::test]
async fn metrics_show_each_object_where_that_is_asked_for() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &["--prometheus-per-object=true"]);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("plain".into(), options, FieldTable::default()).await.unwrap();
    let objects = samples(&get(broker.http_port, "/metrics"));
    assert_eq!(objects["rabbitmq_queue_messages{vhost=\"/\",queue=\"plain\"}"], 0.0);
}

/// What a monitoring service asks for that is set up as its pages say.
#[tokio::test]
async fn families_are_chosen_as_monitoring_services_do() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[]);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let declare = QueueDeclareOptions::default();
    channel.queue_declare("q".into(), declare, FieldTable::default()).await.unwrap();
    for key in ["q", "nowhere"] {
        let publish = BasicPublishOptions::default();
        let confirm =
            channel.basic_publish("".into(), key.into(), publish, b"12345", BasicProperties::default());
        confirm.await.unwrap().await.unwrap();
    }
    let families = [
        "queue_coarse_metrics",
        "queue_metrics",
        "queue_consumer_count",
        "queue_delivery_metrics",
        "channel_exchange_metrics",
        "channel_queue_exchange_metrics",
        "connection_coarse_metrics",
        "node_coarse_metrics",
    ];
    let path = format!("/metrics/detailed?family={}", families.join("&family="));
    let page = get(broker.http_port, &path);
    let chosen = samples(&page);
    for (name, expected) in [("messages", 1.0), ("consumers", 0.0), ("messages_published_total", 1.0)] {
        let sample = format!("rabbitmq_detailed_queue_{name}{{vhost=\"/\",queue=\"q\"}}");
        assert_eq!(chosen[&sample], expected, "{name}");
    }
    let one = |name: &str| {
        let begin = format!("rabbitmq_detailed_{name}{{");
        let mut found = chosen.iter().filter(|(sample, _)| sample.starts_with(&begin));
        *found.next().unwrap_or_else(|| panic!("no {name}")).1
    };
    assert_eq!(
        (one("channel_messages_published_total"), one("channel_messages_confirmed_total")),
        (2.0, 2.0)
    );
    assert_eq!(one("channel_messages_unroutable_dropped_total"), 1.0);
    assert!(one("connection_incoming_bytes_total") > 100.0 && one("connection_outgoing_bytes_total") > 100.0);
    assert_eq!(page.matches("# TYPE rabbitmq_detailed_queue_consumers ").count(), 1, "a family is told once");
    assert!(!page.contains("queue_get_total{"), "what never happened is not told");
}

/// Nothing else tells a client of HTTP/1.0 that an answer was cut off.
#[test]
fn who_speaks_http_1_0_is_told_the_length() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[]);
    let mut stream = TcpStream::connect(("127.0.0.1", broker.http_port)).unwrap();
    stream.write_all(b"GET /metrics/per-object HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(!head.contains("transfer-encoding") && body.contains("rabbitmq_identity_info"), "{head}");
}
