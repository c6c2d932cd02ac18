//! A conversation: who connects and what the clients say, in the notation of the stories of tests/conformance, without
//! the answers. Names of the broker's making are written `$1`, `$2`, … in the order in which they were first heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ledgermq::definitions::{ApplyTo, PolicyDefinition};

use crate::support::wire;

/// A client and one of its channels.
pub(crate) type Place = (String, u16);

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Logs in, as `user` and with these client properties in text notation.
    Connect { client: String, user: String, properties: Option<String> },
    /// Opens a socket and says nothing.
    Accept { client: String },
    /// Sends a method, in text notation, with its content if it has one.
    Method { client: String, channel: u16, text: String },
    /// Sends bytes.
    Raw { client: String, bytes: Vec<u8> },
    /// Its socket breaks.
    Break { client: String },
    /// Time passes, ms; then the queues are looked at.
    Wait { ms: u64 },
    /// An operator sets a policy; then the queues are looked at.
    Policy(PolicyDefinition),
    /// An operator removes the policy of this name; then the queues are looked at.
    NoPolicy { name: String },
}

/// What the queues hold after a step that is answered to nobody is noted as if somebody had been told.
pub(crate) const QUEUES: &str = "(queues)";
/// The same of what operators are answered.
pub(crate) const OPERATOR: &str = "(operator)";

impl Step {
    /// The client that acts.
    pub(crate) fn client(&self) -> &str {
        match self {
            Self::Connect { client, .. }
            | Self::Accept { client }
            | Self::Method { client, .. }
            | Self::Raw { client, .. }
            | Self::Break { client } => client,
            Self::Wait { .. } | Self::Policy(_) | Self::NoPolicy { .. } => "",
        }
    }

    /// Whether the queues are looked at after it: nobody is told how far it went.
    pub(crate) fn shows_queues(&self) -> bool {
        matches!(self, Self::Break { .. } | Self::Wait { .. } | Self::Policy(_) | Self::NoPolicy { .. })
    }

    /// Reads a line of a story. `None` for what only our broker can be made to do.
    fn parse(line: &str) -> Option<Vec<Self>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |option: &str| {
            let (_, rest) = line.split_once(&format!(" {option}="))?;
            Some(
                if rest.starts_with('{') { rest } else { rest.split(' ').next().unwrap_or_default() }
                    .to_owned(),
            )
        };
        let method = |client: &str, channel: u16, text: &str| Self::Method {
            client: client.to_owned(),
            channel,
            text: text.to_owned(),
        };
        let after_arrow = || line.split_once(" > ").map_or("", |(_, method)| method);
        Some(match words[..] {
            ["connect", client, ..] => vec![Self::Connect {
                client: client.to_owned(),
                user: option("user").unwrap_or_else(|| "guest".to_owned()),
                properties: option("properties"),
            }],
            ["accept", client] => vec![Self::Accept { client: client.to_owned() }],
            ["wait", ms] => vec![Self::Wait { ms: ms.parse().expect("milliseconds") }],
            ["policy", name, ..] => vec![Self::Policy(PolicyDefinition {
                name: name.to_owned(),
                pattern: option("pattern").unwrap_or_default(),
                apply_to: option("apply-to").and_then(|word| ApplyTo::from_name(&word)).unwrap_or_default(),
                priority: option("priority").map_or(0, |text| text.parse().expect("a priority")),
                definition: line.split_once(" definition=").map_or("", |(_, json)| json).to_owned(),
            })],
            ["no", "policy", name] => vec![Self::NoPolicy { name: name.to_owned() }],
            [client, "breaks"] => vec![Self::Break { client: client.to_owned() }],
            [client, channel, "reopens"] => {
                let channel = channel.parse().expect("a channel");
                vec![method(client, channel, "channel.close-ok"), method(client, channel, "channel.open")]
            }
            [client, ">", "raw", hex] => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
                let bytes = (0..hex.len()).step_by(2).map(byte).collect();
                vec![Self::Raw { client: client.to_owned(), bytes }]
            }
            [client, ">", ..] => vec![method(client, 0, after_arrow())],
            [client, channel, ">", ..] => {
                vec![method(client, channel.parse().unwrap_or_else(|_| panic!("{line}")), after_arrow())]
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { client, user, properties } => {
                write!(f, "connect {client}")?;
                if user != "guest" {
                    write!(f, " user={user}")?;
                }
                properties.as_ref().map_or(Ok(()), |properties| write!(f, " properties={properties}"))
            }
            Self::Accept { client } => write!(f, "accept {client}"),
            Self::Method { client, channel: 0, text } => write!(f, "{client} > {text}"),
            Self::Method { client, channel, text } => write!(f, "{client} {channel} > {text}"),
            Self::Raw { client, bytes } => {
                write!(f, "{client} > raw ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Break { client } => write!(f, "{client} breaks"),
            Self::Wait { ms } => write!(f, "wait {ms}"),
            Self::Policy(PolicyDefinition { name, pattern, apply_to, priority, definition }) => {
                let apply_to = apply_to.name();
                write!(f, "policy {name} pattern={pattern} apply-to={apply_to} priority={priority} ")?;
                write!(f, "definition={definition}")
            }
            Self::NoPolicy { name } => write!(f, "no policy {name}"),
        }
    }
}

/// A conversation and what it shows.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    /// The idea in a sentence, or the seed.
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

impl Conversation {
    /// Reads a file of conversations: each begins with a line `# idea`, and ends where the next begins. A line `# …` right
    /// behind a step is a remark. Answers in the file are passed over. One that does not say who connects is held by `a` on channel 1. Those that need what only
    /// our broker can be made to do are left out.
    pub(crate) fn parse_all(file: &str, text: &str) -> Vec<Self> {
        let mut all = Vec::new();
        let mut current: Option<Option<Self>> = None;
        let mut is_behind_step = false;
        for line in text.lines().map(str::trim).chain(["", "#"]) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if line.starts_with('#') && is_behind_step {
                continue;
            }
            is_behind_step = !line.is_empty() && !line.starts_with('#');
            if let Some(idea) = line.strip_prefix('#') {
                all.extend(current.take().flatten().filter(|last| !last.steps.is_empty()));
                current = Some(Some(Self { title: format!("{file}: {}", idea.trim()), steps: Vec::new() }));
            } else if let Some(Some(conversation)) = &mut current {
                if words.is_empty() || matches!(words[..], [_, "<", ..] | [_, _, "<", ..] | [_, "closed"]) {
                    continue;
                }
                match Step::parse(line) {
                    Some(steps) => conversation.steps.extend(steps),
                    None => current = Some(None),
                }
            }
        }
        all.iter_mut().for_each(Self::begin);
        all
    }

    fn begin(&mut self) {
        if !matches!(self.steps.first(), Some(Step::Connect { .. } | Step::Accept { .. })) {
            let open = Step::Method { client: "a".to_owned(), channel: 1, text: "channel.open".to_owned() };
            let connect =
                Step::Connect { client: "a".to_owned(), user: "guest".to_owned(), properties: None };
            self.steps.splice(..0, [connect, open]);
        }
    }

    /// Names of queues that it may have made.
    pub(crate) fn queues(&self) -> Vec<Vec<u8>> {
        self.declared("queue.declare", "queue")
    }

    /// Names of exchanges that it may have made.
    pub(crate) fn exchanges(&self) -> Vec<Vec<u8>> {
        self.declared("exchange.declare", "exchange")
    }

    /// Names of policies that it may have made.
    pub(crate) fn policies(&self) -> BTreeSet<&str> {
        let names = self.steps.iter().filter_map(|step| match step {
            Step::Policy(policy) => Some(policy.name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// Whether only the presence of this queue can be compared: it may have a lease, so that asking for more would keep it,
    /// or be a stream, whose length is told late.
    pub(crate) fn shows_only_presence(&self, queue: &[u8]) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Method { text, .. } => {
                (text.contains("x-expires") || text.contains("x-queue-type=stream"))
                    && wire::short_string(text, "queue").as_deref() == Some(queue)
            }
            Step::Policy(policy) => policy.definition.contains("expires"),
            _ => false,
        })
    }

    /// Whether it may have queues that go on only once they have confirmed.
    pub(crate) fn wants_confirms_at_once(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Method { text, .. } => text.contains("x-queue-type="),
            _ => false,
        })
    }

    fn declared(&self, method: &str, field: &str) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        for step in &self.steps {
            if let Step::Method { text, .. } = step
                && text.starts_with(method)
                && let Some(name) = wire::short_string(text, field)
                && !name.is_empty()
                && !name.starts_with(b"amq.")
                && !name.starts_with(b"$")
                && str::from_utf8(&name).is_ok()
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.title)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// One thing a broker said, and the position of the step after which it was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) step: usize,
    pub(crate) text: String,
}

/// A line that says what queues hold, each as it is called and what was found.
pub(crate) fn queues_line<'a>(found: impl Iterator<Item = (&'a [u8], String)>) -> String {
    let each = found.map(|(name, found)| format!("{}={found}", wire::quote(name)));
    each.collect::<Vec<_>>().join(" ")
}

/// What a broker said in a conversation, place by place. Confirms are kept apart: brokers may fold them as they like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) lines: BTreeMap<Place, Vec<Line>>,
    /// Publishes by their number, and whether they were acked or nacked, with the step after which that was heard.
    pub(crate) confirms: BTreeMap<Place, BTreeMap<u64, (bool, usize)>>,
    /// By client: the step after which its socket was closed without a word.
    pub(crate) closed: BTreeMap<String, usize>,
}

impl Heard {
    /// Takes down what came.
    pub(crate) fn note(&mut self, place: &Place, step: usize, text: String) {
        if let Some(acked) = confirm(&text) {
            let numbers = self.confirms.entry(place.clone()).or_default();
            let number = field(&text, "delivery-tag");
            let first = if text.contains("multiple=true") { 1 } else { number };
            for number in first..=number {
                numbers.entry(number).or_insert((acked, step));
            }
            return;
        }
        let text = without_times(&without_identity(&text));
        self.lines.entry(place.clone()).or_default().push(Line { step, text });
    }

    /// Whether the broker has ended the connection of a client, or agreed to its end.
    pub(crate) fn ended(&self, client: &str) -> bool {
        self.closed.contains_key(client)
            || self
                .lines
                .get(&(client.to_owned(), 0))
                .is_some_and(|lines| lines.iter().any(|line| line.text.starts_with("connection.close")))
    }
}

/// Whether a line is a confirm, and if so, a good one.
fn confirm(text: &str) -> Option<bool> {
    match text.split(' ').next()? {
        "basic.ack" => Some(true),
        "basic.nack" => Some(false),
        _ => None,
    }
}

fn field(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("{name} in {text}"));
    rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// connection.start without the server's properties: each broker says its own.
fn without_identity(text: &str) -> String {
    match (text.find(" server-properties="), text.find(" mechanisms=")) {
        (Some(from), Some(to)) if text.starts_with("connection.start ") => {
            format!("{}{}", &text[..from], &text[to..])
        }
        _ => text.to_owned(),
    }
}

/// How names of the broker's making begin.
const PREFIXES: [&str; 3] = ["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."];

/// The entries of an `x-death` header without their times.
fn without_times(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(" time=") {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(" time=*");
    }
    out + rest
}

/// Names of the broker's making, in the order in which they were first heard.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// `amq.gen-…`, `amq.ctag-…` and `amq.rabbitmq.reply-to.…` as `$1`, `$2`, …
    pub(crate) fn hide(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        let find = |rest: &str| PREFIXES.iter().filter_map(|prefix| rest.find(prefix)).min();
        while let Some(at) = find(rest) {
            let (before, after) = rest.split_at(at);
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && !"-_.+/=".contains(c))
                .unwrap_or(after.len());
            let name = &after[..end];
            let number = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
                self.0.push(name.to_owned());
                self.0.len() - 1
            });
            out.push_str(before);
            out.push_str(&format!("${}", number + 1));
            rest = &after[end..];
        }
        out + rest
    }

    /// The other way round.
    pub(crate) fn show(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (number, name) in self.0.iter().enumerate().rev() {
            out = out.replace(&format!("${}", number + 1), name);
        }
        out
    }

    /// Names of queues, each as `$1` and as it is.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (String, &String)> {
        let all = self.0.iter().enumerate().map(|(at, name)| (format!("${}", at + 1), name));
        all.filter(|(_, name)| name.starts_with("amq.gen-"))
    }
}
