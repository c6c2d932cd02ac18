//! One connection machine with a client in front of it that speaks text and a vhost behind it that the test plays.

use super::wire;
use ledgermq::auth::{Accounts, Hashing, PasswordHash, Salt};
use ledgermq::connection::{Connection, ConnectionConfig, ConnectionEffects, Peer, Request};
use ledgermq::vhost::command::{
    Addressed, ChannelKey, Command, ConnectionId, Envelope, MethodId, Notice, Reply,
};
use std::sync::Arc;

pub const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
pub const CAPABLE: &str = "{capabilities={authentication_failure_close=true basic.nack=true \
                           connection.blocked=true consumer_cancel_notify=true publisher_confirms=true} \
                           product=tester version=\"1\" connection_name=test}";

/// A machine and its surroundings.
pub struct Machine {
    pub connection: Connection,
    pub effects: ConnectionEffects,
    /// What the machine has not consumed yet.
    pub unread: Vec<u8>,
    /// What the client has not looked at yet.
    pub written: Vec<u8>,
    pub now_ms: u64,
}

/// What is kept of a password; cheap to make, for tests that add many users.
pub fn hash(password: &str) -> PasswordHash {
    PasswordHash::new(password, Hashing::Sha256, Salt::default()).unwrap()
}

/// Accounts with `guest`, who may do everything in `/`.
pub fn accounts() -> Accounts {
    let mut accounts = Accounts::new(vec!["guest".to_owned()], Hashing::Sha256);
    let definitions = Accounts::fresh("guest", "/", &hash("guest"));
    let problems = accounts.restore(definitions.iter());
    assert!(problems.is_empty(), "{problems:?}");
    accounts
}

impl Machine {
    /// A connection that was just accepted.
    pub fn accepted() -> Self {
        Self::accepted_with(ConnectionConfig::default(), accounts())
    }

    pub fn accepted_with(config: ConnectionConfig, accounts: Accounts) -> Self {
        let peer =
            Peer { remote: "127.0.0.1:50000".parse().unwrap(), local: "127.0.0.1:5672".parse().unwrap() };
        let connection = Connection::new(ConnectionId(1), Arc::new(config), Arc::new(accounts), peer, 7, 0);
        let (effects, unread, written) = Default::default();
        Self { connection, effects, unread, written, now_ms: 0 }
    }

    /// A connection that is open, of a client that says it can do everything.
    pub fn open() -> Self {
        Self::open_as(CAPABLE)
    }

    /// A connection that is open, of a client with these properties.
    pub fn open_as(client_properties: &str) -> Self {
        let mut machine = Self::accepted();
        machine.shake_hands(client_properties);
        machine
    }

    pub fn shake_hands(&mut self, client_properties: &str) {
        self.send_bytes(HEADER);
        self.send(0, &start_ok(client_properties, "guest"));
        self.connection.authenticated(Ok("guest".into()), self.now_ms, &mut self.effects);
        self.send(0, "connection.tune-ok channel-max=2047 frame-max=131072");
        self.send(0, "connection.open virtual-host=/");
        self.connection.vhost_opened(Ok(()), self.now_ms, &mut self.effects);
        let said = self.heard();
        assert!(said.last().is_some_and(|line| line == "0 connection.open-ok"), "{said:?}");
        self.effects.requests.clear();
    }

    /// An open connection with channel 1 open.
    pub fn with_channel() -> Self {
        let mut machine = Self::open();
        machine.open_channel(1);
        machine
    }

    pub fn open_channel(&mut self, number: u16) -> ChannelKey {
        self.send(number, "channel.open");
        let [Envelope { channel, command: Command::OpenChannel, .. }] = self.commands()[..] else {
            panic!("no channel.open for the vhost")
        };
        self.reply(channel, Reply::ChannelOpened);
        assert_eq!(self.heard(), [format!("{number} channel.open-ok")]);
        channel
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let consumed = self.connection.receive(&self.unread, self.now_ms, &mut self.effects);
        self.unread.drain(..consumed);
    }

    /// The client sends methods, one a line, in one write.
    pub fn send(&mut self, channel: u16, methods: &str) {
        let bytes: Vec<u8> = methods.lines().flat_map(|line| wire::encode(channel, line)).collect();
        self.send_bytes(&bytes);
    }

    /// What the machine said since the last call, as `CHANNEL METHOD`.
    pub fn heard(&mut self) -> Vec<String> {
        take_outbound(&mut self.effects, &mut self.written);
        wire::decode_all(&mut self.written)
            .into_iter()
            .map(|(channel, text)| format!("{channel} {text}"))
            .collect()
    }

    /// What the machine asked of the vhost since the last call.
    pub fn commands(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.effects.commands)
    }

    /// What the machine asked of its driver since the last call, but for lines to log.
    pub fn requests(&mut self) -> Vec<Request> {
        let requests = std::mem::take(&mut self.effects.requests);
        requests.into_iter().filter(|request| !matches!(request, Request::Log(_))).collect()
    }

    pub fn notice(&mut self, channel: ChannelKey, notice: Notice) {
        let notices = std::iter::once(Addressed { channel, notice });
        self.connection.notices(notices, self.now_ms, &mut self.effects);
    }

    pub fn reply(&mut self, channel: ChannelKey, reply: Reply) {
        self.notice(channel, Notice::Reply(reply));
    }

    /// Sends methods on channel 1 of a fresh connection and expects this answer, and no more.
    pub fn check(methods: &str, expected: &[&str]) {
        let mut machine = Self::with_channel();
        machine.send(1, methods);
        assert_eq!(machine.heard(), expected, "{methods}");
    }
}

pub fn start_ok(client_properties: &str, user: &str) -> String {
    format!(
        "connection.start-ok client-properties={client_properties} mechanism=PLAIN \
         response=\"\\x00{user}\\x00{user}\" locale=en_US"
    )
}

pub fn take_outbound(effects: &mut ConnectionEffects, into: &mut Vec<u8>) {
    use bytes::Buf;
    while effects.outbound.has_remaining() {
        let length = effects.outbound.chunk().len();
        into.extend_from_slice(effects.outbound.chunk());
        effects.outbound.advance(length);
    }
}

/// The number of a channel's life as the machine hands it out: the first one.
pub fn key(number: u16, life: u32) -> ChannelKey {
    ChannelKey { connection: ConnectionId(1), number, life }
}

/// The method id of basic.publish.
pub const PUBLISH: MethodId = MethodId { class: 60, method: 40 };
