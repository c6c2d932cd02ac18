//! Requests to servers that an operator named by their URL: GET of a document, POST of one. Over TLS, unless the server is
//! this machine or the operator wants it plain; the answer is bounded in size and the whole in time; a redirect is an
//! answer like any other that is no success, so nobody else is ever asked.

use super::tls_client::{self, Trust};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

/// Bounds of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Size of its body.
    pub(super) bytes_max: usize,
    /// Time from the beginning to the end.
    pub(super) within_ms: u64,
}

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    uri: Uri,
    host: String,
    port: u16,
    over_tls: bool,
    /// It names this machine.
    is_here: bool,
}

impl Place {
    /// Reads a URL; plain http is for this machine, unless `plain_is_good`.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) fn parse(url: &str, plain_is_good: bool) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let authority = uri.authority().ok_or_else(|| format!("{url} names no server"))?;
        if authority.as_str().contains('@') {
            return Err("a URL with a user is not taken".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let (over_tls, port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") if plain_is_good || is_here => (false, 80),
            Some("http") => return Err(format!("{url} would be read without TLS: https is needed")),
            _ => return Err(format!("{url} is neither https nor http")),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { uri, host, port, over_tls, is_here })
    }

    /// Whether the way there is encrypted, or within this machine.
    pub(super) fn is_private(&self) -> bool {
        self.over_tls || self.is_here
    }

    /// A request for it: its first lines.
    fn request(&self, method: &str) -> hyper::http::request::Builder {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::CONNECTION, "close")
    }
}

/// Reads the document; `authorities` is a file with those whose certificates are believed, or else the system's are.
///
/// # Errors
/// A sentence for the log.
pub(super) async fn get(
    place: &Place,
    authorities: Option<PathBuf>,
    bounds: Bounds,
) -> Result<Vec<u8>, String> {
    let within = Duration::from_millis(bounds.within_ms);
    let got = timeout(within, get_unhurried(place, authorities, bounds.bytes_max)).await;
    got.unwrap_or_else(|_| Err(format!("{} took longer than {} ms", place.uri, bounds.within_ms)))
        .map_err(|error| format!("{}: {error}", place.uri))
}

async fn get_unhurried(
    place: &Place,
    authorities: Option<PathBuf>,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let request = place.request("GET").header(header::ACCEPT, "application/json").body(Full::default());
    let request = request.map_err(|error| error.to_string())?;
    let mut trust = None;
    let (status, body) = converse(place, &mut trust, authorities, request, bytes_max).await?;
    if status == StatusCode::OK { Ok(body) } else { Err(format!("the server answered {status}")) }
}

/// Headers of a request, checked.
#[derive(Clone, Default)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Takes names and values; `Debug` of the values shows nothing.
    ///
    /// # Errors
    /// Which is none, by its place in the order. Not its text: that may be a secret.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let header = |(at, (name, value)): (usize, &(String, String))| {
            let name = HeaderName::try_from(name.as_str()).ok();
            let value = HeaderValue::try_from(value.as_str()).ok();
            let (name, mut value) =
                name.zip(value).ok_or_else(|| format!("number {} cannot be a header", at + 1))?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        pairs.iter().enumerate().map(header).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is sent.
pub(super) struct Post<'a> {
    pub(super) content_type: &'static str,
    pub(super) headers: &'a Headers,
    pub(super) body: Bytes,
}

/// Why a document was not taken; a sentence for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PostError {
    /// Nobody is there, or has time: it may be taken another time.
    Passing(String),
    /// The server does not want it.
    Lasting(String),
}

/// Sends a document; the body of the answer, if it is a success. Whom to believe is read where `trust` has nothing, and
/// again after a failure: the files may have changed.
///
/// # Errors
/// [`PostError`].
pub(super) async fn post(
    place: &Place,
    trust: &mut Option<Trust>,
    authorities: Option<PathBuf>,
    post: Post<'_>,
    bounds: Bounds,
) -> Result<Vec<u8>, PostError> {
    let within = Duration::from_millis(bounds.within_ms);
    let posting = post_unhurried(place, trust, authorities, post, bounds.bytes_max);
    let posted = timeout(within, posting).await;
    let posted = posted.unwrap_or_else(|_| Err(format!("it took longer than {} ms", bounds.within_ms)));
    let told = |error: String| format!("{}: {error}", place.uri);
    match posted {
        Ok((status, body)) if status.is_success() => Ok(body),
        Ok((status, _)) => {
            *trust = None;
            let error = told(format!("the server answered {status}"));
            Err(if may_pass(status) { PostError::Passing(error) } else { PostError::Lasting(error) })
        }
        Err(error) => {
            *trust = None;
            Err(PostError::Passing(told(error)))
        }
    }
}

/// Whether a request that was answered so may be answered otherwise later. Source: OTLP specification, "Retryable response
/// codes".
fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

async fn post_unhurried(
    place: &Place,
    trust: &mut Option<Trust>,
    authorities: Option<PathBuf>,
    post: Post<'_>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), String> {
    let mut request = place.request("POST").header(header::CONTENT_TYPE, post.content_type);
    for (name, value) in &post.headers.0 {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(post.body)).map_err(|error| error.to_string())?;
    converse(place, trust, authorities, request, bytes_max).await
}

/// Connects, asks, and reads the answer.
async fn converse(
    place: &Place,
    trust: &mut Option<Trust>,
    authorities: Option<PathBuf>,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), String> {
    let said = |error: std::io::Error| error.to_string();
    let tcp = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(said)?;
    if !place.over_tls {
        return ask(tcp, request, bytes_max).await;
    }
    if trust.is_none() {
        let reading = spawn_blocking(move || tls_client::trusting(authorities.as_deref()));
        *trust = Some(reading.await.map_err(|error| error.to_string())??);
    }
    let Some(trust) = trust.clone() else { return Err("nobody is believed".to_owned()) };
    ask(tls_client::connect(trust, &place.host, tcp).await.map_err(said)?, request, bytes_max).await
}

async fn ask(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Ok((status, Vec::new()));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    body.map(|body| (status, body.to_bytes().to_vec())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_over_tls_or_from_this_machine() {
        for (url, plain_is_good, expected) in [
            ("https://keys.example/jwks?x=1", false, Ok(("keys.example", 443, true))),
            ("https://keys.example:8443/", false, Ok(("keys.example", 8443, true))),
            ("https://[2001:db8::1]/", false, Ok(("2001:db8::1", 443, true))),
            ("http://127.0.0.1:8080/keys", false, Ok(("127.0.0.1", 8080, false))),
            ("http://[::1]/", false, Ok(("::1", 80, false))),
            ("http://localhost/", false, Ok(("localhost", 80, false))),
            ("http://keys.example/", true, Ok(("keys.example", 80, false))),
            ("http://keys.example/", false, Err("https is needed")),
            ("http://localhost.evil.example/", false, Err("https is needed")),
            ("http://127.0.0.1.evil.example/", false, Err("https is needed")),
            ("ftp://keys.example/", true, Err("neither https nor http")),
            ("file:///etc/passwd", true, Err("")),
            ("https://user:secret@keys.example/", false, Err("a URL with a user")),
            ("/keys", false, Err("names no server")),
            ("", false, Err("")),
        ] {
            match (Place::parse(url, plain_is_good), expected) {
                (Ok(place), Ok(expected)) => {
                    assert_eq!((place.host.as_str(), place.port, place.over_tls), expected, "{url}");
                }
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
                (got, _) => panic!("{url}: {got:?}"),
            }
        }
    }
}
