//! Stories: what clients say and what they are told, method by method, against the whole broker in memory.
//!
//! Each file of `tests/conformance` is one story; README.md there puts them in an order to learn from. A story begins with
//! a sentence that says what happens, then:
//!
//! ```text
//! connect alice                                   a client that understands everything logs in as guest
//! connect bob user=bob properties={…}             another user, or a client that says something else of itself
//! accept carol                                    a client that has not said anything yet
//! user bob configure=^$ write=.* read=.*          makes a user (password = name) or changes its permissions
//! user bob                                        makes a user without any right, or takes all of them away
//! topic bob exchange=e write=.* read=.*           restricts the keys a user may use at a topic exchange
//! unuser bob                                      deletes a user
//! limits bob {"max-channels":2}                   sets a user's limits
//! limits vhost 1                                  how many queues the vhost may have
//! limits channel 2                                how many consumers a channel may have, of clients that come from now on
//! alice 1 > queue.declare queue=q                 a client sends a method on a channel (properties={…} body=… for content)
//! alice > raw 414d5150                            a client sends bytes
//! alice 1 < queue.declare-ok queue="q" …          what it is told, written by the runner
//! bob 1 > basic.publish routing-key=$REPLY …      $REPLY is the direct reply-to that somebody was told last
//! alice breaks                                    its socket breaks
//! disk stops | disk runs                          whether anything becomes durable
//! disk full | disk empty                          whether there is room for messages
//! clock 500                                       half a second passes
//! alarm low on disk | alarm off
//! broker stops                                    every client is told
//! # a remark, also between the steps
//! ```
//!
//! `LEDGERMQ_REWRITE=1` writes the answers instead of comparing them; read the difference before you commit it.
//! `STORY=name` tells one. `LEDGERMQ_STORIES_AGAINST=host:port cargo test --test conformance -- --ignored --nocapture`
//! tells them to another broker (one without queues of its own) and prints what it answers differently.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

#[path = "conformance/course.rs"]
mod course;
#[path = "conformance/refusals.rs"]
mod refusals;
mod support;

use ledgermq::auth::{Accounts, Limits, MAX_CHANNELS};
use ledgermq::definitions::{PermissionDefinition, TopicPermissionDefinition};
use ledgermq::vhost::VhostSettings;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::broker::Broker;
use support::machine::hash;
use support::remote::Remote;
use support::wire;

#[test]
fn stories_go_as_they_are_told() {
    let rewrite = std::env::var("LEDGERMQ_REWRITE").is_ok();
    let mut failures = String::new();
    for (path, name, story) in stories() {
        let told = tell(&story, &name, &mut Broker::default());
        if rewrite {
            std::fs::write(&path, &told).expect("a story written");
        } else if told != story {
            writeln!(failures, "{name}:\n{}", difference(&story, &told)).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
#[ignore = "needs another broker"]
fn stories_go_the_same_elsewhere() {
    let address = std::env::var("LEDGERMQ_STORIES_AGAINST").expect("LEDGERMQ_STORIES_AGAINST=host:port");
    for (_, name, story) in stories() {
        let ours_alone = ["disk ", "alarm ", "user ", "topic ", "unuser ", "limits ", "broker "];
        if story.lines().any(|line| ours_alone.iter().any(|word| line.starts_with(word))) {
            continue;
        }
        clean(&story, &address);
        let told = tell(&story, &name, &mut Remote::new(&address));
        clean(&story, &address);
        if told != story {
            println!("{name}:\n{}", difference(&story, &told));
        }
    }
}

/// Deletes every queue and exchange a story names.
fn clean(story: &str, address: &str) {
    let mut remote = Remote::new(address);
    remote.connect("cleaner", "guest", None);
    let named = |field: &'static str| {
        let inputs = story.lines().filter(|line| line.contains(" > "));
        inputs.flat_map(str::split_whitespace).filter_map(move |word| word.strip_prefix(field))
    };
    let queues = named("queue=").map(|name| format!("queue.delete queue={name}"));
    let exchanges = named("exchange=").filter(|name| !name.starts_with("amq."));
    let deletes = queues.chain(exchanges.map(|name| format!("exchange.delete exchange={name}")));
    for (number, delete) in (1..).zip(deletes) {
        let mut bytes = wire::encode(number, "channel.open");
        bytes.extend(wire::encode(number, &delete));
        remote.send_bytes("cleaner", &bytes);
    }
    remote.heard("cleaner");
}

/// Every story that was asked for: its path, its name, its text.
fn stories() -> impl Iterator<Item = (PathBuf, String, String)> {
    let only = std::env::var("STORY").ok();
    all_stories().filter(move |(_, name, _)| only.as_ref().is_none_or(|only| only == name))
}

/// Every story there is.
fn all_stories() -> impl Iterator<Item = (PathBuf, String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let entries = std::fs::read_dir(&directory).expect("the directory of stories");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a story").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths.into_iter().map(|path| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let story = std::fs::read_to_string(&path).expect("a story");
        assert!(story.starts_with("# "), "{name} begins with a sentence");
        (path, name, story)
    })
}

/// Who the stories are told to.
trait Listener {
    fn accept(&mut self, client: &str);
    fn connect(&mut self, client: &str, user: &str, client_properties: Option<&str>);
    fn send_bytes(&mut self, client: &str, bytes: &[u8]);
    fn heard(&mut self, client: &str) -> Vec<(u16, String)>;
    fn break_socket(&mut self, client: &str);
    fn has_closed(&mut self, client: &str) -> bool;
    fn pass(&mut self, ms: u64);
    /// Our broker, for what only it can be made to do.
    fn ours(&mut self) -> Option<&mut Broker>;
}

macro_rules! listener {
    ($name:ty, $ours:expr, $pass:expr) => {
        impl Listener for $name {
            fn accept(&mut self, client: &str) {
                self.accept(client);
            }
            fn connect(&mut self, client: &str, user: &str, client_properties: Option<&str>) {
                self.connect(client, user, client_properties);
            }
            fn send_bytes(&mut self, client: &str, bytes: &[u8]) {
                self.send_bytes(client, bytes);
            }
            fn heard(&mut self, client: &str) -> Vec<(u16, String)> {
                self.heard(client)
            }
            fn break_socket(&mut self, client: &str) {
                self.break_socket(client);
            }
            fn has_closed(&mut self, client: &str) -> bool {
                <$name>::has_closed(self, client)
            }
            fn pass(&mut self, ms: u64) {
                let pass: fn(&mut Self, u64) = $pass;
                pass(self, ms);
            }
            fn ours(&mut self) -> Option<&mut Broker> {
                let ours: fn(&mut Self) -> Option<&mut Broker> = $ours;
                ours(self)
            }
        }
    };
}

listener!(Broker, |broker| Some(broker), Broker::live);
// Another broker has a clock of its own: it is given that time, and a little more.
listener!(Remote, |_| None, |_, ms| std::thread::sleep(std::time::Duration::from_millis(ms + 50)));

/// The story as it goes: its lines, with the answers the broker gives.
fn tell(story: &str, name: &str, broker: &mut impl Listener) -> String {
    let mut told = String::new();
    let mut clients: Vec<String> = Vec::new();
    let mut reply_to = String::new();
    for line in story.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_answer = matches!(words[..], [_, "<", ..] | [_, _, "<", ..] | [_, "closed"]);
        if is_answer && !line.starts_with('#') {
            continue;
        }
        told.push_str(line);
        told.push('\n');
        if line.starts_with('#') || words.is_empty() {
            continue;
        }
        let line = &line.replace("$REPLY", &reply_to);
        let words: Vec<&str> = line.split_whitespace().collect();
        step(broker, line, &words, &mut clients, name);
        for client in &clients {
            for (channel, method) in broker.heard(client) {
                if let Some(at) = method.find(REPLY_PREFIX) {
                    reply_to = method[at..].split(['"', ' ']).next().unwrap_or_default().to_owned();
                }
                let method = without_chance(&method);
                match channel {
                    0 => writeln!(told, "{client} < {method}").unwrap(),
                    channel => writeln!(told, "{client} {channel} < {method}").unwrap(),
                }
            }
        }
        clients.retain(|client| {
            let closed = broker.has_closed(client);
            if closed && words[..] != [client, "breaks"] {
                writeln!(told, "{client} closed").unwrap();
            }
            !closed
        });
    }
    told
}

fn step(broker: &mut impl Listener, line: &str, words: &[&str], clients: &mut Vec<String>, name: &str) {
    match *words {
        ["connect", client, ..] => {
            let option = |option: &str| {
                let (_, rest) = line.split_once(&format!(" {option}="))?;
                Some(if rest.starts_with('{') { rest } else { rest.split(' ').next().unwrap_or_default() })
            };
            broker.connect(client, option("user").unwrap_or("guest"), option("properties"));
            clients.push(client.to_owned());
        }
        ["accept", client] => {
            broker.accept(client);
            clients.push(client.to_owned());
        }
        ["user", user, configure, write, read] => {
            let pattern = |word: &str| word.split_once('=').expect("right=pattern").1.to_owned();
            let permission = PermissionDefinition {
                user: user.to_owned(),
                vhost: "/".to_owned(),
                configure: pattern(configure),
                write: pattern(write),
                read: pattern(read),
            };
            ours(broker).change_accounts(|accounts| permit(accounts, user, permission));
        }
        ["user", user] => ours(broker).change_accounts(|accounts| take_rights(accounts, user)),
        ["topic", user, exchange, write, read] => {
            let said = |word: &str| word.split_once('=').expect("name=value").1.to_owned();
            let permission = TopicPermissionDefinition {
                user: user.to_owned(),
                vhost: "/".to_owned(),
                exchange: said(exchange),
                write: said(write),
                read: said(read),
            };
            ours(broker).change_accounts(|accounts| {
                accounts.set_topic_permissions(permission).expect("topic permissions");
            });
        }
        ["unuser", user] => ours(broker).change_accounts(|accounts| {
            accounts.delete_user(user).expect("a user");
        }),
        ["limits", "vhost", count] => {
            let queues_max = Some(count.parse().expect("a number"));
            ours(broker).configure_vhost(VhostSettings { queues_max, ..Default::default() });
        }
        ["limits", "channel", count] => {
            Arc::make_mut(&mut ours(broker).connection_config).consumers_max =
                count.parse().expect("a number");
        }
        ["limits", user, definition] => {
            let limits = Limits::parse(definition, &[MAX_CHANNELS], "limits").expect("limits");
            ours(broker).change_accounts(|accounts| {
                accounts.change_limits(user, |current| *current = limits).expect("a user");
            });
        }
        [client, "breaks"] => broker.break_socket(client),
        ["disk", "stops"] => ours(broker).disk_stopped = true,
        ["disk", "runs"] => {
            ours(broker).disk_stopped = false;
            ours(broker).settle();
        }
        ["disk", "full"] => ours(broker).fill_disk(true),
        ["disk", "empty"] => ours(broker).fill_disk(false),
        ["broker", "stops"] => ours(broker).stop("shutdown"),
        ["clock", ms] => broker.pass(ms.parse().expect("ms")),
        ["alarm", "off"] => ours(broker).set_alarm(None),
        ["alarm", ..] => ours(broker).set_alarm(line.strip_prefix("alarm ")),
        [client, ">", "raw", hex] => {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            broker.send_bytes(client, &bytes);
        }
        [client, ">", ..] => broker.send_bytes(client, &wire::encode(0, after_arrow(line))),
        [client, channel, ">", ..] => {
            let channel = channel.parse().unwrap_or_else(|_| panic!("{name}: {line}"));
            broker.send_bytes(client, &wire::encode(channel, after_arrow(line)));
        }
        _ => panic!("{name}: {line}"),
    }
}

fn ours(broker: &mut impl Listener) -> &mut Broker {
    broker.ours().expect("only our broker can be made to do that")
}

fn take_rights(accounts: &mut Accounts, user: &str) {
    if accounts.exists(user) {
        accounts.clear_permissions(user, "/").expect("a user");
    } else {
        accounts.add_user(user, hash(user)).expect("a new user");
    }
}

fn permit(accounts: &mut Accounts, user: &str, permission: PermissionDefinition) {
    if !accounts.exists(user) {
        accounts.add_user(user, hash(user)).expect("a new user");
    }
    accounts.set_permissions(permission).expect("permissions");
}

fn after_arrow(line: &str) -> &str {
    line.split_once(" > ").map_or("", |(_, method)| method)
}

const REPLY_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Names of the broker's making without their letters, and moments without their time.
fn without_chance(method: &str) -> String {
    let mut out = String::new();
    let mut rest = method;
    while let Some(at) = ["amq.gen-", "amq.ctag-", REPLY_PREFIX, " time="]
        .iter()
        .filter_map(|prefix| Some(rest.find(prefix)? + prefix.len()))
        .min()
    {
        let (before, after) = rest.split_at(at);
        let end =
            after.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.+/=".contains(c)).unwrap_or(after.len());
        out.push_str(before);
        out.push('*');
        rest = &after[end..];
    }
    out + rest
}

fn difference(expected: &str, got: &str) -> String {
    let (mut expected, mut got) = (expected.lines(), got.lines());
    let mut out = String::new();
    loop {
        match (expected.next(), got.next()) {
            (None, None) => return out,
            (expected, got) if expected == got => writeln!(out, "  {}", got.unwrap_or_default()).unwrap(),
            (expected, got) => {
                for (sign, line) in
                    expected.map(|line| ('-', line)).into_iter().chain(got.map(|line| ('+', line)))
                {
                    writeln!(out, "{sign} {line}").unwrap();
                }
            }
        }
    }
}
