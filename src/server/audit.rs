//! The audit log: who logged in or was refused, and who changed what, from where; one JSON object a line, in a file that
//! operators name. What is written is what the event exchange would be told, cut down to who, what and where: never an
//! argument, a policy's definition or a parameter's value, because these may hold the passwords of other systems.
//!
//! A thread of its own writes and syncs, so nobody waits for this disk. The way to it is bounded: what finds no room is
//! counted, and the count is written when there is room again. Refused logins cost strangers nothing, so only so many a
//! second are written, and the rest as a count as well.
//!
//! ```text
//! {"unix_ms":1795279400887,"event":"user.authentication.failure","name":"eve","peer_host":"{192,0,2,1}",…}
//! {"unix_ms":1795279401020,"event":"queue.deleted","name":"orders","vhost":"/","user_who_performed_action":"ann","connection":"192.0.2.7:40000 -> …"}
//! {"unix_ms":1795279402000,"event":"audit.left_out","count":9950}
//! ```

use super::client_lines::ClientLines;
use super::error::ServeError;
use crate::clock::Clock;
use crate::config::AuditLog;
use crate::limits::AUDIT_LINES_WAITING_MAX;
use crate::protocol::value::Value;
use crate::vhost::events::Event;
use serde_json::{Map, json};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use tracing::error;

/// See the file's head. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    orders: SyncSender<Order>,
    state: Arc<State>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    refusals: ClientLines,
    left_out: AtomicU64,
}

enum Order {
    Line(String),
    /// Somebody moved the file away: begin a new one.
    Reopen(SyncSender<io::Result<()>>),
    /// Answered once all before it is on disk.
    Flush(SyncSender<io::Result<()>>),
}

/// The refusal of a login, the one event that strangers cause for nothing.
const REFUSED: &str = "user.authentication.failure";

/// What begins the names of the events that are written. Channels and consumers come and go by the thousand and change nothing.
const AUDITED: [&str; 10] = [
    "user.",
    "permission.",
    "topic.permission.",
    "vhost.",
    "policy.",
    "parameter.",
    "queue.",
    "exchange.",
    "binding.",
    "connection.",
];

impl Audit {
    /// Opens what is configured; `None` if nothing is.
    pub(super) fn open(log: &AuditLog, clock: Clock) -> Result<Option<Self>, ServeError> {
        let sink = match log {
            AuditLog::Off => return Ok(None),
            AuditLog::Stderr => Sink::Stderr,
            AuditLog::File(path) => {
                let file = append(path)
                    .map_err(ServeError::io(format!("opening the audit log {}", path.display())))?;
                Sink::File(path.clone(), file)
            }
        };
        let (orders, incoming) = sync_channel(AUDIT_LINES_WAITING_MAX);
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || Writer { sink, state: shared, clock, failing: false }.run(&incoming))
            .map_err(ServeError::io("starting a thread"))?;
        Ok(Some(Self { orders, state, clock }))
    }

    /// Notes an event, if it is of a kind that is written.
    pub(super) fn note(&self, event: &Event) {
        if !is_audited(event) {
            return;
        }
        let unix_ms = self.clock.unix_ms();
        if event.key == REFUSED {
            match self.state.refusals.admit(self.clock.now_ms()) {
                None => return,
                Some(left_out) => drop(self.state.left_out.fetch_add(left_out, Ordering::Relaxed)),
            }
        }
        if self.orders.try_send(Order::Line(line(event, unix_ms))).is_err() {
            self.state.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was noted is on disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.ask(Order::Flush)
    }

    /// Begins a new file where the old one was.
    pub(super) fn reopen(&self) -> io::Result<()> {
        self.ask(Order::Reopen)
    }

    fn ask(&self, order: impl FnOnce(SyncSender<io::Result<()>>) -> Order) -> io::Result<()> {
        let (sender, answer) = sync_channel(1);
        let gone = || io::Error::other("the audit log has ended");
        self.orders.send(order(sender)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

/// Whether an event is of a kind that is written.
pub(super) fn is_audited(event: &Event) -> bool {
    AUDITED.iter().any(|prefix| event.key.starts_with(prefix))
}

/// What is told of an event's headers outside of the broker.
pub(super) enum Told<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Number(i64),
}

/// Who, what and where. Of what has parts, and of values that operators gave, nothing is told.
pub(super) fn told(event: &Event) -> impl Iterator<Item = (&str, Told<'_>)> {
    event.headers.iter().filter_map(|(name, value)| {
        let told = match value {
            Value::LongString(bytes) if name != "value" => Told::Text(String::from_utf8_lossy(bytes)),
            Value::Bool(value) => Told::Bool(value),
            Value::I64(value) => Told::Number(value),
            _ => return None,
        };
        Some((name, told))
    })
}

/// One line, without its end.
fn line(event: &Event, unix_ms: u64) -> String {
    let mut fields = Map::new();
    fields.insert("unix_ms".into(), json!(unix_ms));
    fields.insert("event".into(), json!(event.key));
    for (name, told) in told(event) {
        let told = match told {
            Told::Text(text) => json!(text),
            Told::Bool(value) => json!(value),
            Told::Number(value) => json!(value),
        };
        fields.insert(name.to_owned(), told);
    }
    if let Some(connection) = &event.connection {
        fields.insert("connection".into(), json!(**connection));
    }
    serde_json::Value::Object(fields).to_string()
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

enum Sink {
    Stderr,
    File(PathBuf, File),
}

struct Writer {
    sink: Sink,
    state: Arc<State>,
    clock: Clock,
    /// The last write failed: that was told once.
    failing: bool,
}

impl Writer {
    fn run(mut self, incoming: &Receiver<Order>) {
        let mut text = String::new();
        while let Ok(order) = incoming.recv() {
            // What waits is written together, and synced once.
            let mut asked = Vec::new();
            for order in std::iter::once(order).chain(incoming.try_iter().take(AUDIT_LINES_WAITING_MAX)) {
                match order {
                    Order::Line(line) => text.extend([&line, "\n"]),
                    Order::Flush(answer) => asked.push((false, answer)),
                    Order::Reopen(answer) => asked.push((true, answer)),
                }
            }
            let left_out = self.state.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                let unix_ms = self.clock.unix_ms();
                let told = json!({"unix_ms": unix_ms, "event": "audit.left_out", "count": left_out});
                text.extend([&told.to_string(), "\n"]);
            }
            let mut written = self.write(&text);
            text.clear();
            self.tell(&written);
            for (reopen, answer) in asked {
                if reopen {
                    written = self.reopen();
                }
                // Who asked may have gone.
                let _ = answer.send(std::mem::replace(&mut written, Ok(())));
            }
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stderr => io::stderr().write_all(text.as_bytes()),
            Sink::File(_, file) => file.write_all(text.as_bytes()).and_then(|()| file.sync_data()),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File(path, file) = &mut self.sink {
            *file = append(path)?;
        }
        Ok(())
    }

    fn tell(&mut self, written: &io::Result<()>) {
        if let Err(error) = written
            && !self.failing
        {
            error!(%error, "the audit log cannot be written; lines are lost");
        }
        self.failing = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLIENT_LINES_PER_SECOND_MAX;
    use crate::protocol::table::Table;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn event(key: &'static str, headers: &[(&str, Value<'_>)]) -> Event {
        Event { key, headers: Table::from_pairs(headers), connection: None }
    }

    fn with_log() -> (tempfile::TempDir, PathBuf, Audit) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let audit = Audit::open(&AuditLog::File(path.clone()), Clock::start()).unwrap().unwrap();
        (dir, path, audit)
    }

    #[test]
    fn a_line_says_who_did_what_and_from_where() {
        let (_dir, path, audit) = with_log();
        let secret = Value::text("amqp://user:canary@elsewhere");
        audit.note(&Event {
            connection: Some("192.0.2.7:1 -> 192.0.2.1:5672".into()),
            ..event("queue.deleted", &[("name", Value::text("a\"\nb")), ("value", secret)])
        });
        audit.note(&event("consumer.created", &[("name", Value::text("nobody asks"))]));
        audit.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["event"], "queue.deleted");
        assert_eq!(line["name"], "a\"\nb");
        assert_eq!(line["connection"], "192.0.2.7:1 -> 192.0.2.1:5672");
        assert!(line["unix_ms"].as_u64().unwrap() > 0);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn of_a_flood_of_refusals_so_many_are_written() {
        let (_dir, path, audit) = with_log();
        for _ in 0..10_000 {
            audit.note(&event(REFUSED, &[("name", Value::text("eve"))]));
        }
        audit.note(&event("user.created", &[("name", Value::text("ann"))]));
        audit.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // The flood may go on over the turn of seconds.
        let most = 60 * CLIENT_LINES_PER_SECOND_MAX as usize;
        assert!(text.lines().count() <= most, "{} lines", text.lines().count());
        assert!(text.contains("\"user.created\""), "others are written all the same");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let (dir, path, audit) = with_log();
        audit.note(&event("vhost.created", &[("name", Value::text("old"))]));
        audit.flush().unwrap();
        let moved = dir.path().join("audit.log.1");
        fs::rename(&path, &moved).unwrap();
        audit.reopen().unwrap();
        audit.note(&event("vhost.created", &[("name", Value::text("new"))]));
        audit.flush().unwrap();
        assert!(fs::read_to_string(&moved).unwrap().contains("\"old\""));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"new\"") && !text.contains("\"old\""), "{text}");
    }
}
