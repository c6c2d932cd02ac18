//! Conversations by chance, whole and damaged.

use crate::played::delivery;
use crate::support::machine::{Machine, PUBLISH, key};
use crate::support::wire;
use ledgermq::connection::Request;
use ledgermq::protocol::reply::{ChannelCode, ChannelError};
use ledgermq::vhost::command::{ChannelKey, Command, Envelope, Notice, Publish, Reply};
use std::fmt::Write;
use std::sync::Arc;

/// Conversations with bytes changed, left out, doubled and cut short: nothing panics, and nothing is consumed twice.
/// `SEED=n` replays one.
#[test]
fn no_bytes_make_it_panic() {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..3000).collect(),
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| mutated_conversation(seed));
        assert!(result.is_ok(), "SEED={seed}");
    }
}

fn mutated_conversation(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let methods: Vec<_> = wire::client_methods().collect();
    let mut machine = if random.below(8) == 0 { Machine::accepted() } else { Machine::with_channel() };
    for _ in 0..20 {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(6) {
            let name = methods[random.below(methods.len() as u64) as usize];
            let channel = u16::from(!name.starts_with("connection.")) * (1 + random.below(2) as u16);
            bytes.extend(wire::encode(channel, &random_fields(name, &mut random)));
        }
        if random.below(3) == 0 {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        machine.send_bytes(&bytes);
        answer_at_random(&mut machine, &mut random);
        machine.now_ms += random.below(2000);
        machine.connection.tick(machine.now_ms, &mut machine.effects);
        machine.heard();
        let report = machine.connection.report();
        assert!(report.channels.len() <= 2047);
    }
}

fn random_fields(name: &str, random: &mut Random) -> String {
    if name == "basic.publish" && random.below(2) == 0 {
        return format!(
            "basic.publish routing-key=q properties={{delivery-mode={}}} body=x",
            random.below(3)
        );
    }
    let fields = wire::METHODS.iter().find(|known| known.0 == name).unwrap().3;
    let mut text = name.to_owned();
    for field in fields.split_whitespace() {
        let (field, kind) = field.split_once(':').unwrap();
        let value = match kind {
            "t" => (random.below(4) == 0).to_string(),
            "s" | "S" => ["q", "a", "\"\"", "amq.direct"][random.below(4) as usize].to_owned(),
            "F" => ["{}", "{x-max-length=5}", "{a={b=[1 2]}}"][random.below(3) as usize].to_owned(),
            _ => random.below(4).to_string(),
        };
        write!(text, " {field}={value}").unwrap();
    }
    text
}

/// Answers what the machine asked, mostly as a vhost would, sometimes with what nobody asked for.
fn answer_at_random(machine: &mut Machine, random: &mut Random) {
    for request in machine.requests() {
        match request {
            Request::Authenticate(_) => {
                machine.connection.authenticated(Ok("guest".into()), machine.now_ms, &mut machine.effects);
            }
            Request::OpenVhost { .. } => {
                machine.connection.vhost_opened(Ok(()), machine.now_ms, &mut machine.effects);
            }
            Request::Detach => machine.connection.detached(machine.now_ms, &mut machine.effects),
            Request::CloseSocket => machine.connection.socket_closed(&mut machine.effects),
            // Nobody logs in by token here.
            Request::RenewToken(_) | Request::Log(_) => {}
        }
    }
    let mut confirmed = Vec::new();
    for Envelope { channel, command, .. } in machine.commands() {
        match command {
            Command::OpenChannel => machine.reply(channel, Reply::ChannelOpened),
            Command::CloseChannel => machine.reply(channel, Reply::ChannelClosed),
            Command::Publish(Publish { publish_seq: Some(seq), .. }) => confirmed.push((channel, seq)),
            Command::Consume { tag, .. } => {
                machine.reply(channel, Reply::Consuming { tag: Arc::clone(&tag) });
                machine.notice(channel, delivery(&tag, random.below(100), random.below(2) == 0));
                if random.below(5) == 0 {
                    machine.notice(channel, Notice::ConsumerCancelled { tag });
                }
            }
            Command::Settle { deliveries, .. } => assert!(!deliveries.is_empty(), "a settlement of nothing"),
            Command::DeclareQueue { name, .. } if random.below(3) > 0 => {
                let reply = Reply::QueueDeclared { name, message_count: 0, consumer_count: 0 };
                machine.reply(channel, reply);
            }
            _ if random.below(10) == 0 => {
                let error = ChannelError::new(ChannelCode::NotFound, "by chance");
                machine.notice(channel, Notice::ChannelFailed(error, PUBLISH));
            }
            _ => machine.reply(channel, Reply::GetEmpty),
        }
    }
    if random.below(2) == 0 {
        confirmed.reverse();
    }
    for (channel, seq) in confirmed {
        machine.notice(channel, Notice::Confirmed(vec![seq]));
    }
    if random.below(10) == 0 {
        machine.connection.alarm(Some("by chance"), machine.now_ms, &mut machine.effects);
    } else if random.below(3) == 0 {
        machine.connection.alarm(None, machine.now_ms, &mut machine.effects);
    }
    let stray = ChannelKey { life: random.below(3) as u32, ..key(1, 0) };
    machine.notice(stray, delivery("t", 1, false));
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
