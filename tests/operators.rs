//! What operators and their scripts do to a running broker from outside: the audit log, the checks that compose files and
//! probes run, and RabbitMQ's program names as links.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/http.rs"]
mod http;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "others need what this does not")]
mod served;

use http::ask;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use served::{Served, printed};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::tempdir;

/// The lines of the audit log as JSON, once it has been flushed: a broker that stopped in order has done so.
fn lines(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn logins_and_changes_are_written_down_and_no_password_is() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("audit.log");
    let broker = Served::start(&dir.path().join("data"), &["--audit-log", log.to_str().unwrap()]);
    let canary = "canary-3f1c";
    printed(&broker.ctl(&["add_user", "ann", canary]));
    printed(&broker.ctl(&["set_permissions", "ann", ".*", ".*", ".*"]));
    let url = |password: &str| format!("amqp://ann:{password}@127.0.0.1:{}/%2f", broker.port);
    Connection::connect(&url(&format!("wrong-{canary}")), ConnectionProperties::default()).await.unwrap_err();
    let client = Connection::connect(&url(canary), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("orders".into(), durable, FieldTable::default()).await.unwrap();
    channel.queue_delete("orders".into(), QueueDeleteOptions::default()).await.unwrap();
    // A log that was moved away is begun anew, and nothing is lost between the two.
    let moved = dir.path().join("audit.log.1");
    fs::rename(&log, &moved).unwrap();
    printed(&broker.ctl(&["rotate_logs"]));
    printed(&broker.ctl(&["delete_user", "ann"]));
    broker.signal("TERM");
    assert_eq!(broker.ended().code, Some(0));

    let before = lines(&moved);
    let find = |event: &str| {
        let found = before.iter().find(|line| line["event"] == event);
        found.unwrap_or_else(|| panic!("no {event} in {before:#?}"))
    };
    assert_eq!(find("user.created")["name"], "ann");
    assert_eq!(find("permission.created")["user_who_performed_action"], "rmq-cli");
    assert_eq!(find("user.authentication.failure")["name"], "ann");
    assert_eq!(find("user.authentication.success")["name"], "ann");
    assert_eq!(find("queue.created")["user_who_performed_action"], "ann");
    let deleted = find("queue.deleted");
    assert_eq!((&deleted["name"], &deleted["vhost"]), (&"orders".into(), &"/".into()));
    assert!(deleted["connection"].as_str().unwrap().starts_with("127.0.0.1:"), "{deleted}");
    assert!(lines(&log).iter().any(|line| line["event"] == "user.deleted"));
    for path in [&log, &moved] {
        assert!(!fs::read_to_string(path).unwrap().contains(canary), "{}", path.display());
    }
}

#[test]
fn changes_over_http_are_written_down_with_who_made_them_and_from_where() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("audit.log");
    let broker = Served::start(&dir.path().join("data"), &["--audit-log", log.to_str().unwrap()]);
    let canary = "canary-77d0";
    printed(&broker.ctl(&["add_user", "ann", canary]));
    printed(&broker.ctl(&["set_user_tags", "ann", "administrator"]));
    printed(&broker.ctl(&["set_permissions", "ann", ".*", ".*", ".*"]));
    let ann = format!("ann:{canary}");
    let parameter = format!("{{\"value\":\"{canary}\"}}");
    let user = format!("{{\"password\":\"{canary}\",\"tags\":\"monitoring\"}}");
    let policy = "{\"pattern\":\"^x\",\"definition\":{\"max-length\":5}}";
    let rights = "{\"configure\":\"\",\"write\":\"\",\"read\":\".*\"}";
    for (request, body, event) in [
        ("PUT /api/users/bob", &*user, "user.created"),
        ("PUT /api/vhosts/shop", "", "vhost.created"),
        ("PUT /api/permissions/shop/bob", rights, "permission.created"),
        ("PUT /api/vhost-limits/shop/max-queues", "{\"value\":5}", "vhost.limits.set"),
        ("PUT /api/user-limits/bob/max-channels", "{\"value\":5}", "user.limits.set"),
        ("PUT /api/global-parameters/site", &*parameter, "parameter.set"),
        ("PUT /api/policies/%2F/p", policy, "policy.set"),
        ("PUT /api/queues/%2F/q", "{}", "queue.created"),
        ("PUT /api/exchanges/%2F/e", "{\"type\":\"fanout\"}", "exchange.created"),
        ("POST /api/bindings/%2F/e/e/q/q", "{}", "binding.created"),
        ("DELETE /api/queues/%2F/q/contents", "", "queue.purged"),
        ("DELETE /api/queues/%2F/q", "", "queue.deleted"),
        ("DELETE /api/policies/%2F/p", "", "policy.cleared"),
        ("DELETE /api/global-parameters/site", "", "parameter.cleared"),
        ("DELETE /api/permissions/shop/bob", "", "permission.deleted"),
        ("DELETE /api/vhosts/shop", "", "vhost.deleted"),
        ("DELETE /api/users/bob", "", "user.deleted"),
    ] {
        let (status, answer) = ask(broker.http_port, &ann, request, "", body);
        assert!(matches!(status, 201 | 204), "{request}: {status} {answer}, no {event}");
    }
    let http = format!("-> 127.0.0.1:{}", broker.http_port);
    broker.signal("TERM");
    assert_eq!(broker.ended().code, Some(0));
    let by_ann = lines(&log).into_iter().filter(|line| line["user_who_performed_action"] == "ann");
    let by_ann: Vec<_> =
        by_ann.filter(|line| !line["event"].as_str().unwrap().starts_with("connection.")).collect();
    assert!(by_ann.iter().all(|line| line["connection"].as_str().unwrap().ends_with(&http)), "{by_ann:#?}");
    let events: Vec<_> = by_ann.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let expected = [
        "user.created",
        "user.tags.set",
        "vhost.created",
        "permission.created",
        "permission.created",
        "vhost.limits.set",
        "user.limits.set",
        "parameter.set",
        "policy.set",
        "queue.created",
        "exchange.created",
        "binding.created",
        "queue.purged",
        "binding.deleted",
        "queue.deleted",
        "policy.cleared",
        "parameter.cleared",
        "permission.deleted",
        "permission.deleted",
        "vhost.deleted",
        "vhost.limits.cleared",
        "user.deleted",
        "user.limits.cleared",
    ];
    assert_eq!(events, expected);
    assert!(!fs::read_to_string(&log).unwrap().contains(canary));
}

#[test]
fn scripts_written_for_rabbitmq_find_its_programs_and_sentences() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = Served::start(&data, &["--cluster-name", "payments"]);
    let link = |name: &str, arguments: &[&str]| {
        let path = dir.path().join(name);
        if !path.exists() {
            symlink(env!("CARGO_BIN_EXE_ledgermq"), &path).unwrap();
        }
        Command::new(path).env("LEDGERMQ_DATA_DIR", &data).args(arguments).output().unwrap()
    };
    for (arguments, expected) in [
        (&["-q", "ping"][..], "Ping succeeded\n"),
        (&["-q", "check_running"], "RabbitMQ on node ledgermq@localhost is fully booted and running\n"),
        (&["-q", "check_local_alarms"], "Node ledgermq@localhost reported no local alarms\n"),
        (&["check_virtual_hosts", "--quiet"], "Node ledgermq@localhost reported all vhosts as running\n"),
        (&["-q", "ping", "--formatter", "json"], "{\"message\":\"Ping succeeded\"}\n"),
    ] {
        assert_eq!(printed(&link("rabbitmq-diagnostics", arguments)), expected, "{arguments:?}");
    }
    let connected = printed(&link("rabbitmq-diagnostics", &["-q", "check_port_connectivity"]));
    assert!(connected.contains(&format!("{}, {}", broker.port, broker.http_port)), "{connected}");
    let port = broker.port.to_string();
    printed(&link("rabbitmq-diagnostics", &["check_port_listener", &port]));
    assert_eq!(link("rabbitmq-diagnostics", &["check_port_listener", "1"]).status.code(), Some(69));
    assert_eq!(link("rabbitmq-diagnostics", &["check_protocol_listener", "mqtt"]).status.code(), Some(69));
    assert!(printed(&link("rabbitmqctl", &["cluster_status"])).contains("Cluster name: payments"));
    assert!(printed(&link("rabbitmqctl", &["wait", "--pid", "1", "--timeout", "60"])).contains("Waiting"));
    printed(&link("rabbitmqctl", &["enable_feature_flag", "all"]));
    let environment = printed(&link("rabbitmqctl", &["-s", "environment"]));
    assert!(environment.contains("\ncluster_name\tpayments\n"), "{environment}");
    let report = printed(&link("rabbitmqctl", &["report"]));
    assert!(report.contains("Totals") && report.contains("Listing policies"), "{report}");
    printed(&link("rabbitmq-plugins", &["enable", "--offline", "rabbitmq_management"]));
    assert!(!link("rabbitmq-plugins", &["enable", "rabbitmq_mqtt"]).status.success());
    printed(&link("rabbitmq-plugins", &["-n", "rabbit@vm", "enable", "rabbitmq_auth_mechanism_ssl"]));
    assert_eq!(link("rabbitmq-plugins", &["enable", "rabbitmq_tracing"]).status.code(), Some(65));
    // A hash of a password, made without a broker, as definitions hold it.
    let hash = printed(&link("rabbitmqctl", &["-q", "hash_password", "secret"]));
    assert_eq!(hash.trim().len(), 48, "{hash}");
    for refused in ["eval", "force_boot", "join_cluster", "stop_app", "reset"] {
        let output = link("rabbitmqctl", &[refused, "x"]);
        assert_eq!(output.status.code(), Some(64), "{refused}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("{refused} is not carried out: ")), "{said}");
    }
    // Diagnostics are turned up while it runs, and a level that is none is refused.
    printed(&link("rabbitmqctl", &["set_log_level", "debug"]));
    printed(&link("rabbitmqctl", &["set_log_level", "ledgermq=trace"]));
    assert_eq!(link("rabbitmqctl", &["set_log_level", "loud"]).status.code(), Some(69));
    printed(&link("rabbitmqctl", &["shutdown"]));
    assert_eq!(broker.ended().code, Some(0));
    assert_eq!(link("rabbitmq-diagnostics", &["-q", "ping"]).status.code(), Some(69));
}

/// What is said of the broker as a whole outlives it: its name goes before the configured one.
#[test]
fn an_installation_keeps_the_name_it_was_given() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &["--cluster-name", "configured"]);
    assert!(printed(&broker.ctl(&["cluster_status"])).contains("Cluster name: configured"));
    printed(&broker.ctl(&["set_cluster_name", "shop \"east\""]));
    printed(&broker.ctl(&["set_global_parameter", "limits", "{\"a\":[1]}"]));
    printed(&broker.ctl(&["set_global_parameter", "passing", "1"]));
    printed(&broker.ctl(&["clear_global_parameter", "passing"]));
    assert_eq!(broker.ctl(&["clear_global_parameter", "passing"]).status.code(), Some(69));
    assert_eq!(broker.ctl(&["set_global_parameter", "no json", "{"]).status.code(), Some(69));
    printed(&broker.ctl(&["set_vhost_tags", "/", "a", "b"]));
    broker.signal("TERM");
    assert_eq!(broker.ended().code, Some(0));
    let broker = Served::start(dir.path(), &["--cluster-name", "configured"]);
    assert!(printed(&broker.ctl(&["cluster_status"])).contains("Cluster name: shop \"east\""));
    let listed = printed(&broker.ctl(&["list_global_parameters", "--formatter", "json"]));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&listed).unwrap(),
        serde_json::json!([
            {"name": "cluster_name", "value": "\"shop \\\"east\\\"\""},
            {"name": "limits", "value": "{\"a\":[1]}"}
        ])
    );
    assert!(printed(&broker.ctl(&["list_vhosts", "name", "tags"])).contains("/\t[a, b]"));
}

/// What the environment of RabbitMQ's image and its configuration file say, and what a service manager is told.
#[tokio::test]
async fn a_container_made_for_rabbitmq_starts_with_its_user() {
    let dir = tempdir().unwrap();
    let (conf, socket) = (dir.path().join("rabbitmq.conf"), dir.path().join("notify"));
    fs::write(&conf, "heartbeat = 17\nnet_ticktime = 60\nmanagement.tcp.port = none\n").unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut broker = Command::new(env!("CARGO_BIN_EXE_ledgermq"))
        .arg("serve")
        .env("LEDGERMQ_DATA_DIR", dir.path().join("data"))
        .env("NOTIFY_SOCKET", &socket)
        .env("RABBITMQ_CONFIG_FILE", dir.path().join("rabbitmq"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DEFAULT_USER", "ann")
        .env("RABBITMQ_DEFAULT_PASS", "canary-77")
        .env("RABBITMQ_DEFAULT_VHOST", "shop")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = |words: &str| loop {
        let mut text = [0; 512];
        let length = manager.recv(&mut text).unwrap();
        if String::from_utf8_lossy(&text[..length]).contains(words) {
            return;
        }
    };
    told("READY=1");
    let url =
        |user: &str, password: &str| format!("amqp://{user}:{password}@127.0.0.1:{port}/shop?heartbeat=0");
    let client =
        Connection::connect(&url("ann", "canary-77"), ConnectionProperties::default()).await.unwrap();
    client.create_channel().await.unwrap();
    Connection::connect(&url("guest", "guest"), ConnectionProperties::default()).await.unwrap_err();
    let ask = |command: &str| {
        let data = dir.path().join("data");
        let mut program = Command::new(env!("CARGO_BIN_EXE_ledgermq"));
        printed(&program.args(["ctl", "-s", "--data-dir"]).arg(data).arg(command).output().unwrap())
    };
    let environment = ask("environment");
    assert!(environment.contains("heartbeat_s\t17\n") && environment.contains("default_pass\t(set)\n"));
    assert_eq!(ask("list_vhosts"), "shop\n");
    drop(client);
    assert!(Command::new("kill").arg(broker.id().to_string()).status().unwrap().success());
    told("STOPPING=1");
    assert!(broker.wait().unwrap().success());
    let mut said = String::new();
    broker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("net_ticktime"), "what was passed over is named: {said}");
    assert!(!said.contains("canary-77") && !environment.contains("canary-77"));
}

/// What `ledgermq doctor` prints, and its exit code.
fn doctor(data: &Path, flags: &[&str]) -> (String, i32) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ledgermq"));
    program.args(["doctor", "--http-listen=off", "--data-dir"]).arg(data).args(flags);
    let output = program.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let (said, code) = doctor(&data, &[&listen]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is in use by another program: stop it, or listen elsewhere"), "{said}");
    for about in ["configuration", "data directory", "file system", "disk", "sync", "open files", "clock"] {
        assert!(said.contains(&format!("  {about}: ")), "{about} in {said}");
    }
    let (said, code) = doctor(&data, &["--listen=127.0.0.1:0", "--heartbeat-s=never"]);
    assert_eq!(code, 2);
    assert!(said.starts_with("bad   configuration: heartbeat_s = \"never\""), "{said}");
    let (said, _) = doctor(&data, &["--listen=127.0.0.1:0", "--disk-low-bytes=1024GiB"]);
    assert!(said.contains("publishers are blocked: make room or lower disk_low_bytes"), "{said}");
    assert!(!data.exists(), "looking changes nothing");
}

/// Status and body of the answer to guest.
fn ask_http(broker: &Served, request: &str, body: &str) -> (u16, String) {
    ask(broker.http_port, "guest:guest", request, "", body)
}

#[test]
fn a_protected_vhost_is_not_deleted_by_mistake() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[]);
    printed(&broker.ctl(&["add_vhost", "orders"]));
    printed(&broker.ctl(&["enable_vhost_protection_from_deletion", "orders"]));
    let sentence = "Refusing to delete virtual host 'orders' because it is protected from deletion";
    let refused = |broker: &Served| {
        let output = broker.ctl(&["delete_vhost", "orders"]);
        assert!(!output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(sentence), "{said}");
        let (status, answer) = ask_http(broker, "DELETE /api/vhosts/orders", "");
        assert!(status == 412 && answer.contains(sentence), "{status} {answer}");
        let (_, shown) = ask_http(broker, "GET /api/vhosts/orders", "");
        assert!(shown.contains("\"protected_from_deletion\":true"), "{shown}");
    };
    refused(&broker);
    // It outlives a crash.
    drop(broker);
    let broker = Served::start(dir.path(), &[]);
    refused(&broker);
    let path = "/api/vhosts/orders/deletion/protection";
    assert_eq!(ask_http(&broker, &format!("DELETE {path}"), "").0, 204);
    for method in ["POST", "PUT"] {
        assert_eq!(ask_http(&broker, &format!("{method} {path}"), "").0, 204, "{method}");
        refused(&broker);
    }
    let (_, exported) = ask_http(&broker, "GET /api/definitions", "");
    assert!(exported.contains("\"protected_from_deletion\":true"), "{exported}");
    assert_eq!(ask_http(&broker, "POST /api/vhosts/nowhere/deletion/protection", "").0, 404);
    printed(&broker.ctl(&["disable_vhost_protection_from_deletion", "orders"]));
    printed(&broker.ctl(&["delete_vhost", "orders"]));
}
