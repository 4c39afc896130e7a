//! Geometry: the counts that fix every buffer's length, and the errors of lengths.

use crate::{control, debug_log, io_queue, slot};

/// The most observables that the index word can name: `u32::MAX` − 160 words.
pub const MAX_OBSERVABLES: u32 = u32::MAX - control::word::OBSERVABLES as u32;
/// The most slots that a word index can reach: (2^32 − 1) / 16.
pub const MAX_SLOTS: u32 = u32::MAX / slot::WORDS as u32;
/// The most debug records that the cursor can count: (2^32 − 1) / 4.
pub const MAX_DEBUG_RECORDS: u32 = u32::MAX / debug_log::RECORD_WORDS as u32;
/// The most observables, slots or debug records that the encoders write (2^20).
pub const MAX_ENCODED: u32 = 1 << 20;
/// The most IO slots of a queue.
pub const MAX_IO_SLOTS: u32 = 64;
/// Debug records of a [`Geometry::of_slots`].
pub const DEFAULT_DEBUG_RECORDS: u32 = 64;

/// One of the four buffers of a row, in binding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Buffer {
    /// Counters, tenant words, observables.
    Control,
    /// The job slots.
    Ring,
    /// The kernel's records.
    DebugLog,
    /// Requests of the kernel to its host.
    IoQueue,
}

impl Buffer {
    /// All four, in binding order.
    pub const ALL: [Self; 4] = [Self::Control, Self::Ring, Self::DebugLog, Self::IoQueue];

    /// What its length counts, in messages.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Control => "observables",
            Self::Ring => "slots",
            Self::DebugLog => "records",
            Self::IoQueue => "IO slots",
        }
    }

    /// The name in messages and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Ring => "ring",
            Self::DebugLog => "debug log",
            Self::IoQueue => "IO queue",
        }
    }
}

impl core::fmt::Display for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A count or a length that does not fit the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum LayoutError {
    /// More units (observables, slots, records, IO slots) than the buffer may have.
    #[error("{buffer}: {count} {}, and {max} are the most", buffer.unit())]
    TooMany { buffer: Buffer, count: u64, max: u32 },
    /// An IO queue of no slots.
    #[error("IO queue: 0 slots; give it 1 to {MAX_IO_SLOTS}")]
    NoIoSlots,
    /// A byte length that is no whole number of words.
    #[error("{buffer}: {bytes} bytes are no whole number of 4-byte words")]
    RaggedBytes { buffer: Buffer, bytes: usize },
    /// Bytes that do not start on a word boundary.
    #[error("{buffer}: the first byte lies {address_mod_4} past a 4-byte boundary")]
    Misaligned { buffer: Buffer, address_mod_4: usize },
    /// A word length that is no whole number of units.
    #[error("{buffer}: {words} words; {head} and a multiple of {unit} are needed")]
    RaggedWords { buffer: Buffer, words: usize, head: usize, unit: usize },
    /// A buffer of another length than the geometry's.
    #[error("{buffer}: {words} words where the geometry has {expected}")]
    WrongLength { buffer: Buffer, words: usize, expected: usize },
    /// Too little storage for a row's four buffers.
    #[error("{words} words of storage where {needed} are needed")]
    ShortStorage { words: usize, needed: u64 },
    /// Other than four buffers.
    #[error("{buffers} buffers where a row has 4")]
    BufferCount { buffers: usize },
    /// Two rows, or a row and a kernel, of different slot counts.
    #[error("{slots} slots where {expected} are expected")]
    SlotCount { slots: u32, expected: u32 },
}

/// A word that is not there: the buffer is too short for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("{buffer}: word {word} is missing from a buffer of {words} words")]
pub struct MissingWord {
    /// The buffer.
    pub buffer: Buffer,
    /// The first word that is missing; of a count over slots, where the last of them ends.
    pub word: u64,
    /// The buffer's length in words.
    pub words: usize,
}

/// The counts of a row. They fix the length of each of its four buffers.
///
/// ```
/// use slipring_core::layout::Geometry;
/// const GEOMETRY: Geometry = match Geometry::new(64, 8, 64, 64) {
///     Ok(geometry) => geometry,
///     Err(_) => panic!("within every limit"),
/// };
/// assert_eq!(GEOMETRY.ring_words(), 1024);
/// assert_eq!(GEOMETRY.control_words(), 168);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Geometry {
    slots: u32,
    observables: u32,
    debug_records: u32,
    io_slots: u32,
}

impl Geometry {
    /// A geometry of `slots` ring slots, `observables` words after the control words,
    /// `debug_records` and `io_slots`.
    ///
    /// # Errors
    /// [`LayoutError::TooMany`] beyond [`MAX_SLOTS`], [`MAX_OBSERVABLES`],
    /// [`MAX_DEBUG_RECORDS`] or [`MAX_IO_SLOTS`], [`LayoutError::NoIoSlots`].
    pub const fn new(
        slots: u32,
        observables: u32,
        debug_records: u32,
        io_slots: u32,
    ) -> Result<Self, LayoutError> {
        if let Err(error) = check(Buffer::Control, observables, MAX_OBSERVABLES) {
            return Err(error);
        }
        if let Err(error) = check(Buffer::Ring, slots, MAX_SLOTS) {
            return Err(error);
        }
        if let Err(error) = check(Buffer::DebugLog, debug_records, MAX_DEBUG_RECORDS) {
            return Err(error);
        }
        if let Err(error) = check_io_slots(io_slots) {
            return Err(error);
        }
        Ok(Self { slots, observables, debug_records, io_slots })
    }

    /// The usual row: 64 debug records and 64 IO slots. (Such a row may be longer than the encoders
    /// write and a driver opens: [`Geometry::check_encodable`].)
    ///
    /// # Errors
    /// Those of [`Geometry::new`].
    pub const fn of_slots(slots: u32, observables: u32) -> Result<Self, LayoutError> {
        Self::new(slots, observables, DEFAULT_DEBUG_RECORDS, MAX_IO_SLOTS)
    }

    /// Whether the encoders write such a row.
    ///
    /// # Errors
    /// [`LayoutError::TooMany`] with [`MAX_ENCODED`].
    pub const fn check_encodable(&self) -> Result<(), LayoutError> {
        if let Err(error) = check(Buffer::Control, self.observables, MAX_ENCODED) {
            return Err(error);
        }
        if let Err(error) = check(Buffer::Ring, self.slots, MAX_ENCODED) {
            return Err(error);
        }
        check(Buffer::DebugLog, self.debug_records, MAX_ENCODED)
    }

    /// Ring slots.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Words after the 160 control words, for results.
    pub const fn observables(&self) -> u32 {
        self.observables
    }

    /// Records that the debug log holds.
    pub const fn debug_records(&self) -> u32 {
        self.debug_records
    }

    /// IO slots.
    pub const fn io_slots(&self) -> u32 {
        self.io_slots
    }

    /// Words of the control buffer.
    pub const fn control_words(&self) -> usize {
        control::word::OBSERVABLES + self.observables as usize
    }

    /// Words of the ring.
    pub const fn ring_words(&self) -> usize {
        slot::WORDS * self.slots as usize
    }

    /// Words of the debug log.
    pub const fn debug_log_words(&self) -> usize {
        debug_log::word::RECORDS + debug_log::RECORD_WORDS * self.debug_records as usize
    }

    /// Words of the IO queue.
    pub const fn io_queue_words(&self) -> usize {
        io_queue::SLOT_WORDS * self.io_slots as usize
    }

    /// Words of one of the four buffers.
    pub const fn words(&self, buffer: Buffer) -> usize {
        match buffer {
            Buffer::Control => self.control_words(),
            Buffer::Ring => self.ring_words(),
            Buffer::DebugLog => self.debug_log_words(),
            Buffer::IoQueue => self.io_queue_words(),
        }
    }

    /// Bytes of one of the four buffers. Up to 17,179,869,180: more than `usize` holds on a
    /// 32-bit target.
    pub const fn bytes(&self, buffer: Buffer) -> u64 {
        4 * self.words(buffer) as u64
    }

    /// Checks the length of a buffer of this row.
    ///
    /// # Errors
    /// [`LayoutError::WrongLength`] with both numbers.
    pub const fn check_words(&self, buffer: Buffer, words: usize) -> Result<(), LayoutError> {
        let expected = self.words(buffer);
        if words != expected {
            return Err(LayoutError::WrongLength { buffer, words, expected });
        }
        Ok(())
    }
}

/// Whether a count is within its limit.
pub(crate) const fn check(buffer: Buffer, count: u32, max: u32) -> Result<(), LayoutError> {
    if count > max {
        return Err(LayoutError::TooMany { buffer, count: count as u64, max });
    }
    Ok(())
}

pub(crate) const fn check_io_slots(io_slots: u32) -> Result<(), LayoutError> {
    if io_slots == 0 {
        return Err(LayoutError::NoIoSlots);
    }
    check(Buffer::IoQueue, io_slots, MAX_IO_SLOTS)
}
