//! What is saved beside the log under crashes: exports, index files, freeing, compaction. A store on a simulated disk
//! does random work in small segments, loses power or its process at random points (also while it recovers), and is
//! compared with a model after each start: what was durable is there and readable, byte for byte; nothing is there that
//! was never published or was durably settled; the second recovery of an image equals the first.
//!
//! `KEEPER_SEED=n` replays one seed, `KEEPER_SEEDS=n` sets how many are tried.

#![expect(clippy::indexing_slicing, reason = "a test may fail by panicking")]

use ledgermq_storage::{
    DefinitionKey, GroupId, Lsn, Options, Publish, QueueId, Recovered, Seq, Settle, SettleReason, SimDisk,
    Slot, Store, Wanted,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GROUP: GroupId = GroupId(1);

/// What a definition was set to; `None`: removed.
type Value = Option<Vec<u8>>;

/// Length and hash of a body.
type Body = (usize, u64);

fn summary(body: &[u8]) -> Body {
    (body.len(), body.iter().fold(7, |hash: u64, byte| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)))
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A message as published.
#[derive(Clone, Debug)]
struct Known {
    body: Body,
    priority: u8,
    published: Lsn,
    /// Where the record was appended that settled it.
    settled: Option<Lsn>,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    next_seq: u64,
    messages: BTreeMap<u64, Known>,
    dropped: Option<Lsn>,
}

/// What was asked of the store.
#[derive(Clone, Debug, Default)]
struct Model {
    queues: BTreeMap<u32, Queue>,
    /// By name: values and where they were set, the newest last.
    definitions: BTreeMap<Vec<u8>, Vec<(Value, Lsn)>>,
    /// Everything below was reported durable.
    durable: Lsn,
    leaves_stragglers: bool,
}

/// What a start found.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    clean: bool,
    /// By queue and position: length and hash of the body, and priority.
    messages: BTreeMap<(u32, u64), (Body, u8)>,
    next_seqs: BTreeMap<u32, u64>,
    definitions: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn options(world_seed: u64, now_ms: u64) -> Options {
    let random = AtomicU64::new(world_seed ^ now_ms.rotate_left(17));
    let mut options = Options::new(Arc::new(|| 1_700_000_000_000), Arc::new(move || now_ms));
    options.random =
        Arc::new(move || Chance(random.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed)).next());
    options.segment_bytes = 64 * 1024;
    options.threads = false;
    options.disk_low_bytes = 0;
    options.export_bytes = 150_000;
    options.export_ms = 60_000;
    options
}

/// The messages of a queue that are not settled, as a reader finds them.
fn read(store: &Store, recovered: &Recovered, context: &str) -> Found {
    let reader = store.reader();
    let mut found = Found {
        clean: recovered.clean,
        messages: BTreeMap::new(),
        next_seqs: BTreeMap::new(),
        definitions: BTreeMap::new(),
    };
    for (group, key, value) in &recovered.definitions {
        assert_eq!(*group, GROUP, "{context}");
        found.definitions.insert(key.name.clone(), value.clone());
    }
    for queue in &recovered.queues {
        found.next_seqs.insert(queue.id.0, queue.next_seq.0);
        let mut wanted = Vec::new();
        let mut priorities = Vec::new();
        for run in &queue.runs {
            let entries =
                reader.entries(queue.id, run).unwrap_or_else(|error| panic!("{context}: {run:?}: {error}"));
            for entry in entries.iter().filter(|entry| !queue.settled.contains(entry.seq)) {
                priorities.push(run.priority);
                wanted.push(Wanted {
                    lsn: entry.lsn,
                    record_bytes: entry.record_bytes,
                    queue: queue.id,
                    seq: entry.seq,
                });
            }
        }
        assert_eq!(wanted.len() as u64, queue.live, "{context}: live messages of queue {}", queue.id);
        for ((wanted, message), priority) in wanted.iter().zip(reader.messages(&wanted)).zip(priorities) {
            let message = message.unwrap_or_else(|error| panic!("{context}: {wanted:?}: {error}"));
            assert_eq!((&*message.exchange, &*message.routing_key), ("ex", "key"), "{context}");
            assert_eq!(&*message.properties, b"properties", "{context}");
            let twice =
                found.messages.insert((wanted.queue.0, wanted.seq.0), (summary(&message.body), priority));
            assert!(twice.is_none(), "{context}: message {wanted:?} is there twice");
        }
    }
    found
}

impl Model {
    /// Whether what was found can be what is left of what was asked for.
    fn check(&self, found: &Found, context: &str) {
        for (id, queue) in &self.queues {
            for (seq, known) in &queue.messages {
                let gone: Vec<Lsn> = [known.settled, queue.dropped].into_iter().flatten().collect();
                let surely_there = known.published < self.durable && gone.is_empty();
                let surely_gone = gone.iter().any(|gone| *gone < self.durable);
                let there = found.messages.contains_key(&(*id, *seq));
                assert!(there || !surely_there, "{context}: message {seq} of queue {id} is lost");
                assert!(!there || !surely_gone, "{context}: message {seq} of queue {id} came back");
                let next_seq = found.next_seqs.get(id).copied().unwrap_or(0);
                assert!(!surely_there || next_seq > *seq, "{context}: queue {id} would use {seq} again");
            }
        }
        for ((id, seq), (body, priority)) in &found.messages {
            let known = self.queues.get(id).and_then(|queue| queue.messages.get(seq));
            let known = known.unwrap_or_else(|| panic!("{context}: {id} {seq} was never published"));
            assert!(known.body == *body && known.priority == *priority, "{context}: {id} {seq} differs");
        }
        for (name, values) in &self.definitions {
            let sure = values.iter().rposition(|(_, at)| *at < self.durable);
            let there = found.definitions.get(name);
            let possible = values.iter().skip(sure.unwrap_or(0)).any(|(value, _)| value.as_ref() == there);
            assert!(
                possible || (sure.is_none() && there.is_none()),
                "{context}: definition {name:?}: {there:?}"
            );
        }
    }

    /// What was found is what there is: recovery has made it durable.
    fn take_over(&mut self, found: &Found) {
        self.definitions = found
            .definitions
            .iter()
            .map(|(name, value)| (name.clone(), vec![(Some(value.clone()), Lsn::NONE)]))
            .collect();
        for (id, queue) in &mut self.queues {
            queue.messages.clear();
            queue.next_seq = found.next_seqs.get(id).copied().unwrap_or(0);
        }
        // A queue that left no trace may never have been declared: its id may be given to another.
        self.queues.retain(|id, _| found.next_seqs.contains_key(id));
        for ((id, seq), (body, priority)) in &found.messages {
            let queue = self.queues.entry(*id).or_default();
            queue.dropped = None;
            let known = Known { body: *body, priority: *priority, published: Lsn::NONE, settled: None };
            queue.messages.insert(*seq, known);
        }
        self.queues.values_mut().for_each(|queue| queue.dropped = None);
    }
}

struct World {
    seed: u64,
    chance: Chance,
    disk: SimDisk,
    store: Option<Store>,
    model: Model,
    now_ms: u64,
    starts: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let model = Model { leaves_stragglers: seed % 2 == 1, ..Model::default() };
        let chance = Chance(seed);
        World { seed, chance, disk: SimDisk::new(), store: None, model, now_ms: 1000, starts: 0 }
    }

    fn context(&self) -> String {
        format!("seed {}, start {}", self.seed, self.starts)
    }

    fn open(&self, disk: &SimDisk) -> (Store, Recovered) {
        let options = options(self.seed, self.now_ms);
        let opened = Store::open(Arc::new(disk.clone()), options, &mut |_| {});
        opened.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.context(), disk.names().join("\n")))
    }

    /// Opens the store, which may lose power while it recovers; compares what it finds with the model.
    fn start(&mut self) {
        self.starts += 1;
        while self.chance.one_in(3) {
            let n = 1 + self.chance.below(12);
            self.disk.crash_at(n);
            let options = options(self.seed, self.now_ms);
            drop(Store::open(Arc::new(self.disk.clone()), options, &mut |_| {}));
            let crash_seed = self.chance.next();
            self.disk = self.disk.crash(crash_seed);
            self.now_ms += 1;
        }
        let (store, recovered) = self.open(&self.disk);
        let found = read(&store, &recovered, &self.context());
        self.model.check(&found, &self.context());
        // What a start has shown is durable, whatever happens next.
        let crash_seed = self.chance.next();
        let (copied, recovered) = self.open(&self.disk.crashed_copy(crash_seed));
        let again = read(&copied, &recovered, &self.context());
        assert!(again.messages == found.messages, "{}: another start finds other messages", self.context());
        assert!(
            again.definitions == found.definitions,
            "{}: another start finds other definitions",
            self.context()
        );
        self.model.take_over(&found);
        while self.model.queues.len() < 4 {
            self.model.queues.insert(store.wal().next_queue_id().0, Queue::default());
        }
        self.store = Some(store);
        self.now_ms += 1;
    }

    /// Ends the process in one of several ways.
    fn stop(&mut self) {
        let Some(store) = self.store.take() else { return };
        self.model.durable = store.wal().durable();
        match self.chance.below(5) {
            0 => {
                if store.shutdown().is_ok() {
                    self.model.durable = Lsn(u64::MAX);
                }
            }
            1 => {
                drop(store);
                self.disk = self.disk.kill();
                return;
            }
            2 => {
                let n = 1 + self.chance.below(20);
                self.disk.crash_at(n);
                drop(store.shutdown());
            }
            _ => drop(store),
        }
        let crash_seed = self.chance.next();
        self.disk = self.disk.crash(crash_seed);
    }

    /// One random request; `false` when the disk went off.
    fn act(&mut self) -> bool {
        let Some(store) = &mut self.store else { return false };
        let wal = store.wal();
        let chance = &mut self.chance;
        let model = &mut self.model;
        match chance.below(100) {
            0..45 => {
                let ids: Vec<u32> = model.live_queues();
                let count = if chance.one_in(8) { ids.len() } else { 1 };
                let start = chance.below(ids.len() as u64) as usize;
                let chosen: Vec<u32> = ids.iter().cycle().skip(start).take(count).copied().collect();
                let (body, slots) = model.message(chance, &chosen);
                let stored = wal.publish(GROUP, &publish(&body, &slots)).expect("there is space");
                model.published(&body, &slots, stored.lsn);
            }
            45..80 => {
                for _ in 0..chance.below(8) {
                    if let Some(settle) = model.any_live(chance) {
                        let at = wal.settle(GROUP, settle);
                        model.settled(settle, at);
                    }
                }
            }
            80..84 => {
                let ids = model.live_queues();
                let (body, slots) = model.message(chance, &ids[..2]);
                let settles: Vec<Settle> = (0..2).filter_map(|_| model.any_live(chance)).collect();
                let settles =
                    if settles.len() == 2 && settles[0] == settles[1] { &settles[..1] } else { &settles };
                let (at, _) =
                    wal.transaction(GROUP, &[publish(&body, &slots)], settles).expect("there is space");
                model.published(&body, &slots, at);
                for settle in settles {
                    model.settled(*settle, at);
                }
            }
            84..86 => {
                let ids = model.live_queues();
                let id = ids[chance.below(ids.len() as u64) as usize];
                let queue = model.queues.get_mut(&id).expect("it is one of the model's");
                let kept: Vec<Seq> = queue
                    .messages
                    .iter()
                    .filter(|(_, known)| known.settled.is_none() && chance.one_in(20))
                    .map(|(seq, _)| Seq(*seq))
                    .collect();
                if queue.next_seq > 0 {
                    let last = Seq(queue.next_seq - 1);
                    let at = wal.purge(GROUP, QueueId(id), last, &kept);
                    for (seq, known) in &mut queue.messages {
                        if !kept.contains(&Seq(*seq)) && known.settled.is_none() {
                            known.settled = Some(at);
                        }
                    }
                }
            }
            86 => {
                let ids = model.live_queues();
                if ids.len() > 2 {
                    let at = wal.drop_queue(GROUP, QueueId(ids[0]), &[]);
                    model.queues.get_mut(&ids[0]).expect("it is one of the model's").dropped = Some(at);
                    model.queues.insert(wal.next_queue_id().0, Queue::default());
                }
            }
            87..90 => {
                let key = DefinitionKey { kind: 3, name: vec![b'a' + chance.below(5) as u8] };
                let value = (!chance.one_in(3)).then(|| vec![chance.below(256) as u8; 40]);
                let at = wal.define(GROUP, &[(key.clone(), value.clone())]);
                model.definitions.entry(key.name).or_default().push((value, at));
            }
            _ => {
                self.now_ms += if chance.one_in(10) { 30_000 } else { chance.below(200) };
                let stepped = store.step(self.now_ms);
                return stepped.is_ok();
            }
        }
        true
    }

    /// Everything settled and saved twice: nothing but the current segment, the spare and the reserve is needed.
    fn space_comes_back(&mut self) {
        let Some(store) = &mut self.store else { return };
        let wal = store.wal();
        let all: Vec<Settle> = self.model.all_live();
        for settle in all {
            let at = wal.settle(GROUP, settle);
            self.model.settled(settle, at);
        }
        let queue = self.model.live_queues()[0];
        for round in 0..4 {
            // Something must be written for the index to be worth exporting again, and a segment must fill up.
            for _ in 0..40 {
                let (body, slots) = (vec![round; 2000], [slot(queue, &mut self.model, 0)]);
                let stored = wal.publish(GROUP, &publish(&body, &slots)).expect("there is space");
                self.model.published(&body, &slots, stored.lsn);
                let settle = Settle { queue: slots[0].queue, seq: slots[0].seq, reason: SettleReason::Ack };
                let at = wal.settle(GROUP, settle);
                self.model.settled(settle, at);
            }
            for _ in 0..3 {
                self.now_ms += 61_000;
                store.step(self.now_ms).expect("the disk is sound");
            }
        }
        let count = store.status().expect("the disk is sound").segment_count;
        assert!(
            count <= 8,
            "{}: {count} segments for nothing:\n{}",
            self.context(),
            self.disk.names().join("\n")
        );
    }
}

fn publish<'a>(body: &'a [u8], slots: &'a [Slot]) -> Publish<'a> {
    Publish {
        exchange: "ex",
        routing_key: "key",
        properties: b"properties",
        body,
        persistent: true,
        dead_lettered: false,
        slots,
    }
}

fn slot(id: u32, model: &mut Model, priority: u8) -> Slot {
    let queue = model.queues.entry(id).or_default();
    queue.next_seq += 1;
    Slot { queue: QueueId(id), seq: Seq(queue.next_seq - 1), priority, expire_unix_ms: 0 }
}

impl Model {
    fn live_queues(&self) -> Vec<u32> {
        self.queues.iter().filter(|(_, queue)| queue.dropped.is_none()).map(|(id, _)| *id).collect()
    }

    fn message(&mut self, chance: &mut Chance, queues: &[u32]) -> (Vec<u8>, Vec<Slot>) {
        let len = if chance.one_in(20) { chance.below(20_000) } else { chance.below(1500) };
        let body = (0..len).map(|_| chance.next() as u8).collect();
        // One queue in four has priorities; transient messages take positions too.
        let mut slots = Vec::new();
        for id in queues {
            if chance.one_in(10) {
                slot(*id, self, 0);
            }
            let priority = if *id % 4 == 2 { chance.below(3) as u8 } else { 0 };
            slots.push(slot(*id, self, priority));
        }
        (body, slots)
    }

    fn published(&mut self, body: &[u8], slots: &[Slot], published: Lsn) {
        for slot in slots {
            let known = Known { body: summary(body), priority: slot.priority, published, settled: None };
            self.queues.entry(slot.queue.0).or_default().messages.insert(slot.seq.0, known);
        }
    }

    fn settled(&mut self, settle: Settle, at: Lsn) {
        let queue = self.queues.get_mut(&settle.queue.0).expect("it is one of the model's");
        queue.messages.get_mut(&settle.seq.0).expect("it was published").settled = Some(at);
    }

    fn all_live(&self) -> Vec<Settle> {
        let queues = self.queues.iter().filter(|(_, queue)| queue.dropped.is_none());
        queues
            .flat_map(|(id, queue)| {
                let live = queue.messages.iter().filter(|(_, known)| known.settled.is_none());
                live.map(|(seq, _)| Settle { queue: QueueId(*id), seq: Seq(*seq), reason: SettleReason::Ack })
            })
            .collect()
    }

    /// Mostly the oldest of its queue. Stragglers, one message in forty, are left behind in half of the worlds, so that
    /// segments are compacted rather than emptied.
    fn any_live(&self, chance: &mut Chance) -> Option<Settle> {
        let mut live = self.all_live();
        live.retain(|settle| !(self.leaves_stragglers && settle.seq.0.is_multiple_of(40)));
        if live.is_empty() {
            return None;
        }
        let at = if chance.one_in(3) {
            chance.below(live.len() as u64)
        } else {
            chance.below(20.min(live.len() as u64))
        };
        live.get(at as usize).copied()
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..5 {
        world.start();
        if world.chance.one_in(3) {
            let n = 1 + world.chance.below(400);
            world.disk.crash_at(n);
        }
        let count = world.chance.below(600);
        for _ in 0..count {
            if !world.act() {
                break;
            }
        }
        world.stop();
    }
    world.start();
    world.space_comes_back();
}

#[test]
fn what_is_saved_beside_the_log_survives_every_crash() {
    if let Ok(seed) = std::env::var("KEEPER_SEED") {
        run(seed.parse().expect("KEEPER_SEED is a number"));
        return;
    }
    let seeds = std::env::var("KEEPER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = result {
            eprintln!("KEEPER_SEED={seed} finds it again");
            std::panic::resume_unwind(panic);
        }
    }
}
