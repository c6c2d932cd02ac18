//! The spans there are, and what each says. Names of attributes are OpenTelemetry's where it has one, and begin with
//! `ledgermq.` otherwise.
//!
//! | span | is about |
//! |---|---|
//! | `broker.start` with `broker.recovery` in it, `broker.stop` | the life of the process |
//! | `amqp.connection` | a connection from accept to its end |
//! | `amqp.login` in it | the check of a login |
//! | `queue.created`, `user.deleted`, … | a change, within the connection or the request it came by; names of the event exchange |
//! | `GET /api/queues/{vhost}`, … | a request over HTTP, within the trace of who asks |
//! | `store.checkpoint`, `store.export`, `store.compaction`, `store.slow_sync` | slow work of the disk |

use super::{Telemetry, Tracing, cut, number, text};
use crate::connection::{ConnectionReport, Peer};
use crate::server::audit::{Told, is_audited, told};
use crate::vhost::events::Event;
use ledgermq_storage::{Work, WorkKind};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::Span;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// Events that have spans by other means, or begin and end what has one.
const OTHERWISE_TRACED: [&str; 2] = ["connection.", "user.authentication."];

/// A span under way. It ends when it is dropped, and nothing is done if nothing is traced.
#[derive(Debug, Default)]
pub(in crate::server) struct Live(Option<Box<Span>>);

impl Live {
    /// Says more of it.
    pub(in crate::server) fn say(&mut self, name: &'static str, value: &str) {
        self.set(|| text(name, value));
    }

    /// Says a number of it.
    pub(in crate::server) fn count(&mut self, name: &'static str, value: u64) {
        self.set(|| number(name, value));
    }

    /// It did not go well.
    pub(in crate::server) fn failed(&mut self, why: &str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(cut(why)));
        }
    }

    fn set(&mut self, attribute: impl FnOnce() -> KeyValue) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(attribute());
        }
    }

    fn context(&self) -> Option<&SpanContext> {
        self.0.as_ref().map(|span| span.span_context())
    }
}

impl Telemetry {
    /// Begins a span that is in no other.
    pub(in crate::server) fn begin(&self, name: &'static str) -> Live {
        Live(self.0.as_ref().map(|tracing| tracing.begin(builder(name, SpanKind::Internal), &Context::new())))
    }

    /// Begins a span in another.
    pub(in crate::server) fn begin_in(&self, name: &'static str, parent: &Live) -> Live {
        let tracing = self.0.as_ref().zip(parent.context());
        Live(tracing.map(|(tracing, parent)| {
            tracing.begin(builder(name, SpanKind::Internal), &within(parent.clone()))
        }))
    }

    /// Begins the span of a connection that was accepted; `None` if nothing is traced.
    pub(in crate::server) fn connection(&self, peer: Peer, over_tls: bool) -> Option<Box<ConnectionSpan>> {
        let tracing = self.0.as_ref()?;
        let mut about = addresses(peer);
        about.extend([
            KeyValue::new("network.protocol.name", "amqp"),
            KeyValue::new("network.protocol.version", "0-9-1"),
            KeyValue::new("tls.established", over_tls),
        ]);
        let builder = builder("amqp.connection", SpanKind::Server).with_attributes(about);
        let span = Live(Some(tracing.begin(builder, &Context::new())));
        let tracing = Arc::clone(tracing);
        Some(Box::new(ConnectionSpan { tracing, peer, span, login: Live::default(), name: None, why: None }))
    }

    /// Begins the span of a request over HTTP, within the trace of who asks; `None` if nothing is traced.
    /// `header` finds a header of the request, `route` is the path with the names of its variables.
    pub(in crate::server) fn request<'a>(
        &self,
        (method, route): (&str, &str),
        peer: Option<Peer>,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<HttpSpan> {
        let tracing = self.0.as_ref()?;
        let mut about = peer.map(addresses).unwrap_or_default();
        about.extend([text("http.request.method", method), text("http.route", route)]);
        let builder = builder(format!("{method} {route}"), SpanKind::Server).with_attributes(about);
        let name: Option<Arc<str>> = peer.map(|peer| peer.to_string().into());
        // Its state is not read: nobody is asked further on.
        let parent = header("traceparent").map(|value| Parent(value.to_owned()));
        let parent = parent.map_or_else(Context::new, |parent| {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &parent)
        });
        let span = Live(Some(tracing.begin(builder, &parent)));
        // What the request changes bears the name of its connection, on which there is one request at a time.
        if let Some((name, context)) = name.as_ref().zip(span.context()) {
            tracing.connections().insert(Arc::clone(name), context.clone());
        }
        Some(HttpSpan { tracing: Arc::clone(tracing), span, name })
    }

    /// A change of the broker's things, as an event tells it.
    pub(in crate::server) fn note(&self, event: &Event) {
        let Some(tracing) = &self.0 else { return };
        if !is_audited(event) || OTHERWISE_TRACED.iter().any(|prefix| event.key.starts_with(prefix)) {
            return;
        }
        let connection = event.connection.as_deref();
        let parent = connection.and_then(|name| tracing.connections().get(name).cloned());
        let told = told(event).map(|(name, told)| match (name, told) {
            ("user_who_performed_action", Told::Text(user)) => text("user.name", &user),
            (name, Told::Text(value)) => KeyValue::new(format!("ledgermq.{name}"), cut(&value)),
            (name, Told::Bool(value)) => KeyValue::new(format!("ledgermq.{name}"), value),
            (name, Told::Number(value)) => KeyValue::new(format!("ledgermq.{name}"), value),
        });
        let mut about: Vec<_> = told.collect();
        about.extend(connection.map(|name| text("ledgermq.connection.name", name)));
        let builder = builder(event.key, SpanKind::Internal).with_attributes(about);
        drop(tracing.begin(builder, &parent.map_or_else(Context::new, within)));
    }

    /// Slow work of the store.
    pub(in crate::server) fn store(&self, work: Work) {
        thread_local! {
            /// The piece that this thread is at.
            static UNDER_WAY: RefCell<Live> = RefCell::default();
        }
        let Some(tracing) = &self.0 else { return };
        match work {
            Work::Begins(kind) => {
                let mut live = self.begin(match kind {
                    WorkKind::Checkpoint { .. } => "store.checkpoint",
                    WorkKind::Export { .. } => "store.export",
                    WorkKind::Compaction => "store.compaction",
                });
                match kind {
                    WorkKind::Checkpoint { rows } => live.count("ledgermq.rows", rows),
                    WorkKind::Export { bytes } => live.count("ledgermq.bytes", bytes),
                    WorkKind::Compaction => {}
                }
                UNDER_WAY.replace(live);
            }
            Work::Ends { worked } => {
                let mut live = UNDER_WAY.take();
                if !worked {
                    live.failed("it is to be tried again");
                }
            }
            Work::SlowSync(took) => tracing.past("store.slow_sync", took),
        }
    }
}

impl Tracing {
    fn begin(&self, builder: SpanBuilder, parent: &Context) -> Box<Span> {
        Box::new(self.tracer.build_with_context(builder, parent))
    }

    /// A span that ends now and took so long.
    fn past(&self, name: &'static str, took: Duration) {
        let mut builder = builder(name, SpanKind::Internal);
        builder.start_time = opentelemetry::time::now().checked_sub(took);
        drop(self.begin(builder, &Context::new()));
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Arc<str>, SpanContext>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The span of a connection, and of its login while that is checked.
#[derive(Debug)]
pub(in crate::server) struct ConnectionSpan {
    tracing: Arc<Tracing>,
    peer: Peer,
    span: Live,
    login: Live,
    /// What events call the connection, once it opened a vhost.
    name: Option<Arc<str>>,
    /// Why it ended, as the log was told.
    why: Option<String>,
}

impl ConnectionSpan {
    /// A login is to be checked.
    pub(in crate::server) fn login_begins(&mut self, mechanism: &str) {
        let Some(parent) = self.span.context() else { return };
        let builder = builder("amqp.login", SpanKind::Internal)
            .with_attributes([text("ledgermq.auth.mechanism", mechanism)]);
        self.login = Live(Some(self.tracing.begin(builder, &within(parent.clone()))));
    }

    /// It was: whoever it is, was let in or not.
    pub(in crate::server) fn login_ends(&mut self, user: &str, is_allowed: bool) {
        let mut login = std::mem::take(&mut self.login);
        login.say("user.name", user);
        login.say("ledgermq.auth.result", if is_allowed { "success" } else { "failure" });
        if !is_allowed {
            login.failed("refused");
        }
    }

    /// It opened a vhost; events call it `name` from now on.
    pub(in crate::server) fn opened(&mut self, report: &ConnectionReport, name: &Arc<str>) {
        let said = [
            ("user.name", report.user.as_deref()),
            ("ledgermq.vhost", report.vhost.as_deref()),
            ("ledgermq.connection.name", Some(&**name)),
            ("ledgermq.client.name", report.name.as_deref()),
            ("ledgermq.client.product", report.client.as_deref()),
            ("tls.protocol.version", report.tls.as_ref().map(|tls| tls.protocol.trim_start_matches("tlsv"))),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                self.span.say(key, value);
            }
        }
        if let Some(context) = self.span.context() {
            self.tracing.connections().insert(Arc::clone(name), context.clone());
        }
        self.name = Some(Arc::clone(name));
    }

    /// A line about it that the log was given.
    pub(in crate::server) fn said(&mut self, line: &str) {
        let peer = self.peer.to_string();
        self.why = Some(line.strip_prefix(&peer).unwrap_or(line).trim_start().to_owned());
    }

    /// It is over: how it stood when its socket closed.
    pub(in crate::server) fn ends(mut self, report: &ConnectionReport) {
        let is_clean = report.state == "closed" && self.why.is_none();
        let end = match &self.why {
            _ if is_clean => "closed by the client",
            Some(why) => why,
            None => "the client was gone without closing it",
        };
        self.span.say("ledgermq.connection.end", end);
        if !is_clean {
            self.span.failed(end);
        }
        let traffic = &report.traffic;
        self.span.count("ledgermq.received_bytes", traffic.received_bytes);
        self.span.count("ledgermq.sent_bytes", traffic.sent_bytes);
    }
}

impl Drop for ConnectionSpan {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.tracing.connections().remove(name);
        }
    }
}

/// The span of a request over HTTP.
#[derive(Debug)]
pub struct HttpSpan {
    tracing: Arc<Tracing>,
    span: Live,
    /// What events call its connection.
    name: Option<Arc<str>>,
}

impl HttpSpan {
    /// Who asks, once that is known.
    pub fn user(&mut self, user: &str) {
        // Some routes ask nobody who it is.
        if !user.is_empty() {
            self.span.say("user.name", user);
        }
    }

    /// It was answered.
    pub fn ends(mut self, status: u16) {
        self.span.count("http.response.status_code", status.into());
        if status >= 500 {
            self.span.failed("");
        }
    }
}

impl Drop for HttpSpan {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.tracing.connections().remove(name);
        }
    }
}

/// What a request says of the span it is to be in.
struct Parent(String);

impl Extractor for Parent {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(&self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

fn builder(name: impl Into<std::borrow::Cow<'static, str>>, kind: SpanKind) -> SpanBuilder {
    SpanBuilder::from_name(name).with_kind(kind)
}

fn within(parent: SpanContext) -> Context {
    Context::new().with_remote_span_context(parent)
}

fn addresses(peer: Peer) -> Vec<KeyValue> {
    vec![
        text("client.address", &peer.remote.ip().to_string()),
        number("client.port", peer.remote.port().into()),
        text("server.address", &peer.local.ip().to_string()),
        number("server.port", peer.local.port().into()),
    ]
}
