//! Lists as RabbitMQ answers them: a bare array, or with `page` in the query one page with its counts. `name` (with or
//! without `use_regex`) filters pages, `sort` and `sort_reverse` order, `columns` chooses fields.
//!
//! What a list costs is bounded whatever its length: there are keys for everything, rows only for a chunk at a time.
//! A bare array is sent while it is made. Long lists are filtered, sorted and made into text beside the threads that serve
//! clients, a few at the same time.

mod fields;

pub(super) use fields::{Fields, Put, Text, Wanted};

use super::answer::{Answer, ApiError, Reply};
use super::call::Query;
use crate::limits::{
    HTTP_LISTS_AT_WORK, HTTP_PAGE_MAX, HTTP_PATTERN_BYTES_MAX, HTTP_ROWS_PER_CHUNK, HTTP_SORTED_ROWS_MAX,
};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// One line of a list.
pub(super) type Row = Map<String, Value>;

/// Where the rows of a list come from.
pub(super) trait Source: Send + Sync + 'static {
    /// What stands for a row until it is made.
    type Key: Clone + Send + Sync + 'static;

    /// What `name` in the query is about.
    fn name<'a>(&'a self, key: &'a Self::Key) -> &'a str;

    /// The row of each of these; `None` for what went away meanwhile. Fields that are not wanted may be left out.
    fn rows(&self, keys: &[Self::Key], wanted: &Wanted) -> impl Future<Output = Vec<Option<Row>>> + Send;

    /// The row of each of these that is still there, as JSON. A source whose lists are long may write it without a tree of
    /// values in between.
    fn texts(&self, keys: &[Self::Key], wanted: &Wanted) -> impl Future<Output = Vec<Vec<u8>>> + Send {
        self.texts_of_rows(keys, wanted)
    }

    /// The same, with a tree of values in between.
    fn texts_of_rows(
        &self,
        keys: &[Self::Key],
        wanted: &Wanted,
    ) -> impl Future<Output = Vec<Vec<u8>>> + Send {
        async move {
            let rows = self.rows(keys, wanted).await.into_iter().flatten();
            // Maps with keys that are texts are all there is, so nothing can fail.
            rows.map(|row| serde_json::to_vec(&wanted.of(row)).unwrap_or_default()).collect()
        }
    }

    /// What each of these is sorted by, the field that a path leads to; `None` for what went away meanwhile. A source may
    /// know it without making a row.
    fn fields(&self, keys: &[Self::Key], path: &[String]) -> impl Future<Output = Vec<Option<Value>>> + Send {
        self.fields_of_rows(keys, path)
    }

    /// The same, of rows with this field alone.
    fn fields_of_rows(
        &self,
        keys: &[Self::Key],
        path: &[String],
    ) -> impl Future<Output = Vec<Option<Value>>> + Send {
        async move {
            let rows = self.rows(keys, &Wanted::to_sort_by(path)).await.into_iter();
            rows.map(|row| Some(value_at(row?, path))).collect()
        }
    }
}

/// Rows that are made already.
impl Source for Vec<Row> {
    type Key = usize;

    fn name<'a>(&'a self, key: &'a usize) -> &'a str {
        self.get(*key).and_then(|row| row.get("name")).and_then(Value::as_str).unwrap_or_default()
    }

    async fn rows(&self, keys: &[usize], _: &Wanted) -> Vec<Option<Row>> {
        keys.iter().map(|key| self.get(*key).cloned()).collect()
    }
}

/// A list that can be had in pages.
pub(super) async fn paged<S: Source>(query: &Query, source: S, keys: Vec<S::Key>) -> Answer {
    let Some(page) = Page::asked(query)? else { return bare(query, source, keys).await };
    let (filter, order, wanted) = (name_filter(query)?, Order::asked(query), Wanted::asked(query));
    let total_count = keys.len();
    let list = async move {
        let mut keys = keys;
        keys.retain(|key| filter.as_ref().is_none_or(|filter| filter.is_match(source.name(key))));
        let keys = order.sort(&source, keys).await;
        let filtered_count = keys.len();
        let chosen = page.of(&keys)?;
        let rows = source.rows(chosen, &wanted).await.into_iter().flatten();
        let items: Vec<Value> = rows.map(|row| wanted.of(row)).collect();
        Ok(Reply::json(&json!({
            "filtered_count": filtered_count,
            "item_count": items.len(),
            "items": items,
            "page": page.number,
            "page_count": filtered_count.div_ceil(page.size),
            "page_size": page.size,
            "total_count": total_count,
        })))
    };
    aside(total_count, list).await?
}

/// A list that is always a bare array.
pub(super) async fn bare<S: Source>(query: &Query, source: S, keys: Vec<S::Key>) -> Answer {
    let (order, wanted) = (Order::asked(query), Wanted::asked(query));
    let count = keys.len();
    let sort = async move { (order.sort(&source, keys).await, source) };
    let (keys, source) = aside(count, sort).await?;
    let list = Arc::new((keys, source, wanted));
    let (reply, mut sink) = Reply::in_parts();
    // Ends when everything is sent, or when the client is gone.
    tokio::spawn(async move {
        let mut text = vec![b'['];
        for start in (0..count).step_by(HTTP_ROWS_PER_CHUNK) {
            let list = Arc::clone(&list);
            let is_first = !sink.has_sent();
            let chunk = async move {
                let (keys, source, wanted) = &*list;
                let end = keys.len().min(start + HTTP_ROWS_PER_CHUNK);
                let chunk = keys.get(start..end).unwrap_or_default();
                for row in source.texts(chunk, wanted).await {
                    if text.len() > 1 || !is_first {
                        text.push(b',');
                    }
                    text.extend(row);
                }
                text
            };
            let Ok(more) = aside(count, chunk).await else { return };
            text = more;
            // Not the opening bracket by itself: what was sent tells whether a comma is due.
            if text.len() > 1 && !sink.send(std::mem::take(&mut text)).await {
                return;
            }
        }
        text.push(b']');
        sink.finish(text).await;
    });
    Ok(reply)
}

/// Turns to work on long lists, of all brokers in this process. Nobody waits for a client while it is their turn.
static TURNS: Semaphore = Semaphore::const_new(HTTP_LISTS_AT_WORK);

/// Does work on a list of `count` rows: where it is called if they are few, else on a thread that serves no client, because
/// sorting a hundred thousand names takes as long as a hundred confirms.
async fn aside<T: Send + 'static>(
    count: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    if count <= HTTP_ROWS_PER_CHUNK {
        return Ok(work.await);
    }
    let turn = TURNS.acquire().await;
    let runtime = Handle::current();
    let work = move || {
        // Its turn lasts as long as the work, also if nobody waits for it any more.
        let _turn = turn;
        runtime.block_on(work)
    };
    spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => ApiError::Unavailable("the broker is stopping".into()),
    })
}

/// Rows whose number nobody knows before they are made.
pub(super) trait Chunks: Send + 'static {
    /// The next few; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Row>>> + Send;
}

/// A bare array of rows that come in chunks. Sorted, they must all be held at once, so there is a bound: 400.
pub(super) async fn streamed(query: &Query, mut chunks: impl Chunks) -> Answer {
    if query.get("sort").is_some() || query.is_true("sort_reverse") {
        let mut rows = Vec::new();
        while let Some(chunk) = chunks.next().await {
            rows.extend(chunk);
            if rows.len() > HTTP_SORTED_ROWS_MAX {
                let reason = format!("more than {HTTP_SORTED_ROWS_MAX} rows cannot be sorted");
                return Err(ApiError::bad(reason));
            }
        }
        return bare_rows(query, rows).await;
    }
    let wanted = Wanted::asked(query);
    let (reply, mut sink) = Reply::in_parts();
    tokio::spawn(async move {
        let mut text = vec![b'['];
        while let Some(chunk) = chunks.next().await {
            for row in chunk {
                if text.len() > 1 || sink.has_sent() {
                    text.push(b',');
                }
                let _ = serde_json::to_writer(&mut text, &wanted.of(row));
            }
            // Not the opening bracket by itself: what was sent tells whether a comma is due.
            if text.len() > 1 && !sink.send(std::mem::take(&mut text)).await {
                return;
            }
        }
        text.push(b']');
        sink.finish(text).await;
    });
    Ok(reply)
}

/// Rows that are made already, as a list that can be had in pages.
pub(super) async fn paged_rows(query: &Query, rows: Vec<Row>) -> Answer {
    let keys = (0..rows.len()).collect();
    paged(query, rows, keys).await
}

/// Rows that are made already, as a bare array.
pub(super) async fn bare_rows(query: &Query, rows: Vec<Row>) -> Answer {
    let keys = (0..rows.len()).collect();
    bare(query, rows, keys).await
}

/// One object, of which `columns` may choose fields.
pub(super) fn one(query: &Query, row: Row) -> Reply {
    Reply::json(&Wanted::asked(query).of(row))
}

/// A row of these fields.
pub(super) fn row<const N: usize>(fields: [(&str, Value); N]) -> Row {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// From 1; RabbitMQ bounds it no more than Erlang bounds numbers.
    number: u128,
    size: usize,
}

impl Page {
    /// `None` if no page is asked for. KEDA also sends `pagination=false`, and wants a page.
    fn asked(query: &Query) -> Result<Option<Self>, ApiError> {
        let Some(number) = query.given("page") else { return Ok(None) };
        let size = query.given("page_size");
        let parse = |text: &str| text.parse::<i128>().map_err(|_| malformed());
        let (asked, size) = (parse(number)?, size.map(parse).transpose()?);
        match (u128::try_from(asked), usize::try_from(size.unwrap_or(100))) {
            (Ok(number @ 1..), Ok(size @ 1..=HTTP_PAGE_MAX)) => Ok(Some(Self { number, size })),
            _ => {
                let size = size.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
                let reason = format!("Invalid pagination parameters: page number {asked}, page size {size}");
                Err(ApiError::Invalid { error: "invalid_pagination_parameters", reason })
            }
        }
    }

    fn of<'a, K>(&self, keys: &'a [K]) -> Result<&'a [K], ApiError> {
        let Self { number, size } = self;
        let page = usize::try_from(number - 1).ok().and_then(|before| keys.chunks(*size).nth(before));
        if page.is_none() && *number > 1 {
            let reason = format!("Page out of range, page: {number} page size: {size}, len: {}", keys.len());
            return Err(ApiError::Invalid { error: "page_out_of_range", reason });
        }
        Ok(page.unwrap_or_default())
    }
}

fn malformed() -> ApiError {
    ApiError::bad("Pagination parameters are invalid")
}

/// What names must match: a part of them, or a regular expression; upper and lower case are the same.
fn name_filter(query: &Query) -> Result<Option<Regex>, ApiError> {
    let Some(name) = query.get("name") else { return Ok(None) };
    let pattern = if query.is_true("use_regex") { name.to_owned() } else { regex::escape(name) };
    let compiled =
        RegexBuilder::new(&pattern).case_insensitive(true).size_limit(HTTP_PATTERN_BYTES_MAX).build();
    compiled.map(Some).map_err(|_| malformed())
}

/// In which order the rows come.
struct Order {
    column: Option<Vec<String>>,
    is_reversed: bool,
}

impl Order {
    fn asked(query: &Query) -> Self {
        let column = query.get("sort").map(|path| path.split('.').map(str::to_owned).collect());
        Self { column, is_reversed: query.is_true("sort_reverse") }
    }

    async fn sort<S: Source>(&self, source: &S, keys: Vec<S::Key>) -> Vec<S::Key> {
        let mut keys = match &self.column {
            None => keys,
            Some(path) if path.iter().map(String::as_str).eq(["name"]) => {
                let mut keys = keys;
                keys.sort_by(|one, other| source.name(one).cmp(source.name(other)));
                keys
            }
            Some(path) => {
                let mut sorted = Vec::with_capacity(keys.len());
                for chunk in keys.chunks(HTTP_ROWS_PER_CHUNK) {
                    let fields = source.fields(chunk, path).await.into_iter();
                    sorted.extend(fields.zip(chunk).filter_map(|(field, key)| Some((field?, key.clone()))));
                }
                sorted.sort_by(|(one, _), (other, _)| compare(one, other));
                sorted.into_iter().map(|(_, key)| key).collect()
            }
        };
        if self.is_reversed {
            keys.reverse();
        }
        keys
    }
}

fn value_at(row: Row, path: &[String]) -> Value {
    let mut value = Value::Object(row);
    for name in path {
        value = match value {
            Value::Object(mut fields) => fields.remove(name).unwrap_or_default(),
            _ => Value::Null,
        };
    }
    value
}

/// As Erlang orders what RabbitMQ has in these places: nothing, numbers, words, the rest.
fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::Bool(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::String(_) => 5,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap_or_default());
            one.total_cmp(&other)
        }
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn rows() -> Vec<Row> {
        let names = ["plain", "q2", "Q5", "a.q", "queue"];
        let rows = names.iter().enumerate().map(|(at, name)| {
            row([("name", json!(name)), ("messages", json!(10 - at)), ("stats", json!({"in": at, "out": 1}))])
        });
        rows.collect()
    }

    async fn answered(pairs: &[(&str, &str)]) -> Result<Value, ApiError> {
        let response = paged_rows(&query(pairs), rows()).await?.into_response();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    fn names(items: &Value) -> Vec<&str> {
        items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn without_a_page_there_is_everything_and_no_filter() {
        let all = answered(&[("name", "q2"), ("page_size", "1")]).await.unwrap();
        assert_eq!(names(&all), ["plain", "q2", "Q5", "a.q", "queue"]);
        let sorted = answered(&[("sort", "name"), ("sort_reverse", "true")]).await.unwrap();
        assert_eq!(names(&sorted), ["queue", "q2", "plain", "a.q", "Q5"]);
    }

    #[tokio::test]
    async fn pages_have_their_counts() {
        let page = answered(&[("page", "2"), ("page_size", "2"), ("name", "q"), ("columns", "name")]).await;
        let expected = json!({
            "filtered_count": 4, "item_count": 2, "items": [{"name": "a.q"}, {"name": "queue"}],
            "page": 2, "page_count": 2, "page_size": 2, "total_count": 5,
        });
        assert_eq!(page.unwrap(), expected);
        let keda = [("page", "1"), ("use_regex", "true"), ("pagination", "false"), ("name", "^q.$")];
        let page = answered(&[&keda[..], &[("page_size", "100")]].concat()).await.unwrap();
        assert_eq!((names(&page["items"]), &page["page_count"]), (vec!["q2", "Q5"], &json!(1)));
        let none = answered(&[("page", "1"), ("name", "nope")]).await.unwrap();
        assert_eq!((&none["items"], &none["page_count"]), (&json!([]), &json!(0)));
    }

    #[tokio::test]
    async fn pages_that_cannot_be_are_refused_in_rabbitmqs_words() {
        for (pairs, error, reason) in [
            (
                vec![("page", "0")],
                "invalid_pagination_parameters",
                "Invalid pagination parameters: page number 0, page size undefined",
            ),
            (
                vec![("page", "1"), ("page_size", "501")],
                "invalid_pagination_parameters",
                "Invalid pagination parameters: page number 1, page size 501",
            ),
            (vec![("page", "7")], "page_out_of_range", "Page out of range, page: 7 page size: 100, len: 5"),
            (
                vec![("page", "99999999999999999999")],
                "page_out_of_range",
                "Page out of range, page: 99999999999999999999 page size: 100, len: 5",
            ),
            (
                vec![("page", "1"), ("page_size", "-1")],
                "invalid_pagination_parameters",
                "Invalid pagination parameters: page number 1, page size -1",
            ),
        ] {
            let reason = reason.to_owned();
            assert_eq!(answered(&pairs).await.unwrap_err(), ApiError::Invalid { error, reason });
        }
        for pairs in [
            vec![("page", "x")],
            vec![("page", "")],
            vec![("page", "1"), ("page_size", "")],
            vec![("page", "1"), ("use_regex", "true"), ("name", "(")],
            vec![("page", "1"), ("use_regex", "true"), ("name", "(a{1000}){1000}{1000}")],
        ] {
            assert_eq!(answered(&pairs).await.unwrap_err(), malformed(), "{pairs:?}");
        }
    }

    #[tokio::test]
    async fn rows_are_sorted_by_fields_within_fields() {
        for (path, expected) in [
            ("stats.in", ["plain", "q2", "Q5", "a.q", "queue"]),
            ("messages", ["queue", "a.q", "Q5", "q2", "plain"]),
            ("nope.nope", ["plain", "q2", "Q5", "a.q", "queue"]),
        ] {
            let sorted = answered(&[("sort", path)]).await.unwrap();
            assert_eq!(names(&sorted), expected, "{path}");
        }
        let mut values = vec![json!("a"), json!(true), json!(2), json!(1.5), Value::Null, json!(false)];
        values.sort_by(compare);
        assert_eq!(values, [Value::Null, json!(1.5), json!(2), json!(false), json!(true), json!("a")]);
    }

    #[tokio::test]
    async fn a_list_of_many_chunks_is_one_array_and_its_pages_are_its_parts() {
        let count = 3 * HTTP_ROWS_PER_CHUNK + 7;
        let rows: Vec<Row> = (0..count)
            .map(|at| row([("name", json!(format!("q{at:04}"))), ("messages", json!((at * 37) % count))]))
            .collect();
        let answered = async |pairs: &[(&str, &str)]| -> Value {
            let response = paged_rows(&query(pairs), rows.clone()).await.unwrap().into_response();
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let all = answered(&[("sort", "messages"), ("sort_reverse", "true")]).await;
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), count);
        assert!(all.is_sorted_by_key(|row| std::cmp::Reverse(row["messages"].as_u64())));
        let mut together = Vec::new();
        for page in 1..=count.div_ceil(100) {
            let page = page.to_string();
            let sorted = [("page", &*page), ("sort", "messages"), ("sort_reverse", "true"), ("name", "q")];
            together.extend(answered(&sorted).await["items"].as_array().unwrap().clone());
        }
        assert_eq!(&together, all);
    }

    #[tokio::test]
    async fn lists_wait_for_their_turn_and_get_it() {
        let lists = (0..4 * HTTP_LISTS_AT_WORK).map(|number| {
            tokio::spawn(aside(HTTP_ROWS_PER_CHUNK + 1, async move {
                tokio::task::yield_now().await;
                number
            }))
        });
        let mut done = Vec::new();
        for list in lists.collect::<Vec<_>>() {
            done.push(list.await.unwrap().unwrap());
        }
        assert_eq!(done, (0..4 * HTTP_LISTS_AT_WORK).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_wanted_is_made() {
        let some = Wanted::asked(&query(&[("columns", "name,stats.out")]));
        let mut fields = Fields::new(&some, Row::new());
        fields.add("name", || json!("q"));
        fields.add("messages", || -> Value { unreachable!("nobody asked for it") });
        assert_eq!(fields.finish(), row([("name", json!("q"))]));
        assert!(some.has(&["stats"]) && some.has(&["stats", "out"]) && some.has(&["stats", "out", "rate"]));
        assert!(some.has(&["name", "x"]) && !some.has(&["stats", "in"]) && !some.has(&["out"]));
        assert!(Wanted::ALL.has(&["stats", "in"]) && some.is_shown());
        assert!(!Wanted::to_sort_by(&["stats".to_owned()]).is_shown());
    }

    #[tokio::test]
    async fn columns_choose_fields() {
        for (columns, expected) in [
            ("name,stats.out", json!({"name": "plain", "stats": {"out": 1}})),
            ("stats", json!({"stats": {"in": 0, "out": 1}})),
            ("stats.in,stats", json!({"stats": {"in": 0, "out": 1}})),
            ("nope", json!({})),
            ("messages.x", json!({"messages": 10})),
        ] {
            let all = answered(&[("columns", columns)]).await.unwrap();
            assert_eq!(all[0], expected, "{columns}");
        }
    }
}
