//! The host's copy of a row: what the caller publishes into and reads results from.

use crate::storage::Storage;
use crate::vulkan::Allocation;
use slipring_core::layout::{Buffer, Geometry, LayoutError};
use slipring_core::row::Row;
use slipring_core::words;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Four buffers of a geometry, allocated once.
pub(crate) struct HostRow {
    geometry: Geometry,
    memory: Memory,
}

/// Where the words lie.
enum Memory {
    Own([Box<[AtomicU32]>; 4]),
    /// The caller's.
    Lent(Storage),
    /// Each of them mapped.
    Mapped(Vec<Allocation>),
}

impl HostRow {
    /// A row in the caller's storage or in memory of its own, all zero.
    pub(crate) fn new(geometry: Geometry, storage: Option<Storage>) -> Self {
        let zeroed = |buffer| (0..geometry.words(buffer)).map(|_| AtomicU32::new(0)).collect();
        match storage {
            None => Self { geometry, memory: Memory::Own(Buffer::ALL.map(zeroed)) },
            Some(storage) => {
                let row = Self { geometry, memory: Memory::Lent(storage) };
                Buffer::ALL.into_iter().for_each(|buffer| row.clear(buffer));
                row
            }
        }
    }

    /// A row in memory that the GPU shares, each buffer of the geometry's length.
    pub(crate) fn mapped(geometry: Geometry, buffers: Vec<Allocation>) -> Self {
        Self { geometry, memory: Memory::Mapped(buffers) }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn row(&self) -> Row<'_, AtomicU32> {
        let [control, ring, debug_log, io_queue] = Buffer::ALL.map(|buffer| self.words(buffer));
        Row::new(self.geometry, control, ring, debug_log, io_queue)
            .expect("every length comes from the geometry")
    }

    pub(crate) fn words(&self, buffer: Buffer) -> &[AtomicU32] {
        match &self.memory {
            Memory::Own(buffers) => &buffers[buffer as usize],
            Memory::Lent(storage) => storage.words(self.geometry, buffer),
            Memory::Mapped(buffers) => {
                buffers[buffer as usize].mapped().expect("allocated as memory that the host reads")
            }
        }
    }

    /// A buffer that is mapped.
    pub(crate) fn allocation(&self, buffer: Buffer) -> Option<&Allocation> {
        match &self.memory {
            Memory::Mapped(buffers) => buffers.get(buffer as usize),
            _ => None,
        }
    }

    /// Overwrites `buffer` from word `first` on.
    pub(crate) fn fill(&self, buffer: Buffer, first: usize, words: &[u32]) {
        store_words(self.words(buffer), first, words.iter().copied());
    }

    /// Overwrites word ranges with `words`, which are theirs one after the other.
    pub(crate) fn fill_ranges(&self, ranges: &[(Buffer, Range<usize>)], mut words: &[u32]) {
        for (buffer, range) in ranges {
            let (part, rest) = words.split_at(range.len());
            self.fill(*buffer, range.start, part);
            words = rest;
        }
    }

    /// Copies word ranges of another row of the geometry, and says how many bytes they are.
    pub(crate) fn copy_from(&self, from: &Self, ranges: &[(Buffer, Range<usize>)]) -> u64 {
        let mut bytes = 0;
        for (buffer, range) in ranges {
            let words = from.words(*buffer)[range.clone()].iter();
            let words = words.map(|word| word.load(Ordering::Relaxed));
            store_words(self.words(*buffer), range.start, words);
            bytes += 4 * range.len() as u64;
        }
        bytes
    }

    /// Zeroes `buffer`.
    pub(crate) fn clear(&self, buffer: Buffer) {
        self.words(buffer).iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Takes over the four buffers' bytes, or changes nothing.
    pub(crate) fn adopt(&self, buffers: &[&[u8]]) -> Result<(), LayoutError> {
        let row = Row::read(self.geometry, buffers)?;
        for buffer in Buffer::ALL {
            self.fill(buffer, 0, row.words(buffer));
        }
        Ok(())
    }

    /// Whether `outputs` are four buffers of exactly the row's lengths.
    pub(crate) fn check_outputs(&self, outputs: &[&mut [u8]]) -> Result<(), LayoutError> {
        let buffers = outputs.len();
        if buffers != Buffer::ALL.len() {
            return Err(LayoutError::BufferCount { buffers });
        }
        for (buffer, output) in Buffer::ALL.into_iter().zip(outputs) {
            let words = words::from_bytes(buffer, output)?.len();
            self.geometry.check_words(buffer, words)?;
        }
        Ok(())
    }

    /// Copies the four buffers to `outputs`, which were checked.
    pub(crate) fn copy_out(&self, outputs: &mut [&mut [u8]]) {
        for (buffer, output) in Buffer::ALL.into_iter().zip(outputs) {
            for (copy, word) in output.chunks_exact_mut(4).zip(self.words(buffer)) {
                copy.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
        }
    }
}

/// Writes `values` to `words` from word `first` on.
pub(crate) fn store_words(words: &[AtomicU32], first: usize, values: impl Iterator<Item = u32>) {
    for (word, value) in words.iter().skip(first).zip(values) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Reads `values` from `words` from word `first` on.
pub(crate) fn load_words(words: &[AtomicU32], first: usize, values: &mut [u32]) {
    for (word, value) in words.iter().skip(first).zip(values) {
        *value = word.load(Ordering::Relaxed);
    }
}
