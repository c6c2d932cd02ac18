//! The process and its bounds, as operators want to see them at one moment.

use super::alarms::{self, Alarms};
use super::broker::Broker;
use super::process::OpenFiles;
use ledgermq_storage::{RecoveryStatistics, StoreStatus};
use std::net::SocketAddr;

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFigures {
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Resident memory above which publishers are blocked, bytes.
    pub memory_high_bytes: u64,
    /// Memory that message bodies take, bytes.
    pub body_bytes: u64,
    /// Memory that half-received messages take, bytes.
    pub half_received_bytes: u64,
    /// Free disk space below which publishers are blocked, bytes.
    pub disk_low_bytes: u64,
    /// Open files and sockets; 0 if the system does not say.
    pub open_files: u64,
    /// How many there may be.
    pub files_max: u64,
    /// Threads; 0 if the system does not say.
    pub threads: u64,
    /// Threads that the system allows in all; 0 if it does not say.
    pub threads_max: u64,
    /// Processors this process may use.
    pub processors: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections since the start.
    pub connections_opened: u64,
    /// The store; `None` if the disk would not say.
    pub store: Option<StoreStatus>,
    /// Where the store is.
    pub data_dir: String,
}

impl Broker {
    /// How the process stands.
    pub fn node_figures(&self) -> NodeFigures {
        let files = OpenFiles::now();
        NodeFigures {
            resident_bytes: alarms::resident_bytes(),
            memory_high_bytes: Alarms::memory_high_bytes(self),
            body_bytes: self.budget.used_bytes() as u64,
            half_received_bytes: self.connection_config.half_received.used_bytes() as u64,
            disk_low_bytes: Alarms::disk_low_bytes(self),
            open_files: files.map_or(0, |files| files.open),
            files_max: files.map_or(0, |files| files.limit),
            threads: std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count() as u64),
            threads_max: threads_max().unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            connections: self.connections.count() as u64,
            connections_opened: self.connections.opened_count(),
            store: self.store_status(),
            data_dir: self.config.data_dir.display().to_string(),
        }
    }

    /// What the start had to read, and how long it took, ms; `None` before it is over.
    pub fn recovery(&self) -> Option<(RecoveryStatistics, u64)> {
        self.recovery.get().copied()
    }

    /// Size of a segment of the log, bytes.
    pub fn segment_bytes(&self) -> u32 {
        self.config.segment_bytes
    }

    /// What is spoken where.
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let further = [
            ("amqp/ssl", self.config.tls_listen),
            ("http", self.config.http_listen),
            ("https", self.config.https_listen),
            ("http/prometheus", self.config.prometheus_listen),
        ];
        let further = further.into_iter().filter_map(|(protocol, address)| Some((protocol, address?)));
        [("amqp", self.config.listen)].into_iter().chain(further).collect()
    }

    /// Connections that opened a vhost, and how many may.
    pub fn connection_room(&self) -> (u64, Option<u64>) {
        (self.connections.acquaintances().len() as u64, self.config.connections_max)
    }

    /// Name and version of the product.
    pub fn product(&self) -> (&str, &str) {
        (&self.config.product, &self.config.product_version)
    }

    /// Time since the start, ms.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The wall clock, ms since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// The vhosts there are, by name.
    pub fn vhost_names(&self) -> Vec<std::sync::Arc<str>> {
        self.directory.vhosts().into_iter().map(|(name, _)| name).collect()
    }
}

fn threads_max() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/kernel/threads-max").ok()?.trim().parse().ok()
}
