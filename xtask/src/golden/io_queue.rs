//! The host's side of the IO queue.

use super::Outcome;
use super::bytes::{Bytes, set_word, word};
use super::case::{Case, as_u32};
use super::items::Items;
use super::meaning::Told;
use super::refusal::Refusal;
use super::verdict::{Ours, Shown, judge};
use serde_json::{Value, json};
use slipring_core::io_queue::{Completion, IoQueue, Request};
use slipring_core::layout::Buffer;
use slipring_core::words::{from_bytes, from_bytes_mut};
use std::collections::BTreeSet;

const SLOT_WORDS: usize = 8;
const BYTE_COUNT: usize = 5;
const STATUS: usize = 6;
/// The error number that ours completes failed requests with.
const EIO: u32 = 5;

pub fn validate(case: &Case<'_>) -> Outcome {
    let bytes = Bytes::filled(case.u64("len")?, 0)?;
    let view = || Ok::<_, Refusal>(IoQueue::new(from_bytes(Buffer::IoQueue, bytes.get())?)?);
    let ours = Ours::new(view().map(|_| json!({})));
    judge(&case.shown()?, &ours, &[22], |items| {
        Shown::new(check_length(bytes.get(), items).map(|_| json!({})))
    })
}

fn listed<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Value {
    let request = |request: &Request| {
        let Request { slot, op, source, destination, offset, bytes, tag } = *request;
        json!({
            "slot": slot, "op": op, "src": source, "dst": destination, "offset": offset,
            "bytes": bytes, "tag": tag,
        })
    };
    requests.into_iter().map(request).collect()
}

pub fn poll(case: &Case<'_>) -> Outcome {
    let bytes = case.bytes("io_queue")?;
    let view = || Ok(IoQueue::new(from_bytes(Buffer::IoQueue, bytes.get())?)?);
    let ours = Ours::new(view().map(|queue| listed(&queue.poll())));
    judge(&case.shown()?, &ours, &[22], |items| {
        Shown::new(check_length(bytes.get(), items).map(|slots| published(bytes.get(), slots)))
    })
}

pub fn claim(case: &Case<'_>) -> Outcome {
    let before = case.bytes("io_queue")?;
    let mut after = before.clone();
    let mut claim = || {
        let queue = IoQueue::new(from_bytes_mut(Buffer::IoQueue, after.get_mut())?)?;
        Ok(listed(&queue.claim()))
    };
    let ours = Ours::new(claim()).with("io_after", &after);
    judge(&case.shown()?, &ours, &[22], |items| {
        let mut queue = before.get().to_vec();
        let result = check_length(&queue, items).map(|slots| {
            let requests = published(&queue, slots);
            for slot in 0..slots {
                let status = SLOT_WORDS * slot + STATUS;
                if word(&queue, status) == Some(1) {
                    set_word(&mut queue, status, 2);
                }
            }
            requests
        });
        Shown::new(result).with("io_after", queue)
    })
}

fn as_completion(value: &Value) -> Option<(u32, bool)> {
    match value.as_array()?.as_slice() {
        [slot, success] => Some((as_u32(slot)?, success.as_bool()?)),
        _ => None,
    }
}

pub fn complete(case: &Case<'_>) -> Outcome {
    let before = case.bytes("io_queue")?;
    let completions = case.list("completions", as_completion)?;
    // A request that succeeds has moved what it asked for.
    let asked = |slot: u32| word(before.get(), SLOT_WORDS * slot as usize + BYTE_COUNT);
    let completion = |&(slot, success): &(u32, bool)| {
        let bytes = asked(slot).unwrap_or(0);
        (slot, if success { Completion::Ok { bytes } } else { Completion::Error { errno: EIO } })
    };
    let ended: Vec<_> = completions.iter().map(completion).collect();
    let mut after = before.clone();
    let mut complete = || {
        let queue = IoQueue::new(from_bytes_mut(Buffer::IoQueue, after.get_mut())?)?;
        queue.complete(&ended)?;
        Ok(json!({}))
    };
    let ours = Ours::new(complete()).with("io_after", &after);
    judge(&case.shown()?, &ours, &[12, 22], |items| {
        let mut queue = before.get().to_vec();
        let result = complete_rules(&mut queue, &completions, items);
        Shown::new(result.map(|()| json!({}))).with("io_after", queue)
    })
}

/// The number of slots.
pub fn check_length(bytes: &[u8], items: Items) -> Result<usize, Told> {
    let slots = bytes.len() / (4 * SLOT_WORDS);
    if !bytes.len().is_multiple_of(4) {
        return Err(Told::backend("io_unaligned"));
    }
    if !bytes.len().is_multiple_of(4 * SLOT_WORDS) {
        return Err(Told::backend("partial_slot"));
    }
    if slots > 64 {
        return Err(Told::queue_full("io_too_many_slots"));
    }
    if slots == 0 && items.has(22) {
        return Err(Told::ours("no_io_slots"));
    }
    Ok(slots)
}

fn published(queue: &[u8], slots: usize) -> Value {
    let requests = (0..slots).filter_map(|slot| {
        let at = |index: usize| word(queue, SLOT_WORDS * slot + index).map(u64::from);
        if at(STATUS)? != 1 {
            return None;
        }
        Some(json!({
            "slot": slot, "op": at(0)?, "src": at(1)?, "dst": at(2)?,
            "offset": at(4)? << 32 | at(3)?, "bytes": at(BYTE_COUNT)?, "tag": at(7)?,
        }))
    });
    requests.collect()
}

fn complete_rules(queue: &mut [u8], completions: &[(u32, bool)], items: Items) -> Result<(), Told> {
    let slots = check_length(queue, items)?;
    let mut seen = BTreeSet::new();
    let mut twice = false;
    for &(slot, _) in completions {
        let base = SLOT_WORDS * slot as usize;
        if slot as usize >= slots {
            return Err(Told::queue_full("io_slot_out_of_range"));
        }
        if word(queue, base + STATUS) != Some(2) {
            return Err(Told::queue_full("io_slot_not_claimed"));
        }
        twice |= !seen.insert(slot);
    }
    if twice && items.has(12) {
        return Err(Told::ours("duplicate"));
    }
    for &(slot, success) in completions {
        let base = SLOT_WORDS * slot as usize;
        set_word(queue, base + STATUS, if success { 0x10 } else { 0x11 });
        if !success && items.has(12) {
            set_word(queue, base + BYTE_COUNT, EIO);
        }
    }
    Ok(())
}
