//! A permission's pattern: which names of queues and exchanges it allows. Searched for anywhere in the name, as
//! RabbitMQ does, so `^` and `$` say what they say; the empty pattern allows only the empty name.
//! Matching takes time linear in the name whatever the pattern; what would need backtracking (look-around,
//! back-references) is refused when the permission is set.

use regex::{Regex, RegexBuilder};

/// Bytes a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    source: String,
    matcher: Matcher,
}

/// The two patterns that nearly everybody uses need no automaton.
#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    EmptyName,
    Search(Regex),
}

impl Pattern {
    /// # Errors
    /// A sentence for a person: the pattern cannot be understood, or would grow too large.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let matcher = match source {
            ".*" => Matcher::Everything,
            "" | "^$" => Matcher::EmptyName,
            source => Matcher::Search(
                RegexBuilder::new(source)
                    .size_limit(COMPILED_BYTES_MAX)
                    .build()
                    .map_err(|error| one_line(&error.to_string()))?,
            ),
        };
        Ok(Self { source: source.to_owned(), matcher })
    }

    /// The pattern as it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn allows(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::EmptyName => name.is_empty(),
            Matcher::Search(regex) => regex.is_match(name),
        }
    }
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
        ] {
            let allowed = Pattern::new(pattern).unwrap().allows(name);
            assert_eq!(allowed, expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        for pattern in ["(", "a{1,2", "(?!amq)", "(a)\\1", "[z-a]", "\\p{Foo}", "(((a{100}){100}){100})"] {
            let refused = Pattern::new(pattern).unwrap_err();
            assert!(!refused.contains('\n') && !refused.is_empty(), "{pattern:?}: {refused:?}");
        }
    }
}
