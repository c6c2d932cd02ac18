//! HTTP/1.1 on the management listener: connections within their bounds, whatever a stranger sends or does not send.
//! Knows no routes.

use crate::connection::Peer;
use crate::limits::{
    HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS, HTTP_HEADERS_MAX, HTTP_UNREAD_MS,
    HTTP_WHOLE_BYTES_MAX,
};
use crate::server::{Broker, HttpClient, Https};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;
use tracing::{debug, warn};

/// Pause after the system refused to accept, ms.
const PAUSE_MS: u64 = 100;

/// Serves until the task is dropped.
pub(super) async fn serve(broker: Arc<Broker>, router: Router, listener: TcpListener, tls: Option<Https>) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((mut stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                let (broker, router, tls) = (Arc::clone(&broker), router.clone(), tls.clone());
                tokio::spawn(async move {
                    if let Ok(client) = broker.receive_http(&mut stream, Peer { remote, local }).await {
                        match tls {
                            None => converse(router, stream, client).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.shake_hands(stream).await {
                                    converse(router, stream, client).await;
                                }
                            }
                        }
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the HTTP side does not accept");
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
        }
    }
}

/// One connection, to its end.
async fn converse(router: Router, stream: impl AsyncRead + AsyncWrite + Unpin, client: HttpClient) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        request.extensions_mut().insert(client);
        async move { Ok::<_, Infallible>(answer(&mut router, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HTTP_HEAD_MS))
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(HTTP_UNREAD_MS)));
    if let Err(error) = http.serve_connection(TokioIo::new(Box::pin(stream)), service).await {
        debug!(%error, client = %client.peer.remote, "an HTTP connection ended");
    }
}

async fn answer(router: &mut Router, request: hyper::Request<Incoming>) -> Response {
    let version = request.version();
    let response = match router.call(Request::from(request.map(Body::new))).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if version > Version::HTTP_10 || response.body().size_hint().exact().is_some() {
        return response;
    }
    whole(response).await
}

/// The answer with its length: in HTTP/1.0 one of unknown length ends with the connection, and one that was cut off would pass
/// for the whole.
async fn whole(response: Response) -> Response {
    let (head, body) = response.into_parts();
    match axum::body::to_bytes(body, HTTP_WHOLE_BYTES_MAX).await {
        Ok(body) => Response::from_parts(head, body.into()),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n").into_response(),
    }
}
