//! The write-ahead log: what its segments hold, how long the disk takes to sync, what the last start had to read. Of this
//! broker alone; RabbitMQ has nothing like it.

use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use ledgermq_storage::{Lsn, SYNC_CLASSES_US, SyncTimes};
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
            "p50": quantile_us(&status.sync_times, 50),
            "p99": quantile_us(&status.sync_times, 99),
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

/// Time that so many percent of the syncs took at most, µs: the upper end of a class. `None` before the first, or if it is
/// in the last class, which has no end.
fn quantile_us(times: &SyncTimes, percent: u64) -> Option<u64> {
    let wanted = (times.count() * percent).div_ceil(100);
    if wanted == 0 {
        return None;
    }
    let mut seen = 0;
    let mut classes = times.counts.iter().zip(SYNC_CLASSES_US);
    classes.find_map(|(count, end_us)| {
        seen += count;
        (seen >= wanted).then_some(end_us)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_ends_of_their_classes() {
        let mut times = SyncTimes::default();
        assert_eq!(quantile_us(&times, 50), None, "nothing was synced");
        (times.counts[0], times.counts[2]) = (98, 2);
        let [first, _, third, ..] = SYNC_CLASSES_US;
        assert_eq!((quantile_us(&times, 50), quantile_us(&times, 99)), (Some(first), Some(third)));
        times.counts[SYNC_CLASSES_US.len()] = 100;
        assert_eq!(quantile_us(&times, 99), None, "the last class has no end");
    }
}
