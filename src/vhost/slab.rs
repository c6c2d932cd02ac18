//! Values under small numbers that are used again once free: looking one up costs an index, not a hash.
//! Who keeps a number must drop it when the value goes; the vhost does so wherever it removes one.

use std::marker::PhantomData;

/// A number in a [`Slab`].
pub(super) trait SlabKey: Copy {
    /// The number with this index.
    fn new(index: u32) -> Self;
    /// Its index.
    fn index(self) -> usize;
}

macro_rules! slab_key {
    ($name:ty) => {
        impl $crate::vhost::slab::SlabKey for $name {
            fn new(index: u32) -> Self {
                Self(index)
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
pub(super) use slab_key;

slab_key!(crate::queue::ChannelSlot);

/// Values by number.
#[derive(Debug)]
pub(super) struct Slab<K, T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new(), key: PhantomData }
    }
}

impl<K: SlabKey, T> Slab<K, T> {
    pub(super) fn insert(&mut self, value: T) -> K {
        if let Some(index) = self.free.pop() {
            if let Some(place) = self.values.get_mut(index as usize) {
                *place = Some(value);
            }
            return K::new(index);
        }
        self.values.push(Some(value));
        K::new(self.values.len() as u32 - 1)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let value = self.values.get_mut(key.index())?.take()?;
        self.free.push(key.index() as u32);
        Some(value)
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        self.values.get(key.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.values.get_mut(key.index())?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        let numbered = self.values.iter().enumerate();
        numbered.filter_map(|(index, value)| Some((K::new(index as u32), value.as_ref()?)))
    }

    /// The values of at most `count` places from the place `from` on, and the place behind them if there are more.
    pub(super) fn stretch(&self, from: usize, count: usize) -> (impl Iterator<Item = &T>, Option<usize>) {
        let end = from.saturating_add(count).min(self.values.len());
        let values = self.values.get(from..end).unwrap_or_default();
        (values.iter().flatten(), (end < self.values.len()).then_some(end))
    }

    /// The values with their keys, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let numbered = self.values.iter_mut().enumerate();
        numbered.filter_map(|(index, value)| Some((K::new(index as u32), value.as_mut()?)))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::ChannelSlot;

    #[test]
    fn numbers_are_used_again() {
        let mut slab: Slab<ChannelSlot, &str> = Slab::default();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!((slab.remove(a), slab.get(a)), (None, None));
        assert_eq!(slab.insert("c"), a);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(a, &"c"), (b, &"b")]);
    }

    #[test]
    fn values_are_gone_through_in_stretches() {
        let mut slab: Slab<ChannelSlot, u32> = Slab::default();
        let keys: Vec<_> = (0..5).map(|value| slab.insert(value)).collect();
        slab.remove(keys[1]);
        let seen = |from, count| {
            let (values, next) = slab.stretch(from, count);
            (values.copied().collect::<Vec<_>>(), next)
        };
        assert_eq!(seen(0, 2), (vec![0], Some(2)), "places count, not values: who goes on comes to an end");
        assert_eq!(seen(2, 2), (vec![2, 3], Some(4)));
        assert_eq!(seen(4, 2), (vec![4], None));
        assert_eq!(seen(0, usize::MAX), (vec![0, 2, 3, 4], None));
        assert_eq!(seen(9, usize::MAX), (vec![], None), "it was longer when somebody began");
    }
}
