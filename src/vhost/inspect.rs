//! What operators ask and order. A report is a copy of everything, sorted; who asks while clients wait looks at parts of it:
//! see [`super::views`].

use super::channels::Until;
use super::deletion::Deletion;
use super::errors::{self, QueueIn};
use super::input::{AdminId, AdminReply, Effect};
use super::objects::BindingObject;
use super::queues::OnlyIf;
use super::report::{ChannelReport, ConsumerReport, ExchangeReport, QueueReport, VhostReport};
use super::topology::{ExchangeRecord, QueueRecord};
use super::{Context, PolicyLayer, Vhost};
use crate::protocol::properties::Properties;
use crate::queue::ConsumerView;
use ledgermq_storage::Lsn;
use std::sync::Arc;

impl Vhost {
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
            let (operator, name) = (self.operator.clone(), Arc::clone(name));
            return self.deletions.push(Deletion::Ordered { id, operator, name, only });
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
            queues: sorted(self.named_queues().map(|record| self.queue_report(record)), |one| &one.name),
            exchanges: self.exchange_reports(),
            bindings: self.bindings(),
            consumers: self.consumer_reports(),
            channels: self.channel_reports(),
            totals: self.totals,
            counts: self.channels.counts(),
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
        let reports = self.topology.exchanges.iter().map(|(_, record)| self.exchange_report(record));
        sorted(reports, |one| &one.name)
    }

    pub(super) fn queue_report_of(&self, name: &str) -> Option<QueueReport> {
        let record = self.topology.queues.get(self.topology.queue_named(name)?)?;
        Some(self.queue_report(record))
    }

    pub(super) fn exchange_report_of(&self, name: &str) -> Option<ExchangeReport> {
        let record = self.topology.exchanges.get(self.topology.exchange_named(name)?)?;
        Some(self.exchange_report(record))
    }

    fn exchange_report(&self, record: &ExchangeRecord) -> ExchangeReport {
        let delays_in = record.delays_in.and_then(|room| self.topology.queues.get(room));
        ExchangeReport {
            name: record.exchange.name.to_string(),
            kind: record.exchange.kind.name().into(),
            durable: record.exchange.durable,
            auto_delete: record.exchange.auto_delete,
            internal: record.exchange.internal,
            arguments: record.exchange.arguments.clone(),
            policy: record.governing.user_name(),
            binding_count: record.routes.len() as u64,
            messages_delayed: delays_in.map_or(0, |room| room.queue.ready_count()),
            counts: record.counts.into(),
        }
    }

    /// The implicit bindings of the default exchange, then those that were made.
    fn bindings(&self) -> Vec<BindingObject> {
        let implicit = self.named_queues().map(|record| BindingObject::of_default_exchange(&record.name));
        let mut bindings: Vec<_> = implicit.collect();
        for (_, record) in self.topology.exchanges.iter() {
            let routes = record.routes.bindings();
            bindings.extend(routes.filter_map(|route| self.binding_object(record, &route)));
        }
        bindings.sort_by(BindingObject::order);
        bindings
    }

    fn consumer_reports(&self) -> Vec<ConsumerReport> {
        let all = self.topology.queues.iter().flat_map(|(_, record)| self.consumers_of(record));
        sorted(all, |one| &one.queue)
    }

    /// The consumers of a queue.
    pub(super) fn consumers_of(&self, record: &QueueRecord) -> impl Iterator<Item = ConsumerReport> {
        record.queue.consumers().filter_map(|ConsumerView { consumer, unacked_count, active }| {
            let channel = self.channels.slots.get(consumer.channel)?;
            Some(ConsumerReport {
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
                arguments: consumer.arguments.clone(),
            })
        })
    }

    pub(super) fn channel_reports(&self) -> Vec<ChannelReport> {
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
                counts: channel.counts.into(),
            })
            .collect();
        reports.sort_by_key(|report| (report.connection, report.number));
        reports
    }

    fn queue_report(&self, record: &QueueRecord) -> QueueReport {
        let queue = &record.queue;
        let is_single = queue.has_single_active_consumer();
        let is_sole = |view: &ConsumerView<'_>| view.consumer.exclusive || is_single && view.active;
        let report = QueueReport {
            name: record.name.to_string(),
            kind: record.settings.kind.name(),
            durable: record.durable,
            auto_delete: record.auto_delete,
            exclusive: record.owner.is_some(),
            owner: record.owner,
            arguments: record.arguments.clone(),
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
            counts: record.counts.into(),
            active_unix_ms: record.active_unix_ms,
            sole_consumer: if is_single || queue.has_exclusive_consumer() {
                queue.consumers().find(is_sole).and_then(|view| {
                    let key = self.channels.slots.get(view.consumer.channel)?.key;
                    Some((key.connection, key.number, Arc::clone(&view.consumer.tag)))
                })
            } else {
                None
            },
            single_active_consumer: is_single,
            has_ready_consumer: queue.has_ready_consumer(),
            head_timestamp_s: queue
                .first_entries()
                .next()
                .and_then(|entry| Properties::new(&entry.message.as_ref()?.properties).timestamp()),
            delivery_limit: record.settings.delivery_limit,
        };
        match &record.stream {
            None => report,
            // What a consumer holds of a stream is not missing in it: it counts once.
            Some(stream) => QueueReport {
                messages_ready: stream.message_count(),
                bytes_ready: stream.bytes(),
                messages_resident: stream.resident_count(),
                messages_damaged: stream.damaged_count(),
                head_timestamp_s: None,
                ..report
            },
        }
    }
}

fn refuse(id: AdminId, why: String, cx: &mut Context<'_>) {
    cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why)));
}

fn sorted<T>(reports: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut reports: Vec<T> = reports.into_iter().collect();
    reports.sort_by(|one, other| name(one).cmp(name(other)));
    reports
}
