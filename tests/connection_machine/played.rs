//! What the vhost and the client of these tests say, and machines in each state of a conversation.

use crate::support::machine::{CAPABLE, HEADER, Machine, start_ok};
use crate::support::wire;
use bytes::Bytes;
use ledgermq::message::{Holders, Message};
use ledgermq::vhost::command::{Deliver, Envelope, Notice};
use ledgermq_storage::{QueueId, Seq};
use std::sync::Arc;

pub(crate) const PUBLISHED: &str = "basic.publish routing-key=q body=x";

pub(crate) fn message(body: &str) -> Arc<Message> {
    Arc::new(Message {
        exchange: "".into(),
        routing_key: "q".into(),
        properties: Bytes::from_static(&[0, 0]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        persistent: false,
        dead_lettered: false,
        holders: Holders::default(),
    })
}

pub(crate) fn delivery(tag: &str, seq: u64, no_ack: bool) -> Notice {
    Notice::Deliver(Deliver {
        tag: tag.into(),
        queue: QueueId(3),
        seq: Seq(seq),
        redelivered: false,
        no_ack,
        message: message("x"),
    })
}

pub(crate) fn names(commands: &[Envelope]) -> Vec<String> {
    commands
        .iter()
        .map(|envelope| {
            let debug = format!("{:?}", envelope.command);
            debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        })
        .collect()
}

pub(crate) fn number_in(line: &str, field: &str) -> u16 {
    let (_, rest) = line.split_once(&format!("{field}=")).unwrap_or_else(|| panic!("{field} in {line}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

pub(crate) fn in_state(state: &str) -> Machine {
    let mut machine = Machine::accepted();
    match state {
        "await start-ok" => machine.send_bytes(HEADER),
        "authenticating" => {
            machine.send_bytes(HEADER);
            machine.send(0, &start_ok(CAPABLE, "guest"));
        }
        "await tune-ok" => {
            machine = in_state("authenticating");
            machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
        }
        "await open" => {
            machine = in_state("await tune-ok");
            machine.send(0, "connection.tune-ok channel-max=10 frame-max=4096");
        }
        "opening vhost" => {
            machine = in_state("await open");
            machine.send(0, "connection.open virtual-host=/");
        }
        "unopened channel" => machine = Machine::open(),
        "open channel" => machine = Machine::with_channel(),
        "await content header" | "await body" => {
            machine = Machine::with_channel();
            let whole = wire::encode(1, "basic.publish routing-key=q body=x");
            let method = 7 + u32::from_be_bytes(whole[3..7].try_into().unwrap()) as usize + 1;
            let header = method
                + 7
                + u32::from_be_bytes(whole[method + 3..method + 7].try_into().unwrap()) as usize
                + 1;
            machine.send_bytes(&whole[..if state == "await body" { header } else { method }]);
        }
        "channel closed by client" => {
            machine = Machine::with_channel();
            machine.send(1, "channel.close reply-code=200");
        }
        "channel closed by us" => {
            machine = Machine::with_channel();
            machine.send(1, "basic.ack delivery-tag=9");
        }
        "connection closed by client" => {
            machine = Machine::with_channel();
            machine.send(0, "connection.close reply-code=200");
        }
        "connection closed by us" => {
            machine = Machine::with_channel();
            machine.send(1, "channel.flow active=false");
        }
        "lingering" => {
            machine = in_state("connection closed by client");
            machine.connection.detached(0, &mut machine.effects);
        }
        other => panic!("no state {other}"),
    }
    machine.heard();
    machine.requests();
    machine.commands();
    machine
}
