//! Types that pick one of their bindings: by chance (`x-random`, `x-local-random`), or by the remainder of a hash of the
//! message's keys (`x-modulus-hash`). A destination that is bound twice has two chances.
//!
//! The bindings are kept in the order of their keys and destinations, so that a remainder means the same binding after
//! a restart. Unlike the consistent hash, one binding more or less moves nearly everything.
//! Source: RabbitMQ `rabbit_exchange_type_random`, `rabbit_exchange_type_local_random`,
//! `rabbit_sharding_exchange_type_modulus_hash`.

use super::DestinationId;
use super::chance::spread;
use super::hash::hash_bytes;
use super::label::Label;
use crate::protocol::table::Table;
use std::sync::Arc;

/// The bindings of an exchange.
#[derive(Debug)]
pub(super) struct PickTable<D> {
    pick: Pick,
    choices: Vec<Choice<D>>,
}

/// How one is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// Each as likely as the others.
    Chance,
    /// The one whose number is the hash of all keys, modulo their number.
    Modulus,
}

#[derive(Debug)]
struct Choice<D> {
    binding_key: Arc<str>,
    name: Box<str>,
    arguments: Table,
    destination: D,
}

impl<D: DestinationId> PickTable<D> {
    pub(super) fn new(pick: Pick) -> Self {
        Self { pick, choices: Vec::new() }
    }

    /// Whether exchange and routing key alone decide.
    pub(super) fn is_by_key(&self) -> bool {
        self.pick == Pick::Modulus
    }

    /// Adds a binding that is not there yet. `name` is the destination's.
    pub(super) fn insert(&mut self, binding_key: &Arc<str>, arguments: &Table, destination: D, name: &str) {
        let choice = Choice {
            binding_key: Arc::clone(binding_key),
            name: name.into(),
            arguments: arguments.clone(),
            destination,
        };
        let place = self.choices.partition_point(|known| known.order() < choice.order());
        self.choices.insert(place, choice);
    }

    /// Removes a binding that is there.
    pub(super) fn remove(&mut self, binding_key: &str, arguments: &Table, destination: D) {
        let found = self.choices.iter().position(|choice| {
            choice.destination == destination
                && *choice.binding_key == *binding_key
                && choice.arguments == *arguments
        });
        if let Some(at) = found {
            self.choices.remove(at);
        }
    }

    /// Removes all bindings that lead there.
    pub(super) fn remove_destination(&mut self, destination: D) {
        self.choices.retain(|choice| choice.destination != destination);
    }

    pub(super) fn route(&self, label: &Label<'_>, out: &mut impl FnMut(D)) {
        let at = match self.pick {
            Pick::Chance => label.chance.below(self.choices.len()),
            Pick::Modulus => {
                let hash = label.keys().fold(0, |hash, key| spread(hash ^ hash_bytes(key.as_bytes())));
                (hash % self.choices.len().max(1) as u64) as usize
            }
        };
        if let Some(choice) = self.choices.get(at) {
            out(choice.destination);
        }
    }
}

impl<D> Choice<D> {
    fn order(&self) -> (&str, &str, &[u8]) {
        (&self.binding_key, &self.name, self.arguments.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Chance;
    use crate::protocol::properties::{Properties, PropertyList};

    fn table(pick: Pick, bound: &[(&str, u32)]) -> PickTable<u32> {
        let mut table = PickTable::new(pick);
        for (key, destination) in bound {
            table.insert(&(*key).into(), &Table::default(), *destination, &format!("queue-{destination}"));
        }
        table
    }

    fn routed(table: &PickTable<u32>, keys: &[&str], chance: &Chance) -> Option<u32> {
        let bytes = PropertyList::default().encode();
        let (routing_key, more_keys) = keys.split_first().unwrap();
        let label = Label { routing_key, more_keys, properties: Properties::new(&bytes), chance };
        let mut found = Vec::new();
        table.route(&label, &mut |destination| found.push(destination));
        assert!(found.len() <= 1, "one at most");
        found.pop()
    }

    #[test]
    fn chance_picks_every_binding_alike() {
        let table = table(Pick::Chance, &[("", 1), ("", 2), ("", 3), ("again", 3)]);
        let chance = Chance::new(7);
        let mut counts = [0i32; 4];
        for _ in 0..40_000 {
            counts[routed(&table, &["k"], &chance).unwrap() as usize] += 1;
        }
        for (number, expected) in [(1, 10_000), (2, 10_000), (3, 20_000)] {
            assert!((counts[number] - expected).abs() < 500, "{counts:?}");
        }
        assert_eq!(routed(&super::tests::table(Pick::Chance, &[]), &["k"], &chance), None);
    }

    #[test]
    fn a_remainder_is_of_all_keys_and_means_the_same_whatever_the_order_of_binding() {
        let chance = Chance::new(7);
        let one = table(Pick::Modulus, &[("", 1), ("", 2), ("", 3)]);
        let other = table(Pick::Modulus, &[("", 3), ("", 1), ("", 2)]);
        let mut counts = [0i32; 4];
        for number in 0..3000 {
            let key = format!("k{number}");
            let found = routed(&one, &[&key], &chance);
            assert_eq!(found, routed(&one, &[&key], &chance), "always the same");
            assert_eq!(found, routed(&other, &[&key], &chance), "{key}");
            counts[found.unwrap() as usize] += 1;
        }
        assert!(counts[1..].iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        let moved = (0..100)
            .filter(|cc| routed(&one, &["k", &cc.to_string()], &chance) != routed(&one, &["k"], &chance));
        assert!(moved.count() > 20, "further keys count");
        assert_eq!(routed(&table(Pick::Modulus, &[]), &["k"], &chance), None);
    }

    #[test]
    fn what_is_unbound_is_not_picked() {
        let mut table = table(Pick::Chance, &[("", 1), ("a", 1), ("", 2)]);
        let chance = Chance::new(7);
        table.remove("", &Table::default(), 1);
        assert!((0..50).any(|_| routed(&table, &["k"], &chance) == Some(1)), "still bound by another key");
        table.remove("a", &Table::default(), 1);
        assert!((0..50).all(|_| routed(&table, &["k"], &chance) == Some(2)));
        table.remove_destination(2);
        assert_eq!(routed(&table, &["k"], &chance), None);
    }
}
