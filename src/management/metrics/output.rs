//! A page on its way: what was made of it goes to the client before the rest is made.

use super::text::{Family, Page};
use crate::limits::{HTTP_ROWS_PER_CHUNK, METRICS_PIECE_BYTES, METRICS_UNREAD_MS};
use crate::management::parts::PartSink;
use std::time::Duration;
use tokio::time::timeout;

/// See the file's head.
pub(super) struct Output {
    page: Page,
    sink: PartSink,
    /// The client is there, and reads.
    is_wanted: bool,
}

impl Output {
    /// A page that begins with this.
    pub(super) fn new(page: Page, sink: PartSink) -> Self {
        Self { page, sink, is_wanted: true }
    }

    /// The page, to go on.
    pub(super) fn page(&mut self) -> &mut Page {
        &mut self.page
    }

    /// Adds samples to the family that was opened last: for each of these, what `sample` makes of it.
    pub(super) async fn samples<T>(
        &mut self,
        of: impl Iterator<Item = T>,
        sample: impl Fn(&mut Family<'_>, T),
    ) {
        let mut of = of.peekable();
        while self.is_wanted && of.peek().is_some() {
            let mut family = self.page.more();
            of.by_ref().take(HTTP_ROWS_PER_CHUNK).for_each(|one| sample(&mut family, one));
            if self.page.len() >= METRICS_PIECE_BYTES {
                let sent = self.sink.send(self.page.take().into_bytes());
                self.is_wanted = timeout(Duration::from_millis(METRICS_UNREAD_MS), sent).await == Ok(true);
            }
        }
    }

    /// Sends what is left.
    pub(super) async fn finish(self) {
        if self.is_wanted {
            let rest = self.sink.finish(self.page.finish().into_bytes());
            let _ = timeout(Duration::from_millis(METRICS_UNREAD_MS), rest).await;
        }
    }
}
