//! Brokers under test: started on free ports with fresh directories, watched through /proc, killed at the end.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Which product.
#[derive(Clone, Debug)]
pub(crate) enum Product {
    /// The binary at this path.
    LedgerMq(PathBuf),
    /// Debian's RabbitMQ, found on the machine.
    RabbitMq,
}

/// A running broker.
pub(crate) struct Broker {
    product: Product,
    directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    child: Child,
    /// Process whose figures count: the child itself, or the Erlang machine below it.
    pid: u32,
}

const START_PATIENCE: Duration = Duration::from_secs(180);
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

impl Product {
    /// The product of that name, if it is on this machine.
    pub(crate) fn find(name: &str, ledgermq: &Path) -> Option<Self> {
        match name {
            "ledgermq" if ledgermq.exists() => Some(Self::LedgerMq(ledgermq.to_path_buf())),
            "rabbitmq" if Path::new(RABBITMQ).exists() => Some(Self::RabbitMq),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::LedgerMq(_) => "LedgerMQ",
            Self::RabbitMq => "RabbitMQ",
        }
    }
}

impl Broker {
    /// Starts it on an empty store and waits until it accepts clients.
    pub(crate) fn start(product: &Product, scratch: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(scratch)?;
        let address = free_address()?;
        let (child, pid) = launch(product, directory.path(), address)?;
        Ok(Self { product: product.clone(), directory, address, child, pid })
    }

    /// Kills it with -9, starts it again on the same store, and tells how long that took.
    pub(crate) fn kill_and_restart(&mut self) -> io::Result<Duration> {
        self.kill();
        let begin = Instant::now();
        (self.child, self.pid) = launch(&self.product, self.directory.path(), self.address)?;
        Ok(begin.elapsed())
    }

    /// Processor seconds used so far, user and kernel.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return 0.0 };
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        ticks as f64 / 100.0
    }

    /// Highest resident memory since the last call, MiB.
    pub(crate) fn take_peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .unwrap_or_default();
        // 5 resets the high-water mark; without the right to, the peak is the process's whole life.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
        kib / 1024
    }

    /// MiB on disk.
    pub(crate) fn disk_mib(&self) -> u64 {
        let output = Command::new("du").arg("-sm").arg(self.directory.path()).output();
        let text = output.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
        text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    fn kill(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn launch(product: &Product, directory: &Path, address: SocketAddr) -> io::Result<(Child, u32)> {
    match product {
        Product::LedgerMq(binary) => {
            let mut child = Command::new(binary)
                .args([
                    "serve",
                    "--listen",
                    &address.to_string(),
                    "--http-listen",
                    &free_address()?.to_string(),
                ])
                .arg("--data-dir")
                .arg(directory)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            let out = child.stderr.take().ok_or_else(|| io::Error::other("no output"))?;
            let mut lines = BufReader::new(out).lines();
            let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready"));
            // Whatever else it prints must not fill the pipe.
            thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            let pid = child.id();
            if ready { Ok((child, pid)) } else { Err(io::Error::other("LedgerMQ ended before it was ready")) }
        }
        Product::RabbitMq => {
            let child = Command::new(RABBITMQ)
                .env("RABBITMQ_NODENAME", format!("bench{}@localhost", address.port()))
                .env("RABBITMQ_NODE_PORT", address.port().to_string())
                .env("RABBITMQ_DIST_PORT", (free_address()?.port()).to_string())
                .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
                .env("RABBITMQ_LOG_BASE", directory.join("log"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
                .env("RABBITMQ_CONFIG_FILE", directory.join("none"))
                .env("HOME", directory)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let begin = Instant::now();
            while crate::client::Client::connect(address).is_err() {
                if begin.elapsed() > START_PATIENCE {
                    return Err(io::Error::other("RabbitMQ did not start"));
                }
                // The port opens when it likes and tells nobody: polling is all there is.
                thread::sleep(Duration::from_millis(20));
            }
            let pid = beam_below(child.id()).unwrap_or(child.id());
            Ok((child, pid))
        }
    }
}

/// The Erlang machine among the descendants of a start script.
fn beam_below(pid: u32) -> Option<u32> {
    if fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim() == "beam.smp" {
        return Some(pid);
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(beam_below)
}

/// Whether something listens there.
pub(crate) fn reachable(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
}
