//! The tokio floor: sockets, tasks, timers and signals around the machines of the lower floors. No broker rules here.
//!
//! ```text
//! listener ─▶ connection_task ══ commands ══▶ vhost_task ══ records ══▶ WAL
//!                 ▲    ▲                          │  ▲                   │
//!                 │    └────────── notices ═══════┘  └──── progress ─────┘
//!             alarms, directory (accounts, vhosts), control_socket
//! ```

mod admission;
mod alarms;
mod audit;
mod broker;
mod certificate;
mod checks;
mod client_lines;
mod closing;
mod confirm_times;
mod connection_task;
mod connections;
mod control_socket;
mod data_dir;
pub(crate) mod definitions_file;
mod directory;
mod errands;
mod error;
mod events;
mod expiry;
mod face;
mod fetch;
mod figures;
mod govern;
mod jwks;
mod ldap;
mod ldap_session;
mod listener;
mod login_counts;
mod logins;
mod mail;
mod node_figures;
mod nursery;
mod on_behalf;
mod operator;
mod outbox;
mod parameters;
mod process;
mod proxy_header;
mod read_buffer;
mod reads;
mod restore;
mod run;
mod service;
mod socket;
mod stream_reads;
mod survey;
mod telemetry;
mod tls;
mod tls_client;
mod tls_socket;
mod tokens;
mod turn;
mod vhost_about;
mod vhost_task;
pub(crate) mod visit;
mod wal_log;
mod watermarks;

pub use broker::{Broker, BrokerMetrics};
pub use connections::Acquaintance;
pub use definitions_file::{Export, ImportError};
pub use errands::{ErrandError, Peeked};
pub use error::ServeError;
pub use expiry::ExpiringListener;
pub use face::HttpClient;
pub use node_figures::NodeFigures;
pub(crate) use parameters::CLUSTER_NAME;
pub use parameters::ParameterError;
pub use process::OpenFiles;
pub use run::{HttpServer, MetricsServer, run};
pub use survey::Listed;
pub use telemetry::{HttpSpan, SpanCounts};
pub use tls::Https;
pub use tokens::LoggedIn;
pub use vhost_about::VhostAbout;
pub use wal_log::WalLog;

/// Random bytes from the operating system.
fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random_u64().to_le_bytes());
    }
    bytes
}

/// Random bits from the operating system: ids and seeds that nobody may guess.
fn random_u64() -> u64 {
    let bits = getrandom::u64();
    assert!(bits.is_ok(), "the operating system gives random numbers: {:?}", bits.err());
    bits.unwrap_or_default()
}
