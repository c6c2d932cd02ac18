//! Methods by chance, with their fields: what any conversation may hold.

use super::{EXCHANGES, KEYS, Maker, PREDECLARED, QUEUES, TAGS, Theme};

/// Names that are allowed, or nearly.
const ODD_NAMES: [&str; 22] = [
    "\"\\x00\"",
    "\"a\\x00b\"",
    "\"\\xff\\xfe\"",
    "\"\\xc3\"",
    "\"q\\r\\n1\"",
    "\"\\n\"",
    "\"é\"",
    "\"日本\"",
    "\"\\t\"",
    "\" \"",
    "\"a b\"",
    "\"'\"",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"a\\x07b\"",
    "\"~p ~s\"",
    "\"%s\"",
    "\"amq\"",
    "\"amq.\"",
    "\"AMQ.x\"",
    "\"../q1\"",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
];

impl Maker {
    /// A method for an open channel, with its fields.
    pub(super) fn method(&mut self, client: &str, number: u16) -> String {
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

    pub(super) fn some_queue(&mut self) -> String {
        if self.theme == Theme::Names && self.random.once_in(2) {
            return self.random.of(&ODD_NAMES).to_owned();
        }
        match self.random.below(20) {
            0 if self.generated > 0 => format!("${}", 1 + self.random.below(self.generated as u64)),
            1 => "\"\"".to_owned(),
            2 => self.random.of(&["missing", "amq.mine", "\"a b\"", "\"q\\n1\""]).to_owned(),
            3..10 => "q1".to_owned(),
            _ => self.random.of(&QUEUES).to_owned(),
        }
    }

    pub(super) fn some_exchange(&mut self) -> String {
        if self.theme == Theme::Names && self.random.once_in(2) {
            return self.random.of(&ODD_NAMES).to_owned();
        }
        match self.random.below(20) {
            0 => "\"\"".to_owned(),
            1 => self.random.of(&["missing", "amq.mine", "amq.rabbitmq.trace", "amq.default"]).to_owned(),
            2..10 => "e1".to_owned(),
            10..15 => self.random.of(&EXCHANGES).to_owned(),
            _ => self.random.of(&PREDECLARED).to_owned(),
        }
    }

    pub(super) fn flags(&mut self, names: &[&str], odds: u64) -> String {
        let mut out = String::new();
        for name in names {
            if self.random.once_in(odds) {
                out.push_str(&format!(" {name}=true"));
            }
        }
        out
    }

    pub(super) fn declare_queue(&mut self, queue: &str) -> String {
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

    pub(super) fn declare_exchange(&mut self) -> String {
        let exchange = self.some_exchange();
        let kind = self.random.of(&["direct", "fanout", "topic", "headers"]);
        let flags = self.flags(&["durable", "auto-delete", "internal", "passive"], 7);
        let alternate = if self.random.once_in(8) { " arguments={alternate-exchange=e2}" } else { "" };
        format!("exchange.declare exchange={exchange} type={kind}{flags}{alternate}")
    }

    pub(super) fn binding_arguments(&mut self) -> &'static str {
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

    pub(super) fn publish(&mut self) -> String {
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

    pub(super) fn settle(&mut self, client: &str, number: u16) -> String {
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

    pub(super) fn transaction(&mut self, client: &str, number: u16) -> String {
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
