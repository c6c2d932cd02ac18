//! A connection to the RabbitMQ compared with, beside those of the conversations: it clears away what they left, and looks
//! at their queues without a trace.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reference::Client;
use crate::support::wire;

/// How long answers may take: queues of several replicas take their time to go.
const PATIENCE: Duration = Duration::from_secs(30);
/// At most this many questions at once, each on a channel of its own.
const CHANNELS_MAX: usize = 500;

/// The connection, with channels that stay open for the next question.
pub(crate) struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.client.has_ended()
    }

    /// Sends each method on a channel of its own; answers what each was answered.
    pub(crate) fn ask(&mut self, methods: &[String]) -> Vec<String> {
        methods.chunks(CHANNELS_MAX).flat_map(|some| self.ask_some(some)).collect()
    }

    fn ask_some(&mut self, methods: &[String]) -> Vec<String> {
        if methods.is_empty() {
            return Vec::new();
        }
        let mut bytes = Vec::new();
        for (number, method) in (1..).zip(methods) {
            if !self.client.has_open(number) {
                bytes.extend(wire::encode(number, "channel.open"));
            }
            bytes.extend(wire::encode(number, method));
        }
        self.client.send(&bytes);
        let mut answers = BTreeMap::new();
        self.client.read_until(PATIENCE, |_, (channel, text)| {
            if text != "channel.open-ok" {
                answers.insert(*channel, text.clone());
            }
            answers.len() == methods.len()
        });
        assert!(answers.len() == methods.len(), "no answer to some of {methods:?}: {answers:?}");
        let refused = answers.iter().filter(|(_, text)| text.starts_with("channel.close "));
        let bytes: Vec<u8> =
            refused.flat_map(|(number, _)| wire::encode(*number, "channel.close-ok")).collect();
        self.client.send(&bytes);
        answers.into_values().collect()
    }

    /// What queues hold, each with whether only its presence is asked for: how many messages are ready, `there` where asking
    /// for that would keep the queue from its end or the number comes late, `locked` if it is another connection's alone,
    /// `none` if it is not there.
    pub(crate) fn look_at(&mut self, queues: &[(&[u8], bool)]) -> Vec<String> {
        let questions: Vec<String> = queues
            .iter()
            .map(|(queue, only_presence)| match only_presence {
                // Binding wants the queue and does not count as use of it.
                true => format!("queue.bind queue={} exchange=amq.direct {PROBE}", wire::quote(queue)),
                false => format!("queue.declare queue={} passive=true", wire::quote(queue)),
            })
            .collect();
        let answers = self.ask(&questions);
        let bound: Vec<String> = questions
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.starts_with("queue.bind-ok"))
            .map(|(question, _)| question.replacen("queue.bind", "queue.unbind", 1))
            .collect();
        self.ask(&bound);
        answers.iter().map(|answer| holds(answer)).collect()
    }
}

/// A binding of nobody else's.
const PROBE: &str = "routing-key=\"is it there?\"";

/// What a queue holds, out of the answer to a question.
fn holds(answer: &str) -> String {
    if answer.contains("NOT_FOUND") {
        "none".to_owned()
    } else if answer.contains("RESOURCE_LOCKED") {
        "locked".to_owned()
    } else if answer.starts_with("queue.bind-ok") {
        "there".to_owned()
    } else {
        let count = answer.split_once("message-count=").map_or(answer, |(_, rest)| rest);
        count.split(' ').next().unwrap_or_default().to_owned()
    }
}
