//! What a bearer token allows: tags, vhosts, and names of queues and exchanges by kind of access. Scopes are those of
//! RabbitMQ's OAuth 2 plugin: `read:vhost/name`, `write:vhost/name/key`, `tag:administrator`, with `*` for any text. Knows
//! neither signatures nor time; whether a token is genuine was found out before.
//! Source: RabbitMQ `rabbit_oauth2_scope`, `rabbit_auth_backend_oauth2`, `wildcard`.

use super::{Access, LdapRights};
use crate::limits::TOKEN_SCOPES_MAX;
use std::sync::Arc;

/// A token that was found genuine.
#[derive(Clone, Debug)]
pub struct Token {
    /// Who it is for.
    pub user: Arc<str>,
    /// When it ends, seconds since 1970.
    pub expires_unix_s: u64,
    tags: Vec<String>,
    scopes: Vec<Scope>,
    /// It is none: a directory says what its user may do.
    directory: Option<Arc<LdapRights>>,
}

/// The end of the year 9999.
const NEVER_UNIX_S: u64 = 253_402_300_799;

/// One scope that allows access.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    access: Access,
    vhost: Wildcard,
    name: Wildcard,
    key: Wildcard,
}

impl Token {
    /// A token of `user`. Of `scopes` those count that begin with `prefix`; what is none of ours is passed over.
    ///
    /// # Errors
    /// A sentence for the log, if there are more scopes than [`TOKEN_SCOPES_MAX`].
    pub fn new<'a>(
        user: Arc<str>,
        expires_unix_s: u64,
        prefix: &str,
        scopes: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut token = Self { user, expires_unix_s, tags: Vec::new(), scopes: Vec::new(), directory: None };
        for scope in scopes.filter_map(|scope| scope.strip_prefix(prefix)) {
            if token.tags.len() + token.scopes.len() >= TOKEN_SCOPES_MAX {
                return Err(format!("a token may have {TOKEN_SCOPES_MAX} scopes"));
            }
            match scope.strip_prefix("tag:") {
                Some(tag) => token.tags.push(tag.to_owned()),
                None => token.scopes.extend(Scope::parse(scope)),
            }
        }
        Ok(token)
    }

    /// The same for a user that a directory let in: it has no end, and the directory's answers are its scopes.
    pub fn of_directory(rights: Arc<LdapRights>) -> Self {
        Self {
            user: Arc::clone(rights.user()),
            expires_unix_s: NEVER_UNIX_S,
            tags: rights.tags().to_vec(),
            scopes: Vec::new(),
            directory: Some(rights),
        }
    }

    /// Whether a directory let its user in, by password.
    pub fn is_of_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// Tags of its user.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether it opens the vhost at all.
    pub fn has_access(&self, vhost: &str) -> bool {
        match &self.directory {
            Some(rights) => rights.has_access(vhost),
            None => self.scopes.iter().any(|scope| scope.vhost.matches(vhost)),
        }
    }

    /// Whether it allows that with the queue or exchange of this name. The key of a scope restricts topics only.
    pub fn may(&self, vhost: &str, access: Access, name: &str) -> bool {
        match &self.directory {
            Some(rights) => rights.may(vhost, access, name),
            None => self.about(vhost, access, name).next().is_some(),
        }
    }

    /// Whether it allows that with this key at a topic exchange.
    pub fn may_use_key(&self, vhost: &str, exchange: &str, access: Access, key: &str) -> bool {
        match &self.directory {
            Some(rights) => rights.may_use_key(vhost, exchange, access, key),
            None => self.about(vhost, access, exchange).any(|scope| scope.key.matches(key)),
        }
    }

    fn about<'a>(&'a self, vhost: &'a str, access: Access, name: &'a str) -> impl Iterator<Item = &'a Scope> {
        self.scopes.iter().filter(move |scope| {
            scope.access == access && scope.vhost.matches(vhost) && scope.name.matches(name)
        })
    }
}

impl Scope {
    /// `access:vhost/name` or `access:vhost/name/key`.
    fn parse(text: &str) -> Option<Self> {
        let (access, rest) = text.split_once(':')?;
        let access = match access {
            "configure" => Access::Configure,
            "write" => Access::Write,
            "read" => Access::Read,
            _ => return None,
        };
        let mut parts = rest.splitn(3, '/');
        let vhost = Wildcard::parse(parts.next()?)?;
        let name = Wildcard::parse(parts.next()?)?;
        let key = Wildcard::parse(parts.next().unwrap_or("*"))?;
        Some(Self { access, vhost, name, key })
    }
}

/// A text in which each `*` stands for any text; what `%2A` and `%2F` stand for is meant literally.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wildcard {
    /// What stands between the stars: at least one part.
    parts: Vec<String>,
}

impl Wildcard {
    fn parse(text: &str) -> Option<Self> {
        let parts: Option<Vec<String>> = text.split('*').map(decoded).collect();
        parts.map(|parts| Self { parts })
    }

    fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(text) = text.strip_prefix(first.as_str()) else { return false };
        let Some(mut text) = text.strip_suffix(last.as_str()) else { return false };
        // The first place each part fits is as good as any other, so nothing is tried twice.
        for part in middle {
            let Some((_, behind)) = text.split_once(part.as_str()) else { return false };
            text = behind;
        }
        true
    }
}

/// Percent-encoding taken back; `None` if it is none, or gives no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits =
            str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(scopes: &[&str]) -> Token {
        Token::new("ann".into(), 0, "broker.", scopes.iter().copied()).unwrap()
    }

    #[test]
    fn scopes_allow_what_they_name() {
        let token = token(&[
            "broker.read:finance/orders",
            "broker.write:finance/orders-*",
            "broker.configure:*/temp-*-x",
            "broker.write:%2F/amq.topic/eu.*",
            "broker.tag:monitoring",
            "read:finance/secret",
            "other.read:finance/secret",
            "broker.delete:finance/orders",
            "broker.read:finance",
            "broker.read:%zz/orders",
        ]);
        assert_eq!(token.tags(), ["monitoring"]);
        for (vhost, access, name, expected) in [
            ("finance", Access::Read, "orders", true),
            ("finance", Access::Read, "orders2", false),
            ("finance", Access::Write, "orders", false),
            ("finance", Access::Write, "orders-", true),
            ("finance", Access::Write, "orders-eu", true),
            ("finance", Access::Read, "secret", false),
            ("other", Access::Read, "orders", false),
            ("other", Access::Configure, "temp-1-x", true),
            ("other", Access::Configure, "temp-x", false),
            ("/", Access::Write, "amq.topic", true),
            ("/", Access::Read, "amq.topic", false),
        ] {
            assert_eq!(token.may(vhost, access, name), expected, "{vhost} {access:?} {name}");
        }
        assert!(token.may_use_key("/", "amq.topic", Access::Write, "eu.orders"));
        assert!(!token.may_use_key("/", "amq.topic", Access::Write, "us.orders"));
        assert!(token.may_use_key("finance", "orders", Access::Read, "any"), "no key is any key");
        assert!(token.has_access("anywhere"), "configure:* is about every vhost");
    }

    #[test]
    fn a_token_without_scopes_opens_nothing() {
        let token = token(&["broker.tag:administrator"]);
        assert!(!token.has_access("/") && !token.may("/", Access::Read, "q"));
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a**b", "ab", true),
            ("%2A", "*", true),
            ("%2A", "x", false),
            ("a%2Fb", "a/b", true),
            ("a.b", "axb", false),
        ] {
            let wildcard = Wildcard::parse(pattern).unwrap();
            assert_eq!(wildcard.matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_token_of_very_many_scopes_is_refused() {
        let scopes = vec!["broker.read:a/b"; TOKEN_SCOPES_MAX + 1];
        assert!(Token::new("ann".into(), 0, "broker.", scopes.into_iter()).is_err());
    }
}
