//! Configuration: a flag beats an environment variable beats the file beats the default. Every key can be given in all
//! three: `--segment-bytes 64MiB`, `LEDGERMQ_SEGMENT_BYTES=64MiB`, `segment_bytes = "64MiB"`.
//! What is unknown or not allowed is an error that names the key, the value, where it stands and what is allowed: a
//! broker that starts with half of its settings is worse than one that does not start.
//! The keys themselves are the table in [`keys`]; docs/configuration.md is made from it ([`reference()`]).

mod doors;
mod keys;
mod layers;
mod ldap;
mod otlp;
mod rabbitmq_conf;
mod reference;
mod spelling;
mod value;

pub use doors::{CertificateLogin, JwksConfig, KeyFile, Network, SanType, TlsConfig, TlsVerify};
pub use keys::{KEYS, Key};
pub use layers::ConfigError;
pub use ldap::{AuthBackend, LdapBind, LdapConfig, LdapSecurity};
pub use otlp::{OtlpConfig, pairs};
pub use reference::reference;
pub(crate) use spelling::nearest;
pub use value::Part;

use crate::auth::{Hashing, Secret, TokenRules};
use crate::limits;
use crate::protocol::sasl;
use crate::queue::QueueKind;
use crate::vhost::DeliverMode;
use ledgermq_storage::limits as storage_limits;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// How the broker's diagnostics look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Where logins and changes are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditLog {
    /// Nowhere.
    #[default]
    Off,
    /// Among the diagnostics, each line a JSON object.
    Stderr,
    /// At the end of a file.
    File(PathBuf),
}

/// Everything a user may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Where AMQP clients connect.
    pub listen: SocketAddr,
    /// Where the HTTP side listens; `None` = nowhere.
    pub http_listen: Option<SocketAddr>,
    /// Where AMQP clients with TLS connect; `None` = nowhere.
    pub tls_listen: Option<SocketAddr>,
    /// Where the HTTP side listens with TLS; `None` = nowhere.
    pub https_listen: Option<SocketAddr>,
    /// The files of TLS.
    pub tls: TlsConfig,
    /// Where in a client's certificate its user is named.
    pub certificate_login: CertificateLogin,
    /// Networks of proxies, whose connections begin with a PROXY header.
    pub proxy_networks: Vec<Network>,
    /// The same for the HTTP side.
    pub http_proxy_networks: Vec<Network>,
    /// Public keys of those who sign bearer tokens: JSON Web Key Sets or PEM.
    pub oauth_keys: Vec<KeyFile>,
    /// Where more of them are published. Without any keys nobody logs in by token.
    pub jwks: JwksConfig,
    /// What tokens must say.
    pub oauth: TokenRules,
    /// SASL mechanisms that clients may log in with.
    pub auth_mechanisms: Vec<&'static str>,
    /// Who decides logins by name and password, one after the other.
    pub auth_backends: Vec<AuthBackend>,
    /// The directory.
    pub ldap: LdapConfig,
    /// Where metrics alone are served; `None` = nowhere.
    pub prometheus_listen: Option<SocketAddr>,
    /// Whether `/metrics` has a sample for each object.
    pub prometheus_per_object: bool,
    /// Look of the diagnostics.
    pub log_format: LogFormat,
    /// Which diagnostics: a level, or `tracing`'s filter directives.
    pub log_level: String,
    /// Where logins and changes are written down.
    pub audit_log: AuditLog,
    /// Where traces go.
    pub otlp: OtlpConfig,

    /// Size of a WAL segment, bytes.
    pub segment_bytes: u32,
    /// Bytes appended and not yet durable, above which publishers wait.
    pub staging_bytes_max: usize,
    /// How long acknowledgements may wait for company, ms.
    pub ack_flush_ms: u64,
    /// WAL bytes between two checkpoints of the index.
    pub checkpoint_bytes: u64,
    /// Free disk space below which publishers are blocked, bytes.
    pub disk_low_bytes: u64,
    /// The same as a part of the memory that this process may take; [`Part::NONE`] = as in bytes.
    pub disk_low_of_memory: Part,
    /// Resident memory above which publishers are blocked.
    pub memory_high: MemoryMark,
    /// Memory for message bodies, all vhosts together, bytes.
    pub body_memory_bytes: usize,
    /// When a persistent message may be delivered.
    pub deliver: DeliverMode,
    /// How long a delivery may stay unacknowledged, ms; 0 = as long as it likes.
    pub consumer_timeout_ms: u64,

    /// Largest frame, bytes.
    pub frame_bytes_max: u32,
    /// Connections of all vhosts; `None` = as many as fit.
    pub connections_max: Option<u64>,
    /// The type of queues that name none.
    pub default_queue_kind: QueueKind,
    /// Channels of a connection.
    pub channels_max: u16,
    /// Heartbeat interval offered, seconds; 0 = none.
    pub heartbeat_s: u16,
    /// Time from accept to connection.open, ms.
    pub handshake_ms: u64,
    /// Largest body, bytes.
    pub message_bytes_max: u64,
    /// Consumers of a channel.
    pub consumers_max: usize,
    /// The user that a new store begins with, who administers.
    pub default_user: String,
    /// Its password.
    pub default_pass: Secret,
    /// Its tags.
    pub default_user_tags: Vec<String>,
    /// What it may do in that vhost: configure, write, read.
    pub default_permissions: [String; 3],
    /// The vhost that a new store begins with.
    pub default_vhost: String,
    /// Keys of a rabbitmq.conf that mean nothing here.
    pub passed_over: Vec<String>,
    /// Users that may log in only from this machine.
    pub loopback_users: Vec<String>,
    /// How new passwords are kept.
    pub password_hashing: Hashing,
    /// `product` of server-properties.
    pub product: String,
    /// `version` of server-properties.
    pub product_version: String,
    /// `cluster_name` of server-properties.
    pub cluster_name: String,
    /// A file of definitions that are brought in at each start.
    pub load_definitions: Option<PathBuf>,
    /// What it says.
    pub definitions: Option<serde_json::Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(DATA_DIR),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5672)),
            http_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 15672))),
            tls_listen: None,
            https_listen: None,
            tls: TlsConfig::default(),
            certificate_login: CertificateLogin::default(),
            proxy_networks: Vec::new(),
            http_proxy_networks: Vec::new(),
            oauth_keys: Vec::new(),
            jwks: JwksConfig::default(),
            oauth: TokenRules::default(),
            auth_mechanisms: sasl::MECHANISMS.to_vec(),
            auth_backends: vec![AuthBackend::Internal],
            ldap: LdapConfig::default(),
            prometheus_listen: None,
            prometheus_per_object: false,
            log_format: LogFormat::Human,
            log_level: "info".to_owned(),
            audit_log: AuditLog::Off,
            otlp: OtlpConfig::default(),
            segment_bytes: storage_limits::SEGMENT_BYTES,
            staging_bytes_max: storage_limits::STAGING_BYTES_MAX,
            ack_flush_ms: storage_limits::ACK_FLUSH_MS,
            checkpoint_bytes: storage_limits::CHECKPOINT_BYTES,
            disk_low_bytes: storage_limits::DISK_LOW_BYTES,
            disk_low_of_memory: Part::NONE,
            memory_high: MemoryMark::default(),
            body_memory_bytes: limits::BODY_MEMORY_BYTES,
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: limits::CONSUMER_TIMEOUT_MS,
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            connections_max: None,
            default_queue_kind: QueueKind::Classic,
            channels_max: limits::CHANNELS_MAX,
            heartbeat_s: limits::HEARTBEAT_S,
            handshake_ms: limits::HANDSHAKE_MS,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            consumers_max: limits::CONSUMERS_PER_CHANNEL_MAX,
            default_user: "guest".to_owned(),
            default_pass: Secret::new("guest"),
            default_user_tags: vec!["administrator".to_owned()],
            default_permissions: [".*", ".*", ".*"].map(str::to_owned),
            default_vhost: "/".to_owned(),
            passed_over: Vec::new(),
            loopback_users: vec!["guest".to_owned()],
            password_hashing: Hashing::Argon2id,
            product: "LedgerMQ".to_owned(),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_name: "ledgermq".to_owned(),
            load_definitions: None,
            definitions: None,
        }
    }
}

/// Where the alarm of memory begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMark {
    /// A part of what this process may take.
    Relative(Part),
    /// Bytes.
    Absolute(u64),
}

impl Default for MemoryMark {
    fn default() -> Self {
        Self::Relative(Part::percent(limits::MEMORY_HIGH_PERCENT))
    }
}

/// Default data directory.
pub const DATA_DIR: &str = "./ledgermq-data";

impl Config {
    /// Puts the layers together: `flags` as (key, value), `file` if one was named by a flag, and the environment, which
    /// may name one in `LEDGERMQ_CONFIG`.
    ///
    /// # Errors
    /// The first setting that is unknown or not allowed, or a file that cannot be read.
    pub fn load(
        flags: &[(&str, String)],
        file: Option<PathBuf>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment = layers::environment(environment)?;
        let file = file.or_else(|| environment.file.clone());
        let mut config = Self::default();
        if let Some(path) = file {
            for path in files(&path)? {
                let text =
                    std::fs::read_to_string(&path).map_err(|error| ConfigError::unreadable(&path, &error))?;
                let (settings, passed_over) = layers::file(&path, &text)?;
                settings.apply(&mut config)?;
                config.passed_over.extend(passed_over);
            }
        }
        environment.settings.apply(&mut config)?;
        layers::flags(flags).apply(&mut config)?;
        config.check()?;
        config.read_definitions()?;
        Ok(config)
    }

    /// Whether a directory decides logins.
    pub fn asks_ldap(&self) -> bool {
        self.auth_backends.iter().any(|backend| *backend != AuthBackend::Internal)
    }

    fn read_definitions(&mut self) -> Result<(), ConfigError> {
        let Some(path) = &self.load_definitions else { return Ok(()) };
        let text = std::fs::read(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let definitions = serde_json::from_slice(&text).map_err(|error| {
            ConfigError::together(format!("load_definitions = {}: it is not JSON: {error}", path.display()))
        })?;
        self.definitions = Some(definitions);
        Ok(())
    }

    /// Whether the values go together.
    fn check(&self) -> Result<(), ConfigError> {
        let segment_bytes = u64::from(self.segment_bytes);
        // A record is a message with its keys and properties; it must fit a segment with the segment's own header.
        if self.message_bytes_max.saturating_mul(2) > segment_bytes {
            return Err(ConfigError::together(format!(
                "message_bytes_max = {} does not go with segment_bytes = {}: a segment must hold at least two of the \
                 largest messages",
                value::show_bytes(self.message_bytes_max),
                value::show_bytes(segment_bytes),
            )));
        }
        let wants_tls = self.tls_listen.is_some() || self.https_listen.is_some();
        let has_files = !self.tls.certificate.as_os_str().is_empty() && !self.tls.key.as_os_str().is_empty();
        if wants_tls && !has_files {
            let sentence =
                "tls_listen and https_listen need tls_cert and tls_key: files with a certificate and its key";
            return Err(ConfigError::together(sentence.to_owned()));
        }
        let has_keys =
            !self.oauth_keys.is_empty() || !self.jwks.url.is_empty() || !self.jwks.issuer.is_empty();
        if has_keys == self.oauth.resource_server_id.is_empty() {
            let sentence = "oauth_resource_server_id goes together with oauth_keys, oauth_jwks_url or oauth_issuer: who signs tokens, and what they call this broker";
            return Err(ConfigError::together(sentence.to_owned()));
        }
        if self.asks_ldap()
            && let Some(sentence) = self.ldap.lacks()
        {
            return Err(ConfigError::together(sentence.to_owned()));
        }
        if self.tls.verify != TlsVerify::Nobody && self.tls.authorities.is_none() {
            let sentence =
                "tls_verify = verify_peer needs tls_ca: a file with those who may sign clients' certificates";
            return Err(ConfigError::together(sentence.to_owned()));
        }
        Ok(())
    }
}

/// The files that a path stands for: itself, with what `conf.d` beside a `rabbitmq.conf` holds, or all of a directory, by
/// name. As RabbitMQ does it, a name without `.conf` stands for the one with it if only that is there.
fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let with_ending = path.with_extension("conf");
    let path = if !path.exists() && with_ending.exists() { with_ending } else { path.to_owned() };
    if path.is_dir() {
        return directory(&path);
    }
    let mut files = vec![path.clone()];
    if path.file_name().is_some_and(|name| name == "rabbitmq.conf") {
        let beside = path.with_file_name("conf.d");
        if beside.is_dir() {
            files.extend(directory(&beside)?);
        }
    }
    Ok(files)
}

fn directory(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |error: std::io::Error| ConfigError::unreadable(dir, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "conf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
