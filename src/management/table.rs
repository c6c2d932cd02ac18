//! The table of routes: every path and method of the HTTP API, what it asks of the one who calls it, and what answers.
//! The router is built from it, and so is the description of the API; there is no other way in.

use super::access::Rule;
use super::answer::Answer;
use super::api::{
    about, accounts, bindings, channels, connections, consumers, exchanges, health, nodes, overview,
    policies, queues, session, vhosts, wal,
};
use super::call::Call;
use super::change;
use super::openapi;
use crate::limits::HTTP_BODY_BYTES_MAX;
use axum::http::Method;
use std::future::Future;
use std::pin::Pin;

type Run = Box<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// One path with one method.
pub(super) struct Route {
    /// `GET` stands for `HEAD` as well.
    pub(super) method: Method,
    /// With `{name}` for what is captured: one segment, decoded once, so `%2F` is a slash in a name.
    pub(super) path: &'static str,
    /// Who may.
    pub(super) rule: Rule,
    /// What it is for: a sentence for the description of the API.
    pub(super) about: &'static str,
    /// Largest body, bytes; above: 413.
    pub(super) body_bytes_max: usize,
    pub(super) run: Run,
}

impl Route {
    fn new<F, R>(method: Method, path: &'static str, rule: Rule, about: &'static str, run: F) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let run: Run = Box::new(move |call| Box::pin(run(call)));
        Self { method, path, rule, about, body_bytes_max: HTTP_BODY_BYTES_MAX, run }
    }

    /// The same with another bound of its body, bytes.
    pub(super) fn with_body(self, body_bytes_max: usize) -> Self {
        Self { body_bytes_max, ..self }
    }
}

pub(super) fn get<F, R>(path: &'static str, rule: Rule, run: F, about: &'static str) -> Route
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Route::new(Method::GET, path, rule, about, run)
}

macro_rules! others {
    ($($name:ident = $method:ident;)*) => {$(
        pub(super) fn $name<F, R>(path: &'static str, rule: Rule, run: F, about: &'static str) -> Route
        where
            F: Fn(Call) -> R + Send + Sync + 'static,
            R: Future<Output = Answer> + Send + 'static,
        {
            Route::new(Method::$method, path, rule, about, run)
        }
    )*};
}

others! {
    put = PUT;
    post = POST;
    delete = DELETE;
}

/// All routes, resource by resource.
pub(super) fn table() -> Vec<Route> {
    let reading = [general(), connected(), topology(), governing(), accounts(), health()];
    reading.into_iter().flatten().chain(change::routes()).collect()
}

/// The broker as a whole.
fn general() -> Vec<Route> {
    use Rule::{Admin, Anyone, Management, Monitor};
    vec![
        get(
            "/api/overview",
            Management,
            overview::overview,
            "Totals and rates of everything the caller sees",
        ),
        get("/api/cluster-name", Management, overview::cluster_name, "The cluster's name"),
        get("/api/version", Management, overview::version, "The version of RabbitMQ whose API this is"),
        get("/api/nodes", Monitor, nodes::nodes, "The node"),
        get("/api/nodes/{node}", Monitor, nodes::node, "The node, by name"),
        get("/api/nodes/{node}/memory", Monitor, nodes::memory, "What takes the node's memory"),
        get("/api/wal", Monitor, wal::wal, "The write-ahead log: segments, syncs, the last recovery"),
        get("/api/extensions", Management, about::extensions, "Extensions of the page: none"),
        get("/api/feature-flags", Admin, about::feature_flags, "Feature flags, all enabled"),
        get("/api/deprecated-features", Admin, about::deprecated_features, "Features on their way out"),
        get(
            "/api/deprecated-features/used",
            Admin,
            about::deprecated_features_used,
            "Features on their way out that clients use",
        ),
        get("/api/whoami", Management, about::who_am_i, "The caller's name and tags"),
        get("/api/auth", Anyone, about::auth, "How to log in"),
        get("/api/openapi.json", Anyone, openapi::describe, "This description"),
        get("/api/shovels", Monitor, about::none, "Shovels: none"),
        get("/api/federation-links", Monitor, about::none, "Federation links: none"),
        Route::new(Method::POST, "/api/session", Anyone, "A token for a login, for the page", session::begin),
        Route::new(Method::DELETE, "/api/session", Anyone, "The end of the token that is sent", session::end),
    ]
}

/// Clients: connections, channels, consumers.
fn connected() -> Vec<Route> {
    use Rule::{Management, Monitor, Vhost};
    vec![
        get(
            "/api/stream/connections",
            Monitor,
            about::none,
            "Connections of the stream protocol, which is not spoken: none",
        ),
        get("/api/stream/connections/{vhost}", Vhost, about::none, "The same of a vhost: none"),
        get("/api/stream/consumers", Monitor, about::none, "Consumers over the stream protocol: none"),
        get("/api/stream/consumers/{vhost}", Vhost, about::none, "The same in a vhost: none"),
        get("/api/stream/publishers", Monitor, about::none, "Publishers over the stream protocol: none"),
        get("/api/stream/publishers/{vhost}", Vhost, about::none, "The same in a vhost: none"),
        get("/api/stream/publishers/{vhost}/{queue}", Vhost, about::none, "The same to a stream: none"),
        get("/api/connections", Management, connections::all, "Connections the caller sees"),
        get("/api/connections/{name}", Management, connections::connection, "A connection"),
        Route::new(
            Method::DELETE,
            "/api/connections/{name}",
            Management,
            "Close a connection; the header X-Reason says why",
            connections::close,
        ),
        get(
            "/api/connections/{name}/channels",
            Management,
            channels::of_connection,
            "Channels of a connection",
        ),
        get("/api/connections/username/{user}", Management, connections::of_user, "Connections of a user"),
        Route::new(
            Method::DELETE,
            "/api/connections/username/{user}",
            Management,
            "Close all connections of a user; the header X-Reason says why",
            connections::close_all_of_user,
        ),
        get("/api/vhosts/{vhost}/connections", Vhost, connections::in_vhost, "Connections to a vhost"),
        get("/api/channels", Management, channels::all, "Channels the caller sees"),
        get("/api/channels/{channel}", Management, channels::channel, "A channel"),
        get("/api/vhosts/{vhost}/channels", Vhost, channels::in_vhost, "Channels in a vhost"),
        get("/api/consumers", Management, consumers::all, "Consumers"),
        get("/api/consumers/{vhost}", Management, consumers::in_vhost, "Consumers in a vhost"),
    ]
}

/// Exchanges, queues, bindings.
fn topology() -> Vec<Route> {
    use Rule::{Management, Vhost};
    vec![
        get("/api/exchanges", Management, exchanges::all, "Exchanges"),
        get("/api/exchanges/{vhost}", Vhost, exchanges::in_vhost, "Exchanges of a vhost"),
        get("/api/exchanges/{vhost}/{exchange}", Vhost, exchanges::exchange, "An exchange"),
        get(
            "/api/exchanges/{vhost}/{exchange}/bindings/source",
            Vhost,
            bindings::from_exchange,
            "Bindings from an exchange",
        ),
        get(
            "/api/exchanges/{vhost}/{exchange}/bindings/destination",
            Vhost,
            bindings::to_exchange,
            "Bindings to an exchange",
        ),
        get("/api/queues", Management, queues::all, "Queues"),
        get("/api/queues/detailed", Management, queues::detailed, "Queues with their consumers"),
        get("/api/queues/{vhost}", Vhost, queues::in_vhost, "Queues of a vhost"),
        get("/api/queues/{vhost}/{queue}", Vhost, queues::queue, "A queue"),
        get("/api/queues/{vhost}/{queue}/bindings", Vhost, bindings::to_queue, "Bindings to a queue"),
        get("/api/bindings", Management, bindings::all, "Bindings"),
        get("/api/bindings/{vhost}", Vhost, bindings::in_vhost, "Bindings of a vhost"),
        get(
            "/api/bindings/{vhost}/e/{source}/q/{destination}",
            Vhost,
            bindings::between_exchange_and_queue,
            "Bindings between an exchange and a queue",
        ),
        get(
            "/api/bindings/{vhost}/e/{source}/q/{destination}/{props}",
            Vhost,
            bindings::of_queue,
            "A binding to a queue",
        ),
        get(
            "/api/bindings/{vhost}/e/{source}/e/{destination}",
            Vhost,
            bindings::between_exchanges,
            "Bindings between two exchanges",
        ),
        get(
            "/api/bindings/{vhost}/e/{source}/e/{destination}/{props}",
            Vhost,
            bindings::of_exchange,
            "A binding to an exchange",
        ),
    ]
}

/// Vhosts, policies, parameters, limits.
fn governing() -> Vec<Route> {
    use Rule::{AdminOfVhost, Management, Policymaker, PolicymakerOfVhost, Vhost, VisibleVhost};
    vec![
        get("/api/vhosts", Management, vhosts::vhosts, "The vhosts the caller sees"),
        get("/api/vhosts/{vhost}", AdminOfVhost, vhosts::vhost, "A vhost"),
        get("/api/vhost-limits", Management, vhosts::all_vhost_limits, "Limits of vhosts"),
        get("/api/vhost-limits/{vhost}", VisibleVhost, vhosts::vhost_limits, "A vhost's limits"),
        get("/api/policies", Management, policies::policies, "Policies"),
        get("/api/policies/{vhost}", Vhost, policies::policies_in, "Policies of a vhost"),
        get("/api/policies/{vhost}/{policy}", PolicymakerOfVhost, policies::policy, "A policy"),
        get("/api/operator-policies", Management, policies::operator_policies, "Policies of operators"),
        get(
            "/api/operator-policies/{vhost}",
            Vhost,
            policies::operator_policies_in,
            "Policies of operators in a vhost",
        ),
        get(
            "/api/operator-policies/{vhost}/{policy}",
            AdminOfVhost,
            policies::operator_policy,
            "A policy of operators",
        ),
        get("/api/parameters", Policymaker, policies::parameters, "Parameters of all components"),
        get("/api/parameters/{component}", Policymaker, policies::parameters_of, "Parameters of a component"),
        get(
            "/api/parameters/{component}/{vhost}",
            PolicymakerOfVhost,
            policies::parameters_of_in,
            "Parameters of a component in a vhost",
        ),
        get(
            "/api/parameters/{component}/{vhost}/{parameter}",
            PolicymakerOfVhost,
            policies::parameter,
            "A parameter",
        ),
        get("/api/global-parameters", Policymaker, policies::global_parameters, "Parameters of no vhost"),
        get(
            "/api/global-parameters/{parameter}",
            Policymaker,
            policies::global_parameter,
            "A parameter of no vhost",
        ),
    ]
}

/// Users and what they may do.
fn accounts() -> Vec<Route> {
    use Rule::{Admin, AdminOfVhost, Management};
    vec![
        get("/api/users", Admin, accounts::users, "All users"),
        get(
            "/api/users/without-permissions",
            Admin,
            accounts::users_without_permissions,
            "Users who may enter no vhost",
        ),
        get("/api/users/{user}", Admin, accounts::user, "A user"),
        get("/api/users/{user}/permissions", Admin, accounts::permissions_of, "A user's permissions"),
        get(
            "/api/users/{user}/topic-permissions",
            Admin,
            accounts::topic_permissions_of,
            "A user's topic permissions",
        ),
        get("/api/permissions", Admin, accounts::permissions, "All permissions"),
        get(
            "/api/permissions/{vhost}/{user}",
            AdminOfVhost,
            accounts::permission,
            "A user's permissions in a vhost",
        ),
        get(
            "/api/vhosts/{vhost}/permissions",
            AdminOfVhost,
            accounts::permissions_in,
            "Permissions in a vhost",
        ),
        get("/api/topic-permissions", Admin, accounts::topic_permissions, "All topic permissions"),
        get(
            "/api/topic-permissions/{vhost}/{user}",
            AdminOfVhost,
            accounts::topic_permissions_of_in,
            "A user's topic permissions in a vhost",
        ),
        get(
            "/api/vhosts/{vhost}/topic-permissions",
            AdminOfVhost,
            accounts::topic_permissions_in,
            "Topic permissions in a vhost",
        ),
        get("/api/user-limits", Management, accounts::all_user_limits, "Limits of users"),
        get("/api/user-limits/{user}", Management, accounts::user_limits, "A user's limits"),
    ]
}

/// Health checks: 200, or 503 with a reason.
fn health() -> Vec<Route> {
    use Rule::{Management, VhostMember};
    vec![
        get("/api/health/checks/alarms", Management, health::alarms, "No alarm is on"),
        get("/api/health/checks/local-alarms", Management, health::alarms, "No alarm is on here"),
        get("/api/health/checks/virtual-hosts", Management, health::virtual_hosts, "All vhosts answer"),
        get(
            "/api/health/checks/node-is-quorum-critical",
            Management,
            health::node_is_quorum_critical,
            "No queue waits for other nodes",
        ),
        get(
            "/api/health/checks/node-is-mirror-sync-critical",
            Management,
            health::node_is_quorum_critical,
            "No queue waits for other nodes",
        ),
        get("/api/health/checks/port-listener/{port}", Management, health::port_listener, "The port is open"),
        get(
            "/api/health/checks/protocol-listener/{protocol}",
            Management,
            health::protocol_listener,
            "The protocol is spoken",
        ),
        get(
            "/api/health/checks/certificate-expiration/{within}/{unit}",
            Management,
            health::certificate_expiration,
            "No certificate expires soon",
        ),
        get("/api/health/checks/is-in-service", Management, health::is_in_service, "Clients are accepted"),
        get(
            "/api/health/checks/below-node-connection-limit",
            Management,
            health::below_node_connection_limit,
            "There is room for another connection",
        ),
        get(
            "/api/health/checks/ready-to-serve-clients",
            Management,
            health::ready_to_serve_clients,
            "Clients can be served",
        ),
        get(
            "/api/health/checks/metadata-store/initialized",
            Management,
            health::metadata_store,
            "Definitions were read",
        ),
        get(
            "/api/health/checks/metadata-store/initialized/with-data",
            Management,
            health::metadata_store,
            "Definitions were read",
        ),
        get(
            "/api/health/checks/reached-target-cluster-size",
            Management,
            health::cluster_size,
            "All nodes are there",
        ),
        get("/api/healthchecks/node", Management, health::node, "No alarm is on here"),
        get("/api/healthchecks/node/{node}", Management, health::node, "No alarm is on at the node"),
        get("/api/aliveness-test/{vhost}", VhostMember, health::aliveness, "The vhost answers"),
    ]
}
