//! The eight bytes a client opens its connection with, and the eight the broker answers when it does not speak that
//! protocol. Knows no sockets: the caller decides what to log and when to close.
//! Source: AMQP 0-9-1 §4.2.2; RabbitMQ also takes 0-9's header (`AMQP 1 1 0 9`) for 0-9-1.

/// Length of a protocol header, bytes.
pub const PROTOCOL_HEADER_BYTES: usize = 8;

/// What the broker speaks, and what it writes to whoever opens with something else before it closes.
pub const AMQP_0_9_1: [u8; PROTOCOL_HEADER_BYTES] = *b"AMQP\x00\x00\x09\x01";

const AMQP_0_9: [u8; PROTOCOL_HEADER_BYTES] = *b"AMQP\x01\x01\x00\x09";

/// What the first bytes of a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Too few bytes to tell.
    Incomplete,
    /// A client of ours: eight bytes are used up, connection.start is due.
    Amqp,
    /// AMQP in another version: answer [`AMQP_0_9_1`] and close.
    OtherAmqp,
    /// A browser or health check on the wrong port: answer [`AMQP_0_9_1`] and close.
    Http,
    /// A TLS handshake on the plain port: answer [`AMQP_0_9_1`] and close.
    Tls,
    /// Anything else: answer [`AMQP_0_9_1`] and close.
    Unknown,
}

/// Tells what a connection opens with. Decides as soon as the bytes cannot be AMQP any more, so that a stranger who
/// sends three bytes and waits is not waited for.
pub fn opening(input: &[u8]) -> Opening {
    let head = input.get(..PROTOCOL_HEADER_BYTES).unwrap_or(input);
    if head == AMQP_0_9_1 || head == AMQP_0_9 {
        return Opening::Amqp;
    }
    if head.len() < PROTOCOL_HEADER_BYTES && b"AMQP".iter().zip(head).all(|(expected, got)| expected == got) {
        return Opening::Incomplete;
    }
    if head.starts_with(b"AMQP") {
        return Opening::OtherAmqp;
    }
    if head.starts_with(&[0x16, 0x03]) {
        return Opening::Tls;
    }
    let http = [&b"GET "[..], b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI "];
    if http.iter().any(|verb| head.starts_with(verb)) {
        return Opening::Http;
    }
    Opening::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_connection_opens_with() {
        fn check(input: &[u8], expected: Opening) {
            assert_eq!(opening(input), expected, "{input:?}");
        }
        check(b"", Opening::Incomplete);
        check(b"A", Opening::Incomplete);
        check(b"AMQP\x00\x00\x09", Opening::Incomplete);
        check(b"AMQP\x00\x00\x09\x01", Opening::Amqp);
        check(b"AMQP\x00\x00\x09\x01\x01\x00", Opening::Amqp);
        check(b"AMQP\x01\x01\x00\x09", Opening::Amqp);
        check(b"AMQP\x03\x01\x00\x00", Opening::OtherAmqp);
        check(b"AMQP\x00\x01\x00\x00", Opening::OtherAmqp);
        check(b"AMQP\x01\x01\x08\x00", Opening::OtherAmqp);
        check(b"GET / HTTP/1.1", Opening::Http);
        check(b"PRI * HTTP/2.0", Opening::Http);
        check(b"\x16\x03\x01\x02\x00\x01", Opening::Tls);
        check(b"X", Opening::Unknown);
        check(b"AMQX", Opening::Unknown);
        check(b"\x00\x00\x00\x00\x00\x00\x00\x00", Opening::Unknown);
    }
}
