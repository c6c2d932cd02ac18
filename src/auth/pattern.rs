//! A pattern for names: of a permission, which names it allows; of a policy, which objects it governs. Searched for
//! anywhere in the name, as RabbitMQ does, so `^` and `$` say what they say.
//! Matching takes time linear in the name whatever the pattern; what would need backtracking is refused when the pattern
//! is set. One use of look-ahead is so common that it is understood all the same: `^(?!amq\.)…`, names that do not begin
//! so, which is two searches.

use regex::{Regex, RegexBuilder};

/// Bytes a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    source: String,
    matcher: Matcher,
}

/// The two patterns that nearly everybody uses need no automaton.
#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    EmptyName,
    Search(Regex),
    /// Begins with none of the first, and matches the second.
    Unlike(Vec<Regex>, Regex),
}

impl Pattern {
    /// A permission's pattern; the empty one allows only the empty name.
    ///
    /// # Errors
    /// A sentence for a person: the pattern cannot be understood, or would grow too large.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        match source {
            "" => Ok(Self { source: String::new(), matcher: Matcher::EmptyName }),
            source => Self::anywhere(source),
        }
    }

    /// A policy's pattern; the empty one is found in every name.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub(crate) fn anywhere(source: &str) -> Result<Self, String> {
        let matcher = match source {
            "" | ".*" => Matcher::Everything,
            "^$" => Matcher::EmptyName,
            source => match exceptions(source) {
                Some((exceptions, rest)) => {
                    let exceptions =
                        exceptions.iter().map(|source| compile(source)).collect::<Result<_, _>>()?;
                    Matcher::Unlike(exceptions, compile(&rest)?)
                }
                None => Matcher::Search(compile(source)?),
            },
        };
        Ok(Self { source: source.to_owned(), matcher })
    }

    /// A pattern in which `{username}` and `{vhost}` stand for these names, taken literally.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn expanded(source: &str, username: &str, vhost: &str) -> Result<Self, String> {
        let names = [
            ("{username}", username),
            ("{vhost}", vhost),
            // Known to MQTT alone: with AMQP it stands for itself.
            ("{client_id}", "{client_id}"),
        ];
        let mut expanded = String::new();
        let mut rest = source;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            let found = names.iter().find_map(|(name, value)| Some((from.strip_prefix(name)?, value)));
            if let Some((behind, value)) = found {
                expanded.push_str(&regex::escape(value));
                rest = behind;
            } else {
                expanded.push('{');
                rest = from.get(1..).unwrap_or_default();
            }
        }
        expanded.push_str(rest);
        Ok(Self { source: source.to_owned(), ..Self::new(&expanded)? })
    }

    /// The pattern as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is found in the name.
    pub(crate) fn allows(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::EmptyName => name.is_empty(),
            Matcher::Search(regex) => regex.is_match(name),
            Matcher::Unlike(exceptions, regex) => {
                !exceptions.iter().any(|exception| exception.is_match(name)) && regex.is_match(name)
            }
        }
    }
}

fn compile(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| one_line(&error.to_string()))
}

/// Takes `^(?!a)(?!b)c` apart into `^(?:a)`, `^(?:b)` and `^c`; `None` if it is no such pattern. One with an alternative at
/// its top is none: there the exceptions hold for the first alternative only.
fn exceptions(source: &str) -> Option<(Vec<String>, String)> {
    let mut rest = source.strip_prefix('^')?;
    let mut exceptions = Vec::new();
    while let Some(behind) = rest.strip_prefix("(?!") {
        let end = closing(behind)?;
        exceptions.push(format!("^(?:{})", behind.get(..end)?));
        rest = behind.get(end + 1..)?;
    }
    (!exceptions.is_empty() && !has_alternative(rest)).then(|| (exceptions, format!("^{rest}")))
}

/// Where the group ends that this is the inside of.
fn closing(inside: &str) -> Option<usize> {
    walk(inside, |letter, depth| letter == ')' && depth == 0)
}

fn has_alternative(pattern: &str) -> bool {
    walk(pattern, |letter, depth| letter == '|' && depth == 0).is_some()
}

/// The first place, outside of escapes and classes, where `is_it` holds of a letter and the depth of groups around it.
fn walk(pattern: &str, is_it: impl Fn(char, usize) -> bool) -> Option<usize> {
    let (mut depth, mut in_class, mut escaped) = (0_usize, false, false);
    for (at, letter) in pattern.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        if !in_class && is_it(letter, depth) {
            return Some(at);
        }
        match letter {
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The last line of the parser's drawing, which names the fault.
fn one_line(error: &str) -> String {
    error.lines().last().unwrap_or(error).trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_searched_for_as_rabbitmq_does() {
        for (pattern, name, expected) in [
            (".*", "anything", true),
            (".*", "", true),
            ("", "", true),
            ("", "a", false),
            ("^$", "a", false),
            ("^$", "", true),
            ("orders", "my-orders-2", true),
            ("^orders$", "my-orders-2", false),
            ("^orders$", "orders", true),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.gen-abc", true),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.default", true),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.direct", false),
            ("^a|b$", "xb", true),
            ("ORDERS", "orders", false),
            ("(?i)ORDERS", "orders", true),
            ("[[:alpha:]]+-\\d", "queue-7", true),
            ("^(?!amq\\.).*", "orders", true),
            ("^(?!amq\\.).*", "amq.gen-abc", false),
            ("^(?!amq\\.).*", "", true),
            ("^(?!amq\\.)orders$", "orders", true),
            ("^(?!amq\\.)orders$", "my-orders", false),
            ("^(?!(amq|sys)\\.)(?!tmp)(a|t)", "a", true),
            ("^(?!(amq|sys)\\.)(?!tmp)(a|t)", "tmp", false),
            ("^(?!(amq|sys)\\.)(?!tmp)(a|t)", "amq.direct", false),
            ("^(?![)|]x).", ")x", false),
            ("^(?![)|]x).", ")y", true),
            ("^(?!\\)).", ")", false),
        ] {
            let allowed = Pattern::new(pattern).unwrap().allows(name);
            assert_eq!(allowed, expected, "{pattern:?} on {name:?}");
        }
    }

    /// What Erlang's `re`, which RabbitMQ asks, said of these patterns and names: `1` where the pattern is found.
    #[test]
    fn patterns_are_found_where_rabbitmq_finds_them() {
        const NAMES: [&str; 16] = [
            "",
            "orders",
            "my-orders",
            "orders-2",
            "Orders",
            "amq.default",
            "amq.gen-x",
            "amqXgen",
            "a",
            "ab",
            "a.b",
            r"q\d",
            "q7",
            "(x)",
            "^$",
            "a b",
        ];
        for (pattern, expected) in [
            (r"", "1..............."),
            (r"^$", "1..............."),
            (r".*", "1111111111111111"),
            (r".+", ".111111111111111"),
            (r"orders", ".111............"),
            (r"^orders", ".1.1............"),
            (r"orders$", ".11............."),
            (r"^orders$", ".1.............."),
            (r"^(orders|a)$", ".1......1......."),
            (r"^orders|a$", ".1.1....1......."),
            (r"(?i)^orders$", ".1..1..........."),
            (r"^amq\.", ".....11........."),
            (r"^amq.", ".....111........"),
            (r"^amq\.(gen.*|default)$", ".....11........."),
            (r"^(?!amq\.).*$", "11111..111111111"),
            (r"^(?!amq\.)[a-z]+$", ".1......11......"),
            (r"^[^.]*$", "11111..111.11111"),
            (r"^.$", "........1......."),
            (r"^a?b?$", "1.......11......"),
            (r"^q\d$", "............1..."),
            (r"^q\\d$", "...........1...."),
            (r"\(x\)", ".............1.."),
            (r"^\w+$", ".1..1..111..1..."),
            (r"^\S+$", ".11111111111111."),
            (r"\bb", "..........1....1"),
            (r"^a{1,2}$", "........1......."),
            (r"\Aorders\z", ".1.............."),
            (r"[[:upper:]]", "....1..1........"),
            (r"^orders\$", "................"),
            (r"$^", "1..............."),
            (r"x*", "1111111111111111"),
            (r"^(a|b|ab)(\.b)?$", "........111....."),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            let found: String =
                NAMES.iter().map(|name| if pattern.allows(name) { '1' } else { '.' }).collect();
            assert_eq!(found, expected, "{:?}", pattern.source());
        }
    }

    #[test]
    fn the_empty_pattern_of_a_policy_is_found_everywhere() {
        for (pattern, name, expected) in
            [("", "a", true), ("^$", "a", false), ("^$", "", true), ("a", "cat", true)]
        {
            assert_eq!(Pattern::anywhere(pattern).unwrap().allows(name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn names_stand_in_patterns_as_they_are() {
        for (pattern, username, key, expected) in [
            ("^{username}\\.", "ann", "ann.orders", true),
            ("^{username}\\.", "ann", "bob.orders", false),
            ("^{username}$", "a.b", "a.b", true),
            ("^{username}$", "a.b", "axb", false),
            ("^{username}$", ".*", "anything", false),
            ("^{vhost}-{username}$", "ann", "shop-ann", true),
            ("^a{2}$", "ann", "aa", true),
            ("^{client_id}$", "ann", "{client_id}", true),
            ("^{username}$", "{vhost}", "{vhost}", true),
        ] {
            let pattern = Pattern::expanded(pattern, username, "shop").unwrap();
            assert_eq!(pattern.allows(key), expected, "{pattern:?} of {username:?} on {key:?}");
        }
        assert_eq!(Pattern::expanded("^{username}$", "ann", "/").unwrap().source(), "^{username}$");
        assert!(Pattern::expanded("({username}", "ann", "/").is_err());
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        for pattern in [
            "(",
            "a{1,2",
            "(?!amq)",
            "^(?!a",
            "^(?!a)b|c",
            "^(?!(?!a)).",
            "^a(?!b)",
            "(a)\\1",
            "[z-a]",
            "\\p{Foo}",
            "(((a{100}){100}){100})",
        ] {
            let refused = Pattern::new(pattern).unwrap_err();
            assert!(!refused.contains('\n') && !refused.is_empty(), "{pattern:?}: {refused:?}");
        }
    }
}
