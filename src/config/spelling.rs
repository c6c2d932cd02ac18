//! Guesses what somebody meant by a word that nobody knows.

/// The known word that is closest, if it is close enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, nearest) = known.map(|known| (distance(word, known), known)).min()?;
    (distance <= nearest.len() / 3).then_some(nearest)
}

/// How many letters must be changed, added or removed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (cell, candidate) in row.iter_mut().skip(1).zip(other.chars()) {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("listn", "listen", 1), ("abc", "cba", 2), ("abc", "abc", 0)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn far_words_are_not_guessed() {
        assert_eq!(nearest("list_queue", ["list_queues", "purge_queue"].into_iter()), Some("list_queues"));
        assert_eq!(nearest("frobnicate", ["list_queues", "stop"].into_iter()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
