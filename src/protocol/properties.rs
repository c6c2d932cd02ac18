//! Message properties, read out of the bytes they came in when somebody asks for one. A message keeps its bytes; only
//! what the broker itself changes is encoded again, and all else is copied as it stands.
//!
//! ```text
//! flags:2  (bit 15 first)  then each property whose bit is set, in the order of the bits
//! ```
//!
//! Every reader is safe on any bytes: a property that cannot be read is absent.

use super::table::{Fields, Table};
use super::wire::{Reader, WireError, cut_to_short_string};
use bytes::{BufMut, Bytes};
use std::fmt;

/// How a property is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    ShortString,
    Table,
    Octet,
    LongLong,
}

/// A property: its flag and its form. The order on the wire is that of the flags, from the highest.
#[derive(Clone, Copy)]
struct Property {
    flag: u16,
    form: Form,
}

const CONTENT_TYPE: Property = Property { flag: 1 << 15, form: Form::ShortString };
const CONTENT_ENCODING: Property = Property { flag: 1 << 14, form: Form::ShortString };
const HEADERS: Property = Property { flag: 1 << 13, form: Form::Table };
const DELIVERY_MODE: Property = Property { flag: 1 << 12, form: Form::Octet };
const PRIORITY: Property = Property { flag: 1 << 11, form: Form::Octet };
const CORRELATION_ID: Property = Property { flag: 1 << 10, form: Form::ShortString };
const REPLY_TO: Property = Property { flag: 1 << 9, form: Form::ShortString };
const EXPIRATION: Property = Property { flag: 1 << 8, form: Form::ShortString };
const MESSAGE_ID: Property = Property { flag: 1 << 7, form: Form::ShortString };
const TIMESTAMP: Property = Property { flag: 1 << 6, form: Form::LongLong };
const KIND: Property = Property { flag: 1 << 5, form: Form::ShortString };
const USER_ID: Property = Property { flag: 1 << 4, form: Form::ShortString };
const APP_ID: Property = Property { flag: 1 << 3, form: Form::ShortString };
const CLUSTER_ID: Property = Property { flag: 1 << 2, form: Form::ShortString };

/// In the order of the wire.
const ALL: [Property; 14] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    HEADERS,
    DELIVERY_MODE,
    PRIORITY,
    CORRELATION_ID,
    REPLY_TO,
    EXPIRATION,
    MESSAGE_ID,
    TIMESTAMP,
    KIND,
    USER_ID,
    APP_ID,
    CLUSTER_ID,
];

/// Bit 0 announces further flags, bit 1 names nothing: both are refused. The broker itself marks with the latter what
/// it has admitted: see `header_keys`.
const UNKNOWN_FLAGS: u16 = 0b11;

/// Checks flags and property list to the last byte.
pub(super) fn check(bytes: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.short()?;
    if flags & UNKNOWN_FLAGS != 0 {
        return Err(WireError::PropertyFlags);
    }
    for property in ALL {
        if flags & property.flag == 0 {
            continue;
        }
        match property.form {
            Form::ShortString => drop(reader.short_string()?),
            Form::Table => drop(reader.table()?),
            Form::Octet => drop(reader.octet()?),
            Form::LongLong => drop(reader.long_long()?),
        }
    }
    reader.end()
}

/// The properties of a message: flags and property list, borrowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The properties in the bytes of a content header from the flags on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Flags and property list as they stand.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// MIME type.
    pub fn content_type(&self) -> Option<&'a str> {
        self.short_string(CONTENT_TYPE)
    }

    /// MIME encoding.
    pub fn content_encoding(&self) -> Option<&'a str> {
        self.short_string(CONTENT_ENCODING)
    }

    /// Headers, borrowed; empty if there are none.
    pub fn headers(&self) -> Fields<'a> {
        self.find(HEADERS)
            .and_then(|mut reader| reader.long_string().ok())
            .map_or_else(Fields::default, Fields::trusted)
    }

    /// 1 transient, 2 persistent; any other means transient.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.find(DELIVERY_MODE)?.octet().ok()
    }

    /// 0..=255.
    pub fn priority(&self) -> Option<u8> {
        self.find(PRIORITY)?.octet().ok()
    }

    /// Correlation of request and reply.
    pub fn correlation_id(&self) -> Option<&'a str> {
        self.short_string(CORRELATION_ID)
    }

    /// Where a reply goes.
    pub fn reply_to(&self) -> Option<&'a str> {
        self.short_string(REPLY_TO)
    }

    /// Time to live in ms, as text.
    pub fn expiration(&self) -> Option<&'a str> {
        self.short_string(EXPIRATION)
    }

    /// Whether there is an `expiration`: a look at one bit.
    pub fn has_expiration(&self) -> bool {
        self.bytes.first().is_some_and(|flags| u16::from(*flags) << 8 & EXPIRATION.flag != 0)
    }

    /// The publisher's name for the message.
    pub fn message_id(&self) -> Option<&'a str> {
        self.short_string(MESSAGE_ID)
    }

    /// Seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.find(TIMESTAMP)?.long_long().ok()
    }

    /// The publisher's name for the kind of message; `type` on the wire.
    pub fn kind(&self) -> Option<&'a str> {
        self.short_string(KIND)
    }

    /// Who published; must be the login.
    pub fn user_id(&self) -> Option<&'a str> {
        self.short_string(USER_ID)
    }

    /// Which application published.
    pub fn app_id(&self) -> Option<&'a str> {
        self.short_string(APP_ID)
    }

    /// Unused since AMQP 0-9-1, and passed on.
    pub fn cluster_id(&self) -> Option<&'a str> {
        self.short_string(CLUSTER_ID)
    }

    /// The same properties with other headers; an empty table removes them. All else is copied as it stands.
    pub fn with_headers(&self, headers: &Table) -> Bytes {
        self.with_headers_if(headers, !headers.is_empty())
    }

    /// The same with an empty table kept as such.
    pub(super) fn with_headers_kept(&self, headers: &Table) -> Bytes {
        self.with_headers_if(headers, true)
    }

    fn with_headers_if(&self, headers: &Table, kept: bool) -> Bytes {
        let mut before = Reader::new(self.bytes);
        let flags = before.short().unwrap_or_default();
        let list = before.rest();
        for property in [CONTENT_TYPE, CONTENT_ENCODING] {
            if flags & property.flag != 0 {
                let _ = skip(&mut before, property.form);
            }
        }
        let mut after = before;
        if flags & HEADERS.flag != 0 {
            let _ = skip(&mut after, HEADERS.form);
        }
        let before = list.get(..list.len() - before.rest().len()).unwrap_or_default();
        let mut out = Vec::with_capacity(self.bytes.len() + headers.as_bytes().len() + 6);
        if kept {
            out.put_u16(flags | HEADERS.flag);
            out.extend_from_slice(before);
            out.put_u32(headers.as_bytes().len() as u32);
            out.extend_from_slice(headers.as_bytes());
        } else {
            out.put_u16(flags & !HEADERS.flag);
            out.extend_from_slice(before);
        }
        out.extend_from_slice(after.rest());
        out.into()
    }

    /// The same properties without `expiration`. All else is copied as it stands.
    pub fn without_expiration(&self) -> Bytes {
        let Some(mut after) = self.find(EXPIRATION) else { return Bytes::copy_from_slice(self.bytes) };
        let before = self.bytes.len() - after.rest().len();
        let _ = skip(&mut after, EXPIRATION.form);
        let flags = Reader::new(self.bytes).short().unwrap_or_default();
        let mut out = Vec::with_capacity(self.bytes.len());
        out.put_u16(flags & !EXPIRATION.flag);
        out.extend_from_slice(self.bytes.get(2..before).unwrap_or_default());
        out.extend_from_slice(after.rest());
        out.into()
    }

    /// The same properties with another `reply-to`, cut to a short string. All else is copied as it stands.
    pub fn with_reply_to(&self, reply_to: &str) -> Bytes {
        let mut at = Reader::new(self.bytes);
        let flags = at.short().unwrap_or_default();
        let list = at.rest();
        for property in ALL.iter().take_while(|property| property.flag > REPLY_TO.flag) {
            if flags & property.flag != 0 {
                let _ = skip(&mut at, property.form);
            }
        }
        let before = list.get(..list.len() - at.rest().len()).unwrap_or_default();
        if flags & REPLY_TO.flag != 0 {
            let _ = skip(&mut at, REPLY_TO.form);
        }
        let reply_to = cut_to_short_string(reply_to);
        let mut out = Vec::with_capacity(self.bytes.len() + reply_to.len() + 1);
        out.put_u16(flags | REPLY_TO.flag);
        out.extend_from_slice(before);
        out.put_u8(reply_to.len() as u8);
        out.extend_from_slice(reply_to.as_bytes());
        out.extend_from_slice(at.rest());
        out.into()
    }

    fn short_string(&self, property: Property) -> Option<&'a str> {
        self.find(property)?.short_string().ok()
    }

    /// Stands before the property, if there is one.
    fn find(&self, wanted: Property) -> Option<Reader<'a>> {
        let mut reader = Reader::new(self.bytes);
        let flags = reader.short().ok()?;
        if flags & wanted.flag == 0 {
            return None;
        }
        for property in ALL {
            if property.flag == wanted.flag {
                break;
            }
            if flags & property.flag != 0 {
                skip(&mut reader, property.form).ok()?;
            }
        }
        Some(reader)
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = Reader::new(self.bytes).short().unwrap_or_default();
        f.debug_struct("Properties").field("flags", &format_args!("{flags:#06x}")).finish_non_exhaustive()
    }
}

/// Passes over a property without looking into it.
fn skip(reader: &mut Reader<'_>, form: Form) -> Result<(), WireError> {
    match form {
        Form::ShortString => {
            let length = reader.octet()?;
            reader.slice(usize::from(length))?;
        }
        Form::Table => drop(reader.long_string()?),
        Form::Octet => drop(reader.octet()?),
        Form::LongLong => drop(reader.long_long()?),
    }
    Ok(())
}

/// Properties of a message the broker or a test makes itself. Texts longer than a short string are cut.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `Properties`")]
pub struct PropertyList<'a> {
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    pub headers: Option<Table>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<&'a str>,
    pub reply_to: Option<&'a str>,
    pub expiration: Option<&'a str>,
    pub message_id: Option<&'a str>,
    pub timestamp: Option<u64>,
    pub kind: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub app_id: Option<&'a str>,
    pub cluster_id: Option<&'a str>,
}

impl PropertyList<'_> {
    /// Flags and property list.
    pub fn encode(&self) -> Bytes {
        let mut flags = 0;
        let mut list = Vec::new();
        let short_string = |list: &mut Vec<u8>, flags: &mut u16, property: Property, text: Option<&str>| {
            let Some(text) = text else { return };
            let text = cut_to_short_string(text);
            *flags |= property.flag;
            list.put_u8(text.len() as u8);
            list.extend_from_slice(text.as_bytes());
        };
        let octet = |list: &mut Vec<u8>, flags: &mut u16, property: Property, octet: Option<u8>| {
            let Some(octet) = octet else { return };
            *flags |= property.flag;
            list.put_u8(octet);
        };
        short_string(&mut list, &mut flags, CONTENT_TYPE, self.content_type);
        short_string(&mut list, &mut flags, CONTENT_ENCODING, self.content_encoding);
        if let Some(headers) = &self.headers {
            flags |= HEADERS.flag;
            list.put_u32(headers.as_bytes().len() as u32);
            list.extend_from_slice(headers.as_bytes());
        }
        octet(&mut list, &mut flags, DELIVERY_MODE, self.delivery_mode);
        octet(&mut list, &mut flags, PRIORITY, self.priority);
        short_string(&mut list, &mut flags, CORRELATION_ID, self.correlation_id);
        short_string(&mut list, &mut flags, REPLY_TO, self.reply_to);
        short_string(&mut list, &mut flags, EXPIRATION, self.expiration);
        short_string(&mut list, &mut flags, MESSAGE_ID, self.message_id);
        if let Some(timestamp) = self.timestamp {
            flags |= TIMESTAMP.flag;
            list.put_u64(timestamp);
        }
        short_string(&mut list, &mut flags, KIND, self.kind);
        short_string(&mut list, &mut flags, USER_ID, self.user_id);
        short_string(&mut list, &mut flags, APP_ID, self.app_id);
        short_string(&mut list, &mut flags, CLUSTER_ID, self.cluster_id);
        [&flags.to_be_bytes()[..], &list].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Value;

    fn everything() -> PropertyList<'static> {
        PropertyList {
            content_type: Some("text/plain"),
            content_encoding: Some("utf-8"),
            headers: Some(Table::from_pairs(&[("n", Value::I32(1))])),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: Some("c"),
            reply_to: Some("r"),
            expiration: Some("1000"),
            message_id: Some("m"),
            timestamp: Some(7),
            kind: Some("k"),
            user_id: Some("guest"),
            app_id: Some("a"),
            cluster_id: Some("cl"),
        }
    }

    fn read_back(bytes: &[u8]) -> PropertyList<'_> {
        let properties = Properties::new(bytes);
        let headers = properties.headers();
        PropertyList {
            content_type: properties.content_type(),
            content_encoding: properties.content_encoding(),
            headers: (!headers.is_empty()).then(|| headers.to_table()),
            delivery_mode: properties.delivery_mode(),
            priority: properties.priority(),
            correlation_id: properties.correlation_id(),
            reply_to: properties.reply_to(),
            expiration: properties.expiration(),
            message_id: properties.message_id(),
            timestamp: properties.timestamp(),
            kind: properties.kind(),
            user_id: properties.user_id(),
            app_id: properties.app_id(),
            cluster_id: properties.cluster_id(),
        }
    }

    #[test]
    fn reads_what_was_written() {
        for list in [
            everything(),
            PropertyList::default(),
            PropertyList { delivery_mode: Some(1), ..PropertyList::default() },
            PropertyList { content_type: Some("a"), app_id: Some("b"), ..PropertyList::default() },
            PropertyList { content_type: None, headers: None, ..everything() },
        ] {
            let bytes = list.encode();
            assert_eq!(check(&bytes), Ok(()));
            assert_eq!(read_back(&bytes), list);
            assert_eq!(Properties::new(&bytes).has_expiration(), list.expiration.is_some());
        }
    }

    #[test]
    fn changes_only_the_headers() {
        let headers = Table::from_pairs(&[("x-death", Value::Void), ("other", Value::I64(5))]);
        for list in [everything(), PropertyList { headers: None, ..everything() }, PropertyList::default()] {
            let bytes = list.encode();
            let changed = Properties::new(&bytes).with_headers(&headers);
            assert_eq!(read_back(&changed), PropertyList { headers: Some(headers.clone()), ..list.clone() });
            let removed = Properties::new(&changed).with_headers(&Table::default());
            assert_eq!(read_back(&removed), PropertyList { headers: None, ..list.clone() });
        }
    }

    #[test]
    fn removes_only_the_expiration() {
        for list in [everything(), PropertyList { expiration: None, ..everything() }, PropertyList::default()]
        {
            let bytes = list.encode();
            let changed = Properties::new(&bytes).without_expiration();
            assert_eq!(check(&changed), Ok(()));
            assert_eq!(read_back(&changed), PropertyList { expiration: None, ..list.clone() });
        }
    }

    #[test]
    fn changes_only_the_reply_to() {
        for list in [everything(), PropertyList { reply_to: None, ..everything() }, PropertyList::default()] {
            let changed = Properties::new(&list.encode()).with_reply_to("elsewhere");
            assert_eq!(check(&changed), Ok(()));
            assert_eq!(read_back(&changed), PropertyList { reply_to: Some("elsewhere"), ..list });
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let whole = everything().encode();
        for cut in 0..whole.len() {
            let bytes = &whole[..cut];
            assert!(check(bytes).is_err(), "{cut} bytes");
            let _ = read_back(bytes);
            let _ = Properties::new(bytes).with_headers(&Table::default());
            let _ = Properties::new(bytes).without_expiration();
            let _ = Properties::new(bytes).with_reply_to("somewhere");
        }
    }
}
