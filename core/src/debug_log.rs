//! The debug log: a cursor, then records of four words.
//!
//! The kernel counts every record it is asked for; records that no longer fit are dropped and
//! counted, so what fits is always readable and the host knows how many it lost.

use crate::layout::{Buffer, LayoutError, MAX_DEBUG_RECORDS, MAX_ENCODED, check};
use crate::slot::WORDS;
use crate::words::{Word, WordMut, Words};

/// Words of a record.
pub const RECORD_WORDS: usize = 4;
/// Where the cursor stops counting.
pub const CURSOR_MAX: u32 = 0xFFFF_FFFC;

/// Word offsets in the log.
pub mod word {
    /// Words after this one that were asked for, four a record.
    pub const CURSOR: usize = 0;
    /// The first record.
    pub const RECORDS: usize = 1;
}

/// What a PRINTF or a handler wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Record {
    /// Which format the arguments are for.
    pub format: u32,
    /// Two arguments.
    pub args: [u32; 2],
    /// The first word of the slot in the ring: 16 × its index.
    pub slot_word: u32,
}

impl Record {
    /// The slot that it is from.
    ///
    /// ```
    /// use slipring_core::debug_log::Record;
    /// assert_eq!(Record { format: 1, args: [2, 3], slot_word: 80 }.slot(), 5);
    /// ```
    pub const fn slot(&self) -> u32 {
        self.slot_word / WORDS as u32
    }
}

const _: () = assert!(size_of::<Record>() == 4 * RECORD_WORDS);

/// Some of the log's records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Records<const N: usize> {
    /// The records, in the order they were claimed.
    pub records: heapless::Vec<Record, N>,
    /// The index to read from next.
    pub next: u32,
    /// Records that did not fit the log.
    pub lost: u32,
}

/// A cursor that no kernel leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("debug log: cursor {cursor} is no multiple of {RECORD_WORDS}")]
pub struct PartialRecord {
    /// The cursor.
    pub cursor: u32,
}

/// A view of a debug log.
///
/// ```
/// use slipring_core::debug_log::DebugLog;
/// let log = DebugLog::new(&[8, 1, 2, 3, 0, 4, 5, 6, 16])?;
/// let read = log.read::<1>(1)?;
/// assert_eq!((read.records[0].format, read.next, read.lost), (4, 2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DebugLog<'a, W> {
    cursor: &'a W,
    records: &'a [[W; RECORD_WORDS]],
    words: &'a [W],
}

crate::words::copied_whatever_its_words!(DebugLog);

impl<'a, W: Word> DebugLog<'a, W> {
    /// A view of `words`.
    ///
    /// # Errors
    /// [`LayoutError::RaggedWords`] unless there are 1 + 4r words, [`LayoutError::TooMany`]
    /// beyond [`MAX_DEBUG_RECORDS`].
    pub fn new(words: impl Words<'a, Word = W>) -> Result<Self, LayoutError> {
        let words = words.into_words();
        let (buffer, head) = (Buffer::DebugLog, word::RECORDS);
        let ragged =
            LayoutError::RaggedWords { buffer, words: words.len(), head, unit: RECORD_WORDS };
        let (cursor, records) = words.split_first().ok_or(ragged)?;
        let (records, rest) = records.as_chunks();
        if !rest.is_empty() {
            return Err(ragged);
        }
        if records.len() as u64 > u64::from(MAX_DEBUG_RECORDS) {
            let count = records.len() as u64;
            return Err(LayoutError::TooMany { buffer, count, max: MAX_DEBUG_RECORDS });
        }
        Ok(Self { cursor, records, words })
    }

    /// A view of 1 + 4r words, whose length was checked.
    pub(crate) fn of<const WORDS: usize>(words: &'a [W; WORDS]) -> Self {
        const { assert!(WORDS % RECORD_WORDS == word::RECORDS) };
        let (cursor, records) = words.split_at(word::RECORDS);
        Self { cursor: &cursor[0], records: records.as_chunks().0, words }
    }

    /// The words below.
    pub fn words(&self) -> &'a [W] {
        self.words
    }

    /// How many records it holds at most.
    pub fn capacity(&self) -> u32 {
        self.records.len() as u32
    }

    /// Reads up to `N` records from record `first` on. To be called between drains: a running
    /// kernel moves the cursor before it writes the record.
    ///
    /// # Errors
    /// [`PartialRecord`] when the cursor is no multiple of 4.
    pub fn read<const N: usize>(&self, first: u32) -> Result<Records<N>, PartialRecord> {
        let cursor = self.cursor.load_acquire();
        if !cursor.is_multiple_of(RECORD_WORDS as u32) {
            return Err(PartialRecord { cursor });
        }
        let asked = cursor / RECORD_WORDS as u32;
        let written = self.records.get(..asked.min(self.capacity()) as usize).unwrap_or(&[]);
        let mut records = heapless::Vec::new();
        for record in written.iter().skip(first as usize).take(N) {
            let [format, a, b, slot_word] = record.each_ref().map(Word::load);
            // Never full: at most N are taken.
            let _ = records.push(Record { format, args: [a, b], slot_word });
        }
        let next = first.saturating_add(records.len() as u32);
        Ok(Records { records, next, lost: asked.saturating_sub(self.capacity()) })
    }
}

impl<W: WordMut> DebugLog<'_, W> {
    /// Empties the log.
    ///
    /// # Errors
    /// [`LayoutError::TooMany`] beyond [`MAX_ENCODED`] records.
    pub fn reset(&self) -> Result<(), LayoutError> {
        check(Buffer::DebugLog, self.capacity(), MAX_ENCODED)?;
        for word in self.words {
            word.store(0);
        }
        Ok(())
    }

    /// Appends as the kernel does: counts always, writes what fits.
    pub(crate) fn append(&self, record: Record) {
        let cursor = self.cursor.load();
        if cursor >= CURSOR_MAX {
            return;
        }
        // A hostile cursor may be off the record grid; so is then the record, as on the GPU.
        self.cursor.store(cursor.saturating_add(RECORD_WORDS as u32).min(CURSOR_MAX));
        let start = word::RECORDS as u64 + u64::from(cursor);
        let end = start + RECORD_WORDS as u64;
        if end <= self.words.len() as u64 {
            let values: [u32; RECORD_WORDS] = bytemuck::cast(record);
            let room = self.words.get(start as usize..).unwrap_or(&[]);
            for (word, value) in room.iter().zip(values) {
                word.store(value);
            }
        }
    }
}
