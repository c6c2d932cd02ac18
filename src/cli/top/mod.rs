//! `ledgermq top`: what goes through a running broker and what waits, live on a terminal. Asks over the control socket, so that it needs
//! no login and no HTTP. `view.rs` is what is shown, `screen.rs` how.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates for people: counts stay far below 2^52, and rates are not negative"
)]

mod screen;
mod view;

use super::control::{ControlRequest, ControlResponse};
use super::ctl::socket;
use super::exit::Exit;
use super::figures::Figures;
use crate::clock::Clock;
use crate::config::DATA_DIR;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use view::{Key, Sort, View};

/// How long the broker may take for its figures.
const PATIENCE: Duration = Duration::from_secs(10);

/// `ledgermq top`.
#[derive(Debug, Args)]
#[command(
    about = "Shows live what goes through a running broker: queues, rates, clients, memory, disk, the log"
)]
struct Options {
    /// Data directory of the broker
    #[arg(long, value_name = "DIR", env = "LEDGERMQ_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Seconds between two looks; rates are averages over them
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// What queues are sorted by; the key s changes it
    #[arg(long, value_enum, default_value_t = Sort::Depth)]
    sort: Sort,
    /// Only queues whose name or vhost contains this; the key / changes it
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print one table after one interval, and end
    #[arg(long)]
    once: bool,
}

/// Arguments of `top`.
pub(super) fn grammar() -> Command {
    Options::augment_args(Command::new("top"))
}

/// Runs `top`.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let options = match Options::from_arg_matches(matches) {
        Ok(options) => options,
        Err(error) => {
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return Exit::Usage;
        }
    };
    if !options.once && !io::stdout().is_terminal() {
        eprintln!("ledgermq top: standard output is no terminal: say --once for one table");
        return Exit::Usage;
    }
    let mut view = View::new(options.sort, options.filter.clone());
    let clock = Clock::start();
    // A broker that is not there is told before the screen is taken.
    match ask(&options) {
        Ok(figures) => view.take(figures, clock.now_ms()),
        Err(why) => {
            eprintln!("ledgermq top: {why}");
            return Exit::Unavailable;
        }
    }
    if options.once { once(view, &options, clock) } else { live(view, &options, clock) }
}

fn ask(options: &Options) -> Result<Figures, String> {
    let path = socket::path(&options.data_dir);
    match socket::ask(&path, &ControlRequest::Figures, PATIENCE) {
        Ok(ControlResponse::Figures { figures }) => Ok(*figures),
        Ok(_) => Err("the broker is of another release".to_owned()),
        Err(error) => Err(format!("no broker answers at {}: {error}", path.display())),
    }
}

fn once(mut view: View, options: &Options, clock: Clock) -> Exit {
    // The rates are those of this time: there is no event to wait for.
    thread::sleep(Duration::from_secs(options.interval));
    match ask(options) {
        Ok(figures) => {
            view.take(figures, clock.now_ms());
            super::write_out(screen::plain(&view).as_bytes())
        }
        Err(why) => {
            eprintln!("ledgermq top: {why}");
            Exit::Unavailable
        }
    }
}

fn live(view: View, options: &Options, clock: Clock) -> Exit {
    // A panic gives the terminal back as well.
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            eprintln!("ledgermq top: the terminal cannot be used: {error}");
            return Exit::Io;
        }
    };
    let ended = watch(view, options, clock, &mut terminal);
    ratatui::restore();
    match ended {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("ledgermq top: {error}");
            Exit::Io
        }
    }
}

fn watch(mut view: View, options: &Options, clock: Clock, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let interval_ms = options.interval * 1000;
    let mut due_ms = clock.now_ms() + interval_ms;
    loop {
        terminal.draw(|frame| screen::draw(&view, frame))?;
        let now_ms = clock.now_ms();
        if event::poll(Duration::from_millis(due_ms.saturating_sub(now_ms)))? {
            if let Event::Key(pressed) = event::read()?
                && pressed.kind == KeyEventKind::Press
            {
                if is_interrupt(pressed) {
                    return Ok(());
                }
                if key(pressed.code).is_some_and(|key| view.press(key)) {
                    return Ok(());
                }
            }
            continue;
        }
        match ask(options) {
            Ok(figures) => view.take(figures, clock.now_ms()),
            Err(why) => view.miss(why),
        }
        due_ms = clock.now_ms() + interval_ms;
    }
}

/// In raw mode Ctrl-C is a key like others.
fn is_interrupt(pressed: KeyEvent) -> bool {
    pressed.modifiers.contains(KeyModifiers::CONTROL) && pressed.code == KeyCode::Char('c')
}

fn key(code: KeyCode) -> Option<Key> {
    match code {
        KeyCode::Char(letter) => Some(Key::Letter(letter)),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Up => Some(Key::Up),
        _ => None,
    }
}
