//! Conversations as text: `<` is what a channel says (connection.channel first), `>` what it must hear next, and nothing
//! else may be heard. Lines without a channel steer the log.
//!
//! ```text
//! 1.1 < queue.declare q durable          every command is answered by a synced log at once,
//! 1.1 > queue.declare-ok q 0 0
//! 1.1 < publish . q hello ...            this and the next command come in one batch
//! log hold                               until the test takes the log over:
//! 1.1 < publish . q hello persistent #1  to exchange `.` (the default one), key q, body hello, publish seq 1
//! log sync                               everything is durable; `log sync N` N records more; `log write` written only
//! 1.1 > confirm 1
//! clock 500                              half a second passes; what falls due meanwhile is done
//! jump -3600000                          the wall clock alone moves
//! 1.1 > get-ok hello 0 [expired q 2]     a dead letter shows its deaths: reason, queue, count; newest first
//! ```

use super::memory_log::MemoryLog;
use bytes::Bytes;
use ledgermq::budget::Budget;
use ledgermq::definitions::{ApplyTo, Definition, DestinationKind, PolicyDefinition};
use ledgermq::message::{Holders, Message};
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::table::{Fields, Table};
use ledgermq::protocol::value::Value;
use ledgermq::queue::QueueKind;
use ledgermq::vhost::command::{
    ChannelKey, Command, ConnectionId, DIRECT_REPLY_TO, Envelope, MethodId, Notice, Outcome, Publish,
    PublishSeq, Reply,
};
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{AdminCommand, AdminId, AdminReply, Effect, Effects, Identity, Input, Operator};
use ledgermq::vhost::views::{Look, Seen, Stretch};
use ledgermq::vhost::{
    BindingObject, DeliverMode, Named, Now, PolicyLayer, Vhost, VhostConfig, VhostSettings,
};
use ledgermq_storage::{QueueId, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Runs a conversation from an empty vhost.
#[track_caller]
pub(crate) fn converse(script: &str) {
    Talk::new().converse(script);
}

/// A vhost with its log and its clients.
pub(crate) struct Talk {
    pub(crate) vhost: Vhost,
    pub(crate) log: MemoryLog,
    pub(crate) config: VhostConfig,
    now: Now,
    effects: Effects,
    /// Commands that go with the next one.
    batch: Vec<Envelope>,
    /// Steered by the script instead of synced after every command.
    log_is_held: bool,
    /// Reads wait for `read`.
    reads_are_held: bool,
    reads: VecDeque<Effect>,
    attached: BTreeSet<u64>,
    channels: BTreeMap<(u64, u16), Client>,
    /// The direct reply-to that somebody was told last: `REPLY` in what is said next.
    reply_to: String,
    /// The last message that a get brought.
    pub(crate) last_message: Option<Arc<Message>>,
    /// What drivers were told: `detached 1`, `damaged q 3..=3 1`, `answer 1 removed 2`.
    driver: VecDeque<String>,
}

/// One channel's end of the conversation.
#[derive(Default)]
struct Client {
    life: u32,
    heard: VecDeque<String>,
    /// By delivery tag, from 1.
    deliveries: Vec<(QueueId, Seq)>,
    /// Settlements of an open transaction.
    kept: Vec<(Outcome, Vec<(QueueId, Seq)>)>,
    transacts: bool,
    next_method: u16,
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self::with(1024 * 1024, 1 << 20, DeliverMode::AfterDurable)
    }

    /// A vhost with this budget for bodies and segments of this size.
    pub(crate) fn with(budget_bytes: usize, segment_bytes: u32, deliver: DeliverMode) -> Self {
        let budget = Budget::new(budget_bytes);
        let config = VhostConfig {
            name: "/".into(),
            deliver,
            consumer_timeout_ms: 0,
            budget,
            names_seed: [1; 32],
            events: EventTap::default(),
        };
        Self {
            vhost: Vhost::new(config.clone()),
            log: MemoryLog::new(segment_bytes),
            config,
            now: Now { monotonic_ms: 0, unix_ms: START_UNIX_MS },
            effects: Effects::default(),
            batch: Vec::new(),
            log_is_held: false,
            reads_are_held: false,
            reads: VecDeque::new(),
            attached: BTreeSet::new(),
            channels: BTreeMap::new(),
            last_message: None,
            driver: VecDeque::new(),
            reply_to: String::new(),
        }
    }

    #[track_caller]
    pub(crate) fn converse(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
            self.line(line);
        }
        self.check_silence("the end");
    }

    /// Says one line, whatever is answered.
    pub(crate) fn tell(&mut self, line: &str) {
        self.line(line);
        self.channels.values_mut().for_each(|client| client.heard.clear());
    }

    /// What an order is refused with, line ends and all.
    pub(crate) fn refusal(&mut self, line: &str) -> String {
        self.steer(line);
        let said = self.driver.pop_front().expect("an answer");
        said.strip_prefix("refused ").expect("a refusal").to_owned()
    }

    /// What an order is answered once it is durable.
    pub(crate) fn answered(&mut self, line: &str) -> String {
        self.steer(line);
        self.sync(usize::MAX);
        self.driver.pop_front().expect("an answer")
    }

    /// Publishes numbered persistent messages to a queue.
    pub(crate) fn publish_many(&mut self, queue: &str, bodies: std::ops::Range<u64>) {
        for body in bodies {
            self.line(&format!("1.1 < publish . {queue} m{body} persistent"));
        }
    }

    #[track_caller]
    fn line(&mut self, line: &str) {
        if let Some((who, expected)) = line.split_once(" > ") {
            let heard = if who == "driver" {
                self.driver.pop_front()
            } else {
                self.channels.entry(channel(who)).or_default().heard.pop_front()
            };
            assert_eq!(heard.as_deref(), Some(expected), "{line}");
            return;
        }
        self.check_silence(line);
        if let Some((who, command)) = line.split_once(" < ") {
            self.say(channel(who), command);
        } else {
            self.steer(line);
        }
    }

    #[track_caller]
    fn check_silence(&self, before: &str) {
        for (channel, client) in &self.channels {
            assert!(client.heard.is_empty(), "{channel:?} also heard {:?} before: {before}", client.heard);
        }
        assert!(self.driver.is_empty(), "the driver was also told {:?} before: {before}", self.driver);
    }

    fn steer(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["clock", ms] => {
                let ms: u64 = ms.parse().unwrap();
                self.now.monotonic_ms += ms;
                self.now.unix_ms += ms;
                self.tick();
            }
            ["jump", ms] => {
                self.now.unix_ms = self.now.unix_ms.checked_add_signed(ms.parse().unwrap()).unwrap();
                self.tick();
            }
            ["due", "never"] => assert_eq!(self.vhost.next_deadline(), None, "{line}"),
            ["due", ms] => {
                let at_ms = self.vhost.next_deadline().expect("something falls due");
                assert_eq!((at_ms - self.now.monotonic_ms).to_string(), *ms, "{line}");
            }
            ["log", "hold"] => self.log_is_held = true,
            ["log", "auto"] => self.log_is_held = false,
            ["log", "sync"] => self.sync(usize::MAX),
            ["log", "sync", count] => self.sync(count.parse().unwrap()),
            ["log", "write"] => {
                let progress = self.log.write();
                self.apply(Input::Progress(progress));
            }
            ["log", "full"] => self.log.is_full = true,
            ["log", "space"] => self.log.is_full = false,
            ["log", "max", bytes] => self.log.record_bytes_max = bytes.parse().unwrap(),
            ["log", "rot", queue, seq] => {
                self.log.rotten.insert((QueueId(queue.parse().unwrap()), Seq(seq.parse().unwrap())));
            }
            ["reads", "hold"] => self.reads_are_held = true,
            ["reads", "go"] => {
                self.reads_are_held = false;
                self.apply(Input::Tick);
            }
            ["detach", connection] => {
                let id = connection.parse().unwrap();
                self.attached.remove(&id);
                self.channels.retain(|(owner, _), _| *owner != id);
                self.apply(Input::Detach(ConnectionId(id)));
            }
            ["drained", connection, bytes] => {
                let id = ConnectionId(connection.parse().unwrap());
                self.apply(Input::Drained(id, bytes.parse().unwrap()));
            }
            ["identify", connection, user] => {
                let id = connection.parse().unwrap();
                if self.attached.insert(id) {
                    self.apply(Input::Attach(ConnectionId(id)));
                }
                let name = format!("client {id}").into();
                let identity = Identity { name, user: (*user).into(), about: Table::default() };
                self.apply(Input::Identify(ConnectionId(id), identity));
            }
            ["admin", "govern", order @ ..] => self.govern(order, line),
            ["admin", order @ ..] => self.admin(order, line),
            ["governed", queue, rest @ ..] => assert_eq!(self.governed(queue), rest.join(" "), "{line}"),
            ["stop"] => {
                self.apply(Input::Shutdown);
                self.log.restart(true);
                self.restart();
            }
            ["crash"] => {
                self.log.crash(0);
                self.restart();
            }
            ["queue", queue, rest @ ..] => assert_eq!(self.counts(queue), rest.join(" "), "{line}"),
            ["exists", kind, name, answer] => {
                let report = self.vhost.report();
                let exists = match *kind {
                    "queue" => report.queues.iter().any(|queue| queue.name == *name),
                    _ => report.exchanges.iter().any(|exchange| exchange.name == *name),
                };
                assert_eq!(exists.to_string(), *answer, "{line}");
            }
            _ => panic!("no such line: {line}"),
        }
    }

    /// What an operator asks or orders.
    fn admin(&mut self, words: &[&str], line: &str) {
        match words {
            // The first to speak behind a moment when something fell due.
            ["look-after", ms, user] => {
                self.now.monotonic_ms += ms.parse::<u64>().unwrap();
                let by = Operator { user: (*user).into(), connection: Some("http".into()) };
                self.apply(Input::Admin(AdminId(1), by, AdminCommand::Look(Look::Queues(Vec::new()))));
            }
            ["trace", on] => {
                self.apply(Input::Admin(AdminId(1), Operator::default(), AdminCommand::Trace(*on == "on")));
            }
            ["purge", queue] => {
                self.apply(Input::Admin(
                    AdminId(1),
                    Operator::default(),
                    AdminCommand::PurgeQueue((*queue).into()),
                ));
            }
            ["peek", queue, count] => {
                let command = AdminCommand::Peek { queue: (*queue).into(), count: count.parse().unwrap() };
                self.apply(Input::Admin(AdminId(1), Operator::default(), command));
            }
            ["move", from, to, count] => {
                let (from, to) = ((*from).into(), (*to).into());
                let command = AdminCommand::Move { from, to, count: count.parse().unwrap() };
                self.apply(Input::Admin(AdminId(1), Operator::default(), command));
            }
            ["look", what @ ..] => {
                let stretch = |from: &str| Stretch { from: from.parse().unwrap(), places: 2 };
                let look = match what {
                    ["queues", from] => Look::QueueObjects(stretch(from)),
                    ["exchanges", from] => Look::ExchangeObjects(stretch(from)),
                    ["lasting-bindings", source] => {
                        let source = (*source).into();
                        Look::BindingsFrom { source, behind: None, only_lasting: true, count: 10 }
                    }
                    _ => panic!("no such look: {line}"),
                };
                self.apply(Input::Admin(AdminId(1), Operator::default(), AdminCommand::Look(look)));
            }
            ["holds", kind, name] => {
                let name = (*name).into();
                let named = if *kind == "queue" { Named::Queue(name) } else { Named::Exchange(name) };
                self.apply(Input::Admin(AdminId(1), Operator::default(), AdminCommand::Holds(named)));
            }
            ["bindings", source, queue] => {
                let (source, destination) = ((*source).into(), (*queue).into());
                let command =
                    AdminCommand::BindingsBetween { source, kind: DestinationKind::Queue, destination };
                self.apply(Input::Admin(AdminId(1), Operator::default(), command));
            }
            ["delete", queue, flags @ ..] => {
                let (if_unused, if_empty) = (flags.contains(&"if-unused"), flags.contains(&"if-empty"));
                let command = AdminCommand::DeleteQueue { name: (*queue).into(), if_unused, if_empty };
                self.apply(Input::Admin(AdminId(1), Operator::default(), command));
            }
            _ => panic!("no such order: {line}"),
        }
    }

    /// The driver's part: a tick whenever one is due.
    fn tick(&mut self) {
        while self.vhost.next_deadline().is_some_and(|at_ms| at_ms <= self.now.monotonic_ms) {
            self.apply(Input::Tick);
            if !self.log_is_held {
                self.sync(usize::MAX);
            }
        }
    }

    /// Orders about many objects at once.
    fn govern(&mut self, words: &[&str], line: &str) {
        match words {
            [command @ ("set-policy" | "set-operator-policy"), name, pattern, definition, rest @ ..] => {
                let option = |option: &str| rest.iter().find_map(|word| word.strip_prefix(option));
                let policy = PolicyDefinition {
                    name: (*name).into(),
                    pattern: (*pattern).into(),
                    apply_to: option("apply-to=")
                        .map_or(ApplyTo::All, |name| ApplyTo::from_name(name).unwrap()),
                    priority: option("priority=").map_or(0, |number| number.parse().unwrap()),
                    definition: (*definition).into(),
                };
                self.order(AdminCommand::SetPolicy(layer(command), policy));
            }
            [command @ ("clear-policy" | "clear-operator-policy"), name] => {
                self.order(AdminCommand::ClearPolicy(layer(command), (*name).into()));
            }
            ["default-type", kind] => {
                let default_queue_kind = QueueKind::from_name(kind).unwrap();
                self.order(AdminCommand::Configure(VhostSettings {
                    default_queue_kind,
                    ..VhostSettings::default()
                }));
            }
            ["max-queues", count] => {
                let queues_max = Some(count.parse().unwrap());
                self.order(AdminCommand::Configure(VhostSettings { queues_max, ..VhostSettings::default() }));
            }
            [what @ ("max-exchanges" | "max-bindings" | "max-consumers"), count] => {
                let mut settings = VhostSettings::default();
                let limit = match *what {
                    "max-exchanges" => &mut settings.exchanges_max,
                    "max-bindings" => &mut settings.bindings_max,
                    _ => &mut settings.consumers_max,
                };
                *limit = count.parse().unwrap();
                self.order(AdminCommand::Configure(settings));
            }
            _ => panic!("no such line: {line}"),
        }
    }

    /// An order that is answered once it is durable.
    fn order(&mut self, command: AdminCommand) {
        self.apply(Input::Admin(AdminId(1), Operator::default(), command));
        if !self.log_is_held {
            self.sync(usize::MAX);
        }
    }

    /// The policies of a queue, and what they say together.
    fn governed(&self, name: &str) -> String {
        let report = self.vhost.report();
        let queue = report.queues.iter().find(|queue| queue.name == name).expect("the queue exists");
        let said: Vec<_> =
            queue.effective_policy.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("user={} operator={} {}", queue.policy, queue.operator_policy, said.join(" ")).trim().into()
    }

    fn counts(&self, name: &str) -> String {
        let report = self.vhost.report();
        let queue = report.queues.iter().find(|queue| queue.name == name).expect("the queue exists");
        format!(
            "ready={} unacked={} bytes={} consumers={}",
            queue.messages_ready,
            queue.messages_unacknowledged,
            queue.bytes_ready + queue.bytes_unacknowledged,
            queue.consumers
        )
    }

    /// A new vhost over the same log; every client is gone.
    pub(crate) fn restart(&mut self) {
        let replayed = self.log.replay();
        let definitions =
            replayed.definitions.iter().map(|(key, value)| Definition::decode(key, value).unwrap());
        self.vhost =
            Vhost::restore(self.config.clone(), definitions, replayed.queues, replayed.clean).unwrap();
        // The monotonic clock begins anew with the process.
        self.now.monotonic_ms = 0;
        self.attached.clear();
        self.channels.clear();
        self.reads.clear();
        self.apply(Input::Progress(self.log.progress));
    }

    fn sync(&mut self, count: usize) {
        let progress = self.log.sync(count);
        self.apply(Input::Progress(progress));
    }

    fn say(&mut self, at: (u64, u16), line: &str) {
        let connection = ConnectionId(at.0);
        if self.attached.insert(at.0) {
            self.apply(Input::Attach(connection));
        }
        if !self.channels.contains_key(&at) && line != "channel.open" {
            self.say(at, "channel.open");
            assert_eq!(
                self.channels.get_mut(&at).unwrap().heard.pop_front().as_deref(),
                Some("channel.open-ok")
            );
        }
        let client = self.channels.entry(at).or_default();
        if line == "channel.open" {
            *client = Client { life: client.life + 1, ..Client::default() };
        }
        client.next_method = client.next_method.wrapping_add(1);
        let method = MethodId { class: client.next_method, method: 0 };
        let (line, goes_on) = line.strip_suffix(" ...").map_or((line, false), |line| (line, true));
        let command = client.command(&line.replace("REPLY", &self.reply_to));
        let key = ChannelKey { connection, number: at.1, life: client.life };
        self.batch.push(Envelope { channel: key, method, command });
        if goes_on {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        self.apply(Input::Commands(batch));
        if !self.log_is_held {
            self.sync(usize::MAX);
        }
    }

    fn apply(&mut self, input: Input) {
        self.log.unix_ms = self.now.unix_ms;
        self.vhost.apply(input, self.now, &mut self.log, &mut self.effects);
        let effects = std::mem::take(&mut self.effects);
        for addressed in effects.notices {
            let key = addressed.channel;
            let Some(client) = self.channels.get_mut(&(key.connection.0, key.number)) else { continue };
            if client.life == key.life {
                if let Notice::Deliver(delivery) = &addressed.notice
                    && let Some(reply_to) = Properties::new(&delivery.message.properties).reply_to()
                {
                    self.reply_to = reply_to.to_owned();
                }
                if let Notice::Reply(Reply::GetOk { message, .. }) = &addressed.notice {
                    self.last_message = Some(Arc::clone(message));
                }
                client.hear(addressed.notice);
            }
        }
        for effect in effects.effects {
            match effect {
                Effect::ReadBodies { .. } | Effect::ReadEntries { .. } | Effect::ReadStream { .. } => {
                    self.reads.push_back(effect);
                }
                Effect::Event(event) => self.apply(Input::Event(event)),
                other => self.driver.push_back(told(other)),
            }
        }
        while !self.reads_are_held
            && let Some(read) = self.reads.pop_front()
        {
            let answer = self.log.answer(read);
            self.apply(answer);
        }
    }
}

/// The wall clock at the beginning of a conversation.
const START_UNIX_MS: u64 = 1_700_000_000_000;

fn channel(who: &str) -> (u64, u16) {
    let (connection, number) = who.split_once('.').expect("connection.channel");
    (connection.parse().unwrap(), number.parse().unwrap())
}

/// `.` stands for the empty name.
fn name(word: &str) -> Arc<str> {
    if word == "." { "".into() } else { word.into() }
}

impl Client {
    fn command(&mut self, line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().collect();
        let has = |flag: &str| words.contains(&flag);
        let (passive, durable, nowait) = (has("passive"), has("durable"), has("nowait"));
        let (auto_delete, exclusive, no_ack) = (has("auto-delete"), has("exclusive"), has("no-ack"));
        let (if_unused, if_empty) = (has("if-unused"), has("if-empty"));
        let arguments = arguments(&words);
        match words.as_slice() {
            ["channel.open"] => Command::OpenChannel,
            ["channel.close"] => Command::CloseChannel,
            ["exchange.declare", exchange, kind, ..] => Command::DeclareExchange {
                name: name(exchange),
                kind: name(kind),
                passive,
                durable,
                auto_delete,
                internal: has("internal"),
                nowait,
                arguments,
            },
            ["exchange.delete", exchange, ..] => {
                Command::DeleteExchange { name: name(exchange), if_unused, nowait }
            }
            [method @ ("exchange.bind" | "exchange.unbind"), destination, source, key, ..] => {
                Command::BindExchange {
                    add: *method == "exchange.bind",
                    destination: name(destination),
                    source: name(source),
                    binding_key: name(key),
                    nowait,
                    arguments,
                    topic_refusal: None,
                }
            }
            ["queue.declare", queue, ..] => {
                let name = name(queue);
                Command::DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments }
            }
            ["queue.delete", queue, ..] => {
                Command::DeleteQueue { name: name(queue), if_unused, if_empty, nowait }
            }
            [method @ ("queue.bind" | "queue.unbind"), queue, exchange, key, ..] => Command::BindQueue {
                add: *method == "queue.bind",
                queue: name(queue),
                exchange: name(exchange),
                binding_key: name(key),
                nowait,
                arguments,
                topic_refusal: None,
            },
            ["queue.purge", queue, ..] => Command::PurgeQueue { name: name(queue), nowait },
            ["qos", count, ..] => {
                Command::Qos { prefetch_count: count.parse().unwrap(), global: has("global") }
            }
            ["consume", queue, tag, ..] => {
                Command::Consume { queue: name(queue), tag: name(tag), no_ack, exclusive, nowait, arguments }
            }
            ["cancel", tag, ..] => Command::Cancel { tag: name(tag), nowait },
            ["get", queue, ..] => Command::Get { queue: name(queue), no_ack },
            ["publish", exchange, key, body, ..] => Command::Publish(publish(exchange, key, body, &words)),
            ["recover"] => {
                let kept =
                    |delivery: &(QueueId, Seq)| self.kept.iter().any(|(_, kept)| kept.contains(delivery));
                let out = self.deliveries.iter().filter(|delivery| !kept(delivery)).copied();
                let only = self.transacts.then(|| out.collect());
                if only.is_none() {
                    self.deliveries.iter_mut().for_each(|delivery| delivery.0 = QueueId(0));
                }
                Command::Recover { only, reply: true }
            }
            ["tx.select"] => {
                self.transacts = true;
                Command::TxSelect
            }
            ["tx.commit"] => Command::TxCommit { settles: std::mem::take(&mut self.kept) },
            ["tx.rollback"] => {
                self.kept.clear();
                Command::TxRollback
            }
            ["confirm.select", ..] => Command::ConfirmSelect { nowait },
            [outcome @ ("ack" | "requeue" | "discard"), tags @ ..] => self.settle(outcome, tags),
            _ => panic!("no such command: {line}"),
        }
    }

    fn settle(&mut self, outcome: &str, tags: &[&str]) -> Command {
        let outcome = match outcome {
            "ack" => Outcome::Ack,
            "requeue" => Outcome::Requeue,
            _ => Outcome::Discard,
        };
        let delivery = |tag: &&str| self.deliveries[tag.parse::<usize>().unwrap() - 1];
        let deliveries: Vec<_> = tags.iter().map(delivery).collect();
        if self.transacts {
            self.kept.push((outcome, deliveries));
            return Command::Settle { outcome, deliveries: Vec::new() };
        }
        Command::Settle { outcome, deliveries }
    }

    fn hear(&mut self, notice: Notice) {
        let list = |seqs: &[PublishSeq]| {
            assert!(seqs.is_sorted() && !seqs.is_empty(), "confirms ascend");
            seqs.iter().map(|seq| format!(" {}", seq.0)).collect::<String>()
        };
        let heard = match notice {
            Notice::Reply(reply) => self.reply(reply),
            Notice::ChannelFailed(error, method) => {
                assert_eq!(method.class, self.next_method, "the error names its method");
                format!("failed {error}")
            }
            Notice::ConnectionFailed(error, _) => format!("connection failed {error}"),
            Notice::Deliver(delivery) => {
                self.deliveries.push((delivery.queue, delivery.seq));
                let redelivered = if delivery.redelivered { " redelivered" } else { "" };
                let added = added(&delivery.message);
                format!("deliver {} {}{redelivered}{added}", delivery.tag, body(&delivery.message))
            }
            Notice::Confirmed(seqs) => format!("confirm{}", list(&seqs)),
            Notice::Refused(seqs) => format!("refuse{}", list(&seqs)),
            Notice::Returned { code, text, message } => format!("return {code} {text} {}", body(&message)),
            Notice::ConsumerCancelled { tag } => format!("cancelled {tag}"),
            Notice::TimedOut { tag, timeout_ms } => {
                format!("timed out {} {timeout_ms}", tag.as_deref().unwrap_or("."))
            }
        };
        self.heard.push_back(heard);
    }

    fn reply(&mut self, reply: Reply) -> String {
        match reply {
            Reply::ChannelOpened => "channel.open-ok".into(),
            Reply::ChannelClosed => "channel.close-ok".into(),
            Reply::ExchangeDeclared => "exchange.declare-ok".into(),
            Reply::ExchangeDeleted => "exchange.delete-ok".into(),
            Reply::ExchangeBound => "exchange.bind-ok".into(),
            Reply::ExchangeUnbound => "exchange.unbind-ok".into(),
            Reply::QueueDeclared { name, message_count, consumer_count } => {
                let prefixes = ["amq.gen-", "amq.rabbitmq.reply-to."];
                let generated = prefixes.iter().find(|prefix| name.starts_with(**prefix));
                let name = generated.map_or(&*name, |prefix| &prefix[..prefix.len() - 1]);
                format!("queue.declare-ok {name} {message_count} {consumer_count}")
            }
            Reply::QueueDeleted { message_count } => format!("queue.delete-ok {message_count}"),
            Reply::QueueBound => "queue.bind-ok".into(),
            Reply::QueueUnbound => "queue.unbind-ok".into(),
            Reply::QueuePurged { message_count } => format!("queue.purge-ok {message_count}"),
            Reply::QosSet => "qos-ok".into(),
            Reply::Consuming { tag } => format!("consume-ok {tag}"),
            Reply::Cancelled { tag } => format!("cancel-ok {tag}"),
            Reply::GetOk { queue, seq, redelivered, message_count, message, .. } => {
                self.deliveries.push((queue, seq));
                let redelivered = if redelivered { " redelivered" } else { "" };
                let added = added(&message);
                format!("get-ok {} {message_count}{redelivered}{added}", body(&message))
            }
            Reply::GetEmpty => "get-empty".into(),
            Reply::Recovered => "recover-ok".into(),
            Reply::TxSelected => "tx.select-ok".into(),
            Reply::TxCommitted => "tx.commit-ok".into(),
            Reply::TxRolledBack => "tx.rollback-ok".into(),
            Reply::ConfirmSelected => "confirm.select-ok".into(),
        }
    }
}

fn layer(command: &str) -> PolicyLayer {
    if command.contains("operator") { PolicyLayer::Operator } else { PolicyLayer::User }
}

fn told(effect: Effect) -> String {
    match effect {
        Effect::Detached(connection) => format!("detached {}", connection.0),
        Effect::Event(_) => unreachable!("events go back to the vhost"),
        Effect::Answer(_, AdminReply::Done) => "done".into(),
        Effect::Answer(_, AdminReply::Removed(count)) => format!("removed {count}"),
        Effect::Answer(_, AdminReply::Peeked(_, entries)) => {
            let shown = entries.iter().map(|entry| {
                let body =
                    entry.message.as_ref().map(|message| String::from_utf8_lossy(&message.body).into_owned());
                let mark = if entry.is_redelivered() { "*" } else { "" };
                format!(" {}{mark}", body.unwrap_or_else(|| format!("#{}", entry.seq.0)))
            });
            format!("peeked{}", shown.collect::<String>())
        }
        Effect::Answer(_, AdminReply::Bindings(bindings)) => {
            let shown: String = bindings.iter().map(|binding| format!(" {}", arrow(binding))).collect();
            format!("bindings{shown}")
        }
        Effect::Answer(_, AdminReply::Holds(is_there)) => format!("holds {is_there}"),
        Effect::Answer(_, AdminReply::Refused(why)) => format!("refused {why}"),
        Effect::Answer(_, AdminReply::Seen(seen)) => match *seen {
            Seen::QueueObjects(queues, next) => {
                let shown: String = queues.iter().map(|queue| format!(" {}", queue.name)).collect();
                format!("queues{shown} next {next:?}")
            }
            Seen::ExchangeObjects(exchanges, next) => {
                let shown: String = exchanges.iter().map(|exchange| format!(" {}", exchange.name)).collect();
                format!("exchanges{shown} next {next:?}")
            }
            Seen::Bindings(bindings, _) => {
                let shown: String = bindings.iter().map(|binding| format!(" {}", arrow(binding))).collect();
                format!("bindings{shown}")
            }
            other => format!("{other:?}"),
        },
        Effect::Damaged { queue, first, last, count, .. } => {
            format!("damaged {queue} {first}..={last} {count}")
        }
        Effect::ReadBodies { .. } | Effect::ReadEntries { .. } | Effect::ReadStream { .. } => {
            unreachable!("reads are not told")
        }
    }
}

fn arrow(binding: &BindingObject) -> String {
    format!("{}-{}->{}", binding.source, binding.binding_key, binding.destination)
}

fn body(message: &Message) -> String {
    let text = String::from_utf8_lossy(&message.body);
    if text.len() > 20 { format!("{}...{}", &text[..4], text.len()) } else { text.into_owned() }
}

/// What the broker added to the headers of a message.
fn added(message: &Message) -> String {
    let headers = Properties::new(&message.properties).headers();
    let deaths = match headers.get("x-death") {
        Some(Value::Array(deaths)) => deaths.iter().filter_map(|death| death.as_table()).map(death).collect(),
        _ => Vec::new(),
    };
    let deaths = if deaths.is_empty() { String::new() } else { format!(" [{}]", deaths.join(", ")) };
    let count = headers.get("x-delivery-count").and_then(|count| count.as_i64());
    let count = count.map_or_else(String::new, |count| format!(" x-delivery-count={count}"));
    let delay = headers.get("x-delay").and_then(|delay| delay.as_i64());
    deaths + &count + &delay.map_or_else(String::new, |delay| format!(" x-delay={delay}"))
}

fn death(death: Fields<'_>) -> String {
    let text = |name| death.get(name).and_then(|value| value.as_str()).unwrap();
    format!("{} {} {}", text("reason"), text("queue"), death.get("count").unwrap().as_i64().unwrap())
}

/// `x-name=5`, `x-name=text`, `x-name=true`, `x-name=time:1005` (a timestamp, in seconds).
fn arguments(words: &[&str]) -> Table {
    let pairs: Vec<_> = words.iter().filter_map(|word| word.split_once('=')).collect();
    let pairs: Vec<_> = pairs.into_iter().filter(|(name, _)| !name.starts_with("h-")).map(pair).collect();
    Table::from_pairs(&pairs)
}

fn pair<'a>((name, value): (&'a str, &'a str)) -> (&'a str, Value<'a>) {
    let value = match (value, value.parse()) {
        (_, Ok(number)) => Value::I32(number),
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        (text, _) => match text.strip_prefix("time:") {
            Some(seconds) => Value::Timestamp(seconds.parse().unwrap()),
            None => Value::text(text),
        },
    };
    (name, value)
}

/// A header that is an array of texts, as bytes of a table.
fn array<'a>(name: &str, texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let values: Vec<u8> = texts
        .flat_map(|text| {
            [b"S", &u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
        })
        .collect();
    let length = u32::try_from(values.len()).unwrap().to_be_bytes();
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), b"A", &length, &values].concat()
}

/// `#5` is the publish seq; `priority=5` the message's; `expires=100` its expiration; `for-reply` asks for direct replies;
/// `h-name=value` a header, `CC=a,b` and `BCC=a` are further
/// keys; a body `x*1000` is a thousand times x.
fn publish(exchange: &str, key: &str, body: &str, words: &[&str]) -> Publish {
    let headers: Vec<_> =
        words.iter().filter_map(|word| word.strip_prefix("h-")?.split_once('=')).map(pair).collect();
    let mut headers = Table::from_pairs(&headers).as_bytes().to_vec();
    for (name, keys) in words.iter().filter_map(|word| word.split_once('=')) {
        if matches!(name, "CC" | "BCC") {
            headers.extend(array(name, keys.split(',')));
        }
    }
    let headers = Table::from_wire(&headers).unwrap();
    let wants_reply = words.contains(&"for-reply");
    let priority = words.iter().find_map(|word| word.strip_prefix("priority=")?.parse().ok());
    let reply_to = wants_reply.then_some(DIRECT_REPLY_TO);
    let expiration = words.iter().find_map(|word| word.strip_prefix("expires="));
    let headers = Some(headers);
    let properties =
        PropertyList { headers, reply_to, priority, expiration, ..PropertyList::default() }.encode();
    let properties = Properties::new(&properties).admit().unwrap().unwrap_or(properties);
    let body = match body.split_once('*') {
        Some((text, count)) => text.repeat(count.parse().unwrap()),
        None => body.into(),
    };
    let message = Message {
        exchange: name(exchange),
        routing_key: name(key),
        properties,
        body: Bytes::from(body),
        persistent: words.contains(&"persistent"),
        dead_lettered: false,
        holders: Holders::default(),
    };
    let publish_seq = words.iter().find_map(|word| word.strip_prefix('#'));
    Publish {
        message: Arc::new(message),
        publish_seq: publish_seq.map(|seq| PublishSeq(seq.parse().unwrap())),
        mandatory: words.contains(&"mandatory"),
        wants_reply,
        topic_refusal: None,
    }
}
