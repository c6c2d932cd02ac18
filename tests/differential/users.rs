//! Users of the conversations beside `guest`; both brokers have them before the first one. Passwords are the names.

use ledgermq::definitions::PermissionDefinition;

/// Name, and what it may configure, write and read.
pub(crate) const USERS: [(&str, [&str; 3]); 4] = [
    ("ann", [".*", ".*", ".*"]),
    // Everything about `q1` and `e1`, nothing about others.
    ("one", ["^(q1|e1)$", "^(q1|e1)$", "^(q1|e1)$"]),
    ("reader", ["^$", "^$", ".*"]),
    ("writer", ["^$", ".*", "^$"]),
];

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

/// What RabbitMQ loads when it starts: these users, and `guest`, in a vhost.
pub(crate) fn definitions(vhost: &str) -> String {
    let names: Vec<&str> = USERS.iter().map(|(user, _)| *user).chain(["guest"]).collect();
    let users: Vec<String> = names
        .iter()
        .map(|user| format!(r#"{{"name":"{user}","password":"{user}","tags":"administrator"}}"#))
        .collect();
    let mut permissions: Vec<String> = USERS
        .iter()
        .map(|(user, [configure, write, read])| permission(vhost, user, configure, write, read))
        .collect();
    permissions.push(permission(vhost, "guest", ".*", ".*", ".*"));
    format!(
        r#"{{"vhosts":[{{"name":"{vhost}"}}],"users":[{}],"permissions":[{}]}}"#,
        users.join(","),
        permissions.join(",")
    )
}

fn permission(vhost: &str, user: &str, configure: &str, write: &str, read: &str) -> String {
    format!(
        r#"{{"vhost":"{vhost}","user":"{user}","configure":"{configure}","write":"{write}","read":"{read}"}}"#
    )
}
