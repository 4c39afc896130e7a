//! Reading the control buffer, and its priority partitions.

use super::Outcome;
use super::bytes::{set_word, word};
use super::case::{Case, as_u32s};
use super::items::Items;
use super::meaning::Told;
use super::refusal::Refusal;
use super::verdict::{Ours, Shown, judge, judge_plain};
use serde_json::{Value, json};
use slipring_core::control::Control;
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use slipring_core::words::{from_bytes, from_bytes_mut};

const PARTITION_WORD: usize = 129;
const FIRST_OBSERVABLE: u64 = 160;

/// Calls `read` on the control buffer of the case, as a user would.
fn read(
    case: &Case<'_>,
    read: impl FnOnce(Control<'_, u32>) -> Result<Value, Refusal>,
) -> Result<Ours, String> {
    let bytes = case.bytes("control")?;
    let control = || Ok(Control::new(from_bytes(Buffer::Control, bytes.get())?)?);
    Ok(Ours::new(control().and_then(read)))
}

pub fn done_count(case: &Case<'_>) -> Outcome {
    let ours = read(case, |control| Ok(control.done_count()?.into()))?;
    judge_plain(&case.shown()?, &ours)
}

pub fn epoch(case: &Case<'_>) -> Outcome {
    let ours = read(case, |control| Ok(control.epoch()?.into()))?;
    judge_plain(&case.shown()?, &ours)
}

fn counters(control: Control<'_, u32>) -> Result<Value, Refusal> {
    let metrics = control.metrics()?;
    Ok(metrics.iter().map(|metric| json!([metric.opcode, metric.runs])).collect())
}

pub fn metrics(case: &Case<'_>) -> Outcome {
    judge_plain(&case.shown()?, &read(case, counters)?)
}

/// The reference clears the caller's list, whatever it holds, and then fills it. Ours returns
/// one, so there is nothing to look at where it returns none.
pub fn metrics_into(case: &Case<'_>) -> Outcome {
    case.list("out", as_u32s)?;
    let ours = read(case, counters)?;
    let out = case.expect_field("out_after").ok_or("it has no `expect.out_after`")?;
    match &ours.result {
        Ok(counters) if counters != out => {
            Err(format!("out_after {out} was expected, {counters} came"))
        }
        Ok(_) => judge_plain(&case.shown()?, &Ours::new(Ok(json!({})))),
        Err(_) => judge_plain(&case.shown()?, &ours),
    }
}

pub fn observable(case: &Case<'_>) -> Outcome {
    let index = case.u32("index")?;
    let bytes = case.bytes("control")?;
    let ours = read(case, |control| Ok(control.observable(index)?.into()))?;
    judge(&case.shown()?, &ours, &[21], |items| {
        Shown::new(observable_rules(bytes.get(), FIRST_OBSERVABLE + u64::from(index), items))
    })
}

fn observable_rules(bytes: &[u8], index: u64, items: Items) -> Result<Value, Told> {
    let aligned = match bytes.len() % 4 {
        0 => Ok(()),
        _ => Err(Told::misaligned("control", bytes.len())),
    };
    if items.has(21) {
        aligned.clone()?;
    }
    if index > u64::from(u32::MAX) {
        return Err(Told::overflow("control"));
    }
    aligned?;
    let value = word(bytes, index as usize);
    value.map(Value::from).ok_or_else(|| Told::missing("control", index, bytes.len()))
}

pub fn default_partitions(case: &Case<'_>) -> Outcome {
    let words = Partitions::even(case.u32("total_slots")?).words();
    judge_plain(&case.shown()?, &Ours::new(Ok(json!(words))))
}

pub fn write_partitions(case: &Case<'_>) -> Outcome {
    let partitions = Partitions::even(case.u32("total_slots")?);
    let before = case.bytes("control")?;
    let mut after = before.clone();
    let mut write = || {
        let words = from_bytes_mut(Buffer::Control, after.get_mut())?;
        Control::new(words)?.set_partitions(&partitions)?;
        Ok(json!({}))
    };
    let ours = Ours::new(write()).with("control_after", &after);
    judge(&case.shown()?, &ours, &[17], |items| {
        let shown = |result, control| Shown::new(result).with("control_after", control);
        let mut control = before.get().to_vec();
        let room = control.len() / 4;
        let words = partition_words(partitions.slots());
        if !control.len().is_multiple_of(4) {
            return shown(Err(Told::queue_full("control_unaligned")), control);
        }
        let fits = room >= PARTITION_WORD + words.len();
        if fits || !items.has(17) {
            for (index, value) in (PARTITION_WORD..room).zip(words) {
                set_word(&mut control, index, value);
            }
        }
        let short = Told::queue_full("control_too_small");
        shown(if fits { Ok(json!({})) } else { Err(short) }, control)
    })
}

/// A fifth for each level and the remainder to the third.
fn partition_words(slots: u32) -> [u32; 6] {
    let (fifth, rest) = (slots / 5, slots % 5);
    [0, fifth, 2 * fifth, 3 * fifth + rest, 4 * fifth + rest, slots]
}
