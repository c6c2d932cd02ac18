//! GET of a document that an operator named by its URL. Over TLS, unless the server is this machine or the operator wants
//! it plain; the answer is bounded in size and the whole in time; a redirect is an answer like any other that is not 200,
//! so nobody else is ever asked.

use super::tls_client;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
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
        Ok(Self { uri, host, port, over_tls })
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
    let said = |error: std::io::Error| error.to_string();
    let tcp = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(said)?;
    if !place.over_tls {
        return ask(place, tcp, bytes_max).await;
    }
    let trust = spawn_blocking(move || tls_client::trusting(authorities.as_deref()));
    let trust = trust.await.map_err(|error| error.to_string())??;
    ask(place, tls_client::connect(trust, &place.host, tcp).await.map_err(said)?, bytes_max).await
}

async fn ask(
    place: &Place,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let authority = place.uri.authority().map_or("", |authority| authority.as_str());
    let path = place.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
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
