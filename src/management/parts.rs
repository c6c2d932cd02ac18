//! A response that is sent while it is made: whoever makes it is stopped while the client does not read, and told when
//! the client is gone.

use crate::limits::HTTP_PARTS_AHEAD;
use axum::body::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Where the parts are put.
#[derive(Debug)]
pub(super) struct PartSink {
    sender: mpsc::Sender<Bytes>,
    has_sent: bool,
}

/// The body they become.
#[derive(Debug)]
pub(super) struct Parts(mpsc::Receiver<Bytes>);

/// A body and where to put its parts.
pub(super) fn parts() -> (PartSink, Parts) {
    let (sender, receiver) = mpsc::channel(HTTP_PARTS_AHEAD);
    (PartSink { sender, has_sent: false }, Parts(receiver))
}

impl PartSink {
    /// Sends one part once there is room; false if the client is gone.
    pub(super) async fn send(&mut self, part: Vec<u8>) -> bool {
        self.has_sent |= !part.is_empty();
        part.is_empty() || self.sender.send(part.into()).await.is_ok()
    }

    /// Whether anything was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.has_sent
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
