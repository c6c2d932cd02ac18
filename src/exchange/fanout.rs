//! Fanout: every destination, whatever the keys say.

use super::DestinationId;

/// Destinations, each once, in the order they were first bound.
#[derive(Debug)]
pub(super) struct FanoutTable<D> {
    destinations: Vec<D>,
}

impl<D> Default for FanoutTable<D> {
    fn default() -> Self {
        Self { destinations: Vec::new() }
    }
}

impl<D: DestinationId> FanoutTable<D> {
    /// Adds a destination that is not there yet.
    pub(super) fn insert(&mut self, destination: D) {
        self.destinations.push(destination);
    }

    /// Removes a destination that is there.
    pub(super) fn remove(&mut self, destination: D) {
        self.destinations.retain(|&known| known != destination);
    }

    pub(super) fn route(&self, out: &mut impl FnMut(D)) {
        self.destinations.iter().copied().for_each(out);
    }
}
