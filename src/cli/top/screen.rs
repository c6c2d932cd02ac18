//! The view on a terminal, and as plain text: the same numbers in the same words.

use super::view::{Line, View};
use crate::cli::numbers::grouped;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span, Text};
use ratatui::widgets::{Block, Paragraph, Row, Table};

/// Headings of the queues' table.
const HEADINGS: [&str; 7] = ["vhost", "queue", "ready", "unacked", "publish/s", "deliver/s", "ack/s"];
const KEYS: &str = "s sort  / filter  p pause  ↑↓ scroll  q quit";

/// Draws it.
pub(super) fn draw(view: &View, frame: &mut Frame<'_>) {
    let summary = summary(view);
    let alarm = view.trouble.is_some() || !view.now.alarms.is_empty();
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(summary.len() as u16 + u16::from(alarm)),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines: Vec<TextLine<'_>> = summary
        .into_iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { TextLine::styled(line, bold) } else { TextLine::raw(line) })
        .collect();
    if alarm {
        lines.push(TextLine::styled(alarms(view), bold.fg(Color::Red)));
    }
    frame.render_widget(Paragraph::new(Text::from(lines)), top);
    queues(view, frame, middle);
    frame.render_widget(Paragraph::new(footer(view)), bottom);
}

fn queues(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let shown = view.shown();
    let rows = shown.iter().skip(view.first).map(|line| Row::new(cells(line)));
    let widths = [
        Constraint::Length(12),
        Constraint::Min(16),
        Constraint::Length(12),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let title = format!(" {} queues by {} ", grouped(shown.len() as u64), view.sort.name());
    let table = Table::new(rows, widths)
        .header(Row::new(HEADINGS.map(padded)).style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

/// A heading above numbers stands where they end.
fn padded(heading: &str) -> String {
    match heading {
        "vhost" | "queue" => heading.to_owned(),
        "ready" => format!("{heading:>12}"),
        heading => format!("{heading:>10}"),
    }
}

fn cells(line: &Line) -> [String; 7] {
    let queue = &line.queue;
    let rate = |rate: f64| format!("{:>10}", rounded(rate));
    [
        printable(&queue.vhost),
        printable(&queue.name),
        format!("{:>12}", grouped(queue.ready)),
        format!("{:>10}", grouped(queue.unacked)),
        rate(line.rates.publish),
        rate(line.rates.deliver),
        rate(line.rates.ack),
    ]
}

fn footer(view: &View) -> TextLine<'_> {
    if view.is_typing {
        return TextLine::from(vec![
            Span::raw("filter: "),
            Span::raw(printable(&view.filter)),
            Span::raw("▏  Enter keeps it, Esc clears it"),
        ]);
    }
    let mut text = KEYS.to_owned();
    if !view.filter.is_empty() {
        text = format!("filter: {}  {text}", printable(&view.filter));
    }
    if view.is_paused {
        text = format!("PAUSED  {text}");
    }
    TextLine::styled(text, Style::new().add_modifier(Modifier::DIM))
}

fn alarms(view: &View) -> String {
    match &view.trouble {
        Some(why) => why.clone(),
        None => format!("ALARM: {} — publishers are blocked", view.now.alarms.join(", ")),
    }
}

/// The lines above the queues.
fn summary(view: &View) -> Vec<String> {
    let now = &view.now;
    let rates = &view.rates;
    let took = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("≤ {ms} ms"));
    let [p50, p99] = view.sync_ms.map(took);
    vec![
        format!(
            "{} {} {}, up {}",
            now.product,
            now.version,
            printable(&now.cluster_name),
            age(now.uptime_ms)
        ),
        format!(
            "messages  {} ready, {} unacknowledged, {} unconfirmed; {} queues",
            grouped(now.ready),
            grouped(now.unacked),
            grouped(now.unconfirmed),
            grouped(now.queue_count)
        ),
        format!(
            "rates     publish {}/s, confirm {}/s, deliver {}/s, ack {}/s",
            rounded(rates.publish),
            rounded(rates.confirm),
            rounded(rates.deliver),
            rounded(rates.ack)
        ),
        format!(
            "clients   {} connections ({} since the start), {} channels, {} consumers",
            grouped(now.connections),
            grouped(now.connections_opened),
            grouped(now.channels),
            grouped(now.consumers)
        ),
        format!(
            "memory    {} of {} before publishers wait; disk {} free, {} are kept free",
            bytes(now.memory_bytes),
            bytes(now.memory_high_bytes),
            bytes(now.disk_free_bytes),
            bytes(now.disk_low_bytes)
        ),
        format!(
            "log       {} in {} segments, {} to be written; {} syncs/s, p50 {p50}, p99 {p99} (a confirm waits for one)",
            bytes(now.wal_bytes),
            grouped(now.wal_segments),
            bytes(now.wal_staged_bytes),
            rounded(view.syncs)
        ),
    ]
}

/// All of it as text.
pub(super) fn plain(view: &View) -> String {
    let mut text: String = summary(view).iter().map(|line| format!("{line}\n")).collect();
    if !view.now.alarms.is_empty() {
        text.push_str(&alarms(view));
        text.push('\n');
    }
    text.push('\n');
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(view.shown().into_iter().map(|line| cells(line).map(|cell| cell.trim().to_owned())));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|at| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in &rows {
        let padded = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            let gap = " ".repeat(width - cell.chars().count());
            if at < 2 { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        text += &(padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n");
    }
    text
}

/// Names come from clients and must not command the terminal.
fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn rounded(rate: f64) -> String {
    grouped(rate.round() as u64)
}

fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (count as f64, 0);
    while number >= 1024.0 && unit + 1 < units.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    let unit_name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{count} B") } else { format!("{number:.1} {unit_name}") }
}

fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", ms / 1000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::two_looks;
    use super::super::view::{Key, View};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(view, frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        (0..height)
            .map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_screen_has_sums_queues_and_keys() {
        let mut view = two_looks();
        let lines = screen(&view, 100, 14);
        assert_eq!(lines[0], "LedgerMQ 0.1.0 shop, up 3 s");
        assert_eq!(lines[2], "rates     publish 110/s, confirm 110/s, deliver 0/s, ack 0/s");
        assert!(lines[6].starts_with("┌ 3 queues by depth ──"), "{lines:#?}");
        assert!(lines[7].starts_with("│vhost        queue") && lines[7].contains("publish/s"), "{lines:#?}");
        let columns: Vec<_> = lines[8].trim_matches('│').split_whitespace().collect();
        assert_eq!(columns, ["v", "b", "70", "1", "5", "0", "3"]);
        assert_eq!(lines[13], KEYS);
        view.press(Key::Down);
        view.press(Key::Letter('p'));
        view.miss("no broker answers".to_owned());
        let lines = screen(&view, 100, 14);
        assert_eq!(lines[6], "no broker answers");
        assert!(lines[9].contains("100"), "one line is above: {lines:#?}");
        assert!(lines[13].starts_with("PAUSED"), "{lines:#?}");
        view.press(Key::Letter('/'));
        view.press(Key::Letter('\u{7}'));
        assert!(screen(&view, 100, 14)[13].starts_with("filter: \u{fffd}▏"), "a name cannot ring the bell");
    }

    /// However small the terminal is.
    #[test]
    fn a_small_terminal_is_no_trouble() {
        for (width, height) in [(1, 1), (10, 3), (40, 8)] {
            screen(&two_looks(), width, height);
        }
    }

    #[test]
    fn plain_text_says_the_same() {
        let text = plain(&two_looks());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[5],
            "log       0 B in 0 segments, 0 B to be written; 100 syncs/s, p50 ≤ 0.5 ms, p99 ≤ 0.5 ms (a confirm waits for one)"
        );
        assert_eq!(lines[7], "vhost  queue  ready  unacked  publish/s  deliver/s  ack/s");
        assert_eq!(lines[8], "v      b         70        1          5          0      3");
        assert_eq!(lines.len(), 11);
    }

    #[test]
    fn numbers_are_for_people() {
        for (count, expected) in [(7, "7 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(bytes(count), expected);
        }
        for (ms, expected) in
            [(59_000, "59 s"), (61_000, "1 min"), (3_720_000, "1 h 2 min"), (90_000_000, "1 d 1 h")]
        {
            assert_eq!(age(ms), expected);
        }
    }
}
