//! `ledgermq bench` as its users run it: every workload against a broker of ours, what it says when it is refused, and whether it
//! notices a broker that loses, doubles, reorders or damages a message. Nothing here looks at how fast it is.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a failure ends it")]

mod proxy;
#[path = "../support/served.rs"]
#[expect(dead_code, reason = "these tests want a broker and its port")]
mod served;

use proxy::Fault;
use serde_json::Value;
use served::Served;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::thread;

/// What a run ended with.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }
}

fn bench(port: u16, words: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_ledgermq"))
        .arg("bench")
        .args(words.split_whitespace())
        .args(["--port", &port.to_string()])
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn broker() -> (Served, tempfile::TempDir) {
    let data_dir = tempfile::tempdir().unwrap();
    (Served::start(data_dir.path(), &["--segment-bytes", "4MiB", "--message-bytes-max", "1MiB"]), data_dir)
}

/// Figures of a report that must be these.
fn check(port: u16, words: &str, expected: &[(&str, u64)]) -> Value {
    let ran = bench(port, &format!("{words} --json"));
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}: {}", ran.stdout);
    let report = ran.report();
    for (key, value) in expected {
        assert_eq!(report[key], *value, "{words}: {key} in {report}");
    }
    report
}

#[test]
fn every_workload_runs_and_nothing_is_wrong() {
    let (broker, _data_dir) = broker();
    let port = broker.port;
    let clean = [("lost", 0), ("doubled", 0), ("reordered", 0), ("damaged", 0), ("nacked", 0)];
    let all = |words: &str, published: u64, delivered: u64| {
        let mut expected = vec![("published", published), ("delivered", delivered)];
        expected.extend(clean);
        check(port, words, &expected)
    };
    all("throughput --messages 3001", 3001, 3001);
    all("throughput --messages 500 --size 16 --publishers 3 --consumers 2 --queues 4", 500, 500);
    all("throughput --messages 500 --publishers 2 --consumers 3 --ack-every 1 --prefetch 7", 500, 500);
    all("throughput --messages 40 --size 300000", 40, 40);
    all("throughput --messages 1000 --transient --window 0 --auto-ack", 1000, 1000);
    all("waiting --publishers 5 --messages 50", 50, 50);
    all("fanout --messages 200 --queues 4 --size 100", 200, 800);
    all("fanout --messages 100 --queues 4 --consumers 1", 100, 400);
    all("topic --messages 300 --bindings 50 --queues 3", 300, 300);
    all("throughput --messages 100 --queue-argument x-max-priority=5", 100, 100);
    let report = all("latency --messages 200 --rate 2000", 200, 200);
    assert!(report["confirm_us"]["p50"].as_u64() <= report["confirm_us"]["max"].as_u64(), "{report}");
    assert!(report["deliver_us"]["p99.9"].is_u64(), "{report}");
}

#[test]
fn a_run_of_some_time_ends_with_all_it_published() {
    let (broker, _data_dir) = broker();
    let report = check(broker.port, "throughput --seconds 0.3 --broker-pid auto", &[("lost", 0)]);
    assert!(report["published"].as_u64() > Some(0), "{report}");
    assert_eq!(report["published"], report["delivered"]);
    assert!(report["broker_peak_rss_mib"].as_u64() > Some(0), "{report}");
    assert!(report["broker_cpu_s_per_million"].is_number(), "{report}");
    assert!(report["broker"].as_str().unwrap().starts_with("LedgerMQ"), "{report}");
}

#[test]
fn a_backlog_waits_for_its_drain_and_is_missed_when_it_is_gone() {
    let (broker, _data_dir) = broker();
    let port = broker.port;
    check(port, "backlog --messages 2000", &[("published", 2000), ("delivered", 2000), ("lost", 0)]);
    check(
        port,
        "backlog --messages 2000 --queues 2 --only-fill",
        &[("published", 2000), ("confirmed", 2000)],
    );
    check(port, "backlog --messages 2000 --queues 2 --only-drain", &[("delivered", 2000), ("lost", 0)]);
    let ran = bench(port, "backlog --messages 2000 --only-drain --patience 1 --json");
    assert_eq!(ran.code, 70, "the queues are gone: {}", ran.stderr);
    assert!(ran.stderr.contains("404 NOT_FOUND"), "{}", ran.stderr);
    check(port, "backlog --messages 1500 --only-fill", &[("published", 1500)]);
    let ran = bench(port, "backlog --messages 2000 --only-drain --patience 1 --json");
    assert_eq!((ran.code, &ran.report()["lost"]), (65, &Value::from(500)), "{}", ran.stderr);
}

#[test]
fn connections_and_queues_are_counted() {
    let (broker, _data_dir) = broker();
    let port = broker.port;
    let report = check(port, "connections --count 30 --hold 0 --broker-pid auto", &[("connections", 30)]);
    assert!(report["rss_kib_per_connection"].is_number(), "{report}");
    check(port, "storm --count 20 --at-a-time 3", &[("connections", 20)]);
    check(port, "declare --count 20 --at-a-time 2", &[("declared", 20), ("deleted", 20)]);
    let listed = broker.ctl(&["list_queues", "name", "--quiet"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).matches("bench").count(), 0, "nothing is left");
}

#[test]
fn people_get_a_table_and_scripts_no_progress() {
    let (broker, _data_dir) = broker();
    let ran = bench(broker.port, "throughput --messages 100");
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "standard error is no terminal here");
    for words in
        ["workload               throughput", "published              100 in ", "nothing lost, doubled"]
    {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn refusals_are_told_in_words_and_codes() {
    let (broker, _data_dir) = broker();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, words, code, said) in [
        (free, "throughput", 69, "no connection to 127.0.0.1:"),
        (broker.port, "throughput --password wrong", 70, "403 ACCESS_REFUSED"),
        (broker.port, "throughput --vhost nowhere", 70, "530 NOT_ALLOWED"),
        (
            broker.port,
            "throughput --queue-argument x-queue-type=nonsense",
            70,
            "the broker closed the channel: 406",
        ),
        (broker.port, "throughput --size 4", 64, "at least 16 bytes"),
        (broker.port, "throughput --broker-pid nobody", 64, "neither a number nor auto"),
        (broker.port, "backlog --only-drain --seconds 1", 64, "--messages"),
        (broker.port, "throughput --rate 5", 64, "unexpected argument '--rate'"),
    ] {
        let ran = bench(port, words);
        assert_eq!(ran.code, code, "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{words}: {}", ran.stderr);
    }
}

#[test]
fn a_server_of_another_protocol_is_no_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the client leaves: an early close could take the answer with it.
        let _ = std::io::copy(&mut client, &mut std::io::sink());
    });
    let ran = bench(port, "throughput");
    assert_eq!(ran.code, 70, "{}", ran.stderr);
    assert!(ran.stderr.contains("what AMQP 0-9-1 does not allow"), "{}", ran.stderr);
    server.join().unwrap();
}

#[test]
fn a_broker_that_does_wrong_is_found_out() {
    let (broker, _data_dir) = broker();
    for (fault, wrong) in [
        (Fault::Drop, "lost"),
        (Fault::Double, "doubled"),
        (Fault::Swap, "reordered"),
        (Fault::Damage, "damaged"),
    ] {
        let port = proxy::start(broker.port, fault);
        let ran = bench(port, "throughput --messages 100 --size 100 --auto-ack --patience 1 --json");
        assert_eq!(ran.code, 65, "{fault:?}: {}{}", ran.stdout, ran.stderr);
        let report = ran.report();
        for key in ["lost", "doubled", "reordered", "damaged"] {
            assert_eq!(report[key], u64::from(key == wrong), "{fault:?}: {key} in {report}");
        }
        assert!(
            bench(port, "throughput --messages 10 --size 100").code == 0,
            "only one delivery was tampered with"
        );
    }
}

#[test]
fn a_broker_that_hangs_up_ends_the_run() {
    let (broker, _data_dir) = broker();
    let port = proxy::start(broker.port, Fault::HangUp);
    let ran = bench(port, "throughput --messages 100000 --size 100 --auto-ack");
    assert_eq!(ran.code, 74, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("in the middle of its work"), "{}", ran.stderr);
}
