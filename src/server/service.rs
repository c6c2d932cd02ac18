//! What the service manager is told (systemd's protocol, `NOTIFY_SOCKET`): that the broker is ready, how far a recovery is, that
//! it still lives, that it stops. Without such a manager nothing happens.

use sd_notify::NotifyState;
use tracing::debug;

/// Time a recovery may take until it tells again how far it is, s.
const RECOVERY_S: u32 = 60;

/// Clients are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("accepting clients")]);
}

/// The store is being recovered: it will take longer.
pub(super) fn recovering(percent: u64) {
    let status = format!("recovering, {percent} %");
    let more = NotifyState::ExtendTimeoutUsec(RECOVERY_S * 1_000_000);
    tell(&[NotifyState::Status(&status), more]);
}

/// The broker's tasks run.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The broker was asked to stop.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be told");
    }
}
