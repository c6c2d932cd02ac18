//! The life of the broker: opens the store, restores, listens, serves, and stops in the reverse order.

use super::alarms::{self, Alarms};
use super::audit::Audit;
use super::broker::{Broker, Stage};
use super::client_lines::ClientLines;
use super::connections::Connections;
use super::directory::Directory;
use super::error::ServeError;
use super::events::EventBus;
use super::ldap::Ldap;
use super::login_counts::LoginCounts;
use super::logins::Logins;
use super::mail::ConnectionMail;
use super::nursery::Nursery;
use super::restore::restore;
use super::telemetry::{Live, Telemetry};
use super::tls::{self, Https, Tls};
use super::tokens::Tokens;
use super::{control_socket, data_dir, jwks, listener, service};
use crate::auth::Accounts;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::ConnectionConfig;
use crate::fair_budget::FairBudget;
use crate::limits::{ASSEMBLY_BYTES_TOTAL_MAX, HANDSHAKES_AT_WORK, VISITS_MAX};
use ledgermq_storage::{
    DirLock, Observer, Options, Progress, RealDisk, Recovered, RecoveryProgress, RecoveryStatistics, Store,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info};

/// Serves HTTP on listeners, with TLS or without, until it is dropped: floor 7, handed in from above.
pub type HttpServer =
    fn(Arc<Broker>, Vec<(TcpListener, Option<Https>)>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves metrics alone, likewise.
pub type MetricsServer = fn(Arc<Broker>, TcpListener) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Threads that read messages back from the disk, at most.
const READ_THREADS_MAX: usize = 16;
/// Time between two lines about a long recovery, ms.
const RECOVERY_LINE_MS: u64 = 1_000;
/// Time clients have to answer that they are closed, ms.
const FAREWELL_MS: u64 = 5_000;

/// Runs the broker until it is asked to stop or cannot go on. `Ok` after a clean stop.
pub fn run(config: Config, http: HttpServer, metrics: MetricsServer) -> Result<(), ServeError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(READ_THREADS_MAX)
        .build()
        .map_err(ServeError::io("starting threads"))?;
    let ended = runtime.block_on(serve(config, http, metrics));
    runtime.shutdown_background();
    ended
}

/// What clients and operators connect to.
struct Doors {
    amqp: TcpSocket,
    amqps: Option<TcpSocket>,
    http: Option<TcpSocket>,
    https: Option<TcpSocket>,
    prometheus: Option<TcpSocket>,
    control: UnixListener,
}

async fn serve(mut config: Config, http: HttpServer, metrics: MetricsServer) -> Result<(), ServeError> {
    let tls = Tls::load(&config)?;
    let tokens = Tokens::load(&config)?;
    let ldap = Ldap::new(&config)?;
    let telemetry = Telemetry::start(&config)?;
    let mut starting = telemetry.begin("broker.start");
    let clock = Clock::start();
    data_dir::leave_nothing_for_others()?;
    data_dir::prepare(&config.data_dir)?;
    let lock = DirLock::acquire(&config.data_dir)?;
    let doors = Doors {
        amqp: listener::bind(config.listen)?,
        amqps: config.tls_listen.map(listener::bind).transpose()?,
        http: config.http_listen.map(listener::bind).transpose()?,
        https: config.https_listen.map(listener::bind).transpose()?,
        prometheus: config.prometheus_listen.map(listener::bind).transpose()?,
        control: control_socket::bind(&config.data_dir)?,
    };
    // Port 0 means any: what is shown is the one it became.
    config.listen = doors.amqp.local_addr().map_err(ServeError::io("asking for the port"))?;
    for (door, address) in [
        (&doors.http, &mut config.http_listen),
        (&doors.amqps, &mut config.tls_listen),
        (&doors.https, &mut config.https_listen),
    ] {
        if let Some(door) = door {
            *address = Some(door.local_addr().map_err(ServeError::io("asking for the port"))?);
        }
    }
    if let Some(prometheus) = &doors.prometheus {
        let address = prometheus.local_addr().map_err(ServeError::io("asking for the port"))?;
        config.prometheus_listen = Some(address);
    }
    let mut signals = Signals::new()?;
    let opening = open(&config, clock, telemetry.clone(), telemetry.begin_in("broker.recovery", &starting));
    let opened = tokio::select! {
        opened = opening => opened?,
        () = signals.asked() => {
            info!("stopped while recovering");
            return Ok(());
        }
    };
    let (store, recovered) = opened;
    let statistics = recovered.statistics;
    let (broker, trouble, queue_count) =
        assemble(config, clock, store, recovered, telemetry, (tls, tokens, ldap)).await?;
    starting.count("ledgermq.queues", queue_count as u64);
    let mut poisoned = trouble.clone();
    let ended = tokio::select! {
        ended = accept(&broker, doors, (http, metrics), trouble, (statistics, queue_count, starting), &mut signals) => ended,
        () = poison(&mut poisoned) => Err(ServeError::Io(
            "the disk failed and the log is poisoned: nothing more can be confirmed; the next start recovers".to_owned()
        )),
    };
    ended?;
    let farewell = tokio::select! {
        farewell = say_farewell(&broker) => farewell,
        () = poison(&mut poisoned) => Err(ServeError::Io("the disk failed while stopping".to_owned())),
    };
    control_socket::remove(&broker.config.data_dir);
    drop(lock);
    farewell
}

async fn poison(progress: &mut watch::Receiver<Progress>) {
    if progress.wait_for(|progress| progress.poisoned).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Opens the store; a line a second while that takes long.
async fn open(
    config: &Config,
    clock: Clock,
    telemetry: Telemetry,
    mut recovery: Live,
) -> Result<(Store, Recovered), ServeError> {
    let observer = if telemetry.is_on() {
        Observer::new(move |work| telemetry.store(work))
    } else {
        Observer::default()
    };
    let slow_sync = Duration::from_millis(config.otlp.slow_sync_ms);
    let options = Options {
        segment_bytes: config.segment_bytes,
        staging_bytes_max: config.staging_bytes_max,
        ack_flush_ms: config.ack_flush_ms,
        disk_low_bytes: config.disk_low_bytes,
        checkpoint_bytes: config.checkpoint_bytes,
        observer: observer.clone(),
        ..Options::new(Arc::new(move || clock.unix_ms()), Arc::new(move || clock.now_ms()))
    };
    let dir = config.data_dir.clone();
    let opening = spawn_blocking(move || {
        let mut disk = RealDisk::open(&dir).map_err(ServeError::io(format!("opening {}", dir.display())))?;
        disk.tell_slow_syncs(slow_sync, observer);
        let mut told_ms = clock.now_ms();
        let mut tell = |progress: RecoveryProgress| {
            let now_ms = clock.now_ms();
            if now_ms >= told_ms + RECOVERY_LINE_MS {
                told_ms = now_ms;
                let percent = progress.bytes_read * 100 / progress.bytes_total.max(1);
                service::recovering(percent);
                info!(
                    records = progress.record_count,
                    bytes = progress.bytes_read,
                    "recovering, {percent} %"
                );
            }
        };
        let (store, recovered) = Store::open(Arc::new(disk), options, &mut tell)?;
        let RecoveryStatistics { messages, bytes, replayed_records } = recovered.statistics;
        recovery.count("ledgermq.messages", messages);
        recovery.count("ledgermq.bytes", bytes);
        recovery.count("ledgermq.replayed_records", replayed_records);
        recovery.say("ledgermq.last_stop", if recovered.clean { "clean" } else { "crash" });
        Ok((store, recovered))
    });
    opening.await.map_err(|error| ServeError::Io(format!("opening the store: {error}")))?
}

/// Puts the broker together from its recovered store; also gives what tells of its alarms and its death.
async fn assemble(
    config: Config,
    clock: Clock,
    store: Store,
    recovered: Recovered,
    telemetry: Telemetry,
    (tls, tokens, ldap): (Option<Tls>, Option<Tokens>, Option<Ldap>),
) -> Result<(Arc<Broker>, watch::Receiver<Progress>, usize), ServeError> {
    let (sender, progress) = watch::channel(Progress::default());
    // Who cares only for trouble is not woken by every sync.
    let (trouble_sender, trouble) = watch::channel(Progress::default());
    store.watch(Box::new(move |progress| {
        trouble_sender.send_if_modified(|last| {
            let is_news = (last.alarm, last.poisoned) != (progress.alarm, progress.poisoned);
            *last = progress;
            is_news
        });
        sender.send_replace(progress);
    }));
    let budget = Budget::new(config.body_memory_bytes);
    let nursery = Nursery {
        wal: store.wal(),
        reader: store.reader(),
        clock,
        progress,
        deliver: config.deliver,
        consumer_timeout_ms: config.consumer_timeout_ms,
        budget: budget.clone(),
        default_queue_kind: config.default_queue_kind,
        events: EventBus::new(Audit::open(&config.audit_log, clock)?, telemetry.clone()),
        confirm_times: Arc::default(),
    };
    let accounts = Accounts::new(config.loopback_users.clone(), config.password_hashing);
    let restored = restore(&nursery, recovered, accounts, &config).await?;
    let queue_count = restored.queue_count;
    let connections = Arc::new(Connections::new());
    let directory = Directory::new(nursery, Arc::clone(&connections), restored);
    let alarms = Alarms::new(&config);
    let broker = Arc::new_cyclic(|me| Broker {
        me: Weak::clone(me),
        connection_config: Arc::new(connection_config(&config)),
        config,
        clock,
        store: Mutex::new(Some(store)),
        budget,
        connections,
        directory,
        alarms,
        client_lines: ClientLines::default(),
        refusals: Mutex::default(),
        logins: Logins::new(),
        tls,
        tokens,
        ldap,
        stage: watch::Sender::new(Stage::Starting),
        login_counts: LoginCounts::default(),
        telemetry,
        handshake_turns: Arc::new(Semaphore::new(HANDSHAKES_AT_WORK)),
        visits: Semaphore::new(VISITS_MAX),
        recovery: OnceLock::new(),
    });
    Ok((broker, trouble, queue_count))
}

fn connection_config(config: &Config) -> ConnectionConfig {
    ConnectionConfig {
        product: config.product.clone(),
        version: config.product_version.clone(),
        cluster_name: config.cluster_name.clone(),
        frame_bytes_max: config.frame_bytes_max,
        channels_max: config.channels_max,
        heartbeat_s: config.heartbeat_s,
        mechanisms: config.auth_mechanisms.clone(),
        handshake_ms: config.handshake_ms,
        message_bytes_max: config.message_bytes_max,
        consumers_max: config.consumers_max,
        half_received: FairBudget::new(
            ASSEMBLY_BYTES_TOTAL_MAX
                .max(4 * usize::try_from(config.message_bytes_max).unwrap_or(usize::MAX / 4)),
        ),
    }
}

/// Opens the doors and serves until asked to stop.
async fn accept(
    broker: &Arc<Broker>,
    doors: Doors,
    (http, metrics): (HttpServer, MetricsServer),
    trouble: watch::Receiver<Progress>,
    (statistics, queue_count, starting): (RecoveryStatistics, usize, Live),
    signals: &mut Signals,
) -> Result<(), ServeError> {
    if let Some(definitions) = &broker.config.definitions {
        broker.import_definitions(definitions, None, None).await.map_err(|error| {
            ServeError::Configuration(format!("the definitions at the start cannot be brought in: {error}"))
        })?;
    }
    tokio::spawn(alarms::watch(Arc::clone(broker), trouble));
    tokio::spawn(control_socket::serve(Arc::clone(broker), doors.control));
    tokio::spawn(tls::watch(Arc::clone(broker)));
    tokio::spawn(jwks::watch(Arc::clone(broker)));
    let mut listeners = Vec::new();
    for (socket, tls) in [(doors.http, None), (doors.https, Https::of(broker))] {
        if let Some(socket) = socket {
            listeners.push((listener::listen(socket)?, tls));
        }
    }
    tokio::spawn(http(Arc::clone(broker), listeners));
    if let Some(socket) = doors.prometheus {
        tokio::spawn(metrics(Arc::clone(broker), listener::listen(socket)?));
    }
    let amqp = listener::listen(doors.amqp)?;
    let amqps = doors.amqps.map(listener::listen).transpose()?;
    let _ = broker.recovery.set((statistics, broker.clock.now_ms()));
    broker.stage.send_replace(Stage::Serving);
    info!(
        listen = %broker.config.listen,
        queues = queue_count,
        messages = statistics.messages,
        bytes = statistics.bytes,
        replayed_records = statistics.replayed_records,
        recovery_ms = broker.clock.now_ms(),
        "ready, accepting clients"
    );
    service::ready();
    drop(starting);
    let accepting = tokio::spawn(listener::accept(Arc::clone(broker), amqp, false));
    let accepting_tls = amqps.map(|amqps| tokio::spawn(listener::accept(Arc::clone(broker), amqps, true)));
    tokio::select! {
        () = signals.asked() => broker.stop(),
        () = broker.reached(Stage::Stopping) => {}
    }
    // The listener is closed once its task has ended: no client comes after the last farewell.
    let _ = accepting.await;
    if let Some(accepting_tls) = accepting_tls {
        let _ = accepting_tls.await;
    }
    Ok(())
}

/// Stops in order: clients, vhosts, store.
async fn say_farewell(broker: &Arc<Broker>) -> Result<(), ServeError> {
    service::stopping();
    let mut stopping = broker.telemetry.begin("broker.stop");
    stopping.count("ledgermq.connections", broker.connections.count() as u64);
    info!(connections = broker.connections.count(), "stopping");
    broker.connections.tell_all(|| ConnectionMail::Close("shutdown".into()));
    let patience = Duration::from_millis(FAREWELL_MS);
    if timeout(patience, broker.connections.all_gone()).await.is_err() {
        broker.connections.tell_all(|| ConnectionMail::Drop);
        let _ = timeout(patience, broker.connections.all_gone()).await;
    }
    broker.directory.shut_down_vhosts().await;
    if let Some(audit) = broker.directory.events().audit().cloned() {
        // A failure was told when it happened.
        let _ = spawn_blocking(move || audit.flush()).await;
    }
    let Some(store) = broker.take_store() else { return Ok(()) };
    let closed = spawn_blocking(move || store.shutdown()).await;
    let closed = closed.map_err(|error| ServeError::Io(format!("closing the store: {error}")))?;
    closed.map_err(|error| {
        error!(%error, "the store could not be closed cleanly");
        ServeError::Io(format!("closing the store: {error}"))
    })?;
    drop(stopping);
    // Nothing hangs on it any more.
    broker.telemetry.finish().await;
    info!("stopped");
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        let listen = |kind| signal(kind).map_err(ServeError::io("listening for signals"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Returns once one of them came.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
