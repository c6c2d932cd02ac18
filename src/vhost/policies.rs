//! What policies do to the queues and exchanges of a vhost.

use super::topology::QueueSlot;
use super::{Context, Vhost};

impl Vhost {
    /// The settings in force of a queue ([`super::topology::QueueRecord::settings`]) have just changed: what it holds must
    /// be brought into line, e.g. messages that are too old or too many now. Called once for each queue whose settings
    /// differ, after they were replaced; not for a queue that is being declared.
    #[expect(dead_code, reason = "settings change only by policies, which are to come")]
    pub(super) fn settings_changed(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        self.apply_settings(slot, cx);
    }
}
