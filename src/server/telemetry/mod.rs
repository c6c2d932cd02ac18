//! Traces: what the broker does, told as spans to a collector of OpenTelemetry's. Nothing is done for a message, ever: what
//! has spans is a connection and its login, a request over HTTP, a change of the broker's things, its start and its stop,
//! and slow work of the disk. Without a collector there is nothing here but an empty option.
//!
//! What a span says is what the audit log and the listings say: names, addresses, numbers. No argument, no body, no
//! password, no token; a text is cut at a bound.

mod export;
mod spans;

pub use spans::HttpSpan;
pub(super) use spans::{ConnectionSpan, Live};

use super::error::ServeError;
use super::fetch::{Headers, Place};
use crate::config::{Config, pairs};
use crate::limits::{OTLP_ATTRIBUTES_MAX, OTLP_FAREWELL_MS, OTLP_TEXT_BYTES_MAX};
use export::{Exporter, Queue};
use opentelemetry::trace::{SpanContext, TracerProvider};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;
use tracing::warn;

/// See the file's head. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Telemetry(Option<Arc<Tracing>>);

/// There is a collector.
#[derive(Debug)]
struct Tracing {
    tracer: SdkTracer,
    /// Ends with the last of us.
    _provider: SdkTracerProvider,
    queue: Queue,
    /// Spans of the connections that opened a vhost and of requests over HTTP, by the names that events call their
    /// connections.
    connections: Mutex<HashMap<Arc<str>, SpanContext>>,
}

/// What became of spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// The collector took them.
    pub sent: u64,
    /// There was no room, or no collector.
    pub lost: u64,
}

impl Telemetry {
    /// Begins to trace, if a collector is configured.
    ///
    /// # Errors
    /// [`ServeError::Configuration`].
    pub(super) fn start(config: &Config) -> Result<Self, ServeError> {
        let Some(url) = config.otlp.traces_url() else { return Ok(Self::default()) };
        let wrong = |key: &str, error: &str| ServeError::Configuration(format!("{key}: {error}"));
        // Anybody may run a collector without TLS beside the broker: what spans say is no secret on such a network.
        let place = Place::parse(&url, true).map_err(|error| wrong("otlp_endpoint", &error))?;
        let headers = pairs(config.otlp.headers.expose());
        let headers =
            headers.ok_or_else(|| wrong("otlp_headers", "it is not NAME=VALUE, separated by commas"))?;
        let headers = Headers::parse(&headers).map_err(|error| wrong("otlp_headers", &error))?;
        if !headers.is_empty() && !place.is_private() {
            warn!("otlp_headers are sent to {url} without TLS: whoever is on the way can read them");
        }
        let resource = resource(config);
        let exporter = Exporter {
            place,
            authorities: config.otlp.authorities.clone(),
            headers,
            resource: (&resource).into(),
        };
        let queue = exporter.start();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue.clone())
            .with_resource(resource)
            .with_max_attributes_per_span(OTLP_ATTRIBUTES_MAX)
            .with_max_links_per_span(1)
            .with_max_events_per_span(1)
            .build();
        let scope = InstrumentationScope::builder("ledgermq").with_version(env!("CARGO_PKG_VERSION"));
        let tracer = provider.tracer_with_scope(scope.build());
        Ok(Self(Some(Arc::new(Tracing {
            tracer,
            _provider: provider,
            queue,
            connections: Mutex::default(),
        }))))
    }

    /// Whether anything is traced.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What became of spans; `None` if nothing is traced.
    pub(super) fn counts(&self) -> Option<SpanCounts> {
        let counts = &self.0.as_ref()?.queue.counts;
        Some(SpanCounts {
            sent: counts.sent.load(Ordering::Relaxed),
            lost: counts.lost.load(Ordering::Relaxed),
        })
    }

    /// Gives the collector a moment to take what waits.
    pub(super) async fn finish(&self) {
        let Some(tracing) = &self.0 else { return };
        let patience = Duration::from_millis(OTLP_FAREWELL_MS);
        if timeout(patience, tracing.queue.finish()).await.is_err() {
            warn!("the collector did not take the last spans in time: they are lost");
        }
    }
}

/// Who sends the spans.
fn resource(config: &Config) -> Resource {
    let node = format!("{}@localhost", config.cluster_name);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = [
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &node),
        text("host.name", host.trim()),
        number("process.pid", std::process::id().into()),
        text("ledgermq.node", &node),
        text("ledgermq.cluster", &config.cluster_name),
    ];
    // It was checked when it was read.
    let given = pairs(&config.otlp.resource_attributes).unwrap_or_default();
    let given = given.into_iter().map(|(name, value)| KeyValue::new(name, value));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(given)
        .with_attribute(text("service.name", &config.otlp.service_name))
        .build()
}

/// An attribute with a text, cut at the bound.
fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, cut(value))
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, Value::I64(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// So much of a text as a span may hold, in whole characters.
fn cut(text: &str) -> String {
    let mut end = OTLP_TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "x".to_owned() + &"é".repeat(OTLP_TEXT_BYTES_MAX);
        let kept = cut(&long);
        assert_eq!(kept.len(), OTLP_TEXT_BYTES_MAX - 1);
        assert!(long.starts_with(&kept));
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        let telemetry = Telemetry::start(&Config::default()).unwrap();
        assert!(!telemetry.is_on());
        assert_eq!(telemetry.counts(), None);
    }

    #[test]
    fn what_cannot_be_a_collector_or_a_header_stops_the_start_and_tells_no_secret() {
        for (endpoint, headers, expected) in [
            ("collector:4318", "", "otlp_endpoint: "),
            ("grpc://collector:4317", "", "neither https nor http"),
            ("http://ann:canary@collector", "", "a URL with a user is not taken"),
            ("http://127.0.0.1:1", "canary", "otlp_headers: it is not NAME=VALUE"),
            ("http://127.0.0.1:1", "ok=1,bad name=canary", "otlp_headers: number 2 cannot be a header"),
        ] {
            let mut config = Config::default();
            config.otlp.endpoint = endpoint.to_owned();
            config.otlp.headers = crate::auth::Secret::new(headers);
            let error = Telemetry::start(&config).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
    }
}
