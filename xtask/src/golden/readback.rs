//! Whole rows: read back, adopted, made new; and DONE slots counted.

use super::Outcome;
use super::bytes::{Bytes, word};
use super::case::Case;
use super::io_queue::check_length;
use super::items::{Items, STATUS_BYTE};
use super::meaning::Told;
use super::refusal::Refusal;
use super::verdict::{Ours, Shown, judge, judge_plain};
use serde_json::{Value, json};
use slipring_core::layout::{
    Buffer, DEFAULT_DEBUG_RECORDS, Geometry, MAX_IO_SLOTS, MAX_OBSERVABLES, MAX_SLOTS,
};
use slipring_core::partition::Partitions;
use slipring_core::ring::{Ring, count_done};
use slipring_core::row::Row;
use slipring_core::words::{from_bytes, from_bytes_mut};

/// Buffers of the lengths of the case, in binding order, and the geometry they are read as:
/// its observables and IO slots are left open by the reference, so they are what the lengths
/// give, if these give any.
fn lengths(case: &Case<'_>) -> Result<(Vec<Bytes>, Result<Geometry, Refusal>), String> {
    let lens = case.list("lens", Value::as_u64)?;
    let buffers = lens.iter().map(|len| Bytes::filled(*len, 0)).collect::<Result<_, _>>()?;
    let units = |buffer: usize, head: u64, unit: u64, least: u64, most: u32, default: u32| {
        let units = lens.get(buffer).and_then(|len| len.checked_sub(head));
        let units = units.filter(|bytes| bytes % unit == 0).map(|bytes| bytes / unit);
        units
            .filter(|units| (least..=u64::from(most)).contains(units))
            .map_or(default, |n| n as u32)
    };
    let observables = units(0, 640, 4, 0, MAX_OBSERVABLES, 0);
    let io_slots = units(3, 0, 32, 1, MAX_IO_SLOTS, MAX_IO_SLOTS);
    let slots = case.u32("slot_count")?;
    let geometry = Geometry::new(slots, observables, DEFAULT_DEBUG_RECORDS, io_slots);
    Ok((buffers, geometry.map_err(Refusal::from)))
}

/// Reads a row, and tells what `told` tells of it.
fn read(case: &Case<'_>, told: impl Fn(u32, [usize; 4]) -> Value) -> Outcome {
    let (buffers, geometry) = lengths(case)?;
    let slots = case.u32("slot_count")?;
    let slices: Vec<&[u8]> = buffers.iter().map(Bytes::get).collect();
    let row = geometry.and_then(|geometry| Ok(Row::read(geometry, &slices)?));
    let ours = row.map(|row| {
        let bytes = Buffer::ALL.map(|buffer| 4 * row.words(buffer).len());
        told(row.ring.slots(), bytes)
    });
    judge(&case.shown()?, &Ours::new(ours), &[21, 22], |items| {
        let lens: Vec<usize> = buffers.iter().map(Bytes::len).collect();
        let result = check_row(slots, &lens, items);
        Shown::new(result.map(|lens| told(slots, lens)))
    })
}

fn check_row(slots: u32, lens: &[usize], items: Items) -> Result<[usize; 4], Told> {
    let unrepresentable = slots > MAX_SLOTS;
    let overflow = || Told::backend("ring_len_overflow");
    if unrepresentable && items.has(21) {
        return Err(overflow());
    }
    let lens: [usize; 4] = lens.try_into().map_err(|_| Told::backend("output_count"))?;
    let [control, ring, debug_log, io_queue] = lens;
    if control < 640 || !control.is_multiple_of(4) {
        return Err(Told::backend("control_shape"));
    }
    if debug_log != 1028 {
        return Err(Told::backend("debug_log_shape"));
    }
    check_length(&vec![0; io_queue], items)?;
    if unrepresentable {
        return Err(overflow());
    }
    if ring as u64 != 64 * u64::from(slots) {
        return Err(Told::backend("ring_shape"));
    }
    Ok(lens)
}

pub fn from_outputs(case: &Case<'_>) -> Outcome {
    read(case, |slots, [control, ring, debug_log, io_queue]| {
        json!({
            "control": control, "ring": ring, "debug": debug_log, "io": io_queue,
            "total": control + ring + debug_log + io_queue, "slot_count": slots,
        })
    })
}

pub fn from_parts(case: &Case<'_>) -> Outcome {
    if case.list("lens", Value::as_u64)?.len() != 4 {
        return Err("a row has 4 lengths".to_owned());
    }
    read(case, |slots, _| json!({ "slot_count": slots }))
}

pub fn slot_count(case: &Case<'_>) -> Outcome {
    let bytes = Bytes::filled(case.u64("ring_len")?, 0)?;
    let slots = || Ok(Ring::new(from_bytes(Buffer::Ring, bytes.get())?)?.slots().into());
    judge_plain(&case.shown()?, &Ours::new(slots()))
}

pub fn new_row(case: &Case<'_>) -> Outcome {
    let (slots, tenants) = (case.u32("slots")?, case.u32("tenants")?);
    let geometry = Geometry::of_slots(slots, case.u32("observables")?);
    let geometry = geometry.and_then(|geometry| geometry.check_encodable().map(|()| geometry));
    let geometry = match geometry {
        Ok(geometry) => geometry,
        Err(refusal) => return judge_plain(&case.shown()?, &Ours::new(Err(refusal.into()))),
    };
    // Dirty, and nothing in flight.
    let dirty = |buffer| Bytes::filled(geometry.bytes(buffer), 0xEE);
    let (mut control, mut ring) = (dirty(Buffer::Control)?, dirty(Buffer::Ring)?);
    let (mut debug_log, mut io_queue) = (dirty(Buffer::DebugLog)?, dirty(Buffer::IoQueue)?);
    let mut reset = || -> Result<Value, Refusal> {
        let row = Row::new(
            geometry,
            from_bytes_mut(Buffer::Control, control.get_mut())?,
            from_bytes_mut(Buffer::Ring, ring.get_mut())?,
            from_bytes_mut(Buffer::DebugLog, debug_log.get_mut())?,
            from_bytes_mut(Buffer::IoQueue, io_queue.get_mut())?,
        )?;
        row.reset(tenants, &Partitions::even(slots))?;
        Ok(json!({ "slot_count": slots }))
    };
    let result = reset();
    let ours = Ours::new(result)
        .with("control", &control)
        .with("ring", &ring)
        .with("debug_log", &debug_log)
        .with("io_queue", &io_queue);
    judge_plain(&case.shown()?, &ours)
}

pub fn done_slots(case: &Case<'_>) -> Outcome {
    let slots = case.u64("item_count")?;
    let wanted = usize::try_from(slots).map_err(|_| "`item_count` is no usize".to_owned())?;
    let bytes = case.bytes("ring")?;
    let count = || Ok(count_done(from_bytes(Buffer::Ring, bytes.get())?, wanted)?.into());
    judge(&case.shown()?, &Ours::new(count()), &[STATUS_BYTE, 21], |items| {
        Shown::new(done_rules(bytes.get(), slots, items))
    })
}

fn done_rules(bytes: &[u8], slots: u64, items: Items) -> Result<Value, Told> {
    let aligned = bytes.len().is_multiple_of(4);
    let misaligned = || Told::misaligned("ring", bytes.len());
    if items.has(21) && !aligned {
        return Err(misaligned());
    }
    if slots == 0 {
        return Ok(0.into());
    }
    if !aligned {
        return Err(misaligned());
    }
    let needed = slots.checked_mul(64).ok_or_else(|| Told::overflow("ring"))?;
    if needed > bytes.len() as u64 {
        return Err(Told::missing("ring", needed / 4, bytes.len()));
    }
    let mask = if items.has(STATUS_BYTE) { 0xFF } else { u32::MAX };
    let is_done = |slot: &u64| word(bytes, 16 * *slot as usize).map(|word| word & mask) == Some(3);
    Ok((0..slots).filter(is_done).count().into())
}
