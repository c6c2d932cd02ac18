//! SIGINT and SIGTERM: the first asks for an end in good order, in which everything taken is settled; the second ends at once, which
//! loses nothing either.

use crate::cli::client::signal::Signal;
use std::sync::Arc;
use std::{io, thread};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Raised by the first signal to this process.
pub(super) fn watch() -> io::Result<Arc<Signal>> {
    let raised = Arc::new(Signal::new()?);
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _in_runtime = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let to_raise = Arc::clone(&raised);
    // It ends with the process.
    thread::spawn(move || {
        runtime.block_on(async {
            for _ in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if to_raise.is_raised() {
                    std::process::exit(INTERRUPTED);
                }
                eprintln!("\nEnding in good order; once more to end at once.");
                to_raise.raise();
            }
        });
    });
    Ok(raised)
}
