//! What a run found, as a table for a person and as JSON for a program: both from one list of figures, so neither knows more.

use super::latency::Percentiles;
use super::seen::Wrongs;
use crate::cli::numbers::grouped;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The figures of a run, in the order they are told.
#[derive(Debug, Default)]
pub(super) struct Report {
    figures: Vec<Figure>,
    /// `None` where no messages were looked at.
    wrongs: Option<Wrongs>,
}

#[derive(Debug)]
struct Figure {
    key: &'static str,
    value: Value,
    /// The line of the table; empty: in the JSON only.
    text: String,
}

impl Report {
    /// A figure that both tell.
    pub(super) fn add(&mut self, key: &'static str, value: Value, text: impl Into<String>) {
        self.figures.push(Figure { key, value, text: text.into() });
    }

    /// A figure for programs.
    pub(super) fn note(&mut self, key: &'static str, value: Value) {
        self.add(key, value, "");
    }

    /// Messages and their rate: `KEY` and `KEY_per_s`.
    pub(super) fn rate(&mut self, keys: [&'static str; 2], count: u64, seconds: f64, size: usize) {
        let per_s = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let mib_per_s = per_s * size as f64 / 1_048_576.0;
        self.note(keys[0], json!(count));
        let bytes = if size > 0 { format!(", {mib_per_s:.1} MiB/s") } else { String::new() };
        let text = format!("{} in {seconds:.2} s: {}/s{bytes}", grouped(count), grouped(per_s as u64));
        self.add(keys[1], json!(rounded(per_s)), text);
    }

    /// Latencies, where there are any.
    pub(super) fn latencies(&mut self, key: &'static str, percentiles: Percentiles) {
        if percentiles.count > 0 {
            self.add(key, percentiles.json(), percentiles.text());
        }
    }

    /// What was wrong with the messages.
    pub(super) fn wrongs(&mut self, wrongs: Wrongs) {
        self.wrongs = Some(wrongs);
        for (key, count) in [
            ("lost", wrongs.lost),
            ("doubled", wrongs.doubled),
            ("reordered", wrongs.reordered),
            ("damaged", wrongs.damaged),
        ] {
            self.note(key, json!(count));
        }
    }

    /// Adds what another report tells.
    pub(super) fn append(&mut self, other: Self) {
        self.figures.extend(other.figures);
        self.wrongs = other.wrongs;
    }

    /// Whether all messages came as they should.
    pub(super) fn is_clean(&self) -> bool {
        self.wrongs.is_none_or(|wrongs| wrongs.total() == 0)
    }

    /// As one JSON object, on one line.
    pub(super) fn json(&self) -> String {
        let object: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.key.to_owned(), figure.value.clone())).collect();
        format!("{}\n", Value::Object(object))
    }

    /// As a table, with the verdict at its end.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        for figure in self.figures.iter().filter(|figure| !figure.text.is_empty()) {
            let label = figure.key.trim_end_matches("_s_per_million").trim_end_matches("_per_s");
            let label = label.trim_end_matches("_us").replace('_', " ");
            // Writing to a string does not fail.
            let _ = writeln!(table, "{label:<22} {}", figure.text);
        }
        if let Some(Wrongs { lost, doubled, reordered, damaged }) = self.wrongs {
            let verdict = if self.is_clean() {
                "nothing lost, doubled, reordered or damaged".to_owned()
            } else {
                format!("WRONG: {lost} lost, {doubled} doubled, {reordered} reordered, {damaged} damaged")
            };
            let _ = writeln!(table, "{:<22} {verdict}", "verdict");
        }
        table
    }
}

/// Two decimals are enough for any figure.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_json_tell_the_same() {
        let mut report = Report::default();
        report.note("workload", json!("throughput"));
        report.rate(["delivered", "delivered_per_s"], 1000, 2.0, 1024);
        report.latencies("confirm_us", Percentiles::default());
        report.wrongs(Wrongs { lost: 2, ..Wrongs::default() });
        assert!(!report.is_clean());
        let table = report.table();
        assert!(table.contains("delivered              1,000 in 2.00 s: 500/s, 0.5 MiB/s\n"), "{table}");
        assert!(table.contains("WRONG: 2 lost, 0 doubled"), "{table}");
        assert!(!table.contains("confirm"), "{table}");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["delivered_per_s"], 500.0);
        assert_eq!((&json["lost"], &json["confirm_us"]), (&json!(2), &Value::Null));
    }
}
