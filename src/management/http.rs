//! HTTP/1.1 on the management listener: connections within their bounds, whatever a stranger sends or does not send.
//! Knows no routes.

use crate::connection::Peer;
use crate::limits::{
    HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS, HTTP_HEADERS_MAX, HTTP_UNREAD_MS,
};
use crate::server::{Broker, HttpClient, Https};
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
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

async fn answer(router: &mut Router, request: hyper::Request<Incoming>) -> axum::response::Response {
    match router.call(Request::from(request.map(axum::body::Body::new))).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
