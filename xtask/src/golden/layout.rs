//! Lengths, opcode classes, and an encoded control buffer.

use super::Outcome;
use super::bytes::Bytes;
use super::case::Case;
use super::refusal::Refusal;
use super::ring_rules::check_opcode;
use super::verdict::{Ours, Shown, judge, judge_plain};
use serde_json::{Value, json};
use slipring_core::control::Control;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::{opcode, words::from_bytes_mut};

/// A length in bytes; null where no geometry has it.
fn byte_len(case: &Case<'_>, buffer: Buffer) -> Outcome {
    let n = case.u32("n")?;
    let geometry = match buffer {
        Buffer::Control => Geometry::of_slots(0, n),
        Buffer::DebugLog => Geometry::new(0, 0, n, 1),
        _ => Geometry::of_slots(n, 0),
    };
    let bytes = geometry.map_or(Value::Null, |geometry| geometry.bytes(buffer).into());
    judge_plain(&case.shown()?, &Ours::new(Ok(bytes)))
}

pub fn control_byte_len(case: &Case<'_>) -> Outcome {
    byte_len(case, Buffer::Control)
}

pub fn ring_byte_len(case: &Case<'_>) -> Outcome {
    byte_len(case, Buffer::Ring)
}

pub fn debug_log_byte_len(case: &Case<'_>) -> Outcome {
    byte_len(case, Buffer::DebugLog)
}

pub fn classify_opcode(case: &Case<'_>) -> Outcome {
    let value = case.u32("opcode")?;
    let ours = json!({
        "is_system": opcode::is_system(value),
        "is_builtin": opcode::is_builtin(value),
        "user_ok": opcode::is_user(value),
        "publish_ok": opcode::is_publishable(value),
    });
    judge(&case.shown()?, &Ours::new(Ok(ours)), &[11], |items| {
        let system = matches!(value, 0..=7 | 0xFFF0..=0xFFFF | 0x8000_0000..);
        let publish_ok = check_opcode(value, items).is_ok();
        Shown::new(Ok(json!({
            "is_system": system,
            "is_builtin": system && publish_ok,
            "user_ok": !system,
            "publish_ok": publish_ok,
        })))
    })
}

pub fn builtin_wire(case: &Case<'_>) -> Outcome {
    let name = case.text("builtin")?;
    let value = match name {
        "Nop" => opcode::NOP,
        "StoreU32" => opcode::STORE_U32,
        "AtomicAdd" => opcode::ATOMIC_ADD,
        "LoadU32" => opcode::LOAD_U32,
        "CompareSwap" => opcode::COMPARE_SWAP,
        "Memcpy" => opcode::MEMCPY,
        "DfaStep" => opcode::DFA_STEP,
        "BatchFence" => opcode::BATCH_FENCE,
        "Printf" => opcode::PRINTF,
        "Shutdown" => opcode::SHUTDOWN,
        _ => return Err(format!("unknown builtin `{name}`")),
    };
    judge_plain(&case.shown()?, &Ours::new(Ok(value.into())))
}

pub fn encode_control(case: &Case<'_>) -> Outcome {
    let (shutdown, tenants) = (case.bool("shutdown")?, case.u32("tenant_count")?);
    let geometry = Geometry::of_slots(0, case.u32("observable_slots")?);
    let geometry = geometry.and_then(|geometry| geometry.check_encodable().map(|()| geometry));
    let ours = match geometry {
        Err(refusal) => Ours::new(Err(refusal.into())),
        Ok(geometry) => {
            let mut bytes = Bytes::filled(geometry.bytes(Buffer::Control), 0xEE)?;
            let result = encode(&mut bytes, shutdown, tenants);
            Ours::new(result).with("control", &bytes)
        }
    };
    judge_plain(&case.shown()?, &ours)
}

fn encode(bytes: &mut Bytes, shutdown: bool, tenants: u32) -> Result<Value, Refusal> {
    let words = from_bytes_mut(Buffer::Control, bytes.get_mut())?;
    Control::new(words)?.encode(shutdown, tenants)?;
    Ok(json!({ "len": bytes.len() }))
}
