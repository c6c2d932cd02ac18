//! What operators ask and order. A report is a copy of everything, sorted, made on request.

use super::channels::Until;
use super::deletion::Deletion;
use super::errors::{self, QueueIn};
use super::input::{AdminId, AdminReply, Effect};
use super::queues::OnlyIf;
use super::report::{BindingReport, ChannelReport, ConsumerReport, ExchangeReport, QueueReport, VhostReport};
use super::topology::QueueRecord;
use super::{Context, PolicyLayer, Vhost};
use crate::definitions::DestinationKind;
use crate::protocol::table::Table;
use crate::queue::{ConsumerView, Shown};
use ledgermq_storage::Lsn;
use std::sync::Arc;

impl Vhost {
    pub(super) fn answer_report(&mut self, id: AdminId, cx: &mut Context<'_>) {
        let report = AdminReply::Report(Box::new(self.report()));
        cx.effects.effects.push(Effect::Answer(id, report));
    }

    pub(super) fn answer_purge(&mut self, id: AdminId, name: &str, cx: &mut Context<'_>) {
        let Some(queue) = self.topology.queue_named(name) else {
            return refuse(id, self.missing(name), cx);
        };
        if let Some(record) = self.topology.queues.get(queue)
            && record.stream.is_some()
        {
            let error = errors::not_by_streams("queue.purge", &QueueIn(&record.name, &self.config.name));
            return refuse(id, error.explanation, cx);
        }
        let (count, lsn) = self.purge(queue, cx);
        self.defer(Until::durable(lsn), Effect::Answer(id, AdminReply::Removed(count)), cx);
    }

    pub(super) fn answer_delete(&mut self, id: AdminId, name: &Arc<str>, only: OnlyIf, cx: &mut Context<'_>) {
        let Some(queue) = self.topology.queue_named(name) else {
            return refuse(id, self.missing(name), cx);
        };
        if let Err(error) = self.check_deletable(queue, only) {
            return refuse(id, error.explanation, cx);
        }
        if self.owes_letters(queue, cx) {
            return self.deletions.push(Deletion::Ordered { id, name: Arc::clone(name), only });
        }
        let durable = self.topology.queues.get(queue).is_some_and(|record| record.durable);
        let count = self.remove_queue(queue, cx);
        let lsn = if durable { self.defined } else { Lsn::NONE };
        self.defer(Until::durable(lsn), Effect::Answer(id, AdminReply::Removed(count)), cx);
    }

    /// Everything there is to see.
    pub fn report(&self) -> VhostReport {
        VhostReport {
            name: self.config.name.to_string(),
            tracing: self.traces,
            queues: sorted(self.named_queues().map(queue_report), |one| &one.name),
            exchanges: self.exchange_reports(),
            bindings: self.binding_reports(),
            consumers: self.consumer_reports(),
            channels: self.channel_reports(),
            totals: self.totals,
            policies: self.policy_reports(PolicyLayer::User),
            operator_policies: self.policy_reports(PolicyLayer::Operator),
        }
    }

    /// The queues that clients can name.
    pub(super) fn named_queues(&self) -> impl Iterator<Item = &QueueRecord> {
        self.topology.queues.iter().map(|(_, record)| record).filter(|record| record.delays_for.is_none())
    }

    fn missing(&self, name: &str) -> String {
        format!("no {}", QueueIn(name, &self.config.name))
    }

    fn exchange_reports(&self) -> Vec<ExchangeReport> {
        let reports = self.topology.exchanges.iter().map(|(_, record)| ExchangeReport {
            name: record.exchange.name.to_string(),
            kind: record.exchange.kind.name().into(),
            durable: record.exchange.durable,
            auto_delete: record.exchange.auto_delete,
            internal: record.exchange.internal,
            arguments: texts(&record.exchange.arguments),
            policy: record.governing.user_name(),
            messages_delayed: record
                .delays_in
                .and_then(|room| self.topology.queues.get(room))
                .map_or(0, |room| room.queue.ready_count()),
        });
        sorted(reports, |one| &one.name)
    }

    /// The implicit bindings of the default exchange, then those that were made.
    fn binding_reports(&self) -> Vec<BindingReport> {
        let implicit = self.named_queues().map(|record| BindingReport {
            source: String::new(),
            destination: record.name.to_string(),
            destination_kind: "queue",
            binding_key: record.name.to_string(),
            arguments: Vec::new(),
        });
        let mut reports: Vec<_> = implicit.collect();
        for (_, record) in self.topology.exchanges.iter() {
            for route in record.routes.bindings() {
                let Some((kind, name)) = self.topology.target_name(route.destination) else { continue };
                reports.push(BindingReport {
                    source: record.exchange.name.to_string(),
                    destination: name.to_string(),
                    destination_kind: match kind {
                        DestinationKind::Queue => "queue",
                        DestinationKind::Exchange => "exchange",
                    },
                    binding_key: route.binding_key.to_string(),
                    arguments: texts(route.arguments),
                });
            }
        }
        reports.sort_by(|one, other| {
            let key = |report: &BindingReport| {
                (report.source.clone(), report.destination.clone(), report.binding_key.clone())
            };
            key(one).cmp(&key(other))
        });
        reports
    }

    fn consumer_reports(&self) -> Vec<ConsumerReport> {
        let mut reports = Vec::new();
        for (_, record) in self.topology.queues.iter() {
            for ConsumerView { consumer, unacked_count, active } in record.queue.consumers() {
                let Some(channel) = self.channels.slots.get(consumer.channel) else { continue };
                reports.push(ConsumerReport {
                    queue: record.name.to_string(),
                    connection: channel.key.connection,
                    channel: channel.key.number,
                    tag: consumer.tag.clone(),
                    ack_required: !consumer.no_ack,
                    exclusive: consumer.exclusive,
                    prefetch_count: consumer.prefetch_count,
                    messages_unacknowledged: u64::from(unacked_count),
                    single: record.queue.has_single_active_consumer(),
                    active,
                    priority: consumer.priority,
                    arguments: texts(&consumer.arguments),
                });
            }
        }
        sorted(reports, |one| &one.queue)
    }

    fn channel_reports(&self) -> Vec<ChannelReport> {
        let open = self.channels.slots.iter().map(|(_, channel)| channel).filter(|channel| channel.is_open);
        let mut reports: Vec<_> = open
            .map(|channel| ChannelReport {
                connection: channel.key.connection,
                number: channel.key.number,
                consumer_count: channel.consumers.len() as u64,
                messages_unacknowledged: channel.unacked_count,
                messages_unconfirmed: channel.unconfirmed_count() as u64,
                messages_uncommitted: channel.transaction.as_ref().map_or(0, |kept| kept.len() as u64),
                prefetch_count: channel.prefetch_count,
                global_prefetch_count: channel.global_prefetch_count,
                confirm: channel.confirms,
                transactional: channel.transaction.is_some(),
            })
            .collect();
        reports.sort_by_key(|report| (report.connection, report.number));
        reports
    }
}

fn refuse(id: AdminId, why: String, cx: &mut Context<'_>) {
    cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why)));
}

fn queue_report(record: &QueueRecord) -> QueueReport {
    let queue = &record.queue;
    let report = QueueReport {
        name: record.name.to_string(),
        kind: record.settings.kind.name(),
        durable: record.durable,
        auto_delete: record.auto_delete,
        exclusive: record.owner.is_some(),
        owner: record.owner,
        arguments: texts(&record.arguments),
        messages_ready: queue.ready_count(),
        messages_unacknowledged: queue.unacked_count(),
        bytes_ready: queue.ready_bytes(),
        bytes_unacknowledged: queue.unacked_bytes(),
        messages_resident: queue.resident_count(),
        messages_damaged: queue.damaged_count(),
        consumers: queue.consumer_count() as u64,
        state: "running",
        policy: record.governing.user_name(),
        operator_policy: record.governing.operator_name(),
        effective_policy: record.governing.settings().into_iter().collect(),
    };
    match &record.stream {
        None => report,
        // What a consumer holds of a stream is not missing in it: it counts once.
        Some(stream) => QueueReport {
            messages_ready: stream.message_count(),
            bytes_ready: stream.bytes(),
            messages_resident: stream.resident_count(),
            messages_damaged: stream.damaged_count(),
            ..report
        },
    }
}

fn texts(arguments: &Table) -> Vec<(String, String)> {
    arguments.iter().map(|(name, value)| (name.to_owned(), Shown(&value).to_string())).collect()
}

fn sorted<T>(reports: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut reports: Vec<T> = reports.into_iter().collect();
    reports.sort_by(|one, other| name(one).cmp(name(other)));
    reports
}
