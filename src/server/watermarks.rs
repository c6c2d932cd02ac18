//! What an operator says about memory and disk while the broker runs: where the alarms begin. Parsed from the words of
//! rabbitmqctl's `set_vm_memory_high_watermark` and `set_disk_free_limit`; forgotten at the next start.
//! Knows no alarms and measures nothing.

use crate::limits::{MEMORY_CLEAR_PERCENT, MEMORY_HIGH_PERCENT};

/// Where the alarms begin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Watermarks {
    /// Memory of this process; `None` = [`MEMORY_HIGH_PERCENT`] of what it may take.
    pub(super) memory: Option<Mark>,
    /// Free disk space; `None` = as configured.
    pub(super) disk: Option<Mark>,
}

/// An amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mark {
    /// Bytes.
    Bytes(u64),
    /// A part of the memory this process may take.
    OfMemory(f64),
}

impl Mark {
    /// Reads `0.4`, `absolute 2GB` (memory), `50MB`, `mem_relative 1.5` (disk).
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) fn parse(words: &[String], plain_is_fraction: bool) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mark = match words[..] {
            [number] if plain_is_fraction => fraction(number).map(Mark::OfMemory),
            [number] | ["absolute", number] => bytes(number).map(Mark::Bytes),
            ["mem_relative", number] => fraction(number).map(Mark::OfMemory),
            _ => None,
        };
        mark.ok_or_else(|| {
            format!(
                "'{}' is neither a fraction nor a number of bytes, such as 0.4 or 512MiB",
                words.join(" ")
            )
        })
    }

    /// In bytes.
    pub(super) fn bytes(self, memory_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::OfMemory(part) => part_of(memory_bytes, part),
        }
    }
}

impl Watermarks {
    /// Resident memory above which there is too much of it, bytes.
    pub(super) fn memory_high_bytes(&self, memory_bytes: u64) -> u64 {
        self.memory.map_or(memory_bytes / 100 * MEMORY_HIGH_PERCENT, |mark| mark.bytes(memory_bytes))
    }

    /// Whether so much memory is too much. With a gap between on and off, so that it does not flutter.
    pub(super) fn memory_is_low(&self, was_low: bool, resident_bytes: u64, memory_bytes: u64) -> bool {
        let high = match self.memory {
            Some(mark) => u128::from(mark.bytes(memory_bytes)) * 100,
            None => u128::from(memory_bytes) * u128::from(MEMORY_HIGH_PERCENT),
        };
        let gap =
            high * u128::from(MEMORY_HIGH_PERCENT - MEMORY_CLEAR_PERCENT) / u128::from(MEMORY_HIGH_PERCENT);
        u128::from(resident_bytes) * 100 > if was_low { high - gap } else { high }
    }

    /// Whether so little disk space is too little.
    pub(super) fn disk_is_low(&self, free_bytes: u64, memory_bytes: u64) -> bool {
        self.disk.is_some_and(|mark| free_bytes < mark.bytes(memory_bytes))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a threshold need not be exact; the fraction is not negative, and a cast to an integer saturates"
)]
fn part_of(bytes: u64, part: f64) -> u64 {
    (bytes as f64 * part) as u64
}

fn fraction(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// A number of bytes with a unit of RabbitMQ's, or none. Source: RabbitMQ `rabbit_resource_monitor_misc`.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 16] = [
        ("kiB", 1 << 10),
        ("KiB", 1 << 10),
        ("kIB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("k", 1 << 10),
        ("K", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
        ("T", 1 << 40),
    ];
    let (digits, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_rabbitmqctl() {
        let parse = |text: &str, plain_is_fraction| {
            let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            Mark::parse(&words, plain_is_fraction).ok()
        };
        for (text, expected) in [
            ("0.4", Some(Mark::OfMemory(0.4))),
            ("0", Some(Mark::OfMemory(0.0))),
            ("absolute 1024", Some(Mark::Bytes(1024))),
            ("absolute 2GB", Some(Mark::Bytes(2_000_000_000))),
            ("absolute 512MiB", Some(Mark::Bytes(512 << 20))),
            ("-1", None),
            ("NaN", None),
            ("absolute", None),
            ("absolute much", None),
            ("absolute 99999999999TB", None),
        ] {
            assert_eq!(parse(text, true), expected, "{text}");
        }
        assert_eq!(parse("50MB", false), Some(Mark::Bytes(50_000_000)));
        assert_eq!(parse("mem_relative 1.5", false), Some(Mark::OfMemory(1.5)));
        assert_eq!(parse("0.5", false), None, "a disk's limit is not part of the disk");
    }

    #[test]
    fn the_memory_alarm_does_not_flutter() {
        for (memory, high) in [(None, 500), (Some(Mark::OfMemory(0.8)), 800), (Some(Mark::Bytes(200)), 200)] {
            let marks = Watermarks { memory, disk: None };
            let clear = high * MEMORY_CLEAR_PERCENT / MEMORY_HIGH_PERCENT;
            let is_low = |was_low, bytes| marks.memory_is_low(was_low, bytes, 1000);
            assert!(!is_low(false, high) && is_low(false, high + 1));
            assert!(is_low(true, high), "stays on in the gap");
            assert!(is_low(true, clear + 1) && !is_low(true, clear));
        }
        let none = Watermarks { memory: Some(Mark::OfMemory(0.0)), disk: None };
        assert!(none.memory_is_low(false, 1, 1000), "0 blocks all publishers");
    }

    #[test]
    fn the_disk_is_low_below_what_was_said() {
        let marks = Watermarks { memory: None, disk: Some(Mark::OfMemory(1.5)) };
        assert!(marks.disk_is_low(1499, 1000) && !marks.disk_is_low(1500, 1000));
        assert!(!Watermarks::default().disk_is_low(0, 1000));
    }
}
