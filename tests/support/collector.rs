//! A collector of traces, as a test has it: takes what a broker sends by OTLP over HTTP, with TLS or without, and can be as
//! slow or as unfriendly as a test wants.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What a collector does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes it.
    Takes,
    /// Takes all but so many of its spans.
    TakesAllBut(i64),
    /// Has no time for it now.
    Fails,
    /// Does not want it.
    Refuses,
    /// Reads it and never answers.
    Hangs,
}

/// All it heard.
#[derive(Debug, Default)]
struct Heard {
    spans: Vec<Told>,
    /// Heads and bodies as they came.
    bytes: Vec<u8>,
    requests: usize,
}

/// A span, as a test looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) span: Span,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Attributes of who sent it.
    pub(crate) resource: BTreeMap<String, String>,
}

impl Told {
    /// An attribute; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is_in(&self, parent: &Told) -> bool {
        self.span.trace_id == parent.span.trace_id && self.span.parent_span_id == parent.span.span_id
    }

    /// Whether it tells of something that went wrong.
    pub(crate) fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

/// See the file's head.
pub(crate) struct Collector {
    pub(crate) url: String,
    heard: Arc<(Mutex<Heard>, Condvar)>,
    manner: Arc<Mutex<Manner>>,
}

impl Collector {
    /// Listens on a port, or on any with 0.
    pub(crate) fn start(port: u16, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let collector = Self {
            url: format!("{scheme}://localhost:{port}"),
            heard: Arc::default(),
            manner: Arc::new(Mutex::new(manner)),
        };
        let (heard, manner) = (Arc::clone(&collector.heard), Arc::clone(&collector.manner));
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let Ok(tcp) = tcp else { return };
                let (tls, heard, manner) = (tls.clone(), Arc::clone(&heard), Arc::clone(&manner));
                thread::spawn(move || match tls {
                    None => serve(tcp, &heard, &manner),
                    Some(config) => {
                        serve(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp), &heard, &manner);
                    }
                });
            }
        });
        collector
    }

    pub(crate) fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Waits for a span.
    pub(crate) fn wait_for(&self, is_it: impl Fn(&Told) -> bool) -> Told {
        let mut heard = self.heard.0.lock().unwrap();
        loop {
            if let Some(told) = heard.spans.iter().find(|told| is_it(told)) {
                return told.clone();
            }
            heard = self.heard.1.wait(heard).unwrap();
        }
    }

    /// Waits until so many batches were read.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        let heard = self.heard.0.lock().unwrap();
        drop(self.heard.1.wait_while(heard, |heard| heard.requests < count).unwrap());
    }

    pub(crate) fn spans(&self) -> Vec<Told> {
        self.heard.0.lock().unwrap().spans.clone()
    }

    /// The spans of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Told> {
        self.spans().into_iter().filter(|told| told.span.name == name).collect()
    }

    /// Whether these bytes came anywhere.
    pub(crate) fn heard_of(&self, bytes: &str) -> bool {
        let heard = self.heard.0.lock().unwrap();
        heard.bytes.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    }
}

fn serve(stream: impl Read + Write, heard: &(Mutex<Heard>, Condvar), manner: &Mutex<Manner>) {
    let mut stream = BufReader::new(stream);
    let mut preamble = String::new();
    while !preamble.ends_with("\r\n\r\n") {
        if !matches!(stream.read_line(&mut preamble), Ok(1..)) {
            return;
        }
    }
    assert!(preamble.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{preamble}");
    let lower = preamble.to_lowercase();
    assert!(lower.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{preamble}");
    let length = lower.split("\r\ncontent-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let manner = *manner.lock().unwrap();
    let answer = match manner {
        Manner::Takes => ok(None),
        Manner::TakesAllBut(count) => ok(Some(count)),
        Manner::Fails => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        Manner::Refuses => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(),
        Manner::Hangs => Vec::new(),
    };
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    {
        let mut heard = heard.0.lock().unwrap();
        heard.requests += 1;
        heard.bytes.extend(preamble.as_bytes());
        heard.bytes.extend(&body);
        if matches!(manner, Manner::Takes | Manner::TakesAllBut(_)) {
            heard.spans.extend(told(request));
        }
    }
    heard.1.notify_all();
    if answer.is_empty() {
        // Until the other end has had enough.
        let _ = stream.read(&mut [0]);
    }
    let _ = stream.get_mut().write_all(&answer);
    let _ = stream.get_mut().flush();
}

fn ok(refused: Option<i64>) -> Vec<u8> {
    let partial_success = refused.map(|rejected_spans| ExportTracePartialSuccess {
        rejected_spans,
        error_message: "they are not liked".to_owned(),
    });
    let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat()
}

fn told(request: ExportTraceServiceRequest) -> Vec<Told> {
    let mut all = Vec::new();
    for group in request.resource_spans {
        let resource = texts(&group.resource.unwrap_or_default().attributes);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Told { attributes: texts(&span.attributes), resource: resource.clone(), span });
        }
    }
    all
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
