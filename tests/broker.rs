//! The broker as a whole, as its users run it: the built binary on a data directory, real clients, signals, exit codes.
//! What single methods answer is told in `conformance`; what survives thousands of crashes, by `scripts/crash-loop`.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/served.rs"]
mod served;

use futures_lite::StreamExt;
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use served::{Ended, Served, printed};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::{TempDir, tempdir};

const PERSISTENT: u8 = 2;

/// A client with one channel in confirm mode.
struct Client {
    connection: Connection,
    channel: Channel,
}

impl Client {
    async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { connection, channel }
    }

    async fn declare(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared =
            self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        declared.message_count()
    }

    /// Publishes and returns once it is confirmed.
    async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let confirm = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        assert!(confirm.await.unwrap().await.unwrap().is_ack());
    }

    async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()
    }
}

/// A directory for a store, in one that goes away.
fn store() -> (TempDir, std::path::PathBuf) {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("store");
    (parent, dir)
}

/// What a command printed, once it has succeeded.
#[tokio::test]
async fn confirmed_messages_are_there_after_kill_9_and_acknowledged_ones_are_not() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    client.declare("orders").await;
    for number in 0..100_u32 {
        client.publish("", "orders", &number.to_be_bytes()).await;
    }
    for _ in 0..40 {
        let message = client.get("orders").await.unwrap();
        message.ack(BasicAckOptions::default()).await.unwrap();
    }
    // The answer to a later request says that the acks before it are written.
    client.declare("orders").await;
    broker.signal("KILL");
    assert_eq!(broker.ended().code, None);

    let broker = Served::start(&dir, &[]);
    assert!(broker.ready_line.contains("queues=1"), "{}", broker.ready_line);
    assert!(broker.ready_line.contains("messages=60"), "{}", broker.ready_line);
    let client = Client::connect(&broker.url()).await;
    assert_eq!(client.declare("orders").await, 60);
    for number in 40..100_u32 {
        let message = client.get("orders").await.unwrap();
        assert_eq!(message.data, number.to_be_bytes());
        assert!(message.redelivered, "it may have been delivered before the crash");
    }
    assert!(client.get("orders").await.is_none());
}

#[tokio::test]
async fn a_clean_stop_closes_clients_with_320_and_keeps_everything() {
    let (_parent, dir) = store();
    for signal in ["TERM", "INT"] {
        let broker = Served::start(&dir, &[]);
        let client = Client::connect(&broker.url()).await;
        let before = client.declare("kept").await;
        client.publish("", "kept", b"message").await;
        let mut watcher = client
            .channel
            .basic_consume(
                "kept".into(),
                "watcher".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        broker.signal(signal);
        let error = loop {
            match watcher.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.to_string(),
                None => break format!("{:?}", client.channel.status()),
            }
        };
        assert!(
            error.contains("CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"),
            "{error}"
        );
        let Ended { code, said } = broker.ended();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("stopped"), "{said}");

        let broker = Served::start(&dir, &[]);
        assert!(
            broker.ready_line.contains("replayed_records=0"),
            "nothing is replayed: {}",
            broker.ready_line
        );
        let client = Client::connect(&broker.url()).await;
        assert_eq!(client.declare("kept").await, before + 1);
        printed(&broker.ctl(&["stop"]));
        assert_eq!(broker.ended().code, Some(0));
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let Ended { code, said } = Served::run_to_end(&dir, &[]);
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    let client = Client::connect(&broker.url()).await;
    client.declare("still-here").await;
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let (_parent, dir) = store();
    for (flag, word) in [
        ("--heartbeat-s=often", "heartbeat_s"),
        ("--segment-bytes=1", "segment_bytes"),
        ("--no-such-key=1", "no-such-key"),
    ] {
        let Ended { code, said } = Served::run_to_end(&dir, &[flag]);
        assert_eq!(code, Some(64), "{flag}: {said}");
        assert!(said.contains(word), "{flag}: {said}");
        assert!(!dir.exists(), "nothing is made before the settings are right");
    }
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_a_report_and_not_changed() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    client.declare("q").await;
    for _ in 0..10 {
        client.publish("", "q", &[0x55; 1000]).await;
    }
    broker.signal("KILL");
    broker.ended();
    let segment = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "seg")).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // In the first message: later ones prove that it was durable.
    let body = bytes.windows(1000).position(|window| window == [0x55; 1000]).unwrap();
    bytes[body] ^= 1;
    fs::write(&segment, &bytes).unwrap();

    let Ended { code, said } = Served::run_to_end(&dir, &[]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("damaged") && said.contains("offset"), "{said}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "it was only looked at");
}

#[tokio::test]
async fn the_data_directory_is_for_the_brokers_user_alone() {
    fn check(path: &Path) {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & !expected, 0, "{} has mode {mode:o}", path.display());
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path()));
        }
    }
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    Client::connect(&broker.url()).await.declare("q").await;
    check(&dir);
}

#[tokio::test]
async fn what_belongs_to_a_connection_goes_with_it_and_what_is_transient_with_the_broker() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let own = client.channel.queue_declare("own".into(), options, FieldTable::default()).await.unwrap();
    assert_eq!(own.name().as_str(), "own");
    let options = QueueDeclareOptions::default();
    client.channel.queue_declare("transient".into(), options, FieldTable::default()).await.unwrap();
    client.declare("durable").await;
    let list = || printed(&broker.ctl(&["-q", "list_queues", "name"]));
    assert_eq!(list().lines().collect::<Vec<_>>(), ["name", "durable", "own", "transient"]);
    client.connection.close(0, "".into()).await.unwrap();
    assert_eq!(list().lines().collect::<Vec<_>>(), ["name", "durable", "transient"]);
    broker.signal("TERM");
    broker.ended();

    let broker = Served::start(&dir, &[]);
    let listed = printed(&broker.ctl(&["-q", "list_queues", "name"]));
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["name", "durable"]);
}

#[tokio::test]
async fn exchanges_and_bindings_survive() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    client.declare("critical").await;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let kind = lapin::ExchangeKind::Topic;
    client.channel.exchange_declare("alerts".into(), kind, options, FieldTable::default()).await.unwrap();
    let options = QueueBindOptions::default();
    let bound = client.channel.queue_bind(
        "critical".into(),
        "alerts".into(),
        "critical.*".into(),
        options,
        FieldTable::default(),
    );
    bound.await.unwrap();
    broker.signal("KILL");
    broker.ended();

    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    client.publish("alerts", "critical.disk", b"full").await;
    client.publish("alerts", "info.disk", b"fine").await;
    assert_eq!(client.declare("critical").await, 1);
}

#[tokio::test]
async fn operators_change_who_may_do_what_at_once_and_for_good() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    printed(&broker.ctl(&["add_vhost", "shop"]));
    printed(&broker.ctl(&["add_user", "clerk", "a secret"]));
    let url =
        |broker: &Served, password: &str| format!("amqp://clerk:{password}@127.0.0.1:{}/shop", broker.port);
    let connect = async |url: String| Connection::connect(&url, ConnectionProperties::default()).await;
    let refused = connect(url(&broker, "a%20secret")).await.unwrap_err().to_string();
    assert!(refused.contains("access to vhost 'shop' refused for user 'clerk'"), "{refused}");
    printed(&broker.ctl(&["set_permissions", "-p", "shop", "clerk", ".*", ".*", "^till"]));

    let connection = connect(url(&broker, "a%20secret")).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("till".into(), options, FieldTable::default()).await.unwrap();
    let purge = |channel: Channel| async move {
        channel.queue_purge("till".into(), QueuePurgeOptions::default()).await
    };
    purge(channel.clone()).await.unwrap();
    printed(&broker.ctl(&["set_permissions", "-p", "shop", "clerk", ".*", ".*", "^other"]));
    let refused = purge(channel).await.unwrap_err().to_string();
    assert!(
        refused.contains("read access to queue 'till' in vhost 'shop' refused for user 'clerk'"),
        "{refused}"
    );

    broker.signal("KILL");
    broker.ended();
    let broker = Served::start(&dir, &[]);
    let users = printed(&broker.ctl(&["-q", "list_users"]));
    assert!(users.contains("clerk") && users.contains("guest"), "{users}");
    let permissions = printed(&broker.ctl(&["-q", "list_permissions", "-p", "shop"]));
    assert!(permissions.contains("^other"), "{permissions}");
    assert!(connect(url(&broker, "wrong")).await.is_err());

    let connection = connect(url(&broker, "a%20secret")).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    printed(&broker.ctl(&["delete_vhost", "shop"]));
    let gone = loop {
        let declared = channel.queue_declare("till".into(), options, FieldTable::default()).await;
        if let Err(error) = declared {
            break error.to_string();
        }
    };
    assert!(gone.contains("shop") || gone.contains("invalid"), "{gone}");
    let refused = connect(url(&broker, "a%20secret")).await.unwrap_err().to_string();
    assert!(refused.contains("vhost shop not found"), "{refused}");

    broker.signal("KILL");
    broker.ended();
    let broker = Served::start(&dir, &[]);
    assert!(!printed(&broker.ctl(&["-q", "list_vhosts"])).contains("shop"));
}

#[tokio::test]
async fn publishers_are_blocked_while_the_disk_is_low_and_others_go_on() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let client = Client::connect(&broker.url()).await;
    client.declare("q").await;
    client.publish("", "q", b"before").await;
    broker.signal("TERM");
    broker.ended();

    let mut broker = Served::start(&dir, &["--disk-low-bytes=1000000GiB"]);
    broker.wait_for_line("publishers are blocked");
    let status = get(broker.http_port, "/api/health/checks/alarms");
    assert!(status.starts_with("HTTP/1.1 503") && status.contains("disk"), "{status}");
    let client = Client::connect(&broker.url()).await;
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let publish =
        client.channel.basic_publish("".into(), "q".into(), BasicPublishOptions::default(), b"x", properties);
    let confirm = publish.await.unwrap();
    // Blocked is told once a client has published, on the connection; another one consumes on.
    let consumer = Client::connect(&broker.url()).await;
    let message = consumer.get("q").await.unwrap();
    assert_eq!(message.data, b"before");
    message.ack(BasicAckOptions::default()).await.unwrap();
    assert_eq!(consumer.declare("q").await, 0);
    let waited = tokio::time::timeout(Duration::from_millis(1), confirm).await;
    assert!(waited.is_err(), "held back, not refused: {waited:?}");
}

#[test]
fn http_says_how_the_broker_is() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &[]);
    let front = get(broker.http_port, "/");
    assert!(front.starts_with("HTTP/1.1 200") && front.contains("LedgerMQ"), "{front}");
    let healthy = get(broker.http_port, "/api/health/checks/is-in-service");
    assert!(healthy.starts_with("HTTP/1.1 200") && healthy.contains(r#"{"status":"ok"}"#), "{healthy}");
    let metrics = get(broker.http_port, "/metrics");
    assert!(
        metrics.contains("\nrabbitmq_connections 0\n") && metrics.contains("ledgermq_wal_durable_lsn"),
        "{metrics}"
    );
    assert!(get(broker.http_port, "/no/such/page").starts_with("HTTP/1.1 404"));
}

#[test]
fn strangers_do_not_stay() {
    let (_parent, dir) = store();
    let broker = Served::start(&dir, &["--handshake-ms=1000"]);
    let mut http = TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    http.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"AMQP\0\0\x09\x01");

    let mut silent = TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0, "closed when the handshake's time is over");
}

#[test]
fn passwords_are_in_nothing_it_writes() {
    let (_parent, dir) = store();
    let canary = "canary-password";
    let broker = Served::start(&dir, &["--log-level=trace"]);
    printed(&broker.ctl(&["add_user", "bird", canary]));
    let _ = broker.ctl(&["authenticate_user", "bird", canary]);
    let _ = broker.ctl(&["change_password", "bird", &format!("{canary}-2")]);
    broker.signal("TERM");
    let said = broker.ended().said;
    assert!(!said.contains(canary), "{said}");
    fn check(path: &Path, canary: &str) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path(), canary));
        } else {
            let bytes = fs::read(path).unwrap();
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary.as_bytes()),
                "{}",
                path.display()
            );
        }
    }
    check(&dir, canary);
}

/// The answer to an HTTP GET, head and body.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // guest:guest
    let login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{login}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
