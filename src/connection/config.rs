//! What a connection is told at its birth: limits, what it says of the broker, and who is at the other end.
//! Plain data, the same for all connections of a listener but for [`Peer`].

use crate::fair_budget::FairBudget;
use crate::limits;
use crate::protocol::sasl;
use std::fmt;
use std::net::SocketAddr;

/// Settings shared by all connections.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// `product` of server-properties. Clients (kombu) choose their behaviour by it.
    pub product: String,
    /// `version` of server-properties.
    pub version: String,
    /// `cluster_name` of server-properties.
    pub cluster_name: String,
    /// Largest frame offered and accepted, bytes.
    pub frame_bytes_max: u32,
    /// Channels offered and accepted.
    pub channels_max: u16,
    /// Heartbeat interval offered, seconds; 0 offers none.
    pub heartbeat_s: u16,
    /// Which of [`sasl::MECHANISMS`] are offered and taken.
    pub mechanisms: Vec<&'static str>,
    /// Time from accept to the end of the handshake, ms.
    pub handshake_ms: u64,
    /// Largest body, bytes.
    pub message_bytes_max: u64,
    /// Consumers of a channel.
    pub consumers_max: usize,
    /// For half-received bodies of all connections.
    pub half_received: FairBudget,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            product: "LedgerMQ".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_name: "ledgermq".to_owned(),
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            channels_max: limits::CHANNELS_MAX,
            heartbeat_s: limits::HEARTBEAT_S,
            mechanisms: sasl::MECHANISMS.to_vec(),
            handshake_ms: limits::HANDSHAKE_MS,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            consumers_max: limits::CONSUMERS_PER_CHANNEL_MAX,
            half_received: FairBudget::new(limits::ASSEMBLY_BYTES_TOTAL_MAX),
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

impl Peer {
    /// Whether the client is on this machine.
    pub fn is_local(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.remote, self.local)
    }
}
