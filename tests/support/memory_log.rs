//! A log that is a list of records: durable as far as a test says, cut anywhere after that, and replayed.
//! Records lie in segments of a size the test chooses, so that queues page out and in as they would on a disk.

use ledgermq::definitions::Definition;
use ledgermq::message::Message;
use ledgermq::queue::{StreamAnswer, StreamRead};
use ledgermq::vhost::input::{Effect, Input, LogProgress};
use ledgermq::vhost::log::{Log, LogRefused, LoggedPublish, LoggedSettle, Stored};
use ledgermq_storage::{
    DefinitionKey, DeliveredRange, GroupId, Lsn, QueueId, RecoveredQueue, Run, SegmentId, Seq, SettleReason,
    SettledSet, Slot, StoredEntry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One thing the log remembers.
#[derive(Clone, Debug)]
enum Record {
    Publish { at: Stored, message: Arc<Message>, slots: Vec<Slot>, unix_ms: u64 },
    Settle(LoggedSettle),
    SettleRange(QueueId, Seq, Seq),
    Define(Vec<(DefinitionKey, Option<Vec<u8>>)>),
    Purge { queue: QueueId, last: Seq, kept: Vec<Seq> },
    Drop(QueueId),
    Delivered(DeliveredRange),
}

/// What was appended at one position: a transaction is several records at one.
#[derive(Clone, Debug)]
struct Entry {
    lsn: Lsn,
    records: Vec<Record>,
}

/// The log.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    entries: Vec<Entry>,
    segment: SegmentId,
    offset: u32,
    segment_bytes: u32,
    next_queue: u32,
    /// How far the vhost was told.
    pub(crate) progress: LogProgress,
    /// Refuses publishes.
    pub(crate) is_full: bool,
    /// Records above are too large.
    pub(crate) record_bytes_max: usize,
    /// Records of these messages cannot be read.
    pub(crate) rotten: BTreeSet<(QueueId, Seq)>,
    /// Flushes asked for.
    pub(crate) flush_count: u64,
    /// The last stop was clean.
    pub(crate) clean: bool,
    /// The wall clock.
    pub(crate) unix_ms: u64,
}

/// What a start finds in the log.
pub(crate) struct Replayed {
    pub(crate) definitions: Vec<(DefinitionKey, Vec<u8>)>,
    pub(crate) queues: Vec<RecoveredQueue>,
    pub(crate) clean: bool,
}

const RECORD_OVERHEAD_BYTES: usize = 48;
const FIRST_OFFSET: u32 = 64;

impl MemoryLog {
    pub(crate) fn new(segment_bytes: u32) -> Self {
        Self {
            entries: Vec::new(),
            segment: SegmentId(1),
            offset: FIRST_OFFSET,
            segment_bytes,
            next_queue: 1,
            progress: LogProgress::default(),
            is_full: false,
            record_bytes_max: usize::MAX,
            rotten: BTreeSet::new(),
            flush_count: 0,
            clean: true,
            unix_ms: 0,
        }
    }

    fn end(&self) -> Lsn {
        Lsn::new(self.segment, self.offset)
    }

    /// Records, a transaction being one.
    pub(crate) fn record_count(&self) -> usize {
        self.entries.len()
    }

    /// Queues in the last publish.
    pub(crate) fn slot_count(&self) -> usize {
        match self.entries.last().and_then(|entry| entry.records.first()) {
            Some(Record::Publish { slots, .. }) => slots.len(),
            _ => 0,
        }
    }

    /// Records that are not durable yet.
    pub(crate) fn pending_count(&self) -> usize {
        self.entries.len() - self.durable_count()
    }

    /// Places of messages that are not settled.
    pub(crate) fn live_count(&self) -> usize {
        self.replay().queues.iter().map(|queue| queue.live as usize).sum()
    }

    fn durable_count(&self) -> usize {
        self.entries.partition_point(|entry| entry.lsn < self.progress.durable)
    }

    /// Makes `count` more records durable; `sealed` tells whether the segments before may leave memory.
    pub(crate) fn sync(&mut self, count: usize) -> LogProgress {
        let next = self.entries.get(self.durable_count().saturating_add(count));
        let durable = next.map_or_else(|| self.end(), |entry| entry.lsn);
        self.progress.durable = durable;
        self.progress.written = self.progress.written.max(durable);
        self.progress.sealed_below = durable.segment();
        self.progress
    }

    /// Writes everything without a sync.
    pub(crate) fn write(&mut self) -> LogProgress {
        self.progress.written = self.end();
        self.progress
    }

    /// The process dies: of what was not durable, only the first `kept` records survive.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.entries.truncate(self.durable_count() + kept);
        self.restart(false);
    }

    /// What comes now goes into a new segment; everything before is durable.
    pub(crate) fn restart(&mut self, clean: bool) {
        self.clean = clean;
        self.segment = SegmentId(self.segment.0 + 1);
        self.offset = FIRST_OFFSET;
        self.progress = LogProgress { durable: self.end(), written: self.end(), sealed_below: self.segment };
    }

    /// Position of the last record.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.entries.last().map_or(Lsn::NONE, |entry| entry.lsn)
    }

    /// The messages that are not settled, by queue, in order.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<Arc<Message>>> {
        let replayed = self.replay();
        let names =
            replayed.definitions.iter().filter_map(|(key, value)| match Definition::decode(key, value) {
                Ok(Definition::Queue(queue)) => Some((queue.queue, queue.name)),
                _ => None,
            });
        let names: BTreeMap<_, _> = names.collect();
        let mut contents = BTreeMap::new();
        for queue in replayed.queues {
            let live =
                self.entries_of(queue.id).into_values().filter(|entry| !queue.settled.contains(entry.seq));
            let messages = live.map(|entry| self.read_body(queue.id, entry.seq, entry.lsn).unwrap());
            contents.insert(names[&queue.id].clone(), messages.collect());
        }
        contents
    }

    /// The same: what their bodies say before the dots.
    pub(crate) fn survivors(&self) -> BTreeMap<String, Vec<u64>> {
        let number = |message: &Arc<Message>| {
            String::from_utf8_lossy(&message.body).trim_end_matches('.').parse().unwrap()
        };
        let numbers = |messages: Vec<Arc<Message>>| messages.iter().map(number).collect();
        self.contents().into_iter().map(|(name, messages)| (name, numbers(messages))).collect()
    }

    fn append(&mut self, bytes: usize, records: impl FnOnce(Lsn) -> Vec<Record>) -> Lsn {
        let bytes = u32::try_from(bytes + RECORD_OVERHEAD_BYTES).unwrap();
        if self.offset > FIRST_OFFSET && self.offset + bytes > self.segment_bytes {
            self.segment = SegmentId(self.segment.0 + 1);
            self.offset = FIRST_OFFSET;
        }
        let lsn = self.end();
        self.offset += bytes.next_multiple_of(8);
        self.entries.push(Entry { lsn, records: records(lsn) });
        lsn
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.entries.iter().flat_map(|entry| &entry.records)
    }

    fn dropped(&self) -> BTreeSet<QueueId> {
        let dropped = self
            .records()
            .filter_map(|record| if let Record::Drop(queue) = record { Some(*queue) } else { None });
        dropped.collect()
    }

    /// Everything that was published to a queue, settled or not.
    pub(crate) fn entries_of(&self, queue: QueueId) -> BTreeMap<Seq, StoredEntry> {
        entries_in(&self.entries, queue).into_iter().map(|(seq, (_, entry))| (seq, entry)).collect()
    }

    /// The entries of a run, as the segment's index lists them.
    pub(crate) fn read_entries(&self, queue: QueueId, run: Run) -> Result<Vec<StoredEntry>, String> {
        if (run.first.0..=run.last.0).all(|seq| self.rotten.contains(&(queue, Seq(seq)))) {
            return Err("the index of the segment is damaged".into());
        }
        let first = self.entries.partition_point(|entry| entry.lsn.segment() < run.segment);
        let after = self.entries.partition_point(|entry| entry.lsn.segment() <= run.segment);
        let entries = entries_in(&self.entries[first..after], queue).into_values();
        let of_run = entries.filter(|(priority, entry)| {
            *priority == run.priority && (run.first..=run.last).contains(&entry.seq)
        });
        Ok(of_run.map(|(_, entry)| entry).collect())
    }

    /// A message, by its place.
    pub(crate) fn read_body(&self, queue: QueueId, seq: Seq, lsn: Lsn) -> Result<Arc<Message>, String> {
        assert!(lsn < self.progress.durable, "only what is durable is read back");
        if self.rotten.contains(&(queue, seq)) {
            return Err("the checksum does not match".into());
        }
        let after = self.entries.partition_point(|entry| entry.lsn <= lsn);
        let found = self.entries[after - 1].records.iter().find_map(|record| match record {
            Record::Publish { at, message, slots, .. } if at.lsn == lsn => {
                slots.iter().any(|slot| (slot.queue, slot.seq) == (queue, seq)).then(|| Arc::clone(message))
            }
            _ => None,
        });
        found.ok_or_else(|| format!("no message {seq} of queue {queue} at {lsn}"))
    }

    /// When a message was written.
    pub(crate) fn time_of(&self, queue: QueueId, seq: Seq) -> Result<u64, String> {
        let found = self.records().find_map(|record| match record {
            Record::Publish { slots, unix_ms, .. } => {
                slots.iter().any(|slot| (slot.queue, slot.seq) == (queue, seq)).then_some(*unix_ms)
            }
            _ => None,
        });
        found.filter(|_| !self.rotten.contains(&(queue, seq))).ok_or_else(|| "it cannot be read".into())
    }

    /// What a start finds.
    pub(crate) fn replay(&self) -> Replayed {
        let mut definitions = BTreeMap::new();
        for record in self.records() {
            if let Record::Define(changes) = record {
                for (key, value) in changes {
                    match value {
                        Some(value) => definitions.insert(key.clone(), value.clone()),
                        None => definitions.remove(key),
                    };
                }
            }
        }
        let dropped = self.dropped();
        let mut ids = BTreeSet::new();
        for record in self.records() {
            match record {
                Record::Publish { slots, .. } => ids.extend(slots.iter().map(|slot| slot.queue)),
                Record::Purge { queue, .. } => ids.extend([*queue]),
                _ => {}
            }
        }
        ids.retain(|queue| !dropped.contains(queue));
        let queues = ids.into_iter().map(|queue| self.replay_queue(queue)).collect();
        Replayed { definitions: definitions.into_iter().collect(), queues, clean: self.clean }
    }

    fn replay_queue(&self, id: QueueId) -> RecoveredQueue {
        let entries = entries_in(&self.entries, id);
        let mut settled = SettledSet::new();
        let mut delivered = Vec::new();
        let mut next_seq = entries.last_key_value().map_or(Seq(0), |(seq, _)| seq.next());
        for record in self.records() {
            match record {
                Record::Settle(settle) if settle.queue == id => {
                    settled.insert(settle.seq);
                }
                Record::SettleRange(queue, first, last) if *queue == id => {
                    settled.insert_range(*first, *last);
                }
                Record::Purge { queue, last, kept } if *queue == id => {
                    next_seq = next_seq.max(last.next());
                    let gone = entries.range(..=*last).map(|(seq, _)| *seq).filter(|seq| !kept.contains(seq));
                    for seq in gone {
                        settled.insert(seq);
                    }
                }
                Record::Delivered(range) if range.queue == id => delivered.push(*range),
                _ => {}
            }
        }
        let live = entries.keys().filter(|seq| !settled.contains(**seq)).count() as u64;
        let mut runs: Vec<Run> = Vec::new();
        for (priority, entry) in entries.values() {
            let run_of = |run: &&mut Run| (run.segment, run.priority) == (entry.lsn.segment(), *priority);
            match runs.iter_mut().rev().find(run_of) {
                Some(run) => {
                    run.last = entry.seq;
                    run.count += 1;
                    run.bytes += u64::from(entry.record_bytes);
                }
                None => runs.push(Run {
                    segment: entry.lsn.segment(),
                    priority: *priority,
                    first: entry.seq,
                    last: entry.seq,
                    count: 1,
                    bytes: u64::from(entry.record_bytes),
                }),
            }
        }
        let is_live = |run: &Run| entries.range(run.first..=run.last).any(|(seq, _)| !settled.contains(*seq));
        runs.retain(is_live);
        RecoveredQueue { id, group: GroupId(1), next_seq, live, runs, settled, delivered }
    }
}

impl MemoryLog {
    /// Does what a read asks for.
    pub(crate) fn answer(&self, read: Effect) -> Input {
        match read {
            Effect::ReadBodies { queue, wanted } => {
                let read = |(seq, lsn, _)| (seq, self.read_body(queue, seq, lsn));
                Input::Bodies { queue, bodies: wanted.into_iter().map(read).collect() }
            }
            Effect::ReadEntries { queue, run } => {
                Input::Entries { queue, run, entries: self.read_entries(queue, run) }
            }
            Effect::ReadStream { queue, read } => self.answer_stream(queue, read),
            other => panic!("no read: {other:?}"),
        }
    }

    fn answer_stream(&self, queue: QueueId, read: StreamRead) -> Input {
        let answer = match read {
            StreamRead::Window { run, bytes_max } => {
                let entries = self.read_entries(queue, run).unwrap_or_default();
                let mut bytes = 0;
                let within = entries.iter().filter(|entry| (run.first..=run.last).contains(&entry.seq));
                let fitting = within.take_while(|entry| {
                    bytes += entry.record_bytes as usize;
                    entry.seq == run.first || bytes <= bytes_max
                });
                let read = |entry: &StoredEntry| (entry.seq, self.read_body(queue, entry.seq, entry.lsn));
                return Input::Bodies { queue, bodies: fitting.map(read).collect() };
            }
            StreamRead::Since { ticket, runs, unix_ms } => {
                let last = runs.last().unwrap().last;
                let all = runs.iter().flat_map(|run| run.first.0..=run.last.0).map(Seq);
                let times: Result<Vec<_>, _> = all.map(|seq| Ok((seq, self.time_of(queue, seq)?))).collect();
                let since = |times: Vec<(Seq, u64)>| {
                    times.into_iter().find(|(_, at_ms)| *at_ms >= unix_ms).map(|(seq, _)| seq)
                };
                StreamAnswer::Since { ticket, last, unix_ms, found: times.map(since) }
            }
            StreamRead::Time { run } => {
                StreamAnswer::Time { last: run.last, unix_ms: self.time_of(queue, run.last) }
            }
        };
        Input::StreamRead { queue, answer }
    }
}

/// With the priority of each.
fn entries_in(entries: &[Entry], queue: QueueId) -> BTreeMap<Seq, (u8, StoredEntry)> {
    let mut found = BTreeMap::new();
    for record in entries.iter().flat_map(|entry| &entry.records) {
        let Record::Publish { at, message, slots, .. } = record else { continue };
        for slot in slots.iter().filter(|slot| slot.queue == queue) {
            let body_bytes = u32::try_from(message.body.len()).unwrap();
            let stored = StoredEntry {
                seq: slot.seq,
                lsn: at.lsn,
                record_bytes: at.record_bytes,
                body_bytes,
                expire_unix_ms: slot.expire_unix_ms,
            };
            let before = found.insert(slot.seq, (slot.priority, stored));
            assert!(before.is_none(), "a seq is used once");
        }
    }
    found
}

impl Log for MemoryLog {
    fn publish(&mut self, publish: LoggedPublish<'_>) -> Result<Stored, LogRefused> {
        if self.is_full {
            return Err(LogRefused::NoSpace);
        }
        if publish.message.body.len() > self.record_bytes_max {
            return Err(LogRefused::TooLarge);
        }
        let record_bytes = u32::try_from(publish.message.body.len() + RECORD_OVERHEAD_BYTES).unwrap();
        let unix_ms = self.unix_ms;
        let lsn = self.append(publish.message.body.len(), |lsn| {
            let (message, slots) = (Arc::new(publish.message.clone()), publish.slots.to_vec());
            vec![Record::Publish { at: Stored { lsn, record_bytes }, message, slots, unix_ms }]
        });
        Ok(Stored { lsn, record_bytes })
    }

    fn settle(&mut self, settle: LoggedSettle) -> Lsn {
        self.append(0, |_| vec![Record::Settle(settle)])
    }

    fn settle_range(&mut self, queue: QueueId, (first, last): (Seq, Seq), _: SettleReason) -> Lsn {
        self.append(0, |_| vec![Record::SettleRange(queue, first, last)])
    }

    fn transaction(
        &mut self,
        publishes: &[LoggedPublish<'_>],
        settles: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused> {
        if self.is_full {
            return Err(LogRefused::NoSpace);
        }
        let bytes: usize = publishes.iter().map(|one| one.message.body.len() + RECORD_OVERHEAD_BYTES).sum();
        if bytes > self.record_bytes_max {
            return Err(LogRefused::TooLarge);
        }
        let mut stored = Vec::new();
        let unix_ms = self.unix_ms;
        let lsn = self.append(bytes, |lsn| {
            let mut records = Vec::new();
            let mut at = lsn;
            for publish in publishes {
                let record_bytes = u32::try_from(publish.message.body.len() + RECORD_OVERHEAD_BYTES).unwrap();
                let place = Stored { lsn: at, record_bytes };
                stored.push(place);
                let (message, slots) = (Arc::new(publish.message.clone()), publish.slots.to_vec());
                records.push(Record::Publish { at: place, message, slots, unix_ms });
                at = Lsn(at.0 + u64::from(record_bytes.next_multiple_of(8)));
            }
            records.extend(settles.iter().map(|settle| Record::Settle(*settle)));
            records
        });
        Ok((lsn, stored))
    }

    fn define(&mut self, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append(0, |_| vec![Record::Define(changes.to_vec())])
    }

    fn purge(&mut self, queue: QueueId, last: Seq, kept: &[Seq]) -> Lsn {
        self.append(0, |_| vec![Record::Purge { queue, last, kept: kept.to_vec() }])
    }

    fn drop_queue(&mut self, queue: QueueId, changes: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append(0, |_| vec![Record::Drop(queue), Record::Define(changes.to_vec())])
    }

    fn delivered(&mut self, queue: QueueId, first: Seq, last: Seq, count: u32) {
        self.append(0, |_| vec![Record::Delivered(DeliveredRange { queue, first, last, count })]);
    }

    fn next_queue_id(&mut self) -> QueueId {
        self.next_queue += 1;
        QueueId(self.next_queue)
    }

    fn flush(&mut self) {
        self.flush_count += 1;
    }

    fn group(&self) -> GroupId {
        GroupId(1)
    }
}
