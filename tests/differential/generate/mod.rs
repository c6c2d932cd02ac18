//! Conversations by chance, from a seed. They are made while ours is told them, so that a delivery tag is mostly one that
//! is out, a closed channel is mostly opened again, and the conversation gets deep; but not always: what comes at the
//! wrong time, with a wrong name or as no frame at all is as much of it. Each has a theme, of which half of it is about.

mod frames;
mod methods;
mod random;
mod themes;

use std::collections::BTreeMap;

use crate::conversation::{Conversation, Heard, Step};
use crate::ours::Ours;
use random::Random;
pub(crate) use themes::Theme;

const QUEUES: [&str; 4] = ["q1", "q2", "q3", "q4"];
const EXCHANGES: [&str; 3] = ["e1", "e2", "e3"];
const PREDECLARED: [&str; 5] = ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"];
const KEYS: [&str; 8] = ["q1", "q2", "k", "k.l", "\"k.*\"", "\"#\"", "\"*.l\"", "\"\""];
const TAGS: [&str; 4] = ["t1", "t2", "t3", "\"\""];
/// How long is waited for what is short-lived, ms. That lives for 400 ms: longer than a few steps take RabbitMQ, and more
/// than half as long as this, so that what begins anew meanwhile is still there afterwards.
const WAIT_MS: u64 = 500;
/// At most so many steps lie between two waits.
const STEPS_BETWEEN_WAITS: u32 = 3;

/// What the maker knows of a channel.
#[derive(Default)]
struct Channel {
    /// The broker has closed it and waits for close-ok.
    closing: bool,
    /// It consumes, or did.
    consumes: bool,
    unacked: Vec<u64>,
    no_ack: Vec<String>,
    transactional: bool,
}

/// The conversation of a seed, and what ours said in it. `theme`: what it is to be about, if not chance is to say it.
/// `aloud`: prints each step before ours is told it, to find what ours does not live through.
pub(crate) fn conversation(seed: u64, theme: Option<Theme>, aloud: bool) -> (Conversation, Heard) {
    let mut random = Random::new(seed);
    let by_chance = Theme::by_chance(&mut random);
    let theme = theme.unwrap_or(by_chance);
    let mut maker = Maker {
        random,
        theme,
        ours: Ours::new(),
        steps: Vec::new(),
        clients: BTreeMap::new(),
        aloud,
        generated: 0,
        since_wait: 0,
    };
    maker.begin();
    let length = 8 + maker.random.below(30);
    for _ in 0..length {
        maker.step();
    }
    maker.finish();
    let title = format!("seed {seed}, {}", theme.name());
    (Conversation { title, steps: maker.steps }, maker.ours.heard)
}

struct Maker {
    random: Random,
    theme: Theme,
    ours: Ours,
    steps: Vec<Step>,
    /// By client: its open channels.
    clients: BTreeMap<String, BTreeMap<u16, Channel>>,
    /// Whether to print each step before it is taken.
    aloud: bool,
    /// Names of the broker's making so far.
    generated: usize,
    /// Steps since time passed.
    since_wait: u32,
}

impl Maker {
    fn begin(&mut self) {
        if self.theme == Theme::Frames && self.random.once_in(3) {
            return self.handshake();
        }
        self.connect("a");
        self.send("a", 1, "channel.open");
        if self.set_up() {
            return;
        }
        if !self.random.once_in(6) {
            let declare = self.declare_queue("q1");
            self.send("a", 1, &declare);
        }
        if self.random.once_in(2) {
            self.send("a", 1, "queue.declare queue=q2");
        }
        if self.random.once_in(2) {
            let kind = self.random.of(&["direct", "fanout", "topic", "headers"]);
            self.send("a", 1, &format!("exchange.declare exchange=e1 type={kind}"));
        }
        if self.random.once_in(3) {
            self.send("a", 1, "confirm.select");
        } else if self.random.once_in(4) {
            self.send("a", 1, "tx.select");
        }
    }

    /// Answers channels that failed while they held or consumed something. RabbitMQ gives that back once close-ok has
    /// come, ours at once: nobody is to see the time between. `all`: whatever they held.
    fn finish_failed(&mut self, all: bool) -> bool {
        let holds = |channel: &Channel| {
            channel.closing
                && (all || channel.consumes || channel.transactional || !channel.unacked.is_empty())
        };
        let holding: Vec<_> = self
            .clients
            .iter()
            .flat_map(|(client, channels)| {
                channels.iter().map(move |(number, channel)| (client, number, channel))
            })
            .filter(|(.., channel)| holds(channel))
            .map(|(client, number, _)| (client.clone(), *number))
            .collect();
        for (client, number) in &holding {
            self.send(client, *number, "channel.close-ok");
        }
        !holding.is_empty()
    }

    /// Looks at what is left.
    fn finish(&mut self) {
        self.finish_failed(true);
        if self.theme.takes_time() {
            self.take(Step::Wait { ms: WAIT_MS });
        } else if self.random.once_in(2) {
            self.take(Step::Wait { ms: 0 });
        }
    }

    fn connect(&mut self, client: &str) {
        let odds = if self.theme == Theme::Rights { 1 } else { 12 };
        let user = if client != "a" && self.random.once_in(odds) || self.random.once_in(20) {
            self.random.of(&["ann", "one", "reader", "writer", "topical"])
        } else {
            "guest"
        };
        self.clients.insert(client.to_owned(), BTreeMap::new());
        self.take(Step::Connect { client: client.to_owned(), user: user.to_owned(), properties: None });
    }

    fn send(&mut self, client: &str, channel: u16, text: &str) {
        let (client, text) = (client.to_owned(), text.to_owned());
        self.take(Step::Method { client, channel, text });
    }

    /// Tells ours, and learns from what it says.
    fn take(&mut self, step: Step) {
        if self.aloud {
            println!("{step}");
        }
        self.since_wait = if matches!(step, Step::Wait { .. }) { 0 } else { self.since_wait + 1 };
        let said = self.ours.take(&step);
        if let Step::Method { client, channel, text } = &step {
            self.learn_from_client(client, *channel, text);
        }
        self.steps.push(step);
        for (client, channel, text) in said {
            self.learn_from_broker(&client, channel, &text);
        }
    }

    fn learn_from_client(&mut self, client: &str, number: u16, text: &str) {
        let Some(channels) = self.clients.get_mut(client) else { return };
        match text.split(' ').next().unwrap_or_default() {
            "channel.close-ok" => drop(channels.remove(&number)),
            "tx.select" => {
                if let Some(channel) = channels.get_mut(&number) {
                    channel.transactional = true;
                }
            }
            "basic.consume" => {
                let tag = text.split("consumer-tag=").nth(1).and_then(|rest| rest.split(' ').next());
                if let Some(channel) = channels.get_mut(&number) {
                    channel.consumes = true;
                    if let Some(tag) = tag
                        && text.contains("no-ack=true")
                    {
                        channel.no_ack.push(tag.to_owned());
                    }
                }
            }
            _ => {}
        }
    }

    fn learn_from_broker(&mut self, client: &str, number: u16, text: &str) {
        for at in self.generated + 1..self.generated + 3 {
            if text.contains(&format!("${at}")) {
                self.generated = at;
            }
        }
        let Some(channels) = self.clients.get_mut(client) else { return };
        match text.split(' ').next().unwrap_or_default() {
            "connection.close" => {
                self.clients.remove(client);
                self.send(client, 0, "connection.close-ok");
            }
            "connection.close-ok" => drop(self.clients.remove(client)),
            "channel.open-ok" => drop(channels.insert(number, Channel::default())),
            "channel.close-ok" => drop(channels.remove(&number)),
            "channel.close" => {
                if let Some(channel) = channels.get_mut(&number) {
                    channel.closing = true;
                }
            }
            "basic.deliver" | "basic.get-ok" => {
                let tag = text.split("delivery-tag=").nth(1).and_then(|rest| rest.split(' ').next());
                let Some(tag) = tag.and_then(|tag| tag.parse().ok()) else { return };
                if let Some(channel) = channels.get_mut(&number) {
                    channel.unacked.push(tag);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        if self.theme.takes_time() && self.since_wait >= STEPS_BETWEEN_WAITS {
            self.finish_failed(true);
            self.take(Step::Wait { ms: WAIT_MS });
        }
        let clients: Vec<String> = self.clients.keys().cloned().collect();
        let company = if self.theme.wants_company() { 6 } else { 25 };
        if clients.is_empty() || clients.len() < 3 && self.random.once_in(company) {
            let free = ["a", "b", "c", "d", "e", "f"].into_iter().find(|name| {
                !self.steps.iter().any(|step| matches!(step, Step::Connect { client, .. } if client == name))
            });
            if let Some(name) = free {
                self.connect(name);
                self.send(name, 1, "channel.open");
            }
            return;
        }
        if self.finish_failed(false) {
            return;
        }
        let client = clients[usize::try_from(self.random.below(clients.len() as u64)).unwrap()].clone();
        let open: Vec<u16> = self.clients[&client].keys().copied().collect();
        let closing = open.iter().copied().find(|number| self.clients[&client][number].closing);
        if let Some(number) = closing
            && !self.random.once_in(8)
        {
            self.send(&client, number, "channel.close-ok");
            if !self.random.once_in(6) {
                self.send(&client, number, "channel.open");
            }
            return;
        }
        if open.is_empty() || open.len() < 3 && self.random.once_in(20) {
            let number = (1..).find(|number| !open.contains(number)).unwrap_or(1);
            return self.send(&client, number, "channel.open");
        }
        let odds = if self.theme == Theme::Frames { 4 } else { 60 };
        if self.random.once_in(odds) {
            return self.odd(&client, &open);
        }
        let number = self.random.of(&open);
        if self.random.once_in(2)
            && let Some(step) = self.of_theme(&client, number)
        {
            return self.take(step);
        }
        let text = self.method(&client, number);
        self.send(&client, number, &text);
    }
}
