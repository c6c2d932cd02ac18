//! Streams in a vhost: who may consume from one, messages going in and out, what is read back, what retention lets go.
//! A consumer of a stream is in the queue's list of consumers like any other, for its turn and its credit; where it stands
//! is the stream's to know. One that has seen everything, or whose next message must be read, sleeps until it is woken.

use super::channels::{Consuming, Until};
use super::command::{Deliver, MethodId, Notice, Reply};
use super::consume::Asked;
use super::counts::HandedOut;
use super::errors::{self, QueueIn};
use super::input::Effect;
use super::timers::Timer;
use super::topology::{QueueRecord, QueueSlot};
use super::{Context, DeliverMode, Vhost};
use crate::limits::{DELIVERIES_PER_TURN, OUTBOX_BYTES_MAX, STREAM_AGES_MS, STREAM_UNIT_BYTES};
use crate::message::Message;
use crate::protocol::reply::{ChannelError, ConnectionError};
use crate::queue::{
    ChannelSlot, Consumer, ConsumerSlot, Filter, Limits, QueueKind, QueueSettings, Start, StreamAnswer,
    StreamRead, Turn, WantedFromStream,
};
use ledgermq_storage::{Lsn, QueueId, Seq};
use std::sync::Arc;

impl QueueRecord {
    /// Whether the log must hold a message that comes here: a stream keeps everything.
    pub(super) fn logs(&self, message: &Message) -> bool {
        self.durable && (message.persistent || self.stream.is_some())
    }

    /// Messages waiting; of a stream, messages kept.
    pub(super) fn ready_count(&self) -> u64 {
        self.stream.as_ref().map_or_else(|| self.queue.ready_count(), |stream| stream.message_count())
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub(super) fn cancel_consumer(&mut self, slot: ConsumerSlot) {
        self.queue.cancel_consumer(slot);
        if let Some(stream) = &mut self.stream {
            stream.cancel_consumer(slot);
        }
    }

    /// The log got further: consumers at the end of the stream may look again.
    pub(super) fn wake_at_end(&mut self) {
        if let Some(stream) = &mut self.stream {
            for consumer in stream.take_at_end() {
                self.queue.rouse_consumer(consumer);
            }
        }
    }

    /// A message entered the stream: written at `unix_ms`, at this place of the log. Answers whether retention is to look.
    fn push(&mut self, message: &Message, at: (Lsn, u32), unix_ms: u64) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let seq = self.queue.draw_seq();
        assert_eq!(seq, stream.next_offset(), "an offset is a seq");
        stream.push(message, at, unix_ms, unit_bytes(&self.settings))
    }

    fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.settings.length_bytes_max,
            age_max_ms: self.settings.max_age_ms,
            unit_bytes: unit_bytes(&self.settings),
        }
    }
}

impl Vhost {
    /// Starts a consumer of a stream. It needs a prefetch of its own, for that is how it says that it keeps up.
    pub(super) fn consume_stream(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        queue: QueueSlot,
        asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let (Some(channel), Some(record)) =
            (self.channels.slots.get_mut(slot), self.topology.queues.get_mut(queue))
        else {
            return Ok(());
        };
        let described = QueueIn(&record.name, &self.config.name);
        if asked.arguments.get("x-priority").is_some() {
            return Err(errors::argument_not_of(QueueKind::Stream, "x-priority", &described));
        }
        let offset = asked.arguments.get("x-stream-offset");
        let start = Start::parse(offset.as_ref(), self.clock.unix_ms())
            .map_err(|problem| errors::invalid_argument("x-stream-offset", &described, &problem))?;
        if channel.prefetch_count == 0 {
            return Err(errors::stream_without_prefetch(&described));
        }
        if asked.no_ack {
            let error = errors::stream_without_acks(&described);
            self.fail_connection(slot, error, method, cx);
            return Ok(());
        }
        let Some(stream) = &mut record.stream else { return Ok(()) };
        let counted = self.consumers.take(Some(self.settings.consumers_max));
        let counted = counted
            .map_err(|limit| errors::consumer_limit(&QueueIn(&record.name, &self.config.name), limit))?;
        let Asked { tag, nowait, arguments, .. } = asked;
        let filter = Filter::parse(&arguments);
        let consumer = Consumer {
            channel: slot,
            tag: Arc::clone(&tag),
            no_ack: false,
            // Everybody reads a stream at a place of their own: nobody needs to be alone.
            exclusive: false,
            prefetch_count: channel.prefetch_count,
            priority: 0,
            timeout_ms: None,
            arguments,
        };
        let told = self.config.events.is_wanted().then(|| consumer.clone());
        let consumer = record.queue.add_consumer(consumer);
        let read = stream.add_consumer(consumer, slot, start, filter);
        let id = record.queue.id();
        channel.consumers.insert(Arc::clone(&tag), Consuming { queue, consumer, _counted: counted });
        channel.queues.insert(queue);
        if let Some(told) = told {
            self.announce_consumer_created(queue, &told, cx);
        }
        self.answer_now(slot, nowait, Reply::Consuming { tag }, cx);
        ask(id, read, cx);
        self.look_at(queue);
        Ok(())
    }

    /// Closes the connection of a channel for an error of its client.
    pub(super) fn fail_connection(
        &mut self,
        slot: ChannelSlot,
        error: ConnectionError,
        method: MethodId,
        cx: &mut Context<'_>,
    ) {
        self.tell(slot, Notice::ConnectionFailed(error, method), Until::NOW, cx);
        self.shut_channel(slot, cx);
    }

    /// Closes the connection if the queue is a stream, which does not know `what` (`basic.get` or `queue.purge`). Answers
    /// whether it did.
    pub(super) fn refuse_for_stream(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        queue: QueueSlot,
        what: &str,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(record) = self.topology.queues.get(queue).filter(|record| record.stream.is_some()) else {
            return false;
        };
        let error = errors::not_by_streams(what, &QueueIn(&record.name, &self.config.name));
        self.fail_connection(slot, error, method, cx);
        true
    }

    /// Puts a logged message into a stream. Answers whether it is to be trimmed.
    pub(super) fn enqueue_in_stream(&mut self, slot: QueueSlot, message: &Message, at: (Lsn, u32)) -> bool {
        let Some(record) = self.topology.queues.get_mut(slot) else { return false };
        let trims = record.push(message, at, self.clock.unix_ms());
        if record.stream.as_ref().is_some_and(|stream| stream.is_awaited()) {
            match self.config.deliver {
                DeliverMode::Immediate => {
                    record.wake_at_end();
                    self.look_at(slot);
                }
                DeliverMode::AfterDurable => self.wait_for_log(slot),
            }
        }
        trims
    }

    /// Hands out what the consumers of a stream can take, for at most a turn.
    pub(super) fn run_stream(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let mut goes_on = true;
        for _ in 0..DELIVERIES_PER_TURN {
            goes_on = self.stream_step(slot, cx);
            if !goes_on {
                break;
            }
        }
        self.read_stream(slot, cx);
        if self
            .topology
            .queues
            .get(slot)
            .and_then(|record| record.stream.as_ref())
            .is_some_and(|one| one.wants_trim())
        {
            self.trim_stream(slot, cx);
        }
        if goes_on {
            self.look_at(slot);
        } else if let Some(stream) =
            self.topology.queues.get_mut(slot).and_then(|record| record.stream.as_mut())
        {
            stream.rest();
        }
    }

    /// One message goes out or is passed over, or one consumer goes to sleep. Answers whether somebody is left.
    fn stream_step(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> bool {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return false };
        let Some(stream) = &mut record.stream else { return false };
        let Some((consumer_slot, consumer)) = record.queue.next_consumer() else { return false };
        match stream.turn(consumer_slot, marks) {
            Turn::Ready => {}
            Turn::Passed => return true,
            Turn::AtEnd | Turn::Later => {
                let waits_for_log = stream.wait_at_end(consumer_slot);
                record.queue.consumer_sleeps(consumer_slot);
                if waits_for_log {
                    self.wait_for_log(slot);
                }
                return true;
            }
            Turn::Reading => {
                stream.await_bodies(consumer_slot);
                record.queue.consumer_sleeps(consumer_slot);
                return true;
            }
        }
        let Some(channel) = self.channels.slots.get_mut(consumer.channel) else { return false };
        let Some(connection) = self.channels.connections.get_mut(channel.connection) else { return false };
        let outbox_full = connection.outbox_bytes >= OUTBOX_BYTES_MAX;
        if outbox_full || !channel.has_credit() {
            connection.has_sleepers |= outbox_full;
            if record.queue.consumer_sleeps(consumer_slot) {
                channel.sleepers.push((slot, consumer_slot));
            }
            return true;
        }
        let (channel_slot, tag) = (consumer.channel, Arc::clone(&consumer.tag));
        let Some((delivery, message)) = stream.take(consumer_slot) else { return false };
        record.queue.consumer_took(consumer_slot);
        connection.outbox_bytes += message.resident_bytes();
        channel.unacked_count += 1;
        channel.consumed_count += 1;
        self.totals.delivered_count += 1;
        let how = HandedOut { is_get: false, no_ack: false, redelivered: false };
        channel.counts.out.note(how);
        record.counts.out.note(how);
        record.active_unix_ms = self.clock.unix_ms();
        let queue = record.queue.id();
        if self.traces {
            self.trace_delivery(channel_slot, &message, slot, false, cx);
        }
        let deliver = Deliver { tag, queue, seq: delivery, redelivered: false, no_ack: false, message };
        self.tell(channel_slot, Notice::Deliver(deliver), Until::NOW, cx);
        true
    }

    /// Asks for what consumers of a stream wait for.
    fn read_stream(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let Some(stream) = &mut record.stream else { return };
        let (queue, consumers) = (record.queue.id(), &record.queue);
        while let Some(wanted) = stream.wanted(marks, |consumer| consumers.credit_of(consumer)) {
            match wanted {
                WantedFromStream::Read(read) => ask(queue, Some(read), cx),
                WantedFromStream::Bodies(wanted) => {
                    cx.effects.effects.push(Effect::ReadBodies { queue, wanted });
                }
            }
        }
    }

    /// Messages of a stream were read back.
    pub(super) fn stream_bodies_read(
        &mut self,
        slot: QueueSlot,
        bodies: Vec<(Seq, Result<Arc<Message>, String>)>,
        cx: &mut Context<'_>,
    ) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let Some(stream) = &mut record.stream else { return };
        for (seq, problem) in stream.bodies_read(bodies) {
            self.totals.damaged_count += 1;
            let queue = Arc::clone(&record.name);
            cx.effects.effects.push(Effect::Damaged { queue, first: seq, last: seq, count: 1, problem });
        }
        for consumer in stream.take_awaiting() {
            record.queue.rouse_consumer(consumer);
        }
        // The next in turn waits for the disk, not for those that go on now.
        self.read_stream(slot, cx);
        self.look_at(slot);
    }

    /// What was looked up for a stream.
    pub(super) fn stream_read(&mut self, queue: QueueId, answer: StreamAnswer, cx: &mut Context<'_>) {
        let Some(slot) = self.topology.queue_numbered(queue) else { return };
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let Some(stream) = &mut record.stream else { return };
        match answer {
            StreamAnswer::Since { ticket, last, unix_ms, found } => {
                let (consumer, read) = stream.sought(ticket, last, unix_ms, &found);
                if let Some(consumer) = consumer {
                    record.queue.rouse_consumer(consumer);
                }
                ask(queue, read, cx);
                self.look_at(slot);
            }
            StreamAnswer::Time { last, unix_ms } => {
                stream.dated(last, unix_ms.ok());
                self.trim_stream(slot, cx);
            }
        }
    }

    /// Settles a delivery of a stream: the consumer gets its credit back, and the message stays.
    pub(super) fn settle_in_stream(&mut self, slot: ChannelSlot, queue: QueueSlot, delivery: Seq) {
        let Some(record) = self.topology.queues.get_mut(queue) else { return };
        let Some(stream) = &mut record.stream else { return };
        let Some(consumer) = stream.settle(delivery, slot) else { return };
        record.queue.consumer_settled(consumer);
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.unacked_count -= 1;
            channel.consumed_count -= 1;
        }
        self.look_at(queue);
    }

    /// Settles everything a channel holds of a stream; answers how many messages.
    pub(super) fn settle_all_in_stream(&mut self, slot: ChannelSlot, queue: QueueSlot) -> u64 {
        let Some(record) = self.topology.queues.get_mut(queue) else { return 0 };
        let Some(stream) = &mut record.stream else { return 0 };
        let settled = stream.settle_all_of(slot);
        for consumer in &settled {
            record.queue.consumer_settled(*consumer);
        }
        self.look_at(queue);
        settled.len() as u64
    }

    /// The segments below are sealed.
    pub(super) fn seal_streams(&mut self, cx: &mut Context<'_>) {
        let sealed_below = self.progress.sealed_below;
        for stream in self.topology.queues.values_mut().filter_map(|record| record.stream.as_mut()) {
            stream.seal(sealed_below);
        }
        let streams = self.topology.queues.iter().filter(|(_, record)| record.stream.is_some());
        let streams: Vec<_> = streams.map(|(slot, _)| slot).collect();
        for slot in streams {
            self.trim_stream(slot, cx);
        }
    }

    /// Lets go of what is beyond the limits of a stream.
    pub(super) fn trim_stream(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let limits = record.limits();
        let queue = record.queue.id();
        let Some(stream) = &mut record.stream else { return };
        let again_ms = limits.age_max_ms.map(|_| self.clock.monotonic_ms() + STREAM_AGES_MS);
        self.timers.set(Timer::Tend, slot, &mut record.life.tend_at, again_ms);
        let (trimmed, undated) = stream.trim(limits, self.clock.unix_ms());
        for trimmed in trimmed {
            cx.log.settle_range(queue, (trimmed.first, trimmed.last), trimmed.reason);
        }
        ask(queue, undated.map(|run| StreamRead::Time { run }), cx);
    }

    /// Has the queue looked at once the log got further.
    fn wait_for_log(&mut self, slot: QueueSlot) {
        if let Some(record) = self.topology.queues.get_mut(slot)
            && !record.is_waiting
        {
            record.is_waiting = true;
            self.waiting.push(slot);
        }
    }
}

/// The unit of retention, bytes.
fn unit_bytes(settings: &QueueSettings) -> u64 {
    settings.stream_segment_bytes.unwrap_or(STREAM_UNIT_BYTES).max(1)
}

fn ask(queue: QueueId, read: Option<StreamRead>, cx: &mut Context<'_>) {
    cx.effects.effects.extend(read.map(|read| Effect::ReadStream { queue, read }));
}
