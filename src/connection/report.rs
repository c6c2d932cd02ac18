//! What an operator sees of a connection and its channels: plain data, made on request.

use super::{Connection, Peer, Stage, TlsSession};
use crate::protocol::table::Table;
use crate::vhost::command::ConnectionId;
use std::sync::Arc;

/// A connection at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// Which.
    pub id: ConnectionId,
    /// The client's and our address.
    pub peer: Peer,
    /// How it is encrypted, if it is.
    pub tls: Option<Arc<TlsSession>>,
    /// `starting`, `securing`, `tuning`, `opening`, `running`, `blocked`, `closing`, `closed`.
    pub state: &'static str,
    /// User, once known.
    pub user: Option<Arc<str>>,
    /// Vhost, once asked for.
    pub vhost: Option<Arc<str>>,
    /// `connection_name` of the client's properties.
    pub name: Option<String>,
    /// `product` and `version` of the client's properties.
    pub client: Option<String>,
    /// What the client said of itself.
    pub client_properties: Table,
    /// How it logged in; empty before.
    pub mechanism: &'static str,
    /// Channels it may open.
    pub channels_max: u16,
    /// When it was accepted, wall clock, ms: the driver fills it in.
    pub connected_unix_ms: u64,
    /// What the socket carried: the driver fills it in.
    pub traffic: Traffic,
    /// Largest frame, bytes.
    pub frame_bytes_max: u32,
    /// Seconds; 0 = off.
    pub heartbeat_s: u16,
    /// Open channels, ascending.
    pub channels: Vec<ChannelReport>,
}

/// What a socket carried so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Reads that brought some.
    pub received_count: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Writes that took some.
    pub sent_count: u64,
    /// Bytes waiting to be sent.
    pub unsent_bytes: u64,
}

/// A channel at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReport {
    /// Its number.
    pub number: u16,
    /// Confirms its publishes.
    pub confirm: bool,
    /// In a transaction.
    pub transactional: bool,
    /// Consumers on it.
    pub consumer_count: usize,
    /// Deliveries not settled yet.
    pub unacked_count: usize,
    /// Publishes not confirmed yet.
    pub unconfirmed_count: u64,
}

impl Connection {
    /// What there is to see, for an operator.
    pub fn report(&self) -> ConnectionReport {
        let state = match &self.stage {
            Stage::Handshake { step, .. } => step.name(),
            Stage::Running(_) if self.is_blocked() => "blocked",
            Stage::Running(_) => "running",
            Stage::Detaching | Stage::Closing { .. } => "closing",
            Stage::Lingering { .. } | Stage::Over => "closed",
        };
        ConnectionReport {
            id: self.id,
            peer: self.peer,
            tls: self.tls.clone(),
            state,
            user: self.client.user.clone(),
            vhost: self.client.vhost.clone(),
            name: self.client.name.clone(),
            client: self.client.product.clone(),
            client_properties: self.client.properties.clone(),
            mechanism: self.client.mechanism,
            channels_max: self.config.channels_max,
            connected_unix_ms: 0,
            traffic: Traffic::default(),
            frame_bytes_max: self.frame_bytes_max,
            heartbeat_s: self.heartbeat.interval_s(),
            channels: self.channel_reports(),
        }
    }

    fn channel_reports(&self) -> Vec<ChannelReport> {
        let Stage::Running(running) = &self.stage else { return Vec::new() };
        let report = |(number, channel): (&u16, &crate::channel::Channel)| {
            let figures = channel.figures()?;
            Some(ChannelReport {
                number: *number,
                confirm: figures.confirm,
                transactional: figures.transactional,
                consumer_count: figures.consumer_count,
                unacked_count: figures.unacked_count,
                unconfirmed_count: figures.unconfirmed_count,
            })
        };
        let mut reports: Vec<_> = running.channels.iter().filter_map(report).collect();
        reports.sort_unstable_by_key(|report| report.number);
        reports
    }
}
