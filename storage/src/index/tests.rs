//! The index against a plain model, replay from any point, and its rows.

use super::*;
use crate::record::SettleRange;
use crate::record::{DeliveredRange, Publish, SettleReason, Slot, decode};
use crate::record_encode::{self as encode, Stamp};
use proptest::prelude::*;

const SEED: u32 = 77;

/// A log in memory: what was appended, and the index it amounts to.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) index: Index,
    records: Vec<(Lsn, Vec<u8>)>,
    at: Lsn,
    number: u64,
}

impl Log {
    pub(crate) fn new() -> Log {
        Log { index: Index::new(), records: Vec::new(), at: Lsn::new(SegmentId(1), 4096), number: 1 }
    }

    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>, &Stamp)) {
        let stamp = Stamp { group: GroupId(3), number: self.number, unix_ms: 9, seed: SEED };
        let mut bytes = Vec::new();
        encode(&mut bytes, &stamp);
        self.number += 1;
        apply(&mut self.index, self.at, &bytes);
        let next = Lsn(self.at.0 + bytes.len() as u64);
        self.records.push((self.at, bytes));
        self.at = next;
        self.index.advance(next);
    }

    /// Slots: queue, position, priority.
    pub(crate) fn publish(&mut self, slots: &[(u32, u64, u8)], body_bytes: usize) {
        let slots: Vec<Slot> = slots.iter().map(slot).collect();
        let body = vec![1; body_bytes];
        let publish = publish(&slots, &body);
        self.append(|into, stamp| encode::encode_publish(into, stamp, &publish));
    }

    pub(crate) fn settle(&mut self, queue: u32, first: u64, count: u32) {
        let range = SettleRange { queue: QueueId(queue), first: Seq(first), count };
        self.append(|into, stamp| {
            encode::encode_settle(into, stamp, SettleReason::Ack, std::iter::once(range));
        });
    }

    fn transaction(&mut self, slots: &[(u32, u64, u8)], settled: (u32, u64)) {
        let slots: Vec<Slot> = slots.iter().map(slot).collect();
        let range = SettleRange { queue: QueueId(settled.0), first: Seq(settled.1), count: 1 };
        self.append(|into, stamp| {
            encode::encode_transaction(into, stamp, |into| {
                encode::encode_publish(into, stamp, &publish(&slots, b"body"));
                encode::encode_settle(into, stamp, SettleReason::Ack, std::iter::once(range));
            });
        });
    }

    pub(crate) fn define(&mut self, changes: &[(&str, Option<&str>)]) {
        let change = |(name, value): &(&str, Option<&str>)| {
            let key = DefinitionKey { kind: 2, name: name.as_bytes().to_vec() };
            (key, value.map(|value| value.as_bytes().to_vec()))
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        self.append(|into, stamp| encode::encode_define(into, stamp, &changes));
    }

    fn purge(&mut self, queue: u32, last: u64, kept: &[u64]) {
        let kept: Vec<Seq> = kept.iter().copied().map(Seq).collect();
        self.append(|into, stamp| {
            encode::encode_purge(into, stamp, QueueId(queue), Seq(0), Seq(last), &kept)
        });
    }

    fn drop_queue(&mut self, queue: u32) {
        self.append(|into, stamp| encode::encode_drop_queue(into, stamp, QueueId(queue), &[]));
    }

    fn relocate(&mut self, target: u32, sources: &[SegmentId]) {
        let target = SegmentId(SegmentId::COLD | target);
        self.append(|into, stamp| encode::encode_relocate(into, stamp, target, 8192, sources));
    }

    fn deliver(&mut self, ranges: &[DeliveredRange]) {
        self.append(|into, stamp| encode::encode_delivered(into, stamp, ranges));
    }

    /// The next record goes into the next segment.
    pub(crate) fn roll(&mut self) {
        self.at = Lsn::new(SegmentId(self.at.segment().0 + 1), 4096);
    }
}

fn apply(index: &mut Index, at: Lsn, bytes: &[u8]) {
    let (header, view) = decode(bytes, SEED).unwrap();
    index.apply(at, &header, &view);
}

fn slot((queue, seq, priority): &(u32, u64, u8)) -> Slot {
    Slot { queue: QueueId(*queue), seq: Seq(*seq), priority: *priority, expire_unix_ms: 0 }
}

fn publish<'a>(slots: &'a [Slot], body: &'a [u8]) -> Publish<'a> {
    Publish {
        exchange: "e",
        routing_key: "k",
        properties: b"p",
        body,
        persistent: true,
        dead_lettered: false,
        slots,
    }
}

/// Compares what two indexes say, leaving out what they remember of unsaved rows and unwritten entries.
pub(crate) fn assert_same(one: &Index, other: &Index) {
    let rows = |index: &Index| {
        let mut rows = Vec::new();
        index.all_rows(|row| rows.push(row));
        rows
    };
    assert_eq!(one.marks(), other.marks());
    assert_eq!(one.segments, other.segments);
    assert_eq!(one.definitions, other.definitions);
    for (id, queue) in one.queues() {
        assert_eq!(Some(queue.live()), other.queue(id).map(QueueState::live), "queue {id}");
        assert_eq!(Some(queue.runs()), other.queue(id).map(QueueState::runs), "queue {id}");
        assert_eq!(Some(queue.delivered(id)), other.queue(id).map(|queue| queue.delivered(id)));
    }
    assert!(rows(one) == rows(other), "the rows differ");
}

fn reloaded(index: &Index) -> Index {
    let mut rows = Vec::new();
    index.all_rows(|row| rows.push((row.key, row.value.unwrap())));
    rows.reverse();
    Index::from_rows(rows.into_iter()).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(u32, u8)>),
    Transaction(u32, u32, u64),
    Settle(u32, u64, u32),
    Purge(u32, Vec<u64>),
    Drop(u32),
    Define(u8, bool),
    Relocate,
    Deliver(u32, u64, u64),
    Roll,
}

fn step() -> impl Strategy<Value = Step> {
    let queue = 1..5u32;
    prop_oneof![
        12 => prop::collection::btree_map(queue.clone(), 0..3u8, 1..4).prop_map(|slots| Step::Publish(slots.into_iter().collect())),
        2 => (queue.clone(), queue.clone(), 0..40u64).prop_map(|(to, from, seq)| Step::Transaction(to, from, seq)),
        8 => (queue.clone(), 0..60u64, 1..12u32).prop_map(|(queue, first, count)| Step::Settle(queue, first, count)),
        1 => (queue.clone(), prop::collection::vec(0..60u64, 0..4)).prop_map(|(queue, kept)| Step::Purge(queue, kept)),
        1 => queue.clone().prop_map(Step::Drop),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(name, set)| Step::Define(name % 4, set)),
        1 => Just(Step::Relocate),
        1 => (queue, 0..60u64, 0..9u64).prop_map(|(queue, first, more)| Step::Deliver(queue, first, first + more)),
        3 => Just(Step::Roll),
    ]
}

/// What is not settled, spelled out.
#[derive(Clone, Default)]
struct Model {
    live: BTreeMap<u32, BTreeMap<u64, SegmentId>>,
    next: BTreeMap<u32, u64>,
    logged: BTreeMap<u32, BTreeSet<u64>>,
    /// A queue dropped and declared again has another id.
    incarnations: BTreeMap<u32, u32>,
}

/// The step with the ids that its queues have now.
fn renumbered(model: &Model, step: &Step) -> Step {
    let id = |queue: &u32| queue + model.incarnations.get(queue).copied().unwrap_or(0);
    match step.clone() {
        Step::Publish(slots) => {
            Step::Publish(slots.iter().map(|(queue, priority)| (id(queue), *priority)).collect())
        }
        Step::Transaction(to, from, seq) => Step::Transaction(id(&to), id(&from), seq),
        Step::Settle(queue, first, count) => Step::Settle(id(&queue), first, count),
        Step::Purge(queue, kept) => Step::Purge(id(&queue), kept),
        Step::Deliver(queue, first, last) => Step::Deliver(id(&queue), first, last),
        step @ (Step::Drop(_) | Step::Define(..) | Step::Relocate | Step::Roll) => step,
    }
}

fn run(log: &mut Log, model: &mut Model, cold: &mut u32, step: &Step) {
    let next = |model: &mut Model, queue: u32| {
        let next = model.next.entry(queue).or_default();
        // Transient messages take positions too.
        *next += 1 + *next % 3 / 2;
        *next - 1
    };
    let segment = log.at.segment();
    match step {
        Step::Publish(slots) => {
            let slots: Vec<_> =
                slots.iter().map(|(queue, priority)| (*queue, next(model, *queue), *priority)).collect();
            log.publish(&slots, 30);
            for (queue, seq, _) in slots {
                model.live.entry(queue).or_default().insert(seq, segment);
                model.logged.entry(queue).or_default().insert(seq);
            }
        }
        Step::Transaction(to, from, seq) => {
            // The broker settles logged messages only.
            if !model.logged.get(from).is_some_and(|logged| logged.contains(seq)) {
                return;
            }
            let place = (*to, next(model, *to), 0);
            log.transaction(&[place], (*from, *seq));
            model.live.entry(place.0).or_default().insert(place.1, segment);
            model.logged.entry(place.0).or_default().insert(place.1);
            model.live.entry(*from).or_default().remove(seq);
        }
        Step::Settle(queue, first, count) => {
            // Ranges are unbroken.
            let Some(logged) = model.logged.get(queue) else { return };
            let range =
                (*first..*first + u64::from(*count)).take_while(|seq| logged.contains(seq)).count() as u32;
            if range > 0 {
                log.settle(*queue, *first, range);
                let gone = *first..*first + u64::from(range);
                model.live.entry(*queue).or_default().retain(|seq, _| !gone.contains(seq));
            }
        }
        Step::Purge(queue, kept) => {
            let kept: BTreeSet<u64> = kept.iter().copied().collect();
            let last = model.next.get(queue).copied().unwrap_or(0);
            log.purge(*queue, last, &kept.iter().copied().collect::<Vec<_>>());
            model.next.insert(*queue, last + 1);
            model.live.entry(*queue).or_default().retain(|seq, _| kept.contains(seq));
        }
        Step::Drop(queue) => {
            let id = queue + model.incarnations.get(queue).copied().unwrap_or(0);
            log.drop_queue(id);
            model.live.remove(&id);
            model.logged.remove(&id);
            model.next.remove(&id);
            *model.incarnations.entry(*queue).or_default() += 10;
        }
        Step::Define(name, set) => {
            let name = format!("name {name}");
            log.define(&[(&name, set.then_some("value")), ("other", Some("x"))]);
        }
        Step::Relocate => {
            let current = log.index.current();
            let sources: Vec<SegmentId> =
                log.index.segments().map(|(id, _)| id).filter(|id| *id != current && id.0 % 3 != 0).collect();
            if !sources.is_empty() {
                *cold += 1;
                log.relocate(*cold, &sources);
                let target = SegmentId(SegmentId::COLD | *cold);
                let places = model.live.values_mut().flat_map(BTreeMap::values_mut);
                places.filter(|segment| sources.contains(segment)).for_each(|segment| *segment = target);
            }
        }
        Step::Deliver(queue, first, last) => {
            let range = DeliveredRange {
                queue: QueueId(*queue),
                first: Seq(*first),
                last: Seq(*last),
                count: *last as u32,
            };
            log.deliver(&[range]);
        }
        Step::Roll => log.roll(),
    }
}

fn check(index: &Index, model: &Model) {
    let mut live_slots: BTreeMap<SegmentId, u64> = BTreeMap::new();
    for (queue, live) in &model.live {
        let exact = !index.recounts.contains(&QueueId(*queue));
        for (seq, segment) in live {
            assert!(index.is_live(QueueId(*queue), Seq(*seq), *segment), "queue {queue}, {seq} in {segment}");
        }
        let counted = index.queue(QueueId(*queue)).map_or(0, QueueState::live);
        assert!(
            counted == live.len() as u64 || (!exact && counted > live.len() as u64),
            "queue {queue}: {counted}"
        );
        for seq in model.logged.get(queue).into_iter().flatten().filter(|seq| !live.contains_key(seq)) {
            let segments = index.segments().filter(|(id, _)| index.is_live(QueueId(*queue), Seq(*seq), *id));
            assert_eq!(segments.count(), 0, "queue {queue}, {seq} is settled");
        }
        for segment in live.values() {
            *live_slots.entry(*segment).or_default() += 1;
        }
    }
    for (id, segment) in index.segments() {
        let live = live_slots.get(&id).copied().unwrap_or(0);
        assert!(segment.live_slots >= live, "segment {id} could be freed with {live} live messages in it");
        assert!(
            segment.live_slots == live || !index.recounts.is_empty(),
            "segment {id}: {}",
            segment.live_slots
        );
    }
}

proptest! {
    #[test]
    fn the_index_is_what_the_log_amounts_to(steps in prop::collection::vec(step(), 1..80), from in 0..80usize) {
        let (mut log, mut model, mut cold) = (Log::new(), Model::default(), 0);
        let mut saved = None;
        for (at, step) in steps.iter().enumerate() {
            let step = renumbered(&model, step);
            run(&mut log, &mut model, &mut cold, &step);
            check(&log.index, &model);
            if at == from {
                saved = Some(log.index.clone());
            }
        }
        if log.records.is_empty() {
            return Ok(());
        }
        // Its rows are all there is to it.
        assert_same(&reloaded(&log.index), &log.index);
        // From any saved state, replaying everything again, also what the state holds, arrives at the same.
        let saved = saved.filter(|index| index.applied() != Lsn::NONE);
        let mut replayed = saved.as_ref().map(reloaded).unwrap_or_default();
        for (at, bytes) in &log.records {
            apply(&mut replayed, *at, bytes);
            replayed.advance(Lsn(at.0 + bytes.len() as u64));
        }
        if saved.is_none() {
            assert_same(&replayed, &log.index);
        } else {
            check(&replayed, &model);
        }
        // The rows that were unsaved, put upon those saved before, are all rows.
        if let Some(mut first) = saved {
            let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            first.all_rows(|row| drop(rows.insert(row.key, row.value.unwrap())));
            first.take_unsaved();
            for (at, bytes) in &log.records {
                apply(&mut first, *at, bytes);
                first.advance(Lsn(at.0 + bytes.len() as u64));
            }
            for row in first.take_unsaved() {
                match row.value {
                    Some(value) => drop(rows.insert(row.key, value)),
                    None => drop(rows.remove(&row.key)),
                }
            }
            assert_same(&Index::from_rows(rows.into_iter()).unwrap(), &first);
        }
    }
}

#[test]
fn a_sealed_segment_hands_its_entries_over_in_the_order_of_the_log() {
    let mut log = Log::new();
    log.publish(&[(1, 0, 0), (2, 0, 5)], 10);
    log.publish(&[(1, 1, 0)], 20);
    log.roll();
    log.publish(&[(1, 2, 0)], 30);
    let sealed = log.index.take_sealed();
    assert_eq!(sealed.len(), 1);
    let places: Vec<_> = sealed[0]
        .entries
        .iter()
        .map(|entry| (entry.queue.0, entry.stored.seq.0, entry.stored.body_bytes))
        .collect();
    assert_eq!(places, [(1, 0, 10), (2, 0, 10), (1, 1, 20)]);
    assert_eq!(sealed[0].end, log.index.segment(SegmentId(1)).unwrap().end);
    // Loaded in the middle of a segment, the entries before are unknown: none are handed over.
    let mut loaded = reloaded(&log.index);
    let (at, bytes) = (log.at, log.records[2].1.clone());
    apply(&mut loaded, at, &bytes);
    loaded.seal();
    assert_eq!(loaded.take_sealed(), []);
}

#[test]
fn a_hundred_thousand_segments_of_one_queue_are_a_hundred_thousand_small_things() {
    assert!(size_of::<queue::Stretch>() <= 72, "{}", size_of::<queue::Stretch>());
    assert!(size_of::<IndexEntry>() <= 40, "{}", size_of::<IndexEntry>());
}

#[test]
fn a_range_delivered_twice_has_the_later_count() {
    let mut log = Log::new();
    for seq in 0..20 {
        log.publish(&[(1, seq, 0)], 1);
    }
    let range =
        |first, last, count| DeliveredRange { queue: QueueId(1), first: Seq(first), last: Seq(last), count };
    log.deliver(&[range(2, 15, 1)]);
    log.deliver(&[range(5, 6, 2), range(14, 18, 3)]);
    let expected = vec![range(2, 4, 1), range(5, 6, 2), range(7, 13, 1), range(14, 18, 3)];
    assert_eq!(log.index.queue(QueueId(1)).unwrap().delivered(QueueId(1)), expected);
    // One by one, in any order, they join.
    log.deliver(&[range(5, 5, 1), range(19, 19, 3), range(6, 6, 1)]);
    let expected = vec![range(2, 13, 1), range(14, 19, 3)];
    assert_eq!(log.index.queue(QueueId(1)).unwrap().delivered(QueueId(1)), expected);
}

#[test]
fn rows_that_contradict_one_another_are_refused() {
    let mut log = Log::new();
    log.publish(&[(1, 0, 0)], 1);
    log.roll();
    log.publish(&[(1, 1, 0), (2, 1, 0)], 1);
    let mut rows = Vec::new();
    log.index.all_rows(|row| rows.push((row.key, row.value.unwrap())));
    assert!(Index::from_rows(rows.clone().into_iter()).is_ok());
    for left_out in 0..rows.len() {
        // A queue's own row holds nothing that the others would miss but its next position.
        let mut rest = rows.clone();
        rest.remove(left_out);
        assert!(Index::from_rows(rest.into_iter()).is_err(), "without row {:?}", rows[left_out].0);
    }
    for (at, (key, value)) in rows.iter().enumerate() {
        for bit in 0..value.len() * 8 {
            let mut flipped = rows.clone();
            flipped[at].1[bit / 8] ^= 1 << (bit % 8);
            assert!(Index::from_rows(flipped.into_iter()).is_err(), "bit {bit} of row {key:?}");
        }
    }
}
