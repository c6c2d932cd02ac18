//! RabbitMQ as a partner in a conversation. Nobody says when a broker has nothing more to say, so after each step the
//! client that acted asks on every open channel a question that changes nothing (`access.request`), which RabbitMQ answers
//! in order; and what ours said to others is waited for. What a queue tells a consumer may come after that, so a
//! [`Pace::Careful`] look asks everybody and waits a while as well: a difference counts only if it is seen at that pace.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::accepted;
use crate::admin::Admin;
use crate::conversation::{Conversation, Heard, Names, OPERATOR, Place, QUEUES, Step, queues_line};
use crate::management::Management;
use crate::support::machine::{CAPABLE, HEADER, start_ok};
use crate::support::wire;

/// How long a connection may take to be there, and what a conversation left to be cleared away: nothing is learnt from less.
const PATIENCE_WITH_THE_MACHINE: Duration = Duration::from_secs(300);
/// How long bytes of which nobody knows what they are get for an answer.
const UNSURE: Duration = Duration::from_millis(60);

/// How long to listen for what no question brings out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    Fast,
    Careful,
}

impl Pace {
    /// How long an answer, and what ours said or holds, is waited for. Where nothing differs nobody waits that long.
    fn patience(self) -> Duration {
        match self {
            Self::Fast => Duration::from_secs(1),
            Self::Careful => Duration::from_secs(20),
        }
    }
}

/// A RabbitMQ and one of its vhosts.
pub(crate) struct Reference {
    pub(crate) address: String,
    pub(crate) vhost: String,
    pub(crate) management: Option<Management>,
    admin: Option<Admin>,
}

impl Reference {
    pub(crate) fn new(address: String, vhost: String, management: Option<Management>) -> Self {
        Self { address, vhost, management, admin: None }
    }

    /// Holds a conversation as long as what is said is what `ours` said, and clears away what it left.
    pub(crate) fn hold(&mut self, conversation: &Conversation, ours: &Heard, pace: Pace) -> Heard {
        let mut talk = Talk {
            reference: self,
            conversation,
            ours,
            pace,
            clients: BTreeMap::new(),
            names: Names::default(),
            heard: Heard::default(),
            at: 0,
            compared: BTreeMap::new(),
            is_over: false,
        };
        for (at, step) in conversation.steps.iter().enumerate() {
            talk.at = at;
            talk.take(step);
            if talk.is_over {
                break;
            }
        }
        talk.end();
        let heard = std::mem::take(&mut talk.heard);
        let mut queues = conversation.queues();
        queues.extend(talk.names.queues().map(|(_, name)| name.clone().into_bytes()));
        self.clean(conversation, &queues);
        heard
    }

    /// Moves to another vhost, where nothing is left of any conversation.
    pub(crate) fn move_to(&mut self, vhost: String) {
        self.admin = None;
        let Some(management) = &self.management else { return };
        management.make_vhost(&vhost);
        management.delete_vhost(&self.vhost);
        self.vhost = vhost;
    }

    /// Deletes what it made, and again while a connection that ends still holds a queue.
    fn clean(&mut self, conversation: &Conversation, queues: &[Vec<u8>]) {
        for name in conversation.policies() {
            if let Some(management) = &self.management {
                management.clear_policy(&self.vhost, name);
            }
        }
        let queues = queues.iter().map(|queue| format!("queue.delete queue={}", wire::quote(queue)));
        let exchanges = conversation.exchanges();
        let exchanges =
            exchanges.iter().map(|exchange| format!("exchange.delete exchange={}", wire::quote(exchange)));
        let deletes: Vec<String> = queues.chain(exchanges).collect();
        let deadline = Instant::now() + PATIENCE_WITH_THE_MACHINE;
        while Instant::now() < deadline {
            let answers = self.admin().ask(&deletes);
            if answers.iter().all(|answer| !answer.starts_with("channel.close")) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the broker does not clear away {deletes:?}");
    }

    fn admin(&mut self) -> &mut Admin {
        if self.admin.as_ref().is_none_or(Admin::has_ended) {
            self.admin = Some(Admin::new(Client::connect(&self.address, &self.vhost, "guest", None)));
        }
        self.admin.as_mut().expect("it was just made")
    }
}

/// A conversation under way.
struct Talk<'a> {
    reference: &'a mut Reference,
    conversation: &'a Conversation,
    ours: &'a Heard,
    pace: Pace,
    clients: BTreeMap<String, Client>,
    names: Names,
    heard: Heard,
    at: usize,
    /// How many lines of each place were found to be what ours said.
    compared: BTreeMap<Place, usize>,
    /// Something was said that ours did not say, or not said: there is no use in going on.
    is_over: bool,
}

impl Talk<'_> {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Connect { client, user, properties } => {
                let Reference { address, vhost, .. } = &*self.reference;
                let mut connected = Client::connect(address, vhost, user, properties.as_deref());
                connected.patience = self.pace.patience();
                self.clients.insert(client.clone(), connected);
            }
            Step::Accept { client } => {
                let mut accepted = Client::accepted(&self.reference.address);
                accepted.patience = self.pace.patience();
                self.clients.insert(client.clone(), accepted);
            }
            Step::Wait { ms } => {
                // The time itself is what is waited for.
                thread::sleep(Duration::from_millis(*ms));
                self.look_at_queues();
            }
            Step::Method { client: name, channel, text } => {
                let Some(client) = self.clients.get_mut(name) else { return };
                let text = self.names.show(text);
                let text = text.replace("virtual-host=/", &format!("virtual-host={}", self.reference.vhost));
                client.say(*channel, &text);
                let news = client.answers(*channel, &text);
                self.note(name, news);
            }
            Step::Raw { client: name, bytes } => {
                let Some(client) = self.clients.get_mut(name) else { return };
                client.send(bytes);
                client.sure = false;
                let news = client.quiet(UNSURE);
                self.note(name, news);
            }
            Step::Break { client } => {
                let Some(gone) = self.clients.remove(client) else { return };
                let _already_gone = gone.socket.shutdown(Shutdown::Both);
                self.look_at_queues();
            }
            Step::Policy(policy) => {
                let Some(management) = &self.reference.management else { return };
                let answer = management.set_policy(&self.reference.vhost, policy);
                self.heard.note(&(OPERATOR.to_owned(), 0), self.at, answer);
                self.look_at_queues();
            }
            Step::NoPolicy { name } => {
                let Some(management) = &self.reference.management else { return };
                let answer = management.clear_policy(&self.reference.vhost, name);
                self.heard.note(&(OPERATOR.to_owned(), 0), self.at, answer);
                self.look_at_queues();
            }
        }
        self.settle(step.client());
        self.is_over |= self.differs();
    }

    /// Asks until what was said is what ours said, as long as that takes.
    fn settle(&mut self, actor: &str) {
        self.ask(actor);
        if self.pace == Pace::Careful {
            self.ask_all();
            thread::sleep(Duration::from_millis(30));
            self.ask_all();
        }
        let deadline = Instant::now() + self.pace.patience();
        while let Some(name) = self.who_misses() {
            if Instant::now() >= deadline || self.differs() {
                self.is_over = true;
                break;
            }
            if let Some(client) = self.clients.get_mut(&name) {
                let news = client.read_until(Duration::from_millis(20), |_, _| true);
                self.note(&name, news);
            }
        }
    }

    /// A client to which ours said more than it has heard.
    fn who_misses(&self) -> Option<String> {
        let told = |heard: &Heard, place: &Place| {
            let lines = heard.lines.get(place);
            lines.map_or(0, |lines| lines.iter().take_while(|line| line.step <= self.at).count())
        };
        let misses = |place: &&Place| {
            self.clients.get(&place.0).is_some_and(|client| !client.closed)
                && told(self.ours, place) > told(&self.heard, place)
        };
        let of_lines = self.ours.lines.keys().find(misses).map(|(name, _)| name.clone());
        // Queues on disks confirm late, and go on only then.
        of_lines.or_else(|| {
            if self.conversation.wants_confirms_at_once() { self.who_misses_confirms() } else { None }
        })
    }

    fn who_misses_confirms(&self) -> Option<String> {
        let told = |heard: &Heard, place: &Place| {
            let numbers = heard.confirms.get(place);
            numbers.map_or(0, |numbers| numbers.values().filter(|(_, step)| *step <= self.at).count())
        };
        let misses = |place: &&Place| {
            self.clients.get(&place.0).is_some_and(|client| !client.closed)
                && told(self.ours, place) > told(&self.heard, place)
        };
        self.ours.confirms.keys().find(misses).map(|(name, _)| name.clone())
    }

    /// Whether anything was said since the last time that ours did not say.
    fn differs(&mut self) -> bool {
        for (place, lines) in &self.heard.lines {
            let compared = self.compared.entry(place.clone()).or_default();
            let ours = self.ours.lines.get(place).map_or(&[][..], Vec::as_slice);
            for line in lines.iter().skip(*compared) {
                let same = ours.get(*compared);
                if same.is_none_or(|ours| !accepted::same_words(&ours.text, &line.text)) {
                    return true;
                }
                *compared += 1;
            }
        }
        false
    }

    /// Notes what queues hold once that is what ours hold, or patience ends.
    fn look_at_queues(&mut self) {
        let place = (QUEUES.to_owned(), 0);
        let ours =
            self.ours.lines.get(&place).and_then(|lines| lines.iter().find(|line| line.step == self.at));
        let deadline = Instant::now() + self.pace.patience();
        let so_far = Conversation {
            title: String::new(),
            steps: self.conversation.steps.iter().take(self.at + 1).cloned().collect(),
        };
        let mut names: Vec<(Vec<u8>, Vec<u8>)> =
            so_far.queues().into_iter().map(|name| (name.clone(), name)).collect();
        let generated = self.names.queues();
        names.extend(generated.map(|(label, name)| (label.into_bytes(), name.clone().into_bytes())));
        let questions: Vec<(&[u8], bool)> =
            names.iter().map(|(_, name)| (name.as_slice(), so_far.shows_only_presence(name))).collect();
        loop {
            let found = self.reference.admin().look_at(&questions);
            let line = queues_line(names.iter().map(|(label, _)| label.as_slice()).zip(found));
            if ours.is_none_or(|ours| ours.text == line) || Instant::now() >= deadline {
                return self.heard.note(&place, self.at, line);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&mut self, name: &str) {
        let Some(client) = self.clients.get_mut(name) else { return };
        let news = if client.sure { client.barrier() } else { client.quiet(UNSURE / 3) };
        self.note(name, news);
        if self.clients[name].closed && !self.heard.ended(name) {
            self.heard.closed.insert(name.to_owned(), self.at);
        }
    }

    fn ask_all(&mut self) {
        for name in self.clients.keys().cloned().collect::<Vec<_>>() {
            self.ask(&name);
        }
    }

    fn note(&mut self, name: &str, news: Vec<(u16, String)>) {
        let vhost = format!("vhost '{}'", self.reference.vhost);
        for (channel, text) in news {
            let text = self.names.hide(&text).replace(&vhost, "vhost '/'");
            self.heard.note(&(name.to_owned(), channel), self.at, text);
        }
    }

    /// Hears what is left to be said, and leaves.
    fn end(&mut self) {
        // Persistent messages are confirmed late, by the broker's own clock.
        let deadline = Instant::now() + self.pace.patience();
        while let Some(name) = self.who_misses_confirms()
            && Instant::now() < deadline
        {
            if let Some(client) = self.clients.get_mut(&name) {
                let news = client.quiet(Duration::from_millis(10));
                self.note(&name, news);
            }
        }
        if !self.is_over {
            self.ask_all();
        }
        for client in std::mem::take(&mut self.clients).into_values() {
            client.goodbye();
        }
    }
}

/// What a client knows of one of its channels.
#[derive(Debug, Default)]
struct Channel {
    open: bool,
    /// Questions that have no answer yet: whether they are ours and not the conversation's.
    questions: VecDeque<bool>,
}

pub(crate) struct Client {
    socket: TcpStream,
    read: Vec<u8>,
    closed: bool,
    /// The broker has said connection.close, or agreed to ours.
    over: bool,
    /// Nothing was sent that may leave a frame or a content unfinished.
    sure: bool,
    /// How long it waits for an answer.
    patience: Duration,
    channels: BTreeMap<u16, Channel>,
}

impl Client {
    fn accepted(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("RabbitMQ accepts");
        socket.set_nodelay(true).expect("a socket");
        let patience = Pace::Careful.patience();
        let (read, channels) = (Vec::new(), BTreeMap::new());
        Self { socket, read, closed: false, over: false, sure: true, patience, channels }
    }

    pub(crate) fn connect(address: &str, vhost: &str, user: &str, properties: Option<&str>) -> Self {
        let mut client = Self::accepted(address);
        let mut bytes = HEADER.to_vec();
        bytes.extend(wire::encode(0, &start_ok(properties.unwrap_or(CAPABLE), user)));
        bytes.extend(wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072"));
        bytes.extend(wire::encode(0, &format!("connection.open virtual-host={vhost}")));
        client.send(&bytes);
        let news = client.read_until(PATIENCE_WITH_THE_MACHINE, |_, (_, text)| {
            text == "connection.open-ok" || text.starts_with("connection.close")
        });
        assert!(news.last().is_some_and(|(_, text)| text == "connection.open-ok"), "{user}: {news:?}");
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.closed |= self.socket.write_all(bytes).is_err();
    }

    /// Sends a method, and remembers what it does to its channel.
    fn say(&mut self, number: u16, text: &str) {
        self.send(&wire::encode(number, text));
        let channel = self.channels.entry(number).or_default();
        match text.split(' ').next().unwrap_or_default() {
            "access.request" => channel.questions.push_back(false),
            "channel.close" => channel.open = false,
            _ => {}
        }
    }

    /// What comes until the method is answered, if it is one that gets an answer.
    fn answers(&mut self, number: u16, text: &str) -> Vec<(u16, String)> {
        let name = text.split(' ').next().unwrap_or_default();
        let (class, _) = name.split_once('.').expect("class.method");
        let on_channel = self.channels.get(&number).is_some_and(|channel| channel.open);
        let opens_or_closes = matches!(name, "channel.open" | "channel.close") || number == 0;
        if self.closed || self.over || text.contains("nowait=true") || !(on_channel || opens_or_closes) {
            // What an unopened channel is sent ends the connection; what a closed one is sent is dropped.
            return self.quiet(Duration::from_millis(15));
        }
        let answer = match name {
            "basic.get" => "basic.get-".to_owned(),
            "connection.start-ok" => "connection.tune".to_owned(),
            "basic.publish"
            | "basic.ack"
            | "basic.nack"
            | "basic.reject"
            | "basic.recover-async"
            | "access.request" => return Vec::new(),
            _ if name.ends_with("-ok") => return self.quiet(Duration::from_millis(15)),
            _ => format!("{name}-ok"),
        };
        let ends = [format!("{class}.close"), "channel.close".to_owned(), "connection.close".to_owned()];
        self.read_until(self.patience, |_, (channel, line)| {
            *channel == number && line.starts_with(&answer) || ends.iter().any(|end| line.starts_with(end))
        })
    }

    /// Asks every open channel its question and reads until each is answered.
    fn barrier(&mut self) -> Vec<(u16, String)> {
        if self.closed || self.over {
            return self.quiet(Duration::from_millis(1));
        }
        let mut bytes = Vec::new();
        for (number, channel) in &mut self.channels {
            if channel.open {
                channel.questions.push_back(true);
                bytes.extend(wire::encode(*number, "access.request"));
            }
        }
        self.send(&bytes);
        let answered = |client: &Self| {
            client.over
                || client.channels.values().all(|channel| !channel.open || channel.questions.is_empty())
        };
        if answered(self) {
            return self.quiet(Duration::from_millis(1));
        }
        self.read_until(self.patience, |client, _| answered(client))
    }

    /// What comes until nothing has come for this long.
    fn quiet(&mut self, long: Duration) -> Vec<(u16, String)> {
        let mut news = Vec::new();
        loop {
            let more = self.read_until(long, |_, _| true);
            if more.is_empty() {
                return news;
            }
            news.extend(more);
        }
    }

    /// Reads until a line that is the last of those awaited, the end, or the deadline.
    pub(crate) fn read_until(
        &mut self,
        long: Duration,
        mut last: impl FnMut(&Self, &(u16, String)) -> bool,
    ) -> Vec<(u16, String)> {
        let deadline = Instant::now() + long;
        let mut news = Vec::new();
        loop {
            let mut done = false;
            let lines = wire::decode_all(&mut self.read);
            for line in lines {
                let ours = self.understand(&line);
                done |= last(self, &line);
                if !ours {
                    news.push(line);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if done || self.closed || left.is_zero() {
                return news;
            }
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let mut buffer = [0; 16 * 1024];
            match self.socket.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.closed = true,
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.closed || self.over
    }

    pub(crate) fn has_open(&self, number: u16) -> bool {
        self.channels.get(&number).is_some_and(|channel| channel.open)
    }

    /// Learns from a line. Whether it answers a question of ours.
    fn understand(&mut self, (number, text): &(u16, String)) -> bool {
        let name = text.split(' ').next().unwrap_or_default();
        if matches!(name, "connection.close" | "connection.close-ok") {
            self.over = true;
        }
        let channel = self.channels.entry(*number).or_default();
        match name {
            "channel.open-ok" => *channel = Channel { open: true, ..Channel::default() },
            "channel.close" | "channel.close-ok" => *channel = Channel::default(),
            "access.request-ok" => return channel.questions.pop_front().unwrap_or(false),
            _ => {}
        }
        false
    }

    /// Leaves, politely if that can be heard.
    fn goodbye(mut self) {
        if self.sure && !self.closed && !self.over {
            self.send(&wire::encode(0, "connection.close reply-code=200"));
            self.read_until(self.patience, |client, _| client.over);
        }
        let _already_gone = self.socket.shutdown(Shutdown::Both);
    }
}
