//! From a span that has ended to the collector. A bounded queue, a task that sends what waits there in batches, and the
//! count of what got there and what did not. Who ends a span never waits: what finds no room is lost. A batch that a
//! collector does not take is sent again after a pause that grows, a few times, while others wait in the queue; then it is
//! lost as well. The log hears when it begins and when it is over.

use crate::limits::{
    OTLP_ANSWER_BYTES_MAX, OTLP_BATCH_MS, OTLP_BATCH_SPANS_MAX, OTLP_EXPORT_MS, OTLP_PAUSE_MS,
    OTLP_SPANS_WAITING_MAX, OTLP_TRIES_MAX,
};
use crate::server::fetch::{self, Bounds, Headers, Place, Post, PostError};
use crate::server::random_u64;
use crate::server::tls_client::Trust;
use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) lost: AtomicU64,
}

enum Order {
    Span(Box<SpanData>),
    /// Answered once all before it was sent, or lost.
    Flush(oneshot::Sender<()>),
}

/// The way to the exporter. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    orders: mpsc::Sender<Order>,
    /// Nobody is to wait for a pause any more.
    ending: watch::Sender<bool>,
    pub(super) counts: Arc<Counts>,
}

impl Queue {
    /// Returns once all that ended before was sent, or lost, without the pauses of a collector that takes nothing; may wait long.
    pub(super) async fn finish(&self) {
        self.ending.send_replace(true);
        let (sender, answer) = oneshot::channel();
        if self.orders.send(Order::Flush(sender)).await.is_ok() {
            let _ = answer.await;
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.orders.try_send(Order::Span(Box::new(span))).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A collector, and what it needs to hear.
pub(super) struct Exporter {
    pub(super) place: Place,
    pub(super) authorities: Option<PathBuf>,
    pub(super) headers: Headers,
    pub(super) resource: ResourceAttributesWithSchema,
}

impl Exporter {
    /// Sends what comes by the queue, for as long as somebody has it.
    pub(super) fn start(self) -> Queue {
        let (orders, incoming) = mpsc::channel(OTLP_SPANS_WAITING_MAX);
        let (ending, is_ending) = watch::channel(false);
        let counts = Arc::<Counts>::default();
        let sending = Sending {
            to: self,
            incoming,
            is_ending,
            counts: Arc::clone(&counts),
            trust: None,
            is_failing: false,
        };
        tokio::spawn(sending.run());
        Queue { orders, ending, counts }
    }
}

struct Sending {
    to: Exporter,
    incoming: mpsc::Receiver<Order>,
    is_ending: watch::Receiver<bool>,
    counts: Arc<Counts>,
    /// Whom to believe, once it was read.
    trust: Option<Trust>,
    /// The last batch did not get there at once: that was told.
    is_failing: bool,
}

impl Sending {
    async fn run(mut self) {
        while let Some((spans, flushed)) = self.gather().await {
            if !spans.is_empty() {
                self.export(spans).await;
            }
            if let Some(flushed) = flushed {
                // Who asked may have gone.
                let _ = flushed.send(());
            }
        }
    }

    /// The next batch: what comes within a moment of its first span, or before somebody asks for a flush.
    async fn gather(&mut self) -> Option<(Vec<SpanData>, Option<oneshot::Sender<()>>)> {
        let mut spans = Vec::new();
        let mut order = self.incoming.recv().await?;
        let mut company = pin!(sleep(Duration::from_millis(OTLP_BATCH_MS)));
        loop {
            match order {
                Order::Span(span) => spans.push(*span),
                Order::Flush(flushed) => return Some((spans, Some(flushed))),
            }
            if spans.len() >= OTLP_BATCH_SPANS_MAX {
                return Some((spans, None));
            }
            order = tokio::select! {
                biased;
                order = self.incoming.recv() => match order {
                    Some(order) => order,
                    None => return Some((spans, None)),
                },
                () = &mut company => return Some((spans, None)),
            };
        }
    }

    async fn export(&mut self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.to.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let mut pauses = (0..OTLP_TRIES_MAX - 1).map(pause);
        let mut is_last = false;
        let lost = loop {
            match self.post(body.clone()).await {
                Ok(answer) => {
                    let refused = refused(&answer).min(count);
                    if refused == 0 {
                        self.tell_success();
                    } else {
                        self.tell_failure("the collector refused some of the spans");
                    }
                    break refused;
                }
                Err(PostError::Passing(error)) => {
                    self.tell_failure(&error);
                    let Some(pause) = pauses.next().filter(|_| !is_last) else { break count };
                    // A stop waits for no pause: one try more.
                    is_last = timeout(pause, self.is_ending.wait_for(|is_ending| *is_ending)).await.is_ok();
                }
                Err(PostError::Lasting(error)) => {
                    self.tell_failure(&error);
                    break count;
                }
            }
        };
        self.counts.lost.fetch_add(lost, Ordering::Relaxed);
        self.counts.sent.fetch_add(count - lost, Ordering::Relaxed);
    }

    async fn post(&mut self, body: Bytes) -> Result<Vec<u8>, PostError> {
        let Exporter { place, authorities, headers, .. } = &self.to;
        let bounds = Bounds { bytes_max: OTLP_ANSWER_BYTES_MAX, within_ms: OTLP_EXPORT_MS };
        let post = Post { content_type: "application/x-protobuf", headers, body };
        fetch::post(place, &mut self.trust, authorities.clone(), post, bounds).await
    }

    fn tell_failure(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(error = %error.escape_debug(), "spans do not get to the collector");
        }
    }

    fn tell_success(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            info!(lost = self.counts.lost.load(Ordering::Relaxed), "spans get to the collector again");
        }
    }
}

/// The pause behind so many: twice as long each time, and never the same for all brokers that lost a collector together.
fn pause(before: u32) -> Duration {
    let longest = OTLP_PAUSE_MS << before;
    Duration::from_millis(longest / 2 + random_u64() % (longest / 2 + 1))
}

/// Spans that a collector did not take of a batch that it took otherwise.
fn refused(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn pauses_grow_and_have_a_bound() {
        for before in 0..OTLP_TRIES_MAX {
            let longest = Duration::from_millis(OTLP_PAUSE_MS << before);
            assert!((longest / 2..=longest).contains(&pause(before)));
        }
    }

    #[test]
    fn an_answer_says_what_was_refused() {
        let check = |rejected_spans, expected| {
            let partial_success =
                Some(ExportTracePartialSuccess { rejected_spans, error_message: "x".into() });
            let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            assert_eq!(refused(&answer), expected);
        };
        check(0, 0);
        check(7, 7);
        check(-1, 0);
        assert_eq!(refused(b""), 0, "all were taken");
        assert_eq!(refused(b"\xff<html>"), 0, "what is no answer says nothing");
    }
}
