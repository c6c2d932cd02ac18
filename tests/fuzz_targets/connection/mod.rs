//! Whole conversations of up to three clients with a broker in memory, whatever they send and whatever happens: bytes in any
//! pieces, methods and contents in any order, broken sockets, clients that do not read, time, a disk that stops, is full, or
//! forgets, alarms, users that go, operators that interfere.
//!
//! What every client is told is checked by [`listener`]. Beyond that: a connection that was refused asks for nothing more, a
//! witness on a connection of its own hears nothing of all this and can work when it is over, the log can be read by the
//! next start, and the memory for bodies is given back.
//!
//! ```text
//! script = setting, step*        step = what, who, …
//! who    = 2 bits client, 2 bits channel, . , piecewise (0x20), as it is (0x40), held back for the next step (0x80)
//! ```
//! Unless a step is to be taken as it is, its client is connected and its channel opened first.

mod encode;
mod listener;
pub mod words;

use super::script::Script;
use crate::support::broker::{Broker, Given};
use crate::support::machine::{CAPABLE, HEADER, accounts, hash, start_ok};
use crate::support::wire;
use ledgermq::auth::{Accounts, Limits, MAX_CHANNELS};
use ledgermq::budget::Budget;
use ledgermq::definitions::{ApplyTo, PermissionDefinition, PolicyDefinition, TopicPermissionDefinition};
use ledgermq::protocol::method_id::MethodId;
use ledgermq::queue::QueueKind;
use ledgermq::vhost::input::AdminCommand;
use ledgermq::vhost::views::{Look, Stretch};
use ledgermq::vhost::{DeliverMode, PolicyLayer, VhostSettings};
use ledgermq_storage::{QueueId, Seq};
use listener::{Closed, Listener};
use std::sync::{Arc, LazyLock};

/// Steps of one script; the rest is not read.
const STEPS_MAX: usize = 64;

pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut world = World::new(script.byte());
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        world.step(&mut script);
    }
    world.end();
}

/// A client's place: whoever sits there, one connection after another.
#[derive(Default)]
struct Seat {
    /// Its name with the broker; none before it is there.
    name: String,
    listener: Listener,
    /// Channels that were opened for the script.
    opened: [bool; 4],
    held: Vec<u8>,
    is_deaf: bool,
    /// Commands it had given when its connection was refused.
    commands_at_end: Option<usize>,
}

struct World {
    broker: Broker,
    budget: Budget,
    seats: [Seat; 3],
    witness: Listener,
    is_capable: bool,
    connection_count: u32,
}

const WITNESS: &str = "witness";

impl World {
    fn new(setting: u8) -> Self {
        let mut given = Given::with(Arc::clone(&ACCOUNTS[0]));
        given.segment_bytes = [u32::MAX / 2, 300, 1000, 5000][usize::from(setting & 3)];
        let budget = Budget::new([usize::MAX / 2, 0, 600, 5000][usize::from(setting >> 2 & 3)]);
        given.vhost.budget = budget.clone();
        if setting & 0x10 != 0 {
            given.vhost.deliver = DeliverMode::Immediate;
        }
        let mut world = Self {
            broker: Broker::new(given),
            budget,
            seats: Default::default(),
            witness: Listener::default(),
            is_capable: setting & 0x20 == 0,
            connection_count: 0,
        };
        world.broker.accept(WITNESS);
        world.broker.send_bytes(WITNESS, &PHRASES.witness);
        world.listen();
        assert_eq!(world.witness.methods.last(), Some(&MethodId::new(85, 11)), "the witness works");
        world.witness.methods.clear();
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let (what, who) = (script.byte(), script.byte());
        if what >= 0xD8 {
            self.world_event(what, who, script);
        } else {
            self.client_speaks(what, who, script);
        }
        self.listen();
    }

    fn client_speaks(&mut self, what: u8, who: u8, script: &mut Script<'_>) {
        let (at, channel) = (usize::from(who & 3) % 3, u16::from(who >> 2 & 3));
        let as_it_is = who & 0x40 != 0;
        if !as_it_is && self.seats[at].listener.is_closed {
            self.stand_up(at);
        }
        if self.seats[at].name.is_empty() {
            self.sit_down(at, !as_it_is);
        }
        if !as_it_is {
            self.open_channel(at, channel);
        }
        let seat = &mut self.seats[at];
        let bytes = &mut seat.held;
        match what {
            0..=0x7F => encode::method(bytes, channel, what, &seat.listener.queue, script),
            0x80..=0xAF => encode::publish(bytes, channel, script),
            0xB0..=0xBF => encode::any_frame(bytes, channel, script),
            0xC0..=0xC7 => bytes.extend_from_slice(script.counted()),
            0xC8..=0xCF => encode::header(bytes, channel, script),
            _ => encode::body(bytes, channel, script),
        }
        if who & 0x80 != 0 {
            return;
        }
        let bytes = std::mem::take(&mut seat.held);
        let piece_bytes = if who & 0x20 == 0 { bytes.len().max(1) } else { usize::from(what & 0x0F) + 1 };
        for piece in bytes.chunks(piece_bytes) {
            self.broker.send_bytes(&self.seats[at].name, piece);
        }
    }

    /// Somebody comes, and logs in if that is wanted.
    fn sit_down(&mut self, at: usize, logs_in: bool) {
        self.connection_count += 1;
        let name = format!("client {}", self.connection_count);
        self.broker.accept(&name);
        if logs_in {
            let phrase = if self.is_capable { &PHRASES.login } else { &PHRASES.plain_login };
            self.broker.send_bytes(&name, phrase);
        }
        self.seats[at] = Seat { name, ..Seat::default() };
        self.listen();
    }

    fn open_channel(&mut self, at: usize, channel: u16) {
        let seat = &mut self.seats[at];
        if channel == 0 || seat.listener.is_closed {
            return;
        }
        let index = usize::from(channel);
        let (open, close_ok_and_open) = &PHRASES.channels[index];
        match seat.listener.closed_channel(channel) {
            Some(Closed::ByBroker) => seat.held.extend(close_ok_and_open),
            Some(Closed::ByClient) => seat.held.extend(open),
            None if !seat.opened[index] => seat.held.extend(open),
            None => {}
        }
        seat.opened[index] = true;
    }

    fn world_event(&mut self, what: u8, who: u8, script: &mut Script<'_>) {
        let at = usize::from(who & 3) % 3;
        match what {
            0xD8 | 0xD9 => self.broker.sync(usize::from(script.byte())),
            0xDA => self.broker.disk_stopped = who & 4 == 0,
            0xDB => self.broker.log.is_full = who & 4 == 0,
            0xDC => self.broker.reads_stopped = who & 4 == 0,
            0xDD => {
                let place = (QueueId(u32::from(who) + 1), Seq(script.byte().into()));
                self.broker.log.rotten.insert(place);
            }
            0xDE..=0xE3 => {
                self.broker.pass(words::TIMES[usize::from(who & 0x0F)]);
                self.broker.tick_connections();
            }
            0xE4 => self.broker.set_alarm((who & 4 == 0).then_some("low on disk")),
            0xE5 => self.broker.set_accounts(Arc::clone(&ACCOUNTS[usize::from(who & 7)])),
            0xE6 | 0xE7 => self.interfere(who, script),
            0xE8 | 0xE9 if !self.seats[at].name.is_empty() => {
                let seat = &mut self.seats[at];
                seat.is_deaf = !seat.is_deaf;
                if seat.is_deaf {
                    self.broker.stop_reading(&seat.name);
                } else {
                    self.broker.read_again(&seat.name);
                }
            }
            0xEA | 0xEB if !self.seats[at].name.is_empty() => self.stand_up(at),
            _ => {}
        }
    }

    /// An operator's orders.
    fn interfere(&mut self, who: u8, script: &mut Script<'_>) {
        let name: Arc<str> = script.pick(&words::NAMES).into();
        let layer = if who & 0x10 == 0 { PolicyLayer::User } else { PolicyLayer::Operator };
        let command = match who & 0x0F {
            0 => AdminCommand::PurgeQueue(name),
            1 => AdminCommand::DeleteQueue { name, if_unused: who & 0x10 != 0, if_empty: who & 0x20 != 0 },
            2 => AdminCommand::Trace(who & 0x10 == 0),
            3 => AdminCommand::Look(Look::Sums(Stretch::ALL)),
            4 => AdminCommand::ClearPolicy(layer, name),
            5 => {
                let kinds = [QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream, QueueKind::Classic];
                let default_queue_kind = kinds[usize::from(who >> 4 & 3)];
                let few = VhostSettings {
                    queues_max: Some(2),
                    exchanges_max: 9,
                    bindings_max: 3,
                    consumers_max: 2,
                    default_queue_kind,
                };
                let many = VhostSettings { default_queue_kind, ..VhostSettings::default() };
                AdminCommand::Configure(if who & 0x40 == 0 { many } else { few })
            }
            _ => AdminCommand::SetPolicy(
                layer,
                PolicyDefinition {
                    name: (*name).to_owned(),
                    // Not that of the witness.
                    pattern: if who & 0x20 == 0 { "^[a-z]$" } else { "^(?!w)" }.to_owned(),
                    apply_to: ApplyTo::All,
                    priority: (who >> 6).into(),
                    definition: script.pick(&POLICIES).to_owned(),
                },
            ),
        };
        self.broker.order(command);
    }

    /// A socket breaks; the next client at this place is another.
    fn stand_up(&mut self, at: usize) {
        self.broker.break_socket(&self.seats[at].name);
        self.listen();
        let seat = std::mem::take(&mut self.seats[at]);
        self.broker.forget(&seat.name);
    }

    /// Everybody hears what they were told.
    fn listen(&mut self) {
        self.witness.hear(&self.broker.heard_bytes(WITNESS));
        for seat in self.seats.iter_mut().filter(|seat| !seat.name.is_empty()) {
            let bytes = self.broker.heard_bytes(&seat.name);
            if !bytes.is_empty() {
                seat.listener.hear(&bytes);
                seat.listener.methods.clear();
            }
            if seat.listener.refused.is_some() {
                let count = self.broker.command_count(&seat.name);
                let at_end = *seat.commands_at_end.get_or_insert(count);
                assert_eq!(count, at_end, "a refused connection asks for nothing more");
            }
        }
    }

    /// All goes well again; the others leave; the witness works; the broker starts anew.
    fn end(mut self) {
        assert!(self.witness.methods.is_empty(), "the witness was told {:?}", self.witness.methods);
        self.broker.log.is_full = false;
        self.broker.reads_stopped = false;
        self.broker.disk_stopped = false;
        self.broker.set_alarm(None);
        self.broker.set_accounts(Arc::clone(&ACCOUNTS[0]));
        for at in 0..self.seats.len() {
            if self.seats[at].is_deaf {
                self.broker.read_again(&self.seats[at].name);
            }
        }
        self.listen();
        for at in 0..self.seats.len() {
            if !self.seats[at].name.is_empty() {
                self.stand_up(at);
            }
        }
        assert!(self.witness.methods.is_empty(), "the witness was told {:?}", self.witness.methods);
        self.ask_witness(&PHRASES.work, &[(50, 31), (60, 80)]);
        self.ask_witness(&PHRASES.reap, &[(60, 71), (60, 72)]);
        self.broker.die_and_restart();
        drop(self.broker);
        assert_eq!(self.budget.used_bytes(), 0, "what a vhost took it gave back");
    }

    fn ask_witness(&mut self, phrase: &[u8], expected: &[(u16, u16)]) {
        self.broker.send_bytes(WITNESS, phrase);
        self.listen();
        let expected: Vec<_> = expected.iter().map(|&(class, method)| MethodId { class, method }).collect();
        assert_eq!(std::mem::take(&mut self.witness.methods), expected, "the witness works");
    }
}

/// Bytes that are sent again and again.
struct Phrases {
    login: Vec<u8>,
    plain_login: Vec<u8>,
    /// channel.open, and close-ok before it.
    channels: [(Vec<u8>, Vec<u8>); 4],
    witness: Vec<u8>,
    work: Vec<u8>,
    reap: Vec<u8>,
}

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let say = |channel: u16, lines: &[&str]| -> Vec<u8> {
        lines.iter().flat_map(|line| wire::encode(channel, line)).collect()
    };
    let login = |properties: &str, user: &str| -> Vec<u8> {
        let tune = "connection.tune-ok channel-max=2047 frame-max=131072";
        let said = say(0, &[start_ok(properties, user).as_str(), tune, "connection.open virtual-host=/"]);
        [HEADER, &said].concat()
    };
    let channels = [0, 1, 2, 3]
        .map(|number| (say(number, &["channel.open"]), say(number, &["channel.close-ok", "channel.open"])));
    let begin = ["channel.open", "queue.declare queue=witness exclusive=true", "confirm.select"];
    Phrases {
        login: login(CAPABLE, "guest"),
        plain_login: login("{}", "guest"),
        channels,
        witness: [login("{}", WITNESS), say(1, &begin)].concat(),
        work: say(1, &["queue.purge queue=witness", "basic.publish routing-key=witness body=hello"]),
        reap: say(1, &["basic.get queue=witness no-ack=true", "basic.get queue=witness no-ack=true"]),
    }
});

const POLICIES: [&str; 16] = [
    "{\"max-length\":1}",
    "{\"message-ttl\":1}",
    "{\"message-ttl\":0,\"dead-letter-exchange\":\"\",\"dead-letter-routing-key\":\"r\"}",
    "{\"alternate-exchange\":\"e\"}",
    "{\"dead-letter-exchange\":\"e\"}",
    "{\"expires\":100}",
    "{\"max-length\":2,\"overflow\":\"reject-publish\"}",
    "{\"max-length-bytes\":10}",
    "{\"max-age\":\"1s\",\"stream-max-segment-size-bytes\":1,\"max-length-bytes\":1}",
    "{\"delivery-limit\":1}",
    "{\"consumer-timeout\":1000}",
    "{\"max-length\":0,\"overflow\":\"reject-publish-dlx\",\"dead-letter-exchange\":\"e\"}",
    "{}",
    "{\"x\":1}",
    "[",
    "",
];

/// Who there is, and what they may: everything first. The witness may always do everything.
static ACCOUNTS: LazyLock<[Arc<Accounts>; 8]> = LazyLock::new(|| {
    let permission = |user: &str, configure: &str, write: &str, read: &str| PermissionDefinition {
        user: user.to_owned(),
        vhost: "/".to_owned(),
        configure: configure.to_owned(),
        write: write.to_owned(),
        read: read.to_owned(),
    };
    let mut all = accounts();
    all.add_user(WITNESS, hash(WITNESS)).unwrap();
    all.set_permissions(permission(WITNESS, ".*", ".*", ".*")).unwrap();
    let changed = |change: &dyn Fn(&mut Accounts)| {
        let mut accounts = all.clone();
        change(&mut accounts);
        Arc::new(accounts)
    };
    let permit = |configure: &'static str, write: &'static str, read: &'static str| {
        changed(&|accounts| {
            drop(accounts.set_permissions(permission("guest", configure, write, read)).unwrap())
        })
    };
    [
        Arc::new(all.clone()),
        permit(".*", ".*", ""),
        permit("^q", "^(q|e|amq)", ".*"),
        changed(&|accounts| drop(accounts.delete_user("guest").unwrap())),
        changed(&|accounts| drop(accounts.clear_permissions("guest", "/").unwrap())),
        changed(&|accounts| {
            let limits = Limits::parse("{\"max-channels\":1}", &[MAX_CHANNELS], "limits").unwrap();
            accounts.change_limits("guest", |current| *current = limits).unwrap();
        }),
        changed(&|accounts| {
            let topic = TopicPermissionDefinition {
                user: "guest".to_owned(),
                vhost: "/".to_owned(),
                exchange: "amq.topic".to_owned(),
                write: "^a".to_owned(),
                read: "^a".to_owned(),
            };
            accounts.set_topic_permissions(topic).unwrap();
        }),
        permit("", ".*", ".*"),
    ]
});
