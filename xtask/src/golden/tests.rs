//! What the replayer makes of vectors that are not as they should be.

use super::*;
use serde_json::json;

/// How cases of a file end on the twin: passed, skipped, failed.
fn tally(file: &str, cases: Value) -> (usize, usize, usize) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("golden-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{file}.json"));
    let document = json!({ "reference": "", "file": file, "about": "", "cases": cases });
    std::fs::write(&path, document.to_string()).unwrap();
    let mut tally = Tally::default();
    replay_file(&path, &mut [Box::new(device::TwinRunner)], &mut tally);
    std::fs::remove_dir_all(&folder).unwrap();
    (tally.passed, tally.skipped, tally.failed)
}

const PASSED: (usize, usize, usize) = (1, 0, 0);
const SKIPPED: (usize, usize, usize) = (0, 1, 0);
const FAILED: (usize, usize, usize) = (0, 0, 1);

/// A STORE_U32 published in the only slot of a ring, and the ring afterwards.
fn publish(change: impl FnOnce(&mut Value)) -> Value {
    let after = "0100000001000000070000000200000005000000a0000000";
    let mut case = json!({
        "name": "a", "op": "publish_slot", "ring": [[16, "00000000"]], "slot": 0, "tenant": 7,
        "opcode": 1, "args": [5, 160],
        "expect": { "ok": {}, "ring_after": [[1, after], [10, "00000000"]] },
    });
    change(&mut case);
    json!([case])
}

/// One drain of a slot with these first words.
fn pass(slot: &str, observable: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut words = slot.to_owned();
    words.extend(std::iter::repeat_n('0', 128 - slot.len()));
    let head = ["00000000", "00000000", "03000000", "ffffffff"].concat();
    let after = ["00000000", "01000000", "03000000", "ffffffff"].concat();
    let mut case = json!({
        "name": "a", "op": "gpu_pass", "kernel": "direct", "slots": 1, "passes": 1,
        "control": [[1, head], [157, "00000000"]],
        "ring": words, "debug_log": "empty", "io_queue": "empty",
        "expect": { "ok": {
            "control_after": [
                [1, after], [93, "00000000"], [1, "01000000"], [62, "00000000"],
                [1, observable],
            ],
            "ring_after": format!("03{}", &words[2..]),
            "debug_log_after": "empty", "io_queue_after": "unchanged",
        } },
    });
    change(&mut case);
    json!([case])
}

/// STORE_U32 of 9 in word 160.
const STORE: &str = "0100000001000000000000000200000009000000a0000000";

#[test]
fn a_vector_that_ours_equals_passes() {
    assert_eq!(tally("publish_slot", publish(|_| ())), PASSED);
    assert_eq!(tally("gpu_direct", pass(STORE, "09000000", |_| ())), PASSED);
}

#[test]
fn a_wrong_result_is_a_failure() {
    let wrong_word = |case: &mut Value| case["expect"]["ring_after"][1][1] = "01000000".into();
    assert_eq!(tally("publish_slot", publish(wrong_word)), FAILED);
    let refused = |case: &mut Value| {
        case["expect"] = json!({ "err": "QueueFull", "ring_after": "unchanged" });
    };
    assert_eq!(tally("publish_slot", publish(refused)), FAILED);
    assert_eq!(tally("gpu_direct", pass(STORE, "08000000", |_| ())), FAILED);
}

#[test]
fn what_is_not_in_the_table_is_a_failure() {
    assert_eq!(tally("publish_slots", publish(|_| ())), FAILED);
    assert_eq!(tally("publish_slot", publish(|case| case["op"] = "publish".into())), FAILED);
    assert_eq!(tally("publish_slot", publish(|case| case["more"] = 1.into())), FAILED);
    let more = |case: &mut Value| case["expect"]["more"] = 1.into();
    assert_eq!(tally("publish_slot", publish(more)), FAILED);
    let less = |case: &mut Value| drop(case.as_object_mut().unwrap().remove("args"));
    assert_eq!(tally("publish_slot", publish(less)), FAILED);
    let kernel = |case: &mut Value| case["kernel"] = "another".into();
    assert_eq!(tally("gpu_direct", pass(STORE, "09000000", kernel)), FAILED);
}

#[test]
fn what_an_item_changes_is_a_skip_only_if_the_rest_is_right() {
    // Ours refuses an IO queue of no slots, before anything else: item 22.
    let no_queue = |case: &mut Value| case["io_queue"] = "".into();
    assert_eq!(tally("gpu_direct", pass(STORE, "09000000", no_queue)), SKIPPED);
    // An opcode that nobody runs is DONE there and a fault here: item 4.
    let user = "0100000000010000000000000200000000000000";
    let unknown = |metric: &'static str| {
        move |case: &mut Value| case["expect"]["ok"]["control_after"][2][1] = metric.into()
    };
    assert_eq!(tally("gpu_direct", pass(user, "00000000", unknown("00000000"))), SKIPPED);
    assert_eq!(tally("gpu_direct", pass(user, "00000000", unknown("02000000"))), FAILED);
}

#[test]
fn slots_past_the_lanes_are_nobodys() {
    let two = |case: &mut Value| {
        let ring = case["ring"].as_str().unwrap().to_owned();
        let after = case["expect"]["ok"]["ring_after"].as_str().unwrap().to_owned();
        case["expect"]["ok"]["ring_after"] = [after, ring.clone()].concat().into();
        case["ring"] = [ring.clone(), ring].concat().into();
    };
    assert_eq!(tally("gpu_direct", pass(STORE, "09000000", two)), PASSED);
}
