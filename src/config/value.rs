//! Texts to values and back: sizes with units, numbers within bounds, addresses.

use std::fmt;
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

/// Parts of a text that commas separate, without the spaces around them and without empty ones.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// `true` or `false`.
pub(super) fn truth(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// A part of something, or a multiple: a decimal number that is exact to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    millionths: u64,
}

impl Part {
    /// Nothing of it.
    pub const NONE: Self = Self { millionths: 0 };

    /// So many hundredths.
    pub(super) fn percent(percent: u64) -> Self {
        Self { millionths: percent * 10_000 }
    }

    /// Reads `0.4` or `1.5`: up to 100 times the whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_short = (1..=6).contains(&fraction.len());
        let whole = plain(whole).filter(|whole| *whole <= 100 && !text.is_empty())?;
        let fraction = plain(&format!("{fraction:0<6}")).filter(|_| is_short)?;
        Some(Self { millionths: whole * 1_000_000 + fraction })
    }

    /// As a number.
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
    pub fn value(self) -> f64 {
        self.millionths as f64 / 1_000_000.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
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
    fn parts_are_decimal_numbers() {
        for (text, expected) in [
            ("0.4", Some("0.4")),
            ("0", Some("0")),
            ("1.50", Some("1.5")),
            ("100", Some("100")),
            ("0.000001", Some("0.000001")),
            ("0.0000001", None),
            ("101", None),
            ("-0.1", None),
            ("0.4x", None),
            ("1e3", None),
            ("NaN", None),
            (".5", None),
            ("", None),
        ] {
            assert_eq!(Part::parse(text).map(|part| part.to_string()).as_deref(), expected, "{text:?}");
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
