//! Reading the debug log.

use super::Outcome;
use super::bytes::word;
use super::case::Case;
use super::items::Items;
use super::meaning::Told;
use super::refusal::Refusal;
use super::verdict::{Ours, Shown, judge};
use serde_json::{Value, json};
use slipring_core::debug_log::DebugLog;
use slipring_core::layout::Buffer;
use slipring_core::words::from_bytes;

pub fn read(case: &Case<'_>) -> Outcome {
    let bytes = case.bytes("debug_log")?;
    let shown = case.shown()?;
    // What the reference leaves in its caller's list after an error; ours returns a list or
    // none.
    if let (Ok(records), Some(out)) = (&shown.result, case.expect_field("out_after"))
        && records != out
    {
        return Err(format!("out_after {out} is not the result {records}"));
    }
    judge(&shown, &Ours::new(records(bytes.get())), &[10, 21], |items| {
        Shown::new(rules(bytes.get(), items))
    })
}

/// Reads every record, a few at a time, as a user would.
fn records(bytes: &[u8]) -> Result<Value, Refusal> {
    let log = DebugLog::new(from_bytes(Buffer::DebugLog, bytes)?)?;
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let read = log.read::<7>(next);
        let read = read.map_err(|error| Refusal::Partial(error, bytes.len()))?;
        let words = |record: &slipring_core::debug_log::Record| {
            let [a, b] = record.args;
            json!([record.format, a, b, record.slot_word])
        };
        all.extend(read.records.iter().map(words));
        if read.next == next {
            return Ok(with_lost(all, read.lost));
        }
        next = read.next;
    }
}

/// The records alone, if that is all of them.
fn with_lost(records: Vec<Value>, lost: u32) -> Value {
    match lost {
        0 => Value::Array(records),
        lost => json!({ "records": records, "lost": lost }),
    }
}

fn rules(bytes: &[u8], items: Items) -> Result<Value, Told> {
    let missing = |word| Told::missing("debug_log", word, bytes.len());
    if !bytes.len().is_multiple_of(4) {
        return Err(Told::misaligned("debug_log", bytes.len()));
    }
    let words = bytes.len() / 4;
    if items.has(21) && words % 4 != 1 {
        return Err(Told::ours("debug_log_length"));
    }
    let cursor = word(bytes, 0).ok_or_else(|| missing(0))?;
    let end = 1 + u64::from(cursor);
    let overflows = end > words as u64;
    if cursor % 4 != 0 || overflows && !items.has(10) {
        return Err(missing(end));
    }
    let held = (words - 1) / 4;
    let asked = cursor / 4;
    let record = |index: usize| -> Value {
        (1..5).map(|at| Value::from(word(bytes, 4 * index + at))).collect()
    };
    let records = (0..held.min(asked as usize)).map(record).collect();
    Ok(with_lost(records, asked.saturating_sub(held as u32)))
}
