//! How an inspected store is shown: a page for people, JSON for programs. Queues get their names from the definitions.

use crate::definitions::{Definition, QueueDefinition};
use ledgermq_storage::inspect::{Inspection, RecordCounts, SegmentInspection};
use ledgermq_storage::{GroupId, Lsn, QueueId, STORE_DEFINITION_KIND};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;

/// Whole, or the first damage; then a line for each derived file that says something else than the log.
pub(super) fn verdict(found: &Inspection) -> String {
    let mut verdict = whole_or_damage(found);
    found.differences.iter().for_each(|difference| {
        let _ = writeln!(verdict, "to be made again: {difference}");
    });
    verdict
}

fn whole_or_damage(found: &Inspection) -> String {
    match &found.damage {
        None => format!(
            "whole: {} segments, {} frames, {} records, {} messages in {} queues; the log ends at {}\n",
            found.segments.len(),
            found.segments.iter().map(|segment| segment.frame_count).sum::<u64>(),
            found.segments.iter().map(|segment| segment.records.total()).sum::<u64>(),
            found.queues.iter().map(|queue| queue.live).sum::<u64>(),
            found.queues.len(),
            place(found.end),
        ),
        Some(damage) => format!("damaged: {damage}\n"),
    }
}

/// The verdict as JSON.
pub(super) fn verdict_json(found: &Inspection) -> String {
    format!(
        "{}\n",
        json!({ "whole": found.damage.is_none(), "damage": damage(found), "differences": found.differences })
    )
}

/// Everything, for a person.
pub(super) fn page(found: &Inspection) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        page,
        "log ends at    {}{}",
        place(found.end),
        if found.clean { ", closed cleanly" } else { "" }
    );
    let _ = writeln!(
        page,
        "replay         from {}, {} records",
        place(found.applied),
        found.replayed_record_count
    );
    let _ = writeln!(page, "definitions    {}", found.definitions.len());
    let _ = match &found.damage {
        None => writeln!(page, "first damage   none"),
        Some(damage) => writeln!(page, "first damage   {damage}"),
    };
    for difference in &found.differences {
        let _ = writeln!(page, "made again     {difference}");
    }
    let _ = writeln!(
        page,
        "\n{:<12} {:>12} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "segment", "end", "frames", "records", "publish", "settle", "slots", "live"
    );
    for segment in &found.segments {
        let _ = writeln!(
            page,
            "{:<12} {:>12} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}",
            segment_label(segment),
            segment.end,
            segment.frame_count,
            segment.records.total(),
            segment.records.publish,
            segment.records.settle,
            segment.slot_count,
            segment.live_slot_count,
        );
    }
    let names = Names::of(found);
    let _ = writeln!(page, "\n{:<8} {:>12} {:>12}  vhost, name", "queue", "messages", "next seq");
    for queue in &found.queues {
        let _ = writeln!(
            page,
            "{:<8} {:>12} {:>12}  {}, {}",
            queue.queue.0,
            queue.live,
            queue.next_seq.0,
            names.vhost(queue.group).escape_debug(),
            names.queue(queue.queue).unwrap_or("(no definition)").escape_debug(),
        );
    }
    page
}

/// Everything, for a program.
pub(super) fn page_json(found: &Inspection) -> String {
    let names = Names::of(found);
    let segments: Vec<Value> = found.segments.iter().map(segment).collect();
    let queues: Vec<Value> = found
        .queues
        .iter()
        .map(|queue| {
            json!({
                "id": queue.queue.0,
                "group": queue.group.0,
                "vhost": names.vhost(queue.group),
                "name": names.queue(queue.queue),
                "messages": queue.live,
                "next_seq": queue.next_seq.0,
            })
        })
        .collect();
    let definitions: Vec<Value> = found
        .definitions
        .iter()
        .map(|(group, key, _)| json!({ "group": group.0, "kind": key.kind, "name": String::from_utf8_lossy(&key.name) }))
        .collect();
    let page = json!({
        "created_unix_ms": found.created_unix_ms,
        "end": position(found.end),
        "clean": found.clean,
        "applied": position(found.applied),
        "replayed_records": found.replayed_record_count,
        "damage": damage(found),
        "differences": found.differences,
        "segments": segments,
        "queues": queues,
        "definitions": definitions,
    });
    format!("{page:#}\n")
}

fn segment(segment: &SegmentInspection) -> Value {
    let RecordCounts {
        publish,
        settle,
        transaction,
        define,
        purge,
        drop_queue,
        relocate,
        delivered,
        unknown,
    } = segment.records;
    json!({
        "segment": segment.segment.0,
        "cold": segment.segment.is_cold(),
        "end": segment.end,
        "frames": segment.frame_count,
        "records": {
            "publish": publish,
            "settle": settle,
            "transaction": transaction,
            "define": define,
            "purge": purge,
            "drop_queue": drop_queue,
            "relocate": relocate,
            "delivered": delivered,
            "unknown": unknown,
        },
        "slots": segment.slot_count,
        "live_slots": segment.live_slot_count,
    })
}

fn segment_label(segment: &SegmentInspection) -> String {
    let id = segment.segment;
    if id.is_cold() { format!("cold {}", id.0 & !ledgermq_storage::SegmentId::COLD) } else { id.to_string() }
}

fn place(lsn: Lsn) -> String {
    if lsn == Lsn::NONE {
        "nowhere".to_owned()
    } else {
        format!("segment {} offset {}", lsn.segment(), lsn.offset())
    }
}

fn position(lsn: Lsn) -> Value {
    json!({ "segment": lsn.segment().0, "offset": lsn.offset() })
}

fn damage(found: &Inspection) -> Value {
    found.damage.as_ref().map_or(
        Value::Null,
        |damage| json!({ "segment": damage.segment.0, "offset": damage.offset, "reason": damage.reason }),
    )
}

/// Names of queues and vhosts, from those definitions that can be read.
struct Names {
    queues: HashMap<QueueId, String>,
    vhosts: HashMap<GroupId, String>,
}

impl Names {
    fn of(found: &Inspection) -> Self {
        let mut names = Self { queues: HashMap::new(), vhosts: HashMap::new() };
        for (_, key, value) in &found.definitions {
            if key.kind == STORE_DEFINITION_KIND {
                continue;
            }
            match Definition::decode(key, value) {
                Ok(Definition::Queue(QueueDefinition { name, queue, .. })) => {
                    names.queues.insert(queue, name);
                }
                Ok(Definition::Vhost(vhost)) => {
                    names.vhosts.insert(vhost.group, vhost.name);
                }
                Ok(
                    Definition::User(_)
                    | Definition::Permission(_)
                    | Definition::TopicPermission(_)
                    | Definition::Exchange(_)
                    | Definition::Binding(_)
                    | Definition::Policy(_)
                    | Definition::OperatorPolicy(_)
                    | Definition::Limits(_)
                    | Definition::VhostMetadata(_)
                    | Definition::VhostProtection(_)
                    | Definition::GlobalParameter(_),
                )
                | Err(_) => {}
            }
        }
        names
    }

    fn queue(&self, queue: QueueId) -> Option<&str> {
        self.queues.get(&queue).map(String::as_str)
    }

    fn vhost(&self, group: GroupId) -> &str {
        self.vhosts.get(&group).map_or("?", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::VhostDefinition;
    use ledgermq_storage::inspect::QueueInspection;
    use ledgermq_storage::{Damage, SegmentId, Seq};

    fn found() -> Inspection {
        let queue = Definition::Queue(QueueDefinition {
            name: "critical".into(),
            queue: QueueId(3),
            auto_delete: false,
            arguments: vec![],
        });
        let vhost = Definition::Vhost(VhostDefinition { name: "/".into(), group: GroupId(1) });
        Inspection {
            end: Lsn::new(SegmentId(2), 8192),
            clean: true,
            replayed_record_count: 5,
            segments: vec![SegmentInspection {
                segment: SegmentId(2),
                end: 8192,
                frame_count: 1,
                records: RecordCounts { publish: 4, settle: 1, ..RecordCounts::default() },
                slot_count: 4,
                live_slot_count: 3,
            }],
            queues: [3, 4]
                .map(|id| QueueInspection {
                    queue: QueueId(id),
                    group: GroupId(1),
                    live: 3,
                    next_seq: Seq(5),
                })
                .to_vec(),
            definitions: vec![
                (GroupId(0), vhost.key(), vhost.value()),
                (GroupId(1), queue.key(), queue.value()),
            ],
            ..Inspection::default()
        }
    }

    #[test]
    fn a_page_names_queues() {
        let page = page(&found());
        assert!(page.starts_with("log ends at    segment 2 offset 8192, closed cleanly\n"), "{page}");
        assert!(page.contains("\nfirst damage   none\n"), "{page}");
        assert!(page.contains("\n3                   3            5  /, critical\n"), "{page}");
        assert!(page.ends_with("  /, (no definition)\n"), "{page}");
    }

    #[test]
    fn json_has_the_same() {
        let page: Value = serde_json::from_str(&page_json(&found())).unwrap();
        assert_eq!(page["queues"][0]["name"], "critical");
        assert_eq!(page["queues"][1]["name"], Value::Null);
        assert_eq!(page["segments"][0]["records"]["publish"], 4);
        assert_eq!(page["end"], json!({ "segment": 2, "offset": 8192 }));
        assert_eq!(page["damage"], Value::Null);
    }

    #[test]
    fn the_verdict_is_one_line() {
        let mut found = found();
        assert_eq!(
            verdict(&found),
            "whole: 1 segments, 1 frames, 5 records, 6 messages in 2 queues; the log ends at segment 2 offset 8192\n"
        );
        assert_eq!(verdict_json(&found), "{\"whole\":true,\"damage\":null,\"differences\":[]}\n");
        found.damage = Some(Damage { segment: SegmentId(2), offset: 4096, reason: "rot".into() });
        assert_eq!(verdict(&found), "damaged: segment 2, offset 4096: rot\n");
        assert_eq!(
            verdict_json(&found),
            "{\"whole\":false,\"damage\":{\"segment\":2,\"offset\":4096,\"reason\":\"rot\"},\"differences\":[]}\n"
        );
    }
}
