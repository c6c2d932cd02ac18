//! A response that is sent while it is made: whoever makes it is stopped while the client does not read, and told when
//! the client is gone. One that is not made to its end is cut off, so that no client takes it for the whole.

use crate::limits::HTTP_PARTS_AHEAD;
use axum::body::Bytes;
use hyper::body::{Body, Frame};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Where the parts are put.
#[derive(Debug)]
pub(super) struct PartSink {
    /// `None` is the end.
    sender: mpsc::Sender<Option<Bytes>>,
    has_sent: bool,
}

/// The body they become.
#[derive(Debug)]
pub(super) struct Parts(mpsc::Receiver<Option<Bytes>>);

/// A body and where to put its parts.
pub(super) fn parts() -> (PartSink, Parts) {
    let (sender, receiver) = mpsc::channel(HTTP_PARTS_AHEAD);
    (PartSink { sender, has_sent: false }, Parts(receiver))
}

impl PartSink {
    /// Sends one part once there is room; false if the client is gone.
    pub(super) async fn send(&mut self, part: Vec<u8>) -> bool {
        self.has_sent |= !part.is_empty();
        part.is_empty() || self.sender.send(Some(part.into())).await.is_ok()
    }

    /// Sends the last part: it was all.
    pub(super) async fn finish(mut self, part: Vec<u8>) {
        if self.send(part).await {
            let _ = self.sender.send(None).await;
        }
    }

    /// Returns once the client is gone, or has all.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }

    /// Whether anything was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.has_sent
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|part| match part {
            Some(Some(part)) => Some(Ok(Frame::data(part))),
            Some(None) => None,
            None => Some(Err(io::Error::other("the response was cut off"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn what_is_not_finished_is_cut_off() {
        let (mut sink, whole) = parts();
        assert!(sink.send(b"a".to_vec()).await && sink.has_sent());
        // There is no room for all before it is read.
        let ((), whole) = tokio::join!(sink.finish(b"b".to_vec()), whole.collect());
        assert_eq!(whole.unwrap().to_bytes(), "ab");
        let (mut sink, cut) = parts();
        assert!(sink.send(b"a".to_vec()).await);
        drop(sink);
        assert!(cut.collect().await.is_err());
        let (mut sink, gone) = parts();
        drop(gone);
        sink.gone().await;
        assert!(!sink.send(b"a".to_vec()).await);
    }
}
