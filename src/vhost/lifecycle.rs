//! Channels and connections come and go. A channel that closes gives back what it holds; a connection takes its exclusive
//! queues with it. What they published stays, and the last answer waits until it is durable.

use super::channels::{Consuming, Until};
use super::command::{ChannelKey, ConnectionId, MethodId, Notice, Reply};
use super::events::Acting;
use super::input::{Effect, Identity};
use super::{Context, Vhost};
use crate::protocol::reply::ChannelError;
use crate::queue::ChannelSlot;

impl Vhost {
    pub(super) fn open_channel(&mut self, key: ChannelKey, cx: &mut Context<'_>) {
        if let Some(slot) = self.channels.open(key) {
            self.totals.channels_opened_count += 1;
            self.acting = Acting::Channel(slot);
            self.announce_channel_created(slot, cx);
            self.answer_now(slot, false, Reply::ChannelOpened, cx);
        }
    }

    pub(super) fn close_channel(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        let durable =
            self.channels.slots.get(slot).map_or(Until::NOW, super::channels::Channel::until).durable;
        self.shut_channel(slot, cx);
        self.answer_when(slot, false, Reply::ChannelClosed, durable, cx);
    }

    /// Closes a channel for an error of its own.
    pub(super) fn fail_channel(
        &mut self,
        slot: ChannelSlot,
        error: ChannelError,
        method: MethodId,
        cx: &mut Context<'_>,
    ) {
        self.shut_channel(slot, cx);
        self.tell(slot, Notice::ChannelFailed(error, method), Until::NOW, cx);
    }

    /// Ends everything a channel has going on: consumers, waiting gets, deliveries, its transaction. Confirms that are due
    /// go out first.
    pub(super) fn shut_channel(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        self.parked.retain(|parked| *parked != slot);
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        channel.parked = None;
        self.totals.confirmed_count += channel.release_confirms(&self.progress, cx.effects);
        channel.transaction = None;
        self.replies.remove(slot, None);
        let consumers = std::mem::take(&mut channel.consumers);
        let queues: Vec<_> = channel.queues.iter().copied().collect();
        for &Consuming { queue, consumer, .. } in consumers.values() {
            if let Some(record) = self.topology.queues.get_mut(queue) {
                record.cancel_consumer(consumer);
            }
        }
        for queue in queues {
            if let Some(record) = self.topology.queues.get_mut(queue) {
                record.gets.retain(|get| get.channel != slot);
            }
        }
        self.put_back_all_of(slot, cx);
        if self.has_audience() {
            for (tag, consuming) in &consumers {
                self.announce_consumer_left(consuming.queue, slot, tag, cx);
            }
            self.announce_channel_closed(slot, cx);
        }
        self.channels.close(slot);
        for consuming in consumers.into_values() {
            self.remove_if_unused(consuming.queue, cx);
        }
    }

    /// Notes who a connection is.
    pub(super) fn identify(&mut self, id: ConnectionId, identity: Identity, cx: &mut Context<'_>) {
        let Some(slot) = self.channels.connection_slot(id) else { return };
        let Some(connection) = self.channels.connections.get_mut(slot) else { return };
        connection.identity = identity;
        self.acting = Acting::Connection(slot);
        self.announce_connection_created(slot, cx);
    }

    /// A connection is gone. Nothing is said to it any more but that it may go.
    pub(super) fn detach(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(slot) = self.channels.connection_slot(id) else { return };
        let Some(connection) = self.channels.connections.get(slot) else { return };
        let channels: Vec<_> = connection.channels.iter().copied().collect();
        let exclusive_queues: Vec<_> = connection.exclusive_queues.iter().copied().collect();
        self.acting = Acting::Connection(slot);
        for channel in channels {
            if !self.parked.is_empty() {
                self.leave_parked(channel, cx);
            }
            self.shut_channel(channel, cx);
            self.channels.forget(channel);
        }
        for queue in exclusive_queues {
            self.remove_queue(queue, cx);
        }
        self.announce_connection_closed(slot, cx);
        if let Some(connection) = self.channels.detach(slot) {
            self.defer(connection.until, Effect::Detached(id), cx);
        }
    }
}
