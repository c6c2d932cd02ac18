//! The keys: name, what is allowed, what it means, how it is set and shown. The command line, the environment, the file
//! and docs/configuration.md are all made from this one table.

use super::otlp::pairs;
use super::value::{Part, address, bytes, label, list, number, show_bytes, truth};
use super::{AuditLog, CertificateLogin, Config, KeyFile, LogFormat, MemoryMark, Network, TlsVerify};
use super::{AuthBackend, LdapBind, LdapSecurity};
use crate::auth::{Hashing, LdapQuery, Pattern, Secret, Template};
use crate::limits;
use crate::protocol::sasl::MECHANISMS;
use crate::queue::QueueKind;
use crate::vhost::DeliverMode;
use ledgermq_storage::limits::{PAGE_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use std::path::PathBuf;

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file; `--` with dashes on the command line, `LEDGERMQ_` in capitals in the environment.
    pub name: &'static str,
    /// What values are allowed.
    pub allowed: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Takes a value; `None` if it is not allowed.
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    /// The value it has.
    pub(super) show: fn(&Config) -> String,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// All keys, in the order of the documentation.
pub static KEYS: [Key; 84] = [
    Key {
        name: "data_dir",
        allowed: "a directory; it is made if it is not there",
        help: "Directory of the store",
        set: |config, text| (!text.is_empty()).then(|| config.data_dir = PathBuf::from(text)),
        show: |config| config.data_dir.display().to_string(),
    },
    Key {
        name: "listen",
        allowed: "ADDRESS:PORT, e.g. 127.0.0.1:5672 or [::]:5672; port 0 takes any free one",
        help: "Where AMQP clients connect",
        set: |config, text| address(text).map(|address| config.listen = address),
        show: |config| config.listen.to_string(),
    },
    Key {
        name: "http_listen",
        allowed: "ADDRESS:PORT, or off",
        help: "Where the HTTP side listens",
        set: |config, text| {
            config.http_listen = if text == "off" { None } else { Some(address(text)?) };
            Some(())
        },
        show: |config| config.http_listen.map_or_else(|| "off".to_owned(), |address| address.to_string()),
    },
    Key {
        name: "tls_listen",
        allowed: "ADDRESS:PORT, by convention port 5671, or off",
        help: "Where AMQP clients with TLS 1.2 or 1.3 connect (RabbitMQ: listeners.ssl)",
        set: |config, text| {
            config.tls_listen = if text == "off" { None } else { Some(address(text)?) };
            Some(())
        },
        show: |config| config.tls_listen.map_or_else(|| "off".to_owned(), |address| address.to_string()),
    },
    Key {
        name: "https_listen",
        allowed: "ADDRESS:PORT, by convention port 15671, or off",
        help: "Where the HTTP side listens with TLS (RabbitMQ: management.ssl.port); clients are not asked for certificates there",
        set: |config, text| {
            config.https_listen = if text == "off" { None } else { Some(address(text)?) };
            Some(())
        },
        show: |config| config.https_listen.map_or_else(|| "off".to_owned(), |address| address.to_string()),
    },
    Key {
        name: "tls_cert",
        allowed: "a file with PEM certificates: the broker's own first, then those that lead to an authority",
        help: "Certificate of the broker (RabbitMQ: ssl_options.certfile). This file, `tls_key` and `tls_ca` are read again when they change, and on SIGHUP; connections that are there keep what they have",
        set: |config, text| {
            config.tls.certificate = PathBuf::from(text);
            Some(())
        },
        show: |config| config.tls.certificate.display().to_string(),
    },
    Key {
        name: "tls_key",
        allowed: "a file with a PEM private key without a password",
        help: "Key of the broker's certificate (RabbitMQ: ssl_options.keyfile)",
        set: |config, text| {
            config.tls.key = PathBuf::from(text);
            Some(())
        },
        show: |config| config.tls.key.display().to_string(),
    },
    Key {
        name: "tls_ca",
        allowed: "a file with PEM certificates, or nothing",
        help: "Who may sign clients' certificates (RabbitMQ: ssl_options.cacertfile)",
        set: |config, text| {
            config.tls.authorities = (!text.is_empty()).then(|| PathBuf::from(text));
            Some(())
        },
        show: |config| {
            config.tls.authorities.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "tls_verify",
        allowed: "verify_none or verify_peer",
        help: "Whether clients are asked for a certificate, which must then be good (RabbitMQ: ssl_options.verify)",
        set: |config, text| {
            config.tls.verify = match (text, config.tls.verify) {
                ("verify_none", TlsVerify::Nobody | TlsVerify::Who) => TlsVerify::Nobody,
                ("verify_peer", TlsVerify::Nobody | TlsVerify::Who) => TlsVerify::Who,
                ("verify_none" | "verify_peer", TlsVerify::Everybody) => TlsVerify::Everybody,
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            match config.tls.verify {
                TlsVerify::Nobody => "verify_none",
                TlsVerify::Who | TlsVerify::Everybody => "verify_peer",
            }
            .to_owned()
        },
    },
    Key {
        name: "tls_fail_if_no_peer_cert",
        allowed: "true or false",
        help: "Whether a client without a certificate is refused (RabbitMQ: ssl_options.fail_if_no_peer_cert); true asks for certificates whatever tls_verify says",
        set: |config, text| {
            config.tls.verify = match (text, config.tls.verify) {
                ("true", _) => TlsVerify::Everybody,
                ("false", TlsVerify::Everybody) => TlsVerify::Who,
                ("false", verify) => verify,
                _ => return None,
            };
            Some(())
        },
        show: |config| (config.tls.verify == TlsVerify::Everybody).to_string(),
    },
    Key {
        name: "ssl_cert_login_from",
        allowed: "distinguished_name, common_name or subject_alternative_name, the last with :KIND:INDEX behind it (dns, ip, email or uri; counted from 0)",
        help: "Where in a client's certificate the user is named that logs in with it by the mechanism EXTERNAL (RabbitMQ: ssl_cert_login_from, ssl_cert_login_san_type, ssl_cert_login_san_index). A distinguished name is written as RFC 4514 has it: CN=client,O=Example",
        set: |config, text| CertificateLogin::parse(text).map(|login| config.certificate_login = login),
        show: |config| config.certificate_login.to_string(),
    },
    Key {
        name: "proxy_protocol_from",
        allowed: "networks such as 10.0.0.0/8 or fd00::/8, or addresses, separated by commas; or nothing",
        help: "Proxies whose AMQP connections, with and without TLS, begin with a header of the PROXY protocol, version 1 or 2 (RabbitMQ: proxy_protocol). From there a header must come, from elsewhere none may; a client behind a proxy never counts as one of this machine",
        set: |config, text| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            config.proxy_networks = names.map(Network::parse).collect::<Option<_>>()?;
            Some(())
        },
        show: |config| {
            let networks: Vec<String> = config.proxy_networks.iter().map(Network::to_string).collect();
            networks.join(",")
        },
    },
    Key {
        name: "http_proxy_protocol_from",
        allowed: "networks such as 10.0.0.0/8 or fd00::/8, or addresses, separated by commas; or nothing",
        help: "The same as `proxy_protocol_from` for connections to the HTTP side, with and without TLS",
        set: |config, text| {
            config.http_proxy_networks =
                list(text).iter().map(|name| Network::parse(name)).collect::<Option<_>>()?;
            Some(())
        },
        show: |config| {
            let networks: Vec<String> = config.http_proxy_networks.iter().map(Network::to_string).collect();
            networks.join(",")
        },
    },
    Key {
        name: "oauth_keys",
        allowed: "files with a JSON Web Key Set or a PEM public key (RSA, EC P-256 or P-384, Ed25519), separated by commas, each as FILE or ID=FILE; or nothing",
        help: "Who signs the bearer tokens (JWT) that clients may send as their password, and HTTP clients as Bearer (RabbitMQ: auth_oauth2.signing_keys). ID is what tokens call the key (kid), if the file does not say. Files are read again when they change, and on SIGHUP",
        set: |config, text| {
            config.oauth_keys = list(text).iter().map(|file| KeyFile::parse(file)).collect::<Option<_>>()?;
            Some(())
        },
        show: |config| {
            let files: Vec<String> = config.oauth_keys.iter().map(KeyFile::to_string).collect();
            files.join(",")
        },
    },
    Key {
        name: "oauth_jwks_url",
        allowed: "a URL with https, or with http and an address of this machine; or nothing",
        help: "Where a server publishes the keys that sign tokens, as a JSON Web Key Set (RabbitMQ: auth_oauth2.jwks_uri, auth_oauth2.jwks_url). It is asked at the start, then every `oauth_refresh_s`, and when a token names a key that is not there, but for that not more often than `oauth_retry_s` says. Keys stay good until a set without them was read; a server that does not answer changes nothing. No redirect is followed",
        set: |config, text| {
            text.clone_into(&mut config.jwks.url);
            Some(())
        },
        show: |config| config.jwks.url.clone(),
    },
    Key {
        name: "oauth_issuer",
        allowed: "a URL as above, or nothing",
        help: "The issuer of tokens, whose description at /.well-known/openid-configuration says where its key set is (RabbitMQ: auth_oauth2.issuer); not asked if oauth_jwks_url says it",
        set: |config, text| {
            text.clone_into(&mut config.jwks.issuer);
            Some(())
        },
        show: |config| config.jwks.issuer.clone(),
    },
    Key {
        name: "oauth_ca",
        allowed: "a file with PEM certificates, or nothing",
        help: "Who may sign the certificate of the server of `oauth_jwks_url` or `oauth_issuer` (RabbitMQ: auth_oauth2.https.cacertfile); without it, the authorities that this system believes",
        set: |config, text| {
            config.jwks.authorities = (!text.is_empty()).then(|| PathBuf::from(text));
            Some(())
        },
        show: |config| {
            config.jwks.authorities.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "oauth_http_allowed",
        allowed: "true or false",
        help: "Whether keys may be fetched from another machine without TLS: whoever is on the way can then make tokens",
        set: |config, text| truth(text).map(|allowed| config.jwks.plain_is_good = allowed),
        show: |config| config.jwks.plain_is_good.to_string(),
    },
    Key {
        name: "oauth_refresh_s",
        allowed: "60 to 604800",
        help: "Time after which the key set of `oauth_jwks_url` is asked for again, in seconds",
        set: |config, text| number(text, 60..=604_800).map(|seconds| config.jwks.refresh_s = seconds),
        show: |config| config.jwks.refresh_s.to_string(),
    },
    Key {
        name: "oauth_retry_s",
        allowed: "0 to 3600",
        help: "Shortest time between two requests for the key set because a token names a key that is not there, in seconds; logins with such tokens in between are refused at once",
        set: |config, text| number(text, 0..=3_600).map(|seconds| config.jwks.retry_s = seconds),
        show: |config| config.jwks.retry_s.to_string(),
    },
    Key {
        name: "oauth_resource_server_id",
        allowed: "a text, or nothing",
        help: "What tokens call this broker: it must be in their aud, and their scopes about it begin with it and a dot (RabbitMQ: auth_oauth2.resource_server_id)",
        set: |config, text| {
            text.clone_into(&mut config.oauth.resource_server_id);
            Some(())
        },
        show: |config| config.oauth.resource_server_id.clone(),
    },
    Key {
        name: "oauth_username_claim",
        allowed: "names of claims, separated by commas; or nothing",
        help: "The claims that may name the user of a token, the first that is there, before sub and client_id (RabbitMQ: auth_oauth2.preferred_username_claims)",
        set: |config, text| {
            config.oauth.username_claims = list(text);
            Some(())
        },
        show: |config| config.oauth.username_claims.join(","),
    },
    Key {
        name: "oauth_additional_scopes_key",
        allowed: "names of claims, separated by commas; or nothing",
        help: "Claims that may hold scopes beside scope: a text, a list, or an object that has a text or a list under the name in `oauth_resource_server_id` (RabbitMQ: auth_oauth2.additional_scopes_key)",
        set: |config, text| {
            config.oauth.scope_claims = list(text);
            Some(())
        },
        show: |config| config.oauth.scope_claims.join(","),
    },
    Key {
        name: "oauth_algorithms",
        allowed: "some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, separated by commas; or nothing",
        help: "Which signatures are taken (RabbitMQ: auth_oauth2.algorithms); without it, all that go with a key. What a key may be used with follows from the key, whatever a token says",
        set: |config, text| {
            let names = list(text);
            let is_known = |name: &String| SIGNATURES.contains(&name.as_str());
            names.iter().all(is_known).then(|| config.oauth.algorithms = names)
        },
        show: |config| config.oauth.algorithms.join(","),
    },
    Key {
        name: "auth_mechanisms",
        allowed: "some of PLAIN, AMQPLAIN and EXTERNAL, separated by commas",
        help: "Which SASL mechanisms AMQP clients may log in with (RabbitMQ: auth_mechanisms); EXTERNAL is offered to those whose certificate names a user. HTTP does not depend on it",
        set: |config, text| {
            let names = list(text);
            let is_known = |name: &String| MECHANISMS.contains(&name.as_str());
            let named = MECHANISMS.into_iter().filter(|known| names.iter().any(|name| name == known));
            (!names.is_empty() && names.iter().all(is_known))
                .then(|| config.auth_mechanisms = named.collect())
        },
        show: |config| config.auth_mechanisms.join(","),
    },
    Key {
        name: "auth_backends",
        allowed: "some of internal, ldap and ldap/internal, separated by commas; or none",
        help: "Who decides logins by name and password, in this order, until one lets the user in (RabbitMQ: auth_backends): the users that are kept here, or a directory. With ldap/internal the directory checks the password, and what is kept here of the user of that name says what it may do. Bearer tokens and certificates do not depend on it",
        set: |config, text| {
            let names = list(text);
            if text != "none" && names.is_empty() {
                return None;
            }
            let names = names.iter().filter(|_| text != "none");
            config.auth_backends = names.map(|name| AuthBackend::parse(name)).collect::<Option<_>>()?;
            Some(())
        },
        show: |config| {
            let names: Vec<&str> = config.auth_backends.iter().map(|backend| backend.name()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(",") }
        },
    },
    Key {
        name: "ldap_servers",
        allowed: "names or addresses of servers, separated by commas; or nothing",
        help: "Where the directory is: the first that can be reached is asked (RabbitMQ: auth_ldap.servers)",
        set: |config, text| {
            config.ldap.servers = list(text);
            Some(())
        },
        show: |config| config.ldap.servers.join(","),
    },
    Key {
        name: "ldap_port",
        allowed: "1 to 65535",
        help: "Port of these servers (RabbitMQ: auth_ldap.port); by convention 389, and 636 with TLS from the beginning",
        set: |config, text| number(text, 1..=65_535).map(|port| config.ldap.port = port as u16),
        show: |config| config.ldap.port.to_string(),
    },
    Key {
        name: "ldap_security",
        allowed: "none, tls or starttls",
        help: "Whether the directory is spoken to with TLS, from the beginning or from the first request on (RabbitMQ: auth_ldap.use_ssl, auth_ldap.use_starttls); without, whoever is on the way reads passwords",
        set: |config, text| {
            config.ldap.security = match text {
                "none" => LdapSecurity::None,
                "tls" => LdapSecurity::Tls,
                "starttls" => LdapSecurity::StartTls,
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            match config.ldap.security {
                LdapSecurity::None => "none",
                LdapSecurity::Tls => "tls",
                LdapSecurity::StartTls => "starttls",
            }
            .to_owned()
        },
    },
    Key {
        name: "ldap_ca",
        allowed: "a file with PEM certificates, or nothing",
        help: "Who may sign the certificates of these servers (RabbitMQ: auth_ldap.ssl_options.cacertfile); without it, the authorities that this system believes",
        set: |config, text| {
            config.ldap.authorities = (!text.is_empty()).then(|| PathBuf::from(text));
            Some(())
        },
        show: |config| {
            config.ldap.authorities.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "ldap_timeout_ms",
        allowed: "100 to 60000",
        help: "Time for a login that the directory decides, in milliseconds; then it is refused (RabbitMQ: auth_ldap.timeout)",
        set: |config, text| number(text, 100..=60_000).map(|ms| config.ldap.timeout_ms = ms),
        show: |config| config.ldap.timeout_ms.to_string(),
    },
    Key {
        name: "ldap_cache_s",
        allowed: "0 to 86400; 0 remembers nobody",
        help: "How long a good login is remembered, in seconds, so that a client that comes back does not cost another question (RabbitMQ: auth_cache.cache_ttl). A password that was changed in the directory, or a user that is gone, counts after that, or after SIGHUP, which forgets all; connections that are there keep what they had",
        set: |config, text| number(text, 0..=86_400).map(|seconds| config.ldap.cache_s = seconds),
        show: |config| config.ldap.cache_s.to_string(),
    },
    Key {
        name: "ldap_user_dn_pattern",
        allowed: "a name in the directory with ${username} for that of the user, or nothing",
        help: "Who a user is in the directory: cn=${username},ou=people,dc=example,dc=com; or, with ldap_dn_lookup_attribute, the value it is looked up by, mostly ${username} (RabbitMQ: auth_ldap.user_dn_pattern)",
        set: |config, text| {
            config.ldap.user_dn_pattern = Template::parse(text).ok()?;
            text.clone_into(&mut config.ldap.texts.user_dn_pattern);
            Some(())
        },
        show: |config| config.ldap.texts.user_dn_pattern.clone(),
    },
    Key {
        name: "ldap_dn_lookup_attribute",
        allowed: "an attribute of letters, digits and dashes; or nothing",
        help: "The attribute by which a user is looked up, to learn its name in the directory (RabbitMQ: auth_ldap.dn_lookup_attribute). Exactly one entry must have it",
        set: |config, text| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let text = if text == "none" { "" } else { text };
            text.bytes().all(is_part).then(|| text.clone_into(&mut config.ldap.lookup_attribute))
        },
        show: |config| config.ldap.lookup_attribute.clone(),
    },
    Key {
        name: "ldap_dn_lookup_base",
        allowed: "a name in the directory, or nothing",
        help: "Below which name users are looked up (RabbitMQ: auth_ldap.dn_lookup_base)",
        set: |config, text| {
            text.clone_into(&mut config.ldap.lookup_base);
            Some(())
        },
        show: |config| config.ldap.lookup_base.clone(),
    },
    Key {
        name: "ldap_bind",
        allowed: "as_user, anon, or a name in the directory",
        help: "As whom users and groups are searched: as the user that logs in, as nobody, or by this name (RabbitMQ: auth_ldap.dn_lookup_bind, auth_ldap.other_bind, which are one here)",
        set: |config, text| {
            config.ldap.bind = match text {
                "" => return None,
                "as_user" => LdapBind::AsUser,
                "anon" => LdapBind::Anonymous,
                dn => LdapBind::As(dn.to_owned()),
            };
            Some(())
        },
        show: |config| match &config.ldap.bind {
            LdapBind::AsUser => "as_user".to_owned(),
            LdapBind::Anonymous => "anon".to_owned(),
            LdapBind::As(dn) => dn.clone(),
        },
    },
    Key {
        name: "ldap_bind_password",
        allowed: "a password; or nothing",
        help: "The password of the name in `ldap_bind`, if there is one. Better given in the environment or the file than as a flag, which everybody on the machine can see",
        set: |config, text| {
            config.ldap.bind_password = Secret::new(text);
            Some(())
        },
        show: |config| {
            let is_empty = config.ldap.bind_password == Secret::new("");
            if is_empty { "" } else { "(set)" }.to_owned()
        },
    },
    Key {
        name: "ldap_group_base",
        allowed: "a name in the directory, or nothing",
        help: "Below which name groups are, for queries with in_group (RabbitMQ: auth_ldap.group_lookup_base)",
        set: |config, text| {
            text.clone_into(&mut config.ldap.group_base);
            Some(())
        },
        show: |config| config.ldap.group_base.clone(),
    },
    Key {
        name: "ldap_vhost_access",
        allowed: "a query, such as {in_group, \"cn=${vhost}-users,ou=groups,dc=example,dc=com\"}",
        help: "Whether a user of the directory may enter a vhost (RabbitMQ: vhost_access_query of its LDAP plugin, in the same notation). docs/security.md says which queries are understood. Without an answer nobody may: in RabbitMQ everybody may",
        set: |config, text| {
            config.ldap.set_query(
                text,
                |queries, it| queries.vhost_access = it,
                |texts| &mut texts.vhost_access,
            )
        },
        show: |config| config.ldap.texts.vhost_access.clone(),
    },
    Key {
        name: "ldap_resource_access",
        allowed: "a query",
        help: "Whether a user of the directory may do something with a queue or exchange: ${name}, ${permission} (RabbitMQ: resource_access_query)",
        set: |config, text| {
            let set = |queries: &mut crate::auth::LdapQueries, it| queries.resource_access = it;
            config.ldap.set_query(text, set, |texts| &mut texts.resource_access)
        },
        show: |config| config.ldap.texts.resource_access.clone(),
    },
    Key {
        name: "ldap_topic_access",
        allowed: "a query",
        help: "Whether a user of the directory may use a key at a topic exchange: ${routing_key} (RabbitMQ: topic_access_query)",
        set: |config, text| {
            config.ldap.set_query(
                text,
                |queries, it| queries.topic_access = it,
                |texts| &mut texts.topic_access,
            )
        },
        show: |config| config.ldap.texts.topic_access.clone(),
    },
    Key {
        name: "ldap_tags",
        allowed: "[{tag, query}, …]",
        help: "Which tags a user of the directory has: [{administrator, {in_group, \"cn=admins,ou=groups,dc=example,dc=com\"}}] (RabbitMQ: tag_queries)",
        set: |config, text| {
            let tags = LdapQuery::parse_by_tag(text).ok()?;
            std::sync::Arc::make_mut(&mut config.ldap.queries).tags = tags;
            text.clone_into(&mut config.ldap.texts.tags);
            Some(())
        },
        show: |config| config.ldap.texts.tags.clone(),
    },
    Key {
        name: "prometheus_listen",
        allowed: "ADDRESS:PORT, or off",
        help: "Where metrics are served without the rest of the HTTP side; RabbitMQ's port for them is 15692. `/metrics` of the HTTP side shows the same",
        set: |config, text| {
            config.prometheus_listen = if text == "off" { None } else { Some(address(text)?) };
            Some(())
        },
        show: |config| {
            config.prometheus_listen.map_or_else(|| "off".to_owned(), |address| address.to_string())
        },
    },
    Key {
        name: "prometheus_per_object",
        allowed: "true or false",
        help: "Whether `/metrics` has a sample for each queue, channel and connection (RabbitMQ: prometheus.return_per_object_metrics), as `/metrics/per-object` always has",
        set: |config, text| truth(text).map(|per_object| config.prometheus_per_object = per_object),
        show: |config| config.prometheus_per_object.to_string(),
    },
    Key {
        name: "log_format",
        allowed: "human or json",
        help: "How diagnostics look",
        set: |config, text| {
            config.log_format = match text {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            match config.log_format {
                LogFormat::Human => "human",
                LogFormat::Json => "json",
            }
            .to_owned()
        },
    },
    Key {
        name: "log_level",
        allowed: "error, warn, info, debug, trace, or directives such as info,ledgermq_storage=debug",
        help: "Which diagnostics are written",
        set: |config, text| {
            let filter = tracing_subscriber::EnvFilter::try_new(text).ok()?;
            (!text.is_empty()).then(|| drop(filter))?;
            text.clone_into(&mut config.log_level);
            Some(())
        },
        show: |config| config.log_level.clone(),
    },
    Key {
        name: "audit_log",
        allowed: "off, stderr, or a file, which is made if it is not there",
        help: "Where logins, refused logins and changes of users, rights, policies, queues, exchanges and bindings are written down, one JSON object a line: who, what, from where. Of refused logins 50 a second are written, and the rest as a count. `ledgermq ctl rotate_logs` begins a new file after the old one was moved away",
        set: |config, text| {
            config.audit_log = match text {
                "" => return None,
                "off" => AuditLog::Off,
                "stderr" => AuditLog::Stderr,
                path => AuditLog::File(PathBuf::from(path)),
            };
            Some(())
        },
        show: |config| match &config.audit_log {
            AuditLog::Off => "off".to_owned(),
            AuditLog::Stderr => "stderr".to_owned(),
            AuditLog::File(path) => path.display().to_string(),
        },
    },
    Key {
        name: "otlp_endpoint",
        allowed: "a URL with http or https, e.g. http://127.0.0.1:4318; or nothing",
        help: "Where spans are sent: a collector that speaks OpenTelemetry's OTLP over HTTP, in protobuf; /v1/traces is added to the path. Without it nothing is traced. The standard variable OTEL_EXPORTER_OTLP_ENDPOINT sets it, too",
        set: |config, text| {
            text.clone_into(&mut config.otlp.endpoint);
            Some(())
        },
        show: |config| config.otlp.endpoint.clone(),
    },
    Key {
        name: "otlp_headers",
        allowed: "NAME=VALUE, separated by commas, values percent-encoded where they hold a comma; or nothing",
        help: "Headers that the collector wants, such as a key (OTEL_EXPORTER_OTLP_HEADERS). Better given in the environment or the file than as a flag, which everybody on the machine can see",
        set: |config, text| {
            config.otlp.headers = Secret::new(text);
            Some(())
        },
        show: |config| {
            let is_empty = config.otlp.headers == Secret::default();
            if is_empty { "" } else { "(set)" }.to_owned()
        },
    },
    Key {
        name: "otlp_ca",
        allowed: "a file with PEM certificates, or nothing",
        help: "Who may sign the collector's certificate; without it, the authorities that this system believes",
        set: |config, text| {
            config.otlp.authorities = (!text.is_empty()).then(|| PathBuf::from(text));
            Some(())
        },
        show: |config| {
            config.otlp.authorities.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "otlp_service_name",
        allowed: "1 to 255 bytes without control characters",
        help: "What traces call this service: service.name (OTEL_SERVICE_NAME)",
        set: |config, text| label(text).map(|label| config.otlp.service_name = label),
        show: |config| config.otlp.service_name.clone(),
    },
    Key {
        name: "otlp_resource_attributes",
        allowed: "NAME=VALUE, separated by commas, percent-encoded where they hold a comma; or nothing",
        help: "What else traces say of this broker, e.g. deployment.environment.name=production (OTEL_RESOURCE_ATTRIBUTES); they replace what the broker says of itself, but for service.name",
        set: |config, text| {
            pairs(text)?;
            text.clone_into(&mut config.otlp.resource_attributes);
            Some(())
        },
        show: |config| config.otlp.resource_attributes.clone(),
    },
    Key {
        name: "otlp_slow_sync_ms",
        allowed: "0 to 60000",
        help: "A sync of the disk that takes this long or longer has a span of its own, in milliseconds; 0: each has one",
        set: |config, text| number(text, 0..=60_000).map(|slow_ms| config.otlp.slow_sync_ms = slow_ms),
        show: |config| config.otlp.slow_sync_ms.to_string(),
    },
    Key {
        name: "segment_bytes",
        allowed: "64KiB to 1GiB, a multiple of 4KiB",
        help: "Size of a new segment, a file of the log",
        set: |config, text| {
            let size = bytes(text, SEGMENT_BYTES_MIN.into()..=SEGMENT_BYTES_MAX.into())?;
            size.is_multiple_of(PAGE_BYTES.into()).then(|| config.segment_bytes = size as u32)
        },
        show: |config| show_bytes(config.segment_bytes.into()),
    },
    Key {
        name: "staging_bytes_max",
        allowed: "1MiB to 4GiB",
        help: "Bytes on their way to the disk, above which publishers wait",
        set: |config, text| bytes(text, MIB..=4 * GIB).map(|size| config.staging_bytes_max = size as usize),
        show: |config| show_bytes(config.staging_bytes_max as u64),
    },
    Key {
        name: "ack_flush_ms",
        allowed: "0 to 60000",
        help: "How long acknowledgements may wait until they are written together with other records, in milliseconds; the sync may come as much later",
        set: |config, text| number(text, 0..=60_000).map(|ms| config.ack_flush_ms = ms),
        show: |config| config.ack_flush_ms.to_string(),
    },
    Key {
        name: "checkpoint_bytes",
        allowed: "1MiB to 1024GiB",
        help: "WAL bytes between two checkpoints of the index; a start after a crash reads about as much",
        set: |config, text| bytes(text, MIB..=1024 * GIB).map(|size| config.checkpoint_bytes = size),
        show: |config| show_bytes(config.checkpoint_bytes),
    },
    Key {
        name: "disk_low_bytes",
        allowed: "bytes, 0 or more, with or without a unit: 500MB, 5GiB",
        help: "Free disk space below which publishers are blocked",
        set: |config, text| bytes(text, 0..=u64::MAX).map(|size| config.disk_low_bytes = size),
        show: |config| show_bytes(config.disk_low_bytes),
    },
    Key {
        name: "disk_low_of_memory",
        allowed: "a number up to 100, such as 1.5; 0 means disk_low_bytes",
        help: "The bound of `disk_low_bytes` as a multiple of the memory this process may take (RabbitMQ: disk_free_limit.relative)",
        set: |config, text| Part::parse(text).map(|part| config.disk_low_of_memory = part),
        show: |config| config.disk_low_of_memory.to_string(),
    },
    Key {
        name: "memory_high",
        allowed: "a part of the memory this process may take, such as 0.4, or bytes with a unit, such as 2GiB",
        help: "Memory of this process above which publishers are blocked (RabbitMQ: vm_memory_high_watermark.relative and .absolute); what it may take is the limit of its cgroup, or the memory of the machine",
        set: |config, text| {
            config.memory_high = match Part::parse(text) {
                Some(part) => MemoryMark::Relative(part),
                None => MemoryMark::Absolute(bytes(text, 0..=u64::MAX)?),
            };
            Some(())
        },
        show: |config| match config.memory_high {
            MemoryMark::Relative(part) => part.to_string(),
            MemoryMark::Absolute(bytes) => show_bytes(bytes),
        },
    },
    Key {
        name: "body_memory_bytes",
        allowed: "1MiB to 1024GiB",
        help: "Memory for message bodies of all queues; above, bodies of persistent messages are kept on disk only",
        set: |config, text| {
            bytes(text, MIB..=1024 * GIB).map(|size| config.body_memory_bytes = size as usize)
        },
        show: |config| show_bytes(config.body_memory_bytes as u64),
    },
    Key {
        name: "deliver",
        allowed: "after_durable or immediate",
        help: "Whether a persistent message is delivered once it is on disk, or at once: a crash may then lose a message that a consumer has seen",
        set: |config, text| {
            config.deliver = match text {
                "after_durable" => DeliverMode::AfterDurable,
                "immediate" => DeliverMode::Immediate,
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            match config.deliver {
                DeliverMode::AfterDurable => "after_durable",
                DeliverMode::Immediate => "immediate",
            }
            .to_owned()
        },
    },
    Key {
        name: "consumer_timeout_ms",
        allowed: "0 to 315360000000; 0 means never",
        help: "How long a consumer may hold a delivery without acknowledging it, in milliseconds; then the delivery goes back to its queue and the consumer is cancelled, or its channel closed with 406 if the client does not understand cancellation. `x-consumer-timeout` of a queue or a consumer goes before it",
        set: |config, text| {
            number(text, 0..=limits::EXPIRATION_MS_MAX).map(|ms| config.consumer_timeout_ms = ms)
        },
        show: |config| config.consumer_timeout_ms.to_string(),
    },
    Key {
        name: "frame_bytes_max",
        allowed: "4KiB to 128KiB",
        help: "Largest frame (frame_max) that clients may use",
        set: |config, text| {
            bytes(text, limits::FRAME_BYTES_MIN.into()..=limits::FRAME_BYTES_MAX.into())
                .map(|size| config.frame_bytes_max = size as u32)
        },
        show: |config| show_bytes(config.frame_bytes_max.into()),
    },
    Key {
        name: "channels_max",
        allowed: "1 to 65535",
        help: "Channels that one connection may open (channel_max)",
        set: |config, text| number(text, 1..=65_535).map(|count| config.channels_max = count as u16),
        show: |config| config.channels_max.to_string(),
    },
    Key {
        name: "connections_max",
        allowed: "0 or more, or off",
        help: "Connections that clients may have open together (RabbitMQ: connection_max); more are refused with 530",
        set: |config, text| {
            config.connections_max = if text == "off" { None } else { Some(number(text, 0..=u64::MAX)?) };
            Some(())
        },
        show: |config| config.connections_max.map_or_else(|| "off".to_owned(), |count| count.to_string()),
    },
    Key {
        name: "default_queue_type",
        allowed: "classic, quorum or stream",
        help: "The type of durable queues whose declaration names none, in vhosts that say nothing else",
        set: |config, text| {
            config.default_queue_kind = QueueKind::from_name(text)?;
            Some(())
        },
        show: |config| config.default_queue_kind.to_string(),
    },
    Key {
        name: "heartbeat_s",
        allowed: "0 to 65535; 0 offers none",
        help: "Heartbeat interval offered to clients, in seconds",
        set: |config, text| number(text, 0..=65_535).map(|seconds| config.heartbeat_s = seconds as u16),
        show: |config| config.heartbeat_s.to_string(),
    },
    Key {
        name: "handshake_ms",
        allowed: "100 to 600000",
        help: "Time a client has from connecting to connection.open, in milliseconds",
        set: |config, text| number(text, 100..=600_000).map(|ms| config.handshake_ms = ms),
        show: |config| config.handshake_ms.to_string(),
    },
    Key {
        name: "message_bytes_max",
        allowed: "1KiB to 512MiB, and at most half of segment_bytes",
        help: "Largest message body; larger ones are refused with 406",
        set: |config, text| bytes(text, KIB..=512 * MIB).map(|size| config.message_bytes_max = size),
        show: |config| show_bytes(config.message_bytes_max),
    },
    Key {
        name: "consumers_max",
        allowed: "1 to 10000",
        help: "Consumers that one channel may have (consumer_max_per_channel); one more ends the connection with 530",
        set: |config, text| {
            number(text, 1..=limits::CONSUMERS_PER_CHANNEL_MAX as u64)
                .map(|count| config.consumers_max = count as usize)
        },
        show: |config| config.consumers_max.to_string(),
    },
    Key {
        name: "default_user",
        allowed: "a name",
        help: "The user that a new store begins with, who administers (RabbitMQ: default_user, RABBITMQ_DEFAULT_USER)",
        set: |config, text| label(text).map(|name| config.default_user = name),
        show: |config| config.default_user.clone(),
    },
    Key {
        name: "default_pass",
        allowed: "a password",
        help: "The password of `default_user` (RabbitMQ: default_pass, RABBITMQ_DEFAULT_PASS). Better given in the environment or the file than as a flag, which everybody on the machine can see",
        set: |config, text| (!text.is_empty()).then(|| config.default_pass = Secret::new(text)),
        show: |config| {
            let is_known = config.default_pass == Config::default().default_pass;
            if is_known { "guest" } else { "(set)" }.to_owned()
        },
    },
    Key {
        name: "default_user_tags",
        allowed: "tags, separated by commas; or nothing",
        help: "The tags of `default_user` (RabbitMQ: default_user_tags)",
        set: |config, text| {
            config.default_user_tags = list(text);
            Some(())
        },
        show: |config| config.default_user_tags.join(","),
    },
    Key {
        name: "default_configure",
        allowed: "a regular expression",
        help: "What `default_user` may declare and delete in `default_vhost` (RabbitMQ: default_permissions.configure)",
        set: |config, text| default_permission(config, 0, text),
        show: |config| config.default_permissions[0].clone(),
    },
    Key {
        name: "default_write",
        allowed: "a regular expression",
        help: "What `default_user` may publish and bind to there (RabbitMQ: default_permissions.write)",
        set: |config, text| default_permission(config, 1, text),
        show: |config| config.default_permissions[1].clone(),
    },
    Key {
        name: "default_read",
        allowed: "a regular expression",
        help: "What `default_user` may consume and bind from there (RabbitMQ: default_permissions.read)",
        set: |config, text| default_permission(config, 2, text),
        show: |config| config.default_permissions[2].clone(),
    },
    Key {
        name: "default_vhost",
        allowed: "a name",
        help: "The vhost that a new store begins with (RabbitMQ: default_vhost, RABBITMQ_DEFAULT_VHOST)",
        set: |config, text| label(text).map(|name| config.default_vhost = name),
        show: |config| config.default_vhost.clone(),
    },
    Key {
        name: "loopback_users",
        allowed: "names, separated by commas; or nothing",
        help: "Users that may log in only from this machine",
        set: |config, text| {
            let names: Vec<String> =
                text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            config.loopback_users = names;
            Some(())
        },
        show: |config| config.loopback_users.join(","),
    },
    Key {
        name: "password_hashing",
        allowed: "argon2id, rabbit_password_hashing_sha256 or rabbit_password_hashing_sha512",
        help: "How new passwords are kept (RabbitMQ: password_hashing_module). With argon2id, passwords kept in RabbitMQ's ways are kept as argon2id after their next good login; a RabbitMQ imports definitions with argon2id hashes but cannot check them, so users that are to log in there as well want one of the other two",
        set: |config, text| Hashing::from_name(text).map(|hashing| config.password_hashing = hashing),
        show: |config| config.password_hashing.name().to_owned(),
    },
    Key {
        name: "product",
        allowed: "1 to 255 bytes without control characters",
        help: "Name the broker gives itself to clients; some choose their behaviour by it",
        set: |config, text| label(text).map(|label| config.product = label),
        show: |config| config.product.clone(),
    },
    Key {
        name: "product_version",
        allowed: "1 to 255 bytes without control characters",
        help: "Version the broker tells clients",
        set: |config, text| label(text).map(|label| config.product_version = label),
        show: |config| config.product_version.clone(),
    },
    Key {
        name: "cluster_name",
        allowed: "1 to 255 bytes without control characters",
        help: "Name of the installation, told to clients, tools and dashboards; with it begins the name of the node, NAME@localhost. Give each broker its own",
        set: |config, text| label(text).map(|label| config.cluster_name = label),
        show: |config| config.cluster_name.clone(),
    },
    Key {
        name: "load_definitions",
        allowed: "a file; or nothing",
        help: "Definitions in RabbitMQ's JSON that are brought in at each start, before clients are accepted: what is there \
               stays, users, rights and policies become what the file says. A file that cannot be brought in stops the \
               start. A new store begins with them alone, without `default_user` and `default_vhost`, as in RabbitMQ",
        set: |config, text| {
            config.load_definitions = (!text.is_empty()).then(|| PathBuf::from(text));
            Some(())
        },
        show: |config| {
            config.load_definitions.as_ref().map_or_else(String::new, |path| path.display().to_string())
        },
    },
];

/// Names of the signatures that tokens may have.
const SIGNATURES: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn default_permission(config: &mut Config, which: usize, text: &str) -> Option<()> {
    Pattern::new(text).ok()?;
    text.clone_into(config.default_permissions.get_mut(which)?);
    Some(())
}

impl Key {
    /// Its flag, without the dashes before it.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("LEDGERMQ_{}", self.name.to_ascii_uppercase())
    }

    /// The value it has, as a user would write it.
    pub fn text(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Its default, as a user would write it.
    pub fn default_text(&self) -> String {
        (self.show)(&Config::default())
    }
}
