//! Things that stand in several answers in the same form: field tables as JSON, times, names of connections and channels.

use crate::connection::Peer;
use crate::protocol::json;
use crate::protocol::table::Table;
use serde_json::Value;

/// A field table as RabbitMQ shows it: numbers as numbers, bytes as text, timestamps in seconds.
pub(super) fn table_value(table: &Table) -> Value {
    json::from_fields(table.fields())
}

/// What operators call a connection: `127.0.0.1:40000 -> 127.0.0.1:5672`.
pub(super) fn connection_name(peer: &Peer) -> String {
    peer.to_string()
}

/// What operators call a channel: its connection's name and its number.
pub(super) fn channel_name(peer: &Peer, number: u16) -> String {
    format!("{peer} ({number})")
}

/// A moment as RabbitMQ writes it, `2026-11-21T16:48:07.731+00:00`.
pub(super) fn moment(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00")
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar counted from March, so that the leap day
/// is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Value as Field;
    use serde_json::json;

    #[test]
    fn tables_keep_their_types() {
        let inner = Table::from_pairs(&[("k", Field::text("v"))]);
        let table = Table::from_pairs(&[
            ("x-max-length", Field::I32(10)),
            ("x-expires", Field::I64(-1)),
            ("flag", Field::Bool(true)),
            ("half", Field::F64(0.5)),
            ("text", Field::text("ü")),
            ("bytes", Field::Binary(&[0xff])),
            ("time", Field::Timestamp(1_700_000_000)),
            ("nothing", Field::Void),
            ("inner", Field::Table(inner.fields())),
        ]);
        let expected = json!({
            "x-max-length": 10, "x-expires": -1, "flag": true, "half": 0.5, "text": "ü", "bytes": "\u{fffd}",
            "time": 1_700_000_000, "nothing": null, "inner": {"k": "v"},
        });
        assert_eq!(table_value(&table), expected);
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (951_782_400_123, "2000-02-29T00:00:00.123+00:00"),
            (1_795_279_687_731, "2026-11-21T16:48:07.731+00:00"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999+00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(moment(unix_ms), expected);
        }
    }
}
