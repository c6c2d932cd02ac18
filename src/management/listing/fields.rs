//! The fields of a row of a list: which are wanted, and how a row is made of them, as a map or at once as text.

use super::Row;
use crate::management::call::Query;
use serde::Serialize;
use serde_json::{Map, Value};

/// Room that a row of text has from the start, bytes: most need no more.
const ROW_BYTES: usize = 1536;

/// The fields that are wanted of each row: those of `columns`, or the one to sort by.
pub(in crate::management) struct Wanted {
    /// `None` if all are.
    paths: Option<Vec<Vec<String>>>,
    /// Somebody will see the rows, and not only their order.
    is_shown: bool,
}

impl Wanted {
    /// Every field.
    pub(in crate::management) const ALL: Self = Self { paths: None, is_shown: true };

    pub(super) fn asked(query: &Query) -> Self {
        let paths = query.get("columns").map(|columns| columns.split(',').filter(|one| !one.is_empty()));
        let paths =
            paths.map(|paths| paths.map(|path| path.split('.').map(str::to_owned).collect()).collect());
        Self { paths, is_shown: true }
    }

    pub(super) fn to_sort_by(path: &[String]) -> Self {
        Self { paths: Some(vec![path.to_vec()]), is_shown: false }
    }

    /// Somebody will see the rows: what is sampled only for those who look at it is to be sampled from now on.
    pub(in crate::management) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Everything is wanted.
    pub(in crate::management) fn is_all(&self) -> bool {
        self.paths.is_none()
    }

    /// Whether the field that this path leads to is wanted, or something in it.
    pub(in crate::management) fn has(&self, path: &[&str]) -> bool {
        let leads_there = |wanted: &Vec<String>| wanted.iter().zip(path).all(|(one, other)| one == other);
        self.paths.as_ref().is_none_or(|paths| paths.iter().any(leads_there))
    }

    pub(super) fn of(&self, row: Row) -> Value {
        let Some(paths) = &self.paths else { return Value::Object(row) };
        let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        chosen(Value::Object(row), &paths)
    }
}

/// Where the fields of a row, or of an object in it, are put; no name comes twice.
pub(in crate::management) trait Put {
    /// Adds a field.
    fn put(&mut self, name: &str, value: impl Serialize);

    /// Adds a field that is an object.
    fn put_object(&mut self, name: &str, fill: impl FnOnce(&mut Self));
}

impl Put for Row {
    fn put(&mut self, name: &str, value: impl Serialize) {
        // Maps with keys that are texts are all there is, so nothing can fail.
        self.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    fn put_object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        let mut object = Self::new();
        fill(&mut object);
        self.insert(name.to_owned(), Value::Object(object));
    }
}

/// An object that is written as JSON while it is made.
pub(in crate::management) struct Text(Vec<u8>);

impl Text {
    pub(in crate::management) fn new() -> Self {
        let mut text = Vec::with_capacity(ROW_BYTES);
        text.push(b'{');
        Self(text)
    }

    pub(in crate::management) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        let _ = serde_json::to_writer(&mut self.0, name);
        self.0.push(b':');
    }
}

impl Put for Text {
    fn put(&mut self, name: &str, value: impl Serialize) {
        self.name(name);
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    fn put_object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push(b'{');
        fill(self);
        self.0.push(b'}');
    }
}

/// A row in the making, which takes only what is wanted.
pub(in crate::management) struct Fields<'a, P> {
    wanted: &'a Wanted,
    row: P,
}

impl<'a, P: Put> Fields<'a, P> {
    pub(in crate::management) fn new(wanted: &'a Wanted, row: P) -> Self {
        Self { wanted, row }
    }

    /// Adds a field, made only if it is wanted.
    pub(in crate::management) fn add<T: Serialize>(&mut self, name: &str, value: impl FnOnce() -> T) {
        if self.wanted.has(&[name]) {
            self.row.put(name, value());
        }
    }

    /// What is wanted.
    pub(in crate::management) fn wanted(&self) -> &'a Wanted {
        self.wanted
    }

    /// The row, to be added to by hand.
    pub(in crate::management) fn row(&mut self) -> &mut P {
        &mut self.row
    }

    pub(in crate::management) fn finish(self) -> P {
        self.row
    }
}

/// What the paths lead to, with what stands on the way.
fn chosen(value: Value, paths: &[&[String]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return value;
    }
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let below: Vec<&[String]> = paths
                    .iter()
                    .filter_map(|path| path.split_first())
                    .filter(|(first, _)| **first == name)
                    .map(|(_, rest)| rest)
                    .collect();
                if !below.is_empty() {
                    kept.insert(name, chosen(value, &below));
                }
            }
            Value::Object(kept)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| chosen(value, paths)).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_says_what_a_row_says() {
        fn fill(to: &mut impl Put) {
            to.put_object("none", |_| ());
            to.put("name", "a\"b");
            to.put_object("stats", |stats| {
                stats.put("in", 1);
                stats.put("in_details", json!({"rate": 0.5}));
            });
            to.put("nothing", Value::Null);
        }
        let (mut text, mut row) = (Text::new(), Row::new());
        fill(&mut text);
        fill(&mut row);
        let expected =
            r#"{"none":{},"name":"a\"b","stats":{"in":1,"in_details":{"rate":0.5}},"nothing":null}"#;
        assert_eq!(String::from_utf8(text.finish()).unwrap(), expected);
        assert_eq!(serde_json::to_string(&row).unwrap(), expected);
    }
}
