//! What a resource alarm does to a connection that publishes: its publishes wait here, up to a bound, and then its socket
//! is not read any more. Settlements go on, so that consumers can free what the alarm is about; connections that do not
//! publish notice nothing.
//!
//! Order: behind the first publish held back, everything else of its channel waits, too, but for settlements, which have
//! no order with publishes outside transactions (and inside them arrive with the commit).

use super::running::Running;
use super::{Connection, ConnectionEffects, Stage};
use crate::limits::PARKED_BYTES_MAX;
use crate::protocol::server_method::ServerMethod;
use crate::vhost::command::{ChannelKey, Command, Envelope};
use std::collections::HashSet;

/// Commands that wait for an alarm's end.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// The client has published, so alarms concern it.
    published: bool,
    /// The client was told that it is blocked.
    told: bool,
    commands: Vec<Envelope>,
    /// Content within them.
    content_bytes: usize,
    /// All they take, content included.
    bytes: usize,
    channels: HashSet<ChannelKey>,
}

impl Connection {
    /// A resource alarm went on (`Some`, with the text of connection.blocked, e.g. `low on disk`) or all went off.
    pub fn alarm(&mut self, blocked: Option<&str>, now_ms: u64, out: &mut ConnectionEffects) {
        self.alarm = blocked.map(str::to_owned);
        let Stage::Running(running) = &mut self.stage else { return };
        let outbound_before = out.outbound.len();
        if self.alarm.is_none() {
            running.release_parked(None, out);
            if std::mem::take(&mut running.parked.told) {
                out.outbound.method(0, &ServerMethod::ConnectionUnblocked);
            }
            // Silence while we did not read was ours.
            self.heartbeat.received(now_ms);
        }
        self.tell_blocked(out);
        self.note_sent(outbound_before, now_ms, out);
    }

    /// Whether an alarm concerns this connection.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(&self.stage, Stage::Running(running) if running.parked.published && self.alarm.is_some())
    }

    /// Looks at what a read produced from `commands_before` on: notes that the client publishes, and holds publishes back
    /// while an alarm is on.
    pub(super) fn note_publishes(
        &mut self,
        commands_before: usize,
        content_before: usize,
        out: &mut ConnectionEffects,
    ) {
        let Stage::Running(running) = &mut self.stage else { return };
        if out.command_bytes > content_before {
            running.parked.published = true;
        }
        if self.alarm.is_some() && running.parked.published {
            running.parked.park(commands_before, out);
            self.tell_blocked(out);
        }
    }

    fn tell_blocked(&mut self, out: &mut ConnectionEffects) {
        let (Stage::Running(running), Some(reason)) = (&mut self.stage, &self.alarm) else { return };
        let parked = &mut running.parked;
        if parked.published && !parked.told && self.client.capabilities.connection_blocked {
            parked.told = true;
            out.outbound.method(0, &ServerMethod::ConnectionBlocked { reason });
        }
    }
}

impl Running {
    /// Whether so much waits that nothing more is read.
    pub(super) fn parked_too_much(&self) -> bool {
        self.parked.bytes >= PARKED_BYTES_MAX
    }

    /// Sends what was held back on its way, before what the read under way produced from `read_from` on.
    pub(super) fn release_parked(&mut self, read_from: Option<usize>, out: &mut ConnectionEffects) {
        let from = read_from.map_or(out.commands.len(), |from| from.min(out.commands.len()));
        let younger = out.commands.split_off(from);
        out.commands.append(&mut self.parked.commands);
        out.commands.extend(younger);
        out.command_bytes += std::mem::take(&mut self.parked.content_bytes);
        self.parked.bytes = 0;
        self.parked.channels.clear();
    }
}

impl Parked {
    fn park(&mut self, commands_before: usize, out: &mut ConnectionEffects) {
        for envelope in out.commands.split_off(commands_before.min(out.commands.len())) {
            match &envelope.command {
                Command::Settle { .. } => out.commands.push(envelope),
                Command::Publish(publish) => {
                    let bytes = publish.message.resident_bytes();
                    out.command_bytes -= bytes;
                    self.content_bytes += bytes;
                    self.channels.insert(envelope.channel);
                    self.keep(envelope, bytes);
                }
                // Counted, too: whoever publishes once could else send such commands without end.
                _ if self.channels.contains(&envelope.channel) => {
                    let bytes = envelope.command.argument_bytes();
                    self.keep(envelope, bytes);
                }
                _ => out.commands.push(envelope),
            }
        }
    }

    fn keep(&mut self, envelope: Envelope, bytes: usize) {
        self.bytes += bytes + size_of::<Envelope>();
        self.commands.push(envelope);
    }
}
