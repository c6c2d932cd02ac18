//! Direct: the binding key equals the routing key, byte for byte.

use super::DestinationId;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// Destinations by binding key. A destination stands under a key once.
#[derive(Debug)]
pub(super) struct DirectTable<D> {
    /// The hasher is seeded anew in every process: a client cannot choose keys that collide.
    by_key: HashMap<Arc<str>, Vec<D>, RandomState>,
}

impl<D> Default for DirectTable<D> {
    fn default() -> Self {
        Self { by_key: HashMap::default() }
    }
}

impl<D: DestinationId> DirectTable<D> {
    /// Adds a pair that is not there yet.
    pub(super) fn insert(&mut self, binding_key: &Arc<str>, destination: D) {
        self.by_key.entry(Arc::clone(binding_key)).or_default().push(destination);
    }

    /// Removes a pair that is there.
    pub(super) fn remove(&mut self, binding_key: &str, destination: D) {
        let Some(destinations) = self.by_key.get_mut(binding_key) else { return };
        destinations.retain(|&known| known != destination);
        if destinations.is_empty() {
            self.by_key.remove(binding_key);
        }
    }

    pub(super) fn route(&self, routing_key: &str, out: &mut impl FnMut(D)) {
        if let Some(destinations) = self.by_key.get(routing_key) {
            destinations.iter().copied().for_each(out);
        }
    }
}
