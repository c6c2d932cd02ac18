//! What messages did, as RabbitMQ names it of channels and of queues: `rabbitmq_channel_…` and `rabbitmq_queue_…`, on the page of
//! sums and on those of objects.
//! Source: RabbitMQ `prometheus_rabbitmq_core_metrics_collector.erl`.

use crate::vhost::counts::MessageCounts;

/// The name behind that of the kind of object, help, and the number.
pub(super) type OfCounts = (&'static str, &'static str, fn(&MessageCounts) -> u64);

/// What was published, as channels count it.
pub(super) const PUBLISHED: [OfCounts; 4] = [
    ("messages_published_total", "Publishes", |counts| counts.publish),
    ("messages_confirmed_total", "Publishes confirmed", |counts| counts.confirm),
    ("messages_unroutable_returned_total", "Publishes sent back", |counts| counts.return_unroutable),
    ("messages_unroutable_dropped_total", "Publishes that no queue took", |counts| counts.drop_unroutable),
];

/// The same of queues.
pub(super) const PUBLISHED_OF_QUEUES: [OfCounts; 1] =
    [("messages_published_total", "Publishes put into a queue", |counts| counts.publish)];

/// What was handed out.
pub(super) const DELIVERED: [OfCounts; 7] = [
    ("get_ack_total", "Messages got that are to be acknowledged", |counts| counts.get),
    ("get_total", "Messages got that are not", |counts| counts.get_no_ack),
    ("messages_delivered_ack_total", "Messages delivered to consumers that acknowledge", |counts| {
        counts.deliver
    }),
    ("messages_delivered_total", "Messages delivered to consumers that do not", |counts| {
        counts.deliver_no_ack
    }),
    ("messages_redelivered_total", "Deliveries of what was delivered before", |counts| counts.redeliver),
    ("messages_acked_total", "Messages acknowledged", |counts| counts.ack),
    ("get_empty_total", "Calls of basic.get that found nothing", |counts| counts.get_empty),
];
