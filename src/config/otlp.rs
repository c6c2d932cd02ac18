//! Where traces go, and what they say of who sends them.

use crate::auth::Secret;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;

/// A collector of traces that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Its URL; empty = there is none, and nothing is traced.
    pub endpoint: String,
    /// Headers that it wants, as [`pairs`]: they may hold keys.
    pub headers: Secret,
    /// A file with those who may sign its certificate, PEM; `None` = whom this system believes.
    pub authorities: Option<PathBuf>,
    /// What traces call this service.
    pub service_name: String,
    /// What else they say of it, as [`pairs`].
    pub resource_attributes: String,
    /// A sync that takes as long is slow and has a span, ms; 0 = each sync.
    pub slow_sync_ms: u64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            headers: Secret::default(),
            authorities: None,
            service_name: "ledgermq".to_owned(),
            resource_attributes: String::new(),
            slow_sync_ms: 100,
        }
    }
}

impl OtlpConfig {
    /// The URL that spans are sent to: OpenTelemetry's path is added where it is not there.
    pub fn traces_url(&self) -> Option<String> {
        let base = self.endpoint.trim_end_matches('/');
        match base {
            "" => None,
            whole if whole.ends_with(TRACES) => Some(whole.to_owned()),
            base => Some(format!("{base}{TRACES}")),
        }
    }
}

/// Source: OpenTelemetry Protocol Exporter, "Endpoint URLs for OTLP/HTTP".
const TRACES: &str = "/v1/traces";

/// Names and values: `name=value,name=value`, values percent-encoded where they hold what is special here.
/// `None` if it is something else. Source: the form of `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_EXPORTER_OTLP_HEADERS`.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
            let name = decoded(name).filter(|name| !name.is_empty())?;
            Some((name, decoded(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_where_it_is_not_there() {
        for (endpoint, expected) in [
            ("", None),
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://127.0.0.1:4318/", Some("http://127.0.0.1:4318/v1/traces")),
            ("https://c.example/otlp", Some("https://c.example/otlp/v1/traces")),
            ("https://c.example/otlp/v1/traces", Some("https://c.example/otlp/v1/traces")),
        ] {
            let config = OtlpConfig { endpoint: endpoint.to_owned(), ..OtlpConfig::default() };
            assert_eq!(config.traces_url().as_deref(), expected, "{endpoint}");
        }
    }

    #[test]
    fn pairs_are_written_as_opentelemetry_writes_them() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("a=1", Some(vec![("a", "1")])),
            (" a = 1 ,, b=x%2Cy=z ", Some(vec![("a", "1"), ("b", "x,y=z")])),
            ("a=", Some(vec![("a", "")])),
            ("a", None),
            ("=1", None),
            ("a=%ff", None),
        ] {
            let got = pairs(text);
            let shown = got.as_ref().map(|pairs| {
                pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>()
            });
            assert_eq!(shown, expected, "{text}");
        }
    }
}
