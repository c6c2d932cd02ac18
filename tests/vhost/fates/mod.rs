//! Random lives of messages against an oracle: queues declared in any way (times to live, lengths and what gives way,
//! priorities, delivery limits, streams), whose dead go to any other queue, in circles too; and stops and crashes. After each
//! step every queue holds what the oracle says, each message with its deaths, and so does the log.
//! A failing seed is printed; `LEDGERMQ_SEED=n` replays it, `LEDGERMQ_SEEDS=n` runs as many.

mod oracle;

use super::memory_log::MemoryLog;
use super::simulation::{Random, ShowSeed, seeds};
use bytes::Bytes;
use ledgermq::budget::Budget;
use ledgermq::definitions::Definition;
use ledgermq::message::{Holders, Message};
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use ledgermq::vhost::command::{
    ChannelKey, Command, ConnectionId, Envelope, MethodId, Notice, Outcome, Publish, PublishSeq, Reply,
};
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{Effect, Effects, Input};
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig};
use ledgermq_storage::{QueueId, Seq};
use oracle::{Deaths, Full, Handed, Oracle, Rules};
use std::collections::VecDeque;
use std::sync::Arc;

const STEPS: usize = 250;
/// In the order of their names, which is also the order in which a start finds them.
const QUEUES: [&str; 5] = ["a", "b", "c", "d", "e"];
const STREAM: &str = "s";
const START_UNIX_MS: u64 = 1_700_000_000_000;

#[test]
fn whatever_becomes_of_messages_the_oracle_knew() {
    for seed in seeds(120) {
        let shown = ShowSeed(seed);
        World::new(seed).run();
        std::mem::forget(shown);
    }
}

/// A delivery nobody has settled.
struct Held {
    name: &'static str,
    number: u64,
    place: (QueueId, Seq),
}

/// What a get was answered with.
enum Got {
    Nothing,
    Message(Handed, (QueueId, Seq)),
}

struct World {
    random: Random,
    config: VhostConfig,
    vhost: Vhost,
    log: MemoryLog,
    now: Now,
    oracle: Oracle,
    rules: Vec<(&'static str, Rules)>,
    held: Vec<Held>,
    next_number: u64,
    /// Two queues let go of something at once, in whatever order: the oracle cannot say more.
    is_open: bool,
    /// What the broker said last.
    answer: Option<bool>,
    got: Option<Got>,
}

/// Rules in no particular spirit.
fn draw_rules(random: &mut Random) -> Vec<(&'static str, Rules)> {
    let mut rules = Vec::new();
    for name in QUEUES {
        let targets = [QUEUES.as_slice(), &[STREAM]].concat();
        let is_counting = random.chance(30);
        rules.push((
            name,
            Rules {
                ttl_ms: random.chance(40).then(|| 1 + random.below(300)),
                length_max: random.chance(50).then(|| random.below(6)),
                full: if random.chance(60) {
                    Full::DropHead
                } else {
                    random.pick(&[Full::Reject, Full::RejectToDead])
                },
                dead: random.chance(80).then(|| random.pick(&targets).to_owned()),
                priority_max: if random.chance(40) { 3 } else { 0 },
                delivery_limit: is_counting.then(|| random.below(3)),
                is_counting,
                is_stream: false,
            },
        ));
    }
    let stream = Rules {
        ttl_ms: None,
        length_max: None,
        full: Full::DropHead,
        dead: None,
        priority_max: 0,
        delivery_limit: None,
        is_counting: false,
        is_stream: true,
    };
    rules.push((STREAM, stream));
    rules
}

fn declare(name: &str, rules: &Rules) -> Command {
    let mut pairs = Vec::new();
    let number = |number: u64| Value::I64(number.cast_signed());
    pairs.extend(rules.ttl_ms.map(|ms| ("x-message-ttl", number(ms))));
    pairs.extend(rules.length_max.map(|max| ("x-max-length", number(max))));
    pairs.extend(match rules.full {
        Full::DropHead => None,
        Full::Reject => Some(("x-overflow", Value::text("reject-publish"))),
        Full::RejectToDead => Some(("x-overflow", Value::text("reject-publish-dlx"))),
    });
    if let Some(dead) = &rules.dead {
        pairs.push(("x-dead-letter-exchange", Value::text("")));
        pairs.push(("x-dead-letter-routing-key", Value::text(dead)));
    }
    pairs.extend((rules.priority_max > 0).then_some(("x-max-priority", Value::U8(rules.priority_max))));
    pairs.extend(rules.delivery_limit.map(|limit| ("x-delivery-limit", number(limit))));
    pairs.extend(rules.is_stream.then_some(("x-queue-type", Value::text("stream"))));
    Command::DeclareQueue {
        name: name.into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: true,
        arguments: Table::from_pairs(&pairs),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let rules = draw_rules(&mut random);
        let config = VhostConfig {
            name: "/".into(),
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: 0,
            // Bodies stay in memory: else the order in which letters leave depends on what was read first.
            budget: Budget::new(1 << 20),
            names_seed: [0; 32],
            events: EventTap::default(),
        };
        let mut oracle = Oracle::new(rules.iter().map(|(name, rules)| ((*name).to_owned(), rules.clone())));
        oracle.now_ms = START_UNIX_MS;
        let mut world = Self {
            vhost: Vhost::new(config.clone()),
            log: MemoryLog::new(random.pick(&[300, 2000, 100_000])),
            config,
            now: Now { monotonic_ms: 0, unix_ms: START_UNIX_MS },
            random,
            oracle,
            rules,
            held: Vec::new(),
            next_number: 0,
            is_open: false,
            answer: None,
            got: None,
        };
        world.connect();
        for at in 0..world.rules.len() {
            let (name, rules) = &world.rules[at];
            let command = declare(name, rules);
            world.say(command);
        }
        world
    }

    fn connect(&mut self) {
        self.apply(Input::Attach(ConnectionId(1)));
        self.say(Command::OpenChannel);
    }

    fn run(mut self) {
        for step in 0..STEPS {
            match self.random.below(100) {
                0..40 => self.publish(),
                40..60 => self.get(),
                60..78 => self.settle(),
                78..94 => {
                    let ms = 1 + self.random.below(120);
                    self.pass(ms);
                }
                94..95 => self.purge(),
                _ => self.restart(),
            }
            if self.is_open || self.oracle.is_open {
                return;
            }
            self.check_counts();
            if step % 8 == 0 {
                self.check_log();
            }
        }
        self.check_log();
        for name in QUEUES {
            while !self.oracle.is_open && self.get_from(name) {}
        }
        self.check_counts();
    }

    fn publish(&mut self) {
        let name = self.random.pick(&QUEUES);
        self.next_number += 1;
        let number = self.next_number;
        let (persistent, priority) = (self.random.chance(80), self.random.below(6) as u8);
        let lives_ms = self.random.chance(30).then(|| self.random.below(200));
        while let Some(at_ms) = self.oracle.would_expire(name, lives_ms)
            && self.oracle.expires_elsewhere(name, at_ms)
            && !self.is_open
            && !self.oracle.is_open
        {
            self.pass(1);
        }
        if self.is_open || self.oracle.is_open {
            return;
        }
        let message = oracle::Message::new(number, persistent, priority, lives_ms);
        let is_confirmed = self.oracle.publish(name, message);
        let expiration = lives_ms.map(|ms| ms.to_string());
        let properties = PropertyList {
            priority: Some(priority),
            expiration: expiration.as_deref(),
            ..PropertyList::default()
        };
        let width = self.random.pick(&[3, 50]);
        let message = Message {
            exchange: "".into(),
            routing_key: name.into(),
            properties: properties.encode(),
            body: Bytes::from(format!("{number:.<width$}")),
            persistent,
            dead_lettered: false,
            holders: Holders::default(),
        };
        self.answer = None;
        self.say(Command::Publish(Publish {
            message: Arc::new(message),
            publish_seq: Some(PublishSeq(number)),
            mandatory: false,
            wants_reply: false,
            topic_refusal: None,
        }));
        assert_eq!(self.answer, Some(is_confirmed), "{number} to {name}");
    }

    fn get(&mut self) {
        let name = self.random.pick(&QUEUES);
        self.get_from(name);
    }

    /// Answers whether there was a message.
    fn get_from(&mut self, name: &'static str) -> bool {
        let expected = self.oracle.get(name);
        self.got = None;
        self.say(Command::Get { queue: name.into(), no_ack: false });
        let (handed, place) = match self.got.take().expect("an answer") {
            Got::Nothing => (None, None),
            Got::Message(handed, place) => (Some(handed), Some(place)),
        };
        assert_eq!(handed, expected, "from {name}");
        let (Some(Handed { number, .. }), Some(place)) = (handed, place) else { return false };
        self.held.push(Held { name, number, place });
        true
    }

    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.random.below(self.held.len() as u64) as usize;
        let Held { name, number, place } = self.held.swap_remove(at);
        let outcome = self.random.pick(&[Outcome::Ack, Outcome::Requeue, Outcome::Discard]);
        match outcome {
            Outcome::Ack => self.oracle.ack(name, number),
            Outcome::Requeue => self.oracle.requeue(name, number),
            Outcome::Discard => self.oracle.reject(name, number),
        }
        self.say(Command::Settle { outcome, deliveries: vec![place] });
    }

    /// Time passes, expiry by expiry.
    fn pass(&mut self, ms: u64) {
        let until_ms = self.now.unix_ms + ms;
        while self.now.unix_ms < until_ms {
            let next = self.oracle.next_expiry();
            if next.is_some_and(|(at_ms, are_several)| are_several && at_ms <= until_ms) {
                self.is_open = true;
                return;
            }
            let to_ms = next.map_or(until_ms, |(at_ms, _)| at_ms.clamp(self.now.unix_ms + 1, until_ms));
            self.now.monotonic_ms += to_ms - self.now.unix_ms;
            self.now.unix_ms = to_ms;
            self.oracle.pass(to_ms);
            self.apply(Input::Tick);
            if self.oracle.is_open {
                return;
            }
            self.check_counts();
        }
    }

    fn purge(&mut self) {
        let name = self.random.pick(&QUEUES);
        self.oracle.purge(name);
        self.say(Command::PurgeQueue { name: name.into(), nowait: true });
    }

    fn restart(&mut self) {
        let is_clean = self.random.chance(50);
        let mut restarted = self.oracle.clone();
        if !restarted.restart(is_clean) {
            return;
        }
        self.oracle = restarted;
        if is_clean {
            self.apply(Input::Shutdown);
            self.log.restart(true);
        } else {
            self.log.crash(0);
        }
        self.held.clear();
        let replayed = self.log.replay();
        let definitions =
            replayed.definitions.iter().map(|(key, value)| Definition::decode(key, value).unwrap());
        self.vhost =
            Vhost::restore(self.config.clone(), definitions, replayed.queues, replayed.clean).unwrap();
        self.now.monotonic_ms = 0;
        self.apply(Input::Progress(self.log.progress));
        self.connect();
    }

    fn say(&mut self, command: Command) {
        let channel = ChannelKey { connection: ConnectionId(1), number: 1, life: 1 };
        let method = MethodId::default();
        self.apply(Input::Commands(vec![Envelope { channel, method, command }]));
    }

    /// One input, and all that follows from it: the log syncs, the disk answers.
    fn apply(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        loop {
            while let Some(input) = inputs.pop_front() {
                self.log.unix_ms = self.now.unix_ms;
                let mut effects = Effects::default();
                self.vhost.apply(input, self.now, &mut self.log, &mut effects);
                effects.notices.into_iter().for_each(|addressed| self.hear(addressed.notice));
                for effect in effects.effects {
                    match effect {
                        Effect::ReadBodies { .. } | Effect::ReadEntries { .. } => {
                            // Only what is durable can be read.
                            let progress = self.log.sync(usize::MAX);
                            inputs.push_back(Input::Progress(progress));
                            inputs.push_back(self.log.answer(effect));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            if self.log.pending_count() == 0 {
                return;
            }
            let progress = self.log.sync(usize::MAX);
            inputs.push_back(Input::Progress(progress));
        }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Confirmed(seqs) => {
                assert_eq!(seqs, [PublishSeq(self.next_number)]);
                self.answer = Some(true);
            }
            Notice::Refused(seqs) => {
                assert_eq!(seqs, [PublishSeq(self.next_number)]);
                self.answer = Some(false);
            }
            Notice::Reply(Reply::GetOk { queue, seq, redelivered, message, .. }) => {
                let (number, deaths) = told(&message);
                let headers = Properties::new(&message.properties).headers();
                let returns = headers.get("x-delivery-count").and_then(|count| count.as_i64());
                let returns = returns.map_or(0, i64::cast_unsigned);
                self.got = Some(Got::Message(Handed { number, redelivered, returns, deaths }, (queue, seq)));
            }
            Notice::Reply(Reply::GetEmpty) => self.got = Some(Got::Nothing),
            Notice::Reply(Reply::ChannelOpened) => {}
            other => panic!("{other:?}"),
        }
    }

    fn check_counts(&self) {
        if self.oracle.is_open {
            return;
        }
        for queue in self.vhost.report().queues {
            let counted = (queue.messages_ready, queue.messages_unacknowledged);
            assert_eq!(counted, self.oracle.counts(&queue.name), "{}", queue.name);
        }
    }

    fn check_log(&self) {
        for (name, messages) in self.log.contents() {
            let logged: Vec<_> = messages.iter().map(|message| told(message)).collect();
            assert_eq!(logged, self.oracle.logged(&name), "{name}");
        }
    }
}

/// What a message says of itself: its number and its deaths.
fn told(message: &Message) -> (u64, Deaths) {
    let text = String::from_utf8_lossy(&message.body);
    let number = text.trim_end_matches('.').parse().unwrap();
    let headers = Properties::new(&message.properties).headers();
    let Some(Value::Array(deaths)) = headers.get("x-death") else { return (number, Vec::new()) };
    let deaths = deaths.iter().map(|death| {
        let death = death.as_table().unwrap();
        let text = |name| death.get(name).and_then(|value| value.as_str()).unwrap().to_owned();
        (text("reason"), text("queue"), death.get("count").and_then(|count| count.as_i64()).unwrap())
    });
    (number, deaths.collect())
}
