//! RabbitMQ's own configuration file: `rabbitmq.conf` in its format of lines `key.path = value`, and what stands beside it in
//! `conf.d`. A key that means something here becomes a setting of ours; one that only means something to Erlang, to a cluster
//! or to a plugin that is not here is named once in the diagnostics and passed over; any other ends the start with the
//! key that was probably meant. The last line wins, as in RabbitMQ.
//! Source: RabbitMQ's document "Configuration" and its schema `rabbit.schema`.

use super::spelling::nearest;
use std::collections::BTreeMap;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    /// Keys and values of ours, with the line each comes from.
    pub(super) settings: Vec<(&'static str, String, usize)>,
    /// Keys that are passed over.
    pub(super) passed_over: Vec<String>,
}

/// A line that cannot be used: its number, and a sentence.
pub(super) type Wrong = (usize, String);

/// How a value of RabbitMQ's becomes one of ours.
#[derive(Clone, Copy, Debug)]
enum How {
    /// As it is.
    Same,
    /// RabbitMQ's units are decimal (`MB`, `GB`) or binary (`MiB`, `k`); ours are bytes.
    Bytes,
    /// `infinity` is off.
    Limit,
    /// RabbitMQ's log levels.
    Level,
    /// An amount of time in ms; `false` is 0.
    Millis,
    /// A port with an address before it, or alone.
    Address,
    /// One user who may not come from elsewhere, or may.
    Loopback,
    /// One of several, in the order of the numbers behind the key.
    Item,
    /// One of several that is named by the end of its key, and said to be so or not.
    Named,
    /// One of several files, with the name that the end of its key gives it.
    NamedFile,
    /// Whether every client comes by a proxy.
    Proxied,
    /// Who decides logins: by number, together or apart for who it is and what he may.
    Backend,
    /// This, if it is true.
    If(&'static str),
    /// Ours counts seconds, theirs milliseconds.
    Seconds,
    /// Nothing else is done anyway; any other value would be passed over in silence.
    Only(&'static str),
}

/// Keys that mean something here. A `$` stands for one part of any name.
const KNOWN: &[(&str, &str, How)] = &[
    ("listeners.tcp.$", "listen", How::Address),
    ("listeners.ssl.$", "tls_listen", How::Address),
    ("management.tcp.port", "http_listen", How::Address),
    ("management.listener.port", "http_listen", How::Address),
    ("management.ssl.port", "https_listen", How::Address),
    ("prometheus.tcp.port", "prometheus_listen", How::Address),
    ("prometheus.return_per_object_metrics", "prometheus_per_object", How::Same),
    ("ssl_options.certfile", "tls_cert", How::Same),
    ("ssl_options.keyfile", "tls_key", How::Same),
    ("ssl_options.cacertfile", "tls_ca", How::Same),
    ("ssl_options.verify", "tls_verify", How::Same),
    ("ssl_options.fail_if_no_peer_cert", "tls_fail_if_no_peer_cert", How::Same),
    ("ssl_cert_login_from", "ssl_cert_login_from", How::Same),
    ("proxy_protocol", "proxy_protocol_from", How::Proxied),
    ("management.tcp.proxy_protocol", "http_proxy_protocol_from", How::Proxied),
    ("management.proxy_protocol", "http_proxy_protocol_from", How::Proxied),
    ("loopback_users", "loopback_users", How::Loopback),
    ("loopback_users.$", "loopback_users", How::Loopback),
    ("default_user", "default_user", How::Same),
    ("default_pass", "default_pass", How::Same),
    ("default_vhost", "default_vhost", How::Same),
    ("default_user_tags.$", "default_user_tags", How::Named),
    ("default_permissions.configure", "default_configure", How::Same),
    ("default_permissions.write", "default_write", How::Same),
    ("default_permissions.read", "default_read", How::Same),
    ("default_queue_type", "default_queue_type", How::Same),
    ("heartbeat", "heartbeat_s", How::Same),
    ("frame_max", "frame_bytes_max", How::Bytes),
    ("channel_max", "channels_max", How::Same),
    ("connection_max", "connections_max", How::Limit),
    ("consumer_max_per_channel", "consumers_max", How::Same),
    ("max_message_size", "message_bytes_max", How::Bytes),
    ("handshake_timeout", "handshake_ms", How::Millis),
    ("consumer_timeout", "consumer_timeout_ms", How::Millis),
    ("disk_free_limit.absolute", "disk_low_bytes", How::Bytes),
    ("disk_free_limit.relative", "disk_low_of_memory", How::Same),
    ("vm_memory_high_watermark.relative", "memory_high", How::Same),
    ("vm_memory_high_watermark.absolute", "memory_high", How::Bytes),
    ("password_hashing_module", "password_hashing", How::Same),
    ("load_definitions", "load_definitions", How::Same),
    ("management.load_definitions", "load_definitions", How::Same),
    ("definitions.local.path", "load_definitions", How::Same),
    ("definitions.import_backend", "", How::Only("local_filesystem")),
    ("auth_mechanisms.$", "auth_mechanisms", How::Item),
    ("auth_backends.$", "auth_backends", How::Backend),
    ("auth_cache.cache_ttl", "ldap_cache_s", How::Seconds),
    ("auth_ldap.servers.$", "ldap_servers", How::Item),
    ("auth_ldap.port", "ldap_port", How::Same),
    ("auth_ldap.timeout", "ldap_timeout_ms", How::Same),
    ("auth_ldap.user_dn_pattern", "ldap_user_dn_pattern", How::Same),
    ("auth_ldap.dn_lookup_attribute", "ldap_dn_lookup_attribute", How::Same),
    ("auth_ldap.dn_lookup_base", "ldap_dn_lookup_base", How::Same),
    ("auth_ldap.dn_lookup_bind", "ldap_bind", How::Same),
    ("auth_ldap.dn_lookup_bind.user_dn", "ldap_bind", How::Same),
    ("auth_ldap.dn_lookup_bind.password", "ldap_bind_password", How::Same),
    ("auth_ldap.other_bind", "ldap_bind", How::Same),
    ("auth_ldap.other_bind.user_dn", "ldap_bind", How::Same),
    ("auth_ldap.other_bind.password", "ldap_bind_password", How::Same),
    ("auth_ldap.group_lookup_base", "ldap_group_base", How::Same),
    ("auth_ldap.use_ssl", "ldap_security", How::If("tls")),
    ("auth_ldap.use_starttls", "ldap_security", How::If("starttls")),
    ("auth_ldap.ssl_options.cacertfile", "ldap_ca", How::Same),
    ("auth_ldap.ssl_options.verify", "", How::Only("verify_peer")),
    ("auth_ldap.queries.tags", "ldap_tags", How::Same),
    ("auth_ldap.queries.vhost_access", "ldap_vhost_access", How::Same),
    ("auth_ldap.queries.resource_access", "ldap_resource_access", How::Same),
    ("auth_ldap.queries.topic_access", "ldap_topic_access", How::Same),
    ("auth_oauth2.resource_server_id", "oauth_resource_server_id", How::Same),
    ("auth_oauth2.issuer", "oauth_issuer", How::Same),
    ("auth_oauth2.jwks_uri", "oauth_jwks_url", How::Same),
    ("auth_oauth2.jwks_url", "oauth_jwks_url", How::Same),
    ("auth_oauth2.signing_keys.$", "oauth_keys", How::NamedFile),
    ("auth_oauth2.additional_scopes_key", "oauth_additional_scopes_key", How::Same),
    ("auth_oauth2.preferred_username_claims.$", "oauth_username_claim", How::Item),
    ("auth_oauth2.algorithms.$", "oauth_algorithms", How::Item),
    ("auth_oauth2.https.cacertfile", "oauth_ca", How::Same),
    ("auth_oauth2.https.peer_verification", "", How::Only("verify_peer")),
    ("auth_oauth2.verify_aud", "", How::Only("true")),
    ("cluster_name", "cluster_name", How::Same),
    ("log.level", "log_level", How::Level),
    ("log.console.level", "log_level", How::Level),
    ("log.file.level", "log_level", How::Level),
];

/// What a key of ours is called in RabbitMQ's file.
pub(super) fn names_of(ours: &str) -> impl Iterator<Item = String> {
    let known = KNOWN.iter().filter(move |(_, known, _)| *known == ours);
    known.map(|(theirs, _, _)| theirs.replace('$', "NAME"))
}

/// Beginnings of keys that only mean something elsewhere.
const ELSEWHERE: &[&str] = &[
    "auth_cache.",
    "auth_ldap.connection_pool",
    "auth_ldap.idle_timeout",
    "auth_ldap.log",
    "auth_ldap.pool_size",
    "auth_ldap.ssl_options.",
    "background_gc",
    "cluster_formation.",
    "cluster_keepalive_interval",
    "auth_oauth2.default_key",
    "auth_oauth2.discovery_endpoint_",
    "auth_oauth2.https.",
    "cluster_partition_handling",
    "collect_statistics",
    "definitions.skip_if_unchanged",
    "definitions.hashing.",
    "distribution.",
    "erlang.",
    "initial_frame_max",
    "listeners.tcp",
    "listeners.ssl",
    "log.",
    "management.",
    "management_agent.",
    "mirroring_",
    "mqtt.",
    "net_ticktime",
    "num_acceptors.",
    "prometheus.",
    "queue_index_embed_msgs_below",
    "queue_master_locator",
    "raft.",
    "reverse_dns_lookups",
    "ssl_handshake_timeout",
    "ssl_options.",
    "stomp.",
    "stream.",
    "tcp_listen_options.",
    "vm_memory_calculation_strategy",
    "vm_memory_high_watermark_paging_ratio",
    "web_mqtt.",
    "web_stomp.",
];

/// Reads a file.
pub(super) fn translate(text: &str) -> Result<Translated, Wrong> {
    let mut lines: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| (number, format!("{line:?} is not of the form key = value")))?;
        lines.insert(key.trim().to_owned(), (number, unquoted(value).to_owned()));
    }
    let mut found = Translated::default();
    let mut loopback: BTreeMap<String, bool> = BTreeMap::from([("guest".to_owned(), true)]);
    let mut loopback_line = None;
    let mut several = Several::default();
    let mut backends = Backends::default();
    for (key, (number, value)) in &lines {
        let known = KNOWN.iter().find(|(pattern, ..)| matches(pattern, key));
        let Some((pattern, ours, how)) = known else {
            if ELSEWHERE.iter().any(|beginning| key.starts_with(beginning)) {
                found.passed_over.push(key.clone());
                continue;
            }
            return Err((*number, unknown(key)));
        };
        match how {
            How::Loopback => {
                note_loopback(&mut loopback, key, value).map_err(|sentence| (*number, sentence))?;
                loopback_line = Some(*number);
            }
            How::Item | How::Named | How::NamedFile => {
                let name = key.get(pattern.len() - 1..).unwrap_or_default();
                let item = item(*how, name, value).map_err(|()| (*number, not_understood(key, value)))?;
                several.note(ours, name, item, *number);
            }
            How::Backend => {
                let name = key.get(pattern.len() - 1..).unwrap_or_default();
                backends.note(name, value, *number).ok_or_else(|| (*number, not_understood(key, value)))?;
            }
            How::If(then) if value == "true" => found.settings.push((ours, (*then).to_owned(), *number)),
            How::If(_) if value == "false" => {}
            How::Only(only) if value == only => {}
            How::If(_) | How::Only(_) => return Err((*number, not_understood(key, value))),
            How::Address if value == "none" => found.settings.push((ours, "off".to_owned(), *number)),
            How::Address => {
                let ip = key.strip_suffix(".port").and_then(|stem| lines.get(&format!("{stem}.ip")));
                let address = address(value, ip.map(|(_, ip)| ip.as_str()));
                found.settings.push((ours, address, *number));
            }
            how => {
                let value = plain(*how, value).ok_or_else(|| (*number, not_understood(key, value)))?;
                found.settings.push((ours, value, *number));
            }
        }
    }
    found.settings.extend(several.settings());
    if let Some((value, number)) = backends.setting(lines.get("auth_cache.cached_backend")) {
        let value = value.map_err(|sentence| (number, sentence))?;
        found.settings.push(("auth_backends", value, number));
    }
    if let Some(number) = loopback_line {
        let names: Vec<_> = loopback.into_iter().filter_map(|(name, only)| only.then_some(name)).collect();
        found.settings.push(("loopback_users", names.join(","), number));
    }
    found.settings.sort_by_key(|(_, _, number)| *number);
    // Addresses are read with their ports.
    found.passed_over.retain(|key| key.strip_suffix(".ip").is_none());
    Ok(found)
}

/// Lists of which each line gives one item, by our key.
#[derive(Default)]
struct Several(BTreeMap<&'static str, Items>);

/// The last line, and the items by number or name.
#[derive(Default)]
struct Items {
    line: usize,
    items: BTreeMap<(u64, String), Option<String>>,
}

impl Several {
    fn note(&mut self, ours: &'static str, name: &str, item: Option<String>, line: usize) {
        let list = self.0.entry(ours).or_default();
        list.line = list.line.max(line);
        list.items.insert((name.parse().unwrap_or(u64::MAX), name.to_owned()), item);
    }

    fn settings(self) -> impl Iterator<Item = (&'static str, String, usize)> {
        self.0.into_iter().map(|(ours, Items { line, items })| {
            let items: Vec<String> = items.into_values().flatten().collect();
            (ours, items.join(","), line)
        })
    }
}

/// Who decides logins, by number: who says who it is, and who says what he may.
#[derive(Default)]
struct Backends {
    line: usize,
    by_number: BTreeMap<u64, [Option<String>; 2]>,
}

impl Backends {
    fn note(&mut self, name: &str, value: &str, line: usize) -> Option<()> {
        let (number, part) = name.split_once('.').unwrap_or((name, ""));
        let [who, what] = self.by_number.entry(number.parse().ok()?).or_default();
        match part {
            "" => (*who, *what) = (Some(value.to_owned()), Some(value.to_owned())),
            "authn" => *who = Some(value.to_owned()),
            "authz" => *what = Some(value.to_owned()),
            _ => return None,
        }
        self.line = self.line.max(line);
        Some(())
    }

    fn setting(self, cached: Option<&(usize, String)>) -> Option<(Result<String, String>, usize)> {
        if self.by_number.is_empty() {
            return None;
        }
        let plain = |name: Option<String>| -> Option<&'static str> {
            let name = name?;
            // The cache is ours whoever is asked.
            let is_cache = matches!(name.as_str(), "cache" | "rabbit_auth_backend_cache");
            let name = if is_cache { cached?.1.clone() } else { name };
            Some(match name.as_str() {
                "internal" | "rabbit_auth_backend_internal" => "internal",
                "ldap" | "rabbit_auth_backend_ldap" => "ldap",
                "oauth2" | "oauth" | "rabbit_auth_backend_oauth2" => "oauth2",
                _ => return None,
            })
        };
        let mut names = Vec::new();
        for (number, [who, what]) in self.by_number {
            match (plain(who), plain(what)) {
                (Some("ldap"), Some("internal")) => names.push("ldap/internal"),
                // Tokens log in whoever else is asked.
                (Some("oauth2"), Some("oauth2")) => {}
                (Some(one), Some(other)) if one == other => names.push(one),
                _ => return Some((Err(format!("auth_backends.{number} is not understood")), self.line)),
            }
        }
        let names = if names.is_empty() { "none".to_owned() } else { names.join(",") };
        Some((Ok(names), self.line))
    }
}

/// One item of a list; `None` if the line says that it is none.
///
/// # Errors
/// If the value says neither.
fn item(how: How, name: &str, value: &str) -> Result<Option<String>, ()> {
    match how {
        How::Named if value == "true" => Ok(Some(name.to_owned())),
        How::Named if value == "false" => Ok(None),
        How::Named => Err(()),
        How::NamedFile => Ok(Some(format!("{name}={value}"))),
        _ => Ok(Some(value.to_owned())),
    }
}

fn not_understood(key: &str, value: &str) -> String {
    format!("{key} = {value} is not understood")
}

/// Quotes around a value keep its ends.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = |mark| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}

fn matches(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix('$') {
        Some(beginning) => key.strip_prefix(beginning).is_some_and(|rest| !rest.is_empty()),
        None => pattern == key,
    }
}

fn unknown(key: &str) -> String {
    let known = KNOWN.iter().map(|(pattern, ..)| *pattern);
    let hint = nearest(key, known.chain(ELSEWHERE.iter().copied()));
    let hint = hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
    format!("unknown key {key:?}{hint}")
}

/// `loopback_users = none`, `loopback_users.guest = false`.
fn note_loopback(users: &mut BTreeMap<String, bool>, key: &str, value: &str) -> Result<(), String> {
    match (key.strip_prefix("loopback_users."), value) {
        (None, "none") => users.clear(),
        (Some(user), "true" | "false") => drop(users.insert(user.to_owned(), value == "true")),
        _ => return Err(not_understood(key, value)),
    }
    Ok(())
}

/// A port alone is one of all addresses, as in RabbitMQ.
fn address(value: &str, ip: Option<&str>) -> String {
    match (value.parse::<u16>(), ip) {
        (Ok(port), Some(ip)) if ip.contains(':') => format!("[{ip}]:{port}"),
        (Ok(port), Some(ip)) => format!("{ip}:{port}"),
        (Ok(port), None) => format!("[::]:{port}"),
        (Err(_), _) => match value.rsplit_once(':') {
            Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
            _ => value.to_owned(),
        },
    }
}

fn plain(how: How, value: &str) -> Option<String> {
    match how {
        How::Limit if value == "infinity" => Some("off".to_owned()),
        How::Same
        | How::Limit
        | How::Address
        | How::Loopback
        | How::Item
        | How::Named
        | How::NamedFile
        | How::Only(_) => Some(value.to_owned()),
        How::Proxied if value == "true" => Some("0.0.0.0/0,::/0".to_owned()),
        How::Proxied => (value == "false").then(String::new),
        How::Seconds => value.parse::<u64>().ok().map(|ms| ms.div_ceil(1000).to_string()),
        How::Backend | How::If(_) => None,
        How::Millis if value == "false" => Some("0".to_owned()),
        How::Millis => value.parse::<u64>().ok().map(|ms| ms.to_string()),
        How::Level => Some(
            match value {
                "warning" => "warn",
                "critical" => "error",
                "none" => "off",
                level => level,
            }
            .to_owned(),
        ),
        How::Bytes => bytes(value).map(|bytes| bytes.to_string()),
    }
}

/// Source: RabbitMQ `rabbit_resource_monitor_misc`.
fn bytes(value: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 14] = [
        ("KiB", 1 << 10),
        ("kiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("k", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
        ("T", 1 << 40),
    ];
    let unit = UNITS.iter().find_map(|(unit, size)| Some((value.strip_suffix(unit)?, *size)));
    let (digits, size) = unit.unwrap_or((value, 1));
    digits.trim().parse::<u64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(&'static str, String)> {
        translate(text).unwrap().settings.into_iter().map(|(key, value, _)| (key, value)).collect()
    }

    #[test]
    fn keys_of_rabbitmq_become_ours() {
        for (line, key, value) in [
            ("listeners.tcp.default = 5672", "listen", "[::]:5672"),
            ("listeners.tcp.local = 127.0.0.1:5673", "listen", "127.0.0.1:5673"),
            ("listeners.tcp.1 = ::1:5672", "listen", "[::1]:5672"),
            ("management.tcp.port=15672", "http_listen", "[::]:15672"),
            ("prometheus.tcp.port = 15692", "prometheus_listen", "[::]:15692"),
            ("prometheus.return_per_object_metrics = true", "prometheus_per_object", "true"),
            ("auth_mechanisms.1 = EXTERNAL", "auth_mechanisms", "EXTERNAL"),
            ("heartbeat = 30", "heartbeat_s", "30"),
            ("disk_free_limit.absolute = 2GB", "disk_low_bytes", "2000000000"),
            ("disk_free_limit.absolute = 50MiB", "disk_low_bytes", "52428800"),
            ("consumer_timeout = false", "consumer_timeout_ms", "0"),
            ("connection_max = infinity", "connections_max", "off"),
            ("log.console.level = warning", "log_level", "warn"),
            ("default_user = 'with space '", "default_user", "with space "),
            ("loopback_users = none", "loopback_users", ""),
            ("vm_memory_high_watermark.relative = 0.6", "memory_high", "0.6"),
            ("vm_memory_high_watermark.absolute = 2GB", "memory_high", "2000000000"),
            ("disk_free_limit.relative = 1.5", "disk_low_of_memory", "1.5"),
            ("default_permissions.configure = ^$", "default_configure", "^$"),
            ("default_user_tags.monitoring = true", "default_user_tags", "monitoring"),
            ("default_user_tags.administrator = false", "default_user_tags", ""),
            ("definitions.local.path = /etc/d.json", "load_definitions", "/etc/d.json"),
            ("management.load_definitions = /etc/d.json", "load_definitions", "/etc/d.json"),
            ("proxy_protocol = true", "proxy_protocol_from", "0.0.0.0/0,::/0"),
            ("proxy_protocol = false", "proxy_protocol_from", ""),
            ("auth_oauth2.issuer = https://id.example", "oauth_issuer", "https://id.example"),
            ("auth_oauth2.signing_keys.main = /etc/main.pem", "oauth_keys", "main=/etc/main.pem"),
            ("loopback_users.guest = false", "loopback_users", ""),
            ("loopback_users.ann = true", "loopback_users", "ann,guest"),
        ] {
            assert_eq!(settings(line), [(key, value.to_owned())], "{line}");
        }
        let with_ip = "management.tcp.port = 8080\nmanagement.tcp.ip = 192.0.2.1\n";
        assert_eq!(settings(with_ip), [("http_listen", "192.0.2.1:8080".to_owned())]);
    }

    #[test]
    fn items_of_a_list_are_put_together_in_their_order() {
        let claims = |number| format!("auth_oauth2.preferred_username_claims.{number} = c{number}\n");
        assert_eq!(
            settings(&[10, 2, 1].map(claims).concat()),
            [("oauth_username_claim", "c1,c2,c10".to_owned())]
        );
        let keys = "auth_oauth2.signing_keys.b = /b.pem\nauth_oauth2.signing_keys.a = /a.pem\n";
        assert_eq!(settings(keys), [("oauth_keys", "a=/a.pem,b=/b.pem".to_owned())]);
        let tags = "default_user_tags.administrator = true\ndefault_user_tags.monitoring = true\n";
        assert_eq!(settings(tags), [("default_user_tags", "administrator,monitoring".to_owned())]);
    }

    #[test]
    fn who_decides_logins_is_taken_in_order() {
        for (text, expected) in [
            ("auth_backends.1 = ldap\nauth_backends.2 = internal", "ldap,internal"),
            (
                "auth_backends.2 = rabbit_auth_backend_internal\nauth_backends.1 = rabbit_auth_backend_ldap",
                "ldap,internal",
            ),
            ("auth_backends.1.authn = ldap\nauth_backends.1.authz = internal", "ldap/internal"),
            ("auth_backends.1 = oauth2\nauth_backends.2 = internal", "internal"),
            ("auth_backends.1 = oauth2", "none"),
        ] {
            assert_eq!(settings(text), [("auth_backends", expected.to_owned())], "{text}");
        }
        let cached = "auth_backends.1 = cache\nauth_cache.cached_backend = ldap\nauth_cache.cache_ttl = 1500";
        let expected = [("auth_backends", "ldap".to_owned()), ("ldap_cache_s", "2".to_owned())];
        assert_eq!(settings(cached), expected);
        for text in [
            "auth_backends.1 = http",
            "auth_backends.1 = cache",
            "auth_backends.1.authn = ldap",
            "auth_backends.1.authn = internal\nauth_backends.1.authz = ldap",
        ] {
            let (_, said) = translate(text).unwrap_err();
            assert_eq!(said, "auth_backends.1 is not understood", "{text}");
        }
        let ldap = "auth_ldap.use_ssl = false\nauth_ldap.use_starttls = true\nauth_ldap.servers.1 = a\nauth_ldap.servers.2 = b";
        let expected = [("ldap_security", "starttls".to_owned()), ("ldap_servers", "a,b".to_owned())];
        assert_eq!(settings(ldap), expected);
    }

    #[test]
    fn what_would_be_less_safe_than_asked_is_no_setting() {
        assert_eq!(
            settings("auth_oauth2.verify_aud = true\ndefinitions.import_backend = local_filesystem\n"),
            []
        );
        for line in [
            "auth_oauth2.verify_aud = false",
            "auth_oauth2.https.peer_verification = verify_none",
            "definitions.import_backend = https",
            "proxy_protocol = perhaps",
            "default_user_tags.monitoring = perhaps",
        ] {
            assert_eq!(translate(line).unwrap_err(), (1, format!("{line} is not understood")));
        }
    }

    #[test]
    fn comments_and_spaces_are_nothing_and_the_last_line_wins() {
        assert_eq!(
            settings("# a comment\n\n  heartbeat=1  \nheartbeat = 2\n"),
            [("heartbeat_s", "2".to_owned())]
        );
    }

    #[test]
    fn what_only_erlang_knows_is_named_and_passed_over() {
        let found = translate("net_ticktime = 60\ncluster_formation.peer_discovery_backend = dns\n").unwrap();
        assert_eq!(found.settings, []);
        assert_eq!(found.passed_over, ["cluster_formation.peer_discovery_backend", "net_ticktime"]);
    }

    #[test]
    fn a_typing_error_is_no_setting() {
        for (text, expected) in [
            ("heartbaet = 1", (1, "unknown key \"heartbaet\"; did you mean \"heartbeat\"?")),
            ("\nnonsense.of.all.kinds = 1", (2, "unknown key \"nonsense.of.all.kinds\"")),
            ("heartbeat", (1, "\"heartbeat\" is not of the form key = value")),
            ("disk_free_limit.absolute = lots", (1, "disk_free_limit.absolute = lots is not understood")),
            ("loopback_users.guest = perhaps", (1, "loopback_users.guest = perhaps is not understood")),
        ] {
            assert_eq!(translate(text).unwrap_err(), (expected.0, expected.1.to_owned()), "{text}");
        }
    }
}
