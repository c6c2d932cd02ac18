//! Prometheus's text format, version 0.0.4: families with their help and type, samples with their labels. Escapes what
//! clients and operators named; knows no metric.

use std::fmt::{Display, Write};

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// The name of the family that was opened last.
    family: String,
    /// Stands before the names of RabbitMQ's families: `rabbitmq_` or `rabbitmq_detailed_`.
    prefix: &'static str,
}

/// What Prometheus makes of the samples of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up until the broker is started again.
    Counter,
    /// Counts by size.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The family that samples are added to.
pub(super) struct Family<'a> {
    page: &'a mut Page,
    name: String,
}

impl Page {
    /// An empty page whose families of RabbitMQ's begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// Opens a family of RabbitMQ's.
    pub(super) fn theirs(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let name = format!("{}{name}", self.prefix);
        self.family(name, kind, help)
    }

    /// Opens a family of RabbitMQ's about what all nodes share: without samples to add up, so it has one name only.
    pub(super) fn cluster(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(format!("rabbitmq_cluster_{name}"), Kind::Gauge, help)
    }

    /// Opens a family of RabbitMQ's about the node itself, which has one name only as well.
    pub(super) fn info(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(format!("rabbitmq_{name}"), Kind::Gauge, help)
    }

    /// Opens a family of our own.
    pub(super) fn ours(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        self.family(format!("ledgermq_{name}"), kind, help)
    }

    fn family(&mut self, name: String, kind: Kind, help: &str) -> Family<'_> {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        self.family.clone_from(&name);
        Family { page: self, name }
    }

    /// More samples of the family that was opened last.
    pub(super) fn more(&mut self) -> Family<'_> {
        let name = self.family.clone();
        Family { page: self, name }
    }

    /// Bytes of the text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The text so far; what follows goes on behind it.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// The one sample of a family without labels.
    pub(super) fn value(mut self, value: impl Display) {
        self.sample(&[], value);
    }

    /// A sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// A histogram out of its classes: their upper ends, and what is in each alone, the last without an end.
    pub(super) fn histogram(
        mut self,
        labels: Labels<'_>,
        ends: impl Iterator<Item = String>,
        counts: &[u64],
        sum: impl Display,
    ) {
        let mut count = 0;
        for (end, in_class) in ends.chain(["+Inf".to_owned()]).zip(counts) {
            count += in_class;
            let labels = [labels, &[("le", end.as_str())]].concat();
            self.suffixed("_bucket", &labels, count);
        }
        self.suffixed("_sum", labels, sum);
        self.suffixed("_count", labels, count);
    }

    fn suffixed(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let text = &mut self.page.text;
        text.extend([self.name.as_str(), suffix]);
        for (at, (name, value)) in labels.iter().enumerate() {
            text.extend([if at == 0 { "{" } else { "," }, name, "=\""]);
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// A label's value: what would end it or its line is escaped.
fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_help_type_and_samples() {
        let mut page = Page::new("rabbitmq_");
        page.theirs("queues", Kind::Gauge, "Queues").value(3);
        let mut ready = page.theirs("queue_messages_ready", Kind::Gauge, "Messages waiting");
        ready.sample(&[("vhost", "/"), ("queue", "q")], 7);
        page.ours("logins_refused_total", Kind::Counter, "Logins refused").value(0);
        assert_eq!(
            page.finish(),
            "# HELP rabbitmq_queues Queues\n# TYPE rabbitmq_queues gauge\nrabbitmq_queues 3\n\
             # HELP rabbitmq_queue_messages_ready Messages waiting\n# TYPE rabbitmq_queue_messages_ready gauge\n\
             rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\"} 7\n\
             # HELP ledgermq_logins_refused_total Logins refused\n# TYPE ledgermq_logins_refused_total counter\n\
             ledgermq_logins_refused_total 0\n"
        );
    }

    #[test]
    fn names_end_neither_their_label_nor_their_line() {
        let mut page = Page::new("rabbitmq_");
        let mut family = page.theirs("x", Kind::Gauge, "X");
        family.sample(&[("queue", "a\"} 1\nrabbitmq_queues 99\\\r\u{1b}é")], 2);
        let text = page.finish();
        let sample = text.lines().last().unwrap();
        assert_eq!(sample, "rabbitmq_x{queue=\"a\\\"} 1\\nrabbitmq_queues 99\\\\\r\u{1b}é\"} 2");
        assert_eq!(text.split('\n').count(), 4, "{text}");
    }

    #[test]
    fn a_histogram_counts_upwards() {
        let mut page = Page::new("");
        let ends = [0.5, 1.0].iter().map(f64::to_string);
        page.ours("wait_seconds", Kind::Histogram, "Waiting").histogram(
            &[("at", "x")],
            ends,
            &[2, 0, 1],
            4.5,
        );
        let text = page.finish();
        let samples: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "ledgermq_wait_seconds_bucket{at=\"x\",le=\"0.5\"} 2",
                "ledgermq_wait_seconds_bucket{at=\"x\",le=\"1\"} 2",
                "ledgermq_wait_seconds_bucket{at=\"x\",le=\"+Inf\"} 3",
                "ledgermq_wait_seconds_sum{at=\"x\"} 4.5",
                "ledgermq_wait_seconds_count{at=\"x\"} 3",
            ]
        );
    }
}
