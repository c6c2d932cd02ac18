//! Turns for clients that are not through their handshake: one of them is served at a time, in the order they asked, so
//! that thousands who come at once are served beside those who are there, and not before them. A turn lasts for one read
//! and its answer, never while anybody waits for bytes, so nobody can keep it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One client's: asked for, held or neither.
pub(super) struct Turn {
    turns: Arc<Semaphore>,
    state: State,
}

enum State {
    Neither,
    Asked(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    /// Nobody closes the semaphore, so there is one.
    Held(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>),
}

impl Turn {
    pub(super) fn new(turns: Arc<Semaphore>) -> Self {
        Self { turns, state: State::Neither }
    }

    /// Ready once it is this client's turn. One that was asked for must be polled again or [`Turn::cancel`]led when its
    /// task wakes: it may have come, and all others wait for it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Neither = self.state {
            let turns = Arc::clone(&self.turns);
            self.state = match Arc::clone(&turns).try_acquire_owned() {
                Ok(permit) => State::Held(Some(permit)),
                Err(_) => State::Asked(Box::pin(async move { turns.acquire_owned().await.ok() })),
            };
        }
        if let State::Asked(asked) = &mut self.state {
            self.state = State::Held(ready!(asked.as_mut().poll(cx)));
        }
        Poll::Ready(())
    }

    /// It is over, if it had come.
    pub(super) fn end(&mut self) {
        if let State::Held(_) = self.state {
            self.state = State::Neither;
        }
    }

    /// It is not wanted any more.
    pub(super) fn cancel(&mut self) {
        self.state = State::Neither;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn turns_come_in_the_order_they_were_asked_for_and_go_on_when_nobody_wants_them() {
        let turns = Arc::new(Semaphore::new(1));
        let [mut first, mut second, mut third] = [(); 3].map(|()| Turn::new(Arc::clone(&turns)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.poll(&mut cx).is_ready() && first.poll(&mut cx).is_ready(), "held until it ends");
        assert!(second.poll(&mut cx).is_pending() && third.poll(&mut cx).is_pending());
        second.end();
        first.end();
        assert!(first.poll(&mut cx).is_pending(), "behind those who wait");
        assert!(third.poll(&mut cx).is_pending(), "it is the second's, who did not look yet");
        second.cancel();
        assert!(third.poll(&mut cx).is_ready());
        drop(third);
        assert!(first.poll(&mut cx).is_ready());
    }
}
