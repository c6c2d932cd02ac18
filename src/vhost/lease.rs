//! x-expires: a queue that nobody uses goes. Using it is declaring it, getting from it, and having a consumer; a quorum
//! queue is not renewed by being declared again. A restart begins the time anew. What the queue held goes with it, and is
//! not dead-lettered. Source: RabbitMQ `ttl.md`, "Queue TTL".

use super::deletion::Deletion;
use super::timers::Timer;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::queue::QueueKind;

impl Vhost {
    /// Somebody used a queue.
    pub(super) fn use_queue(&mut self, slot: QueueSlot) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        if record.settings.expires_ms.is_some() {
            record.life.used_ms = self.clock.monotonic_ms();
            self.set_lease(slot);
        }
    }

    /// Somebody declared a queue that was there.
    pub(super) fn use_queue_by_declaring(&mut self, slot: QueueSlot) {
        if self.topology.queues.get(slot).is_some_and(|record| record.settings.kind != QueueKind::Quorum) {
            self.use_queue(slot);
        }
    }

    /// Sets the time at which a queue may have been unused for too long.
    pub(super) fn set_lease(&mut self, slot: QueueSlot) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let at_ms = record.settings.expires_ms.map(|expires_ms| record.life.used_ms + expires_ms);
        self.timers.set(Timer::Lease, slot, &mut record.life.lease_at, at_ms);
    }

    /// That time has come. While it has consumers a queue is in use; the time begins anew when the last one goes.
    pub(super) fn lease_ended(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get(slot) else { return };
        let is_over = record
            .settings
            .expires_ms
            .is_some_and(|expires_ms| record.life.used_ms + expires_ms <= self.clock.monotonic_ms());
        if !is_over || record.queue.consumer_count() > 0 || !record.gets.is_empty() {
            return;
        }
        let queue = record.queue.id();
        if self.owes_letters(slot, cx) {
            self.deletions.push(Deletion::Expired(queue));
        } else {
            self.remove_queue(slot, cx);
        }
    }
}
