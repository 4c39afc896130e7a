//! Publishing one slot, a window of work items, a fenced batch.

use super::Outcome;
use super::bytes::Bytes;
use super::case::{Case, as_u32, as_u32s};
use super::refusal::Refusal;
use super::ring_rules::{ITEMS, RingRules};
use super::verdict::{Ours, judge};
use serde_json::{Value, json};
use slipring_core::layout::Buffer;
use slipring_core::opcode::BATCH_FENCE;
use slipring_core::ring::{Job, Ring, WorkItem};
use slipring_core::words::from_bytes_mut;
use std::cell::Cell;

/// Calls `publish` on the ring in `bytes`, as a user would.
pub fn on_ring(
    bytes: &mut Bytes,
    publish: impl FnOnce(Ring<'_, Cell<u32>>) -> Result<Value, Refusal>,
) -> Result<Value, Refusal> {
    publish(Ring::new(from_bytes_mut(Buffer::Ring, bytes.get_mut())?)?)
}

pub fn slot(case: &Case<'_>) -> Outcome {
    let (slot, tenant) = (case.u32("slot")?, case.u32("tenant")?);
    let (opcode, args) = (case.u32("opcode")?, case.list("args", as_u32)?);
    let ring = case.bytes("ring")?;
    let mut after = ring.clone();
    let result = on_ring(&mut after, |ring| {
        ring.publish(slot, &Job::new(opcode, &args).tenant(tenant))?;
        Ok(json!({}))
    });
    let ours = Ours::new(result).with("ring_after", &after);
    judge(&case.shown()?, &ours, &ITEMS, |items| {
        RingRules::new(ring.get(), items).shown(|rules| {
            rules.check_length()?;
            rules.check_slot(slot)?;
            RingRules::check_args(&args)?;
            rules.check_opcode(opcode)?;
            rules.check_free(slot)?;
            rules.write(slot, tenant, opcode, &args);
            Ok(json!({}))
        })
    })
}

pub fn as_work_item(value: &Value) -> Option<WorkItem> {
    let [opcode, input, output, param] = as_u32s(value)?.try_into().ok()?;
    Some(WorkItem { opcode, input, output, param })
}

pub fn work_items(case: &Case<'_>) -> Outcome {
    let (start, tenant) = (case.u32("start")?, case.u32("tenant")?);
    let items = case.list("items", as_work_item)?;
    let ring = case.bytes("ring")?;
    let mut after = ring.clone();
    let result = on_ring(&mut after, |ring| {
        let published = ring.publish_items(start, tenant, &items)?;
        Ok(json!({ "published": published }))
    });
    let ours = Ours::new(result).with("ring_after", &after);
    let changing = [&ITEMS[..], &[21]].concat();
    judge(&case.shown()?, &ours, &changing, |in_force| {
        RingRules::new(ring.get(), in_force).shown(|rules| {
            if in_force.has(21) {
                rules.check_length()?;
            }
            items.iter().try_for_each(|item| rules.check_opcode(item.opcode))?;
            rules.check_length()?;
            rules.check_window(start, items.len())?;
            let window = || (start..).take(items.len());
            window().try_for_each(|slot| rules.check_free(slot))?;
            for (slot, item) in window().zip(&items) {
                rules.write(slot, tenant, item.opcode, &[item.input, item.output, item.param]);
            }
            Ok(json!({ "published": items.len() }))
        })
    })
}

fn as_job(value: &Value) -> Option<(u32, Vec<u32>)> {
    match value.as_array()?.as_slice() {
        [opcode, args] => Some((as_u32(opcode)?, as_u32s(args)?)),
        _ => None,
    }
}

pub fn batch(case: &Case<'_>) -> Outcome {
    let (start, tenant, tag) = (case.u32("start")?, case.u32("tenant")?, case.u32("tag")?);
    let items = case.list("items", as_job)?;
    let ring = case.bytes("ring")?;
    let mut after = ring.clone();
    let result = on_ring(&mut after, |ring| {
        let items: Vec<_> = items.iter().map(|(opcode, args)| (*opcode, &args[..])).collect();
        let consumed = ring.publish_batch(start, tenant, &items, tag)?;
        Ok(json!({ "consumed": consumed }))
    });
    let ours = Ours::new(result).with("ring_after", &after);
    judge(&case.shown()?, &ours, &ITEMS, |in_force| {
        RingRules::new(ring.get(), in_force).shown(|rules| {
            rules.check_length()?;
            rules.check_window(start, items.len() + 1)?;
            for (opcode, args) in &items {
                RingRules::check_args(args)?;
                rules.check_opcode(*opcode)?;
            }
            let fence = (BATCH_FENCE, vec![items.len() as u32, tag]);
            let window = || (start..).take(items.len() + 1);
            window().try_for_each(|slot| rules.check_free(slot))?;
            for (slot, (opcode, args)) in window().zip(items.iter().chain([&fence])) {
                rules.write(slot, tenant, *opcode, args);
            }
            Ok(json!({ "consumed": items.len() + 1 }))
        })
    })
}
