//! What becomes of messages, in the simplest words: each queue is a list; what must leave its head leaves it, one message
//! after another, and goes where the queue sends its dead, with a word on why. Knows nothing of logs, memory or records.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Reason, queue and count of each death, the newest first.
pub(super) type Deaths = Vec<(String, String, i64)>;

/// What gives way when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    DropHead,
    Reject,
    RejectToDead,
}

/// How a queue was declared.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) ttl_ms: Option<u64>,
    pub(super) length_max: Option<u64>,
    pub(super) full: Full,
    /// The queue its dead go to.
    pub(super) dead: Option<String>,
    pub(super) priority_max: u8,
    pub(super) delivery_limit: Option<u64>,
    /// It tells consumers how often a message came back.
    pub(super) is_counting: bool,
    /// It keeps what it delivers.
    pub(super) is_stream: bool,
}

/// A message in a queue.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Message {
    pub(super) number: u64,
    pub(super) persistent: bool,
    pub(super) priority: u8,
    /// What its publisher gave it, until it dies.
    pub(super) lives_ms: Option<u64>,
    pub(super) deaths: Deaths,
    seq: u64,
    expires_ms: Option<u64>,
    pub(super) redelivered: bool,
    returns: u64,
    pub(super) is_held: bool,
    /// It was there before the last start.
    is_old: bool,
}

/// A message as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) number: u64,
    pub(super) redelivered: bool,
    pub(super) returns: u64,
    pub(super) deaths: Deaths,
}

#[derive(Clone, Debug)]
struct Queue {
    rules: Rules,
    messages: Vec<Message>,
    next_seq: u64,
}

/// All queues.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    queues: BTreeMap<String, Queue>,
    pub(super) now_ms: u64,
    /// Queues that something came into, in that order.
    touched: VecDeque<String>,
    /// What happened may have happened in another order, too: nothing more can be said.
    pub(super) is_open: bool,
}

impl Message {
    pub(super) fn new(number: u64, persistent: bool, priority: u8, lives_ms: Option<u64>) -> Self {
        Self {
            number,
            persistent,
            priority,
            lives_ms,
            deaths: Vec::new(),
            seq: 0,
            expires_ms: None,
            redelivered: false,
            returns: 0,
            is_held: false,
            is_old: false,
        }
    }

    /// As it goes on after its death.
    fn letter(&self, queue: &str, reason: &str) -> Self {
        let mut deaths = self.deaths.clone();
        let known = deaths.iter().position(|(why, at, _)| why == reason && at == queue);
        let count = known.map_or(1, |at| deaths.remove(at).2 + 1);
        deaths.insert(0, (reason.to_owned(), queue.to_owned(), count));
        Self { deaths, ..Self::new(self.number, self.persistent, self.priority, None) }
    }

    /// It came from that queue before, and nobody has rejected it since: it would turn for ever.
    fn turns(&self, queue: &str) -> bool {
        let last = self.deaths.iter().position(|(_, at, _)| at == queue);
        last.is_some_and(|last| self.deaths.iter().take(last + 1).all(|(why, ..)| why != "rejected"))
    }
}

impl Queue {
    fn waiting(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| !message.is_held)
    }

    fn head(&self) -> Option<&Message> {
        let level = |message: &Message| Reverse(message.priority.min(self.rules.priority_max));
        self.waiting().min_by_key(|message| (level(message), message.seq))
    }

    fn is_full(&self) -> bool {
        self.rules.length_max.is_some_and(|max| self.waiting().count() as u64 >= max)
    }

    /// Why its first message must go.
    fn doom(&self, now_ms: u64) -> Option<(&'static str, u64)> {
        let head = self.head()?;
        let count = self.waiting().count() as u64;
        if head.expires_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Some(("expired", head.number));
        }
        let is_over =
            self.rules.full == Full::DropHead && self.rules.length_max.is_some_and(|max| count > max);
        is_over.then_some(("maxlen", head.number))
    }

    fn remove(&mut self, number: u64) -> Message {
        let at = self.messages.iter().position(|message| message.number == number).expect("it is there");
        self.messages.remove(at)
    }
}

impl Oracle {
    pub(super) fn new(rules: impl IntoIterator<Item = (String, Rules)>) -> Self {
        let queue = |rules| Queue { rules, messages: Vec::new(), next_seq: 0 };
        let queues = rules.into_iter().map(|(name, rules)| (name, queue(rules))).collect();
        Self { queues, now_ms: 0, touched: VecDeque::new(), is_open: false }
    }

    /// A message is published to a queue. Answers whether it is confirmed.
    pub(super) fn publish(&mut self, queue: &str, message: Message) -> bool {
        let is_taken = self.enter(queue, message);
        self.settle_down();
        is_taken
    }

    pub(super) fn get(&mut self, name: &str) -> Option<Handed> {
        let queue = self.queue(name);
        let number = queue.head()?.number;
        let is_counting = queue.rules.is_counting;
        let message = queue.messages.iter_mut().find(|message| message.number == number)?;
        message.is_held = true;
        let Message { redelivered, returns, ref deaths, .. } = *message;
        let returns = if is_counting { returns } else { 0 };
        let handed = Handed { number, redelivered, returns, deaths: deaths.clone() };
        self.touch(name);
        Some(handed)
    }

    pub(super) fn ack(&mut self, name: &str, number: u64) {
        self.queue(name).remove(number);
        self.touch(name);
    }

    pub(super) fn reject(&mut self, name: &str, number: u64) {
        let message = self.queue(name).remove(number);
        self.die(name, &message, "rejected");
        self.touch_first(name);
    }

    pub(super) fn requeue(&mut self, name: &str, number: u64) {
        let queue = self.queue(name);
        let mut message = queue.remove(number);
        message.is_held = false;
        message.redelivered = true;
        message.returns += 1;
        if queue.rules.is_counting && queue.rules.delivery_limit.is_some_and(|limit| message.returns > limit)
        {
            self.die(name, &message, "delivery_limit");
        } else {
            queue.messages.push(message);
        }
        self.touch_first(name);
    }

    pub(super) fn purge(&mut self, name: &str) -> usize {
        let queue = self.queue(name);
        let before = queue.messages.len();
        queue.messages.retain(|message| message.is_held);
        before - queue.messages.len()
    }

    /// When a first message is the next to expire, and whether several do at once.
    pub(super) fn next_expiry(&self) -> Option<(u64, bool)> {
        let times: Vec<u64> = self.queues.values().filter_map(|queue| queue.head()?.expires_ms).collect();
        let first = *times.iter().min()?;
        Some((first, times.iter().filter(|at_ms| **at_ms == first).count() > 1))
    }

    /// Time passes, not beyond the next expiry.
    pub(super) fn pass(&mut self, to_ms: u64) {
        self.now_ms = to_ms;
        let names: Vec<_> = self.queues.keys().cloned().collect();
        self.touched.extend(names);
        self.settle_down();
    }

    /// Whether a message in another queue expires at this time.
    pub(super) fn expires_elsewhere(&self, name: &str, at_ms: u64) -> bool {
        let others = self.queues.iter().filter(|(other, _)| *other != name);
        others.flat_map(|(_, queue)| &queue.messages).any(|message| message.expires_ms == Some(at_ms))
    }

    /// When a message that lives as long would expire in a queue.
    pub(super) fn would_expire(&self, name: &str, lives_ms: Option<u64>) -> Option<u64> {
        let lives_ms = self.queues[name].rules.ttl_ms.into_iter().chain(lives_ms).min();
        lives_ms.map(|ms| self.now_ms + ms)
    }

    /// The broker ends and begins again. What was held waits; nobody knows what had been handed out after a crash. Answers
    /// false if more than one queue has something to let go of then: the order is open.
    pub(super) fn restart(&mut self, is_clean: bool) -> bool {
        for queue in self.queues.values_mut() {
            let is_stream = queue.rules.is_stream;
            queue.messages.retain(|message| message.persistent || is_stream);
            for message in &mut queue.messages {
                message.redelivered |= message.is_held || !is_clean;
                message.returns += u64::from(message.is_held && is_clean);
                message.is_held = false;
                message.is_old = true;
            }
        }
        let doomed = self.queues.values().filter(|queue| queue.doom(self.now_ms).is_some());
        let is_sure = doomed.count() < 2;
        let names: Vec<_> = self.queues.keys().cloned().collect();
        self.touched.extend(names);
        self.settle_down();
        is_sure && !self.is_open
    }

    /// Ready and held.
    pub(super) fn counts(&self, name: &str) -> (u64, u64) {
        let queue = &self.queues[name];
        let waiting = queue.waiting().count() as u64;
        (waiting, queue.messages.len() as u64 - waiting)
    }

    /// What the log must hold of a queue, in its order.
    pub(super) fn logged(&self, name: &str) -> Vec<(u64, Deaths)> {
        let queue = &self.queues[name];
        let logged = queue.messages.iter().filter(|one| one.persistent || queue.rules.is_stream);
        let mut logged: Vec<_> = logged.collect();
        logged.sort_by_key(|message| message.seq);
        logged.into_iter().map(|message| (message.number, message.deaths.clone())).collect()
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        self.queues.get_mut(name).expect("a queue there is")
    }

    fn touch(&mut self, name: &str) {
        self.touched.push_back(name.to_owned());
        self.settle_down();
    }

    /// The queue itself is looked at before those that its dead came into.
    fn touch_first(&mut self, name: &str) {
        self.touched.push_front(name.to_owned());
        self.settle_down();
    }

    /// A message comes to a queue, which may be full. Answers whether it was taken.
    fn enter(&mut self, name: &str, mut message: Message) -> bool {
        let now_ms = self.now_ms;
        let queue = self.queue(name);
        if queue.rules.full != Full::DropHead && queue.is_full() {
            if queue.rules.full == Full::RejectToDead {
                self.die(name, &message, "maxlen");
            }
            return false;
        }
        let lives_ms = queue.rules.ttl_ms.into_iter().chain(message.lives_ms).min();
        message.expires_ms = lives_ms.filter(|_| !queue.rules.is_stream).map(|ms| now_ms + ms);
        message.seq = queue.next_seq;
        queue.next_seq += 1;
        queue.messages.push(message);
        self.touched.push_back(name.to_owned());
        true
    }

    fn die(&mut self, name: &str, message: &Message, reason: &str) {
        let Some(dead) = self.queue(name).rules.dead.clone() else { return };
        let letter = message.letter(name, reason);
        if reason == "rejected" || !letter.turns(&dead) {
            self.enter(&dead, letter);
        }
    }

    /// One queue after another lets go of what must go.
    fn settle_down(&mut self) {
        while let Some(name) = self.touched.pop_front() {
            let (mut count, mut is_any_old) = (0, false);
            while let Some((reason, number)) = self.queues[&name].doom(self.now_ms) {
                let message = self.queue(&name).remove(number);
                count += 1;
                is_any_old |= message.is_old;
                self.die(&name, &message, reason);
            }
            self.is_open |= count > 1 && is_any_old && self.ranks_its_dead(&name);
        }
    }

    /// Whether the dead of a queue come to one with priorities, sooner or later: what becomes of them then depends on
    /// whether they come together. After a start some must be read first, so that others are there before.
    fn ranks_its_dead(&self, name: &str) -> bool {
        let dead_of = |name: &String| self.queues[name].rules.dead.clone();
        let way = std::iter::successors(dead_of(&name.to_owned()), dead_of).take(self.queues.len());
        way.into_iter().any(|name| self.queues[&name].rules.priority_max > 0)
    }
}
