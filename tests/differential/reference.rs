//! RabbitMQ as a partner in a conversation. Nobody says when a broker has nothing more to say, so after each step every
//! open channel is asked a question that changes nothing (`access.request`) and its answer awaited: RabbitMQ answers in
//! order. What a queue tells a consumer may come after that answer, so a [`Pace::Careful`] look waits a while as well;
//! a difference counts only if it is seen at that pace.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::conversation::{Conversation, Heard, Names, Step};
use crate::support::machine::{CAPABLE, HEADER, start_ok};
use crate::support::wire;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long bytes of which nobody knows what they are get for an answer.
const UNSURE: Duration = Duration::from_millis(60);

/// How long to listen for what no question brings out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    Fast,
    Careful,
}

/// A RabbitMQ and one of its vhosts.
pub(crate) struct Reference {
    pub(crate) address: String,
    pub(crate) vhost: String,
}

impl Reference {
    /// Holds a whole conversation and clears away what it left. `confirms` is how many confirms to wait for.
    pub(crate) fn hold(&self, conversation: &Conversation, confirms: usize, pace: Pace) -> Heard {
        let mut talk = Talk {
            reference: self,
            pace,
            clients: BTreeMap::new(),
            names: Names::default(),
            heard: Heard::default(),
            at: 0,
        };
        for (at, step) in conversation.steps.iter().enumerate() {
            talk.at = at;
            talk.take(step);
        }
        talk.await_confirms(confirms);
        talk.close();
        let (mut queues, exchanges) = conversation.names();
        queues.extend(talk.names.queues().cloned());
        let heard = talk.heard;
        self.clean(&queues, &exchanges);
        heard
    }

    /// Deletes queues and exchanges, and again while a connection that ends still holds one.
    fn clean(&self, queues: &[String], exchanges: &[String]) {
        let deletes: Vec<String> = queues
            .iter()
            .map(|queue| format!("queue.delete queue={}", wire::quote(queue)))
            .chain(
                exchanges
                    .iter()
                    .map(|exchange| format!("exchange.delete exchange={}", wire::quote(exchange))),
            )
            .collect();
        if deletes.is_empty() {
            return;
        }
        let mut client = Client::connect(self, "guest", None);
        for _ in 0..50 {
            let mut bytes = Vec::new();
            for (number, delete) in (1..).zip(&deletes) {
                bytes.extend(wire::encode(number, "channel.open"));
                bytes.extend(wire::encode(number, delete));
            }
            client.send(&bytes);
            let (mut deleted, mut refused) = (0, Vec::new());
            client.read_until(PATIENCE, |_, (channel, text)| {
                if text.contains("delete-ok") {
                    deleted += 1;
                } else if text.starts_with("channel.close ") {
                    refused.push(*channel);
                }
                deleted + refused.len() == deletes.len()
            });
            assert!(deleted + refused.len() == deletes.len(), "the broker does not clear away {deletes:?}");
            if refused.is_empty() {
                client.goodbye();
                return;
            }
            client.goodbye();
            thread::sleep(Duration::from_millis(20));
            client = Client::connect(self, "guest", None);
        }
        panic!("the broker still holds {queues:?}");
    }
}

/// A conversation under way.
struct Talk<'a> {
    reference: &'a Reference,
    pace: Pace,
    clients: BTreeMap<String, Client>,
    names: Names,
    heard: Heard,
    at: usize,
}

impl Talk<'_> {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Connect { client, user, properties } => {
                let connected = Client::connect(self.reference, user, properties.as_deref());
                self.clients.insert(client.clone(), connected);
            }
            Step::Accept { client } => {
                self.clients.insert(client.clone(), Client::accepted(self.reference));
            }
            Step::Wait { ms } => thread::sleep(Duration::from_millis(*ms)),
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
                if let Some(gone) = self.clients.remove(client) {
                    let _already_gone = gone.socket.shutdown(Shutdown::Both);
                    thread::sleep(UNSURE);
                }
            }
        }
        self.settle(step.client());
    }

    /// Asks everybody until nobody has anything more to say.
    fn settle(&mut self, actor: &str) {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        self.ask(actor);
        names.iter().for_each(|name| self.ask(name));
        if self.pace == Pace::Careful {
            thread::sleep(Duration::from_millis(30));
            names.iter().for_each(|name| self.ask(name));
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

    fn note(&mut self, name: &str, news: Vec<(u16, String)>) {
        let vhost = format!("'{}'", self.reference.vhost);
        for (channel, text) in news {
            let text = self.names.hide(&text).replace(&vhost, "'/'");
            self.heard.note(&(name.to_owned(), channel), self.at, text);
        }
    }

    /// Persistent messages are confirmed late, by the broker's own clock.
    fn await_confirms(&mut self, expected: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.heard.confirms.values().map(BTreeMap::len).sum::<usize>() < expected
            && Instant::now() < deadline
        {
            for name in self.clients.keys().cloned().collect::<Vec<_>>() {
                if let Some(client) = self.clients.get_mut(&name) {
                    let news = client.quiet(Duration::from_millis(10));
                    self.note(&name, news);
                }
            }
        }
    }

    fn close(&mut self) {
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

struct Client {
    socket: TcpStream,
    read: Vec<u8>,
    closed: bool,
    /// The broker has said connection.close, or agreed to ours.
    over: bool,
    /// Nothing was sent that may leave a frame or a content unfinished.
    sure: bool,
    channels: BTreeMap<u16, Channel>,
}

impl Client {
    fn accepted(reference: &Reference) -> Self {
        let socket = TcpStream::connect(&reference.address).expect("RabbitMQ accepts");
        socket.set_nodelay(true).expect("a socket");
        Self { socket, read: Vec::new(), closed: false, over: false, sure: true, channels: BTreeMap::new() }
    }

    fn connect(reference: &Reference, user: &str, properties: Option<&str>) -> Self {
        let mut client = Self::accepted(reference);
        let mut bytes = HEADER.to_vec();
        bytes.extend(wire::encode(0, &start_ok(properties.unwrap_or(CAPABLE), user)));
        bytes.extend(wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072"));
        bytes.extend(wire::encode(0, &format!("connection.open virtual-host={}", reference.vhost)));
        client.send(&bytes);
        let news = client.read_until(Duration::from_secs(15), |_, (_, text)| {
            text == "connection.open-ok" || text.starts_with("connection.close")
        });
        assert!(news.last().is_some_and(|(_, text)| text == "connection.open-ok"), "{user}: {news:?}");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
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
        self.read_until(PATIENCE, |_, (channel, line)| {
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
        self.read_until(PATIENCE, |client, _| answered(client))
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
    fn read_until(
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
            self.read_until(PATIENCE, |client, _| client.over);
        }
        let _already_gone = self.socket.shutdown(Shutdown::Both);
    }
}
