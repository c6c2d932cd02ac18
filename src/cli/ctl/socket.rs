//! One request and its response over the control socket.

use crate::cli::control::{CONTROL_SOCKET, ControlRequest, ControlResponse};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest answer that is taken, bytes.
const RESPONSE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The socket of the broker with this data directory.
pub(in crate::cli) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(CONTROL_SOCKET)
}

/// Asks and waits for the answer, at most `timeout` at a time.
pub(in crate::cli) fn ask(
    path: &Path,
    request: &ControlRequest,
    timeout: Duration,
) -> io::Result<ControlResponse> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut response = String::new();
    BufReader::new(stream.take(RESPONSE_BYTES_MAX)).read_line(&mut response)?;
    if response.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
    }
    serde_json::from_str(&response).map_err(Into::into)
}

/// Whether a broker listens there.
pub(super) fn answers(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}
