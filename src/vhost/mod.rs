//! The vhost: one value that owns the exchanges, queues and consumers of a namespace. Pure: inputs in, effects out.
//!
//! Its driver feeds it [`Input`]s with the time and a [`Log`] to append to, and carries out the [`Effects`]. Commands are
//! done one after another, each to its end; what must wait for the disk is held back as a notice, never as half a
//! command. At the end of every input the queues that something happened to are looked at once ([`dispatch`]).
//!
//! A publish: [`publish`] → [`routing`] → [`crate::queue::Queue::enqueue`] → [`log`] → [`channels`] (confirm)
//! → [`dispatch`] → [`settle`].

pub mod command;
pub mod counts;
mod event_terms;
pub mod events;
pub mod figures;
pub mod input;
pub mod log;
pub mod report;
pub mod sizes;
pub mod views;

mod bindings;
mod channels;
mod commit;
mod consume;
mod consumer_timeout;
mod dead_letter;
mod deaths;
mod delayed;
mod deletion;
mod direct_reply;
mod dispatch;
mod errands;
mod errors;
mod exchanges;
mod inspect;
mod lease;
mod lifecycle;
mod lifetime;
mod names;
mod objects;
mod orders;
mod policies;
mod policy;
mod policy_keys;
mod publish;
mod queues;
mod restore;
mod returns;
mod routing;
mod settle;
mod slab;
mod streams;
mod timers;
mod topology;
mod trace;
mod transaction;

pub use consume::CONSUMER_ARGUMENTS;
pub use objects::{BindingObject, BindingPlace, ExchangeObject, Named, QueueObject};
pub use policy::{PolicyLayer, check_policy};
pub use policy_keys::{POLICY_KEYS, PolicyKey};
pub use restore::RestoreError;

use crate::auth::Tally;
use crate::budget::Budget;
use crate::limits::{
    BINDINGS_PER_VHOST_MAX, CONSUMERS_PER_VHOST_MAX, EXCHANGES_PER_VHOST_MAX, QUEUES_PER_VHOST_MAX,
};
use crate::protocol::reply::ChannelError;
use crate::queue::{ChannelSlot, QueueKind, Watermarks};
use channels::{Channels, Until};
use command::{Command, Envelope, MethodId, Notice, Reply};
use consumer_timeout::ConsumerTimeouts;
use deletion::Deletion;
use direct_reply::ReplyConsumers;
use events::{Acting, EVENT_VHOST, EventTap};
use figures::ByKind;
use input::{Effect, Effects, Input, LogProgress, Operator};
use ledgermq_storage::{Lsn, Slot};
use lifetime::Clock;
use log::Log;
use names::Names;
use policy::Policies;
use report::VhostTotals;
use sizes::MessageSizes;
use std::collections::VecDeque;
use std::sync::Arc;
use timers::Timers;
use topology::{QueueSlot, Topology};

/// The time, as the driver reads it once per batch of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the process started; never goes back.
    pub monotonic_ms: u64,
    /// Wall clock, milliseconds since 1970.
    pub unix_ms: u64,
}

/// When a persistent message may be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliverMode {
    /// Once it is durable: nobody acts on a message that a crash can un-happen.
    #[default]
    AfterDurable,
    /// At once: lower latency, and a consumer may see a message that a crash then loses.
    Immediate,
}

/// What a vhost is told at birth.
#[derive(Clone, Debug)]
pub struct VhostConfig {
    /// Its name, for reply texts.
    pub name: Arc<str>,
    /// When persistent messages are delivered.
    pub deliver: DeliverMode,
    /// How long a delivery may stay unacknowledged, ms; 0 = as long as it likes.
    pub consumer_timeout_ms: u64,
    /// Memory for message bodies, shared by all vhosts.
    pub budget: Budget,
    /// Randomness for server-generated names, fresh for every vhost and start.
    pub names_seed: [u8; 32],
    /// Whether anybody wants to hear of events; one for all vhosts.
    pub events: EventTap,
}

/// What an operator may change of a vhost while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VhostSettings {
    /// The type of queues that name none; where they cannot be of it, they are classic.
    pub default_queue_kind: QueueKind,
    /// Queues there may be; more: 406. `None` = as many as fit.
    pub queues_max: Option<u64>,
    /// Exchanges there may be; more: 406.
    pub exchanges_max: u64,
    /// Bindings there may be; more: 406.
    pub bindings_max: u64,
    /// Consumers there may be; more: 406.
    pub consumers_max: u64,
}

impl Default for VhostSettings {
    fn default() -> Self {
        Self {
            default_queue_kind: QueueKind::default(),
            queues_max: Some(QUEUES_PER_VHOST_MAX),
            exchanges_max: EXCHANGES_PER_VHOST_MAX,
            bindings_max: BINDINGS_PER_VHOST_MAX,
            consumers_max: CONSUMERS_PER_VHOST_MAX,
        }
    }
}

/// One namespace with all it holds.
#[derive(Debug)]
pub struct Vhost {
    config: VhostConfig,
    settings: VhostSettings,
    policies: Policies,
    topology: Topology,
    channels: Channels,
    progress: LogProgress,
    /// The last record that changed definitions: whoever asks about them is answered once it is durable.
    defined: Lsn,
    names: Names,
    /// Queues to be looked at before the input is done.
    runnable: VecDeque<QueueSlot>,
    /// Queues whose first message waits for the log.
    waiting: Vec<QueueSlot>,
    /// Answers to others than channels that wait for the log.
    deferred: Vec<(Until, Effect)>,
    totals: VhostTotals,
    sizes: MessageSizes,
    /// What queues counted that are gone, by kind.
    gone: ByKind,
    replies: ReplyConsumers,
    /// Consumers of all channels.
    consumers: Tally,
    timeouts: ConsumerTimeouts,
    /// Copies of all messages go to the trace exchange.
    traces: bool,
    /// Who makes happen what happens now.
    acting: Acting,
    /// Whose order it is, if it is an operator's.
    operator: Operator,
    /// The generation of the topology at which the audience of events was looked at.
    audience_at: u64,
    clock: Clock,
    timers: Timers,
    /// Queues that refuse publishes when they are full.
    refusing_count: usize,
    /// Messages that may still leave unconsumed during this input, bytes.
    leaving_bytes_left: usize,
    /// The last record by which a message left unconsumed.
    buried: Lsn,
    /// Channels with a command that waits for bodies.
    parked: Vec<ChannelSlot>,
    /// Deletions that wait for them, too.
    deletions: Vec<Deletion>,
    /// What operators want and what waits for them as well.
    errands: Vec<(Operator, errands::Errand)>,
    /// What would wait for bodies does not now.
    is_impatient: bool,
    /// Kept from publish to publish to spare allocations.
    slots: Vec<Slot>,
}

/// What a command needs besides the vhost.
struct Context<'a> {
    log: &'a mut dyn Log,
    effects: &'a mut Effects,
}

impl Vhost {
    /// A vhost with nothing but the predeclared exchanges.
    pub fn new(config: VhostConfig) -> Self {
        let names = Names::new(config.names_seed);
        Self {
            topology: Topology::new(names.number(), *config.name == *EVENT_VHOST),
            names,
            config,
            settings: VhostSettings::default(),
            policies: Policies::default(),
            channels: Channels::default(),
            progress: LogProgress::default(),
            defined: Lsn::NONE,
            runnable: VecDeque::new(),
            waiting: Vec::new(),
            deferred: Vec::new(),
            totals: VhostTotals::default(),
            sizes: MessageSizes::default(),
            gone: ByKind::default(),
            replies: ReplyConsumers::default(),
            consumers: Tally::default(),
            timeouts: ConsumerTimeouts::default(),
            traces: false,
            acting: Acting::default(),
            operator: Operator::default(),
            audience_at: 0,
            clock: Clock::default(),
            timers: Timers::default(),
            refusing_count: 0,
            leaving_bytes_left: 0,
            buried: Lsn::NONE,
            parked: Vec::new(),
            deletions: Vec::new(),
            errands: Vec::new(),
            is_impatient: false,
            slots: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Takes over what an operator set; what stands already is not touched.
    pub fn configure(&mut self, settings: VhostSettings) {
        self.settings = settings;
    }

    /// Takes one input: appends to `log` what must survive, adds to `effects` what must be told or done. `now` is for
    /// what expires.
    pub fn apply(&mut self, input: Input, now: Now, log: &mut dyn Log, effects: &mut Effects) {
        let cx = &mut Context { log, effects };
        self.acting = Acting::Internal;
        self.timeouts.note_time(now.monotonic_ms);
        self.begin_input(now, cx);
        match input {
            Input::Commands(envelopes) => {
                for envelope in envelopes {
                    self.command(envelope, cx);
                }
            }
            Input::Progress(progress) => self.log_moved(progress, cx),
            Input::Drained(connection, bytes) => self.drained(connection, bytes),
            Input::Bodies { queue, bodies } => self.bodies_read(queue, bodies, cx),
            Input::Entries { queue, run, entries } => self.entries_read(queue, run, entries, cx),
            Input::StreamRead { queue, answer } => self.stream_read(queue, answer, cx),
            Input::Attach(connection) => self.channels.attach(connection),
            Input::Identify(connection, identity) => self.identify(connection, identity, cx),
            Input::Event(event) => self.publish_event(&event, cx),
            Input::Detach(connection) => self.detach(connection, cx),
            Input::Admin(id, operator, command) => {
                self.act_for(operator);
                self.carry_out(id, command, cx);
            }
            Input::Tick => {}
            Input::Shutdown => {
                self.end_audience();
                return self.note_delivered(cx);
            }
        }
        // What follows was due anyway, whoever spoke just now.
        self.acting = Acting::Internal;
        if !self.parked.is_empty() || !self.deletions.is_empty() {
            self.retry_deletions(cx);
        }
        if !self.errands.is_empty() {
            self.retry_errands(cx);
        }
        self.time_out_consumers(cx);
        self.note_audience();
        self.run_queues(cx);
        self.totals.confirmed_count += self.channels.release_due(&self.progress, cx.effects);
    }

    /// The next monotonic ms at which [`Input::Tick`] is wanted, if any. Any other input does as well.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next().into_iter().chain(self.timeouts.next_ms()).min()
    }

    fn command(&mut self, mut envelope: Envelope, cx: &mut Context<'_>) {
        if matches!(envelope.command, Command::OpenChannel) {
            return self.open_channel(envelope.channel, cx);
        }
        let Some(slot) = self.channels.open_slot(envelope.channel) else { return };
        if !self.parked.is_empty() {
            match self.keep_behind_parked(slot, envelope, cx) {
                Some(due) => envelope = due,
                None => return,
            }
        }
        let Envelope { method, command, .. } = envelope;
        self.acting = Acting::Channel(slot);
        if let Err(error) = self.command_on(slot, method, command, cx) {
            self.fail_channel(slot, error, method, cx);
        }
    }

    fn command_on(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        command: Command,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        match command {
            Command::Publish(publish) => self.publish(slot, publish, cx),
            Command::RefusePublish { exchange, error, topic_refusal } => {
                Err(self.publish_refused(&exchange, error, topic_refusal))
            }
            Command::Settle { outcome, deliveries } => {
                self.settle(slot, outcome, &deliveries, cx);
                Ok(())
            }
            Command::Get { queue, no_ack } => self.get(slot, method, &queue, no_ack, cx),
            Command::OpenChannel => Ok(()),
            Command::CloseChannel => {
                self.close_channel(slot, cx);
                Ok(())
            }
            Command::DeclareExchange {
                name,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                nowait,
                arguments,
            } => {
                let asked = exchanges::Asked { kind, passive, durable, auto_delete, internal, arguments };
                self.declare_exchange(slot, &name, asked, nowait, cx)
            }
            Command::DeleteExchange { name, if_unused, nowait } => {
                self.delete_exchange(slot, &name, if_unused, nowait, cx)
            }
            Command::BindExchange {
                add,
                destination,
                source,
                binding_key,
                nowait,
                arguments,
                topic_refusal,
            } => {
                let asked = bindings::Asked { add, binding_key, arguments, nowait, topic_refusal };
                self.bind_exchange(slot, &source, &destination, asked, cx)
            }
            Command::DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments } => {
                let asked = queues::Asked { passive, durable, exclusive, auto_delete, arguments };
                self.declare_queue(slot, &name, asked, nowait, cx)
            }
            Command::DeleteQueue { name, if_unused, if_empty, nowait } => {
                let only = queues::OnlyIf { unused: if_unused, empty: if_empty };
                self.delete_queue_named(slot, method, &name, only, nowait, cx)
            }
            Command::BindQueue { add, queue, exchange, binding_key, nowait, arguments, topic_refusal } => {
                let asked = bindings::Asked { add, binding_key, arguments, nowait, topic_refusal };
                self.bind_queue(slot, &exchange, &queue, asked, cx)
            }
            Command::PurgeQueue { name, nowait } => self.purge_queue_named(slot, method, &name, nowait, cx),
            Command::Consume { queue, tag, no_ack, exclusive, nowait, arguments } => {
                let asked = consume::Asked { tag, no_ack, exclusive, nowait, arguments };
                self.consume(slot, method, &queue, asked, cx)
            }
            Command::TxRollback => self.roll_back(slot, cx),
            Command::TxCommit { settles } => self.commit(slot, method, settles.into_boxed_slice(), cx),
            Command::Cancel { tag, nowait } => {
                self.cancel(slot, &tag, nowait, cx);
                Ok(())
            }
            Command::Qos { prefetch_count, global } => {
                self.set_prefetch(slot, prefetch_count, global, cx);
                Ok(())
            }
            Command::Recover { only, reply } => {
                self.recover(slot, only.as_deref(), reply, cx);
                Ok(())
            }
            Command::TxSelect => {
                self.select_transaction(slot, cx);
                Ok(())
            }
            Command::ConfirmSelect { nowait } => {
                self.select_confirms(slot, nowait, cx);
                Ok(())
            }
        }
    }

    /// The log got further: confirms, held answers, and messages that may go out now.
    fn log_moved(&mut self, progress: LogProgress, cx: &mut Context<'_>) {
        let sealed = progress.sealed_below > self.progress.sealed_below;
        self.progress = progress;
        self.totals.confirmed_count += self.channels.release_listed(&progress, cx.effects);
        for slot in std::mem::take(&mut self.waiting) {
            if let Some(record) = self.topology.queues.get_mut(slot) {
                record.is_waiting = false;
                record.wake_at_end();
            }
            self.look_at(slot);
        }
        if !self.deferred.is_empty() {
            let reached = self.deferred.extract_if(.., |(until, _)| until.is_reached(&progress));
            cx.effects.effects.extend(reached.map(|(_, effect)| effect));
        }
        if sealed {
            // Once per segment, so every queue may be asked.
            for record in self.topology.queues.values_mut() {
                record.queue.page_out(progress.sealed_below);
            }
            self.seal_streams(cx);
        }
    }

    /// Answers a method whose effect on definitions or messages must be durable first, and its settlements written.
    fn answer(&mut self, slot: ChannelSlot, nowait: bool, reply: Reply, cx: &mut Context<'_>) {
        self.answer_when(slot, nowait, reply, self.defined, cx);
    }

    /// Answers a method that leaves nothing on disk; earlier settlements of the channel must be written first.
    fn answer_now(&mut self, slot: ChannelSlot, nowait: bool, reply: Reply, cx: &mut Context<'_>) {
        self.answer_when(slot, nowait, reply, Lsn::NONE, cx);
    }

    fn answer_when(
        &mut self,
        slot: ChannelSlot,
        nowait: bool,
        reply: Reply,
        durable: Lsn,
        cx: &mut Context<'_>,
    ) {
        if nowait {
            return;
        }
        let Some(channel) = self.channels.slots.get(slot) else { return };
        let written = channel.settlements_written();
        let until = Until { durable, ..written };
        if !written.is_reached(&self.progress) {
            cx.log.flush_written();
        }
        self.tell(slot, Notice::Reply(reply), until, cx);
    }

    fn tell(&mut self, slot: ChannelSlot, notice: Notice, until: Until, cx: &mut Context<'_>) {
        self.channels.tell(slot, notice, until, &self.progress, cx.effects);
    }

    /// Tells somebody who is no channel.
    fn defer(&mut self, until: Until, effect: Effect, cx: &mut Context<'_>) {
        if until.is_reached(&self.progress) {
            cx.effects.effects.push(effect);
        } else {
            cx.log.flush();
            self.deferred.push((until, effect));
        }
    }

    fn watermarks(&self) -> Watermarks {
        let deliverable = match self.config.deliver {
            DeliverMode::AfterDurable => self.progress.durable,
            DeliverMode::Immediate => Lsn(u64::MAX),
        };
        Watermarks { deliverable, readable: self.progress.durable }
    }
}
