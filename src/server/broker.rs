//! What the tasks of a running broker share. No logic but that of looking.

use super::alarms::Alarms;
use super::client_lines::ClientLines;
use super::connections::Connections;
use super::directory::Directory;
use super::ldap::Ldap;
use super::login_counts::LoginCounts;
use super::logins::{Logins, salt};
use super::process::OpenFiles;
use super::telemetry::{SpanCounts, Telemetry};
use super::tls::Tls;
use super::tokens::Tokens;
use crate::auth::{Refusals, Salt};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::ConnectionConfig;
use crate::vhost::figures::VhostFigures;
use ledgermq_storage::{Durations, RecoveryStatistics, Store, StoreStatus, Survey};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

/// A running broker, as its tasks and the HTTP side see it.
#[derive(Debug)]
pub struct Broker {
    /// Itself, for what outlives the one who asked.
    pub(super) me: Weak<Self>,
    pub(super) config: Config,
    pub(super) connection_config: Arc<ConnectionConfig>,
    pub(super) clock: Clock,
    /// Taken out at the stop.
    pub(super) store: Mutex<Option<Store>>,
    pub(super) budget: Budget,
    pub(super) connections: Arc<Connections>,
    pub(super) directory: Directory,
    pub(super) alarms: Alarms,
    pub(super) client_lines: ClientLines,
    pub(super) refusals: Mutex<Refusals>,
    pub(super) logins: Logins,
    /// For the listeners with TLS, if there are any.
    pub(super) tls: Option<Tls>,
    /// The directory, if it decides logins.
    pub(super) ldap: Option<Ldap>,
    /// For logins by token, if there are any.
    pub(super) tokens: Option<Tokens>,
    /// What the start had to read, and how long it took, ms.
    pub(super) recovery: OnceLock<(RecoveryStatistics, u64)>,
    pub(super) stage: watch::Sender<Stage>,
    pub(super) login_counts: LoginCounts,
    pub(super) telemetry: Telemetry,
    /// Turns of clients in their handshake.
    pub(super) handshake_turns: Arc<Semaphore>,
    /// Places for visits.
    pub(super) visits: Semaphore,
}

/// Where the broker is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Recovering, or opening its listeners.
    Starting,
    /// Accepting clients.
    Serving,
    /// Asked to stop.
    Stopping,
}

/// Numbers of a broker at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerMetrics {
    /// Time since the start, ms.
    pub uptime_ms: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections since the start.
    pub connections_opened: u64,
    /// Logins refused since the start.
    pub logins_refused: u64,
    /// Logins that were tried, by protocol: how many succeeded and how many failed.
    pub logins: Vec<(&'static str, u64, u64)>,
    /// What became of spans, if there are any.
    pub spans: Option<SpanCounts>,
    /// How long confirms took.
    pub confirms: Durations,
    /// Memory that half-received messages take, bytes.
    pub half_received_bytes: u64,
    /// Sums over all vhosts.
    pub figures: VhostFigures,
    /// Memory that message bodies take, bytes.
    pub body_memory_bytes: u64,
    /// Resident memory of the process, bytes.
    pub resident_bytes: u64,
    /// Open files; `None` if the system does not say.
    pub files: Option<OpenFiles>,
    /// Resident memory above which publishers are blocked, bytes.
    pub memory_high_bytes: u64,
    /// Free disk space below which publishers are blocked, bytes.
    pub disk_low_bytes: u64,
    /// Alarms that are on.
    pub alarms: Vec<&'static str>,
    /// The store; `None` if the disk would not say.
    pub store: Option<StoreStatus>,
}

impl Broker {
    /// Whether clients are accepted.
    pub fn is_in_service(&self) -> bool {
        *self.stage.borrow() == Stage::Serving
    }

    /// What connections are told at their beginning.
    pub(super) fn connection_config(&self) -> Arc<ConnectionConfig> {
        let cluster_name = self.cluster_name();
        if cluster_name == self.connection_config.cluster_name {
            return Arc::clone(&self.connection_config);
        }
        Arc::new(ConnectionConfig { cluster_name, ..ConnectionConfig::clone(&self.connection_config) })
    }

    /// Random bytes for the hash of a new password.
    #[expect(clippy::unused_self, reason = "the face of the broker")]
    pub(crate) fn new_salt(&self) -> Salt {
        salt()
    }

    /// What publishers are told while an alarm is on.
    pub(crate) fn publishing_is_blocked(&self) -> Option<Arc<str>> {
        self.alarms.text()
    }

    /// Logins that were tried, by protocol: how many succeeded and how many failed.
    pub fn login_counts(&self) -> Vec<(&'static str, u64, u64)> {
        self.login_counts.all()
    }

    /// Counts logins from nothing again.
    pub fn forget_logins(&self) {
        self.login_counts.forget();
    }

    /// Names of the alarms that are on.
    pub fn alarms(&self) -> Vec<&'static str> {
        self.alarms.names()
    }

    /// Everything counted.
    pub async fn metrics(&self) -> BrokerMetrics {
        // Before the rest, which is read in a moment.
        let figures = self.directory.figures().await;
        BrokerMetrics {
            uptime_ms: self.clock.now_ms(),
            connections: self.connections.count() as u64,
            connections_opened: self.connections.opened_count(),
            logins_refused: self.lock_refusals().count(),
            logins: self.login_counts(),
            spans: self.telemetry.counts(),
            confirms: self.directory.confirm_times(),
            half_received_bytes: self.connection_config.half_received.used_bytes() as u64,
            figures,
            body_memory_bytes: self.budget.used_bytes() as u64,
            resident_bytes: super::alarms::resident_bytes(),
            files: OpenFiles::now(),
            memory_high_bytes: Alarms::memory_high_bytes(self),
            disk_low_bytes: Alarms::disk_low_bytes(self),
            alarms: self.alarms(),
            store: self.store_status(),
        }
    }

    /// What is configured, and where it really listens.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn store_status(&self) -> Option<StoreStatus> {
        self.lock_store().as_ref()?.status().ok()
    }

    /// What the segments of the log hold; `None` while the broker stops.
    pub fn log_survey(&self) -> Option<Survey> {
        Some(self.lock_store().as_ref()?.survey())
    }

    /// Moves the limit of free disk space that the store keeps, bytes.
    pub(super) fn set_disk_low_bytes(&self, bytes: u64) {
        if let Some(store) = self.lock_store().as_ref() {
            store.set_disk_low_bytes(bytes);
        }
    }

    /// The store, for its shutdown; `None` if it was taken before.
    pub(super) fn take_store(&self) -> Option<Store> {
        self.lock_store().take()
    }

    fn lock_store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a refused login: how long its answer is to wait, ms.
    pub(super) fn note_refusal(&self, from: IpAddr) -> u64 {
        self.lock_refusals().note(from, self.clock.now_ms())
    }

    fn lock_refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the log that a client caused; of a flood only some are written.
    pub(super) fn tell_of_client(&self, client: SocketAddr, said: &str) {
        if let Some(left_out) = self.client_lines.admit(self.clock.now_ms()) {
            if left_out > 0 {
                warn!(count = left_out, "lines about clients were left out");
            }
            info!(%client, "{}", said.escape_debug());
        }
    }

    /// Asks for a clean stop.
    pub(super) fn stop(&self) {
        self.stage.send_replace(Stage::Stopping);
    }

    /// Waits until the broker is at `stage` or past it.
    pub(super) async fn reached(&self, stage: Stage) {
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }
}
