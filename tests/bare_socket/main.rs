//! What a stranger sees over a bare socket, from the process users run: each case is bytes and the broker's answer.
//! Runs against a broker of its own, or against the one `LEDGERMQ_TEST_ADDR` names: RabbitMQ 3.10 gave the answers, and
//! where ours differs on purpose the case says so.

#[path = "../support/process.rs"]
#[expect(dead_code, reason = "these tests neither kill nor measure the broker")]
mod broker;
mod frames;
mod login;
#[path = "../support/socket.rs"]
mod socket;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use broker::{Broker, Program, free_port};

/// A broker of our own, with its data directory.
struct Own {
    broker: Broker,
    _data_dir: tempfile::TempDir,
}

/// Shared by the cases that run at a time; whoever lets go of it last ends it.
static SHARED: Mutex<Weak<Own>> = Mutex::new(Weak::new());

/// Where the broker to be asked listens, and that broker if it is ours.
struct Asked {
    address: String,
    _own: Option<Arc<Own>>,
}

/// The broker to be asked. A test holds one to its end, so that its cases do not each start a broker.
fn asked() -> Asked {
    if let Some(address) = socket::address() {
        return Asked { address, _own: None };
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let own = shared.upgrade().unwrap_or_else(|| {
        let data_dir = tempfile::tempdir().expect("a directory");
        let program = Program::at(Path::new(env!("CARGO_BIN_EXE_ledgermq")));
        let broker = Broker::start(&program, data_dir.path(), free_port()).expect("the broker starts");
        Arc::new(Own { broker, _data_dir: data_dir })
    });
    *shared = Arc::downgrade(&own);
    Asked { address: format!("127.0.0.1:{}", own.broker.port()), _own: Some(own) }
}

/// Whether RabbitMQ is being asked, which differs from ours in a few places.
fn asks_rabbitmq() -> bool {
    std::env::var_os("LEDGERMQ_TEST_RABBITMQ").is_some()
}
