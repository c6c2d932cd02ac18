//! How rows look: rabbitmqctl's tab-separated table, JSON, CSV, and a drawn table.

use crate::cli::control::Row;
use serde_json::Value;

/// A way to show rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Formatter {
    /// Columns divided by tabs.
    #[default]
    Table,
    /// A JSON array, one row per line.
    Json,
    /// Comma-separated, everything in quotes.
    Csv,
    /// Drawn with lines.
    PrettyTable,
}

impl Formatter {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "table" => Some(Self::Table),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "pretty_table" => Some(Self::PrettyTable),
            _ => None,
        }
    }

    /// Whether programs read it: then nothing but the rows is printed.
    pub(super) fn is_for_machines(self) -> bool {
        match self {
            Self::Json | Self::Csv => true,
            Self::Table | Self::PrettyTable => false,
        }
    }

    /// A line that is no row.
    pub(super) fn line(self, text: &str) -> String {
        match self {
            Self::Json if text.is_empty() => "[]".to_owned(),
            Self::Json => Value::Object(Row::from_iter([("message".to_owned(), text.into())])).to_string(),
            Self::Table | Self::Csv | Self::PrettyTable => text.to_owned(),
        }
    }

    /// The rows, these columns of them.
    pub(super) fn rows(self, columns: &[&str], rows: &[Row], headings: bool) -> String {
        match self {
            Self::Json => json(columns, rows),
            Self::Table => lines(&texts(columns, rows, headings), |cells| cells.join("\t")),
            Self::Csv => lines(&texts(columns, rows, headings), |cells| {
                cells
                    .iter()
                    .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                    .collect::<Vec<_>>()
                    .join(",")
            }),
            Self::PrettyTable => pretty(&texts(columns, rows, headings), headings),
        }
    }
}

/// rabbitmqctl's arrangement: commas lead the lines.
fn json(columns: &[&str], rows: &[Row]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| Value::Object(picked(columns, row)).to_string()).collect();
    if rows.is_empty() { "[\n]\n".to_owned() } else { format!("[\n{}\n]\n", rows.join("\n,")) }
}

/// What a row does not have is an empty text, as rabbitmqctl writes what does not apply.
fn picked(columns: &[&str], row: &Row) -> Row {
    let cell = |column: &str| row.get(column).cloned().unwrap_or_else(|| "".into());
    columns.iter().map(|column| ((*column).to_owned(), cell(column))).collect()
}

/// The cells as texts, with a line of headings first; nothing at all if there are no rows.
fn texts(columns: &[&str], rows: &[Row], headings: bool) -> Vec<Vec<String>> {
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if headings && !rows.is_empty() {
        lines.push(columns.iter().map(|column| (*column).to_owned()).collect());
    }
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| text(row.get(*column))).collect()));
    lines
}

fn lines(lines: &[Vec<String>], line: impl Fn(&[String]) -> String) -> String {
    lines.iter().map(|cells| line(cells) + "\n").collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| text(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Some(Value::Object(fields)) => {
            let pairs: Vec<String> = fields.iter().map(pair).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(other @ (Value::Bool(_) | Value::Number(_))) => other.to_string(),
    }
}

/// An argument as rabbitmqctl writes it: `{"x-max-length",10}`.
fn pair((name, value): (&String, &Value)) -> String {
    let value = match value {
        Value::String(text) if text.parse::<f64>().is_ok() || matches!(&**text, "true" | "false") => {
            text.clone()
        }
        Value::String(text) => format!("\"{}\"", printable(text)),
        other => text(Some(other)),
    };
    format!("{{\"{}\",{value}}}", printable(name))
}

/// Names come from clients: control characters must neither break the table nor command the terminal.
fn printable(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|letter| {
                let escaped = letter.is_control().then(|| letter.escape_default());
                let plain = (!letter.is_control()).then_some(letter);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect()
    } else {
        text.to_owned()
    }
}

fn pretty(lines: &[Vec<String>], headings: bool) -> String {
    let Some(first) = lines.first() else { return String::new() };
    let widths: Vec<usize> = (0..first.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let mut drawn = rule("┌", "┬", "┐");
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, room)| format!(" {cell}{} ", " ".repeat(room - width(cell))))
            .collect();
        drawn.extend(["│", &cells.join("│"), "│\n"]);
        if headings && number == 0 {
            drawn += &rule("├", "┼", "┤");
        }
    }
    drawn + &rule("└", "┴", "┘")
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows() -> Vec<Row> {
        let row = |value: Value| value.as_object().unwrap().clone();
        vec![
            row(json!({"name": "zz_q", "messages": 1, "durable": true, "tags": ["a", "b"],
                "arguments": {"x-max-length": "10", "x-foo": "bar"}})),
            row(json!({"name": "é\n\"", "messages": 20, "durable": false, "tags": [], "arguments": {}})),
        ]
    }

    /// The table is what rabbitmqctl 3.10 prints for the same queue.
    #[test]
    fn a_table_has_tabs() {
        let columns = ["name", "messages", "arguments", "durable", "owner_pid", "tags"];
        assert_eq!(
            Formatter::Table.rows(&columns, &rows(), true),
            "name\tmessages\targuments\tdurable\towner_pid\ttags\n\
             zz_q\t1\t[{\"x-max-length\",10},{\"x-foo\",\"bar\"}]\ttrue\t\t[a, b]\n\
             é\\n\"\t20\t[]\tfalse\t\t[]\n"
        );
        assert_eq!(Formatter::Table.rows(&["name"], &rows()[..1], false), "zz_q\n");
        assert_eq!(Formatter::Table.rows(&["name"], &[], true), "");
    }

    #[test]
    fn json_has_one_row_per_line() {
        assert_eq!(
            Formatter::Json.rows(&["messages", "name", "none"], &rows(), true),
            "[\n{\"messages\":1,\"name\":\"zz_q\",\"none\":\"\"}\n,{\"messages\":20,\"name\":\"é\\n\\\"\",\"none\":\"\"}\n]\n"
        );
        assert_eq!(Formatter::Json.rows(&["name"], &[], true), "[\n]\n");
    }

    #[test]
    fn a_line_is_a_message_for_machines() {
        assert_eq!(Formatter::Table.line("{\"a\":1}"), "{\"a\":1}");
        assert_eq!(Formatter::Json.line(""), "[]");
        assert_eq!(Formatter::Json.line("{\"a\":1}"), "{\"message\":\"{\\\"a\\\":1}\"}");
    }

    #[test]
    fn csv_quotes_everything() {
        assert_eq!(
            Formatter::Csv.rows(&["name", "messages"], &rows(), true),
            "\"name\",\"messages\"\n\"zz_q\",\"1\"\n\"é\\n\"\"\",\"20\"\n"
        );
    }

    #[test]
    fn a_pretty_table_is_drawn() {
        assert_eq!(
            Formatter::PrettyTable.rows(&["name", "messages"], &rows()[..1], true),
            "┌──────┬──────────┐\n│ name │ messages │\n├──────┼──────────┤\n│ zz_q │ 1        │\n└──────┴──────────┘\n"
        );
        assert_eq!(Formatter::PrettyTable.rows(&["name"], &[], true), "");
    }

    #[test]
    fn names_do_not_command_the_terminal() {
        let row = json!({"name": "\u{1b}[2J"}).as_object().unwrap().clone();
        assert_eq!(Formatter::Table.rows(&["name"], &[row], false), "\\u{1b}[2J\n");
    }
}
