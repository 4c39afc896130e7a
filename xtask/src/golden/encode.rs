//! Encoding buffers anew: into storage of the right length, or of the case's.

use super::Outcome;
use super::bytes::{Bytes, set_word, word};
use super::case::Case;
use super::items::Items;
use super::meaning::Told;
use super::publish::as_work_item;
use super::refusal::Refusal;
use super::ring_rules::{check_opcode, write_slot};
use super::verdict::{Ours, Shown, Verdict, judge, judge_plain};
use serde_json::{Value, json};
use slipring_core::debug_log::DebugLog;
use slipring_core::io_queue::IoQueue;
use slipring_core::layout::{Buffer, Geometry, MAX_ENCODED};
use slipring_core::ring::{Ring, WorkItem};
use slipring_core::words::from_bytes_mut;

/// What storage holds before it is encoded: nothing that is 0, and nothing in flight.
const DIRT: u8 = 0xEE;

/// Zeroes a buffer of the geometry.
fn reset(buffer: Buffer, geometry: Geometry, bytes: &mut Bytes) -> Result<(), Refusal> {
    let words = from_bytes_mut(buffer, bytes.get_mut())?;
    geometry.check_words(buffer, words.len())?;
    match buffer {
        Buffer::Ring => Ring::new(words)?.reset()?,
        Buffer::DebugLog => DebugLog::new(words)?.reset()?,
        Buffer::IoQueue => IoQueue::new(words)?.reset()?,
        Buffer::Control => unreachable!("control is encoded with its tenants"),
    }
    Ok(())
}

fn geometry(buffer: Buffer, units: u32) -> Result<Geometry, Refusal> {
    let geometry = match buffer {
        Buffer::DebugLog => Geometry::new(0, 0, units, 1),
        Buffer::IoQueue => Geometry::new(0, 0, 0, units),
        _ => Geometry::of_slots(units, 0),
    }?;
    geometry.check_encodable()?;
    Ok(geometry)
}

/// An empty buffer: storage of ours, dirty before.
fn empty(case: &Case<'_>, buffer: Buffer, units: &str, length: &str, name: &str) -> Outcome {
    let units = case.u32(units)?;
    let ours = match geometry(buffer, units) {
        Err(refusal) => Ours::new(Err(refusal)),
        Ok(geometry) => {
            let mut bytes = Bytes::filled(geometry.bytes(buffer), DIRT)?;
            let told = if length == "slot_count" { units as usize } else { bytes.len() };
            let result = reset(buffer, geometry, &mut bytes);
            Ours::new(result.map(|()| json!({ length: told }))).with(name, &bytes)
        }
    };
    judge_plain(&case.shown()?, &ours)
}

pub fn empty_ring(case: &Case<'_>) -> Outcome {
    empty(case, Buffer::Ring, "slots", "len", "ring")
}

pub fn empty_debug_log(case: &Case<'_>) -> Outcome {
    empty(case, Buffer::DebugLog, "records", "len", "debug_log")
}

pub fn empty_io_queue(case: &Case<'_>) -> Outcome {
    empty(case, Buffer::IoQueue, "slots", "len", "io_queue")
}

pub fn io_queue_new(case: &Case<'_>) -> Outcome {
    empty(case, Buffer::IoQueue, "slots", "slot_count", "io_queue")
}

/// Storage of a case, which the reference resizes as it needs (item 21). Where the length is
/// right, ours encodes in place. Where it is not, ours must refuse it, and storage of the
/// right length must then become what the reference's does.
struct Into<'a> {
    input: &'a str,
    after: &'a str,
    /// The right length; the error of a geometry that has none.
    bytes: Result<u64, Refusal>,
    encode: &'a dyn Fn(&mut Bytes) -> Result<Value, Refusal>,
}

impl Into<'_> {
    fn judge(
        self,
        case: &Case<'_>,
        items: &[u8],
        rules: impl Fn(&[u8], Items) -> Shown,
    ) -> Outcome {
        let shown = case.shown()?;
        let given = case.bytes(self.input)?;
        let rules = |items| rules(given.get(), items);
        let bytes = match self.bytes {
            Ok(bytes) => bytes,
            Err(refusal) => {
                let ours = Ours::new(Err(refusal)).with(self.after, &given);
                return judge(&shown, &ours, items, rules);
            }
        };
        let mut after = given.clone();
        let result = (self.encode)(&mut after);
        if bytes == given.len() as u64 {
            return judge(&shown, &Ours::new(result).with(self.after, &after), items, rules);
        }
        if result.is_ok() || after != given {
            return Err(format!("{} bytes were taken where {bytes} are due", given.len()));
        }
        let mut right = Bytes::filled(bytes, DIRT)?;
        let result = (self.encode)(&mut right);
        let is_ok = result.is_ok();
        let ours = Ours::new(result).with(self.after, if is_ok { &right } else { &given });
        match judge(&shown, &ours, items, rules)? {
            Verdict::Pass if is_ok => Ok(Verdict::by_item(21)),
            verdict => Ok(verdict),
        }
    }
}

fn empty_into(case: &Case<'_>, buffer: Buffer, units: &str) -> Outcome {
    let geometry = geometry(buffer, case.u32(units)?);
    let encode = |bytes: &mut Bytes| -> Result<Value, Refusal> {
        reset(buffer, geometry?, bytes)?;
        Ok(json!({}))
    };
    let bytes = geometry.map(|geometry| geometry.bytes(buffer));
    let into = Into { input: "dst", after: "dst_after", bytes, encode: &encode };
    into.judge(case, &[17], |given, items| {
        let refused = |told| Shown::new(Err(told)).with("dst_after", given.to_vec());
        let Ok(bytes) = bytes else { return refused(Told::ours("no geometry")) };
        // Strides and places of the status words, and what is in flight.
        let (stride, at, in_flight): (usize, usize, &[u32]) = match buffer {
            Buffer::Ring => (16, 0, &[1, 2, 4]),
            Buffer::IoQueue => (8, 6, &[1, 2, 0x12]),
            _ => (1, 0, &[]),
        };
        let mask = if buffer == Buffer::Ring { 0xFF } else { u32::MAX };
        let statuses = (at..given.len() / 4).step_by(stride).filter_map(|at| word(given, at));
        if items.has(17) && statuses.into_iter().any(|status| in_flight.contains(&(status & mask)))
        {
            return refused(Told::ours("in_flight"));
        }
        Shown::new(Ok(json!({}))).with("dst_after", vec![0; bytes as usize])
    })
}

pub fn empty_ring_into(case: &Case<'_>) -> Outcome {
    empty_into(case, Buffer::Ring, "slots")
}

pub fn empty_debug_log_into(case: &Case<'_>) -> Outcome {
    empty_into(case, Buffer::DebugLog, "records")
}

pub fn empty_io_queue_into(case: &Case<'_>) -> Outcome {
    empty_into(case, Buffer::IoQueue, "slots")
}

/// Which of the reference's two encoders of a ring of work items.
#[derive(Clone, Copy, PartialEq)]
enum Encoder {
    Bytes,
    /// Leaves words 7..=15 of every slot, and all but the status of those without an item.
    Words,
}

pub fn work_items(case: &Case<'_>) -> Outcome {
    items_into(case, Encoder::Bytes)
}

pub fn work_items_words(case: &Case<'_>) -> Outcome {
    items_into(case, Encoder::Words)
}

fn items_into(case: &Case<'_>, encoder: Encoder) -> Outcome {
    let (slots, tenant) = (case.u32("slots")?, case.u32("tenant")?);
    let items = case.list("items", as_work_item)?;
    let told = |bytes: usize| match encoder {
        Encoder::Bytes => json!({ "len": bytes }),
        Encoder::Words => json!({ "words": bytes / 4 }),
    };
    let geometry = Geometry::of_slots(slots, 0).map_err(Refusal::from);
    let encode = |bytes: &mut Bytes| {
        let geometry = geometry?;
        let words = from_bytes_mut(Buffer::Ring, bytes.get_mut())?;
        geometry.check_words(Buffer::Ring, words.len())?;
        Ring::new(words)?.encode_items(tenant, &items)?;
        Ok(told(bytes.len()))
    };
    // The ring checks its own cap, after the items: let it, where that takes no storage to
    // speak of.
    let bytes = geometry.and_then(|geometry| {
        if slots > 2 * MAX_ENCODED {
            geometry.check_encodable()?;
        }
        Ok(geometry.bytes(Buffer::Ring))
    });
    let into = Into { input: "ring", after: "ring_after", bytes, encode: &encode };
    into.judge(case, &[11, 17, 21], |given, in_force| {
        let refused = |told| Shown::new(Err(told)).with("ring_after", given.to_vec());
        match encoded(given, slots, tenant, &items, encoder, in_force) {
            Ok(ring) => Shown::new(Ok(told(ring.len()))).with("ring_after", ring),
            Err(told) => refused(told),
        }
    })
}

fn encoded(
    given: &[u8],
    slots: u32,
    tenant: u32,
    items: &[WorkItem],
    encoder: Encoder,
    in_force: Items,
) -> Result<Vec<u8>, Told> {
    let capped = || if slots > MAX_ENCODED { Err(Told::queue_full("ring_cap")) } else { Ok(()) };
    if in_force.has(21) {
        capped()?;
    }
    if items.len() > slots as usize {
        return Err(Told::queue_full("items_exceed_ring"));
    }
    items.iter().try_for_each(|item| check_opcode(item.opcode, in_force))?;
    capped()?;
    let len = 64 * slots as usize;
    let fits = given.len() == len;
    let mut status = (0..given.len() / 64).filter_map(|slot| word(given, 16 * slot));
    if in_force.has(17) && fits && status.any(|status| matches!(status & 0xFF, 1 | 2 | 4)) {
        return Err(Told::ours("in_flight"));
    }
    let leaves_words = encoder == Encoder::Words && fits && !in_force.has(17);
    let mut ring = if leaves_words { given.to_vec() } else { vec![0; len] };
    for slot in 0..slots as usize {
        set_word(&mut ring, 16 * slot, 0);
    }
    for (slot, item) in items.iter().enumerate() {
        let args = [item.input, item.output, item.param];
        write_slot(&mut ring, slot, tenant, item.opcode, &args);
        if leaves_words {
            ring[64 * slot + 28..64 * slot + 64]
                .copy_from_slice(&given[64 * slot + 28..64 * slot + 64]);
        }
    }
    Ok(ring)
}
