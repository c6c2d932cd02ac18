//! The content header: how long the body is, and the properties as bytes, checked but not decoded.
//! Source: AMQP 0-9-1 §4.2.6.1.

use super::frame;
use super::properties;
use super::reply::{ConnectionCode, ConnectionError};
use super::wire::Reader;

/// A content header of class basic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// Length of the body, bytes; what the publisher claims, to be bounded before anything is allocated by it.
    pub body_bytes: u64,
    /// Property flags and property list, checked; [`super::properties::Properties`] reads them.
    pub properties: &'a [u8],
}

/// What is refused where a content header is due.
pub const NOT_A_HEADER: &str = "expected content header for class 60, got non content header frame instead";
/// The only class with content.
const CLASS_BASIC: u16 = 60;

impl<'a> ContentHeader<'a> {
    /// Reads the payload of a header frame and checks every property.
    ///
    /// Another class is refused as RabbitMQ does (505); properties that cannot be read, over which RabbitMQ closes with
    /// an internal error, are refused with 502.
    pub fn decode(payload: &'a [u8]) -> Result<Self, ConnectionError> {
        let mut reader = Reader::new(payload);
        let (Ok(class), Ok(weight), Ok(body_bytes)) = (reader.short(), reader.short(), reader.long_long())
        else {
            return Err(frame::unknown_frame(frame::HEADER, payload));
        };
        if weight != 0 {
            // To RabbitMQ a weight, which the protocol wants to be 0, makes it something else than a header.
            return Err(ConnectionError::new(ConnectionCode::UnexpectedFrame, NOT_A_HEADER));
        }
        if class != CLASS_BASIC {
            return Err(ConnectionError::new(
                ConnectionCode::UnexpectedFrame,
                format!("expected content header for class 60, got one for class {class} instead"),
            ));
        }
        let properties = reader.rest();
        properties::check(properties).map_err(|error| {
            ConnectionError::new(ConnectionCode::SyntaxError, format!("cannot decode properties: {error}"))
        })?;
        Ok(Self { body_bytes, properties })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: u16, body_bytes: u64, properties: &[u8], expected: Result<(), &str>) {
        let head = [class.to_be_bytes(), [0, 0]].concat();
        let payload = [&head[..], &body_bytes.to_be_bytes(), properties].concat();
        let got = ContentHeader::decode(&payload);
        match expected {
            Ok(()) => assert_eq!(got, Ok(ContentHeader { body_bytes, properties })),
            Err(text) => assert_eq!(got.expect_err("refused").to_string(), text),
        }
    }

    #[test]
    fn reads_and_refuses() {
        check(60, 5, &[0, 0], Ok(()));
        check(60, u64::MAX, &[0x10, 0, 2], Ok(()));
        check(60, 0, b"\xb0\0\x04text\0\0\0\x04\x01at\x01\x02", Ok(()));
        let class =
            "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead";
        check(50, 0, &[0, 0], Err(class));
        let weighty =
            ContentHeader::decode(&[0, 50, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).expect_err("refused");
        assert_eq!(weighty.to_string(), format!("505 UNEXPECTED_FRAME - {NOT_A_HEADER}"));
        let end = "502 SYNTAX_ERROR - cannot decode properties: a field reaches past the end";
        check(60, 0, &[], Err(end));
        check(60, 0, &[0x80, 0], Err(end));
        check(60, 0, &[0x80, 0, 5, b'a'], Err(end));
        check(60, 0, &[0x20, 0, 0, 0, 0, 9], Err(end));
        let flags = "502 SYNTAX_ERROR - cannot decode properties: unknown property flags";
        check(60, 0, &[0, 1, 0, 0], Err(flags));
        check(60, 0, &[0, 2], Err(flags));
        let left = "502 SYNTAX_ERROR - cannot decode properties: bytes left over after the last field";
        check(60, 0, &[0, 0, 7], Err(left));
        let letter = "502 SYNTAX_ERROR - cannot decode properties: unknown field type 'Z'";
        check(60, 0, b"\x20\0\0\0\0\x03\x01aZ", Err(letter));
    }

    #[test]
    fn no_length_makes_it_panic() {
        for length in 0..32 {
            for filler in [0, 60, 0xFF] {
                let mut payload = vec![0, 60];
                payload.resize(length, filler);
                let _ = ContentHeader::decode(&payload);
            }
        }
    }
}
