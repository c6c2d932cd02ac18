//! The bindings of one exchange as a source, and the table of its type that routes by them.
//! Owns the identity of bindings: (destination, binding key, arguments) exists at most once, and the order in which
//! arguments were written does not matter. The tables below see a key only when it is new for its destination.
//! Invariant: the table holds exactly what `bindings` holds.

use super::ExchangeKind;
use super::direct::DirectTable;
use super::fanout::FanoutTable;
use super::hash::{HashTable, Hashed, Weight};
use super::headers::{HeadersPattern, HeadersTable};
use super::label::Label;
use super::pick::{Pick, PickTable};
use super::refusals::precondition;
use super::topic::TopicTable;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

/// What the vhost calls a destination: small, and equal only to itself.
pub trait DestinationId: Copy + Ord + Hash {}

impl<D: Copy + Ord + Hash> DestinationId for D {}

/// What a new binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundTo<'a, D> {
    /// The vhost's number for it.
    pub destination: D,
    /// Its name.
    pub name: &'a str,
    /// RabbitMQ's name for the type of the queue; `None` if it is an exchange.
    pub queue_type: Option<&'static str>,
}

/// One binding of an exchange, for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a, D> {
    /// Where it leads.
    pub destination: D,
    /// Binding key.
    pub binding_key: &'a Arc<str>,
    /// Arguments.
    pub arguments: &'a Table,
}

/// The bindings of one exchange, ready to route by.
#[derive(Debug)]
pub struct Routes<D> {
    /// By destination and binding key, with the arguments of each (nearly always one empty table). In order, so that
    /// whoever lists them a stretch at a time knows where to go on, whatever was bound and unbound meanwhile.
    bindings: BTreeMap<(D, Arc<str>), Vec<Table>>,
    binding_count: usize,
    table: RoutingTable<D>,
}

#[derive(Debug)]
enum RoutingTable<D> {
    Direct(DirectTable<D>),
    /// Also that of a recent history.
    Fanout(FanoutTable<D>),
    Topic(TopicTable<D>),
    Headers(HeadersTable<D>),
    ConsistentHash(HashTable<D>),
    /// Also that of a modulus.
    Random(PickTable<D>),
    LocalRandom(PickTable<D>),
}

/// What a table makes of a binding, checked before anything is changed.
enum Checked {
    Key,
    Pattern(HeadersPattern),
    Weight(Weight),
}

impl<D: DestinationId> Routes<D> {
    /// No bindings yet, and no arguments.
    pub fn new(kind: ExchangeKind) -> Self {
        let table = match kind {
            ExchangeKind::Direct => RoutingTable::Direct(DirectTable::default()),
            // A delayed one is made by `declared`, of the type that its arguments name.
            ExchangeKind::Fanout | ExchangeKind::RecentHistory | ExchangeKind::Delayed => {
                RoutingTable::Fanout(FanoutTable::default())
            }
            ExchangeKind::Topic => RoutingTable::Topic(TopicTable::default()),
            ExchangeKind::Headers => RoutingTable::Headers(HeadersTable::default()),
            ExchangeKind::ConsistentHash => RoutingTable::ConsistentHash(HashTable::new(Hashed::RoutingKey)),
            ExchangeKind::ModulusHash => RoutingTable::Random(PickTable::new(Pick::Modulus)),
            ExchangeKind::Random => RoutingTable::Random(PickTable::new(Pick::Chance)),
            ExchangeKind::LocalRandom => RoutingTable::LocalRandom(PickTable::new(Pick::Chance)),
        };
        Self { bindings: BTreeMap::new(), binding_count: 0, table }
    }

    /// No bindings yet; routes as the arguments of the declaration say.
    ///
    /// # Errors
    /// 406 if they mean nothing to this type of exchange.
    pub fn declared(kind: ExchangeKind, arguments: &Table) -> Result<Self, ChannelError> {
        if kind == ExchangeKind::Delayed {
            return Self::declared(delayed_kind(arguments)?, arguments);
        }
        let mut routes = Self::new(kind);
        if kind == ExchangeKind::ConsistentHash {
            routes.table = RoutingTable::ConsistentHash(HashTable::new(Hashed::parse(arguments)?));
        }
        Ok(routes)
    }

    /// Adds a binding; `false` if it was there already.
    ///
    /// # Errors
    /// 406 if the key or the arguments mean nothing to this type of exchange; nothing is changed then.
    pub fn bind(
        &mut self,
        binding_key: &Arc<str>,
        arguments: &Table,
        to: BoundTo<'_, D>,
    ) -> Result<bool, ChannelError> {
        let BoundTo { destination, name, .. } = to;
        let checked = self.check(binding_key, arguments, &to)?;
        let new_destination = !self.leads_to(destination);
        let new_key = match self.bindings.entry((destination, Arc::clone(binding_key))) {
            Entry::Vacant(entry) => {
                entry.insert(vec![arguments.clone()]);
                true
            }
            Entry::Occupied(mut entry) => {
                if entry.get().iter().any(|known| known == arguments) {
                    return Ok(false);
                }
                entry.get_mut().push(arguments.clone());
                false
            }
        };
        self.binding_count += 1;
        match (&mut self.table, checked) {
            (RoutingTable::Direct(table), _) if new_key => table.insert(binding_key, destination),
            (RoutingTable::Topic(table), _) if new_key => table.insert(binding_key, destination),
            (RoutingTable::Fanout(table), _) if new_destination => table.insert(destination),
            (RoutingTable::Headers(table), Checked::Pattern(pattern)) => {
                table.extend([(pattern, destination)]);
            }
            (RoutingTable::ConsistentHash(table), Checked::Weight(weight)) => {
                table.insert(weight, destination, name);
            }
            (RoutingTable::Random(table) | RoutingTable::LocalRandom(table), _) => {
                table.insert(binding_key, arguments, destination, name);
            }
            (
                RoutingTable::Direct(_)
                | RoutingTable::Topic(_)
                | RoutingTable::Fanout(_)
                | RoutingTable::Headers(_)
                | RoutingTable::ConsistentHash(_),
                Checked::Key | Checked::Pattern(_) | Checked::Weight(_),
            ) => {}
        }
        Ok(true)
    }

    /// Whether a binding means something to this type of exchange.
    ///
    /// # Errors
    /// 406 if the key or the arguments mean nothing to it.
    pub fn accepts(
        &self,
        binding_key: &str,
        arguments: &Table,
        to: &BoundTo<'_, D>,
    ) -> Result<(), ChannelError> {
        self.check(binding_key, arguments, to).map(drop)
    }

    fn check(
        &self,
        binding_key: &str,
        arguments: &Table,
        to: &BoundTo<'_, D>,
    ) -> Result<Checked, ChannelError> {
        match &self.table {
            RoutingTable::Headers(_) => HeadersPattern::parse(arguments).map(Checked::Pattern),
            RoutingTable::ConsistentHash(_) => Weight::parse(binding_key).map(Checked::Weight),
            RoutingTable::LocalRandom(_) if !binding_key.is_empty() => {
                Err(precondition(format!("Non empty binding '{binding_key}' key not permitted")))
            }
            RoutingTable::LocalRandom(_) => match to.queue_type {
                Some("rabbit_classic_queue") => Ok(Checked::Key),
                Some(other) => {
                    Err(precondition(format!("Queue type {other} not valid for this exchange type")))
                }
                None => Err(precondition("Destination not found".to_owned())),
            },
            RoutingTable::Direct(_)
            | RoutingTable::Fanout(_)
            | RoutingTable::Topic(_)
            | RoutingTable::Random(_) => Ok(Checked::Key),
        }
    }

    /// Whether this is bound.
    pub fn contains(&self, binding_key: &str, arguments: &Table, destination: D) -> bool {
        let tables = self.bindings.get(&(destination, binding_key.into()));
        tables.is_some_and(|tables| tables.iter().any(|known| known == arguments))
    }

    /// Removes a binding; `false` if there was none.
    pub fn unbind(&mut self, binding_key: &str, arguments: &Table, destination: D) -> bool {
        let place = (destination, Arc::from(binding_key));
        let Some(tables) = self.bindings.get_mut(&place) else { return false };
        let Some(position) = tables.iter().position(|known| known == arguments) else {
            return false;
        };
        tables.swap_remove(position);
        self.binding_count -= 1;
        let key_gone = tables.is_empty();
        if key_gone {
            self.bindings.remove(&place);
        }
        let destination_gone = key_gone && !self.leads_to(destination);
        match &mut self.table {
            RoutingTable::Direct(table) if key_gone => table.remove(binding_key, destination),
            RoutingTable::Topic(table) if key_gone => table.remove(binding_key, destination),
            RoutingTable::Fanout(table) if destination_gone => table.remove(destination),
            RoutingTable::Headers(table) => table.remove(arguments, destination),
            RoutingTable::ConsistentHash(table) => {
                // What is bound has a key that is a weight.
                Weight::parse(binding_key).into_iter().for_each(|weight| table.remove(weight, destination));
            }
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => {
                table.remove(binding_key, arguments, destination);
            }
            RoutingTable::Direct(_) | RoutingTable::Topic(_) | RoutingTable::Fanout(_) => {}
        }
        true
    }

    /// Removes every binding to a destination that goes away; returns what was bound, as (binding key, arguments).
    pub fn remove_destination(&mut self, destination: D) -> Vec<(Arc<str>, Table)> {
        let keys: Vec<_> = self.entries_to(destination).map(|((_, key), _)| Arc::clone(key)).collect();
        if keys.is_empty() {
            return Vec::new();
        }
        match &mut self.table {
            RoutingTable::Direct(table) => keys.iter().for_each(|key| table.remove(key, destination)),
            RoutingTable::Topic(table) => keys.iter().for_each(|key| table.remove(key, destination)),
            RoutingTable::Fanout(table) => table.remove(destination),
            RoutingTable::Headers(table) => table.remove_destination(destination),
            RoutingTable::ConsistentHash(table) => table.remove_destination(destination),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => {
                table.remove_destination(destination);
            }
        }
        let mut removed = Vec::with_capacity(keys.len());
        for key in keys {
            let tables = self.bindings.remove(&(destination, Arc::clone(&key))).unwrap_or_default();
            removed.extend(tables.into_iter().map(|arguments| (Arc::clone(&key), arguments)));
        }
        self.binding_count -= removed.len();
        removed
    }

    /// Emits the destinations of a message; the same one possibly more than once.
    pub fn route(&self, label: &Label<'_>, out: &mut impl FnMut(D)) {
        match &self.table {
            RoutingTable::Direct(table) => label.keys().for_each(|key| table.route(key, out)),
            RoutingTable::Fanout(table) => table.route(out),
            RoutingTable::Topic(table) => label.keys().for_each(|key| table.route(key, out)),
            RoutingTable::Headers(table) => table.route(label.properties, out),
            RoutingTable::ConsistentHash(table) => table.route(label, out),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => table.route(label, out),
        }
    }

    /// Whether the keys of a message alone decide: the same keys will go the same way as long as nothing is bound or
    /// unbound.
    pub fn is_by_key(&self) -> bool {
        match &self.table {
            RoutingTable::Direct(_) | RoutingTable::Fanout(_) | RoutingTable::Topic(_) => true,
            RoutingTable::Headers(_) => false,
            RoutingTable::ConsistentHash(table) => table.is_by_key(),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => table.is_by_key(),
        }
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.binding_count == 0
    }

    /// Number of bindings.
    pub fn len(&self) -> usize {
        self.binding_count
    }

    /// Every binding, by destination and binding key.
    pub fn bindings(&self) -> impl Iterator<Item = Route<'_, D>> {
        self.bindings.iter().flat_map(routes_of)
    }

    /// The bindings to a destination, by binding key.
    pub fn bindings_to(&self, destination: D) -> impl Iterator<Item = Route<'_, D>> {
        self.entries_to(destination).flat_map(routes_of)
    }

    /// The bindings behind this destination and binding key, or from the first on: at least `count` of them, if there are,
    /// and no more than have the last one's key. Whoever goes on behind the last one misses none that was there all along.
    pub fn bindings_behind(&self, place: Option<(D, Arc<str>)>, count: usize) -> Vec<Route<'_, D>> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let mut some = Vec::new();
        for entry in self.bindings.range((from, Bound::Unbounded)) {
            if some.len() >= count {
                break;
            }
            some.extend(routes_of(entry));
        }
        some
    }

    fn leads_to(&self, destination: D) -> bool {
        self.entries_to(destination).next().is_some()
    }

    fn entries_to(&self, destination: D) -> impl Iterator<Item = (&(D, Arc<str>), &Vec<Table>)> {
        // No text is before the empty one.
        let all = self.bindings.range((destination, Arc::from(""))..);
        all.take_while(move |((to, _), _)| *to == destination)
    }
}

fn routes_of<'a, D: DestinationId>(
    ((destination, binding_key), tables): (&'a (D, Arc<str>), &'a Vec<Table>),
) -> impl Iterator<Item = Route<'a, D>> {
    tables.iter().map(move |arguments| Route { destination: *destination, binding_key, arguments })
}

/// The type that routes what a delayed exchange lets go. Source: RabbitMQ `rabbit_exchange_type_delayed_message:validate`.
fn delayed_kind(arguments: &Table) -> Result<ExchangeKind, ChannelError> {
    let kind = arguments.get("x-delayed-type").and_then(|value| value.as_str());
    match kind.and_then(ExchangeKind::from_name) {
        Some(ExchangeKind::Delayed) => Err(precondition(
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'".to_owned(),
        )),
        Some(kind) => Ok(kind),
        None => Err(precondition(
            "Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
