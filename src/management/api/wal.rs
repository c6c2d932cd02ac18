//! The write-ahead log: what its segments hold, how long the disk takes to sync, what the last start had to read. Of this
//! broker alone; RabbitMQ has nothing like it.

use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use ledgermq_storage::{Lsn, quantile};
use serde_json::{Value, json};

/// `GET /api/wal`
pub(in crate::management) async fn wal(call: Call) -> Answer {
    let broker = &call.management.broker;
    let stopping = || ApiError::Unavailable("the broker is stopping".to_owned());
    let status = broker.node_figures().store.ok_or_else(stopping)?;
    let survey = broker.log_survey().ok_or_else(stopping)?;
    let active = status.progress.written.segment();
    let segments: Vec<Value> = survey
        .segments
        .iter()
        .map(|segment| {
            let state = match (segment.id.is_cold(), segment.id == active) {
                (true, _) => "cold",
                (false, true) => "active",
                (false, false) => "sealed",
            };
            json!({
                "id": segment.id.0,
                "bytes": segment.bytes,
                "live_bytes": segment.live_bytes,
                "state": state,
            })
        })
        .collect();
    let checkpoint = (survey.saved != Lsn::NONE).then(|| json!({"lsn": survey.saved.0}));
    let recovery = broker.recovery().map(|(statistics, took_ms)| {
        json!({
            "ms": took_ms,
            "replayed_records": statistics.replayed_records,
            "messages": statistics.messages,
            "bytes": statistics.bytes,
        })
    });
    Ok(Reply::json(&json!({
        "segments": status.segment_count,
        "bytes": status.segment_bytes,
        "written_bytes": survey.bytes,
        "live_bytes": survey.live_bytes,
        "dead_bytes": survey.bytes.saturating_sub(survey.live_bytes),
        "cold_bytes": survey.cold_bytes,
        "staged_bytes": status.staged_bytes,
        "durable_lsn": status.progress.durable.0,
        "written_lsn": status.progress.written.0,
        "appended_bytes": appended_bytes(status.progress.written, broker.segment_bytes()),
        "syncs": status.sync_times.count(),
        "sync_us": {
            "p50": quantile(status.sync_times.classes(), 50),
            "p99": quantile(status.sync_times.classes(), 99),
        },
        "checkpoint": checkpoint,
        "recovery": recovery,
        "segment_list": segments,
    })))
}

/// Bytes of the log up to there, those of segments used again included; about, since segments may end early.
fn appended_bytes(at: Lsn, segment_bytes: u32) -> u64 {
    u64::from(at.segment().0) * u64::from(segment_bytes) + u64::from(at.offset())
}
