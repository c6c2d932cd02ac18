//! Events on their way to the vhost that has the event exchange: from other vhosts, from connections that log in, and from
//! operators' changes of users, rights and vhosts. Which change means which event is decided here; made only while
//! somebody is bound to the exchange.

use super::audit::Audit;
use super::mail::{VhostInbox, VhostMail};
use super::on_behalf;
use super::telemetry::Telemetry;
use crate::auth::Accounts;
use crate::connection::{ConnectionReport, Peer};
use crate::definitions::{Definition, DefinitionChange, DefinitionKind, LimitScope};
use crate::protocol::table::Table;
use crate::protocol::value::{Array, Value};
use crate::vhost::events::{Event, EventTap, PROVIDED_NAME};
use crate::vhost::input::Operator;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Where events are brought. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct EventBus {
    pub(super) tap: EventTap,
    /// The vhost that has the event exchange, once it runs.
    inbox: Arc<Mutex<Option<VhostInbox>>>,
    audit: Option<Audit>,
    telemetry: Telemetry,
}

impl EventBus {
    /// One that has events written down, if there is an audit log, and traced, if anything is.
    pub(super) fn new(audit: Option<Audit>, telemetry: Telemetry) -> Self {
        let is_told = audit.is_some() || telemetry.is_on();
        let tap = if is_told { EventTap::audited() } else { EventTap::default() };
        Self { tap, audit, telemetry, ..Self::default() }
    }

    /// The audit log, if there is one.
    pub(super) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// The vhost that has the event exchange runs.
    pub(super) fn lead_to(&self, inbox: VhostInbox) {
        *self.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(inbox);
    }

    /// Brings an event; if that vhost is gone, it is dropped.
    pub(super) fn send(&self, event: Event) {
        if let Some(audit) = &self.audit {
            audit.note(&event);
        }
        self.telemetry.note(&event);
        if !self.tap.has_audience() {
            return;
        }
        if let Some(inbox) = &*self.inbox.lock().unwrap_or_else(PoisonError::into_inner) {
            inbox.send(VhostMail::Event(event));
        }
    }

    /// Tells of changes that an operator made to the global definitions; `before` is how accounts stood.
    pub(super) fn tell_changes(&self, before: &Accounts, changes: &[DefinitionChange]) {
        if self.tap.is_wanted() {
            let operator = on_behalf::operator();
            let events = changes.iter().flat_map(|change| events_of(before, change, &operator));
            events.for_each(|event| self.send(event));
        }
    }

    /// Has a login over HTTP that failed written down. Each request is a login there: those that succeed are not.
    pub(super) fn tell_http_refusal(&self, user: &str, peer: Peer) {
        if let Some(audit) = &self.audit {
            let (remote, local) = (peer.remote.to_string(), peer.local.to_string());
            let headers = [
                ("name", Value::text(user)),
                ("connection_type", Value::text("http")),
                ("peer", Value::text(&remote)),
                ("host", Value::text(&local)),
            ];
            let headers = Table::from_pairs(&headers);
            audit.note(&Event { key: "user.authentication.failure", headers, connection: None });
        }
    }

    /// Tells of a login that succeeded or failed.
    pub(super) fn tell_login(&self, user: &str, report: &ConnectionReport, is_allowed: bool) {
        if !self.tap.is_wanted() {
            return;
        }
        let key = if is_allowed { "user.authentication.success" } else { "user.authentication.failure" };
        let name = crate::cli::rows::connection_name(report);
        let (host, peer_host) = hosts(report);
        let headers = [
            ("name", Value::text(user)),
            ("connection_name", Value::text(&name)),
            ("connection_type", Value::text("network")),
            ("host", Value::text(&host)),
            ("peer_host", Value::text(&peer_host)),
            ("peer_port", Value::I64(report.peer.remote.port().into())),
            ("protocol", Value::text(PROTOCOL)),
            ("ssl", Value::Bool(report.tls.is_some())),
        ];
        self.send(Event { key, headers: Table::from_pairs(&headers), connection: None });
    }
}

/// As RabbitMQ shows the version of AMQP.
const PROTOCOL: &str = "{0,9,1}";

/// What `connection.created` says of a connection besides its name, user and vhost.
pub(super) fn about(report: &ConnectionReport) -> Table {
    let (host, peer_host) = hosts(report);
    let mut headers = vec![
        ("type", Value::text("network")),
        ("host", Value::text(&host)),
        ("port", Value::I64(report.peer.local.port().into())),
        ("peer_host", Value::text(&peer_host)),
        ("peer_port", Value::I64(report.peer.remote.port().into())),
        ("protocol", Value::text(PROTOCOL)),
        ("ssl", Value::Bool(report.tls.is_some())),
        ("timeout", Value::I64(report.heartbeat_s.into())),
        ("frame_max", Value::I64(report.frame_bytes_max.into())),
    ];
    headers.extend(report.name.as_deref().map(|name| (PROVIDED_NAME, Value::text(name))));
    Table::from_pairs(&headers)
}

/// Our and the client's address as Erlang shows them: `{127,0,0,1}`.
fn hosts(report: &ConnectionReport) -> (String, String) {
    let shown = |address: IpAddr| {
        let parts: Vec<String> = match address {
            IpAddr::V4(address) => address.octets().iter().map(u8::to_string).collect(),
            IpAddr::V6(address) => address.segments().iter().map(u16::to_string).collect(),
        };
        format!("{{{}}}", parts.join(","))
    };
    (shown(report.peer.local.ip()), shown(report.peer.remote.ip()))
}

/// The events that a change of a global definition means.
fn events_of(before: &Accounts, (key, value): &DefinitionChange, operator: &Operator) -> Vec<Event> {
    let event = |key, headers: &[_]| Event::by_operator(operator, key, headers);
    let Some(value) = value else { return removed(key.kind, &key.name, operator).into_iter().collect() };
    match Definition::decode(key, value) {
        Ok(Definition::User(user)) => {
            let name = ("name", Value::text(&user.name));
            let tags = Array::from_values(user.tags.iter().map(|tag| Value::text(tag)));
            let tags_set = || event("user.tags.set", &[name, ("tags", Value::Array(tags.elements()))]);
            let known = before.users().into_iter().find(|known| known.name == user.name);
            match known {
                None if user.tags.is_empty() => vec![event("user.created", &[name])],
                None => vec![event("user.created", &[name]), tags_set()],
                Some(known) if known.tags != user.tags => vec![tags_set()],
                Some(_) => vec![event("user.password.changed", &[name])],
            }
        }
        Ok(Definition::Permission(permission)) => vec![event(
            "permission.created",
            &[
                ("user", Value::text(&permission.user)),
                ("vhost", Value::text(&permission.vhost)),
                ("configure", Value::text(&permission.configure)),
                ("write", Value::text(&permission.write)),
                ("read", Value::text(&permission.read)),
            ],
        )],
        Ok(Definition::TopicPermission(permission)) => vec![event(
            "topic.permission.created",
            &[
                ("user", Value::text(&permission.user)),
                ("vhost", Value::text(&permission.vhost)),
                ("exchange", Value::text(&permission.exchange)),
                ("write", Value::text(&permission.write)),
                ("read", Value::text(&permission.read)),
            ],
        )],
        Ok(Definition::Limits(limits)) => {
            let set = limits.limits.iter().map(|(name, count)| (name.as_str(), Value::I64(*count)));
            let headers: Vec<_> = limits_of(limits.scope, &limits.name).into_iter().chain(set).collect();
            let key = match limits.scope {
                LimitScope::Vhost => "vhost.limits.set",
                LimitScope::User => "user.limits.set",
            };
            vec![event(key, &headers)]
        }
        Ok(Definition::Vhost(vhost)) => vec![event("vhost.created", &[("name", Value::text(&vhost.name))])],
        Ok(Definition::GlobalParameter(set)) => {
            vec![event("parameter.set", &parameter(&set.name))]
        }
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// What is said of a global parameter; never its value, which may hold the password of another system.
fn parameter(name: &str) -> [(&'static str, Value<'_>); 2] {
    [("component", Value::text("global")), ("name", Value::text(name))]
}

/// Whose limits they are; RabbitMQ does not say of which vhost.
fn limits_of(scope: LimitScope, name: &str) -> Vec<(&'static str, Value<'_>)> {
    let limits = ("name", Value::text("limits"));
    match scope {
        LimitScope::Vhost => vec![limits],
        LimitScope::User => vec![limits, ("username", Value::text(name))],
    }
}

/// The event that the end of a definition means, out of its key: one name as it is, or several, each led by its length.
fn removed(kind: u8, key: &[u8], operator: &Operator) -> Option<Event> {
    let event = |key, headers: &[_]| Event::by_operator(operator, key, headers);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut rest = key;
    let parts: Vec<_> = std::iter::from_fn(|| {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (part, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
        rest = behind;
        Some(text(part))
    })
    .collect();
    let named = |at: usize, name| Some((name, Value::text(parts.get(at)?)));
    match DefinitionKind::from_number(kind)? {
        DefinitionKind::User => Some(event("user.deleted", &[("name", Value::text(&text(key)))])),
        DefinitionKind::Vhost => Some(event("vhost.deleted", &[("name", Value::text(&text(key)))])),
        DefinitionKind::Permission => {
            Some(event("permission.deleted", &[named(0, "user")?, named(1, "vhost")?]))
        }
        DefinitionKind::TopicPermission => {
            let headers = [named(0, "user")?, named(1, "vhost")?, named(2, "exchange")?];
            Some(event("topic.permission.deleted", &headers))
        }
        // The scope is a byte.
        DefinitionKind::Limits if parts.first()?.as_bytes() == [LimitScope::Vhost as u8] => {
            Some(event("vhost.limits.cleared", &limits_of(LimitScope::Vhost, parts.get(1)?)))
        }
        DefinitionKind::Limits => {
            Some(event("user.limits.cleared", &limits_of(LimitScope::User, parts.get(1)?)))
        }
        DefinitionKind::GlobalParameter => Some(event("parameter.cleared", &parameter(&text(key)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Hashing, PasswordHash};
    use crate::definitions::{PermissionDefinition, TopicPermissionDefinition};

    /// Keys of events with their headers, but for who did it.
    fn told(before: &Accounts, changes: &[DefinitionChange]) -> Vec<String> {
        let events = changes.iter().flat_map(|change| events_of(before, change, &Operator::default()));
        events
            .map(|event| {
                let headers = event.headers.iter().filter(|(name, _)| *name != "user_who_performed_action");
                let shown = headers.map(|(name, value)| {
                    format!(" {name}={}", value.as_str().map_or_else(|| format!("{value:?}"), str::to_owned))
                });
                format!("{}{}", event.key, shown.collect::<String>())
            })
            .collect()
    }

    #[test]
    fn changes_of_accounts_are_events() {
        let mut accounts = Accounts::new(Vec::new(), Hashing::Sha256);
        let hash = |password| PasswordHash::new(password, Hashing::Sha256, [7; 16]).unwrap();
        let mut step = |change: &dyn Fn(&mut Accounts) -> Vec<DefinitionChange>| {
            let before = accounts.clone();
            told(&before, &change(&mut accounts))
        };
        let permission = || PermissionDefinition {
            user: "ann".into(),
            vhost: "/".into(),
            configure: "a".into(),
            write: "b".into(),
            read: "c".into(),
        };
        let topic = || TopicPermissionDefinition {
            user: "ann".into(),
            vhost: "/".into(),
            exchange: "e".into(),
            write: "b".into(),
            read: "c".into(),
        };
        assert_eq!(step(&|all| all.add_user("ann", hash("x")).unwrap()), ["user.created name=ann"]);
        assert_eq!(
            step(&|all| all.change_password("ann", hash("y")).unwrap()),
            ["user.password.changed name=ann"]
        );
        assert!(
            step(&|all| all.set_tags("ann", vec!["monitoring".into()]).unwrap())[0]
                .starts_with("user.tags.set name=ann tags=")
        );
        assert_eq!(
            step(&|all| all.set_permissions(permission()).unwrap()),
            ["permission.created user=ann vhost=/ configure=a write=b read=c"]
        );
        assert_eq!(
            step(&|all| all.set_topic_permissions(topic()).unwrap()),
            ["topic.permission.created user=ann vhost=/ exchange=e write=b read=c"]
        );
        assert_eq!(
            step(&|all| all.clear_permissions("ann", "/").unwrap()),
            ["permission.deleted user=ann vhost=/"]
        );
        assert_eq!(
            step(&|all| all.delete_user("ann").unwrap()),
            ["user.deleted name=ann", "topic.permission.deleted user=ann vhost=/ exchange=e"]
        );
    }
}
