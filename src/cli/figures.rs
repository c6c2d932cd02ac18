//! The broker's figures at one moment, as `ledgermq top` asks for them over the control socket: counters since the start, of which
//! the one who asks makes rates, and how things stand. Plain data between the two.

use serde::{Deserialize, Serialize};

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Product name.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Name of the installation.
    pub cluster_name: String,
    /// Time since the start, ms.
    pub uptime_ms: u64,
    /// Alarms that are on, e.g. `disk`.
    pub alarms: Vec<String>,
    /// Open connections.
    pub connections: u64,
    /// Connections since the start.
    pub connections_opened: u64,
    /// Open channels.
    pub channels: u64,
    /// Consumers.
    pub consumers: u64,
    /// Queues of all vhosts; the list below may be shorter.
    pub queue_count: u64,
    /// Messages waiting, in all queues.
    pub ready: u64,
    /// Messages with consumers, in all queues.
    pub unacked: u64,
    /// Publishes that wait for the disk.
    pub unconfirmed: u64,
    /// What passed, in all vhosts.
    pub passed: Passed,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// Resident memory above which publishers are blocked, bytes.
    pub memory_high_bytes: u64,
    /// Free disk space, bytes.
    pub disk_free_bytes: u64,
    /// Free disk space below which publishers are blocked, bytes.
    pub disk_low_bytes: u64,
    /// Files of the log.
    pub wal_segments: u64,
    /// Their bytes.
    pub wal_bytes: u64,
    /// Bytes appended and not yet written.
    pub wal_staged_bytes: u64,
    /// Syncs of the disk by duration: upper ends of classes, µs, and how many there were; the last class has no end.
    pub sync_classes: Vec<(Option<u64>, u64)>,
    /// The queues with most messages and most traffic.
    pub queues: Vec<QueueFigures>,
}

/// Messages counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passed {
    /// Published.
    pub publish: u64,
    /// Confirmed to publishers.
    pub confirm: u64,
    /// Handed to consumers and getters.
    pub deliver: u64,
    /// Acknowledged.
    pub ack: u64,
}

/// A queue's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueFigures {
    /// Its vhost.
    pub vhost: String,
    /// Name.
    pub name: String,
    /// Messages waiting.
    pub ready: u64,
    /// Messages with consumers.
    pub unacked: u64,
    /// What passed through it; nothing is confirmed by a queue.
    pub passed: Passed,
}
