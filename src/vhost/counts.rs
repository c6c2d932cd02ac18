//! Messages counted where they pass: plain numbers in the records that are at hand anyway, so that counting costs an
//! addition. They begin at 0 with the object and end with it; what a closed channel counted goes on in the vhost's sums.
//! Names and meanings are those of RabbitMQ's `message_stats`.

use std::ops::AddAssign;

/// All that is counted of messages. Of each kind of object only some numbers ever move: see [`MessageCounts::QUEUE`] and
/// its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Publishes: received on a channel, put into a queue.
    pub publish: u64,
    /// Those of them that came while their channel had confirms on.
    pub publish_confirm: u64,
    /// Publishes that came to an exchange from clients.
    pub publish_in: u64,
    /// Copies of them that went to queues.
    pub publish_out: u64,
    /// Publishes confirmed.
    pub confirm: u64,
    /// Publishes no queue took, sent back because they were mandatory.
    pub return_unroutable: u64,
    /// Publishes no queue took, and that was that.
    pub drop_unroutable: u64,
    /// Deliveries to consumers that acknowledge.
    pub deliver: u64,
    /// Deliveries to consumers that do not.
    pub deliver_no_ack: u64,
    /// Answers to basic.get that are to be acknowledged.
    pub get: u64,
    /// Answers to basic.get that are not.
    pub get_no_ack: u64,
    /// Calls of basic.get that found nothing.
    pub get_empty: u64,
    /// Acknowledgements.
    pub ack: u64,
    /// Deliveries of messages that were delivered before; each is also one of the four above.
    pub redeliver: u64,
}

/// One number by the name that RabbitMQ gives it.
pub type CountName = (&'static str, fn(&MessageCounts) -> u64);

impl MessageCounts {
    /// What queues count.
    pub const QUEUE: &'static [CountName] = &[
        ("publish", |counts| counts.publish),
        ("deliver", |counts| counts.deliver),
        ("deliver_no_ack", |counts| counts.deliver_no_ack),
        ("deliver_get", Self::deliver_get),
        ("get", |counts| counts.get),
        ("get_no_ack", |counts| counts.get_no_ack),
        ("get_empty", |counts| counts.get_empty),
        ("ack", |counts| counts.ack),
        ("redeliver", |counts| counts.redeliver),
    ];
    /// What exchanges count.
    pub const EXCHANGE: &'static [CountName] = &[
        ("publish_in", |counts| counts.publish_in),
        ("publish_out", |counts| counts.publish_out),
        ("return_unroutable", |counts| counts.return_unroutable),
        ("drop_unroutable", |counts| counts.drop_unroutable),
    ];
    /// What channels count, and vhosts of all their channels.
    pub const CHANNEL: &'static [CountName] = &[
        ("publish", |counts| counts.publish),
        ("confirm", |counts| counts.confirm),
        ("return_unroutable", |counts| counts.return_unroutable),
        ("drop_unroutable", |counts| counts.drop_unroutable),
        ("deliver", |counts| counts.deliver),
        ("deliver_no_ack", |counts| counts.deliver_no_ack),
        ("deliver_get", Self::deliver_get),
        ("get", |counts| counts.get),
        ("get_no_ack", |counts| counts.get_no_ack),
        ("get_empty", |counts| counts.get_empty),
        ("ack", |counts| counts.ack),
        ("redeliver", |counts| counts.redeliver),
    ];

    /// Messages handed out in any of the four ways.
    pub fn deliver_get(&self) -> u64 {
        self.deliver + self.deliver_no_ack + self.get + self.get_no_ack
    }
}

impl AddAssign for MessageCounts {
    fn add_assign(&mut self, other: Self) {
        self.publish += other.publish;
        self.publish_confirm += other.publish_confirm;
        self.publish_in += other.publish_in;
        self.publish_out += other.publish_out;
        self.confirm += other.confirm;
        self.return_unroutable += other.return_unroutable;
        self.drop_unroutable += other.drop_unroutable;
        self.deliver += other.deliver;
        self.deliver_no_ack += other.deliver_no_ack;
        self.get += other.get;
        self.get_no_ack += other.get_no_ack;
        self.get_empty += other.get_empty;
        self.ack += other.ack;
        self.redeliver += other.redeliver;
    }
}

/// How a message was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandedOut {
    /// For basic.get, not to a consumer.
    pub(super) is_get: bool,
    /// Nothing is to come back.
    pub(super) no_ack: bool,
    /// It was handed out before.
    pub(super) redelivered: bool,
}

/// What queues and channels count when messages are handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HandedOutCounts {
    deliver: u64,
    deliver_no_ack: u64,
    get: u64,
    get_no_ack: u64,
    pub(super) get_empty: u64,
    pub(super) ack: u64,
    redeliver: u64,
}

impl HandedOutCounts {
    /// A message was handed out.
    pub(super) fn note(&mut self, how: HandedOut) {
        let count = match (how.is_get, how.no_ack) {
            (false, false) => &mut self.deliver,
            (false, true) => &mut self.deliver_no_ack,
            (true, false) => &mut self.get,
            (true, true) => &mut self.get_no_ack,
        };
        *count += 1;
        self.redeliver += u64::from(how.redelivered);
    }
}

impl From<HandedOutCounts> for MessageCounts {
    fn from(counts: HandedOutCounts) -> Self {
        let HandedOutCounts { deliver, deliver_no_ack, get, get_no_ack, get_empty, ack, redeliver } = counts;
        Self { deliver, deliver_no_ack, get, get_no_ack, get_empty, ack, redeliver, ..Self::default() }
    }
}

/// What a queue counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueCounts {
    pub(super) publish: u64,
    pub(super) out: HandedOutCounts,
}

impl From<QueueCounts> for MessageCounts {
    fn from(counts: QueueCounts) -> Self {
        Self { publish: counts.publish, ..counts.out.into() }
    }
}

/// What an exchange counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExchangeCounts {
    pub(super) publish_in: u64,
    pub(super) publish_out: u64,
    pub(super) return_unroutable: u64,
    pub(super) drop_unroutable: u64,
}

impl From<ExchangeCounts> for MessageCounts {
    fn from(counts: ExchangeCounts) -> Self {
        let ExchangeCounts { publish_in, publish_out, return_unroutable, drop_unroutable } = counts;
        Self { publish_in, publish_out, return_unroutable, drop_unroutable, ..Self::default() }
    }
}

/// What a channel counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChannelCounts {
    pub(super) publish: u64,
    /// What `publish` was when confirms were asked for; `None` while they are off.
    pub(super) publish_before_confirms: Option<u64>,
    pub(super) confirm: u64,
    pub(super) return_unroutable: u64,
    pub(super) drop_unroutable: u64,
    pub(super) out: HandedOutCounts,
}

impl From<ChannelCounts> for MessageCounts {
    fn from(counts: ChannelCounts) -> Self {
        let ChannelCounts {
            publish,
            publish_before_confirms: before,
            confirm,
            return_unroutable,
            drop_unroutable,
            out,
        } = counts;
        let publish_confirm = before.map_or(0, |before| publish - before);
        Self { publish, publish_confirm, confirm, return_unroutable, drop_unroutable, ..out.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_counted_once_in_its_way() {
        let mut counts = HandedOutCounts::default();
        for (is_get, no_ack, redelivered) in [
            (false, false, false),
            (false, true, true),
            (true, false, false),
            (true, true, true),
            (true, true, false),
        ] {
            counts.note(HandedOut { is_get, no_ack, redelivered });
        }
        let counts = MessageCounts::from(counts);
        let four = (counts.deliver, counts.deliver_no_ack, counts.get, counts.get_no_ack);
        assert_eq!((four, counts.deliver_get(), counts.redeliver), ((1, 1, 1, 2), 5, 2));
    }

    #[test]
    fn sums_are_sums_of_every_number() {
        let one = MessageCounts {
            publish: 1,
            publish_confirm: 14,
            publish_in: 2,
            publish_out: 3,
            confirm: 4,
            return_unroutable: 5,
            drop_unroutable: 6,
            deliver: 7,
            deliver_no_ack: 8,
            get: 9,
            get_no_ack: 10,
            get_empty: 11,
            ack: 12,
            redeliver: 13,
        };
        let mut sum = one;
        sum += one;
        for (name, count) in [MessageCounts::QUEUE, MessageCounts::EXCHANGE, MessageCounts::CHANNEL].concat()
        {
            assert_eq!(count(&sum), 2 * count(&one), "{name}");
        }
        assert_eq!(sum.publish_confirm, 28);
    }
}
