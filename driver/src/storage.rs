//! Memory of the caller's for a row.
//!
//! ```
//! use slipring_core::layout::Geometry;
//! use slipring_driver::storage::{Pages, words_for};
//! use slipring_driver::{Driver, Kernel};
//! # use slipring_driver::BackendChoice;
//! # let choice = BackendChoice::Twin;
//! const GEOMETRY: Geometry = match Geometry::of_slots(64, 8) {
//!     Ok(geometry) => geometry,
//!     Err(_) => panic!("64 slots are few enough"),
//! };
//! static ROW: Pages<{ words_for(GEOMETRY) }> = Pages::new();
//!
//! let builder = Driver::builder(Kernel::builder().build()?, GEOMETRY);
//! # let builder = builder.backend(choice);
//! let driver = builder.storage(ROW.words()).open()?;
//! let done_count = &driver.row().control.words()[1];
//! assert!(ROW.words().as_ptr_range().contains(&std::ptr::from_ref(done_count)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::open::OpenError;
use slipring_core::layout::{Buffer, Geometry};
use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

/// What storage starts at a multiple of, and is as long as a multiple of: a page of the largest
/// size that such boards have (16 KiB on a Raspberry Pi 5).
pub const ALIGNMENT_BYTES: usize = 16384;

/// Words that each buffer starts at a multiple of: 256 bytes, the most that Vulkan lets a device
/// ask of a storage buffer.
const BUFFER_STEP: usize = 64;

/// Words of storage for a row of `geometry`.
pub const fn words_for(geometry: Geometry) -> usize {
    let words = range_of(geometry, Buffer::IoQueue).end;
    words.next_multiple_of(ALIGNMENT_BYTES / 4)
}

/// Where a buffer lies in a row's storage.
const fn range_of(geometry: Geometry, buffer: Buffer) -> Range<usize> {
    let mut start = 0;
    let mut index = 0;
    while index < buffer as usize {
        start += geometry.words(Buffer::ALL[index]).next_multiple_of(BUFFER_STEP);
        index += 1;
    }
    start..start + geometry.words(buffer)
}

/// Words for a row, at a page's start: for a `static`.
#[derive(Debug)]
#[repr(C, align(16384))]
pub struct Pages<const WORDS: usize>([AtomicU32; WORDS]);

impl<const WORDS: usize> Pages<WORDS> {
    /// All zero. `WORDS` is what [`words_for`] says, or more.
    pub const fn new() -> Self {
        Self([const { AtomicU32::new(0) }; WORDS])
    }

    /// The words.
    pub const fn words(&self) -> &[AtomicU32; WORDS] {
        &self.0
    }
}

impl<const WORDS: usize> Default for Pages<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The addresses of all rows' storage in this process.
static TAKEN: Mutex<Vec<Range<usize>>> = Mutex::new(Vec::new());

/// Addresses that are taken until this is dropped.
#[derive(Debug)]
struct Lease(Range<usize>);

impl Drop for Lease {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|range| *range != self.0);
    }
}

/// Memory that a device may import, which stays as long as any clone.
#[derive(Clone, Debug)]
pub(crate) enum HostMemory {
    Storage(Storage),
    Pages(Arc<crate::arena::Pages>),
    Shared(Arc<crate::arena::Shared>),
}

impl HostMemory {
    pub(crate) fn all(&self) -> &[AtomicU32] {
        match self {
            Self::Storage(storage) => storage.all(),
            Self::Pages(pages) => pages.words(),
            Self::Shared(shared) => shared.pages().words(),
        }
    }
}

/// Storage that was checked, and is one row's until the last clone is dropped: the row's, and its
/// buffers' where the GPU works on it.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    words: &'static [AtomicU32],
    _lease: Arc<Lease>,
}

impl Storage {
    /// Storage for a row of `geometry`, if no row has any of it.
    pub(crate) fn take(words: &'static [AtomicU32], geometry: Geometry) -> Result<Self, OpenError> {
        let (needed, misaligned) = (words_for(geometry), words.as_ptr().addr() % ALIGNMENT_BYTES);
        if words.len() < needed || misaligned != 0 {
            return Err(OpenError::Storage { words: words.len(), needed, misaligned });
        }
        let words = &words[..needed];
        let range = words.as_ptr_range();
        let range = range.start.addr()..range.end.addr();
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.iter().any(|other| other.start < range.end && range.start < other.end) {
            return Err(OpenError::StorageTaken { words: needed });
        }
        taken.push(range.clone());
        Ok(Self { words, _lease: Arc::new(Lease(range)) })
    }

    pub(crate) fn all(&self) -> &'static [AtomicU32] {
        self.words
    }

    pub(crate) fn words(&self, geometry: Geometry, buffer: Buffer) -> &'static [AtomicU32] {
        &self.words[range_of(geometry, buffer)]
    }

    /// Where the four buffers lie.
    pub(crate) fn ranges(geometry: Geometry) -> [Range<usize>; 4] {
        Buffer::ALL.map(|buffer| range_of(geometry, buffer))
    }
}
