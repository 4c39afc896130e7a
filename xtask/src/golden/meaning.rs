//! The reference's errors, and which of ours mean the same.

use super::refusal::Refusal;
use serde_json::Value;
use slipring_core::io_queue::IoQueueError;
use slipring_core::layout::{Buffer, LayoutError, MAX_ENCODED, MAX_OBSERVABLES, MAX_SLOTS};
use slipring_core::packed::PackedError;
use slipring_core::ring::PublishError;
use std::fmt;

/// An error as a vector shows it. `err` is the reference's kind, or "ours" where the rules of
/// an item refuse what the reference does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    err: String,
    why: String,
    buffer: String,
    word_idx: Option<u64>,
    byte_len: Option<u64>,
}

impl Told {
    pub fn parse(err: &Value, detail: Option<&Value>) -> Result<Self, String> {
        let err = err.as_str().ok_or("`err` is no text")?.to_owned();
        let mut told = Self { err, ..Self::default() };
        let Some(detail) = detail else { return Ok(told) };
        for (field, value) in detail.as_object().ok_or("`detail` is no object")? {
            let text = || value.as_str().map(str::to_owned);
            let bad = || format!("`detail.{field}` is not understood");
            match field.as_str() {
                "why" => told.why = text().ok_or_else(bad)?,
                "buffer" => told.buffer = text().ok_or_else(bad)?,
                "word_idx" => told.word_idx = Some(value.as_u64().ok_or_else(bad)?),
                "byte_len" => told.byte_len = Some(value.as_u64().ok_or_else(bad)?),
                // Always "submission", whatever the queue: it says nothing.
                "queue" => {}
                _ => return Err(format!("unknown field `detail.{field}`")),
            }
        }
        Ok(told)
    }

    fn because(err: &str, why: &str) -> Self {
        Self { err: err.to_owned(), why: why.to_owned(), ..Self::default() }
    }

    pub fn queue_full(why: &str) -> Self {
        Self::because("QueueFull", why)
    }

    pub fn backend(why: &str) -> Self {
        Self::because("Backend", why)
    }

    /// Refused by an item of ours.
    pub fn ours(why: &str) -> Self {
        Self::because("ours", why)
    }

    pub fn misaligned(buffer: &str, bytes: usize) -> Self {
        let (err, buffer) = ("MisalignedByteLength".to_owned(), buffer.to_owned());
        Self { err, buffer, byte_len: Some(bytes as u64), ..Self::default() }
    }

    pub fn overflow(buffer: &str) -> Self {
        let (err, buffer) = ("ByteLengthOverflow".to_owned(), buffer.to_owned());
        Self { err, buffer, ..Self::default() }
    }

    pub fn missing(buffer: &str, word: u64, bytes: usize) -> Self {
        let (err, buffer) = ("MissingWord".to_owned(), buffer.to_owned());
        Self { err, buffer, word_idx: Some(word), byte_len: Some(bytes as u64), ..Self::default() }
    }

    /// Whether the refusal has this meaning, and its numbers.
    pub fn means(&self, refusal: &Refusal) -> bool {
        match (self.err.as_str(), refusal) {
            ("MissingWord", Refusal::Missing(missing)) => {
                self.is_of(missing.buffer)
                    && self.word_idx == Some(missing.word)
                    && self.byte_len == Some(4 * missing.words as u64)
            }
            // The word where the next record would start.
            ("MissingWord", Refusal::Partial(partial, bytes)) => {
                self.is_of(Buffer::DebugLog)
                    && self.word_idx == Some(1 + u64::from(partial.cursor))
                    && self.byte_len == Some(*bytes as u64)
            }
            (
                "MisalignedByteLength",
                Refusal::Layout(LayoutError::RaggedBytes { buffer, bytes }),
            ) => self.is_of(*buffer) && self.byte_len == Some(*bytes as u64),
            ("ByteLengthOverflow", Refusal::Layout(LayoutError::TooMany { buffer, .. })) => {
                self.is_of(*buffer)
            }
            ("ByteLengthOverflow", Refusal::Missing(missing)) => {
                self.is_of(missing.buffer) && missing.word > unreachable_word(missing.buffer)
            }
            ("QueueFull", refusal) => is_queue_full(&self.why, refusal),
            ("Backend", refusal) => is_backend(&self.why, refusal),
            ("ours", refusal) => is_ours(&self.why, refusal),
            _ => false,
        }
    }

    fn is_of(&self, buffer: Buffer) -> bool {
        let name = match buffer {
            Buffer::Control => "control",
            Buffer::Ring => "ring",
            Buffer::DebugLog => "debug_log",
            Buffer::IoQueue => "io_queue",
        };
        self.buffer == name
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.err)?;
        for text in [&self.why, &self.buffer].into_iter().filter(|text| !text.is_empty()) {
            write!(f, " {text}")?;
        }
        for (name, number) in [("word", self.word_idx), ("bytes", self.byte_len)] {
            if let Some(number) = number {
                write!(f, " {name} {number}")?;
            }
        }
        Ok(())
    }
}

/// The last word that the reference's arithmetic reaches: u32 words of control, 2^64 bytes of
/// a ring.
fn unreachable_word(buffer: Buffer) -> u64 {
    match buffer {
        Buffer::Ring => u64::MAX / 4,
        _ => u64::from(u32::MAX),
    }
}

fn is_queue_full(why: &str, refusal: &Refusal) -> bool {
    use Buffer::{Control, IoQueue, Ring};
    use Refusal::{Layout, Missing, Packed, Publish};
    match (why, refusal) {
        ("ring_len_not_slot_multiple", Layout(error)) => is_ragged(error, Ring),
        ("slot_out_of_range", Publish(error)) => matches!(error, PublishError::SlotRange { .. }),
        ("too_many_args", Publish(error)) => matches!(error, PublishError::TooManyArgs { .. }),
        ("opcode_reserved", Publish(error)) => matches!(error, PublishError::Opcode { .. }),
        ("slot_not_publishable", Publish(error)) => matches!(error, PublishError::Busy { .. }),
        ("window_overflow", Publish(error)) => {
            matches!(error, PublishError::WindowOverflow { .. })
        }
        ("window_out_of_range", Publish(error)) => {
            matches!(error, PublishError::WindowRange { .. })
        }
        ("items_exceed_ring", Publish(error)) => {
            matches!(error, PublishError::TooManyItems { .. })
        }
        ("packed_payload_too_big", Packed(error)) => {
            matches!(error, PackedError::TooLong { .. })
        }
        // The metadata of 24 operations fills the slot, the count of 256 its byte.
        ("packed_metadata_too_big", Packed(PackedError::TooManyOps { ops })) => *ops > 23,
        (why, Packed(PackedError::TooManyOps { ops })) if why.starts_with("packed_") => *ops > 255,
        // Of more slots than there can be, ours names that limit.
        ("ring_cap", Layout(error)) => {
            is_too_many(error, Ring, MAX_ENCODED) || is_too_many(error, Ring, MAX_SLOTS)
        }
        ("observable_cap", Layout(error)) => is_too_many(error, Control, MAX_ENCODED),
        ("control_unaligned", Layout(LayoutError::RaggedBytes { buffer, .. })) => {
            *buffer == Control
        }
        ("control_too_small", Missing(missing)) => missing.buffer == Control,
        ("io_zero_slots", Layout(error)) => *error == LayoutError::NoIoSlots,
        // A readback is compared with the longest queue that there is.
        ("io_too_many_slots", Layout(error)) => match *error {
            LayoutError::WrongLength { buffer: IoQueue, words, expected: 512 } => {
                words > 512 && words.is_multiple_of(8)
            }
            error => is_too_many(&error, IoQueue, 64),
        },
        ("io_slot_out_of_range", Refusal::IoQueue(error)) => {
            matches!(error, IoQueueError::SlotRange { .. })
        }
        ("io_slot_not_claimed", Refusal::IoQueue(error)) => {
            matches!(error, IoQueueError::State { expected: 2, .. })
        }
        _ => false,
    }
}

fn is_backend(why: &str, refusal: &Refusal) -> bool {
    use Buffer::{Control, DebugLog, IoQueue, Ring};
    let Refusal::Layout(error) = refusal else { return false };
    match why {
        "output_count" => matches!(error, LayoutError::BufferCount { .. }),
        "control_shape" => is_misfit(error, Control),
        "debug_log_shape" => is_misfit(error, DebugLog),
        "ring_shape" => is_misfit(error, Ring),
        "ring_ragged" => is_ragged(error, Ring),
        "control_len_overflow" => is_too_many(error, Control, MAX_OBSERVABLES),
        "ring_len_overflow" => is_too_many(error, Ring, MAX_SLOTS),
        "io_unaligned" => {
            matches!(error, LayoutError::RaggedBytes { buffer: IoQueue, .. })
        }
        "partial_slot" => match *error {
            LayoutError::WrongLength { buffer: IoQueue, words, .. } => !words.is_multiple_of(8),
            LayoutError::RaggedWords { buffer, .. } => buffer == IoQueue,
            _ => false,
        },
        _ => false,
    }
}

fn is_ours(why: &str, refusal: &Refusal) -> bool {
    use Buffer::{DebugLog, IoQueue};
    match (why, refusal) {
        ("in_flight", Refusal::Publish(error)) => matches!(error, PublishError::Busy { .. }),
        ("in_flight", Refusal::IoQueue(error)) => {
            matches!(error, IoQueueError::State { expected: 0, .. })
        }
        ("debug_log_length", Refusal::Layout(error)) => {
            matches!(error, LayoutError::RaggedWords { buffer: DebugLog, .. })
        }
        ("no_io_slots", Refusal::Layout(error)) => match *error {
            LayoutError::WrongLength { buffer: IoQueue, words, .. } => words == 0,
            error => error == LayoutError::NoIoSlots,
        },
        ("duplicate", Refusal::IoQueue(error)) => {
            matches!(error, IoQueueError::Duplicate { .. })
        }
        ("packed_ops", Refusal::Packed(error)) => matches!(error, PackedError::TooManyOps { .. }),
        ("packed_opcode", Refusal::Packed(error)) => matches!(error, PackedError::Opcode { .. }),
        _ => false,
    }
}

fn is_ragged(error: &LayoutError, of: Buffer) -> bool {
    match *error {
        LayoutError::RaggedBytes { buffer, .. } | LayoutError::RaggedWords { buffer, .. } => {
            buffer == of
        }
        _ => false,
    }
}

fn is_misfit(error: &LayoutError, of: Buffer) -> bool {
    let wrong = matches!(error, LayoutError::WrongLength { buffer, .. } if *buffer == of);
    wrong || is_ragged(error, of)
}

fn is_too_many(error: &LayoutError, of: Buffer, limit: u32) -> bool {
    matches!(*error, LayoutError::TooMany { buffer, max, .. } if buffer == of && max == limit)
}
