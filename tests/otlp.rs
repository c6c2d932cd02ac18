//! What a collector of OpenTelemetry's hears of a broker: the spans of a conversation, with whom they are about and within
//! which others; never a password, and nothing for a message. A collector that is dead, slow or unfriendly costs spans, which
//! are counted, and nobody's time.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/collector.rs"]
mod collector;
#[path = "support/http.rs"]
mod http;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "others need what this does not")]
mod served;

use collector::{Collector, Manner, Told};
use http::ask;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use served::Served;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use tempfile::tempdir;

fn worked(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// A counter of the page of metrics.
fn metric(broker: &Served, name: &str) -> u64 {
    let (status, page) = ask(broker.http_port, "guest:guest", "GET /metrics", "", "");
    assert_eq!(status, 200);
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one(spans: Vec<Told>) -> Told {
    assert_eq!(spans.len(), 1, "{spans:#?}");
    spans.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one conversation, and all that is told of it")]
async fn a_conversation_is_told_span_by_span_and_no_password_is() {
    let collector = Collector::start(0, Manner::Takes, None);
    let dir = tempdir().unwrap();
    let endpoint = format!("--otlp-endpoint={}/", collector.url);
    let flags = [
        &*endpoint,
        "--otlp-headers=x-tenant=shop%2C1",
        "--otlp-resource-attributes=deployment.environment.name=test",
        "--otlp-slow-sync-ms=0",
        "--cluster-name=payments",
    ];
    let broker = Served::start(dir.path(), &flags);
    let canary = "canary-91ab";
    worked(&broker.ctl(&["add_user", "ann", canary]));
    worked(&broker.ctl(&["set_permissions", "ann", ".*", ".*", ".*"]));
    let url = |password: &str| format!("amqp://ann:{password}@127.0.0.1:{}/%2f", broker.port);
    Connection::connect(&url(&format!("wrong-{canary}")), ConnectionProperties::default()).await.unwrap_err();
    let named = ConnectionProperties::default().with_connection_name("till".into());
    let client = Connection::connect(&url(canary), named).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-note".into(), lapin::types::AMQPValue::LongString(canary.into()));
    channel.queue_declare("orders".into(), durable, arguments).await.unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("orders".into(), "amq.topic".into(), "k".into(), bind, FieldTable::default())
        .await
        .unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for _ in 0..50 {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let body = canary.as_bytes();
        let publish = BasicPublishOptions::default();
        let published = channel.basic_publish("".into(), "orders".into(), publish, body, persistent).await;
        published.unwrap().await.unwrap();
    }
    let traced = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let untraced = "traceparent: 00-00000000000000000000000000000bad-00f067aa0ba902b7-00\r\n";
    let guest = "guest:guest";
    let ask = |user: &str, request: &str, headers: &str, body: &str| {
        ask(broker.http_port, user, request, headers, body).0
    };
    assert_eq!(ask(guest, "GET /api/queues/%2F/orders?x=canary-91ab", traced, ""), 200);
    assert_eq!(ask(guest, "GET /api/vhosts", untraced, ""), 200);
    assert_eq!(ask(&format!("ann:no-{canary}"), "GET /api/whoami", "traceparent: canary-91ab\r\n", ""), 401);
    let user = format!("{{\"password\":\"{canary}\",\"tags\":\"monitoring\"}}");
    assert_eq!(ask(guest, "PUT /api/users/bob", "", &user), 201);
    assert_eq!(ask(guest, "PUT /api/queues/%2F/by-http", "", "{\"durable\":true}"), 201);
    let policy = "{\"pattern\":\"^x\",\"definition\":{\"max-length\":5}}";
    assert_eq!(ask(guest, "PUT /api/policies/%2F/p", "", policy), 201);
    let parameter = format!("{{\"value\":{{\"src-uri\":\"amqp://u:{canary}@elsewhere\"}}}}");
    let path = "PUT /api/global-parameters/elsewhere";
    assert!(matches!(ask(guest, path, "", &parameter), 201 | 204));
    channel.queue_delete("orders".into(), QueueDeleteOptions::default()).await.unwrap();
    client.close(200, "bye".into()).await.unwrap();
    let rude = Connection::connect(&url(canary), ConnectionProperties::default()).await.unwrap();
    broker.signal("TERM");
    let ended = broker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    drop(rude);

    // All is there: the stop sent what was left.
    let start = one(collector.named("broker.start"));
    let recovery = one(collector.named("broker.recovery"));
    assert!(recovery.is_in(&start) && recovery.get("ledgermq.last_stop") == "clean");
    for (name, value) in [
        ("service.name", "ledgermq"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", "payments@localhost"),
        ("deployment.environment.name", "test"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(start.resource.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(start.resource.contains_key("host.name"));
    assert!(collector.heard_of("x-tenant: shop,1\r\n"), "the header that it wants");

    let connections = collector.named("amqp.connection");
    assert_eq!(connections.len(), 3);
    let till = connections.iter().find(|told| told.get("ledgermq.client.name") == "till").unwrap();
    assert_eq!(till.get("user.name"), "ann");
    assert_eq!(till.get("ledgermq.vhost"), "/");
    assert_eq!(till.get("client.address"), "127.0.0.1");
    assert_eq!(till.get("server.port"), broker_port(&connections));
    assert_eq!(till.get("ledgermq.connection.end"), "closed by the client");
    assert!(!till.is_error());
    let logins = collector.named("amqp.login");
    let login = one(logins.iter().filter(|told| told.is_in(till)).cloned().collect());
    assert_eq!((login.get("user.name"), login.get("ledgermq.auth.result")), ("ann", "success"));
    let refused = one(logins.iter().filter(|told| told.is_error()).cloned().collect());
    assert_eq!((refused.get("user.name"), refused.get("ledgermq.auth.result")), ("ann", "failure"));
    let its = connections.iter().find(|told| refused.is_in(told)).unwrap();
    assert!(
        its.is_error() && its.get("ledgermq.connection.end").starts_with("closed with 403 ACCESS_REFUSED"),
        "{its:?}"
    );
    let stopped = connections.iter().find(|told| told.get("ledgermq.connection.end").contains("shutdown"));
    assert!(stopped.is_some_and(Told::is_error), "{connections:#?}");

    let created = collector.named("queue.created");
    let created = one(created.into_iter().filter(|told| told.get("ledgermq.name") == "orders").collect());
    assert!(created.is_in(till), "it came by that connection");
    assert_eq!((created.get("ledgermq.name"), created.get("user.name")), ("orders", "ann"));
    assert_eq!(created.get("ledgermq.durable"), "true");
    assert!(!created.attributes.contains_key("ledgermq.arguments"), "arguments may hold secrets");
    assert!(one(collector.named("queue.deleted")).is_in(till));
    let bound = collector.named("binding.created");
    assert!(bound.iter().any(|told| told.get("ledgermq.source_name") == "amq.topic" && told.is_in(till)));
    let users = collector.named("user.created");
    let users: Vec<_> = users.iter().map(|told| told.get("ledgermq.name")).collect();
    assert_eq!(users, ["ann", "bob"]);
    let bob = one(created_by_http(&collector, "user.created"));
    assert_eq!((bob.get("ledgermq.name"), bob.get("user.name")), ("bob", "guest"));
    let queue = one(created_by_http(&collector, "queue.created"));
    assert_eq!((queue.get("ledgermq.name"), queue.get("user.name")), ("by-http", "guest"));
    let policy = one(created_by_http(&collector, "policy.set"));
    assert_eq!((policy.get("ledgermq.name"), policy.get("user.name")), ("p", "guest"));
    assert!(collector.named("user.authentication.success").is_empty(), "logins have spans of their own");

    let asked = one(collector.named("GET /api/queues/{vhost}/{queue}"));
    assert_eq!(hex(&asked.span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&asked.span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((asked.get("http.response.status_code"), asked.get("user.name")), ("200", "guest"));
    assert_eq!(asked.get("http.route"), "/api/queues/{vhost}/{queue}");
    assert!(collector.named("GET /api/vhosts").is_empty(), "its caller does not trace it");
    let stranger = one(collector.named("GET /api/whoami"));
    assert_eq!((stranger.get("http.response.status_code"), stranger.get("user.name")), ("401", ""));
    assert!(stranger.span.parent_span_id.is_empty(), "what is no traceparent begins a trace");
    assert_eq!(one(collector.named("PUT /api/users/{user}")).get("http.response.status_code"), "201");

    assert!(!collector.named("store.slow_sync").is_empty());
    assert!(!collector.named("store.checkpoint").is_empty(), "the stop makes one");
    assert_eq!(collector.named("broker.stop").len(), 1);
    let others = collector.spans().iter().filter(|told| !told.span.name.starts_with("store.")).count();
    assert!(others < 50, "nothing is told for a message: {others}");
    assert!(!collector.heard_of("canary"), "no password, body, argument or query");
}

/// The changes of this name that came within a request.
fn created_by_http(collector: &Collector, name: &str) -> Vec<Told> {
    let requests = collector.spans().into_iter().filter(|told| told.span.name.starts_with("PUT /api/"));
    let requests: Vec<_> = requests.collect();
    let is_in_one = |told: &Told| requests.iter().any(|request| told.is_in(request));
    collector.named(name).into_iter().filter(is_in_one).collect()
}

/// The port of the broker, as every connection has it.
fn broker_port(connections: &[Told]) -> &str {
    let port = connections.first().unwrap().get("server.port");
    assert!(connections.iter().all(|told| told.get("server.port") == port));
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_what_waited_and_a_dead_one_costs_spans_and_nothing_else() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = tempdir().unwrap();
    let mut broker = Served::start(dir.path(), &[&format!("--otlp-endpoint=http://localhost:{port}")]);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let declare = QueueDeclareOptions::default();
    channel.queue_declare("q".into(), declare, FieldTable::default()).await.unwrap();
    broker.wait_for_line("spans do not get to the collector");
    let collector = Collector::start(port, Manner::Takes, None);
    for name in ["broker.start", "queue.created"] {
        collector.wait_for(|told| told.span.name == name);
    }
    broker.wait_for_line("spans get to the collector again");
    assert_eq!(metric(&broker, "ledgermq_otlp_spans_lost_total"), 0);
    assert!(metric(&broker, "ledgermq_otlp_spans_sent_total") > 0);
    // What it will never take is not sent again.
    collector.now(Manner::Refuses);
    channel.queue_delete("q".into(), QueueDeleteOptions::default()).await.unwrap();
    broker.wait_for_line("spans do not get to the collector");
    assert!(metric(&broker, "ledgermq_otlp_spans_lost_total") > 0);
    collector.now(Manner::Takes);
    channel.queue_declare("q".into(), declare, FieldTable::default()).await.unwrap();
    broker.wait_for_line("spans get to the collector again");
    assert_eq!(collector.named("queue.deleted").len(), 0);
    channel.queue_delete("q".into(), QueueDeleteOptions::default()).await.unwrap();
    collector.wait_for(|told| told.span.name == "queue.deleted");
    // Some of a batch it does not like: these count as lost.
    let lost = metric(&broker, "ledgermq_otlp_spans_lost_total");
    collector.now(Manner::TakesAllBut(1));
    channel.queue_declare("q".into(), declare, FieldTable::default()).await.unwrap();
    broker.wait_for_line("refused some of the spans");
    assert_eq!(metric(&broker, "ledgermq_otlp_spans_lost_total"), lost + 1);
    // And it dies again, which does not keep the broker from its end.
    collector.now(Manner::Fails);
    channel.queue_delete("q".into(), QueueDeleteOptions::default()).await.unwrap();
    broker.signal("TERM");
    let ended = broker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("do not get"), "it is told once: {}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_collector_is_waited_for_by_nobody() {
    let collector = Collector::start(0, Manner::Hangs, None);
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[&format!("--otlp-endpoint={}", collector.url)]);
    collector.wait_for_requests(1);
    // While it has a batch, more comes than there is room for: each request is a span.
    let requests = 4_000;
    let stream = TcpStream::connect(("127.0.0.1", broker.http_port)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    for _ in 0..requests {
        stream.write_all(b"GET /api/auth HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(answers.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let lower = head.to_lowercase();
        let length = lower.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        answers.read_exact(&mut body).unwrap();
    }
    assert!(metric(&broker, "ledgermq_otlp_spans_lost_total") > 0);
    assert_eq!(metric(&broker, "ledgermq_otlp_spans_sent_total"), 0);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    client.close(200, "bye".into()).await.unwrap();
    broker.signal("TERM");
    let ended = broker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("did not take the last spans in time"), "{}", ended.said);
}

#[test]
fn a_stop_waits_for_no_pause() {
    let collector = Collector::start(0, Manner::Fails, None);
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[&format!("--otlp-endpoint={}", collector.url)]);
    // The pause behind the fourth try is longer than a stop waits.
    collector.wait_for_requests(4);
    collector.now(Manner::Takes);
    broker.signal("TERM");
    let ended = broker.ended();
    assert!(!ended.said.contains("did not take the last spans"), "{}", ended.said);
    for name in ["broker.start", "broker.stop"] {
        assert_eq!(collector.named(name).len(), 1, "{name}: {}", ended.said);
    }
}

#[test]
fn a_collector_is_known_by_its_certificate() {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(ours.cert.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(ours.signing_key.serialize_pem().as_bytes()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let collector = Collector::start(0, Manner::Takes, Some(Arc::new(tls)));
    let dir = tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&ca, other.cert.pem()).unwrap();
    let (endpoint, trust) =
        (format!("--otlp-endpoint={}", collector.url), format!("--otlp-ca={}", ca.display()));
    let flags = [&*endpoint, &*trust, "--otlp-headers=authorization=Bearer%20canary"];
    let mut broker = Served::start(&dir.path().join("data"), &flags);
    broker.wait_for_line("spans do not get to the collector");
    assert!(!collector.heard_of("canary"), "who is not known is told nothing");
    // Whom to believe is read again after a failure.
    fs::write(&ca, ours.cert.pem()).unwrap();
    worked(&broker.ctl(&["add_vhost", "shop"]));
    collector.wait_for(|told| told.span.name == "vhost.created" && told.get("ledgermq.name") == "shop");
    assert!(collector.heard_of("Bearer canary"));
    let environment = broker.ctl(&["environment"]);
    let shown = String::from_utf8(environment.stdout).unwrap();
    assert!(shown.contains("otlp_headers\t(set)") && !shown.contains("canary"), "{shown}");
}
