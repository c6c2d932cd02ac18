//! A whole broker in memory: real connection machines over the real vhost, a log that is a list, no sockets, no tasks.
//! Every step is run to its end before the next, so a conversation always looks the same.

use super::machine::{CAPABLE, HEADER, accounts, start_ok, take_outbound};
use super::memory_log::MemoryLog;
use super::wire;
use ledgermq::auth::{Accounts, Tally};
use ledgermq::budget::Budget;
use ledgermq::connection::{Connection, ConnectionConfig, ConnectionEffects, Peer, Request};
use ledgermq::definitions::Definition;
use ledgermq::limits::CONSUMER_TIMEOUT_MS;
use ledgermq::protocol::reply::{ConnectionCode, ConnectionError};
use ledgermq::vhost::command::ConnectionId;
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{AdminCommand, AdminId, AdminReply, Effect, Effects, Input, Operator};
use ledgermq::vhost::report::VhostReport;
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig, VhostSettings};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a broker is told at birth.
pub struct Given {
    pub accounts: Arc<Accounts>,
    pub vhost: VhostConfig,
    /// Segments of the log; what lies in full ones leaves memory.
    pub segment_bytes: u32,
}

/// The broker, with its clients by name.
pub struct Broker {
    config: VhostConfig,
    vhost: Vhost,
    pub(crate) log: MemoryLog,
    pub accounts: Arc<Accounts>,
    /// What connections are told that are accepted from now on.
    pub connection_config: Arc<ConnectionConfig>,
    /// By name.
    clients: Vec<Client>,
    /// Clients whose sockets broke, and whom nobody asks for again.
    forgotten: BTreeSet<ConnectionId>,
    user_channels: BTreeMap<String, Tally>,
    connections: u64,
    /// While set, nothing becomes durable.
    pub disk_stopped: bool,
    /// While set, what is to be read from the log is not.
    pub reads_stopped: bool,
    reads: VecDeque<Effect>,
    /// What an operator was answered last.
    pub answer: Option<AdminReply>,
    alarm: Option<String>,
    now: Now,
}

/// Ticks that one step of the clock may want.
const TICKS_MAX: usize = 10_000;

struct Client {
    name: String,
    id: ConnectionId,
    machine: Connection,
    effects: ConnectionEffects,
    unread: Vec<u8>,
    written: Vec<u8>,
    socket_closed: bool,
    /// The client reads nothing any more: what it is told stays in the effects.
    deaf: bool,
    /// Commands it has given the vhost.
    command_count: usize,
    /// The vhost knows its connection.
    attached: bool,
}

impl Given {
    /// The usual, with these users.
    pub fn with(accounts: Arc<Accounts>) -> Self {
        let vhost = VhostConfig {
            name: "/".into(),
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: CONSUMER_TIMEOUT_MS,
            budget: Budget::new(usize::MAX / 2),
            names_seed: [7; 32],
            events: EventTap::default(),
        };
        Self { accounts, vhost, segment_bytes: u32::MAX / 2 }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self::new(Given::with(Arc::new(accounts())))
    }
}

impl Broker {
    pub fn new(Given { accounts, vhost: config, segment_bytes }: Given) -> Self {
        let connection_config =
            ConnectionConfig { product: "LedgerMQ".into(), version: "0".into(), ..Default::default() };
        Self {
            vhost: Vhost::new(config.clone()),
            config,
            log: MemoryLog::new(segment_bytes),
            accounts,
            connection_config: Arc::new(connection_config),
            clients: Vec::new(),
            forgotten: BTreeSet::new(),
            connections: 0,
            user_channels: BTreeMap::new(),
            disk_stopped: false,
            reads_stopped: false,
            reads: VecDeque::new(),
            answer: None,
            alarm: None,
            now: Now::default(),
        }
    }

    /// Accepts a client that says nothing yet.
    pub fn accept(&mut self, name: &str) {
        self.connections += 1;
        let id = ConnectionId(self.connections);
        let peer =
            Peer { remote: "127.0.0.1:50000".parse().unwrap(), local: "127.0.0.1:5672".parse().unwrap() };
        let (config, accounts) = (Arc::clone(&self.connection_config), Arc::clone(&self.accounts));
        let now_ms = self.now.monotonic_ms;
        let mut machine = Connection::new(id, config, accounts, peer, id.0, now_ms);
        let mut effects = ConnectionEffects::default();
        machine.alarm(self.alarm.as_deref(), now_ms, &mut effects);
        let client = Client {
            name: name.to_owned(),
            id,
            machine,
            effects,
            unread: Vec::new(),
            written: Vec::new(),
            socket_closed: false,
            deaf: false,
            command_count: 0,
            attached: false,
        };
        self.clients.retain(|known| known.name != name);
        let at = self.clients.partition_point(|known| *known.name < *name);
        self.clients.insert(at, client);
    }

    /// Accepts a client and takes it through the handshake.
    pub fn connect(&mut self, name: &str, user: &str, client_properties: Option<&str>) {
        self.accept(name);
        let mut bytes = HEADER.to_vec();
        bytes.extend(wire::encode(0, &start_ok(client_properties.unwrap_or(CAPABLE), user)));
        bytes.extend(wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072"));
        bytes.extend(wire::encode(0, "connection.open virtual-host=/"));
        self.send_bytes(name, &bytes);
        let said = self.heard(name);
        assert!(said.last().is_some_and(|(_, line)| line == "connection.open-ok"), "{name}: {said:?}");
    }

    /// A client's bytes arrive.
    pub fn send_bytes(&mut self, name: &str, bytes: &[u8]) {
        let client = self.client(name);
        client.unread.extend_from_slice(bytes);
        self.settle();
    }

    /// A client sends a method.
    pub fn send(&mut self, name: &str, channel: u16, method: &str) {
        self.send_bytes(name, &wire::encode(channel, method));
    }

    /// The bytes a client was told since it was last asked.
    pub fn heard_bytes(&mut self, name: &str) -> Vec<u8> {
        std::mem::take(&mut self.client(name).written)
    }

    /// How many commands of a client have reached the vhost.
    pub fn command_count(&mut self, name: &str) -> usize {
        self.client(name).command_count
    }

    /// What a client was told since it was last asked.
    pub fn heard(&mut self, name: &str) -> Vec<(u16, String)> {
        wire::decode_all(&mut self.client(name).written)
    }

    /// A client's socket breaks.
    pub fn break_socket(&mut self, name: &str) {
        let client = self.client(name);
        client.socket_closed = true;
        client.machine.socket_closed(&mut client.effects);
        self.settle();
    }

    /// Nobody will ask for a client again whose socket broke: it takes no time once the vhost is through with it.
    pub fn forget(&mut self, name: &str) {
        let id = self.client(name).id;
        self.forgotten.insert(id);
        self.clients.retain(|client| client.attached || !self.forgotten.contains(&client.id));
    }

    /// A client reads nothing any more.
    pub fn stop_reading(&mut self, name: &str) {
        self.client(name).deaf = true;
    }

    /// A client reads again.
    pub fn read_again(&mut self, name: &str) {
        self.client(name).deaf = false;
        self.settle();
    }

    /// What waits for a client that does not read.
    pub fn waiting_bytes(&mut self, name: &str) -> usize {
        self.client(name).effects.outbound.len()
    }

    /// Whether the broker has closed a client's socket.
    pub fn has_closed(&mut self, name: &str) -> bool {
        self.client(name).socket_closed
    }

    /// A resource alarm goes on or off.
    pub fn set_alarm(&mut self, alarm: Option<&str>) {
        self.alarm = alarm.map(str::to_owned);
        let now_ms = self.now.monotonic_ms;
        for client in &mut self.clients {
            client.machine.alarm(alarm, now_ms, &mut client.effects);
        }
        self.settle();
    }

    /// Users or permissions change.
    pub fn change_accounts(&mut self, change: impl FnOnce(&mut Accounts)) {
        change(Arc::make_mut(&mut self.accounts));
        self.set_accounts(Arc::clone(&self.accounts));
    }

    /// An operator limits the vhost.
    pub fn configure_vhost(&mut self, settings: VhostSettings) {
        self.vhost.configure(settings);
    }

    /// The disk takes no more messages, or takes them again.
    pub fn fill_disk(&mut self, is_full: bool) {
        self.log.is_full = is_full;
    }

    /// The broker stops: every client is told why.
    pub fn stop(&mut self, reason: &str) {
        for client in &mut self.clients {
            client.machine.shutdown(reason, self.now.monotonic_ms, &mut client.effects);
        }
        self.settle();
    }

    /// There are other users with other permissions.
    pub fn set_accounts(&mut self, accounts: Arc<Accounts>) {
        self.accounts = accounts;
        let now_ms = self.now.monotonic_ms;
        for client in &mut self.clients {
            client.machine.accounts_changed(Arc::clone(&self.accounts), now_ms, &mut client.effects);
        }
        self.settle();
    }

    /// An operator asks for something; the answer is in `answer` once there is one.
    pub fn order(&mut self, command: AdminCommand) {
        self.apply(Input::Admin(AdminId(1), Operator::default(), command));
        self.settle();
    }

    /// This many more records become durable, all others are written.
    pub fn sync(&mut self, count: usize) {
        let progress = self.log.sync(count);
        self.apply(Input::Progress(progress));
        let progress = self.log.write();
        self.apply(Input::Progress(progress));
        self.settle();
    }

    /// An operator asks or orders something, and is answered.
    pub fn admin(&mut self, command: AdminCommand) -> AdminReply {
        self.order(command);
        self.answer.take().expect("an operator is answered")
    }

    /// Everything there is to see.
    pub fn report(&self) -> VhostReport {
        self.vhost.report()
    }

    /// Runs everything that can run.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for at in 0..self.clients.len() {
                busy |= self.run_client(at);
            }
            busy |= self.run_disk();
            if !busy {
                return;
            }
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let found = self.clients.iter_mut().find(|client| client.name == name);
        found.unwrap_or_else(|| panic!("no client {name:?}"))
    }

    fn run_client(&mut self, at: usize) -> bool {
        let now_ms = self.now.monotonic_ms;
        // A field of its own, so that the accounts can be borrowed too.
        let client = &mut self.clients[at];
        let consumed = client.machine.receive(&client.unread, now_ms, &mut client.effects);
        client.unread.drain(..consumed);
        let (id, effects) = (client.id, &mut client.effects);
        let commands = std::mem::take(&mut effects.commands);
        client.command_count += commands.len();
        let drained = if client.deaf { 0 } else { std::mem::take(&mut effects.drained_bytes) };
        effects.command_bytes = 0;
        let requests = std::mem::take(&mut effects.requests);
        let wrote = !client.deaf && !effects.outbound.is_empty();
        if wrote {
            take_outbound(effects, &mut client.written);
        }
        let busy = consumed > 0 || !commands.is_empty() || !requests.is_empty() || wrote || drained > 0;
        let mut inputs = Vec::new();
        if !commands.is_empty() {
            inputs.push(Input::Commands(commands));
        }
        if drained > 0 {
            inputs.push(Input::Drained(id, drained));
        }
        for request in requests {
            match request {
                Request::Authenticate(login) => {
                    let result = self.accounts.login(&login.user, login.password.as_bytes(), true);
                    let result = result.map(|()| login.user.as_str().into());
                    let result = result.map_err(|refused| refused.reason(&login.user));
                    client.machine.authenticated(result, now_ms, &mut client.effects);
                }
                Request::OpenVhost { vhost, user } => {
                    let result = open_vhost(&vhost, &user, &self.accounts);
                    let channels = self.user_channels.entry(user.to_string()).or_default();
                    client.machine.count_channels_in(channels.clone());
                    client.attached = result.is_ok();
                    if client.attached {
                        inputs.push(Input::Attach(id));
                    }
                    client.machine.vhost_opened(result, now_ms, &mut client.effects);
                }
                Request::Detach => inputs.push(Input::Detach(id)),
                Request::CloseSocket => client.socket_closed = true,
                // Nobody logs in by token here.
                Request::RenewToken(_) | Request::Log(_) => {}
            }
        }
        for input in inputs {
            self.apply(input);
        }
        busy
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        let mut ticks = 0;
        while self.vhost.next_deadline().is_some_and(|at_ms| at_ms <= self.now.monotonic_ms) {
            ticks += 1;
            assert!(ticks < TICKS_MAX, "time that has passed makes work without end");
            self.apply(Input::Tick);
            self.settle();
        }
    }

    /// Time passes for everybody: whatever becomes due meanwhile is done at its time.
    pub fn live(&mut self, ms: u64) {
        let until_ms = self.now.monotonic_ms + ms;
        for _ in 0..TICKS_MAX {
            let clients = self.clients.iter().filter(|client| !client.socket_closed);
            let of_clients = clients.filter_map(|client| client.machine.next_deadline());
            let next_ms = of_clients.chain(self.vhost.next_deadline()).min();
            let Some(at_ms) = next_ms.filter(|at_ms| *at_ms <= until_ms) else {
                return self.pass(until_ms - self.now.monotonic_ms);
            };
            self.pass(at_ms.saturating_sub(self.now.monotonic_ms));
            self.tick_connections();
        }
        panic!("time that has passed makes work without end");
    }

    /// Time passes for the connections: heartbeats, and the end of patience.
    pub fn tick_connections(&mut self) {
        let now_ms = self.now.monotonic_ms;
        for client in &mut self.clients {
            if client.machine.next_deadline().is_some_and(|at_ms| at_ms <= now_ms) {
                client.machine.tick(now_ms, &mut client.effects);
            }
        }
        self.settle();
    }

    /// The process dies and starts again with what the log holds. All clients are gone.
    pub fn die_and_restart(&mut self) {
        self.log.crash(0);
        let replayed = self.log.replay();
        let definitions =
            replayed.definitions.iter().map(|(key, value)| Definition::decode(key, value).unwrap());
        self.clients.clear();
        self.reads.clear();
        self.vhost =
            Vhost::restore(self.config.clone(), definitions, replayed.queues, replayed.clean).unwrap();
        self.apply(Input::Progress(self.log.progress));
        self.settle();
    }

    fn run_disk(&mut self) -> bool {
        if !self.reads_stopped
            && let Some(read) = self.reads.pop_front()
        {
            self.apply(self.log.answer(read));
            return true;
        }
        if self.disk_stopped {
            return false;
        }
        let before = self.log.progress;
        let progress = self.log.sync(usize::MAX);
        if progress == before {
            return false;
        }
        self.apply(Input::Progress(progress));
        true
    }

    fn apply(&mut self, input: Input) {
        let (mut effects, now_ms) = (Effects::default(), self.now.monotonic_ms);
        self.log.unix_ms = self.now.unix_ms;
        self.vhost.apply(input, self.now, &mut self.log, &mut effects);
        for client in &mut self.clients {
            let mine = effects.notices.extract_if(.., |notice| notice.channel.connection == client.id);
            client.machine.notices(mine, now_ms, &mut client.effects);
        }
        // What became durable late may be said to nobody.
        effects.notices.retain(|notice| !self.forgotten.contains(&notice.channel.connection));
        assert!(effects.notices.is_empty(), "every notice has a receiver");
        for effect in effects.effects {
            match effect {
                Effect::Detached(id) => {
                    let client = self.clients.iter_mut().find(|client| client.id == id);
                    let client = client.expect("who detaches was attached");
                    client.machine.detached(now_ms, &mut client.effects);
                    client.attached = false;
                }
                Effect::Event(event) => self.apply(Input::Event(event)),
                Effect::ReadBodies { .. } | Effect::ReadEntries { .. } | Effect::ReadStream { .. } => {
                    self.reads.push_back(effect);
                }
                Effect::Answer(_, answer) => self.answer = Some(answer),
                // Its log says so where a test made it rot.
                Effect::Damaged { .. } => {
                    assert!(!self.log.rotten.is_empty(), "nothing is damaged: {effect:?}")
                }
            }
        }
    }
}

fn open_vhost(vhost: &str, user: &str, accounts: &Accounts) -> Result<(), ConnectionError> {
    let refused = |text| Err(ConnectionError::new(ConnectionCode::NotAllowed, text));
    if vhost != "/" {
        return refused(format!("vhost {vhost} not found"));
    }
    if !accounts.has_access(user, vhost) {
        return refused(format!("access to vhost '{vhost}' refused for user '{user}'"));
    }
    Ok(())
}
