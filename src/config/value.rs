//! Texts to values and back: sizes with units, numbers within bounds, addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes, as `65536`, `64KiB`, `64MiB` or `1GiB`.
pub(super) fn bytes(text: &str, allowed: RangeInclusive<u64>) -> Option<u64> {
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), *unit)))
        .unwrap_or((text, 1));
    let number = plain(digits)?.checked_mul(unit)?;
    allowed.contains(&number).then_some(number)
}

/// A number.
pub(super) fn number(text: &str, allowed: RangeInclusive<u64>) -> Option<u64> {
    plain(text).filter(|number| allowed.contains(number))
}

/// Digits only: `u64`'s parser would take a plus sign.
fn plain(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `ADDRESS:PORT`; `localhost` stands for 127.0.0.1.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// A text that may stand in server-properties: printable and short.
pub(super) fn label(text: &str) -> Option<String> {
    let fits = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// A number of bytes in the largest unit that divides it.
pub(super) fn show_bytes(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4096B", Some(4096)),
            ("64KiB", Some(65_536)),
            ("64 MiB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("KiB", None),
            ("+1", None),
            ("-1", None),
            ("1.5MiB", None),
            ("64kb", None),
            ("64 MB", None),
            ("99999999999999999999", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(bytes(text, 0..=u64::MAX), expected, "{text:?}");
        }
        assert_eq!(bytes("3", 4..=9), None);
        assert_eq!(number("10", 4..=9), None);
    }

    #[test]
    fn shown_sizes_are_read_back() {
        for number in [0, 1, 1000, 1024, 4096, 1 << 20, 3 << 29, 5 << 30] {
            assert_eq!(bytes(&show_bytes(number), 0..=u64::MAX), Some(number));
        }
    }

    #[test]
    fn addresses_have_a_port() {
        for (text, expected) in [
            ("127.0.0.1:5672", Some("127.0.0.1:5672")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:5672", Some("[::1]:5672")),
            ("0.0.0.0:0", Some("0.0.0.0:0")),
            ("5672", None),
            (":5672", None),
            ("example.org:5672", None),
            ("127.0.0.1:65536", None),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
