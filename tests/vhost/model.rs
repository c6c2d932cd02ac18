//! What a vhost must do, in the simplest words: each queue is a list of numbered messages, each of which waits, is held by
//! a consumer or a getter, or is gone. Checks every notice as it comes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A channel: connection and number.
pub(crate) type At = (u64, u16);

/// A message in a queue, known by its body.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) body: u64,
    pub(crate) persistent: bool,
    pub(crate) redelivered: bool,
    pub(crate) holder: Option<Holder>,
}

/// The priority a message says it has; none for every fifth.
pub(crate) fn said_priority(body: u64) -> Option<u8> {
    (body % 5 < 4).then_some((body % 5 * 2) as u8)
}

/// The highest priority of the queue that has priorities.
pub(crate) const PRIORITY_MAX: u8 = 4;

/// The priority it has in a queue.
fn priority(queue: &str, body: u64) -> u8 {
    if queue == "p" { said_priority(body).unwrap_or(0).min(PRIORITY_MAX) } else { 0 }
}

/// Who holds a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) at: At,
    /// The consumer; `None` for basic.get.
    pub(crate) tag: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) at: At,
    pub(crate) queue: String,
    pub(crate) prefetch_count: u16,
    pub(crate) no_ack: bool,
}

/// Queues and who consumes from them.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<String, Vec<Message>>,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    pub(crate) global_prefetch: BTreeMap<At, u16>,
}

impl Model {
    pub(crate) fn enqueue(&mut self, queue: &str, body: u64, persistent: bool) {
        self.queue(queue).push(Message { body, persistent, redelivered: false, holder: None });
    }

    /// A consumer or, without a tag, a getter received a message.
    pub(crate) fn deliver(
        &mut self,
        queue: &str,
        body: u64,
        redelivered: bool,
        holder: Holder,
        no_ack: bool,
    ) {
        if let Some(tag) = &holder.tag {
            let consumer = &self.consumers[tag];
            assert_eq!(consumer.at, holder.at, "the consumer's own channel");
            assert_eq!(consumer.queue, queue, "the consumer's own queue");
            assert!(self.has_credit(tag), "credit is never exceeded: {tag}");
        }
        let messages = self.queue(queue);
        let waiting = messages.iter_mut().filter(|message| message.holder.is_none());
        // The first of those with the highest priority.
        let first = waiting.min_by_key(|message| Reverse(priority(queue, message.body)));
        let message = first.expect("nothing is invented");
        assert_eq!(message.body, body, "in order: {queue}");
        assert_eq!(message.redelivered, redelivered, "flagged: {queue} {body}");
        message.holder = Some(holder);
        if no_ack {
            messages.retain(|message| message.body != body);
        }
    }

    /// Whether a consumer may get one more.
    pub(crate) fn has_credit(&self, tag: &str) -> bool {
        let consumer = &self.consumers[tag];
        let held = |of: &dyn Fn(&Holder) -> bool| {
            let holders = self.queues.values().flatten().filter_map(|one| one.holder.as_ref());
            holders.filter(|holder| of(holder)).count()
        };
        let own = held(&|holder| holder.at == consumer.at && holder.tag.as_deref() == Some(tag));
        let all = held(&|holder| holder.at == consumer.at && holder.tag.is_some());
        let global = self.global_prefetch.get(&consumer.at).copied().unwrap_or(0);
        let below = |count: usize, limit: u16| limit == 0 || count < usize::from(limit);
        (consumer.no_ack || below(own, consumer.prefetch_count)) && below(all, global)
    }

    /// What a channel holds: queue and body.
    pub(crate) fn held_by(&self, at: At) -> Vec<(String, u64)> {
        let mut held = Vec::new();
        for (queue, messages) in &self.queues {
            let own = messages.iter().filter(|one| one.holder.as_ref().is_some_and(|holder| holder.at == at));
            held.extend(own.map(|message| (queue.clone(), message.body)));
        }
        held
    }

    pub(crate) fn settle(&mut self, queue: &str, body: u64, requeue: bool) {
        if requeue {
            let message = self.queue(queue).iter_mut().find(|one| one.body == body).expect("held");
            message.holder = None;
            message.redelivered = true;
        } else {
            self.queue(queue).retain(|message| message.body != body);
        }
    }

    pub(crate) fn put_back_all_of(&mut self, at: At) {
        for (queue, body) in self.held_by(at) {
            self.settle(&queue, body, true);
        }
    }

    pub(crate) fn close(&mut self, at: At) {
        self.consumers.retain(|_, consumer| consumer.at != at);
        self.global_prefetch.remove(&at);
        self.put_back_all_of(at);
    }

    /// Removes what waits; answers how many.
    pub(crate) fn purge(&mut self, queue: &str) -> usize {
        let messages = self.queue(queue);
        let before = messages.len();
        messages.retain(|message| message.holder.is_some());
        before - messages.len()
    }

    pub(crate) fn counts(&self, queue: &str) -> (u64, u64) {
        let messages = self.queues.get(queue).into_iter().flatten();
        messages.fold((0, 0), |(ready, held), message| match message.holder {
            None => (ready + 1, held),
            Some(_) => (ready, held + 1),
        })
    }

    pub(crate) fn find(&self, queue: &str, body: u64) -> Option<&Message> {
        self.queues.get(queue)?.iter().find(|message| message.body == body)
    }

    fn queue(&mut self, queue: &str) -> &mut Vec<Message> {
        self.queues.entry(queue.to_owned()).or_default()
    }
}
