//! A store under a random workload, checked against the model at every crash. A life of the disk is a chain of
//! generations: open, work, end by power cut, by the death of the process, or cleanly; the next one goes on from what was
//! found. Pictures taken on the way are recovered on the side, each with a crash during its recovery.

use super::Random;
use super::model::{Contents, History, Message, Model, Operation, Queue};
use super::probe::{Picture, Probe};
use ledgermq_storage::{
    AppendError, Change, DefinitionKey, DeliveredRange, GroupId, Lsn, OpenError, Options, Publish, QueueId,
    Recovered, Seq, Settle, SettleReason, SimDisk, Slot, Store, Wal,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const SEGMENT: u32 = 64 * 1024;
const GROUP: GroupId = GroupId(1);

/// What a run did, for its summary line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) points: u64,
    pub(crate) generations: u64,
    pub(crate) operations: u64,
    pub(crate) messages_recovered: u64,
}

/// How a run is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// Crash points to check before the run may end.
    pub(crate) points: u64,
    /// Generations at most.
    pub(crate) generations: u64,
    /// Operations of a generation at most.
    pub(crate) operations: u64,
    /// A picture is taken after one in so many operations of the disk; 0 = never.
    pub(crate) picture_once_in: u64,
    /// Changes the options, e.g. to plant a bug.
    pub(crate) adjust: Arc<dyn Fn(&mut Options) + Send + Sync>,
}

impl Setup {
    pub(crate) fn new(seed: u64) -> Setup {
        let adjust = Arc::new(|_: &mut Options| {});
        Setup { seed, points: 0, generations: 4, operations: 120, picture_once_in: 3, adjust }
    }
}

/// Options of a small store without threads, all of whose chance follows `seed`.
pub(crate) fn options(seed: u64) -> Options {
    let counter = AtomicU64::new(0);
    let mut options = Options::new(Arc::new(|| 1_700_000_000_000), Arc::new(|| 0));
    options.segment_bytes = SEGMENT;
    options.disk_low_bytes = 0;
    options.threads = false;
    options.checkpoint_bytes = 96 * 1024;
    options.checkpoint_ms = 50;
    options.export_bytes = 128 * 1024;
    options.export_ms = 100;
    options.random = Arc::new(move || Random(seed ^ counter.fetch_add(1, Ordering::Relaxed)).next());
    options
}

/// Opens a store and reads everything in it.
pub(crate) fn open(
    disk: Arc<dyn ledgermq_storage::Disk>,
    options: Options,
) -> Result<(Store, Recovered, Contents), OpenOutcome> {
    let (store, recovered) = Store::open(disk, options, &mut |_| {}).map_err(OpenOutcome::Refused)?;
    let contents = Contents::read(&recovered, &store.reader()).map_err(OpenOutcome::Inconsistent)?;
    Ok((store, recovered, contents))
}

/// Why [`open`] gave no contents.
#[derive(Debug)]
pub(crate) enum OpenOutcome {
    Refused(OpenError),
    Inconsistent(String),
}

impl OpenOutcome {
    fn text(&self) -> String {
        match self {
            OpenOutcome::Refused(error) => format!("refused: {error}"),
            OpenOutcome::Inconsistent(text) => format!("inconsistent: {text}"),
        }
    }
}

/// Runs lives of a store until enough crash points were checked.
pub(crate) fn run(setup: &Setup) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut seed = setup.seed;
    loop {
        life(setup, seed, &mut tally).map_err(|problem| format!("LEDGERMQ_SEED={seed}: {problem}"))?;
        if tally.points >= setup.points {
            return Ok(tally);
        }
        seed = seed.wrapping_add(1);
    }
}

/// One life of a disk.
fn life(setup: &Setup, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random(seed);
    let mut disk = SimDisk::new();
    let mut left = Left { base: Model::default(), clean: true, maybe: History::default(), synced: Lsn::NONE };
    for generation in 0..setup.generations {
        let mut worker = Worker::open(setup, &disk, left.clone(), &mut random)
            .map_err(|problem| format!("generation {generation}: {problem}"))?;
        worker
            .work(&mut random, setup, tally)
            .and_then(|()| worker.end(&mut random, setup, tally))
            .map(|(next, found)| {
                disk = next;
                left = found;
            })
            .map_err(|problem| format!("generation {generation}: {problem}"))?;
        tally.generations += 1;
    }
    Ok(())
}

/// What the end of a generation left.
#[derive(Clone)]
struct Left {
    /// What the next start finds.
    base: Model,
    clean: bool,
    /// What a power cut during that start may leave instead: some state of this history, with everything below `synced`.
    maybe: History,
    synced: Lsn,
}

impl Left {
    /// After a power cut or a clean end: whatever is there is on the disk for good.
    fn for_good(base: Model, clean: bool) -> Left {
        let maybe = History { base: base.clone(), operations: Vec::new() };
        Left { base, clean, maybe, synced: Lsn::NONE }
    }
}

struct Worker {
    probe: Probe,
    store: Option<Store>,
    wal: Wal,
    history: History,
    /// The state after all operations so far.
    now: Model,
    /// Queues there are, and the position of the next message of each.
    next_seq: BTreeMap<QueueId, Seq>,
    now_ms: u64,
    message_count: u64,
}

impl Worker {
    fn open(setup: &Setup, disk: &SimDisk, left: Left, random: &mut Random) -> Result<Worker, String> {
        let Left { base, clean, maybe, synced } = left;
        let probe = Probe::new(disk.clone(), random.next(), setup.picture_once_in);
        let (store, recovered, contents) =
            open(Arc::new(probe.clone()), setup.options(random.next())).map_err(|outcome| outcome.text())?;
        if let Some(difference) = contents.difference(&base) {
            return Err(format!("opening again gave something else: {difference}"));
        }
        if recovered.clean != clean {
            return Err(format!("clean is {}", recovered.clean));
        }
        let wal = store.wal();
        let history = History { base: base.clone(), operations: Vec::new() };
        let mut next_seq: BTreeMap<QueueId, Seq> =
            recovered.queues.iter().map(|queue| (queue.id, queue.next_seq)).collect();
        for id in base.queues.keys() {
            next_seq.entry(*id).or_default();
        }
        let mut worker = Worker {
            probe,
            store: Some(store),
            wal,
            now: base,
            history: maybe,
            next_seq,
            now_ms: 1000,
            message_count: random.next(),
        };
        for mut picture in worker.probe.take_pictures() {
            picture.must_hold = synced;
            worker.check(&picture, setup, random, &mut Tally::default())?;
        }
        worker.history = history;
        worker.probe.follow(worker.wal.clone());
        Ok(worker)
    }

    fn work(&mut self, random: &mut Random, setup: &Setup, tally: &mut Tally) -> Result<(), String> {
        let count = 1 + random.below(setup.operations);
        for _ in 0..count {
            for _ in 0..=random.below(6) {
                self.operation(random)?;
                tally.operations += 1;
            }
            match random.below(12) {
                0 => self.wal.flush(),
                1 => self.wal.flush_written(),
                _ => {}
            }
            self.now_ms += random.below(14);
            self.step(random, setup, tally)?;
        }
        Ok(())
    }

    fn step(&mut self, random: &mut Random, setup: &Setup, tally: &mut Tally) -> Result<(), String> {
        if let Some(store) = &mut self.store {
            store.step(self.now_ms).map_err(|error| format!("step: {error}"))?;
        }
        self.check_pictures(setup, random, tally)?;
        self.history.confirm(self.wal.durable());
        Ok(())
    }

    fn log(&mut self, lsn: Lsn, operation: Operation) {
        self.now.apply(&operation);
        self.history.operations.push((lsn, operation));
    }

    /// Appends one random operation.
    fn operation(&mut self, random: &mut Random) -> Result<(), String> {
        match random.below(100) {
            0..45 => self.publish(random),
            45..80 => {
                for settle in self.some_settles(random, 3) {
                    let lsn = self.wal.settle(GROUP, settle);
                    self.log(lsn, Operation::Settle(settle));
                }
                Ok(())
            }
            80..84 => self.transaction(random),
            84..87 => self.dead_letter(random),
            87 => {
                self.return_some(random);
                Ok(())
            }
            88..93 => {
                let changes = some_changes(random);
                let lsn = self.wal.define(GROUP, &changes);
                self.log(lsn, Operation::Define(GROUP, changes));
                Ok(())
            }
            93..96 => self.new_queue(),
            96..98 => {
                self.purge(random);
                Ok(())
            }
            98 => {
                self.drop_queue(random);
                Ok(())
            }
            _ => {
                self.now_ms += 1000;
                Ok(())
            }
        }
    }

    fn new_queue(&mut self) -> Result<(), String> {
        let id = self.wal.next_queue_id();
        if self.now.used.contains(&id) || self.next_seq.contains_key(&id) {
            return Err(format!("queue id {id} was given twice"));
        }
        let change = (DefinitionKey { kind: 7, name: id.0.to_le_bytes().to_vec() }, Some(b"queue".to_vec()));
        let lsn = self.wal.define(GROUP, std::slice::from_ref(&change));
        self.log(lsn, Operation::Define(GROUP, vec![change]));
        self.next_seq.insert(id, Seq(1));
        Ok(())
    }

    fn slots(&mut self, random: &mut Random) -> Vec<Slot> {
        let ids: Vec<QueueId> = self.next_seq.keys().copied().collect();
        let mut slots: Vec<Slot> = Vec::new();
        for _ in 0..=random.below(3) {
            let Some(queue) = random.pick(&ids) else { break };
            if slots.iter().any(|slot| slot.queue == queue) {
                continue;
            }
            let Some(seq) = self.next_seq.get_mut(&queue) else { break };
            // Positions of transient messages are skipped by the log.
            seq.0 += u64::from(random.once_in(10));
            let priority = if random.once_in(8) { random.below(4) as u8 } else { 0 };
            slots.push(Slot { queue, seq: *seq, priority, expire_unix_ms: 0 });
            *seq = seq.next();
        }
        slots
    }

    fn message(&mut self, random: &mut Random) -> Arc<Message> {
        self.message_count += 1;
        let bytes = match random.below(40) {
            0 => random.below(40_000),
            1..6 => random.below(3000),
            _ => random.below(100),
        };
        let mut body = self.message_count.to_le_bytes().to_vec();
        body.resize(8 + bytes as usize, self.message_count as u8);
        Arc::new(Message {
            exchange: "amq.topic".into(),
            routing_key: format!("key.{}", random.below(5)),
            properties: vec![0x10, 0, 2],
            body,
            persistent: !random.once_in(5),
            dead_lettered: false,
        })
    }

    fn publish(&mut self, random: &mut Random) -> Result<(), String> {
        let slots = self.slots(random);
        if slots.is_empty() {
            return self.new_queue();
        }
        let message = self.message(random);
        match self.wal.publish(GROUP, &as_publish(&message, &slots)) {
            Ok(stored) => self.log(stored.lsn, Operation::Publish(message, slots)),
            Err(AppendError::NoSpace) => {}
            Err(AppendError::TooLarge) => return Err("a message that fits was refused".into()),
        }
        Ok(())
    }

    fn transaction(&mut self, random: &mut Random) -> Result<(), String> {
        let mut publishes = Vec::new();
        for _ in 0..random.below(3) {
            let slots = self.slots(random);
            if !slots.is_empty() {
                let mut message = self.message(random);
                if message.body.len() > 10_000 {
                    message = self.message(&mut Random(1));
                }
                publishes.push((message, slots));
            }
        }
        let settles = self.some_settles(random, 4);
        let parts: Vec<Publish<'_>> =
            publishes.iter().map(|(message, slots)| as_publish(message, slots)).collect();
        match self.wal.transaction(GROUP, &parts, &settles) {
            Ok((lsn, _)) => self.log(lsn, Operation::Transaction(publishes, settles)),
            Err(AppendError::NoSpace) => {}
            Err(AppendError::TooLarge) => return Err("a transaction that fits was refused".into()),
        }
        Ok(())
    }

    /// Moves a message from its queue to others, changed.
    fn dead_letter(&mut self, random: &mut Random) -> Result<(), String> {
        let settle = self.some_settles(random, 1).pop();
        let settle = settle.map(|settle| Settle { reason: SettleReason::DeadLettered, ..settle });
        let Some(settle) = settle else { return Ok(()) };
        let message =
            self.now.queues.get(&settle.queue).and_then(|queue| queue.live.get(&settle.seq)).cloned();
        let slots = self.slots(random);
        let Some(message) = message.filter(|message| !slots.is_empty() && message.body.len() < 10_000) else {
            return Ok(());
        };
        let letter = Arc::new(Message {
            exchange: "dlx".into(),
            routing_key: message.routing_key.clone(),
            properties: [&message.properties[..], b"x-death"].concat(),
            body: message.body.clone(),
            persistent: message.persistent,
            dead_lettered: true,
        });
        match self.wal.transaction(GROUP, &[as_publish(&letter, &slots)], &[settle]) {
            Ok((lsn, _)) => self.log(lsn, Operation::Transaction(vec![(letter, slots)], vec![settle])),
            Err(AppendError::NoSpace) => {}
            Err(AppendError::TooLarge) => return Err("a letter that fits was refused".into()),
        }
        Ok(())
    }

    /// Notes how often some live messages came back.
    fn return_some(&mut self, random: &mut Random) {
        let some = self.some_settles(random, 3);
        let ranges: Vec<_> = some
            .into_iter()
            .map(|Settle { queue, seq, .. }| DeliveredRange {
                queue,
                first: seq,
                last: seq,
                count: 1 + random.below(5) as u32,
            })
            .collect();
        if !ranges.is_empty() {
            let lsn = self.wal.delivered(GROUP, &ranges);
            self.log(lsn, Operation::Delivered(ranges));
        }
    }

    /// Live messages of one queue, mostly near its head, in any order.
    fn some_settles(&self, random: &mut Random, count_max: u64) -> Vec<Settle> {
        let ids: Vec<QueueId> = self.now.queues.keys().copied().collect();
        let queue = random.pick(&ids).and_then(|id| Some((id, self.now.queues.get(&id)?)));
        let Some((id, Queue { live, .. })) = queue else { return Vec::new() };
        let window = if random.once_in(4) { live.len() } else { 8 };
        let seqs: Vec<Seq> = live.keys().copied().take(window).collect();
        let reason = if random.once_in(6) { SettleReason::Expired } else { SettleReason::Ack };
        let mut settles = Vec::new();
        for _ in 0..=random.below(count_max) {
            let Some(seq) = random.pick(&seqs) else { break };
            if settles.iter().all(|settle: &Settle| settle.seq != seq) {
                settles.push(Settle { queue: id, seq, reason });
            }
        }
        settles
    }

    fn purge(&mut self, random: &mut Random) {
        let ids: Vec<QueueId> = self.now.queues.keys().copied().collect();
        let Some(id) = random.pick(&ids) else { return };
        let Some(queue) = self.now.queues.get(&id) else { return };
        let kept: Vec<Seq> = queue.live.keys().copied().filter(|_| random.once_in(5)).collect();
        let last = Seq(queue.next_seq.0.saturating_sub(1 + random.below(3)));
        let lsn = self.wal.purge(GROUP, id, last, &kept);
        self.log(lsn, Operation::Purge(id, last, kept));
    }

    fn drop_queue(&mut self, random: &mut Random) {
        let ids: Vec<QueueId> = self.next_seq.keys().copied().collect();
        let Some(id) = random.pick(&ids) else { return };
        let changes = vec![(DefinitionKey { kind: 7, name: id.0.to_le_bytes().to_vec() }, None)];
        let lsn = self.wal.drop_queue(GROUP, id, &changes);
        self.next_seq.remove(&id);
        self.log(lsn, Operation::DropQueue(GROUP, id, changes));
    }

    /// Ends the generation. Returns the disk as found afterwards, and what is on it.
    fn end(
        &mut self,
        random: &mut Random,
        setup: &Setup,
        tally: &mut Tally,
    ) -> Result<(SimDisk, Left), String> {
        let (written, synced) = (self.wal.written(), self.wal.durable());
        let (must_hold, disk, operation) = match random.below(4) {
            0 => return self.end_cleanly(random, setup, tally),
            // The death of the process: what was written is there, though a power cut may still take it.
            1 => (written, self.probe.disk.kill(), "kill"),
            _ => (synced, self.probe.disk.crash(random.next()), "power cut"),
        };
        drop(self.store.take());
        let picture = Picture { disk: disk.clone(), must_hold, synced, operation: operation.into() };
        let base = self.check(&picture, setup, random, tally)?;
        let left = if operation == "kill" {
            Left { base, clean: false, maybe: self.history.clone(), synced }
        } else {
            Left::for_good(base, false)
        };
        Ok((disk.kill(), left))
    }

    fn end_cleanly(
        &mut self,
        random: &mut Random,
        setup: &Setup,
        tally: &mut Tally,
    ) -> Result<(SimDisk, Left), String> {
        let mut ranges = Vec::new();
        for (id, queue) in &self.now.queues {
            if let Some(seq) = queue.live.keys().next() {
                ranges.push(DeliveredRange { queue: *id, first: *seq, last: *seq, count: 1 + (id.0 % 3) });
            }
        }
        if !ranges.is_empty() {
            let lsn = self.wal.delivered(GROUP, &ranges);
            self.log(lsn, Operation::Delivered(ranges));
        }
        let Some(store) = self.store.take() else { return Err("the store is gone".into()) };
        store.shutdown().map_err(|error| format!("shutdown: {error}"))?;
        self.check_pictures(setup, random, tally)?;
        self.history.confirm(self.wal.durable());
        if !self.history.operations.is_empty() {
            return Err("a clean shutdown left operations unconfirmed".into());
        }
        Ok((self.probe.disk.crash(random.next()), Left::for_good(self.history.base.clone(), true)))
    }

    /// Recovers every picture taken since the last call.
    fn check_pictures(&self, setup: &Setup, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
        for picture in self.probe.take_pictures() {
            self.check(&picture, setup, random, tally)?;
        }
        Ok(())
    }

    /// Recovers what a crash left, in the middle of that crashes again, recovers again.
    fn check(
        &self,
        picture: &Picture,
        setup: &Setup,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<Model, String> {
        let failed = |problem: String| format!("after {:?}: {problem}", picture.operation);
        // A copy of what was found, page cache included where only the process died.
        let copy = picture.disk.kill();
        let first = Probe::new(copy, random.next(), if random.once_in(4) { 6 } else { 0 });
        let (store, _, contents) = open(Arc::new(first.clone()), setup.options(random.next()))
            .map_err(|outcome| failed(outcome.text()))?;
        if contents.unreadable > 0 {
            return Err(failed(format!("{} messages are unreadable", contents.unreadable)));
        }
        let model = self.history.matching(&contents, picture.must_hold).map_err(failed)?;
        drop(store);
        tally.points += 1;
        tally.messages_recovered += model.message_count();
        // Crashes during the recovery: what was not synced before it may be gone; what was is there.
        for during in first.take_pictures() {
            let (_, _, second) = open(Arc::new(during.disk), setup.options(random.next()))
                .map_err(|outcome| failed(format!("second recovery: {}", outcome.text())))?;
            self.history.matching(&second, picture.synced).map_err(failed)?;
            if picture.must_hold == picture.synced && second.queues != contents.queues {
                return Err(failed("a second recovery found something else".into()));
            }
            tally.points += 1;
        }
        // A crash after it: what it found has become durable.
        if random.once_in(4) {
            let disk = first.disk.crash(random.next());
            let (_, _, second) = open(Arc::new(disk), setup.options(random.next()))
                .map_err(|outcome| failed(format!("recovery again: {}", outcome.text())))?;
            if second.queues != contents.queues || second.definitions != contents.definitions {
                return Err(failed("recovery again found something else".into()));
            }
            tally.points += 1;
        }
        Ok(model)
    }
}

impl Setup {
    fn options(&self, seed: u64) -> Options {
        let mut options = options(seed);
        (self.adjust)(&mut options);
        options
    }
}

fn as_publish<'a>(message: &'a Message, slots: &'a [Slot]) -> Publish<'a> {
    Publish {
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        properties: &message.properties,
        body: &message.body,
        persistent: message.persistent,
        dead_lettered: message.dead_lettered,
        slots,
    }
}

fn some_changes(random: &mut Random) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..=random.below(3) {
        let key = DefinitionKey { kind: 3, name: vec![random.below(6) as u8] };
        if changes.iter().all(|(other, _)| *other != key) {
            let value = (!random.once_in(3)).then(|| random.next().to_le_bytes().to_vec());
            changes.push((key, value));
        }
    }
    changes
}
