//! Power cuts under a whole vhost, on the real store and a simulated disk: messages with priorities, delays and times to
//! live, full queues, rejections and delivery limits move from queue to queue by dead-lettering, while the power fails in
//! the middle of any operation of the disk. After each recovery every confirmed message that nobody settled is in exactly
//! one place, the source queue or the one its letter went to; a second crash during or after the recovery changes nothing,
//! and neither does a start without any index.
//! A failing seed is printed; `LEDGERMQ_SEED=n` replays it, `LEDGERMQ_SEEDS=n` runs as many.
//!
//! ```text
//!   later ─(time)─► a ─(expired, maxlen, rejected)──────────┐
//!                   p ─(expired, rejected; has priorities)──┤                ┌─► sink
//!                   q ─(delivery limit, rejected)───────────┼─► b ─► dead ───┤
//!                   r ─(maxlen: refused, rejected)──────────┘  (maxlen,      └─► s, a stream
//!                                                               rejected)
//! ```

mod places;
mod store_log;

use super::simulation::{Random, ShowSeed, seeds};
use bytes::Bytes;
use ledgermq::budget::Budget;
use ledgermq::definitions::Definition;
use ledgermq::message::{Holders, Message};
use ledgermq::protocol::properties::PropertyList;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use ledgermq::server::WalLog;
use ledgermq::vhost::command::{
    ChannelKey, Command, ConnectionId, Envelope, MethodId, Notice, Outcome, Publish, PublishSeq, Reply,
};
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{Effect, Effects, Input, LogProgress};
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig};
use ledgermq_storage::{QueueId, Reader, Recovered, Seq, SimDisk, Store};
use places::{Known, Places, SINK, STREAM};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use store_log::{GROUP, answer, open, progress, remove_index};

const LIVES: usize = 5;
const STEPS: u64 = 250;
const SOURCES: [&str; 6] = ["a", "p", "q", "r", "b", "later"];
const CONSUMED: [&str; 6] = ["a", "p", "q", "r", "b", SINK];

#[test]
fn a_confirmed_message_is_in_exactly_one_place_after_any_power_cut() {
    for seed in seeds(40) {
        let shown = ShowSeed(seed);
        let mut house = House::new(seed);
        for _ in 0..LIVES {
            house.live();
            house = house.die();
        }
        std::mem::forget(shown);
    }
}

/// A delivery that nobody has settled yet.
struct Held {
    queue: QueueId,
    seq: Seq,
    name: String,
    number: u64,
}

/// A broker of one vhost, with one client that publishes and gets.
struct House {
    random: Random,
    disk: SimDisk,
    store: Store,
    log: WalLog,
    reader: Reader,
    config: VhostConfig,
    vhost: Vhost,
    now: Now,
    progress: LogProgress,
    reads: VecDeque<Effect>,
    awaits: Option<String>,
    held: Vec<Held>,
    next_number: u64,
    unconfirmed: BTreeMap<u64, u64>,
    known: BTreeMap<u64, Known>,
}

impl House {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let disk = SimDisk::new();
        let (store, recovered) = open(&disk, random.next());
        let budget = Budget::new(random.pick(&[0, 3000, 1 << 20]));
        let config = VhostConfig {
            name: "/".into(),
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: 0,
            budget,
            names_seed: [0; 32],
            events: EventTap::default(),
        };
        let mut house = Self::begin(random, disk, store, recovered, config, BTreeMap::new(), 0);
        house.declare();
        house
    }

    fn begin(
        random: Random,
        disk: SimDisk,
        store: Store,
        recovered: Recovered,
        config: VhostConfig,
        known: BTreeMap<u64, Known>,
        unix_ms: u64,
    ) -> Self {
        let own = |group| group == GROUP;
        let definitions = recovered.definitions.iter().filter(|(group, ..)| own(*group));
        let definitions = definitions.map(|(_, key, value)| Definition::decode(key, value).unwrap());
        let definitions: Vec<_> = definitions.collect();
        let queues = recovered.queues.into_iter().filter(|queue| own(queue.group));
        let vhost = Vhost::restore(config.clone(), definitions, queues, recovered.clean).unwrap();
        let mut house = Self {
            random,
            log: WalLog::new(store.wal(), GROUP),
            reader: store.reader(),
            disk,
            store,
            config,
            vhost,
            now: Now { monotonic_ms: 0, unix_ms },
            progress: LogProgress::default(),
            reads: VecDeque::new(),
            awaits: None,
            held: Vec::new(),
            next_number: known.keys().next_back().map_or(1, |last| last + 1),
            unconfirmed: BTreeMap::new(),
            known,
        };
        house.apply(Input::Attach(ConnectionId(1)));
        house.say(Command::OpenChannel);
        house
    }

    fn declare(&mut self) {
        let dlx = ("x-dead-letter-exchange", Value::text(""));
        let to_b = ("x-dead-letter-routing-key", Value::text("b"));
        let (ttl, length) = (|ms| ("x-message-ttl", Value::I32(ms)), |max| ("x-max-length", Value::I32(max)));
        let quorum = ("x-queue-type", Value::text("quorum"));
        let refuse = ("x-overflow", Value::text("reject-publish-dlx"));
        for (name, arguments) in [
            ("a", vec![dlx, to_b, ttl(400), length(6)]),
            ("p", vec![dlx, to_b, ttl(600), ("x-max-priority", Value::I32(3))]),
            ("q", vec![quorum, dlx, to_b, ("x-delivery-limit", Value::I32(1))]),
            ("r", vec![dlx, to_b, length(3), refuse]),
            ("b", vec![("x-dead-letter-exchange", Value::text("dead")), length(5)]),
            (SINK, vec![]),
            (STREAM, vec![("x-queue-type", Value::text("stream"))]),
        ] {
            self.say(Command::DeclareQueue {
                name: name.into(),
                passive: false,
                durable: true,
                exclusive: false,
                auto_delete: false,
                nowait: true,
                arguments: Table::from_pairs(&arguments),
            });
        }
        let delayed = Table::from_pairs(&[("x-delayed-type", Value::text("fanout"))]);
        for (name, kind, arguments) in
            [("dead", "fanout", Table::default()), ("later", "x-delayed-message", delayed)]
        {
            self.say(Command::DeclareExchange {
                name: name.into(),
                kind: kind.into(),
                passive: false,
                durable: true,
                auto_delete: false,
                internal: false,
                nowait: true,
                arguments,
            });
        }
        for (queue, exchange) in [(SINK, "dead"), (STREAM, "dead"), ("a", "later")] {
            self.say(Command::BindQueue {
                add: true,
                queue: queue.into(),
                exchange: exchange.into(),
                binding_key: "".into(),
                nowait: true,
                arguments: Table::default(),
                topic_refusal: None,
            });
        }
        // Until all of it is durable: the power may fail from then on.
        for _ in 0..10 {
            self.sync();
        }
    }

    /// Some random steps, until the power fails or they are done.
    fn live(&mut self) {
        if self.random.chance(70) {
            self.disk.crash_at(1 + self.random.below(400));
        }
        for _ in 0..STEPS {
            self.step();
            if self.disk.is_off() {
                break;
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..38 => self.publish(),
            38..52 => self.get(),
            52..64 => self.settle(),
            64..72 => {
                let ms = self.random.below(150);
                self.pass(ms);
            }
            72..88 => self.sync(),
            _ => {
                if let Some(read) = self.reads.pop_front() {
                    let answer = answer(&self.reader, read);
                    self.apply(answer);
                }
            }
        }
    }

    fn publish(&mut self) {
        let number = self.next_number;
        self.next_number += 1;
        self.known.insert(number, Known::default());
        self.unconfirmed.insert(number, number);
        let to = self.random.pick(&SOURCES);
        let (exchange, routing_key) = if to == "later" { ("later", "") } else { ("", to) };
        let delay = Table::from_pairs(&[("x-delay", Value::I32(1 + self.random.below(500) as i32))]);
        let expiration = self.random.below(800).to_string();
        let properties = PropertyList {
            headers: (to == "later").then_some(delay),
            priority: self.random.chance(60).then(|| self.random.below(5) as u8),
            // Only where the message may die of it.
            expiration: (matches!(to, "a" | "p") && self.random.chance(30)).then_some(&*expiration),
            ..PropertyList::default()
        };
        let width = self.random.pick(&[8, 100, 2000]);
        let message = Message {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            properties: properties.encode(),
            body: Bytes::from(format!("{number:.<width$}")),
            persistent: true,
            dead_lettered: false,
            holders: Holders::default(),
        };
        self.say(Command::Publish(Publish {
            message: Arc::new(message),
            publish_seq: Some(PublishSeq(number)),
            mandatory: false,
            wants_reply: false,
            topic_refusal: None,
        }));
    }

    fn get(&mut self) {
        if self.awaits.is_none() {
            let queue = self.random.pick(&CONSUMED);
            self.awaits = Some(queue.to_owned());
            self.say(Command::Get { queue: queue.into(), no_ack: false });
        }
    }

    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.random.below(self.held.len() as u64) as usize;
        let Held { queue, seq, name, number } = self.held.swap_remove(at);
        let outcome = self.random.pick(&[Outcome::Ack, Outcome::Requeue, Outcome::Discard, Outcome::Discard]);
        if outcome == Outcome::Ack || outcome == Outcome::Discard && name == SINK {
            self.known.get_mut(&number).unwrap().is_settled = true;
        }
        self.say(Command::Settle { outcome, deliveries: vec![(queue, seq)] });
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        while self.vhost.next_deadline().is_some_and(|at_ms| at_ms <= self.now.monotonic_ms)
            && self.random.chance(95)
        {
            self.apply(Input::Tick);
        }
    }

    /// The store does what is due; if the power fails meanwhile, nobody hears of it.
    fn sync(&mut self) {
        self.now.monotonic_ms += 11;
        self.now.unix_ms += 11;
        if self.store.step(self.now.monotonic_ms).is_ok() && !self.disk.is_off() {
            let progress = progress(&self.store);
            if progress != self.progress {
                self.progress = progress;
                self.apply(Input::Progress(progress));
            }
        }
    }

    fn say(&mut self, command: Command) {
        let channel = ChannelKey { connection: ConnectionId(1), number: 1, life: 1 };
        let method = MethodId::default();
        self.apply(Input::Commands(vec![Envelope { channel, method, command }]));
    }

    fn apply(&mut self, input: Input) {
        let mut effects = Effects::default();
        self.vhost.apply(input, self.now, &mut self.log, &mut effects);
        for addressed in effects.notices {
            match addressed.notice {
                Notice::Confirmed(seqs) => {
                    for seq in seqs {
                        let number = self.unconfirmed.remove(&seq.0).expect("answered once");
                        self.known.get_mut(&number).unwrap().is_safe = true;
                    }
                }
                Notice::Refused(seqs) => {
                    for seq in seqs {
                        // Its letter may be in b all the same.
                        self.unconfirmed.remove(&seq.0).expect("answered once");
                    }
                }
                Notice::Reply(Reply::GetOk { queue, seq, message, .. }) => {
                    let name = self.awaits.take().expect("asked for");
                    let text = String::from_utf8_lossy(&message.body);
                    let number = text.trim_end_matches('.').parse().unwrap();
                    self.held.push(Held { queue, seq, name, number });
                }
                Notice::Reply(Reply::GetEmpty) => self.awaits = None,
                Notice::Reply(Reply::ChannelOpened) => {}
                other => panic!("{other:?}"),
            }
        }
        for effect in effects.effects {
            match effect {
                Effect::ReadBodies { .. } | Effect::ReadEntries { .. } => self.reads.push_back(effect),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The end of a life by a power cut, the death of the process or a clean stop, and the recovery from it.
    fn die(mut self) -> Self {
        let mut is_clean = !self.disk.is_off() && self.random.chance(25);
        let seed = self.random.next();
        let disk = if is_clean {
            self.apply(Input::Shutdown);
            let stopped = self.store.shutdown();
            assert!(stopped.is_ok() || self.disk.is_off(), "only a power cut keeps it from stopping");
            is_clean = stopped.is_ok();
            self.disk.crash(seed)
        } else if self.random.chance(30) {
            self.disk.kill()
        } else {
            self.disk.crash(seed)
        };
        let mut known = self.known;
        let (places, counts) = recover(&disk, seed, &self.config);
        places.check(&known);
        for (queue, count) in counts {
            assert_eq!(count, places.count(&queue), "{queue}: the vhost counts what the store holds");
        }
        // Whatever the index says the log says alone.
        let without_index = disk.crashed_copy(seed);
        remove_index(&without_index);
        assert_eq!(recover(&without_index, seed, &self.config).0, places, "without an index");
        // Again, and the power fails during it.
        let mut disk = disk;
        for again in 0..2 {
            let (store, recovered) = open(&disk, seed + again);
            assert_eq!(Places::read(&recovered, &store.reader()), places, "again");
            drop(store);
            disk = disk.crash(seed + again);
        }
        let (store, recovered) = open(&disk, seed);
        assert_eq!(Places::read(&recovered, &store.reader()), places, "after a crash of the recovered");
        // What is there now is there for good, and what is not is gone for good.
        let there: Vec<u64> = places.0.values().flatten().map(|found| found.number).collect();
        for (number, known) in &mut known {
            let is_there = there.contains(number) && places.is_in_a_queue(*number);
            assert!(
                !is_clean || known.is_settled != is_there || !known.is_safe,
                "{number} after a clean stop: {known:?}, there {is_there}"
            );
            *known = Known { is_safe: is_there, is_settled: !is_there, is_gone: !is_there };
        }
        let unix_ms = self.now.unix_ms;
        Self::begin(self.random, disk, store, recovered, self.config, known, unix_ms)
    }
}

impl Places {
    fn is_in_a_queue(&self, number: u64) -> bool {
        let mut queues = self.0.iter().filter(|(queue, _)| *queue != STREAM);
        queues.any(|(_, found)| found.iter().any(|message| message.number == number))
    }
}

/// What a start finds on this disk: the messages, and how many of them the vhost counts in each queue.
fn recover(disk: &SimDisk, seed: u64, config: &VhostConfig) -> (Places, Vec<(String, u64)>) {
    let (store, recovered) = open(disk, seed);
    let places = Places::read(&recovered, &store.reader());
    let definitions = recovered.definitions.iter().filter(|(group, ..)| *group == GROUP);
    let definitions = definitions.map(|(_, key, value)| Definition::decode(key, value).unwrap());
    let vhost = Vhost::restore(config.clone(), definitions, recovered.queues, recovered.clean).unwrap();
    let counts = vhost.report().queues.into_iter().map(|queue| (queue.name, queue.messages_ready));
    (places, counts.collect())
}
