//! Packed slots: up to four small operations in one slot.
//!
//! The twelve argument words, as 48 bytes: byte 0 the operations n, byte 1 the argument words
//! of all of them, then n pairs of opcode and argument offset (in words after the metadata);
//! the arguments follow, back to back, after ⌈(2 + 2n) / 4⌉ words of metadata.

use crate::opcode;
use crate::slot::ARGS;
use core::ops::Range;

/// The most operations of a packed slot.
pub const MAX_OPS: usize = 4;

/// One operation to pack: an opcode below 256 and its arguments.
pub type Op<'a> = (u8, &'a [u32]);

/// Why operations cannot be packed, or a payload not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PackedError {
    /// Too many operations.
    #[error("{ops} operations; a packed slot holds {MAX_OPS}")]
    TooManyOps { ops: usize },
    /// Metadata and arguments are longer than a slot's arguments.
    #[error("{words} words of metadata and arguments; a slot holds {ARGS}")]
    TooLong { words: usize },
    /// An opcode that cannot run inside a packed slot.
    #[error("operation {index}: opcode {opcode} may not be packed")]
    Opcode { index: usize, opcode: u8 },
    /// Arguments that start before their predecessor's, or past the end.
    #[error("operation {index}: its arguments start at word {offset}, outside {min}..={max}")]
    Offset { index: usize, offset: u8, min: u8, max: u8 },
}

/// Words of metadata for `ops` operations.
const fn metadata_words(ops: usize) -> usize {
    (2 + 2 * ops).div_ceil(4)
}

/// The argument words of a packed slot.
///
/// ```
/// use slipring_core::{opcode, packed::Payload, ring::{Job, Ring}};
/// let store = opcode::STORE_U32 as u8;
/// let payload = Payload::pack(&[(store, &[7, 160]), (store, &[8, 161])])?;
/// let mut words = [0; 16];
/// Ring::new(&mut words)?.publish(0, &payload.job())?;
/// assert_eq!(payload.parse()?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Payload {
    words: [u32; ARGS],
}

/// One operation of a payload: its opcode, and where its arguments lie in the slot's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PackedOp {
    /// The opcode.
    pub opcode: u8,
    /// Indices into the slot's arguments.
    pub args: Range<usize>,
}

impl Payload {
    /// Packs `ops` in order.
    ///
    /// # Errors
    /// In this order: [`PackedError::TooManyOps`], [`PackedError::TooLong`],
    /// [`PackedError::Opcode`].
    pub fn pack(ops: &[Op<'_>]) -> Result<Self, PackedError> {
        if ops.len() > MAX_OPS {
            return Err(PackedError::TooManyOps { ops: ops.len() });
        }
        let metadata = metadata_words(ops.len());
        let total = ops.iter().fold(0usize, |sum, (_, args)| sum.saturating_add(args.len()));
        let words = metadata.saturating_add(total);
        if words > ARGS {
            return Err(PackedError::TooLong { words });
        }
        let mut header = [0u8; 2 + 2 * MAX_OPS + 2];
        let mut payload = [0; ARGS];
        let mut offset = 0;
        let [count, length, pairs @ ..] = &mut header;
        *count = ops.len() as u8;
        *length = total as u8;
        for (index, ((opcode, args), pair)) in
            ops.iter().zip(pairs.as_chunks_mut::<2>().0).enumerate()
        {
            if !opcode::is_packable(u32::from(*opcode)) {
                return Err(PackedError::Opcode { index, opcode: *opcode });
            }
            *pair = [*opcode, offset as u8];
            for (word, arg) in payload.iter_mut().skip(metadata + offset).zip(*args) {
                *word = *arg;
            }
            offset += args.len();
        }
        for (word, bytes) in payload.iter_mut().zip(header.as_chunks::<4>().0).take(metadata) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(Self { words: payload })
    }

    /// The payload in a slot's arguments, whatever they are.
    pub const fn from_words(words: [u32; ARGS]) -> Self {
        Self { words }
    }

    /// The payload in a job's arguments, whatever they are; those past the twelfth do not count.
    pub fn from_args(args: &[u32]) -> Self {
        let mut words = [0; ARGS];
        for (word, arg) in words.iter_mut().zip(args) {
            *word = *arg;
        }
        Self { words }
    }

    /// The twelve argument words.
    pub const fn words(&self) -> &[u32; ARGS] {
        &self.words
    }

    /// The job that publishes it.
    pub const fn job(&self) -> crate::ring::Job<'_> {
        crate::ring::Job::new(opcode::PACKED_SLOT, &self.words)
    }

    /// The operations. This is what the kernel checks before it runs the first of them.
    ///
    /// # Errors
    /// Any [`PackedError`].
    pub fn parse(&self) -> Result<heapless::Vec<PackedOp, MAX_OPS>, PackedError> {
        let byte = |index: usize| {
            let word = self.words.get(index / 4).copied().unwrap_or(0);
            (word >> (8 * (index % 4))) as u8
        };
        let (count, length) = (usize::from(byte(0)), byte(1));
        if count > MAX_OPS {
            return Err(PackedError::TooManyOps { ops: count });
        }
        let metadata = metadata_words(count);
        let words = metadata + usize::from(length);
        if words > ARGS {
            return Err(PackedError::TooLong { words });
        }
        let mut ops = heapless::Vec::new();
        let mut min = 0;
        for index in 0..count {
            let (opcode, offset) = (byte(2 + 2 * index), byte(3 + 2 * index));
            if offset < min || offset > length {
                return Err(PackedError::Offset { index, offset, min, max: length });
            }
            if !opcode::is_packable(u32::from(opcode)) {
                return Err(PackedError::Opcode { index, opcode });
            }
            let next = if index + 1 < count { byte(5 + 2 * index) } else { length };
            let start = metadata + usize::from(offset);
            // The next offset is checked in its own turn; until then it may be wrong.
            let args = start..(metadata + usize::from(next)).max(start);
            // Never full: count is at most MAX_OPS.
            let _ = ops.push(PackedOp { opcode, args });
            min = offset;
        }
        Ok(ops)
    }
}
