//! Which broker is meant: host, port, user, password and vhost, from a URI or from single options.
//! Source: RabbitMQ's AMQP 0-9-1 URI specification.

use std::path::PathBuf;

/// Where Debian keeps the authorities that everybody trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The port of AMQP over TLS.
const TLS_PORT: u16 = 5671;

/// A broker, and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Target {
    pub(in crate::cli) host: String,
    pub(in crate::cli) port: u16,
    pub(in crate::cli) user: String,
    pub(in crate::cli) password: String,
    pub(in crate::cli) vhost: String,
    /// The file with the authorities that may sign the broker's certificate; `None`: no TLS.
    pub(in crate::cli) authorities: Option<PathBuf>,
    /// What we call ourselves.
    pub(in crate::cli) client: &'static str,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5672,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
            authorities: None,
            client: "ledgermq bench",
        }
    }
}

impl Target {
    /// Reads `amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]`; what is left out is as in [`Self::default`]. Percent signs escape.
    /// The error is a sentence.
    pub(in crate::cli) fn parse(uri: &str) -> Result<Self, String> {
        let mut target = Self::default();
        let rest = match uri.split_once("://") {
            Some(("amqp", rest)) => rest,
            Some(("amqps", rest)) => {
                target.port = TLS_PORT;
                target.authorities = Some(AUTHORITIES.into());
                rest
            }
            Some(_) | None => return Err(format!("{uri:?} is no amqp:// URI")),
        };
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            target.vhost = unescape(path)?;
        }
        let place = match authority.rsplit_once('@') {
            Some((credentials, place)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, &target.password));
                (target.user, target.password) = (unescape(user)?, unescape(password)?);
                place
            }
            None => authority,
        };
        let (host, port) = split_port(place)?;
        if let Some(port) = port {
            target.port = port;
        }
        if !host.is_empty() {
            target.host = unescape(host)?;
        }
        Ok(target)
    }

    /// `HOST:PORT`, as error messages name it.
    pub(in crate::cli) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Host without the brackets of an IPv6 address, and the port behind it.
fn split_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(text) => Some(text.parse().map_err(|_| format!("{text:?} is no port"))?),
        None => None,
    };
    Ok((host, port))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
        });
        bytes.push(
            digits.ok_or_else(|| format!("{text:?} has a percent sign without two hexadecimal digits"))?,
        );
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8 when unescaped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: Result<(&str, u16, &str, &str, &str), &str>) {
        match (Target::parse(uri), expected) {
            (Ok(found), Ok((host, port, user, password, vhost))) => {
                let found = (&*found.host, found.port, &*found.user, &*found.password, &*found.vhost);
                assert_eq!(found, (host, port, user, password, vhost), "{uri}");
            }
            (Err(found), Err(words)) => assert!(found.contains(words), "{uri}: {found}"),
            (found, expected) => panic!("{uri}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn uris_say_what_they_leave_out_by_default() {
        check("amqp://", Ok(("127.0.0.1", 5672, "guest", "guest", "/")));
        check("amqp://mq", Ok(("mq", 5672, "guest", "guest", "/")));
        check("amqp://mq:5673/", Ok(("mq", 5673, "guest", "guest", "/")));
        check("amqp://eve@mq", Ok(("mq", 5672, "eve", "guest", "/")));
        check("amqp://eve:pw@mq:1/shop", Ok(("mq", 1, "eve", "pw", "shop")));
        check("amqp://e%40x:p%2f@mq/%2f?heartbeat=5", Ok(("mq", 5672, "e@x", "p/", "/")));
        check("amqp://[::1]:7000/v", Ok(("::1", 7000, "guest", "guest", "v")));
    }

    #[test]
    fn with_tls_port_and_authorities_are_others() {
        let target = Target::parse("amqps://eve:pw@mq/shop").unwrap();
        assert_eq!((target.port, &*target.vhost), (TLS_PORT, "shop"));
        assert_eq!(target.authorities, Some(AUTHORITIES.into()));
        assert_eq!(Target::parse("amqps://mq:1").unwrap().port, 1);
        assert_eq!(Target::parse("amqp://mq").unwrap().authorities, None);
    }

    #[test]
    fn what_is_no_uri_is_refused_in_words() {
        check("http://mq", Err("no amqp:// URI"));
        check("mq:5672", Err("no amqp:// URI"));
        check("amqp://mq:port", Err("\"port\" is no port"));
        check("amqp://mq/%2", Err("two hexadecimal digits"));
        check("amqp://mq/%ff", Err("not UTF-8"));
    }

    #[test]
    fn places_of_ipv6_carry_brackets() {
        let target = Target { host: "::1".to_owned(), ..Target::default() };
        assert_eq!(target.place(), "[::1]:5672");
    }
}
