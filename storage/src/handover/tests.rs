//! Frames come in order, whoever is quicker; a keeper is woken for many, and nobody waits for one that is gone.

use super::*;
use crate::frame::BufferPool;
use crate::ids::SegmentId;
use std::thread;

fn frames(pool: &Arc<BufferPool>, offsets: std::ops::Range<u32>, bytes: usize) -> Vec<CommittedFrame> {
    let frame = |offset| {
        let mut buffer = pool.take();
        buffer.bytes.resize(bytes, 0);
        CommittedFrame { segment: SegmentId(1), offset, payload_bytes: 0, flags: 0, buffer }
    };
    offsets.map(frame).collect()
}

fn offsets(frames: &[CommittedFrame]) -> Vec<u32> {
    frames.iter().map(|frame| frame.offset).collect()
}

#[test]
fn frames_come_in_order_and_then_the_end() {
    let pool = BufferPool::new(0);
    let (giver, mut taker) = handover(1 << 20);
    assert!(giver.give(frames(&pool, 0..2, 8)));
    assert!(giver.give(Vec::new()), "nothing to give is fine");
    assert!(giver.give(frames(&pool, 2..3, 8)));
    drop(giver);
    let mut found = Vec::new();
    assert_eq!(taker.take(&mut found), Found::Frames);
    assert_eq!(offsets(&found), [0, 1, 2]);
    assert_eq!(taker.take(&mut found), Found::End);
}

#[test]
fn a_sleeping_keeper_is_woken_by_any_frame_a_busy_one_by_many_bytes() {
    let pool = BufferPool::new(0);
    let (giver, taker) = handover(8 * 100);
    let is = |keeper| taker.handover.state().keeper = keeper;
    let keeper = || taker.handover.state().keeper;
    is(KeeperIs::Asleep);
    giver.give(frames(&pool, 0..1, 8));
    assert_eq!(keeper(), KeeperIs::AtWork);
    is(KeeperIs::Gathering);
    giver.give(frames(&pool, 1..2, 8));
    assert_eq!(keeper(), KeeperIs::Gathering, "a sync is not worth a wake");
    giver.give(frames(&pool, 2..3, 84));
    assert_eq!(keeper(), KeeperIs::AtWork, "an eighth of the log's budget is");
    is(KeeperIs::Gathering);
    drop(giver);
    assert_eq!(keeper(), KeeperIs::AtWork, "and so is the end");
}

#[test]
fn nothing_for_a_while_is_found_too() {
    let (giver, mut taker) = handover(1 << 20);
    assert_eq!(taker.take(&mut Vec::new()), Found::Nothing);
    drop(giver);
}

#[test]
fn a_full_list_makes_the_giver_wait_and_a_missing_keeper_lets_it_go() {
    let pool = BufferPool::new(0);
    let (giver, mut taker) = handover(usize::MAX);
    giver.give(frames(&pool, 0..KEEPER_FRAMES_MAX as u32, 0));
    let more = frames(&pool, 0..1, 0);
    let giving = thread::spawn(move || {
        let first = giver.give(more);
        (giver, first)
    });
    let mut found = Vec::new();
    while found.len() <= KEEPER_FRAMES_MAX {
        taker.take(&mut found);
    }
    let (giver, was_handed_over) = giving.join().unwrap();
    assert!(was_handed_over);
    drop(taker);
    assert!(!giver.give(frames(&pool, 0..1, 0)));
}
