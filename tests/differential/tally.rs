//! What came of all conversations so far, told at the end and, in a long run, on the way.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::conversation::{Conversation, Heard};

/// How many conversations lie between two words on how it goes.
const WORD_EVERY: usize = 500;

/// Counts of everything that was compared.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) conversations: usize,
    steps: usize,
    lines: usize,
    pub(crate) second_looks: usize,
    pub(crate) failures: usize,
    /// How often a conversation ended at a difference that was agreed on, by its reason.
    pub(crate) accepted: BTreeMap<&'static str, usize>,
    /// Differences that were shown, without their numbers and names, and how often each was met.
    pub(crate) shown: BTreeMap<String, usize>,
    /// Conversations by theme.
    themes: BTreeMap<String, usize>,
    began: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            conversations: 0,
            steps: 0,
            lines: 0,
            second_looks: 0,
            failures: 0,
            accepted: BTreeMap::new(),
            shown: BTreeMap::new(),
            themes: BTreeMap::new(),
            began: Instant::now(),
        }
    }
}

impl Tally {
    /// A conversation was held.
    pub(crate) fn count(&mut self, conversation: &Conversation, ours: &Heard) {
        self.conversations += 1;
        self.steps += conversation.steps.len();
        self.lines += ours.lines.values().map(Vec::len).sum::<usize>();
        let theme = match conversation.title.split_once(", ") {
            Some((seed, theme)) if seed.starts_with("seed ") => theme,
            _ => "written",
        };
        *self.themes.entry(theme.to_owned()).or_default() += 1;
        if self.conversations.is_multiple_of(WORD_EVERY) {
            println!("… {}", self.sentence());
        }
    }

    fn sentence(&self) -> String {
        let Self { conversations, steps, lines, second_looks, failures, .. } = self;
        format!(
            "{conversations} conversations, {steps} steps, {lines} answers of ours, {second_looks} looked at twice, \
             {failures} different, {} s",
            self.began.elapsed().as_secs()
        )
    }

    /// Prints it; answers whether nothing differs.
    pub(crate) fn report(&self) -> bool {
        println!("differential: {}", self.sentence());
        let themes: Vec<_> = self.themes.iter().map(|(theme, count)| format!("{theme} {count}")).collect();
        println!("  held: {}", themes.join(", "));
        for (kind, count) in &self.shown {
            println!("  different, {count} times: {kind}");
        }
        for (reason, count) in &self.accepted {
            println!("  agreed on, {count} times: {reason}");
        }
        self.failures == 0
    }
}
