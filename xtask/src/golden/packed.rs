//! Publishing a packed slot.

use super::Outcome;
use super::case::{Case, as_u32s};
use super::items::Items;
use super::meaning::Told;
use super::publish::on_ring;
use super::refusal::Refusal;
use super::ring_rules::{ITEMS, RingRules};
use super::verdict::{Ours, judge};
use serde_json::{Value, json};
use slipring_core::opcode::PACKED_SLOT;
use slipring_core::packed::Payload;

type Op = (u8, Vec<u32>);

pub fn slot(case: &Case<'_>) -> Outcome {
    let (slot, tenant) = (case.u32("slot")?, case.u32("tenant")?);
    let ops = case.list("ops", as_op)?;
    let ring = case.bytes("ring")?;
    let mut after = ring.clone();
    let pack = || {
        let ops: Vec<_> = ops.iter().map(|(opcode, args)| (*opcode, &args[..])).collect();
        Payload::pack(&ops).map_err(Refusal::from)
    };
    let result = pack().and_then(|payload| {
        on_ring(&mut after, |ring| {
            ring.publish(slot, &payload.job().tenant(tenant))?;
            Ok(json!({}))
        })
    });
    let ours = Ours::new(result).with("ring_after", &after);
    let changing = [&ITEMS[..], &[9]].concat();
    judge(&case.shown()?, &ours, &changing, |in_force| {
        RingRules::new(ring.get(), in_force).shown(|rules| {
            let args = packed_args(&ops, in_force)?;
            rules.check_length()?;
            rules.check_slot(slot)?;
            rules.check_free(slot)?;
            rules.write(slot, tenant, PACKED_SLOT, &args);
            Ok(json!({}))
        })
    })
}

fn as_op(value: &Value) -> Option<Op> {
    match value.as_array()?.as_slice() {
        [opcode, args] => Some((u8::try_from(opcode.as_u64()?).ok()?, as_u32s(args)?)),
        _ => None,
    }
}

/// The reference's payload: the count, the argument words, a pair for each operation, the
/// arguments.
fn packed_args(ops: &[Op], items: Items) -> Result<Vec<u32>, Told> {
    if items.has(9) && ops.len() > 4 {
        return Err(Told::ours("packed_ops"));
    }
    let count = u8::try_from(ops.len()).map_err(|_| Told::queue_full("packed_too_many_ops"))?;
    let metadata_words = (2 + 2 * ops.len()).div_ceil(4);
    if metadata_words > 12 {
        return Err(Told::queue_full("packed_metadata_too_big"));
    }
    let mut metadata = vec![count, 0];
    let mut args = Vec::new();
    for (opcode, more) in ops {
        metadata.extend([*opcode, args.len() as u8]);
        args.extend(more);
        if metadata_words + args.len() > 12 {
            return Err(Told::queue_full("packed_payload_too_big"));
        }
    }
    if items.has(9) && ops.iter().any(|(opcode, _)| *opcode == 7) {
        return Err(Told::ours("packed_opcode"));
    }
    metadata[1] = args.len() as u8;
    metadata.resize(4 * metadata_words, 0);
    let words =
        metadata.chunks(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    Ok(words.chain(args).collect())
}
