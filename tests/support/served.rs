//! The built binary as an operator runs it: `ledgermq serve` with any flags on a data directory and free ports, its lines,
//! its exit code, and `ledgermq ctl` beside it. Whoever drops a `Served` kills it.

#![expect(
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "a test: a failure ends it, and what it started is ended when dropped"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_ledgermq");

/// A broker that accepts clients.
pub(crate) struct Served {
    child: Child,
    /// What it said before it was ready and nobody has looked at yet.
    early: VecDeque<String>,
    lines: BufReader<ChildStderr>,
    data_dir: PathBuf,
    /// Where AMQP clients connect.
    pub(crate) port: u16,
    /// Where HTTP is served.
    pub(crate) http_port: u16,
    /// The line that said it accepts clients.
    pub(crate) ready_line: String,
}

/// What a broker that has ended left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it said since it was last listened to.
    pub(crate) said: String,
}

impl Served {
    /// Starts it with these further flags and waits until it accepts clients.
    pub(crate) fn start(data_dir: &Path, flags: &[&str]) -> Self {
        let (port, http_port) = (free_port(), free_port());
        let mut child = serve(data_dir, port, http_port, flags).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut early = VecDeque::new();
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it was ready: {early:?}");
            if line.contains(" ready, accepting clients") {
                let data_dir = data_dir.to_owned();
                return Self { child, early, lines, data_dir, port, http_port, ready_line: line };
            }
            early.push_back(line);
        }
    }

    /// Runs it where it is expected to end by itself.
    pub(crate) fn run_to_end(data_dir: &Path, flags: &[&str]) -> Ended {
        let output = serve(data_dir, free_port(), free_port(), flags).output().unwrap();
        Ended { code: output.status.code(), said: String::from_utf8(output.stderr).unwrap() }
    }

    /// The URL of user `guest` and vhost `/`.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Reads its lines until one holds `words`, from the first it said.
    pub(crate) fn wait_for_line(&mut self, words: &str) -> String {
        loop {
            let line = self.early.pop_front().unwrap_or_else(|| {
                let mut line = String::new();
                assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended without saying {words}");
                line
            });
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Runs `ledgermq ctl` with these arguments against it.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .arg("ctl")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Ended {
        let mut said = String::new();
        self.lines.read_to_string(&mut said).unwrap();
        Ended { code: self.child.wait().unwrap().code(), said }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data_dir: &Path, port: u16, http_port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("serve").arg("--data-dir").arg(data_dir).args(flags);
    command.arg(format!("--listen=127.0.0.1:{port}")).arg(format!("--http-listen=127.0.0.1:{http_port}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A port that nobody listens on right now.
/// What a command that did its work printed.
pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
