//! What tools made for RabbitMQ ask a broker for, by HTTP and by rabbitmqctl: they find it where they look.

#[path = "support/http.rs"]
mod http;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "others need what this does not")]
mod served;

use http::ask;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use served::{Served, printed};
use std::fs;
use tempfile::tempdir;

#[test]
fn a_new_store_that_is_given_definitions_begins_with_nothing_else() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("definitions.json");
    fs::write(&file, r#"{"users": [{"name": "ann", "password": "x", "tags": "administrator"}], "vhosts": [{"name": "shop"}]}"#)
        .unwrap();
    let load = format!("--load-definitions={}", file.display());
    let broker = Served::start(&dir.path().join("data"), &[&load]);
    assert_eq!(printed(&broker.ctl(&["-q", "list_users", "--no-table-headers"])), "ann\t[administrator]\n");
    assert_eq!(printed(&broker.ctl(&["-q", "list_vhosts", "--no-table-headers"])), "shop\n");
    assert_eq!(ask(broker.http_port, "guest:guest", "GET /api/whoami", "", "").0, 401);
    assert_eq!(ask(broker.http_port, "ann:x", "GET /api/whoami", "", "").0, 200);
}

#[test]
fn what_tools_of_rabbitmq_ask_for_is_where_they_look() {
    let dir = tempdir().unwrap();
    let broker = Served::start(&dir.path().join("data"), &["--prometheus-listen=127.0.0.1:0"]);
    let api = |request: &str, body: &str| ask(broker.http_port, "guest:guest", request, "", body);
    for protocol in ["amqp", "AMQP0_9_1", "http_api", "management", "http%2Fprometheus"] {
        let (status, said) = api(&format!("GET /api/health/checks/protocol-listener/{protocol}"), "");
        assert_eq!(status, 200, "{protocol}: {said}");
    }
    assert_eq!(api("GET /api/health/checks/protocol-listener/amqps", "").0, 503, "there is no TLS");
    let nodes: serde_json::Value = serde_json::from_str(&api("GET /api/nodes", "").1).unwrap();
    let number = |name: &str| nodes[0][name].as_u64().unwrap();
    assert!(number("proc_total") > number("proc_used"), "{nodes}");
    // A body that says nothing, as clients write it.
    for (body, status) in [("", 201), ("null", 204), ("false", 204), ("[]", 400)] {
        assert_eq!(api("PUT /api/vhosts/shop", body).0, status, "{body:?}");
    }
    assert_eq!(api("GET /api/consumers/shop", "").0, 200);
    assert_eq!(api("GET /api/consumers/missing", "").0, 404);
    for exchange in ["one", "two"] {
        let rights = format!(r#"{{"exchange": "{exchange}", "write": "", "read": ""}}"#);
        assert_eq!(api("PUT /api/topic-permissions/shop/guest", &rights).0, 201);
    }
    for status in [204, 404] {
        assert_eq!(api("DELETE /api/topic-permissions/shop/guest/one", "").0, status);
    }
    let left = api("GET /api/topic-permissions/shop/guest", "").1;
    assert!(left.contains("\"two\"") && !left.contains("\"one\""), "{left}");
    // Lists that are sorted by nothing go the other way round, too.
    let queues = |query: &str| -> Vec<String> {
        let (status, said) = api(&format!("GET /api/exchanges/%2F/amq.fanout/bindings/source{query}"), "");
        assert_eq!(status, 200, "{said}");
        let bindings: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        bindings.iter().map(|binding| binding["destination"].as_str().unwrap().to_owned()).collect()
    };
    for queue in ["a", "b"] {
        assert_eq!(api(&format!("PUT /api/queues/%2F/{queue}"), "{}").0, 201);
        assert_eq!(api(&format!("POST /api/bindings/%2F/e/amq.fanout/q/{queue}"), "{}").0, 201);
    }
    assert_eq!(queues("").into_iter().rev().collect::<Vec<_>>(), queues("?sort_reverse=true"));
}

/// What monitoring scripts and Ansible's modules ask of rabbitmqctl.
#[tokio::test]
async fn tools_find_rabbitmqs_columns_and_versions() {
    let dir = tempdir().unwrap();
    let broker = Served::start(dir.path(), &[]);
    let client = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare("orders".into(), durable, quorum).await.unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&printed(&broker.ctl(arguments))).unwrap()
    };

    let status = json(&["-q", "status", "--formatter", "json"]);
    assert_eq!(status["rabbitmq_version"], "4.1.0");
    assert_eq!(status["totals"]["queue_count"], 1);
    assert!(status["memory"]["total"]["rss"].as_u64().unwrap() > 0, "{status}");
    assert!(status["file_descriptors"]["total_used"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["listeners"][0]["port"], broker.port);
    assert!(printed(&broker.ctl(&["status"])).contains("\nRabbitMQ version: 4.1.0\n"));
    assert_eq!(printed(&broker.ctl(&["-q", "server_version"])), "4.1.0\n");

    let queues =
        ["-q", "list_queues", "name", "leader", "members", "disk_reads", "pid", "consumer_utilisation"];
    assert_eq!(
        printed(&broker.ctl(&queues)),
        "name\tleader\tmembers\tdisk_reads\tpid\tconsumer_utilisation\n\
         orders\tledgermq@localhost\t[ledgermq@localhost]\t\t\t0.0\n"
    );
    let connections =
        ["list_connections", "auth_mechanism", "recv_oct", "connected_at", "--formatter", "json"];
    let connections = json(&connections);
    assert_eq!(connections[0]["auth_mechanism"], "PLAIN");
    assert!(connections[0]["recv_oct"].as_u64().unwrap() > 100, "{connections}");
    assert!(connections[0]["connected_at"].as_u64().unwrap() > 1_700_000_000_000, "{connections}");
    let channels = printed(&broker.ctl(&["-q", "list_channels", "number", "acks_uncommitted", "state"]));
    assert!(channels.contains("\n1\t0\trunning\n"), "{channels}");

    // Lists of nothing are lists to Ansible's modules.
    for list in ["list_policies", "list_parameters", "list_vhost_limits", "list_global_parameters"] {
        assert_eq!(printed(&broker.ctl(&["-q", list])), "\n", "{list}");
        assert_eq!(printed(&broker.ctl(&["-q", list, "--formatter", "json"])), "[]\n", "{list}");
    }
    assert_eq!(printed(&broker.ctl(&["-q", "list_consumers"])), "");
    printed(&broker.ctl(&["set_global_parameter", "g", "\"x\""]));
    assert_eq!(printed(&broker.ctl(&["-q", "list_global_parameters"])), "name\tvalue\ng\t\"x\"\n");

    // What is asked before an upgrade.
    let member = json(&["quorum_status", "orders", "--formatter", "json"]);
    assert_eq!(
        (&member[0]["Node Name"], &member[0]["Raft State"]),
        (&"ledgermq@localhost".into(), &"leader".into())
    );
    assert_eq!(broker.ctl(&["stream_status", "orders"]).status.code(), Some(69));
    assert_eq!(broker.ctl(&["quorum_status", "nothing"]).status.code(), Some(69));
    assert_eq!(broker.ctl(&["quorum_status", "-p", "nowhere", "orders"]).status.code(), Some(65));
    let logins = json(&["list_node_auth_attempt_stats", "--formatter", "json"]);
    assert_eq!(
        (&logins["attempts"][0]["protocol"], &logins["attempts"][0]["auth_attempts"]),
        (&"amqp091".into(), &1.into())
    );
    printed(&broker.ctl(&["await_online_quorum_plus_one"]));
    assert!(printed(&broker.ctl(&["check_certificate_expiration"])).contains("within 4 weeks"));
    assert_eq!(printed(&broker.ctl(&["-q", "certificates"])), "");
    let erlang = broker.ctl(&["erlang_version"]);
    assert!(String::from_utf8(erlang.stderr).unwrap().contains("there is no Erlang"));

    // The same flags as over HTTP, each of which may be enabled.
    let (_, listed) = ask(broker.http_port, "guest:guest", "GET /api/feature-flags", "", "");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let flags = json(&["list_feature_flags", "name", "stability", "--formatter", "json"]);
    let over_http: Vec<_> = listed.iter().map(|flag| (&flag["name"], &flag["stability"])).collect();
    let listed_here: Vec<_> =
        flags.as_array().unwrap().iter().map(|flag| (&flag["name"], &flag["stability"])).collect();
    assert_eq!(over_http, listed_here);
    for flag in ["rabbitmq_4.0.0", "stream_filtering", "empty_basic_get_metric"] {
        printed(&broker.ctl(&["enable_feature_flag", flag]));
    }

    let misspelt = broker.ctl(&["list_queues", "mesages"]);
    assert_eq!(misspelt.status.code(), Some(64));
    assert!(String::from_utf8(misspelt.stderr).unwrap().contains("Did you mean 'messages'?"));
}
