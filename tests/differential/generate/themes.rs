//! What a conversation is about: how it begins, and which methods it has more of than others.

use ledgermq::definitions::{ApplyTo, PolicyDefinition};

use super::random::Random;
use super::{EXCHANGES, KEYS, Maker, QUEUES, TAGS};
use crate::conversation::Step;

/// What half of a conversation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Everything.
    General,
    /// Time to live and leases.
    Times,
    DeadLetters,
    Lengths,
    Priorities,
    /// Consumers with priorities, single active ones, exclusive ones; shared prefetch.
    Consumers,
    Quorum,
    /// Direct reply-to.
    Replies,
    /// Exchanges bound to exchanges, alternates, `CC` and `BCC`, headers.
    Routes,
    /// What goes with its last user.
    Lives,
    Transactions,
    Streams,
    Policies,
    /// Users who may not do everything.
    Rights,
    /// Frames that are none, in any order.
    Frames,
    /// Names of odd bytes.
    Names,
}

/// Themes with how often they come.
const MIX: [(Theme, u64); 16] = [
    (Theme::General, 20),
    (Theme::Times, 7),
    (Theme::DeadLetters, 10),
    (Theme::Lengths, 8),
    (Theme::Priorities, 6),
    (Theme::Consumers, 9),
    (Theme::Quorum, 4),
    (Theme::Replies, 5),
    (Theme::Routes, 8),
    (Theme::Lives, 6),
    (Theme::Transactions, 6),
    (Theme::Streams, 3),
    (Theme::Policies, 3),
    (Theme::Rights, 6),
    (Theme::Frames, 7),
    (Theme::Names, 4),
];

/// Policies by chance; what cannot be one is among them.
const DEFINITIONS: [&str; 18] = [
    r#"{"max-length":2}"#,
    r#"{"max-length":1,"overflow":"reject-publish"}"#,
    r#"{"max-length-bytes":5}"#,
    r#"{"message-ttl":400}"#,
    r#"{"message-ttl":100000}"#,
    r#"{"expires":400}"#,
    r#"{"dead-letter-exchange":"","dead-letter-routing-key":"q2"}"#,
    r#"{"dead-letter-exchange":"e2"}"#,
    r#"{"dead-letter-exchange":"e1","max-length":1}"#,
    r#"{"alternate-exchange":"e2"}"#,
    r#"{"queue-mode":"lazy"}"#,
    r#"{"delivery-limit":1}"#,
    r#"{"max-length":-1}"#,
    r#"{"max-length":"x"}"#,
    r#"{"overflow":"sideways"}"#,
    r#"{"message-ttl":"soon"}"#,
    r#"{"max-age":"1h"}"#,
    r#"{"no-such-key":1}"#,
];

impl Theme {
    pub(crate) fn named(name: &str) -> Option<Self> {
        MIX.into_iter().map(|(theme, _)| theme).find(|theme| theme.name() == name)
    }

    /// Its name in small letters.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(super) fn by_chance(random: &mut Random) -> Self {
        let total = MIX.iter().map(|(_, weight)| weight).sum();
        let mut at = random.below(total);
        for (theme, weight) in MIX {
            if at < weight {
                return theme;
            }
            at -= weight;
        }
        Self::General
    }

    /// Whether something may live shortly, so that time has to pass.
    pub(super) fn takes_time(self) -> bool {
        matches!(self, Self::Times | Self::Policies)
    }

    /// Whether it shows more with several clients.
    pub(super) fn wants_company(self) -> bool {
        matches!(self, Self::Consumers | Self::Replies | Self::Lives | Self::Rights)
    }
}

impl Maker {
    /// Makes what the theme is about. Answers whether that is all there is to be made.
    #[expect(clippy::too_many_lines, reason = "a list: what each theme begins with")]
    pub(super) fn set_up(&mut self) -> bool {
        let mut said: Vec<String> = Vec::new();
        let mut say = |text: &str| said.push(text.to_owned());
        let random = &mut self.random;
        match self.theme {
            Theme::General | Theme::Frames | Theme::Names => return false,
            Theme::Times => {
                let ttl = random.of(&["400", "400", "0", "100000"]);
                let letters = random.of(&[
                    "",
                    " x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-dead-letter-exchange=e1",
                ]);
                say("exchange.declare exchange=e1 type=fanout");
                say(&format!("queue.declare queue=q1 arguments={{x-message-ttl={ttl}{letters}}}"));
                say("queue.declare queue=q2");
                if random.once_in(2) {
                    say("queue.declare queue=q3 arguments={x-expires=400}");
                }
                say("queue.bind queue=q2 exchange=e1");
            }
            Theme::DeadLetters => {
                let kind = random.of(&["direct", "fanout", "topic"]);
                say(&format!("exchange.declare exchange=e1 type={kind}"));
                let letters = random.of(&[
                    "x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    "x-dead-letter-exchange=e1",
                    "x-dead-letter-exchange=e1 x-dead-letter-routing-key=k.l",
                    "x-dead-letter-exchange=\"\"",
                ]);
                let limit =
                    random.of(&["", "", " x-max-length=1", " x-max-length=2 x-overflow=reject-publish-dlx"]);
                say(&format!("queue.declare queue=q1 arguments={{{letters}{limit}}}"));
                let back = random.of(&[
                    "",
                    " arguments={x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q1}",
                    " arguments={x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q3}",
                    " arguments={x-dead-letter-exchange=e1 x-max-length=1}",
                ]);
                say(&format!("queue.declare queue=q2{back}"));
                say("queue.declare queue=q3");
                say("queue.bind queue=q2 exchange=e1 routing-key=q1");
                say(&format!("queue.bind queue=q3 exchange=e1 routing-key={}", random.of(&KEYS)));
            }
            Theme::Lengths => {
                let limit = random.of(&[
                    "x-max-length=0",
                    "x-max-length=1",
                    "x-max-length=2",
                    "x-max-length=3",
                    "x-max-length-bytes=0",
                    "x-max-length-bytes=5",
                    "x-max-length-bytes=8",
                    "x-max-length=2 x-max-length-bytes=6",
                ]);
                let overflow = random.of(&[
                    "",
                    " x-overflow=drop-head",
                    " x-overflow=reject-publish",
                    " x-overflow=reject-publish-dlx x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-max-priority=3",
                ]);
                say(&format!("queue.declare queue=q1 arguments={{{limit}{overflow}}}"));
                say("queue.declare queue=q2");
                if !random.once_in(3) {
                    say("confirm.select");
                }
            }
            Theme::Priorities => {
                let most = random.of(&["1", "3", "10", "255"]);
                let more = random.of(&["", "", " x-max-length=2", " x-single-active-consumer=true"]);
                say(&format!("queue.declare queue=q1 arguments={{x-max-priority={most}{more}}}"));
                say("queue.declare queue=q2");
            }
            Theme::Consumers => {
                let arguments = random.of(&["", "", " arguments={x-single-active-consumer=true}"]);
                say(&format!("queue.declare queue=q1{arguments}"));
                say("queue.declare queue=q2");
                say("channel.open");
            }
            Theme::Quorum => {
                // RabbitMQ 4 has a limit of 20 unless another is said, 3.10 none, and then what is requeued comes last.
                let more = random.of(&[
                    " x-delivery-limit=20",
                    " x-delivery-limit=1",
                    " x-delivery-limit=0 x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-delivery-limit=2 x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-delivery-limit=20 x-dead-letter-exchange=\"\" x-dead-letter-routing-key=q2",
                    " x-delivery-limit=20 x-single-active-consumer=true",
                    " x-delivery-limit=20 x-max-length=2",
                ]);
                say(&format!("queue.declare queue=q1 durable=true arguments={{x-queue-type=quorum{more}}}"));
                say("queue.declare queue=q2");
                if random.once_in(2) {
                    say("confirm.select");
                }
            }
            Theme::Replies => {
                say("queue.declare queue=q1");
                say("basic.consume queue=amq.rabbitmq.reply-to consumer-tag=r no-ack=true");
                say("basic.publish routing-key=q1 properties={reply-to=amq.rabbitmq.reply-to} body=question");
            }
            Theme::Routes => {
                for exchange in EXCHANGES {
                    let kind = random.of(&["direct", "fanout", "topic", "headers"]);
                    let alternate = random.of(&["", "", " arguments={alternate-exchange=e3}"]);
                    say(&format!("exchange.declare exchange={exchange} type={kind}{alternate}"));
                }
                for queue in ["q1", "q2", "q3"] {
                    say(&format!("queue.declare queue={queue}"));
                }
            }
            Theme::Lives => {
                let flag = random.of(&["exclusive", "auto-delete"]);
                say(&format!("queue.declare queue=q1 {flag}=true"));
                say("exchange.declare exchange=e1 type=fanout auto-delete=true");
                say("queue.bind queue=q1 exchange=e1");
            }
            Theme::Transactions => {
                let limit = random.of(&["", "", "", " arguments={x-max-length=1}"]);
                say(&format!("queue.declare queue=q1 durable=true{limit}"));
                say("queue.declare queue=q2");
                say("exchange.declare exchange=e1 type=fanout");
                say("queue.bind queue=q1 exchange=e1");
                say("queue.bind queue=q2 exchange=e1");
                say("basic.publish routing-key=q1 body=before");
                say("tx.select");
            }
            Theme::Streams => {
                say("queue.declare queue=q1 durable=true arguments={x-queue-type=stream}");
                say("confirm.select");
                say("basic.qos prefetch-count=2");
            }
            Theme::Policies => {
                say("exchange.declare exchange=e1 type=direct");
                say("exchange.declare exchange=e2 type=fanout");
                say("queue.declare queue=q1");
                say("queue.declare queue=q2");
                say("queue.bind queue=q2 exchange=e2");
            }
            Theme::Rights => {
                say("exchange.declare exchange=e1 type=topic");
                say("queue.declare queue=q1");
                say("queue.declare queue=q2");
                say("queue.bind queue=q1 exchange=e1 routing-key=q1");
            }
        }
        for text in said {
            let number = if text == "channel.open" { 2 } else { 1 };
            self.send("a", number, &text);
        }
        true
    }

    /// A step that the theme is about; `None` if this time it is not.
    pub(super) fn of_theme(&mut self, client: &str, number: u16) -> Option<Step> {
        let text = match self.theme {
            Theme::General | Theme::Frames | Theme::Names | Theme::Rights => return None,
            Theme::Times => self.of_times(client, number),
            Theme::DeadLetters => self.of_dead_letters(client, number),
            Theme::Lengths => self.of_lengths(client, number),
            Theme::Priorities => self.of_priorities(client, number),
            Theme::Consumers => self.of_consumers(client, number),
            Theme::Quorum => self.of_quorum(client, number),
            Theme::Replies => self.of_replies(client, number),
            Theme::Routes => self.of_routes(),
            Theme::Lives => self.of_lives(client),
            Theme::Transactions => self.of_transactions(client, number),
            Theme::Streams => self.of_streams(client, number),
            Theme::Policies => return self.of_policies(),
        };
        if text.is_empty() {
            return Some(Step::Break { client: client.to_owned() });
        }
        Some(Step::Method { client: client.to_owned(), channel: number, text })
    }

    /// A message for the first queue, with a body that says when it was published.
    fn publish_to(&mut self, queue: &str, properties: &str) -> String {
        let properties =
            if properties.is_empty() { String::new() } else { format!(" properties={{{properties}}}") };
        format!("basic.publish routing-key={queue}{properties} body=m{}", self.steps.len())
    }

    fn consume(&mut self, queue: &str) -> String {
        let tag = self.random.of(&TAGS);
        let no_ack = if self.random.once_in(4) { " no-ack=true" } else { "" };
        format!("basic.consume queue={queue} consumer-tag={tag}{no_ack}")
    }

    fn of_times(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..5 => {
                let queue = self.random.of(&["q1", "q1", "q1", "q2", "q3"]);
                let properties = self.random.of(&["", "expiration=400", "expiration=0", "expiration=100000"]);
                self.publish_to(queue, properties)
            }
            5..8 => self.settle(client, number),
            8 => format!("basic.get queue={}", self.random.of(&["q1", "q2"])),
            9 => {
                let queue = self.random.of(&["q1", "q2", "q3"]);
                self.consume(queue)
            }
            10 => format!("basic.cancel consumer-tag={}", self.random.of(&TAGS)),
            _ => "queue.declare queue=q3 arguments={x-expires=400}".to_owned(),
        }
    }

    fn of_dead_letters(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..4 => {
                let queue = self.random.of(&["q1", "q1", "q2"]);
                let properties = self.random.of(&[
                    "",
                    "expiration=100000",
                    "headers={CC=[q2]}",
                    "headers={BCC=[q3] a=1}",
                    "headers={CC=[q1 k] BCC=[q2]}",
                    "expiration=0",
                    "delivery-mode=2 message-id=m headers={x=y}",
                ]);
                self.publish_to(queue, properties)
            }
            4..6 => format!("basic.get queue={}", self.random.of(&["q1", "q2", "q3"])),
            6..11 => self.settle(client, number),
            _ => {
                let queue = self.random.of(&["q1", "q2", "q3"]);
                self.consume(queue)
            }
        }
    }

    fn of_lengths(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..7 => {
                let properties =
                    self.random.of(&["", "", "delivery-mode=2", "priority=2", "headers={CC=[q2]}"]);
                self.publish_to("q1", properties)
            }
            7 => format!("basic.get queue={}", self.random.of(&["q1", "q1", "q2"])),
            8..11 => self.settle(client, number),
            _ => self.consume("q1"),
        }
    }

    fn of_priorities(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..6 => {
                let properties = self.random.of(&[
                    "",
                    "priority=0",
                    "priority=1",
                    "priority=2 delivery-mode=2",
                    "priority=3",
                    "priority=9",
                    "priority=255",
                ]);
                self.publish_to("q1", properties)
            }
            6..8 => "basic.get queue=q1".to_owned(),
            8..11 => self.settle(client, number),
            _ => {
                let consume = self.consume("q1");
                let priority = self.random.of(&["", " arguments={x-priority=5}"]);
                format!("{consume}{priority}")
            }
        }
    }

    fn of_consumers(&mut self, client: &str, number: u16) -> String {
        match self.random.below(14) {
            0..4 => {
                let consume = self.consume("q1");
                let exclusive = if self.random.once_in(10) { " exclusive=true" } else { "" };
                let priority = self.random.of(&[
                    "",
                    "",
                    " arguments={x-priority=1}",
                    " arguments={x-priority=5}",
                    " arguments={x-priority=-1}",
                    " arguments={x-priority=10:l}",
                    " arguments={x-priority=abc}",
                ]);
                format!("{consume}{exclusive}{priority}")
            }
            4..8 => self.publish_to("q1", ""),
            8..11 => self.settle(client, number),
            11 => format!("basic.cancel consumer-tag={}", self.random.of(&TAGS)),
            12 => {
                let count = self.random.of(&[0, 1, 1, 2, 3]);
                let global = if self.random.once_in(2) { " global=true" } else { "" };
                format!("basic.qos prefetch-count={count}{global}")
            }
            _ => "basic.recover requeue=true".to_owned(),
        }
    }

    fn of_quorum(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..5 => {
                let properties =
                    self.random.of(&["", "delivery-mode=2", "expiration=100000", "headers={a=1}"]);
                self.publish_to("q1", properties)
            }
            5 => format!("basic.get queue={}", self.random.of(&["q1", "q1", "q2"])),
            6..10 => self.settle(client, number),
            10 => self.consume("q1"),
            _ => self
                .random
                .of(&["basic.qos prefetch-count=1", "queue.purge queue=q1", "basic.recover requeue=true"])
                .to_owned(),
        }
    }

    fn of_replies(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..2 => {
                let no_ack = self.random.of(&[" no-ack=true", " no-ack=true", ""]);
                format!("basic.consume queue=amq.rabbitmq.reply-to consumer-tag=r{no_ack}")
            }
            2..4 => {
                let more = self.random.of(&["", " correlation-id=c headers={a=1}", " delivery-mode=2"]);
                self.publish_to("q1", &format!("reply-to=amq.rabbitmq.reply-to{more}"))
            }
            4..6 => "basic.get queue=q1 no-ack=true".to_owned(),
            6..9 if self.generated > 0 => {
                let name = 1 + self.random.below(self.generated as u64);
                let mandatory = self.random.of(&["", " mandatory=true"]);
                let properties = self.random.of(&["", " properties={correlation-id=c}"]);
                format!("basic.publish routing-key=${name}{mandatory}{properties} body=r{}", self.steps.len())
            }
            9 if self.generated > 0 => {
                let name = 1 + self.random.below(self.generated as u64);
                let passive = self.random.of(&["", " passive=true"]);
                format!("queue.declare queue=${name}{passive}")
            }
            10 => "basic.cancel consumer-tag=r".to_owned(),
            11 => self
                .random
                .of(&[
                    "queue.declare queue=amq.rabbitmq.reply-to",
                    "queue.declare queue=amq.rabbitmq.reply-to passive=true",
                    "basic.get queue=amq.rabbitmq.reply-to",
                    "queue.bind queue=amq.rabbitmq.reply-to exchange=amq.direct",
                    "queue.delete queue=amq.rabbitmq.reply-to",
                    "queue.purge queue=amq.rabbitmq.reply-to",
                    "basic.publish routing-key=amq.rabbitmq.reply-to mandatory=true body=x",
                ])
                .to_owned(),
            _ => self.settle(client, number),
        }
    }

    fn of_routes(&mut self) -> String {
        let key = self.random.of(&KEYS);
        let (one, other) = (self.random.of(&EXCHANGES), self.random.of(&EXCHANGES));
        let queue = self.random.of(&["q1", "q2", "q3"]);
        let arguments = self.binding_arguments();
        match self.random.below(12) {
            0..3 => format!("queue.bind queue={queue} exchange={one} routing-key={key}{arguments}"),
            3..5 => {
                format!("exchange.bind destination={one} source={other} routing-key={key}{arguments}")
            }
            5 => format!("exchange.unbind destination={one} source={other} routing-key={key}"),
            6 => format!("basic.get queue={queue} no-ack=true"),
            _ => {
                let properties = self.random.of(&[
                    "",
                    " properties={headers={a=1}}",
                    " properties={headers={a=1 b=x}}",
                    " properties={headers={CC=[k q1]}}",
                    " properties={headers={BCC=[k.l] a=1}}",
                    " properties={headers={CC=[k.l] BCC=[\"\"] x-a=1}}",
                    " properties={headers={CC=[5 k]}}",
                    " properties={headers={BCC=k}}",
                ]);
                let mandatory = self.random.of(&["", " mandatory=true"]);
                format!(
                    "basic.publish exchange={one} routing-key={key}{mandatory}{properties} body=m{}",
                    self.steps.len()
                )
            }
        }
    }

    /// Empty: the socket of the client breaks.
    fn of_lives(&mut self, client: &str) -> String {
        let queue = self.random.of(&QUEUES);
        let exchange = self.random.of(&EXCHANGES);
        match self.random.below(16) {
            0..3 => {
                let flags = self.random.of(&[
                    " exclusive=true",
                    " auto-delete=true",
                    " exclusive=true auto-delete=true",
                    " exclusive=true durable=true",
                    " durable=true auto-delete=true",
                    " passive=true",
                ]);
                format!("queue.declare queue={queue}{flags}")
            }
            3..5 => format!("exchange.declare exchange={exchange} type=fanout auto-delete=true"),
            5..7 => format!("queue.bind queue={queue} exchange={exchange}"),
            7 => format!("queue.unbind queue={queue} exchange={exchange}"),
            8 => format!("exchange.bind destination={exchange} source={}", self.random.of(&EXCHANGES)),
            9..11 => self.consume(queue),
            11 => format!("basic.cancel consumer-tag={}", self.random.of(&TAGS)),
            12 => format!(
                "queue.delete queue={queue}{}",
                self.random.of(&["", " if-unused=true", " if-empty=true"])
            ),
            13 => "channel.close reply-code=200 reply-text=bye".to_owned(),
            14 if self.clients.len() > 1 => {
                self.clients.remove(client);
                String::new()
            }
            _ => self.publish_to(queue, ""),
        }
    }

    fn of_transactions(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..4 => {
                let target = self.random.of(&[
                    "routing-key=q1",
                    "exchange=e1",
                    "routing-key=missing mandatory=true",
                    "exchange=missing",
                    "routing-key=q2 mandatory=true properties={delivery-mode=2}",
                ]);
                let target = if target == "exchange=missing" && !self.random.once_in(4) {
                    "exchange=e1"
                } else {
                    target
                };
                format!("basic.publish {target} body=m{}", self.steps.len())
            }
            4..7 => self.settle(client, number),
            7..9 => "tx.commit".to_owned(),
            9 => "tx.rollback".to_owned(),
            10 => self.consume("q1"),
            _ => self
                .random
                .of(&["tx.select", "basic.recover requeue=true", "queue.purge queue=q1"])
                .to_owned(),
        }
    }

    fn of_streams(&mut self, client: &str, number: u16) -> String {
        match self.random.below(12) {
            0..6 => {
                let properties =
                    self.random.of(&["", "delivery-mode=2", "headers={a=1 b=x}", "message-id=m"]);
                self.publish_to("q1", properties)
            }
            6..8 => {
                let offset = self.random.of(&[
                    "",
                    " arguments={x-stream-offset=first}",
                    " arguments={x-stream-offset=next}",
                    " arguments={x-stream-offset=last}",
                    " arguments={x-stream-offset=0}",
                    " arguments={x-stream-offset=1:l}",
                    " arguments={x-stream-offset=5}",
                    " arguments={x-stream-offset=\"1h\"}",
                ]);
                format!("basic.consume queue=q1 consumer-tag={}{offset}", self.random.of(&["t1", "t2", "t3"]))
            }
            8..11 => self.settle(client, number),
            _ => format!("basic.cancel consumer-tag={}", self.random.of(&["t1", "t2", "t3"])),
        }
    }

    fn of_policies(&mut self) -> Option<Step> {
        // Each costs RabbitMQ a transaction over all that it may govern.
        if !self.random.once_in(3) {
            return None;
        }
        let name = self.random.of(&["p1", "p2"]).to_owned();
        if self.random.once_in(4) {
            return Some(Step::NoPolicy { name });
        }
        Some(Step::Policy(PolicyDefinition {
            name,
            pattern: self.random.of(&["^q1$", "^q", ".*", "^e", "1$", "^missing"]).to_owned(),
            apply_to: self.random.of(&[ApplyTo::All, ApplyTo::All, ApplyTo::Queues, ApplyTo::Exchanges]),
            priority: self.random.of(&[0, 1, 5]),
            definition: self.random.of(&DEFINITIONS).to_owned(),
        }))
    }
}
