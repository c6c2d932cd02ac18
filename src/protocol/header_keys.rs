//! The headers `CC` and `BCC`: arrays of further routing keys. `CC` is shown to consumers; `BCC` is for the broker alone.
//!
//! Few messages have either, and looking for them costs; so properties that do are marked once, when they are admitted,
//! with a flag that no client may send and none is shown (bit 1 of the property flags, which AMQP leaves unused). The
//! message keeps both headers and the mark, in memory and on disk: a message that comes back from the disk, or is
//! dead-lettered, still knows all its keys. [`Properties::shown`] is what leaves the broker.
//! Source: RabbitMQ's document "Sender-selected Distribution", `rabbit_basic:header_routes`.

use super::properties::Properties;
use super::table::Fields;
use super::value::Value;
use bytes::Bytes;
use std::borrow::Cow;

/// A header that must be an array and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnacceptableHeader {
    /// `CC` or `BCC`.
    pub name: &'static str,
    /// RabbitMQ's word for the type it has.
    pub type_name: &'static str,
}

const CC: &str = "CC";
const BCC: &str = "BCC";
/// In the second byte of the property flags.
const MARK: u8 = 0b10;

impl<'a> Properties<'a> {
    /// Whether further keys are marked.
    pub fn has_more_keys(&self) -> bool {
        self.bytes().get(1).is_some_and(|flags| flags & MARK != 0)
    }

    /// The keys in `CC`, then those in `BCC`; none unless marked. Elements that are no text are passed over.
    pub fn more_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let headers = if self.has_more_keys() { self.headers() } else { Fields::default() };
        [CC, BCC]
            .into_iter()
            .filter_map(move |name| match headers.get(name) {
                Some(Value::Array(keys)) => Some(keys),
                _ => None,
            })
            .flat_map(|keys| keys.iter().collect::<Vec<_>>())
            .filter_map(|key| key.as_str())
    }

    /// The properties as a message keeps them, if that differs from what came: marked.
    ///
    /// # Errors
    /// A header of these names that is no array.
    pub fn admit(&self) -> Result<Option<Bytes>, UnacceptableHeader> {
        let headers = self.headers();
        let mut has_keys = false;
        for name in [CC, BCC] {
            match headers.get(name) {
                None => {}
                Some(Value::Array(_)) => has_keys = true,
                Some(other) => return Err(UnacceptableHeader { name, type_name: other.type_name() }),
            }
        }
        Ok(has_keys.then(|| {
            let mut bytes = self.bytes().to_vec();
            if let Some(flags) = bytes.get_mut(1) {
                *flags |= MARK;
            }
            bytes.into()
        }))
    }

    /// The same properties without the mark, for a message that has lost both headers.
    pub fn without_mark(&self) -> Bytes {
        let mut bytes = self.bytes().to_vec();
        if let Some(flags) = bytes.get_mut(1) {
            *flags &= !MARK;
        }
        bytes.into()
    }

    /// The properties as clients see them: without the mark, and without `BCC`.
    pub fn shown(&self) -> Cow<'a, [u8]> {
        if !self.has_more_keys() {
            return Cow::Borrowed(self.bytes());
        }
        let headers = self.headers();
        let mut bytes = match headers.get(BCC) {
            None => self.bytes().to_vec(),
            // An empty table stays, as with RabbitMQ: the publisher did send headers.
            Some(_) => self.with_headers_kept(&headers.without(BCC)).to_vec(),
        };
        if let Some(flags) = bytes.get_mut(1) {
            *flags &= !MARK;
        }
        Cow::Owned(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::properties::PropertyList;
    use crate::protocol::table::Table;

    fn array(keys: &[&str]) -> Vec<u8> {
        let pairs: Vec<_> = keys.iter().map(|key| ("", Value::text(key))).collect();
        // The values of an array are those of a table without their names.
        pairs
            .iter()
            .flat_map(|pair| Table::from_pairs(&[*pair]).as_bytes().get(1..).unwrap().to_vec())
            .collect()
    }

    fn wire(headers: &[(&str, &[u8])]) -> Bytes {
        let mut bytes = Vec::new();
        for (name, elements) in headers {
            bytes.extend([&[u8::try_from(name.len()).unwrap()], name.as_bytes(), b"A"].concat());
            bytes.extend(u32::try_from(elements.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(elements);
        }
        let headers = Some(Table::from_wire(&bytes).unwrap());
        let list =
            PropertyList { headers, content_type: Some("t"), app_id: Some("a"), ..PropertyList::default() };
        list.encode()
    }

    fn check(headers: &[(&str, &[u8])], keys: &[&str], shown: &[(&str, &[u8])]) {
        let came = wire(headers);
        assert_eq!(Properties::new(&came).more_keys().count(), 0, "not before they are admitted");
        let kept = Properties::new(&came).admit().unwrap().unwrap_or_else(|| came.clone());
        let kept = Properties::new(&kept);
        assert_eq!(kept.has_more_keys(), kept.bytes() != &*came);
        assert_eq!(kept.more_keys().collect::<Vec<_>>(), keys, "{headers:?}");
        assert_eq!(&*kept.shown(), &*wire(shown), "{headers:?}");
        assert_eq!(kept.app_id(), Some("a"));
    }

    #[test]
    fn keys_are_found_and_blind_copies_not_shown() {
        let (ab, c) = (array(&["a", "b"]), array(&["c"]));
        check(&[("CC", &ab)], &["a", "b"], &[("CC", &ab)]);
        check(&[("BCC", &c), ("x", &ab)], &["c"], &[("x", &ab)]);
        check(&[("BCC", &c), ("CC", &ab)], &["a", "b", "c"], &[("CC", &ab)]);
        check(&[("BCC", &c)], &["c"], &[]);
        check(&[("BCC", &c), ("BCC", &ab)], &["c"], &[]);
        check(&[("cc", &ab)], &[], &[("cc", &ab)]);
        let mixed = [&array(&["a"])[..], b"t\x01", &array(&["b"]), b"S\0\0\0\x01\xff"].concat();
        check(&[("CC", &mixed)], &["a", "b"], &[("CC", &mixed)]);
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for (name, value, type_name) in [
            ("CC", Value::text("a"), "longstr"),
            ("BCC", Value::I32(1), "signedint"),
            ("CC", Value::Void, "void"),
        ] {
            let list = PropertyList {
                headers: Some(Table::from_pairs(&[(name, value)])),
                ..PropertyList::default()
            };
            let refused = Properties::new(&list.encode()).admit();
            assert_eq!(refused, Err(UnacceptableHeader { name, type_name }));
        }
    }

    #[test]
    fn plain_properties_are_neither_marked_nor_copied() {
        let bytes = PropertyList { app_id: Some("a"), ..PropertyList::default() }.encode();
        let properties = Properties::new(&bytes);
        assert_eq!(properties.admit(), Ok(None));
        assert!(matches!(properties.shown(), Cow::Borrowed(_)));
        assert!(!Properties::new(b"").has_more_keys());
    }
}
