//! What a request is answered: [`Reply`] if it was done, [`ApiError`] if not. The one place that knows how either looks on
//! the wire; the bodies of errors are RabbitMQ's `{"error": …, "reason": …}`, because programs read them.

use super::parts::PartSink;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

/// What a handler gives.
pub(super) type Answer = Result<Reply, ApiError>;

/// A request that was done.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Body,
    location: Option<String>,
}

impl Reply {
    /// 200 with this as JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        // Maps with keys that are texts are all there is, so nothing can fail.
        Self::bytes("application/json", serde_json::to_vec(value).unwrap_or_default())
    }

    /// 200 with bytes of this type.
    pub(super) fn bytes(content_type: &'static str, bytes: Vec<u8>) -> Self {
        let body = Body::from(bytes);
        Self { status: StatusCode::OK, content_type: Some(content_type), body, location: None }
    }

    /// 200 with JSON that is sent while it is made, and where to put it.
    pub(super) fn in_parts() -> (Self, PartSink) {
        let (sink, parts) = super::parts::parts();
        (Self { body: Body::new(parts), ..Self::bytes("application/json", Vec::new()) }, sink)
    }

    /// 201: it was not there and now is.
    pub(super) fn created() -> Self {
        Self { status: StatusCode::CREATED, ..Self::no_content() }
    }

    /// 201, and where it is; percent-encoded.
    pub(super) fn created_at(location: String) -> Self {
        Self { location: Some(location), ..Self::created() }
    }

    /// 204: it is as asked.
    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: None, body: Body::empty(), location: None }
    }

    /// On the wire.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = respond(self.status, self.content_type, self.body);
        let location = self.location.and_then(|location| HeaderValue::try_from(location).ok());
        if let Some(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// Why a request was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// 401: nobody is logged in, or as nobody there is; the browser asks for a password.
    Unauthenticated(Option<&'static str>),
    /// 401: the one who is logged in may not. (RabbitMQ's status for it.)
    NotAuthorised(String),
    /// 403: a page of another site sent it.
    CrossSite,
    /// 404.
    NotFound,
    /// 404 of something that a request names beside its path.
    Missing(String),
    /// 405, with the methods there are.
    MethodNotAllowed(String),
    /// 408: its body did not come in time.
    TooSlow,
    /// 400 `bad_request`.
    BadRequest(String),
    /// 400 with a word of its own.
    Invalid {
        /// The word.
        error: &'static str,
        /// A sentence.
        reason: String,
    },
    /// 412: what is there stands against it.
    Precondition(String),
    /// 413, with the bound in bytes.
    TooLarge(usize),
    /// 415: compressed, or not JSON.
    Unsupported(&'static str),
    /// 503: a health check failed; fields of its body beside `status`.
    Unhealthy(Value),
    /// 503: what is asked is going away.
    Unavailable(String),
}

impl ApiError {
    /// 400 `bad_request`.
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::BadRequest(reason.into())
    }

    /// On the wire.
    pub(super) fn into_response(self) -> Response<Body> {
        let said = |error: &str, reason: &str| Some(json!({"error": error, "reason": reason}));
        let mut headers = HeaderMap::new();
        let (status, body) = match self {
            Self::Unauthenticated(reason) => {
                let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
                headers.insert(header::WWW_AUTHENTICATE, realm);
                (StatusCode::UNAUTHORIZED, reason.and_then(|reason| said("not_authorized", reason)))
            }
            Self::NotAuthorised(reason) => (StatusCode::UNAUTHORIZED, said("not_authorised", &reason)),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                said("forbidden", "requests of other sites' pages change nothing here"),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, said("Object Not Found", "Not Found")),
            Self::Missing(reason) => (StatusCode::NOT_FOUND, said("not_found", &reason)),
            Self::MethodNotAllowed(allowed) => {
                if let Ok(allowed) = HeaderValue::try_from(allowed) {
                    headers.insert(header::ALLOW, allowed);
                }
                (StatusCode::METHOD_NOT_ALLOWED, None)
            }
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, said("request_timeout", "the body did not come in time"))
            }
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, said("bad_request", &reason)),
            Self::Invalid { error, reason } => (StatusCode::BAD_REQUEST, said(error, &reason)),
            Self::Precondition(reason) => {
                (StatusCode::PRECONDITION_FAILED, said("precondition_failed", &reason))
            }
            Self::TooLarge(limit) => {
                let reason = format!("a body has at most {limit} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, said("payload_too_large", &reason))
            }
            Self::Unsupported(reason) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, said("unsupported_media_type", reason))
            }
            Self::Unhealthy(mut fields) => {
                if let Value::Object(fields) = &mut fields {
                    fields.insert("status".to_owned(), json!("failed"));
                }
                (StatusCode::SERVICE_UNAVAILABLE, Some(fields))
            }
            Self::Unavailable(reason) => (StatusCode::SERVICE_UNAVAILABLE, said("unavailable", &reason)),
        };
        let mut response = match body {
            Some(body) => respond(status, Some("application/json"), Body::from(body.to_string())),
            None => respond(status, None, Body::empty()),
        };
        response.headers_mut().extend(headers);
        response
    }
}

/// A response with the headers that every one has.
pub(super) fn respond(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Headers of every response: names of queues are strangers' texts, and no browser shall take them for anything else.
const ALWAYS: [(header::HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-cache"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::VARY, "authorization"),
];
