//! Conversations by chance, from a seed. They are made while ours is told them, so that a delivery tag is mostly one that
//! is out, a closed channel is mostly opened again, and the conversation gets deep; but not always: what comes at the
//! wrong time, with a wrong name or as no frame at all is as much of it.

use crate::conversation::{Conversation, Step};
use crate::ours::Ours;
use std::collections::BTreeMap;

const QUEUES: [&str; 4] = ["q1", "q2", "q3", "q4"];
const EXCHANGES: [&str; 3] = ["e1", "e2", "e3"];
const PREDECLARED: [&str; 5] = ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"];
const KEYS: [&str; 8] = ["q1", "q2", "k", "k.l", "\"k.*\"", "\"#\"", "\"*.l\"", "\"\""];
const TAGS: [&str; 4] = ["t1", "t2", "t3", "\"\""];

/// Xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 20) % bound
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }
}

/// What the maker knows of a channel.
#[derive(Default)]
struct Channel {
    /// The broker has closed it and waits for close-ok.
    closing: bool,
    unacked: Vec<u64>,
    no_ack: Vec<String>,
    transactional: bool,
}

/// The conversation of a seed. `aloud`: prints each step before ours is told it, to find what ours does not live through.
pub(crate) fn conversation(seed: u64, aloud: bool) -> Conversation {
    let mut maker = Maker {
        random: Random::new(seed),
        ours: Ours::new(),
        steps: Vec::new(),
        clients: BTreeMap::new(),
        aloud,
        generated: 0,
    };
    maker.begin();
    let length = 8 + maker.random.below(30);
    for _ in 0..length {
        maker.step();
    }
    Conversation { title: format!("seed {seed}"), steps: maker.steps }
}

struct Maker {
    random: Random,
    ours: Ours,
    steps: Vec<Step>,
    /// By client: its open channels.
    clients: BTreeMap<String, BTreeMap<u16, Channel>>,
    /// Whether to print each step before it is taken.
    aloud: bool,
    /// Names of the broker's making so far.
    generated: usize,
}

impl Maker {
    fn begin(&mut self) {
        self.connect("a");
        self.send("a", 1, "channel.open");
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

    fn connect(&mut self, client: &str) {
        let user = if self.random.once_in(8) {
            self.random.of(&["ann", "one", "reader", "writer"])
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
            "basic.consume" if text.contains("no-ack=true") => {
                let tag = text.split("consumer-tag=").nth(1).and_then(|rest| rest.split(' ').next());
                if let (Some(channel), Some(tag)) = (channels.get_mut(&number), tag) {
                    channel.no_ack.push(tag.to_owned());
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
        let clients: Vec<String> = self.clients.keys().cloned().collect();
        if clients.is_empty() || clients.len() < 3 && self.random.once_in(25) {
            let free = ["a", "b", "c", "d", "e", "f"].into_iter().find(|name| {
                !self.steps.iter().any(|step| matches!(step, Step::Connect { client, .. } if client == name))
            });
            if let Some(name) = free {
                self.connect(name);
                self.send(name, 1, "channel.open");
            }
            return;
        }
        // RabbitMQ gives back what a failed channel held once close-ok has come, ours at once: nobody is to see the time
        // between.
        let holding = self.clients.iter().find_map(|(client, channels)| {
            let holds = |channel: &Channel| channel.closing && !channel.unacked.is_empty();
            channels.iter().find(|(_, channel)| holds(channel)).map(|(number, _)| (client.clone(), *number))
        });
        if let Some((client, number)) = holding {
            return self.send(&client, number, "channel.close-ok");
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
        if self.random.once_in(60) {
            return self.odd(&client, &open);
        }
        let number = self.random.of(&open);
        let text = self.method(&client, number);
        self.send(&client, number, &text);
    }

    /// What no library would send.
    fn odd(&mut self, client: &str, open: &[u16]) {
        let number = self.random.of(open);
        let unopened = 40 + u16::try_from(self.random.below(3)).unwrap();
        match self.random.below(12) {
            0 => self.send(client, number, "channel.open"),
            1 => self.send(client, unopened, "queue.declare queue=q1"),
            2 => self.send(client, unopened, "channel.close reply-code=200"),
            3 => self.send(client, number, "basic.cancel-ok consumer-tag=t1"),
            4 => self.send(client, number, "channel.close-ok"),
            5 => self.send(client, number, "channel.flow active=false"),
            6 => self.send(client, number, "basic.publish exchange=e1 routing-key=k immediate=true body=x"),
            7 => self.send(client, number, "basic.qos prefetch-size=7"),
            8 => self.send(client, 0, "connection.close reply-code=200 reply-text=bye"),
            9 => {
                self.clients.remove(client);
                self.take(Step::Break { client: client.to_owned() });
            }
            10 => self.send(client, number, "basic.recover requeue=false"),
            _ => self.raw(client, number),
        }
    }

    fn raw(&mut self, client: &str, number: u16) {
        let [high, low] = number.to_be_bytes();
        let frame = |kind: u8, payload: &[u8]| {
            let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&[kind, high, low][..], &size, payload, &[0xCE]].concat()
        };
        let publish = [0, 60, 0, 40, 0, 0, 0, 2, b'q', b'1', 0];
        let header = |size: u8| [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[size, 0, 0]].concat();
        let bytes = match self.random.below(9) {
            // A content header and a body that nobody announced.
            0 => frame(2, &header(0)),
            1 => frame(3, b"x"),
            // Another method, or a body, instead of the content header.
            2 => [frame(1, &publish), frame(1, &publish)].concat(),
            3 => [frame(1, &publish), frame(3, b"x")].concat(),
            // A header of another class; more body than announced; a second header.
            4 => [frame(1, &publish), frame(2, &[&[0, 50][..], &header(1)[2..]].concat())].concat(),
            5 => [frame(1, &publish), frame(2, &header(1)), frame(3, b"xy")].concat(),
            6 => [frame(1, &publish), frame(2, &header(1)), frame(2, &header(1))].concat(),
            // Another frame end, an unknown method.
            7 => [&[8, 0, 0, 0, 0, 0, 0][..], &[0xCF]].concat(),
            _ => frame(1, &[0, 60, 0, 33]),
        };
        self.take(Step::Raw { client: client.to_owned(), bytes });
    }

    /// A method for an open channel, with its fields.
    fn method(&mut self, client: &str, number: u16) -> String {
        let nowait = if self.random.once_in(12) { " nowait=true" } else { "" };
        match self.random.below(100) {
            0..8 => {
                let queue = self.some_queue();
                self.declare_queue(&queue) + nowait
            }
            8..10 => format!("queue.declare queue={} passive=true", self.some_queue()),
            10..17 => {
                let (queue, exchange, key) = (self.some_queue(), self.some_exchange(), self.random.of(&KEYS));
                let arguments = self.binding_arguments();
                format!("queue.bind queue={queue} exchange={exchange} routing-key={key}{arguments}{nowait}")
            }
            17..19 => {
                let (queue, exchange, key) = (self.some_queue(), self.some_exchange(), self.random.of(&KEYS));
                let arguments = self.binding_arguments();
                format!("queue.unbind queue={queue} exchange={exchange} routing-key={key}{arguments}")
            }
            19..21 => format!("queue.purge queue={}{nowait}", self.some_queue()),
            21..23 => {
                let condition = self.random.of(&[
                    "",
                    " if-unused=true",
                    " if-empty=true",
                    " if-unused=true if-empty=true",
                ]);
                format!("queue.delete queue={}{condition}{nowait}", self.some_queue())
            }
            23..27 => self.declare_exchange() + nowait,
            27..29 => {
                let condition = self.random.of(&["", " if-unused=true"]);
                format!("exchange.delete exchange={}{condition}{nowait}", self.some_exchange())
            }
            29..32 => {
                // One end is always an exchange of ours: others would stay for the next conversation.
                let (own, any, key) =
                    (self.random.of(&EXCHANGES), self.some_exchange(), self.random.of(&KEYS));
                let (source, destination) =
                    if self.random.once_in(2) { (own, any.as_str()) } else { (any.as_str(), own) };
                let verb = if self.random.once_in(4) { "unbind" } else { "bind" };
                let arguments = self.binding_arguments();
                format!(
                    "exchange.{verb} destination={destination} source={source} routing-key={key}{arguments}{nowait}"
                )
            }
            32..58 => self.publish(),
            58..66 => {
                let no_ack = if self.random.once_in(2) { " no-ack=true" } else { "" };
                format!("basic.get queue={}{no_ack}", self.some_queue())
            }
            66..72 => {
                let (queue, tag) = (self.some_queue(), self.random.of(&TAGS));
                let no_ack = if self.random.once_in(3) { " no-ack=true" } else { "" };
                let exclusive = if self.random.once_in(8) { " exclusive=true" } else { "" };
                let tag = if nowait.is_empty() { tag } else { "t4" };
                let priority = if self.random.once_in(8) { " arguments={x-priority=3}" } else { "" };
                format!("basic.consume queue={queue} consumer-tag={tag}{no_ack}{exclusive}{nowait}{priority}")
            }
            72..75 => format!("basic.cancel consumer-tag={}{nowait}", self.random.of(&TAGS)),
            75..86 => self.settle(client, number),
            86..88 => {
                let count = self.random.of(&[0, 1, 1, 2, 5]);
                let global = if self.random.once_in(3) { " global=true" } else { "" };
                format!("basic.qos prefetch-count={count}{global}")
            }
            88..89 => {
                self.random.of(&["basic.recover requeue=true", "basic.recover-async requeue=true"]).to_owned()
            }
            89..91 => format!("confirm.select{nowait}"),
            91..96 => self.transaction(client, number),
            96..97 => "channel.flow active=true".to_owned(),
            97..98 => "access.request realm=/data".to_owned(),
            _ => "channel.close reply-code=200 reply-text=bye".to_owned(),
        }
    }

    fn some_queue(&mut self) -> String {
        match self.random.below(20) {
            0 if self.generated > 0 => format!("${}", 1 + self.random.below(self.generated as u64)),
            1 => "\"\"".to_owned(),
            2 => self.random.of(&["missing", "amq.mine", "\"a b\"", "\"q\\n1\""]).to_owned(),
            3..10 => "q1".to_owned(),
            _ => self.random.of(&QUEUES).to_owned(),
        }
    }

    fn some_exchange(&mut self) -> String {
        match self.random.below(20) {
            0 => "\"\"".to_owned(),
            1 => self.random.of(&["missing", "amq.mine", "amq.rabbitmq.trace", "amq.default"]).to_owned(),
            2..10 => "e1".to_owned(),
            10..15 => self.random.of(&EXCHANGES).to_owned(),
            _ => self.random.of(&PREDECLARED).to_owned(),
        }
    }

    fn flags(&mut self, names: &[&str], odds: u64) -> String {
        let mut out = String::new();
        for name in names {
            if self.random.once_in(odds) {
                out.push_str(&format!(" {name}=true"));
            }
        }
        out
    }

    fn declare_queue(&mut self, queue: &str) -> String {
        let flags = self.flags(&["durable", "exclusive", "auto-delete"], 5);
        let arguments = if self.random.once_in(10) {
            self.random.of(&[
                " arguments={x-max-length=-1}",
                " arguments={x-max-length=abc}",
                " arguments={x-message-ttl=-1}",
                " arguments={x-message-ttl=abc}",
                " arguments={x-message-ttl=99999999999999}",
                " arguments={x-expires=0}",
                " arguments={x-expires=true}",
                " arguments={x-max-priority=256}",
                " arguments={x-max-priority=-5}",
                " arguments={x-overflow=abc}",
                " arguments={x-overflow=5}",
                " arguments={x-dead-letter-routing-key=abc}",
                " arguments={x-dead-letter-exchange=5}",
                " arguments={x-queue-type=classic}",
                " arguments={x-queue-type=abc}",
                " arguments={x-unknown=abc}",
                " arguments={x-single-active-consumer=abc}",
                " arguments={x-queue-mode=lazy}",
                " arguments={x-max-length=1000000}",
                " arguments={x-max-length=1000000:l}",
                " arguments={x-expires=10000000}",
            ])
        } else if self.random.once_in(5) {
            self.random.of(&[
                " arguments={x-max-length=2}",
                " arguments={x-max-length=1 x-overflow=reject-publish}",
                " arguments={x-max-length-bytes=5}",
                " arguments={x-max-length=1 x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2}",
                " arguments={x-dead-letter-exchange=e1}",
                " arguments={x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q3}",
                " arguments={x-single-active-consumer=true}",
                " arguments={x-max-priority=5}",
            ])
        } else {
            ""
        };
        format!("queue.declare queue={queue}{flags}{arguments}")
    }

    fn declare_exchange(&mut self) -> String {
        let exchange = self.some_exchange();
        let kind = self.random.of(&["direct", "fanout", "topic", "headers"]);
        let flags = self.flags(&["durable", "auto-delete", "internal", "passive"], 7);
        let alternate = if self.random.once_in(8) { " arguments={alternate-exchange=e2}" } else { "" };
        format!("exchange.declare exchange={exchange} type={kind}{flags}{alternate}")
    }

    fn binding_arguments(&mut self) -> &'static str {
        if !self.random.once_in(4) {
            return "";
        }
        self.random.of(&[
            " arguments={x-match=all a=1 b=x}",
            " arguments={x-match=any a=1 b=x}",
            " arguments={a=1}",
            " arguments={x-match=any}",
            " arguments={x-match=foo a=1}",
            " arguments={a=void}",
            " arguments={x-match=all-with-x x-a=1}",
            " arguments={x-match=5}",
        ])
    }

    fn publish(&mut self) -> String {
        let exchange = if self.random.once_in(2) { "\"\"".to_owned() } else { self.some_exchange() };
        let key = if exchange == "\"\"" && !self.random.once_in(5) {
            self.random.of(&QUEUES)
        } else {
            self.random.of(&KEYS)
        };
        let mandatory = if self.random.once_in(5) { " mandatory=true" } else { "" };
        let properties = match self.random.below(16) {
            0..4 => "",
            4..8 => " properties={delivery-mode=2}",
            8..10 => " properties={headers={a=1 b=x}}",
            10 => " properties={headers={a=1:l x-a=1}}",
            11 => {
                " properties={content-type=text/plain headers={a=1:s n=-5:b big=5000000000 t=9:T v=void l=[1 x {c=true}]} delivery-mode=1 priority=3 correlation-id=c reply-to=r message-id=m timestamp=99 type=t app-id=i}"
            }
            12 => " properties={expiration=100000}",
            13 => self.random.of(&[
                " properties={expiration=abc}",
                " properties={expiration=-1}",
                " properties={expiration=\"\"}",
                " properties={user-id=guest}",
                " properties={user-id=other}",
                " properties={expiration=999999999999999}",
            ]),
            14 => " properties={delivery-mode=1 priority=200 cluster-id=c content-encoding=gzip}",
            _ => self.random.of(&[
                " properties={headers={}}",
                " properties={headers={CC=[q2 k]}}",
                " properties={headers={BCC=[q3] CC=[q1]}}",
                " properties={headers={CC=q2}}",
                " properties={priority=2}",
                " properties={priority=9}",
            ]),
        };
        let body = match self.random.below(10) {
            0 => String::new(),
            1 => " body=\"two words\"".to_owned(),
            2 => format!(" body={}", "long".repeat(100)),
            _ => format!(" body=m{}", self.steps.len()),
        };
        format!("basic.publish exchange={exchange} routing-key={key}{mandatory}{properties}{body}")
    }

    fn settle(&mut self, client: &str, number: u16) -> String {
        let multiple = if self.random.once_in(3) { " multiple=true" } else { "" };
        let channel = self.clients.get_mut(client).and_then(|channels| channels.get_mut(&number));
        let tag = match channel {
            Some(channel) if !channel.unacked.is_empty() && !self.random.once_in(12) => {
                let at = usize::try_from(self.random.below(channel.unacked.len() as u64)).unwrap();
                let tag = channel.unacked[at];
                if multiple.is_empty() {
                    channel.unacked.remove(at);
                } else {
                    channel.unacked.drain(..=at);
                }
                tag
            }
            _ if self.random.once_in(4) => self.random.below(5),
            _ => return format!("basic.get queue={}", self.some_queue()),
        };
        match self.random.below(6) {
            0 => format!("basic.reject delivery-tag={tag} requeue=true"),
            1 => format!("basic.reject delivery-tag={tag}"),
            2 => format!("basic.nack delivery-tag={tag}{multiple} requeue=true"),
            3 => format!("basic.nack delivery-tag={tag}{multiple}"),
            _ => format!("basic.ack delivery-tag={tag}{multiple}"),
        }
    }

    fn transaction(&mut self, client: &str, number: u16) -> String {
        let selected = self.clients[client].get(&number).is_some_and(|channel| channel.transactional);
        if selected || self.random.once_in(6) {
            self.random.of(&["tx.commit", "tx.commit", "tx.rollback"]).to_owned()
        } else if self.random.once_in(3) {
            "tx.select".to_owned()
        } else {
            self.publish()
        }
    }
}
