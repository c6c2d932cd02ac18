//! Who may do what: every method that asks for a right, with every set of rights, told by a table that does not come from
//! the code. A refusal names the first right that is missing and never tells whether the thing exists.
//! Source of the table: RabbitMQ's `access-control.md`, "How Authorisation Works"; `scripts/differential` asks a RabbitMQ
//! the same (tests/differential/conversations/rights.txt).

use crate::support::broker::Broker;
use crate::support::machine::hash;
use ledgermq::definitions::{PermissionDefinition, TopicPermissionDefinition};

/// What is sent, and what it needs in the order in which it is asked: `ACCESS KIND NAME`. `any` is satisfied by any of the
/// three, and refused as configure. Nothing is needed where nothing stands.
const METHODS: [(&str, &[&str]); 44] = [
    ("exchange.declare exchange=new type=direct", &["configure exchange new"]),
    ("exchange.declare exchange=there type=direct", &["configure exchange there"]),
    (
        "exchange.declare exchange=new type=direct arguments={alternate-exchange=other}",
        &["configure exchange new", "read exchange new", "write exchange other"],
    ),
    ("exchange.declare exchange=there type=direct passive=true", &["any exchange there"]),
    ("exchange.declare exchange=missing type=direct passive=true", &["any exchange missing"]),
    ("exchange.delete exchange=there", &["configure exchange there"]),
    ("exchange.delete exchange=missing", &["configure exchange missing"]),
    ("exchange.bind destination=other source=there", &["write exchange other", "read exchange there"]),
    ("exchange.bind destination=missing source=there", &["write exchange missing", "read exchange there"]),
    ("exchange.unbind destination=other source=there", &["write exchange other", "read exchange there"]),
    ("queue.declare queue=new", &["configure queue new"]),
    ("queue.declare queue=q", &["configure queue q"]),
    ("queue.declare", &["configure queue amq.gen-*"]),
    (
        "queue.declare queue=new arguments={x-dead-letter-exchange=other}",
        &["configure queue new", "read queue new", "write exchange other"],
    ),
    ("queue.declare queue=q passive=true", &["any queue q"]),
    ("queue.declare queue=missing passive=true", &["any queue missing"]),
    ("queue.bind queue=q exchange=there", &["write queue q", "read exchange there"]),
    ("queue.bind queue=missing exchange=there", &["write queue missing", "read exchange there"]),
    ("queue.bind queue=q exchange=missing", &["write queue q", "read exchange missing"]),
    ("queue.unbind queue=q exchange=there", &["write queue q", "read exchange there"]),
    ("queue.purge queue=q", &["read queue q"]),
    ("queue.purge queue=missing", &["read queue missing"]),
    ("queue.delete queue=q", &["configure queue q"]),
    ("queue.delete queue=missing", &["configure queue missing"]),
    ("basic.consume queue=q", &["read queue q"]),
    ("basic.consume queue=missing", &["read queue missing"]),
    ("basic.consume queue=q no-ack=true nowait=true", &["read queue q"]),
    ("basic.get queue=q", &["read queue q"]),
    ("basic.get queue=missing", &["read queue missing"]),
    ("basic.publish exchange=there routing-key=k body=x", &["write exchange there"]),
    ("basic.publish exchange=missing routing-key=k body=x", &["write exchange missing"]),
    ("basic.publish routing-key=q body=x", &["write exchange amq.default"]),
    ("basic.publish routing-key=q properties={headers={CC=[\"r\"]}} body=x", &["write exchange amq.default"]),
    ("tx.select\nbasic.publish exchange=there routing-key=k body=x", &["write exchange there"]),
    ("tx.select\ntx.commit", &[]),
    ("tx.select\ntx.rollback", &[]),
    ("confirm.select", &[]),
    ("basic.qos prefetch-count=1", &[]),
    ("basic.cancel consumer-tag=none", &[]),
    ("basic.recover requeue=true", &[]),
    ("channel.flow active=true", &[]),
    ("access.request realm=/data", &[]),
    ("basic.consume queue=amq.rabbitmq.reply-to no-ack=true", &[]),
    ("queue.declare queue=amq.rabbitmq.reply-to passive=true", &[]),
];

const ACCESSES: [&str; 3] = ["configure", "write", "read"];

/// Lets `eve` do this in a vhost: patterns for configure, write and read.
fn permit(broker: &mut Broker, vhost: &str, patterns: [&str; 3]) {
    let [configure, write, read] = patterns.map(str::to_owned);
    let (user, vhost) = ("eve".to_owned(), vhost.to_owned());
    broker.change_accounts(|accounts| {
        accounts.set_permissions(PermissionDefinition { user, vhost, configure, write, read }).unwrap();
    });
}

/// What `eve` is told on her channel for these methods, with these rights in `/` and perhaps all rights elsewhere.
fn told(methods: &str, rights: [&str; 3], elsewhere: bool) -> Vec<String> {
    let mut broker = Broker::default();
    broker.connect("admin", "guest", None);
    broker.send("admin", 1, "channel.open");
    broker.send("admin", 1, "queue.declare queue=q");
    broker.send("admin", 1, "exchange.declare exchange=there type=direct");
    broker.send("admin", 1, "exchange.declare exchange=other type=fanout");
    broker.send("admin", 1, "queue.bind queue=q exchange=there");
    broker.change_accounts(|accounts| {
        accounts.add_user("eve", hash("eve")).unwrap();
    });
    permit(&mut broker, "/", rights);
    if elsewhere {
        permit(&mut broker, "elsewhere", [".*"; 3]);
    }
    broker.connect("eve", "eve", None);
    broker.send("eve", 1, "channel.open");
    for method in methods.lines() {
        broker.send("eve", 1, method);
    }
    broker.heard("eve").into_iter().skip(1).map(|(_, line)| line).collect()
}

/// The refusal that is to come for the first of the needs that `has` denies, as `configure queue 'q'`.
fn first_missing(needs: &[&str], has: impl Fn(&str, &str) -> bool) -> Option<String> {
    needs.iter().find_map(|need| {
        let [access, kind, name] = need.split(' ').collect::<Vec<_>>()[..] else { panic!("{need}") };
        let (met, refused) = match access {
            "any" => (ACCESSES.iter().any(|access| has(access, name)), "configure"),
            access => (has(access, name), access),
        };
        let name = name.trim_end_matches('*');
        (!met).then(|| format!("{refused} access to {kind} '{name}"))
    })
}

fn check(methods: &str, rights: [&str; 3], elsewhere: bool, expected: Option<&str>) {
    let told = told(methods, rights, elsewhere);
    let refused = told.iter().find(|line| line.contains("reply-code=403"));
    let case = format!("{methods:?} with {rights:?} (elsewhere: {elsewhere}): {told:?}");
    match (refused, expected) {
        (None, None) => {}
        (Some(line), Some(expected)) => {
            assert!(line.starts_with("channel.close reply-code=403 "), "{case}");
            assert!(line.contains(&format!("ACCESS_REFUSED - {expected}")), "{expected}: {case}");
            assert!(line.contains(" in vhost '/' refused for user 'eve'"), "{case}");
        }
        (_, expected) => panic!("{expected:?}: {case}"),
    }
}

/// Eight sets of rights, each with and without all rights in another vhost, which never help.
#[test]
fn s19_every_method_asks_for_its_rights_and_no_others() {
    let mut cases = 0;
    for (methods, needs) in METHODS {
        for set in 0..8_u8 {
            let granted =
                |access: &str| set >> ACCESSES.iter().position(|known| *known == access).unwrap() & 1 == 1;
            let rights = ACCESSES.map(|access| if granted(access) { ".*" } else { "^$" });
            let expected = first_missing(needs, |access, _| granted(access));
            for elsewhere in [false, true] {
                check(methods, rights, elsewhere, expected.as_deref());
                cases += 1;
            }
        }
    }
    assert_eq!(cases, METHODS.len() * 16);
}

/// With rights by name: exactly what is needed is enough, and each of it is.
#[test]
fn s19_rights_are_asked_for_by_name() {
    for (methods, needs) in METHODS {
        for left_out in 0..=needs.len() {
            let granted: Vec<_> =
                needs.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, need)| *need).collect();
            // Of `any`, the last in the order of asking is enough.
            let pairs: Vec<(&str, &str)> = granted
                .iter()
                .map(|need| {
                    let (access, rest) = need.split_once(' ').unwrap();
                    (if access == "any" { "read" } else { access }, rest.split_once(' ').unwrap().1)
                })
                .collect();
            let patterns = ACCESSES.map(|access| {
                let names = pairs.iter().filter(|(known, _)| *known == access).map(|(_, name)| *name);
                let names: Vec<_> = names.map(|name| name.replace('.', "\\.").replace("-*", "-.*")).collect();
                if names.is_empty() { "^$".to_owned() } else { format!("^({})$", names.join("|")) }
            });
            let expected = first_missing(needs, |access, name| pairs.contains(&(access, name)));
            check(methods, patterns.each_ref().map(String::as_str), true, expected.as_deref());
        }
    }
}

/// Who may publish to an exchange does not matter to who may see what goes through it.
#[test]
fn s19_keys_are_asked_about_at_internal_exchanges_too() {
    let exchange = "amq.rabbitmq.trace";
    for (method, key, expected) in [
        ("queue.bind queue=q", "publish.orders", "queue.bind-ok"),
        ("queue.bind queue=q", "#", "channel.close reply-code=403"),
        ("queue.unbind queue=q", "#", "channel.close reply-code=403"),
        ("exchange.bind destination=amq.fanout", "#", "channel.close reply-code=403"),
    ] {
        let mut broker = Broker::default();
        broker.connect("eve", "guest", None);
        broker.send("eve", 1, "channel.open");
        broker.send("eve", 1, "queue.declare queue=q");
        broker.change_accounts(|accounts| {
            let [user, vhost, exchange] = ["guest", "/", exchange].map(str::to_owned);
            let [write, read] = ["^$", "^publish\\.orders$"].map(str::to_owned);
            accounts
                .set_topic_permissions(TopicPermissionDefinition { user, vhost, exchange, write, read })
                .unwrap();
        });
        let from = if method.starts_with("exchange") { "source" } else { "exchange" };
        broker.send("eve", 1, &format!("{method} {from}={exchange} routing-key={key}"));
        let heard = broker.heard("eve");
        assert!(heard.last().unwrap().1.starts_with(expected), "{method} {key}: {heard:?}");
    }
}
