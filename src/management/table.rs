//! The table of routes: every path and method of the HTTP API, what it asks of the one who calls it, and what answers.
//! The router is built from it, and so is the description of the API; there is no other way in.

use super::access::Rule;
use super::answer::Answer;
use super::api::{about, accounts, health, session, vhosts};
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
    let mut table = reading();
    table.extend(change::routes());
    table
}

/// The routes that change nothing.
fn reading() -> Vec<Route> {
    use Rule::{Admin, AdminOfVhost, Anyone, Management, VisibleVhost};
    vec![
        // The broker as a whole.
        get("/api/whoami", Management, about::who_am_i, "The caller's name and tags"),
        get("/api/auth", Anyone, about::auth, "How to log in"),
        get("/api/openapi.json", Anyone, openapi::describe, "This description"),
        Route::new(Method::POST, "/api/session", Anyone, "A token for a login, for the page", session::begin),
        Route::new(Method::DELETE, "/api/session", Anyone, "The end of the token that is sent", session::end),
        // Vhosts.
        get("/api/vhosts", Management, vhosts::vhosts, "The vhosts the caller sees"),
        get("/api/vhosts/{vhost}", AdminOfVhost, vhosts::vhost, "A vhost"),
        get("/api/vhost-limits", Management, vhosts::all_vhost_limits, "Limits of vhosts"),
        get("/api/vhost-limits/{vhost}", VisibleVhost, vhosts::vhost_limits, "A vhost's limits"),
        // Users and what they may do.
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
        // Health.
        get("/api/health/checks/alarms", Management, health::alarms, "No alarm is on"),
        get("/api/health/checks/local-alarms", Management, health::alarms, "No alarm is on here"),
        get("/api/health/checks/is-in-service", Management, health::is_in_service, "Clients are accepted"),
    ]
}
