//! SASL responses: PLAIN and AMQPLAIN. Parses what the client said; whether the password is right is decided elsewhere.
//! Source: RFC 4616; RabbitMQ's `rabbit_auth_mechanism_plain`, `rabbit_auth_mechanism_amqplain`.

use super::table::Fields;
use std::fmt;

/// Who the client says it is. `Debug` never shows the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Login, never empty.
    pub user: &'a str,
    /// Password, never empty.
    pub password: &'a str,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a response is no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslError {
    /// The mechanism asks for no login by name and password.
    UnknownMechanism,
    /// The response has not the form the mechanism asks for.
    Malformed,
    /// Well-formed, and refused without asking anybody: empty user or password, or another identity than the login.
    Refused,
}

/// The mechanism that asks for no password because the connection itself says who it is: offered to a client whose
/// certificate was verified and names a user. Source: RFC 4422 appendix A; RabbitMQ `rabbit_auth_mechanism_ssl`.
pub const EXTERNAL: &str = "EXTERNAL";
/// All there are, in the order in which connection.start offers them.
pub const MECHANISMS: [&str; 3] = ["PLAIN", "AMQPLAIN", EXTERNAL];

/// Reads a response to PLAIN or AMQPLAIN.
pub fn parse<'a>(mechanism: &str, response: &'a [u8]) -> Result<Credentials<'a>, SaslError> {
    let credentials = match mechanism {
        "PLAIN" => plain(response)?,
        "AMQPLAIN" => amqplain(response)?,
        _ => return Err(SaslError::UnknownMechanism),
    };
    if credentials.user.is_empty() || credentials.password.is_empty() {
        return Err(SaslError::Refused);
    }
    Ok(credentials)
}

/// `identity NUL user NUL password`. An identity may only repeat the user: nobody acts for another.
fn plain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    let text = str::from_utf8(response).map_err(|_| SaslError::Malformed)?;
    let mut parts = text.split('\0');
    let (Some(identity), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    if !identity.is_empty() && identity != user {
        return Err(SaslError::Refused);
    }
    Ok(Credentials { user, password })
}

/// A field table without its length: `LOGIN` and `PASSWORD`, both long strings.
fn amqplain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    let table = Fields::from_wire(response).map_err(|_| SaslError::Malformed)?;
    let text = |name| table.get(name).and_then(|value| value.as_str());
    let (Some(user), Some(password)) = (text("LOGIN"), text("PASSWORD")) else {
        return Err(SaslError::Malformed);
    };
    Ok(Credentials { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::table::Table;
    use crate::protocol::value::Value;

    fn check(mechanism: &str, response: &[u8], expected: Result<(&str, &str), SaslError>) {
        let expected = expected.map(|(user, password)| Credentials { user, password });
        assert_eq!(parse(mechanism, response), expected, "{mechanism} {response:?}");
    }

    #[test]
    fn plain_responses() {
        check("PLAIN", b"\0guest\0secret", Ok(("guest", "secret")));
        check("PLAIN", b"guest\0guest\0secret", Ok(("guest", "secret")));
        check("PLAIN", "\0grüße\0pässword".as_bytes(), Ok(("grüße", "pässword")));
        check("PLAIN", b"root\0guest\0secret", Err(SaslError::Refused));
        check("PLAIN", b"\0guest\0", Err(SaslError::Refused));
        check("PLAIN", b"\0\0secret", Err(SaslError::Refused));
        check("PLAIN", b"\0\0", Err(SaslError::Refused));
        check("PLAIN", b"", Err(SaslError::Malformed));
        check("PLAIN", b"guest", Err(SaslError::Malformed));
        check("PLAIN", b"\0guest", Err(SaslError::Malformed));
        check("PLAIN", b"\0guest\0secret\0", Err(SaslError::Malformed));
        check("PLAIN", b"\0\0\0", Err(SaslError::Malformed));
        check("PLAIN", b"\0gu\xffest\0secret", Err(SaslError::Malformed));
        let user = "u".repeat(8192);
        check("PLAIN", format!("\0{user}\0secret").as_bytes(), Ok((&user, "secret")));
    }

    #[test]
    fn amqplain_responses() {
        let pairs = [("LOGIN", Value::text("guest")), ("PASSWORD", Value::text("secret"))];
        check("AMQPLAIN", Table::from_pairs(&pairs).as_bytes(), Ok(("guest", "secret")));
        let typed = [("LOGIN", Value::I32(1)), ("PASSWORD", Value::text("secret"))];
        check("AMQPLAIN", Table::from_pairs(&typed).as_bytes(), Err(SaslError::Malformed));
        let empty = [("LOGIN", Value::text("guest")), ("PASSWORD", Value::text(""))];
        check("AMQPLAIN", Table::from_pairs(&empty).as_bytes(), Err(SaslError::Refused));
        check("AMQPLAIN", Table::from_pairs(&pairs[..1]).as_bytes(), Err(SaslError::Malformed));
        check("AMQPLAIN", b"", Err(SaslError::Malformed));
        check("AMQPLAIN", b"\x05abc", Err(SaslError::Malformed));
    }

    #[test]
    fn other_mechanisms() {
        for mechanism in ["", "plain", "EXTERNAL", "ANONYMOUS", "PLAIN AMQPLAIN"] {
            check(mechanism, b"\0guest\0guest", Err(SaslError::UnknownMechanism));
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", parse("PLAIN", b"\0guest\0hunter2"));
        assert!(shown.contains("guest") && !shown.contains("hunter2"), "{shown}");
    }
}
