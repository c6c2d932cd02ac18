//! Users of the conversations beside `guest`; both brokers have them before the first one. Passwords are the names.

use ledgermq::definitions::{PermissionDefinition, TopicPermissionDefinition};
use serde_json::{Value, json};

/// Name, and what it may configure, write and read.
pub(crate) const USERS: [(&str, [&str; 3]); 5] = [
    ("ann", [".*", ".*", ".*"]),
    // Everything about `q1` and `e1`, nothing about others.
    ("one", ["^(q1|e1)$", "^(q1|e1)$", "^(q1|e1)$"]),
    ("reader", ["^$", "^$", ".*"]),
    ("writer", ["^$", ".*", "^$"]),
    ("topical", [".*", ".*", ".*"]),
];

/// User, exchange, and the keys it may publish and bind with there if that is a topic exchange.
const TOPICS: [(&str, &str, [&str; 2]); 2] =
    [("topical", "amq.topic", ["^k", "^k"]), ("topical", "e1", ["^{username}|^q1$", "^$"])];

/// Their rights in our vhost.
pub(crate) fn permissions() -> impl Iterator<Item = PermissionDefinition> {
    USERS.into_iter().map(|(user, [configure, write, read])| PermissionDefinition {
        user: user.to_owned(),
        vhost: "/".to_owned(),
        configure: configure.to_owned(),
        write: write.to_owned(),
        read: read.to_owned(),
    })
}

/// The same for keys of topic exchanges.
pub(crate) fn topic_permissions() -> impl Iterator<Item = TopicPermissionDefinition> {
    TOPICS.into_iter().map(|(user, exchange, [write, read])| TopicPermissionDefinition {
        user: user.to_owned(),
        vhost: "/".to_owned(),
        exchange: exchange.to_owned(),
        write: write.to_owned(),
        read: read.to_owned(),
    })
}

/// What RabbitMQ loads when it starts: these users, and `guest`, in a vhost.
pub(crate) fn definitions(vhost: &str) -> Value {
    let names = USERS.iter().map(|(user, _)| *user).chain(["guest"]);
    let users: Vec<_> =
        names.map(|user| json!({"name": user, "password": user, "tags": "administrator"})).collect();
    let mut definitions = rights(vhost);
    definitions["users"] = json!(users);
    definitions
}

/// A vhost and what they may do in it, without the users.
pub(crate) fn rights(vhost: &str) -> Value {
    let all = [".*", ".*", ".*"];
    let permissions: Vec<_> = USERS
        .into_iter()
        .chain([("guest", all)])
        .map(|(user, [configure, write, read])| {
            json!({"user": user, "vhost": vhost, "configure": configure, "write": write, "read": read})
        })
        .collect();
    let topics: Vec<_> = TOPICS
        .into_iter()
        .map(|(user, exchange, [write, read])| {
            json!({"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read})
        })
        .collect();
    json!({"vhosts": [{"name": vhost}], "permissions": permissions, "topic_permissions": topics})
}
