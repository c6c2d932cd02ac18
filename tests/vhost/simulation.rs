//! Random operations of many channels against the model: the log lags, reads answer late, bodies and entries leave memory
//! all the time, the process stops and dies. A failing seed is printed; `LEDGERMQ_SEED=n` replays it,
//! `LEDGERMQ_SEEDS=n` runs as many.

use super::memory_log::MemoryLog;
use super::model::{At, Consumer, Holder, Model, PRIORITY_MAX, said_priority};
use bytes::Bytes;
use ledgermq::budget::Budget;
use ledgermq::definitions::Definition;
use ledgermq::message::{Holders, Message};
use ledgermq::protocol::properties::PropertyList;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use ledgermq::vhost::command::{
    ChannelKey, Command, ConnectionId, Envelope, MethodId, Notice, Outcome, Publish, PublishSeq, Reply,
};
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{Effect, Effects, Input};
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig};
use ledgermq_storage::{Lsn, QueueId, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::ops::Range;
use std::sync::Arc;

const STEPS: usize = 600;
const PUBLISHERS: [At; 2] = [(1, 1), (2, 1)];
const CONSUMERS: [At; 3] = [(1, 2), (2, 2), (3, 1)];
const GETTERS: [At; 2] = [(2, 3), (3, 2)];
/// `t` is transient, `p` has priorities.
const QUEUES: [&str; 4] = ["a", "b", "t", "p"];
const DURABLE: [&str; 3] = ["a", "b", "p"];

#[test]
fn random_operations_agree_with_the_model() {
    for seed in seeds(150) {
        let shown = ShowSeed(seed);
        World::new(seed).run();
        std::mem::forget(shown);
    }
}

/// The seed that is to be replayed, or the first `count`, or as many as are asked for.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("LEDGERMQ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LEDGERMQ_SEEDS").unwrap_or(count),
    }
}

/// Says which seed it was, unless it is forgotten.
pub(crate) struct ShowSeed(pub(crate) u64);

impl Drop for ShowSeed {
    fn drop(&mut self) {
        println!("replay with LEDGERMQ_SEED={}", self.0);
    }
}

/// splitmix64
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// What a channel is doing.
#[derive(Default)]
struct Client {
    life: u32,
    /// Waits for a reply before it says anything else; a get knows its queue.
    awaits: Option<String>,
    transacts: bool,
    /// The open transaction: publishes and settlements.
    kept: Vec<(String, u64, bool)>,
    settles: Vec<(Outcome, Vec<(String, u64)>)>,
    next_publish: u64,
    unconfirmed: BTreeMap<u64, u64>,
}

struct World {
    random: Random,
    config: VhostConfig,
    vhost: Vhost,
    log: MemoryLog,
    model: Model,
    clients: BTreeMap<At, Client>,
    attached: BTreeSet<u64>,
    places: BTreeMap<(String, u64), (QueueId, Seq)>,
    reads: VecDeque<Effect>,
    next_body: u64,
    next_tag: u64,
    /// Where the message with this body was logged.
    logged: BTreeMap<u64, Lsn>,
    confirmed: BTreeSet<u64>,
    /// Durable messages somebody settled or purged: they may be gone, or come back after a crash.
    settled: BTreeSet<(String, u64)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let budget = Budget::new(random.pick(&[0, 300, 2000, 1 << 20]));
        let config = VhostConfig {
            name: "/".into(),
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: 0,
            budget,
            names_seed: [0; 32],
            events: EventTap::default(),
        };
        let mut world = Self {
            vhost: Vhost::new(config.clone()),
            log: MemoryLog::new(random.pick(&[200, 1000, 100_000])),
            config,
            random,
            model: Model::default(),
            clients: BTreeMap::new(),
            attached: BTreeSet::new(),
            places: BTreeMap::new(),
            reads: VecDeque::new(),
            next_body: 0,
            next_tag: 0,
            logged: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            settled: BTreeSet::new(),
        };
        world.declare();
        world
    }

    fn run(&mut self) {
        for step in 0..STEPS {
            self.step();
            if step % 10 == 0 {
                self.check_counts();
            }
            if step % 100 == 99 {
                self.settle_down();
            }
        }
        self.drain();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.publish(),
            30..38 => self.consume(),
            38..60 => self.settle(),
            60..66 => self.get(),
            66..70 => self.transaction(),
            70..73 => self.channel_event(),
            73..74 => self.purge(),
            74..84 => {
                let progress = self.log.sync(self.random.below(5) as usize);
                self.apply(Input::Progress(progress));
            }
            84..98 => {
                if let Some(read) = self.reads.pop_front() {
                    let answer = self.log.answer(read);
                    self.apply(answer);
                }
            }
            98 => {
                let connection = self.random.pick(&[1, 2, 3]);
                self.apply(Input::Drained(ConnectionId(connection), 1 << 20));
            }
            _ if self.random.chance(30) => self.stop(),
            _ => {}
        }
    }

    fn publish(&mut self) {
        let at = self.random.pick(&PUBLISHERS);
        self.open(at);
        let (body, persistent, to) = self.message();
        let client = self.clients.get_mut(&at).unwrap();
        client.next_publish += 1;
        let seq = client.next_publish;
        client.unconfirmed.insert(seq, body);
        self.enqueue(&to, body, persistent);
        self.say(at, publish(&to, body, persistent, Some(PublishSeq(seq))));
        self.note_logged(&to, body, persistent);
    }

    fn message(&mut self) -> (u64, bool, String) {
        self.next_body += 1;
        (self.next_body, self.random.chance(70), self.random.pick(&["a", "b", "t", "*", "*"]).to_owned())
    }

    fn enqueue(&mut self, to: &str, body: u64, persistent: bool) {
        for queue in QUEUES.iter().filter(|queue| to == "*" || to == **queue) {
            self.model.enqueue(queue, body, persistent && DURABLE.contains(queue));
        }
    }

    fn note_logged(&mut self, to: &str, body: u64, persistent: bool) {
        if persistent && to != "t" {
            self.logged.insert(body, self.log.last_lsn());
        }
    }

    fn consume(&mut self) {
        let at = self.random.pick(&CONSUMERS);
        self.open(at);
        let tags = self.model.consumers.iter().filter(|(_, consumer)| consumer.at == at);
        let tags: Vec<_> = tags.map(|(tag, _)| tag.clone()).collect();
        if !tags.is_empty() && self.random.chance(40) {
            let tag = self.random.pick(&tags);
            self.model.consumers.remove(&tag);
            return self.say(at, Command::Cancel { tag: tag.into(), nowait: true });
        }
        let prefetch_count = self.random.below(4) as u16;
        let global = self.random.below(8) as u16;
        // A limit for each consumer lifts the one for all.
        self.model.global_prefetch.remove(&at);
        self.say(at, Command::Qos { prefetch_count, global: false });
        if self.random.chance(30) {
            self.model.global_prefetch.insert(at, global);
            self.say(at, Command::Qos { prefetch_count: global, global: true });
        }
        self.next_tag += 1;
        let (queue, no_ack) = (self.random.pick(&QUEUES).to_owned(), self.random.chance(10));
        let tag = format!("{queue}-{}", self.next_tag);
        let consumer = Consumer { at, queue: queue.clone(), prefetch_count, no_ack };
        self.model.consumers.insert(tag.clone(), consumer);
        let (exclusive, nowait, arguments) = (false, true, Table::default());
        self.say(
            at,
            Command::Consume { queue: queue.into(), tag: tag.into(), no_ack, exclusive, nowait, arguments },
        );
    }

    fn settle(&mut self) {
        let at =
            if self.random.chance(70) { self.random.pick(&CONSUMERS) } else { self.random.pick(&GETTERS) };
        if !self.is_idle(at) || self.clients[&at].transacts {
            return;
        }
        if self.random.chance(3) {
            self.model.put_back_all_of(at);
            return self.say(at, Command::Recover { only: None, reply: false });
        }
        let Some((outcome, chosen)) = self.choose_held(at) else { return };
        let deliveries = self.places_of(&chosen);
        self.settled_in_model(outcome, &chosen);
        self.say(at, Command::Settle { outcome, deliveries });
    }

    fn choose_held(&mut self, at: At) -> Option<(Outcome, Vec<(String, u64)>)> {
        let kept: Vec<_> = self.clients[&at].settles.iter().flat_map(|(_, list)| list.clone()).collect();
        let held = self.model.held_by(at).into_iter().filter(|one| !kept.contains(one));
        let percent = self.random.pick(&[20, 60, 100]);
        let chosen: Vec<_> = held.filter(|_| self.random.chance(percent)).collect();
        let outcome =
            self.random.pick(&[Outcome::Ack, Outcome::Ack, Outcome::Ack, Outcome::Requeue, Outcome::Discard]);
        (!chosen.is_empty()).then_some((outcome, chosen))
    }

    fn places_of(&self, chosen: &[(String, u64)]) -> Vec<(QueueId, Seq)> {
        chosen.iter().map(|one| self.places[one]).collect()
    }

    fn settled_in_model(&mut self, outcome: Outcome, chosen: &[(String, u64)]) {
        for (queue, body) in chosen {
            self.model.settle(queue, *body, outcome == Outcome::Requeue);
            if outcome != Outcome::Requeue {
                self.settled.insert((queue.clone(), *body));
            }
        }
    }

    fn get(&mut self) {
        let at = self.random.pick(&GETTERS);
        if !self.is_idle(at) {
            return;
        }
        let queue = self.random.pick(&QUEUES);
        self.clients.get_mut(&at).unwrap().awaits = Some(queue.to_owned());
        self.say(at, Command::Get { queue: queue.into(), no_ack: false });
    }

    fn transaction(&mut self) {
        let at = self.random.pick(&GETTERS);
        if !self.is_idle(at) {
            return;
        }
        if !self.clients[&at].transacts {
            self.clients.get_mut(&at).unwrap().transacts = true;
            return self.say(at, Command::TxSelect);
        }
        match self.random.below(6) {
            0..3 => {
                let (body, persistent, to) = self.message();
                self.clients.get_mut(&at).unwrap().kept.push((to.clone(), body, persistent));
                self.say(at, publish(&to, body, persistent, None));
            }
            3 => {
                let Some(choice) = self.choose_held(at) else { return };
                self.clients.get_mut(&at).unwrap().settles.push(choice);
            }
            4 => {
                let client = self.clients.get_mut(&at).unwrap();
                client.kept.clear();
                client.settles.clear();
                self.say(at, Command::TxRollback);
            }
            _ => self.commit(at),
        }
    }

    fn commit(&mut self, at: At) {
        let client = self.clients.get_mut(&at).unwrap();
        let (kept, settles) = (std::mem::take(&mut client.kept), std::mem::take(&mut client.settles));
        client.awaits = Some(String::new());
        // Kept publishes take their places in their queues now.
        let renumbered: Vec<_> = kept.into_iter().collect();
        for (to, body, persistent) in &renumbered {
            self.enqueue(to, *body, *persistent);
        }
        let places = settles.iter().map(|(outcome, list)| (*outcome, self.places_of(list))).collect();
        for (outcome, list) in &settles {
            self.settled_in_model(*outcome, list);
        }
        self.log.is_full = false;
        self.say(at, Command::TxCommit { settles: places });
        for (to, body, persistent) in &renumbered {
            self.note_logged(to, *body, *persistent);
        }
    }

    fn channel_event(&mut self) {
        let all: Vec<At> = CONSUMERS.into_iter().chain(GETTERS).collect();
        let at = self.random.pick(&all);
        if self.random.chance(70) {
            if self.clients.contains_key(&at) && self.clients[&at].life > 0 {
                self.model.close(at);
                self.say(at, Command::CloseChannel);
                let life = self.clients[&at].life + 1;
                self.clients.insert(at, Client { life, ..Client::default() });
                self.say(at, Command::OpenChannel);
            }
        } else if self.attached.remove(&at.0) {
            let channels: Vec<_> = self.clients.keys().copied().filter(|key| key.0 == at.0).collect();
            for channel in channels {
                self.model.close(channel);
                self.clients.remove(&channel);
            }
            self.apply(Input::Detach(ConnectionId(at.0)));
        }
    }

    fn purge(&mut self) {
        let at = GETTERS[0];
        if self.is_idle(at) {
            let queue = self.random.pick(&QUEUES);
            let waiting = self.model.queues.get(queue).into_iter().flatten();
            let waiting: Vec<_> = waiting.filter(|one| one.holder.is_none()).map(|one| one.body).collect();
            self.settled.extend(waiting.into_iter().map(|body| (queue.to_owned(), body)));
            self.model.purge(queue);
            self.clients.get_mut(&at).unwrap().awaits = Some(String::new());
            self.say(at, Command::PurgeQueue { name: queue.into(), nowait: false });
        }
    }

    /// Opens a channel; answers whether it may speak.
    fn is_idle(&mut self, at: At) -> bool {
        self.open(at);
        self.clients[&at].awaits.is_none()
    }

    fn open(&mut self, at: At) {
        if self.attached.insert(at.0) {
            self.apply(Input::Attach(ConnectionId(at.0)));
        }
        if !self.clients.contains_key(&at) {
            // Lives are counted per connection; ours is never reused after a detach within one test run.
            let life = 1 + u32::try_from(self.next_body + self.next_tag).unwrap();
            self.clients.insert(at, Client { life, ..Client::default() });
            self.say(at, Command::OpenChannel);
        }
    }

    fn declare(&mut self) {
        let at = PUBLISHERS[0];
        self.open(at);
        for queue in QUEUES {
            let durable = DURABLE.contains(&queue);
            self.say(at, declare(queue, durable));
            self.say(at, bind(queue));
        }
        let progress = self.log.sync(usize::MAX);
        self.apply(Input::Progress(progress));
    }

    fn say(&mut self, at: At, command: Command) {
        let channel =
            ChannelKey { connection: ConnectionId(at.0), number: at.1, life: self.clients[&at].life };
        let method = MethodId::default();
        self.apply(Input::Commands(vec![Envelope { channel, method, command }]));
        let progress = self.log.write();
        self.apply(Input::Progress(progress));
    }

    fn apply(&mut self, input: Input) {
        let mut effects = Effects::default();
        self.vhost.apply(input, Now::default(), &mut self.log, &mut effects);
        for addressed in effects.notices {
            let key = addressed.channel;
            let at = (key.connection.0, key.number);
            if self.clients.get(&at).is_some_and(|client| client.life == key.life) {
                self.hear(at, addressed.notice);
            }
        }
        self.reads.extend(effects.effects.into_iter().filter(|effect| match effect {
            Effect::ReadBodies { .. } | Effect::ReadEntries { .. } | Effect::ReadStream { .. } => true,
            Effect::Detached(_) => false,
            other => panic!("{other:?}"),
        }));
    }

    fn hear(&mut self, at: At, notice: Notice) {
        match notice {
            Notice::Deliver(one) => {
                let queue = one.tag.split_once('-').unwrap().0.to_owned();
                let holder = Holder { at, tag: Some(one.tag.to_string()) };
                self.received(
                    &queue,
                    (one.queue, one.seq),
                    &one.message,
                    one.redelivered,
                    holder,
                    one.no_ack,
                );
            }
            Notice::Reply(Reply::GetOk { queue: id, seq, redelivered, message, .. }) => {
                let queue = self.clients.get_mut(&at).unwrap().awaits.take().unwrap();
                let holder = Holder { at, tag: None };
                self.received(&queue, (id, seq), &message, redelivered, holder, false);
            }
            Notice::Reply(Reply::GetEmpty) => {
                let queue = self.clients.get_mut(&at).unwrap().awaits.take().unwrap();
                assert_eq!(self.model.counts(&queue).0, 0, "empty only if nothing waits");
            }
            Notice::Reply(Reply::TxCommitted | Reply::QueuePurged { .. }) => {
                assert!(self.clients.get_mut(&at).unwrap().awaits.take().is_some());
            }
            Notice::Confirmed(seqs) => {
                for seq in seqs {
                    let body = self.clients.get_mut(&at).unwrap().unconfirmed.remove(&seq.0);
                    let body = body.expect("confirmed once");
                    self.check_durable(body);
                    self.confirmed.insert(body);
                }
            }
            Notice::Reply(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn received(
        &mut self,
        queue: &str,
        place: (QueueId, Seq),
        message: &Message,
        redelivered: bool,
        holder: Holder,
        no_ack: bool,
    ) {
        let body: u64 = String::from_utf8_lossy(&message.body).trim_end_matches('.').parse().unwrap();
        if self.model.find(queue, body).is_some_and(|known| known.persistent) {
            self.check_durable(body);
        }
        if no_ack {
            self.settled.insert((queue.to_owned(), body));
        }
        self.model.deliver(queue, body, redelivered, holder, no_ack);
        self.places.insert((queue.to_owned(), body), place);
    }

    fn check_durable(&self, body: u64) {
        if let Some(lsn) = self.logged.get(&body) {
            assert!(*lsn < self.log.progress.durable, "{body} was not durable");
        }
    }

    fn check_counts(&self) {
        for queue in self.vhost.report().queues {
            let counted = (queue.messages_ready, queue.messages_unacknowledged);
            assert_eq!(counted, self.model.counts(&queue.name), "{}", queue.name);
        }
    }

    /// The log and the disk catch up: whoever can have a message has one, and everything is confirmed.
    fn settle_down(&mut self) {
        let progress = self.log.sync(usize::MAX);
        self.apply(Input::Progress(progress));
        while let Some(read) = self.reads.pop_front() {
            let answer = self.log.answer(read);
            self.apply(answer);
        }
        for (tag, consumer) in &self.model.consumers {
            let waits = self.model.counts(&consumer.queue).0;
            assert!(waits == 0 || !self.model.has_credit(tag), "{tag} has credit and {waits} messages wait");
        }
        assert!(self.clients.values().all(|client| client.awaits.is_none() && client.unconfirmed.is_empty()));
        self.check_counts();
    }

    fn stop(&mut self) {
        let clean = self.random.chance(50);
        if clean {
            self.apply(Input::Shutdown);
            self.log.restart(true);
        } else {
            let kept = self.random.below(self.log.pending_count() as u64 + 1) as usize;
            self.log.crash(kept);
        }
        self.clients.clear();
        self.attached.clear();
        self.reads.clear();
        self.model.consumers.clear();
        self.model.global_prefetch.clear();
        self.survive(clean);
        let replayed = self.log.replay();
        let definitions =
            replayed.definitions.iter().map(|(key, value)| Definition::decode(key, value).unwrap());
        self.vhost =
            Vhost::restore(self.config.clone(), definitions, replayed.queues, replayed.clean).unwrap();
        assert_eq!(self.config.budget.used_bytes(), 0, "what a vhost took it gave back");
        self.apply(Input::Progress(self.log.progress));
        self.check_counts();
        self.declare();
    }

    /// What the log still has is what the model has from now on; nothing confirmed is missing, nothing settled for sure
    /// is back.
    fn survive(&mut self, clean: bool) {
        let before = Model { queues: std::mem::take(&mut self.model.queues), ..Model::default() };
        for (name, bodies) in self.log.survivors() {
            for body in bodies {
                let known = before.find(&name, body);
                assert!(
                    known.is_some() || !clean && self.settled.contains(&(name.clone(), body)),
                    "{name} {body}"
                );
                self.model.enqueue(&name, body, true);
                let held_or_flagged = known.is_some_and(|one| one.redelivered || one.holder.is_some());
                let message = self.model.queues.get_mut(&name).unwrap().last_mut().unwrap();
                message.redelivered = !clean || held_or_flagged;
            }
        }
        for (name, messages) in &before.queues {
            for message in messages.iter().filter(|message| message.persistent) {
                let survived = self.model.find(name, message.body).is_some();
                let must = clean || self.confirmed.contains(&message.body);
                assert!(survived || !must, "{name} lost {message:?}");
            }
        }
        self.logged.clear();
    }

    /// Everything is taken and acknowledged: the broker is empty, and the model too.
    fn drain(&mut self) {
        self.settle_down();
        for at in CONSUMERS.into_iter().chain(GETTERS) {
            if self.clients.contains_key(&at) {
                self.model.close(at);
                self.say(at, Command::CloseChannel);
            }
        }
        let at = (9, 1);
        self.open(at);
        for queue in QUEUES {
            let tag = format!("{queue}-drain");
            let (no_ack, exclusive, nowait) = (true, false, true);
            let consumer = Consumer { at, queue: queue.into(), prefetch_count: 0, no_ack };
            self.model.consumers.insert(tag.clone(), consumer);
            let arguments = Table::default();
            self.say(
                at,
                Command::Consume {
                    queue: queue.into(),
                    tag: tag.into(),
                    no_ack,
                    exclusive,
                    nowait,
                    arguments,
                },
            );
        }
        self.settle_down();
        assert!(self.model.queues.values().all(Vec::is_empty), "everything is delivered");
        assert_eq!(self.config.budget.used_bytes(), 0);
    }
}

fn publish(to: &str, body: u64, persistent: bool, publish_seq: Option<PublishSeq>) -> Command {
    let (exchange, routing_key) = if to == "*" { ("amq.fanout", "") } else { ("", to) };
    let text = format!("{body:.<width$}", width = (body % 60) as usize);
    let message = Message {
        exchange: exchange.into(),
        routing_key: routing_key.into(),
        properties: PropertyList { priority: said_priority(body), ..PropertyList::default() }.encode(),
        body: Bytes::from(text),
        persistent,
        dead_lettered: false,
        holders: Holders::default(),
    };
    Command::Publish(Publish {
        message: Arc::new(message),
        publish_seq,
        mandatory: true,
        wants_reply: false,
        topic_refusal: None,
    })
}

fn declare(queue: &str, durable: bool) -> Command {
    let priorities = [("x-max-priority", Value::U8(PRIORITY_MAX))];
    let arguments = if queue == "p" { Table::from_pairs(&priorities) } else { Table::default() };
    Command::DeclareQueue {
        name: queue.into(),
        passive: false,
        durable,
        exclusive: false,
        auto_delete: false,
        nowait: true,
        arguments,
    }
}

fn bind(queue: &str) -> Command {
    Command::BindQueue {
        add: true,
        queue: queue.into(),
        exchange: "amq.fanout".into(),
        binding_key: "".into(),
        nowait: true,
        arguments: Table::default(),
        topic_refusal: None,
    }
}
