//! The control socket, `<data-dir>/ctl.sock`: where `ledgermq ctl` reaches the running broker. Only the broker's own user
//! and root may speak. One line with a request, one line with the answer; what they mean is `operator`'s business.

use super::broker::{Broker, Stage};
use super::error::ServeError;
use super::operator;
use crate::cli::control::{CONTROL_SOCKET, ControlRequest, ControlResponse, RefusalReason};
use crate::limits::CONTROL_LINE_BYTES_MAX;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Time an operator's program has to send its request, ms.
const REQUEST_MS: u64 = 10_000;
/// Pause after the system refused to accept, ms.
const PAUSE_MS: u64 = 100;

/// Opens the socket. One left behind by a process that died is replaced: the directory's lock is ours.
pub(super) fn bind(data_dir: &Path) -> Result<UnixListener, ServeError> {
    let path = data_dir.join(CONTROL_SOCKET);
    let bind = || -> io::Result<UnixListener> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // The directory is closed to others, so nobody can connect before the mode is set.
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(ServeError::io(format!("opening the control socket {}", path.display())))
}

/// Removes the socket at a clean stop.
pub(super) fn remove(data_dir: &Path) {
    let _ = fs::remove_file(data_dir.join(CONTROL_SOCKET));
}

/// Serves operators until the task is dropped.
pub(super) async fn serve(broker: Arc<Broker>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let broker = Arc::clone(&broker);
                tokio::spawn(async move {
                    if let Err(error) = converse(&broker, stream).await {
                        debug!(%error, "an operator's request came to nothing");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "the control socket does not accept");
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
        }
    }
}

async fn converse(broker: &Arc<Broker>, stream: UnixStream) -> io::Result<()> {
    let ours = fs::metadata("/proc/self")?.uid();
    let peer = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    if peer != ours && peer != 0 {
        warn!(user_id = peer, "a stranger was turned away from the control socket");
        let message = "only the broker's user and root may control it";
        return answer(&mut stream, &ControlResponse::refused(RefusalReason::AccessRefused, message)).await;
    }
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(CONTROL_LINE_BYTES_MAX as u64 + 1);
    timeout(Duration::from_millis(REQUEST_MS), bounded.read_until(b'\n', &mut line)).await??;
    if line.len() > CONTROL_LINE_BYTES_MAX {
        let message = format!("a request has at most {CONTROL_LINE_BYTES_MAX} bytes");
        return answer(&mut stream, &ControlResponse::refused(RefusalReason::Usage, message)).await;
    }
    match serde_json::from_slice::<ControlRequest>(&line) {
        Ok(ControlRequest::Stop) => {
            answer(&mut stream, &ControlResponse::Done).await?;
            broker.stop();
            Ok(())
        }
        Ok(request) => {
            let response = tokio::select! {
                response = operator::carry_out(broker, request) => response,
                () = broker.reached(Stage::Stopping) => {
                    ControlResponse::refused(RefusalReason::Unavailable, "the broker is stopping")
                }
            };
            answer(&mut stream, &response).await
        }
        Err(error) => {
            let message = format!("not a request this broker knows: {error}");
            answer(&mut stream, &ControlResponse::refused(RefusalReason::Usage, message)).await
        }
    }
}

async fn answer(stream: &mut BufReader<UnixStream>, response: &ControlResponse) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}
