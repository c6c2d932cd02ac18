//! The payload of a content header: the check agrees with a plain reading, and whatever the broker changes of the properties
//! (headers, expiration, reply-to, the mark of further keys) leaves all others as they came.

use super::table::is_table;
use bytes::Bytes;
use ledgermq::message::{Holders, Message};
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::header_keys::UnacceptableHeader;
use ledgermq::protocol::properties::Properties;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use ledgermq::protocol::wire::Reader;

/// The payload of a content header frame.
pub fn run(input: &[u8]) {
    let expected = expected(input);
    match ContentHeader::decode(input) {
        Ok(header) => {
            assert_eq!((header.body_bytes, header.properties), expected.expect("refused, and was read"));
            check(header.properties);
        }
        Err(error) => {
            assert!(expected.is_none(), "read, and was refused with {error}");
            assert!(matches!(error.code.code(), 501 | 502 | 505), "{error}");
            assert!(error.reply_text().len() <= 255, "{error}");
        }
    }
    // Readers are safe on bytes that nobody checked: what a damaged disk holds.
    let unchecked = Properties::new(input);
    let _ = (all(unchecked), unchecked.headers().iter().count(), unchecked.shown());
    let _ = (unchecked.with_headers(&Table::default()), unchecked.with_reply_to("x"));
    let _ = (unchecked.admit(), unchecked.without_expiration(), unchecked.without_mark());
}

/// Letters of the properties' types, from bit 15 of the flags down.
const KINDS: &[u8; 14] = b"ssFBBssssTssss";

fn expected(payload: &[u8]) -> Option<(u64, &[u8])> {
    let mut reader = Reader::new(payload);
    let (class, weight, body_bytes) = (reader.short().ok()?, reader.short().ok()?, reader.long_long().ok()?);
    let properties = reader.rest();
    let flags = reader.short().ok()?;
    if class != 60 || weight != 0 || flags & 0b11 != 0 {
        return None;
    }
    for (_, kind) in KINDS.iter().enumerate().filter(|(bit, _)| flags & (0x8000 >> bit) != 0) {
        let read = match kind {
            b's' => reader.short_string().is_ok(),
            b'F' => reader.long_string().is_ok_and(is_table),
            b'B' => reader.octet().is_ok(),
            _ => reader.long_long().is_ok(),
        };
        if !read {
            return None;
        }
    }
    reader.end().ok().map(|()| (body_bytes, properties))
}

/// All properties but headers, expiration and reply-to.
type Others<'a> = ([Option<&'a str>; 8], Option<u8>, Option<u8>, Option<u64>);

fn others(properties: Properties<'_>) -> Others<'_> {
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.message_id(),
        properties.kind(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    (texts, properties.delivery_mode(), properties.priority(), properties.timestamp())
}

fn all(properties: Properties<'_>) -> (Others<'_>, &[u8], Option<&str>, Option<&str>) {
    let headers = properties.headers().as_bytes();
    (others(properties), headers, properties.expiration(), properties.reply_to())
}

fn check(bytes: &[u8]) {
    let properties = Properties::new(bytes);
    assert_eq!(properties.has_expiration(), properties.expiration().is_some());
    assert!(!properties.has_more_keys(), "a client cannot set the mark");

    let bare = properties.with_headers(&Table::default());
    let bare = accepted(&bare);
    assert!(bare.headers().is_empty());
    assert_eq!((others(bare), bare.expiration()), (others(properties), properties.expiration()));
    let table = Table::from_pairs(&[("n", Value::I32(1))]);
    let with = properties.with_headers(&table);
    assert_eq!(accepted(&with).headers().as_bytes(), table.as_bytes());
    assert_eq!(others(accepted(&with)), others(properties));
    if !properties.headers().is_empty() {
        assert_eq!(properties.with_headers(&properties.headers().to_table()), bytes, "the same again");
    }

    let lasting = properties.without_expiration();
    let expected = (others(properties), properties.headers().as_bytes(), None, properties.reply_to());
    assert_eq!(all(accepted(&lasting)), expected);
    let elsewhere = properties.with_reply_to("elsewhere");
    let expected =
        (others(properties), properties.headers().as_bytes(), properties.expiration(), Some("elsewhere"));
    assert_eq!(all(accepted(&elsewhere)), expected);

    match properties.admit() {
        Ok(marked) => check_marked(bytes, marked),
        Err(UnacceptableHeader { name, .. }) => {
            assert!(!matches!(properties.headers().get(name), None | Some(Value::Array(_))));
        }
    }
    let message = Message {
        exchange: "".into(),
        routing_key: "".into(),
        properties: Bytes::copy_from_slice(bytes),
        body: Bytes::new(),
        persistent: false,
        dead_lettered: false,
        holders: Holders::default(),
    };
    assert!(message.expiration_ms().is_none() || properties.expiration().is_some());
}

/// The properties as a message keeps them.
fn check_marked(bytes: &[u8], marked: Option<Bytes>) {
    let properties = Properties::new(bytes);
    let has_keys = properties.headers().get("CC").is_some() || properties.headers().get("BCC").is_some();
    assert_eq!(marked.is_some(), has_keys);
    let Some(marked) = marked else { return assert_eq!(&*properties.shown(), bytes) };
    let marked = Properties::new(&marked);
    assert!(marked.has_more_keys() && all(marked) == all(properties));
    assert_eq!(marked.without_mark(), bytes);
    let _ = marked.more_keys().count();
    let shown = marked.shown();
    let shown = accepted(&shown);
    assert!(shown.headers().get("BCC").is_none());
    assert_eq!((others(shown), shown.expiration()), (others(properties), properties.expiration()));
}

/// Properties that clients would read without complaint.
fn accepted(properties: &[u8]) -> Properties<'_> {
    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], properties].concat();
    assert!(ContentHeader::decode(&payload).is_ok(), "{properties:?}");
    Properties::new(properties)
}
