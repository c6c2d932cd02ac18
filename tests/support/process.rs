//! A broker as a process of its own: started on a data directory, watched, killed, started again. Besides ours it can
//! run RabbitMQ as Debian installs it, for comparison. Owns the process; whoever drops a `Broker` kills it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Which broker to run, from which program.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The binary `ledgermq`.
    LedgerMq(PathBuf),
    /// RabbitMQ's start script, /usr/lib/rabbitmq/bin/rabbitmq-server; the one in the PATH wants root.
    RabbitMq(PathBuf),
}

impl Program {
    /// The kind by the file's name.
    pub(crate) fn at(path: &Path) -> Self {
        if path.file_name() == Some(OsStr::new("rabbitmq-server")) {
            Self::RabbitMq(path.to_owned())
        } else {
            Self::LedgerMq(path.to_owned())
        }
    }

    fn command(&self, data_dir: &Path, port: u16) -> Command {
        match self {
            Self::LedgerMq(path) => {
                let mut command = Command::new(path);
                command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
                command.args(["--http-listen", "off"]).arg("--data-dir").arg(data_dir);
                command
            }
            Self::RabbitMq(path) => {
                let mut command = Command::new(path);
                command.env("RABBITMQ_NODENAME", format!("ledgermq-test-{port}@localhost"));
                command
                    .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                    .env("RABBITMQ_NODE_PORT", port.to_string());
                command.env("RABBITMQ_DIST_PORT", free_port().to_string()).env("HOME", data_dir);
                command.env("RABBITMQ_MNESIA_BASE", data_dir).env("RABBITMQ_LOG_BASE", data_dir);
                command.env("RABBITMQ_ENABLED_PLUGINS_FILE", data_dir.join("plugins"));
                command.env("RABBITMQ_CONFIG_FILE", data_dir.join("rabbitmq.conf"));
                command
            }
        }
    }

    /// What its output holds once it accepts clients.
    fn ready_words(&self) -> &'static str {
        match self {
            Self::LedgerMq(_) => " ready",
            Self::RabbitMq(_) => "completed with",
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    lines: Option<BufReader<io::PipeReader>>,
    ready_words: &'static str,
    port: u16,
}

impl Broker {
    /// Starts it and waits until it accepts clients.
    pub(crate) fn start(program: &Program, data_dir: &Path, port: u16) -> io::Result<Self> {
        let mut broker = Self::spawn(program, data_dir, port)?;
        broker.wait_ready()?;
        Ok(broker)
    }

    /// Starts it, and does not wait.
    pub(crate) fn spawn(program: &Program, data_dir: &Path, port: u16) -> io::Result<Self> {
        fs::create_dir_all(data_dir)?;
        let (reader, writer) = io::pipe()?;
        let mut command = program.command(data_dir, port);
        // A process group of its own: RabbitMQ is several processes, which are measured and killed as one.
        command.process_group(0).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        Ok(Self { child, lines: Some(BufReader::new(reader)), ready_words: program.ready_words(), port })
    }

    /// Waits for the line that says it accepts clients; if it ends instead, the error holds what it said.
    pub(crate) fn wait_ready(&mut self) -> io::Result<()> {
        let Some(mut lines) = self.lines.take() else { return Ok(()) };
        let mut said = String::new();
        while lines.read_line(&mut said)? > 0 {
            if said.contains(self.ready_words) {
                // Its further output must go somewhere, or it would wait for us.
                thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
                return Ok(());
            }
        }
        Err(io::Error::other(format!("the broker ended before it was ready: {said}")))
    }

    /// Where clients connect, as `amqp://` URL of the default user and virtual host.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash would: SIGKILL, no chance to write anything.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        let group = format!("-{}", self.child.id());
        let _gone_already = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _process_that_is_gone = self.kill();
    }
}

/// A port that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on the loopback interface");
    listener.local_addr().expect("the address of a bound socket").port()
}
