//! The messages of LDAP, as far as a login needs them: bytes for a directory, and what its bytes say. Of an answer every byte
//! is a stranger's, so it is read in one pass without recursion, nothing is kept that is not needed, and what is not as it
//! should be is [`LdapMalformed`], whatever it is.
//! Source: RFC 4511 (§5.1: only definite lengths, tags of one byte), X.690 §8.

use crate::limits::LDAP_MESSAGE_BYTES_MAX;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapRequest<'a> {
    /// To be somebody (§4.2); both empty = nobody.
    Bind {
        /// Who.
        dn: &'a str,
        /// With which password.
        password: &'a str,
    },
    /// For the names of the entries with an attribute of this value (§4.5).
    Search {
        /// Below which name.
        base: &'a str,
        /// The attribute.
        attribute: &'a str,
        /// Its value; a value and nothing else, whatever is in it.
        value: &'a str,
        /// How many names at most.
        most: u32,
    },
    /// To go on with TLS (§4.14).
    StartTls,
    /// For nothing more (§4.3).
    Unbind,
}

/// What a directory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapReply {
    /// To [`LdapRequest::Bind`].
    Bound(LdapResult),
    /// The name of an entry that was found.
    Entry(String),
    /// A hint where else to search; not followed.
    Elsewhere,
    /// The end of a search.
    Found(LdapResult),
    /// To [`LdapRequest::StartTls`], or, with the number 0, that the directory is leaving (§4.4.1).
    Extended(LdapResult),
    /// On the way to an answer (§4.13).
    Intermediate,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapResult {
    /// 0 = as asked. Source: RFC 4511, appendix A.
    pub code: u32,
    /// What the directory says about it.
    pub text: String,
}

/// Bytes that are no answer; what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LdapMalformed(pub &'static str);

const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const FOUND: u8 = 0x65;
const ELSEWHERE: u8 = 0x73;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;

/// `simple` of the choice of authentications.
const SIMPLE: u8 = 0x80;
/// `requestName`.
const REQUEST_NAME: u8 = 0x80;
/// `equalityMatch` of the choice of filters.
const EQUALITY: u8 = 0xa3;
const WHOLE_SUBTREE: u32 = 2;
const NEVER_DEREFERENCE: u32 = 0;
/// No attributes are wanted, only names. Source: §4.5.1.8.
const NO_ATTRIBUTES: &str = "1.1";
/// Source: §4.14.1.
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

impl LdapRequest<'_> {
    /// The message with this number, 1 to 2³¹ - 1.
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let operation = match *self {
            Self::Bind { dn, password } => {
                element(BIND, &[&number(INTEGER, 3), &octets(OCTETS, dn), &octets(SIMPLE, password)])
            }
            Self::Search { base, attribute, value, most } => element(
                SEARCH,
                &[
                    &octets(OCTETS, base),
                    &number(ENUMERATED, WHOLE_SUBTREE),
                    &number(ENUMERATED, NEVER_DEREFERENCE),
                    &number(INTEGER, most),
                    // No limit of time: who asks has one.
                    &number(INTEGER, 0),
                    // Types only.
                    &element(BOOLEAN, &[&[0]]),
                    &element(EQUALITY, &[&octets(OCTETS, attribute), &octets(OCTETS, value)]),
                    &element(SEQUENCE, &[&octets(OCTETS, NO_ATTRIBUTES)]),
                ],
            ),
            Self::StartTls => element(EXTENDED_REQUEST, &[&octets(REQUEST_NAME, START_TLS)]),
            Self::Unbind => element(UNBIND, &[]),
        };
        element(SEQUENCE, &[&number(INTEGER, id), &operation])
    }
}

fn octets(tag: u8, text: &str) -> Vec<u8> {
    element(tag, &[text.as_bytes()])
}

/// In as few bytes as it takes; the highest bit is the sign.
fn number(tag: u8, value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    // With a zero bit before the highest one.
    let length = (u64::BITS - u64::from(value).leading_zeros()) as usize / 8 + 1;
    element(tag, &[bytes.get(bytes.len() - length..).unwrap_or(&bytes)])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 6);
    bytes.push(tag);
    match u8::try_from(length) {
        Ok(length @ ..0x80) => bytes.push(length),
        _ => {
            let length = (length as u64).to_be_bytes();
            let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | significant.len() as u8);
            bytes.extend(significant);
        }
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// How long the message at the beginning of these bytes is, itself included; `None` while too little of it is there to tell.
///
/// # Errors
/// If no message begins so, or one of more than [`LDAP_MESSAGE_BYTES_MAX`].
pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, LdapMalformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(&SEQUENCE) => {}
        Some(_) => return Err(LdapMalformed("it is no message")),
    }
    let Some((head, length)) = head(bytes)? else { return Ok(None) };
    match head.checked_add(length) {
        Some(whole @ ..=LDAP_MESSAGE_BYTES_MAX) => Ok(Some(whole)),
        _ => Err(LdapMalformed("a message is too long")),
    }
}

/// Length of tag and length, and the length that is said; `None` if that takes more bytes.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, LdapMalformed> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(LdapMalformed("a tag has several bytes"));
    }
    match first {
        0..=0x7f => Ok(Some((2, usize::from(*first)))),
        0x80 => Err(LdapMalformed("a length is not given")),
        // Some say small lengths in four bytes.
        0x81..=0x88 => {
            let count = usize::from(first & 0x7f);
            let Some(said) = rest.get(..count) else { return Ok(None) };
            let length = said.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
            let length = usize::try_from(length).map_err(|_| LdapMalformed("an element is too long"))?;
            Ok(Some((2 + count, length)))
        }
        _ => Err(LdapMalformed("a length has too many bytes")),
    }
}

/// What is left to read.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The next element: its tag and what is in it.
    fn next(&mut self) -> Result<(u8, &'a [u8]), LdapMalformed> {
        let cut = LdapMalformed("an element is cut off");
        let (start, length) = head(self.0)?.ok_or(cut)?;
        let tag = *self.0.first().ok_or(cut)?;
        let (_, behind) = self.0.split_at_checked(start).ok_or(cut)?;
        let (content, rest) = behind.split_at_checked(length).ok_or(cut)?;
        self.0 = rest;
        Ok((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Result<&'a [u8], LdapMalformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(LdapMalformed("an element is of another type")),
        }
    }

    /// A number from 0 to 2³¹ - 1.
    fn number(&mut self, tag: u8) -> Result<u32, LdapMalformed> {
        let wrong = LdapMalformed("a number is none");
        let bytes = self.expect(tag)?;
        if bytes.is_empty() || bytes.len() > 8 || bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(wrong);
        }
        let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        u32::try_from(value).ok().filter(|value| i32::try_from(*value).is_ok()).ok_or(wrong)
    }

    /// Elements that later versions may have added, and those that nobody asked about.
    fn skip_rest(mut self) -> Result<(), LdapMalformed> {
        while !self.0.is_empty() {
            self.next()?;
        }
        Ok(())
    }
}

impl LdapReply {
    /// Reads a whole message, [`message_length`] bytes: its number and what it says.
    ///
    /// # Errors
    /// If it is none, or none that a directory sends.
    pub fn decode(message: &[u8]) -> Result<(u32, Self), LdapMalformed> {
        let mut outside = Elements(message);
        let mut parts = Elements(outside.expect(SEQUENCE)?);
        if !outside.0.is_empty() {
            return Err(LdapMalformed("there is more than a message"));
        }
        let id = parts.number(INTEGER)?;
        let (operation, content) = parts.next()?;
        // Controls, which nobody asked for; Active Directory puts more there when it leaves.
        parts.skip_rest()?;
        let reply = match operation {
            BOUND => Self::Bound(LdapResult::decode(content)?),
            ENTRY => Self::Entry(entry(content)?),
            FOUND => Self::Found(LdapResult::decode(content)?),
            EXTENDED => Self::Extended(LdapResult::decode(content)?),
            ELSEWHERE => Self::Elsewhere,
            INTERMEDIATE => Self::Intermediate,
            _ => return Err(LdapMalformed("it is nothing that a directory answers")),
        };
        Ok((id, reply))
    }
}

impl LdapResult {
    fn decode(content: &[u8]) -> Result<Self, LdapMalformed> {
        let mut parts = Elements(content);
        let code = parts.number(ENUMERATED)?;
        let _matched_dn = parts.expect(OCTETS)?;
        let text = String::from_utf8_lossy(parts.expect(OCTETS)?).into_owned();
        parts.skip_rest()?;
        Ok(Self { code, text })
    }
}

/// The name of an entry. Its attributes are not looked at: none were asked for.
fn entry(content: &[u8]) -> Result<String, LdapMalformed> {
    let mut parts = Elements(content);
    let name = parts.expect(OCTETS)?;
    let _attributes = parts.expect(SEQUENCE)?;
    parts.skip_rest()?;
    String::from_utf8(name.to_vec()).map_err(|_| LdapMalformed("a name is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(code: u32, text: &str) -> LdapResult {
        LdapResult { code, text: text.to_owned() }
    }

    fn answer(id: &[u8], operation: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[&element(INTEGER, &[id]), operation])
    }

    fn of_result(tag: u8, code: &[u8], text: &[u8], more: &[u8]) -> Vec<u8> {
        let parts = [element(ENUMERATED, &[code]), element(OCTETS, &[]), element(OCTETS, &[text])];
        element(tag, &[&parts.concat(), more])
    }

    /// Answers that are good, and what they say.
    fn good() -> Vec<(Vec<u8>, u32, LdapReply)> {
        let name = octets(OCTETS, "uid=ann,dc=example");
        let referral = element(0xa3, &[&octets(OCTETS, "ldap://elsewhere")]);
        let controls = element(0xa0, &[&element(SEQUENCE, &[&octets(OCTETS, "1.2.3")])]);
        let with_controls =
            |operation: &[u8]| element(SEQUENCE, &[&element(INTEGER, &[&[7]]), operation, &controls]);
        vec![
            (answer(&[1], &of_result(BOUND, &[0], b"", &[])), 1, LdapReply::Bound(result(0, ""))),
            (answer(&[2], &of_result(BOUND, &[49], b"no", &[])), 2, LdapReply::Bound(result(49, "no"))),
            (answer(&[2], &of_result(BOUND, &[10], b"", &referral)), 2, LdapReply::Bound(result(10, ""))),
            (
                answer(&[0, 200], &of_result(FOUND, &[0, 0, 0, 4], b"", &[])),
                200,
                LdapReply::Found(result(4, "")),
            ),
            (with_controls(&of_result(FOUND, &[0], b"", &[])), 7, LdapReply::Found(result(0, ""))),
            (
                answer(&[3], &element(ENTRY, &[&name, &element(SEQUENCE, &[])])),
                3,
                LdapReply::Entry("uid=ann,dc=example".to_owned()),
            ),
            (answer(&[3], &element(ELSEWHERE, &[&octets(OCTETS, "ldap://x")])), 3, LdapReply::Elsewhere),
            (answer(&[3], &element(INTERMEDIATE, &[])), 3, LdapReply::Intermediate),
            (
                answer(&[0], &of_result(EXTENDED, &[52], b"bye", &[])),
                0,
                LdapReply::Extended(result(52, "bye")),
            ),
        ]
    }

    #[test]
    fn requests_are_the_bytes_that_the_standard_says() {
        let nobody = LdapRequest::Bind { dn: "", password: "" }.encode(1);
        assert_eq!(nobody, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00");
        let ann = LdapRequest::Bind { dn: "uid=ann", password: "secret" }.encode(2);
        assert_eq!(ann, b"\x30\x19\x02\x01\x02\x60\x14\x02\x01\x03\x04\x07uid=ann\x80\x06secret");
        assert_eq!(LdapRequest::Unbind.encode(3), b"\x30\x05\x02\x01\x03\x42\x00");
        let tls = LdapRequest::StartTls.encode(1);
        assert_eq!(tls, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037");
        let search = LdapRequest::Search { base: "dc=x", attribute: "mail", value: "*)(a=*", most: 1000 };
        assert_eq!(
            search.encode(200),
            b"\x30\x33\x02\x02\x00\xc8\x63\x2d\x04\x04dc=x\x0a\x01\x02\x0a\x01\x00\x02\x02\x03\xe8\x02\x01\x00\
              \x01\x01\x00\xa3\x0e\x04\x04mail\x04\x06*)(a=*\x30\x05\x04\x031.1",
            "a value is a value, whatever it looks like"
        );
        let long = LdapRequest::Bind { dn: &"x".repeat(300), password: "" }.encode(1);
        assert_eq!((&long[..4], long.len()), (&b"\x30\x82\x01\x3c"[..], 4 + 0x13c));
    }

    #[test]
    fn answers_are_understood() {
        for (bytes, id, reply) in good() {
            assert_eq!(message_length(&bytes), Ok(Some(bytes.len())));
            assert_eq!(LdapReply::decode(&bytes), Ok((id, reply)), "{bytes:02x?}");
        }
        // A small length in four bytes, as Active Directory says it.
        let long = b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0";
        assert_eq!(message_length(long), Ok(Some(long.len())));
        assert_eq!(LdapReply::decode(long), Ok((1, LdapReply::Bound(result(0, "")))));
    }

    #[test]
    fn what_is_no_answer_is_told_from_what_is_not_there_yet() {
        for (bytes, _, _) in good() {
            for end in 0..bytes.len() {
                let cut = &bytes[..end];
                assert!(message_length(cut).is_ok(), "it may go on: {cut:02x?}");
                assert!(LdapReply::decode(cut).is_err(), "{cut:02x?}");
            }
        }
        for (bytes, why) in [
            (&b"\x31\x00"[..], "it is no message"),
            (b"HTTP/1.1 400", "it is no message"),
            (b"\x16\x03\x01", "it is no message"),
            (b"\x30\x80", "a length is not given"),
            (b"\x30\xff", "a length has too many bytes"),
            (b"\x30\x89", "a length has too many bytes"),
            (b"\x30\x84\xff\xff\xff\xff", "a message is too long"),
            (b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", "a message is too long"),
        ] {
            assert_eq!(message_length(bytes), Err(LdapMalformed(why)), "{bytes:02x?}");
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_refused() {
        let ok = of_result(BOUND, &[0], b"", &[]);
        let nested = [SEQUENCE, 0x82, 0xff, 0xff].repeat(20_000);
        for (bytes, why) in [
            (element(SEQUENCE, &[]), "nothing in it"),
            (element(SEQUENCE, &[&element(INTEGER, &[&[1]])]), "no operation"),
            (element(SEQUENCE, &[&ok]), "no number"),
            (answer(&[], &ok), "a number without bytes"),
            (answer(&[0xff], &ok), "a number below 0"),
            (answer(&[0x80, 0, 0, 0], &ok), "likewise"),
            (answer(&[0, 0x80, 0, 0, 0], &ok), "a number too large"),
            (answer(&[0; 9], &ok), "a number too long"),
            (element(SEQUENCE, &[&octets(OCTETS, "1"), &ok]), "a number that is a text"),
            (answer(&[1], &element(BOUND, &[])), "a result without anything"),
            (answer(&[1], &element(BOUND, &[&element(ENUMERATED, &[&[0]])])), "without texts"),
            (answer(&[1], &element(BOUND, &[&element(INTEGER, &[&[0]]), b"\x04\0\x04\0"])), "an odd type"),
            (
                answer(&[1], &element(BOUND, &[&element(0x2a, &[&[0]]), b"\x04\0\x04\0"])),
                "a constructed code",
            ),
            (answer(&[1], &of_result(BOUND, &[], b"", &[])), "a code without bytes"),
            (answer(&[1], &of_result(BOUND, &[0xff], b"", &[])), "a code below 0"),
            (answer(&[1], &of_result(BOUND, &[0], b"", b"\x1f\x81\x01\x00")), "a tag of several bytes"),
            (answer(&[1], &of_result(BOUND, &[0], b"", b"\x87\x05x")), "more that is cut off"),
            (answer(&[1], &element(0x41, &[b"\x0a\x01\0\x04\0\x04\0"])), "primitive where it is constructed"),
            (answer(&[1], &element(ENTRY, &[&octets(OCTETS, "cn=x")])), "no attributes"),
            (
                answer(&[1], &element(ENTRY, &[&element(SEQUENCE, &[]), &octets(OCTETS, "cn=x")])),
                "turned round",
            ),
            (
                answer(&[1], &element(ENTRY, &[b"\x04\x02\xff\xfe", &element(SEQUENCE, &[])])),
                "a name of no text",
            ),
            (answer(&[1], &element(BIND, &[])), "a request"),
            (answer(&[1], &element(0x7e, &[])), "an operation that there is not"),
            ([answer(&[1], &ok), vec![0]].concat(), "more behind it"),
            (nested, "as deep as it goes"),
        ] {
            assert!(LdapReply::decode(&bytes).is_err(), "{why}: {:02x?}", &bytes[..bytes.len().min(40)]);
        }
    }

    /// Any bytes, and good answers with some bytes changed: the seed is printed if one is not survived.
    #[test]
    fn no_bytes_are_too_odd() {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64) | 1;
        println!("seed {seed}");
        let mut state = seed;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let good = good();
        for _ in 0..20_000 {
            let mut bytes = match random() % 3 {
                0 => (0..random() % 64).map(|_| random() as u8).collect(),
                1 => answer(&[1], &(0..random() % 64).map(|_| random() as u8).collect::<Vec<_>>()),
                _ => good[random() as usize % good.len()].0.clone(),
            };
            for _ in 0..random() % 4 {
                let at = random() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random() as u8;
                }
            }
            if let Ok(Some(length)) = message_length(&bytes) {
                assert!(length <= LDAP_MESSAGE_BYTES_MAX);
            }
            let _ = LdapReply::decode(&bytes);
        }
    }
}
