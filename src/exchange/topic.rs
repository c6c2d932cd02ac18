//! Topic: the binding key is a pattern over the words of the routing key, which dots divide. `*` stands for exactly one
//! word, `#` for any number of them, also none; every other word for itself. A word may be empty (`a..b` has three), but
//! the empty key has no words at all. A star within a word is an ordinary character.
//!
//! The patterns share a trie. A routing key walks it as a set of active nodes, one step per word, each node at most
//! once per step: the work is bounded by words × nodes reached, whatever the patterns, and nothing is tried twice. So a
//! pattern may hold any number of `#`, as in RabbitMQ until 4.3.5, which then allowed two because its matcher does try
//! again. Patterns are kept in one form: of neighbouring wildcards, first the stars, then one `#` (`#.*.#` is `*.#`).
//!
//! ```text
//!   root ─critical─ n1 ─*─ n2 [critical queue]      active {root} ─critical→ {n1} ─rate_limit→ {n2, n4}
//!     └──────*───── n3 ─rate_limit─ n4 [rate queue]                  and * → {n3}
//! ```

use super::DestinationId;
use foldhash::quality::RandomState;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

/// The patterns of an exchange.
pub(super) struct TopicTable<D> {
    /// The first is the root; free ones are listed in `free`.
    nodes: Vec<Node<D>>,
    free: Vec<NodeId>,
    /// Buffers of the walk, kept from message to message. A walk takes them out and puts them back.
    scratch: Cell<Scratch>,
}

type NodeId = u32;

const ROOT: NodeId = 0;

/// A point that the beginning of some pattern leads to.
#[derive(Debug)]
struct Node<D> {
    words: HashMap<Box<str>, NodeId, RandomState>,
    star: Option<NodeId>,
    hash: Option<NodeId>,
    /// Reached by `#`: stays active whatever word comes.
    loops: bool,
    /// Whose pattern ends here.
    destinations: Vec<D>,
}

/// The nodes active before and after a word, and for each node the number of the step that last activated it.
#[derive(Debug, Default)]
struct Scratch {
    active: Vec<NodeId>,
    next: Vec<NodeId>,
    activated_in: Vec<u32>,
    step: u32,
    /// Nodes activated since the beginning: the work of all walks.
    #[cfg(test)]
    work: usize,
}

impl<D> Node<D> {
    fn new(loops: bool) -> Self {
        Self { words: HashMap::default(), star: None, hash: None, loops, destinations: Vec::new() }
    }

    fn is_leaf(&self) -> bool {
        self.words.is_empty() && self.star.is_none() && self.hash.is_none()
    }
}

impl<D: fmt::Debug> fmt::Debug for TopicTable<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicTable").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl<D> Default for TopicTable<D> {
    fn default() -> Self {
        Self { nodes: vec![Node::new(false)], free: Vec::new(), scratch: Cell::default() }
    }
}

impl<D: DestinationId> TopicTable<D> {
    /// Adds a pair that is not there yet.
    pub(super) fn insert(&mut self, binding_key: &str, destination: D) {
        let mut at = ROOT;
        for word in pattern_words(binding_key) {
            at = match self.child(at, word) {
                Some(child) => child,
                None => self.grow(at, word),
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.destinations.push(destination);
        }
    }

    /// Removes a pair that is there, and the branch that led only to it.
    pub(super) fn remove(&mut self, binding_key: &str, destination: D) {
        let mut at = ROOT;
        let mut path = Vec::new();
        for word in pattern_words(binding_key) {
            let Some(child) = self.child(at, word) else { return };
            path.push((at, word, child));
            at = child;
        }
        if let Some(node) = self.nodes.get_mut(at as usize)
            && let Some(at) = node.destinations.iter().position(|&known| known == destination)
        {
            // One of them: two ways to write a pattern may be bound to one destination.
            node.destinations.swap_remove(at);
        }
        for (parent, word, child) in path.into_iter().rev() {
            let Some(node) = self.nodes.get(child as usize) else { return };
            if !node.is_leaf() || !node.destinations.is_empty() {
                return;
            }
            self.free.push(child);
            let Some(parent) = self.nodes.get_mut(parent as usize) else { return };
            match word {
                "*" => parent.star = None,
                "#" => parent.hash = None,
                word => {
                    parent.words.remove(word);
                }
            }
        }
    }

    pub(super) fn route(&self, routing_key: &str, out: &mut impl FnMut(D)) {
        let mut scratch = self.scratch.take();
        scratch.fit(self.nodes.len());
        scratch.begin_step();
        self.activate(ROOT, &mut scratch);
        for word in words(routing_key) {
            scratch.begin_step();
            for position in 0..scratch.active.len() {
                let Some(&id) = scratch.active.get(position) else { break };
                let Some(node) = self.node(id) else { continue };
                if node.loops {
                    self.activate(id, &mut scratch);
                }
                if let Some(star) = node.star {
                    self.activate(star, &mut scratch);
                }
                if let Some(&child) = node.words.get(word) {
                    self.activate(child, &mut scratch);
                }
            }
        }
        for node in scratch.next.iter().filter_map(|&id| self.node(id)) {
            node.destinations.iter().copied().for_each(&mut *out);
        }
        self.scratch.set(scratch);
    }

    /// Adds a node to the next set, and those that `#` reaches from it without a word.
    fn activate(&self, id: NodeId, scratch: &mut Scratch) {
        let mut reached = Some(id);
        while let Some(id) = reached {
            let Some(activated_in) = scratch.activated_in.get_mut(id as usize) else { return };
            if *activated_in == scratch.step {
                return;
            }
            *activated_in = scratch.step;
            #[cfg(test)]
            {
                scratch.work += 1;
            }
            scratch.next.push(id);
            reached = self.node(id).and_then(|node| node.hash);
        }
    }

    fn node(&self, id: NodeId) -> Option<&Node<D>> {
        self.nodes.get(id as usize)
    }

    fn child(&self, parent: NodeId, word: &str) -> Option<NodeId> {
        let parent = self.node(parent)?;
        match word {
            "*" => parent.star,
            "#" => parent.hash,
            word => parent.words.get(word).copied(),
        }
    }

    /// Gives a node a child it does not have.
    fn grow(&mut self, parent: NodeId, word: &str) -> NodeId {
        let node = Node::new(word == "#");
        let id = self.free.pop().unwrap_or(self.nodes.len() as NodeId);
        match self.nodes.get_mut(id as usize) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            match word {
                "*" => parent.star = Some(id),
                "#" => parent.hash = Some(id),
                word => {
                    parent.words.insert(word.into(), id);
                }
            }
        }
        id
    }
}

impl Scratch {
    /// Makes room for marks of this many nodes.
    fn fit(&mut self, node_count: usize) {
        self.next.clear();
        if self.activated_in.len() < node_count {
            self.activated_in.resize(node_count, 0);
        }
    }

    /// What was gathered becomes the active set.
    fn begin_step(&mut self) {
        std::mem::swap(&mut self.active, &mut self.next);
        self.next.clear();
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            // After 2^32 steps the numbers start again: marks of the first round must not be taken for new ones.
            self.activated_in.fill(0);
            self.step = 1;
        }
    }
}

/// The words of a key: none for the empty key, else one more than it has dots.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').skip(usize::from(key.is_empty()))
}

/// The words of a pattern in the form that is kept: in each run of wildcards the stars first, then at most one `#`.
fn pattern_words(binding_key: &str) -> impl Iterator<Item = &str> {
    let mut words = words(binding_key).peekable();
    let (mut hash, mut literal) = (false, None);
    std::iter::from_fn(move || {
        loop {
            if let Some(word) = literal.take() {
                return Some(word);
            }
            match words.next_if(|word| matches!(*word, "*" | "#")) {
                Some("#") => hash = true,
                Some(star) => return Some(star),
                None => {
                    literal = words.next();
                    if std::mem::take(&mut hash) {
                        return Some("#");
                    }
                    literal?;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn table(patterns: &[&str]) -> TopicTable<usize> {
        let mut table = TopicTable::default();
        for (destination, pattern) in patterns.iter().enumerate() {
            table.insert(pattern, destination);
        }
        table
    }

    fn matches(table: &TopicTable<usize>, key: &str) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        table.route(key, &mut |destination| {
            found.insert(destination);
        });
        found
    }

    fn check_match(pattern: &str, key: &str, expected: bool) {
        let found = !matches(&table(&[pattern]), key).is_empty();
        assert_eq!(found, expected, "pattern {pattern:?}, key {key:?}");
    }

    #[test]
    fn patterns_match_words() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a.b", "a.b.c", false),
            ("*", "a", true),
            ("*", "", false),
            ("*", "a.b", false),
            ("*.*", ".", true),
            ("*", ".", false),
            ("#", "", true),
            ("#", "a", true),
            ("#", "a.b.c", true),
            ("", "", true),
            ("", "a", false),
            ("", ".", false),
            ("#.a", "a", true),
            ("#.a", "b.a", true),
            ("#.a", "a.b", false),
            ("a.#", "a", true),
            ("a.#", "a.", true),
            ("a.#", "ab", false),
            ("a.#.b", "a.b", true),
            ("a.#.b", "a.x.y.b", true),
            ("a.#.b", "a.x.y", false),
            ("#.*", "", false),
            ("#.*", "a", true),
            ("*.#", "a.b", true),
            ("#.#", "", true),
            ("#.a.#", "x.a.y", true),
            ("#.*.#", "", false),
            ("a..b", "a..b", true),
            ("a.*.b", "a..b", true),
            ("a.b", "a..b", false),
            ("critical*", "criticalx", false),
            ("critical*", "critical*", true),
            ("é.*", "é.ü", true),
        ] {
            check_match(pattern, key, expected);
        }
    }

    /// Behaviours S-35, S-36 and S-37.
    #[test]
    fn alerts_reach_the_queues_of_their_patterns() {
        let alerts = table(&["critical.*", "*.rate_limit"]);
        for (key, expected) in [
            ("critical.rate_limit", &[0, 1][..]),
            ("critical.mywebapp", &[0]),
            ("info.rate_limit", &[1]),
            ("critical", &[]),
            ("critical.a.b", &[]),
            ("criticalx", &[]),
            ("info.other", &[]),
        ] {
            assert_eq!(matches(&alerts, key), expected.iter().copied().collect(), "{key:?}");
        }
        let logged = table(&["critical.*", "*.rate_limit", "*.*"]);
        assert_eq!(matches(&logged, "critical.rate_limit"), BTreeSet::from([0, 1, 2]));
        assert_eq!(matches(&logged, "info.other"), BTreeSet::from([2]));
    }

    #[test]
    fn a_walk_may_start_within_a_walk() {
        let table = table(&["a.#", "#.b"]);
        let mut found = Vec::new();
        table.route("a.b", &mut |outer| table.route("b", &mut |inner| found.push((outer, inner))));
        found.sort_unstable();
        assert_eq!(found, [(0, 1), (1, 1)]);
    }

    #[test]
    fn removal_leaves_no_branches() {
        let patterns = ["a.b.c", "a.b", "a.*.#", "#", "*", "", "a.b.c.d", "a.#.#"];
        let mut table = table(&patterns);
        let grown = table.nodes.len();
        for (destination, pattern) in patterns.iter().enumerate() {
            table.remove(pattern, destination);
        }
        assert_eq!(table.free.len() + 1, table.nodes.len(), "only the root is left");
        assert!(matches(&table, "a.b").is_empty());
        for (destination, pattern) in patterns.iter().enumerate() {
            table.insert(pattern, destination);
        }
        assert_eq!(table.nodes.len(), grown, "freed nodes are used again");
    }

    /// The work of routing one key, in nodes activated.
    fn work(table: &TopicTable<usize>, key: &str) -> usize {
        let before = Scratch { work: 0, ..table.scratch.take() };
        table.scratch.set(before);
        matches(table, key);
        let after = table.scratch.take();
        let work = after.work;
        table.scratch.set(after);
        work
    }

    /// The longest keys there are, against patterns that make a matcher which tries again try for ever. Counted in
    /// activated nodes, not in time: no more than the words of the key, and its beginning, times the nodes of the trie.
    #[test]
    fn hostile_patterns_cost_words_times_nodes() {
        let longest = |unit: &str| {
            let key = unit.repeat(255 / unit.len() + 1);
            key.get(..255).unwrap().to_owned()
        };
        let patterns = [
            longest("#."),
            longest("#.*."),
            longest("#.a."),
            longest("#.a.*."),
            longest("a.#."),
            longest("*."),
            longest("."),
            ["#.a"; 60].join(".") + ".z",
        ];
        let keys =
            [longest("a."), longest("a.b."), longest("."), longest("a"), "a".to_owned(), String::new()];
        for pattern in &patterns {
            let table = table(&[pattern]);
            for key in &keys {
                let bound = (words(key).count() + 1) * table.nodes.len();
                let work = work(&table, key);
                assert!(work <= bound, "{work} steps for {pattern:?} on {key:?}, at most {bound}");
            }
        }
        assert!(table(&[&patterns[0]]).nodes.len() <= 3, "a run of # is one node");
        let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let together = table(&all);
        let apart: usize = patterns.iter().map(|pattern| work(&table(&[pattern]), &keys[0])).sum();
        assert!(work(&together, &keys[0]) <= apart, "patterns together cost no more than apart");
    }

    /// With keys of three words a publish touches four nodes, however many thousand patterns there are.
    #[test]
    fn many_plain_patterns_cost_no_more_than_one() {
        let patterns: Vec<String> =
            (0..10_000).map(|number| format!("shop{}.till{}.sold", number / 100, number % 100)).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let table = table(&patterns);
        assert_eq!(work(&table, "shop42.till7.sold"), 4);
        assert_eq!(matches(&table, "shop42.till7.sold"), BTreeSet::from([4207]));
        assert_eq!(work(&table, "shop42.till7.bought"), 3);
        assert_eq!(work(&table, "elsewhere.till7.sold"), 1);
    }

    #[test]
    fn step_numbers_wrap_around() {
        let table = table(&["#.b"]);
        assert!(!matches(&table, "a.b").is_empty());
        let mut scratch = table.scratch.take();
        scratch.step = u32::MAX - 1;
        table.scratch.set(scratch);
        for _ in 0..3 {
            assert!(!matches(&table, "a.b").is_empty());
            assert!(matches(&table, "b.a").is_empty());
        }
    }

    #[test]
    fn wildcards_have_one_form() {
        for (pattern, expected) in [
            ("#.#.#", "#"),
            ("#.*.#", "*.#"),
            ("#.*", "*.#"),
            ("*.#.*", "*.*.#"),
            ("a.#.#.b", "a.#.b"),
            ("#.a.*.#.*", "#.a.*.*.#"),
            ("a..b", "a..b"),
            ("", ""),
            (".", "."),
            ("*", "*"),
        ] {
            assert_eq!(pattern_words(pattern).collect::<Vec<_>>().join("."), expected, "{pattern:?}");
        }
        let mut both = table(&["#.*"]);
        both.insert("*.#", 0);
        both.remove("#.*", 0);
        assert!(matches(&both, "a.b").contains(&0), "the other way to write it is still bound");
        both.remove("*.#", 0);
        assert!(matches(&both, "a.b").is_empty());
    }

    /// The definition, word by word; exponential, for short keys only.
    fn oracle(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], rest) => rest.is_empty(),
            (["#", pattern_rest @ ..], key) => {
                oracle(pattern_rest, key) || key.split_first().is_some_and(|(_, rest)| oracle(pattern, rest))
            }
            ([_, ..], []) => false,
            ([word, pattern_rest @ ..], [first, key_rest @ ..]) => {
                (*word == "*" || word == first) && oracle(pattern_rest, key_rest)
            }
        }
    }

    fn key_of(words: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(words), 0..most).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            patterns in prop::collection::vec(key_of(&["a", "b", "", "*", "#"], 6), 1..8),
            keys in prop::collection::vec(key_of(&["a", "b", "c", ""], 7), 1..8),
            removed in prop::collection::vec(any::<bool>(), 8),
        ) {
            let mut table = TopicTable::default();
            for (destination, pattern) in patterns.iter().enumerate() {
                table.insert(pattern, destination);
            }
            for (destination, pattern) in patterns.iter().enumerate().filter(|&(at, _)| removed[at]) {
                table.remove(pattern, destination);
            }
            for key in &keys {
                let key_words: Vec<_> = words(key).collect();
                let expected: BTreeSet<_> = (0..patterns.len())
                    .filter(|&at| !removed[at])
                    .filter(|&at| oracle(&words(&patterns[at]).collect::<Vec<_>>(), &key_words))
                    .collect();
                prop_assert_eq!(matches(&table, key), expected, "{:?} {:?}", patterns, key);
            }
        }
    }
}
