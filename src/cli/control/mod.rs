//! What `ledgermq ctl` and the running broker say to each other over the control socket: one JSON object per line, one
//! response per request, then the client closes. Both sides share these types; neither knows how the other shows them.
//! The socket is `<data-dir>/ctl.sock`, mode 0600; the broker also checks the peer's user id.
//!
//! ```text
//! → {"command":"set_permissions","vhost":"/","user":"alert_user","configure":".*","write":".*","read":".*"}
//! ← {"answer":"done"}
//! → {"command":"list_queues","vhost":"/"}
//! ← {"answer":"rows","rows":[{"name":"critical","messages":3,…}]}
//! → {"command":"delete_user","user":"nobody"}
//! ← {"answer":"refused","reason":"no_such_user","message":"User \"nobody\" does not exist"}
//! ```

mod response;

pub use response::{ControlResponse, RefusalReason, Row};

use crate::auth::Secret;
use serde::{Deserialize, Serialize};

/// Name of the socket within the data directory.
pub const CONTROL_SOCKET: &str = "ctl.sock";

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ControlRequest {
    /// Adds a user without any permission.
    AddUser {
        /// Name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// Deletes a user with all permissions.
    DeleteUser {
        /// Name.
        user: String,
    },
    /// Changes a password.
    ChangePassword {
        /// Name.
        user: String,
        /// New password.
        password: Secret,
    },
    /// Takes a password away: nobody logs in with one as this user.
    ClearPassword {
        /// Name.
        user: String,
    },
    /// Checks a password.
    AuthenticateUser {
        /// Name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// Lists users: rows `user`, `tags` (array).
    ListUsers,
    /// Replaces a user's tags.
    SetUserTags {
        /// Name.
        user: String,
        /// All tags it has from now on.
        tags: Vec<String>,
    },
    /// Adds a vhost; nothing happens if it exists.
    AddVhost {
        /// Name.
        vhost: String,
        /// What is said of it.
        #[serde(flatten)]
        metadata: VhostMetadata,
    },
    /// Changes what is said of a vhost.
    UpdateVhostMetadata {
        /// Name.
        vhost: String,
        /// What changes.
        #[serde(flatten)]
        metadata: VhostMetadata,
    },
    /// Sets a policy.
    SetPolicy {
        /// Vhost.
        vhost: String,
        /// One of the operators'.
        operator: bool,
        /// Name.
        name: String,
        /// Searched for in names.
        pattern: String,
        /// JSON object.
        definition: String,
        /// The highest that matches governs.
        priority: i64,
        /// `all`, `queues`, `exchanges`, `classic_queues`, `quorum_queues` or `streams`.
        apply_to: String,
    },
    /// Removes a policy.
    ClearPolicy {
        /// Vhost.
        vhost: String,
        /// One of the operators'.
        operator: bool,
        /// Name.
        name: String,
    },
    /// Lists policies: see [`crate::cli::rows::policy_row`].
    ListPolicies {
        /// Vhost.
        vhost: String,
        /// Those of the operators.
        operator: bool,
    },
    /// Replaces a vhost's limits.
    SetVhostLimits {
        /// Vhost.
        vhost: String,
        /// JSON object.
        definition: String,
    },
    /// Removes a vhost's limits.
    ClearVhostLimits {
        /// Vhost.
        vhost: String,
    },
    /// Shows a vhost's limits, a text, or those of all, rows `vhost`, `limits`.
    ListVhostLimits {
        /// Vhost.
        vhost: Option<String>,
    },
    /// Adds to a user's limits.
    SetUserLimits {
        /// Name.
        user: String,
        /// JSON object.
        definition: String,
    },
    /// Removes a limit of a user.
    ClearUserLimits {
        /// Name.
        user: String,
        /// The limit, or `all`.
        limit: String,
    },
    /// Shows a user's limits, a text, or those of all, rows `user`, `limits`.
    ListUserLimits {
        /// Name.
        user: Option<String>,
    },
    /// Sets a parameter.
    SetParameter {
        /// Vhost.
        vhost: String,
        /// Component.
        component: String,
        /// Name.
        name: String,
        /// JSON.
        value: String,
    },
    /// Removes a parameter.
    ClearParameter {
        /// Vhost.
        vhost: String,
        /// Component.
        component: String,
        /// Name.
        name: String,
    },
    /// Lists parameters: rows `component`, `name`, `value`.
    ListParameters {
        /// Vhost.
        vhost: String,
    },
    /// Says whether a vhost may be deleted.
    ProtectVhost {
        /// Name.
        vhost: String,
        /// It may not.
        on: bool,
    },
    /// Sets a parameter of the broker as a whole.
    SetGlobalParameter {
        /// Name.
        name: String,
        /// JSON.
        value: String,
    },
    /// Removes a parameter of the broker as a whole.
    ClearGlobalParameter {
        /// Name.
        name: String,
    },
    /// Lists the parameters of the broker as a whole: rows `name`, `value`.
    ListGlobalParameters,
    /// Deletes a vhost with all it holds.
    DeleteVhost {
        /// Name.
        vhost: String,
    },
    /// Lists vhosts: see [`crate::cli::rows::vhost_row`].
    ListVhosts,
    /// Turns the firehose of a vhost on or off.
    Trace {
        /// Vhost.
        vhost: String,
        /// On, else off.
        on: bool,
    },
    /// Sets what a user may do in a vhost.
    SetPermissions {
        /// Vhost.
        vhost: String,
        /// User.
        user: String,
        /// Pattern for declaring and deleting.
        configure: String,
        /// Pattern for publishing.
        write: String,
        /// Pattern for consuming.
        read: String,
    },
    /// Takes all rights in a vhost from a user.
    ClearPermissions {
        /// Vhost.
        vhost: String,
        /// User.
        user: String,
    },
    /// Lists a vhost's permissions: rows `user`, `configure`, `write`, `read`.
    ListPermissions {
        /// Vhost.
        vhost: String,
    },
    /// Lists a user's permissions: rows `vhost`, `configure`, `write`, `read`.
    ListUserPermissions {
        /// User.
        user: String,
    },
    /// Sets which keys a user may use at a topic exchange.
    SetTopicPermissions {
        /// Vhost.
        vhost: String,
        /// User.
        user: String,
        /// Exchange.
        exchange: String,
        /// Pattern for keys to publish with.
        write: String,
        /// Pattern for keys to bind with.
        read: String,
    },
    /// Lifts the restrictions of a user's keys in a vhost.
    ClearTopicPermissions {
        /// Vhost.
        vhost: String,
        /// User.
        user: String,
        /// At this exchange alone.
        exchange: Option<String>,
    },
    /// Lists a vhost's topic permissions: rows `user`, `exchange`, `write`, `read`.
    ListTopicPermissions {
        /// Vhost.
        vhost: String,
    },
    /// Lists a user's topic permissions: rows `vhost`, `exchange`, `write`, `read`.
    ListUserTopicPermissions {
        /// User.
        user: String,
    },
    /// Lists a vhost's queues: see [`crate::cli::rows::queue_row`].
    ListQueues {
        /// Vhost.
        vhost: String,
    },
    /// Lists a vhost's exchanges: see [`crate::cli::rows::exchange_row`].
    ListExchanges {
        /// Vhost.
        vhost: String,
    },
    /// Lists a vhost's bindings: see [`crate::cli::rows::binding_row`].
    ListBindings {
        /// Vhost.
        vhost: String,
    },
    /// Lists a vhost's consumers: see [`crate::cli::rows::consumer_row`].
    ListConsumers {
        /// Vhost.
        vhost: String,
    },
    /// Lists connections of all vhosts: see [`crate::cli::rows::connection_row`].
    ListConnections,
    /// Lists channels of all vhosts: see [`crate::cli::rows::channel_row`].
    ListChannels,
    /// Closes a connection: its client hears 320 with this explanation. That it is not there is no error.
    CloseConnection {
        /// Column `pid` of its row.
        pid: String,
        /// For the client and the log.
        explanation: String,
    },
    /// Closes connections that opened a vhost, oldest first; answered with a text that counts them.
    CloseConnections {
        /// This vhost alone.
        vhost: Option<String>,
        /// At most so many; 0 = all.
        limit: u64,
        /// Pause after each, ms.
        delay_ms: u64,
        /// For the clients and the log.
        explanation: String,
    },
    /// Closes the connections of a user.
    CloseUserConnections {
        /// Name.
        user: String,
        /// For the clients and the log.
        explanation: String,
    },
    /// Removes the ready messages of a queue.
    PurgeQueue {
        /// Vhost.
        vhost: String,
        /// Queue.
        queue: String,
    },
    /// Deletes a queue.
    DeleteQueue {
        /// Vhost.
        vhost: String,
        /// Queue.
        queue: String,
        /// Only while it has no consumers.
        if_unused: bool,
        /// Only while it has no ready messages.
        if_empty: bool,
    },
    /// Sets the memory above which publishers are blocked, until the next start.
    SetVmMemoryHighWatermark {
        /// A fraction of what the process may take, or `absolute` and a number of bytes.
        limit: Vec<String>,
    },
    /// Sets the free disk space below which publishers are blocked, until the next start.
    SetDiskFreeLimit {
        /// A number of bytes, or `mem_relative` and a fraction of the memory.
        limit: Vec<String>,
    },
    /// Lists the configuration: rows `key`, `value`.
    Environment,
    /// Changes which diagnostics are written, until the next start.
    SetLogLevel {
        /// RabbitMQ's word, or directives as in the configuration.
        level: String,
    },
    /// Begins a new audit log.
    RotateLogs,
    /// All definitions, as a text: a JSON object in RabbitMQ's form.
    ExportDefinitions,
    /// Brings in definitions; answered once all of them are durable.
    ImportDefinitions {
        /// A JSON object in RabbitMQ's form; it may hold passwords.
        definitions: Secret,
    },
    /// Where diagnostics and the audit log go: a text.
    LogLocation,
    /// A queue: its row, see [`crate::cli::rows::queue_row`].
    ShowQueue {
        /// Vhost.
        vhost: String,
        /// Queue.
        queue: String,
    },
    /// Listeners whose certificates are over soon: rows `interface`, `port`, `protocol`, `certfile`, `cacertfile`,
    /// `certfile_expires_on`, `cacertfile_expires_on` (arrays).
    ExpiringCertificates {
        /// How soon, seconds.
        within_s: u64,
    },
    /// The certificates of listeners, as PEM: rows `interface`, `port`, `protocol`, `certfile`, `cacertfile`.
    Certificates,
    /// Logins since the start: rows `protocol`, `auth_attempts`, `auth_attempts_failed`, `auth_attempts_succeeded`.
    LoginCounts,
    /// State of the broker: one row, see [`crate::cli::rows::StatusReport`].
    Status,
    /// Counters and how things stand, for somebody who watches.
    Figures,
    /// Answered once clients are accepted.
    AwaitStartup,
    /// Stops the broker cleanly; answered before it does.
    Stop,
}

/// What operators say of a vhost; `None` = nothing new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostMetadata {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The type of queues that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
}
